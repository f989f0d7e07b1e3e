"""Kafka's command line tools, as an operator uses them."""

import json
import subprocess

from jvm import expect, until

GROUPS = "consumer.group.ConsumerGroupCommand"
CONFIGS = "kafka.admin.ConfigCommand"


def fill(jvm, topic, count):
    """Writes `count` records and gives what the producer said, one object a line."""
    said = jvm.tool("VerifiableProducer", "--topic", topic, "--max-messages", count, "--acks", "-1")
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def drain(jvm, topic, group, count, *more):
    """Reads `count` records in a group and gives what the consumer said."""
    said = jvm.tool(
        "VerifiableConsumer", "--topic", topic, "--group-id", group, "--max-messages", count,
        "--reset-policy", "earliest", *more,
    )  # fmt: skip
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def verifiable_producer(jvm):
    last = fill(jvm, jvm.name("produced"), 2000)[-1]
    assert (last["sent"], last["acked"]) == (2000, 2000), last


def verifiable_consumer(jvm):
    topic, group = jvm.name("consumed"), jvm.name("group")
    fill(jvm, topic, 2000)
    events = drain(jvm, topic, group, 2000, "--enable-autocommit")
    assert sum(e["count"] for e in events if e["name"] == "records_consumed") == 2000, events[-3:]
    events = drain(jvm, topic, jvm.name("group"), 2000)
    assert any(e["name"] == "offsets_committed" and e["success"] for e in events), events[-3:]


def verifiable_consumer_kip848(jvm):
    topic, group = jvm.name("consumed"), jvm.name("group")
    fill(jvm, topic, 500)
    events = drain(jvm, topic, group, 500, "--group-protocol", "consumer")
    assert sum(e["count"] for e in events if e["name"] == "records_consumed") == 500, events[-3:]


def topics(jvm):
    topic, tool = jvm.name("topics"), "TopicCommand"
    create = ["--create", "--topic", topic, "--partitions", 3, "--replication-factor", 1]
    expect(jvm.tool(tool, *create, "--config", "retention.ms=86400000"), f"Created topic {topic}")
    expect(jvm.tool(tool, *create, fails=True), "exist")
    jvm.tool(tool, *create, "--if-not-exists")
    expect(jvm.tool(tool, "--list"), topic)
    expect(jvm.tool(tool, "--describe", "--topic", topic), "PartitionCount: 3", "retention.ms=86400000", "TopicId: ")
    jvm.tool(tool, "--alter", "--topic", topic, "--partitions", 5)
    expect(jvm.tool(tool, "--describe", "--topic", topic), "PartitionCount: 5")
    expect(jvm.tool(tool, "--describe", "--topics-with-overrides"), topic)
    for report in ("--under-replicated-partitions", "--unavailable-partitions", "--under-min-isr-partitions"):
        assert topic not in jvm.tool(tool, "--describe", report), report
    expect(jvm.tool(tool, "--alter", "--topic", topic, "--partitions", 2, fails=True), "InvalidPartitions")
    jvm.tool(tool, "--delete", "--topic", topic)
    assert topic not in jvm.tool(tool, "--list")
    jvm.tool(tool, "--delete", "--topic", topic, fails=True)


def configs_of_topics(jvm):
    topic = jvm.name("configs")
    jvm.tool("TopicCommand", "--create", "--topic", topic, "--partitions", 1)
    entity = ["--entity-type", "topics", "--entity-name", topic]
    jvm.tool(CONFIGS, "--alter", *entity, "--add-config", "retention.ms=1000000,max.message.bytes=20000")
    expect(jvm.tool(CONFIGS, "--describe", *entity), "retention.ms=1000000", "max.message.bytes=20000")
    jvm.tool(CONFIGS, "--alter", *entity, "--delete-config", "retention.ms")
    said = jvm.tool(CONFIGS, "--describe", *entity)
    assert "retention.ms=" not in said, said
    expect(
        jvm.tool(CONFIGS, "--describe", "--all", *entity), "retention.ms=604800000", "DEFAULT_CONFIG", "cleanup.policy"
    )
    expect(jvm.tool(CONFIGS, "--alter", *entity, "--add-config", "no.such=1", fails=True), "InvalidConfiguration")
    jvm.tool(CONFIGS, "--alter", *entity, "--delete-config", "retention.bytes", fails=True)


def configs_of_brokers(jvm):
    said = jvm.tool(CONFIGS, "--describe", "--all", "--entity-type", "brokers", "--entity-name", 1)
    expect(said, "num.partitions=", "log.retention.ms", "auto.create.topics.enable")
    jvm.tool(CONFIGS, "--describe", "--entity-type", "brokers", "--entity-default")


def configs_of_users(jvm):
    user = ["--entity-type", "users", "--entity-name", "alice"]
    jvm.tool(CONFIGS, "--alter", *user, "--add-config", "SCRAM-SHA-256=[iterations=4096,password=secret]")
    expect(jvm.tool(CONFIGS, "--describe", *user), "SCRAM-SHA-256=iterations=4096")
    jvm.tool(CONFIGS, "--alter", *user, "--delete-config", "SCRAM-SHA-256")


