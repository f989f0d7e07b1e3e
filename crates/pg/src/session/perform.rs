//! Doing what a statement asks for.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use datafusion::{execution::SendableRecordBatchStream, physical_plan::memory::MemoryStream, scalar::ScalarValue};
use model::{Error, Result, error::codes};
use sql::Outcome;

use super::{
    Conversation, KEPT_MAX,
    command::{Command, read},
    cursor::{Hold, Portal, PortalState, Source},
    extended::Statement,
};
use crate::{
    connection::{Ended, Limits},
    error::no_such,
    rows::{Format, columns},
};

/// What became of a statement.
pub(crate) enum Performed {
    /// Nothing was asked.
    Nothing,
    /// It is done.
    Tag(String),
    /// Its rows are to be sent.
    Rows(Source),
    /// Rows of a cursor are to be sent.
    Fetch(Fetch),
    Copy(Source, CopyOut),
}

/// `FETCH` or `MOVE` on an open cursor.
pub(crate) struct Fetch {
    name: String,
    count: Option<usize>,
    discard: bool,
}

/// How `COPY … TO STDOUT` writes values.
pub(crate) struct CopyOut {
    pub(crate) csv: bool,
    pub(crate) header: bool,
    pub(crate) delimiter: u8,
    pub(crate) null: String,
}

/// A prepared statement with its values, as Execute runs it.
pub(crate) type Bound<'a> = (&'a Statement, Vec<ScalarValue>);

impl Conversation {
    /// Runs `command`, which was read from `text`; `bound` is given by the extended protocol.
    pub(crate) async fn perform(
        &mut self,
        command: &Command,
        text: &str,
        bound: Option<Bound<'_>>,
        limits: &mut Limits,
    ) -> Result<Result<Performed>, Ended> {
        if let Err(error) = self.check_block(command) {
            return Ok(Err(error));
        }
        let performed = match command {
            Command::Engine => {
                let outcome = match bound {
                    Some((statement, params)) => {
                        let run = statement.execute(self.sql.clone(), params);
                        self.connection.guard(limits, run).await?
                    }
                    None => self.run_in_engine(text, limits).await?,
                };
                outcome.map(|outcome| self.performed(outcome))
            }
            Command::Declare { name, hold, query } => {
                let hold = if *hold { Hold::Yes } else { Hold::No };
                if hold == Hold::No && !self.block.is_open() {
                    Err(Error::new(
                        codes::PG_NO_SUCH_STATEMENT,
                        "DECLARE CURSOR can only be used in transaction blocks",
                    )
                    .hint("send BEGIN first, or declare the cursor WITH HOLD"))
                } else if self.portals.len() >= KEPT_MAX {
                    Err(too_many("cursors"))
                } else {
                    let outcome = match bound {
                        Some((statement, params)) => {
                            let run = statement.execute(self.sql.clone(), params);
                            self.connection.guard(limits, run).await?
                        }
                        None => self.run_in_engine(query, limits).await?,
                    };
                    outcome.map(|outcome| {
                        let state = PortalState::Open(Source::new(outcome));
                        self.portals.insert(name.clone(), Portal { state, formats: Arc::new([]), cursor: Some(hold) });
                        Performed::Tag("DECLARE CURSOR".to_owned())
                    })
                }
            }
            Command::CopyToClient { query, csv, header, delimiter, null } => {
                let copy = CopyOut { csv: *csv, header: *header, delimiter: *delimiter, null: null.clone() };
                let outcome = self.run_in_engine(query, limits).await?;
                outcome.map(|outcome| Performed::Copy(Source::new(outcome), copy))
            }
            Command::Execute { name, arguments } => match self.executed_text(name, arguments) {
                Ok(text) => self.run_in_engine(&text, limits).await?.map(|outcome| self.performed(outcome)),
                Err(error) => Err(error),
            },
            own => self.perform_own(own),
        };
        Ok(performed)
    }

