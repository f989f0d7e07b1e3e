#!/usr/bin/env python3
"""librdkafka's own tests against the broker.

    compat/librdkafka/run.py [0019 0103 …] [--variant idempotent|consumer] [--kafka | --at HOST:PORT] [--list]

The sources come from the crate `rdkafka-sys`, which holds librdkafka's whole tree. Needs g++, make and some headers
(Debian: zlib1g-dev libssl-dev libzstd-dev rapidjson-dev). Each test number runs in a process of its own, so one that
hangs costs only its own time.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))

import board  # noqa: E402

CRATE = "rdkafka-sys-4.10.0+2.12.1"
FOLDER = board.CACHE / "librdkafka"
TESTS = FOLDER / "tests"
OUTPUT = board.CACHE / "librdkafka-output"
SECONDS_MAX = 300
# Tests of topics that nobody made need a broker that makes none by itself.
WITHOUT_AUTO_CREATE = {"0045", "0107", "0111"}
# The same tests once more: with idempotent producers, with the group protocol of KIP-848.
VARIANTS = {
    "plain": ([], {}),
    "idempotent": (["-P"], {}),
    "consumer": ([], {"TEST_CONSUMER_GROUP_PROTOCOL": "consumer"}),
}
# Skips itself when asked to be quick.
UNHURRIED = {"0082"}
# Parts of librdkafka that are left out without a word where their headers are missing, and then not tested.
WANTED = ("WITH_ZLIB", "WITH_SSL", "WITH_ZSTD", "WITH_RAPIDJSON")
# One test of twenty APIs that ends at the first fault: its parts are run one by one as well.
IN_PARTS = {"0081": "0081-admin.c"}


def build():
    """librdkafka and its test runner, once."""
    if (TESTS / "test-runner").exists():
        return
    board.CACHE.mkdir(parents=True, exist_ok=True)
    if not FOLDER.exists():
        archive = board.CACHE / f"{CRATE}.crate"
        urllib.request.urlretrieve(f"https://static.crates.io/crates/rdkafka-sys/{CRATE}.crate", archive)
        with tarfile.open(archive) as tar:
            tar.extractall(board.CACHE, filter="data")
        (board.CACHE / CRATE / "librdkafka").rename(FOLDER)
    # The suite is written for three brokers and asks for three replicas here and there; one node has one to give.
    source = TESTS / "test.c"
    text, call = source.read_text(), "rd_kafka_NewTopic_new(topicname, partition_cnt, replication_factor,"
    of_one_node = call.replace("replication_factor", "replication_factor > 1 ? 1 : replication_factor")
    if of_one_node not in text:  # it is there after a build that came to no end
        if call not in text:
            raise SystemExit(f"{source} is not what this script knows: no `{call}`")
        source.write_text(text.replace(call, of_one_node))
    print("building librdkafka and its tests …", flush=True)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    board.run(["./configure", "--disable-gssapi", "--disable-curl"], cwd=FOLDER, **quiet)
    config = (FOLDER / "config.h").read_text()
    missing = [part for part in WANTED if f"#define {part} 1" not in config]
    if missing:
        raise SystemExit(f"librdkafka would be built without {' '.join(missing)}: compat/README.md says what to install")
    board.run(["nice", "-n", "10", "make", "-j2", "libs"], cwd=FOLDER, **quiet)
    board.run(["nice", "-n", "10", "make", "-j2", "-C", "tests", "build"], cwd=FOLDER, **quiet)


def numbers():
    """The numbers of the tests that need a broker, and of those which want it without auto-creation."""
    entries = re.findall(
        r"_TEST\((\d{4})\w*,\s*([\w| ]+)(.*?)\)(?=,?\s*(?:_TEST|#|/\*|\{))", (TESTS / "test.c").read_text(), re.S
    )
    needs_broker = sorted(
        {number for number, flags, _ in entries if "TEST_F_LOCAL" not in flags and "MANUAL" not in flags}
    )
    return needs_broker


def parts(number):
    """The functions a test in parts consists of."""
    text = (TESTS / IN_PARTS[number]).read_text() if number in IN_PARTS else ""
    return sorted(set(re.findall(r"^static \w+\s+(do_test_[A-Z]\w*)\(", text, re.M)))


def run_number(number, address, scenario, variant):
    """{entry: (state, seconds, cause)} of one test number, and of its parts as `entry/part`."""
    results = run_process(number, address, scenario, variant)
    for part in parts(number):
        for name, outcome in run_process(number, address, scenario, variant, part).items():
            results[f"{name}/{part.removeprefix('do_test_')}"] = outcome
    return results


def run_process(number, address, scenario, variant, part=None):
    """{entry: (state, seconds, cause)} of one run of librdkafka's runner, whose output is kept."""
    options, changes = VARIANTS[variant]
    folder = OUTPUT / "-".join(filter(None, (number, scenario, variant, part)))
    folder.mkdir(parents=True, exist_ok=True)
    conf = folder / "test.conf"
    conf.write_text(f"bootstrap.servers={address}\ntest.topic.random=true\ntest.timeout.multiplier=2\n")
    environment = {
        **os.environ,
        "TESTS": number,
        "RDKAFKA_TEST_CONF": str(conf),
        "LD_LIBRARY_PATH": f"{FOLDER}/src:{FOLDER}/src-cpp",
        "KAFKA_PATH": str(board.kafka_home()),
        "BROKERS": address,
        "TEST_REPORT": str(folder / "report.json"),
        **changes,
    }
    if part:
        environment["SUBTESTS"] = part + ":"
    runner = ["./test-runner", "-p1", "-L", "-V", board.KAFKA_VERSION + ".0", "-s", scenario, *options]
    if number not in UNHURRIED:
        runner.append("-Q")
    began = time.monotonic()
    with (folder / "output").open("w") as output:
        try:
            code = subprocess.run(
                runner, cwd=TESTS, env=environment, stdout=output, stderr=output, timeout=SECONDS_MAX
            ).returncode
        except subprocess.TimeoutExpired:
            code = "timeout"
    return outcomes(number, (folder / "output").read_text(errors="replace"), code, time.monotonic() - began)


