//! Topics with one writer. SQL's doors ask nobody who they are, so they make and take away the rule and are never the writer.

use datafusion::sql::sqlparser::ast::Ident;
use model::{Error, Result, TopicName, error::codes};
use security::Principal;

use super::Run;
use crate::{Outcome, errors, relation::Relation};

/// Who made a rule that SQL made.
const BY: &str = "sql";

impl Run<'_> {
    pub(super) async fn one_writer(&self, topic: &[Ident], user: &Ident, is_granted: bool) -> Result<Outcome> {
        let name = self.binder().resolve(topic)?;
        let Some(Relation::Topic(topic)) = self.engine().relation(&name).await? else {
            return Err(Error::new(codes::SQL_TABLE_NOT_FOUND, format!("there is no topic `{name}`")));
        };
        let topic = &topic.topic;
        let writer = Principal::user(&user.value);
        let Some(security) = self.engine().security() else {
            return Err(Error::new(codes::SQL_UNSUPPORTED, "this node keeps no rules").detail("it has no Kafka door"));
        };
        if is_granted {
            errors::unless_protected(topic)?;
            security.grant_exclusive(topic, &writer, &Principal::user(BY)).await?;
            return Ok(Outcome::done("GRANT"));
        }
        match security.exclusive_writer(topic) {
            Some(now) if now == writer => {
                security.revoke_exclusive(topic).await?;
                Ok(Outcome::done("REVOKE"))
            }
            Some(now) => Err(Error::new(codes::ONE_WRITER, format!("`{writer}` is not the only writer of `{topic}`"))
                .detail(format!("that is `{now}`"))),
            None => Ok(Outcome::done("REVOKE").notice(format!("`{topic}` has no exclusive writer, skipped"))),
        }
    }

    /// An error if the topic is somebody's alone to write to.
    pub(super) fn may_write(&self, topic: &TopicName) -> Result<()> {
        errors::unless_protected(topic)?;
        match self.engine().security().and_then(|security| security.writer_in_force(topic)) {
            None => Ok(()),
            Some(writer) => {
                Err(Error::new(codes::NOT_ALLOWED, format!("topic `{topic}` has one writer, and SQL is not it"))
                    .detail(format!("`{writer}` alone may write to it"))
                    .hint("REVOKE WRITE ON TOPIC … FROM … takes that away"))
            }
        }
    }
}
