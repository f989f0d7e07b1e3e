"""Durable acknowledgements against the disk and against the floor, in turn, so that all three see the same machine.

Each round measures synced appends of 4 KB and the floor (`floor.py`), Lakehead as it comes, and disk and floor again, each for as
long; floor and Lakehead with 16 KB batches in an open loop at the same rate. A virtual machine's host stalls its disk for tens of
milliseconds now and then. A round is *quiet* if the floor kept the bar before and after it: only then can anybody keep it who syncs
before answering. Medians over all rounds and over the quiet ones are shown; rounds go on until there are enough quiet ones, or too
many.
"""

import argparse
import statistics
from dataclasses import dataclass

from acks import ack_times
from common import BROKER_ONLY, Lakehead, create_topic, percentile, sync_times, table
from floor import floor_times

BAR = 3  # times the disk's p99


@dataclass
class Round:
    disk: tuple
    floor: tuple
    lakehead: tuple

    @property
    def is_quiet(self):
        return self.floor[1] <= BAR * self.disk[1]


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--partitions", type=int, nargs="+", default=[1, 16, 256, 1024])
    options.add_argument("--record-bytes", type=int, default=1024)
    options.add_argument("--mb-s", type=float, default=36)
    options.add_argument("--quiet-rounds", type=int, default=5, help="enough of them")
    options.add_argument("--rounds", type=int, default=40, help="at most")
    options.add_argument("--seconds", type=float, default=2, help="of each measurement")
    options = options.parse_args()
    rows = []
    for partitions in options.partitions:
        rounds = list(measure(options, partitions))
        for name, of in (("all", rounds), ("quiet", [r for r in rounds if r.is_quiet])):
            if of:
                rows.append([partitions, f"{len(of)} {name}", *summary(of)])
    headings = [f"{what} {share} ms" for what in ("disk", "floor", "Lakehead") for share in ("p50", "p99")]
    table(["partitions", "rounds", *headings, "p99: × disk's", "× floor's"], rows)
    print(f"\nbar: p99 ≤ {BAR} × the disk's")


def measure(options, partitions):
    load = (partitions, options.record_bytes, options.mb_s, options.seconds)
    quiet = 0
    with Lakehead(settings=BROKER_ONLY) as node:
        create_topic(node, "acks", partitions)
        ack_times(node.kafka, "acks", *load)  # warm
        for _ in range(options.rounds):
            before = shares(sync_times(seconds=options.seconds)), shares(floor_times(*load))
            lakehead = shares(ack_times(node.kafka, "acks", *load))
            after = shares(sync_times(seconds=options.seconds)), shares(floor_times(*load))
            # The bar is the stricter of the two, the floor the worse.
            measured = Round(min(before[0], after[0], key=p99), max(before[1], after[1], key=p99), lakehead)
            quiet += measured.is_quiet
            yield measured
            if quiet == options.quiet_rounds:
                return


def shares(took):
    return percentile(took, 0.5), percentile(took, 0.99)


def p99(measured):
    return measured[1]


def summary(rounds):
    times = [statistics.median(getattr(r, what)[at] for r in rounds) for what in ("disk", "floor", "lakehead") for at in (0, 1)]
    return [*times, *(statistics.median(p99(r.lakehead) / p99(of(r)) for r in rounds) for of in (lambda r: r.disk, lambda r: r.floor))]


if __name__ == "__main__":
    main()
