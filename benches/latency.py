"""Durable acknowledgements against the disk and against the floor, in turn, so that all three see the same machine.

Each round measures a synced append of 4 KB, then the floor (`floor.py`), then Lakehead as it comes, the last two with 16 KB batches
in an open loop at the same rate. What is shown is the median over the rounds: a host that pauses for a moment spoils a round.
"""

import argparse
import statistics

from acks import ack_times
from common import BROKER_ONLY, Lakehead, create_topic, percentile, sync_times, table
from floor import floor_times


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--partitions", type=int, nargs="+", default=[1, 16, 256, 1024])
    options.add_argument("--record-bytes", type=int, default=1024)
    options.add_argument("--mb-s", type=float, default=36)
    options.add_argument("--rounds", type=int, default=9)
    options.add_argument("--seconds", type=float, default=4, help="of each measurement")
    options = options.parse_args()
    rows = []
    for partitions in options.partitions:
        load = (partitions, options.record_bytes, options.mb_s, options.seconds)
        rounds = []
        with Lakehead(settings=BROKER_ONLY) as node:
            create_topic(node, "acks", partitions)
            ack_times(node.kafka, "acks", *load)  # warm
            for _ in range(options.rounds):
                disk, floor, lakehead = sync_times(), floor_times(*load), ack_times(node.kafka, "acks", *load)
                rounds.append([percentile(took, share) for took in (disk, floor, lakehead) for share in (0.5, 0.99)])
        medians = [statistics.median(column) for column in zip(*rounds)]
        rows.append([partitions, *medians, statistics.median(r[5] / r[1] for r in rounds), statistics.median(r[5] / r[3] for r in rounds)])
    headings = [f"{what} {share} ms" for what in ("disk", "floor", "Lakehead") for share in ("p50", "p99")]
    table(["partitions", *headings, "p99: × disk's", "× floor's"], rows)
    print("\nbar: p99 ≤ 3 × the disk's")


if __name__ == "__main__":
    main()
