//! The text of a schema as Avro's Java library prints it: what the registry keeps and compares.
//!
//! Blanks, the order of attributes and the spelling of names no longer matter; documentation, aliases and properties
//! still do. Named types that come from a reference stay references.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::{Kind, Schema, TypeId, schema::Name};

impl Schema {
    /// One text for all ways of writing the same schema. `normalize` also sorts the properties.
    pub fn canonical(&self, normalize: bool) -> String {
        let mut writer = Writer { schema: self, written: HashSet::new(), normalize };
        writer.value(self.root, "").to_string()
    }
}

struct Writer<'a> {
    schema: &'a Schema,
    written: HashSet<&'a str>,
    normalize: bool,
}

impl<'a> Writer<'a> {
    fn value(&mut self, id: TypeId, space: &str) -> Value {
        let node = self.schema.get(id);
        if let Some(name) = node.kind.name()
            && (node.external || !self.written.insert(&name.full))
        {
            return if name.space() == space { name.short().into() } else { name.full.clone().into() };
        }
        let mut out = Map::new();
        match &node.kind {
            Kind::Union(branches) => {
                return branches.iter().map(|&branch| self.value(branch, space)).collect::<Vec<_>>().into();
            }
            Kind::Array(items) => {
                out.insert("type".into(), "array".into());
                out.insert("items".into(), self.value(*items, space));
            }
            Kind::Map(values) => {
                out.insert("type".into(), "map".into());
                out.insert("values".into(), self.value(*values, space));
            }
            Kind::Fixed { name, size } => {
                self.head(&mut out, "fixed", name, space);
                out.insert("size".into(), (*size).into());
            }
            Kind::Enum { name, symbols, default } => {
                self.head(&mut out, "enum", name, space);
                out.insert("symbols".into(), symbols.clone().into());
                if let Some(default) = default {
                    out.insert("default".into(), default.clone().into());
                }
            }
            Kind::Record { name, fields, .. } => {
                self.head(&mut out, node.kind.label(), name, space);
                let fields = fields.iter().map(|field| {
                    let mut object = Map::new();
                    object.insert("name".into(), field.name.clone().into());
                    object.insert("type".into(), self.value(field.schema, name.space()));
                    if let Some(doc) = &field.doc {
                        object.insert("doc".into(), doc.clone().into());
                    }
                    if let Some(default) = &field.default {
                        object.insert("default".into(), default.clone());
                    }
                    if let Some(order) = &field.order {
                        object.insert("order".into(), order.clone().into());
                    }
                    if !field.aliases.is_empty() {
                        object.insert("aliases".into(), field.aliases.clone().into());
                    }
                    self.props(&mut object, &field.props);
                    Value::Object(object)
                });
                let fields: Vec<_> = fields.collect();
                out.insert("fields".into(), fields.into());
            }
            primitive if node.props.is_empty() => return json!(primitive.label()),
            primitive => {
                out.insert("type".into(), primitive.label().into());
            }
        }
        self.props(&mut out, &node.props);
        if let Some(name) = node.kind.name().filter(|name| !name.aliases.is_empty()) {
            let aliases = name.aliases.iter().map(|alias| match alias.strip_prefix(name.space()) {
                Some(short) if !name.space().is_empty() && short.starts_with('.') => short[1..].to_owned(),
                _ => alias.clone(),
            });
            out.insert("aliases".into(), aliases.collect::<Vec<_>>().into());
        }
        Value::Object(out)
    }

    fn head(&self, out: &mut Map<String, Value>, label: &str, name: &Name, space: &str) {
        out.insert("type".into(), label.into());
        out.insert("name".into(), name.short().into());
        if name.space() != space {
            out.insert("namespace".into(), name.space().into());
        }
        if let Some(doc) = &name.doc {
            out.insert("doc".into(), doc.clone().into());
        }
    }

    fn props(&self, out: &mut Map<String, Value>, props: &Map<String, Value>) {
        let mut list: Vec<_> = props.iter().collect();
        if self.normalize {
            list.sort_by_key(|(key, _)| key.as_str());
        }
        for (key, value) in list {
            out.insert(key.clone(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_the_same_schema_differently_makes_no_difference() {
        let canonical = |text: &str| Schema::parse(text, &[]).unwrap().canonical(false);
        assert_eq!(canonical(r#"{"type":"string"}"#), r#""string""#);
        let a = r#"{"namespace":"x","fields":[{"type":{"type":"enum","name":"E","symbols":["A"]},"name":"e"},
            {"name":"f","type":"x.E","order":"ascending"}],"name":"R","type":"record"}"#;
        let b = r#"{"type":"record","name":"x.R","fields":[{"name":"e","type":{"type":"enum","name":"E","symbols":["A"]}},{"name":"f","type":"E"}]}"#;
        assert_eq!(canonical(a), canonical(b));
        assert_eq!(
            canonical(a),
            r#"{"type":"record","name":"R","namespace":"x","fields":[{"name":"e","type":{"type":"enum","name":"E","symbols":["A"]}},{"name":"f","type":"E"}]}"#
        );
    }

    #[test]
    fn canonical_text_is_a_fixpoint() {
        for text in [
            r#"{"type":"record","name":"R","aliases":["Q"],"doc":"d","fields":[{"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2},"default":"","doc":"x"}]}"#,
            r#"["null",{"type":"map","values":{"type":"array","items":"long"}}]"#,
            r#"{"type":"record","name":"Node","fields":[{"name":"next","type":["null","Node"],"default":null}]}"#,
        ] {
            let once = Schema::parse(text, &[]).unwrap().canonical(false);
            assert_eq!(Schema::parse(&once, &[]).unwrap().canonical(false), once);
        }
    }

    #[test]
    fn invalid_schemas_are_refused_with_the_place() {
        let why = |text: &str| Schema::parse(text, &[]).unwrap_err().detail_text().unwrap_or_default().to_owned();
        assert_eq!(
            why(r#"{"type":"record","name":"R","fields":[{"name":"a","type":"Nope"}]}"#),
            "in record `R`: in field `a`: undefined name: `Nope`"
        );
        assert_eq!(why(r#"["int","int"]"#), "duplicate in union: int");
        assert_eq!(why(r#"{"type":"record","name":"1R","fields":[]}"#), "illegal name: `1R`");
        assert_eq!(why(r#"{"type":"record","name":"V-1","namespace":"x","fields":[]}"#), "illegal name: `V-1`");
        assert!(why("{").starts_with("it is not JSON"));
        assert!(why(&"[".repeat(10_000)).starts_with("it is not JSON"));
    }

    #[test]
    fn names_are_taken_as_avro_for_java_takes_them() {
        let text =
            r#"{"type":"record","name":"V","namespace":"shop-1.public","fields":[{"name":"größe","type":"int"}]}"#;
        assert_eq!(Schema::parse(text, &[]).unwrap().canonical(false), text);
    }

    #[test]
    fn references_stay_references() {
        let address = r#"{"type":"record","name":"Address","namespace":"a","fields":[{"name":"s","type":"string"}]}"#;
        let person = r#"{"type":"record","name":"Person","namespace":"a","fields":[{"name":"home","type":"Address"}]}"#;
        assert!(Schema::parse(person, &[]).is_err());
        let schema = Schema::parse(person, &[("a.Address".into(), address.into())]).unwrap();
        assert_eq!(schema.canonical(false), person);
    }
}
