"""The command line."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios

import pytest
from conftest import BINARY, eventually


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


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_a_query_that_fails_after_its_first_rows_says_why(node, form):
    query = "SELECT 1000 / (40000 - value) AS x FROM generate_series(1, 1000000)"
    failed = node.run("sql", "--format", form, query, check=False)
    assert failed.returncode != 0
    assert "LH0505: division by zero" in failed.stderr
    assert "error" not in failed.stdout


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


def test_lines_are_sent_while_more_are_to_come(node):
    node.run("topics", "create", "slow")
    command = [BINARY, "produce", "slow", "--data", str(node.data)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as producer:
        for n in (1, 2):
            producer.stdin.write(b'{"i": %d}\n' % n)
            producer.stdin.flush()
            assert eventually(lambda: node.value("SELECT count(*) FROM slow") == n, seconds=10)
        _, said = producer.communicate(timeout=30)
    assert b"2 records are in `slow`" in said


def test_lines_are_bytes_and_keys_need_their_separator(node):
    node.run("topics", "create", "bytes", "--partitions", "1")
    produce = [BINARY, "produce", "bytes", "--data", str(node.data)]
    one = subprocess.run(produce, input=b"a\xff\n", capture_output=True, check=True, timeout=60)
    assert b"1 record is in" in one.stderr
    refused = subprocess.run([*produce, "-K", ":"], input=b"k:v\nnone\nk:w\n", capture_output=True, timeout=60)
    assert refused.returncode == 1 and b"LH0011" in refused.stderr and b"line 2" in refused.stderr, refused.stderr
    consume = [BINARY, "consume", "bytes", "-b", "-e", "--data", str(node.data)]
    assert subprocess.run(consume, capture_output=True, check=True, timeout=60).stdout == b"a\xff\nv\n"


@pytest.mark.parametrize(
    "arguments",
    [["sql", "SELECT * FROM generate_series(1, 200000)"], ["topics", "ls"], ["topics", "describe", "piped"], ["explain"]],
)
def test_a_reader_that_leaves_ends_the_command_quietly(node, arguments):
    if "piped" in arguments:
        node.run("topics", "create", "piped")
    where = [] if arguments == ["explain"] else ["--data", str(node.data)]
    ends = "exec 3>&1; { \"$@\"; echo $? >&3; } | true"
    command = ["bash", "-c", ends, "bash", BINARY, *arguments, *where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_a_directory_that_is_named_is_not_given_up_for_another_node(tmp_path):
    for arguments in (["sql", "SELECT 1"], ["topics", "ls"], ["consume", "t"]):
        environment = {**os.environ, "LAKEHEAD_DATA": str(tmp_path)}
        failed = subprocess.run([BINARY, *arguments], env=environment, capture_output=True, text=True, timeout=60)
        assert failed.returncode == 1 and "LH0010" in failed.stderr and str(tmp_path) in failed.stderr, failed.stderr


def test_refusals_of_the_kafka_door_have_a_code_and_a_next_step(node):
    failed = node.run("consume", "-b", "-e", "nope", check=False)
    assert failed.returncode == 1 and "LH0102" in failed.stderr and "topics create nope" in failed.stderr
    failed = node.run("topics", "create", "bad", "--config", "no.such.setting=1", check=False)
    assert failed.returncode == 1 and "LH0104" in failed.stderr, failed.stderr


def test_a_script_is_one_session_and_its_errors_have_a_place(node, tmp_path):
    shown = node.run("sql", input="SET TIME ZONE 'Europe/Vienna'; SHOW timezone").stdout
    assert shown.splitlines()[-1] == "Europe/Vienna"
    script = tmp_path / "wrong.sql"
    script.write_text("USE public;\n-- two\nSELECT 1;\n\nSELECT 2; SELECT\n  nope;\n")
    failed = node.run("sql", "-f", str(script), check=False)
    assert failed.returncode == 1 and f"{script}:6:3: LH0503" in failed.stderr and "line 6, column 3" in failed.stderr


def test_plans_and_statements_are_printed_whole(node):
    columns = "a_rather_long_name BIGINT, another_rather_long_name VARCHAR, a_third_long_name DOUBLE"
    node.run("sql", f"CREATE TABLE wide ({columns})")
    plan = node.run("sql", "--format", "table", "EXPLAIN SELECT * FROM wide WHERE a_third_long_name > 1").stdout
    assert "another_rather_long_name" in plan and "…" not in plan and "│" not in plan and len(plan.splitlines()) >= 4
    made = node.run("sql", "--format", "table", "SHOW CREATE TABLE wide").stdout
    assert made.startswith("CREATE TABLE") and "  another_rather_long_name VARCHAR" in made
    expanded = node.run("sql", "--format", "expanded", "SELECT 1 AS a, 'x\ny' AS bb").stdout
    assert expanded == "── row 1 ──\na  │ 1\nbb │ x\n   │ y\n"


def test_maintenance_and_topics_say_what_is_so(node):
    node.run("sql", "CREATE TABLE kept (a INT); INSERT INTO kept VALUES (1); INSERT INTO kept VALUES (2)")
    assert "2 files became 1" in node.run("tables", "optimize", "kept").stdout
    assert "snapshots expired" in node.run("tables", "expire", "kept").stdout
    node.run("topics", "create", "told", "--partitions", "2", "--config", "retention.ms=7200000")
    node.run("produce", "told", input='{"n": 1}\n')
    described = node.run("topics", "describe", "told").stdout
    assert "told: 2 partitions, 1 record\n" in described and "retention.ms = 7200000\n" in described and "│ n " in described
    as_json = json.loads(node.run("topics", "describe", "told", "--json").stdout)
    assert sum(partition["records"] for partition in as_json["partitions"]) == 1
    assert as_json["settings"]["retention.ms"] == "7200000" and as_json["columns"][0]["column_name"] == "n"


def test_the_prompt_is_a_session_on_a_terminal(node, tmp_path):
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 60, 0, 0))
    environment = {**os.environ, "HOME": str(tmp_path), "TERM": "dumb"}
    prompt = subprocess.Popen(
        [BINARY, "sql", "--data", str(node.data)], stdin=terminal, stdout=terminal, stderr=terminal, env=environment
    )
    os.close(terminal)
    said = b""
    lines = ["SET TIME ZONE 'Europe/Vienna';", "SHOW timezone;", "CREATE TABLE prompted (a INT);"]
    lines += ["INSERT INTO prompted VALUES (1), (2);", "SELECT repeat('x', 200) AS wide, 'end' AS brief;"]
    lines += ["\\x", "SELECT 'one' AS a, 2 AS b;", "begin;", "\\f json"]
    lines += ["DELETE FROM prompted WHERE a = 1;", "SELECT a FROM prompted;", "help", "quit"]
    os.write(master, ("\n".join(lines) + "\n").encode())
    while True:
        try:
            read = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not read:
            break
        said += read
    os.close(master)
    assert prompt.wait(60) == 0
    said = said.decode()
    answers = ["│ Europe/Vienna │", "CREATE TABLE in ", "INSERT 0 2 in ", "Expanded display is on.", "a │ one"]
    answers += ["DELETE 1 in ", '{"a":2}']
    for answer in [*answers, "each statement takes effect by itself", "Ctrl-C stops a running query"]:
        assert answer in said, said
    assert re.search(r"│ x{10,}… │ end   │", said) and "x" * 60 not in said.split("brief;")[-1], said


def test_settings_that_cannot_work_are_refused_with_their_range(tmp_path):
    wrong = {"roles = []": "lake", "commit_interval_ms = 0": "100", "query_memory_bytes = 10": "16777216"}
    for setting, told in wrong.items():
        (tmp_path / "lakehead.toml").write_text(setting + "\n")
        refused = subprocess.run([BINARY, "up", "--data", str(tmp_path)], capture_output=True, text=True, timeout=60)
        assert refused.returncode == 1 and "LH0006" in refused.stderr and told in refused.stderr, refused.stderr


def test_a_log_that_is_no_terminal_has_no_colours(node):
    assert "node is up" in node.log() and "\x1b" not in node.log()
