"""The log as a whole node keeps it: compaction, quotas and the consumer protocol of KIP-848, by real clients."""

import socket
import struct
import time

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from conftest import SqlError, eventually


def topic(node, name, partitions=1, **config):
    admin = AdminClient({"bootstrap.servers": node.kafka})
    admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result(30)


def produce(node, name, records, **options):
    refused = []
    producer = Producer({"bootstrap.servers": node.kafka, "linger.ms": 5, **options})
    for key, value in records:
        producer.produce(name, value, key=key, on_delivery=lambda error, _: refused.extend([error] if error else []))
        producer.poll(0)
    assert producer.flush(60) == 0 and not refused, refused[:1]


def set_quota(node, client, quota, value):
    """AlterClientQuotas, version 0, by hand: none of the Python clients can."""
    text = lambda text: struct.pack(">h", len(text)) + text.encode()
    entity = struct.pack(">i", 1) + text("client-id") + text(client)
    ops = struct.pack(">i", 1) + text(quota) + struct.pack(">d?", value, False)
    request = struct.pack(">hhi", 49, 0, 1) + text("test") + struct.pack(">i", 1) + entity + ops + b"\0"
    host, port = node.kafka.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as stream:
        stream.sendall(struct.pack(">i", len(request)) + request)
        answer = stream.recv(4096)
    _length, _correlation, _throttle, entries, code = struct.unpack_from(">iiiih", answer)
    assert (entries, code) == (1, 0), answer


def read(node, name):
    """Keys and values that are left, in order."""
    consumer = Consumer({"bootstrap.servers": node.kafka, "group.id": "r", "enable.auto.commit": False, "enable.partition.eof": True})
    consumer.assign([TopicPartition(name, 0, 0)])
    found = []
    while True:
        message = consumer.poll(20)
        assert message is not None
        if message.error():
            consumer.close()
            return found
        found.append((message.key(), message.value()))


def test_a_compacted_topic_keeps_the_last_of_each_key_and_its_table_keeps_all(make_node):
    node = make_node().start()
    topic(node, "state", **{"cleanup.policy": "compact", "segment.bytes": "16384", "min.cleanable.dirty.ratio": "0.01"})
    rounds = [(b"k%d" % (n % 10), b'{"k": %d, "n": %d}' % (n % 10, n)) for n in range(3000)]
    produce(node, "state", rounds, **{"batch.size": 4000})
    eventually(lambda: node.in_table("state") == 3000, seconds=60)

    def compacted():
        # New records close segments, and hand them on.
        produce(node, "state", rounds[:200], **{"batch.size": 4000})
        return len(read(node, "state")) < 2000

    eventually(compacted, seconds=120)
    node.kill()
    node.start()
    left = read(node, "state")
    last = {}
    for key, value in left:
        last[key] = value
    assert last == dict(rounds[190:200])
    assert node.value("SELECT count(*) FROM state WHERE n < 3000") >= 3000


def test_whoever_is_over_a_quota_waits_and_nobody_else(make_node):
    node = make_node().start()
    topic(node, "t")
    set_quota(node, "greedy", "producer_byte_rate", 100_000)
    records = [(b"k", b"x" * 10_000)] * 200  # ten seconds' worth, and as much again
    start = time.monotonic()
    produce(node, "t", records, **{"client.id": "modest"})
    quick = time.monotonic() - start
    start = time.monotonic()
    produce(node, "t", records, **{"client.id": "greedy", "batch.size": 50_000})
    slow = time.monotonic() - start
    assert slow > 5 > quick, (slow, quick)


def test_members_of_the_consumer_protocol_share_the_partitions(make_node):
    node = make_node().start()
    topic(node, "shared", partitions=6)
    options = {"bootstrap.servers": node.kafka, "group.id": "g", "group.protocol": "consumer", "auto.offset.reset": "earliest"}
    first, second = Consumer(options), Consumer(options)
    first.subscribe(["shared"])
    eventually(lambda: first.poll(0.1) or len(first.assignment()) == 6)
    second.subscribe(["shared"])

    def even():
        for consumer in (first, second):
            consumer.poll(0.1)
        return [len(first.assignment()), len(second.assignment())] == [3, 3]

    eventually(even, seconds=60)
    node.kill()
    node.start()
    produce(node, "shared", [(b"%d" % n, b"v") for n in range(100)])
    seen = []

    def all_read():
        for consumer in (first, second):
            seen.extend(message for message in consumer.consume(100, 0.2) if not message.error())
        return len(seen) >= 100

    eventually(all_read, seconds=60)
    assert [len(first.assignment()), len(second.assignment())] == [3, 3], "a restart moves nobody"
    first.close()
    eventually(lambda: second.poll(0.1) or len(second.assignment()) == 6, seconds=60)
    second.close()


def test_sql_leaves_alone_what_lakehead_keeps(node):
    """Offsets, rules and the like: no door makes, writes or removes their topics."""
    topic(node, "committed")
    consumer = Consumer({"bootstrap.servers": node.kafka, "group.id": "keeper"})
    consumer.commit(offsets=[TopicPartition("committed", 0, 0)], asynchronous=False)
    consumer.close()
    for statement in (
        'DROP TOPIC "__consumer_offsets"',
        'DROP STREAM "__consumer_offsets" DELETE TOPIC',
        "INSERT INTO \"__consumer_offsets\" (value) VALUES ('forged')",
        "CREATE STREAM mine (a VARCHAR) WITH (KAFKA_TOPIC='__acls', VALUE_FORMAT='JSON', PARTITIONS=4, RETENTION_MS='1')",
    ):
        with pytest.raises(SqlError) as refused:
            node.sql(statement)
        assert refused.value.code == "LH0171", (statement, refused.value)
