"""Topics, streams, tables and views share their names: whoever comes first has it, and nobody's rows go for it."""

import threading

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from pyiceberg.catalog.sql import SqlCatalog

from conftest import SqlError, eventually


def produce(node, topic, *values):
    """Sends records, making the topic where that is allowed; gives the first error, if any."""
    producer = Producer({"bootstrap.servers": node.kafka, "message.timeout.ms": 10000})
    errors = []
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _: errors.append(error))
    producer.flush(20)
    assert len(errors) == len(values), "each record is answered for"
    return next((error for error in errors if error), None)


def create(node, topic):
    """CreateTopics; gives the error, if any."""
    admin = AdminClient({"bootstrap.servers": node.kafka})
    try:
        admin.create_topics([NewTopic(topic, 1)])[topic].result(30)
    except KafkaException as error:
        return error.args[0]


def delete(node, topic):
    admin = AdminClient({"bootstrap.servers": node.kafka})
    admin.delete_topics([topic])[topic].result(30)


def commits(node, topic, rows):
    produce(node, topic, *rows)
    eventually(lambda: node.in_table(topic) >= len(rows))


def test_a_topic_takes_the_name_of_no_table_and_no_view(node):
    node.sql("CREATE TABLE precious AS SELECT x AS a FROM generate_series(1, 1000) AS g(x)")
    node.sql('CREATE TABLE "a.b" AS SELECT 1 AS a')
    node.sql("CREATE VIEW seen AS SELECT count(*) AS n FROM precious")
    commits(node, "source", [b'{"id": 1}'])
    node.sql("CREATE STREAM shown WITH (KAFKA_TOPIC = 'source', VALUE_FORMAT = 'JSON')")

    for name, what in [("precious", "table"), ("Precious", "table"), ("a.b", "table"), ("seen", "view"), ("shown", "stream")]:
        error = produce(node, name, b'{"hello": 1}')
        assert error and error.code() == KafkaError.TOPIC_EXCEPTION, f"{name}: {error}"
        error = create(node, name)
        assert error.code() == KafkaError.TOPIC_EXCEPTION and "LH0126" in error.str() and what in error.str()
        told = node.run("topics", "create", name, check=False)
        assert told.returncode and "LH0126" in told.stderr and what in told.stderr
    with pytest.raises(SqlError) as refused:
        node.sql("CREATE STREAM s (x BIGINT) WITH (KAFKA_TOPIC = 'precious', VALUE_FORMAT = 'JSON', PARTITIONS = 1)")
    assert refused.value.code == "LH0126"

    # Names that only look alike, and other zones, are free.
    node.sql("CREATE TABLE raw.orders AS SELECT 1 AS a")
    for name in ["a-b", "precious-1", "orders"]:
        commits(node, name, [b'{"x": 1}'])
    assert node.value("SELECT count(*) FROM precious") == 1000
    assert node.value("SELECT n FROM seen") == 1000
    assert node.value('SELECT a FROM "a.b"') == node.value("SELECT a FROM raw.orders") == 1
    for name in ["precious", "seen", "shown", "orders"]:
        for statement in [f"CREATE TABLE {name} (x BIGINT)", f"CREATE VIEW {name} AS SELECT 1"]:
            with pytest.raises(SqlError) as refused:
                node.sql(statement)
            assert refused.value.code == "LH0510"

    # Gone means free.
    node.sql("DROP VIEW seen")
    node.sql("DROP TABLE precious")
    for name in ["seen", "precious"]:
        commits(node, name, [b'{"x": 1}'])


def test_of_a_topic_and_a_table_made_at_once_one_is_refused(node):
    first = {"topic": 0, "table": 0}
    statements = [
        "CREATE TABLE {} (x BIGINT)",
        "CREATE TABLE {} AS SELECT 1 AS x",
        "CREATE VIEW {} AS SELECT 1 AS x",
        "CREATE OR REPLACE TABLE {} AS SELECT 1 AS x",
    ]
    for n in range(40):
        name, results, start = f"race{n}", {}, threading.Barrier(2)

        def table():
            start.wait()
            try:
                node.sql(statements[n % len(statements)].format(name))
                results["table"] = True
            except SqlError as error:
                assert error.code in ("LH0510", "LH0331"), error
                results["table"] = False

        def topic():
            admin = AdminClient({"bootstrap.servers": node.kafka})
            admin.list_topics(timeout=10)
            start.wait()
            try:
                admin.create_topics([NewTopic(name, 1)])[name].result(30)
                results["topic"] = True
            except KafkaException as error:
                assert error.args[0].code() == KafkaError.TOPIC_EXCEPTION, error
                results["topic"] = False

        threads = [threading.Thread(target=table), threading.Thread(target=topic)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert results["topic"] != results["table"], f"{name}: {results}"
        first["topic" if results["topic"] else "table"] += 1
    print(first)


def test_a_topic_made_anew_has_a_table_of_its_own(node):
    commits(node, "again", [b'{"x": 1}', b'{"x": 2}'])
    for n in range(3):
        delete(node, "again")
        commits(node, "again", [b'{"y": "new"}'])
        assert node.sql("SELECT * FROM again") == [["new"]]
    delete(node, "again")
    eventually(lambda: ["public", "again"] not in node.sql("SELECT table_schema, table_name FROM information_schema.tables"))
    node.sql("CREATE TABLE again AS SELECT 7 AS x")
    assert produce(node, "again", b'{"x": 1}').code() == KafkaError.TOPIC_EXCEPTION
    assert node.sql("SELECT * FROM again") == [[7]]


def test_a_table_and_a_topic_of_one_name_both_live_through_a_restart(make_node):
    """No door of ours lets that happen; another program that writes to the catalog may."""
    node = make_node().start()
    node.sql("CREATE TABLE precious AS SELECT x AS a FROM generate_series(1, 1000) AS g(x)")
    commits(node, "clash", [b'{"x": 1}'])
    delete(node, "clash")
    eventually(lambda: "clash" not in [row[1] for row in node.sql("SELECT table_schema, table_name FROM information_schema.tables")])
    assert create(node, "clash") is None
    catalog = SqlCatalog("lakehead", uri=f"sqlite:///{node.data}/catalog.db")
    catalog.rename_table(("public", "precious"), ("public", "clash"))
    assert produce(node, "clash", b'{"x": 1}', b'{"x": 2}') is None
    eventually(lambda: "LH0126" in node.log())
    node.kill()
    node.start()
    assert produce(node, "clash", b'{"x": 3}') is None
    assert node.sql("SELECT x FROM clash ORDER BY x") == [[1], [2], [3]]
    assert catalog.load_table(("public", "clash")).scan().to_arrow().num_rows == 1000

    delete(node, "clash")
    eventually(lambda: node.value("SELECT count(*) FROM clash") == 1000)
