//! What PostgreSQL, Athena and the standard write.

use arrow::util::display::array_value_to_string;
use sql::csv;

use crate::fixture::{Node, show_error};

/// Rows of `sql` as text: `a|b;c|d`.
pub async fn rows(node: &Node, sql: &str) -> String {
    let outcome = match node.session.run_one(sql, Vec::new()).await {
        Ok(outcome) => outcome,
        Err(error) => return show_error(&error),
    };
    let batches = match outcome.collect().await {
        Ok(batches) => batches,
        Err(error) => return show_error(&error),
    };
    let mut rows = Vec::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let values = batch.columns().iter().map(|column| array_value_to_string(column, row).expect("shown"));
            rows.push(values.collect::<Vec<_>>().join("|"));
        }
    }
    rows.join(";")
}

pub async fn all(node: &Node, cases: &[(&str, &str)]) {
    let mut wrong = String::new();
    for (sql, expected) in cases {
        let given = rows(node, sql).await;
        if given != *expected {
            wrong.push_str(&format!("{sql}\n  expected {expected}\n  given    {given}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

async fn orders() -> Node {
    let node = Node::start().await;
    node.run(
        "CREATE TABLE orders (id BIGINT, item VARCHAR, price DOUBLE);
         INSERT INTO orders VALUES (1, 'pen', 1.5), (2, 'ink', 7), (3, 'pen', 2.5);
         CREATE TABLE nest (id BIGINT, tags ARRAY<VARCHAR>, items ARRAY<STRUCT<sku VARCHAR, n BIGINT>>,
                            m MAP<VARCHAR, BIGINT>);
         INSERT INTO nest SELECT 1, ['a', 'b'], [named_struct('sku', 'x', 'n', 2), named_struct('sku', 'y', 'n', 1)],
                                 MAP {'k': 5, 'l': 6};
         INSERT INTO nest SELECT 2, [], NULL, NULL;
         INSERT INTO nest SELECT 3, ['c'], [named_struct('sku', 'z', 'n', 9)], MAP {'k': 7};",
    )
    .await;
    node
}

#[tokio::test]
async fn a_hat_is_a_power_and_binds_as_one() {
    let node = Node::start().await;
    all(
        &node,
        &[
            ("SELECT 2 ^ 3", "8.0"),
            ("SELECT 2 * 3 ^ 2", "18.0"),
            ("SELECT -2 ^ 2", "4.0"),
            ("SELECT 2 ^ 3 ^ 2", "64.0"),
            ("SELECT 2 ^ -1", "0.5"),
            ("SELECT -(2 ^ 2)", "-4.0"),
        ],
    )
    .await;
}

#[tokio::test]
async fn times_are_shown_by_postgresqls_patterns() {
    let node = Node::start().await;
    all(
        &node,
        &[
            ("SELECT to_char(timestamp '2020-01-01 10:30:00', 'YYYY-MM-DD')", "2020-01-01"),
            ("SELECT to_char(timestamp '2020-01-01 10:30:00', '%Y/%m')", "2020/01"),
            ("SELECT to_char(date '2020-01-01', 'FMDay, DD Mon YYYY')", "Wednesday, 01 Jan 2020"),
            (
                "SELECT to_char(12.5, '99.9')",
                "LH0508 to_char of DOUBLE is not offered: it takes a date or a time\n\
                 hint: CAST(round(x, 2) AS VARCHAR) shows a number, lpad() gives it a width\n",
            ),
            ("SELECT date_diff('day', date '2024-01-01', date '2024-03-01')", "60"),
            ("SELECT date_diff('month', timestamp '2024-01-31 00:00:00', timestamp '2024-03-01 00:00:00')", "1"),
            ("SELECT date_add('month', 1, date '2024-01-31')", "2024-02-29"),
            ("SELECT date_add('hour', -2, timestamp '2024-01-01 01:00:00')", "2023-12-31T23:00:00"),
        ],
    )
    .await;
}

#[tokio::test]
async fn lists_of_a_table_are_unnested_beside_it() {
    let node = orders().await;
    all(
        &node,
        &[
            ("SELECT n.id, t.tag FROM nest n, unnest(n.tags) AS t(tag) ORDER BY 1, 2", "1|a;1|b;3|c"),
            ("SELECT id, tag FROM nest CROSS JOIN UNNEST(tags) AS t(tag) ORDER BY 1, 2", "1|a;1|b;3|c"),
            ("SELECT id, tag FROM nest, UNNEST(tags) AS tag WHERE tag > 'a' ORDER BY 1", "1|b;3|c"),
            ("SELECT id, tag FROM nest LEFT JOIN UNNEST(tags) AS t(tag) ON true ORDER BY 1, 2", "1|a;1|b;2|;3|c"),
            (
                "SELECT id, tag, n FROM nest CROSS JOIN UNNEST(tags) WITH ORDINALITY AS t(tag, n) ORDER BY 1, 2",
                "1|a|1;1|b|2;3|c|1",
            ),
            ("SELECT n.id, i.item.sku FROM nest n, UNNEST(n.items) AS i(item) ORDER BY 2", "1|x;1|y;3|z"),
            ("SELECT id, sum(item['n']) FROM nest, UNNEST(items) AS t(item) GROUP BY id ORDER BY id", "1|3;3|9"),
            ("SELECT items[1].sku FROM nest WHERE id = 1", "x"),
            (
                "SELECT a.id, x, y FROM nest a, UNNEST(a.tags) AS t(x), UNNEST(a.items) AS u(y) WHERE a.id = 3",
                "3|c|{sku: z, n: 9}",
            ),
            ("SELECT count(*) FROM (SELECT id, tag FROM nest, UNNEST(tags) AS t(tag)) WHERE id < 3", "2"),
            ("SELECT m['k'], m['none'] FROM nest ORDER BY id", "5|;|;7|"),
            ("SELECT id FROM nest WHERE m['k'] > 5", "3"),
        ],
    )
    .await;
    node.run("CREATE VIEW tagged AS SELECT id, tag FROM nest, UNNEST(tags) AS t(tag)").await;
    all(&node, &[("SELECT count(*) FROM tagged", "3"), ("SELECT tag FROM tagged WHERE id = 3", "c")]).await;
}

#[tokio::test]
async fn subqueries_may_refer_to_the_rows_around_them() {
    let node = orders().await;
    all(
        &node,
        &[
            ("SELECT o.item, l.d FROM orders o, LATERAL (SELECT o.price * 2 AS d) l ORDER BY o.id", "pen|3.0;ink|14.0;pen|5.0"),
            ("SELECT o.id, (SELECT count(*) FROM orders p WHERE p.id <= o.id) FROM orders o ORDER BY 1", "1|1;2|2;3|3"),
            ("SELECT o.id, (SELECT count(*) FROM orders p WHERE p.id < o.id) FROM orders o ORDER BY 1", "1|0;2|1;3|2"),
            (
                "SELECT id FROM orders o WHERE price > (SELECT avg(price) FROM orders p WHERE p.item <> o.item) ORDER BY 1",
                "2",
            ),
            (
                "SELECT o.id, l.id FROM orders o, LATERAL (SELECT p.id FROM orders p WHERE p.item = o.item \
                 ORDER BY p.price DESC LIMIT 1) l ORDER BY 1",
                "1|3;2|2;3|3",
            ),
            (
                "SELECT o.id, l.n FROM orders o LEFT JOIN LATERAL (SELECT p.id AS n FROM orders p WHERE p.id = o.id + 1) l \
                 ON true ORDER BY 1",
                "1|2;2|3;3|",
            ),
            (
                "SELECT o.id, CASE WHEN o.price > 2 THEN (SELECT p.item FROM orders p WHERE o.price > 2 AND p.id = o.id) \
                 ELSE NULL END FROM orders o ORDER BY 1",
                "1|;2|ink;3|pen",
            ),
            (
                "SELECT (SELECT p.item FROM orders p WHERE p.id >= o.id) FROM orders o WHERE o.id = 1",
                "LH0505 a subquery used as a value gave more than one row\n\
                 hint: add LIMIT 1, or an aggregate such as max()\n",
            ),
            ("SELECT id, EXISTS (SELECT 1 FROM orders p WHERE p.id > o.id) FROM orders o ORDER BY 1", "1|true;2|true;3|false"),
            ("SELECT id, NOT EXISTS (SELECT 1 FROM nest) FROM orders ORDER BY 1", "1|false;2|false;3|false"),
            ("SELECT ARRAY(SELECT id FROM orders WHERE id < 3)", "[1, 2]"),
            ("SELECT id FROM orders ORDER BY id FETCH FIRST 2 ROWS ONLY", "1;2"),
            ("SELECT id FROM orders ORDER BY id OFFSET 1 ROWS FETCH NEXT ROW ONLY", "2"),
        ],
    )
    .await;
}

/// The shape of what SQLAlchemy asks the catalog about columns.
#[tokio::test]
async fn case_may_choose_among_subqueries() {
    let node = Node::start().await;
    node.run(
        "CREATE TABLE att (rel BIGINT, num INT, name VARCHAR, has BOOLEAN, ident VARCHAR, typ BIGINT, coll BIGINT);
         INSERT INTO att VALUES (1, 1, 'a', true, '', 10, 0), (1, 2, 'b', false, 'a', 10, 7), (2, 1, 'c', true, '', 10, 7);
         CREATE TABLE def (rel BIGINT, num INT, text VARCHAR); INSERT INTO def VALUES (1, 1, 'now()'), (2, 9, 'x');
         CREATE TABLE seq (rel BIGINT, start BIGINT); INSERT INTO seq VALUES (1, 5);
         CREATE TABLE typ (oid BIGINT, coll BIGINT); INSERT INTO typ VALUES (10, 3);
         CREATE TABLE col (oid BIGINT, name VARCHAR, ns BIGINT); INSERT INTO col VALUES (7, 'C', 4);
         CREATE TABLE nsp (oid BIGINT, name VARCHAR); INSERT INTO nsp VALUES (4, 'pg')",
    )
    .await;
    let sql = "SELECT att.name, \
        CASE WHEN att.has THEN (SELECT upper(def.text) AS u FROM def WHERE att.has AND def.rel = att.rel \
          AND def.num = att.num) ELSE NULL END AS \"default\", \
        CASE WHEN (att.ident != '') THEN (SELECT json_build_object('always', att.ident = 'a', 'start', seq.start) AS j \
          FROM seq WHERE att.ident != '' AND seq.rel = CAST(CAST(att.rel AS VARCHAR) AS BIGINT)) ELSE NULL END AS i, \
        CASE WHEN (att.coll != 0 AND (SELECT typ.coll FROM typ WHERE typ.oid = att.typ) != att.coll) THEN \
          (SELECT json_build_object('name', col.name, 'schema', CASE WHEN length(col.name) > 1 THEN NULL ELSE nsp.name END) \
          FROM col JOIN nsp ON nsp.oid = col.ns WHERE col.oid = att.coll) ELSE NULL END AS c \
        FROM att LEFT JOIN def d ON d.rel = att.rel AND d.num = att.num WHERE att.name IN ('a', 'b', 'c') ORDER BY 1";
    let expected =
        r#"a|NOW()||;b||{"always": true, "start": 5}|{"name": "C", "schema": "pg"};c|||{"name": "C", "schema": "pg"}"#;
    all(&node, &[(sql, expected)]).await;
}

#[tokio::test]
async fn json_is_made_and_taken_apart() {
    let node = orders().await;
    all(
        &node,
        &[
            (r#"SELECT '{"a": {"b": [1, "x"]}}' #>> '{a,b,1}'"#, "x"),
            (r#"SELECT '{"a": {"b": [1, "x"]}}' #> '{a,b}'"#, r#"[1, "x"]"#),
            (r#"SELECT '{"a": 1}'::json -> 'a'"#, "1"),
            (r#"SELECT json '{"a": 1}' ->> 'a'"#, "1"),
            (r#"SELECT json_extract('{"a": [{"b": 2}]}', '$.a[0]')"#, r#"{"b": 2}"#),
            (r#"SELECT json_extract_scalar('{"a": [{"b": 2}]}', '$.a[0].b')"#, "2"),
            ("SELECT to_json(items[1]) FROM nest WHERE id = 1", r#"{"sku":"x","n":2}"#),
            ("SELECT to_json('a')", r#""a""#),
            ("SELECT json_build_object('a', 1, 'b', json_build_array('x', NULL))", r#"{"a": 1, "b": ["x", null]}"#),
            ("SELECT json_agg(item ORDER BY id) FROM orders", r#"["pen","ink","pen"]"#),
            (
                "SELECT json_agg(json_build_object('id', id) ORDER BY id) FROM orders WHERE id < 3",
                r#"[{"id": 1}, {"id": 2}]"#,
            ),
            ("SELECT max_by(item, price), min_by(id, price) FROM orders", "ink|1"),
            ("SELECT every(id > 0), every(id > 1) FROM orders", "true|false"),
            ("SELECT id::json FROM orders WHERE id = 1", "1"),
        ],
    )
    .await;
}

#[tokio::test]
async fn nested_values_are_json_in_csv_wherever_it_is_written() {
    let node = orders().await;
    let outcome =
        node.session.run_one("SELECT id, tags, items, m FROM nest ORDER BY id", Vec::new()).await.expect("runs");
    let mut text = csv::header(&outcome.schema).expect("names");
    for batch in outcome.collect().await.expect("rows") {
        text.extend(csv::rows(&batch).expect("rows"));
    }
    let expected = "id,tags,items,m\n\
        1,\"[\"\"a\"\",\"\"b\"\"]\",\"[{\"\"sku\"\":\"\"x\"\",\"\"n\"\":2},{\"\"sku\"\":\"\"y\"\",\"\"n\"\":1}]\",\"{\"\"k\"\":5,\"\"l\"\":6}\"\n\
        2,[],,\n\
        3,\"[\"\"c\"\"]\",\"[{\"\"sku\"\":\"\"z\"\",\"\"n\"\":9}]\",\"{\"\"k\"\":7}\"\n";
    assert_eq!(String::from_utf8(text).expect("text"), expected);
    node.run("COPY (SELECT id, tags, items, m FROM nest ORDER BY id) TO 'nest.csv'").await;
    assert_eq!(std::fs::read_to_string(exports(&node).join("nest.csv")).expect("the file"), expected);
    // A row of no columns is a row.
    let batches = node.session.run_one("SELECT FROM orders", Vec::new()).await.expect("runs").collect().await;
    let lines: Vec<u8> = batches.expect("rows").iter().flat_map(|batch| csv::rows(batch).expect("rows")).collect();
    assert_eq!(lines, b"\n\n\n");
}

fn exports(node: &Node) -> std::path::PathBuf {
    node.dir.path().join("exports")
}

#[tokio::test]
async fn copy_takes_postgresqls_options() {
    let node = orders().await;
    let read = |name: &str| std::fs::read_to_string(exports(&node).join(name)).expect("the file");
    let query = "(SELECT id, item FROM orders WHERE id < 3 ORDER BY id)";
    node.run(&format!("COPY {query} TO 'a.csv' WITH (FORMAT csv, HEADER false)")).await;
    assert_eq!(read("a.csv"), "1,pen\n2,ink\n");
    node.run(&format!("COPY {query} TO 'b.txt' (FORMAT csv, HEADER, DELIMITER ';')")).await;
    assert_eq!(read("b.txt"), "id;item\n1;pen\n2;ink\n");
    node.run(&format!("COPY {query} TO 'c.csv' WITH CSV HEADER")).await;
    assert_eq!(read("c.csv"), "id,item\n1,pen\n2,ink\n");
    node.run(&format!("COPY {query} TO 'd.tsv'")).await;
    assert_eq!(read("d.tsv"), "id\titem\n1\tpen\n2\tink\n");
    node.run(&format!("COPY {query} TO 'e.csv' OPTIONS (has_header 'false')")).await;
    assert_eq!(read("e.csv"), "1,pen\n2,ink\n");
    for (sql, code) in [
        ("COPY orders TO 'x.xyz'", "LH0508"),
        ("COPY orders TO STDOUT", "LH0508"),
        ("COPY orders FROM 'a.csv'", "LH0508"),
        ("COPY orders TO 'x.csv' WITH (FORMAT csv, FORCE_QUOTE *)", "LH0508"),
    ] {
        assert_eq!(node.fails(sql).await, code, "{sql}");
    }
}

#[tokio::test]
async fn a_failed_copy_leaves_nothing_and_a_folder_says_what_is_in_it() {
    let node = orders().await;
    node.run("COPY (SELECT 1 AS a) TO 'kept.csv'").await;
    for target in ["new.csv", "kept.csv", "folder/"] {
        let sql = format!("COPY (SELECT 1 / (id - 3) AS a FROM orders) TO '{target}'");
        assert_eq!(node.fails(&sql).await, "LH0505", "{sql}");
    }
    assert_eq!(names(&exports(&node)), [".drafts", "kept.csv"]);
    assert_eq!(names(&exports(&node).join(".drafts")), [""; 0]);
    assert_eq!(std::fs::read_to_string(exports(&node).join("kept.csv")).expect("the file"), "a\n1\n");
    let outcomes = node.session.run("COPY orders TO 'folder/'").await.expect("runs");
    let notice = outcomes[0].notices.join("\n");
    assert!(notice.starts_with("1 file in `folder/`: ") && notice.ends_with(".parquet"), "{notice}");
    assert_eq!(node.value("SELECT count(*) FROM 'folder'").await, "3");
}

#[tokio::test]
async fn what_a_crash_left_of_an_export_goes_at_the_next_start() {
    let node = Node::start_with(|settings| {
        let left = settings.exports_dir.join(".drafts/1-folder");
        std::fs::create_dir_all(&left).expect("a folder");
        std::fs::write(left.join("half.parquet"), "PAR").expect("a file");
        std::fs::write(settings.exports_dir.join("kept.csv"), "a\n1\n").expect("a file");
    })
    .await;
    assert_eq!(names(&exports(&node)), ["kept.csv"]);
    assert_eq!(node.fails("COPY (SELECT 1 AS a) TO '.drafts/x.csv'").await, "LH0512");
}

fn names(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder").flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().display().to_string()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn statements_that_write_are_explained() {
    let node = orders().await;
    for sql in [
        "EXPLAIN INSERT INTO orders VALUES (4, 'x', 1)",
        "EXPLAIN UPDATE orders SET item = 'x' WHERE id = 1",
        "EXPLAIN DELETE FROM orders WHERE id = 1",
        "EXPLAIN CREATE TABLE t AS SELECT id FROM orders",
        "EXPLAIN COPY orders TO 'x.csv'",
        "EXPLAIN COPY (SELECT id FROM orders) TO 'x.csv'",
    ] {
        let shown = node.shown(sql).await;
        assert!(shown.contains("logical_plan") && shown.contains("physical_plan"), "{sql}: {shown}");
        node.session.prepare(sql, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    assert_eq!(node.value("SELECT count(*) FROM orders").await, "3");
    assert_eq!(node.fails("EXPLAIN ANALYZE DELETE FROM orders").await, "LH0508");
    assert_eq!(node.fails("EXPLAIN DROP TABLE orders").await, "LH0508");
}

#[tokio::test]
async fn information_schema_has_the_standards_types() {
    let node = orders().await;
    all(
        &node,
        &[(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_name IN ('orders', 'nest') \
             ORDER BY table_name, ordinal_position",
            "id|bigint;tags|ARRAY;items|ARRAY;m|json;id|bigint;item|text;price|double precision",
        )],
    )
    .await;
    node.run("CREATE VIEW v AS SELECT id FROM orders").await;
    all(
        &node,
        &[
            (
                "SELECT column_name, udt_name, udt_schema, is_identity, is_generated, is_updatable, domain_name \
                   FROM information_schema.columns WHERE table_name = 'orders' ORDER BY ordinal_position",
                "id|int8|pg_catalog|NO|NEVER|YES|;item|text|pg_catalog|NO|NEVER|YES|;price|float8|pg_catalog|NO|NEVER|YES|",
            ),
            (
                "SELECT table_name, view_definition, definition = view_definition, check_option, is_updatable \
                   FROM information_schema.views WHERE table_name = 'v'",
                "v|SELECT id FROM orders|true|NONE|NO",
            ),
            ("SELECT is_insertable_into, is_typed FROM information_schema.tables WHERE table_name = 'orders'", "YES|NO"),
            ("SELECT * FROM information_schema.information_schema_catalog_name", "lakehead"),
        ],
    )
    .await;
}

#[tokio::test]
async fn series_of_times_and_numbers_are_relations() {
    let node = Node::start().await;
    all(
        &node,
        &[
            (
                "SELECT * FROM generate_series(timestamp '2024-01-01', timestamp '2024-01-03', interval '1 day') d",
                "2024-01-01T00:00:00;2024-01-02T00:00:00;2024-01-03T00:00:00",
            ),
            ("SELECT count(*) FROM generate_series('2024-01-01'::timestamp, '2024-01-02', '1 hour') AS h WHERE h.h > '2024-01-01 12:00'", "12"),
            ("SELECT day::date FROM generate_series(DATE '2024-02-28', DATE '2024-03-01', INTERVAL '1 day') day", "2024-02-28;2024-02-29;2024-03-01"),
            ("SELECT day FROM generate_series(DATE '2024-02-28', TIMESTAMP '2024-02-29', INTERVAL '1 day') day", "2024-02-28T00:00:00;2024-02-29T00:00:00"),
            (
                "SELECT arrow_typeof(at) FROM range(TIMESTAMPTZ '2024-01-01', TIMESTAMPTZ '2024-01-02', INTERVAL '1 day') at",
                "Timestamp(µs, \"+00:00\")",
            ),
            ("SELECT count(*) FROM generate_series(TIMESTAMP '2024-01-01', NULL, INTERVAL '1 day') d", "0"),
            ("SELECT g, g.g * 2 FROM generate_series(1, 3) g", "1|2;2|4;3|6"),
            ("SELECT a + b FROM generate_series(1, 2) a, range(0, 2) AS b ORDER BY 1", "1;2;2;3"),
            ("SELECT sum(value) FROM generate_series(1, 3)", "6"),
            ("SELECT generate_series(1, 3)", "1;2;3"),
            ("SELECT generate_series(1, 2) AS n, 'x'", "1|x;2|x"),
            ("SELECT array_length(generate_series(1, 3))", "3"),
        ],
    )
    .await;
}

#[tokio::test]
async fn like_escapes_with_any_character() {
    let node = Node::start().await;
    node.run("CREATE TABLE t AS SELECT * FROM (VALUES ('10%'), ('100'), ('a!b'), ('a\\b'), ('a_b')) AS t(s)").await;
    all(
        &node,
        &[
            ("SELECT s FROM t WHERE s LIKE '10!%' ESCAPE '!'", "10%"),
            ("SELECT s FROM t WHERE s LIKE 'a!!_' ESCAPE '!'", "a!b"),
            ("SELECT s FROM t WHERE s LIKE 'a$_b' ESCAPE '$'", "a_b"),
            ("SELECT s FROM t WHERE s LIKE 'a\\b' ESCAPE ''", "a\\b"),
            ("SELECT s FROM t WHERE s LIKE 'a\\b' ESCAPE '#'", "a\\b"),
            ("SELECT s FROM t WHERE s LIKE 'a\\_b' ESCAPE '\\'", "a_b"),
            ("SELECT count(*) FROM t WHERE s NOT LIKE '10!%' ESCAPE '!'", "4"),
            ("SELECT s FROM t WHERE s ILIKE 'A!_B' ESCAPE '!'", "a_b"),
            ("SELECT s FROM t WHERE s LIKE replace(s, '%', '!%') ESCAPE '!' AND s LIKE '1%' ORDER BY s", "10%;100"),
        ],
    )
    .await;
    assert_eq!(node.fails("SELECT s FROM t WHERE s LIKE 'x' ESCAPE '!!'").await, "LH0508");
    let query = "SELECT count(*) FROM t WHERE s LIKE $1 ESCAPE '!'";
    let prepared = node.session.prepare(query, &[]).await.expect("it is checked");
    let given = prepared.execute(vec!["10!%".into()]).await.expect("it runs").collect().await.expect("rows");
    assert_eq!(array_value_to_string(given[0].column(0), 0).expect("shown"), "1");
}

#[tokio::test]
async fn functions_of_postgresql_and_athena() {
    let node = orders().await;
    all(
        &node,
        &[
            ("SELECT 1_000 + 1, 1_000_000.5", "1001|1000000.5"),
            ("WITH a AS MATERIALIZED (SELECT 1 AS x), b AS NOT MATERIALIZED (SELECT 2 AS y) SELECT x, y FROM a, b", "1|2"),
            ("SELECT year(d), quarter(d), month(d), day(d), day_of_week(d), day_of_year(d) FROM (SELECT DATE '2024-03-10' AS d)", "2024|1|3|10|7|70"),
            ("SELECT hour(t), minute(t) FROM (SELECT TIMESTAMP '2024-03-10 11:12:13' AS t)", "11|12"),
            ("SELECT count_if(price > 2), count_if(price > 100), count_if(NULL) FROM orders", "2|0|0"),
            ("SELECT item, count_if(price > 2) FROM orders GROUP BY item ORDER BY item", "ink|1;pen|1"),
            ("SELECT arbitrary(item) FROM orders WHERE id = 2", "ink"),
            ("SELECT length(gen_random_uuid()), gen_random_uuid() <> gen_random_uuid()", "36|true"),
            ("SELECT count(DISTINCT gen_random_uuid()) FROM orders", "3"),
            ("SELECT div(9, 4), div(-9, 4), div(9223372036854775807, 2)", "2|-2|4611686018427387903"),
            ("SELECT quote_literal('it''s'), quote_nullable(NULL), quote_ident('A b'), quote_literal(7)", "'it''s'|NULL|\"A b\"|'7'"),
            ("SELECT approx_percentile(price, 0.5) FROM orders", "2.5"),
            ("SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY price), percentile_disc(0) WITHIN GROUP (ORDER BY price) FROM orders", "2.5|1.5"),
            ("SELECT item, percentile_disc(0.5) WITHIN GROUP (ORDER BY id DESC) FROM orders GROUP BY item ORDER BY item", "ink|2;pen|3"),
            ("SELECT percentile_disc(0.9) WITHIN GROUP (ORDER BY item) FILTER (WHERE id < 3) FROM orders", "pen"),
            ("SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY item) FROM orders WHERE false", ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_aggregate_of_a_column_is_not_that_of_its_cast() {
    let node = orders().await;
    all(
        &node,
        &[
            ("SELECT sum(id), sum(id::double) FROM orders", "6|6.0"),
            ("SELECT sum(id) AS a, sum(id::double) AS b, sum(CAST(id AS DECIMAL(10, 2))) AS c FROM orders", "6|6.0|6.00"),
            ("SELECT max(item), max(item::text) FROM orders", "pen|pen"),
            ("SELECT item, sum(id::double) FROM orders GROUP BY item HAVING sum(id::double) > sum(id) - 1 ORDER BY sum(id::double)", "ink|2.0;pen|4.0"),
            ("SELECT id, sum(id) OVER (ORDER BY id), sum(id::double) OVER (ORDER BY id) FROM orders ORDER BY id", "1|1|1.0;2|3|3.0;3|6|6.0"),
            ("SELECT count(DISTINCT id::varchar), count(DISTINCT id) FROM orders", "3|3"),
            ("SELECT string_agg(id::text, ',' ORDER BY id) FROM orders", "1,2,3"),
        ],
    )
    .await;
}

#[tokio::test]
async fn in_is_a_value_too() {
    let node = orders().await;
    all(
        &node,
        &[
            ("SELECT id, item IN (SELECT item FROM orders WHERE price > 5) FROM orders ORDER BY id", "1|false;2|true;3|false"),
            ("SELECT id, item NOT IN (SELECT item FROM orders WHERE price > 5) AS n FROM orders ORDER BY id", "1|true;2|false;3|true"),
            ("SELECT CASE WHEN id IN (SELECT id + 1 FROM orders) THEN 'y' ELSE 'n' END FROM orders ORDER BY id", "n;y;y"),
            ("SELECT id IN (SELECT nullif(id, 2) FROM orders) FROM orders ORDER BY id", "true;;true"),
            ("SELECT x IN (SELECT id FROM orders), x IN (SELECT id FROM orders WHERE false) FROM (VALUES (1), (NULL)) AS t(x) ORDER BY x", "true|false;|false"),
            ("SELECT id, id IN (SELECT n.id FROM nest n WHERE n.id = o.id AND n.id < 3) FROM orders o ORDER BY id", "1|true;2|true;3|false"),
            ("SELECT item, sum(CASE WHEN id IN (SELECT id FROM nest WHERE id < 3) THEN 1 ELSE 0 END) FROM orders GROUP BY item ORDER BY item", "ink|1;pen|1"),
            ("SELECT max((SELECT count(*) FROM nest)), count(*) FROM orders", "3|3"),
            ("SELECT item, max((SELECT max(n.id) FROM nest n WHERE n.id <= o.id)) FROM orders o GROUP BY item ORDER BY item", "ink|2;pen|3"),
            ("SELECT count(*) FILTER (WHERE EXISTS (SELECT 1 FROM nest n WHERE n.id = o.id + 1)) FROM orders o", "2"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_subquery_that_refers_to_nothing_is_not_said_to() {
    let node = orders().await;
    for sql in [
        "SELECT sum(id) OVER (ORDER BY (SELECT 1)) FROM orders",
        "SELECT id FROM orders ORDER BY (SELECT max(id) FROM nest) - id",
        "SELECT sum(CASE WHEN id IN (SELECT 1) THEN 1 END) OVER () FROM orders",
    ] {
        let shown = node.shown(sql).await;
        assert!(shown.contains("LH0508") && shown.contains("not offered in this place"), "{sql}: {shown}");
    }
    let shown =
        node.shown("SELECT (SELECT p.id FROM orders p WHERE p.id = o.id UNION SELECT o.id) FROM orders o").await;
    assert!(shown.contains("refers to the query around it"), "{shown}");
}

#[tokio::test]
async fn no_rust_reaches_a_user() {
    let node = orders().await;
    for sql in [
        "SELECT * FROM orders PIVOT (sum(price) FOR item IN ('pen'))",
        "SELECT * FROM orders o WHERE EXISTS (SELECT 1 FROM orders p FULL JOIN nest n ON n.id = o.id)",
        "SELECT (SELECT p.id FROM orders p WHERE p.id = o.id UNION SELECT o.id) FROM orders o",
        "SELECT o.id, l.* FROM orders o FULL JOIN LATERAL (SELECT o.price) l ON true",
        "SELECT foo(1)",
        "SELECT id FROM orders MATCH_RECOGNIZE (PATTERN (a) DEFINE a AS id > 1)",
        "SELECT * FROM orders TABLESAMPLE BERNOULLI (10)",
        "SELECT * FROM orders LATERAL VIEW explode(item) t AS x",
        "SELECT id FROM orders GROUP BY ALL",
        "SELECT a.b.c.d.e.f FROM orders a",
        "SELECT json_extract(item, item) FROM orders",
    ] {
        let shown = node.shown(sql).await;
        for sign in [" { ", "Span(", "Ident", "Some(", "Expr", "OuterReferenceColumn", "ScalarSubquery"] {
            assert!(!shown.contains(sign), "{sql}: {shown}");
        }
    }
    assert!(!node.shown("SELECT foo(1)").await.contains("cot"));
}
