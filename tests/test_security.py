"""A node that asks who somebody is: logins, rules, what is recorded of refusals, and a door that will not open unasked."""

import subprocess

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from conftest import BINARY, SqlError, eventually

SETTINGS = """commit_interval_ms = 1000
[kafka_security]
protocol = "SASL_PLAINTEXT"
mechanisms = ["SCRAM-SHA-512", "PLAIN"]
authorizer = true
bootstrap_user = "root"
bootstrap_password_file = "root.password"
"""


@pytest.fixture
def guarded(make_node):
    node = make_node()
    (node.data / "lakehead.toml").write_text(SETTINGS)
    (node.data / "root.password").write_text("secret\n")
    return node.start()


def as_user(node, name, password, mechanism="SCRAM-SHA-512", **options):
    login = {"sasl.mechanism": mechanism, "sasl.username": name, "sasl.password": password}
    return {"bootstrap.servers": node.kafka, "security.protocol": "SASL_PLAINTEXT", **login, **options}


def write(config, topic, value):
    """The error of one record, if any."""
    told = []
    producer = Producer({**config, "message.timeout.ms": 15000})
    producer.produce(topic, value, on_delivery=lambda error, _: told.append(error))
    producer.flush(20)
    return told[0] and told[0].code()


def ann_and_a_topic(node, topic):
    """A client of the super user's, who has made the topic, written its first record, and made a user `ann`."""
    root = AdminClient(as_user(node, "root", "secret", "PLAIN"))
    root.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    ann = UserScramCredentialUpsertion("ann", ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), b"pw")
    root.alter_user_scram_credentials([ann])["ann"].result(30)
    assert write(as_user(node, "root", "secret"), topic, b'{"id": 1}') is None
    return root


def test_who_may_do_what_is_asked_kept_and_recorded(guarded):
    node = guarded
    root = ann_and_a_topic(node, "orders")
    assert write(as_user(node, "ann", "pw"), "orders", b'{"id": 2}') == KafkaError.TOPIC_AUTHORIZATION_FAILED
    rule = AclBinding(ResourceType.TOPIC, "ord", ResourcePatternType.PREFIXED, "User:ann", "*", AclOperation.WRITE, AclPermissionType.ALLOW)
    root.create_acls([rule])[rule].result(30)
    assert write(as_user(node, "ann", "pw"), "orders", b'{"id": 3}') is None
    with pytest.raises(KafkaException):
        AdminClient(as_user(node, "ann", "wrong", **{"socket.timeout.ms": 3000})).list_topics(timeout=3)

    # Users and rules outlive the node, however it ends.
    node.kill()
    node.start()
    assert write(as_user(node, "ann", "pw"), "orders", b'{"id": 4}') is None
    assert node.sql("SELECT id FROM orders ORDER BY id") == [[1], [3], [4]]
    consumer = Consumer(as_user(node, "ann", "pw", **{"group.id": "g"}))
    consumer.assign([TopicPartition("orders", 0, 0)])
    assert eventually(lambda: consumer.consume(1, 5) or None)[0].error().code() in (
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
    )
    consumer.close()

    refused = lambda: {(who, what) for who, what in node.sql("SELECT principal, resource FROM _audit")}
    eventually(lambda: ("User:ann", "TOPIC:orders") in refused())
    # No door shows salted passwords.
    with pytest.raises(SqlError) as hidden:
        node.sql("SELECT * FROM __users")
    assert hidden.value.status == 404


def test_a_door_that_asks_nobody_stays_on_the_loopback(tmp_path):
    command = [BINARY, "up", "--data", str(tmp_path / "data"), "--kafka", "0.0.0.0:0", "--http", "127.0.0.1:0", "--pg", "127.0.0.1:0"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1 and "LH0601" in refused.stderr, refused.stderr


def test_the_command_line_comes_in_with_a_file_that_kafkas_tools_take(guarded, tmp_path):
    """`--kafka-config`: every mechanism, names of Java and of librdkafka, and what a wrong password is told."""
    node = guarded

    def run(settings, *command, text=None):
        file = tmp_path / "client.properties"
        file.write_text("security.protocol=SASL_PLAINTEXT\n" + settings)
        command = [BINARY, *command, "--kafka-config", file, "--data", node.data]
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)

    plain = "sasl.mechanism=PLAIN\nsasl.username=root\nsasl.password=secret\n"
    java = "sasl.mechanism=SCRAM-SHA-512\nsasl.jaas.config=x.ScramLoginModule required username=\"root\" password=\"secret\";\n"
    made = run(plain, "topics", "create", "lines")
    assert made.returncode == 0, made.stderr
    sent = run(java, "produce", "lines", text="one\ntwo\n")
    assert sent.returncode == 0, sent.stderr
    read = run(plain, "consume", "lines", "-b", "-e")
    assert read.stdout.splitlines() == ["one", "two"]

    for wrong, told in [(java.replace("secret", "guess"), "did not let us in"), ("sasl.mechanism=SCRAM-SHA-256\nsasl.username=a\nsasl.password=b\n", "SCRAM-SHA-512, PLAIN")]:
        refused = run(wrong, "topics", "ls")
        assert refused.returncode == 1 and "LH0012" in refused.stderr and told in refused.stderr, refused.stderr
        assert "secret" not in refused.stderr and "guess" not in refused.stderr


def test_a_topic_can_be_one_users_alone_to_write_to(guarded):
    """`GRANT WRITE … EXCLUSIVE`: not even a super user or SQL writes beside, until it is taken away."""
    node = guarded
    ann_and_a_topic(node, "ledger")
    node.sql("GRANT WRITE ON TOPIC ledger TO ann EXCLUSIVE")
    for again in range(2):
        assert write(as_user(node, "ann", "pw"), "ledger", b'{"id": 2}') is None
        assert write(as_user(node, "root", "secret"), "ledger", b'{"id": 3}') == KafkaError.TOPIC_AUTHORIZATION_FAILED
        with pytest.raises(SqlError) as refused:
            node.sql("INSERT INTO ledger (id) VALUES (4)")
        assert refused.value.code == "LH0606", refused.value
        if not again:
            node.kill()
            node.start()
    with pytest.raises(SqlError) as refused:
        node.sql("REVOKE WRITE ON TOPIC ledger FROM bob")
    assert refused.value.code == "LH0607"
    node.sql("REVOKE WRITE ON TOPIC ledger FROM ann")
    assert write(as_user(node, "root", "secret"), "ledger", b'{"id": 5}') is None
    assert node.sql("SELECT id FROM ledger ORDER BY id") == [[1], [2], [2], [5]]
