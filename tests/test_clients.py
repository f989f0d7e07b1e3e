"""Real clients against one node. Each script in `clients/` is a program of its own that exits non-zero when it fails."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

CLIENTS = pathlib.Path(__file__).parent / "clients"


def run(node, *command):
    environment = {**os.environ, "LAKEHEAD_KAFKA": node.kafka, "LAKEHEAD_HTTP": node.ports["http"], "LAKEHEAD_PG": node.ports["pg"]}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]


@pytest.mark.parametrize("client", ["confluent", "kafka_python", "aiokafka_", "registry", "http_sql", "psycopg_", "sqlalchemy_"])
def test_python_client(node, client):
    run(node, sys.executable, str(CLIENTS / f"{client}.py"))


@pytest.mark.parametrize("client, needs", [("kcat", ["kcat"]), ("kafkajs", ["node", "npm"]), ("java", ["java", "mvn"])])
def test_kafka_program(node, client, needs):
    skip_without(needs)
    run(node, "bash", str(CLIENTS / "run.sh"), client)


def test_psql(node):
    skip_without(["psql"])
    node.sql("CREATE TABLE IF NOT EXISTS shown (id BIGINT, name VARCHAR)")
    run(node, "bash", str(CLIENTS / "psql.sh"), "shown")


def skip_without(needs):
    missing = [program for program in needs if not shutil.which(program)]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")
