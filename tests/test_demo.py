"""README's first command."""

import re
import subprocess

from conftest import BINARY


def test_the_demo_answers_five_questions_while_flights_arrive(tmp_path):
    doors = ["--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0", "--pg", "127.0.0.1:0"]
    command = [BINARY, "demo", "flights", "--exit", "--data", str(tmp_path / "demo"), *doors]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    text = shown.stdout
    for line in ("27004 flights acknowledged", "27004 rows, acknowledged 27004", "5 questions answered"):
        assert line in text, text
    seen = [int(n) for n in re.findall(r"over the (\d+) flights there so far", text)]
    assert len(seen) == 5 and seen == sorted(seen) and seen[0] < 27004, seen
    assert "ExpressJet Airlines Inc." in text

    # Once more in the same folder: the demo empties what it made itself.
    again = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stdout + again.stderr


def test_the_demo_leaves_other_peoples_folders_alone(tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    refused = subprocess.run([BINARY, "demo", "flights", "--exit", "--data", str(tmp_path)], capture_output=True, text=True)
    assert refused.returncode == 1 and "not empty" in refused.stderr
    assert (tmp_path / "precious.txt").read_text() == "mine"
