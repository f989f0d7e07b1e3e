"""The tables are Iceberg's: PyIceberg and DuckDB read the same rows as SQL here."""

import json
import pathlib
from importlib.machinery import SourceFileLoader

import duckdb
from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from pyiceberg.catalog.sql import SqlCatalog

from conftest import FLIGHTS, ROOT, eventually, json_rows, statements


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


def test_fields_within_fields_follow_the_registry(node):
    def produce(fields, value):
        sub = {"type": "record", "name": "Sub", "fields": fields}
        schema = {"type": "record", "name": "R", "fields": [
            {"name": "id", "type": "int"}, {"name": "sub", "type": sub}, {"name": "subs", "type": {"type": "array", "items": "Sub"}},
        ]}
        serialize = AvroSerializer(SchemaRegistryClient({"url": node.http}), json.dumps(schema))
        context = SerializationContext("grows", MessageField.VALUE)
        producer.produce("grows", serialize(value, context), key=f"k{value['id']}")
        assert producer.flush(60) == 0
        eventually(lambda: node.in_table("grows") == value["id"])

    def row(id, **sub):
        return {"id": id, "sub": sub, "subs": [sub]}

    producer = Producer({"bootstrap.servers": node.kafka})
    z, y = {"name": "z", "type": "int"}, {"name": "y", "type": "string", "default": "dd"}
    produce([z], row(1, z=1))
    first = node.value('SELECT snapshot_id FROM "grows$snapshots" ORDER BY committed_at LIMIT 1')
    produce([z, y], row(2, z=2, y="q"))
    produce([{"name": "z", "type": "long"}, y], row(3, z=10_000_000_000, y="r"))
    produce([{"name": "z", "type": ["null", "long"], "default": None}, y], row(4, z=None, y="n"))

    expected = [[1, None], [2, "q"], [10_000_000_000, "r"], [None, "n"]]
    ask = "SELECT sub['z'], sub['y'] FROM grows ORDER BY id"
    assert node.sql(ask) == expected
    assert node.sql("SELECT id FROM grows WHERE sub['z'] > 5 OR subs[1]['y'] = 'q' ORDER BY id") == [[2], [3]]
    assert node.sql("SELECT upper(_key) FROM grows ORDER BY id") == [["K1"], ["K2"], ["K3"], ["K4"]]
    assert node.sql(f"SELECT sub FROM grows FOR VERSION AS OF {first}") == [[{"z": 1}]], "history stays"
    node.sql("OPTIMIZE grows")
    assert node.sql(ask) == expected

    interop = SourceFileLoader("read_iceberg", str(ROOT / "tests" / "interop" / "read_iceberg.py")).load_module()
    table = interop.load(f"{node.data}/catalog.db", "public.grows")
    read = {"pyiceberg": table.scan().to_arrow()}
    reader, rows = interop.duckdb_rows(table.metadata_location, table.scan(), None)
    read[reader] = rows
    for reader, rows in read.items():
        rows = sorted(rows.to_pylist(), key=lambda row: row["id"])
        assert [[row["sub"]["z"], row["sub"]["y"]] for row in rows] == expected, reader
        assert [row["subs"] for row in rows] == [[row["sub"]] for row in rows], reader
