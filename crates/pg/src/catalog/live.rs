//! The tables of `pg_catalog` that describe what is here: made anew from the live catalog for each query.
//!
//! One database, its zones, their tables, topics and views. OIDs are made from names, so they are the same in every
//! table, connection and run.

use std::sync::Arc;

use ::catalog::{Catalog, EntryKind};
use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::{
    catalog::{CatalogProvider, MemTable, TableProvider},
    error::Result,
    scalar::ScalarValue,
};

use crate::types::{PgType, oid};

/// OIDs PostgreSQL itself gave; the dump of its own tables refers to them.
const PG_CATALOG_OID: i32 = 11;
const PUBLIC_OID: i32 = 2200;
const OWNER_OID: i32 = 10;
const HEAP_OID: i32 = 2;
const DATABASE_OID: i32 = 5;
/// The first OID that PostgreSQL leaves to users.
const FIRST_USER_OID: u32 = 16_384;

pub(super) struct Live {
    pub(super) provider: Arc<dyn CatalogProvider>,
    pub(super) database: String,
    pub(super) catalog: Catalog,
}

/// A table or view that was found.
struct Relation {
    zone: String,
    name: String,
    schema: SchemaRef,
    view: Option<String>,
}

/// Name, type and default of each column; rows that say nothing else take the default.
type Columns = &'static [(&'static str, Kind)];

