//! What PostgreSQL and DuckDB mean, where the engine by itself means something else.

use crate::{
    fixture::Node,
    idioms::{all, rows},
};

async fn some() -> Node {
    let node = Node::start().await;
    node.run(
        "CREATE TABLE t (id BIGINT, n INT, x DOUBLE, d DECIMAL(12, 3), day DATE, at TIMESTAMP, s VARCHAR);
         INSERT INTO t VALUES (1, 5, 1.5, 12.345, DATE '2024-01-01', TIMESTAMP '2024-01-01 10:00:00', 'a'),
                              (2, 10, 2.5, 7, DATE '2024-01-07', TIMESTAMP '2024-01-02 10:00:00', 'b'),
                              (3, 900, 10.0, 100, NULL, TIMESTAMP '9999-12-31 00:00:00', 'a');",
    )
    .await;
    node
}

#[tokio::test]
async fn a_text_beside_a_number_is_a_number() {
    let node = some().await;
    all(
        &node,
        &[
            ("SELECT count(*) FROM t WHERE n > '9'", "2"),
            ("SELECT count(*) FROM t WHERE '9' < n", "2"),
            ("SELECT count(*) FROM t WHERE n BETWEEN '9' AND '1000'", "2"),
            ("SELECT count(*) FROM t WHERE n = '0900'", "1"),
            ("SELECT count(*) FROM t WHERE d = '12.3450'", "1"),
            ("SELECT count(*) FROM t WHERE d > '12.34'", "2"),
            ("SELECT count(*) FROM t WHERE x > '9'", "1"),
            ("SELECT count(*) FROM t WHERE n IS DISTINCT FROM '5'", "2"),
            ("SELECT count(*) FROM t WHERE s = 'a'", "2"),
        ],
    )
    .await;
    assert!(rows(&node, "SELECT count(*) FROM t WHERE n = 'x'").await.contains("LH0505"));
    node.run("DELETE FROM t WHERE n > '9'").await;
    assert_eq!(rows(&node, "SELECT id FROM t").await, "1");
}

#[tokio::test]
async fn a_subquery_used_as_a_value_gives_one_row_or_fails() {
    let node = some().await;
    for sql in [
        "SELECT (SELECT id FROM t)",
        "SELECT id FROM t WHERE n = (SELECT n FROM t)",
        "SELECT count(*) FROM t WHERE n > (SELECT n FROM t WHERE s = 'a')",
    ] {
        let shown = rows(&node, sql).await;
        assert!(shown.contains("more than one row"), "{sql}: {shown}");
    }
    all(
        &node,
        &[
            ("SELECT (SELECT id FROM t WHERE s = 'b')", "2"),
            ("SELECT (SELECT id FROM t WHERE s = 'c')", ""),
            ("SELECT (SELECT max(id) FROM t), (SELECT id FROM t ORDER BY id LIMIT 1)", "3|1"),
            ("SELECT id FROM t WHERE n = (SELECT n FROM t WHERE id = 2) + 890", "3"),
            ("SELECT s, count(*) FROM t GROUP BY s HAVING count(*) > (SELECT id FROM t WHERE id = 1)", "a|2"),
        ],
    )
    .await;
}

