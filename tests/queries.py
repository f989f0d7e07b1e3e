"""Random queries over two small tables with many NULLs, of what Lakehead, PostgreSQL and DuckDB write and mean alike."""

import random


class Tables:
    """`fa` with 400 rows and `fb` with 60, so that joins swap their sides. About every fifth value is NULL."""

    COLUMNS = "a int, b bigint, c double precision, s varchar, d date, k boolean"

    def __init__(self, seed):
        rng = random.Random(seed)
        self.rows = {"fa": [self.row(rng) for _ in range(400)], "fb": [self.row(rng) for _ in range(60)]}

    @staticmethod
    def row(rng):
        values = [
            str(rng.randint(-3, 3)),
            str(rng.randint(0, 20)),
            rng.choice(["-1.5", "0.0", "0.25", "2.0", "7.5"]),
            rng.choice(["'a'", "'b'", "''", "'Ab'", "'%x'", "'é'"]),
            rng.choice(["date '2024-01-01'", "date '2024-02-29'", "date '1999-12-31'"]),
            rng.choice(["true", "false"]),
        ]
        return "(" + ", ".join("null" if rng.random() < 0.2 else value for value in values) + ")"

    def statements(self):
        for name, rows in self.rows.items():
            yield f"create table {name} ({self.COLUMNS})"
            yield f"insert into {name} values {', '.join(rows)}"


