"""Bad input gets a clear error, loses nothing, and the node goes on."""

import random
import socket
import struct

import pytest
from confluent_kafka import Producer

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


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count(DISTINCT a.value * 1000003 + b.value) FROM generate_series(1, 100000) a, generate_series(1, 100000) b",
        "SELECT * FROM generate_series(1, 2000000000) ORDER BY value % 7919, value DESC",
        "SELECT repeat('x', 2000000000) || repeat('y', 2000000000)",
    ],
    ids=["distinct", "sort", "repeat"],
)
def test_a_query_that_wants_more_than_there_is_fails_alone(make_node, statement):
    node = make_node()
    with open(node.data / "lakehead.toml", "a") as settings:
        settings.write("query_memory_bytes = 268435456\n")
    node.start()
    try:
        node.sql(statement, seconds=30)
    except SqlError as error:
        assert error.code.startswith("LH05"), error
    except OSError:
        pass  # we gave up waiting, which cancels the query
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
