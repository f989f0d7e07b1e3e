"""A data directory with as many bytes kept as one likes, nearly all of them holes: 50 GB take 200 MB of the disk.

What is in there is what a node leaves that has checkpointed and was closed: segments of the size it makes, their indexes, the
checkpoint that says how far they go. The batches are whole and valid, one record of a megabyte of zeros each, and any client can
read them. The bytes are those of `crates/commitlog/src/embedded/layout.rs`.
"""

import json
import os
import struct
import time
import uuid

import crc32c
from acks import varint
from common import create_topic

BATCH_BYTES = 1 << 20
SEGMENT_BATCHES = 1 << 10  # `segment.bytes` is a gibibyte
NO_TIMESTAMP_BEFORE, NO_DELETE_HORIZON = -(1 << 63), (1 << 63) - 1


def keep(node, topic, partitions, gigabytes):
    """Makes `topic` on a fresh node, which then holds so many bytes in it, evenly over its partitions, and is up."""
    create_topic(node, topic, partitions)
    if not gigabytes:
        return
    node.stop()
    log, now = node.data / "log", int(time.time() * 1000)
    (about,) = [path for path in (log / "topics").glob("*/topic.json") if json.loads(path.read_text())["name"] == topic]
    topic_id = uuid.UUID(json.loads(about.read_text())["id"])
    batches = max(1, round(gigabytes * 1e9 / BATCH_BYTES / partitions))
    head = batch_head(now)
    saved = b""
    for number in range(partitions):
        folder = about.parent / str(number)
        folder.mkdir()
        for base in range(0, batches, SEGMENT_BATCHES):
            segment(folder, base, min(batches, base + SEGMENT_BATCHES), batches, head, now)
        last = (batches - 1) // SEGMENT_BATCHES * SEGMENT_BATCHES
        saved += topic_id.bytes + struct.pack(">iqqqQq", number, 0, batches, last, (batches - last) * BATCH_BYTES, now)
        saved += struct.pack(">IiqI", 1, 0, 0, 0)  # epochs: 0 from offset 0; producers
        saved += struct.pack(">IIqq", 0, 0, 0, NO_DELETE_HORIZON)  # transactions open and aborted; compaction
    before = (log / "checkpoint").read_bytes()
    # Magic, version and the place in the write-ahead log stay. What else the node has made it finds without a checkpoint.
    checkpoint = before[:16] + struct.pack(">I", partitions) + saved
    checkpoint += struct.pack(">I", crc32c.crc32c(checkpoint))
    write(log / "checkpoint", [(0, checkpoint)])
    write(log / "clean", [(0, b"%08x\n" % crc32c.crc32c(checkpoint))])
    node.start()


def segment(folder, base, end, log_end, head, now):
    """A file of batches and its index, which says where it ends if another one follows."""
    stem, count = folder / f"{base:020}", end - base
    heads = ((at * BATCH_BYTES, struct.pack(">q", base + at) + head) for at in range(count))
    write(stem.with_suffix(".log"), heads, count * BATCH_BYTES)
    entries = count if end == log_end else count + 1
    index = b"".join(struct.pack(">IIq", at, at * BATCH_BYTES, now if at else NO_TIMESTAMP_BEFORE) for at in range(entries))
    write(stem.with_suffix(".index"), [(0, b"LHIX" + struct.pack(">Iq", 1, base) + index)])


def batch_head(now):
    """A batch behind its offset, without the zeros at its end."""
    fixed = 8 + 4 + 4 + 1 + 4 + 40  # offset, length, epoch, magic, CRC; attributes to count
    of_record = lambda size: b"\0" + varint(0) + varint(0) + varint(-1) + varint(size)  # then the value, then no headers
    overhead = len(varint(BATCH_BYTES)) + len(of_record(BATCH_BYTES)) + 1
    size = BATCH_BYTES - fixed - overhead
    record = of_record(size)
    body = struct.pack(">hiqqqhii", 0, 0, now, now, -1, -1, -1, 1) + varint(len(record) + size + 1) + record
    zeros = bytes(BATCH_BYTES - fixed + 40 - len(body))
    crc = crc32c.crc32c(body + zeros)
    return struct.pack(">iibI", BATCH_BYTES - 12, 0, 2, crc) + body


def write(path, pieces, length=0):
    """Where each piece goes and its bytes; the rest up to `length` is a hole. On disk, so that nobody measures that."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        for at, piece in pieces:
            os.pwrite(fd, piece, at)
        if length:
            os.truncate(fd, length)
        os.fsync(fd)
    finally:
        os.close(fd)
