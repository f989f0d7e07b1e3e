//! How the bytes of a key or a value are laid out.

use std::fmt;

use model::{Error, Result, error::codes};
use serde::{Deserialize, Serialize};

use crate::SchemaType;

/// A payload format, as `KEY_FORMAT` and `VALUE_FORMAT` name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Format {
    /// One JSON object a payload (or one bare value, see [`crate::decode::DecodeOptions::wrapped`]).
    Json,
    /// JSON after Confluent's five-byte frame (magic 0, big-endian schema id).
    JsonSr,
    /// Avro binary after Confluent's five-byte frame.
    Avro,
    /// Protobuf binary after Confluent's five-byte frame and the indexes of its message.
    Protobuf,
    /// Separated text, RFC 4180 quoting, one record a payload.
    Delimited {
        /// One ASCII character.
        delimiter: u8,
    },
    /// One primitive as Kafka's own serialisers write it: big-endian INT, BIGINT, DOUBLE, or UTF-8, or bytes.
    Kafka,
    /// One VARCHAR: UTF-8 text as it is.
    Text,
    /// One BYTES column: anything as it is.
    Bytes,
    /// Nothing is read or written (keyless topics).
    None,
}

impl Format {
    /// By the name SQL gives it (case-insensitive). `delimiter`: one character, `SPACE` or `TAB`; only for DELIMITED.
    pub fn parse(name: &str, delimiter: Option<&str>) -> Result<Self> {
        let format = match name.to_ascii_uppercase().as_str() {
            "JSON" => Self::Json,
            "JSON_SR" => Self::JsonSr,
            "AVRO" => Self::Avro,
            "PROTOBUF" => Self::Protobuf,
            "DELIMITED" => Self::Delimited { delimiter: b',' },
            "KAFKA" => Self::Kafka,
            "TEXT" | "STRING" => Self::Text,
            "BYTES" => Self::Bytes,
            "NONE" => Self::None,
            "PROTOBUF_NOSR" => {
                return Err(Error::new(codes::FORMAT_UNSUPPORTED, "format PROTOBUF_NOSR is not offered")
                    .detail("without the id of a schema nobody knows what the bytes mean")
                    .hint("use PROTOBUF, with a schema in the registry"));
            }
            _ => {
                return Err(Error::new(codes::FORMAT_UNSUPPORTED, format!("`{name}` is not a format"))
                    .hint("formats are JSON, JSON_SR, AVRO, PROTOBUF, DELIMITED, KAFKA, TEXT, BYTES and NONE"));
            }
        };
        match (format, delimiter) {
            (format, None) => Ok(format),
            (Self::Delimited { .. }, Some(text)) => Ok(Self::Delimited { delimiter: parse_delimiter(text)? }),
            (format, Some(_)) => Err(Error::new(codes::FORMAT_UNSUPPORTED, format!("{format} has no delimiter"))
                .hint("a delimiter goes with format DELIMITED")),
        }
    }

    /// The format of payloads that are written by a schema of this type.
    pub fn of_schema(schema_type: SchemaType) -> Self {
        match schema_type {
            SchemaType::Avro => Self::Avro,
            SchemaType::Json => Self::JsonSr,
            SchemaType::Protobuf => Self::Protobuf,
        }
    }

    /// Whether payloads begin with the id of a schema in the registry.
    pub fn is_framed(self) -> bool {
        matches!(self, Self::Avro | Self::JsonSr | Self::Protobuf)
    }
}

fn parse_delimiter(text: &str) -> Result<u8> {
    match (text.to_ascii_uppercase().as_str(), text.as_bytes()) {
        ("SPACE", _) => Ok(b' '),
        ("TAB", _) => Ok(b'\t'),
        (_, &[byte]) if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n') => Ok(byte),
        _ => Err(Error::new(codes::FORMAT_UNSUPPORTED, format!("`{}` cannot delimit fields", text.escape_debug()))
            .hint("a delimiter is one ASCII character other than a quote, or SPACE, or TAB")),
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "JSON",
            Self::JsonSr => "JSON_SR",
            Self::Avro => "AVRO",
            Self::Protobuf => "PROTOBUF",
            Self::Delimited { .. } => "DELIMITED",
            Self::Kafka => "KAFKA",
            Self::Text => "TEXT",
            Self::Bytes => "BYTES",
            Self::None => "NONE",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_read_by_name_and_delimiter() {
        assert_eq!(Format::parse("json", None).unwrap(), Format::Json);
        assert_eq!(Format::parse("DELIMITED", None).unwrap(), Format::Delimited { delimiter: b',' });
        assert_eq!(Format::parse("delimited", Some("tab")).unwrap(), Format::Delimited { delimiter: b'\t' });
        assert_eq!(Format::parse("delimited", Some("|")).unwrap(), Format::Delimited { delimiter: b'|' });
        assert_eq!(Format::parse("protobuf", None).unwrap(), Format::Protobuf);
        for (name, delimiter) in
            [("json", Some(",")), ("delimited", Some("||")), ("xml", None), ("PROTOBUF_NOSR", None)]
        {
            assert!(Format::parse(name, delimiter).is_err(), "{name} {delimiter:?}");
        }
    }
}