class Queries:
    """One query after the other, the same for the same seed. `q` is what columns are qualified with: `x.`, or nothing."""

    def __init__(self, seed):
        self.rng = random.Random(seed)

    def of(self, *choices):
        chosen = self.rng.choice(choices)
        return chosen() if callable(chosen) else chosen

    def number(self, q, depth=2):
        if depth <= 0 or self.rng.random() < 0.35:
            return self.of(f"{q}a", f"{q}b", str(self.rng.randint(-3, 5)))
        deeper = lambda: self.number(q, depth - 1)
        return self.of(
            lambda: f"({deeper()} {self.of('+', '-', '*')} {deeper()})",
            lambda: f"coalesce({deeper()}, {deeper()})",
            lambda: f"nullif({deeper()}, {deeper()})",
            lambda: f"case when {self.simple(q, depth - 1)} then {deeper()} else {deeper()} end",
            lambda: f"case when {self.simple(q, depth - 1)} then {deeper()} end",
            lambda: f"abs({deeper()})",
            lambda: f"length({q}s)",
            lambda: f"extract(year from {q}d)",
        )

    def text(self, q):
        return self.of(
            *(f"{q}s", "'a'", "'Ab'", f"upper({q}s)", f"{q}s || 'x'", f"coalesce({q}s, 'z')"),
            *(f"substr({q}s, 1, 1)", f"replace({q}s, 'a', 'b')", f"lower({q}s)"),
        )

    def simple(self, q, depth=1):
        """A condition without subqueries."""
        if depth > 0 and self.rng.random() < 0.6:
            return self.combined(lambda: self.simple(q, depth - 1))
        number = lambda depth=1: self.number(q, min(depth, 1))
        return self.of(
            lambda: f"{number()} {self.of('=', '<>', '<', '>', '<=', '>=')} {number()}",
            lambda: f"{q}c {self.of('=', '<>', '<', '>')} {self.of('0.25', '2.0', q + 'b')}",
            lambda: f"{self.text(q)} {self.of('=', '<>', '<')} {self.text(q)}",
            lambda: f"{q}s like '{self.of('%a%', 'a%', '_', '%', '%x')}'",
            lambda: f"{q}k",
            lambda: f"{number()} is {self.of('null', 'not null')}",
            lambda: f"{q}a {self.of('in', 'not in')} (1, 2, {self.of('3', 'null', '-1')})",
            lambda: f"{q}b between {number(0)} and {number(0)}",
            lambda: f"{q}d > date '2024-01-15'",
            lambda: f"{number()} is distinct from {number()}",
            lambda: f"{q}k is {self.of('not true', 'false')}",
        )

    def condition(self, q, depth=2):
        if depth > 0 and self.rng.random() < 0.7:
            return self.combined(lambda: self.condition(q, depth - 1))
        return self.of(
            lambda: self.simple(q, 0),
            lambda: self.simple(q, 0),
            f"exists (select 1 from fb z where z.a = {q}a and z.b > 5)",
            f"not exists (select 1 from fb z where z.a = {q}a and z.s = {q}s)",
            f"{q}a in (select z.a from fb z where z.b > 10)",
            f"{q}a not in (select z.a from fb z where z.b > 15 and z.a is not null)",
            f"{q}a not in (select z.a from fb z where z.b > 18)",
            f"{q}b > (select max(z.b) - 5 from fb z where z.a = {q}a)",
        )

    def combined(self, part):
        return self.of(
            lambda: f"({part()} and {part()})",
            lambda: f"({part()} or {part()})",
            lambda: f"not ({part()})",
            lambda: f"({part()}) is {self.of('true', 'not false')}",
        )

    def aggregate(self, q):
        function = self.of(
            *("count(*)", f"count(distinct {q}a)", f"avg({q}b)", f"sum({q}c)", f"min({q}c)", f"bool_and({q}k)"),
            *(f"min({q}s)", f"max({q}d)", f"sum(distinct {q}b)", f"string_agg({q}s, ',' order by {q}s)"),
            lambda: f"{self.of('count', 'sum', 'max')}({self.number(q, 1)})",
        )
        return f"{function} filter (where {self.simple(q)})" if self.rng.random() < 0.3 else function

    def query(self):
        return self.of(
            self.projection, self.groups, self.join, self.totals, self.window, self.sets, self.different, self.nested
        )

    def projection(self):
        values = f"{self.number('')} as x, {self.text('')} as y, ({self.simple('')}) as z"
        return f"select {values} from fa where {self.condition('fa.')}"

    def groups(self):
        by = self.of("a", "s", "d", "k", "a, s", "b % 3")
        values = f"{self.aggregate('')} as v, {self.aggregate('')} as w"
        return f"select {by}, {values} from fa where {self.condition('fa.')} group by {by}"

    def join(self):
        kind = self.of("join", "left join", "right join", "full join")
        on = "x.a = y.a" + self.of("", " and x.b < y.b", " and x.s = y.s", " and x.k", " and y.k")
        where = self.simple("x.") + self.of("", lambda: f" {self.of('and', 'or')} {self.simple('y.')}")
        return f"select x.a as xa, x.b as xb, y.b as yb, y.s as ys from fa x {kind} fb y on {on} where {where}"

    def totals(self):
        return f"select {self.aggregate('')} as v, {self.aggregate('')} as w from fa where {self.condition('fa.')}"

    def window(self):
        frame = self.of("", " range between unbounded preceding and current row", " range between 2 preceding and 1 following")
        over = f"partition by {self.of('a', 'k', 's')} order by b nulls first{frame}"
        value = f"{self.of('sum(b)', 'count(c)', 'min(b)', 'max(s)', 'avg(b)')} over ({over}) as v"
        rank = f"rank() over (order by {self.of('a', 's', 'd')} nulls last) as r"
        return f"select a, b, s, k, {value}, {rank} from fa where {self.simple('fa.')}"

    def sets(self):
        operator = self.of("union", "union all", "except", "intersect")
        return f"select a, s from fa where {self.simple('')} {operator} select a, s from fb where {self.simple('')}"

    def different(self):
        return f"select distinct {self.of('a, k', 's', 'd, a', 'b')} from fa where {self.condition('fa.')}"

    def nested(self):
        where = self.of("true", "u.n is null", "u.n > 3", "t.v is not null")
        return (
            f"with t as (select a, {self.aggregate('')} as v from fa where {self.simple('')} group by a), "
            "u as (select a, count(*) as n from fb group by a) "
            "select t.a, t.v, u.n, (select max(z.b) from fb z where z.a = t.a) as m "
            f"from t {self.of('join', 'left join', 'full join')} u on t.a = u.a where {where}"
        )
