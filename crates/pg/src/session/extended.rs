//! The extended protocol: Parse, Bind, Describe, Execute, Close, until Sync.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::scalar::ScalarValue;
use model::{Error, Result, error::codes};
use sql::{Outcome, Prepared, Session};

use super::{
    Conversation, KEPT_MAX,
    command::{self, Command},
    cursor::{Portal, PortalState, Source},
    perform::{Performed, too_many},
    simple::with_count,
};
use crate::{
    connection::Ended,
    dialect::{known_types, written_types},
    error::no_such,
    params,
    rows::{Format, columns},
    types::{ANY_NUMERIC, PgType, oid, parameter_type},
    wire::{Bind, Parse, Target},
};

/// What Parse made.
pub(crate) struct Statement {
    pub(crate) text: String,
    pub(crate) command: Command,
    prepared: Option<Prepared>,
    /// Types the client gave (0: none), as far as it did, or wrote into the statement.
    client_oids: Vec<u32>,
    /// What the engine is given to run it anew with values whose types differ from those it was prepared with; only where
    /// it takes decimals, whose scale the value alone knows.
    anew: Option<String>,
}

impl Statement {
    /// SQL's own PREPARE: its text is all there is until EXECUTE.
    pub(crate) fn text_only(text: &str) -> Self {
        Self { text: text.to_owned(), command: Command::Engine, prepared: None, client_oids: Vec::new(), anew: None }
    }

    /// Runs it in `session`.
    pub(crate) async fn execute(&self, session: Session, params: Vec<ScalarValue>) -> Result<Outcome> {
        match (&self.anew, &self.prepared) {
            (Some(text), _) => session.run_one(text, params).await,
            (None, Some(prepared)) => prepared.execute(params).await,
            (None, None) => Err(Error::internal("a statement without a plan was to be run")),
        }
    }

    fn param_count(&self) -> usize {
        self.prepared.as_ref().map_or(0, |p| p.param_types().len()).max(self.client_oids.len())
    }

    fn client_oid(&self, i: usize) -> u32 {
        self.client_oids.get(i).copied().filter(|oid| *oid != oid::UNKNOWN).unwrap_or(0)
    }

    fn inferred(&self, i: usize) -> Option<&DataType> {
        self.prepared.as_ref()?.param_types().get(i)?.as_ref()
    }

    /// What the client is told parameter `i` is.
    fn param_oid(&self, i: usize) -> u32 {
        match (self.client_oid(i), self.inferred(i)) {
            (0, Some(data_type)) => PgType::of(&Field::new("", data_type.clone(), true)).oid,
            (0, None) => oid::TEXT,
            (oid, _) => oid,
        }
    }
}

impl Conversation {
    /// Answers an extended message: after an error everything up to Sync is skipped. `text` is the statement it is about.
    fn answer(&mut self, result: Result<()>, text: Option<&str>) {
        if let Err(error) = result {
            self.fail(&error, text.map(|text| (text, 0)));
            self.skipping = true;
        }
    }

    pub(super) async fn parse(&mut self, parse: Parse) -> Result<(), Ended> {
        let result = self.parsed(&parse).await?.map(|statement| {
            self.statements.insert(parse.name, Arc::new(statement));
            self.connection.out.parse_complete();
        });
        self.answer(result, Some(&parse.sql));
        Ok(())
    }

