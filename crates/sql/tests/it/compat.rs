//! What people bring along from PostgreSQL and DuckDB, and what it must mean here.

use std::time::Duration;

use expect_test::expect;
use sql::{Headings, SessionOptions};

use crate::fixture::Node;

/// Time that grows with the square of the rows is much longer.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn intervals_compare_by_how_long_they_are() {
    let node = Node::start().await;
    node.holds(&[
        "now() - TIMESTAMPTZ '2020-01-01' > INTERVAL '1 day'",
        "NOT now() - TIMESTAMPTZ '2020-01-01' < INTERVAL '1 day'",
        "INTERVAL '24 hours' = INTERVAL '1 day'",
        "INTERVAL '30 days' = INTERVAL '1 month'",
        "INTERVAL '2000 hours' > INTERVAL '1 day'",
        "INTERVAL '-1 day' < INTERVAL '1 second'",
        "INTERVAL '1 day' IS NOT DISTINCT FROM INTERVAL '24 hours'",
        "INTERVAL '36 hours' BETWEEN INTERVAL '1 day' AND INTERVAL '2 days'",
        "INTERVAL '36 hours' NOT BETWEEN INTERVAL '2 days' AND INTERVAL '1 month'",
        "INTERVAL '24 hours' IN (INTERVAL '1 hour', INTERVAL '1 day')",
        "CASE INTERVAL '24 hours' WHEN INTERVAL '1 day' THEN true ELSE false END",
        "now() - TIMESTAMPTZ '2020-01-01' > '1 day'",
        "'1 day' = INTERVAL '24 hours'",
        "NULLIF(INTERVAL '24 hours', INTERVAL '1 day') IS NULL",
        "greatest(INTERVAL '1 month', INTERVAL '40 days', NULL) = INTERVAL '40 days'",
        "least(INTERVAL '1 month', INTERVAL '40 days') = INTERVAL '30 days'",
        "TIMESTAMP '2020-01-03' - TIMESTAMP '2020-01-01' = INTERVAL '48 hours'",
        // Longer than an interval has nanoseconds for.
        "arrow_cast(TIMESTAMP '2020-01-01', 'Timestamp(µs)') - arrow_cast('1400-01-01', 'Timestamp(µs)') \
         > INTERVAL '600 years'",
    ])
    .await;
    node.check(
        "WITH t(x) AS (VALUES (INTERVAL '1 month'), (INTERVAL '40 days'), (INTERVAL '2000 hours'), (NULL))
         SELECT max(x), min(x), array_agg(x ORDER BY x DESC NULLS LAST) AS all FROM t;
         SELECT x, max(x) OVER (ORDER BY x) AS m, rank() OVER (ORDER BY x) AS r
           FROM (VALUES (INTERVAL '24 hours'), (INTERVAL '1 day'), (INTERVAL '1 hour')) AS t(x) ORDER BY x, r",
        expect![[r#"
            +------------+--------+---------------------------------+
            | max(x)     | min(x) | all                             |
            +------------+--------+---------------------------------+
            | 2000 hours | 1 mons | [2000 hours, 40 days, 1 mons, ] |
            +------------+--------+---------------------------------+
            +----------+----------+---+
            | x        | m        | r |
            +----------+----------+---+
            | 1 hours  | 1 hours  | 1 |
            | 24 hours | 24 hours | 2 |
            | 1 days   | 24 hours | 2 |
            +----------+----------+---+
        "#]],
    )
    .await;
    let within = "SELECT count(*) FROM (VALUES (INTERVAL '24 hours'), (INTERVAL '2 hours')) AS t(x)
        WHERE x IN (SELECT INTERVAL '1 day')";
    assert_eq!(node.value(within).await, "1");
    node.run(
        "CREATE TABLE jobs (id INT, began TIMESTAMP, ended TIMESTAMP);
         INSERT INTO jobs VALUES (1, '2020-01-01 00:00:00', '2020-01-01 00:00:01'),
           (2, '2020-01-01 00:00:00', '2020-01-03 00:00:00'), (3, '1700-01-01 00:00:00', '2020-01-03 00:00:00')",
    )
    .await;
    let slow = "SELECT array_agg(id ORDER BY id) FROM jobs WHERE ended - began > INTERVAL '1 day'";
    assert_eq!(node.value(slow).await, "[2, 3]");
    let joined = "SELECT count(*) FROM jobs a JOIN jobs b ON a.id = b.id AND a.ended - a.began = INTERVAL '48 hours'";
    assert_eq!(node.value(joined).await, "1");
    assert_eq!(node.value("SELECT max(ended - began) > INTERVAL '300 years' FROM jobs").await, "true");
    assert_eq!(node.value("SELECT id FROM jobs ORDER BY ended - began DESC LIMIT 1").await, "3");
    node.run("DELETE FROM jobs WHERE ended - began BETWEEN INTERVAL '0' AND INTERVAL '1 minute'").await;
    assert_eq!(node.value("SELECT count(*) FROM jobs").await, "2");
}

#[tokio::test]
async fn gathered_values_keep_their_order_and_their_nulls() {
    let node = Node::start().await;
    node.run(
        "CREATE TABLE t (g INT, s VARCHAR, n INT);
         INSERT INTO t VALUES (1, 'b', 2), (1, 'a', 1), (1, NULL, 3), (1, 'a', 4), (2, NULL, 1), (3, 'a text of some length', 1)",
    )
    .await;
    node.check(
        "SELECT g, array_agg(s ORDER BY n DESC) AS l, string_agg(s, ', ' ORDER BY n) AS t, array_agg(DISTINCT s) AS d,
                array_agg(DISTINCT s ORDER BY s DESC NULLS FIRST) AS e, string_agg(DISTINCT s, '-' ORDER BY s) AS f,
                array_agg(s ORDER BY n) FILTER (WHERE n > 9) AS none
           FROM t GROUP BY g ORDER BY g;
         SELECT array_agg(s ORDER BY n, g) AS l, string_agg(s, '' ORDER BY n DESC, g) AS t, count(DISTINCT s) AS c,
                array_agg(n ORDER BY s NULLS FIRST, n) AS n FROM t;
         SELECT array_agg(s ORDER BY n) AS l, string_agg(s, ',') AS t, array_agg(DISTINCT s) AS d FROM t WHERE n > 9;
         SELECT n, string_agg(s, ',') OVER (ORDER BY n, s) AS t, array_agg(n) OVER (ORDER BY n, s) AS l
           FROM t WHERE g = 1 ORDER BY n",
        expect![[r#"
            +---+-------------------------+-----------------------+-------------------------+-------------------------+-----------------------+------+
            | g | l                       | t                     | d                       | e                       | f                     | none |
            +---+-------------------------+-----------------------+-------------------------+-------------------------+-----------------------+------+
            | 1 | [a, , b, a]             | a, b, a               | [a, b, ]                | [, b, a]                | a-b                   |      |
            | 2 | []                      |                       | []                      | []                      |                       |      |
            | 3 | [a text of some length] | a text of some length | [a text of some length] | [a text of some length] | a text of some length |      |
            +---+-------------------------+-----------------------+-------------------------+-------------------------+-----------------------+------+
            +--------------------------------------+--------------------------+---+--------------------+
            | l                                    | t                        | c | n                  |
            +--------------------------------------+--------------------------+---+--------------------+
            | [a, , a text of some length, b, , a] | abaa text of some length | 3 | [1, 3, 1, 4, 1, 2] |
            +--------------------------------------+--------------------------+---+--------------------+
            +---+---+---+
            | l | t | d |
            +---+---+---+
            |   |   |   |
            +---+---+---+
            +---+-------+--------------+
            | n | t     | l            |
            +---+-------+--------------+
            | 1 | a     | [1]          |
            | 2 | a,b   | [1, 2]       |
            | 3 | a,b   | [1, 2, 3]    |
            | 4 | a,b,a | [1, 2, 3, 4] |
            +---+-------+--------------+
        "#]],
    )
    .await;
    assert_eq!(node.fails("SELECT array_agg(DISTINCT s ORDER BY n) FROM t").await, "LH0508");
    assert_eq!(node.fails("SELECT string_agg(s, s) FROM t").await, "LH0508");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gathering_takes_time_with_the_rows_and_memory_of_the_pool() {
    let node = Node::start_with(|settings| settings.memory_bytes = 256 << 20).await;
    for sql in [
        "SELECT length(string_agg(value::varchar, ',' ORDER BY value DESC)) FROM generate_series(1, 400000)",
        "SELECT length(string_agg(DISTINCT value::varchar, ',')) FROM generate_series(1, 400000)",
        "SELECT sum(length(s)) FROM (SELECT string_agg(value::varchar, ',' ORDER BY value) AS s
           FROM generate_series(1, 400000) GROUP BY value % 10)",
    ] {
        let length = tokio::time::timeout(PATIENCE, node.value(sql)).await.expect("in time");
        assert!(length.parse::<u64>().expect("a number") > 2_000_000, "{sql}");
    }
    node.run("CREATE TABLE t AS SELECT repeat('x', 1000) || value AS s, value FROM generate_series(1, 300000)").await;
    for sql in [
        "SELECT length(string_agg(s, ',')) FROM t",
        "SELECT length(string_agg(s, ',' ORDER BY value DESC)) FROM t",
        "SELECT length(string_agg(DISTINCT s, ',')) FROM t",
        "SELECT array_length(array_agg(s)) FROM t",
        "SELECT array_length(array_agg(s ORDER BY value)) FROM t",
        "SELECT max(array_length(l)) FROM (SELECT array_agg(s) AS l FROM t GROUP BY value % 3)",
    ] {
        assert_eq!(node.fails(sql).await, "LH0506", "{sql}");
    }
}

#[tokio::test]
async fn a_session_knows_who_and_where_it_is() {
    let node = Node::start().await;
    node.check(
        "SELECT current_user, session_user AS s, upper(current_role) AS r, current_catalog, current_database(),
                current_schema, current_schema() AS c;
         SELECT n FROM (VALUES (1)) AS t(n) WHERE current_user = 'lakehead' AND current_schema = 'public';
         SET search_path = raw; SELECT current_schema",
        expect![[r#"
            +--------------+----------+----------+-----------------+------------------+----------------+--------+
            | current_user | s        | r        | current_catalog | current_database | current_schema | c      |
            +--------------+----------+----------+-----------------+------------------+----------------+--------+
            | lakehead     | lakehead | LAKEHEAD | lakehead        | lakehead         | public         | public |
            +--------------+----------+----------+-----------------+------------------+----------------+--------+
            +---+
            | n |
            +---+
            | 1 |
            +---+
            SET
            +----------------+
            | current_schema |
            +----------------+
            | raw            |
            +----------------+
        "#]],
    )
    .await;
    assert!(node.value("SELECT version()").await.starts_with("Lakehead "));
    assert_eq!(node.fails("SELECT \"current_user\"").await, "LH0503");
}

#[tokio::test]
async fn table_name_is_a_query() {
    let node = Node::start().await;
    node.run("CREATE TABLE t (a INT, \"table\" INT); INSERT INTO t VALUES (2, 0), (1, 0)").await;
    node.check(
        "TABLE t ORDER BY a LIMIT 1; (TABLE public.t) UNION ALL TABLE t ORDER BY 1; WITH x AS (TABLE t) TABLE x ORDER BY a DESC;
         CREATE TABLE u AS TABLE t; SELECT count(*) AS n FROM u; SELECT 1 AS table FROM t; SELECT (a) FROM (TABLE t) AS z
         WHERE a IN (SELECT a FROM u) ORDER BY a",
        expect![[r#"
            +---+-------+
            | a | table |
            +---+-------+
            | 1 | 0     |
            +---+-------+
            +---+-------+
            | a | table |
            +---+-------+
            | 1 | 0     |
            | 1 | 0     |
            | 2 | 0     |
            | 2 | 0     |
            +---+-------+
            +---+-------+
            | a | table |
            +---+-------+
            | 2 | 0     |
            | 1 | 0     |
            +---+-------+
            SELECT 2
            +---+
            | n |
            +---+
            | 2 |
            +---+
            +-------+
            | table |
            +-------+
            | 1     |
            | 1     |
            +-------+
            +-----+
            | (a) |
            +-----+
            | 1   |
            | 2   |
            +-----+
        "#]],
    )
    .await;
    assert_eq!(node.fails("TABLE nowhere").await, "LH0502");
    node.run("CREATE TABLE v (table INT)").await;
}

#[tokio::test]
async fn equal_names_are_told_apart_in_answers() {
    let node = Node::start().await;
    node.check(
        "SELECT 1 AS a, 2 AS a, 3 AS a; SELECT x.n, y.n, x.n AS n_1 FROM (VALUES (1)) AS x(n), (VALUES (2)) AS y(n);
         SELECT * FROM (VALUES (1)) AS x(n), (VALUES (2)) AS y(n);
         SELECT n AS m, n + 1 AS m FROM (VALUES (2), (1)) AS x(n) ORDER BY m",
        expect![[r#"
            +---+-----+-----+
            | a | a_1 | a_2 |
            +---+-----+-----+
            | 1 | 2   | 3   |
            +---+-----+-----+
            +---+-----+-----+
            | n | n_2 | n_1 |
            +---+-----+-----+
            | 1 | 2   | 1   |
            +---+-----+-----+
            +---+-----+
            | n | n_1 |
            +---+-----+
            | 1 | 2   |
            +---+-----+
            +---+-----+
            | m | m_1 |
            +---+-----+
            | 1 | 2   |
            | 2 | 3   |
            +---+-----+
        "#]],
    )
    .await;
    let postgres = SessionOptions { headings: Headings::Postgres, ..SessionOptions::default() };
    let outcome = node.engine.session(postgres).run("SELECT 1 AS a, 2 AS a").await.expect("runs").remove(0);
    assert_eq!(outcome.schema.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(), ["a", "a"]);
    // Those of the other queries of a UNION mean nothing.
    let united = "SELECT 1 AS a, 2 AS b, 3 AS c UNION ALL SELECT n, n, n FROM (VALUES (2)) AS x(n) \
                  UNION ALL SELECT 3 AS z, 4 AS z, 1 + 1";
    assert_eq!(
        node.value(&format!("SELECT string_agg(a || '' || b || c, ' ' ORDER BY a) FROM ({united})")).await,
        "123 222 342"
    );
    // What is kept has each name once.
    assert_eq!(node.fails("CREATE TABLE x AS SELECT 1 AS a, 2 AS a").await, "LH0519");
    assert_eq!(node.fails("CREATE VIEW x AS SELECT 1 AS a, 2 AS a").await, "LH0519");
}

#[tokio::test]
async fn rows_are_found_in_subqueries_and_nulls_are_not_known() {
    let node = Node::start().await;
    node.run(
        "CREATE TABLE t (id INT, a INT, b INT); CREATE TABLE s (x INT, y INT);
         INSERT INTO t VALUES (1, 1, 1), (2, 1, 2), (3, NULL, 1), (4, 9, 9); INSERT INTO s VALUES (1, 1), (2, NULL)",
    )
    .await;
    let ids = async |condition: &str| {
        let sql = format!("SELECT string_agg(id::varchar, ' ' ORDER BY id) FROM t WHERE {condition}");
        node.value(&sql).await
    };
    assert_eq!(ids("(a, b) IN (SELECT x, y FROM s)").await, "1");
    // 3 could be equal to both: NULL is not known.
    assert_eq!(ids("(a, b) NOT IN (SELECT x, y FROM s)").await, "2 4");
    assert_eq!(ids("NOT ((a, b) IN (SELECT x, y FROM s))").await, "2 4");
    assert_eq!(ids("(a, b + 0) IN (TABLE s) OR id = 4").await, "1 4");
    assert_eq!(ids("(a, b) IN (SELECT x, y FROM s) AND id > 1 OR (b, a) IN (VALUES (2, 1))").await, "2");
    assert_eq!(ids("(a, b) IN ((1, 2), (9, 9))").await, "2 4");
    node.run("DELETE FROM t WHERE (a, b) IN (SELECT x, y FROM s)").await;
    assert_eq!(ids("true").await, "2 3 4");
    assert_eq!(node.fails("SELECT (a, b) IN (SELECT x, y FROM s) FROM t").await, "LH0508");
}

#[tokio::test]
async fn a_relation_is_a_row_where_json_is_made_of_it() {
    let node = Node::start().await;
    node.run("CREATE TABLE t (id INT, s VARCHAR); INSERT INTO t VALUES (1, 'a'), (2, NULL)").await;
    node.check(
        "SELECT row_to_json(t) AS r FROM t ORDER BY id;
         SELECT row_to_json(r) AS r FROM (SELECT id, upper(s), s AS \"S\" FROM t) AS r WHERE id = 1;
         WITH c AS (SELECT id * 2 AS d FROM t) SELECT json_agg(c ORDER BY d) AS all FROM c;
         SELECT to_json(x) AS x, row_to_json(t) AS t FROM t JOIN (VALUES (1, true)) AS x(n, b) ON n = id;
         SELECT to_json(t) AS column FROM (SELECT 7 AS t) AS t",
        expect![[r#"
            +-------------------+
            | r                 |
            +-------------------+
            | {"id":1,"s":"a"}  |
            | {"id":2,"s":null} |
            +-------------------+
            +------------------------------+
            | r                            |
            +------------------------------+
            | {"id":1,"upper":"A","S":"a"} |
            +------------------------------+
            +-------------------+
            | all               |
            +-------------------+
            | [{"d":2},{"d":4}] |
            +-------------------+
            +------------------+------------------+
            | x                | t                |
            +------------------+------------------+
            | {"n":1,"b":true} | {"id":1,"s":"a"} |
            +------------------+------------------+
            +--------+
            | column |
            +--------+
            | 7      |
            +--------+
        "#]],
    )
    .await;
}

#[tokio::test]
async fn array_of_a_query_keeps_its_order() {
    let node = Node::start().await;
    node.run("CREATE TABLE t (id INT, tag VARCHAR); INSERT INTO t VALUES (1, 'b'), (2, 'c'), (3, 'a'), (4, 'a')").await;
    for (query, expected) in [
        ("SELECT x FROM (VALUES (3), (1), (2)) AS t(x) ORDER BY x DESC", "[3, 2, 1]"),
        ("SELECT tag FROM t ORDER BY id DESC", "[a, a, c, b]"),
        ("SELECT tag FROM t ORDER BY 1, id", "[a, a, b, c]"),
        ("SELECT tag AS g FROM t ORDER BY g DESC, id LIMIT 3", "[c, b, a]"),
        ("SELECT DISTINCT tag FROM t ORDER BY tag DESC", "[c, b, a]"),
        ("SELECT max(id) FROM t GROUP BY tag ORDER BY tag DESC", "[2, 1, 4]"),
        ("SELECT id FROM t UNION ALL SELECT 9 ORDER BY id DESC", "[9, 4, 3, 2, 1]"),
        ("SELECT * FROM (VALUES (3), (1), (2)) AS t(x) ORDER BY -x", "[3, 2, 1]"),
        ("SELECT x FROM (VALUES (INTERVAL '1 month'), (INTERVAL '2 days')) AS t(x) ORDER BY x", "[2 days, 1 mons]"),
    ] {
        assert_eq!(node.value(&format!("SELECT ARRAY({query})")).await, expected, "{query}");
    }
    let outer = "SELECT string_agg(l, ';' ORDER BY id) FROM (SELECT id, array_to_string(ARRAY(SELECT t.tag FROM t \
                 WHERE t.id > o.id ORDER BY t.tag, t.id), '') AS l FROM t AS o)";
    assert_eq!(node.value(outer).await, "aac;aa;a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rows_of_an_insert_never_land_in_a_table_they_were_not_made_for() {
    let node = Node::start().await;
    for (columns, lands) in [("id BIGINT, n BIGINT", true), ("name VARCHAR, id BIGINT, n BIGINT", false)] {
        node.run("CREATE OR REPLACE TABLE t (id BIGINT, n BIGINT)").await;
        let session = node.engine.session(SessionOptions::default());
        let insert = session.run("INSERT INTO t SELECT value, 1 FROM generate_series(1, 3000000)");
        let replace = async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            node.run(&format!("CREATE OR REPLACE TABLE t ({columns})")).await;
        };
        let (done, ()) = tokio::join!(insert, replace);
        let count = node.value("SELECT count(*) FROM t").await;
        if lands {
            done.expect("starts over");
            assert!(count == "3000000" || count == "0", "{count}");
        } else {
            // Before the table was replaced, or not at all.
            assert_eq!(count, "0");
            assert!(done.is_ok() || done.is_err_and(|error| error.code().name == "LH0516"));
        }
    }
}
