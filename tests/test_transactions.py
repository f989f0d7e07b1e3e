"""Transactions, by real clients: what counts together, what is hidden, who is fenced. What kills leave: test_exactly_once.py."""

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from conftest import eventually


def transactional(node, id, **options):
    producer = Producer({"bootstrap.servers": node.kafka, "transactional.id": id, "linger.ms": 1, "reconnect.backoff.max.ms": 200, **options})
    producer.init_transactions(60)
    return producer


def topics(node, *names, partitions=1):
    admin = AdminClient({"bootstrap.servers": node.kafka})
    for future in admin.create_topics([NewTopic(name, partitions, 1) for name in names]).values():
        future.result(30)


def read(node, topic, isolation, partitions=1):
    """Values in the order of their offsets, partition after partition, up to what the isolation lets see."""
    consumer = Consumer({"bootstrap.servers": node.kafka, "group.id": "reader", "isolation.level": isolation, "enable.partition.eof": True,
                         "auto.offset.reset": "earliest", "fetch.wait.max.ms": 50})
    consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
    values, ended = [[] for _ in range(partitions)], set()
    while len(ended) < partitions:
        message = consumer.poll(10)
        assert message is not None, "the end of the partition was not told"
        if message.error():
            ended.add(message.partition())
        else:
            values[message.partition()].append(message.value().decode())
    consumer.close()
    return sum(values, [])


def test_what_is_aborted_is_never_seen_and_what_is_open_not_yet(node):
    topics(node, "orders", "payments")
    producer = transactional(node, "shop")
    for number, end in [(1, producer.commit_transaction), (2, producer.abort_transaction), (3, producer.commit_transaction)]:
        producer.begin_transaction()
        for topic in ("orders", "payments"):
            producer.produce(topic, f'{{"n": {number}}}')
        producer.flush(30)
        seen = read(node, "orders", "read_committed")
        assert f'{{"n": {number}}}' not in seen
        assert f'{{"n": {number}}}' in read(node, "orders", "read_uncommitted")
        end(30)
    for topic in ("orders", "payments"):
        assert read(node, topic, "read_committed") == ['{"n": 1}', '{"n": 3}']
        # SQL and the table are committed readers.
        assert node.sql(f"SELECT n FROM {topic} ORDER BY _offset") == [[1], [3]]
        eventually(lambda: node.in_table(topic) == 2, seconds=30)
        assert node.sql(f"SELECT n FROM {topic} ORDER BY _offset") == [[1], [3]]
    assert node.run("consume", "orders", "-b", "-e").stdout == '{"n": 1}\n{"n": 3}\n'
    # What is open holds back all that comes behind it, until it ends.
    producer.begin_transaction()
    producer.produce("orders", '{"n": 4}')
    producer.flush(30)
    plain = Producer({"bootstrap.servers": node.kafka})
    plain.produce("orders", '{"n": 5}')
    plain.flush(30)
    assert node.value("SELECT count(*) FROM orders") == 2
    producer.commit_transaction(30)
    assert node.sql("SELECT n FROM orders ORDER BY _offset") == [[1], [3], [4], [5]]


def test_a_second_producer_fences_the_first(node):
    topics(node, "fenced")
    first = transactional(node, "only-one")
    first.begin_transaction()
    first.produce("fenced", "lost")
    first.flush(30)
    second = transactional(node, "only-one")
    second.begin_transaction()
    second.produce("fenced", "kept")
    second.commit_transaction(30)
    with pytest.raises(KafkaException) as caught:
        first.commit_transaction(30)
    assert caught.value.args[0].fatal()
    assert read(node, "fenced", "read_committed") == ["kept"]


def test_a_transaction_that_takes_too_long_is_aborted(node):
    topics(node, "slow")
    producer = transactional(node, "sleeper", **{"transaction.timeout.ms": 1000})
    producer.begin_transaction()
    producer.produce("slow", "late")
    producer.flush(30)
    plain = Producer({"bootstrap.servers": node.kafka})
    plain.produce("slow", "plain")
    plain.flush(30)
    eventually(lambda: read(node, "slow", "read_committed") == ["plain"], seconds=30)
    with pytest.raises(KafkaException):
        producer.commit_transaction(30)
