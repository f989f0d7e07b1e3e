"""JSON records in the log → committed Iceberg table, against DuckDB's one-shot NDJSON → Parquet of the same rows."""

import argparse
import gzip
import json
import pathlib
import sys
import time

import duckdb
from common import ROOT, CACHE_DIR, Lakehead, measure_disk, table
from confluent_kafka import Producer

sys.path.insert(0, str(ROOT / "tests"))
from conftest import FLIGHTS, flights_csv, json_rows, statements


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--times", type=int, default=3, help="how often the flights are repeated")
    options = options.parse_args()
    measure_disk()
    ndjson = CACHE_DIR() / "flights.ndjson"
    lines = [json.dumps(row).encode() for row in json_rows(flights_csv())] * options.times
    ndjson.write_bytes(b"\n".join(lines) + b"\n")

    columns = "{" + ", ".join(f"{name}: '{kind}'" for name, kind in COLUMNS.items()) + "}"
    began = time.perf_counter()
    duckdb.sql(f"COPY (SELECT * FROM read_json('{ndjson}', format = 'newline_delimited', columns = {columns})) TO '{CACHE_DIR()}/flights.parquet' (FORMAT parquet, COMPRESSION zstd)")
    theirs = time.perf_counter() - began

    # The records are in the log before the lake's writer starts: only its work is measured.
    with Lakehead(settings='roles = ["broker", "gateway"]\n') as node:
        declare = next(s for s in statements(FLIGHTS / "declare.sql") if "STREAM flights" in s)
        node.sql(declare)
        producer = Producer({"bootstrap.servers": node.kafka, "linger.ms": 20, "queue.buffering.max.messages": 2000000, "queue.buffering.max.kbytes": 2000000})
        for at, line in enumerate(lines):
            producer.produce("flights", line)
            if at % 10000 == 0:
                producer.poll(0)
        assert producer.flush(300) == 0
        ours = restart_with_lake(node, len(lines))
    rows = len(lines)
    table(
        ["who", "rows/s", "MB/s of JSON", "seconds"],
        [
            ["DuckDB: NDJSON → Parquet", rows / theirs, ndjson.stat().st_size / 1e6 / theirs, theirs],
            ["Lakehead: log → committed table", rows / ours, ndjson.stat().st_size / 1e6 / ours, ours],
            ["ratio (bar ≥ 0.5)", theirs / ours, "", ""],
        ],
    )


def restart_with_lake(node, rows):
    node.stop()
    node.configure("commit_interval_ms = 200\n")
    began = time.perf_counter()
    node.start()
    while True:
        try:
            if node.sql('SELECT coalesce(max(total_records), 0) FROM "flights$snapshots"')[0][0] >= rows:
                return time.perf_counter() - began
        except Exception as error:  # the table is not there yet
            if time.perf_counter() - began > 300:
                raise error
        time.sleep(0.02)


COLUMNS = {name: "INTEGER" for name in ("year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay flight air_time distance hour minute").split()}
COLUMNS |= {name: "VARCHAR" for name in ("carrier", "tailnum", "origin", "dest")} | {"time_hour": "TIMESTAMP"}

main()
