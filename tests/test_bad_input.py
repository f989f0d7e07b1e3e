"""Bad input gets a clear error, loses nothing, and the node goes on."""

import json
import os
import pathlib
import random
import socket
import struct
import threading
import time

import psycopg
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from conftest import SqlError, eventually


def goes_on(node):
    assert node.is_up(), node.log()[-3000:]
    assert node.value("SELECT 41 + 1") == 42


@pytest.mark.parametrize("door", ["kafka", "http", "pg"])
def test_random_bytes_and_half_frames_harm_no_door(node, door):
    host, port = node.ports[door].rsplit(":", 1)
    chance = random.Random(door)
    for attempt in range(200):
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            junk = chance.randbytes(chance.choice([1, 3, 4, 7, 60, 4000]))
            match attempt % 4:
                case 0:
                    connection.sendall(junk)
                case 1:  # half a frame
                    connection.sendall(struct.pack(">i", 1000) + junk)
                case 2:  # a frame of a claimed 2 GB
                    connection.sendall(struct.pack(">i", 2**31 - 1) + junk)
                case 3:  # a request that is one by its header only
                    body = struct.pack(">hhih", chance.choice(range(0, 80)), chance.choice(range(0, 14)), attempt, -1) + junk
                    connection.sendall(struct.pack(">i", len(body)) + body)
    goes_on(node)
    assert node.rss_mb() < 1500


def test_a_corrupt_batch_is_refused_and_nothing_is_appended(node):
    node.run("topics", "create", "corrupt", "--partitions", "1")
    batch = bytearray(record_batch(b"hello"))
    assert produce(node, "corrupt", bytes(batch)) == (0, 0)
    batch[-1] ^= 1
    assert produce(node, "corrupt", bytes(batch))[0] == 2  # CORRUPT_MESSAGE
    assert produce(node, "corrupt", bytes(record_batch(b"again"))) == (0, 1)
    assert node.value('SELECT count(*) FROM "corrupt"') == 2


def test_an_oversized_record_is_refused_with_kafkas_code(node):
    node.run("topics", "create", "narrow", "--partitions", "1")
    producer = Producer({"bootstrap.servers": node.kafka, "message.max.bytes": 8000000})
    errors = []
    producer.produce("narrow", b"x" * 4000000, on_delivery=lambda error, _: errors.append(error))
    producer.flush(30)
    assert errors[0].name() == "MSG_SIZE_TOO_LARGE"
    goes_on(node)


def test_what_cannot_be_decoded_is_kept_and_the_topic_goes_on(node):
    node.sql("CREATE STREAM orders (id BIGINT, item VARCHAR) WITH (KAFKA_TOPIC = 'orders', VALUE_FORMAT = 'JSON', PARTITIONS = 1)")
    node.sql("CREATE STREAM clicks (id BIGINT) WITH (KAFKA_TOPIC = 'clicks', VALUE_FORMAT = 'AVRO', PARTITIONS = 1)")
    producer = Producer({"bootstrap.servers": node.kafka})
    for value in (b'{"id": 1, "item": "pen"}', b'{"id": 2, "item"', b'{"id": "many", "item": "ink"}', b'{"id": 4, "item": "nib"}'):
        producer.produce("orders", value)
    producer.produce("clicks", b"\x00" + struct.pack(">i", 999999) + b"??")  # a schema id nobody registered
    assert producer.flush(30) == 0
    assert node.sql("SELECT id, item FROM orders ORDER BY id") == [[1, "pen"], [4, "nib"]]
    ask = "SELECT topic, record_offset, cause FROM _exceptions ORDER BY topic, record_offset"
    rows = eventually(lambda: (rows := exceptions(node, ask)) and len(rows) >= 3 and rows)
    assert [(topic, offset) for topic, offset, _ in rows] == [("clicks", 0), ("orders", 1), ("orders", 2)]
    assert "999999" in rows[0][2]
    goes_on(node)


def exceptions(node, ask):
    try:
        return node.sql(ask)
    except SqlError:
        return []  # nothing has failed yet, so there is no such topic


@pytest.mark.parametrize(
    "statement",
    [
        "SELEC 1",
        "SELECT",
        "SELECT * FROM nowhere",
        "SELECT nothing FROM (SELECT 1 AS something)",
        "SELECT 'unclosed",
        "SELECT 1 / 0",
        "SELECT CAST('abc' AS BIGINT)",
        "INSERT INTO nowhere VALUES (1)",
        "CREATE STREAM s (a INT) WITH (KAFKA_TOPIC = 'nowhere', VALUE_FORMAT = 'JSON')",
        "CREATE TABLE t AS SELECT * FROM '/etc/passwd'",
        "COPY (SELECT 1) TO '/etc/lakehead.csv'",
        "SELECT " + "(" * 5000 + "1" + ")" * 5000,
        "SELECT " + "+".join(["1"] * 20000),
        "\x00\x01\x02",
    ],
    ids=lambda statement: statement[:30],
)
def test_sql_that_cannot_work_says_so_with_a_code(node, statement):
    with pytest.raises(SqlError) as caught:
        node.sql(statement)
    error = caught.value
    assert 400 <= error.status < 500 or error.status == 501, error
    assert error.code.startswith("LH05") or error.code.startswith("LH01") or error.code.startswith("LH03"), error
    assert error.error["message"]
    goes_on(node)


