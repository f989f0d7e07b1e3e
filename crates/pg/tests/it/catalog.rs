//! What clients ask to find out what there is, in their own words.

use crate::node::Node;

/// SQLAlchemy 2.1, `PGDialect._columns_query`: what `inspect(engine).get_columns` and autoload send.
const SQLALCHEMY_COLUMNS: &str = r#"SELECT pg_catalog.pg_attribute.attname AS name, pg_catalog.format_type(pg_catalog.pg_attribute.atttypid, pg_catalog.pg_attribute.atttypmod) AS format_type, CASE WHEN pg_catalog.pg_attribute.atthasdef THEN (SELECT pg_catalog.pg_get_expr(pg_catalog.pg_attrdef.adbin, pg_catalog.pg_attrdef.adrelid) AS pg_get_expr_1
FROM pg_catalog.pg_attrdef
WHERE pg_catalog.pg_attribute.atthasdef AND pg_catalog.pg_attrdef.adrelid = pg_catalog.pg_attribute.attrelid AND pg_catalog.pg_attrdef.adnum = pg_catalog.pg_attribute.attnum) ELSE NULL END AS "default", pg_catalog.pg_attribute.attnotnull AS not_null, pg_catalog.pg_class.relname AS table_name, pg_catalog.pg_description.description AS comment, pg_catalog.pg_attribute.attgenerated AS generated, CASE WHEN (pg_catalog.pg_attribute.attidentity != $1::VARCHAR) THEN (SELECT json_build_object($2::VARCHAR, pg_catalog.pg_attribute.attidentity = $3::VARCHAR, $4::VARCHAR, pg_catalog.pg_sequence.seqstart) AS json_build_object_1
FROM pg_catalog.pg_sequence
WHERE pg_catalog.pg_attribute.attidentity != $1::VARCHAR AND pg_catalog.pg_sequence.seqrelid = CAST(CAST(pg_catalog.pg_get_serial_sequence(CAST(CAST(pg_catalog.pg_attribute.attrelid AS REGCLASS) AS TEXT), pg_catalog.pg_attribute.attname) AS REGCLASS) AS OID)) ELSE NULL END AS identity_options, CASE WHEN (pg_catalog.pg_attribute.attcollation != $5::INTEGER AND (SELECT pg_catalog.pg_type.typcollation
FROM pg_catalog.pg_type
WHERE pg_catalog.pg_type.oid = pg_catalog.pg_attribute.atttypid) != pg_catalog.pg_attribute.attcollation) THEN (SELECT json_build_object($6::VARCHAR, pg_catalog.pg_collation.collname, $7::VARCHAR, CASE WHEN pg_catalog.pg_collation_is_visible(pg_catalog.pg_collation.oid) THEN NULL ELSE pg_catalog.pg_namespace.nspname END) AS json_build_object_9
FROM pg_catalog.pg_collation JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_collation.collnamespace
WHERE pg_catalog.pg_collation.oid = pg_catalog.pg_attribute.attcollation) ELSE NULL END AS collation
FROM pg_catalog.pg_class LEFT OUTER JOIN pg_catalog.pg_attribute ON pg_catalog.pg_class.oid = pg_catalog.pg_attribute.attrelid AND pg_catalog.pg_attribute.attnum > $8::SMALLINT AND NOT pg_catalog.pg_attribute.attisdropped LEFT OUTER JOIN pg_catalog.pg_description ON pg_catalog.pg_description.objoid = pg_catalog.pg_attribute.attrelid AND pg_catalog.pg_description.objsubid = pg_catalog.pg_attribute.attnum JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace
WHERE pg_catalog.pg_class.relkind = ANY (ARRAY[$9::VARCHAR, $10::VARCHAR, $11::VARCHAR]) AND pg_catalog.pg_class.relpersistence != $12::VARCHAR AND pg_catalog.pg_namespace.nspname = $13::VARCHAR AND pg_catalog.pg_class.relname IN ($14::VARCHAR) ORDER BY pg_catalog.pg_class.relname, pg_catalog.pg_attribute.attnum"#;

