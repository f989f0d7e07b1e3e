"""The command line."""

import json
import subprocess

from conftest import BINARY


def test_lines_go_in_and_come_out(node):
    node.run("topics", "create", "words", "--partitions", "2")
    lines = "".join(f'k{n}:{{"n": {n}}}\n' for n in range(100))
    assert "100 records" in node.run("produce", "words", "-K", ":", input=lines).stderr
    out = node.run("consume", "words", "--from-beginning", "--exit").stdout.splitlines()
    assert sorted(json.loads(line)["n"] for line in out) == list(range(100))
    assert node.run("sql", "SELECT count(*) AS n, sum(n) AS total FROM words").stdout == "n,total\n100,4950\n"
    assert "words" in node.run("topics", "ls").stdout
    assert "n" in node.run("topics", "describe", "words").stdout
    node.run("topics", "rm", "words")
    assert "words" not in node.run("topics", "ls").stdout


def test_sql_comes_as_argument_file_and_pipe_and_leaves_as_asked(node, tmp_path):
    script = tmp_path / "script.sql"
    script.write_text("SELECT 1 AS a; -- a comment; with a semicolon\nSELECT 'x;y' AS b;")
    assert node.run("sql", "-f", str(script)).stdout == "a\n1\nb\nx;y\n"
    assert node.run("sql", input="SELECT 2 AS c").stdout == "c\n2\n"
    assert node.run("sql", "--format", "json", "SELECT 3 AS d").stdout == '{"d":3}\n'
    assert "│ 4 │" in node.run("sql", "--format", "table", "SELECT 4 AS e").stdout


def test_errors_have_a_code_an_exit_status_and_a_help_page(node):
    failed = node.run("sql", "SELECT * FROM nowhere", check=False)
    assert failed.returncode == 1 and "LH05" in failed.stderr and "nowhere" in failed.stderr
    code = failed.stderr.split("LH05")[1][:2]
    page = subprocess.run([BINARY, "explain", f"LH05{code}"], capture_output=True, text=True, check=True).stdout
    assert "SQLSTATE" in page and "Kafka error" in page
    assert subprocess.run([BINARY, "explain", "LH9999"], capture_output=True).returncode == 1
    assert subprocess.run([BINARY, "no-such-command"], capture_output=True).returncode == 2


def test_a_second_node_on_the_same_directory_is_refused(node):
    doors = ["--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0", "--pg", "127.0.0.1:0"]
    second = subprocess.run([BINARY, "up", "--data", str(node.data), *doors], capture_output=True, text=True, timeout=60)
    assert second.returncode == 1 and "LH0009" in second.stderr
    assert node.value("SELECT 1") == 1 and (node.data / "run" / "ports.json").exists()


def test_a_door_open_to_the_network_is_refused(tmp_path):
    exposed = subprocess.run(
        [BINARY, "up", "--data", str(tmp_path / "d"), "--http", "0.0.0.0:0"], capture_output=True, text=True, timeout=60
    )
    assert exposed.returncode == 1 and "LH0008" in exposed.stderr