# The queries below are busy for hours: whoever gets an answer in this time did not wait for them.
PATIENCE = 30.0
BUSY = {
    "cross join": "SELECT count(DISTINCT a % 7 + b % 11) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b",
    "join without a match": "SELECT count(*) FROM generate_series(1, 1000000) a JOIN generate_series(1, 1000000) b ON a + b < 0",
}


def timed(work):
    """What `work` gives, if it takes no longer than anybody may have to wait."""
    begun = time.monotonic()
    result = work()
    took = time.monotonic() - begun
    assert took < PATIENCE, f"{took:.2f} s"
    return result


def processors_in_use(node, seconds=1.0):
    def used():
        fields = pathlib.Path(f"/proc/{node.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before, begun = used(), time.monotonic()
    time.sleep(seconds)
    return (used() - before) / (time.monotonic() - begun)


def pg(node):
    host, port = node.ports["pg"].rsplit(":", 1)
    return psycopg.connect(host=host, port=port, user="lakehead", dbname="lakehead", autocommit=True)


@pytest.mark.parametrize("query", BUSY.values(), ids=BUSY.keys())
def test_a_busy_query_keeps_no_door_waiting_and_ends_when_cancelled(node, query):
    topic = f"beside-{len(query)}"
    node.run("topics", "create", topic, "--partitions", "1")
    producer = Producer({"bootstrap.servers": node.kafka, "linger.ms": 0})
    consumer = Consumer({"bootstrap.servers": node.kafka, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, 0, 0)])

    def produce_and_consume(value):
        producer.produce(topic, value)
        assert producer.flush(30) == 0
        message = consumer.poll(30)
        assert message is not None and message.error() is None and message.value() == value

    produce_and_consume(b"before")  # connections are open, caches warm
    ended = []
    with pg(node) as busy, pg(node) as other:

        def run():
            try:
                busy.execute(query)
            except psycopg.Error as error:
                ended.append(error.sqlstate)
            else:
                ended.append("done")

        runner = threading.Thread(target=run)
        runner.start()
        eventually(lambda: processors_in_use(node) > 0.1)
        for attempt in range(5):
            timed(lambda: produce_and_consume(b"%d" % attempt))
            assert timed(lambda: json.load(node.request("/api/status")))["version"]
            assert timed(lambda: other.execute("SELECT 1").fetchone()) == (1,)
            assert timed(lambda: node.value("SELECT 1")) == 1
        assert runner.is_alive() and not ended

        def cancel():
            busy.cancel()
            runner.join(30)

        timed(cancel)
        assert ended == ["57014"]  # query_canceled
        eventually(lambda: processors_in_use(node) < 0.1, seconds=20)
        assert busy.execute("SELECT 1").fetchone() == (1,)
    consumer.close()


def test_a_query_whose_client_went_away_ends(node):
    host, port = node.ports["http"].rsplit(":", 1)
    for query in BUSY.values():
        body = query.encode()
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            head = f"POST /sql HTTP/1.1\r\nhost: {node.ports['http']}\r\ncontent-type: text/plain\r\ncontent-length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            eventually(lambda: processors_in_use(node) > 0.1)
        eventually(lambda: processors_in_use(node) < 0.1, seconds=20)
    goes_on(node)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT array_agg(repeat('x', 1000)) FROM generate_series(1, 10000000)",
        "SELECT repeat('x', 2000000000) || repeat('y', 2000000000)",
    ],
    ids=["list", "repeat"],
)
def test_a_query_that_wants_more_memory_than_there_is_fails_alone(make_node, statement):
    node = make_node()
    with open(node.data / "lakehead.toml", "a") as settings:
        settings.write("query_memory_bytes = 268435456\n")
    node.start()
    with pytest.raises(SqlError) as caught:
        node.sql(statement)
    assert caught.value.code == "LH0506", caught.value
    goes_on(node)
    assert node.rss_mb() < 2000


def record_batch(value):
    """A batch of one record, by the book (Kafka protocol, record batch v2)."""
    record = b"\x00\x00\x00\x01" + bytes([len(value) * 2]) + value + b"\x00"
    record = bytes([len(record) * 2]) + record
    body = struct.pack(">hiqqqhii", 0, 0, 0, 0, -1, -1, -1, 1) + record
    return struct.pack(">qiibI", 0, len(body) + 9, -1, 2, crc32c(body)) + body


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def produce(node, topic, batch):
    """Produce v3 by hand; gives (error code, base offset)."""
    body = struct.pack(">hhih", 0, 3, 1, -1)
    body += struct.pack(">hhii", -1, -1, 30000, 1) + struct.pack(">h", len(topic)) + topic.encode()
    body += struct.pack(">iii", 1, 0, len(batch)) + batch
    host, port = node.kafka.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        answer = connection.makefile("rb")
        answer = answer.read(struct.unpack(">i", answer.read(4))[0])
    at = 4 + 4 + 2 + len(topic) + 4
    _, error, offset = struct.unpack_from(">ihq", answer, at)
    return error, offset