def outcomes(number, text, code, seconds):
    """What the runner's summary says; what it began and did not end has failed."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    results = {}
    for name in re.findall(rf"=+ Running test ({number}_\w+) =+", text):
        results[name] = ("FAILED", seconds, f"did not end ({code})")
    for name, state, took, cause in re.findall(
        rf"^\|\s+({number}_\w+)\s+\|\s+(\w+)\s+\|\s+([\d.]+)s\s+\|(.*)$", text, re.M
    ):
        if state in ("PASSED", "FAILED", "SKIPPED") and (state != "SKIPPED" or cause.strip()):
            results[name] = (state, float(took), " ".join(cause.split())[:200])
    for name, subtest, place, cause in re.findall(
        rf'### Test "({number}_\w+)(?: \((.*?)(?::\d+)?\))?" failed at ([\w.-]+:\d+).*###\n(.*)', text
    ):
        results[name] = ("FAILED", results[name][1], f"{subtest} {place}: {cause}".strip()[:200])
    # A part all of whose cases excused themselves has shown nothing.
    if ": SKIP: " in text and ": PASS " not in text and "Sub tests        : " in text:
        results = {name: ("SKIPPED", took, cause) for name, (_, took, cause) in results.items()}
    # The runner fails as a whole when threads or handles are left over: that belongs to the test that ran.
    if code != 0 and results and all(state != "FAILED" for state, *_ in results.values()):
        results = {name: ("FAILED", took, f"runner ended with {code}") for name, (_, took, _) in results.items()}
    return results


def main():
    parser = board.arguments(__doc__.splitlines()[0])
    parser.add_argument("-j", type=int, default=2, metavar="N", help="tests at a time (default 2)")
    parser.add_argument("--variant", choices=VARIANTS, default="plain")
    asked = parser.parse_args()
    build()
    chosen = [number for number in numbers() if not asked.only or any(number.startswith(o[:4]) for o in asked.only)]
    if not chosen:
        raise SystemExit(f"no test that needs a broker is called {' '.join(asked.only)}")
    results = {}

    def run_all(numbers, scenario, auto_create):
        with board.broker(asked, auto_create) as broker, concurrent.futures.ThreadPoolExecutor(asked.j) as pool:
            print(f"{len(numbers)} tests, scenario {scenario}, at {broker.name} ({broker.kafka})", flush=True)
            for found in pool.map(lambda number: run_number(number, broker.kafka, scenario, asked.variant), numbers):
                for name, (state, seconds, cause) in found.items():
                    print(f"{state:8} {name} ({seconds:.0f} s) {cause}", flush=True)
                results.update(found)

    run_all(chosen, "default", True)
    without = [number for number in chosen if number in WITHOUT_AUTO_CREATE]
    if without:
        run_all(without, "noautocreate", False)
    listed = "allow.txt" if asked.variant == "plain" else f"allow-{asked.variant}.txt"
    sys.exit(board.AllowList(HERE / listed).judge(results, asked))


if __name__ == "__main__":
    main()
