#!/usr/bin/env python3
"""Debezium's connector for PostgreSQL in a Connect worker, against the broker and its schema registry.

    compat/debezium/run.py [json avro-schema …] [--kafka] [--list]

Needs PostgreSQL's server, Java 17 and Maven. The scenarios are in cdc.py, the table that changes in database.py. The
broker is killed in some of them, so it is always one of our own.
"""

import os
import pathlib
import shutil
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "java"), str(HERE.parent)]

import board  # noqa: E402
import jvm  # noqa: E402

PACKAGES = ["confluent-kafka[avro,schemaregistry]==2.12.1", "psycopg[binary]==3.2.13"]
FOLDER = board.CACHE / "debezium"
PLUGINS = FOLDER / "plugins"


def build():
    """Debezium and the Avro converter as a worker's plugins."""
    for name in ("debezium", "avro"):
        pom, folder = HERE / f"{name}.xml", PLUGINS / name
        listed = FOLDER / f"{name}.installed"
        if not listed.exists() or listed.read_text() != pom.read_text():
            shutil.rmtree(folder, ignore_errors=True)
            options = ["-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
            board.run(["mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies", *options])
            listed.write_text(pom.read_text())
    classes, jar = FOLDER / "classes", PLUGINS / "avro" / "converter.jar"
    source = HERE / "AvroConverter.java"
    if not jar.exists() or jar.stat().st_mtime < source.stat().st_mtime:
        board.run(["javac", "-cp", f"{PLUGINS}/avro/*:{jvm.classpath()}", "-d", classes, source])
        # By this file a worker finds it without looking into every class of every jar.
        services = classes / "META-INF" / "services"
        services.mkdir(parents=True, exist_ok=True)
        (services / "org.apache.kafka.connect.storage.Converter").write_text("compat.AvroConverter\n")
        board.run(["jar", "cf", jar, "-C", classes, "."])


class Setting:
    """What a scenario finds: a broker, a registry if there is one, a database, Java."""

    def __init__(self, broker, postgres):
        self.broker, self.postgres, self.jvm, self.plugins = broker, postgres, jvm.Jvm(broker.kafka), PLUGINS
        self.registry = f"http://{broker.http}" if hasattr(broker, "http") else None


def outcome(test, setting, skipped):
    """(state, seconds, cause) of one scenario."""
    began = time.monotonic()
    try:
        test(setting)
        state, cause = "PASSED", ""
    except skipped as said:
        state, cause = "SKIPPED", str(said)
    except Exception as failed:  # a scenario's fault is its own, the next one is tried
        lines = str(failed).strip().splitlines() or [type(failed).__name__]
        state, cause = "FAILED", f"{type(failed).__name__}: " + " ".join(" ".join(lines[:3]).split())[:600]
    return state, time.monotonic() - began, cause


def main():
    asked = board.arguments(__doc__.splitlines()[0]).parse_args()
    if asked.at:
        raise SystemExit("these scenarios kill the broker: they start one of their own")
    python = board.python_with(PACKAGES, FOLDER)
    build()
    if pathlib.Path(sys.prefix) != python.parent.parent:
        os.execv(python, [python, *sys.argv])
    import cdc
    from database import Postgres

    chosen = {
        name.replace("_", "-"): test
        for name, test in cdc.TESTS.items()
        if not asked.only or any(name.replace("_", "-").startswith(start) for start in asked.only)
    }
    results = {}
    with board.broker(asked) as broker:
        postgres = Postgres()
        try:
            jvm.until(postgres.is_up, 30, "PostgreSQL did not come up")
            setting = Setting(broker, postgres)
            where = f"{broker.name} ({broker.kafka}); output in {setting.jvm.output}"
            print(f"{len(chosen)} scenarios at {where}", flush=True)
            for name, test in chosen.items():
                results[name] = outcome(test, setting, cdc.Skipped)
                state, seconds, cause = results[name]
                print(f"{state:8} {name} ({seconds:.0f} s) {cause}", flush=True)
        finally:
            postgres.stop()
            if (log := broker.folder / "log").exists():
                shutil.copy(log, FOLDER / "broker.log")
    sys.exit(board.AllowList(HERE / "allow.txt").judge(results, asked))


if __name__ == "__main__":
    main()
