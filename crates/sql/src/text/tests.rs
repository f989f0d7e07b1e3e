use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{Statement, parse, split};

fn check(sql: &str, expected: Expect) {
    let shown = match split(sql) {
        Err(error) => show(&error),
        Ok(pieces) => pieces
            .iter()
            .map(|piece| match parse(sql, piece) {
                Ok(parsed) => match parsed.statement {
                    Statement::Sql(statement) => format!("{statement}"),
                    other => format!("{other:?}"),
                },
                Err(error) => show(&error),
            })
            .collect::<Vec<_>>()
            .join("\n---\n"),
    };
    expected.assert_eq(&shown);
}

fn show(error: &model::Error) -> String {
    let detail = error.detail_text().map(|d| format!("\n{d}")).unwrap_or_default();
    let hint = error.hint_text().map(|h| format!("\nhint: {h}")).unwrap_or_default();
    format!("{} {}{detail}{hint}", error.code().name, error.message())
}

#[test]
fn semicolons_in_strings_names_and_comments_do_not_split() {
    let sql = "SELECT ';' ; -- ; \n SELECT \"a;b\", $$;$$ /* ; */ ;; SELECT 'it''s' ;  ";
    let pieces: Vec<&str> = split(sql).expect("splits").into_iter().map(|piece| piece.text).collect();
    assert_eq!(pieces, ["SELECT ';'", "SELECT \"a;b\", $$;$$", "SELECT 'it''s'"]);
    assert!(split("  -- nothing\n;;").expect("splits").is_empty());
}

#[test]
fn texts_of_pieces_survive_wide_characters_and_line_ends() {
    let sql = "SELECT 'ä→😀';\r\n\tSELECT\n 2";
    let pieces: Vec<&str> = split(sql).expect("splits").into_iter().map(|piece| piece.text).collect();
    assert_eq!(pieces, ["SELECT 'ä→😀'", "SELECT\n 2"]);
}

