"""A PostgreSQL of our own, and a table whose every change is remembered."""

import datetime
import decimal
import glob
import os
import random
import shutil
import subprocess
import tempfile
import threading

import psycopg
from psycopg.types.json import Jsonb

import board

# Old values are in every change (FULL), so that a delete says which version of a row it ended.
TABLE = """
CREATE TABLE people (
    id int PRIMARY KEY, version int NOT NULL, name text NOT NULL, note text, balance numeric(12, 2) NOT NULL,
    active bool NOT NULL, score float8, born date, changed timestamptz NOT NULL, tags text[], data jsonb
);
ALTER TABLE people REPLICA IDENTITY FULL;
"""
COLUMNS = ("id", "version", "name", "note", "balance", "active", "score", "born", "changed")


class Postgres:
    """A server in an empty folder, ready for logical decoding. It refuses to be root: then it is `postgres`."""

    def __init__(self):
        binaries = [os.path.dirname(found) for name in ("initdb",) if (found := shutil.which(name))]
        binaries += sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)
        if not binaries:
            raise SystemExit("PostgreSQL's server is not installed (Debian: postgresql)")
        self.folder = tempfile.mkdtemp(prefix="compat-postgres-")
        self.become = []
        if os.geteuid() == 0:
            self.become = ["runuser", "-u", "postgres", "--"]
            shutil.chown(self.folder, "postgres", "postgres")
        self.port, self.data = board.common.free_port(), f"{self.folder}/data"
        quiet = {"stdout": subprocess.DEVNULL, "cwd": self.folder}
        initdb = [f"{binaries[0]}/initdb", "-D", self.data, "-U", "compat", "-A", "trust", "-E", "UTF8", "--no-sync"]
        board.run([*self.become, *initdb], **quiet)
        settings = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.folder,
            "wal_level": "logical", "fsync": "off", "shared_buffers": "32MB",
        }  # fmt: skip
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        with open(f"{self.folder}/log", "wb") as log:
            command = [*self.become, f"{binaries[0]}/postgres", "-D", self.data, *options]
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        self.address = f"host=127.0.0.1 port={self.port} user=compat dbname=postgres"

    def connect(self):
        return psycopg.connect(self.address, autocommit=True)

    def is_up(self):
        try:
            self.connect().close()
            return True
        except psycopg.OperationalError:
            assert self.process.poll() is None, f"PostgreSQL ended: see {self.folder}/log"
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)


class People:
    """The table, and what has been done to it: `history` has of each row its versions in order; a delete is one."""

    def __init__(self, postgres, seed):
        self.database, self.random = postgres.connect(), random.Random(seed)
        self.history, self.alive, self.versions = {}, {}, {}
        self.columns = COLUMNS
        self.stopping, self.thread, self.fault = threading.Event(), None, None
        self.database.execute("DROP TABLE IF EXISTS people")
        self.database.execute(TABLE)

    def change(self, count):
        """So many changes, in transactions of one to twenty."""
        while count > 0:
            size = min(count, self.random.randint(1, 20))
            count -= size
            with self.database.transaction():
                for _ in range(size):
                    self.change_one()

    def change_one(self):
        what = self.random.random()
        if what < 0.45 or not self.alive:
            row = self.random.randint(1, 400)
        else:
            row = self.random.choice(list(self.alive))
        if row in self.alive and what > 0.8:
            self.database.execute("DELETE FROM people WHERE id = %s", (row,))
            self.history[row].append(("gone", self.alive.pop(row)))
            return
        version = self.versions[row] = self.versions.get(row, 0) + 1
        values = self.values(row, version)
        names = [*values]
        if row in self.alive:
            text = f"UPDATE people SET {', '.join(f'{name} = %({name})s' for name in names)} WHERE id = %(id)s"
        else:
            text = f"INSERT INTO people ({', '.join(names)}) VALUES ({', '.join(f'%({name})s' for name in names)})"
        self.database.execute(text, values)
        self.alive[row] = version
        self.history.setdefault(row, []).append(("is", version))

    def values(self, row, version):
        some = self.random
        values = {
            "id": row,
            "version": version,
            "name": "".join(some.choices("abcdefghij äöü日本🌊'\"\\\n", k=some.randint(0, 30))),
            "note": None if some.random() < 0.3 else "x" * some.choice((1, 100, 5000)),
            "balance": decimal.Decimal(some.randint(-(10**11), 10**11)).scaleb(-2),
            "active": some.random() < 0.5,
            "score": some.choice((None, some.uniform(-1e9, 1e9))),
            "born": some.choice((None, datetime.date(1970, 1, 1) + datetime.timedelta(some.randint(-20000, 20000)))),
            "changed": datetime.datetime.fromtimestamp(some.randint(0, 2 * 10**15) / 1e6, datetime.UTC),
            "tags": [some.choice("abc") for _ in range(some.randint(0, 3))],
            "data": Jsonb({"n": version}),
        }
        if "email" in self.columns:
            values["email"] = some.choice((None, f"{row}@example.org"))
        return values

    def add_column(self):
        self.database.execute("ALTER TABLE people ADD COLUMN email text")
        self.columns = (*COLUMNS, "email")

    def forget(self):
        """What was before counts only as it is now: a snapshot is taken of it."""
        self.history = {row: [("is", version)] for row, version in self.alive.items()}

    def rows(self):
        """What the table holds: {id: {column: value}}."""
        found = self.database.execute(f"SELECT {', '.join(self.columns)} FROM people").fetchall()
        return {row[0]: dict(zip(self.columns, row, strict=True)) for row in found}

    def __enter__(self):
        """Changes go on in the background, until the block ends."""
        self.stopping.clear()
        self.thread = threading.Thread(target=self.go_on)
        self.thread.start()
        return self

    def go_on(self):
        try:
            while not self.stopping.wait(0.02):
                self.change(10)
        except Exception as fault:  # raised again where the block ends
            self.fault = fault

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()
        if self.fault:
            raise self.fault
