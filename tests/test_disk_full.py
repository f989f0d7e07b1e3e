"""Disk full: writes are refused with a clear error, reads go on, and writing resumes without a restart."""

import errno
import subprocess

import pytest
from confluent_kafka import Producer

from conftest import SqlError, eventually


@pytest.fixture
def small_disk(tmp_path):
    mount = tmp_path / "small"
    mount.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300m", "tmpfs", str(mount)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_full_disk_refuses_writes_and_recovers(make_node, small_disk):
    node = make_node("--partitions", "1", data=small_disk / "data").start()
    node.sql("CREATE STREAM fill (id BIGINT) WITH (KAFKA_TOPIC = 'fill', VALUE_FORMAT = 'JSON', PARTITIONS = 1)")
    assert produce(node, b'{"id": 1}') is None

    # Somebody else takes all the room but a little.
    ballast = fill(small_disk, 1 << 20)
    acknowledged, refused = 1, None
    for id in range(2, 2000):
        refused = produce(node, b'{"id": %d, "pad": "%s"}' % (id, b"x" * 500_000))
        if refused:
            break
        acknowledged += 1
    assert refused, "the disk never filled"
    assert node.is_up(), node.log()[-3000:]
    assert "LH0003" in node.log(), f"refused with {refused}, but the log does not say why"
    assert node.value("SELECT count(*) FROM fill") == acknowledged, "what was acknowledged is read, and nothing else"

    ballast.unlink()
    eventually(lambda: produce(node, b'{"id": 1000000}') is None, seconds=60)
    assert node.value("SELECT count(*) FROM fill WHERE id = 1000000") >= 1
    assert node.value("SELECT count(*) FROM fill") >= acknowledged + 1
    node.kill()
    node.start()
    assert node.value("SELECT count(*) FROM fill") >= acknowledged + 1


def test_the_catalog_goes_on_once_there_is_room(make_node, small_disk):
    node = make_node("--partitions", "1", data=small_disk / "data").start()
    assert produce(node, b'{"id": 1}') is None
    eventually(lambda: node.in_table("fill") == 1)
    for _ in range(2):
        ballast = fill(small_disk, 0)
        with pytest.raises(SqlError) as refused:
            for n in range(2000):
                node.sql(f"CREATE VIEW v{n} AS SELECT '{'x' * 10_000}' AS a")
                node.sql(f"DROP VIEW v{n}")
        assert refused.value.code == "LH0003"
        ballast.unlink()
        node.sql("CREATE OR REPLACE VIEW v AS SELECT 1 AS a")
        assert node.value("SELECT a FROM v") == 1
    assert produce(node, b'{"id": 2}') is None
    eventually(lambda: node.in_table("fill") == 2, seconds=60)


def fill(disk, room):
    """Takes all of a disk but a little."""
    ballast = disk / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        try:
            while file.write(b"\0" * (1 << 20)):
                pass
        except OSError as error:
            assert error.errno == errno.ENOSPC
        file.truncate(file.tell() - room)
    return ballast


def produce(node, value):
    """Sends one record; gives the error, if any."""
    producer = Producer({"bootstrap.servers": node.kafka, "message.timeout.ms": 3000, "retries": 0})
    errors = []
    producer.produce("fill", value, on_delivery=lambda error, _: errors.append(error))
    producer.flush(10)
    return errors[0] if errors else "no answer"
