"""What the benchmarks share: the disk, nodes, Apache Kafka, processes and reports.

LAKEHEAD names the release binary and XTASK itself; `cargo xtask bench` sets both. Peers are kept in `target/bench/`.
"""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = os.environ.get("LAKEHEAD", str(ROOT / "target" / "release" / "lakehead"))
XTASK = os.environ.get("XTASK", str(ROOT / "target" / "debug" / "xtask"))
CACHE = ROOT / "target" / "bench"
KAFKA_VERSION = "4.1.0"


def sync_times(folder=None, seconds=0):
    """Milliseconds of fdatasyncs, each after an append of 4 KB, on the disk that will be used: 500, and more if there is time."""
    with tempfile.NamedTemporaryFile(dir=folder or CACHE_DIR()) as file:
        fd, block, took = file.fileno(), os.urandom(4096), []
        end = time.perf_counter() + seconds
        while len(took) < 500 or time.perf_counter() < end:
            os.pwrite(fd, block, len(took) * 4096)
            began = time.perf_counter()
            os.fdatasync(fd)
            took.append((time.perf_counter() - began) * 1e3)
    return took


def measure_disk(folder=None):
    """fdatasync of a 4 KB append (p50, p99 in ms), sequential synced MB/s and reading MB/s, on the disk that will be used."""
    took = sync_times(folder)
    with tempfile.NamedTemporaryFile(dir=folder or CACHE_DIR()) as file:
        block, began, size = os.urandom(8 << 20), time.perf_counter(), 64
        for at in range(size):
            os.pwrite(file.fileno(), block, at * len(block))
            os.fdatasync(file.fileno())
        rate = size * len(block) / 1e6 / (time.perf_counter() - began)
        forget(file.name)
        began = time.perf_counter()
        while file.read(len(block)):
            pass
        read = size * len(block) / 1e6 / (time.perf_counter() - began)
    disk = {"fdatasync_p50_ms": percentile(took, 0.5), "fdatasync_p99_ms": percentile(took, 0.99), "synced_mb_s": rate, "read_mb_s": read}
    print("disk: fdatasync of a 4 KB append p50 {fdatasync_p50_ms:.2f} ms, p99 {fdatasync_p99_ms:.2f} ms; sequential, synced each 8 MB: {synced_mb_s:.0f} MB/s; read, not cached: {read_mb_s:.0f} MB/s".format(**disk))
    return disk


def forget(path):
    """The page cache keeps nothing of a file: who reads it next waits for the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fdatasync(fd)  # what is not on disk stays
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def CACHE_DIR():
    CACHE.mkdir(parents=True, exist_ok=True)
    return CACHE


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def rss_mb(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


class Server:
    """A process being measured, which can be stopped or killed and started again on what it has kept."""

    def __init__(self):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # stopped and removed whatever ends the benchmark
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=CACHE_DIR()))
        self.process = None

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self):
        return rss_mb(self.process.pid)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self):
        """As `kill -9` does it: nothing is written any more."""
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


# For what measures a broker: the doors of SQL, and the lake that works for them, stay closed.
BROKER_ONLY = 'roles = ["broker"]\n'


class Lakehead(Server):
    def __init__(self, *arguments, settings=""):
        super().__init__()
        self.name = "lakehead"
        self.arguments = arguments
        self.data = self.folder / "data"
        self.data.mkdir()
        self.configure(settings)
        self.log = open(self.folder / "log", "wb")
        self.start()

    def configure(self, settings):
        (self.data / "lakehead.toml").write_text(settings)

    def start(self):
        """Until all doors are ready."""
        published = self.data / "run" / "ports.json"
        published.unlink(missing_ok=True)  # of one that was killed
        doors = ["--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0", "--pg", "127.0.0.1:0"]
        began = time.perf_counter()
        command = [BINARY, "up", "--data", self.data, *doors, *self.arguments]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        while not published.exists():
            if self.process.poll() is not None:
                raise SystemExit((self.folder / "log").read_text())
            time.sleep(0.001)
        self.ready_ms = (time.perf_counter() - began) * 1e3
        self.ports = json.loads(published.read_text())
        self.kafka, self.http = self.ports.get("kafka"), self.ports.get("http")

    def sql(self, statement):
        request = urllib.request.Request(
            f"http://{self.http}/sql", statement.encode(), {"content-type": "text/plain", "accept": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=600) as response:
            return json.load(response)["rows"]


def kafka_classpath():
    """Apache Kafka's server and tools, from Maven Central."""
    folder = CACHE_DIR() / f"kafka-{KAFKA_VERSION}"
    listing = folder / "classpath"
    if not listing.exists():
        folder.mkdir(exist_ok=True)
        artifacts = "".join(
            f"<dependency><groupId>org.apache.kafka</groupId><artifactId>{name}</artifactId><version>{KAFKA_VERSION}</version></dependency>"
            for name in ("kafka_2.13", "kafka-tools", "kafka-clients")
        )
        slf4j = "<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>1.7.36</version></dependency>"
        (folder / "pom.xml").write_text(
            "<project><modelVersion>4.0.0</modelVersion><groupId>x</groupId><artifactId>x</artifactId><version>1</version>"
            f"<dependencies>{artifacts}{slf4j}</dependencies></project>"
        )
        subprocess.run(["mvn", "-q", "-B", "dependency:build-classpath", f"-Dmdep.outputFile={listing}"], cwd=folder, check=True)
    return listing.read_text().strip()


