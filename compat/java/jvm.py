"""Java programs with Kafka's jars, pointed at one broker."""

import pathlib
import subprocess
import time
import uuid

import board

HERE = pathlib.Path(__file__).resolve().parent
FOLDER = board.CACHE / "java"
LOGGING = "-Dorg.slf4j.simpleLogger.defaultLogLevel="
# Most of these programs end before an optimizing compiler has earned anything.
QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


def classpath():
    """Kafka's jars, fetched by Maven once."""
    listing = FOLDER / "classpath"
    if not listing.exists() or listing.stat().st_mtime < (HERE / "pom.xml").stat().st_mtime:
        FOLDER.mkdir(parents=True, exist_ok=True)
        board.run(
            ["mvn", "-q", "-B", "-f", HERE / "pom.xml", "dependency:build-classpath", f"-Dmdep.outputFile={listing}"]
        )
        listing.touch()  # Maven leaves it as it is when nothing has changed
    return listing.read_text().strip()


class Jvm:
    def __init__(self, address):
        self.address, self.classpath, self.output = address, classpath(), FOLDER / "output"
        self.output.mkdir(exist_ok=True)

    def name(self, stem):
        """A name nobody has used."""
        return f"{stem}-{uuid.uuid4().hex[:8]}"

    def command(self, main, *arguments, log="error", options=()):
        return ["java", "-Xmx512m", *QUICK, LOGGING + log, *options, "-cp", self.classpath, main, *map(str, arguments)]

    def tool(self, main, *arguments, seconds=60, fails=False):
        """What one of Kafka's tools says, which is told the address; it must succeed, or fail where `fails`."""
        path = main if main.startswith("kafka.") else f"org.apache.kafka.tools.{main}"
        command = self.command(path, "--bootstrap-server", self.address, *arguments)
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
        said = done.stdout + done.stderr
        (self.output / f"{main.rsplit('.', 1)[-1]}.out").open("a").write(f"$ {main} {arguments}\n{said}\n")
        if (done.returncode != 0) != fails:
            raise AssertionError(f"{main} {' '.join(map(str, arguments))} ended with {done.returncode}: {tail(said)}")
        return said

    def start(self, main, *arguments, log="info", output="", options=()):
        """A program that runs until it is stopped; what it says goes to a file."""
        path = self.output / (output or main.rsplit(".", 1)[-1])
        with path.open("wb") as file:
            return subprocess.Popen(self.command(main, *arguments, log=log, options=options), stdout=file, stderr=file)


def tail(text):
    """What matters of an output: lines that name an error, or else the last ones."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("\tat ")]
    errors = [line for line in lines if "rror" in line or "xception" in line]
    return " | ".join(errors[:2] or lines[-3:])


def expect(text, *parts):
    """`text` holds every part."""
    missing = [part for part in parts if part not in text]
    assert not missing, f"{missing} not in: {tail(text)}"


def until(what, seconds, said):
    """`what()` becomes true in time; gives what it gave."""
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, f"after {seconds} s: {said}"
        time.sleep(0.3)
    return value