    /// Statements that need no engine.
    fn perform_own(&mut self, command: &Command) -> Result<Performed> {
        let tag = |tag: &str| Ok(Performed::Tag(tag.to_owned()));
        match command {
            Command::Empty => Ok(Performed::Nothing),
            Command::Ignored(done) => tag(done),
            Command::Set { name, value } => {
                match value {
                    Some(value) => self.set(name, value)?,
                    None => self.reset(name)?,
                }
                tag("SET")
            }
            Command::Reset(Some(name)) => {
                self.reset(name)?;
                tag("RESET")
            }
            Command::Reset(None) => {
                self.reset_all()?;
                tag("RESET")
            }
            Command::Show(name) => {
                let value = self.settings.get(name).ok_or_else(|| {
                    Error::new(codes::PG_SETTING_INVALID, format!("unrecognized configuration parameter \"{name}\""))
                })?;
                text_rows("SHOW", &[name], vec![vec![value.to_owned()]])
            }
            Command::ShowAll => {
                let rows = self.settings.all().map(|(name, value)| vec![name.to_owned(), value.to_owned()]).collect();
                text_rows("SHOW", &["name", "setting"], rows)
            }
            Command::Begin => {
                if !self.block.begin() {
                    self.connection.out.notice("WARNING", "25001", "there is already a transaction in progress", None);
                }
                tag("BEGIN")
            }
            Command::Commit => self.end_block(true),
            Command::Rollback => self.end_block(false),
            Command::Savepoint(name) => {
                if !self.block.set_savepoint(name) {
                    return Err(Error::new(codes::PG_UNSUPPORTED, "SAVEPOINT can only be used in transaction blocks")
                        .hint("send BEGIN first"));
                }
                tag("SAVEPOINT")
            }
            Command::Release(name) => {
                if !self.block.release_savepoint(name) {
                    return Err(no_such("savepoint", name));
                }
                tag("RELEASE")
            }
            Command::RollbackTo(name) => {
                if self.block.roll_back_to(name).ok_or_else(|| no_such("savepoint", name))? {
                    self.warn_kept();
                }
                tag("ROLLBACK")
            }
            Command::Fetch { name, count, discard } => {
                if !self.portals.contains_key(name) {
                    return Err(no_such("cursor", name));
                }
                Ok(Performed::Fetch(Fetch { name: name.clone(), count: *count, discard: *discard }))
            }
            Command::Close(Some(name)) => {
                self.portals.remove(name).ok_or_else(|| no_such("cursor", name))?;
                tag("CLOSE CURSOR")
            }
            Command::Close(None) => {
                self.portals.retain(|_, portal| portal.cursor.is_none());
                tag("CLOSE CURSOR ALL")
            }
            Command::Deallocate(Some(name)) => {
                self.statements.remove(name).ok_or_else(|| no_such("prepared statement", name))?;
                tag("DEALLOCATE")
            }
            Command::Deallocate(None) => {
                self.statements.clear();
                tag("DEALLOCATE ALL")
            }
            Command::Prepare { name, query } => {
                if self.statements.contains_key(name) {
                    return Err(Error::new(
                        codes::PG_NO_SUCH_STATEMENT,
                        format!("prepared statement \"{name}\" already exists"),
                    ));
                }
                if self.statements.len() >= KEPT_MAX {
                    return Err(too_many("prepared statements"));
                }
                read(query)?;
                self.statements.insert(name.clone(), Arc::new(Statement::text_only(query)));
                tag("PREPARE")
            }
            Command::Discard => {
                self.statements.clear();
                self.portals.clear();
                self.reset_all()?;
                tag("DISCARD ALL")
            }
            Command::Engine | Command::Declare { .. } | Command::CopyToClient { .. } | Command::Execute { .. } => {
                Err(Error::internal("this statement needs the engine"))
            }
        }
    }

    async fn run_in_engine(&mut self, text: &str, limits: &mut Limits) -> Result<Result<Outcome>, Ended> {
        let session = self.sql.clone();
        let door = self.door.clone();
        let settings = self.settings.clone();
        let text = text.to_owned();
        let work = async move {
            let text = door.dialect.rewrite(&text, &settings);
            let mut outcomes = session.run(&text).await?;
            match outcomes.pop() {
                Some(outcome) if outcomes.is_empty() => Ok(outcome),
                _ => Err(Error::internal("one statement must have one outcome")),
            }
        };
        self.connection.guard(limits, work).await
    }

    fn performed(&mut self, outcome: Outcome) -> Performed {
        for notice in &outcome.notices {
            self.connection.out.notice("NOTICE", "00000", notice, None);
        }
        if outcome.stream.is_some() {
            return Performed::Rows(Source::new(outcome));
        }
        self.block.note_write();
        Performed::Tag(outcome.tag)
    }

