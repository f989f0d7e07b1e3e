//! Statements nobody would write: each gets an answer or an error, the node goes on, and nothing is an internal error.

use std::time::Duration;

use crate::fixture::Node;

const SEEDS: [&str; 40] = [
    "SELECT a, count(*) FROM t JOIN u USING (id) WHERE b BETWEEN 'a' AND 'z' GROUP BY a HAVING count(*) > 1 ORDER BY 1 LIMIT 3",
    "WITH c AS (SELECT * FROM t) SELECT c.*, rank() OVER (PARTITION BY a ORDER BY b) FROM c",
    "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r",
    "SELECT *, _offset, _timestamp FROM s WHERE _partition = 0 AND _offset > 1 ORDER BY _offset DESC",
    "SELECT s.*, t.a FROM s LEFT JOIN t ON s.v = t.a WHERE s._key IS NULL",
    "SELECT * FROM t WHERE a IN (SELECT v FROM s) AND NOT EXISTS (SELECT 1 FROM u WHERE u.id = t.id)",
    "SELECT a FROM t UNION ALL SELECT v FROM s EXCEPT SELECT 3 INTERSECT SELECT 4",
    "SELECT CASE WHEN a > 1 THEN 'x' ELSE b END, COALESCE(b, 'n'), a::VARCHAR || b FROM t",
    "SELECT '{\"a\": [1, {\"b\": null}]}' -> 'a' -> 0 ->> 'b', json_length('[1,2]'), json_get_int('{\"a\": 1}', 'a')",
    "SELECT date_trunc('hour', ts), date_bin(INTERVAL '5 minutes', ts), extract(epoch FROM ts) FROM t",
    "SELECT sum(a) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW), lag(a, 1) OVER (ORDER BY id) FROM t",
    "SELECT array_agg(a ORDER BY b), string_agg(b, ','), approx_distinct(a), median(a), corr(a, id) FROM t",
    "SELECT a, b, sum(id) FROM t GROUP BY GROUPING SETS ((a), (b), ()), ROLLUP (a, b)",
    "SELECT unnest([1, 2, 3]), [1, 2][1], struct(1, 'a'), {'a': 1}['a'], MAP {'x': 1}",
    "SELECT substr('abc', -5, 3), split_part('a,b', ',', 9), regexp_replace('aaa', 'a*?', 'b'), left('x', -1), chr(0)",
    "SELECT CAST('2026-02-30' AS DATE), TIMESTAMP '2026-01-01' + INTERVAL '1 month', to_timestamp(1e18), now() - ts FROM t",
    "SELECT 9223372036854775807 + 1, -9223372036854775808, 1 / 0.0, 0.1::DECIMAL(38, 20) * 1e30, power(10, 400), sqrt(-1)",
    "SELECT * FROM generate_series(1, 10, 0)",
    "SELECT * FROM range(10, 1, -3), generate_series(TIMESTAMP '2026-01-01', TIMESTAMP '2026-01-02', INTERVAL '1 hour')",
    "SELECT a FROM t TABLESAMPLE BERNOULLI (10)",
    "SELECT DISTINCT ON (a) a, b FROM t ORDER BY a, b DESC",
    "SELECT a FROM t QUALIFY row_number() OVER (ORDER BY a) = 1",
    "SELECT * FROM t, LATERAL (SELECT u.x FROM u WHERE u.id = t.id) l",
    "SELECT * FROM t FOR VERSION AS OF 'main'",
    "SELECT * FROM \"t$snapshots\", \"t$files\", \"t$history\", \"t$refs\", \"t$manifests\", \"t$partitions\"",
    "EXPLAIN ANALYZE VERBOSE SELECT count(*) FROM t, u",
    "EXPLAIN FORMAT TREE SELECT 1",
    "INSERT INTO t (id, a, b) VALUES (1, 2, 'x'), ($1, ?, NULL)",
    "INSERT INTO s (v, _key, _partition) SELECT a, b, 0 FROM t",
    "UPDATE t SET a = a + 1, b = upper(b) WHERE id IN (SELECT id FROM u)",
    "DELETE FROM t WHERE a = (SELECT max(a) FROM t)",
    "CREATE TABLE n1 AS SELECT a AS x, b FROM t WHERE a > 0",
    "CREATE TABLE n2 (a INT, b ARRAY<STRUCT<c INT>>, d MAP<VARCHAR, INT>) PARTITIONED BY (bucket(4, a))",
    "CREATE VIEW n3 AS SELECT a + 1 AS c FROM t",
    "CREATE STREAM n4 (k VARCHAR KEY, v INT) WITH (KAFKA_TOPIC='n4', VALUE_FORMAT='JSON', PARTITIONS=1)",
    "COPY (SELECT * FROM t) TO 'f.csv' OPTIONS ('format.delimiter' ';')",
    "SHOW TABLES LIKE '%'; DESCRIBE EXTENDED t; SHOW CREATE TABLE t; SHOW FUNCTIONS LIKE 'a%'",
    "SELECT * FROM information_schema.columns WHERE table_name = 't'",
    "PREPARE p (INT) AS SELECT $1 + a FROM t; EXECUTE p (1); DEALLOCATE p",
    "SELECT $1, $2::INT, ? FROM t LIMIT $3 OFFSET 1",
];

