//! Statements that are the session's own: settings, transaction blocks, cursors. Everything else is for the SQL engine.

use model::{Error, Result};

use crate::error::unsupported;

/// What a statement asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Nothing but spaces and comments.
    Empty,
    /// For the engine, as written.
    Engine,
    /// `value` `None`: DEFAULT.
    Set {
        name: String,
        value: Option<String>,
    },
    Show(String),
    ShowAll,
    /// `None`: all.
    Reset(Option<String>),
    /// Accepted because nothing follows from it: `SET TRANSACTION …`, `SET ROLE NONE`.
    Ignored(&'static str),
    Begin,
    Commit,
    Rollback,
    Savepoint(String),
    Release(String),
    RollbackTo(String),
    Declare {
        name: String,
        hold: bool,
        query: String,
    },
    /// `count` `None`: all that is left.
    Fetch {
        name: String,
        count: Option<usize>,
        discard: bool,
    },
    /// `None`: all.
    Close(Option<String>),
    /// `None`: all.
    Deallocate(Option<String>),
    Prepare {
        name: String,
        query: String,
    },
    Execute {
        name: String,
        arguments: String,
    },
    Discard,
    CopyToClient {
        query: String,
        csv: bool,
        header: bool,
        delimiter: u8,
        null: String,
    },
}

/// Reads `sql`, one statement. What is not recognised word for word goes to the engine, whose errors are better.
pub(crate) fn read(sql: &str) -> Result<Command> {
    let words = Words::new(sql);
    let Some(first) = words.upper(0) else { return Ok(Command::Empty) };
    Ok(match first.as_str() {
        "SET" => return set(&words),
        "SHOW" => show(&words),
        "RESET" => match (words.upper(1).as_deref(), words.len()) {
            (Some("ALL"), 2) => Command::Reset(None),
            (Some("SESSION"), 3) => Command::Ignored("RESET"),
            (Some("ROLE"), 2) => Command::Ignored("RESET"),
            (Some(_), 2) => Command::Reset(words.name(1)),
            _ => Command::Engine,
        },
        "BEGIN" => Command::Begin,
        "START" if words.upper(1).as_deref() == Some("TRANSACTION") => Command::Begin,
        "COMMIT" | "END" if words.upper(1).as_deref() != Some("PREPARED") => Command::Commit,
        "ROLLBACK" | "ABORT" => match (words.upper(1).as_deref(), words.upper(2).as_deref()) {
            (Some("TO"), _) | (Some("WORK" | "TRANSACTION"), Some("TO")) => {
                words.name(words.len() - 1).map_or(Command::Engine, Command::RollbackTo)
            }
            _ => Command::Rollback,
        },
        "SAVEPOINT" => words.name(1).map_or(Command::Engine, Command::Savepoint),
        "RELEASE" => words.name(words.len() - 1).map_or(Command::Engine, Command::Release),
        "DECLARE" => declare(sql, &words),
        "FETCH" => return fetch(&words, false),
        "MOVE" => return fetch(&words, true),
        "CLOSE" => match words.upper(1).as_deref() {
            Some("ALL") => Command::Close(None),
            _ => words.name(1).map_or(Command::Engine, |name| Command::Close(Some(name))),
        },
        "DEALLOCATE" => {
            let at = if words.upper(1).as_deref() == Some("PREPARE") { 2 } else { 1 };
            match words.upper(at).as_deref() {
                Some("ALL") => Command::Deallocate(None),
                _ => words.name(at).map_or(Command::Engine, |name| Command::Deallocate(Some(name))),
            }
        }
        "PREPARE" => prepare(sql, &words),
        "EXECUTE" => match words.name(1) {
            Some(name) => Command::Execute { name, arguments: sql[words.end(1)..].trim().to_owned() },
            None => Command::Engine,
        },
        "DISCARD" => Command::Discard,
        "UNLISTEN" => Command::Ignored("UNLISTEN"),
        "LISTEN" | "NOTIFY" => return Err(unsupported("there is no LISTEN/NOTIFY; read the topic itself instead")),
        "LOCK" => {
            return Err(unsupported("there are no locks to take: statements see one state of everything they read"));
        }
        "COPY" => return copy(sql, &words),
        _ => Command::Engine,
    })
}