    fn end_block(&mut self, commit: bool) -> Result<Performed> {
        let end = self.block.end(commit);
        self.portals.retain(|_, portal| portal.cursor == Some(Hold::Yes));
        if !end.was_open {
            self.connection.out.notice("WARNING", "25P01", "there is no transaction in progress", None);
        }
        if end.kept_writes {
            self.warn_kept();
        }
        Ok(Performed::Tag(end.tag.to_owned()))
    }

    fn warn_kept(&mut self) {
        let hint = "Lakehead commits each statement by itself";
        self.connection.out.notice("WARNING", "01000", "what was written since was not taken back", Some(hint));
    }

    /// In a failed block only its end is allowed.
    pub(crate) fn check_block(&self, command: &Command) -> Result<()> {
        let ends = matches!(command, Command::Commit | Command::Rollback | Command::RollbackTo(_) | Command::Empty);
        if self.block.has_failed() && !ends {
            let message = "current transaction is aborted, commands ignored until end of transaction block";
            return Err(Error::new(codes::PG_BLOCK_FAILED, message));
        }
        Ok(())
    }

    /// Sends rows of a cursor, with their description first if `describe`.
    pub(crate) async fn send_fetch(
        &mut self,
        fetch: &Fetch,
        format: &Format,
        describe: bool,
        limits: &mut Limits,
    ) -> Result<Result<()>, Ended> {
        let Some(mut portal) = self.portals.remove(&fetch.name) else { return Ok(Err(no_such("cursor", &fetch.name))) };
        let count = fetch.count.unwrap_or(usize::MAX);
        let sent = match &mut portal.state {
            PortalState::Open(source) if fetch.discard => self.skip_rows(source, count, limits).await?,
            PortalState::Open(source) => {
                if describe {
                    self.connection.out.row_description(&columns(&source.schema, format));
                }
                self.send_rows(source, format, count, limits).await?
            }
            PortalState::Bound { .. } | PortalState::Done => Err(no_such("open cursor", &fetch.name)),
        };
        Ok(sent.map(|sent| {
            // After an error the cursor is gone; else it goes on where it stopped.
            self.portals.insert(fetch.name.clone(), portal);
            let verb = if fetch.discard { "MOVE" } else { "FETCH" };
            self.connection.out.command_complete(&format!("{verb} {}", sent.rows));
        }))
    }

    /// The schema of an open cursor, for Describe.
    pub(crate) fn cursor_schema(&self, name: &str) -> Option<arrow::datatypes::SchemaRef> {
        match &self.portals.get(name)?.state {
            PortalState::Open(source) => Some(source.schema.clone()),
            PortalState::Bound { .. } | PortalState::Done => None,
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let told = self.settings.set(name, value)?;
        self.after_setting(name, told);
        Ok(())
    }

    fn reset(&mut self, name: &str) -> Result<()> {
        let told = self.settings.reset(name)?;
        self.after_setting(name, told);
        Ok(())
    }

    fn reset_all(&mut self) -> Result<()> {
        self.settings.names().iter().try_for_each(|name| self.reset(name))
    }

    fn after_setting(&mut self, name: &str, told: Option<(String, String)>) {
        if let Some((name, value)) = told {
            self.connection.out.parameter_status(&name, &value);
        }
        if name.eq_ignore_ascii_case("search_path") {
            self.renew_session();
        }
    }

    /// SQL's own `EXECUTE name(arguments)`: the statement with its arguments put in.
    fn executed_text(&self, name: &str, arguments: &str) -> Result<String> {
        let statement = self.statements.get(name).ok_or_else(|| no_such("prepared statement", name))?;
        let list = arguments.strip_prefix('(').and_then(|a| a.strip_suffix(')')).unwrap_or(arguments);
        substitute(&statement.text, &split_arguments(list))
    }
}

/// Arguments separated by commas outside of quotes and parentheses.
fn split_arguments(list: &str) -> Vec<&str> {
    let (mut arguments, mut start, mut depth, mut quote) = (Vec::new(), 0, 0usize, None);
    for (i, c) in list.char_indices() {
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                arguments.push(list[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    if !list[start..].trim().is_empty() {
        arguments.push(list[start..].trim());
    }
    arguments
}

/// `$n` outside of quotes, replaced by the n-th argument in parentheses.
fn substitute(text: &str, arguments: &[&str]) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut quote = None;
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '$') => {
                let mut number = String::new();
                while let Some(digit) = characters.next_if(char::is_ascii_digit) {
                    number.push(digit);
                }
                if let Ok(n) = number.parse::<usize>() {
                    let argument = n.checked_sub(1).and_then(|n| arguments.get(n)).ok_or_else(|| {
                        Error::new(codes::PG_PARAMETER_INVALID, format!("there is no parameter ${n}"))
                            .detail(format!("{} arguments were given", arguments.len()))
                    })?;
                    out.push_str(&format!("({argument})"));
                } else {
                    out.push('$');
                    out.push_str(&number);
                }
                continue;
            }
            _ => {}
        }
        out.push(c);
    }
    Ok(out)
}

