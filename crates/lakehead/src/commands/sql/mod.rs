//! `lakehead sql`: a statement, a file, what comes in by a pipe, or a prompt.

mod complete;
mod prompt;
mod session;

use std::{
    io::{IsTerminal, Read},
    path::PathBuf,
    time::Instant,
};

use anyhow::Result;
use clap::{Args, ValueEnum};
use model::{Error, error::codes};

use self::session::Session;
use crate::{
    clients::http::{self, Form, Outcome},
    failure::{Failure, move_place},
    out::{self, Out, counted},
    table::{self, Shape},
    target::Target,
};

#[derive(Args)]
pub struct SqlArgs {
    /// One or more statements, separated by `;`.
    statements: Option<String>,
    /// Read statements from a file (`-`: standard input).
    #[arg(short, long, value_name = "FILE", conflicts_with = "statements")]
    file: Option<PathBuf>,
    /// How results are printed [default: table on a terminal, csv into a pipe].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Rows printed of each result (table and expanded only; 0: all).
    #[arg(long, default_value_t = 1000, value_name = "N")]
    rows: usize,
    #[command(flatten)]
    target: Target,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Format {
    /// As wide as the terminal.
    Table,
    /// One value a line, whole.
    Expanded,
    Csv,
    /// One JSON object a row.
    Json,
}

pub async fn run(args: SqlArgs) -> Result<()> {
    let terminal = std::io::stdout().is_terminal();
    let address = args.target.http()?;
    let mut shell = Shell {
        address,
        format: args.format.unwrap_or(if terminal { Format::Table } else { Format::Csv }),
        shape: Shape { rows_max: if args.rows == 0 { usize::MAX } else { args.rows }, width_max: None },
        summaries: terminal,
        session: Session::default(),
    };
    let (script, file) = match (args.statements, args.file) {
        (Some(statements), _) => (statements, None),
        (None, Some(path)) if path.as_os_str() != "-" => {
            let script = std::fs::read_to_string(&path).map_err(|error| {
                Error::new(codes::INPUT_INVALID, format!("cannot read {}", path.display())).detail(error.to_string())
            })?;
            (script, Some(path.display().to_string()))
        }
        (None, None) if std::io::stdin().is_terminal() => return prompt::run(shell).await,
        _ => {
            let mut script = String::new();
            std::io::stdin().read_to_string(&mut script)?;
            (script, None)
        }
    };
    shell.shape.width_max = out::terminal_width();
    shell.run_script(&script, file.as_deref()).await
}

/// Runs statements one after the other, as a session would.
struct Shell {
    address: String,
    format: Format,
    shape: Shape,
    /// Say what became of each statement and how long it took.
    summaries: bool,
    session: Session,
}

impl Shell {
    /// Stops at the first statement that fails and says where in the script (and in `file`) that is.
    async fn run_script(&mut self, script: &str, file: Option<&str>) -> Result<()> {
        let statements = sql::statements(script).map_err(|error| in_file(Failure::from(&error), file))?;
        for statement in statements {
            let before = self.session.request("").1;
            if let Err(error) = self.execute(statement).await {
                return Err(match error.downcast::<Failure>() {
                    Ok(failure) => located(failure, script, statement, before, file).into(),
                    Err(other) => other,
                });
            }
        }
        Ok(())
    }

    /// Runs one statement and prints what comes back.
    #[expect(clippy::disallowed_methods, reason = "measured for people, decides nothing")]
    async fn execute(&mut self, statement: &str) -> Result<()> {
        let began = Instant::now();
        let (request, _) = self.session.request(statement);
        let (outcome, summary) = match self.format {
            Format::Table | Format::Expanded => {
                let answer = http::ask(&self.address, &request, Form::Arrow).await?.rows().await?;
                let summary = summary(&answer);
                self.draw(&answer)?;
                (answer.outcome, Some(summary))
            }
            Format::Csv => self.copy(&request, Form::Csv).await?,
            Format::Json => self.copy(&request, Form::Json).await?,
        };
        self.session.ran(statement);
        if let (true, Some(summary)) = (self.summaries, summary) {
            out::line(format_args!("{summary} in {:.1} ms", began.elapsed().as_secs_f64() * 1e3))?;
        }
        for notice in outcome.notices {
            out::note(format_args!("note: {notice}"));
        }
        Ok(())
    }