#[derive(Clone, Copy)]
enum Kind {
    Int(i32),
    Short(i16),
    Real(f32),
    Bool(bool),
    Text(&'static str),
    /// A text that is always NULL here.
    Null,
    /// An array of `int2` or `int4` that is always NULL here; clients unnest it.
    Shorts,
    Ints,
}

const PG_CLASS: Columns = &[
    ("oid", Kind::Int(0)),
    ("relname", Kind::Text("")),
    ("relnamespace", Kind::Int(0)),
    ("reltype", Kind::Int(0)),
    ("reloftype", Kind::Int(0)),
    ("relowner", Kind::Int(OWNER_OID)),
    ("relam", Kind::Int(HEAP_OID)),
    ("relfilenode", Kind::Int(0)),
    ("reltablespace", Kind::Int(0)),
    ("relpages", Kind::Int(0)),
    ("reltuples", Kind::Real(-1.0)),
    ("relallvisible", Kind::Int(0)),
    ("reltoastrelid", Kind::Int(0)),
    ("relhasindex", Kind::Bool(false)),
    ("relisshared", Kind::Bool(false)),
    ("relpersistence", Kind::Text("p")),
    ("relkind", Kind::Text("r")),
    ("relnatts", Kind::Short(0)),
    ("relchecks", Kind::Short(0)),
    ("relhasrules", Kind::Bool(false)),
    ("relhastriggers", Kind::Bool(false)),
    ("relhassubclass", Kind::Bool(false)),
    ("relrowsecurity", Kind::Bool(false)),
    ("relforcerowsecurity", Kind::Bool(false)),
    ("relispopulated", Kind::Bool(true)),
    ("relreplident", Kind::Text("n")),
    ("relispartition", Kind::Bool(false)),
    ("relrewrite", Kind::Int(0)),
    ("relfrozenxid", Kind::Int(0)),
    ("relminmxid", Kind::Int(0)),
    ("relacl", Kind::Null),
    ("reloptions", Kind::Null),
    ("relpartbound", Kind::Null),
];

const PG_ATTRIBUTE: Columns = &[
    ("attrelid", Kind::Int(0)),
    ("attname", Kind::Text("")),
    ("atttypid", Kind::Int(0)),
    ("attstattarget", Kind::Int(-1)),
    ("attlen", Kind::Short(-1)),
    ("attnum", Kind::Short(0)),
    ("attndims", Kind::Int(0)),
    ("attcacheoff", Kind::Int(-1)),
    ("atttypmod", Kind::Int(-1)),
    ("attbyval", Kind::Bool(false)),
    ("attalign", Kind::Text("i")),
    ("attstorage", Kind::Text("p")),
    ("attcompression", Kind::Text("")),
    ("attnotnull", Kind::Bool(false)),
    ("atthasdef", Kind::Bool(false)),
    ("atthasmissing", Kind::Bool(false)),
    ("attidentity", Kind::Text("")),
    ("attgenerated", Kind::Text("")),
    ("attisdropped", Kind::Bool(false)),
    ("attislocal", Kind::Bool(true)),
    ("attinhcount", Kind::Int(0)),
    ("attcollation", Kind::Int(0)),
    ("attacl", Kind::Null),
    ("attoptions", Kind::Null),
    ("attfdwoptions", Kind::Null),
    ("attmissingval", Kind::Null),
];

const PG_NAMESPACE: Columns =
    &[("oid", Kind::Int(0)), ("nspname", Kind::Text("")), ("nspowner", Kind::Int(OWNER_OID)), ("nspacl", Kind::Null)];

const PG_DATABASE: Columns = &[
    ("oid", Kind::Int(DATABASE_OID)),
    ("datname", Kind::Text("")),
    ("datdba", Kind::Int(OWNER_OID)),
    ("encoding", Kind::Int(6)),
    ("datlocprovider", Kind::Text("c")),
    ("datistemplate", Kind::Bool(false)),
    ("datallowconn", Kind::Bool(true)),
    ("datconnlimit", Kind::Int(-1)),
    ("datfrozenxid", Kind::Int(0)),
    ("datminmxid", Kind::Int(0)),
    ("dattablespace", Kind::Int(1663)),
    ("datcollate", Kind::Text("C")),
    ("datctype", Kind::Text("C")),
    ("daticulocale", Kind::Null),
    ("datcollversion", Kind::Null),
    ("datacl", Kind::Null),
];

const PG_TABLES: Columns = &[
    ("schemaname", Kind::Text("")),
    ("tablename", Kind::Text("")),
    ("tableowner", Kind::Text("postgres")),
    ("tablespace", Kind::Null),
    ("hasindexes", Kind::Bool(false)),
    ("hasrules", Kind::Bool(false)),
    ("hastriggers", Kind::Bool(false)),
    ("rowsecurity", Kind::Bool(false)),
];

/// The last column is ours: `pg_get_viewdef` looks a view up by it.
const PG_VIEWS: Columns = &[
    ("schemaname", Kind::Text("")),
    ("viewname", Kind::Text("")),
    ("viewowner", Kind::Text("postgres")),
    ("definition", Kind::Text("")),
    ("viewoid", Kind::Int(0)),
];

const PG_USER_MAPPINGS: Columns = &[
    ("umid", Kind::Int(0)),
    ("srvid", Kind::Int(0)),
    ("srvname", Kind::Text("")),
    ("umuser", Kind::Int(0)),
    ("usename", Kind::Text("")),
    ("umoptions", Kind::Null),
];

/// There are no extensions, but clients unnest their configuration.
const PG_EXTENSION: Columns = &[
    ("oid", Kind::Int(0)),
    ("extname", Kind::Text("")),
    ("extowner", Kind::Int(OWNER_OID)),
    ("extnamespace", Kind::Int(0)),
    ("extrelocatable", Kind::Bool(false)),
    ("extversion", Kind::Text("")),
    ("extconfig", Kind::Ints),
    ("extcondition", Kind::Null),
];

const PG_AVAILABLE_EXTENSIONS: Columns = &[
    ("name", Kind::Text("")),
    ("default_version", Kind::Text("")),
    ("installed_version", Kind::Null),
    ("comment", Kind::Null),
];

const PG_POLICIES: Columns = &[
    ("schemaname", Kind::Text("")),
    ("tablename", Kind::Text("")),
    ("policyname", Kind::Text("")),
    ("permissive", Kind::Text("")),
    ("roles", Kind::Null),
    ("cmd", Kind::Text("")),
    ("qual", Kind::Null),
    ("with_check", Kind::Null),
];

const PG_SEQUENCES: Columns = &[
    ("schemaname", Kind::Text("")),
    ("sequencename", Kind::Text("")),
    ("sequenceowner", Kind::Text("")),
    ("data_type", Kind::Text("")),
    ("start_value", Kind::Int(0)),
    ("min_value", Kind::Int(0)),
    ("max_value", Kind::Int(0)),
    ("increment_by", Kind::Int(0)),
    ("cycle", Kind::Bool(false)),
    ("cache_size", Kind::Int(0)),
    ("last_value", Kind::Int(0)),
];

/// There are no indexes and no constraints, but clients join these and unnest their arrays, so the types must be right.
const PG_INDEX: Columns = &[
    ("indexrelid", Kind::Int(0)),
    ("indrelid", Kind::Int(0)),
    ("indnatts", Kind::Short(0)),
    ("indnkeyatts", Kind::Short(0)),
    ("indisunique", Kind::Bool(false)),
    ("indnullsnotdistinct", Kind::Bool(false)),
    ("indisprimary", Kind::Bool(false)),
    ("indisexclusion", Kind::Bool(false)),
    ("indimmediate", Kind::Bool(false)),
    ("indisclustered", Kind::Bool(false)),
    ("indisvalid", Kind::Bool(false)),
    ("indcheckxmin", Kind::Bool(false)),
    ("indisready", Kind::Bool(false)),
    ("indislive", Kind::Bool(false)),
    ("indisreplident", Kind::Bool(false)),
    ("indkey", Kind::Shorts),
    ("indcollation", Kind::Ints),
    ("indclass", Kind::Ints),
    ("indoption", Kind::Shorts),
    ("indexprs", Kind::Null),
    ("indpred", Kind::Null),
];

const PG_CONSTRAINT: Columns = &[
    ("oid", Kind::Int(0)),
    ("conname", Kind::Text("")),
    ("connamespace", Kind::Int(0)),
    ("contype", Kind::Text("")),
    ("condeferrable", Kind::Bool(false)),
    ("condeferred", Kind::Bool(false)),
    ("convalidated", Kind::Bool(true)),
    ("conrelid", Kind::Int(0)),
    ("contypid", Kind::Int(0)),
    ("conindid", Kind::Int(0)),
    ("conparentid", Kind::Int(0)),
    ("confrelid", Kind::Int(0)),
    ("confupdtype", Kind::Text("")),
    ("confdeltype", Kind::Text("")),
    ("confmatchtype", Kind::Text("")),
    ("conislocal", Kind::Bool(true)),
    ("coninhcount", Kind::Int(0)),
    ("connoinherit", Kind::Bool(false)),
    ("conkey", Kind::Shorts),
    ("confkey", Kind::Shorts),
    ("conpfeqop", Kind::Ints),
    ("conppeqop", Kind::Ints),
    ("conffeqop", Kind::Ints),
    ("confdelsetcols", Kind::Shorts),
    ("conexclop", Kind::Ints),
    ("conbin", Kind::Null),
];

const PG_INDEXES: Columns = &[
    ("schemaname", Kind::Text("")),
    ("tablename", Kind::Text("")),
    ("indexname", Kind::Text("")),
    ("tablespace", Kind::Null),
    ("indexdef", Kind::Text("")),
];

const PG_LOCKS: Columns = &[
    ("locktype", Kind::Text("")),
    ("database", Kind::Int(0)),
    ("relation", Kind::Int(0)),
    ("page", Kind::Int(0)),
    ("tuple", Kind::Short(0)),
    ("virtualxid", Kind::Null),
    ("transactionid", Kind::Int(0)),
    ("classid", Kind::Int(0)),
    ("objid", Kind::Int(0)),
    ("objsubid", Kind::Short(0)),
    ("virtualtransaction", Kind::Null),
    ("pid", Kind::Int(0)),
    ("mode", Kind::Text("")),
    ("granted", Kind::Bool(true)),
    ("fastpath", Kind::Bool(false)),
    ("waitstart", Kind::Null),
];

/// Tables made here; [`super`] lists them with those of the dump.
pub(super) const TABLES: &[&str] =
    &["pg_available_extensions", "pg_indexes", "pg_locks", "pg_policies", "pg_sequences", "pg_user_mappings"];

impl Live {
    /// The table called `name`, if it is one of these.
    pub(super) async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let (columns, rows) = match name {
            "pg_class" => {
                let row = |r: &Relation| {
                    let relation = relation_oid(&r.zone, &r.name);
                    vec![
                        ("oid", relation.into()),
                        ("relname", text(&r.name)),
                        ("relnamespace", namespace_oid(&r.zone).into()),
                        ("relkind", text(if r.view.is_some() { "v" } else { "r" })),
                        ("relam", (if r.view.is_some() { 0 } else { HEAP_OID }).into()),
                        ("relnatts", ScalarValue::from(i16::try_from(r.schema.fields().len()).unwrap_or(i16::MAX))),
                    ]
                };
                (PG_CLASS, self.relations().await.iter().map(row).collect::<Vec<_>>())
            }
            "pg_attribute" => (PG_ATTRIBUTE, self.relations().await.iter().flat_map(attributes).collect()),
            "pg_namespace" => {
                let row = |name: String| vec![("oid", namespace_oid(&name).into()), ("nspname", text(&name))];
                (PG_NAMESPACE, self.namespaces().into_iter().map(row).collect())
            }
            "pg_database" => (PG_DATABASE, vec![vec![("datname", text(&self.database))]]),
            "pg_tables" => {
                let row = |r: &Relation| vec![("schemaname", text(&r.zone)), ("tablename", text(&r.name))];
                (PG_TABLES, self.relations().await.iter().filter(|r| r.view.is_none()).map(row).collect())
            }
            "pg_views" => {
                let row = |r: &Relation| {
                    let definition = r.view.as_deref()?;
                    Some(vec![
                        ("schemaname", text(&r.zone)),
                        ("viewname", text(&r.name)),
                        ("definition", text(definition)),
                        ("viewoid", relation_oid(&r.zone, &r.name).into()),
                    ])
                };
                (PG_VIEWS, self.relations().await.iter().filter_map(row).collect())
            }
            "pg_index" => (PG_INDEX, Vec::new()),
            "pg_constraint" => (PG_CONSTRAINT, Vec::new()),
            "pg_user_mappings" => (PG_USER_MAPPINGS, Vec::new()),
            "pg_extension" => (PG_EXTENSION, Vec::new()),
            "pg_available_extensions" => (PG_AVAILABLE_EXTENSIONS, Vec::new()),
            "pg_indexes" => (PG_INDEXES, Vec::new()),
            "pg_locks" => (PG_LOCKS, Vec::new()),
            "pg_policies" => (PG_POLICIES, Vec::new()),
            "pg_sequences" => (PG_SEQUENCES, Vec::new()),
            _ => return Ok(None),
        };
        let batch = batch(columns, rows)?;
        Ok(Some(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?)))
    }

    fn namespaces(&self) -> Vec<String> {
        let mut names = self.provider.schema_names();
        for system in [super::SCHEMA, "information_schema"] {
            if !names.iter().any(|name| name == system) {
                names.push(system.to_owned());
            }
        }
        names
    }

    /// All tables, topics and views. System tables are not among them: no client needs them described.
    async fn relations(&self) -> Vec<Relation> {
        let mut relations = Vec::new();
        for zone in self.provider.schema_names() {
            if zone == super::SCHEMA || zone == "information_schema" {
                continue;
            }
            let Some(tables) = self.provider.schema(&zone) else { continue };
            for name in tables.table_names() {
                match tables.table(&name).await {
                    Ok(Some(table)) => {
                        let view = self.view(&zone, &name).await;
                        relations.push(Relation { zone: zone.clone(), name, schema: table.schema(), view });
                    }
                    // Dropped in between.
                    Ok(None) => {}
                    // One table that cannot be read must not hide all others from a client that lists them.
                    Err(error) => tracing::warn!(%error, zone, name, "not listed in pg_catalog"),
                }
            }
        }
        relations
    }

    /// The query of a view; `None` for anything else.
    async fn view(&self, zone: &str, name: &str) -> Option<String> {
        let names = self.catalog.names();
        if !names.namespace(zone)?.has_entry(EntryKind::View, name) {
            return None;
        }
        let definition = match self.catalog.entry(EntryKind::View, zone, name).await {
            Ok(entry) => entry?.definition,
            Err(error) => {
                tracing::warn!(%error, zone, name, "could not read the definition of a view");
                return Some(String::new());
            }
        };
        Some(definition["sql"].as_str().unwrap_or_default().to_owned())
    }
}

