//! Protobuf schemas (language guides proto2 and proto3): text and descriptors, canonical text, compatibility, columns, and
//! which message of a file a payload is.
//!
//! Vocabulary: a schema is one *file* with several *messages*; an *import* is the name of another file, which is the name
//! of a [`crate::Reference`] or [`well_known`]. A *descriptor* is a file or message with all names resolved.

mod canonical;
mod columns;
mod compatible;
mod frame;
mod parse;
mod well_known;

use std::collections::HashSet;

use base64::{Engine as _, engine::general_purpose};
use prost_reflect::{
    DescriptorPool, FileDescriptor, MessageDescriptor,
    prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, field_descriptor_proto::Type},
};

pub(crate) use self::{
    columns::Shape,
    frame::{MessagePath, read_indexes},
};
pub use self::{compatible::unreadable, frame::write_indexes};

/// What the file itself is called among those it imports (as in Confluent's serialized form).
const FILE: &str = "default";

/// A parsed file with everything it imports.
#[derive(Debug)]
pub struct Schema {
    /// As written: in the order of the text, with type names and options not yet resolved.
    file: FileDescriptorProto,
    /// The same and its imports, resolved.
    pool: DescriptorPool,
}

impl Schema {
    pub(crate) fn descriptor(&self) -> FileDescriptor {
        self.pool.get_file_by_name(FILE).expect("added when the schema was parsed")
    }

    /// The message at `path`: its index among the file's messages, then among those nested in it, and so on.
    ///
    /// What the text does not write as a message (the entries of `map<…>`, groups) does not count, as for Confluent.
    pub(crate) fn message(&self, path: &[usize]) -> Option<MessageDescriptor> {
        let (&first, inner) = path.split_first()?;
        let mut at = written_messages(&self.file.message_type, &self.file.extension).nth(first)?;
        let mut full_name = match self.file.package() {
            "" => at.name().to_owned(),
            package => format!("{package}.{}", at.name()),
        };
        for &index in inner {
            let fields: Vec<&FieldDescriptorProto> = at.field.iter().chain(&at.extension).collect();
            at = at.nested_type.iter().filter(|nested| is_written(nested, fields.iter().copied())).nth(index)?;
            full_name = format!("{full_name}.{}", at.name());
        }
        self.pool.get_message_by_name(&full_name)
    }

    /// The message that payloads are taken to be as long as none is seen: the first that no other of the file is made of,
    /// else the first.
    pub(crate) fn root(&self) -> Option<MessageDescriptor> {
        let full_name = |message: &DescriptorProto| match self.file.package() {
            "" => message.name().to_owned(),
            package => format!("{package}.{}", message.name()),
        };
        let written = written_messages(&self.file.message_type, &self.file.extension);
        let messages: Vec<_> =
            written.filter_map(|message| self.pool.get_message_by_name(&full_name(message))).collect();
        let mut used = HashSet::new();
        for message in &messages {
            let mut inside = vec![message.clone()];
            while let Some(at) = inside.pop() {
                let parts = at.fields().filter_map(|field| field.kind().as_message().cloned());
                used.extend(parts.filter(|part| part != message).map(|part| part.full_name().to_owned()));
                inside.extend(at.child_messages());
            }
        }
        let root = messages.iter().find(|message| !used.contains(message.full_name()));
        root.or(messages.first()).cloned()
    }

    /// The file as a serialized `FileDescriptorProto` in Base64, as `?format=serialized` asks for.
    pub fn serialized(&self) -> String {
        general_purpose::STANDARD.encode(self.descriptor().encode_to_vec())
    }
}

/// The messages of a scope that its text writes as messages, by the fields and extensions of the same scope.
fn written_messages<'a>(
    messages: &'a [DescriptorProto],
    fields: &'a [FieldDescriptorProto],
) -> impl Iterator<Item = &'a DescriptorProto> {
    messages.iter().filter(|message| is_written(message, fields.iter()))
}

fn is_written<'a>(message: &DescriptorProto, mut fields: impl Iterator<Item = &'a FieldDescriptorProto>) -> bool {
    !is_entry(message) && !fields.any(|field| is_group(field) && short_name(field.type_name()) == message.name())
}

/// Whether the parser made this message for a field `map<…>`.
fn is_entry(message: &DescriptorProto) -> bool {
    message.options.as_ref().is_some_and(|options| options.map_entry())
}

fn is_group(field: &FieldDescriptorProto) -> bool {
    field.r#type == Some(Type::Group as i32)
}

fn short_name(full: &str) -> &str {
    full.rsplit('.').next().unwrap_or(full)
}

#[cfg(test)]
mod tests;
