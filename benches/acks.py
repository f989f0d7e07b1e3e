"""How long an acknowledgement takes at a given rate, and how much is acknowledged at the most, seen from the wire.

An open loop: batches go out when they are due, whether or not earlier ones have been answered, so a broker that stalls is charged
for all that waited; `cargo xtask open-loop` sends them. At the most: a closed loop, with so many bytes on their way. One
connection, next to no work per batch: what is measured is the broker.
"""

import argparse
import socket
import struct
import subprocess
import time

import crc32c
from common import XTASK, percentile

PRODUCE, VERSION, ALL, NOT_LEADER = 0, 7, -1, 6
BATCH_BYTES = 16 << 10
# On their way in the closed loop.
UNANSWERED_BYTES = 4 << 20


def ack_times(address, topic, partitions, record_bytes, mb_s, seconds):
    """Milliseconds from the moment a batch was due to its acknowledgement; the first quarter, while all warms up, left out."""
    batch, records = record_batch(record_bytes)
    frames = b"".join(request(topic, partition, batch) for partition in range(partitions))
    every = records * record_bytes / (mb_s * 1e6)
    load = ["--every-us", str(every * 1e6), "--count", str(max(1, int(seconds / every))), "--error-at", str(error_at(topic))]
    client = subprocess.run([XTASK, "open-loop", address, *load], input=frames, stdout=subprocess.PIPE, check=True)
    took = [float(line) for line in client.stdout.split()]
    return took[len(took) // 4 :]


def acked_mb_s(address, topic, partitions, record_bytes, megabytes):
    """Megabytes of records acknowledged in a second, to one partition after the other."""
    batch, records = record_batch(record_bytes)
    frames = [request(topic, partition, batch) for partition in range(partitions)]
    count = max(1, int(megabytes * 1e6 / (records * record_bytes)))
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), 60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answers = connection.makefile("rb")
        began = time.perf_counter()
        sent, acked, unanswered = 0, 0, 0
        while acked < count:
            if acked + unanswered < count and unanswered < UNANSWERED_BYTES // BATCH_BYTES:
                connection.sendall(frames[sent % partitions])
                sent, unanswered = sent + 1, unanswered + 1
                continue
            (size,) = struct.unpack(">i", answers.read(4))
            acked += is_taken(answers.read(size), topic)
            unanswered -= 1
        return count * records * record_bytes / 1e6 / (time.perf_counter() - began)


def is_taken(response, topic):
    """Or to be sent again: a broker that has lost its controller for a while leads nothing, and every client tries again."""
    (error,) = struct.unpack_from(">h", response, error_at(topic))
    if error not in (0, NOT_LEADER):
        raise SystemExit(f"Produce was answered with error {error}")
    return error == 0


def error_at(topic):
    """Where an answer for one partition has its error code: behind correlation id, count and name of topics, count and index of
    partitions."""
    return 4 + 4 + 2 + len(topic) + 4 + 4


def request(topic, partition, batch, client="acks"):
    """Produce v7; the correlation id is to be filled in."""
    client = client.encode()
    body = struct.pack(">hhi h", PRODUCE, VERSION, 0, len(client)) + client
    body += struct.pack(">hhii", -1, ALL, 30_000, 1) + struct.pack(">h", len(topic)) + topic.encode()
    body += struct.pack(">iii", 1, partition, len(batch)) + batch
    return struct.pack(">i", len(body)) + body


def record_batch(record_bytes, batch_bytes=BATCH_BYTES):
    """As many records as fit, uncompressed, with bytes that do not repeat."""
    count = max(1, batch_bytes // record_bytes)
    value = bytes((i * 7 + i // 251) % 256 for i in range(record_bytes))
    records = b""
    for delta in range(count):
        record = b"\0" + varint(0) + varint(delta) + varint(-1) + varint(len(value)) + value + varint(0)
        records += varint(len(record)) + record
    now = int(time.time() * 1000)
    summed = struct.pack(">hiqqqhii", 0, count - 1, now, now, -1, -1, -1, count) + records
    tail = struct.pack(">ibI", 0, 2, crc32c.crc32c(summed)) + summed
    return struct.pack(">qi", 0, len(tail)) + tail, count


def varint(number):
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("address")
    options.add_argument("topic")
    options.add_argument("--partitions", type=int, default=1)
    options.add_argument("--record-bytes", type=int, default=1024)
    options.add_argument("--mb-s", type=float, default=40)
    options.add_argument("--seconds", type=float, default=5)
    options = options.parse_args()
    took = ack_times(options.address, options.topic, options.partitions, options.record_bytes, options.mb_s, options.seconds)
    print(*(f"p{share * 100:g} {percentile(took, share):.2f} ms" for share in (0.5, 0.9, 0.99, 0.999)))