fn attributes(relation: &Relation) -> Vec<Vec<(&'static str, ScalarValue)>> {
    let relid = relation_oid(&relation.zone, &relation.name);
    let row = |(i, field): (usize, &Arc<Field>)| {
        let pg = PgType::of(field);
        let is_list =
            matches!(field.data_type(), DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(_, _));
        vec![
            ("attrelid", relid.into()),
            ("attname", text(field.name())),
            ("atttypid", ScalarValue::from(pg.oid as i32)),
            ("attlen", pg.length.into()),
            ("attnum", ScalarValue::from(i16::try_from(i + 1).unwrap_or(i16::MAX))),
            ("attndims", i32::from(is_list).into()),
            ("atttypmod", pg.modifier.into()),
            ("attbyval", (pg.length > 0 && pg.length <= 8).into()),
            ("attstorage", text(if pg.length > 0 { "p" } else { "x" })),
            ("attnotnull", (!field.is_nullable()).into()),
            ("attcollation", (if pg.oid == oid::TEXT { 100 } else { 0 }).into()),
        ]
    };
    relation.schema.fields().iter().enumerate().map(row).collect()
}

/// Rows of `columns`; what a row does not name takes the column's default.
fn batch(columns: Columns, rows: Vec<Vec<(&'static str, ScalarValue)>>) -> Result<RecordBatch> {
    let mut fields = Vec::with_capacity(columns.len());
    let mut arrays = Vec::with_capacity(columns.len());
    for (name, kind) in columns {
        let default = match kind {
            Kind::Int(v) => ScalarValue::from(*v),
            Kind::Short(v) => ScalarValue::from(*v),
            Kind::Real(v) => ScalarValue::from(*v),
            Kind::Bool(v) => ScalarValue::from(*v),
            Kind::Text(v) => ScalarValue::from(*v),
            Kind::Null => ScalarValue::Utf8(None),
            Kind::Shorts => ScalarValue::new_null_list(DataType::Int16, true, 1),
            Kind::Ints => ScalarValue::new_null_list(DataType::Int32, true, 1),
        };
        fields.push(Field::new(*name, default.data_type(), true));
        let value = |row: &Vec<(&str, ScalarValue)>| {
            row.iter().find(|(n, _)| n == name).map_or_else(|| default.clone(), |(_, value)| value.clone())
        };
        arrays.push(if rows.is_empty() {
            arrow::array::new_empty_array(&default.data_type())
        } else {
            ScalarValue::iter_to_array(rows.iter().map(value))?
        });
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

fn text(value: &str) -> ScalarValue {
    ScalarValue::from(value)
}

fn namespace_oid(name: &str) -> i32 {
    match name {
        "pg_catalog" => PG_CATALOG_OID,
        "public" => PUBLIC_OID,
        _ => name_oid(&[name]),
    }
}

pub(super) fn relation_oid(zone: &str, name: &str) -> i32 {
    name_oid(&[zone, name])
}

/// FNV-1a over the parts, in the range PostgreSQL leaves to users. Two of a thousand names meet with odds of one in 4000.
fn name_oid(parts: &[&str]) -> i32 {
    let mut hash = 0x811c_9dc5_u32;
    for byte in parts.iter().flat_map(|part| part.bytes().chain([0])) {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    let range = i32::MAX as u32 - FIRST_USER_OID;
    (FIRST_USER_OID + hash % range) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oids_are_of_users_and_stay_the_same() {
        assert_eq!(relation_oid("public", "flights"), relation_oid("public", "flights"));
        assert_ne!(relation_oid("public", "ab"), relation_oid("publica", "b"));
        assert!(relation_oid("raw", "x") >= FIRST_USER_OID as i32);
        assert_eq!(namespace_oid("public"), 2200);
    }

    #[test]
    fn rows_take_defaults() {
        let made = batch(PG_CLASS, vec![vec![("relname", text("t"))]]).expect("a batch");
        assert_eq!((made.num_rows(), made.num_columns()), (1, PG_CLASS.len()));
        assert_eq!(batch(PG_VIEWS, vec![]).expect("empty").num_rows(), 0);
    }
}