/// Xorshift: the same statements each time, and a seed to repeat one by.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }
}

fn words(sql: &str) -> Vec<&str> {
    sql.split_inclusive([' ', '(', ')', ',']).collect()
}

fn mutate(dice: &mut Dice) -> String {
    let mut statement: Vec<&str> = words(SEEDS[dice.below(SEEDS.len())]);
    for _ in 0..1 + dice.below(3) {
        let other = words(SEEDS[dice.below(SEEDS.len())]);
        let at = dice.below(statement.len());
        let word = other[dice.below(other.len())];
        match dice.below(5) {
            0 => drop(statement.remove(at)),
            1 => statement.insert(at, word),
            2 => statement[at] = word,
            3 => {
                let from = dice.below(other.len());
                let to = (from + dice.below(8)).min(other.len());
                statement.splice(at..at, other[from..to].iter().copied());
            }
            _ => {
                let with = dice.below(statement.len());
                statement.swap(at, with);
            }
        }
        if statement.is_empty() {
            break;
        }
    }
    statement.concat()
}

async fn fuzz(seed: u64, rounds: usize) -> Vec<String> {
    let node = Node::start_with(|settings| {
        settings.memory_bytes = 128 << 20;
        settings.spill_bytes_max = 64 << 20;
        settings.timeout = Some(Duration::from_secs(2));
    })
    .await;
    node.run(
        "CREATE TABLE t (id INT, a INT, b VARCHAR, ts TIMESTAMP); CREATE TABLE u (id INT, x VARCHAR);
         INSERT INTO t VALUES (1, 1, 'a', '2026-01-01'), (2, 2, 'b', NULL), (3, NULL, NULL, '2026-02-01');
         INSERT INTO u VALUES (1, 'x'), (3, 'y');
         CREATE STREAM s (v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
         INSERT INTO s VALUES (1), (2), (3)",
    )
    .await;
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut internal = Vec::new();
    for index in 0..rounds {
        let sql = SEEDS.get(index).map_or_else(|| mutate(&mut dice), |seed| (*seed).to_owned());
        let run = async {
            match node.session.run(&sql).await {
                Err(error) => Some(error),
                Ok(outcomes) => {
                    let mut failed = None;
                    for outcome in outcomes {
                        if let Err(error) = outcome.collect().await {
                            failed = Some(error);
                        }
                    }
                    failed
                }
            }
        };
        let error =
            tokio::time::timeout(Duration::from_secs(20), run).await.unwrap_or_else(|_| panic!("no answer: {sql}"));
        if let Some(error) = error.filter(|error| error.code().name == "LH0001") {
            internal.push(format!("{sql}\n   {error}"));
        }
    }
    assert_eq!(node.value("SELECT 1").await, "1");
    internal
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_statements_are_answered_and_the_node_goes_on() {
    let seed = std::env::var("FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let rounds = std::env::var("FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(300);
    let internal = fuzz(seed, rounds).await;
    assert!(internal.is_empty(), "internal errors:\n{}", internal.join("\n"));
}
