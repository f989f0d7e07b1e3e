"""psycopg 3 against the PostgreSQL door: types, parameters, cursors, errors, cancelling, transaction blocks.

    LAKEHEAD_PG=127.0.0.1:5433 python tests/clients/psycopg_.py

Needs nothing but an empty or filled node; makes and drops what it uses.
"""

import datetime as dt
import decimal
import os
import threading
import time

import psycopg

HOST, PORT = os.environ.get("LAKEHEAD_PG", "127.0.0.1:5433").rsplit(":", 1)


def connect(**more):
    return psycopg.connect(host=HOST, port=PORT, dbname="lakehead", user="test", **more)


def check(name, got, expected):
    assert got == expected, f"{name}: got {got!r}, expected {expected!r}"
    print("ok  ", name)


def values(conn):
    row = conn.execute(
        "SELECT 1, 2.5::double, 'ü', true, DATE '2013-01-02', TIMESTAMP '2013-01-02 03:04:05.678', "
        "12.340::decimal(10,3), NULL, [1, 2, NULL], x'00ff'"
    ).fetchone()
    expected = (
        1, 2.5, "ü", True, dt.date(2013, 1, 2), dt.datetime(2013, 1, 2, 3, 4, 5, 678000),
        decimal.Decimal("12.340"), None, [1, 2, None], b"\x00\xff",
    )
    check("values as text", row, expected)
    with conn.cursor(binary=True) as cursor:
        cursor.execute(
            "SELECT 1, 2.5::double, 'ü', true, DATE '2013-01-02', TIMESTAMP '2013-01-02 03:04:05.678', "
            "12.340::decimal(10,3), NULL, [1, 2, NULL], x'00ff'"
        )
        check("values as binary", cursor.fetchone(), expected)


def parameters(conn):
    check("integers", conn.execute("SELECT %s + 1", (41,)).fetchone(), (42,))
    check("text", conn.execute("SELECT upper(%s)", ("it's",)).fetchone(), ("IT'S",))
    check("floats", conn.execute("SELECT %s::double * 2", (1.25,)).fetchone(), (2.5,))
    check("null", conn.execute("SELECT %s::bigint IS NULL", (None,)).fetchone(), (True,))
    check("dates", conn.execute("SELECT %s > DATE '2013-01-01'", (dt.date(2013, 1, 2),)).fetchone(), (True,))
    check("timestamps", conn.execute("SELECT %s", (dt.datetime(2013, 1, 2, 3, 4),)).fetchone(), (dt.datetime(2013, 1, 2, 3, 4),))
    check("decimals", conn.execute("SELECT %s = 1.5", (decimal.Decimal("1.5"),)).fetchone(), (True,))
    for name, value in [
        ("a decimal alone", decimal.Decimal("1.25")),
        ("a long decimal", decimal.Decimal("-12345678901234567890.000001")),
        ("an interval", dt.timedelta(days=1, seconds=5)),
        ("an instant", dt.datetime(2013, 1, 2, 3, 4, tzinfo=dt.timezone.utc)),
    ]:
        check(name, conn.execute("SELECT %s", (value,)).fetchone(), (value,))
        check(f"{name}, binary", conn.cursor(binary=True).execute("SELECT %b", (value,)).fetchone(), (value,))
    check("a limit", conn.execute("SELECT 1 FROM generate_series(1, 9) LIMIT %s", (2,)).fetchall(), [(1,), (1,)])
    check("booleans", conn.execute("SELECT NOT %s", (True,)).fetchone(), (False,))
    check("lists", conn.execute("SELECT count(*) FROM (VALUES (1), (2), (3)) t(x) WHERE x = ANY(%s)", ([1, 3],)).fetchone(), (2,))
    check("binary", conn.execute("SELECT %b", (7,)).fetchone(), (7,))
    for _ in range(7):  # prepared on the server after five times
        row = conn.execute("SELECT %s || 'x'", ("a",)).fetchone()
    check("prepared", row, ("ax",))


