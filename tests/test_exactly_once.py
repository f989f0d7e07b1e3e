"""Exactly once by real clients, whatever dies when: producers write to one topic, copiers carry it over to another in
transactions that hold their offsets, and the node and the copiers are killed with `kill -9` again and again.

LAKEHEAD_KILLS says how often (`cargo xtask kills --loops 500`); LAKEHEAD_GROUP_PROTOCOL=consumer runs the copiers' group on
KIP-848.
"""

import os
import pathlib
import random
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from conftest import eventually

KILLS = int(os.environ.get("LAKEHEAD_KILLS", "10"))
PROTOCOL = os.environ.get("LAKEHEAD_GROUP_PROTOCOL", "classic")
SEED = int(os.environ.get("LAKEHEAD_SEED", "98"))
SOURCE, TARGET, GROUP = "source", "target", "copiers"
SOURCE_PARTITIONS, TARGET_PARTITIONS = 4, 3
PRODUCERS, COPIERS, KEYS = 3, 2, 7
# Of the time between two kills: most hit something under way.
LIFE = (0.1, 1.5)
UP = 180


def test_a_transactional_copy_holds_each_record_once_and_in_order_whatever_is_killed(make_node):
    node = make_node().start(UP)
    make_topics(node)
    chance, stop = random.Random(SEED), threading.Event()
    producers = [Sender(node.kafka, number, stop) for number in range(PRODUCERS)]
    copiers = [CopierProcess(node.kafka, f"copier-{number}", PROTOCOL) for number in range(COPIERS)]
    try:
        killed = kill_again_and_again(node, copiers, chance)
        stop.set()
        written = {}
        for producer in producers:
            written |= producer.finish()
        total = sum(written.values())
        wait_until_copied(node, copiers, total)
    finally:
        stop.set()
        for copier in copiers:
            copier.kill()
    heard = sum((copier.heard for copier in copiers), Counter())
    report = f"{killed['node']} kills of the node, {killed['copier']} of copiers; {total} records, " + ", ".join(
        f"{count} {what}" for what, count in sorted(heard.items())
    )
    print(report)
    assert_each_once_and_in_order(node, SOURCE, SOURCE_PARTITIONS, written)
    assert_each_once_and_in_order(node, TARGET, TARGET_PARTITIONS, written)
    # SQL is a committed reader.
    assert node.value(f"SELECT count(*) FROM {TARGET}") == total
    assert heard["committed"] >= KILLS // 2, report


def test_a_group_goes_over_to_the_consumer_protocol_and_back_while_it_copies(make_node):
    """A rolling upgrade of the clients, one after the other, and a rolling downgrade (KIP-848, "Online migration")."""
    node = make_node().start(UP)
    admin = make_topics(node)
    stop = threading.Event()
    producers = [Sender(node.kafka, number, stop) for number in range(PRODUCERS)]
    copiers = [CopierProcess(node.kafka, f"copier-{number}", "classic") for number in range(3)]
    try:
        wait_for_commits(copiers)
        assert group_type(admin) == "CLASSIC"
        for protocol, after_each in (("consumer", ["CONSUMER"] * 3), ("classic", ["CONSUMER", "CONSUMER", "CLASSIC"])):
            for copier, expected in zip(copiers, after_each):
                copier.roll(protocol)
                wait_for_commits(copiers)
                eventually(lambda: group_type(admin) == expected)
            if protocol == "consumer":
                # What it has become is on disk.
                node.kill()
                node.start(UP)
                assert group_type(admin) == "CONSUMER"
                wait_for_commits(copiers)
        stop.set()
        written = {}
        for producer in producers:
            written |= producer.finish()
        wait_until_copied(node, copiers, sum(written.values()))
    finally:
        stop.set()
        for copier in copiers:
            copier.kill()
    assert_each_once_and_in_order(node, TARGET, TARGET_PARTITIONS, written)


def make_topics(node):
    admin = AdminClient({"bootstrap.servers": node.kafka, "log_level": 0})
    for name, partitions in ((SOURCE, SOURCE_PARTITIONS), (TARGET, TARGET_PARTITIONS)):
        admin.create_topics([NewTopic(name, partitions, 1)])[name].result(60)
    return admin


def group_type(admin):
    [group] = [group for group in admin.list_consumer_groups().result(60).valid if group.group_id == GROUP]
    return group.type.name


def wait_for_commits(copiers):
    """Until each copier has committed some more: all of them have a share of the partitions."""
    before = [copier.heard["committed"] for copier in copiers]
    eventually(lambda: all(copier.heard["committed"] > count + 2 for copier, count in zip(copiers, before)), seconds=UP)


