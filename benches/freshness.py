"""From acknowledgement to visible in a SELECT, while 10,000 JSON records/s arrive."""

import argparse
import json
import threading
import time

from common import Lakehead, measure_disk, percentile, table
from confluent_kafka import Producer

import psycopg


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rate", type=int, default=10_000)
    options.add_argument("--seconds", type=int, default=30)
    options = options.parse_args()
    measure_disk()
    with Lakehead() as node:
        node.sql("CREATE STREAM ticks (id BIGINT, name VARCHAR, price DOUBLE) WITH (KAFKA_TOPIC = 'ticks', VALUE_FORMAT = 'JSON', PARTITIONS = 4)")
        stop = threading.Event()
        sender = threading.Thread(target=load, args=(node, options.rate, stop))
        sender.start()
        time.sleep(3)
        waits, queries = probe(node, options.seconds)
        stop.set()
        sender.join()
        seen = node.sql("SELECT count(*) FROM ticks")[0][0]
    table(
        ["measure", "p50 ms", "p99 ms", "bar"],
        [
            [f"acknowledged → visible, {len(waits)} probes at {options.rate} records/s", percentile(waits, 0.5), percentile(waits, 0.99), "p99 ≤ 10"],
            ["of which the SELECT that saw it", percentile(queries, 0.5), percentile(queries, 0.99), ""],
        ],
    )
    print(f"{seen} records in the topic at the end")


def load(node, rate, stop):
    producer = Producer({"bootstrap.servers": node.kafka, "linger.ms": 2, "queue.buffering.max.messages": 1000000})
    began, sent = time.perf_counter(), 0
    while not stop.is_set():
        due = int((time.perf_counter() - began) * rate)
        while sent < due:
            producer.produce("ticks", json.dumps({"id": sent, "name": f"name-{sent % 1000}", "price": sent * 0.01}), key=str(sent))
            sent += 1
        producer.poll(0)
        time.sleep(0.002)
    producer.flush(30)


def probe(node, seconds):
    """One record at a time: acknowledged, then asked for until it is seen."""
    host, port = node.ports["pg"].rsplit(":", 1)
    waits, queries = [], []
    producer = Producer({"bootstrap.servers": node.kafka, "linger.ms": 0, "acks": "all"})
    places = []
    with psycopg.connect(host=host, port=port, user="lakehead", dbname="lakehead", autocommit=True) as connection:
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            places.clear()
            producer.produce("ticks", '{"id": -1, "name": "probe", "price": 0}', partition=0, on_delivery=lambda e, m: places.append((e, m.offset())))
            while not places:
                producer.poll(1)
            acknowledged = time.perf_counter()
            error, offset = places[0]
            assert error is None, error
            while True:
                asked = time.perf_counter()
                found = connection.execute(f"SELECT id FROM ticks WHERE _partition = 0 AND _offset = {offset}").fetchone()
                now = time.perf_counter()
                if found:
                    assert found[0] == -1
                    waits.append((now - acknowledged) * 1e3)
                    queries.append((now - asked) * 1e3)
                    break
            time.sleep(0.02)
    return waits, queries


main()
