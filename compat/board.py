"""What the suites share: a broker to point at, Kafka's own tools, and the lists that may only grow.

LAKEHEAD names the binary (default: target/debug/lakehead). Everything fetched or built is kept in target/compat.
"""

import argparse
import pathlib
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = ROOT / "target" / "compat"
sys.path.append(str(ROOT / "benches"))

import common  # noqa: E402  nodes and Apache Kafka are started as the benchmarks start them

KAFKA_VERSION = common.KAFKA_VERSION


def arguments(about):
    """The command line every suite understands."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("only", nargs="*", help="names (or their beginnings) of the tests to run; default: all")
    parser.add_argument("--kafka", action="store_true", help="run against Apache Kafka, to see what it makes of a test")
    parser.add_argument("--at", metavar="HOST:PORT", help="run against a broker that is up already")
    parser.add_argument("--list", action="store_true", dest="add", help="add what passed to the allow-list")
    return parser


class Restartable:
    """A broker that is started again where it was."""

    def start_again(self):
        self.process = subprocess.Popen(self.command(), stdout=self.output, stderr=self.output)


class Node(Restartable, common.Lakehead):
    def command(self):
        """As it was started, but with the ports that were found then."""
        ports = {f"--{door}": self.ports[door] for door in ("kafka", "http", "pg")}
        before = [None, *self.process.args]
        return [ports.get(option, argument) for option, argument in zip(before, self.process.args)]

    @property
    def output(self):
        return self.log


class Kafka(Restartable, common.Kafka):
    output = subprocess.DEVNULL

    def command(self):
        return self.process.args


class Running:
    """A broker that somebody else started and will stop."""

    def __init__(self, address):
        self.kafka, self.name = address, address

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def broker(asked, auto_create=True):
    """The broker to test, in an empty folder: topics get 4 partitions, as the suites expect."""
    if asked.at:
        return Running(asked.at)
    if asked.kafka:
        return Kafka(
            f"num.partitions=4\nauto.create.topics.enable={str(auto_create).lower()}\n"
            "transaction.state.log.num.partitions=4\noffsets.topic.num.partitions=4\n"
            "share.coordinator.state.topic.replication.factor=1\nshare.coordinator.state.topic.min.isr=1\n"
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n"
            "allow.everyone.if.no.acl.found=true"
        )
    if "LAKEHEAD" not in common.os.environ:
        common.BINARY = str(ROOT / "target" / "debug" / "lakehead")
    settings = f"auto_create_topics = {str(auto_create).lower()}\n"
    settings += "[kafka_security]\nauthorizer = true\nallow_everyone_if_no_acl_found = true\n"
    return Node("--partitions", "4", settings=settings)


def kafka_home():
    """A folder in the shape of Kafka's distribution: its scripts by their names over the jars from Maven Central."""
    home = CACHE / f"kafka-{KAFKA_VERSION}"
    (home / "bin").mkdir(parents=True, exist_ok=True)
    (home / "libs").mkdir(exist_ok=True)
    for jar in map(pathlib.Path, common.kafka_classpath().split(":")):
        link = home / "libs" / jar.name
        if not link.exists():
            link.symlink_to(jar)
    commands = {
        "kafka-run-class.sh": "",
        "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
        "kafka-configs.sh": "kafka.admin.ConfigCommand",
        "kafka-acls.sh": "org.apache.kafka.tools.AclCommand",
        "kafka-consumer-groups.sh": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    }
    for name, main in commands.items():
        script = home / "bin" / name
        quick = "-Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC"  # four of them are started within one test's 80 s
        script.write_text(f'#!/bin/sh\nexec java {quick} -cp "$CLASSPATH:{home}/libs/*" {main} "$@"\n')
        script.chmod(0o755)
    return home


class AllowList:
    """The tests that pass. A listed test that fails is an error; what newly passes is named, to be added."""

    def __init__(self, path):
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.names = {line.strip() for line in lines if line.strip() and not line.startswith("#")}

    def judge(self, results, asked):
        """`results`: {name: (state, seconds, cause)}. Prints the board; gives the exit code."""
        passed = {name for name, (state, *_) in results.items() if state == "PASSED"}
        # Where everything was to run, a listed test that was not heard of is lost too.
        expected = self.names & results.keys() if asked.only else self.names
        lost = sorted(expected - passed)
        found = sorted(passed - self.names)
        states = [state for state, *_ in results.values()]
        print("\n" + ", ".join(f"{states.count(state)} {state.lower()}" for state in sorted(set(states))))
        for name, (state, seconds, cause) in sorted(results.items()):
            if state != "PASSED":
                print(f"  {state:8} {name} ({seconds:.0f} s) {cause}")
        if found and asked.add:
            with self.path.open("a") as file:
                file.writelines(name + "\n" for name in found)
            print(f"added to {self.path.name}: {len(found)}")
        elif found:
            print("pass and are not listed (`--list` adds them): " + " ".join(found))
        if lost:
            print("LISTED AND DO NOT PASS: " + " ".join(lost))
        return 1 if lost or not results else 0


def python_with(packages, folder):
    """The interpreter of an environment with these packages; made once."""
    python, installed = folder / "venv" / "bin" / "python", folder / "installed"
    if not python.exists():
        run([sys.executable, "-m", "venv", folder / "venv"])
    if not installed.exists() or installed.read_text() != str(packages):
        run([python, "-m", "pip", "install", "-q", *packages])
        installed.write_text(str(packages))
    return python


def run(command, **options):
    """A step that must work; says which one did not."""
    try:
        return subprocess.run(command, check=True, **options)
    except subprocess.CalledProcessError as failed:
        raise SystemExit(f"failed ({failed.returncode}): {shlex.join(map(str, command))}") from failed