fn set(words: &Words<'_>) -> Result<Command> {
    let at = match words.upper(1).as_deref() {
        Some("SESSION") if words.upper(2).as_deref() == Some("CHARACTERISTICS") => return Ok(Command::Ignored("SET")),
        Some("SESSION") if words.upper(2).as_deref() == Some("AUTHORIZATION") => return Ok(Command::Ignored("SET")),
        Some("SESSION" | "LOCAL") => 2,
        _ => 1,
    };
    match words.upper(at).as_deref() {
        Some("TRANSACTION" | "CONSTRAINTS" | "ROLE") => return Ok(Command::Ignored("SET")),
        Some("TIME") if words.upper(at + 1).as_deref() == Some("ZONE") => {
            return Ok(Command::Set { name: "TimeZone".to_owned(), value: words.value(at + 2) });
        }
        Some("NAMES") => return Ok(Command::Set { name: "client_encoding".to_owned(), value: words.value(at + 1) }),
        _ => {}
    }
    // `SET 'key'='value'` and `SET datafusion.…` are the engine's own.
    let name = match words.get(at) {
        Some(Word::Plain(name)) if !name.to_ascii_lowercase().starts_with("datafusion.") => (*name).to_owned(),
        Some(Word::Name(name)) => name.clone(),
        _ => return Ok(Command::Engine),
    };
    match words.upper(at + 1).as_deref() {
        Some("TO" | "=") => Ok(Command::Set { name, value: words.value(at + 2) }),
        _ => Ok(Command::Engine),
    }
}

fn show(words: &Words<'_>) -> Command {
    match (words.upper(1).as_deref(), words.len()) {
        (Some("ALL"), 2) => Command::ShowAll,
        (Some("TIME"), 3) => Command::Show("TimeZone".to_owned()),
        (Some("TRANSACTION"), 4) => Command::Show("transaction_isolation".to_owned()),
        (Some("SESSION"), 3) => Command::Show("session_authorization".to_owned()),
        (Some(_), 2) => words.name(1).map_or(Command::Engine, Command::Show),
        _ => Command::Engine,
    }
}

/// `DECLARE name [BINARY] [ASENSITIVE|INSENSITIVE] [[NO] SCROLL] CURSOR [{WITH|WITHOUT} HOLD] FOR query`
fn declare(sql: &str, words: &Words<'_>) -> Command {
    let cursor = (2..words.len().min(8)).find(|i| words.upper(*i).as_deref() == Some("CURSOR"));
    let (Some(name), Some(cursor)) = (words.name(1), cursor) else { return Command::Engine };
    let (hold, at) = match (words.upper(cursor + 1).as_deref(), words.upper(cursor + 2).as_deref()) {
        (Some("WITH"), Some("HOLD")) => (true, cursor + 3),
        (Some("WITHOUT"), Some("HOLD")) => (false, cursor + 3),
        _ => (false, cursor + 1),
    };
    if words.upper(at).as_deref() != Some("FOR") {
        return Command::Engine;
    }
    Command::Declare { name, hold, query: sql[words.end(at)..].trim().to_owned() }
}

/// `FETCH [NEXT | ALL | n | FORWARD [ALL | n]] [FROM | IN] name`
fn fetch(words: &Words<'_>, discard: bool) -> Result<Command> {
    let mut at = 1;
    let mut count = Some(1);
    let is_name_next = |at: usize| words.len() == at + 1;
    if !is_name_next(at) {
        if words.upper(at).as_deref() == Some("FORWARD") {
            at += 1;
        }
        match words.upper(at).as_deref() {
            Some("NEXT") => at += 1,
            Some("ALL") => (count, at) = (None, at + 1),
            Some("FROM" | "IN") => {}
            Some("RELATIVE") if !is_name_next(at) => match words.upper(at + 1).and_then(|n| n.parse().ok()) {
                Some(n) => (count, at) = (Some(n), at + 2),
                None => return Err(backward()),
            },
            Some("PRIOR" | "FIRST" | "LAST" | "ABSOLUTE" | "BACKWARD") if !is_name_next(at) => return Err(backward()),
            Some(number) if !is_name_next(at) => match number.parse() {
                Ok(n) => (count, at) = (Some(n), at + 1),
                Err(_) if number.starts_with('-') => return Err(backward()),
                Err(_) => return Ok(Command::Engine),
            },
            _ => {}
        }
        if matches!(words.upper(at).as_deref(), Some("FROM" | "IN")) {
            at += 1;
        }
    }
    Ok(match words.name(at) {
        Some(name) if is_name_next(at) => Command::Fetch { name, count, discard },
        _ => Command::Engine,
    })
}

