//! One client's conversation.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::{prelude::SessionContext, scalar::ScalarValue};
use model::Result;

use crate::{Engine, Outcome};

/// Who asks, and from where unqualified names are looked up.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Zone of unqualified names.
    pub namespace: String,
    /// What the client calls itself, for logs.
    pub client: String,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { namespace: model::TableName::DEFAULT_NAMESPACE.to_owned(), client: "sql".to_owned() }
    }
}

/// A session: settings, prepared statements. Cheap to clone; clones are the same session.
#[derive(Clone)]
pub struct Session {
    pub(crate) engine: Arc<Engine>,
    pub(crate) options: SessionOptions,
}

impl Session {
    /// Runs every statement of `sql` in order and stops at the first that fails. What writes has written, durably, when
    /// this returns; rows of queries are pinned and stream when read.
    pub async fn run(&self, sql: &str) -> Result<Vec<Outcome>> {
        let _ = sql;
        unimplemented!()
    }

    /// The one statement of `sql` (an error if there are several), with `params` for `$1…` or `?`.
    pub async fn run_one(&self, sql: &str, params: Vec<ScalarValue>) -> Result<Outcome> {
        self.prepare(sql, &[]).await?.execute(params).await
    }

    /// Checks one statement and says what it takes and gives, without running it. `param_types` are the types the
    /// client gave, as far as it did.
    pub async fn prepare(&self, sql: &str, param_types: &[Option<DataType>]) -> Result<Prepared> {
        let _ = (sql, param_types);
        unimplemented!()
    }

    /// The DataFusion context of this session.
    pub fn context(&self) -> &SessionContext {
        unimplemented!()
    }

    pub fn options(&self) -> &SessionOptions {
        &self.options
    }
}

/// A statement that was checked. It is planned anew for each run, so each sees the newest data.
#[derive(Clone)]
pub struct Prepared {
    pub(crate) schema: SchemaRef,
    pub(crate) param_types: Vec<Option<DataType>>,
    pub(crate) tag: String,
}

impl Prepared {
    /// Columns of the rows it will give; empty when it gives none.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether it gives rows at all (a `SELECT` of no columns does).
    pub fn gives_rows(&self) -> bool {
        !self.schema.fields().is_empty() || self.tag == "SELECT"
    }

    /// Types of `$1…`, in order, where they could be found.
    pub fn param_types(&self) -> &[Option<DataType>] {
        &self.param_types
    }

    pub async fn execute(&self, params: Vec<ScalarValue>) -> Result<Outcome> {
        let _ = params;
        unimplemented!()
    }
}
