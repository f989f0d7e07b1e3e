//! `lakehead sql`: a statement, a file, what comes in by a pipe, or a prompt.

mod prompt;

use std::{
    io::{IsTerminal, Read, Write},
    path::PathBuf,
    time::Instant,
};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::{
    Target,
    clients::http::{self, Answer},
    commands::topics,
    table,
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
    /// Rows printed of each result (table only; 0: all).
    #[arg(long, default_value_t = 1000, value_name = "N")]
    rows: usize,
    #[command(flatten)]
    target: Target,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    Table,
    Csv,
    /// One JSON object a row.
    Json,
}

pub async fn run(args: SqlArgs) -> Result<()> {
    let terminal = std::io::stdout().is_terminal();
    let format = args.format.unwrap_or(if terminal { Format::Table } else { Format::Csv });
    let address = args.target.http();
    let rows_max = if args.rows == 0 { usize::MAX } else { args.rows };
    let script = match (args.statements, args.file) {
        (Some(statements), _) => statements,
        (None, Some(path)) if path.as_os_str() != "-" => {
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?
        }
        (None, None) if std::io::stdin().is_terminal() => {
            return prompt::run(&address, rows_max).await;
        }
        _ => {
            let mut script = String::new();
            std::io::stdin().read_to_string(&mut script)?;
            script
        }
    };
    for statement in sql::statements(&script)? {
        execute(&address, statement, format, rows_max, terminal).await?;
    }
    Ok(())
}

/// Runs one statement and prints what comes back.
#[expect(clippy::disallowed_methods, reason = "measured for people, decides nothing")]
async fn execute(address: &str, statement: &str, format: Format, rows_max: usize, timing: bool) -> Result<()> {
    let began = Instant::now();
    let answer = http::sql(address, statement).await?;
    print(&answer, format, rows_max)?;
    if timing {
        let rows = answer.rows();
        let s = if rows == 1 { "" } else { "s" };
        println!("{rows} row{s} in {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(())
}

fn print(answer: &Answer, format: Format, rows_max: usize) -> Result<()> {
    if answer.schema.fields().is_empty() {
        return Ok(());
    }
    match format {
        Format::Table => print!("{}", table::draw(&answer.schema, &answer.batches, rows_max)?),
        Format::Json => topics::print(answer, true)?,
        Format::Csv => {
            let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(std::io::stdout().lock());
            if answer.batches.is_empty() {
                writer.write(&arrow::record_batch::RecordBatch::new_empty(answer.schema.clone()))?;
            }
            for batch in &answer.batches {
                writer.write(batch)?;
            }
        }
    }
    std::io::stdout().flush()?;
    Ok(())
}
