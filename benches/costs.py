"""What having more costs: partitions, connections, bytes kept. One of them grows at a time.

Each row: megabytes a second that one simple client has acknowledged (`acks.py`, 16 KB batches, acks=all) over all partitions while
the other clients are there and idle, the memory before and after that, then `kill -9` and a start (`restart.py`). The bytes kept
are those of `kept.py`. Apache Kafka, whose acknowledgements are not synced, does the rows without them.
"""

import argparse

from acks import acked_mb_s
from common import brokers, create_topic, measure_disk, progress, table, touch
from connections import idle_clients
from kept import keep
from restart import HEADINGS, restart

TOPIC = "costs"


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--partitions", type=int, nargs="*", default=[1, 100, 1000, 4000])
    options.add_argument("--connections", type=int, nargs="*", default=[10, 500, 5000])
    options.add_argument("--gb", type=float, nargs="*", default=[0, 10, 50])
    options.add_argument("--megabytes", type=int, default=400, help="payload of each measurement")
    options.add_argument("--no-kafka", action="store_true", help="it takes minutes to start with thousands of partitions")
    options = options.parse_args()
    measure_disk()
    # Partitions, connections, GB: what does not grow stays at what is usual.
    grow = [(partitions, 10, 0) for partitions in options.partitions]
    grow += [(100, connections, 0) for connections in options.connections if connections != 10 or 100 not in options.partitions]
    grow += [(1000, 10, gb) for gb in options.gb if gb or 1000 not in options.partitions]
    rows = []
    for row in grow:
        for name, start in brokers():
            if name == "kafka" and (row[2] or options.no_kafka):
                continue
            with start() as broker:
                rows.append([*row, name, *cost(broker, *row, options.megabytes)])
            progress(rows[-1])
    table(["partitions", "connections", "GB kept", "broker", "MB/s", "RSS idle MB", "RSS MB", *HEADINGS], rows)


def cost(broker, partitions, connections, gigabytes, megabytes):
    if gigabytes:
        keep(broker, TOPIC, partitions, gigabytes)
    else:
        create_topic(broker, TOPIC, partitions)
    touch(broker, TOPIC, range(partitions))
    acked_mb_s(broker.kafka, TOPIC, partitions, 1024, megabytes / 10)  # warm
    with idle_clients(broker.kafka, connections):
        idle = broker.rss_mb()
        rate = acked_mb_s(broker.kafka, TOPIC, partitions, 1024, megabytes)
        rss = broker.rss_mb()
    return [rate, idle, rss, *restart(broker, TOPIC, partitions)]


if __name__ == "__main__":
    main()
