"""The least that a durable acknowledgement takes on this machine, at a given rate and with the same client.

No broker: one thread takes what has come in, writes it to one file, syncs it, answers. Whoever syncs before acknowledging does at
least this, so what is above it is the broker's and what is below it the machine's: its disk under that load, its network stack,
its scheduler, and whatever else the host runs.
"""

import multiprocessing
import os
import socket
import struct
import tempfile

from acks import PRODUCE, VERSION, ack_times
from common import CACHE_DIR

# Written over and over, as a write-ahead log that takes its files again: the file system has nothing to allocate.
FILE_BYTES = 64 << 20
RECEIVED_BYTES = 1 << 20


def floor_times(partitions, record_bytes, mb_s, seconds):
    """Milliseconds as `ack_times` measures them."""
    topic = "floor"
    listener = socket.create_server(("127.0.0.1", 0))
    server = multiprocessing.get_context("fork").Process(target=serve, args=(listener, topic.encode()), daemon=True)
    server.start()
    try:
        return ack_times("{}:{}".format(*listener.getsockname()), topic, partitions, record_bytes, mb_s, seconds)
    finally:
        server.kill()
        server.join()
        listener.close()


def serve(listener, topic):
    with tempfile.TemporaryFile(dir=CACHE_DIR()) as file:  # without a name: the process is killed
        fd, at = file.fileno(), 0
        block = os.urandom(RECEIVED_BYTES)
        for position in range(0, FILE_BYTES, len(block)):
            os.pwrite(fd, block, position)
        os.fsync(fd)
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        unfinished = b""
        while arrived := connection.recv(RECEIVED_BYTES):
            if at + len(arrived) > FILE_BYTES:
                at = 0
            at += os.pwrite(fd, arrived, at)
            frames, unfinished = split(unfinished + arrived)
            if frames:
                os.fdatasync(fd)
                connection.sendall(b"".join(answer(frame, topic) for frame in frames))


def split(received):
    """Whole frames, and what is left."""
    frames, at = [], 0
    while len(received) >= at + 4 and len(received) >= (end := at + 4 + struct.unpack_from(">i", received, at)[0]):
        frames.append(received[at:end])
        at = end
    return frames, received[at:]


def answer(frame, topic):
    """That the batch was taken."""
    key, version, correlation = struct.unpack_from(">hhi", frame, 4)
    if (key, version) != (PRODUCE, VERSION):
        raise SystemExit("only Produce is expected here")
    of_partition = struct.pack(">ih qqq", 0, 0, 0, -1, 0)
    body = struct.pack(">iih", correlation, 1, len(topic)) + topic + struct.pack(">i", 1) + of_partition + struct.pack(">i", 0)
    return struct.pack(">i", len(body)) + body
