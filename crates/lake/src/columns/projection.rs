//! A declared stream that shows some of the columns its topic has anyway, under a name of its own.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use model::{Error, Result, error::codes};
use schemas::Format;

use super::{Origin, StreamDeclaration, TopicTable, fit::stored};

/// Whether `part` is `whole`, or what is left of it without some fields of its structs: those may have come since.
fn is_part(part: &DataType, whole: &DataType) -> bool {
    match (part, whole) {
        (DataType::Struct(part), DataType::Struct(whole)) => part.iter().all(|field| {
            let found = whole.find(field.name());
            found.is_some_and(|(_, whole)| is_part(field.data_type(), whole.data_type()))
        }),
        (DataType::List(part), DataType::List(whole)) | (DataType::Map(part, _), DataType::Map(whole, _)) => {
            is_part(part.data_type(), whole.data_type())
        }
        (part, whole) => part == whole,
    }
}

/// The columns of `declaration` out of those of `topic`. Fails if the topic does not have them so.
pub(crate) fn of(topic: &TopicTable, declaration: &Arc<StreamDeclaration>) -> Result<TopicTable> {
    let lacks = |what: String| {
        Err(Error::new(codes::STREAM_COLUMNS_CONFLICT, format!("could not read stream `{}`", declaration.name))
            .detail(what)
            .hint(format!("`DESCRIBE {}` shows what its topic has; declare the stream again by that", topic.topic)))
    };
    let has_keys = declaration.columns.iter().any(|column| column.key);
    if has_keys || !matches!(declaration.key_format, Format::Kafka | Format::None) || declaration.columns.is_empty() {
        return lacks("it declares what the key holds".to_owned());
    }
    if declaration.value_format != topic.value_format || declaration.wrap_single_value != topic.value_wrapped {
        return lacks(format!("it declares {}, the topic holds {}", declaration.value_format, topic.value_format));
    }
    // Separated text goes by position.
    if matches!(topic.value_format, Format::Delimited { .. }) && declaration.columns.len() != topic.value_columns {
        return lacks(format!("the topic's records have {} fields", topic.value_columns));
    }
    let own = &topic.schema.fields()[topic.key_columns..topic.own_columns()];
    let mut fields: Vec<FieldRef> = Vec::with_capacity(declaration.columns.len());
    for (index, column) in declaration.columns.iter().enumerate() {
        let by_position = matches!(topic.value_format, Format::Delimited { .. });
        let found =
            own.iter().enumerate().find(|(at, field)| field.name() == &column.name && (!by_position || *at == index));
        match found {
            Some((_, field)) if is_part(&stored(&column.data_type), field.data_type()) => {
                fields.push(Arc::new(Field::new(&column.name, stored(&column.data_type), true)));
            }
            _ => return lacks(format!("the topic has no column `{}` of that type", column.name)),
        }
    }
    let value_columns = fields.len();
    fields.extend(topic.schema.fields()[topic.own_columns()..].iter().cloned());
    Ok(TopicTable {
        schema: Arc::new(Schema::new(fields)),
        key_columns: 0,
        value_columns,
        key_format: Format::None,
        key_wrapped: true,
        origin: Origin::Declared,
        key_origin: Origin::Declared,
        declaration: Some(declaration.clone()),
        ..topic.clone()
    })
}
