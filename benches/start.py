"""Empty folder to all doors ready, idle memory, size of the binary."""

import pathlib
import statistics
import time

from common import BINARY, Lakehead, measure_disk, table

measure_disk()
ready, idle = [], []
for _ in range(9):
    with Lakehead() as node:
        ready.append(node.ready_ms)
        time.sleep(2)
        idle.append(node.rss_mb())
table(
    ["measure", "value", "bar"],
    [
        ["empty folder to all doors ready, median of 9, ms", statistics.median(ready), "≤ 100"],
        ["slowest of 9, ms", max(ready), ""],
        ["resident memory after 2 s idle, median, MB", statistics.median(idle), "≤ 60"],
        ["size of the release binary, MB", pathlib.Path(BINARY).stat().st_size / 1e6, "recorded"],
    ],
)
