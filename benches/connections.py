"""What many clients cost that do nothing: 5,000 idle connections, and 500 groups with a member each that says every three seconds
that it is there. Resident memory of the node, and acknowledgement times of one active producer, before and with them.

The idle clients live in a process of their own, so that the producer's clock is not theirs. With `--address` and `--pid` a broker
is measured that runs already, for example `cargo run --release -p broker --example serve`.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import resource
import statistics
import struct
import time

from acks import ack_times
from common import BROKER_ONLY, Lakehead, percentile, rss_mb, table
from confluent_kafka.admin import AdminClient, NewTopic

JOIN_GROUP, HEARTBEAT, SYNC_GROUP, API_VERSIONS = 11, 12, 14, 18
HEARTBEAT_SECONDS = 3
# Connections that are opened at a time: the queue of those not yet accepted is short.
AT_ONCE = 100


def text(value):
    return struct.pack(">h", len(value)) + value.encode()


async def ask(stream, key, version, body=b""):
    reader, writer = stream
    frame = struct.pack(">hhi", key, version, 7) + text("idle") + body
    writer.write(struct.pack(">i", len(frame)) + frame)
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    return (await reader.readexactly(size))[4:]


async def connect(address):
    host, port = address.rsplit(":", 1)
    # 4 KB: what a client in Python keeps for itself is not to be measured, but has to fit.
    return await asyncio.open_connection(host, int(port), limit=4096)


async def idle(address, turn):
    async with turn:
        stream = await connect(address)
        await ask(stream, API_VERSIONS, 0)
    return stream


async def member(address, group, turn):
    """Joins a group of its own, and gives what keeps it alive."""
    async with turn:
        stream = await connect(address)
        protocols = struct.pack(">i", 1) + text("range") + struct.pack(">i", 0)
        join = text(group) + struct.pack(">ii", 30_000, 30_000) + text("") + text("consumer") + protocols
        joined = await ask(stream, JOIN_GROUP, 2, join)
        error, generation = struct.unpack_from(">hi", joined, 4)
        if error:
            raise SystemExit(f"JoinGroup was answered with error {error}")
        at = 4 + 2 + 4
        names = []
        for _ in range(3):  # protocol, leader, member
            (length,) = struct.unpack_from(">h", joined, at)
            names.append(joined[at + 2 : at + 2 + length].decode())
            at += 2 + length
        who = text(group) + struct.pack(">i", generation) + text(names[2])
        synced = await ask(stream, SYNC_GROUP, 1, who + struct.pack(">i", 1) + text(names[2]) + struct.pack(">i", 0))
        if (error := struct.unpack_from(">h", synced, 4)[0]) != 0:
            raise SystemExit(f"SyncGroup was answered with error {error}")

    async def live():
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            beat = await ask(stream, HEARTBEAT, 1, who)
            if (error := struct.unpack_from(">h", beat, 4)[0]) != 0:
                raise SystemExit(f"Heartbeat was answered with error {error}")

    return live()


def hold(address, connections, groups, ready):
    """Opens everything, says so, and keeps it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    async def run():
        turn = asyncio.Semaphore(AT_ONCE)
        streams = await asyncio.gather(*(idle(address, turn) for _ in range(connections)))
        members = await asyncio.gather(*(member(address, f"idle-{n}", turn) for n in range(groups)))
        ready.send(len(streams) + len(members))
        try:
            ends = [stream[0].read(1) for stream in streams]
            await asyncio.gather(*ends, *members)
            raise SystemExit("the broker closed an idle connection")
        finally:
            ready.send(None)

    asyncio.run(run())


@contextlib.contextmanager
def idle_clients(address, connections, groups=0):
    """Has them open while it lasts; gives how many there are."""
    ready, theirs = multiprocessing.Pipe()
    spawned = multiprocessing.get_context("spawn")
    holder = spawned.Process(target=hold, args=(address, connections, groups, theirs), daemon=True)
    holder.start()
    theirs.close()
    try:
        yield ready.recv()
        if not holder.is_alive() or ready.poll():
            raise SystemExit("the idle clients did not last")
    finally:
        holder.terminate()
        holder.join()


def producer(address, options):
    """Median over the rounds of p50 and p99: a host that pauses for a moment spoils a round."""
    rounds = []
    for _ in range(options.rounds):
        took = ack_times(address, "active", 1, 1024, options.mb_s, options.seconds)
        rounds.append([percentile(took, share) for share in (0.5, 0.99)])
    return [statistics.median(column) for column in zip(*rounds)]


def measure(address, pid, options):
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    admin.create_topics([NewTopic("active", 1, 1)])["active"].result(60)
    ack_times(address, "active", 1, 1024, options.mb_s, options.seconds)  # warm
    before = [rss_mb(pid), *producer(address, options)]
    began = time.perf_counter()
    with idle_clients(address, options.connections, options.groups) as opened:
        took = time.perf_counter() - began
        time.sleep(options.settle)
        idle_mb = rss_mb(pid)
        with_them = [*producer(address, options)]
    table(
        ["measure", "before", f"with {opened} idle clients", "bar"],
        [
            ["resident memory, MB", before[0], idle_mb, "≤ +64"],
            ["memory for each client, KB", "", (idle_mb - before[0]) * 1024 / opened, "≤ 12"],
            ["acknowledgement p50, ms", before[1], with_them[0], ""],
            ["acknowledgement p99, ms", before[2], with_them[1], "≤ × 2"],
            ["opening all, s", "", took, ""],
        ],
    )


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--connections", type=int, default=5000)
    options.add_argument("--groups", type=int, default=500)
    options.add_argument("--mb-s", type=float, default=10)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=4, help="of each round")
    options.add_argument("--settle", type=float, default=10, help="seconds before memory is measured")
    options.add_argument("--address", help="of a broker that runs already")
    options.add_argument("--pid", type=int, help="its process")
    options = options.parse_args()
    if options.address:
        return measure(options.address, options.pid or os.getpid(), options)
    with Lakehead(settings=BROKER_ONLY) as node:
        measure(node.kafka, node.process.pid, options)


if __name__ == "__main__":
    main()
