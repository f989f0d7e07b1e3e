//! CREATE STREAM and CREATE TABLE over a topic.

use std::{collections::BTreeMap, sync::Arc};

use commitlog::TopicSpec;
use lake::{DeclaredColumn, StreamDeclaration, StreamKind};
use model::{Error, Result, TableName, TopicName, error::codes};
use schemas::Format;

use super::{Run, create::exists};
use crate::{
    Outcome, errors,
    relation::Relation,
    text::{ColumnRole, DeclareStream, literal_text},
};

impl Run<'_> {
    pub(super) async fn declare(&self, stream: &DeclareStream) -> Result<Outcome> {
        let tag = if stream.is_table { "CREATE TABLE" } else { "CREATE STREAM" };
        let name = self.new_name(&stream.name)?;
        let mut options = Options::of(stream)?;
        let topic = match options.take("KAFKA_TOPIC") {
            Some(topic) => TopicName::new(&topic)?,
            None => TopicName::new(&name.name)?,
        };
        match self.engine().relation(&name).await? {
            Some(Relation::Topic(existing)) => match &existing.declaration {
                Some(_) if stream.if_not_exists => {
                    return Ok(Outcome::done(tag).notice(format!("`{name}` exists already, skipped")));
                }
                Some(_) if stream.or_replace => {}
                Some(_) => return Err(exists(&name)),
                // A topic of that name may be declared as what it is; another topic may not hide it.
                None if existing.topic == topic => {}
                None => {
                    return Err(
                        exists(&name).detail(format!("`{name}` is a topic, and the stream would be over `{topic}`"))
                    );
                }
            },
            Some(_) => return Err(exists(&name)),
            None => {}
        }
        let declaration = self.declaration(stream, &name, &topic, &mut options)?;
        let partitions = options.number("PARTITIONS")?;
        let replicas = options.number("REPLICAS")?;
        let retention = options.take("RETENTION_MS");
        options.finish()?;
        let created = self.topic(&topic, partitions, replicas, retention).await?;
        let declared = self.engine().parts.lake.declare(declaration, stream.or_replace).await;
        if let Err(error) = declared {
            if created {
                self.engine().parts.log.delete_topic(&topic).await?;
            }
            return Err(error);
        }
        let outcome = Outcome::done(tag);
        Ok(if created { outcome.notice(format!("topic `{topic}` created")) } else { outcome })
    }

    fn declaration(
        &self,
        stream: &DeclareStream,
        name: &TableName,
        topic: &TopicName,
        options: &mut Options,
    ) -> Result<StreamDeclaration> {
        let both = options.take("FORMAT");
        let (key, value) = (options.take("KEY_FORMAT"), options.take("VALUE_FORMAT"));
        if both.is_some() && (key.is_some() || value.is_some()) {
            return Err(Error::new(
                codes::SQL_INVALID,
                "FORMAT stands for KEY_FORMAT and VALUE_FORMAT; give one or the others",
            ));
        }
        let value = value.or_else(|| both.clone()).ok_or_else(|| {
            Error::new(codes::SQL_INVALID, "VALUE_FORMAT is missing")
                .hint("add VALUE_FORMAT='JSON' (or AVRO, PROTOBUF, JSON_SR, DELIMITED, KAFKA, TEXT, BYTES) to WITH")
        })?;
        let key = key.or(both).unwrap_or_else(|| "KAFKA".to_owned());
        let value_format = Format::parse(&value, options.take("VALUE_DELIMITER").as_deref())?;
        let key_format = Format::parse(&key, options.take("KEY_DELIMITER").as_deref())?;
        if stream.is_table
            && !stream.columns.is_empty()
            && !stream.columns.iter().any(|c| c.role == ColumnRole::PrimaryKey)
        {
            return Err(Error::new(
                codes::SQL_INVALID,
                format!("table `{name}` over a topic has no PRIMARY KEY column"),
            )
            .hint("mark the column that is the record's key: id VARCHAR PRIMARY KEY; or use CREATE STREAM"));
        }
        let mut columns = Vec::with_capacity(stream.columns.len());
        for column in &stream.columns {
            let key = match (&column.role, stream.is_table) {
                (ColumnRole::Value, _) => false,
                (ColumnRole::Key, false) | (ColumnRole::PrimaryKey, true) => true,
                (ColumnRole::Key, true) => {
                    return Err(Error::new(
                        codes::SQL_INVALID,
                        format!("column `{}`: a table's key is PRIMARY KEY", column.name),
                    ));
                }
                (ColumnRole::PrimaryKey, false) => {
                    return Err(Error::new(
                        codes::SQL_INVALID,
                        format!("column `{}`: a stream's key is KEY", column.name),
                    ));
                }
                (ColumnRole::Headers | ColumnRole::Header(_), _) => {
                    return Err(Error::new(
                        codes::SQL_UNSUPPORTED,
                        format!("column `{}`: HEADERS columns are not offered", column.name),
                    )
                    .hint("every topic has its headers in the pseudo-column _headers"));
                }
            };
            columns.push(DeclaredColumn { name: column.name.clone(), data_type: column.data_type.clone(), key });
        }
        for unsupported in ["TIMESTAMP", "TIMESTAMP_FORMAT", "WINDOW_TYPE", "WINDOW_SIZE"] {
            if options.values.contains_key(unsupported) {
                return Err(Error::new(codes::SQL_UNSUPPORTED, format!("WITH ({unsupported} = …) is not offered"))
                    .detail("it only has a meaning for continuous queries, which are not part of this release")
                    .hint("the time a record carries is the pseudo-column _timestamp"));
            }
        }
        let wrap_single_value = options.boolean("WRAP_SINGLE_VALUE")?.unwrap_or(true);
        Ok(StreamDeclaration {
            name: name.clone(),
            kind: if stream.is_table { StreamKind::Table } else { StreamKind::Stream },
            topic: topic.clone(),
            key_format,
            value_format,
            columns,
            wrap_single_value,
            is_projection: false,
            properties: options.written.clone(),
            statement: self.parsed.text.clone(),
        })
    }

    /// The topic, made if it is not there and a number of partitions is given. Says whether it was made.
    async fn topic(
        &self,
        topic: &TopicName,
        partitions: Option<i32>,
        replicas: Option<i32>,
        retention: Option<String>,
    ) -> Result<bool> {
        let log: &Arc<dyn commitlog::Log> = &self.engine().parts.log;
        if let Some(existing) = log.topic(topic) {
            if partitions.is_some_and(|partitions| partitions != existing.partitions) {
                return Err(Error::new(
                    codes::SQL_INVALID,
                    format!("topic `{topic}` has {} partitions", existing.partitions),
                )
                .hint("leave PARTITIONS out: it is for topics that are to be made"));
            }
            return Ok(false);
        }
        let Some(partitions) = partitions else {
            return Err(Error::new(codes::SQL_TABLE_NOT_FOUND, format!("there is no topic `{topic}`"))
                .hint("add PARTITIONS=1 (or more) to WITH, and it is made"));
        };
        if replicas.is_some_and(|replicas| replicas > 1) {
            return Err(Error::new(codes::SQL_UNSUPPORTED, "more than one replica needs Apache Kafka as the log")
                .hint("leave REPLICAS out"));
        }
        let mut spec = TopicSpec::new(topic.clone(), partitions);
        if let Some(retention) = retention {
            spec = spec.with("retention.ms", &retention);
        }
        errors::unless_protected(topic)?;
        log.create_topic(spec, false).await?;
        Ok(true)
    }
}

