"""Change data capture: what is done to a table arrives in a topic, whatever is killed on the way."""

import contextlib
import datetime
import decimal
import json
import shutil
import time

from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from connect import Workers
from database import COLUMNS, People
from jvm import until

SNAPSHOT, CHANGES = 1500, 3000
PATIENCE_SECONDS = 240


def json_whole_story(setting):
    """A snapshot, inserts, updates, deletes with tombstones."""
    whole_story(Json(setting))


def json_worker_killed(setting):
    """A worker is killed while changes go on; the next one goes on where it was, or a little before."""
    worker_killed(Json(setting))


def json_broker_killed(setting):
    """The broker is killed twice while changes go on; the worker stays and waits for it."""
    broker_killed(Json(setting))


def json_exactly_once(setting):
    """Records and positions in one transaction: neither a worker's death nor the broker's doubles a change."""
    exactly_once(Json(setting, exactly_once=True))


def json_schema_changes(setting):
    """A column more, while changes go on."""
    schema_changes(Json(setting))


def avro_whole_story(setting):
    """The same with schemas in the registry; an exact number stays one."""
    with Avro(setting) as capture:
        capture.whole_story()
        subjects = capture.registry.get_subjects()
        assert {f"{capture.topic}-key", f"{capture.topic}-value"} <= set(subjects), subjects


def avro_worker_killed(setting):
    worker_killed(Avro(setting))


def avro_broker_killed(setting):
    """Broker and registry are one process: both are gone and come back."""
    broker_killed(Avro(setting))


def avro_exactly_once(setting):
    exactly_once(Avro(setting, exactly_once=True))


def avro_schema_changes(setting):
    """A column more is a compatible version more in the registry."""
    capture = Avro(setting)
    schema_changes(capture)
    versions = capture.registry.get_versions(f"{capture.topic}-value")
    assert len(versions) == 2, versions


def whole_story(capture):
    with capture:
        capture.whole_story()


@contextlib.contextmanager
def while_it_changes(capture):
    """After a snapshot, with changes that go on meanwhile; all of them have arrived in the end."""
    with capture:
        capture.snapshot()
        with capture.people:
            time.sleep(3)
            yield
        capture.ends_well()


def worker_killed(capture):
    with while_it_changes(capture):
        capture.replace_worker(after_seconds=1)


def broker_killed(capture):
    with while_it_changes(capture):
        capture.restart_broker(after_seconds=2)
        time.sleep(3)
        capture.restart_broker(after_seconds=2)


def exactly_once(capture):
    with while_it_changes(capture):
        capture.replace_worker()
        capture.restart_broker()


