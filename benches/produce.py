"""Producers and consumers against Apache Kafka, driven by Kafka's own perf tools and by librdkafka's.

Three brokers in one run: Apache Kafka as it comes (no fsync), Lakehead with the same policy, Lakehead as it comes (fsync before
each acknowledgement); Lakehead with its broker role alone unless `--lake` is given. The floor is what an acknowledgement takes
without any broker (`floor.py`), at the same rate. `consume.py` is this program with `--side consume`; it reads what has just been
written twice, from the page cache and after that has forgotten it.

Client and broker share the machine's cores. Who of them is the limit is in the last columns: how many cores each kept busy, and
who had more of them if together they had nearly all; with neither it is the disk, or waiting for each other.
"""

import argparse
import os
import re
import resource
import subprocess
import time
import uuid

from acks import ack_times
from common import (BROKER_ONLY, brokers, create_topic, forget, kafka_classpath, measure_disk, percentile, progress, rdkafka_performance,
                    table)
from floor import floor_times

ACKS_SECONDS = 6
# Of all cores: with more than that in use there is nothing left to wait for.
CORES_BUSY = 0.85


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--side", choices=["produce", "consume"], default="produce")
    options.add_argument("--partitions", type=int, nargs="+", default=[1, 16, 256, 1024])
    options.add_argument("--sizes", type=int, nargs="+", default=[100, 1024])
    options.add_argument("--megabytes", type=int, default=400, help="payload of each measurement")
    options.add_argument("--tools", choices=["java", "rdkafka"], nargs="+", default=["java", "rdkafka"])
    options.add_argument("--producers", type=lambda list: [int(n) for n in list.split(",")], default=[1], help="processes that share "
                         "the payload, e.g. 1,8,64; more than one is librdkafka's tool alone: Java would measure the starts of its VMs")
    options.add_argument("--cache", choices=["cached", "cold"], nargs="+", default=["cached", "cold"], help="what a consumer finds")
    options.add_argument("--lake", action="store_true", help="with the lake, which decodes and commits every record meanwhile")
    options = options.parse_args()
    settings = "" if options.lake else BROKER_ONLY
    disk = measure_disk()
    rows = []
    for tool in options.tools:
        # How many producers there are, or what the consumer finds.
        kinds = [n for n in options.producers if n == 1 or tool != "java"] if options.side == "produce" else options.cache
        for size in options.sizes:
            for partitions in options.partitions:
                kafka = {}
                for name, start in brokers(settings):
                    for kind in kinds:
                        with start() as broker:
                            measured = measure(broker, options.side, tool, kind, size, partitions, options.megabytes)
                        if options.side == "produce":
                            syncs = name == "lakehead"
                            # While the machine is as it was a moment ago.
                            floor = floor_times(partitions, size, measured["mb_s"] / 2, ACKS_SECONDS) if syncs else None
                            measured["acks"].append(percentile(floor, 0.99) if syncs else "–")
                        peer = kafka.setdefault(kind, measured)
                        ratios = [measured[key] / peer[key] for key in ("mb_s", "cpu_s_gb", "rss_mb")]
                        rows.append([tool, size, partitions, kind, name, measured["mb_s"], ratios[0], measured["cpu_s_gb"], ratios[1],
                                     measured["rss_mb"], ratios[2], *measured["acks"], *measured["cores"]])
                        progress(rows[-1])
    kind = "producers" if options.side == "produce" else "cache"
    headings = ["tool", "record B", "partitions", kind, "broker", "MB/s", "× Kafka", "broker CPU s/GB", "× Kafka", "RSS MB", "× Kafka"]
    if options.side == "produce":
        headings += ["ack p50 ms at half load", "p99 ms", "floor p99 ms"]
    table([*headings, "broker's cores", "clients' cores", "limit"], rows)
    if options.side == "produce":
        print(f"\nbars: no fsync: ≥ 1 × Kafka's MB/s, ≤ 0.5 × CPU, ≤ 0.1 × RSS, p99 ≤ Kafka's; as it comes: ≥ 0.8 × min(Kafka's MB/s, "
              f"{disk['synced_mb_s']:.0f}), p99 ≤ {3 * disk['fdatasync_p99_ms']:.1f} ms")


