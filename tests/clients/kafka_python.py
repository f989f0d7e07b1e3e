"""kafka-python against LAKEHEAD_KAFKA."""

import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from common import ADDRESS, Member, check, name, run, until


def produce(topic, values, partition=None, **settings):
    producer = KafkaProducer(bootstrap_servers=ADDRESS, **settings)
    futures = [producer.send(topic, value, partition=partition) for value in values]
    producer.flush(30)
    offsets = [f.get(30).offset for f in futures]
    producer.close()
    return offsets


def consume(topic, count, group=None, seconds=30):
    consumer = KafkaConsumer(
        topic, bootstrap_servers=ADDRESS, group_id=group, auto_offset_reset="earliest", consumer_timeout_ms=seconds * 1000
    )
    got = []
    for message in consumer:
        got.append(message)
        if len(got) == count:
            break
    consumer.close()
    check(len(got) == count, f"{topic}: {len(got)} of {count} records")
    return got


def codecs():
    for codec in [None, "gzip", "snappy", "lz4", "zstd"]:
        topic = name(f"codec-{codec}")
        values = [f"{codec} {i} {'x' * 200}".encode() for i in range(500)]
        produce(topic, values, compression_type=codec)
        check({m.value for m in consume(topic, len(values))} == set(values), codec)


def idempotence():
    topic = name("idempotent")
    offsets = produce(topic, [str(i).encode() for i in range(3000)], partition=0, enable_idempotence=True)
    check(offsets == list(range(3000)), "dense offsets")


def acks():
    topic = name("acks")
    for acks in [0, 1, "all"]:
        produce(topic, [b"x"] * 50, partition=0, acks=acks, enable_idempotence=False)
    check(len(consume(topic, 150)) == 150, "all acks")


def groups():
    topic, group = name("group"), name("readers")
    produce(topic, [str(i).encode() for i in range(200)])
    consume(topic, 200, group=group)
    more = [b"more"] * 10
    produce(topic, more)
    check([m.value for m in consume(topic, 10, group=group)] == more, "goes on where it stopped")


def seek_by_time():
    topic = name("time")
    producer = KafkaProducer(bootstrap_servers=ADDRESS)
    start = int(time.time() * 1000) - 1_000_000
    for i in range(1000):
        producer.send(topic, str(i).encode(), partition=0, timestamp_ms=start + i * 10)
    producer.flush(30)
    place = TopicPartition(topic, 0)
    consumer = KafkaConsumer(bootstrap_servers=ADDRESS)
    check(consumer.offsets_for_times({place: start + 4991})[place].offset == 500, "offset by time")
    check(consumer.offsets_for_times({place: start + 10_000})[place] is None, "the end")
    check(consumer.end_offsets([place])[place] == 1000, "end")
    consumer.assign([place])
    consumer.seek(place, 500)
    check(next(consumer).value == b"500", "seek")
    consumer.close()


def member(group, topic):
    consumer = KafkaConsumer(topic, bootstrap_servers=ADDRESS, group_id=group, session_timeout_ms=6000, heartbeat_interval_ms=1000)
    last = None
    while True:
        consumer.poll(200)
        now = sorted(p.partition for p in consumer.assignment())
        if now and now != last:
            print("assigned", *now, flush=True)
            last = now


def rebalance_after_kill():
    topic, group = name("rebalance"), name("pair")
    KafkaAdminClient(bootstrap_servers=ADDRESS).create_topics([NewTopic(topic, 4, 1)])
    consumer = KafkaConsumer(topic, bootstrap_servers=ADDRESS, group_id=group, session_timeout_ms=6000, heartbeat_interval_ms=1000)
    mine = lambda: consumer.poll(200) and None or sorted(p.partition for p in consumer.assignment())
    until(30, "alone", lambda: mine() == [0, 1, 2, 3])
    second = Member(__file__, group, topic)
    until(40, "share", lambda: len(mine()) == 2)
    second.kill()
    until(40, "all back", lambda: mine() == [0, 1, 2, 3])
    consumer.close()


def admin():
    client = KafkaAdminClient(bootstrap_servers=ADDRESS)
    topic = name("admin")
    client.create_topics([NewTopic(topic, 3, 1)])
    check(topic in client.list_topics(), "listed")
    produce(topic, [b"x"] * 5, partition=0)
    group = name("admin-group")
    consume(topic, 5, group=group)
    offsets = client.list_group_offsets(group) if hasattr(client, "list_group_offsets") else client.list_consumer_group_offsets(group)
    check(offsets, "group offsets")
    client.delete_topics([topic])
    check(topic not in client.list_topics(), "deleted")
    client.close()


if __name__ == "__main__":
    run(__file__, [codecs, idempotence, acks, groups, seek_by_time, admin, rebalance_after_kill], member)
