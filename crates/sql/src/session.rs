//! One client's conversation.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::{execution::SessionStateBuilder, prelude::SessionContext, scalar::ScalarValue};
use model::{Error, Result, error::codes};
use parking_lot::Mutex;

use crate::{
    Engine, Outcome, bind,
    run::Run,
    text::{self, Parsed, Statement},
    texts::read_text,
    workers::Ticket,
};

/// Prepared statements one session may hold.
const PREPARED_MAX: usize = 10_000;

/// Who asks, and from where unqualified names are looked up.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Zone of unqualified names.
    pub namespace: String,
    /// What the client calls itself, for logs.
    pub client: String,
    /// What columns without a name are called.
    pub headings: Headings,
}

/// What columns without a name are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Headings {
    /// Their text: `SELECT 1, count(*)` gives `1` and `count(*)`. Names differ.
    #[default]
    Text,
    /// As PostgreSQL calls them: `?column?` and `count`. Several columns may have one name.
    Postgres,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            namespace: model::TableName::DEFAULT_NAMESPACE.to_owned(),
            client: "sql".to_owned(),
            headings: Headings::Text,
        }
    }
}

/// A session: settings, prepared statements. Cheap to clone; clones are the same session.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    engine: Arc<Engine>,
    options: SessionOptions,
    context: SessionContext,
    settings: Mutex<Settings>,
    prepared: Mutex<HashMap<String, Prepared>>,
}

/// What SET changes, besides DataFusion's own options.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) namespace: String,
    pub(crate) timeout: Option<Duration>,
    /// Accepted for the client's sake (`DateStyle`, `application_name`), and given back by SHOW.
    pub(crate) others: BTreeMap<String, String>,
}

impl Session {
    pub(crate) fn new(engine: Arc<Engine>, options: SessionOptions) -> Self {
        // Its own options over shared functions, catalog, memory and caches.
        let state = SessionStateBuilder::new_from_existing(engine.context().state())
            .with_session_id(uuid::Uuid::new_v4().to_string())
            .build();
        let context = SessionContext::new_with_state(state);
        let settings = Settings {
            namespace: options.namespace.clone(),
            timeout: engine.settings().timeout,
            others: BTreeMap::new(),
        };
        Self(Arc::new(Inner {
            engine,
            context,
            settings: Mutex::new(settings),
            prepared: Mutex::new(HashMap::new()),
            options,
        }))
    }

    /// Runs every statement of `sql` in order and stops at the first that fails. What writes has written, durably, when
    /// this returns; rows of queries are pinned and stream when read.
    pub async fn run(&self, sql: &str) -> Result<Vec<Outcome>> {
        self.check_length(sql)?;
        let (session, sql) = (self.clone(), Arc::<str>::from(sql));
        let work = |mut ticket: Ticket| async move {
            let pieces = text::split(&sql)?;
            ticket.alone = pieces.len() == 1;
            let mut outcomes = Vec::new();
            for piece in pieces {
                let parsed = text::parse(&sql, &piece)?;
                outcomes.push(Run::new(&session, sql.clone(), &parsed, &ticket).execute(None).await?);
            }
            Ok(outcomes)
        };
        self.0.engine.workers.run(work).await
    }

    /// The one statement of `sql` (an error if there are several), with `params` for `$1…` or `?`.
    pub async fn run_one(&self, sql: &str, params: Vec<ScalarValue>) -> Result<Outcome> {
        self.check_length(sql)?;
        let (session, sql) = (self.clone(), Arc::<str>::from(sql));
        let work = |ticket| async move {
            let mut parsed = one(&sql)?;
            let types: Vec<_> = params.iter().map(|param| Some(param.data_type())).collect();
            say_intervals(&mut parsed, &types);
            Run::new(&session, sql, &parsed, &ticket).execute(Some(params)).await
        };
        self.0.engine.workers.run(work).await
    }

    /// Checks one statement and says what it takes and gives, without running it. `param_types` are the types the
    /// client gave, as far as it did.
    pub async fn prepare(&self, sql: &str, param_types: &[Option<DataType>]) -> Result<Prepared> {
        self.check_length(sql)?;
        let (session, sql, param_types) = (self.clone(), Arc::<str>::from(sql), param_types.to_vec());
        let work = |ticket| async move {
            let parsed = one(&sql)?;
            session.prepare_parsed(sql, parsed, &param_types, &ticket).await
        };
        self.0.engine.workers.run(work).await
    }

    pub(crate) async fn prepare_parsed(
        &self,
        sql: Arc<str>,
        mut parsed: Parsed,
        param_types: &[Option<DataType>],
        ticket: &Ticket,
    ) -> Result<Prepared> {
        say_intervals(&mut parsed, param_types);
        let described = Run::new(self, sql.clone(), &parsed, ticket).describe(param_types).await?;
        Ok(Prepared {
            session: self.clone(),
            sql,
            parsed: Arc::new(parsed),
            schema: described.schema,
            param_types: described.param_types,
            gives_rows: described.gives_rows,
        })
    }

    /// The DataFusion context of this session.
    pub fn context(&self) -> &SessionContext {
        &self.0.context
    }