def rdkafka_performance():
    """librdkafka's own load generator, built from the sources in the crate `rdkafka-sys`."""
    folder = CACHE_DIR() / "librdkafka"
    program = folder / "vendor/rdkafka-sys/librdkafka/examples/rdkafka_performance"
    if not program.exists():
        folder.mkdir(exist_ok=True)
        (folder / "Cargo.toml").write_text(
            '[package]\nname = "source"\nversion = "0.0.0"\nedition = "2024"\n[lib]\npath = "lib.rs"\n'
            '[dependencies]\nrdkafka-sys = "4"\n[workspace]\n'
        )
        (folder / "lib.rs").touch()
        subprocess.run(["cargo", "vendor", "--quiet", "vendor"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        source = program.parent.parent
        plain = ["--disable-ssl", "--disable-gssapi", "--disable-curl", "--disable-zstd"]
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(["./configure", *plain], cwd=source, **quiet)
        subprocess.run(["make", "-j2", "-C", "src"], cwd=source, **quiet)
        subprocess.run(["make", "-C", "examples", "rdkafka_performance"], cwd=source, **quiet)
    return program


class Kafka(Server):
    """Apache Kafka, KRaft, one node, its own defaults."""

    def __init__(self, settings=""):
        super().__init__()
        self.name = f"kafka {KAFKA_VERSION}"
        port, controller = free_port(), free_port()
        self.kafka = f"127.0.0.1:{port}"
        config = self.folder / "server.properties"
        config.write_text(
            f"process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n"
            f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n"
            f"advertised.listeners=PLAINTEXT://127.0.0.1:{port}\ncontroller.listener.names=CONTROLLER\n"
            f"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs={self.folder}/logs\n"
            "num.network.threads=3\nnum.io.threads=8\noffsets.topic.replication.factor=1\n"
            "transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n"
            f"group.initial.rebalance.delay.ms=0\n{settings}\n"
        )
        self.java = ["java", "-Xmx1G", "-Xms1G", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-cp", kafka_classpath()]
        format = ["kafka.tools.StorageTool", "format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", config]
        subprocess.run([*self.java, *format], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.start()
        time.sleep(3)  # until it has elected itself

    def start(self):
        """Until its door takes connections."""
        config, address = self.folder / "server.properties", self.kafka.rsplit(":", 1)
        began = time.perf_counter()
        self.process = subprocess.Popen([*self.java, "kafka.Kafka", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            try:
                socket.create_connection(address, 1).close()
                break
            except OSError:
                if time.perf_counter() - began > 300 or self.process.poll() is not None:
                    raise SystemExit("Apache Kafka did not start")
                time.sleep(0.01)
        self.ready_ms = (time.perf_counter() - began) * 1e3


def brokers(settings=BROKER_ONLY):
    """What is compared: name, and what starts it. Kafka comes first; it acknowledges before it syncs."""
    return (
        ("kafka", Kafka),
        ("lakehead, no fsync", lambda: Lakehead("--unsafe-ack-before-fsync", settings=settings)),
        ("lakehead", lambda: Lakehead(settings=settings)),
    )


def create_topic(broker, topic, partitions):
    """Until every partition has a leader."""
    from confluent_kafka.admin import AdminClient, NewTopic  # `compat/` uses this module without that client

    admin = AdminClient({"bootstrap.servers": broker.kafka, "log_level": 0})
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(120)
    while True:
        found = admin.list_topics(topic, timeout=60).topics[topic].partitions
        if len(found) == partitions and all(partition.leader >= 0 for partition in found.values()):
            return
        time.sleep(0.1)


def touch(broker, topic, partitions):
    """One record to each of these, acknowledged: a leader that is known to all may not know it itself yet."""
    from confluent_kafka import Producer

    failed = []
    settings = {"bootstrap.servers": broker.kafka, "acks": "all", "linger.ms": 0, "log_level": 0}
    producer = Producer(settings | {"on_delivery": lambda error, _: failed.append(error) if error else None})
    for partition in partitions:
        producer.produce(topic, b"here", partition=partition)
    if producer.flush(300) or failed:
        raise SystemExit(f"{topic} takes no records: {failed[:1]}")


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def text(row):
    return [f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row]


def progress(row):
    """For whoever watches."""
    print(*text(row), file=sys.stderr, flush=True)


def table(headings, rows):
    """Prints rows as Markdown."""
    rows = [text(row) for row in rows]
    print("| " + " | ".join(headings) + " |")
    print("|" + "---|" * len(headings))
    for row in rows:
        print("| " + " | ".join(row) + " |")
