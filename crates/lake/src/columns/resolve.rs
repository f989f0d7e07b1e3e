//! From what is known about a topic to its columns. Pure: the caller brings declaration, registry schemas, table and sample.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use commitlog::Topic;
use model::{Error, Result, TableName, error::codes};
use schemas::{Format, RegisteredSchema};
use tables::Table;

use super::{
    Origin, StreamDeclaration, TopicTable,
    fit::{Cause, Growth, first, fit, grow, stored, stored_columns},
    pseudo,
};

/// Properties by which a table knows its topic.
pub(crate) mod property {
    /// Id of the topic: a topic made again under the same name is another one.
    pub(crate) const TOPIC_ID: &str = "lakehead.topic.id";
    /// Identity of the log the topic is in.
    pub(crate) const LOG_ID: &str = "lakehead.log.id";
    /// Formats and shape of keys and values (JSON of [`super::Shape`]).
    pub(crate) const SHAPE: &str = "lakehead.topic.shape";
}

/// How payloads become columns; kept with the table, so that what was inferred stays.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Shape {
    pub key_format: Format,
    pub value_format: Format,
    pub key_columns: usize,
    pub key_wrapped: bool,
    pub value_wrapped: bool,
}

/// Columns found before: the table's own, or those of the topic a moment ago.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub shape: Shape,
    pub own: SchemaRef,
    /// `None`: no record told yet.
    pub key_is_text: Option<bool>,
}

impl Known {
    /// Of a table with these properties and columns.
    pub(crate) fn of_table(shape: Option<&String>, schema: &Schema) -> Option<Self> {
        let shape: Shape = serde_json::from_str(shape?).ok()?;
        let own: Vec<FieldRef> =
            schema.fields().iter().filter(|field| !pseudo::is_pseudo(field.name())).cloned().collect();
        let key = schema.field_with_name(pseudo::KEY).ok()?;
        (shape.key_columns <= own.len()).then(|| Self {
            shape,
            own: stored_columns(&Schema::new(own)),
            key_is_text: Some(*key.data_type() == DataType::Utf8),
        })
    }

    /// Of a topic's columns, found when there were records or none.
    pub(crate) fn of_topic(table: &TopicTable, had_records: bool) -> Self {
        Self {
            shape: table.shape(),
            own: Arc::new(Schema::new(table.schema.fields()[..table.own_columns()].to_vec())),
            key_is_text: had_records.then(|| table.key_is_text()),
        }
    }

    fn keys(&self) -> Schema {
        Schema::new(self.own.fields()[..self.shape.key_columns].to_vec())
    }

    fn values(&self) -> Schema {
        Schema::new(self.own.fields()[self.shape.key_columns..].to_vec())
    }
}

/// The newest versions of `<topic>-key` and `<topic>-value`.
#[derive(Clone, Default)]
pub(crate) struct Subjects {
    pub key: Option<(i32, Arc<RegisteredSchema>)>,
    pub value: Option<(i32, Arc<RegisteredSchema>)>,
}

/// What the first records look like.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guess {
    pub value: Option<schemas::infer::Inferred>,
    /// No key seen is anything but text.
    pub key_is_text: bool,
}

/// All that is known.
pub(crate) struct Knowledge<'a> {
    pub topic: &'a Topic,
    pub declaration: Option<Arc<StreamDeclaration>>,
    pub subjects: Subjects,
    pub known: Option<Known>,
}