def configs_of_quotas(jvm):
    client = ["--entity-type", "clients", "--entity-name", jvm.name("client")]
    jvm.tool(CONFIGS, "--alter", *client, "--add-config", "producer_byte_rate=1000000")
    expect(jvm.tool(CONFIGS, "--describe", *client), "producer_byte_rate=1000000")
    jvm.tool(CONFIGS, "--alter", *client, "--delete-config", "producer_byte_rate")


def consumer_groups(jvm):
    topic, group = jvm.name("grouped"), jvm.name("group")
    fill(jvm, topic, 300)
    command = jvm.command(
        "org.apache.kafka.tools.VerifiableConsumer", "--bootstrap-server", jvm.address, "--topic", topic,
        "--group-id", group, "--reset-policy", "earliest",
    )  # fmt: skip
    member = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert any("offsets_committed" in line for line in member.stdout), "the consumer ended before it committed"
        expect(jvm.tool(GROUPS, "--list"), group)
        expect(jvm.tool(GROUPS, "--list", "--state", "Stable"), group)
        expect(jvm.tool(GROUPS, "--describe", "--group", group), topic, "CURRENT-OFFSET")
        expect(jvm.tool(GROUPS, "--describe", "--group", group, "--members", "--verbose"), ":0,1,2,3")
        expect(jvm.tool(GROUPS, "--describe", "--group", group, "--state"), "Stable", "range")
        reset = ["--reset-offsets", "--group", group, "--topic", topic]
        expect(jvm.tool(GROUPS, *reset, "--to-earliest", "--execute"), "current state is Stable")
        expect(jvm.tool(GROUPS, "--delete", "--group", group), "GroupNotEmpty")
    finally:
        member.terminate()
        member.wait(30)
    expect(jvm.tool(GROUPS, *reset, "--to-earliest", "--dry-run"), topic)
    said = jvm.tool(GROUPS, *reset, "--to-earliest", "--execute")
    rows = [line.split() for line in said.splitlines() if topic in line]
    assert len(rows) == 4 and all(row[3] == "0" for row in rows), said
    said = jvm.tool(GROUPS, "--reset-offsets", "--group", group, "--topic", f"{topic}:0", "--to-offset", 2, "--execute")
    expect(said, topic)
    jvm.tool(
        GROUPS,
        "--reset-offsets",
        "--group",
        group,
        "--all-topics",
        "--to-datetime",
        "2020-01-01T00:00:00.000",
        "--execute",
    )
    jvm.tool(GROUPS, "--delete-offsets", "--group", group, "--topic", topic)
    jvm.tool(GROUPS, "--delete", "--group", group)
    assert group not in jvm.tool(GROUPS, "--list")


def groups(jvm):
    topic, group = jvm.name("grouped"), jvm.name("group")
    fill(jvm, topic, 10)
    drain(jvm, topic, group, 10)
    expect(jvm.tool("GroupsCommand", "--list"), group)


def transactions(jvm):
    topic, who = jvm.name("transacted"), jvm.name("tx")
    # It names the address among its properties.
    command = jvm.command(
        "org.apache.kafka.tools.ProducerPerformance", "--topic", topic, "--num-records", 2000, "--record-size", 100,
        "--throughput", -1, "--transactional-id", who, "--transaction-duration-ms", 50,
        "--producer-props", f"bootstrap.servers={jvm.address}",
    )  # fmt: skip
    expect(subprocess.run(command, capture_output=True, text=True, timeout=60).stdout, "2000 records sent")
    tool = "TransactionsCommand"
    expect(jvm.tool(tool, "list"), who, "CompleteCommit")
    expect(jvm.tool(tool, "describe", "--transactional-id", who), who, "CompleteCommit")
    expect(jvm.tool(tool, "describe-producers", "--topic", topic, "--partition", 0), "ProducerId")
    jvm.tool(tool, "find-hanging", "--broker-id", 1)


def abandoned_transactions(jvm):
    """A producer dies with its transaction open; an operator ends it."""
    topic, who, tool = jvm.name("abandoned"), jvm.name("tx"), "TransactionsCommand"
    producer = jvm.start(
        "org.apache.kafka.tools.ProducerPerformance", "--topic", topic, "--num-records", 100000, "--record-size", 100,
        "--throughput", 50, "--transactional-id", who, "--transaction-duration-ms", 600000,
        "--producer-props", f"bootstrap.servers={jvm.address}", "transaction.timeout.ms=600000",
    )  # fmt: skip
    try:
        until(lambda: f"{who}" in jvm.tool(tool, "list") and "Ongoing" in jvm.tool(tool, "list"), 30, "nothing was begun")
    finally:
        producer.kill()
        producer.wait()
    expect(jvm.tool(tool, "describe", "--transactional-id", who), "Ongoing", topic)
    jvm.tool(tool, "forceTerminateTransaction", "--transactionalId", who)
    until(lambda: "Ongoing" not in jvm.tool(tool, "list"), 30, "the transaction is still open")
    said = jvm.tool("GetOffsetShell", "--topic", topic)  # its readers are not held back any longer
    expect(said, topic)


