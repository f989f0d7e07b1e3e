"""Produces and consumes while the broker is killed again and again, with `kill -9`.

    kill.py COMMAND...      the broker; `{port}` and `{dir}` are filled in

What must hold afterwards: every acknowledged record is in the topic once and in order (the producer is idempotent), a
consumer group goes on at its last acknowledged commit, and no commit that was acknowledged is lost.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

KILLS, SECONDS, PARTITIONS = int(os.environ.get("KILLS", "8")), float(os.environ.get("SECONDS", "1.5")), 4


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Broker:
    def __init__(self, command):
        self.dir, self.port = tempfile.mkdtemp(prefix="lakehead-kill-"), free_port()
        self.command = [part.format(port=self.port, dir=self.dir) for part in command]
        self.address = f"127.0.0.1:{self.port}"
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert self.process.poll() is None, "the broker ended by itself"
                time.sleep(0.05)
        raise AssertionError("the broker does not come up")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def main():
    broker = Broker(sys.argv[1:])
    base = {"bootstrap.servers": broker.address, "reconnect.backoff.max.ms": 200}
    admin = AdminClient(base)
    admin.create_topics([NewTopic("t", PARTITIONS, 1)])["t"].result(20)

    acked, stop = [[] for _ in range(PARTITIONS)], threading.Event()
    committed = {}

    def produce():
        producer = Producer({**base, "enable.idempotence": True, "linger.ms": 2})
        count = [0] * PARTITIONS

        def delivered(error, message):
            assert error is None, error
            acked[message.partition()].append((message.offset(), int(message.value())))

        while not stop.is_set():
            partition = random.randrange(PARTITIONS)
            try:
                producer.produce("t", str(count[partition]), partition=partition, on_delivery=delivered)
                count[partition] += 1
            except BufferError:
                producer.poll(0.05)
            producer.poll(0)
            if sum(count) % 50 == 0:
                time.sleep(0.001)
        assert producer.flush(60) == 0
        for partition in range(PARTITIONS):
            assert [v for _, v in acked[partition]] == list(range(count[partition])), "everything was acknowledged, in order"

    def commit():
        consumer = Consumer({**base, "group.id": "g"})
        offset = 0
        while not stop.is_set():
            offset += 1
            try:
                result = consumer.commit(offsets=[TopicPartition("t", 0, offset)], asynchronous=False)
                assert result[0].error is None, result
                committed["t"] = offset
            except Exception as error:
                if "COORDINATOR" not in str(error).upper() and "TRANSPORT" not in str(error).upper() and "TIMED" not in str(error).upper():
                    print("commit:", error)
                time.sleep(0.05)

    threads = [threading.Thread(target=produce), threading.Thread(target=commit)]
    for thread in threads:
        thread.start()
    for _ in range(KILLS):
        time.sleep(random.uniform(0.2, 2 * SECONDS))
        broker.kill()
        broker.start()
    time.sleep(2)
    stop.set()
    for thread in threads:
        thread.join()

    consumer = Consumer({**base, "group.id": "reader", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition("t", p, 0) for p in range(PARTITIONS)])
    found, wanted = [[] for _ in range(PARTITIONS)], sum(map(len, acked))
    end = time.monotonic() + 60
    while sum(map(len, found)) < wanted and time.monotonic() < end:
        for message in consumer.consume(1000, 0.5):
            assert message.error() is None, message.error()
            found[message.partition()].append((message.offset(), int(message.value())))
    for partition in range(PARTITIONS):
        assert found[partition] == acked[partition], f"partition {partition}: {len(found[partition])} of {len(acked[partition])}"
        assert [o for o, _ in found[partition]] == list(range(len(found[partition]))), "offsets are dense"
    group = Consumer({**base, "group.id": "g"})
    offset = group.committed([TopicPartition("t", 0)], timeout=20)[0].offset
    assert offset >= committed["t"], f"committed {committed['t']}, found {offset}"
    print(f"ok kill: {wanted} records, {committed['t']} commits, {KILLS} kills")
    broker.kill()
    shutil.rmtree(broker.dir)


if __name__ == "__main__":
    main()