    async fn parsed(&mut self, parse: &Parse) -> Result<Result<Statement>, Ended> {
        if !parse.name.is_empty() && self.statements.contains_key(&parse.name) {
            let message = format!("prepared statement \"{}\" already exists", parse.name);
            return Ok(Err(Error::new(codes::PG_NO_SUCH_STATEMENT, message)));
        }
        if self.statements.len() >= KEPT_MAX {
            return Ok(Err(too_many("prepared statements")));
        }
        let command = match command::read(&parse.sql) {
            Ok(command) => command,
            Err(error) => return Ok(Err(error)),
        };
        // In a failed block nothing is planned: the statement would be refused anyway, and Parse must say so.
        if let Err(error) = self.check_block(&command) {
            return Ok(Err(error));
        }
        let for_engine = match &command {
            Command::Engine => Some(parse.sql.as_str()),
            Command::Declare { query, .. } => Some(query.as_str()),
            _ => None,
        };
        let mut client_oids = if parse.types.is_empty() { known_types(&parse.sql) } else { parse.types.clone() };
        let (mut prepared, mut anew) = (None, None);
        if let Some(text) = for_engine {
            for (number, oid) in written_types(text) {
                if (1..=KEPT_MAX).contains(&number) {
                    client_oids.resize(client_oids.len().max(number), 0);
                    if matches!(client_oids[number - 1], 0 | oid::UNKNOWN) {
                        client_oids[number - 1] = oid;
                    }
                }
            }
            let text = self.door.dialect.rewrite(text, &self.settings).into_owned();
            let mut limits = self.limits();
            let planning = planned(self.sql.clone(), text.clone(), client_oids.clone());
            match self.connection.guard(&mut limits, planning).await? {
                Ok(p) => {
                    anew = p.param_types().iter().flatten().any(DataType::is_decimal).then_some(text);
                    prepared = Some(p);
                }
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(Statement { text: parse.sql.clone(), command, prepared, client_oids, anew }))
    }

    pub(super) fn bind(&mut self, bind: Bind) {
        let result = self.bound(bind).map(|(name, portal)| {
            self.portals.insert(name, portal);
            self.connection.out.bind_complete();
        });
        self.answer(result, None);
    }

    fn bound(&mut self, bind: Bind) -> Result<(String, Portal)> {
        let statement = self.statements.get(&bind.statement).cloned();
        let statement = statement.ok_or_else(|| no_such("prepared statement", &bind.statement))?;
        if !bind.portal.is_empty() && self.portals.contains_key(&bind.portal) {
            return Err(Error::new(codes::PG_NO_SUCH_STATEMENT, format!("cursor \"{}\" already exists", bind.portal)));
        }
        if self.portals.len() >= KEPT_MAX {
            return Err(too_many("cursors"));
        }
        let expected = statement.param_count();
        if bind.values.len() != expected {
            return Err(Error::new(codes::PG_PARAMETER_INVALID, "the statement takes another number of parameters")
                .detail(format!("{} were given, {expected} are needed", bind.values.len())));
        }
        let is_binary = |i: usize| match &bind.formats[..] {
            [] => false,
            [all] => *all == 1,
            each => each.get(i) == Some(&1),
        };
        let params = bind
            .values
            .iter()
            .enumerate()
            .map(|(i, value)| {
                params::decode(i + 1, value.as_ref(), is_binary(i), statement.client_oid(i), statement.inferred(i))
            })
            .collect::<Result<Vec<_>>>()?;
        let state = PortalState::Bound { statement, params };
        Ok((bind.portal, Portal { state, formats: bind.result_formats.into(), cursor: None }))
    }

    pub(super) fn describe(&mut self, target: Target) {
        let result = match target {
            Target::Statement(name) => self.describe_statement(&name),
            Target::Portal(name) => self.describe_portal(&name),
        };
        self.answer(result, None);
    }

    fn describe_statement(&mut self, name: &str) -> Result<()> {
        let statement = self.statements.get(name).cloned().ok_or_else(|| no_such("prepared statement", name))?;
        let oids: Vec<_> = (0..statement.param_count()).map(|i| statement.param_oid(i)).collect();
        self.connection.out.parameter_description(&oids);
        let schema = self.schema_of(&statement);
        self.describe_schema(schema, Arc::new([]));
        Ok(())
    }

    fn describe_portal(&mut self, name: &str) -> Result<()> {
        let portal = self.portals.get(name).ok_or_else(|| no_such("portal", name))?;
        let formats = portal.formats.clone();
        let schema = match &portal.state {
            PortalState::Bound { statement, .. } => self.schema_of(&statement.clone()),
            PortalState::Open(source) => Some(source.schema.clone()),
            PortalState::Done => None,
        };
        self.describe_schema(schema, formats);
        Ok(())
    }

    fn describe_schema(&mut self, schema: Option<SchemaRef>, codes: Arc<[i16]>) {
        let format = Format { codes, time_zone: self.settings.time_zone };
        match schema {
            Some(schema) => self.connection.out.row_description(&columns(&schema, &format)),
            None => self.connection.out.no_data(),
        }
    }

    /// Columns of what `statement` will give; `None` if it gives no rows.
    fn schema_of(&self, statement: &Statement) -> Option<SchemaRef> {
        let text = |names: &[&str]| {
            Some(Arc::new(Schema::new(names.iter().map(|n| Field::new(*n, DataType::Utf8, true)).collect::<Vec<_>>())))
        };
        match &statement.command {
            Command::Engine => statement.prepared.as_ref().filter(|p| p.gives_rows()).map(|p| p.schema().clone()),
            Command::Show(name) => text(&[name]),
            Command::ShowAll => text(&["name", "setting"]),
            Command::Fetch { name, discard: false, .. } => self.cursor_schema(name),
            _ => None,
        }
    }

    pub(super) async fn execute(&mut self, name: &str, rows_max: usize) -> Result<(), Ended> {
        let Some(mut portal) = self.portals.remove(name) else {
            self.answer(Err(no_such("portal", name)), None);
            return Ok(());
        };
        let blocks_before = self.block.is_open();
        let result = self.executed(&mut portal, rows_max).await?;
        let ended_block = blocks_before && !self.block.is_open();
        if result.is_ok() && !ended_block {
            self.portals.insert(name.to_owned(), portal);
        }
        self.answer(result, None);
        Ok(())
    }

    async fn executed(&mut self, portal: &mut Portal, rows_max: usize) -> Result<Result<()>, Ended> {
        let rows_max = if rows_max == 0 { usize::MAX } else { rows_max };
        let format = Format { codes: portal.formats.clone(), time_zone: self.settings.time_zone };
        let mut limits = self.limits();
        match std::mem::replace(&mut portal.state, PortalState::Done) {
            PortalState::Done => {
                self.connection.out.command_complete("SELECT 0");
                Ok(Ok(()))
            }
            PortalState::Open(source) => self.send_portal(portal, source, &format, rows_max, &mut limits).await,
            PortalState::Bound { statement, params } => {
                let expected = self.schema_of(&statement);
                let bound = Some((&*statement, params));
                match self.perform(&statement.command, &statement.text, bound, &mut limits).await? {
                    Ok(Performed::Nothing) => self.connection.out.empty_query(),
                    Ok(Performed::Tag(tag)) => self.connection.out.command_complete(&tag),
                    Ok(Performed::Rows(source)) => {
                        if let Err(error) = check_same(expected.as_deref(), &source.schema) {
                            return Ok(Err(error));
                        }
                        return self.send_portal(portal, source, &format, rows_max, &mut limits).await;
                    }
                    Ok(Performed::Fetch(fetch)) => return self.send_fetch(&fetch, &format, false, &mut limits).await,
                    Ok(Performed::Copy(mut source, copy)) => {
                        let sent = self.send_copy(&mut source, &copy, &mut limits).await?;
                        return Ok(sent.map(|rows| self.connection.out.command_complete(&format!("COPY {rows}"))));
                    }
                    Err(error) => return Ok(Err(error)),
                }
                Ok(Ok(()))
            }
        }
    }

    async fn send_portal(
        &mut self,
        portal: &mut Portal,
        mut source: Source,
        format: &Format,
        rows_max: usize,
        limits: &mut crate::connection::Limits,
    ) -> Result<Result<()>, Ended> {
        match self.send_rows(&mut source, format, rows_max, limits).await? {
            Ok(sent) if sent.all => self.connection.out.command_complete(&with_count(&source.tag, sent.rows)),
            Ok(_) => {
                self.connection.out.portal_suspended();
                portal.state = PortalState::Open(source);
            }
            Err(error) => return Ok(Err(error)),
        }
        Ok(Ok(()))
    }

    pub(super) fn close(&mut self, target: Target) {
        match target {
            Target::Statement(name) => drop(self.statements.remove(&name)),
            Target::Portal(name) => drop(self.portals.remove(&name)),
        }
        self.connection.out.close_complete();
    }

    pub(super) fn sync(&mut self) {
        self.skipping = false;
        if !self.block.is_open() {
            // Outside of a block Sync ends the transaction, and portals end with it.
            self.portals.retain(|_, portal| portal.cursor.is_some());
        }
        self.ready();
    }
}

/// The plan of `text` for parameters of these types. A `numeric` is what the statement makes of it, such as the type of a
/// column; where it makes nothing of it, a decimal.
async fn planned(session: Session, text: String, oids: Vec<u32>) -> Result<Prepared> {
    let mut types: Vec<_> = oids.iter().map(|oid| parameter_type(*oid)).collect();
    let prepared = session.prepare(&text, &types).await?;
    let mut vague = false;
    for (i, data_type) in types.iter_mut().enumerate() {
        // `$1 + 1` of a decimal is a decimal.
        let unclear =
            |found: &Option<DataType>| found.as_ref().is_none_or(|found| prepared.gives_rows() && found.is_integer());
        if oids[i] == oid::NUMERIC && prepared.param_types().get(i).is_some_and(unclear) {
            (*data_type, vague) = (Some(ANY_NUMERIC), true);
        }
    }
    if !vague {
        return Ok(prepared);
    }
    session.prepare(&text, &types).await
}

/// A client reads rows by the description it was given: other columns must not come under it.
fn check_same(expected: Option<&Schema>, actual: &Schema) -> Result<()> {
    let types = |schema: &Schema| schema.fields().iter().map(|f| PgType::of(f).oid).collect::<Vec<_>>();
    match expected {
        Some(expected) if types(expected) != types(actual) => {
            Err(Error::new(codes::PG_RESULT_CHANGED, "cached plan must not change result type")
                .hint("prepare the statement again"))
        }
        _ => Ok(()),
    }
}