fn backward() -> Error {
    unsupported("cursors only go forward: FETCH n, FETCH ALL, MOVE n")
        .hint("read the rows into the client, or ask again with OFFSET")
}

/// `PREPARE name [(types)] AS query`
fn prepare(sql: &str, words: &Words<'_>) -> Command {
    let as_at = (2..words.len().min(200)).find(|i| words.upper(*i).as_deref() == Some("AS"));
    match (words.name(1), as_at) {
        (Some(name), Some(at)) => Command::Prepare { name, query: sql[words.end(at)..].trim().to_owned() },
        _ => Command::Engine,
    }
}

/// `COPY {(query) | table [(columns)]} TO STDOUT [[WITH] (FORMAT csv, HEADER, …) | [WITH] CSV [HEADER]]`; other targets
/// are the engine's.
fn copy(sql: &str, words: &Words<'_>) -> Result<Command> {
    let Some(stdout) = (1..words.len()).rev().find(|i| words.upper(*i).as_deref() == Some("STDOUT")) else {
        let from_client = words.upper(words.len() - 1).as_deref() == Some("STDIN")
            || (1..words.len()).any(|i| words.upper(i).as_deref() == Some("STDIN"));
        return if from_client {
            Err(unsupported("COPY … FROM STDIN is not there; produce to the topic, or INSERT")
                .hint("INSERT INTO … VALUES with many rows, or the Kafka door, load fast"))
        } else {
            Ok(Command::Engine)
        };
    };
    if stdout < 2 || words.upper(stdout - 1).as_deref() != Some("TO") {
        return Ok(Command::Engine);
    }
    let source = sql[words.end(0)..words.start(stdout - 1)].trim();
    let query = match source.strip_prefix('(').and_then(|s| s.strip_suffix(')')) {
        Some(query) => query.to_owned(),
        None => match source.split_once('(') {
            Some((table, columns)) => format!("SELECT {} FROM {table}", columns.trim_end_matches(')')),
            None => format!("SELECT * FROM {source}"),
        },
    };
    let (mut csv, mut header, mut delimiter, mut null) = (false, false, None, None);
    let mut i = stdout + 1;
    while i < words.len() {
        match words.upper(i).as_deref() {
            Some("CSV") => csv = true,
            Some("FORMAT") => {
                i += 1;
                match words.upper(i).as_deref() {
                    Some("CSV") => csv = true,
                    Some("TEXT") => {}
                    _ => return Err(unsupported("COPY writes text or csv")),
                }
            }
            Some("HEADER") => {
                let off = matches!(words.upper(i + 1).as_deref(), Some("FALSE" | "OFF" | "0"));
                i += usize::from(off || matches!(words.upper(i + 1).as_deref(), Some("TRUE" | "ON" | "1" | "MATCH")));
                header = !off;
            }
            Some(option @ ("DELIMITER" | "NULL")) => {
                i += 1;
                if words.upper(i).as_deref() == Some("AS") {
                    i += 1;
                }
                let Some(Word::Text(text)) = words.get(i) else { return Ok(Command::Engine) };
                if option == "NULL" {
                    null = Some(text.clone());
                } else {
                    let [byte] = text.as_bytes() else { return Err(unsupported("the delimiter must be one byte")) };
                    delimiter = Some(*byte);
                }
            }
            Some("WITH" | "(" | ")" | ",") => {}
            Some("BINARY") => return Err(unsupported("COPY writes text or csv")),
            _ => return Err(unsupported("this option of COPY … TO STDOUT")),
        }
        i += 1;
    }
    let delimiter = delimiter.unwrap_or(if csv { b',' } else { b'\t' });
    let null = null.unwrap_or_else(|| if csv { String::new() } else { "\\N".to_owned() });
    Ok(Command::CopyToClient { query, csv, header, delimiter, null })
}