impl Knowledge<'_> {
    /// Whether only a look at the records can tell.
    pub(crate) fn needs_guess(&self) -> bool {
        let format_needs = match &self.declaration {
            None => self.known.is_none(),
            Some(declaration) => declaration.columns.iter().all(|c| c.key) && self.known_for(declaration).is_none(),
        };
        self.subjects.value.is_none() && format_needs || self.key_needs_guess()
    }

    /// Whether nothing but the keys themselves tells what they are.
    fn key_needs_guess(&self) -> bool {
        let format_is_known = match &self.declaration {
            Some(declaration) => declaration.key_format != Format::None,
            None => self.subjects.key.is_some(),
        };
        !format_is_known && self.known.as_ref().is_none_or(|known| known.key_is_text.is_none())
    }

    fn key_is_text(&self, guess: &Guess) -> bool {
        self.known.as_ref().and_then(|known| known.key_is_text).unwrap_or(guess.key_is_text)
    }

    fn known_for(&self, declaration: &StreamDeclaration) -> Option<&Known> {
        self.known.as_ref().filter(|known| known.shape.value_format == declaration.value_format)
    }

    /// Decides.
    pub(crate) fn table(&self, guess: &Guess) -> Result<TopicTable> {
        let values = self.values(guess)?;
        let keys = self.keys(guess, &values.columns)?;
        let mut own: Vec<FieldRef> = keys.columns.fields().to_vec();
        let fresh = |field: &&FieldRef| {
            !pseudo::is_pseudo(field.name()) && !keys.columns.fields().iter().any(|key| key.name() == field.name())
        };
        own.extend(values.columns.fields().iter().filter(fresh).cloned());
        let (key_columns, value_columns) = (keys.columns.fields().len(), own.len() - keys.columns.fields().len());
        own.extend(pseudo::fields(keys.is_text).into_iter().map(Arc::new));
        Ok(TopicTable {
            topic: self.topic.name.clone(),
            topic_id: self.topic.id,
            partitions: self.topic.partitions,
            table: TableName::public(&self.topic.name),
            schema: Arc::new(Schema::new(own)),
            key_columns,
            value_columns,
            key_format: keys.format,
            value_format: values.format,
            key_wrapped: keys.wrapped,
            value_wrapped: values.wrapped,
            origin: values.origin,
            key_origin: keys.origin,
            declaration: self.declaration.clone(),
        })
    }

    fn values(&self, guess: &Guess) -> Result<Values> {
        let declared: Option<&StreamDeclaration> = self.declaration.as_deref();
        if let Some(declaration) = declared
            && declaration.columns.iter().any(|column| !column.key)
        {
            return Ok(Values {
                columns: declared_columns(declaration, false),
                format: declaration.value_format,
                wrapped: declaration.wrap_single_value,
                origin: Origin::Declared,
            });
        }
        if let Some((version, schema)) = &self.subjects.value {
            let columns = stored_columns(&pseudo::renamed(&*schema.parsed.columns()?));
            let columns = match &self.known {
                None => first(&columns, Cause::Schema),
                Some(known) => match grow(&known.values(), &columns, Cause::Schema) {
                    Growth::Added(grown) | Growth::Retyped(grown) => grown,
                    Growth::Same => Arc::new(known.values()),
                },
            };
            let format = Format::of_schema(schema.schema_type);
            return Ok(Values {
                columns,
                format: declared.map_or(format, |d| d.value_format),
                wrapped: true,
                origin: Origin::Registry { subject: format!("{}-value", self.topic.name), version: *version },
            });
        }
        let known = match declared {
            None => self.known.as_ref(),
            Some(declaration) => self.known_for(declaration),
        };
        if let Some(known) = known {
            return Ok(Values {
                columns: Arc::new(known.values()),
                format: known.shape.value_format,
                wrapped: known.shape.value_wrapped,
                origin: Origin::Inferred,
            });
        }
        Ok(match &guess.value {
            Some(inferred) => Values {
                columns: first(
                    &stored_columns(&pseudo::renamed(&inferred.columns)),
                    Cause::Records { may_retype: false },
                ),
                format: declared.map_or(inferred.format, |d| d.value_format),
                wrapped: true,
                origin: Origin::Inferred,
            },
            None => Values {
                columns: Arc::new(Schema::empty()),
                format: declared.map_or(Format::None, |d| d.value_format),
                wrapped: true,
                origin: if declared.is_some() { Origin::Declared } else { Origin::Unknown },
            },
        })
    }

    fn keys(&self, guess: &Guess, values: &Schema) -> Result<Keys> {
        if let Some(declaration) = self.declaration.as_deref() {
            let columns = declared_columns(declaration, true);
            let is_text = match declaration.key_format {
                Format::Json | Format::Delimited { .. } | Format::Text => true,
                Format::JsonSr | Format::Avro | Format::Protobuf | Format::Bytes => false,
                Format::Kafka => columns.fields().iter().all(|field| *field.data_type() == DataType::Utf8),
                Format::None => self.key_is_text(guess),
            };
            return Ok(Keys {
                wrapped: columns.fields().len() > 1,
                format: declaration.key_format,
                is_text,
                columns,
                origin: Origin::Declared,
            });
        }
        if let Some((version, schema)) = &self.subjects.key {
            let origin = Origin::Registry { subject: format!("{}-key", self.topic.name), version: *version };
            let columns = stored_columns(&*schema.parsed.columns()?);
            let free =
                |field: &FieldRef| !pseudo::is_pseudo(field.name()) && values.field_with_name(field.name()).is_err();
            // A key column called like a value column stays in `_key`: columns of one name would be ambiguous.
            if columns.fields().iter().all(free) {
                let format = Format::of_schema(schema.schema_type);
                return Ok(Keys { wrapped: true, columns, format, is_text: false, origin });
            }
            return Ok(Keys {
                wrapped: true,
                columns: Arc::new(Schema::empty()),
                format: Format::None,
                is_text: false,
                origin,
            });
        }
        Ok(match &self.known {
            Some(known) => Keys {
                columns: Arc::new(known.keys()),
                format: known.shape.key_format,
                wrapped: known.shape.key_wrapped,
                is_text: self.key_is_text(guess),
                origin: Origin::Inferred,
            },
            None => Keys {
                columns: Arc::new(Schema::empty()),
                format: Format::None,
                wrapped: true,
                is_text: self.key_is_text(guess),
                origin: Origin::Inferred,
            },
        })
    }
}