    /// Rows in these forms go out as they are, without a summary; a statement without rows has one.
    async fn copy(&self, request: &str, form: Form) -> Result<(Outcome, Option<String>)> {
        let (outcome, any) = http::ask(&self.address, request, form).await?.copy(&mut Out::new()).await?;
        let summary = (!any && !outcome.tag.is_empty()).then(|| outcome.tag.clone());
        Ok((outcome, summary))
    }

    fn draw(&self, answer: &http::Answer) -> Result<()> {
        if answer.schema.fields().is_empty() {
            return Ok(());
        }
        let (schema, batches) = (&answer.schema, &answer.batches);
        out::text(match self.format {
            _ if is_text(&answer.outcome.tag) => table::draw_text(batches)?,
            Format::Expanded => table::draw_expanded(schema, batches, &self.shape)?,
            _ => table::draw(schema, batches, &self.shape)?,
        })
    }
}

/// Plans and statements are text of many lines, which a table would only cut.
fn is_text(tag: &str) -> bool {
    matches!(tag, "EXPLAIN" | "SHOW CREATE")
}

/// `3 rows`, or what was done: `INSERT 0 2`.
fn summary(answer: &http::Answer) -> String {
    let tag = &answer.outcome.tag;
    if answer.schema.fields().is_empty() && !tag.is_empty() && tag != "SELECT" {
        return tag.clone();
    }
    counted(answer.rows() as u64, "row")
}

/// A failure of `statement`, which was sent after `before` other lines, as one of the script.
fn located(mut failure: Failure, script: &str, statement: &str, before: u64, file: Option<&str>) -> Failure {
    // Statements are slices of their script.
    let start = statement.as_ptr().addr() - script.as_ptr().addr();
    let start = start + statement.len() - statement.trim_start().len();
    let ahead = &script[..start];
    let first_line = ahead.matches('\n').count() as u64;
    let first_column = ahead.rsplit('\n').next().unwrap_or_default().chars().count() as u64;
    let lead = statement.len() - statement.trim_start().len();
    let (lead_lines, lead) = (statement[..lead].matches('\n').count() as u64, &statement[..lead]);
    let moved = failure.detail.as_deref().and_then(|detail| {
        move_place(detail, |line, column| {
            let line = line.checked_sub(before + lead_lines)?.checked_sub(1)?;
            let column = if line == 0 {
                (column + first_column).saturating_sub(lead.rsplit('\n').next().unwrap_or_default().len() as u64)
            } else {
                column
            };
            Some((first_line + 1 + line, column))
        })
    });
    let (line, column) = match moved {
        Some((detail, line, column)) => {
            failure.detail = Some(detail);
            (line, Some(column))
        }
        None => (first_line + 1, None),
    };
    if let Some(file) = file {
        failure.place = Some(match column {
            Some(column) => format!("{file}:{line}:{column}"),
            None => format!("{file}:{line}"),
        });
    }
    failure
}

/// A failure whose places are those of the file already.
fn in_file(mut failure: Failure, file: Option<&str>) -> Failure {
    failure.place = file.map(|file| {
        let place =
            failure.detail.as_deref().and_then(|detail| move_place(detail, |line, column| Some((line, column))));
        place.map_or_else(|| file.to_owned(), |(_, line, column)| format!("{file}:{line}:{column}"))
    });
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of `statement` in `script` when the server finds `detail` wrong, two lines having been sent before it.
    fn told(script: &str, statement: usize, detail: &str) -> (String, String) {
        let statements = sql::statements(script).expect("splits");
        let failure = Failure {
            place: None,
            code: "LH0503".into(),
            message: "there is no column `nope`".into(),
            detail: Some(detail.to_owned()),
            hint: None,
        };
        let failure = located(failure, script, statements[statement], 2, Some("f.sql"));
        (failure.place.unwrap_or_default(), failure.detail.unwrap_or_default())
    }

    #[test]
    fn failures_are_located_in_the_file() {
        let script = "SELECT 1;\n-- why\nSELECT 2; SELECT nope\nFROM t,\n  u;";
        assert_eq!(told(script, 2, "line 3, column 8:\n  x"), ("f.sql:3:18".into(), "line 3, column 18:\n  x".into()));
        assert_eq!(told(script, 2, "line 5, column 3:"), ("f.sql:5:3".into(), "line 5, column 3:".into()));
        assert_eq!(told(script, 2, "because"), ("f.sql:3".into(), "because".into()));
        assert_eq!(told(script, 0, "line 3, column 8:").0, "f.sql:1:8");
        // A place in what was sent before is none of the file's.
        assert_eq!(told(script, 0, "line 1, column 1:"), ("f.sql:1".into(), "line 1, column 1:".into()));
    }
}