/// A word of SQL, as far as these statements need them told apart.
#[derive(Debug, PartialEq)]
enum Word<'a> {
    /// Letters, digits, `_`, `$`, `.`; also signed numbers.
    Plain(&'a str),
    /// `"quoted"`.
    Name(String),
    /// `'quoted'`.
    Text(String),
    Symbol(char),
}

/// The words of a statement, with where each begins and ends. Reads no further than these statements are long.
struct Words<'a> {
    words: Vec<(Word<'a>, usize, usize)>,
}

const WORDS_MAX: usize = 4096;

impl<'a> Words<'a> {
    fn new(sql: &'a str) -> Self {
        let mut words = Vec::new();
        let bytes = sql.as_bytes();
        let mut at = 0;
        while at < bytes.len() && words.len() < WORDS_MAX {
            let start = at;
            let rest = &sql[at..];
            let c = rest.chars().next().expect("not at the end");
            if c.is_whitespace() || c == ';' {
                at += c.len_utf8();
            } else if rest.starts_with("--") {
                at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                at += rest.find("*/").map_or(rest.len(), |end| end + 2);
            } else if c == '\'' || c == '"' {
                let (text, length) = quoted(rest, c);
                at += length;
                words.push((if c == '"' { Word::Name(text) } else { Word::Text(text) }, start, at));
            } else if is_plain(c) || c == '-' && rest[1..].starts_with(|d: char| d.is_ascii_digit()) {
                at +=
                    1 + rest[c.len_utf8()..].find(|c| !is_plain(c)).unwrap_or(rest.len() - c.len_utf8()) + c.len_utf8()
                        - 1;
                words.push((Word::Plain(&sql[start..at]), start, at));
            } else {
                at += c.len_utf8();
                words.push((Word::Symbol(c), start, at));
            }
        }
        Self { words }
    }

    fn len(&self) -> usize {
        self.words.len()
    }

    fn get(&self, i: usize) -> Option<&Word<'a>> {
        self.words.get(i).map(|(word, _, _)| word)
    }

    fn start(&self, i: usize) -> usize {
        self.words[i].1
    }

    fn end(&self, i: usize) -> usize {
        self.words[i].2
    }

    /// A plain word in upper case, or a symbol.
    fn upper(&self, i: usize) -> Option<String> {
        match self.get(i)? {
            Word::Plain(word) => Some(word.to_ascii_uppercase()),
            Word::Symbol(symbol) => Some(symbol.to_string()),
            Word::Name(_) | Word::Text(_) => None,
        }
    }

    /// An identifier: plain ones fold to lower case.
    fn name(&self, i: usize) -> Option<String> {
        match self.get(i)? {
            Word::Plain(word) => Some(word.to_ascii_lowercase()),
            Word::Name(name) => Some(name.clone()),
            Word::Text(_) | Word::Symbol(_) => None,
        }
    }

    /// The value of a setting from `i` on: `a, b`, `'text'`, `DEFAULT`.
    fn value(&self, i: usize) -> Option<String> {
        if self.upper(i).as_deref() == Some("DEFAULT") {
            return None;
        }
        let mut value = String::new();
        for (word, _, _) in self.words.iter().skip(i) {
            match word {
                Word::Symbol(',') => value.push_str(", "),
                Word::Plain(text) => value.push_str(text),
                Word::Name(text) | Word::Text(text) => value.push_str(text),
                Word::Symbol(symbol) => value.push(*symbol),
            }
        }
        Some(value)
    }
}

fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '.')
}

