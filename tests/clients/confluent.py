"""confluent-kafka (the newest librdkafka) against LAKEHEAD_KAFKA."""

import time

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from common import ADDRESS, Member, check, name, run, until

BASE = {"bootstrap.servers": ADDRESS}


def produce(topic, values, partition=None, **settings):
    failed = []
    producer = Producer({**BASE, **{k.replace("_", "."): v for k, v in settings.items()}})
    for i, value in enumerate(values):
        where = {} if partition is None else {"partition": partition}
        while True:
            try:
                producer.produce(topic, value, key=str(i), on_delivery=lambda e, m: e and failed.append(e), **where)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    check(producer.flush(30) == 0, "flush")
    check(not failed, f"delivery: {failed[:1]}")


def consume(topic, count, group=None, seconds=30):
    consumer = Consumer({**BASE, "group.id": group or name("reader"), "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    got = []
    end = time.monotonic() + seconds
    while len(got) < count and time.monotonic() < end:
        for message in consumer.consume(500, timeout=0.5):
            check(message.error() is None, f"message: {message.error()}")
            got.append(message)
    consumer.close()
    check(len(got) == count, f"{topic}: {len(got)} of {count} records")
    return got


def codecs():
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
        topic = name(f"codec-{codec}")
        values = [f"{codec} {i} {'x' * 200}".encode() for i in range(2000)]
        produce(topic, values, compression_type=codec)
        check({m.value() for m in consume(topic, len(values))} == set(values), codec)


def headers_and_nulls():
    topic = name("headers")
    producer = Producer(BASE)
    producer.produce(topic, None, key="k", headers=[("a", b"1"), ("b", None)])
    check(producer.flush(30) == 0, "flush")
    message = consume(topic, 1)[0]
    check(message.value() is None and message.headers() == [("a", b"1"), ("b", None)], message.headers())


def idempotence():
    topic = name("idempotent")
    values = [str(i).encode() for i in range(20000)]
    produce(topic, values, partition=0, enable_idempotence=True, linger_ms=1)
    got = consume(topic, len(values))
    check([m.value() for m in got] == values, "order")
    check([m.offset() for m in got] == list(range(len(values))), "dense offsets")


def large_records():
    topic = name("large")
    value = b"y" * 900_000
    produce(topic, [value] * 5)
    check(all(m.value() == value for m in consume(topic, 5)), "large values")
    try:
        producer = Producer({**BASE, "message.max.bytes": 5_000_000})
        failed = []
        producer.produce(topic, b"z" * 3_000_000, on_delivery=lambda e, m: failed.append(e))
        producer.flush(30)
        check(failed and failed[0] and failed[0].name() == "MSG_SIZE_TOO_LARGE", f"too large: {failed}")
    except KafkaException as error:
        check(False, f"too large: {error}")


def seek_by_time():
    topic = name("time")
    producer = Producer(BASE)
    start = int(time.time() * 1000) - 1_000_000
    for i in range(1000):
        producer.produce(topic, str(i), partition=0, timestamp=start + i * 10)
    check(producer.flush(30) == 0, "flush")
    consumer = Consumer({**BASE, "group.id": name("seek")})
    for wanted, expected in [(start, 0), (start + 4991, 500), (start + 9990, 999), (start - 5, 0)]:
        found = consumer.offsets_for_times([TopicPartition(topic, 0, wanted)], timeout=10)[0].offset
        check(found == expected, f"offset at {wanted - start}: {found}, not {expected}")
    check(consumer.offsets_for_times([TopicPartition(topic, 0, start + 10_000)], timeout=10)[0].offset == -1, "the end")
    check(consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10) == (0, 1000), "watermarks")
    consumer.assign([TopicPartition(topic, 0, 500)])
    check(until(10, "seek", lambda: consumer.poll(1)).value() == b"500", "seek")
    consumer.close()


def commits():
    topic, group = name("commits"), name("committers")
    produce(topic, [b"x"] * 10, partition=0)
    settings = {**BASE, "group.id": group, "enable.auto.commit": False}
    consumer = Consumer(settings)
    consumer.commit(offsets=[TopicPartition(topic, 0, 7, metadata="sieben")], asynchronous=False)
    found = consumer.committed([TopicPartition(topic, 0), TopicPartition(topic, 1)], timeout=10)
    check((found[0].offset, found[0].metadata, found[1].offset) == (7, "sieben", -1001), f"committed: {found}")
    consumer.close()
    consumer = Consumer({**settings, "auto.offset.reset": "error"})
    consumer.subscribe([topic])
    message = until(30, "resume", lambda: consumer.poll(1))
    check(message.offset() == 7 or message.error(), f"resumed at {message.offset()}")
    consumer.close()


def member(group, topic):
    consumer = Consumer({**BASE, "group.id": group, "session.timeout.ms": 6000, "auto.offset.reset": "earliest"})
    say = lambda c, partitions: print("assigned", *[p.partition for p in partitions], flush=True)
    consumer.subscribe([topic], on_assign=say)
    while True:
        consumer.poll(0.2)


def rebalance_after_kill():
    topic, group = name("rebalance"), name("pair")
    client = AdminClient(BASE)
    client.create_topics([NewTopic(topic, 4, 1)])[topic].result(10)
    mine = []
    consumer = Consumer({**BASE, "group.id": group, "session.timeout.ms": 6000, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic], on_assign=lambda c, ps: mine.append(sorted(p.partition for p in ps)))
    until(30, "alone", lambda: consumer.poll(0.2) or mine)
    check(mine[-1] == [0, 1, 2, 3], f"alone: {mine}")
    second = Member(__file__, group, topic)
    until(40, "share", lambda: consumer.poll(0.2) or len(mine[-1]) == 2)
    check(len(second.wait_assigned()) == 2, "the other half")
    second.kill()
    until(40, "all back", lambda: consumer.poll(0.2) or mine[-1] == [0, 1, 2, 3])
    consumer.close()


def settle(consumers, wanted, what, seconds=40):
    """Polls all until their numbers of partitions are `wanted`."""

    def probe():
        for consumer in consumers:
            consumer.poll(0.1)
        return sorted(len(c.assignment()) for c in consumers) == sorted(wanted)

    until(seconds, what, probe)


def cooperative():
    topic, group = name("cooperative"), name("sharers")
    client = AdminClient(BASE)
    client.create_topics([NewTopic(topic, 6, 1)])[topic].result(10)
    settings = {**BASE, "group.id": group, "partition.assignment.strategy": "cooperative-sticky"}
    consumers = []
    for count, wanted in [(1, [6]), (2, [3, 3]), (3, [2, 2, 2])]:
        consumers.append(Consumer(settings))
        consumers[-1].subscribe([topic])
        settle(consumers, wanted, f"{count} share")
    consumers.pop().close()
    settle(consumers, [3, 3], "two again")
    for consumer in consumers:
        consumer.close()


def static_members():
    topic, group = name("static"), name("residents")
    client = AdminClient(BASE)
    client.create_topics([NewTopic(topic, 4, 1)])[topic].result(10)
    settings = lambda who: {**BASE, "group.id": group, "group.instance.id": who, "session.timeout.ms": 30000}
    a, b = Consumer(settings("a")), Consumer(settings("b"))
    revoked = []
    a.subscribe([topic], on_revoke=lambda c, partitions: revoked.append(partitions))
    b.subscribe([topic])
    settle([a, b], [2, 2], "both")
    before, had = len(revoked), {p.partition for p in b.assignment()}
    b.close()
    b = Consumer(settings("b"))
    b.subscribe([topic])
    settle([a, b], [2, 2], "back")
    check({p.partition for p in b.assignment()} == had, "the same partitions")
    check(len(revoked) == before, "the other noticed nothing")
    a.close()
    b.close()


def wakes_at_once():
    topic = name("latency")
    produce(topic, [b"first"], partition=0)
    consumer = Consumer({**BASE, "group.id": name("waiter"), "fetch.wait.max.ms": 5000})
    consumer.assign([TopicPartition(topic, 0, 1)])
    consumer.poll(1)
    producer = Producer({**BASE, "linger.ms": 0})
    times = []
    for _ in range(20):
        time.sleep(0.05)
        began = time.monotonic()
        producer.produce(topic, b"x", partition=0)
        producer.poll(0)
        until(10, "a record", lambda: consumer.poll(0.5))
        times.append(time.monotonic() - began)
    producer.flush(10)
    median = sorted(times)[10]
    check(median < 0.25, f"end to end in {median * 1000:.0f} ms")
    consumer.close()


def admin():
    client = AdminClient(BASE)
    topic = name("admin")
    created = client.create_topics([NewTopic(topic, 3, 1, config={"retention.ms": "3600000"})])
    created[topic].result(10)
    again = client.create_topics([NewTopic(topic, 3, 1)])[topic].exception(10)
    check(again.args[0].name() == "TOPIC_ALREADY_EXISTS", f"again: {again}")
    wrong = client.create_topics([NewTopic(name("wrong"), 3, 3)])[name("wrong")].exception(10)
    check(wrong.args[0].name() == "INVALID_REPLICATION_FACTOR", f"wrong: {wrong}")
    client.create_partitions([NewPartitions(topic, 5)])[topic].result(10)
    check(len(client.list_topics(topic, timeout=10).topics[topic].partitions) == 5, "partitions")

    resource = ConfigResource(ResourceType.TOPIC, topic)
    config = client.describe_configs([resource])[resource].result(10)
    check(config["retention.ms"].value == "3600000" and config["cleanup.policy"].value == "delete", "configs")
    entry = ConfigEntry("retention.ms", "7200000", incremental_operation=AlterConfigOpType.SET)
    client.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])])[resource].result(10)
    check(client.describe_configs([resource])[resource].result(10)["retention.ms"].value == "7200000", "altered")
    entry = ConfigEntry("nonsense", "1", incremental_operation=AlterConfigOpType.SET)
    bad = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    error = client.incremental_alter_configs([bad])[resource].exception(10)
    check(error.args[0].name() == "INVALID_CONFIG", f"nonsense: {error}")
    broker = ConfigResource(ResourceType.BROKER, "1")
    check("num.partitions" in client.describe_configs([broker])[broker].result(10), "broker configs")
    check(client.describe_cluster().result(10).controller is not None, "cluster")

    produce(topic, [b"x"] * 100, partition=0)
    place = TopicPartition(topic, 0)
    latest = lambda spec: client.list_offsets({place: spec})[place].result(10).offset
    check((latest(OffsetSpec.earliest()), latest(OffsetSpec.latest())) == (0, 100), "list offsets")
    client.delete_records([TopicPartition(topic, 0, 40)])[place].result(10)
    check(latest(OffsetSpec.earliest()) == 40, "records deleted")

    group = name("admin-group")
    consume(topic, 60, group=group)
    check(group in [g.group_id for g in client.list_consumer_groups().result(10).valid], "list groups")
    described = client.describe_consumer_groups([group])[group].result(10)
    check(described.state.name == "EMPTY", f"describe group: {described.state}")
    asked = ConsumerGroupTopicPartitions(group, [place])
    offsets = client.list_consumer_group_offsets([asked])[group].result(10)
    check(offsets.topic_partitions[0].offset == 100, "group offsets")
    moved = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 50)])
    client.alter_consumer_group_offsets([moved])[group].result(10)
    client.delete_consumer_groups([group])[group].result(10)
    check(group not in [g.group_id for g in client.list_consumer_groups().result(10).valid], "group deleted")
    client.delete_topics([topic])[topic].result(10)
    check(topic not in client.list_topics(timeout=10).topics, "topic deleted")


