"""Kafka Connect's distributed workers: a file to a topic to a file, a worker killed in the middle."""

import json
import signal
import time
import urllib.error
import urllib.request

import board
from jvm import FOLDER, tail, until

LINES = 4000


def connect_source(jvm):
    """A file source alone, whose offsets are kept in a topic: killed and started again it goes on where it was."""
    pipeline = Pipeline(jvm)
    try:
        pipeline.write(0, LINES // 2)
        pipeline.start_worker("one")
        pipeline.create_source()
        until(lambda: pipeline.in_topic() >= LINES // 2, 60, "the source did not write its lines")
        time.sleep(2)  # until its offsets are committed: what comes after them would be written again
        pipeline.kill("one")
        pipeline.write(LINES // 2, LINES)
        pipeline.start_worker("two")
        until(lambda: pipeline.in_topic() >= LINES, 90, "the source did not go on")
        time.sleep(2)
        assert pipeline.in_topic() == LINES, f"{pipeline.in_topic()} records of {LINES} lines"
    finally:
        pipeline.end()


def connect_file_to_file(jvm):
    """Two workers share the connectors, one is killed, the other takes over: every line arrives."""
    pipeline = Pipeline(jvm)
    try:
        pipeline.write(0, LINES // 2)
        pipeline.start_worker("one")
        pipeline.start_worker("two")
        pipeline.create_source()
        pipeline.create_sink()
        until(lambda: len(pipeline.arrived()) >= LINES // 2, 90, "the sink did not write half the lines")
        pipeline.kill("one")
        pipeline.write(LINES // 2, LINES)
        everything = {f"line {n}" for n in range(LINES)}
        until(lambda: set(pipeline.arrived()) == everything, 120, "the other worker did not take over")
    finally:
        pipeline.end()


def connect_exactly_once(jvm):
    """exactly.once.source.support: records and source offsets in one transaction, so a kill doubles nothing."""
    pipeline = Pipeline(jvm, exactly_once=True)
    try:
        pipeline.write(0, LINES)
        pipeline.start_worker("one")
        pipeline.create_source()
        until(lambda: pipeline.in_topic() > 0, 60, "the source wrote nothing")
        pipeline.kill("one")
        pipeline.start_worker("two")
        until(lambda: len(pipeline.committed()) >= LINES, 90, "the source did not go on")
        assert sorted(pipeline.committed()) == sorted(f"line {n}" for n in range(LINES)), "lines are doubled"
    finally:
        pipeline.end()


class Workers:
    """The distributed workers of one Connect cluster: they find each other by its name, their state is in topics."""

    def __init__(self, jvm, name, **settings):
        self.jvm, self.name, self.settings = jvm, name, settings
        self.workers, self.ports = {}, {}
        self.folder = FOLDER / "state" / name
        self.folder.mkdir(parents=True)

    def start_worker(self, name):
        port = board.common.free_port()
        config = {
            "bootstrap.servers": self.jvm.address,
            "group.id": self.name,
            "key.converter": "org.apache.kafka.connect.storage.StringConverter",
            "value.converter": "org.apache.kafka.connect.storage.StringConverter",
            "offset.flush.interval.ms": 500,
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 1000,
            "scheduled.rebalance.max.delay.ms": 1000,
            "listeners": f"http://127.0.0.1:{port}",
            "plugin.discovery": "only_scan",
        }
        for kind in ("config", "offset", "status"):
            config[f"{kind}.storage.topic"] = f"{self.name}-{kind}"
            config[f"{kind}.storage.replication.factor"] = -1
        config |= self.settings
        path = self.folder / f"{name}.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in config.items()))
        main = "org.apache.kafka.connect.cli.ConnectDistributed"
        self.workers[name] = self.jvm.start(main, path, output=f"{self.name}-{name}")
        self.ports[name] = port
        until(lambda: self.is_ready(name), 180, f"worker {name} did not come up")

    def is_ready(self, name):
        if self.workers[name].poll() is not None:
            said = (self.jvm.output / f"{self.name}-{name}").read_text()
            raise AssertionError(f"worker {name} ended: {tail(said)}")
        try:
            return self.call("GET", "/connectors", name=name) is not None
        except urllib.error.HTTPError:
            return False  # it answers, but has not joined its group
        except OSError:
            return False

    def call(self, method, path, body=None, name=None):
        port = self.ports[name or next(iter(self.workers))]
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}", data, {"content-type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    def create(self, name, config):
        until(lambda: self.put(name, config), 60, f"connector {name} was not taken")

    def put(self, name, config):
        try:
            return self.call("PUT", f"/connectors/{self.name}-{name}/config", config)
        except urllib.error.HTTPError as failed:
            if failed.code == 409:  # a rebalance is under way: ask again
                return False
            raise AssertionError(f"connector {name}: {failed.code} {failed.read().decode()[:300]}") from failed

    def kill(self, name):
        worker = self.workers.pop(name)
        worker.send_signal(signal.SIGKILL)
        worker.wait()

    def end(self):
        for worker in self.workers.values():
            worker.terminate()
        for worker in self.workers.values():
            worker.wait(60)


class Pipeline(Workers):
    """A file to a topic to a file."""

    def __init__(self, jvm, exactly_once=False):
        settings = {"exactly.once.source.support": "enabled"} if exactly_once else {}
        super().__init__(jvm, jvm.name("connect"), **settings)
        self.exactly_once = exactly_once
        self.source, self.sink, self.topic = self.folder / "source", self.folder / "sink", f"{self.name}-lines"
        jvm.tool("TopicCommand", "--create", "--topic", self.topic, "--partitions", 1)

    def write(self, first, after):
        with self.source.open("a") as file:
            file.writelines(f"line {n}\n" for n in range(first, after))

    def create_source(self):
        source = "org.apache.kafka.connect.file.FileStreamSourceConnector"
        config = {"connector.class": source, "tasks.max": 1, "file": str(self.source), "topic": self.topic}
        if self.exactly_once:
            config |= {"exactly.once.support": "required", "transaction.boundary": "poll", "batch.size": 100}
        self.create("source", config)

    def create_sink(self):
        sink = "org.apache.kafka.connect.file.FileStreamSinkConnector"
        self.create("sink", {"connector.class": sink, "tasks.max": 1, "file": str(self.sink), "topics": self.topic})

    def in_topic(self):
        said = self.jvm.tool("GetOffsetShell", "--topic", self.topic)
        return sum(int(line.rsplit(":", 1)[1]) for line in said.splitlines() if line.startswith(self.topic))

    def committed(self):
        """The records of the topic that committed readers see."""
        said = self.jvm.tool(
            "consumer.ConsoleConsumer", "--topic", self.topic, "--from-beginning",
            "--isolation-level", "read_committed", "--timeout-ms", 5000,
        )  # fmt: skip
        return [line for line in said.splitlines() if line.startswith("line ")]

    def arrived(self):
        return self.sink.read_text().splitlines() if self.sink.exists() else []


TESTS = {test.__name__: test for test in (connect_source, connect_file_to_file, connect_exactly_once)}