/// The text of a quoted word and its length with quotes; doubled quotes stand for one.
fn quoted(text: &str, quote: char) -> (String, usize) {
    let mut inner = String::new();
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((i, c)) = characters.next() {
        if c != quote {
            inner.push(c);
        } else if characters.peek().is_some_and(|(_, next)| *next == quote) {
            characters.next();
            inner.push(c);
        } else {
            return (inner, i + 1);
        }
    }
    (inner, text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn command(sql: &str) -> Command {
        read(sql).expect("a command")
    }

    fn set_to(name: &str, value: &str) -> Command {
        Command::Set { name: name.to_owned(), value: Some(value.to_owned()) }
    }

    #[test]
    fn settings() {
        assert_eq!(command("SET search_path TO raw, public"), set_to("search_path", "raw, public"));
        assert_eq!(command("set session DateStyle='ISO, MDY'"), set_to("DateStyle", "ISO, MDY"));
        assert_eq!(command("SET extra_float_digits = 3;"), set_to("extra_float_digits", "3"));
        assert_eq!(command("SET TIME ZONE 'Europe/Berlin'"), set_to("TimeZone", "Europe/Berlin"));
        assert_eq!(
            command("SET statement_timeout TO DEFAULT"),
            Command::Set { name: "statement_timeout".into(), value: None }
        );
        assert_eq!(command("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"), Command::Ignored("SET"));
        assert_eq!(command("SET 'auto.offset.reset'='earliest'"), Command::Engine);
        assert_eq!(command("SET datafusion.execution.batch_size = 5"), Command::Engine);
        assert_eq!(command("show transaction isolation level"), Command::Show("transaction_isolation".into()));
        assert_eq!(command("SHOW COLUMNS FROM x"), Command::Engine);
    }

    #[test]
    fn blocks_and_cursors() {
        assert_eq!(command("/* hi */ BEGIN -- go\n ISOLATION LEVEL SERIALIZABLE"), Command::Begin);
        assert_eq!(command("END"), Command::Commit);
        assert_eq!(command("abort"), Command::Rollback);
        assert_eq!(command("ROLLBACK TO SAVEPOINT \"A\""), Command::RollbackTo("A".into()));
        assert_eq!(command("RELEASE SAVEPOINT a"), Command::Release("a".into()));
        assert_eq!(
            command("DECLARE \"My C\" NO SCROLL CURSOR WITH HOLD FOR SELECT 'for' FROM t"),
            Command::Declare { name: "My C".into(), hold: true, query: "SELECT 'for' FROM t".into() }
        );
        let fetch = |name: &str, count| Command::Fetch { name: name.into(), count, discard: false };
        assert_eq!(command("FETCH c"), fetch("c", Some(1)));
        assert_eq!(command("FETCH 50 FROM c"), fetch("c", Some(50)));
        assert_eq!(command("FETCH FORWARD 50 FROM \"C\""), fetch("C", Some(50)));
        assert_eq!(command("fetch all in c"), fetch("c", None));
        assert_eq!(command("FETCH FORWARD ALL FROM c"), fetch("c", None));
        let passed = Command::Fetch { name: "c".into(), count: Some(3), discard: true };
        assert_eq!(command("MOVE 3 FROM c"), passed);
        assert_eq!(command("MOVE RELATIVE 3 FROM c"), passed);
        for back in ["FETCH -1 FROM c", "MOVE -3 FROM \"c\"", "FETCH PRIOR FROM c", "MOVE ABSOLUTE 5 FROM c"] {
            assert!(read(back).is_err(), "{back}");
        }
        assert_eq!(command("CLOSE ALL"), Command::Close(None));
        assert_eq!(command("  ; -- nothing"), Command::Empty);
        assert_eq!(command("SELECT 1"), Command::Engine);
    }

    #[test]
    fn copies_to_the_client() {
        let to = |query: &str, csv, header, delimiter, null: &str| Command::CopyToClient {
            query: query.into(),
            csv,
            header,
            delimiter,
            null: null.into(),
        };
        assert_eq!(command("COPY t TO STDOUT"), to("SELECT * FROM t", false, false, b'\t', "\\N"));
        assert_eq!(
            command("COPY (SELECT 1) TO STDOUT (FORMAT csv, HEADER true)"),
            to("SELECT 1", true, true, b',', "")
        );
        assert_eq!(
            command("copy t (a, b) to stdout with csv header delimiter '|'"),
            to("SELECT a, b FROM t ", true, true, b'|', "")
        );
        assert_eq!(command("COPY t TO 'out.parquet'"), Command::Engine);
        assert!(read("COPY t FROM STDIN").is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(sql in r#"(SET|COPY|FETCH|DECLARE|PREPARE|SHOW|EXECUTE)?[ -~ü'"]{0,40}(TO STDOUT)?[ (a-zé'"]{0,20}"#) {
            let _ = read(&sql);
        }
    }
}
