//! USING and NATURAL.

use crate::{
    fixture::Node,
    idioms::{all, rows},
};

async fn pair() -> Node {
    let node = Node::start().await;
    node.run(
        "CREATE TABLE t (a BIGINT, b VARCHAR); INSERT INTO t VALUES (1, 'a'), (2, 'b');
         CREATE TABLE u (a INT, c VARCHAR); INSERT INTO u VALUES (2, 'x'), (3, 'y');
         CREATE TABLE v (a BIGINT, d VARCHAR); INSERT INTO v VALUES (3, 'p'), (4, 'q');
         CREATE TABLE w (e BIGINT, a BIGINT); INSERT INTO w VALUES (7, 3), (8, 1);",
    )
    .await;
    node
}

#[tokio::test]
async fn a_column_of_using_is_whichever_there_is() {
    let node = pair().await;
    all(
        &node,
        &[
            ("SELECT * FROM t FULL JOIN u USING (a) ORDER BY a", "1|a|;2|b|x;3||y"),
            ("SELECT a, b, c FROM t RIGHT JOIN u USING (a) ORDER BY a", "2|b|x;3||y"),
            ("SELECT * FROM t RIGHT JOIN u USING (a) ORDER BY 1", "2|b|x;3||y"),
            ("SELECT a, t.a, u.a FROM t FULL JOIN u USING (a) ORDER BY a", "1|1|;2|2|2;3||3"),
            ("SELECT t.*, c FROM t FULL JOIN u USING (a) ORDER BY u.a, t.a", "2|b|x;||y;1|a|"),
            ("SELECT a FROM t FULL JOIN u USING (a) WHERE a > 1 ORDER BY a", "2;3"),
            ("SELECT a FROM t FULL JOIN u USING (a) WHERE t.a IS NULL", "3"),
            ("SELECT c FROM t FULL JOIN u USING (a) ORDER BY a DESC", "y;x;"),
            ("SELECT a + 10 FROM t FULL JOIN u USING (a) ORDER BY a", "11;12;13"),
            ("SELECT a, count(*) FROM t FULL JOIN u USING (a) GROUP BY a HAVING a > 1 ORDER BY a", "2|1;3|1"),
            ("SELECT sum(a), count(a), count(t.a) FROM t FULL JOIN u USING (a)", "6|3|2"),
            ("SELECT DISTINCT a FROM t FULL JOIN u USING (a) ORDER BY a", "1;2;3"),
            ("SELECT x.a, x.c FROM (SELECT * FROM t FULL JOIN u USING (a)) x WHERE x.a = 3", "3|y"),
            ("SELECT a, row_number() OVER (ORDER BY a) FROM t FULL JOIN u USING (a) ORDER BY a", "1|1;2|2;3|3"),
            ("WITH j AS (SELECT * FROM t FULL JOIN u USING (a)) SELECT a FROM j WHERE a IN (1, 3) ORDER BY a", "1;3"),
            ("SELECT e, b, c FROM w FULL JOIN (t FULL JOIN u USING (a)) USING (a) ORDER BY a", "8|a|;|b|x;7||y"),
            ("SELECT * FROM t FULL JOIN (VALUES (9)) AS n(a) USING (a) ORDER BY a", "1|a;2|b;9|"),
            ("SELECT count(*) FROM t x FULL JOIN t y USING (a, b)", "2"),
            ("SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u RIGHT JOIN v USING (a) WHERE a = 4 AND t.a = 1)", "1"),
        ],
    )
    .await;
    node.run(
        "CREATE TABLE kept AS SELECT * FROM t FULL JOIN u USING (a); \
              CREATE VIEW seen AS SELECT * FROM t RIGHT JOIN u USING (a)",
    )
    .await;
    all(&node, &[("SELECT * FROM kept ORDER BY a", "1|a|;2|b|x;3||y"), ("SELECT a FROM seen ORDER BY a", "2;3")]).await;
}

