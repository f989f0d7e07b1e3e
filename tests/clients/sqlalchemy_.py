"""SQLAlchemy and asyncpg against the PostgreSQL door: what they ask about tables, and the types they insist on.

    LAKEHEAD_PG=127.0.0.1:5433 python tests/clients/sqlalchemy_.py

Needs nothing but an empty or filled node; makes and drops what it uses.
"""

import asyncio
import datetime as dt
import decimal
import os
import uuid

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

HOST, PORT = os.environ.get("LAKEHEAD_PG", "127.0.0.1:5433").rsplit(":", 1)
DATABASE = f"test@{HOST}:{PORT}/lakehead"


def check(name, got, expected):
    assert got == expected, f"{name}: got {got!r}, expected {expected!r}"
    print("ok  ", name)


def columns(inspector):
    return [(column["name"], str(column["type"])) for column in inspector.get_columns("sa_orders")]


SHAPE = [("id", "BIGINT"), ("item", "TEXT"), ("cost", "NUMERIC(10, 2)"), ("at", "TIMESTAMP")]


def sqlalchemy():
    engine = sa.create_engine(f"postgresql+psycopg://{DATABASE}")
    with engine.begin() as conn:
        conn.execute(sa.text("DROP TABLE IF EXISTS sa_orders"))
        conn.execute(sa.text("CREATE TABLE sa_orders (id BIGINT, item VARCHAR, cost DECIMAL(10, 2), at TIMESTAMP)"))
    inspector = sa.inspect(engine)
    check("columns", columns(inspector), SHAPE)
    assert "sa_orders" in inspector.get_table_names() and "public" in inspector.get_schema_names()
    check("no key", inspector.get_pk_constraint("sa_orders")["constrained_columns"], [])
    check("no other keys", (inspector.get_foreign_keys("sa_orders"), inspector.get_indexes("sa_orders")), ([], []))
    orders = sa.Table("sa_orders", sa.MetaData(), autoload_with=engine)
    row = {"id": 1, "item": "pen", "cost": decimal.Decimal("1.50"), "at": dt.datetime(2020, 1, 2, 3, 4)}
    with engine.begin() as conn:
        conn.execute(orders.insert(), [row, {**row, "id": 2, "item": None, "cost": decimal.Decimal("2.25")}])
        found = conn.execute(sa.select(orders).where(orders.c.cost < decimal.Decimal("2.249"))).mappings().all()
        check("rows", [dict(r) for r in found], [row])
        check("count", conn.execute(sa.select(sa.func.count()).select_from(orders)).scalar(), 2)


async def asynchronous():
    engine = create_async_engine(f"postgresql+asyncpg://{DATABASE}")
    async with engine.connect() as conn:
        check("columns, asyncpg", await conn.run_sync(lambda sync: columns(sa.inspect(sync))), SHAPE)
    await engine.dispose()

    conn = await asyncpg.connect(host=HOST, port=int(PORT), user="test", database="lakehead")
    key, now = uuid.uuid4(), dt.datetime(2020, 1, 2, 3, 4, tzinfo=dt.timezone.utc)
    for sql, value, expected in [
        ("SELECT $1::numeric", decimal.Decimal("1.5"), decimal.Decimal("1.5")),
        ("SELECT $1::timestamptz", now, now),
        ("SELECT $1::interval", dt.timedelta(days=1), dt.timedelta(days=1)),
        ("SELECT $1::uuid", key, key),
        ("SELECT count(*) FROM (SELECT 1 FROM generate_series(1, 9) LIMIT $1)", 3, 3),
    ]:
        check(sql, await conn.fetchval(sql, value), expected)
    await conn.execute("DROP TABLE sa_orders")
    await conn.close()


if __name__ == "__main__":
    sqlalchemy()
    asyncio.run(asynchronous())
    print("sqlalchemy: all well")