def read_from_start(topic):
    """Everything a committed reader sees: (offset, key, value)."""
    consumer = Consumer({**BASE, "group.id": name("reader"), "enable.partition.eof": True, "check.crcs": True})
    consumer.assign([TopicPartition(topic, 0, 0)])
    got = []
    while True:
        message = consumer.poll(10)
        check(message is not None, f"{topic}: no answer")
        if message.error():
            check(message.error().name() == "_PARTITION_EOF", f"{topic}: {message.error()}")
            consumer.close()
            return got
        got.append((message.offset(), message.key(), message.value()))


def compaction():
    """As librdkafka's test 0077: what is left after a while is the last value of each key, and tombstones go."""
    topic = name("compacted")
    config = {"cleanup.policy": "compact", "segment.ms": "2000", "delete.retention.ms": "3000"}
    client = AdminClient(BASE)
    client.create_topics([NewTopic(topic, 1, 1, config=config)])[topic].result(10)
    expected, failed = {}, []
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
        producer = Producer({**BASE, "enable.idempotence": True, "compression.type": codec})
        for i in range(2000):
            key, value = f"key {i % 50}".encode(), f"{codec} {i}".encode()
            producer.produce(topic, value, key=key, on_delivery=lambda e, m: e and failed.append(e))
            expected[key] = value
        for i in range(0, 50, 5):
            producer.produce(topic, None, key=f"key {i}".encode(), on_delivery=lambda e, m: e and failed.append(e))
            del expected[f"key {i}".encode()]
        check(producer.flush(30) == 0 and not failed, f"delivery: {failed[:1]}")
    producer.produce(topic, b"no key", on_delivery=lambda e, m: e and failed.append(e))
    producer.flush(30)
    check([e.name() for e in failed] == ["INVALID_RECORD"], f"without a key: {failed}")

    def is_compacted():
        got = read_from_start(topic)
        last = {}
        for _, key, value in got:
            last[key] = value
        check({k: v for k, v in last.items() if v is not None} == expected, "the last values are what they were")
        check([o for o, _, _ in got] == sorted(o for o, _, _ in got), "offsets rise")
        time.sleep(1)
        return len(got) == len(expected)

    # A node first brings the records to the topic's table.
    until(300, "all of it is compacted, tombstones are gone", is_compacted)


if __name__ == "__main__":
    tests = [codecs, headers_and_nulls, idempotence, large_records, seek_by_time, wakes_at_once, commits, admin]
    run(__file__, tests + [cooperative, static_members, rebalance_after_kill, compaction], member)
