"""A stream processor that may be killed at any moment: copies records with their offsets, transaction by transaction.

    copier.py ADDRESS NAME GROUP SOURCE TARGET PROTOCOL

What it needs to be exactly once is what any client has: a transactional id, offsets sent to the transaction with the group's
metadata (KIP-447), and a committed reader. Says `committed N` for each transaction of N records, `aborted`, and `again WHY`
when it starts anew. SIGTERM: leaves the group and ends.
"""

import random
import signal
import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

ABORTED_BY_CHOICE = 0.1


def say(*words):
    print(*words, flush=True)


class Again(Exception):
    """Producer and consumer are of no use any more: make new ones."""


class Copier:
    def __init__(self, address, name, group, source, target, protocol):
        self.target = target
        base = {"bootstrap.servers": address, "reconnect.backoff.max.ms": 200, "log_level": 0}
        self.producer = Producer({**base, "transactional.id": name, "transaction.timeout.ms": 10000, "linger.ms": 1})
        settings = {"group.id": group, "isolation.level": "read_committed", "enable.auto.commit": False,
                    "auto.offset.reset": "earliest", "fetch.wait.max.ms": 20}
        if protocol == "consumer":
            settings["group.protocol"] = "consumer"
        else:
            settings |= {"session.timeout.ms": 6000, "heartbeat.interval.ms": 300}
        # One kind of copier finds its partitions again at once; what the other had has to wait for its session to end.
        if name.endswith("0"):
            settings["group.instance.id"] = name
        self.consumer = Consumer({**base, **settings})
        self.messages = []
        self.producer.init_transactions(60)
        self.consumer.subscribe([source], on_revoke=self.given_up, on_lost=self.given_up)

    def given_up(self, _consumer, partitions):
        """What was read of partitions that now belong to another copier is that one's to copy."""
        gone = {(p.topic, p.partition) for p in partitions}
        self.messages = [m for m in self.messages if (m.topic(), m.partition()) not in gone]

    def read(self):
        until, most = time.monotonic() + 0.2, random.randint(1, 50)
        while len(self.messages) < most and time.monotonic() < until:
            message = self.consumer.poll(0.02)
            if message is None:
                continue
            if not message.error():
                self.messages.append(message)
            elif message.error().fatal():
                # Its predecessor was killed, and holds its `group.instance.id` for a while in the consumer protocol.
                raise Again(message.error())

    def copy(self):
        """One transaction."""
        self.read()
        if not self.messages:
            return
        self.producer.begin_transaction()
        try:
            next_offsets = {}
            for message in self.messages:
                self.producer.produce(self.target, message.value(), key=message.key())
                next_offsets[(message.topic(), message.partition())] = message.offset() + 1
            offsets = [TopicPartition(*place, offset) for place, offset in next_offsets.items()]
            patiently(lambda: self.producer.send_offsets_to_transaction(offsets, self.consumer.consumer_group_metadata(), 20))
            if random.random() < ABORTED_BY_CHOICE:
                return self.undo()
            patiently(lambda: self.producer.commit_transaction(20))
        except KafkaException as error:
            if not error.args[0].txn_requires_abort():
                raise Again(error) from None
            return self.undo()
        say("committed", len(self.messages))
        self.messages = []

    def undo(self):
        patiently(lambda: self.producer.abort_transaction(20))
        self.messages = []
        for p in patiently(lambda: self.consumer.committed(self.consumer.assignment(), 20)):
            self.consumer.seek(TopicPartition(p.topic, p.partition, max(p.offset, 0)))
        say("aborted")


def patiently(ask):
    """Asks again while that may help."""
    until = time.monotonic() + 60
    while True:
        try:
            return ask()
        except KafkaException as error:
            if not error.args[0].retriable() or time.monotonic() > until:
                raise
            time.sleep(0.05)


def main(arguments):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    while True:
        copier = None
        try:
            copier = Copier(*arguments)
            while True:
                copier.copy()
        except (KafkaException, Again) as error:
            say("again", error)
            time.sleep(0.5)
        finally:
            if copier:
                copier.consumer.close()


if __name__ == "__main__":
    main(sys.argv[1:])
