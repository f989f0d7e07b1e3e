//! Types and values that are the same at every door, and as in PostgreSQL.

use expect_test::expect;

use crate::fixture::Node;

#[tokio::test]
async fn now_is_a_moment_in_the_time_zone_of_its_session() {
    let node = Node::start().await;
    node.holds(&[
        "arrow_typeof(now()) = 'Timestamp(µs, \"+00:00\")'",
        "arrow_typeof(now() AT TIME ZONE 'America/New_York') = 'Timestamp(µs)'",
        "now() AT TIME ZONE 'UTC' - now() AT TIME ZONE 'America/New_York' IN (INTERVAL '4 hours', INTERVAL '5 hours')",
        "current_timestamp = now()",
        "now() AT TIME ZONE 'UTC' AT TIME ZONE 'UTC' = now()",
    ])
    .await;
    node.run("CREATE TABLE t AS SELECT now() AS at").await;
    assert_eq!(node.value("SELECT arrow_typeof(at) FROM t").await, "Timestamp(µs, \"+00:00\")");

    node.run("SET TIME ZONE 'America/New_York'").await;
    node.holds(&[
        "arrow_typeof(now()) = 'Timestamp(µs, \"America/New_York\")'",
        "now() - at < INTERVAL '1 hour' FROM t",
        "now() - TIMESTAMPTZ '2020-01-01' > INTERVAL '1 day'",
    ])
    .await;
    for back in ["SET TIME ZONE 'utc'", "RESET ALL"] {
        node.run(&format!("SET TIME ZONE 'America/New_York'; {back}")).await;
        assert_eq!(node.value("SELECT arrow_typeof(now())").await, "Timestamp(µs, \"+00:00\")", "{back}");
    }
    node.check(
        "SHOW timezone; SET timezone = 'Atlantis'",
        expect![[r#"
            LH0515 datafusion.execution.time_zone cannot be `Atlantis`
            it is not a time zone
            hint: write UTC, +02:00 or Europe/Vienna
        "#]],
    )
    .await;
}

/// A clock that goes back shows an hour twice: it is the later one, as in PostgreSQL, however it is read.
#[tokio::test]
async fn times_shown_twice_or_never_are_moments() {
    let node = Node::start().await;
    node.run("SET TIME ZONE 'Europe/Vienna'; CREATE TABLE t AS SELECT '2024-10-27 02:30' AS s").await;
    node.holds(&[
        "'2024-10-27 02:30'::timestamptz = TIMESTAMPTZ '2024-10-27 01:30+00'",
        "TIMESTAMPTZ '2024-10-27 02:30:00' = to_timestamp('2024-10-27 02:30', 'YYYY-MM-DD HH24:MI')",
        "'2024-03-31 02:30'::timestamptz = TIMESTAMPTZ '2024-03-31 01:30+00'",
        "s::timestamptz = TIMESTAMPTZ '2024-10-27 01:30+00' FROM t",
        "to_timestamp(s) = TIMESTAMPTZ '2024-10-27 01:30+00' FROM t",
        "TIMESTAMP '2024-10-27 02:30:00' AT TIME ZONE 'Europe/Vienna' = TIMESTAMPTZ '2024-10-27 01:30+00'",
        "TRY_CAST('2024-10-27 02:3x' AS TIMESTAMPTZ) IS NULL",
    ])
    .await;
    assert_eq!(
        node.fails("SELECT s::timestamptz FROM (VALUES ('2024-10-27 02:30'), ('2024-10-27 02:3x')) AS t(s)").await,
        "LH0505"
    );
    let prepared = node.session.prepare("SELECT $1 = TIMESTAMPTZ '2024-10-27 01:30+00'", &[]).await.expect("checked");
    let given = prepared.execute(vec!["2024-10-27 02:30".into()]).await.expect("it runs");
    let given = given.collect().await.expect("a row");
    assert_eq!(arrow::util::display::array_value_to_string(given[0].column(0), 0).expect("shown"), "true");
}

#[tokio::test]
async fn bytes_are_written_as_hexadecimal_digits() {
    let node = Node::start().await;
    node.run("CREATE TABLE b (id INT, a BYTEA); INSERT INTO b VALUES (1, '\\xdeadbeef')").await;
    node.run("INSERT INTO b VALUES (2, '\\x00'), (3, 'plain'), (4, decode('ff', 'hex')), (5, NULL)").await;
    node.run("UPDATE b SET a = '\\x0102' WHERE a = '\\x00'").await;
    node.run("PREPARE one AS INSERT INTO b VALUES (6, $1); EXECUTE one('\\xcafe')").await;
    node.check(
        "SELECT id, encode(a, 'hex') AS hex, length(a) AS length, octet_length(a) AS octets FROM b ORDER BY id",
        expect![[r#"
            +----+------------+--------+--------+
            | id | hex        | length | octets |
            +----+------------+--------+--------+
            | 1  | deadbeef   | 4      | 4      |
            | 2  | 0102       | 2      | 2      |
            | 3  | 706c61696e | 5      | 5      |
            | 4  | ff         | 1      | 1      |
            | 5  |            |        |        |
            | 6  | cafe       | 2      | 2      |
            +----+------------+--------+--------+
        "#]],
    )
    .await;
    node.holds(&[
        "'\\xdead'::bytea = decode('dead', 'hex')",
        "CAST('\\x' || 'DE ad' AS BYTEA) = decode('dead', 'hex')",
        "(SELECT count(*) FROM b WHERE a = '\\xff') = 1",
        "(SELECT count(*) FROM b WHERE a IN ('\\xff', 'plain')) = 2",
        "(SELECT count(*) FROM b WHERE a BETWEEN '\\x01' AND '\\xcafe') = 3",
        "TRY_CAST('\\xzz' AS BYTEA) IS NULL",
        // Characters of text are still characters.
        "length('größe') = 5 AND octet_length('größe') = 7 AND char_length('größe') = 5",
    ])
    .await;
    assert_eq!(node.fails("SELECT '\\xzz'::bytea").await, "LH0505");
    assert_eq!(node.fails("SELECT CAST(v AS BYTEA) FROM (VALUES ('\\xabc')) AS t(v)").await, "LH0505");
    // What a text column happens to hold fails no comparison.
    assert_eq!(node.value("SELECT count(*) FROM b JOIN (VALUES ('\\xzz'), ('plain')) AS t(v) ON a = v").await, "1");
}

#[tokio::test]
async fn columns_made_by_a_query_take_null() {
    let node = Node::start().await;
    node.run(
        "CREATE TABLE made AS SELECT id, 'src' AS src, row_number() OVER () AS n, [id] AS list,
           named_struct('a', 1, 'tags', ['x']) AS doc FROM (VALUES (1)) AS t(id);
         INSERT INTO made (id) VALUES (2);
         INSERT INTO made VALUES (NULL, NULL, NULL, [NULL], named_struct('a', NULL, 'tags', [NULL]))",
    )
    .await;
    node.check(
        "DESCRIBE made; SELECT * FROM made ORDER BY id NULLS LAST",
        expect![[r#"
            +-------------+---------------------------------------+-------------+--------+
            | column_name | data_type                             | is_nullable | origin |
            +-------------+---------------------------------------+-------------+--------+
            | id          | BIGINT                                | YES         | table  |
            | src         | VARCHAR                               | YES         | table  |
            | n           | BIGINT                                | YES         | table  |
            | list        | ARRAY<BIGINT>                         | YES         | table  |
            | doc         | STRUCT<a BIGINT, tags ARRAY<VARCHAR>> | YES         | table  |
            +-------------+---------------------------------------+-------------+--------+
            +----+-----+---+------+-------------------+
            | id | src | n | list | doc               |
            +----+-----+---+------+-------------------+
            | 1  | src | 1 | [1]  | {a: 1, tags: [x]} |
            | 2  |     |   |      |                   |
            |    |     |   | []   | {a: , tags: []}   |
            +----+-----+---+------+-------------------+
        "#]],
    )
    .await;
    node.run("CREATE TABLE declared (id BIGINT NOT NULL)").await;
    assert_eq!(node.fails("INSERT INTO declared VALUES (NULL)").await, "LH0343");
}

#[tokio::test]
async fn counts_ranks_and_places_are_bigint() {
    let node = Node::start().await;
    node.run("CREATE TABLE c AS SELECT value AS id, value % 2 AS g, [value, 2] AS list FROM generate_series(1, 4)")
        .await;
    for (query, values) in [
        ("row_number() OVER (PARTITION BY g ORDER BY id)", "[1, 1, 2, 2]"),
        ("rank() OVER (ORDER BY g)", "[1, 1, 3, 3]"),
        ("dense_rank() OVER (ORDER BY g)", "[1, 1, 2, 2]"),
        ("ntile(2) OVER (ORDER BY id)", "[1, 1, 2, 2]"),
        ("row_number() OVER ()", "[1, 2, 3, 4]"),
        ("array_length(list)", "[2, 2, 2, 2]"),
        ("cardinality(list)", "[2, 2, 2, 2]"),
        ("array_position(list, 2)", "[1, 2, 2, 2]"),
        ("list_position(list, 2)", "[1, 2, 2, 2]"),
        ("array_ndims(list)", "[1, 1, 1, 1]"),
        ("json_length('[1, 2]')", "[2, 2, 2, 2]"),
        ("approx_distinct(id) OVER ()", "[4, 4, 4, 4]"),
    ] {
        let shown = node.value(&format!("SELECT array_agg(x ORDER BY x) FROM (SELECT {query} AS x FROM c)")).await;
        assert_eq!(shown, values, "{query}");
        let given = node.value(&format!("SELECT arrow_typeof(x) FROM (SELECT {query} AS x FROM c) LIMIT 1")).await;
        assert_eq!(given, "Int64", "{query}");
    }
    node.check(
        "CREATE TABLE kept AS SELECT approx_distinct(id) AS d, regr_count(id, id) AS r, count(*) AS n,
           array_positions([1, 2, 1], 1) AS p FROM c;
         INSERT INTO kept SELECT n, n, n, [] FROM (SELECT row_number() OVER () AS n FROM c) WHERE n = 1;
         DESCRIBE kept; SELECT * FROM kept ORDER BY d DESC;
         WITH RECURSIVE r AS (SELECT row_number() OVER () AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3)
           SELECT sum(n) FROM r",
        expect![[r#"
            SELECT 1
            INSERT 0 1
            +-------------+---------------+-------------+--------+
            | column_name | data_type     | is_nullable | origin |
            +-------------+---------------+-------------+--------+
            | d           | BIGINT        | YES         | table  |
            | r           | BIGINT        | YES         | table  |
            | n           | BIGINT        | YES         | table  |
            | p           | ARRAY<BIGINT> | YES         | table  |
            +-------------+---------------+-------------+--------+
            +---+---+---+--------+
            | d | r | n | p      |
            +---+---+---+--------+
            | 4 | 4 | 4 | [1, 3] |
            | 1 | 1 | 1 | []     |
            +---+---+---+--------+
            +--------+
            | sum(n) |
            +--------+
            | 6      |
            +--------+
        "#]],
    )
    .await;
    // What there is at once stays so.
    let plan = node.shown("EXPLAIN SELECT count(*) FROM c").await;
    assert!(plan.contains("PlaceholderRowExec") && !plan.contains("AggregateExec"), "{plan}");
}

#[tokio::test]
async fn the_information_schema_counts_from_one_in_integers() {
    let node = Node::start().await;
    node.run("CREATE TABLE i (a BIGINT, b VARCHAR)").await;
    node.check(
        "SELECT column_name, ordinal_position, arrow_typeof(ordinal_position) AS o, arrow_typeof(numeric_precision) AS p
           FROM information_schema.columns WHERE table_name = 'i' ORDER BY ordinal_position",
        expect![[r#"
            +-------------+------------------+-------+-------+
            | column_name | ordinal_position | o     | p     |
            +-------------+------------------+-------+-------+
            | a           | 1                | Int32 | Int32 |
            | b           | 2                | Int32 | Int32 |
            +-------------+------------------+-------+-------+
        "#]],
    )
    .await;
    assert_eq!(
        node.value("SELECT count(*) FROM information_schema.columns WHERE table_name = 'i' AND ordinal_position = 2")
            .await,
        "1"
    );
    // A text without a limit, as DataFusion knows some, has no length there.
    node.run("CREATE VIEW long AS SELECT string_agg(b, ',') AS texts FROM i").await;
    let octets = "SELECT array_agg(character_octet_length) FROM information_schema.columns WHERE table_name = 'long'";
    assert_eq!(node.value(octets).await, "[]");
}

#[tokio::test]
async fn times_are_read_as_people_write_them() {
    let node = Node::start().await;
    node.run("CREATE TABLE m (id INT, at TIMESTAMP, z TIMESTAMPTZ, d DATE)").await;
    node.run("INSERT INTO m VALUES (1, '2024-01-01 10:00', '2024-01-01 10:00+02', '2024-1-1')").await;
    node.run("INSERT INTO m SELECT id, at, at, at FROM (VALUES (2, '2024-01-02 9:30'), (3, '2024-01-03 09:30:01')) AS t(id, at)")
        .await;
    node.check(
        "SELECT * FROM m ORDER BY id",
        expect![[r#"
            +----+---------------------+----------------------+------------+
            | id | at                  | z                    | d          |
            +----+---------------------+----------------------+------------+
            | 1  | 2024-01-01T10:00:00 | 2024-01-01T08:00:00Z | 2024-01-01 |
            | 2  | 2024-01-02T09:30:00 | 2024-01-02T09:30:00Z | 2024-01-02 |
            | 3  | 2024-01-03T09:30:01 | 2024-01-03T09:30:01Z | 2024-01-03 |
            +----+---------------------+----------------------+------------+
        "#]],
    )
    .await;
    node.holds(&[
        "timestamp '2024-01-01 10:00' = timestamp '2024-01-01 10:00:00'",
        "timestamptz '2024-01-01 10:00+02' = timestamptz '2024-01-01 08:00:00Z'",
        "(SELECT count(*) FROM m WHERE at > '2024-01-01 10:00') = 2",
        "(SELECT count(*) FROM m WHERE at BETWEEN '2024-01-01 10:00' AND '2024-01-02 9:30') = 2",
        "(SELECT count(*) FROM m WHERE at IN ('2024-01-01 10:00', '2024-01-02 9:30')) = 2",
        "date_trunc('hour', '2024-01-01 10:30'::timestamp) = '2024-01-01 10:00'",
        "TRY_CAST('soon' AS TIMESTAMP) IS NULL",
        "to_date('02/01/2024', 'DD/MM/YYYY') = DATE '2024-01-02'",
        "to_date('2024-01-02', '%Y-%m-%d') = DATE '2024-01-02'",
        "to_date('2024-01-02') = DATE '2024-01-02'",
        "to_timestamp('2024-01-02', 'YYYY-MM-DD') = TIMESTAMPTZ '2024-01-02 00:00:00Z'",
        "to_timestamp('2024-01-02 10:00') = TIMESTAMPTZ '2024-01-02 10:00:00Z'",
        "to_timestamp(1704067200) = TIMESTAMPTZ '2024-01-01 00:00:00Z'",
        "to_timestamp(1704067200.5) = TIMESTAMPTZ '2024-01-01 00:00:00.5Z'",
        "to_timestamp(1704067200.998) = TIMESTAMPTZ '2024-01-01 00:00:00.998Z'",
        "to_timestamp(DECIMAL '1704067200.000001') = TIMESTAMPTZ '2024-01-01 00:00:00.000001Z'",
        "to_timestamp(-0.25) = TIMESTAMPTZ '1969-12-31 23:59:59.75Z'",
        "to_timestamp(253402300799) = TIMESTAMPTZ '9999-12-31 23:59:59Z'",
        "arrow_typeof(to_timestamp(0)) = 'Timestamp(µs, \"+00:00\")'",
        "to_date(NULL, 'YYYY') IS NULL",
    ])
    .await;
    for wrong in [
        "timestamp '2024-01-01 25:00'",
        "CAST(v AS TIMESTAMP)",
        "to_date('2024-13-01', 'YYYY-MM-DD')",
        "to_timestamp('NaN'::double)",
        "to_timestamp(1e18)",
    ] {
        assert_eq!(node.fails(&format!("SELECT {wrong} FROM (VALUES ('soon')) AS t(v)")).await, "LH0505", "{wrong}");
    }
    node.run("SET TIME ZONE 'America/New_York'").await;
    node.holds(&["to_timestamp('2024-01-02', 'YYYY-MM-DD') = TIMESTAMPTZ '2024-01-02 05:00:00Z'"]).await;
    // Where no row is read yet, too.
    node.run("PREPARE later AS SELECT $1 > TIMESTAMP '2024-01-02 10:00'; EXECUTE later(TIMESTAMP '2024-01-02 10:01')")
        .await;
    for moment in ["'2200-01-01 10:00'", "TIMESTAMP '2200-01-01 10:00'"] {
        assert_eq!(node.value(&format!("SELECT count(*) FROM m FOR TIMESTAMP AS OF {moment}")).await, "3", "{moment}");
    }
}

#[tokio::test]
async fn intervals_are_read_as_postgresql_writes_them() {
    let node = Node::start().await;
    node.holds(&[
        "interval '1 day 03:04:05' = interval '1 day 3 hours 4 minutes 5 seconds'",
        "'03:04:05'::interval = interval '3 hours 4 minutes 5 seconds'",
        "interval '1 month 2 days 03:04:05.6' = interval '32 days 11045.6 seconds'",
        "interval '1 mon -1 days -02:03' = interval '29 days -123 minutes'",
        "interval '3 4:05:06' = interval '3 days 4 hours 5 minutes 6 seconds'",
        "timestamp '2024-01-01 10:00' + interval '00:30' = timestamp '2024-01-01 10:30'",
        "timestamp '2024-01-03' - timestamp '2024-01-01' > '1 day 12:00'",
        "(SELECT bool_and(CAST(v AS INTERVAL) = interval '90 minutes') FROM (VALUES ('01:30'), ('90 minutes')) AS t(v))",
    ])
    .await;
    assert_eq!(node.fails("SELECT interval '1 day 3:4:5:6'").await, "LH0505");
}

#[tokio::test]
async fn plain_numeric_loses_no_digit_in_silence() {
    let node = Node::start().await;
    for (value, shown) in [
        ("DECIMAL '0.10'::decimal(3, 2)::numeric", "0.10"),
        ("'12345678901234567890.5'::decimal(38, 5)::numeric", "12345678901234567890.50000"),
        ("'1.234E-11'::numeric", "0.00000000001234"),
        ("'123456789012345678901234567890'::numeric", "123456789012345678901234567890"),
        ("NUMERIC '0.000000000001'", "0.000000000001"),
        ("'1.10'::numeric", "1.1000000000"),
        ("5::numeric", "5.0000000000"),
        ("1.5::double::numeric", "1.5000000000"),
        ("NULL::numeric IS NULL", "true"),
    ] {
        assert_eq!(node.value(&format!("SELECT {value}")).await, shown, "{value}");
    }
    let of_rows = |text: &str| format!("SELECT sum(v::numeric) FROM (VALUES ('1.5'), ('{text}')) AS t(v)");
    assert_eq!(node.value(&of_rows("2.25")).await, "3.7500000000");
    for wrong in ["0.00000000001", "x", "1e40"] {
        assert_eq!(node.fails(&of_rows(wrong)).await, "LH0505", "{wrong}");
    }
}

#[tokio::test]
async fn a_subquery_at_a_version_is_called_by_what_was_written() {
    let node = Node::start().await;
    node.run("CREATE TABLE m (id INT); INSERT INTO m VALUES (1); INSERT INTO m VALUES (2)").await;
    let first = node.value("SELECT snapshot_id FROM \"m$snapshots\" ORDER BY committed_at LIMIT 1").await;
    let query = format!("SELECT (SELECT count(*) FROM m FOR VERSION AS OF {first})");
    let outcome = node.session.run_one(&query, Vec::new()).await.expect("runs");
    let heading = format!("(SELECT count(*) FROM m FOR VERSION AS OF {first})");
    assert_eq!(*outcome.schema.field(0).name(), heading.chars().take(60).collect::<String>());
}
