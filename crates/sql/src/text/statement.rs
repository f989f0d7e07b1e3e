//! Statements, as parsed.

use datafusion::sql::{
    parser::Statement as DfStatement,
    sqlparser::ast::{Expr, Ident, Query},
};

use super::Declared;

/// A possibly qualified name, as written.
pub(crate) type Name = Vec<Ident>;

/// One parsed statement.
#[derive(Clone, Debug)]
pub(crate) enum Statement {
    /// Whatever sqlparser and DataFusion read: queries, EXPLAIN, INSERT, DELETE, UPDATE, COPY, CREATE VIEW.
    Sql(Box<DfStatement>),
    CreateTable(Box<CreateTable>),
    /// `CREATE STREAM|TABLE … WITH (KAFKA_TOPIC=…)`.
    Declare(Box<DeclareStream>),
    CreateZone {
        name: Ident,
        if_not_exists: bool,
    },
    DropZone {
        name: Ident,
        if_exists: bool,
    },
    Drop {
        what: Dropped,
        name: Name,
        if_exists: bool,
        delete_topic: bool,
    },
    AddColumns {
        table: Name,
        columns: Vec<Declared>,
        if_not_exists: bool,
    },
    /// `GRANT WRITE ON TOPIC t TO user EXCLUSIVE`; `REVOKE WRITE ON TOPIC t FROM user` takes it away.
    OneWriter {
        topic: Name,
        user: Ident,
        is_granted: bool,
    },
    Show(Show),
    Describe {
        name: Name,
        extended: bool,
    },
    /// `DESCRIBE SELECT …`: the columns it gives.
    DescribeQuery(Box<DfStatement>),
    /// `OPTIMIZE t`, `VACUUM t`, `ANALYZE t`: the word is only for the tag.
    Maintain {
        verb: &'static str,
        table: Name,
    },
    /// `UNLOAD (query) TO 'path' WITH (…)`.
    Unload {
        query: Box<Query>,
        path: String,
        options: Vec<(String, Expr)>,
    },
    Set {
        key: String,
        value: String,
    },
    /// `None`: all.
    Reset {
        key: Option<String>,
    },
    Use {
        namespace: Ident,
    },
    Prepare {
        name: Ident,
        types: Vec<arrow::datatypes::DataType>,
        statement: Box<Statement>,
    },
    Execute {
        name: Ident,
        arguments: Vec<Expr>,
    },
    /// `None`: all.
    Deallocate {
        name: Option<Ident>,
    },
    /// BEGIN, COMMIT, ROLLBACK and their kin: accepted, because clients send them, and said to do nothing.
    Transaction {
        tag: &'static str,
    },
    /// Accepted and without effect (`SET NAMES`, `DISCARD ALL`).
    Nothing {
        tag: &'static str,
    },
}

/// What a DROP names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    Stream,
    Table,
    View,
    Topic,
}

/// `CREATE TABLE`, plain or from a query.
#[derive(Clone, Debug)]
pub(crate) struct CreateTable {
    pub(crate) name: Name,
    pub(crate) or_replace: bool,
    pub(crate) if_not_exists: bool,
    pub(crate) columns: Vec<Declared>,
    /// Columns or transforms of one column: `day(ts)`, `bucket(16, id)`.
    pub(crate) partitioned_by: Vec<Expr>,
    pub(crate) options: Vec<(String, Expr)>,
    pub(crate) query: Option<Box<Query>>,
    pub(crate) with_data: bool,
}

/// `CREATE STREAM` or `CREATE TABLE` over a topic.
#[derive(Clone, Debug)]
pub(crate) struct DeclareStream {
    pub(crate) name: Name,
    pub(crate) is_table: bool,
    pub(crate) or_replace: bool,
    pub(crate) if_not_exists: bool,
    pub(crate) columns: Vec<Declared>,
    pub(crate) options: Vec<(String, Expr)>,
}

/// `SHOW …` and `LIST …`.
#[derive(Clone, Debug)]
pub(crate) enum Show {
    Tables { namespace: Option<Ident>, like: Option<String> },
    Views,
    Topics { all: bool },
    Streams,
    Queries,
    Functions { like: Option<String> },
    Columns { of: Name },
    Create { of: Name },
    Zones,
    All,
    Variable(String),
}
