"""aiokafka, whose API versions are the oldest in use, against LAKEHEAD_KAFKA."""

import asyncio
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from common import ADDRESS, Member, check, name, run, until


async def produce(topic, values, partition=None, **settings):
    async with AIOKafkaProducer(bootstrap_servers=ADDRESS, **settings) as producer:
        sent = [await producer.send(topic, value, partition=partition) for value in values]
        return [(await future).offset for future in sent]


async def consume(topic, count, group=None, seconds=30):
    got = []
    async with AIOKafkaConsumer(topic, bootstrap_servers=ADDRESS, group_id=group, auto_offset_reset="earliest") as consumer:
        end = time.monotonic() + seconds
        while len(got) < count and time.monotonic() < end:
            for messages in (await consumer.getmany(timeout_ms=500)).values():
                got.extend(messages)
    check(len(got) == count, f"{topic}: {len(got)} of {count} records")
    return got


def asynchronous(test):
    def synchronous():
        asyncio.run(test())

    synchronous.__name__ = test.__name__
    return synchronous


@asynchronous
async def codecs():
    for codec in [None, "gzip", "snappy", "lz4", "zstd"]:
        topic = name(f"codec-{codec}")
        values = [f"{codec} {i} {'x' * 200}".encode() for i in range(500)]
        await produce(topic, values, compression_type=codec)
        check({m.value for m in await consume(topic, len(values))} == set(values), codec)


@asynchronous
async def idempotence():
    offsets = await produce(name("idempotent"), [str(i).encode() for i in range(3000)], partition=0, enable_idempotence=True)
    check(offsets == list(range(3000)), "dense offsets")


@asynchronous
async def transactions():
    topic, group = name("transactions"), name("copier")
    here = TopicPartition(topic, 0)
    await produce(topic, [b"plain"], partition=0)
    async with AIOKafkaProducer(bootstrap_servers=ADDRESS, transactional_id=name("id")) as producer:
        for value, commits in [(b"committed", True), (b"aborted", False), (b"again", True)]:
            await producer.begin_transaction()
            await producer.send_and_wait(topic, value, partition=0)
            await producer.send_offsets_to_transaction({here: 7 if commits else 9}, group)
            await (producer.commit_transaction() if commits else producer.abort_transaction())
    for isolation, expected in [("read_committed", [b"plain", b"committed", b"again"]),
                                ("read_uncommitted", [b"plain", b"committed", b"aborted", b"again"])]:
        got = []
        async with AIOKafkaConsumer(bootstrap_servers=ADDRESS, isolation_level=isolation, group_id=group) as consumer:
            consumer.assign([here])
            check(await consumer.committed(here) == 7, "the offset of the transaction that committed")
            await consumer.seek_to_beginning(here)
            end = time.monotonic() + 30
            while len(got) < len(expected) and time.monotonic() < end:
                got += [m.value for messages in (await consumer.getmany(timeout_ms=500)).values() for m in messages]
        check(got == expected, f"{isolation}: {got}")


@asynchronous
async def groups():
    topic, group = name("group"), name("readers")
    await produce(topic, [str(i).encode() for i in range(200)])
    await consume(topic, 200, group=group)
    await produce(topic, [b"more"] * 10)
    check([m.value for m in await consume(topic, 10, group=group)] == [b"more"] * 10, "goes on where it stopped")


@asynchronous
async def seek_by_time():
    topic, place = name("time"), TopicPartition(name("time"), 0)
    start = int(time.time() * 1000) - 1_000_000
    async with AIOKafkaProducer(bootstrap_servers=ADDRESS) as producer:
        for i in range(1000):
            await producer.send(topic, str(i).encode(), partition=0, timestamp_ms=start + i * 10)
    async with AIOKafkaConsumer(topic, bootstrap_servers=ADDRESS) as consumer:
        found = await consumer.offsets_for_times({place: start + 4991})
        check(found[place].offset == 500, "offset by time")
        consumer.seek(place, 500)
        check((await consumer.getone()).value == b"500", "seek")


@asynchronous
async def admin():
    client = AIOKafkaAdminClient(bootstrap_servers=ADDRESS)
    await client.start()
    topic = name("admin")
    await client.create_topics([NewTopic(topic, 3, 1)])
    check(topic in await client.list_topics(), "listed")
    await client.delete_topics([topic])
    check(topic not in await client.list_topics(), "deleted")
    await client.list_consumer_groups()
    await client.close()


def member(group, topic):
    async def read():
        settings = {"session_timeout_ms": 6000, "heartbeat_interval_ms": 1000}
        async with AIOKafkaConsumer(topic, bootstrap_servers=ADDRESS, group_id=group, **settings) as consumer:
            last = None
            while True:
                await consumer.getmany(timeout_ms=200)
                now = sorted(p.partition for p in consumer.assignment())
                if now and now != last:
                    print("assigned", *now, flush=True)
                    last = now

    asyncio.run(read())


@asynchronous
async def rebalance_after_kill():
    topic, group = name("rebalance"), name("pair")
    client = AIOKafkaAdminClient(bootstrap_servers=ADDRESS)
    await client.start()
    await client.create_topics([NewTopic(topic, 4, 1)])
    await client.close()
    settings = {"session_timeout_ms": 6000, "heartbeat_interval_ms": 1000}
    async with AIOKafkaConsumer(topic, bootstrap_servers=ADDRESS, group_id=group, **settings) as consumer:

        async def settle(seconds, what, count):
            end = time.monotonic() + seconds
            while len(consumer.assignment()) != count:
                check(time.monotonic() < end, what)
                await consumer.getmany(timeout_ms=200)

        await settle(30, "alone", 4)
        second = Member(__file__, group, topic)
        await settle(40, "share", 2)
        second.kill()
        await settle(40, "all back", 4)


if __name__ == "__main__":
    run(__file__, [codecs, idempotence, transactions, groups, seek_by_time, admin, rebalance_after_kill], member)