def cursors(conn):
    with conn.transaction():
        with conn.cursor(name="c") as cursor:
            cursor.itersize = 1000
            cursor.execute("SELECT value FROM generate_series(1, 25000)")
            total = sum(row[0] for row in cursor)
    check("a server-side cursor", total, 25000 * 25001 // 2)
    with conn.cursor() as cursor:
        check("streaming", sum(r[0] for r in cursor.stream("SELECT value FROM generate_series(1, 3000)")), 3000 * 3001 // 2)
    with conn.cursor() as cursor:
        with cursor.copy("COPY (SELECT 1, 'a,b', NULL) TO STDOUT (FORMAT csv)") as copy:
            check("copy out", b"".join(bytes(b) for b in copy), b'1,"a,b",\n')


def errors(conn):
    try:
        conn.execute("SELECT nothing FROM nowhere")
        raise AssertionError("no error")
    except psycopg.errors.UndefinedTable as error:
        assert error.diag.message_primary.startswith("LH"), error.diag.message_primary
        print("ok   an error has a code:", error.diag.message_primary)
    for bad, kind in [
        ("SELEKT 1", psycopg.errors.SyntaxError),
        ("SELECT missing_column FROM (SELECT 1 AS x)", psycopg.errors.UndefinedColumn),
        ("SELECT nofn(1)", psycopg.errors.UndefinedFunction),
        ("SELECT 1 / 0", psycopg.errors.DivisionByZero),
        ("SELECT CAST('x' AS INT)", psycopg.errors.InvalidTextRepresentation),
        ("LISTEN a", psycopg.errors.FeatureNotSupported),
        ("SET client_encoding TO latin1", psycopg.errors.InvalidParameterValue),
    ]:
        try:
            conn.execute(bad)
            raise AssertionError(f"no error: {bad}")
        except kind as error:
            print("ok  ", type(error).__name__, error.diag.message_primary)
    try:
        conn.execute("SELECT missing_column FROM (SELECT 1 AS x)")
    except psycopg.Error as error:
        check("the place of an error", error.diag.statement_position, "8")
    check("the connection goes on", conn.execute("SELECT 1").fetchone(), (1,))


def headings(conn):
    names = [column.name for column in conn.execute("SELECT 1, count(*), sum(x), max(x) AS most FROM (SELECT 1 AS x)").description]
    check("headings", names, ["?column?", "count", "sum", "most"])
    check("pg_backend_pid", conn.execute("SELECT pg_backend_pid()").fetchone(), (conn.info.backend_pid,))
    check("pg_typeof", conn.execute("SELECT pg_typeof('a')").fetchone(), ("text",))


def blocks():
    with connect() as conn:
        conn.execute("SELECT 1")
        check("in a block", conn.info.transaction_status.name, "INTRANS")
        try:
            conn.execute("SELECT nothing FROM nowhere")
        except psycopg.Error:
            pass
        check("failed", conn.info.transaction_status.name, "INERROR")
        try:
            conn.execute("SELECT 1")
            raise AssertionError("no error")
        except psycopg.errors.InFailedSqlTransaction:
            print("ok   a failed block refuses")
        conn.rollback()
        with conn.transaction():
            try:
                with conn.transaction():
                    conn.execute("SELECT nothing FROM nowhere")
            except psycopg.errors.UndefinedTable:
                pass
            check("after a savepoint", conn.execute("SELECT 1").fetchone(), (1,))
        conn.rollback()
        check("idle", conn.info.transaction_status.name, "IDLE")


def cancelling():
    slow = "SELECT sum(value % 7) FROM generate_series(1, 100000000000)"
    with connect(autocommit=True) as conn:
        threading.Timer(0.5, conn.cancel_safe).start()
        started = time.monotonic()
        try:
            conn.execute(slow)
            raise AssertionError("no error")
        except psycopg.errors.QueryCanceled as error:
            took = time.monotonic() - started
            assert took < 5, took
            print(f"ok   cancelled after {took:.2f} s: {error.diag.message_primary}")
        conn.execute("SET statement_timeout = '300ms'")
        started = time.monotonic()
        try:
            conn.execute(slow)
            raise AssertionError("no error")
        except psycopg.errors.QueryCanceled as error:
            took = time.monotonic() - started
            assert took < 5, took
            print(f"ok   timed out after {took:.2f} s: {error.diag.message_primary}")
        conn.execute("RESET statement_timeout")
        check("the connection goes on", conn.execute("SELECT 1").fetchone(), (1,))


def settings(conn):
    conn.execute("SET application_name = 'here'")
    check("set, show", conn.execute("SHOW application_name").fetchone(), ("here",))
    check("told", conn.info.parameter_status("application_name"), "here")
    check("current_setting", conn.execute("SELECT current_setting('application_name')").fetchone(), ("here",))
    check("isolation", conn.execute("SHOW transaction isolation level").fetchone(), ("read committed",))
    conn.execute("SET TIME ZONE 'America/New_York'")
    zoned = conn.execute("SELECT TIMESTAMP '2013-07-01 12:00:00' AT TIME ZONE 'UTC'").fetchone()[0]
    conn.execute("RESET ALL")
    print("ok   time zones", zoned)


def main():
    with connect(autocommit=True) as conn:
        print("    ", conn.execute("SELECT version()").fetchone()[0])
        values(conn)
        parameters(conn)
        cursors(conn)
        errors(conn)
        headings(conn)
        settings(conn)
    blocks()
    cancelling()
    print("psycopg: all well")


if __name__ == "__main__":
    main()