def log_dirs(jvm):
    topic = jvm.name("sized")
    fill(jvm, topic, 100)
    said = jvm.tool("LogDirsCommand", "--describe", "--topic-list", topic)
    described = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    partitions = described["brokers"][0]["logDirs"][0]["partitions"]
    assert len(partitions) == 4 and sum(p["size"] for p in partitions) > 0, described


def delete_records(jvm):
    topic = jvm.name("trimmed")
    jvm.tool("TopicCommand", "--create", "--topic", topic, "--partitions", 1)
    fill(jvm, topic, 100)
    path = jvm.output / "delete-records.json"
    path.write_text(json.dumps({"version": 1, "partitions": [{"topic": topic, "partition": 0, "offset": 40}]}))
    expect(jvm.tool("DeleteRecordsCommand", "--offset-json-file", path), "low_watermark: 40")
    expect(jvm.tool("GetOffsetShell", "--topic", topic, "--time", "earliest"), f"{topic}:0:40")
    path.write_text(json.dumps({"version": 1, "partitions": [{"topic": topic, "partition": 0, "offset": 400}]}))
    expect(jvm.tool("DeleteRecordsCommand", "--offset-json-file", path), "OffsetOutOfRange")


def get_offsets(jvm):
    topic = jvm.name("offsets")
    jvm.tool("TopicCommand", "--create", "--topic", topic, "--partitions", 1)
    fill(jvm, topic, 50)
    for time, offset in (("latest", 50), ("earliest", 0), ("max-timestamp", None), (0, 0), ("earliest-local", 0)):
        said = jvm.tool("GetOffsetShell", "--topic", topic, "--time", time)
        expect(said, f"{topic}:0:" + ("" if offset is None else str(offset)))
    expect(jvm.tool("GetOffsetShell", "--topic-partitions", f"{topic}:0"), f"{topic}:0:50")


def broker_api_versions(jvm):
    said = jvm.tool("BrokerApiVersionsCommand")
    expect(said, "Produce(0):", "Fetch(1):", "ApiVersions(18):")
    assert "UNKNOWN" not in said, said


def cluster_id(jvm):
    """`kafka-cluster.sh`, whose subcommand stands before the address."""
    command = jvm.command("org.apache.kafka.tools.ClusterTool", "cluster-id", "--bootstrap-server", jvm.address)
    expect(subprocess.run(command, capture_output=True, text=True, timeout=60).stdout, "Cluster ID: ")


def leader_election(jvm):
    topic = jvm.name("elected")
    jvm.tool("TopicCommand", "--create", "--topic", topic, "--partitions", 1)
    said = jvm.tool("LeaderElectionCommand", "--topic", topic, "--partition", 0, "--election-type", "preferred")
    expect(said, "Valid replica already elected")


def features(jvm):
    expect(jvm.tool("FeatureCommand", "describe"), "Feature: ")


def metadata_quorum(jvm):
    expect(jvm.tool("MetadataQuorumCommand", "describe", "--status"), "LeaderId:")


def reassignments(jvm):
    jvm.tool("reassign.ReassignPartitionsCommand", "--list")


def acls(jvm):
    topic = jvm.name("guarded")
    jvm.tool("AclCommand", "--add", "--allow-principal", "User:alice", "--operation", "Read", "--topic", topic)
    expect(jvm.tool("AclCommand", "--list", "--topic", topic), "User:alice")
    jvm.tool("AclCommand", "--remove", "--force", "--topic", topic)


def end_to_end_latency(jvm):
    """Its arguments are positional."""
    command = jvm.command("org.apache.kafka.tools.EndToEndLatency", jvm.address, jvm.name("latency"), 200, "all", 1024)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    expect(done.stdout + done.stderr, "Avg latency", "Percentiles")


def client_compatibility(jvm):
    """The program with which Kafka tests its clients against brokers of other versions."""
    topic = jvm.name("compatible")
    jvm.tool("TopicCommand", "--create", "--topic", topic, "--partitions", 1)
    jvm.tool(
        "ClientCompatibilityTest", "--topic", topic, "--offsets-for-times-supported", "true",
        "--cluster-id-supported", "true", "--expect-record-too-large-exception", "false",
        "--num-cluster-nodes", 1, "--create-topics-supported", "true", "--describe-acls-supported", "true",
        "--describe-configs-supported", "true", "--idempotent-producer-supported", "true",
    )  # fmt: skip


TESTS = {
    test.__name__: test
    for test in (
        verifiable_producer, verifiable_consumer, verifiable_consumer_kip848, topics, configs_of_topics,
        configs_of_brokers, configs_of_users, configs_of_quotas, consumer_groups, groups, transactions,
        abandoned_transactions, log_dirs, delete_records, get_offsets, broker_api_versions, cluster_id, leader_election, features, metadata_quorum,
        reassignments, acls, end_to_end_latency, client_compatibility,
    )  # fmt: skip
}
