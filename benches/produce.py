"""Producers and consumers against Apache Kafka, driven by Kafka's own perf tools and by librdkafka's.

Three brokers in one run: Apache Kafka as it comes (no fsync), Lakehead with the same policy, Lakehead as it comes (fsync before
each acknowledgement); Lakehead with its broker role alone unless `--lake` is given. The floor is what an acknowledgement takes
without any broker (`floor.py`), at the same rate. `consume.py` is this program with `--side consume`.
"""

import argparse
import re
import subprocess
import sys

from acks import ack_times
from common import Kafka, Lakehead, kafka_classpath, measure_disk, percentile, rdkafka_performance, table
from confluent_kafka.admin import AdminClient, NewTopic
from floor import floor_times

ACKS_SECONDS = 6


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--side", choices=["produce", "consume"], default="produce")
    options.add_argument("--partitions", type=int, nargs="+", default=[1, 16, 256, 1024])
    options.add_argument("--sizes", type=int, nargs="+", default=[100, 1024])
    options.add_argument("--megabytes", type=int, default=400, help="payload of each measurement")
    options.add_argument("--tools", choices=["java", "rdkafka"], nargs="+", default=["java", "rdkafka"])
    options.add_argument("--lake", action="store_true", help="with the lake, which decodes and commits every record meanwhile")
    options = options.parse_args()
    settings = "" if options.lake else 'roles = ["broker"]\n'
    disk = measure_disk()
    rows = []
    for tool in options.tools:
        produce, consume = TOOLS[tool]
        for size in options.sizes:
            for partitions in options.partitions:
                records = options.megabytes * 1_000_000 // size
                kafka = None
                for name, start in (
                    ("kafka", Kafka),
                    ("lakehead, no fsync", lambda: Lakehead("--unsafe-ack-before-fsync", settings=settings)),
                    ("lakehead", lambda: Lakehead(settings=settings)),
                ):
                    with start() as broker:
                        topic = f"bench-{partitions}-{size}"
                        admin = AdminClient({"bootstrap.servers": broker.kafka})
                        admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(120)
                        measured = measure(broker, options.side, produce, consume, topic, size, partitions, records)
                    if options.side == "produce":
                        syncs = name == "lakehead"
                        # While the machine is as it was a moment ago.
                        floor = floor_times(partitions, size, measured["mb_s"] / 2, ACKS_SECONDS) if syncs else None
                        measured["acks"].append(percentile(floor, 0.99) if syncs else "–")
                    kafka = kafka or measured
                    ratios = [measured[key] / kafka[key] for key in ("mb_s", "cpu_s_gb", "rss_mb")]
                    rows.append([tool, size, partitions, name, measured["mb_s"], ratios[0], measured["cpu_s_gb"], ratios[1],
                                 measured["rss_mb"], ratios[2], *measured["acks"]])
                    print(*(f"{c:.2f}" if isinstance(c, float) else c for c in rows[-1]), file=sys.stderr, flush=True)
    headings = ["tool", "record B", "partitions", "broker", "MB/s", "× Kafka", "broker CPU s/GB", "× Kafka", "RSS MB", "× Kafka"]
    if options.side == "produce":
        headings += ["ack p50 ms at half load", "p99 ms", "floor p99 ms"]
    table(headings, rows)
    if options.side == "produce":
        print(f"\nbars: no fsync: ≥ 1 × Kafka's MB/s, ≤ 0.5 × CPU, ≤ 0.1 × RSS, p99 ≤ Kafka's; as it comes: ≥ 0.8 × min(Kafka's MB/s, "
              f"{disk['synced_mb_s']:.0f}), p99 ≤ {3 * disk['fdatasync_p99_ms']:.1f} ms")


def measure(broker, side, produce, consume, topic, size, partitions, records):
    produce(broker, topic, size, max(1, records // 10))  # both sides warm
    if side == "consume":
        produce(broker, topic, size, records)
    cpu = broker.cpu_seconds()
    mb_s = (produce if side == "produce" else consume)(broker, topic, size, records)
    spent = broker.cpu_seconds() - cpu
    measured = {"mb_s": mb_s, "cpu_s_gb": spent / (size * records / 1e9), "rss_mb": broker.rss_mb(), "acks": []}
    if side == "produce":
        took = ack_times(broker.kafka, topic, partitions, size, mb_s / 2, ACKS_SECONDS)
        measured["acks"] = [percentile(took, 0.5), percentile(took, 0.99)]
    return measured


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
    return done.stdout + done.stderr


def java(*arguments):
    return run("java", "-Xmx512M", "-cp", kafka_classpath(), *arguments)


def java_produce(broker, topic, size, records):
    out = java("org.apache.kafka.tools.ProducerPerformance", "--topic", topic, "--num-records", records, "--record-size", size,
               "--throughput", -1, "--producer-props", f"bootstrap.servers={broker.kafka}", "acks=all", "batch.size=65536",
               "linger.ms=5", "buffer.memory=67108864")
    return float(re.findall(r"\(([\d.]+) MB/sec\)", out)[-1]) * 1.048576


def java_consume(broker, topic, size, records):
    out = java("org.apache.kafka.tools.ConsumerPerformance", "--bootstrap-server", broker.kafka, "--topic", topic, "--messages",
               records, "--timeout", 60000)
    headings, values = (line.split(", ") for line in out.strip().splitlines()[-2:])
    row = dict(zip((h.strip() for h in headings), values))
    return float(row["data.consumed.in.MB"]) * 1.048576 / (float(row["fetch.time.ms"]) / 1e3)


def rdkafka_produce(broker, topic, size, records):
    out = run(rdkafka_performance(), "-P", "-t", topic, "-s", size, "-c", records, "-b", broker.kafka, "-a", -1, "-q",
              "-X", "linger.ms=5", "-X", "queue.buffering.max.messages=2000000")
    return float(re.findall(r"msgs/s and ([\d.]+) MB/s", out)[-1])


def rdkafka_consume(broker, topic, size, records):
    out = run(rdkafka_performance(), "-G", f"bench-{records}", "-t", topic, "-c", records, "-b", broker.kafka, "-q",
              "-X", "auto.offset.reset=earliest")
    return float(re.findall(r"\(([\d.]+) MB/s\)", out)[-1])


TOOLS = {"java": (java_produce, java_consume), "rdkafka": (rdkafka_produce, rdkafka_consume)}

if __name__ == "__main__":
    main()