def measure(broker, side, tool, kind, size, partitions, megabytes):
    (produce, consume), records = TOOLS[tool], megabytes * 1_000_000 // size
    topic = f"bench-{partitions}-{size}"
    create_topic(broker, topic, partitions)
    produce(broker, topic, size, max(1, records // 10))  # both sides warm
    if side == "consume":
        produce(broker, topic, size, records)
        consume(broker, topic, size, max(1, records // 10))
        if kind == "cold":
            for path in broker.folder.rglob("*.log"):
                forget(path)
    elif kind > 1:
        produce = many(kind)
    began, broker_cpu, clients_cpu = time.perf_counter(), broker.cpu_seconds(), children_cpu_seconds()
    mb_s = (produce if side == "produce" else consume)(broker, topic, size, records)
    wall, broker_cpu = time.perf_counter() - began, broker.cpu_seconds() - broker_cpu
    cores = broker_cpu / wall, (children_cpu_seconds() - clients_cpu) / wall
    busy = sum(cores) >= CORES_BUSY * os.cpu_count()
    limit = ("broker" if cores[0] > cores[1] else "clients") if busy else "neither"
    measured = {"mb_s": mb_s, "cpu_s_gb": broker_cpu / (size * records / 1e9), "rss_mb": broker.rss_mb(), "acks": [],
                "cores": [*cores, limit]}
    if side == "produce":
        took = ack_times(broker.kafka, topic, partitions, size, mb_s / 2, ACKS_SECONDS)
        measured["acks"] = [percentile(took, 0.5), percentile(took, 0.99)]
    return measured


def children_cpu_seconds():
    """Of the clients that have ended: the broker has not."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def many(producers):
    """So many processes of librdkafka's tool, from the start of the first to the end of the last."""

    def produce(broker, topic, size, records):
        command = [str(word) for word in rdkafka_produce_command(broker, topic, size, records // producers, producers)]
        began = time.perf_counter()
        running = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(producers)]
        if any([process.wait() for process in running]):
            raise SystemExit("a producer failed")
        return records // producers * producers * size / 1e6 / (time.perf_counter() - began)

    return produce


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
    return done.stdout + done.stderr


def java(*arguments):
    return run("java", "-Xmx512M", "-cp", kafka_classpath(), *arguments)


def java_produce(broker, topic, size, records, more=()):
    out = java("org.apache.kafka.tools.ProducerPerformance", "--topic", topic, "--num-records", records, "--record-size", size,
               "--throughput", -1, "--producer-props", f"bootstrap.servers={broker.kafka}", "acks=all", "batch.size=65536",
               "linger.ms=5", "buffer.memory=67108864", *more)
    return float(re.findall(r"\(([\d.]+) MB/sec\)", out)[-1]) * 1.048576


def java_consume(broker, topic, size, records):
    out = java("org.apache.kafka.tools.ConsumerPerformance", "--bootstrap-server", broker.kafka, "--topic", topic, "--messages",
               records, "--timeout", 60000)
    headings, values = (line.split(", ") for line in out.strip().splitlines()[-2:])
    row = dict(zip((h.strip() for h in headings), values))
    return float(row["data.consumed.in.MB"]) * 1.048576 / (float(row["fetch.time.ms"]) / 1e3)


def rdkafka_produce(broker, topic, size, records):
    out = run(*rdkafka_produce_command(broker, topic, size, records, 1))
    return float(re.findall(r"msgs/s and ([\d.]+) MB/s", out)[-1])


def rdkafka_produce_command(broker, topic, size, records, producers):
    return [rdkafka_performance(), "-P", "-t", topic, "-s", size, "-c", records, "-b", broker.kafka, "-a", -1, "-q",
            "-X", "linger.ms=5", "-X", "queue.buffering.max.messages=2000000",
            "-X", f"queue.buffering.max.kbytes={(1 << 20) // producers}"]  # for all of them what is one's default


def rdkafka_consume(broker, topic, size, records):
    out = run(rdkafka_performance(), "-G", f"bench-{uuid.uuid4()}", "-t", topic, "-c", records, "-b", broker.kafka, "-q",
              "-X", "auto.offset.reset=earliest")
    return float(re.findall(r"\(([\d.]+) MB/s\)", out)[-1])


TOOLS = {"java": (java_produce, java_consume), "rdkafka": (rdkafka_produce, rdkafka_consume)}

if __name__ == "__main__":
    main()
