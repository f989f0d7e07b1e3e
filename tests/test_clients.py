"""Real clients against one node. Each script in `clients/` is a program of its own that exits non-zero when it fails."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

CLIENTS = pathlib.Path(__file__).parent / "clients"


def run(node, command, **options):
    environment = {**os.environ, "LAKEHEAD_KAFKA": node.kafka, "LAKEHEAD_HTTP": node.http, "LAKEHEAD_PG": node.ports["pg"]}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, **options)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]


@pytest.mark.parametrize("script", sorted(CLIENTS.glob("*.py")), ids=lambda script: script.stem)
def test_python_client(node, script):
    run(node, [sys.executable, str(script)])


@pytest.mark.parametrize("script", sorted(CLIENTS.glob("*.sh")), ids=lambda script: script.stem)
def test_program(node, script):
    needs = [line.removeprefix("# needs:").split() for line in script.read_text().splitlines() if line.startswith("# needs:")]
    for program in (program for line in needs for program in line):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    run(node, ["bash", str(script)])
