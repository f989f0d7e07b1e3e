#!/usr/bin/env python3
"""Confluent's serializers and registry client against our schema registry, with records going through the broker.

    compat/registry/run.py [avro json …] [--list]

Confluent publishes its integration tests in no package, so scenarios.py has ours. Needs nothing but Python:
confluent-kafka is installed into target/compat.
"""

import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))

import board  # noqa: E402

PACKAGES = ["confluent-kafka[avro,json,protobuf,schemaregistry]==2.12.1"]
FOLDER = board.CACHE / "registry"


def main():
    asked = board.arguments(__doc__.splitlines()[0]).parse_args()
    if asked.kafka or asked.at:
        raise SystemExit("Apache Kafka has no registry, and an address names none: this suite starts its own node")
    python = board.python_with(PACKAGES, FOLDER)
    results = {}
    with board.broker(asked) as broker:
        print(f"registry at {broker.name} ({broker.http})", flush=True)
        environment = {**os.environ, "LAKEHEAD_KAFKA": broker.kafka, "LAKEHEAD_HTTP": broker.http}
        done = subprocess.run(
            [python, HERE / "scenarios.py", *asked.only],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=600,
        )
    for line in done.stdout.splitlines():
        print(line)
        state, name, seconds, cause = (line.split(" ", 3) + [""])[:4]
        results[name] = (state, float(seconds), cause)
    if done.returncode != 0:
        raise SystemExit(f"scenarios.py came to no end ({done.returncode})")
    sys.exit(board.AllowList(HERE / "allow.txt").judge(results, asked))


if __name__ == "__main__":
    main()
