//! The prompt: history, completion of names and keywords, Ctrl-C stops a query and not the prompt.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Result;
use arrow::array::{Array, AsArray};
use clap::ValueEnum;
use rustyline::{
    CompletionType, Config, Context, Editor, Helper, Highlighter, Hinter, Validator, completion::Completer,
    error::ReadlineError, history::FileHistory,
};

use super::{
    Format, Shell,
    complete::{self, Known},
};
use crate::{clients::http, failure, out};

const HELP: &str = "\
\\d          tables, topics and views        \\d NAME     columns of one
\\topics     topics                          \\x          one value a line, on or off
\\f FORMAT   table, expanded, csv or json    \\q          leave (or quit, exit, Ctrl-D)
\\?          this help (or help)
A statement ends with `;` and may span lines. Tab completes names. Ctrl-C stops a running query.";

/// Completion must not keep the prompt waiting.
const NAMES_PATIENCE: Duration = Duration::from_secs(1);

type Line = Editor<Names, FileHistory>;

pub async fn run(mut shell: Shell) -> Result<()> {
    let known = Arc::new(Mutex::new(Known::default()));
    // Whoever has no node to talk to should know before typing.
    *known.lock().expect(UNPOISONED) = names(&shell.address).await?;
    out::line(format_args!("Lakehead SQL at http://{}/  (\\? for help)", shell.address))?;

    let mut editor: Line = Editor::with_config(Config::builder().completion_type(CompletionType::List).build())?;
    editor.set_helper(Some(Names(known.clone())));
    if let Some(path) = history_path() {
        // No history yet is how everyone starts.
        let _first_time = editor.load_history(&path);
    }
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
        shell.shape.width_max = editor.dimensions().map(|(columns, _)| usize::from(columns)).filter(|&n| n > 0);
        let command = line.trim().trim_end_matches(';').trim_end();
        if statement.is_empty()
            && let Some(action) = Action::of(command)
        {
            editor.add_history_entry(command)?;
            match action {
                Action::Leave => break,
                Action::Help => out::line(HELP)?,
                Action::Run(statement) => perform(&mut shell, &statement).await?,
                Action::Show(format) => {
                    shell.format = format;
                    out::line(format!("Rows are shown as {}.", name_of(format)))?;
                }
                Action::Expand => {
                    let on = shell.format != Format::Expanded;
                    shell.format = if on { Format::Expanded } else { Format::Table };
                    out::line(format_args!("Expanded display is {}.", if on { "on" } else { "off" }))?;
                }
                Action::Unknown => out::note(format_args!("there is no command `{command}`; \\? lists them")),
            }
            continue;
        }
        if statement.is_empty() && line.trim().is_empty() {
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
        perform(&mut shell, &script).await?;
        // A node that is gone is told of by the next statement; here it only leaves the names as they were.
        if let Ok(Ok(learned)) = tokio::time::timeout(NAMES_PATIENCE, names(&shell.address)).await {
            *known.lock().expect(UNPOISONED) = learned;
        }
    }
    if let Some(path) = history_path() {
        editor.save_history(&path)?;
    }
    Ok(())
}

/// What a line at the start of a statement asks of the prompt itself.
#[derive(Debug, PartialEq)]
enum Action {
    Leave,
    Help,
    Run(String),
    Show(Format),
    Expand,
    Unknown,
}

impl Action {
    /// `None` for SQL. Words that psql understands without a backslash are understood here too.
    fn of(command: &str) -> Option<Self> {
        let (name, argument) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let argument = argument.trim();
        Some(match (name, argument) {
            ("quit" | "exit" | "\\q" | "\\quit", "") => Self::Leave,
            ("help" | "\\?" | "\\h" | "\\help", "") => Self::Help,
            ("\\x", "") => Self::Expand,
            ("\\f", format) => Format::from_str(format, true).map_or(Self::Unknown, Self::Show),
            ("\\d" | "\\dt", "") => Self::Run("SHOW TABLES".to_owned()),
            ("\\d", name) => Self::Run(format!("DESCRIBE {name}")),
            ("\\topics", "") => Self::Run("SHOW TOPICS".to_owned()),
            _ if command.starts_with('\\') => Self::Unknown,
            _ => return None,
        })
    }
}

fn name_of(format: Format) -> String {
    format.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// Runs statements until they end or Ctrl-C; either way the prompt comes back, unless nobody reads it any more.
async fn perform(shell: &mut Shell, script: &str) -> Result<()> {
    tokio::select! {
        done = shell.run_script(script, None) => match done {
            Err(error) if out::is_closed(&error) => return Err(error),
            Err(error) => out::note(failure::told(&error)),
            Ok(()) => {}
        },
        _ = tokio::signal::ctrl_c() => out::note("cancelled"),
    }
    Ok(())
}

/// Names of relations and columns, for completion.
async fn names(address: &str) -> Result<Known> {
    let answer = http::sql(
        address,
        "SELECT DISTINCT CAST(table_schema AS VARCHAR) AS zone, CAST(table_name AS VARCHAR) AS name, \
         CAST(NULL AS VARCHAR) AS column_name FROM information_schema.tables WHERE table_schema <> 'pg_catalog' \
         UNION SELECT DISTINCT NULL AS zone, NULL AS name, CAST(column_name AS VARCHAR) FROM information_schema.columns \
         WHERE table_schema NOT IN ('pg_catalog', 'information_schema')",
    )
    .await?;
    let mut known = Known::default();
    for batch in &answer.batches {
        let texts =
            batch.columns().iter().map(|column| arrow::compute::cast(column, &arrow::datatypes::DataType::Utf8));
        let texts = texts.collect::<Result<Vec<_>, _>>()?;
        let at = |column: usize, row: usize| {
            let column = texts[column].as_string::<i32>();
            column.is_valid(row).then(|| schemas::sql::quoted(column.value(row)))
        };
        for row in 0..batch.num_rows() {
            match (at(0, row), at(1, row)) {
                (Some(zone), Some(name)) if zone != "public" => known.relations.push(format!("{zone}.{name}")),
                (_, Some(name)) => known.relations.push(name),
                _ => known.columns.extend(at(2, row)),
            }
        }
    }
    Ok(known)
}

fn history_path() -> Option<PathBuf> {
    Some(PathBuf::from(std::env::var_os("HOME")?).join(".lakehead_history"))
}

const UNPOISONED: &str = "no one panics with the names in hand";

/// Completes the word before the cursor.
#[derive(Helper, Hinter, Highlighter, Validator)]
struct Names(Arc<Mutex<Known>>);

impl Completer for Names {
    type Candidate = String;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(complete::complete(line, position, &self.0.lock().expect(UNPOISONED)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_sql() {
        assert_eq!(Action::of("quit"), Some(Action::Leave));
        assert_eq!(Action::of("help"), Some(Action::Help));
        assert_eq!(Action::of("\\d raw.orders"), Some(Action::Run("DESCRIBE raw.orders".into())));
        assert_eq!(Action::of("\\f JSON"), Some(Action::Show(Format::Json)));
        assert_eq!(Action::of("\\f xml"), Some(Action::Unknown));
        assert_eq!(Action::of("\\nope"), Some(Action::Unknown));
        assert_eq!(Action::of("select 1"), None);
        assert_eq!(Action::of("help me"), None);
    }
}
