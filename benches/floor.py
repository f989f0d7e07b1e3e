"""The least that a durable acknowledgement takes on this machine, at a given rate and with the same client.

No broker: one thread takes what has come in, writes it to one file, syncs it, answers (`cargo xtask floor`). Whoever syncs before
acknowledging does at least this, so what is above it is the broker's and what is below it the machine's: its disk under that load,
its network stack, its scheduler, and whatever else the host runs.
"""

import struct
import subprocess

from acks import ack_times
from common import CACHE_DIR, XTASK

TOPIC = "floor"


def floor_times(partitions, record_bytes, mb_s, seconds):
    """Milliseconds as `ack_times` measures them."""
    server = subprocess.Popen([XTASK, "floor", str(CACHE_DIR()), "--answer", answer().hex()], stdout=subprocess.PIPE, text=True)
    try:
        return ack_times(server.stdout.readline().strip(), TOPIC, partitions, record_bytes, mb_s, seconds)
    finally:
        server.kill()
        server.wait()


def answer():
    """Produce v7: that the batch was taken, for correlation id 0."""
    of_partition = struct.pack(">ih qqq", 0, 0, 0, -1, 0)
    return struct.pack(">iih", 0, 1, len(TOPIC)) + TOPIC.encode() + struct.pack(">i", 1) + of_partition + struct.pack(">i", 0)