#[tokio::test]
async fn joins_by_using_follow_each_other() {
    let node = pair().await;
    all(
        &node,
        &[
            ("SELECT * FROM t FULL JOIN u USING (a) FULL JOIN v USING (a) ORDER BY a", "1|a||;2|b|x|;3||y|p;4|||q"),
            ("SELECT a, c, d FROM t FULL JOIN u USING (a) JOIN v USING (a)", "3|y|p"),
            ("SELECT a, b, d FROM t RIGHT JOIN u USING (a) LEFT JOIN v USING (a) ORDER BY a", "2|b|;3||p"),
            ("SELECT c, e FROM t FULL JOIN u USING (a) LEFT JOIN w ON w.a = u.a ORDER BY 1", "x|;y|7;|"),
            ("SELECT d, b FROM (t FULL JOIN u USING (a)), v WHERE u.a = v.a", "p|"),
            ("SELECT x.b, y.d FROM t x JOIN u USING (a), v y JOIN w USING (a) WHERE x.b = 'b'", "b|p"),
            ("SELECT b, c FROM t JOIN u USING (a) WHERE a = 2", "b|x"),
            ("SELECT b, c FROM t LEFT JOIN u USING (a) WHERE a < 2 AND c IS NULL", "a|"),
            ("SELECT count(*) FROM t JOIN u USING (a) WHERE a IN (SELECT a FROM u)", "1"),
        ],
    )
    .await;
    let other = "SELECT a FROM t FULL JOIN u USING (a) LEFT JOIN w ON w.a = u.a";
    assert_eq!(node.fails(other).await, "LH0519", "it may be w's");
}

#[tokio::test]
async fn natural_joins_merge_what_both_have() {
    let node = pair().await;
    all(
        &node,
        &[
            ("SELECT * FROM t NATURAL FULL JOIN u ORDER BY a", "1|a|;2|b|x;3||y"),
            ("SELECT a, t.a FROM t NATURAL RIGHT JOIN u ORDER BY a", "2|2;3|"),
            ("SELECT * FROM t NATURAL FULL JOIN u NATURAL FULL JOIN v ORDER BY a", "1|a||;2|b|x|;3||y|p;4|||q"),
            ("SELECT * FROM w NATURAL RIGHT JOIN t ORDER BY a", "8|1|a;|2|b"),
        ],
    )
    .await;
    let plan = rows(&node, "EXPLAIN SELECT c FROM t RIGHT JOIN u USING (a) WHERE a = 3").await;
    assert!(plan.contains("a@0 = 3"), "the condition reaches the table of the right: {plan}");
}

/// The right one is small, so that sides are swapped.
#[tokio::test]
async fn a_condition_is_asked_of_the_table_it_names() {
    let node = Node::start().await;
    node.run(
        "CREATE TABLE plane (tail VARCHAR, year BIGINT, seats BIGINT);
         INSERT INTO plane SELECT 't' || v, 2000 + v % 20, v FROM (SELECT unnest(range(0, 2000)) AS v);
         CREATE TABLE flight (tail VARCHAR, year BIGINT, carrier VARCHAR);
         INSERT INTO flight SELECT 't' || (v * 10), 2013, CASE WHEN v % 5 = 0 THEN 'AS' ELSE 'EV' END
                            FROM (SELECT unnest(range(0, 250)) AS v)",
    )
    .await;
    all(
        &node,
        &[
            (
                "SELECT count(*) FROM plane p RIGHT JOIN flight f ON f.tail = p.tail \
                 WHERE coalesce(p.year, 2003) = 2013 AND f.carrier = 'EV'",
                "0",
            ),
            (
                "SELECT count(*), min(p.year), max(f.year) FROM plane p RIGHT JOIN flight f ON f.tail = p.tail \
                 WHERE coalesce(p.year, 2003) = 2010 AND f.carrier = 'EV'",
                "80|2010|2013",
            ),
            (
                "SELECT count(*) FROM plane p FULL JOIN flight f ON f.tail = p.tail WHERE coalesce(p.year, 1) = 2013",
                "100",
            ),
            (
                "SELECT f.year, p.year FROM plane p JOIN flight f ON f.tail = p.tail ORDER BY p.year, f.tail LIMIT 1",
                "2013|2000",
            ),
        ],
    )
    .await;
    let plan =
        rows(&node, "EXPLAIN SELECT p.year, f.year FROM plane p JOIN flight f USING (tail) WHERE p.seats > 5").await;
    assert!(plan.contains("predicate=seats@2 > 5"), "a condition of one table is at that table: {plan}");
}
