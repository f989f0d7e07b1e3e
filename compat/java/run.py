#!/usr/bin/env python3
"""Kafka's own Java tools, Kafka Streams and Kafka Connect against the broker.

    compat/java/run.py [topics connect …] [--kafka | --at HOST:PORT] [--list]

Needs Java 17 and Maven, which fetches Kafka's jars once. What each test does is in tools.py, streams.py and connect.py.
"""

import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import board  # noqa: E402
import connect  # noqa: E402
import streams  # noqa: E402
import tools  # noqa: E402
from jvm import Jvm  # noqa: E402


def outcome(test, jvm):
    """(state, seconds, cause) of one test."""
    began = time.monotonic()
    try:
        test(jvm)
        state, cause = "PASSED", ""
    except (AssertionError, subprocess.SubprocessError, OSError) as failed:
        lines = str(failed).strip().splitlines() or [type(failed).__name__]
        state, cause = "FAILED", " ".join(" ".join(lines[:3]).split())[:300]
    return state, time.monotonic() - began, cause


def main():
    asked = board.arguments(__doc__.splitlines()[0]).parse_args()
    tests = {
        name.replace("_", "-"): test for module in (tools, streams, connect) for name, test in module.TESTS.items()
    }
    chosen = {n: t for n, t in tests.items() if not asked.only or any(n.startswith(o) for o in asked.only)}
    results = {}
    with board.broker(asked) as broker:
        jvm = Jvm(broker.kafka)
        print(f"{len(chosen)} tests at {broker.name} ({broker.kafka}); output in {jvm.output}", flush=True)
        for name, test in chosen.items():
            results[name] = outcome(test, jvm)
            state, seconds, cause = results[name]
            print(f"{state:8} {name} ({seconds:.0f} s) {cause}", flush=True)
    sys.exit(board.AllowList(HERE / "allow.txt").judge(results, asked))


if __name__ == "__main__":
    main()
