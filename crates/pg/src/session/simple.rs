//! The simple protocol: a Query message holds any number of statements; each is answered in turn, the first error ends it.

use std::sync::Arc;

use super::{Conversation, command, perform::Performed};
use crate::{
    connection::Ended,
    rows::{Format, columns},
};

impl Conversation {
    pub(super) async fn simple(&mut self, text: &str) -> Result<(), Ended> {
        // A Query message ends the unnamed statement and portal (chapter 55.2.3).
        self.statements.remove("");
        self.portals.remove("");
        match sql::statements(text) {
            Ok(statements) if statements.is_empty() => self.connection.out.empty_query(),
            Ok(statements) => {
                for statement in statements {
                    let before = before(text, statement);
                    if !self.simple_statement(statement, before).await? {
                        break;
                    }
                }
            }
            Err(error) => self.fail(&error, Some((text, 0))),
        }
        self.ready();
        self.connection.flush().await
    }

    /// False after an error. The statement comes after `before` characters of the message.
    async fn simple_statement(&mut self, text: &str, before: usize) -> Result<bool, Ended> {
        let mut limits = self.limits();
        let performed = match command::read(text) {
            Ok(command) => self.perform(&command, text, None, &mut limits).await?,
            Err(error) => Err(error),
        };
        let sent = match performed {
            Ok(Performed::Tag(tag)) => {
                self.connection.out.command_complete(&tag);
                Ok(())
            }
            Ok(Performed::Nothing) => {
                self.connection.out.empty_query();
                Ok(())
            }
            Ok(Performed::Rows(mut source)) => {
                let format = Format { codes: Arc::new([]), time_zone: self.settings.time_zone };
                self.connection.out.row_description(&columns(&source.schema, &format));
                let sent = self.send_rows(&mut source, &format, usize::MAX, &mut limits).await?;
                sent.map(|sent| self.connection.out.command_complete(&with_count(&source.tag, sent.rows)))
            }
            Ok(Performed::Fetch(fetch)) => {
                let format = Format { codes: Arc::new([]), time_zone: self.settings.time_zone };
                self.send_fetch(&fetch, &format, true, &mut limits).await?
            }
            Ok(Performed::Copy(mut source, copy)) => {
                let sent = self.send_copy(&mut source, &copy, &mut limits).await?;
                sent.map(|rows| self.connection.out.command_complete(&format!("COPY {rows}")))
            }
            Err(error) => Err(error),
        };
        if let Err(error) = &sent {
            self.fail(error, Some((text, before)));
        }
        Ok(sent.is_ok())
    }
}

/// How many characters of `text` come before `statement`, a part of it.
fn before(text: &str, statement: &str) -> usize {
    let bytes = (statement.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    text.get(..bytes).map_or(0, |before| before.chars().count())
}

/// `SELECT 5`; other tags with rows (`EXPLAIN`, `SHOW`) have no count.
pub(super) fn with_count(tag: &str, rows: usize) -> String {
    if tag == "SELECT" { format!("SELECT {rows}") } else { tag.to_owned() }
}
