"""Five aggregate queries over the flights of a year × 20, against DuckDB reading the same Parquet files."""

import argparse
import json
import statistics
import sys
import time

import duckdb
from common import ROOT, Lakehead, measure_disk, table
from confluent_kafka import Producer
from pyiceberg.catalog.sql import SqlCatalog

sys.path.insert(0, str(ROOT / "tests"))
from conftest import FLIGHTS, flights_csv, json_rows, statements

QUERIES = [
    "SELECT carrier, count(*), avg(dep_delay), max(arr_delay) FROM {t} GROUP BY carrier ORDER BY carrier",
    "SELECT origin, dest, count(*), sum(distance) FROM {t} GROUP BY origin, dest ORDER BY 3 DESC, 1, 2 LIMIT 20",
    "SELECT month, count(*) FILTER (WHERE dep_delay > 15), avg(air_time) FROM {t} WHERE dep_time IS NOT NULL GROUP BY month ORDER BY month",
    "SELECT count(DISTINCT tailnum), sum(dep_delay), min(time_hour), max(time_hour) FROM {t}",
    "SELECT tailnum, count(*) AS n, sum(air_time) FROM {t} WHERE carrier IN ('UA', 'DL', 'B6') AND distance > 500 GROUP BY tailnum ORDER BY n DESC, tailnum LIMIT 10",
]


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--times", type=int, default=20)
    options.add_argument("--runs", type=int, default=5)
    options = options.parse_args()
    measure_disk()
    with Lakehead() as node:
        node.sql(next(s for s in statements(FLIGHTS / "declare.sql") if "STREAM flights" in s))
        producer = Producer({"bootstrap.servers": node.kafka, "linger.ms": 20, "queue.buffering.max.messages": 1000000})
        for row in json_rows(flights_csv()):
            producer.produce("flights", json.dumps(row))
            producer.poll(0)
        assert producer.flush(300) == 0
        node.sql(f"CREATE TABLE many AS SELECT f.* FROM flights f CROSS JOIN generate_series(1, {options.times})")
        files = SqlCatalog("lakehead", uri=f"sqlite:///{node.data}/catalog.db").load_table("public.many").scan().plan_files()
        paths = [task.file.file_path.removeprefix("file://") for task in files]
        duck = duckdb.connect()
        rows, ratios = [], []
        for number, query in enumerate(QUERIES, 1):
            ours_sql, theirs_sql = query.format(t="many"), query.format(t=f"read_parquet({paths!r})")
            ours, theirs = [], []
            for _ in range(options.runs + 1):  # the first warms both
                began = time.perf_counter()
                mine = node.sql(ours_sql)
                ours.append(time.perf_counter() - began)
                began = time.perf_counter()
                peer = duck.sql(theirs_sql).fetchall()
                theirs.append(time.perf_counter() - began)
                assert len(mine) == len(peer)
            ours, theirs = statistics.median(ours[1:]), statistics.median(theirs[1:])
            ratios.append(ours / theirs)
            rows.append([number, ours * 1e3, theirs * 1e3, ours / theirs])
        table(["query", "Lakehead ms", "DuckDB ms", "ratio"], rows)
        print(f"\n{node.sql('SELECT count(*) FROM many')[0][0]} rows in {len(paths)} files; median ratio {statistics.median(ratios):.2f} (bar ≤ 1.5)")


main()
