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
