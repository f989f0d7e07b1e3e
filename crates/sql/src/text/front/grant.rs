//! Who may write to a topic: the one rule that SQL makes. Kafka's tools make the others.

use datafusion::sql::sqlparser::parser::Parser;

use super::words::{Read, end_of, name, take_word, unsupported};
use crate::text::Statement;

/// What follows `GRANT` or `REVOKE`: `WRITE ON TOPIC t TO user EXCLUSIVE`, `WRITE ON TOPIC t FROM user`.
pub(super) fn writer(p: &mut Parser<'_>, is_granted: bool) -> Read<Statement> {
    let verb = if is_granted { "GRANT" } else { "REVOKE" };
    let elsewhere =
        || unsupported(verb, "`GRANT WRITE ON TOPIC t TO user EXCLUSIVE` is; `kafka-acls` makes all other rules");
    if !(take_word(p, "WRITE") && take_word(p, "ON") && take_word(p, "TOPIC")) {
        return Err(elsewhere());
    }
    let topic = name(p)?;
    end_of(p, &[if is_granted { "TO" } else { "FROM" }])?;
    let user = p.parse_identifier()?;
    if !take_word(p, "EXCLUSIVE") && is_granted {
        return Err(elsewhere());
    }
    Ok(Statement::OneWriter { topic, user, is_granted })
}
