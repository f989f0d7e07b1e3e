//! Types and values that are the same at every door, and as in PostgreSQL.

use expect_test::expect;

use crate::fixture::Node;

#[tokio::test]
async fn now_is_a_moment_in_the_time_zone_of_its_session() {
    let node = Node::start().await;
    for law in [
        "arrow_typeof(now()) = 'Timestamp(µs, \"+00:00\")'",
        "arrow_typeof(now() AT TIME ZONE 'America/New_York') = 'Timestamp(µs)'",
        "now() AT TIME ZONE 'UTC' - now() AT TIME ZONE 'America/New_York' IN (INTERVAL '4 hours', INTERVAL '5 hours')",
        "current_timestamp = now()",
        "now() AT TIME ZONE 'UTC' AT TIME ZONE 'UTC' = now()",
    ] {
        assert_eq!(node.value(&format!("SELECT {law}")).await, "true", "{law}");
    }
    node.run("CREATE TABLE t AS SELECT now() AS at").await;
    assert_eq!(node.value("SELECT arrow_typeof(at) FROM t").await, "Timestamp(µs, \"+00:00\")");

    node.run("SET TIME ZONE 'America/New_York'").await;
    for law in [
        "arrow_typeof(now()) = 'Timestamp(µs, \"America/New_York\")'",
        "now() - at < INTERVAL '1 hour' FROM t",
        "now() - TIMESTAMPTZ '2020-01-01' > INTERVAL '1 day'",
    ] {
        assert_eq!(node.value(&format!("SELECT {law}")).await, "true", "{law}");
    }
    node.run("RESET ALL").await;
    assert_eq!(node.value("SELECT arrow_typeof(now())").await, "Timestamp(µs, \"+00:00\")");
    node.check(
        "SHOW timezone; SET timezone = 'Atlantis'",
        expect![[r#"
            LH0520 datafusion.execution.time_zone cannot be `Atlantis`
            it is not a time zone
            hint: write UTC, +02:00 or Europe/Vienna
        "#]],
    )
    .await;
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
    for law in [
        "'\\xdead'::bytea = decode('dead', 'hex')",
        "CAST('\\x' || 'DE ad' AS BYTEA) = decode('dead', 'hex')",
        "(SELECT count(*) FROM b WHERE a = '\\xff') = 1",
        "(SELECT count(*) FROM b WHERE a IN ('\\xff', 'plain')) = 2",
        "(SELECT count(*) FROM b WHERE a BETWEEN '\\x01' AND '\\xcafe') = 3",
        "TRY_CAST('\\xzz' AS BYTEA) IS NULL",
        // Characters of text are still characters.
        "length('größe') = 5 AND octet_length('größe') = 7 AND char_length('größe') = 5",
    ] {
        assert_eq!(node.value(&format!("SELECT {law}")).await, "true", "{law}");
    }
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
        "#]],
    )
    .await;
    node.run("CREATE TABLE declared (id BIGINT NOT NULL)").await;
    assert_eq!(node.fails("INSERT INTO declared VALUES (NULL)").await, "LH0343");
}

#[tokio::test]
async fn counts_ranks_and_places_are_bigint() {
    let node = Node::start().await;
    node.run("CREATE TABLE c AS SELECT value AS id, value % 2 AS g, [value, 2] AS list FROM generate_series(1, 4)").await;
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
        node.value("SELECT count(*) FROM information_schema.columns WHERE table_name = 'i' AND ordinal_position = 2").await,
        "1"
    );
}
