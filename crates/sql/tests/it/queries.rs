//! Plain SQL.

use expect_test::expect;

use crate::fixture::Node;

#[tokio::test]
async fn values_joins_windows_and_aggregates() {
    let node = Node::start().await;
    node.check(
        "SELECT 1 AS one, 'a' AS a, NULL AS n",
        expect![[r#"
        +-----+---+---+
        | one | a | n |
        +-----+---+---+
        | 1   | a |   |
        +-----+---+---+
    "#]],
    )
    .await;
    node.check(
        "WITH t(k, v) AS (VALUES ('a', 1), ('b', 2), ('a', 3)) \
         SELECT k, sum(v) AS s, rank() OVER (ORDER BY sum(v) DESC) AS r FROM t GROUP BY k ORDER BY k",
        expect![[r#"
            +---+---+---+
            | k | s | r |
            +---+---+---+
            | a | 4 | 1 |
            | b | 2 | 2 |
            +---+---+---+
        "#]],
    )
    .await;
    node.check(
        "SELECT * FROM generate_series(1, 3) AS g(n) WHERE n NOT IN (SELECT 2)",
        expect![[r#"
        +---+
        | n |
        +---+
        | 1 |
        | 3 |
        +---+
    "#]],
    )
    .await;
    node.check(
        "SELECT '{\"a\": {\"b\": [1, 2]}}' -> 'a' AS j, '{\"a\": \"x\"}' ->> 'a' AS t",
        expect![[r#"
        +---------------+---+
        | j             | t |
        +---------------+---+
        | {"b": [1, 2]} | x |
        +---------------+---+
    "#]],
    )
    .await;
    node.check(
        "SELECT 1; SELECT 2",
        expect![[r#"
        +---+
        | 1 |
        +---+
        | 1 |
        +---+
        +---+
        | 2 |
        +---+
        | 2 |
        +---+
    "#]],
    )
    .await;
    node.check(
        "EXPLAIN SELECT 1 + 1",
        expect![[r#"
        +---------------+-------------------------------------------------+
        | plan_type     | plan                                            |
        +---------------+-------------------------------------------------+
        | logical_plan  | Projection: Int64(2) AS Int64(1) + Int64(1)     |
        |               |   EmptyRelation: rows=1                         |
        | physical_plan | ProjectionExec: expr=[2 as Int64(1) + Int64(1)] |
        |               |   PlaceholderRowExec                            |
        |               |                                                 |
        +---------------+-------------------------------------------------+
    "#]],
    )
    .await;
}

#[tokio::test]
async fn errors_say_what_where_and_what_next() {
    let node = Node::start().await;
    node.run("CREATE TABLE flights (carrier VARCHAR, dep_delay INT)").await;
    node.check(
        "SELECT depdelay\nFROM flights",
        expect![[r#"
        LH0503 there is no column `depdelay`
        line 1, column 8:
          SELECT depdelay
                 ^
        hint: did you mean dep_delay?
    "#]],
    )
    .await;
    node.check(
        "SELECT * FROM fligts",
        expect![[r#"
        LH0502 there is no table, topic, stream or view `fligts`
        hint: did you mean flights?
    "#]],
    )
    .await;
    node.check(
        "SELECT * FROM nowhere.t",
        expect![[r#"
        LH0502 there is no zone `nowhere`
        hint: SHOW SCHEMAS lists the zones
    "#]],
    )
    .await;
    node.check(
        "SELECT summ(dep_delay) FROM flights",
        expect![[r#"
        LH0503 there is no function `summ`
        line 1, column 8:
          SELECT summ(dep_delay) FROM flights
                 ^
        hint: did you mean sum?
    "#]],
    )
    .await;
    node.check(
        "SELECT carrier + 1 FROM flights",
        expect![[r#"
            LH0504 cannot coerce arithmetic expression VARCHAR + BIGINT to valid types
            line 1, column 8:
              SELECT carrier + 1 FROM flights
                     ^
        "#]],
    )
    .await;
    node.check(
        "SELECT 1 / 0",
        expect![[r#"
        LH0505 division by zero
        hint: divide by NULLIF(divisor, 0) to get NULL instead
    "#]],
    )
    .await;
    node.check(
        "SELECT CAST('abc' AS INT)",
        expect![[r#"
            LH0505 cannot cast string 'abc' to value of INT type
            hint: TRY_CAST gives NULL for values that cannot be converted
        "#]],
    )
    .await;
    node.check(
        "SELECT carrier, count(*) FROM flights",
        expect![[r#"
        LH0519 column `flights.carrier` is neither grouped by nor aggregated
        line 1, column 8:
          SELECT carrier, count(*) FROM flights
                 ^
        hint: add it to GROUP BY, or put it into an aggregate function such as max()
    "#]],
    )
    .await;
    node.check(
        "SELECT dep_delay FROM flights a JOIN flights b ON a.carrier = b.carrier",
        expect![[r#"
        LH0519 column `dep_delay` could be of more than one table
        line 1, column 8:
          SELECT dep_delay FROM flights a JOIN flights b ON a.carrier = b.carrier
                 ^
        hint: write it with its table: table.column
    "#]],
    )
    .await;
    node.check(
        "SELECT $1",
        expect![[r#"
        LH0513 parameter $1 has no value
        0 given, 1 needed
    "#]],
    )
    .await;
    node.check(
        "SELECT",
        expect![[r#"
        LH0501 expected an expression, but the statement ends
        at the end of the statement
    "#]],
    )
    .await;
}

#[tokio::test]
async fn names_match_whatever_their_case_unless_quoted() {
    let node = Node::start().await;
    node.run("CREATE TABLE \"Planes\" (\"tailNum\" VARCHAR, seats INT); INSERT INTO planes VALUES ('N1', 2)").await;
    node.check(
        "SELECT tailNum, TAILNUM AS x, SEATS, p.tailnum FROM Planes p",
        expect![[r#"
            +---------+----+-------+-----------+
            | tailNum | x  | seats | tailNum_1 |
            +---------+----+-------+-----------+
            | N1      | N1 | 2     | N1        |
            +---------+----+-------+-----------+
        "#]],
    )
    .await;
    node.check(
        "SELECT planes.tailnum FROM planes WHERE tailnum = 'N1' GROUP BY tailNum ORDER BY tailnum",
        expect![[r#"
        +---------+
        | tailNum |
        +---------+
        | N1      |
        +---------+
    "#]],
    )
    .await;
    node.check(
        "SELECT \"tailnum\" FROM planes",
        expect![[r#"
        LH0503 there is no column `tailnum`
        line 1, column 8:
          SELECT "tailnum" FROM planes
                 ^
        hint: did you mean "tailNum"?
    "#]],
    )
    .await;
    node.check(
        "SELECT * FROM \"planes\"",
        expect![[r#"
        LH0502 there is no table, topic, stream or view `planes`
        hint: did you mean "Planes"?
    "#]],
    )
    .await;
    node.check(
        "WITH planes AS (SELECT 1 AS a) SELECT * FROM planes",
        expect![[r#"
        +---+
        | a |
        +---+
        | 1 |
        +---+
    "#]],
    )
    .await;
}

#[tokio::test]
async fn prepared_statements_know_their_types_and_see_new_data() {
    use arrow::datatypes::DataType;
    use datafusion::scalar::ScalarValue;
    let node = Node::start().await;
    node.run("CREATE TABLE t (a INT, b VARCHAR)").await;
    let query = node.session.prepare("SELECT b FROM t WHERE a = $1 LIMIT $2", &[]).await.expect("prepares");
    assert_eq!(query.param_types()[0], Some(DataType::Int32));
    assert_eq!(query.schema().fields().len(), 1);
    let insert = node.session.prepare("INSERT INTO t VALUES (?, ?)", &[]).await.expect("prepares");
    assert_eq!(insert.param_types(), [Some(DataType::Int32), Some(DataType::Utf8)]);
    assert!(!insert.gives_rows());
    let done = insert.execute(vec![ScalarValue::Int64(Some(7)), ScalarValue::from("x")]).await.expect("inserts");
    assert_eq!((done.tag.as_str(), done.rows_affected), ("INSERT 0 1", Some(1)));
    let rows = query.execute(vec![ScalarValue::Int64(Some(7)), ScalarValue::Int64(Some(5))]).await.expect("runs");
    assert_eq!(rows.collect().await.expect("rows").iter().map(|b| b.num_rows()).sum::<usize>(), 1);
    assert!(query.execute(vec![ScalarValue::Int64(Some(7))]).await.is_err());
    node.check(
        "PREPARE p (INT) AS SELECT b FROM t WHERE a = $1; EXECUTE p(7); DEALLOCATE p",
        expect![[r#"
        PREPARE
        +---+
        | b |
        +---+
        | x |
        +---+
        DEALLOCATE
    "#]],
    )
    .await;
    node.check(
        "EXECUTE p(7)",
        expect![[r#"
        LH0517 there is no prepared statement `p`
    "#]],
    )
    .await;
}

#[tokio::test]
async fn settings_are_the_sessions_own() {
    let node = Node::start().await;
    node.check(
        "SHOW search_path; SET search_path = raw; SHOW search_path; RESET ALL; SHOW search_path",
        expect![[r#"
        +-------------+
        | search_path |
        +-------------+
        | public      |
        +-------------+
        SET
        +-------------+
        | search_path |
        +-------------+
        | raw         |
        +-------------+
        RESET
        +-------------+
        | search_path |
        +-------------+
        | public      |
        +-------------+
    "#]],
    )
    .await;
    node.check(
        "SET statement_timeout = '2min'; SHOW statement_timeout",
        expect![[r#"
        SET
        +-------------------+
        | statement_timeout |
        +-------------------+
        | 120000ms          |
        +-------------------+
    "#]],
    )
    .await;
    node.check(
        "SET datafusion.execution.batch_size = 10; SHOW datafusion.execution.batch_size",
        expect![[r#"
        SET
        +---------------------------------+
        | datafusion.execution.batch_size |
        +---------------------------------+
        | 10                              |
        +---------------------------------+
    "#]],
    )
    .await;
    node.check(
        "SET datafusion.runtime.memory_limit = '100G'",
        expect![[r#"
        LH0515 there is no setting `datafusion.runtime.memory_limit` to change here
        hint: SHOW ALL lists the settings
    "#]],
    )
    .await;
    node.check(
        "SET datafusion.execution.batch_size = 1000000000",
        expect![[r#"
        LH0515 datafusion.execution.batch_size cannot be `1000000000`
        it is not a number within its bounds
    "#]],
    )
    .await;
    node.check(
        "SET application_name TO 'me'; SHOW application_name",
        expect![[r#"
        SET
        +------------------+
        | application_name |
        +------------------+
        | me               |
        +------------------+
    "#]],
    )
    .await;
    node.check(
        "BEGIN; COMMIT; ROLLBACK",
        expect![[r#"
        notice: there are no transactions: each statement takes effect by itself
        BEGIN
        COMMIT
        notice: there are no transactions: each statement is one by itself, and nothing was undone
        ROLLBACK
    "#]],
    )
    .await;
}

fn names(outcome: &sql::Outcome) -> Vec<String> {
    outcome.schema.fields().iter().map(|field| field.name().clone()).collect()
}

#[tokio::test]
async fn columns_without_a_name_are_called_by_their_text() {
    let node = Node::start().await;
    node.run("CREATE TABLE t (a INT, b VARCHAR)").await;
    for (sql, expected) in [
        ("SELECT 1", vec!["1"]),
        ("SELECT 1, 1", vec!["1", "1_1"]),
        ("SELECT DISTINCT 'x', a + 1 FROM t", vec!["'x'", "a + 1"]),
        ("SELECT count(*), sum(t.a), max(a) FROM t", vec!["count(*)", "sum(t.a)", "max(a)"]),
        ("SELECT a, CAST(a AS BIGINT), a FROM t", vec!["a", "CAST(a AS BIGINT)", "a_1"]),
        ("SELECT upper(b) FROM t GROUP BY upper(b) ORDER BY upper(b)", vec!["upper(b)"]),
        ("SELECT b, count(*) FROM t GROUP BY b HAVING count(*) > 1 ORDER BY count(*) DESC", vec!["b", "count(*)"]),
    ] {
        let outcome = node.session.run_one(sql, Vec::new()).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!(names(&outcome), expected, "{sql}");
    }
}

#[tokio::test]
async fn postgres_clients_see_postgres_names() {
    let node = Node::start().await;
    node.run("CREATE TABLE t (a INT, b VARCHAR, count INT)").await;
    let options = sql::SessionOptions { headings: sql::Headings::Postgres, ..Default::default() };
    let session = node.engine.session(options);
    for (sql, expected) in [
        ("SELECT 1", vec!["?column?"]),
        ("SELECT 1, 'x', a + 1 FROM t", vec!["?column?", "?column?", "?column?"]),
        ("SELECT count(*), count(a), sum(a) FROM t", vec!["count", "count", "sum"]),
        ("SELECT DISTINCT upper(b) FROM t ORDER BY upper", vec!["upper"]),
        ("SELECT DISTINCT upper(b) FROM t ORDER BY 1", vec!["upper"]),
        (
            "SELECT a::bigint, CAST(1 AS INT), '1'::text, b::varchar, true FROM t",
            vec!["a", "int4", "text", "b", "bool"],
        ),
        ("SELECT a, a FROM t", vec!["a", "a"]),
        ("SELECT NULL AS x, b AS x FROM t", vec!["x", "x"]),
        ("SELECT CASE WHEN a > 1 THEN 1 END, CASE WHEN a > 1 THEN 1 ELSE a END FROM t", vec!["case", "a"]),
        ("SELECT (SELECT max(a) FROM t), EXISTS (SELECT 1), -a FROM t", vec!["max", "exists", "?column?"]),
        ("SELECT coalesce(a, 0), extract(year FROM now()), trim(b) FROM t", vec!["coalesce", "extract", "btrim"]),
        ("SELECT *, upper(b) FROM t", vec!["a", "b", "count", "upper"]),
        ("SELECT b, count(*) FROM t GROUP BY b ORDER BY count DESC", vec!["b", "count"]),
        ("SELECT count, count(*) FROM t GROUP BY count HAVING count > 1", vec!["count", "count"]),
        ("SELECT 1 UNION SELECT 2", vec!["?column?"]),
        ("SELECT max(a) FROM t ORDER BY max(a)", vec!["max"]),
    ] {
        let prepared = session.prepare(sql, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let outcome = session.run_one(sql, Vec::new()).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!(names(&outcome), expected, "{sql}");
        assert_eq!(prepared.schema().fields(), outcome.schema.fields(), "{sql}");
        outcome.collect().await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
}
