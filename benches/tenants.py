"""What one tenant at full speed does to another: acknowledgement times of a polite producer alone, beside a greedy one without a
quota, and beside the same under one. The greedy one keeps large requests on their way over several connections, as fast as they
are answered; both write to topics of their own. Apache Kafka in the same run, with the same quota, set by its own tool.
"""

import argparse
import multiprocessing
import socket
import statistics
import struct
import subprocess
import time
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector

from acks import ack_times, record_batch, request
from common import BROKER_ONLY, Kafka, Lakehead, create_topic, kafka_classpath, measure_disk, percentile, table

CONNECTIONS, IN_FLIGHT, REQUEST_BYTES = 4, 5, 512 << 10
GREEDY = "greedy"


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--mb-s", type=float, default=1, help="of the polite producer")
    options.add_argument("--quota-mb-s", type=int, default=10, help="of the greedy one")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=4, help="of each measurement")
    options = options.parse_args()
    measure_disk()
    brokers = [
        ("Kafka", Kafka),
        ("Lakehead, no fsync", lambda: Lakehead("--unsafe-ack-before-fsync", settings=BROKER_ONLY)),
        ("Lakehead, fsync", lambda: Lakehead(settings=BROKER_ONLY)),
    ]
    rows = []
    for name, start in brokers:
        with start() as broker:
            rows.extend([name, *row] for row in measure(broker, options))
    table(["broker", "the polite one is", "p50 ms", "p99 ms", "greedy MB/s"], rows)


def measure(broker, options):
    create_topic(broker, "polite", 1)
    create_topic(broker, GREEDY, CONNECTIONS)
    polite(broker, options)  # warm
    yield ["alone", *polite(broker, options), 0]
    yield beside_greedy("beside the greedy one", broker, options)
    set_quota(broker.kafka, options.quota_mb_s)
    yield beside_greedy(f"beside it at {options.quota_mb_s} MB/s", broker, options)


def polite(broker, options):
    """Median over the rounds of p50 and p99."""
    rounds = []
    for _ in range(options.rounds):
        took = ack_times(broker.kafka, "polite", 1, 1024, options.mb_s, options.seconds)
        rounds.append([percentile(took, share) for share in (0.5, 0.99)])
    return [statistics.median(column) for column in zip(*rounds)]


def beside_greedy(name, broker, options):
    sent = multiprocessing.Value("q", 0)
    greedy = multiprocessing.get_context("fork").Process(target=flood, args=(broker.kafka, sent), daemon=True)
    greedy.start()
    try:
        time.sleep(3)  # until a quota takes hold
        began, before = time.perf_counter(), sent.value
        measured = polite(broker, options)
        rate = (sent.value - before) / 1e6 / (time.perf_counter() - began)
        if not greedy.is_alive():
            raise SystemExit("the greedy producer did not last")
        return [name, *measured, rate]
    finally:
        greedy.kill()
        greedy.join()


def flood(address, sent):
    """Each connection writes to a partition of its own and always has `IN_FLIGHT` requests on their way."""
    host, port = address.rsplit(":", 1)
    batch, _ = record_batch(1024, REQUEST_BYTES)
    selector = DefaultSelector()
    for partition in range(CONNECTIONS):
        connection = socket.create_connection((host, int(port)), 30)
        connection.setblocking(False)
        selector.register(connection, EVENT_READ | EVENT_WRITE, Stream(connection, request(GREEDY, partition, batch, GREEDY)))
    while True:
        for key, events in selector.select():
            sent.value += key.data.go_on(events & EVENT_READ, events & EVENT_WRITE)
            wants = EVENT_WRITE if key.data.has_more else 0
            if key.events != EVENT_READ | wants:
                selector.modify(key.fileobj, EVENT_READ | wants, key.data)


class Stream:
    """One connection of the greedy producer."""

    def __init__(self, connection, frame):
        self.connection, self.frame = connection, frame
        self.in_flight, self.unsent, self.received = 0, memoryview(b""), b""

    @property
    def has_more(self):
        return bool(self.unsent) or self.in_flight < IN_FLIGHT

    def go_on(self, can_read, can_write):
        """Reads and writes what it can; says how many bytes were acknowledged."""
        acknowledged = 0
        if can_read:
            arrived = self.connection.recv(1 << 16)
            if not arrived:
                raise SystemExit("the broker closed a greedy connection")
            self.received += arrived
            while len(self.received) >= 4 and len(self.received) >= (end := 4 + struct.unpack_from(">i", self.received)[0]):
                (error,) = struct.unpack_from(">h", self.received, 8 + 4 + 2 + len(GREEDY) + 4 + 4)
                if error:
                    raise SystemExit(f"the greedy Produce was answered with error {error}")
                self.received = self.received[end:]
                self.in_flight -= 1
                acknowledged += len(self.frame)
        while can_write and self.has_more:
            if not self.unsent:
                self.unsent = memoryview(self.frame)
                self.in_flight += 1
            try:
                self.unsent = self.unsent[self.connection.send(self.unsent) :]
            except BlockingIOError:
                break
        return acknowledged


def set_quota(address, mb_s):
    """For the client id of the greedy producer, as an administrator would."""
    tool = ["java", "-cp", kafka_classpath(), "kafka.admin.ConfigCommand", "--bootstrap-server", address, "--alter"]
    quota = ["--entity-type", "clients", "--entity-name", GREEDY, "--add-config", f"producer_byte_rate={mb_s * 1_000_000}"]
    subprocess.run([*tool, *quota], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