struct Values {
    columns: SchemaRef,
    format: Format,
    wrapped: bool,
    origin: Origin,
}

struct Keys {
    columns: SchemaRef,
    format: Format,
    wrapped: bool,
    is_text: bool,
    origin: Origin,
}

impl TopicTable {
    pub(crate) fn shape(&self) -> Shape {
        Shape {
            key_format: self.key_format,
            value_format: self.value_format,
            key_columns: self.key_columns,
            key_wrapped: self.key_wrapped,
            value_wrapped: self.value_wrapped,
        }
    }

    /// The same topic with other value columns.
    pub(crate) fn with_values(&self, values: &Schema, format: Format) -> Self {
        let keys = &self.schema.fields()[..self.key_columns];
        let mut fields = keys.to_vec();
        let fresh =
            |field: &&FieldRef| !pseudo::is_pseudo(field.name()) && !keys.iter().any(|key| key.name() == field.name());
        fields.extend(values.fields().iter().filter(fresh).cloned());
        let value_columns = fields.len() - self.key_columns;
        fields.extend(self.schema.fields()[self.own_columns()..].iter().cloned());
        Self { schema: Arc::new(Schema::new(fields)), value_columns, value_format: format, ..self.clone() }
    }
}

fn declared_columns(declaration: &StreamDeclaration, key: bool) -> SchemaRef {
    let columns = declaration.columns.iter().filter(|column| column.key == key);
    let field = |name: &str, data_type| Field::new(name, stored(data_type), true);
    Arc::new(Schema::new(columns.map(|c| field(&c.name, &c.data_type)).collect::<Vec<_>>()))
}

/// Columns whose values `table` cannot take, or does not hold as `topic` reads them: then only the log can be read, or the
/// table built again from it.
pub(crate) fn conflicts(topic: &TopicTable, table: &Table) -> Vec<String> {
    let mut conflicts = fit(&topic.schema, table.arrow_schema()).conflicts;
    let shape = table.metadata().properties().get(property::SHAPE);
    let kept = shape.and_then(|shape| serde_json::from_str::<Shape>(shape).ok()).map(|shape| shape.value_format);
    // Lines kept as text are not the columns they turned out to be.
    if topic.origin == Origin::Inferred && kept == Some(Format::Text) && topic.value_format != Format::Text {
        conflicts.push("value".to_owned());
    }
    conflicts
}

/// What a declaration must be, whatever the topic holds.
pub(crate) fn check(declaration: &StreamDeclaration) -> Result<()> {
    let invalid = |why: String| {
        Err(Error::new(codes::STREAM_INVALID, format!("could not declare `{}`", declaration.name)).detail(why))
    };
    let mut names = std::collections::BTreeSet::new();
    for column in &declaration.columns {
        if pseudo::is_pseudo(&column.name) {
            return invalid(format!("every topic has a column `{}` of its own", column.name));
        }
        if !names.insert(column.name.to_lowercase()) {
            return invalid(format!("column `{}` is declared twice", column.name));
        }
    }
    // The decoder knows what each format can give.
    for (key, format) in [(true, declaration.key_format), (false, declaration.value_format)] {
        let columns = declared_columns(declaration, key);
        if columns.fields().is_empty() || format == Format::None {
            continue;
        }
        let options = schemas::decode::DecodeOptions {
            wrapped: if key { columns.fields().len() > 1 } else { declaration.wrap_single_value },
            ..Default::default()
        };
        schemas::decode::Decoder::new(format, columns, options, schemas::no_schemas()).map_err(|error| {
            let what = if key { "key" } else { "value" };
            Error::new(codes::STREAM_INVALID, format!("could not declare `{}`", declaration.name))
                .detail(format!("its {what} columns: {}", error.detail_text().unwrap_or(error.message())))
        })?;
    }
    Ok(())
}
