"""A Kafka Streams application (WordCount.java) with exactly_once_v2, killed in the middle."""

import pathlib
import shutil
import subprocess

from jvm import FOLDER, expect, tail, until

SOURCE = pathlib.Path(__file__).resolve().parent / "WordCount.java"
COUNT = 6000


def streams_unlogged(jvm):
    """Stores without changelogs: repartition topics, transactions and offsets, but no compacted topic."""
    app = Application(jvm, logged=False)
    try:
        app.start("first")
        app.check(60)
    finally:
        app.end()


def streams_exactly_once(jvm):
    """Killed while it works, started again with its state restored from the changelogs: nothing lost or doubled."""
    app = Application(jvm, logged=True)
    try:
        process = app.start("first")
        until(lambda: app.joined() > COUNT // 10, 60, "nothing was joined")
        process.kill()
        process.wait()
        shutil.rmtree(app.folder)
        app.start("second")
        app.check(120)
    finally:
        app.end()


class Application:
    def __init__(self, jvm, logged):
        self.jvm, self.logged, self.prefix, self.processes = jvm, logged, jvm.name("streams"), []
        self.folder = FOLDER / "state" / self.prefix
        classes = FOLDER / "classes"
        subprocess.run(["javac", "-cp", jvm.classpath, "-d", classes, SOURCE], check=True)
        self.options = ("-cp", f"{classes}:{jvm.classpath}")
        for topic in ("lines", "users", "orders", "counts", "joined"):
            jvm.tool("TopicCommand", "--create", "--topic", f"{self.prefix}-{topic}", "--partitions", 4)
        expect(self.call("fill", COUNT, seconds=60), "filled")

    def command(self, *arguments):
        java = ["java", "-Xmx512m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", *self.options, "WordCount"]
        return [*java, arguments[0], self.jvm.address, self.prefix, *map(str, arguments[1:])]

    def call(self, *arguments, seconds):
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=seconds)
        assert done.returncode == 0, tail(done.stderr)
        return done.stdout

    def start(self, which):
        output = (self.jvm.output / f"{self.prefix}-{which}").open("wb")
        command = self.command("run", self.folder, str(self.logged).lower())
        self.processes.append(subprocess.Popen(command, stdout=output, stderr=output))
        return self.processes[-1]

    def joined(self):
        said = self.jvm.tool("GetOffsetShell", "--topic", f"{self.prefix}-joined")
        return sum(int(line.rsplit(":", 1)[1]) for line in said.splitlines() if line.startswith(self.prefix))

    def check(self, seconds):
        try:
            expect(self.call("check", COUNT, seconds, seconds=seconds + 30), "exact")
        except AssertionError as failed:
            said = "".join(path.read_text() for path in sorted(self.jvm.output.glob(f"{self.prefix}-*")))
            raise AssertionError(f"{failed} | {tail(said)}") from failed

    def end(self):
        for process in self.processes:
            process.terminate()
            process.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)


TESTS = {test.__name__: test for test in (streams_unlogged, streams_exactly_once)}
