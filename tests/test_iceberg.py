"""The tables are Iceberg's: PyIceberg and DuckDB read the same rows as SQL here."""

import json
import pathlib

import duckdb
from confluent_kafka import Producer
from pyiceberg.catalog.sql import SqlCatalog

from conftest import FLIGHTS, eventually, json_rows, statements


def test_pyiceberg_and_duckdb_read_the_same_rows(node):
    for statement in statements(FLIGHTS / "declare.sql"):
        node.sql(statement)
    rows = list(json_rows(FLIGHTS / "flights-2013-01.csv.gz"))
    producer = Producer({"bootstrap.servers": node.kafka})
    for row in rows:
        producer.produce("flights", json.dumps(row))
        producer.poll(0)
    assert producer.flush(60) == 0
    eventually(lambda: node.in_table("flights") == len(rows))

    ask = "SELECT count(*), sum(distance), sum(dep_delay), min(carrier), max(tailnum), count(arr_delay) FROM flights"
    ours = node.sql(ask)[0]

    catalog = SqlCatalog("lakehead", uri=f"sqlite:///{node.data}/catalog.db")
    table = catalog.load_table(("public", "flights"))
    flights = table.scan().to_arrow()
    assert flights.num_rows == len(rows)
    duck = duckdb.connect()
    assert list(duck.sql(ask).fetchone()) == ours

    # DuckDB by itself, over the files the table's newest snapshot lists.
    paths = [task.file.file_path.removeprefix("file://") for task in table.scan().plan_files()]
    assert all(pathlib.Path(path).exists() for path in paths)
    duck.execute(f"CREATE VIEW parquet AS SELECT * FROM read_parquet({paths!r})")
    assert list(duck.sql(ask.replace("flights", "parquet")).fetchone()) == ours

    # Progress is in the snapshot.
    progress = json.loads(table.current_snapshot().summary.additional_properties["lakehead.progress"])
    assert sum(progress.values()) == len(rows)


def test_time_travel_and_optimize_keep_the_rows(node):
    node.sql("CREATE TABLE travel (id BIGINT, word VARCHAR)")
    node.sql("INSERT INTO travel VALUES (1, 'one'), (2, 'two')")
    first = node.value('SELECT snapshot_id FROM "travel$snapshots" ORDER BY committed_at DESC LIMIT 1')
    for id in range(3, 9):
        node.sql(f"INSERT INTO travel VALUES ({id}, 'more')")
    node.sql("OPTIMIZE travel")
    assert node.value("SELECT count(*) FROM travel") == 8
    assert node.sql(f"SELECT id FROM travel FOR VERSION AS OF {first} ORDER BY id") == [[1], [2]]
    catalog = SqlCatalog("lakehead", uri=f"sqlite:///{node.data}/catalog.db")
    assert catalog.load_table(("public", "travel")).scan().to_arrow().num_rows == 8
