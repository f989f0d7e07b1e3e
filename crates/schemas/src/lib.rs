//! What payloads mean: formats, schemas, and the registry that keeps them. Pure: no I/O, no async.
//!
//! * [`decode`]: raw payloads → Arrow columns, row by row isolated.
//! * [`encode`]: Arrow rows → payloads.
//! * [`infer`]: a sample of payloads → format and columns; widening of inferred columns.
//! * [`registry`]: the Confluent Schema Registry as a state machine over the records of `_schemas`.
//! * [`sql`]: how SQL writes types and names.
//! * [`avro`], [`json_schema`], [`protobuf`]: the schema languages: parsing, canonical form, compatibility, columns.

pub mod avro;
pub mod decode;
pub mod encode;
mod format;
pub mod infer;
pub mod json_schema;
pub mod protobuf;
pub mod registry;
mod schema;
pub mod sql;
mod text;

pub use format::Format;
pub use schema::{ParsedSchema, Reference, RegisteredSchema, SchemaSource, SchemaType, no_schemas};
