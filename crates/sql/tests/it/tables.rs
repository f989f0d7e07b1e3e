//! Tables, views, zones, files.

use expect_test::expect;

use crate::fixture::Node;

#[tokio::test]
async fn tables_are_made_filled_changed_and_dropped() {
    let node = Node::start().await;
    node.check(
        "CREATE TABLE t (a INT NOT NULL, b VARCHAR, ts TIMESTAMP) PARTITIONED BY (day(ts));
         INSERT INTO t VALUES (1, 'x', TIMESTAMP '2026-01-01 10:00:00'), (2, NULL, '2026-01-02');
         INSERT INTO t (b, a) SELECT 'y', 3;
         SELECT * FROM t ORDER BY a",
        expect![[r#"
            CREATE TABLE
            INSERT 0 2
            INSERT 0 1
            +---+---+---------------------+
            | a | b | ts                  |
            +---+---+---------------------+
            | 1 | x | 2026-01-01T10:00:00 |
            | 2 |   | 2026-01-02T00:00:00 |
            | 3 | y |                     |
            +---+---+---------------------+
        "#]],
    )
    .await;
    node.check(
        "DELETE FROM t WHERE a IN (SELECT 2); SELECT a FROM t ORDER BY a",
        expect![[r#"
        DELETE 1
        +---+
        | a |
        +---+
        | 1 |
        | 3 |
        +---+
    "#]],
    )
    .await;
    node.check(
        "UPDATE t SET b = b || '!', a = a + 10 WHERE b = 'x'; SELECT * FROM t ORDER BY a",
        expect![[r#"
        UPDATE 1
        +----+----+---------------------+
        | a  | b  | ts                  |
        +----+----+---------------------+
        | 3  | y  |                     |
        | 11 | x! | 2026-01-01T10:00:00 |
        +----+----+---------------------+
    "#]],
    )
    .await;
    node.check(
        "DELETE FROM t WHERE false; DELETE FROM t WHERE EXISTS (SELECT 1 WHERE false); SELECT count(*) FROM t",
        expect![[r#"
        DELETE 0
        DELETE 0
        +----------+
        | count(*) |
        +----------+
        | 2        |
        +----------+
    "#]],
    )
    .await;
    node.check(
        "DELETE FROM t; SELECT count(*) FROM t",
        expect![[r#"
        DELETE 2
        +----------+
        | count(*) |
        +----------+
        | 0        |
        +----------+
    "#]],
    )
    .await;
    node.check(
        "ALTER TABLE t ADD COLUMN c BIGINT; DESCRIBE t; SHOW CREATE TABLE t",
        expect![[r#"
        ALTER TABLE
        +-------------+-----------+-------------+--------+
        | column_name | data_type | is_nullable | origin |
        +-------------+-----------+-------------+--------+
        | a           | INT       | NO          | table  |
        | b           | VARCHAR   | YES         | table  |
        | ts          | TIMESTAMP | YES         | table  |
        | c           | BIGINT    | YES         | table  |
        +-------------+-----------+-------------+--------+
        +----------+--------------------------+
        | name     | statement                |
        +----------+--------------------------+
        | public.t | CREATE TABLE public.t (  |
        |          |   a INT NOT NULL,        |
        |          |   b VARCHAR,             |
        |          |   ts TIMESTAMP,          |
        |          |   c BIGINT               |
        |          | )                        |
        |          | PARTITIONED BY (day(ts)) |
        +----------+--------------------------+
    "#]],
    )
    .await;
    node.check(
        "CREATE TABLE t (a INT)",
        expect![[r#"
        LH0510 `public.t` exists already
        hint: topics, streams, tables and views of a zone share their names
    "#]],
    )
    .await;
    node.check(
        "CREATE TABLE IF NOT EXISTS t (a INT); DROP TABLE t; DROP TABLE IF EXISTS t; DROP TABLE t",
        expect![[r#"
        LH0502 there is no table, topic, stream or view `t`
        hint: SHOW TABLES and SHOW TOPICS list what there is
    "#]],
    )
    .await;
}

#[tokio::test]
async fn create_table_as_is_whole_or_not_there() {
    let node = Node::start().await;
    node.check(
        "CREATE TABLE s WITH (format = 'PARQUET', partitioned_by = ARRAY['k']) AS SELECT v % 3 AS k, v FROM generate_series(1, 10) AS g(v);
         SELECT k, count(*) AS n, sum(v) AS v FROM s GROUP BY k ORDER BY k",
        expect![[r#"
            SELECT 10
            +---+---+----+
            | k | n | v  |
            +---+---+----+
            | 0 | 3 | 18 |
            | 1 | 4 | 22 |
            | 2 | 3 | 15 |
            +---+---+----+
        "#]],
    )
    .await;
    node.check(
        "CREATE TABLE broken AS SELECT 1 / (v - 5) AS x FROM generate_series(1, 10) AS g(v)",
        expect![[r#"
        LH0505 division by zero
        hint: divide by NULLIF(divisor, 0) to get NULL instead
    "#]],
    )
    .await;
    node.check(
        "SELECT * FROM broken",
        expect![[r#"
        LH0502 there is no table, topic, stream or view `broken`
        hint: SHOW TABLES and SHOW TOPICS list what there is
    "#]],
    )
    .await;
    node.check(
        "CREATE TABLE x WITH (format = 'ORC') AS SELECT 1 AS a",
        expect![[r#"
        LH0508 table property format = 'ORC' is not offered
        hint: tables are Parquet; COPY … TO writes CSV and JSON
    "#]],
    )
    .await;
    node.check(
        "CREATE TABLE x AS SELECT 1 AS a, 2 AS a",
        expect![[r#"
        LH0519 column `a` is selected twice
        hint: give one of them another name with AS
    "#]],
    )
    .await;
    node.check(
        "CREATE TABLE empty AS SELECT 1 AS a WITH NO DATA; SELECT * FROM empty",
        expect![[r#"
        SELECT 0
        +---+
        | a |
        +---+
        +---+
    "#]],
    )
    .await;
    node.check(
        "CREATE OR REPLACE TABLE empty AS SELECT 'new' AS b; SELECT * FROM empty; SHOW TABLES",
        expect![[r#"
        SELECT 1
        +-----+
        | b   |
        +-----+
        | new |
        +-----+
        +--------+-------+-------+
        | zone   | name  | kind  |
        +--------+-------+-------+
        | public | empty | table |
        | public | s     | table |
        +--------+-------+-------+
    "#]],
    )
    .await;
}

#[tokio::test]
async fn inserts_fit_or_change_nothing() {
    let node = Node::start().await;
    node.run("CREATE TABLE t (a INT, b VARCHAR)").await;
    node.check(
        "INSERT INTO t VALUES (1)",
        expect![[r#"
        LH0516 1 value is given for 2 columns
        columns: a, b
    "#]],
    )
    .await;
    node.check(
        "INSERT INTO t (a, c) VALUES (1, 2)",
        expect![[r#"
        LH0503 `t` has no column `c` to write to
        hint: DESCRIBE t shows its columns
    "#]],
    )
    .await;
    node.check(
        "INSERT INTO t (a, a) VALUES (1, 2)",
        expect![[r#"
        LH0516 column `a` is named twice
    "#]],
    )
    .await;
    node.check(
        "INSERT INTO t VALUES ('many', 'x')",
        expect![[r#"
            LH0505 cannot cast string 'many' to value of INT type
            hint: TRY_CAST gives NULL for values that cannot be converted
        "#]],
    )
    .await;
    node.check(
        "INSERT INTO t VALUES (99999999999, 'x')",
        expect![[r#"
            LH0505 can't cast value 99999999999 to type INT
            hint: TRY_CAST gives NULL for values that cannot be converted
        "#]],
    )
    .await;
    node.check(
        "INSERT INTO nope VALUES (1)",
        expect![[r#"
        LH0502 there is no table, topic, stream or view `nope`
        hint: SHOW TABLES and SHOW TOPICS list what there is
    "#]],
    )
    .await;
    node.check(
        "INSERT INTO t VALUES (1, 'x') RETURNING a",
        expect![[r#"
        LH0508 INSERT … RETURNING is not offered
        hint: read the rows afterwards
    "#]],
    )
    .await;
    node.check(
        "SELECT count(*) FROM t",
        expect![[r#"
        +----------+
        | count(*) |
        +----------+
        | 0        |
        +----------+
    "#]],
    )
    .await;
}

#[tokio::test]
async fn views_are_kept_and_always_fresh() {
    let node = Node::start().await;
    node.run(
        "CREATE TABLE raw.t (a INT); CREATE VIEW v (x) AS SELECT a * 2 FROM raw.t; INSERT INTO raw.t VALUES (1), (2)",
    )
    .await;
    node.check(
        "SELECT sum(x) FROM v; SELECT v.x, t.a FROM v JOIN raw.t ON v.x = t.a",
        expect![[r#"
        +--------+
        | sum(x) |
        +--------+
        | 6      |
        +--------+
        +---+---+
        | x | a |
        +---+---+
        | 2 | 2 |
        +---+---+
    "#]],
    )
    .await;
    node.check(
        "CREATE VIEW v AS SELECT 1 AS a",
        expect![[r#"
        LH0510 `public.v` exists already
        hint: topics, streams, tables and views of a zone share their names
    "#]],
    )
    .await;
    node.check(
        "CREATE OR REPLACE VIEW v AS SELECT 1 AS a; SELECT * FROM v; SHOW VIEWS; SHOW CREATE VIEW v",
        expect![[r#"
        CREATE VIEW
        +---+
        | a |
        +---+
        | 1 |
        +---+
        +--------+------+---------------+
        | zone   | name | query         |
        +--------+------+---------------+
        | public | v    | SELECT 1 AS a |
        +--------+------+---------------+
        +----------+---------------------------------------+
        | name     | statement                             |
        +----------+---------------------------------------+
        | public.v | CREATE VIEW public.v AS SELECT 1 AS a |
        +----------+---------------------------------------+
    "#]],
    )
    .await;
    node.check(
        "CREATE VIEW w AS SELECT nothing FROM v",
        expect![[r#"
        LH0503 there is no column `nothing`
        line 1, column 8:
          SELECT nothing FROM v
                 ^
        hint: columns here are a
    "#]],
    )
    .await;
    node.check(
        "CREATE VIEW w AS SELECT * FROM v; DROP VIEW v; SELECT * FROM w",
        expect![[r#"
        LH0502 view `public.w` cannot be read: there is no table, topic, stream or view `v`
        its query is: SELECT * FROM v
        hint: did you mean w?
    "#]],
    )
    .await;
    node.check(
        "INSERT INTO w VALUES (1)",
        expect![[r#"
        LH0508 `public.w` is a view and cannot be written to
        hint: write to the table or topic it reads
    "#]],
    )
    .await;
}

#[tokio::test]
async fn time_travel_reads_what_was_and_is_never_ignored() {
    let node = Node::start().await;
    node.run("CREATE TABLE t (a INT); INSERT INTO t VALUES (1)").await;
    let first = node.value("SELECT snapshot_id FROM \"t$snapshots\" ORDER BY committed_at DESC LIMIT 1").await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    node.run("INSERT INTO t VALUES (2)").await;
    assert_eq!(node.value("SELECT count(*) FROM t").await, "2");
    assert_eq!(node.value(&format!("SELECT count(*) FROM t FOR VERSION AS OF {first}")).await, "1");
    let both = format!("SELECT n.a FROM t n LEFT JOIN t FOR VERSION AS OF {first} o ON n.a = o.a WHERE o.a IS NULL");
    assert_eq!(node.value(&both).await, "2");
    assert_eq!(node.value("SELECT count(*) FROM t FOR TIMESTAMP AS OF now()").await, "2");
    assert_eq!(node.fails("SELECT * FROM t FOR TIMESTAMP AS OF TIMESTAMP '2001-01-01'").await, "LH0334");
    assert_eq!(node.fails("SELECT * FROM t FOR VERSION AS OF 12").await, "LH0334");
    assert_eq!(node.fails("SELECT * FROM t FOR VERSION AS OF 'nope'").await, "LH0334");
    node.run("CREATE VIEW v AS SELECT * FROM t").await;
    assert_eq!(node.fails("SELECT * FROM v FOR VERSION AS OF 12").await, "LH0508");
    assert_eq!(node.value("SELECT count(*) FROM \"t$files\"").await, "2");
}

#[tokio::test]
async fn files_are_written_and_read_where_they_may_be() {
    let node = Node::start().await;
    node.run("CREATE TABLE t AS SELECT v, 'x' || v AS s FROM generate_series(1, 5) AS g(v)").await;
    node.check(
        "COPY t TO 'out/t.parquet'; SELECT count(*), max(s) FROM 'out/t.parquet'",
        expect![[r#"
        COPY 5
        +----------+--------+
        | count(*) | max(s) |
        +----------+--------+
        | 5        | x5     |
        +----------+--------+
    "#]],
    )
    .await;
    node.check(
        "COPY (SELECT v FROM t WHERE v < 3 ORDER BY v) TO 'v.csv'; SELECT * FROM 'v.csv'",
        expect![[r#"
        COPY 2
        +---+
        | v |
        +---+
        | 1 |
        | 2 |
        +---+
    "#]],
    )
    .await;
    node.check(
        "COPY (SELECT 1 AS a) TO 'a.json' STORED AS JSON; SELECT * FROM 'a.json'",
        expect![[r#"
        COPY 1
        +---+
        | a |
        +---+
        | 1 |
        +---+
    "#]],
    )
    .await;
    node.run("UNLOAD (SELECT v % 2 AS k, v FROM t) TO 'u' WITH (format = 'PARQUET', partitioned_by = ARRAY['k'])")
        .await;
    node.check(
        "UNLOAD (SELECT 1 AS a) TO 'u'",
        expect![[r#"
        LH0510 `u` is not empty
        hint: UNLOAD writes into an empty folder
    "#]],
    )
    .await;
    for path in ["/etc/passwd", "../../catalog.db", "file:///etc/passwd", "s3://b/x.parquet", "/tmp/x.parquet"] {
        assert_eq!(node.fails(&format!("SELECT * FROM '{path}'")).await, "LH0512", "{path}");
        assert_eq!(node.fails(&format!("COPY t TO '{path}'")).await, "LH0512", "{path}");
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("/etc", node.dir.path().join("exports/link")).expect("a link can be made");
        assert_eq!(node.fails("SELECT * FROM 'link/passwd'").await, "LH0512");
        assert_eq!(node.fails("COPY t TO 'link/x.csv'").await, "LH0512");
    }
    assert_eq!(node.fails("SELECT * FROM 'missing.csv'").await, "LH0502");
    assert_eq!(node.fails("CREATE EXTERNAL TABLE e STORED AS CSV LOCATION '/etc/passwd'").await, "LH0508");
}

#[tokio::test]
async fn zones_are_schemas() {
    let node = Node::start().await;
    node.check(
        "CREATE ZONE lab; CREATE TABLE lab.t AS SELECT 1 AS a; USE lab; SELECT * FROM t; SELECT * FROM lakehead.lab.t",
        expect![[r#"
        CREATE SCHEMA
        SELECT 1
        SET
        +---+
        | a |
        +---+
        | 1 |
        +---+
        +---+
        | a |
        +---+
        | 1 |
        +---+
    "#]],
    )
    .await;
    node.check(
        "DROP SCHEMA lab",
        expect![[r#"
        LH0322 could not drop zone `lab`
        it holds `t`
    "#]],
    )
    .await;
    node.check(
        "DROP TABLE t; DROP SCHEMA lab; SHOW SCHEMAS",
        expect![[r#"
        DROP TABLE
        DROP SCHEMA
        +---------+
        | zone    |
        +---------+
        | public  |
        | raw     |
        | refined |
        | sandbox |
        | trusted |
        +---------+
    "#]],
    )
    .await;
    node.check(
        "USE public; CREATE TABLE a (x INT); SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema = 'public';
         SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'a'",
        expect![[r#"
            SET
            CREATE TABLE
            +--------------+------------+
            | table_schema | table_name |
            +--------------+------------+
            | public       | a          |
            +--------------+------------+
            +-------------+-----------+
            | column_name | data_type |
            +-------------+-----------+
            | x           | integer   |
            +-------------+-----------+
        "#]],
    )
    .await;
}

#[tokio::test]
async fn what_would_be_taken_and_not_obeyed_is_refused() {
    let node = Node::start().await;
    for (statement, what) in [
        ("CREATE TABLE c (a INT PRIMARY KEY, b INT)", "column `a`: PRIMARY KEY is not offered"),
        ("CREATE TABLE c (a INT, b INT, PRIMARY KEY (a, b))", "column `a`: PRIMARY KEY is not offered"),
        ("CREATE TABLE c (a INT DEFAULT 1)", "DEFAULT of column `a` is not offered"),
        ("CREATE TABLE c (a INT NOT NULL DEFAULT now())", "DEFAULT of column `a` is not offered"),
        ("CREATE TABLE c (a INT GENERATED ALWAYS AS IDENTITY)", "GENERATED of column `a` is not offered"),
        ("CREATE TABLE c (a INT UNIQUE)", "UNIQUE of column `a` is not offered"),
        ("CREATE TABLE c (a INT REFERENCES t (a))", "REFERENCES of column `a` is not offered"),
        ("CREATE TABLE c (a INT CHECK (a > 0))", "CHECK of column `a` is not offered"),
        ("CREATE TABLE c (a INT, UNIQUE (a))", "UNIQUE of a table is not offered"),
        ("CREATE TABLE c (a INT, CONSTRAINT k PRIMARY KEY (a))", "CONSTRAINT of a table is not offered"),
        ("CREATE TABLE c (a INT, FOREIGN KEY (a) REFERENCES t (a))", "FOREIGN KEY of a table is not offered"),
        ("CREATE STREAM c (a INT DEFAULT 1) WITH (VALUE_FORMAT='JSON')", "DEFAULT of column `a` is not offered"),
    ] {
        let shown = node.shown(statement).await;
        assert!(shown.starts_with(&format!("LH0508 {what}\n")) && shown.contains("hint: "), "{statement}: {shown}");
    }
    assert_eq!(node.fails("CREATE TABLE c (a INT KEY)").await, "LH0519");
    // Columns may be called so all the same.
    node.run("CREATE TABLE c (\"default\" INT, \"check\" INT, key INT NOT NULL)").await;
    assert_eq!(node.fails("ALTER TABLE c ADD COLUMN a INT PRIMARY KEY").await, "LH0508");
    assert_eq!(node.fails("ALTER TABLE c ADD COLUMN a INT DEFAULT 1").await, "LH0508");
}
