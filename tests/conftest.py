"""Nodes for the end-to-end tests: the built binary, started in an empty folder, driven by real clients.

LAKEHEAD names the binary; `cargo xtask test` sets it.
"""

import csv
import gzip
import io
import json
import os
import pathlib
import signal
import subprocess
import time
import urllib.error
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLIGHTS = ROOT / "examples" / "flights"
BINARY = os.environ.get("LAKEHEAD", str(ROOT / "target" / "debug" / "lakehead"))


class SqlError(Exception):
    def __init__(self, status, error):
        super().__init__(f"{status} {error}")
        self.status, self.error, self.code = status, error, error.get("code")


class Node:
    """One `lakehead up`, which may be killed and started again on the same ports."""

    def __init__(self, data, *arguments, env=None, prefix=()):
        self.data, self.arguments, self.env, self.prefix = pathlib.Path(data), arguments, env, list(prefix)
        self.process, self.ports = None, {"kafka": "127.0.0.1:0", "http": "127.0.0.1:0", "pg": "127.0.0.1:0"}

    def start(self, seconds=60):
        log = open(self.data.with_suffix(".log"), "ab")
        command = [*self.prefix, BINARY, "up", "--data", str(self.data)]
        for door in ("kafka", "http", "pg"):
            command += [f"--{door}", self.ports[door]]
        # A node that was killed left its ports.json behind; the new one removes it before it opens a door.
        published = self.data / "run" / "ports.json"
        published.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [*command, *self.arguments], stdout=log, stderr=log, env={**os.environ, **(self.env or {})}
        )
        until = time.monotonic() + seconds
        while not published.exists():
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"the node did not come up:\n{self.log()[-4000:]}")
            time.sleep(0.01)
        self.ports = json.loads(published.read_text())
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)

    def is_up(self):
        return self.process.poll() is None

    def log(self):
        return self.data.with_suffix(".log").read_text(errors="replace")

    def rss_mb(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    @property
    def kafka(self):
        return self.ports["kafka"]

    @property
    def http(self):
        return f"http://{self.ports['http']}"

    def request(self, path, body=None, headers=None, method=None, seconds=120):
        request = urllib.request.Request(self.http + path, data=body, headers=headers or {}, method=method)
        return urllib.request.urlopen(request, timeout=seconds)

    def sql(self, statement, seconds=120):
        """Rows of the statement, as lists."""
        headers = {"content-type": "text/plain", "accept": "application/json"}
        try:
            with self.request("/sql", statement.encode(), headers, seconds=seconds) as response:
                return json.load(response)["rows"]
        except urllib.error.HTTPError as error:
            raise SqlError(error.code, json.load(error)["error"]) from None

    def value(self, statement):
        return self.sql(statement)[0][0]

    def in_table(self, topic):
        """Rows of a topic that its Iceberg table holds by now."""
        try:
            return self.value(f'SELECT coalesce(max(total_records), 0) FROM "{topic}$snapshots"')
        except SqlError as error:
            if error.status == 404:  # nothing was committed yet
                return 0
            raise

    def run(self, *arguments, input=None, check=True):
        """Runs a command of the binary against this node."""
        return subprocess.run(
            [BINARY, *arguments, "--data", str(self.data)], input=input, capture_output=True, text=True, check=check, timeout=120
        )


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A node shared by the tests of one file; commits to tables each second."""
    data = tmp_path_factory.mktemp("node") / "data"
    data.mkdir()
    (data / "lakehead.toml").write_text("commit_interval_ms = 1000\n")
    node = Node(data).start()
    yield node
    node.stop()


@pytest.fixture
def make_node(tmp_path):
    """Makes nodes that a test may kill."""
    nodes = []

    def make(*arguments, commit_interval_ms=1000, data=None, **options):
        data = pathlib.Path(data or tmp_path / f"data{len(nodes)}")
        data.mkdir(parents=True, exist_ok=True)
        (data / "lakehead.toml").write_text(f"commit_interval_ms = {commit_interval_ms}\n")
        nodes.append(Node(data, *arguments, **options))
        return nodes[-1]

    yield make
    for node in nodes:
        if node.process and node.is_up():
            node.kill()


def eventually(check, seconds=60, every=0.1):
    """Waits until `check` gives something true, and gives it back."""
    until = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError("it did not happen in time")
        time.sleep(every)


def flights_csv():
    """The whole year where it is at hand (LAKEHEAD_FLIGHTS, or beside the repository), else January."""
    for path in (os.environ.get("LAKEHEAD_FLIGHTS"), ROOT.parent / "shared/data/nycflights13/flights.csv.gz"):
        if path and pathlib.Path(path).exists():
            return pathlib.Path(path)
    return FLIGHTS / "flights-2013-01.csv.gz"


def json_rows(path):
    """Rows of a CSV file as the JSON records the demo sends: `NA` is missing, numbers are numbers."""

    def value(text):
        if text == "NA":
            return None
        for kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                pass
        return text

    opened = gzip.open(path, "rt", newline="") if str(path).endswith(".gz") else open(path, newline="")
    with opened as file:
        for row in csv.DictReader(file):
            yield {name: value(text) for name, text in row.items()}


def statements(path):
    return [part.strip() for part in pathlib.Path(path).read_text().split(";\n") if part.strip()]
