//! `lakehead explain LH0101`: the help page of an error code.

use std::io::Write;

use anyhow::{Result, bail};
use clap::Args;
use model::error::codes;

use crate::out::Out;

#[derive(Args)]
pub struct ExplainArgs {
    /// A code such as LH0101; without one, all codes are listed.
    code: Option<String>,
}

pub fn run(args: &ExplainArgs) -> Result<()> {
    let Some(name) = &args.code else {
        let mut out = Out::new();
        for code in codes::all() {
            writeln!(out, "{}  {}", code.name, code.title)?;
        }
        return Ok(out.flush()?);
    };
    let Some(code) = codes::find(name) else {
        bail!("there is no error code `{name}` (all of them: `lakehead explain`)");
    };
    let kafka = kafka_protocol::ResponseError::try_from_code(code.kind.kafka_code())
        .map_or_else(String::new, |error| format!(" {error:?}"));
    let retry = if code.kind.is_retryable() { "yes, later it may work" } else { "no, change something first" };
    let mut out = Out::new();
    writeln!(out, "{}: {}\n\n{}\n", code.name, code.title, wrap(code.help, 100))?;
    writeln!(out, "HTTP status   {}", code.kind.http_status())?;
    writeln!(out, "SQLSTATE      {}", code.kind.sqlstate())?;
    writeln!(out, "Kafka error   {}{kafka}", code.kind.kafka_code())?;
    writeln!(out, "try again?    {retry}")?;
    Ok(out.flush()?)
}

fn wrap(text: &str, width: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("never empty");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn help_pages_name_commands_that_exist() {
        let cli = crate::Cli::command();
        for code in codes::all() {
            for (_, said) in code.help.match_indices("`lakehead ").map(|(at, _)| code.help.split_at(at)) {
                let said = said.split('`').nth(1).unwrap_or_default();
                let mut command = &cli;
                for word in said.split(' ').skip(1).filter(|word| !word.starts_with('-')) {
                    let Some(found) = command.find_subcommand(word) else {
                        assert!(!command.has_subcommands(), "{} names `{said}`", code.name);
                        break;
                    };
                    command = found;
                }
            }
        }
    }
}