/// The properties of WITH, by upper-case name.
struct Options {
    values: BTreeMap<String, String>,
    written: BTreeMap<String, String>,
}

impl Options {
    fn of(stream: &DeclareStream) -> Result<Self> {
        let mut values = BTreeMap::new();
        for (key, value) in &stream.options {
            let text = literal_text(value).ok_or_else(|| {
                Error::new(codes::SQL_INVALID, format!("the value of {key} must be a literal"))
                    .detail(value.to_string())
            })?;
            if values.insert(key.to_uppercase(), text).is_some() {
                return Err(Error::new(codes::SQL_INVALID, format!("{} is given twice", key.to_uppercase())));
            }
        }
        Ok(Self { written: values.clone(), values })
    }

    fn take(&mut self, key: &str) -> Option<String> {
        self.values.remove(key)
    }

    fn number(&mut self, key: &str) -> Result<Option<i32>> {
        let Some(text) = self.take(key) else { return Ok(None) };
        match text.parse() {
            Ok(number) if number > 0 => Ok(Some(number)),
            _ => Err(Error::new(codes::SQL_INVALID, format!("{key} = {text} is not a number above 0"))),
        }
    }

    fn boolean(&mut self, key: &str) -> Result<Option<bool>> {
        match self.take(key) {
            None => Ok(None),
            Some(text) => match text.to_ascii_lowercase().as_str() {
                "true" => Ok(Some(true)),
                "false" => Ok(Some(false)),
                _ => Err(Error::new(codes::SQL_INVALID, format!("{key} = {text} is neither true nor false"))),
            },
        }
    }

    /// Nothing may be left: what is not understood is not silently ignored.
    fn finish(self) -> Result<()> {
        match self.values.keys().next() {
            None => Ok(()),
            Some(key) => Err(Error::new(codes::SQL_UNSUPPORTED, format!("WITH ({key} = …) is not offered")).hint(
                "KAFKA_TOPIC, VALUE_FORMAT, KEY_FORMAT, FORMAT, PARTITIONS, RETENTION_MS, VALUE_DELIMITER, KEY_DELIMITER and WRAP_SINGLE_VALUE are",
            )),
        }
    }
}
