//! Names, types, parameters and errors of people's statements.

use std::time::Duration;

use world::World;

use crate::node::Node;

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_called_as_postgresql_calls_them() {
    let node = Node::start().await;
    let mut client = node.connect().await;
    client.query("CREATE TABLE t (id INT, price DOUBLE)").await;
    client.query("INSERT INTO t VALUES (1, 1.5), (2, 2.5)").await;
    let named = client.query("SELECT 1, count(*), sum(price), max(id) AS most, max(id) * 2 FROM t").await;
    assert_eq!(named.names(), ["?column?", "count", "sum", "most", "?column?"]);
    assert_eq!(named.row(), ["1", "2", "4", "2", "4"]);
    let twice = client.query("SELECT NULL, NULL, 1, 1, count(*), count(*) FROM t").await;
    assert_eq!(twice.names(), ["?column?", "?column?", "?column?", "?column?", "count", "count"]);
    assert_eq!(client.query("SELECT id AS x, price AS x FROM t").await.names(), ["x", "x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_beside_any_is_a_list() {
    let node = Node::start().await;
    let mut client = node.connect().await;
    client.query("CREATE TABLE t (id BIGINT, s VARCHAR, d DECIMAL(10, 2))").await;
    client.query("INSERT INTO t VALUES (1, 'a', 1.5), (2, 'b', 2.5), (3, NULL, NULL)").await;
    for (sql, oid, value, shown) in [
        ("SELECT count(*) FROM t WHERE s = ANY($1)", 0, "{a,\"b\",c}", "2"),
        ("SELECT count(*) FROM t WHERE s = ANY($1)", 1009, "{a}", "1"),
        ("SELECT count(*) FROM t WHERE s = ANY($1)", 0, "{}", "0"),
        ("SELECT count(*) FROM t WHERE s <> ALL($1)", 0, "{a,c}", "1"),
        ("SELECT count(*) FROM t WHERE s <> ALL($1)", 0, "{a,NULL}", "0"),
        ("SELECT count(*) FROM t WHERE NOT s = ANY($1)", 1009, "{b}", "1"),
        ("SELECT count(*) FROM t WHERE id = ANY($1)", 0, "{1,3,9}", "2"),
        ("SELECT count(*) FROM t WHERE id <> ALL($1)", 1005, "{1,3,9}", "1"),
        ("SELECT count(*) FROM t WHERE d = ANY($1)", 0, "{2.50}", "1"),
        ("SELECT 'a' = ANY($1)", 0, "{a}", "t"),
    ] {
        assert_eq!(client.execute(sql, &[(oid, value)]).await.row(), [shown], "{sql} {value}");
    }
    let asked = client.describe("SELECT 1 FROM t WHERE s = ANY($1) AND id <> ALL($2) AND CASE WHEN $3 THEN NOT $4 END");
    assert_eq!(asked.await.parameters, [1009, 1016, 16, 16]);
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_have_the_types_they_are_given() {
    let node = Node::start().await;
    let mut client = node.connect().await;
    for (sql, oid, value, shown, gives) in [
        ("SELECT $1 AS v", 1700, "1.25", "1.25", 1700),
        ("SELECT $1 AS v", 1700, "-12345678901234567890.5", "-12345678901234567890.5", 1700),
        ("SELECT $1 + 1 AS v", 1700, "1.25", "2.25", 1700),
        ("SELECT CAST($1 AS NUMERIC(10, 3)) AS v", 1700, "1.25", "1.250", 1700),
        ("SELECT $1::numeric AS v", 1700, "1.234E-11", "0.00000000001234", 1700),
        ("SELECT $1::numeric AS v", 0, "1.10", "1.10", 1700),
        ("SELECT $1::numeric AS v", 1700, "123456789012345678901234567890", "123456789012345678901234567890", 1700),
        ("SELECT $1::numeric AS v", 21, "5", "5.0000000000", 1700),
        ("SELECT $1 AS v", 1186, "1 day", "1 day", 1186),
        ("SELECT $1 AS v", 1186, "1 day 03:04:05", "1 day 03:04:05", 1186),
        ("SELECT TIMESTAMP '2020-01-02' - $1 AS v", 1186, "1 day", "2020-01-01 00:00:00", 1114),
        ("SELECT now() - $1 < now() AS v", 1186, "1 day", "t", 16),
        ("SELECT DATE '2020-01-01' + $1 AS v", 1186, "36:00:00", "2020-01-02 12:00:00", 1114),
        ("SELECT $1 * 2 AS v", 23, "4", "8", 20),
        ("SELECT $1 AS v", 1114, "2020-01-01 10:30", "2020-01-01 10:30:00", 1114),
        ("SELECT $1::bytea AS v", 0, "\\xdead", "\\xdead", 17),
        ("SELECT $1 AS v", 1184, "2020-01-01 01:02:03+02", "2019-12-31 23:02:03+00", 1184),
    ] {
        let answer = client.execute(sql, &[(oid, value)]).await;
        assert_eq!((answer.row(), answer.types()), (vec![shown], vec![gives]), "{sql} {value}");
    }
    let mixed = client.execute("SELECT $1 AS a, $2 AS b", &[(0, "x"), (1700, "2.5")]).await;
    assert_eq!((mixed.row(), mixed.types()), (vec!["x", "2.5"], vec![25, 1700]));
    for (sql, oid, value, shown, gives) in [
        ("SELECT $1 AS a, $2 AS b", 21, "1", vec!["1", "x"], vec![21, 25]),
        ("SELECT $2 AS b, id, $1 AS a FROM (SELECT 7 AS id) AS t", 23, "1", vec!["x", "7", "1"], vec![25, 20, 23]),
        ("SELECT * FROM (VALUES ($1, $2)) AS v(a, b)", 20, "1", vec!["1", "x"], vec![20, 25]),
        ("SELECT $1 + 1 AS a, coalesce($2, 'y') AS b", 20, "1", vec!["2", "x"], vec![20, 25]),
    ] {
        let answer = client.execute(sql, &[(oid, value), (0, "x")]).await;
        assert_eq!((answer.row(), answer.types()), (shown, gives), "{sql}");
    }
    let uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    assert_eq!(client.execute("SELECT $1::uuid", &[(0, uuid)]).await.row(), [uuid]);
    assert_eq!(client.execute("SELECT $1::jsonb", &[(0, "{\"a\":1}")]).await.row(), ["{\"a\":1}"]);

    client.query("CREATE TABLE t (id INT, price DOUBLE, cost DECIMAL(10, 2))").await;
    client.execute("INSERT INTO t VALUES (1, $1, $2)", &[(1700, "1.5"), (1700, "3.25")]).await;
    let limited = client.describe("SELECT id FROM t WHERE price > $1 LIMIT $2 OFFSET $3").await;
    assert_eq!(limited.parameters, [701, 20, 20]);
    assert_eq!(client.describe("SELECT $1::numeric, $2::uuid, $3::json").await.parameters, [1700, 2950, 114]);
    let found = client.execute("SELECT cost FROM t WHERE cost < $1 AND price = $2", &[(1700, "3.255"), (1700, "1.5")]);
    assert_eq!(found.await.row(), ["3.25"]);
    // A condition keeps the digits that the column has not.
    let kept = client.execute("DELETE FROM t WHERE cost > $1", &[(1700, "3.245")]).await;
    assert_eq!(kept.tag, "DELETE 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_and_uuid_are_types_although_they_are_kept_as_text() {
    let node = Node::start().await;
    let mut client = node.connect().await;
    client
        .query("CREATE TABLE kept AS SELECT 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS id, '[1]'::json AS doc")
        .await;
    for (sql, shown, gives) in [
        ("'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", 2950),
        ("UUID 'a0eebc999c0b4ef8bb6d6bb9bd380a11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", 2950),
        ("'{\"a\": 1}'::json", "{\"a\": 1}", 114),
        ("'{\"a\": 1}'::jsonb", "{\"a\": 1}", 3802),
        ("JSON '[]'", "[]", 114),
        ("'{\"a\": 1}'::json -> 'a'", "1", 114),
        ("'{\"a\": 1}'::jsonb ->> 'a'", "1", 25),
        ("json_build_object('a', 1)", "{\"a\": 1}", 114),
        ("to_json(1)", "1", 114),
        ("'[1]'::json::text", "[1]", 25),
        ("('1'::json)::int", "1", 23),
        ("(SELECT id::uuid FROM kept)", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", 2950),
        (
            "(SELECT id FROM kept WHERE id = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid)",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            25,
        ),
        ("max('b'::json) || 'c'", "bc", 25),
    ] {
        let answer = client.execute(&format!("SELECT {sql} AS v"), &[]).await;
        assert_eq!((answer.row(), answer.types()), (vec![shown], vec![gives]), "{sql}");
    }
    let both = client.query("SELECT '[1]'::json AS j UNION ALL SELECT '[2]'").await;
    assert_eq!(both.types(), [114]);
    let none = client.query("SELECT NULL::uuid AS u, NULL::jsonb AS j, '{}'::json AS e WHERE false").await;
    assert_eq!(none.types(), [2950, 3802, 114]);
    assert_eq!(client.try_query("SELECT 'abc'::uuid").await.field('C'), "22023");
}

#[tokio::test(flavor = "multi_thread")]
async fn moments_have_a_time_zone_where_it_is_written() {
    let node = Node::start().await;
    let mut client = node.connect().await;
    let moments = client
        .query("SELECT timestamptz '2020-01-01 01:02:03+02' AS a, '2020-01-01'::timestamptz AS b, now() AS c, timestamp '2020-01-01 01:02:03' AS d")
        .await;
    assert_eq!(moments.types(), [1184, 1184, 1184, 1114]);
    assert_eq!(moments.row()[..2], ["2019-12-31 23:02:03+00", "2020-01-01 00:00:00+00"]);
    let passed = client.query("SELECT now() - timestamptz '2020-01-01 00:00:00' IS NOT NULL").await;
    assert_eq!(passed.row(), ["t"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_say_what_and_where() {
    let node = Node::start().await;
    let mut client = node.connect().await;
    for (sql, state, position) in [
        ("SELECT 1/0", "22012", ""),
        ("SELECT CAST('x' AS INT)", "22P02", ""),
        ("SELECT nofn(1)", "42883", "8"),
        ("SELECT nope FROM (SELECT 1 AS x) AS t", "42703", "8"),
        ("SELECT 1; SELECT nope FROM (SELECT 1 AS x) AS t", "42703", "18"),
        ("SELEC", "42601", "1"),
        ("SELECT * FROM nowhere", "42P01", ""),
    ] {
        let error = client.try_query(sql).await;
        assert_eq!((error.field('C'), error.field('P')), (state, position), "{sql}: {:?}", error.error);
        assert!(!error.field('D').contains('^'), "the place is told once: {sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_of_the_session_answer() {
    let node = Node::start().await;
    let mut client = node.connect().await;
    let pid = client.pid.to_string();
    assert_eq!(client.query("SELECT pg_backend_pid()").await.row(), [&pid]);
    let types =
        client.query("SELECT pg_typeof(1), pg_typeof('a'), pg_typeof(1.5), pg_typeof(NULL), pg_typeof(now())").await;
    assert_eq!(types.row(), ["bigint", "text", "double precision", "unknown", "timestamp with time zone"]);
    assert_eq!(client.query("SELECT current_database(), current_user").await.row(), ["lakehead", "ann"]);

    let clock = World::real().clock;
    let started = clock.monotonic();
    assert_eq!(client.query("SELECT pg_sleep(0.2)").await.names(), ["pg_sleep"]);
    assert!(clock.monotonic() - started >= Duration::from_millis(200));
    let cancel = client.canceller();
    let cancelled = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        cancel.await;
    };
    let (slept, ()) = tokio::join!(client.try_query("SELECT pg_sleep(60)"), cancelled);
    assert_eq!(slept.field('C'), "57014");
    assert_eq!(client.try_query("SELECT pg_sleep(1e9)").await.field('C'), "22023");
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_move_forward_and_say_that_they_do_not_go_back() {
    let node = Node::start().await;
    let mut client = node.connect().await;
    client.query("BEGIN").await;
    client.query("DECLARE c SCROLL CURSOR FOR SELECT * FROM generate_series(1, 10)").await;
    assert_eq!(client.query("MOVE 3 FROM c").await.tag, "MOVE 3");
    assert_eq!(client.query("FETCH FROM c").await.row(), ["4"]);
    assert_eq!(client.try_query("MOVE -2 FROM c").await.field('C'), "0A000");
}
