"""What exactly-once costs a producer: transactions with a commit every 100 ms against the same records, idempotent only.

The same client (confluent-kafka) with the same batching does both in turn, and begins each round with the other one; shown are
medians over the rounds. `java` is Kafka's own `ProducerPerformance`, with and without `--transaction-duration-ms`.
"""

import argparse
import statistics
import time

from common import brokers, create_topic, measure_disk, progress, table
from confluent_kafka import Producer
from produce import java_produce

SIZE = 1024
VALUE = bytes((i * 7 + i // 251) % 256 for i in range(SIZE))


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--partitions", type=int, nargs="+", default=[1, 16])
    options.add_argument("--commit-ms", type=int, default=100)
    options.add_argument("--megabytes", type=int, default=300, help="payload of each measurement")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--tools", choices=["confluent", "java"], nargs="+", default=["confluent", "java"])
    options = options.parse_args()
    measure_disk()
    rows = []
    for tool in options.tools:
        for partitions in options.partitions:
            for name, start in brokers():
                with start() as broker:
                    create_topic(broker, "transactions", partitions)
                    measured = rounds(TOOLS[tool], broker, options)
                rows.append([tool, partitions, name, *measured])
                progress(rows[-1])
    headings = ["idempotent MB/s", f"commit each {options.commit_ms} ms, MB/s", "overhead %", "of the rounds, %"]
    table(["tool", "partitions", "broker", *headings, "transactions/s", "commit p50 ms"], rows)
    print("\nbar: overhead ≤ 5 %")


def rounds(produce, broker, options):
    """Medians: MB/s without and with, overhead, and its range; transactions in a second, and what a commit takes."""
    count = options.megabytes * 1_000_000 // SIZE
    for commit_ms in (None, options.commit_ms):
        produce(broker, max(1, count // 10), commit_ms)  # warm
    plain, transactional, seconds, took = [], [], 0, []
    for at in range(options.rounds):
        for commit_ms in (None, options.commit_ms)[:: -1 if at % 2 else 1]:
            mb_s, commits = produce(broker, count, commit_ms)
            (transactional if commit_ms else plain).append(mb_s)
            seconds += count * SIZE / 1e6 / mb_s if commit_ms else 0
            took += commits
    overheads = [(1 - with_them / without) * 100 for without, with_them in zip(plain, transactional)]
    ranges = f"{min(overheads):.1f} … {max(overheads):.1f}"
    commits = [len(took) / seconds, statistics.median(took)] if took else ["–", "–"]
    return [statistics.median(plain), statistics.median(transactional), statistics.median(overheads), ranges, *commits]


def confluent(broker, count, commit_ms):
    """MB/s from the first record until all are acknowledged and committed; milliseconds of each commit."""
    commits, failed = [], []
    settings = {"bootstrap.servers": broker.kafka, "enable.idempotence": True, "linger.ms": 5, "batch.size": 65536, "log_level": 0}
    # A commit waits for all that is queued: with the 100 MB a client may queue otherwise, a transaction would take a second.
    settings |= {"queue.buffering.max.kbytes": 4096}
    settings |= {"delivery.report.only.error": True, "on_delivery": lambda error, _: failed.append(error)}
    producer = Producer(settings | ({"transactional.id": "bench"} if commit_ms else {}))

    def commit():
        began = time.perf_counter()
        producer.commit_transaction(60)
        commits.append((time.perf_counter() - began) * 1e3)

    if commit_ms:
        producer.init_transactions(60)
    else:
        producer.list_topics(timeout=60)
    began = committed = time.perf_counter()
    if commit_ms:
        producer.begin_transaction()
    for at in range(count):
        while True:
            try:
                producer.produce("transactions", VALUE)
                break
            except BufferError:
                producer.poll(0.001)
        if at % 64 == 0:
            producer.poll(0)
            if commit_ms and time.perf_counter() - committed >= commit_ms / 1e3:
                commit()
                producer.begin_transaction()
                committed = time.perf_counter()
    if commit_ms:
        commit()
    elif left := producer.flush(120):
        raise SystemExit(f"{left} records were not acknowledged")
    took = time.perf_counter() - began
    if failed:
        raise SystemExit(f"{len(failed)} records failed, the first with {failed[0]}")
    return count * SIZE / 1e6 / took, commits


def java(broker, count, commit_ms):
    more = ["--transactional-id", "bench", "--transaction-duration-ms", commit_ms] if commit_ms else []
    return java_produce(broker, "transactions", SIZE, count, more), []


TOOLS = {"confluent": confluent, "java": java}

if __name__ == "__main__":
    main()