    pub fn options(&self) -> &SessionOptions {
        &self.0.options
    }

    /// Zone of unqualified names now (`SET search_path`, `USE`).
    pub fn namespace(&self) -> String {
        self.0.settings.lock().namespace.clone()
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.0.engine
    }

    pub(crate) fn settings(&self) -> Settings {
        self.0.settings.lock().clone()
    }

    pub(crate) fn change_settings(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.0.settings.lock());
    }

    // ── prepared statements by name (PREPARE, EXECUTE, DEALLOCATE) ──

    pub(crate) fn keep_prepared(&self, name: String, prepared: Prepared) -> Result<()> {
        let mut kept = self.0.prepared.lock();
        if kept.contains_key(&name) {
            return Err(Error::new(codes::SQL_EXISTS, format!("prepared statement `{name}` exists already"))
                .hint("DEALLOCATE it first"));
        }
        if kept.len() >= PREPARED_MAX {
            return Err(Error::new(
                codes::SQL_TOO_LARGE,
                format!("a session holds at most {PREPARED_MAX} prepared statements"),
            )
            .hint("DEALLOCATE ALL"));
        }
        kept.insert(name, prepared);
        Ok(())
    }

    pub(crate) fn prepared(&self, name: &str) -> Result<Prepared> {
        self.0.prepared.lock().get(name).cloned().ok_or_else(|| unknown_prepared(name))
    }

    /// `None`: all.
    pub(crate) fn forget_prepared(&self, name: Option<&str>) -> Result<()> {
        let mut kept = self.0.prepared.lock();
        match name {
            None => kept.clear(),
            Some(name) => {
                kept.remove(name).ok_or_else(|| unknown_prepared(name))?;
            }
        }
        Ok(())
    }

    fn check_length(&self, sql: &str) -> Result<()> {
        let limit = self.0.engine.settings().statement_bytes_max;
        if sql.len() <= limit {
            return Ok(());
        }
        Err(Error::new(codes::SQL_TOO_LARGE, format!("the statement has {} bytes; {limit} are allowed", sql.len()))
            .hint("send data through parameters, several INSERTs or the Kafka door"))
    }
}

fn one(sql: &str) -> Result<Parsed> {
    let pieces = text::split(sql)?;
    let [piece] = pieces.as_slice() else {
        let what = if pieces.is_empty() { "there is no statement" } else { "there is more than one statement" };
        return Err(Error::new(codes::SQL_SYNTAX, what).hint("send one statement"));
    };
    text::parse(sql, piece)
}

fn say_intervals(parsed: &mut Parsed, types: &[Option<DataType>]) {
    if let Statement::Sql(statement) = &mut parsed.statement {
        text::with_stack(|| bind::say_intervals(statement, types));
    }
}

fn unknown_prepared(name: &str) -> Error {
    Error::new(codes::SQL_PREPARED, format!("there is no prepared statement `{name}`"))
}

/// A statement that was checked. It is planned anew for each run, so each sees the newest data.
#[derive(Clone)]
pub struct Prepared {
    session: Session,
    sql: Arc<str>,
    parsed: Arc<Parsed>,
    schema: SchemaRef,
    param_types: Vec<Option<DataType>>,
    gives_rows: bool,
}

impl Prepared {
    /// Columns of the rows it will give; empty when it gives none.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether it gives rows at all (a `SELECT` of no columns does).
    pub fn gives_rows(&self) -> bool {
        self.gives_rows
    }

    /// Types of `$1…`, in order, where they could be found.
    pub fn param_types(&self) -> &[Option<DataType>] {
        &self.param_types
    }

    pub async fn execute(&self, params: Vec<ScalarValue>) -> Result<Outcome> {
        let prepared = self.clone();
        let work = |ticket| async move { prepared.execute_here(params, &ticket).await };
        self.session.0.engine.workers.run(work).await
    }

    /// [`Prepared::execute`] as part of a call that is on its worker already.
    pub(crate) async fn execute_here(&self, params: Vec<ScalarValue>, ticket: &Ticket) -> Result<Outcome> {
        if params.len() < self.param_types.len() {
            let missing = params.len() + 1;
            return Err(Error::new(codes::SQL_PARAMETER, format!("parameter ${missing} is missing")).detail(format!(
                "{} given, {} needed",
                params.len(),
                self.param_types.len()
            )));
        }
        // Clients send what they have; the statement says what it needs.
        let params = params
            .into_iter()
            .enumerate()
            .map(|(index, value)| match self.param_types.get(index) {
                Some(Some(wanted)) if value.data_type() != *wanted => {
                    let read = value.try_as_str().flatten().and_then(|text| read_text(text, wanted));
                    read.map_or_else(|| value.cast_to(wanted), Ok).map_err(|e| {
                        Error::new(codes::SQL_PARAMETER, format!("parameter ${} is not a {wanted}", index + 1))
                            .detail(e.strip_backtrace())
                    })
                }
                _ => Ok(value),
            })
            .collect::<Result<Vec<_>>>()?;
        Run::new(&self.session, self.sql.clone(), &self.parsed, ticket).execute(Some(params)).await
    }
}
