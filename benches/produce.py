"""Producers and consumers against Apache Kafka, driven by Kafka's own perf tools.

Three brokers in one run: Apache Kafka as it comes (no fsync), Lakehead with the same policy, Lakehead as it comes (fsync before
each acknowledgement). `consume.py` is this program with `--side consume`.
"""

import argparse
import pathlib
import re
import subprocess
import sys

from common import Kafka, Lakehead, kafka_classpath, measure_disk, table
from confluent_kafka.admin import AdminClient, NewTopic


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--side", choices=["produce", "consume"], default="produce")
    options.add_argument("--partitions", type=int, nargs="+", default=[1, 16, 256, 1024])
    options.add_argument("--sizes", type=int, nargs="+", default=[100, 1024])
    options.add_argument("--megabytes", type=int, default=400, help="payload of each measurement")
    options.add_argument("--broker-only", action="store_true", help="without the lake, which decodes and commits every record meanwhile")
    options = options.parse_args()
    settings = 'roles = ["broker"]\n' if options.broker_only else ""
    disk = measure_disk()
    rows = []
    for size in options.sizes:
        for partitions in options.partitions:
            records = options.megabytes * 1_000_000 // size
            measured = {}
            for name, start in (
                ("kafka", Kafka),
                ("lakehead, no fsync", lambda: Lakehead("--unsafe-ack-before-fsync", settings=settings)),
                ("lakehead", lambda: Lakehead(settings=settings)),
            ):
                with start() as broker:
                    measured[name] = measure(broker, options.side, partitions, size, records)
            kafka = measured["kafka"]
            for name, m in measured.items():
                rows.append([size, partitions, name, m["mb_s"], m["mb_s"] / kafka["mb_s"], m["cpu_s_gb"],
                             m["cpu_s_gb"] / kafka["cpu_s_gb"], m["rss_mb"], m["rss_mb"] / kafka["rss_mb"], m["half_p50"], m["half_p99"]])
                print(*(f"{c:.2f}" if isinstance(c, float) else c for c in rows[-1]), file=sys.stderr)
    table(["record B", "partitions", "broker", "MB/s", "× Kafka", "broker CPU s/GB", "× Kafka", "RSS MB", "× Kafka",
           "p50 ms at half load", "p99 ms at half load"], rows)
    print(f"\nbars: no fsync: ≥ 1 × Kafka's MB/s, ≤ 0.5 × CPU, ≤ 0.1 × RSS, p99 ≤ Kafka's; as it comes: ≥ 0.8 × min(Kafka's MB/s, "
          f"{disk['synced_mb_s']:.0f}), p99 ≤ {3 * disk['fdatasync_p99_ms']:.1f} ms")


def measure(broker, side, partitions, size, records):
    topic = f"bench-{partitions}-{size}"
    admin = AdminClient({"bootstrap.servers": broker.kafka})
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(120)
    produce(broker, topic, size, max(1, records // 10), -1)  # both sides warm
    if side == "consume":
        produce(broker, topic, size, records, -1)
    cpu = broker.cpu_seconds()
    if side == "produce":
        full = produce(broker, topic, size, records, -1)
    else:
        full = consume(broker, topic, size, records)
    spent = broker.cpu_seconds() - cpu
    rss = broker.rss_mb()
    half = {"p50": float("nan"), "p99": float("nan")}
    if side == "produce":
        rate = max(1, int(full["mb_s"] * 1e6 / size / 2))
        half = produce(broker, topic, size, min(records, rate * 8), rate)
    return {"mb_s": full["mb_s"], "cpu_s_gb": spent / (size * records / 1e9), "rss_mb": rss, "half_p50": half["p50"], "half_p99": half["p99"]}


def tool(*arguments):
    java = ["java", "-Xmx512M", "-cp", kafka_classpath()]
    done = subprocess.run([*java, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
    return done.stdout


def produce(broker, topic, size, records, rate):
    out = tool("org.apache.kafka.tools.ProducerPerformance", "--topic", topic, "--num-records", str(records), "--record-size", str(size),
               "--throughput", str(rate), "--producer-props", f"bootstrap.servers={broker.kafka}", "acks=all", "batch.size=65536", "linger.ms=5",
               "buffer.memory=67108864")
    last = out.strip().splitlines()[-1]
    mb_s = float(re.search(r"\(([\d.]+) MB/sec\)", last)[1]) * 1.048576
    p50, p95, p99, p999 = (float(ms) for ms in re.search(r"(\d+) ms 50th, (\d+) ms 95th, (\d+) ms 99th, (\d+) ms 99.9th", last).groups())
    return {"mb_s": mb_s, "p50": p50, "p99": p99, "p999": p999}


def consume(broker, topic, size, records):
    out = tool("org.apache.kafka.tools.ConsumerPerformance", "--bootstrap-server", broker.kafka, "--topic", topic, "--messages", str(records),
               "--timeout", "60000")
    headings, values = (line.split(", ") for line in out.strip().splitlines()[-2:])
    row = dict(zip((h.strip() for h in headings), values))
    seconds = float(row["fetch.time.ms"]) / 1e3
    return {"mb_s": float(row["data.consumed.in.MB"]) * 1.048576 / seconds}


if __name__ == "__main__":
    main()
