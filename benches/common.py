"""What the benchmarks share: the disk, nodes, Apache Kafka, processes and reports.

LAKEHEAD names the release binary; `cargo xtask bench` sets it. Peers are kept in `target/bench/`.
"""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = os.environ.get("LAKEHEAD", str(ROOT / "target" / "release" / "lakehead"))
CACHE = ROOT / "target" / "bench"
KAFKA_VERSION = "4.1.0"


def sync_times(folder=None):
    """Milliseconds of 500 fdatasyncs, each after an append of 4 KB, on the disk that will be used."""
    with tempfile.NamedTemporaryFile(dir=folder or CACHE_DIR()) as file:
        fd, block, took = file.fileno(), os.urandom(4096), []
        for at in range(500):
            os.pwrite(fd, block, at * 4096)
            began = time.perf_counter()
            os.fdatasync(fd)
            took.append((time.perf_counter() - began) * 1e3)
    return took


def measure_disk(folder=None):
    """fdatasync of a 4 KB append (p50, p99 in ms) and sequential synced MB/s, on the disk that will be used."""
    took = sync_times(folder)
    with tempfile.NamedTemporaryFile(dir=folder or CACHE_DIR()) as file:
        block, began, size = os.urandom(8 << 20), time.perf_counter(), 64
        for at in range(size):
            os.pwrite(file.fileno(), block, at * len(block))
            os.fdatasync(file.fileno())
        rate = size * len(block) / 1e6 / (time.perf_counter() - began)
    disk = {"fdatasync_p50_ms": percentile(took, 0.5), "fdatasync_p99_ms": percentile(took, 0.99), "synced_mb_s": rate}
    print("disk: fdatasync of a 4 KB append p50 {fdatasync_p50_ms:.2f} ms, p99 {fdatasync_p99_ms:.2f} ms; sequential, synced each 8 MB: {synced_mb_s:.0f} MB/s".format(**disk))
    return disk


def CACHE_DIR():
    CACHE.mkdir(parents=True, exist_ok=True)
    return CACHE


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """A process being measured."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=CACHE_DIR()))
        self.process = None

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Lakehead(Server):
    def __init__(self, *arguments, settings=""):
        super().__init__()
        self.data = self.folder / "data"
        self.data.mkdir()
        (self.data / "lakehead.toml").write_text(settings)
        self.log = open(self.folder / "log", "wb")
        doors = ["--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0", "--pg", "127.0.0.1:0"]
        began = time.perf_counter()
        self.process = subprocess.Popen([BINARY, "up", "--data", self.data, *doors, *arguments], stdout=self.log, stderr=self.log)
        published = self.data / "run" / "ports.json"
        while not published.exists():
            if self.process.poll() is not None:
                raise SystemExit((self.folder / "log").read_text())
            time.sleep(0.001)
        self.ready_ms = (time.perf_counter() - began) * 1e3
        self.ports = json.loads(published.read_text())
        self.kafka, self.http = self.ports.get("kafka"), self.ports.get("http")
        self.name = "lakehead"

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
        java = ["java", "-Xmx1G", "-Xms1G", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-cp", kafka_classpath()]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([*java, "kafka.tools.StorageTool", "format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", config], check=True, **quiet)
        self.process = subprocess.Popen([*java, "kafka.Kafka", config], **quiet)
        until = time.time() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.time() > until or self.process.poll() is not None:
                    raise SystemExit("Apache Kafka did not start")
                time.sleep(0.1)
        time.sleep(3)  # until it has elected itself


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def table(headings, rows):
    """Prints rows as Markdown."""
    rows = [[f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    print("| " + " | ".join(headings) + " |")
    print("|" + "---|" * len(headings))
    for row in rows:
        print("| " + " | ".join(row) + " |")
