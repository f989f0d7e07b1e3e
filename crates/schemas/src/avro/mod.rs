//! Avro schemas (specification 1.12): model, parsing, canonical text, compatibility and columns.

mod canonical;
mod columns;
mod compatible;
pub(crate) mod schema;

pub use self::compatible::unreadable;
pub(crate) use self::{
    columns::{ALIASES_KEY, DEFAULT_KEY, map_type},
    schema::{Field, Kind, Logical, Type, TypeId},
};

/// A parsed Avro schema with all names resolved.
#[derive(Debug)]
pub struct Schema {
    types: Vec<Type>,
    root: TypeId,
}

impl Schema {
    pub(crate) fn root(&self) -> TypeId {
        self.root
    }

    pub(crate) fn get(&self, id: TypeId) -> &Type {
        &self.types[id]
    }

    /// Records have columns; anything else is one bare value.
    pub fn is_record(&self) -> bool {
        matches!(self.types[self.root].kind, Kind::Record { .. })
    }

    /// Full name of the record, enum or fixed at the top.
    pub fn full_name(&self) -> Option<&str> {
        self.types[self.root].kind.name().map(|name| name.full.as_str())
    }
}
