"""What the Python client scripts share: the address, checks, and a consumer process that can be killed."""

import os
import signal
import subprocess
import sys
import time
import uuid

ADDRESS = os.environ.get("LAKEHEAD_KAFKA", "127.0.0.1:9092")
RUN = uuid.uuid4().hex[:8]


def name(what):
    """A topic or group nobody else uses."""
    return f"{what}-{RUN}"


def ok(what, began=None):
    took = f" ({time.monotonic() - began:.1f} s)" if began else ""
    print(f"ok {what}{took}", flush=True)


def check(condition, what):
    if not condition:
        print(f"FAILED {what}", flush=True)
        sys.exit(1)


def until(seconds, what, probe):
    """Polls `probe` until it returns something true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = probe()
        if found:
            return found
    check(False, f"{what}: not within {seconds} s")


class Member:
    """A consumer in another process: `<script> --member GROUP TOPIC`, which prints its partitions."""

    def __init__(self, script, group, topic):
        command = [sys.executable, script, "--member", group, topic]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def wait_assigned(self):
        for line in self.process.stdout:
            if line.startswith("assigned"):
                return [int(p) for p in line.split()[1:]]
        check(False, "the second member was never assigned anything")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def run(script, tests, member):
    if len(sys.argv) == 4 and sys.argv[1] == "--member":
        return member(sys.argv[2], sys.argv[3])
    only = sys.argv[1:]
    for test in tests:
        if only and test.__name__ not in only:
            continue
        began = time.monotonic()
        test()
        ok(f"{os.path.splitext(os.path.basename(script))[0]} {test.__name__}", began)