class Sender(threading.Thread):
    """An idempotent producer: records `number`, counted for each key, until told to stop."""

    def __init__(self, address, number, stop):
        super().__init__()
        self.number, self.stop, self.sent, self.failed = number, stop, Counter(), []
        self.producer = Producer({"bootstrap.servers": address, "enable.idempotence": True, "linger.ms": 2,
                                  "message.timeout.ms": 600000, "reconnect.backoff.max.ms": 200, "retry.backoff.ms": 50,
                                  "log_level": 0})
        self.start()

    def run(self):
        chance = random.Random(self.number)
        while not self.stop.is_set():
            key = f"{self.number}-{chance.randrange(KEYS)}"
            try:
                self.producer.produce(SOURCE, str(self.sent[key]), key=key, on_delivery=self.delivered)
                self.sent[key] += 1
            except BufferError:
                pass
            # Slow enough that copiers that are killed as well keep up.
            self.producer.poll(0)
            time.sleep(0.02)
            # A node that is down gets no mountain to climb.
            while len(self.producer) > 500 and not self.stop.is_set():
                self.producer.poll(0.1)

    def delivered(self, error, _message):
        if error:
            self.failed.append(error)

    def finish(self):
        self.join()
        assert self.producer.flush(300) == 0, "not everything was acknowledged in the end"
        assert not self.failed, self.failed[:3]
        return dict(self.sent)


class CopierProcess:
    def __init__(self, address, name, protocol):
        program = pathlib.Path(__file__).with_name("copier.py")
        self.command = [sys.executable, str(program), address, name, GROUP, SOURCE, TARGET, protocol]
        self.heard = Counter()
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.listen, args=(self.process,), daemon=True).start()

    def listen(self, process):
        for line in process.stdout:
            self.heard[line.split()[0]] += 1
            if line.startswith("again"):
                print(self.command[3], line.strip(), flush=True)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def roll(self, protocol):
        self.process.terminate()
        self.process.wait(60)
        self.command[-1] = protocol
        self.start()


def kill_again_and_again(node, copiers, chance):
    killed, began = Counter(), time.monotonic()
    while killed["node"] < KILLS:
        committed = sum(copier.heard["committed"] for copier in copiers)
        time.sleep(chance.uniform(*LIFE))
        # Every other time only once something went on: or else nobody might ever get anywhere.
        until = time.monotonic() + 60 * chance.randrange(2)
        while time.monotonic() < until and sum(copier.heard["committed"] for copier in copiers) == committed:
            time.sleep(0.005)
        if chance.random() < 0.2:
            copier = chance.choice(copiers)
            copier.kill()
            copier.start()
            killed["copier"] += 1
            time.sleep(chance.uniform(0, LIFE[1]))
        node.kill()
        node.start(UP)
        killed["node"] += 1
        if killed["node"] % 50 == 0:
            print(f"{killed['node']} kills after {time.monotonic() - began:.0f} s", flush=True)
    return killed


def wait_until_copied(node, copiers, total):
    consumer = Consumer({"bootstrap.servers": node.kafka, "group.id": GROUP})
    places = [TopicPartition(SOURCE, p) for p in range(SOURCE_PARTITIONS)]
    until = time.monotonic() + 600
    while True:
        ends = [consumer.get_watermark_offsets(place, 60)[1] for place in places]
        assert sum(ends) == total, "idempotent producers double nothing"
        committed = [max(p.offset, 0) for p in consumer.committed(places, 60)]
        if committed == ends:
            return consumer.close()
        assert time.monotonic() < until, f"copied up to {committed} of {ends}"
        assert all(copier.process.poll() is None for copier in copiers), "a copier ended by itself"
        time.sleep(0.2)


def assert_each_once_and_in_order(node, topic, partitions, written):
    consumer = Consumer({"bootstrap.servers": node.kafka, "group.id": "judge", "isolation.level": "read_committed",
                         "enable.partition.eof": True, "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
    found, ended = defaultdict(list), 0
    while ended < partitions:
        message = consumer.poll(60)
        assert message is not None, "the end of the partition was not told"
        if message.error():
            ended += 1
        else:
            found[message.key().decode()].append(int(message.value()))
    consumer.close()
    for key, count in written.items():
        assert found[key] == list(range(count)), f"{topic}, key {key}: {differences(found[key], count)}"
    assert found.keys() == {key for key, count in written.items() if count}


def differences(found, count):
    counts = Counter(found)
    lost = [n for n in range(count) if not counts[n]]
    doubled = [n for n, times in counts.items() if times > 1]
    return f"{len(found)} of {count}, lost {lost[:10]}, doubled {doubled[:10]}, in order: {found == sorted(found)}"
