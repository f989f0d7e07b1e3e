//! The prompt: history, completion of names and keywords, Ctrl-C stops a query and not the prompt.

use std::{
    borrow::Cow,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use anyhow::Result;
use arrow::array::{Array, AsArray};
use rustyline::{
    Context, Editor, Helper, Highlighter, Hinter, Validator, completion::Completer, error::ReadlineError,
    history::FileHistory,
};

use super::{Format, execute};
use crate::clients::http;

const HELP: &str = "\
\\d          tables, topics and views        \\d NAME     columns of one
\\topics     topics                          \\x          switch between table and JSON rows
\\?          this help                       \\q          leave (or Ctrl-D)
A statement ends with `;` and may span lines. Tab completes names. Ctrl-C stops a running query.";

const KEYWORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "HAVING",
    "LIMIT",
    "JOIN",
    "LEFT JOIN",
    "ON",
    "WITH",
    "AS",
    "INSERT INTO",
    "VALUES",
    "CREATE STREAM",
    "CREATE TABLE",
    "CREATE VIEW",
    "DROP",
    "SHOW TABLES",
    "SHOW TOPICS",
    "DESCRIBE",
    "EXPLAIN",
    "EXPLAIN ANALYZE",
    "COPY",
    "COUNT(*)",
    "DISTINCT",
    "CASE WHEN",
    "FOR VERSION AS OF",
    "FOR TIMESTAMP AS OF",
    "_partition",
    "_offset",
    "_timestamp",
    "_key",
    "_headers",
];

pub async fn run(address: &str, rows_max: usize) -> Result<()> {
    let names = Arc::new(Mutex::new(Vec::new()));
    learn_names(address, &names).await?;
    println!("Lakehead SQL at http://{address}/  (\\? for help)");

    let mut editor: Editor<Names, FileHistory> = Editor::new()?;
    editor.set_helper(Some(Names { names: names.clone() }));
    if let Some(path) = history_path() {
        // No history yet is how everyone starts.
        let _first_time = editor.load_history(&path);
    }
    let mut format = Format::Table;
    let mut statement = String::new();
    loop {
        let prompt = if statement.is_empty() { "lake> " } else { "   -> " };
        // Reading blocks, so it gets a thread; the editor travels there and back.
        let (returned, line) = tokio::task::spawn_blocking(move || {
            let line = editor.readline(prompt);
            (editor, line)
        })
        .await?;
        editor = returned;
        let line = match line {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => {
                statement.clear();
                continue;
            }
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        };
        let command = line.trim();
        if statement.is_empty() && command.starts_with('\\') {
            editor.add_history_entry(command)?;
            match command.split_once(' ').unwrap_or((command, "")) {
                ("\\q", _) => break,
                ("\\x", _) => format = if format == Format::Table { Format::Json } else { Format::Table },
                ("\\d", "") => perform(address, "SHOW TABLES", format, rows_max).await,
                ("\\d", name) => perform(address, &format!("DESCRIBE {name}"), format, rows_max).await,
                ("\\topics", _) => perform(address, "SHOW TOPICS", format, rows_max).await,
                _ => println!("{HELP}"),
            }
            continue;
        }
        if !statement.is_empty() {
            statement.push('\n');
        }
        statement.push_str(&line);
        if !statement.trim_end().ends_with(';') {
            continue;
        }
        let script = std::mem::take(&mut statement);
        editor.add_history_entry(script.trim())?;
        match sql::statements(&script) {
            Ok(statements) => {
                for statement in statements {
                    perform(address, statement, format, rows_max).await;
                }
            }
            Err(error) => eprintln!("{error}"),
        }
        if script.to_ascii_uppercase().contains("CREATE") || script.to_ascii_uppercase().contains("DROP") {
            learn_names(address, &names).await?;
        }
    }
    if let Some(path) = history_path() {
        editor.save_history(&path)?;
    }
    Ok(())
}

/// Runs a statement until it ends or Ctrl-C; either way the prompt comes back.
async fn perform(address: &str, statement: &str, format: Format, rows_max: usize) {
    tokio::select! {
        done = execute(address, statement, format, rows_max, true) => {
            if let Err(error) = done {
                eprintln!("{error:#}");
            }
        }
        _ = tokio::signal::ctrl_c() => eprintln!("cancelled"),
    }
}

/// Names of tables and columns, for completion.
async fn learn_names(address: &str, names: &Mutex<Vec<String>>) -> Result<()> {
    let answer = http::sql(
        address,
        "SELECT DISTINCT CAST(table_name AS VARCHAR) AS name FROM information_schema.columns \
         UNION SELECT DISTINCT CAST(column_name AS VARCHAR) FROM information_schema.columns",
    )
    .await?;
    let mut learned: Vec<String> = Vec::new();
    for batch in &answer.batches {
        let column = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8)?;
        let column = column.as_string::<i32>();
        learned.extend((0..column.len()).filter(|&row| column.is_valid(row)).map(|row| column.value(row).to_owned()));
    }
    *names.lock().expect("no one panics with the names in hand") = learned;
    Ok(())
}

fn history_path() -> Option<PathBuf> {
    Some(PathBuf::from(std::env::var_os("HOME")?).join(".lakehead_history"))
}

/// Completes the word before the cursor.
#[derive(Helper, Hinter, Highlighter, Validator)]
struct Names {
    names: Arc<Mutex<Vec<String>>>,
}

impl Completer for Names {
    type Candidate = String;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let before = &line[..position];
        let start = before
            .rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let word = before[start..].to_lowercase();
        if word.is_empty() {
            return Ok((start, Vec::new()));
        }
        let names = self.names.lock().expect("no one panics with the names in hand");
        let words =
            names.iter().map(|name| Cow::Borrowed(name.as_str())).chain(KEYWORDS.iter().map(|k| Cow::Borrowed(*k)));
        let mut fitting: Vec<String> =
            words.filter(|name| name.to_lowercase().starts_with(&word)).map(Cow::into_owned).collect();
        fitting.sort();
        fitting.dedup();
        Ok((start, fitting))
    }
}