#[test]
fn syntax_errors_show_their_place() {
    check(
        "SELECT a\nFROM t WHERE WHERE b",
        expect![[r#"
        LH0501 expected the end of the statement, found b
        line 2, column 20:
          FROM t WHERE WHERE b
                             ^"#]],
    );
    check(
        "SELECT 1; SELEC 2",
        expect![[r#"
        SELECT 1
        ---
        LH0501 expected an SQL statement, found SELEC
        line 1, column 11:
          SELECT 1; SELEC 2
                    ^"#]],
    );
    check(
        "SELECT (1",
        expect![[r#"
        LH0501 expected ), but the statement ends
        at the end of the statement"#]],
    );
    check(
        "SELECT 'abc",
        expect![[r#"
        LH0501 Unterminated string literal
        line 1, column 8:
          SELECT 'abc
                 ^"#]],
    );
    check(
        "CREATE STREAM s (a INT,, b INT) WITH (KAFKA_TOPIC='t')",
        expect![[r#"
        LH0501 expected identifier, found ,
        line 1, column 24:
          CREATE STREAM s (a INT,, b INT) WITH (KAFKA_TOPIC='t')
                                 ^"#]],
    );
    check(
        "SELECT 1 2 3",
        expect![[r#"
        LH0501 expected the end of the statement, found 2
        line 1, column 10:
          SELECT 1 2 3
                   ^"#]],
    );
}

#[test]
fn streams_are_declared_as_in_ksqldb() {
    check(
        "CREATE OR REPLACE STREAM s (k STRING KEY, v MAP<STRING, ARRAY<BIGINT>>, w STRUCT<a INT, \"B\" DOUBLE>) \
         WITH (kafka_topic='t', value_format='JSON', partitions=3);",
        expect![[
            r#"Declare(DeclareStream { name: [Ident { value: "s", quote_style: None, span: Span(Location(1,26)..Location(1,27)) }], is_table: false, or_replace: true, if_not_exists: false, columns: [Declared { name: "k", data_type: Utf8, nullable: true, role: Key }, Declared { name: "v", data_type: Map(Field { name: "key_value", data_type: Struct([Field { name: "key", data_type: Utf8 }, Field { name: "value", data_type: List(Field { name: "element", data_type: Int64, nullable: true }), nullable: true }]) }, false), nullable: true, role: Value }, Declared { name: "w", data_type: Struct([Field { name: "a", data_type: Int32, nullable: true }, Field { name: "B", data_type: Float64, nullable: true }]), nullable: true, role: Value }], options: [("kafka_topic", Value(ValueWithSpan { value: SingleQuotedString("t"), span: Span(Location(1,120)..Location(1,123)) })), ("value_format", Value(ValueWithSpan { value: SingleQuotedString("JSON"), span: Span(Location(1,138)..Location(1,144)) })), ("partitions", Value(ValueWithSpan { value: Number("3", false), span: Span(Location(1,157)..Location(1,158)) }))] })"#
        ]],
    );
}

#[test]
fn continuous_queries_are_named_as_such() {
    check(
        "SELECT * FROM s EMIT CHANGES LIMIT 3",
        expect![[r#"
        LH0514 a query with EMIT is a continuous query, which is not part of this release
        hint: CREATE VIEW name AS SELECT … is always fresh; CREATE TABLE name AS SELECT … makes a snapshot"#]],
    );
    check(
        "CREATE STREAM a AS SELECT * FROM b",
        expect![[r#"
        LH0514 CREATE STREAM … AS SELECT is a continuous query, which is not part of this release
        hint: CREATE VIEW name AS SELECT … is always fresh; CREATE TABLE name AS SELECT … makes a snapshot"#]],
    );
    check(
        "SELECT k, count(*) FROM s WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY k",
        expect![[r#"
        LH0514 a query with WINDOW TUMBLING, HOPPING or SESSION is a continuous query, which is not part of this release
        hint: group by date_bin(INTERVAL '1 minute', _timestamp) instead"#]],
    );
    check(
        "CREATE TABLE a WITH (KAFKA_TOPIC='t') AS SELECT k, count(*) FROM b GROUP BY k EMIT CHANGES",
        expect![[r#"
        LH0514 a query with EMIT is a continuous query, which is not part of this release
        hint: CREATE VIEW name AS SELECT … is always fresh; CREATE TABLE name AS SELECT … makes a snapshot"#]],
    );
}

#[test]
fn versions_of_tables_are_kept_whatever_they_are_called() {
    check(
        "SELECT * FROM t FOR VERSION AS OF 12 AS x",
        expect!["SELECT * FROM t AS x FOR SYSTEM_TIME AS OF lakehead_version(12)"],
    );
    check(
        "SELECT * FROM t FOR VERSION AS OF 'v1' x JOIN u FOR TIMESTAMP AS OF TIMESTAMP '2026-01-01' ON true",
        expect![
            "SELECT * FROM t x FOR SYSTEM_TIME AS OF lakehead_version('v1') JOIN u FOR SYSTEM_TIME AS OF TIMESTAMP '2026-01-01' ON true"
        ],
    );
    check(
        "SELECT * FROM t FOR SYSTEM_TIME AS OF now() - INTERVAL '1 day'",
        expect!["SELECT * FROM t FOR SYSTEM_TIME AS OF now() - INTERVAL '1 day'"],
    );
}

#[test]
fn json_arrows_are_operators() {
    check("SELECT address->'street', a->>b FROM t", expect!["SELECT address -> 'street', a ->> b FROM t"]);
}

#[test]
fn what_is_not_offered_is_refused_by_name() {
    check(
        "MERGE INTO t USING s ON a = b WHEN MATCHED THEN DELETE",
        expect![[r#"
        LH0508 MERGE is not offered
        hint: use UPDATE, DELETE and INSERT"#]],
    );
    check("CREATE INDEX i ON t (a)", expect!["LH0508 CREATE INDEX is not offered"]);
    check(
        "GRANT SELECT ON t TO me",
        expect![[r#"
        LH0508 GRANT is not offered
        hint: `GRANT WRITE ON TOPIC t TO user EXCLUSIVE` is; `kafka-acls` makes all other rules"#]],
    );
    check(
        "DROP SCHEMA a CASCADE",
        expect![[r#"
        LH0508 DROP SCHEMA … CASCADE is not offered
        hint: drop its tables first"#]],
    );
}

#[test]
fn deep_statements_are_refused_and_long_ones_taken() {
    let parses = |sql: String| {
        let pieces = split(&sql).expect("splits");
        parse(&sql, &pieces[0]).map(|_| ())
    };
    let refused = |sql: String| {
        let error = parses(sql).expect_err("too deep");
        assert_eq!(error.code().name, "LH0509", "{error}");
    };
    refused(format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000)));
    refused(format!("SELECT {}1", "- ".repeat(100_000)));
    refused(format!("SELECT {}true", "NOT ".repeat(100_000)));
    refused(format!("SELECT 1{}", " + 1".repeat(100_000)));
    refused(format!("SELECT a{}", "::int".repeat(100_000)));
    refused(format!("SELECT a{}", " IS NULL".repeat(10_000)));
    refused(format!("SELECT CAST(a AS {}INT{})", "ARRAY<".repeat(3_000), ">".repeat(3_000)));
    refused(format!("{}SELECT 1", "EXPLAIN ".repeat(10_000)));
    refused(format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(10_000)));
    refused(format!("SELECT * FROM t{}", " JOIN t ON true".repeat(10_000)));
    refused(format!("SELECT {}1{}", "CASE WHEN true THEN 1 ELSE ".repeat(5_000), " END".repeat(5_000)));
    refused(format!("SELECT f{}", "(f".repeat(150)));
    parses(format!("SELECT * FROM t WHERE a = 0{}", " OR a = 1".repeat(4_000))).expect("long conditions are fine");
    parses(format!("SELECT a IN (0{})", ", 1".repeat(50_000))).expect("long lists are fine");
    parses(format!("INSERT INTO t VALUES (1, 'a'){}", ", (1, -1 + 2)".repeat(20_000))).expect("many rows are fine");
    parses(format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(400))).expect("many parts are fine");
}

#[test]
fn balancing_keeps_the_meaning_of_long_conditions() {
    let sql = format!("SELECT a0{}", (1..30).map(|i| format!(" AND a{i}")).collect::<String>());
    let pieces = split(&sql).expect("splits");
    let Statement::Sql(statement) = parse(&sql, &pieces[0]).expect("parses").statement else { panic!("not SQL") };
    let flat: String = statement.to_string().chars().filter(|c| !matches!(c, '(' | ')')).collect();
    assert_eq!(flat, sql);
}

const SEEDS: [&str; 14] = [
    "SELECT a, count(*) FROM t JOIN u USING (id) WHERE x BETWEEN 1 AND 2 GROUP BY a HAVING count(*) > 1 ORDER BY 1 LIMIT 3",
    "WITH c AS (SELECT * FROM t FOR VERSION AS OF 'v') SELECT c.*, rank() OVER (PARTITION BY a ORDER BY b) FROM c",
    "CREATE STREAM s (k STRING KEY, v MAP<STRING, ARRAY<BIGINT>>) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', PARTITIONS=3)",
    "CREATE TABLE t (a INT NOT NULL, b DECIMAL(10, 2)) PARTITIONED BY (day(ts), bucket(16, a)) WITH (format = 'PARQUET')",
    "CREATE TABLE t AS SELECT 1 AS a WITH NO DATA",
    "INSERT INTO t (a, \"B\") VALUES (1, 'x''y'), ($1, ?)",
    "DELETE FROM t WHERE a IN (SELECT b FROM u)",
    "UPDATE t SET a = a + 1, b = CASE WHEN c THEN 1 ELSE 2 END WHERE d -> 'e' ->> 'f' = 'g'",
    "COPY (SELECT 1) TO 'x.csv' STORED AS CSV OPTIONS ('format.has_header' true)",
    "UNLOAD (SELECT * FROM t) TO 'dir/' WITH (format = 'JSON', partitioned_by = ARRAY['a'])",
    "PREPARE p (INT, VARCHAR) AS SELECT $1, $2; EXECUTE p (1, 'a'); DEALLOCATE ALL",
    "SHOW TABLES FROM raw LIKE 'a%'; DESCRIBE EXTENDED t; SHOW CREATE TABLE t; EXPLAIN ANALYZE SELECT 1",
    "SET statement_timeout = '5s'; SET TIME ZONE 'UTC'; RESET ALL; BEGIN; COMMIT",
    "SELECT $$a$$, E'\\n', U&'\\0041', X'00', INTERVAL '1 day', TIMESTAMP '2026-01-01', [1,2][1], {a: 1}, MAP {'a': 1} FROM 'f.parquet'",
];

fn try_parse(sql: &str) {
    if let Ok(pieces) = split(sql) {
        for piece in &pieces {
            let _ = parse(sql, piece);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(sql in "\\PC{0,200}") {
        try_parse(&sql);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        try_parse(&String::from_utf8_lossy(&bytes));
    }

    /// Statements with a piece cut out, doubled, or taken from another.
    #[test]
    fn no_mutated_statement_panics(
        a in 0..SEEDS.len(), b in 0..SEEDS.len(), from in 0.0..1.0f64, to in 0.0..1.0f64, at in 0.0..1.0f64,
    ) {
        let words: Vec<&str> = SEEDS[a].split_inclusive([' ', '(', ')', ',', '\'']).collect();
        let others: Vec<&str> = SEEDS[b].split_inclusive([' ', '(', ')', ',', '\'']).collect();
        let cut = |len: usize, share: f64| (len as f64 * share) as usize;
        let (start, end) = (cut(others.len(), from.min(to)), cut(others.len(), from.max(to)));
        let place = cut(words.len(), at);
        let mixed: String = words[..place].iter().chain(&others[start..end]).chain(&words[place..]).copied().collect();
        try_parse(&mixed);
        let shorter: String = words[..place].concat();
        try_parse(&shorter);
    }
}