def schema_changes(capture):
    with capture:
        capture.snapshot()
        capture.people.change(CHANGES // 4)
        capture.people.add_column()
        capture.people.change(CHANGES // 4)
        capture.ends_well()


class Capture:
    """A table, a worker with Debezium's connector, and a reader of the topic it fills."""

    converter, decimals = {}, "string"

    def __init__(self, setting, exactly_once=False):
        self.broker, self.postgres, self.jvm = setting.broker, setting.postgres, setting.jvm
        self.name = setting.jvm.name("cdc")
        self.topic = f"{self.name}.public.people"
        self.exactly_once = exactly_once
        settings = {
            "plugin.path": setting.plugins,
            "plugin.discovery": "service_load",
            "task.shutdown.graceful.timeout.ms": 5000,
            **self.converter,
        }
        if exactly_once:
            settings["exactly.once.source.support"] = "enabled"
        self.workers = Workers(self.jvm, self.name, **settings)
        self.people = People(self.postgres, seed=self.name)

    def __enter__(self):
        try:
            return self.begin()
        except BaseException:
            self.end()
            raise

    def __exit__(self, *_):
        self.end()

    def begin(self):
        self.people.change(SNAPSHOT)
        self.people.forget()
        self.workers.start_worker("one")
        slot = self.name.replace("-", "_")
        config = {
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "tasks.max": 1,
            "plugin.name": "pgoutput",
            "database.hostname": "127.0.0.1",
            "database.port": self.postgres.port,
            "database.user": "compat",
            "database.password": "none",
            "database.dbname": "postgres",
            "topic.prefix": self.name,
            "table.include.list": "public.people",
            "slot.name": slot,
            "publication.name": slot,
            "publication.autocreate.mode": "filtered",
            "decimal.handling.mode": self.decimals,
            # A topic's prefix may hold hyphens, a name in Avro may not: what Debezium advises for Avro.
            "schema.name.adjustment.mode": "avro",
            "field.name.adjustment.mode": "avro",
            "errors.retry.timeout": -1,
            "topic.creation.default.replication.factor": 1,
            "topic.creation.default.partitions": 3,
            "topic.creation.default.cleanup.policy": "compact",
        }
        if self.exactly_once:
            config["exactly.once.support"] = "required"
        self.workers.create("people", config)
        return self

    def end(self):
        self.workers.end()
        shutil.rmtree(self.workers.folder, ignore_errors=True)
        slot = self.name.replace("-", "_")
        query = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s"
        self.people.database.execute(query, (slot,))
        until(lambda: self.dropped(slot), 20, "the replication slot cannot be dropped")

    def dropped(self, slot):
        left = "FROM pg_replication_slots WHERE slot_name = %s AND NOT active"
        self.people.database.execute(f"SELECT pg_drop_replication_slot(slot_name) {left}", (slot,))
        query = "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s"
        return not self.people.database.execute(query, (slot,)).fetchone()

    def replace_worker(self, after_seconds=0):
        """One is killed, another comes; what is written from then on arrives."""
        self.workers.kill("one")
        time.sleep(after_seconds)
        self.workers.start_worker("two")
        self.until_has_grown()

    def restart_broker(self, after_seconds=0):
        """It is killed and comes back; what is written from then on arrives."""
        self.broker.kill()
        time.sleep(after_seconds)
        self.broker.start_again()
        self.until_has_grown()

    def whole_story(self):
        self.snapshot()
        assert {record[2] for record in self.read()} == {"is"}, "a snapshot holds rows only"
        self.people.change(CHANGES)
        self.ends_well()

    def snapshot(self):
        """The rows the table begins with have arrived."""
        until(lambda: self.has_everything(), PATIENCE_SECONDS, f"the snapshot is not whole: {self.state()}")

    def until_has_grown(self):
        """What is written from now on arrives."""
        before = self.size()
        until(lambda: self.size() > before + 500, PATIENCE_SECONDS, f"nothing arrives any more: {self.state()}")

    def state(self):
        try:
            return json.dumps(self.workers.call("GET", f"/connectors/{self.workers.name}-people/status"))[:600]
        except OSError as failed:
            return f"the worker does not answer: {failed}"

    def has_everything(self):
        return expected(self.people.history) <= set(self.read())

    def ends_well(self):
        """Every change is there, each row's in order (and once, if that was asked), and who applies them has the table."""
        try:
            until(self.has_everything, PATIENCE_SECONDS, "changes are missing")
        except AssertionError as failed:
            missing = sorted(expected(self.people.history) - set(self.read()))
            raise AssertionError(f"{len(missing)} changes are missing ({missing[:3]}): {self.state()}") from failed
        raw = self.messages()
        met, rows, owed = {}, {}, set()
        for message in raw:
            key, value = self.key(message), self.value(message)
            if value is None:
                assert key in owed, f"a tombstone of row {key} follows no delete"
                owed.discard(key)
                continue
            assert key not in owed, f"the delete of row {key} has no tombstone"
            what = change(value)
            known = met.setdefault(key, [])
            if what not in known:
                known.append(what)
            if what[0] == "gone":
                owed.add(key)
                rows.pop(key, None)
            else:
                rows[key] = self.row(value["after"])
        assert not owed, f"deletes without tombstones: {sorted(owed)[:5]}"
        for row, changes in self.people.history.items():
            assert met.get(row, []) == changes, f"row {row}: {met.get(row)} instead of {changes}"
        table = self.people.rows()
        assert rows.keys() == table.keys(), f"rows that differ: {sorted(rows.keys() ^ table.keys())[:5]}"
        for row in table:
            assert rows[row] == table[row], f"{rows[row]} instead of {table[row]}"
        if self.exactly_once:
            records = self.read()
            assert len(records) == len(set(records)), f"{len(records) - len(set(records))} changes are doubled"

    def read(self):
        """The changes in the topic, without tombstones: (row, version, what)."""
        found = []
        for message in self.messages():
            if message.value() is not None:
                what, version = change(self.value(message))
                found.append((self.key(message), version, what))
        return found

    def size(self):
        return len(self.messages())

    def messages(self):
        """Everything that committed readers see, partition by partition."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.broker.kafka, "group.id": "unused", "enable.auto.commit": False,
                "isolation.level": "read_committed", "enable.partition.eof": True, "auto.offset.reset": "earliest",
                "log_level": 0,
            }
        )  # fmt: skip
        try:
            known = consumer.list_topics(self.topic, 30).topics[self.topic]
            partitions = {} if known.error else known.partitions
            consumer.assign([TopicPartition(self.topic, partition, 0) for partition in partitions])
            found, ended = {partition: [] for partition in partitions}, set()
            deadline = time.monotonic() + 60
            while len(ended) < len(partitions):
                assert time.monotonic() < deadline, "the topic cannot be read to its end in 60 s"
                for message in consumer.consume(1000, 0.2):
                    if not message.error():
                        found[message.partition()].append(message)
                    elif message.error().code() == KafkaError._PARTITION_EOF:
                        ended.add(message.partition())
            return [message for partition in sorted(found) for message in found[partition]]
        finally:
            consumer.close()

    def row(self, after):
        """A row as the table has it."""
        row = {column: after[column] for column in COLUMNS}
        # A row that has not changed since a column was added has none of it.
        row |= {column: after.get(column) for column in self.people.columns if column not in COLUMNS}
        row["balance"] = decimal.Decimal(row["balance"])
        row["changed"] = datetime.datetime.fromisoformat(row["changed"])
        if isinstance(row["born"], int):
            row["born"] = datetime.date(1970, 1, 1) + datetime.timedelta(row["born"])
        return row


class Json(Capture):
    converter = {
        f"{part}.converter{option}": value
        for part in ("key", "value")
        for option, value in (("", "org.apache.kafka.connect.json.JsonConverter"), (".schemas.enable", "true"))
    }

    def key(self, message):
        return json.loads(message.key())["payload"]["id"]

    def value(self, message):
        return None if message.value() is None else json.loads(message.value())["payload"]


class Avro(Capture):
    decimals = "precise"

    def __init__(self, setting, exactly_once=False):
        if not setting.registry:
            raise Skipped("Apache Kafka has no registry")
        self.converter = {
            f"{part}.converter{option}": value
            for part in ("key", "value")
            for option, value in (("", "compat.AvroConverter"), (".schema.registry.url", setting.registry))
        }
        self.registry = SchemaRegistryClient({"url": setting.registry})
        self.decode = AvroDeserializer(self.registry)
        super().__init__(setting, exactly_once)

    def key(self, message):
        return self.decode(message.key(), SerializationContext(self.topic, MessageField.KEY))["id"]

    def value(self, message):
        return self.decode(message.value(), SerializationContext(self.topic, MessageField.VALUE))


class Skipped(Exception):
    """The test has nothing to say here."""


def change(value):
    """What an event says: which version a row is now, or which one it was when it went."""
    if value["op"] == "d":
        return ("gone", value["before"]["version"])
    assert value["op"] in ("r", "c", "u"), value
    return ("is", value["after"]["version"])


def expected(history):
    return {(row, version, what) for row, changes in history.items() for what, version in changes}


TESTS = {
    test.__name__: test
    for test in (
        json_whole_story, json_worker_killed, json_broker_killed, json_exactly_once, json_schema_changes,
        avro_whole_story, avro_worker_killed, avro_broker_killed, avro_exactly_once, avro_schema_changes,
    )  # fmt: skip
}
