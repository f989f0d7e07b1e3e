"""A year of flights in, while the node is killed ten times: nothing acknowledged is lost, nothing is doubled."""

import json
import random
import threading
import time

import duckdb
from confluent_kafka import Consumer, Producer, TopicPartition

from conftest import FLIGHTS, eventually, flights_csv, json_rows, statements

KILLS = 10


def test_kills_lose_nothing_and_double_nothing(make_node):
    node = make_node(commit_interval_ms=500).start()
    for statement in statements(FLIGHTS / "declare.sql"):
        node.sql(statement.replace("time_hour TIMESTAMP\n) WITH (KAFKA_TOPIC = 'flights'", "time_hour TIMESTAMP, id BIGINT\n) WITH (KAFKA_TOPIC = 'flights'"))
    load_dimensions(node)

    stop, chance = threading.Event(), random.Random(2013)
    kills = []

    def killer():
        while len(kills) < KILLS and not stop.wait(chance.uniform(0.5, 3.0)):
            node.kill()
            kills.append(time.monotonic())
            node.start()

    acknowledged = produce_flights(node, threading.Thread(target=killer), stop, lambda: len(kills))
    assert len(kills) == KILLS

    # In the topic once.
    offsets = read_ids(node)
    assert sorted(offsets) == sorted(acknowledged)
    # In SQL once, at once.
    total = len(acknowledged)
    assert node.sql("SELECT count(*), count(DISTINCT id) FROM flights") == [[total, total]]
    # In the table once, soon.
    eventually(lambda: node.in_table("flights") == total, seconds=60)
    assert node.sql("SELECT count(*), count(DISTINCT id), min(id), max(id) FROM flights") == [[total, total, 0, total - 1]]

    answers_equal_duckdbs(node)


def produce_flights(node, killer, stop, kills):
    """Sends until everything is acknowledged and the node has died often enough; gives the ids acknowledged."""
    acknowledged, failed = [], []
    producer = Producer(
        {"bootstrap.servers": node.kafka, "enable.idempotence": True, "linger.ms": 5, "message.timeout.ms": 300000,
         "queue.buffering.max.messages": 1000000, "reconnect.backoff.max.ms": 500, "retry.backoff.ms": 50}
    )

    def delivered(error, message):
        (failed if error else acknowledged).append(int(message.key()))

    rows = list(json_rows(flights_csv()))
    killer.start()
    for id, row in enumerate(rows):
        producer.produce("flights", json.dumps({**row, "id": id}), key=str(id), on_delivery=delivered)
        if id % 500 == 0:
            producer.poll(0)
            # Spread the year over the kills: the rest waits until the node has died its share.
            while kills() * len(rows) < (id - len(rows) // 20) * KILLS:
                producer.poll(0.05)
    producer.flush(300)
    killer.join(60)
    stop.set()
    producer.flush(60)
    assert not failed, f"{len(failed)} records were not acknowledged in the end"
    return acknowledged


def read_ids(node):
    consumer = Consumer({"bootstrap.servers": node.kafka, "group.id": "audit", "auto.offset.reset": "earliest",
                         "enable.partition.eof": True, "fetch.wait.max.ms": 100})
    partitions = consumer.list_topics("flights").topics["flights"].partitions
    consumer.assign([TopicPartition("flights", p, 0) for p in partitions])
    ids, ended, last = [], set(), {}
    while len(ended) < len(partitions):
        for message in consumer.consume(10000, 1.0):
            if message.error():
                ended.add(message.partition())
                continue
            # Offsets are dense.
            assert message.offset() == last.get(message.partition(), -1) + 1
            last[message.partition()] = message.offset()
            ids.append(int(message.key()))
    consumer.close()
    return ids


def load_dimensions(node):
    for name in ("airlines", "airports", "planes"):
        rows = list(json_rows(FLIGHTS / f"{name}.csv"))
        # A column with one text in it is a column of texts, even where a text reads as a number.
        texts = {column for row in rows for column, value in row.items() if isinstance(value, str)}
        text = lambda value: "'" + str(value).replace("'", "''") + "'"
        literal = lambda column, value: "NULL" if value is None else text(value) if column in texts else str(value)
        for at in range(0, len(rows), 1000):
            values = ", ".join("(" + ", ".join(literal(*cell) for cell in row.items()) + ")" for row in rows[at : at + 1000])
            node.sql(f"INSERT INTO {name} VALUES {values}")
    producer = Producer({"bootstrap.servers": node.kafka})
    for row in json_rows(FLIGHTS / "weather-2013-01.csv.gz"):
        producer.produce("weather", json.dumps(row))
    assert producer.flush(60) == 0


def answers_equal_duckdbs(node):
    duck = duckdb.connect()
    duck.execute("SET TimeZone = 'UTC'")
    for name, path in (("flights", flights_csv()), ("weather", FLIGHTS / "weather-2013-01.csv.gz")):
        duck.execute(f"CREATE TABLE {name} AS SELECT * REPLACE (time_hour::TIMESTAMPTZ AT TIME ZONE 'UTC' AS time_hour) FROM read_csv('{path}', nullstr = 'NA', sample_size = -1)")
    for name in ("airlines", "airports", "planes"):
        duck.execute(f"CREATE TABLE {name} AS SELECT * FROM read_csv('{FLIGHTS / name}.csv', nullstr = 'NA', sample_size = -1)")
    for question in statements(FLIGHTS / "questions.sql"):
        ours = [[plain(value) for value in row] for row in node.sql(question)]
        theirs = [[plain(value) for value in row] for row in duck.sql(question).fetchall()]
        assert ours == theirs, question


def plain(value):
    """One spelling for times and numbers."""
    if hasattr(value, "isoformat"):
        value = value.isoformat()
    if isinstance(value, str):
        return value.replace("T", " ").removesuffix("Z").removesuffix("+00:00").removesuffix(".000000").removesuffix(".000")
    return round(float(value), 6) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