/// pgjdbc 42.7, `getPrimaryKeys`.
const JDBC_PRIMARY_KEYS: &str = "SELECT result.TABLE_CAT, result.TABLE_SCHEM, result.TABLE_NAME, \
    result.COLUMN_NAME, result.KEY_SEQ, result.PK_NAME FROM (SELECT current_database() AS TABLE_CAT, \
    n.nspname AS TABLE_SCHEM, ct.relname AS TABLE_NAME, a.attname AS COLUMN_NAME, \
    (information_schema._pg_expandarray(i.indkey)).n AS KEY_SEQ, ci.relname AS PK_NAME, \
    information_schema._pg_expandarray(i.indkey) AS KEYS, a.attnum AS A_ATTNUM FROM pg_catalog.pg_class ct \
    JOIN pg_catalog.pg_attribute a ON (ct.oid = a.attrelid) \
    JOIN pg_catalog.pg_namespace n ON (ct.relnamespace = n.oid) JOIN pg_catalog.pg_index i ON (a.attrelid = i.indrelid) \
    JOIN pg_catalog.pg_class ci ON (ci.oid = i.indexrelid) WHERE true AND n.nspname = 'public' \
    AND ct.relname = 'orders' AND i.indisprimary ) result where result.A_ATTNUM = (result.KEYS).x \
    ORDER BY result.table_name, result.PK_NAME, result.KEY_SEQ";

/// pgjdbc 42.7, `getImportedKeys`.
const JDBC_FOREIGN_KEYS: &str = "SELECT NULL::text AS PKTABLE_CAT, pkn.nspname AS PKTABLE_SCHEM, \
    pkc.relname AS PKTABLE_NAME, pka.attname AS PKCOLUMN_NAME, NULL::text AS FKTABLE_CAT, \
    fkn.nspname AS FKTABLE_SCHEM, fkc.relname AS FKTABLE_NAME, fka.attname AS FKCOLUMN_NAME, pos.n AS KEY_SEQ, \
    CASE con.confupdtype  WHEN 'c' THEN 0 WHEN 'n' THEN 2 ELSE NULL END AS UPDATE_RULE, con.conname AS FK_NAME, \
    pkic.relname AS PK_NAME FROM  pg_catalog.pg_namespace pkn, pg_catalog.pg_class pkc, \
    pg_catalog.pg_attribute pka,  pg_catalog.pg_namespace fkn, pg_catalog.pg_class fkc, \
    pg_catalog.pg_attribute fka,  pg_catalog.pg_constraint con,  pg_catalog.generate_series(1, 32) pos(n),  \
    pg_catalog.pg_class pkic WHERE pkn.oid = pkc.relnamespace AND pkc.oid = pka.attrelid \
    AND pka.attnum = con.confkey[pos.n] AND con.confrelid = pkc.oid  AND fkn.oid = fkc.relnamespace \
    AND fkc.oid = fka.attrelid AND fka.attnum = con.conkey[pos.n] AND con.conrelid = fkc.oid  AND con.contype = 'f' \
    AND (pkic.relkind = 'i' OR pkic.relkind = 'I') AND pkic.oid = con.conindid  AND fkn.nspname = 'public' \
    AND fkc.relname = 'orders' ORDER BY pkn.nspname,pkc.relname, con.conname,pos.n";

#[tokio::test(flavor = "multi_thread")]
async fn sqlalchemy_finds_the_columns_of_a_table() {
    let node = Node::start().await;
    let mut client = node.connect().await;
    client.query("CREATE TABLE orders (id BIGINT, item VARCHAR, cost DECIMAL(10, 2), at TIMESTAMPTZ)").await;
    let values = ["", "always", "a", "start", "0", "name", "schema", "0", "r", "p", "f", "t", "public", "orders"];
    let oids = [25, 25, 25, 25, 23, 25, 25, 21, 25, 25, 25, 25, 25, 25];
    let parameters: Vec<(u32, &str)> = oids.into_iter().zip(values).collect();
    let columns = client.execute(SQLALCHEMY_COLUMNS, &parameters).await;
    let shown: Vec<_> = columns.rows.iter().map(|row| (row[0].as_deref(), row[1].as_deref())).collect();
    let expected = [("id", "bigint"), ("item", "text"), ("cost", "numeric(10,2)"), ("at", "timestamp with time zone")];
    assert_eq!(shown, expected.map(|(name, kind)| (Some(name), Some(kind))));
}

