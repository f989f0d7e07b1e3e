#!/usr/bin/env python3
"""kafka-python's integration tests against the broker.

    compat/kafka-python/run.py [test_admin_integration …] [--kafka | --at HOST:PORT] [--list]

They come with the source archive on PyPI (the wheel has none). SASL and TLS tests skip themselves or fail: they
would start brokers of their own.
"""

import os
import pathlib
import sys
import tarfile
import xml.etree.ElementTree as xml

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))

import board  # noqa: E402

VERSION = "3.0.12"
FOLDER = board.CACHE / "kafka-python"
SOURCES = FOLDER / f"kafka_python-{VERSION}"
PYTHON = FOLDER / "venv" / "bin" / "python"

# What the tests' fixtures import to name a broker that is up already, or to start one, which is not our concern.
SERVICES = """
import pytest


class ExternalService:
    def __init__(self, host, port):
        self.host, self.port = host, port


class SpawnedService:
    def __init__(self, *_):
        pytest.skip("starts a broker of its own")
"""


def build():
    """The sources with their tests, and an environment in which they are installed, once."""
    if PYTHON.exists() and SOURCES.exists():
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    board.run([sys.executable, "-m", "venv", FOLDER / "venv"])
    pip = [PYTHON, "-m", "pip"]
    board.run([*pip, "download", "-q", "--no-binary", ":all:", "--no-deps", f"kafka-python=={VERSION}"], cwd=FOLDER)
    with tarfile.open(FOLDER / f"kafka_python-{VERSION}.tar.gz") as tar:
        tar.extractall(FOLDER, filter="data")
    # Left out of the archive: without the first, `import test` finds Python's own package of that name.
    (SOURCES / "test" / "__init__.py").touch()
    (SOURCES / "test" / "service.py").write_text(SERVICES)
    board.run([*pip, "install", "-q", f"{SOURCES}[testing,crc32c,lz4,snappy,zstd]"])


def outcomes(report):
    """{test: (state, seconds, cause)} from pytest's report."""
    results = {}
    for case in xml.parse(report).iter("testcase"):
        name = f"{case.get('classname').rsplit('.', 1)[-1]}::{case.get('name')}"
        fault = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
        state = "PASSED" if fault is None else "SKIPPED" if fault.tag == "skipped" else "FAILED"
        cause = "" if fault is None else " ".join((fault.get("message") or "").split())[:200]
        # A test may be reported twice, when what it started could not be stopped: the worse report counts.
        if results.get(name, ("PASSED",))[0] == "PASSED":
            results[name] = (state, float(case.get("time")), cause)
    return results


def main():
    asked = board.arguments(__doc__.splitlines()[0]).parse_args()
    build()
    report = FOLDER / "report.xml"
    chosen = ["-k", " or ".join(asked.only)] if asked.only else []
    with board.broker(asked) as broker, (FOLDER / "output").open("w") as output:
        print(f"kafka-python {VERSION} at {broker.name} ({broker.kafka}); output in {FOLDER / 'output'}", flush=True)
        environment = {
            **os.environ,
            "KAFKA_URI": f"kafka://{broker.kafka}",
            "KAFKA_VERSION": board.KAFKA_VERSION,
            "KAFKA_ROOT": str(board.kafka_home()),
        }
        command = [
            PYTHON,
            "-m",
            "pytest",
            "test/integration",
            "-p",
            "no:cacheprovider",
            f"--junitxml={report}",
            *chosen,
        ]
        report.unlink(missing_ok=True)
        board.subprocess.run(command, cwd=SOURCES, env=environment, stdout=output, stderr=output)
    if not report.exists():
        raise SystemExit(f"pytest came to no end: {FOLDER / 'output'}")
    sys.exit(board.AllowList(HERE / "allow.txt").judge(outcomes(report), asked))


if __name__ == "__main__":
    main()
