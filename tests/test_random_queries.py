"""Random queries have the rows that DuckDB gives them. A failure names its seed: the same queries come again."""

import decimal
import math
from collections import Counter

import duckdb
import psycopg
import pytest

from queries import Queries, Tables

QUERIES = 80


def comparable(value):
    """Numbers by their first eight digits: sums of DOUBLEs depend on their order."""
    if isinstance(value, (int, float, decimal.Decimal)) and not isinstance(value, bool):
        value = float(value)
        return None if math.isnan(value) else float(f"{value:.8g}") + 0.0
    return value


def rows(found):
    return Counter(tuple(comparable(value) for value in row) for row in found)


@pytest.mark.parametrize("seed", range(4))
def test_random_queries_have_the_rows_that_duckdb_gives_them(node, seed):
    host, port = node.ports["pg"].rsplit(":", 1)
    with psycopg.connect(host=host, port=port, dbname="lakehead", user="test", autocommit=True) as conn:
        duck = duckdb.connect()
        conn.execute("drop table if exists fa")
        conn.execute("drop table if exists fb")
        for statement in Tables(seed).statements():
            duck.execute(statement)
            conn.execute(statement)
        queries = Queries(seed)
        compared = 0
        for _ in range(QUERIES):
            query = queries.query()
            try:
                expected = rows(duck.execute(query).fetchall())
            except duckdb.Error:
                continue  # A number became too large, or the two dialects part here.
            found = rows(conn.execute(query).fetchall())
            assert found == expected, f"{query}\nmissing {expected - found}\nsurplus {found - expected}"
            compared += 1
        assert compared > QUERIES / 2, "most queries are of both dialects"