#[tokio::test(flavor = "multi_thread")]
async fn jdbc_finds_no_keys() {
    let node = Node::start().await;
    let mut client = node.connect().await;
    client.query("CREATE TABLE orders (id BIGINT, item VARCHAR)").await;
    assert_eq!(client.query(JDBC_PRIMARY_KEYS).await.rows.len(), 0);
    assert_eq!(client.query(JDBC_FOREIGN_KEYS).await.rows.len(), 0);
    let set = client.execute("SELECT current_setting($1::VARCHAR)", &[(25, "Default_Table_Access_Method")]).await;
    assert_eq!(set.row(), ["heap"]);
    let most = client.query("SELECT setting FROM pg_catalog.pg_settings WHERE name='max_index_keys'").await;
    assert_eq!(most.row(), ["32"]);
    let arguments = client.query("SELECT p.proname, p.proargtypes, p.proargnames, p.proargmodes, p.proallargtypes FROM pg_catalog.pg_proc p WHERE p.proname = 'box_overlap'").await;
    assert_eq!(arguments.names()[2..], ["proargnames", "proargmodes", "proallargtypes"]);
    assert_eq!(arguments.row(), ["box_overlap", "603 603", "∅", "∅", "∅"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_owns_what_is_there_and_is_known() {
    let node = Node::start().await;
    let mut client = node.connect().await;
    client.query("CREATE TABLE orders (id BIGINT)").await;
    // psql's \dt and \du.
    let tables = client
        .query("SELECT n.nspname as \"Schema\", c.relname as \"Name\", pg_catalog.pg_get_userbyid(c.relowner) as \"Owner\" FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r','p','') AND n.nspname !~ '^pg_toast' AND pg_catalog.pg_table_is_visible(c.oid) AND c.relname = 'orders'")
        .await;
    assert_eq!(tables.row(), ["public", "orders", "ann"]);
    let roles = client
        .query("SELECT r.rolname, r.rolsuper, r.rolcanlogin, r.rolvaliduntil FROM pg_catalog.pg_roles r WHERE r.rolname !~ '^pg_' ORDER BY 1")
        .await;
    assert_eq!(roles.row(), ["ann", "f", "t", "∅"]);
    let owner = client.query("SELECT tableowner FROM pg_tables WHERE tablename = 'orders'").await;
    assert_eq!((owner.names(), owner.row()), (vec!["tableowner"], vec!["ann"]));
    let activity =
        client.query("SELECT usename, application_name, state FROM pg_stat_activity WHERE pid = pg_backend_pid()");
    assert_eq!(activity.await.row(), ["ann", "tests", "active"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_never_here_is_an_empty_table_and_no_error() {
    let node = Node::start().await;
    let mut client = node.connect().await;
    client.query("CREATE TABLE t (id BIGINT)").await;
    for sql in [
        "SELECT name, default_version, installed_version, comment FROM pg_catalog.pg_available_extensions ORDER BY name",
        "SELECT e.oid, c.l FROM pg_extension e LEFT JOIN (SELECT array_agg(k.relname) AS l, x.e FROM \
         (SELECT unnest(y.extconfig) AS oid, y.oid AS e FROM pg_extension y) x JOIN pg_class k ON k.oid = x.oid GROUP BY x.e) c \
         ON c.e = e.oid",
        "SELECT * FROM pg_catalog.pg_policies WHERE schemaname = 'public'",
        "SELECT * FROM pg_catalog.pg_sequences WHERE schemaname = 'public'",
        "SELECT r.* FROM pg_rewrite r WHERE r.ev_class = 1 AND r.rulename <> '_RETURN'::name",
        "SELECT oid, relkind, reltype FROM pg_class WHERE relname = 'x' UNION ALL SELECT oid, 'c', oid FROM pg_type WHERE typname = 'x'",
        "SELECT * FROM information_schema.table_privileges WHERE table_schema = 'public' AND table_name = 't'",
        "SELECT p.grantee FROM information_schema.role_table_grants AS p",
        "SELECT tc.constraint_type, kcu.column_name FROM information_schema.table_constraints tc \
         JOIN information_schema.key_column_usage kcu ON tc.constraint_name = kcu.constraint_name WHERE tc.table_name = 't'",
        "SELECT * FROM lakehead.information_schema.sequences",
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 't'",
        "SELECT l.pid, l.mode FROM pg_locks l JOIN pg_catalog.pg_class c ON l.relation = c.oid",
        "SELECT policyname FROM pg_policies",
    ] {
        assert!(client.query(sql).await.rows.is_empty(), "{sql}");
    }
    assert_eq!(client.query("SELECT r.rolname FROM pg_catalog.pg_roles AS r").await.rows.len(), 1);
    let tables = client.query("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'").await;
    assert_eq!(tables.row(), ["t"]);
}