/// What lies under a NULL is 0 here, which is less than 60.
#[tokio::test]
async fn a_filter_leaves_out_rows_of_which_nothing_is_known() {
    let node = Node::start().await;
    node.run(
        "CREATE TABLE f (carrier VARCHAR, id BIGINT, delay DOUBLE, distance DOUBLE);
         INSERT INTO f VALUES ('a', 1, NULL, 5), ('a', 2, 20, 7), ('a', 3, 90, 9), ('a', 4, NULL, 2), ('a', 5, 10, 8),
                              ('b', 1, NULL, 1), ('c', 1, 70, 3)",
    )
    .await;
    all(
        &node,
        &[
            ("SELECT carrier, count(*) FILTER (WHERE delay < 60) FROM f GROUP BY 1 ORDER BY 1", "a|2;b|0;c|0"),
            ("SELECT carrier, count(*) FILTER (WHERE NOT delay >= 60) FROM f GROUP BY 1 ORDER BY 1", "a|2;b|0;c|0"),
            ("SELECT count(*) FILTER (WHERE delay < 60), count(*) FILTER (WHERE delay IS NULL) FROM f", "2|3"),
            ("SELECT carrier, sum(distance) FILTER (WHERE delay < 60) FROM f GROUP BY 1 ORDER BY 1", "a|15.0;b|;c|"),
            (
                "SELECT carrier, covar_pop(distance, id) FILTER (WHERE delay < 60) FROM f GROUP BY 1 ORDER BY 1",
                "a|0.75;b|;c|",
            ),
            (
                "SELECT carrier, first_value(id ORDER BY id) FILTER (WHERE delay < 60), \
                 last_value(id ORDER BY id) FILTER (WHERE delay < 60) FROM f GROUP BY 1 ORDER BY 1",
                "a|2|5;b||;c||",
            ),
            ("SELECT carrier, max_by(distance, delay) FROM f GROUP BY 1 ORDER BY 1", "a|9.0;b|;c|3.0"),
            ("SELECT carrier, count(*) FILTER (WHERE NULL) FROM f GROUP BY 1 ORDER BY 1", "a|0;b|0;c|0"),
            (
                "SELECT id, count(*) FILTER (WHERE delay < 60) OVER (ORDER BY id) FROM f WHERE carrier = 'a' ORDER BY 1",
                "1|0;2|1;3|1;4|1;5|2",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_is_true_or_not_is_known() {
    let node = Node::start().await;
    node.run(
        "CREATE TABLE b (id BIGINT, c BOOLEAN, s VARCHAR); \
              INSERT INTO b VALUES (1, true, 'x'), (2, false, 'y'), (3, NULL, 'z'), (4, true, 'w')",
    )
    .await;
    all(
        &node,
        &[
            (
                "SELECT id, c IS TRUE, c IS NOT TRUE, c IS FALSE, c IS NOT FALSE, c IS UNKNOWN FROM b ORDER BY id",
                "1|true|false|false|true|false;2|false|true|true|false|false;3|false|true|false|true|true;\
                 4|true|false|false|true|false",
            ),
            ("SELECT NULL::boolean IS TRUE, NULL IS NOT TRUE, true IS TRUE, (1 = 1) IS FALSE", "false|true|true|false"),
            ("SELECT max(s) FILTER (WHERE c IS TRUE), min(s) FILTER (WHERE c IS TRUE) FROM b", "x|w"),
            (
                "SELECT id > 2, max(s) FILTER (WHERE (id > 3) IS TRUE), min(s) FILTER (WHERE (id > 3) IS TRUE) \
                 FROM b GROUP BY 1 ORDER BY 1",
                "false||;true|w|w",
            ),
            ("SELECT t, count(*) FROM (SELECT c IS TRUE AS t FROM b) GROUP BY t ORDER BY t", "false|2;true|2"),
            ("SELECT c IS NOT FALSE, count(*) FROM b GROUP BY 1 HAVING (c IS NOT FALSE) IS TRUE", "true|3"),
            ("SELECT id FROM b WHERE (s > 'w') IS NOT TRUE", "4"),
            ("SELECT a.id FROM b a LEFT JOIN b o ON o.id = a.id + 1 WHERE o.c IS FALSE", "1"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_subquery_used_as_a_value_is_null_over_no_rows() {
    let node = some().await;
    node.run("CREATE TABLE k (id BIGINT NOT NULL, n BIGINT); INSERT INTO k VALUES (1, 7), (2, 8), (4, NULL)").await;
    all(
        &node,
        &[
            ("SELECT (SELECT 1 WHERE false)", ""),
            ("SELECT count(*) FROM (SELECT (SELECT 1 WHERE false))", "1"),
            ("SELECT (SELECT 1 WHERE false) IS NULL, (SELECT 1) IS NULL", "true|false"),
            ("SELECT coalesce((SELECT 1 WHERE false), 7), coalesce((SELECT 1 LIMIT 0), 8)", "7|8"),
            ("SELECT coalesce((SELECT 1 OFFSET 1), 7), coalesce((SELECT id FROM k ORDER BY id LIMIT 1 OFFSET 3), 8)", "7|8"),
            ("SELECT count(*) FROM t WHERE (SELECT 1 WHERE false) IS NULL", "3"),
            ("SELECT (SELECT id FROM k WHERE n = 9) IS NULL, coalesce((SELECT id FROM k WHERE n = 9), 5)", "true|5"),
            ("SELECT (SELECT count(*) FROM k HAVING count(*) > 9) IS NULL", "true"),
            ("SELECT (SELECT count(*) FROM k WHERE false) IS NULL, (SELECT max(id) FROM k WHERE false) IS NULL", "false|true"),
            ("SELECT id, (SELECT 1 FROM k WHERE k.id = t.id LIMIT 1) IS NULL FROM t ORDER BY 1", "1|false;2|false;3|true"),
            ("SELECT id, (SELECT k.id FROM k WHERE k.id = t.id) IS NULL FROM t ORDER BY 1", "1|false;2|false;3|true"),
            (
                "SELECT id, coalesce((SELECT count(*) FROM k WHERE k.id = t.id HAVING count(*) > 0), 77) FROM t ORDER BY 1",
                "1|1;2|1;3|77",
            ),
            ("SELECT id, (SELECT count(*) FROM k WHERE k.id = t.id) IS NULL FROM t ORDER BY 1", "1|false;2|false;3|false"),
            ("SELECT id FROM t WHERE coalesce((SELECT 1 FROM k WHERE k.id = t.id LIMIT 1), 7) = 7", "3"),
        ],
    )
    .await;
}

#[tokio::test]
async fn any_and_all_look_into_lists() {
    let node = some().await;
    node.run("CREATE TABLE l (id BIGINT, tags ARRAY<VARCHAR>); INSERT INTO l VALUES (1, ['a', 'b']), (2, ['c'])").await;
    node.run("INSERT INTO l VALUES (3, ['d', NULL]), (4, NULL)").await;
    all(
        &node,
        &[
            ("SELECT id FROM t WHERE s = ANY('{a,x}') ORDER BY id", "1;3"),
            ("SELECT id FROM t WHERE s <> ALL('{a,\"x, y\"}')", "2"),
            ("SELECT id FROM t WHERE n = ANY('{5,900}') ORDER BY id", "1;3"),
            ("SELECT id FROM t WHERE n <> ALL(ARRAY[5, 900])", "2"),
            (
                "SELECT 3 <> ALL(ARRAY[1, 2]), 3 = ANY(ARRAY[1, 3]), 3 = ANY('{}'), 3 <> ALL('{}')",
                "true|true|false|true",
            ),
            ("SELECT 3 <> ALL(ARRAY[1, NULL]), 3 = ANY('{1,NULL}'), 3 <> ALL('{3,NULL}')", "||false"),
            ("SELECT id FROM l WHERE 'a' = ANY(tags)", "1"),
            ("SELECT id FROM l WHERE 'a' <> ALL(tags)", "2"),
            (
                "SELECT id, 'd' = ANY(tags), 'e' = ANY(tags) FROM l ORDER BY id",
                "1|false|false;2|false|false;3|true|;4||",
            ),
            ("SELECT id FROM t WHERE n = ANY('{5,900}'::int[]) ORDER BY id", "1;3"),
            ("SELECT '{1,NULL}'::bigint[], '{}'::varchar[], '{a,b}'::text[]", "[1, ]|[]|[a, b]"),
            ("SELECT id FROM t WHERE n IN ('05', '900') ORDER BY id", "1;3"),
        ],
    )
    .await;
    let plan = rows(&node, "EXPLAIN SELECT id FROM t WHERE n = ANY(ARRAY[5, 900])").await;
    assert!(plan.contains("n@1 = 5 OR n@1 = 900"), "files are chosen by it: {plan}");
}

#[tokio::test]
async fn a_null_in_a_list_is_not_known() {
    let node = some().await;
    all(
        &node,
        &[
            ("SELECT id FROM t WHERE id NOT IN (1, 2, NULL) OR id NOT IN (1, 2, 3)", ""),
            ("SELECT id FROM t WHERE id IN (1, 2, 3) AND id NOT IN (1, 2, NULL)", ""),
            ("SELECT id FROM t WHERE id IN (1, NULL) OR id IN (3, NULL) ORDER BY id", "1;3"),
            (
                "SELECT id, id IN (1, NULL), id NOT IN (1, NULL), id IN (NULL) FROM t ORDER BY id",
                "1|true|false|;2|||;3|||",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_a_subquery_may_hold_is_not_known() {
    let node = Node::start().await;
    node.run(
        "CREATE TABLE x (a BIGINT, g BIGINT); INSERT INTO x VALUES (1, 1), (2, 1), (5, 2), (NULL, 2);
         CREATE TABLE y (b BIGINT, g BIGINT); INSERT INTO y VALUES (5, 1), (NULL, 1), (1, 2);
         CREATE TABLE z (b BIGINT NOT NULL); INSERT INTO z VALUES (5)",
    )
    .await;
    all(
        &node,
        &[
            ("SELECT a FROM x WHERE a NOT IN (SELECT b FROM y) OR a = 2", "2"),
            ("SELECT a FROM x WHERE a NOT IN (SELECT b FROM z) OR a = 7 ORDER BY a", "1;2"),
            ("SELECT a FROM x WHERE a IN (SELECT b FROM z) OR a = 2 ORDER BY a", "2;5"),
            ("SELECT g FROM x WHERE (a IN (SELECT b FROM z)) IS NULL", "2"),
            ("SELECT a FROM x WHERE (a IN (SELECT b FROM y)) IS NULL ORDER BY a", "2;"),
            ("SELECT a FROM x WHERE (a IN (SELECT b FROM z)) IS NOT TRUE ORDER BY a", "1;2;"),
            ("SELECT a FROM x WHERE NOT (a IN (SELECT b FROM y) AND a > 0) ORDER BY a", ""),
            ("SELECT a FROM x WHERE (a IN (SELECT b FROM y WHERE false)) IS FALSE ORDER BY a", "1;2;5;"),
            ("SELECT a FROM x WHERE a NOT IN (SELECT b FROM y WHERE y.g = x.g) OR a = 7 ORDER BY a", "5"),
            ("SELECT a FROM x WHERE a NOT IN (SELECT b FROM z) ORDER BY a", "1;2"),
            ("SELECT a FROM x WHERE NOT a IN (SELECT b FROM z) AND a > 1", "2"),
            ("SELECT a FROM x WHERE a NOT IN (SELECT b FROM y)", ""),
            ("SELECT a FROM x WHERE a > 1 AND a NOT IN (SELECT b FROM y)", ""),
            ("SELECT a FROM x WHERE a > 1 AND NOT a IN (SELECT b FROM y)", ""),
            ("SELECT a FROM x WHERE a > 1 AND a NOT IN (SELECT b FROM y WHERE b IS NOT NULL)", "2"),
        ],
    )
    .await;
}

#[tokio::test]
async fn is_distinct_from_ends_before_and() {
    let node = some().await;
    all(
        &node,
        &[
            ("SELECT true IS DISTINCT FROM true AND false, false AND 1 IS DISTINCT FROM 2 OR true", "false|true"),
            ("SELECT NOT 1 IS DISTINCT FROM 1 AND false, 2 IS NOT DISTINCT FROM 1 + 1 AND true", "false|true"),
            ("SELECT id FROM t WHERE n IS DISTINCT FROM 5 AND s = 'a'", "3"),
            ("SELECT a.id FROM t a JOIN t b ON a.s IS NOT DISTINCT FROM b.s AND b.id = 1 ORDER BY 1", "1;3"),
        ],
    )
    .await;
}

#[tokio::test]
async fn long_whole_numbers_keep_their_digits() {
    let node = Node::start().await;
    node.run("CREATE TABLE d (d DECIMAL(38, 0)); INSERT INTO d VALUES (12345678901234567890123456789), (-7)").await;
    all(
        &node,
        &[
            ("SELECT d FROM d WHERE d = 12345678901234567890123456789", "12345678901234567890123456789"),
            ("SELECT 12345678901234567890123456789 = 12345678901234567890123456788", "false"),
            (
                "SELECT -100000000000000000000, 18446744073709551615, 9223372036854775807 + 0",
                "-100000000000000000000|18446744073709551615|9223372036854775807",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn days_and_hours_are_moments() {
    let node = some().await;
    all(
        &node,
        &[
            ("SELECT DATE '2024-01-01' + INTERVAL '36 hours'", "2024-01-02T12:00:00"),
            ("SELECT INTERVAL '1 hour' + DATE '2024-01-01'", "2024-01-01T01:00:00"),
            ("SELECT day - INTERVAL '1 hour' FROM t WHERE id = 1", "2023-12-31T23:00:00"),
            ("SELECT count(*) FROM t WHERE at < DATE '2024-01-01' + INTERVAL '12 hours'", "1"),
            ("SELECT TIMESTAMPTZ '2024-03-10 12:00:00+02:00' AT TIME ZONE 'America/New_York'", "2024-03-10T06:00:00"),
            ("SELECT TIMESTAMP '2024-03-10 12:00:00' AT TIME ZONE 'America/New_York'", "2024-03-10T16:00:00Z"),
            (
                "SELECT TIMESTAMP '2024-07-01 12:00:00' AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York'",
                "2024-07-01T08:00:00",
            ),
            ("SELECT timezone('Asia/Kolkata', at) FROM t WHERE id = 1", "2024-01-01T04:30:00Z"),
            ("SELECT extract(isodow FROM DATE '2024-01-07'), date_part('isodow', DATE '2024-01-01')", "7|1"),
            ("SELECT TIMESTAMP '9999-12-31', TIMESTAMP '0001-01-01'", "9999-12-31T00:00:00|0001-01-01T00:00:00"),
            ("SELECT count(*) FROM t WHERE at < '9999-12-31'", "2"),
            ("SELECT count(*) FROM t WHERE at = CAST('9999-12-31' AS TIMESTAMP)", "1"),
        ],
    )
    .await;
    for sql in ["SELECT TIME '12:34:56' + INTERVAL '1 hour'", "SELECT age(TIMESTAMP '2024-03-01', at) FROM t"] {
        let shown = rows(&node, sql).await;
        assert!(shown.contains("LH0508"), "{sql}: {shown}");
    }
}

#[tokio::test]
async fn numbers_are_rounded_and_have_room() {
    let node = some().await;
    all(
        &node,
        &[
            ("SELECT CAST(1.9 AS INT), 2.7::double::bigint, CAST(-1.9 AS INT)", "2|3|-2"),
            ("SELECT CAST(d AS INT) FROM t WHERE id = 1", "12"),
            ("SELECT CAST(9.99::decimal(3, 2) AS INT)", "10"),
            ("SELECT TRY_CAST('x' AS INT), CAST(7 AS BIGINT)", "|7"),
            ("SELECT ceil(9.99::decimal(3, 2)), floor(-9.99::decimal(3, 2))", "10.00|-10.00"),
            ("SELECT median(n) FROM t WHERE id < 3", "7.5"),
            ("SELECT mod(7, 4), sign(-3), mod(n, 4) FROM t WHERE id = 2", "3|-1.0|2"),
            ("SELECT any_value(s) FROM t WHERE s = 'a'", "a"),
        ],
    )
    .await;
}

#[tokio::test]
async fn patterns_sets_and_recursion_are_the_standards() {
    let node = some().await;
    all(
        &node,
        &[
            ("SELECT 'abc' SIMILAR TO 'b', 'abc' SIMILAR TO 'a%', 'abc' NOT SIMILAR TO '(a|x)_c'", "false|true|false"),
            ("SELECT 'a.c' SIMILAR TO 'a.c', 'abc' SIMILAR TO 'a.c', 'a%' SIMILAR TO 'a\\%'", "true|false|true"),
            ("WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 10) SELECT sum(i) FROM r", "55"),
            (
                "WITH RECURSIVE r(i, f) AS (SELECT 1 AS a, 1 UNION ALL SELECT i + 1, f * (i + 1) FROM r WHERE i < 5)
             SELECT max(f) FROM r",
                "120",
            ),
            ("SELECT count(*) FROM t WHERE n <> ALL (SELECT n FROM t WHERE id > 1)", "1"),
        ],
    )
    .await;
    for sql in [
        "SELECT n FROM t EXCEPT ALL SELECT 5",
        "SELECT n FROM t INTERSECT ALL SELECT 5",
        "SELECT n FROM t WHERE n > ALL (SELECT n FROM t)",
        "SELECT 'a' SIMILAR TO s FROM t",
    ] {
        let shown = rows(&node, sql).await;
        assert!(shown.contains("LH0508"), "{sql}: {shown}");
    }
}

#[tokio::test]
async fn a_function_of_other_types_is_told_in_sql() {
    let node = some().await;
    let shown = rows(&node, "SELECT sum(s) FROM t").await;
    assert!(shown.starts_with("LH0504 there is no sum(VARCHAR): `sum` takes other types"), "{shown}");
    assert!(!shown.contains("datafusion"), "{shown}");
}

#[tokio::test]
async fn what_folders_are_called_is_a_column() {
    let node = some().await;
    node.run("COPY (SELECT id, s FROM t) TO 'parts' PARTITIONED BY (s) STORED AS PARQUET").await;
    all(
        &node,
        &[("SELECT id, s FROM 'parts' ORDER BY id", "1|a;2|b;3|a"), ("SELECT id FROM 'parts' WHERE s = 'b'", "2")],
    )
    .await;
}

#[tokio::test]
async fn a_null_in_a_list_makes_unknown_what_is_not_in_it() {
    let node = Node::start().await;
    node.run("CREATE TABLE n AS SELECT * FROM (VALUES (1), (3), (NULL)) AS n(a)").await;
    for (condition, found) in [
        ("a IN (1, 2, 3) AND a NOT IN (1, 2, NULL)", "0"),
        ("a NOT IN (1, 2, NULL) OR a NOT IN (1, 2, 3)", "0"),
        ("a IN (1, NULL) OR a IN (3, NULL)", "2"),
        ("a IN (1, NULL) AND a IN (1, 3)", "1"),
        ("NOT (a IN (1, 2, 4, 5, NULL))", "0"),
        ("(a IN (1, 2, 4, 5, NULL)) IS NULL", "2"),
        ("(a IN (NULL)) IS NULL", "3"),
        ("(a NOT IN (1, NULL)) = false", "1"),
    ] {
        assert_eq!(node.value(&format!("SELECT count(*) FROM n WHERE {condition}")).await, found, "{condition}");
    }
}

#[tokio::test]
async fn a_condition_on_one_side_of_a_join_is_not_asked_of_the_other() {
    let node = Node::start().await;
    node.run("CREATE TABLE l AS SELECT k, 'x' AS s FROM generate_series(1, 20000) AS k(k)").await;
    node.run("CREATE TABLE r AS SELECT k, 'y' AS s, k AS year FROM generate_series(1, 12) AS k(k)").await;
    for join in ["RIGHT", "FULL"] {
        let query = format!(
            "SELECT count(*) FROM (SELECT l.s AS ls, r.s AS rs FROM l {join} JOIN r ON l.k = r.k
             WHERE coalesce(l.s, 'none') = 'x' AND r.year > 2)"
        );
        assert_eq!(node.value(&query).await, "10", "{join}");
    }
    let other =
        "SELECT count(*) FROM r WHERE r.year > 2 AND NOT EXISTS (SELECT 1 FROM l WHERE l.k = r.year AND l.k > 5)";
    assert_eq!(node.value(other).await, "3");
}
