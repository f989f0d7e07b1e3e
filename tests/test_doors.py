"""HTTP, the command line and the PostgreSQL protocol answer the same question alike."""

import datetime as dt
import decimal
import json

import psycopg
import pytest


@pytest.fixture
def pg(node):
    host, port = node.ports["pg"].rsplit(":", 1)
    with psycopg.connect(host=host, port=port, dbname="lakehead", user="test", autocommit=True) as conn:
        yield conn


def at_each_door(node, pg, query):
    """The first row at HTTP, at the command line and through psycopg, as Python shows it: a Decimal is no int."""
    http = node.sql(query)[0]
    cli = list(json.loads(node.run("sql", "--format", "json", query).stdout.splitlines()[0]).values())
    return [[repr(value) for value in row] for row in (http, cli, pg.execute(query).fetchone())]


@pytest.mark.parametrize(
    "query, values",
    [
        ("SELECT extract(hour FROM now() AT TIME ZONE 'UTC' - now() AT TIME ZONE 'Asia/Tokyo') AS a", [-9]),
        ("SELECT row_number() OVER () AS a, array_length([1, 2]) AS b, approx_distinct(1) AS c", [1, 2, 1]),
        ("SELECT ordinal_position AS a FROM information_schema.columns ORDER BY 1 LIMIT 1", [1]),
        ("SELECT pg_size_pretty(100000::bigint) AS a, pg_table_size('t') AS b", ["98 kB", None]),
        ("SELECT count(*) AS a FROM information_schema.columns WHERE udt_name IS NULL", [0]),
        ("DESCRIBE SELECT 1_000 AS a, 'x' LIKE '!%' ESCAPE '!' AS b", ["a", "BIGINT", "NO", "query"]),
        ("SELECT sum(10 / a) FILTER (WHERE a <> 0) AS a FROM (VALUES (0), (5)) t(a)", [2]),
        ("SELECT length('\\xdead'::bytea) AS a, '\\xdead'::bytea = decode('dead', 'hex') AS b", [2, True]),
        ("SELECT timestamp '2024-01-01 10:00' = to_timestamp('1.1.2024 10', 'DD.MM.YYYY HH24') AS a", [True]),
        ("SELECT interval '1 day 03:04:05' = interval '1 day 3 hours 4 minutes 5 seconds' AS a", [True]),
        ("SELECT arrow_typeof(now()) AS a, arrow_typeof(rank() OVER ()) AS b", ['Timestamp(µs, "+00:00")', "Int64"]),
    ],
)
def test_the_doors_agree(node, pg, query, values):
    wanted = [repr(value) for value in values]
    assert at_each_door(node, pg, query) == [wanted, wanted, wanted]


def test_now_is_kept_as_a_moment_by_each_door(node, pg):
    create = "CREATE OR REPLACE TABLE moments AS SELECT now() AS at"
    typed = "SELECT data_type FROM information_schema.columns WHERE table_name = 'moments'"
    for door in (node.sql, pg.execute, lambda query: node.run("sql", query)):
        door(create)
        assert pg.execute(typed).fetchone() == ("timestamp with time zone",)
    there = node.run("sql", "SET timezone = 'Asia/Tokyo'; SELECT arrow_typeof(now()) AS t").stdout
    assert "Asia/Tokyo" in there


def test_untyped_texts_stand_beside_typed_parameters(pg):
    assert pg.execute("SELECT %s, %s", (1, "x")).fetchone() == (1, "x")
    assert pg.execute("SELECT * FROM (VALUES (%s, %s)) v(a, b)", (1, "x")).fetchone() == (1, "x")
    pg.execute("CREATE OR REPLACE TABLE params AS SELECT 7 AS id")
    assert pg.execute("SELECT id, %s AS src, %s AS n FROM params", ("a", 3)).fetchone() == (7, "a", 3)


@pytest.mark.parametrize("digits", ["1.234E-11", "1.10", "-0.001", "123456789012345678901234567890"])
@pytest.mark.parametrize("binary", [False, True])
def test_numeric_parameters_keep_their_digits(pg, digits, binary):
    value = decimal.Decimal(digits)
    with pg.cursor(binary=binary) as cursor:
        (got,) = cursor.execute("SELECT %s::numeric", (value,)).fetchone()
    assert got.as_tuple() == decimal.Decimal(format(value, "f")).as_tuple()


def test_columns_of_a_query_take_null_and_bytes_are_bytes(pg):
    pg.execute("CREATE OR REPLACE TABLE made AS SELECT 1 AS a, 'src' AS src, '\\xdeadbeef'::bytea AS b")
    pg.execute("INSERT INTO made (a) VALUES (%s)", (9,))
    pg.execute("INSERT INTO made VALUES (%s, %s, %s)", (10, "x", b"\x00\xff"))
    rows = pg.execute("SELECT a, src, b, length(b) FROM made ORDER BY a").fetchall()
    assert rows == [(1, "src", b"\xde\xad\xbe\xef", 4), (9, None, None, None), (10, "x", b"\x00\xff", 2)]


def test_times_and_intervals_come_as_people_write_them(pg):
    pg.execute("CREATE OR REPLACE TABLE times (at TIMESTAMP)")
    pg.execute("INSERT INTO times VALUES ('2024-01-01 10:00')")
    assert pg.execute("SELECT at FROM times WHERE at >= '2024-01-01 10:00'").fetchone() == (dt.datetime(2024, 1, 1, 10),)
    assert pg.execute("SELECT '03:04:05'::interval").fetchone() == (dt.timedelta(hours=3, minutes=4, seconds=5),)
    assert pg.execute("SELECT to_date('02/01/2024', 'DD/MM/YYYY')").fetchone() == (dt.date(2024, 1, 2),)


def test_lists_and_intervals_of_python_are_parameters(pg):
    pg.execute("CREATE OR REPLACE TABLE letters AS SELECT * FROM (VALUES ('a', 1), ('b', 2), ('c', 3)) t(s, n)")
    count = "SELECT count(*) FROM letters WHERE "
    assert pg.execute(count + "s = ANY(%s)", (["a", "x"],)).fetchone() == (1,)
    assert pg.execute(count + "s <> ALL(%s)", (["a", "x"],)).fetchone() == (2,)
    assert pg.execute(count + "n = ANY(%s)", ([1, 3],)).fetchone() == (2,)
    assert pg.execute(count + "n <> ALL(%s) AND s = ANY(%s)", ([1], ["a", "b"])).fetchone() == (1,)
    day = dt.timedelta(days=1)
    assert pg.execute("SELECT now() - %s < now()", (day,)).fetchone() == (True,)
    at = dt.datetime(2024, 1, 2)
    assert pg.execute("SELECT %s::timestamp - %s", (at, day)).fetchone() == (at - day,)


def test_csv_tells_null_from_an_empty_text(node, pg):
    query = "SELECT * FROM (VALUES (1, ''), (2, NULL), (3, 'a,b')) t(id, s) ORDER BY id"
    lines = ["id,s", '1,""', "2,", '3,"a,b"']
    headers = {"content-type": "text/plain", "accept": "text/csv"}
    with node.request("/sql", query.encode(), headers) as response:
        assert response.read().decode().splitlines() == lines
    pg.execute(f"COPY ({query}) TO 'told.csv.gz'")
    read = "SELECT count(*), count(s), count(*) FILTER (WHERE s = '') FROM 'told.csv.gz'"
    assert pg.execute(read).fetchone() == (3, 2, 1)