/// A small answer of text columns.
fn text_rows(tag: &str, names: &[&str], rows: Vec<Vec<String>>) -> Result<Performed> {
    let schema = Arc::new(Schema::new(names.iter().map(|n| Field::new(*n, DataType::Utf8, true)).collect::<Vec<_>>()));
    let column = |i: usize| Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row[i]))) as ArrayRef;
    let columns = (0..names.len()).map(column).collect();
    let stream = RecordBatch::try_new(schema.clone(), columns)
        .map_err(|e| e.to_string())
        .and_then(|batch| MemoryStream::try_new(vec![batch], schema.clone(), None).map_err(|e| e.to_string()))
        .map_err(|e| Error::internal("could not make an answer").detail(e))?;
    let stream: SendableRecordBatchStream = Box::pin(stream);
    let outcome =
        Outcome { tag: tag.to_owned(), schema, stream: Some(stream), rows_affected: None, notices: Vec::new() };
    Ok(Performed::Rows(Source::new(outcome)))
}

pub(super) fn too_many(what: &str) -> Error {
    Error::new(codes::PG_TOO_MANY_CONNECTIONS, format!("this connection holds too many {what}"))
        .detail(format!("at most {KEPT_MAX} are kept"))
}

impl CopyOut {
    /// Appends column `i` of a line.
    pub(crate) fn put(&self, line: &mut Vec<u8>, i: usize, value: Option<&[u8]>) {
        if i > 0 {
            line.push(self.delimiter);
        }
        let Some(value) = value else { return line.extend_from_slice(self.null.as_bytes()) };
        if self.csv {
            let quote = value == self.null.as_bytes()
                || value.iter().any(|b| *b == self.delimiter || matches!(b, b'"' | b'\n' | b'\r'));
            if !quote {
                return line.extend_from_slice(value);
            }
            line.push(b'"');
            for byte in value {
                if *byte == b'"' {
                    line.push(b'"');
                }
                line.push(*byte);
            }
            line.push(b'"');
        } else {
            for byte in value {
                match byte {
                    b'\\' => line.extend_from_slice(b"\\\\"),
                    b'\n' => line.extend_from_slice(b"\\n"),
                    b'\r' => line.extend_from_slice(b"\\r"),
                    b'\t' => line.extend_from_slice(b"\\t"),
                    b if *b == self.delimiter => line.extend_from_slice(&[b'\\', *b]),
                    b => line.push(*b),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn execute_puts_arguments_in() {
        let arguments = split_arguments("1, 'a,b', f(2, 3)");
        assert_eq!(arguments, ["1", "'a,b'", "f(2, 3)"]);
        assert_eq!(substitute("SELECT $1, '$2', $2", &arguments).expect("all given"), "SELECT (1), '$2', ('a,b')");
        assert!(substitute("SELECT $4", &arguments).is_err());
        assert!(substitute("SELECT $0", &arguments).is_err());
    }

    #[test]
    fn copy_escapes_what_would_break_lines() {
        let csv = CopyOut { csv: true, header: false, delimiter: b',', null: String::new() };
        let text = CopyOut { csv: false, header: false, delimiter: b'\t', null: "\\N".into() };
        let line = |copy: &CopyOut| {
            let mut line = Vec::new();
            copy.put(&mut line, 0, Some(b"a\"b\n"));
            copy.put(&mut line, 1, None);
            copy.put(&mut line, 2, Some(b""));
            String::from_utf8(line).expect("text")
        };
        assert_eq!(line(&csv), "\"a\"\"b\n\",,\"\"");
        assert_eq!(line(&text), "a\"b\\n\t\\N\t");
    }
}
