"""How long a start takes after `kill -9`, by how much is kept.

The node holds so many bytes in so many partitions (`kept.py`), takes another 48 MB, spread over all partitions, which no checkpoint
has seen yet (one comes every 64 MB), and is killed. Measured are the time until all doors are ready, the time until a client has
its first record acknowledged, both from the start of the process, and the memory two seconds later. Apache Kafka does the same
without the bytes kept: it would read all of them.
"""

import argparse
import statistics
import time

from acks import acked_mb_s
from common import BROKER_ONLY, Kafka, Lakehead, create_topic, measure_disk, progress, table, touch
from kept import keep

UNSETTLED_MB = 48
HEADINGS = ["ready ms", "first ack ms", "RSS after MB"]


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--partitions", type=int, nargs="+", default=[1000])
    options.add_argument("--gb", type=float, nargs="+", default=[50])
    options.add_argument("--rounds", type=int, default=5, help="kills of each node; what is shown are medians and the slowest")
    options.add_argument("--lake", action="store_true", help="with the lake, which decodes every record meanwhile")
    options.add_argument("--no-kafka", action="store_true")
    options = options.parse_args()
    measure_disk()
    rows = []
    for partitions in options.partitions:
        if not options.no_kafka:
            with Kafka() as broker:
                create_topic(broker, "kept", partitions)
                rows.append(["kafka", partitions, 0, *restarts(broker, "kept", partitions, options.rounds)])
            progress(rows[-1])
        for gigabytes in options.gb:
            with Lakehead(settings="" if options.lake else BROKER_ONLY) as broker:
                keep(broker, "kept", partitions, gigabytes)
                rows.append(["lakehead", partitions, gigabytes, *restarts(broker, "kept", partitions, options.rounds)])
            progress(rows[-1])
    table(["broker", "partitions", "GB kept", *HEADINGS, "slowest ready ms"], rows)
    print("\nbar: ready ≤ 2,000 ms with 1,000 partitions and 50 GB")


def restarts(broker, topic, partitions, rounds):
    """Medians of the three, and the slowest start."""
    each = [restart(broker, topic, partitions) for _ in range(rounds)]
    return [*(statistics.median(column) for column in zip(*each)), max(ready for ready, _, _ in each)]


def restart(broker, topic, partitions):
    """Milliseconds to ready and to the first acknowledgement, megabytes of memory."""
    touch(broker, topic, range(partitions))
    acked_mb_s(broker.kafka, topic, partitions, 1024, UNSETTLED_MB)
    broker.kill()
    began = time.perf_counter()
    broker.start()
    touch(broker, topic, [partitions - 1])
    first_ack_ms = (time.perf_counter() - began) * 1e3
    time.sleep(2)
    return broker.ready_ms, first_ack_ms, broker.rss_mb()


if __name__ == "__main__":
    main()
