//! JSON Schema (drafts 4 to 2020-12, what they have in common): references, compatibility and columns.

mod columns;
mod compatible;

use std::collections::HashMap;

use model::{Error, Result, error::codes};
use serde_json::Value;

pub use self::compatible::narrowings;
use crate::avro::schema::TEXT_BYTES_MAX;

/// A parsed JSON Schema with what it refers to.
#[derive(Debug)]
pub struct Schema {
    root: Value,
    /// Referenced documents by the name that `$ref` gives them.
    documents: HashMap<String, Value>,
}

/// A part of a schema, and the document its own references start from.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a> {
    schema: &'a Schema,
    document: &'a Value,
    value: &'a Value,
}

/// `$ref`s followed one after the other: `a → b → a` must end.
const HOPS_MAX: usize = 32;

impl Schema {
    /// Parses `text`; `references` are names and texts of the schemas it may refer to.
    pub fn parse(text: &str, references: &[(String, String)]) -> Result<Self> {
        let documents = references
            .iter()
            .map(|(name, text)| document(text).map(|value| (name.clone(), value)))
            .collect::<Result<_, String>>()
            .map_err(|why| invalid(&why))?;
        let schema = Self { root: document(text).map_err(|why| invalid(&why))?, documents };
        let root = schema.node();
        root.check(root.value, "#").map_err(|why| invalid(&why))?;
        Ok(schema)
    }

    pub(crate) fn node(&self) -> Node<'_> {
        Node { schema: self, document: &self.root, value: &self.root }
    }

    /// One text for all spacings of the same schema. `normalize` also sorts the keys of objects.
    pub fn canonical(&self, normalize: bool) -> String {
        if normalize { sorted(&self.root).to_string() } else { self.root.to_string() }
    }
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut fields: Vec<_> = object.iter().collect();
            fields.sort_by_key(|(key, _)| key.as_str());
            Value::Object(fields.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect())
        }
        Value::Array(items) => items.iter().map(sorted).collect::<Vec<_>>().into(),
        other => other.clone(),
    }
}

fn invalid(why: &str) -> Error {
    Error::new(codes::SCHEMA_INVALID, "this is not a valid JSON Schema").detail(why.to_owned())
}

fn document(text: &str) -> Result<Value, String> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!("its text has {} bytes; at most {TEXT_BYTES_MAX} are taken", text.len()));
    }
    match serde_json::from_str(text) {
        Ok(value @ (Value::Object(_) | Value::Bool(_))) => Ok(value),
        Ok(other) => Err(format!(
            "a schema is an object or a boolean, not {}",
            crate::decode::fault::abridged(&other.to_string())
        )),
        Err(error) => Err(format!("it is not JSON: {error}")),
    }
}

impl<'a> Node<'a> {
    pub(crate) fn at(self, value: &'a Value) -> Self {
        Self { value, ..self }
    }

    pub(crate) fn get(self, key: &str) -> Option<&'a Value> {
        self.value.get(key)
    }

    /// The node behind any `$ref`s.
    pub(crate) fn resolved(self) -> Self {
        let mut node = self;
        for _ in 0..HOPS_MAX {
            let Some(target) = node.get("$ref").and_then(Value::as_str) else { return node };
            match node.follow(target) {
                Some(next) => node = next,
                None => return node,
            }
        }
        node
    }

    fn follow(self, target: &str) -> Option<Self> {
        let (name, fragment) = target.split_once('#').unwrap_or((target, ""));
        let is_own = name.is_empty() || self.document.get("$id").and_then(Value::as_str) == Some(name);
        let document = if is_own {
            self.document
        } else {
            let tail = |known: &&String| name.ends_with(&format!("/{known}"));
            let documents = &self.schema.documents;
            let known = documents.get(name).or_else(|| documents.get(target));
            known.or_else(|| documents.keys().find(tail).and_then(|known| documents.get(known)))?
        };
        let value = match fragment {
            "" => document,
            pointer if pointer.starts_with('/') => {
                document.pointer(&pointer.replace("%25", "%").replace("%22", "\""))?
            }
            anchor => anchored(document, anchor)?,
        };
        Some(Self { document, value, ..self })
    }

    /// Checks what the rest of this module takes for granted.
    fn check(self, value: &Value, path: &str) -> Result<(), String> {
        const TYPES: [&str; 7] = ["null", "boolean", "object", "array", "number", "string", "integer"];
        let Value::Object(object) = value else { return Ok(()) };
        let is_type = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
        match object.get("type") {
            None => {}
            Some(value) if is_type(value) => {}
            Some(Value::Array(list)) if !list.is_empty() && list.iter().all(is_type) => {}
            Some(other) => return Err(format!("{path}/type: {other} is no type")),
        }
        if let Some(target) = object.get("$ref") {
            let target = target.as_str().ok_or_else(|| format!("{path}/$ref: {target} is no reference"))?;
            let is_meta =
                target.starts_with("http://json-schema.org/") || target.starts_with("https://json-schema.org/");
            if !is_meta && self.follow(target).is_none() {
                return Err(format!("{path}/$ref: `{target}` refers to nothing known"));
            }
        }
        let expect = |key: &str, good: fn(&Value) -> bool, what: &str| match object.get(key) {
            Some(value) if !good(value) => Err(format!("{path}/{key}: expected {what}")),
            _ => Ok(()),
        };
        expect(
            "required",
            |value| value.is_boolean() || value.as_array().is_some_and(|l| l.iter().all(Value::is_string)),
            "a list of names",
        )?;
        expect("properties", Value::is_object, "an object")?;
        expect("enum", Value::is_array, "a list")?;
        expect("pattern", Value::is_string, "a pattern")?;
        for key in ["minimum", "maximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems"] {
            expect(key, Value::is_number, "a number")?;
        }
        for key in ["properties", "patternProperties", "definitions", "$defs"] {
            for (name, value) in object.get(key).and_then(Value::as_object).into_iter().flatten() {
                if !(value.is_object() || value.is_boolean()) {
                    return Err(format!("{path}/{key}/{name}: expected a schema"));
                }
                self.check(value, &format!("{path}/{key}/{name}"))?;
            }
        }
        for key in ["allOf", "anyOf", "oneOf", "items", "prefixItems"] {
            for (index, value) in object.get(key).and_then(Value::as_array).into_iter().flatten().enumerate() {
                self.check(value, &format!("{path}/{key}/{index}"))?;
            }
        }
        for key in ["items", "additionalProperties", "additionalItems", "not"] {
            if let Some(value @ Value::Object(_)) = object.get(key) {
                self.check(value, &format!("{path}/{key}"))?;
            }
        }
        Ok(())
    }
}

/// The part of a document that calls itself `anchor`.
fn anchored<'a>(value: &'a Value, anchor: &str) -> Option<&'a Value> {
    match value {
        Value::Object(object) => {
            let is = |key: &str, name: &str| object.get(key).and_then(Value::as_str) == Some(name);
            if is("$anchor", anchor) || is("$id", &format!("#{anchor}")) {
                return Some(value);
            }
            object.values().find_map(|value| anchored(value, anchor))
        }
        Value::Array(items) => items.iter().find_map(|value| anchored(value, anchor)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_text_is_its_own_canonical_text_whatever_numbers_are_in_it() {
        let long = format!("{}.55555555", "1".to_owned() + &"5".repeat(92));
        for number in ["0.1", "1e-7", "123456789.123456789", "1.7976931348623157e308", "-0.0", &long] {
            let canonical = |text: &str| Schema::parse(text, &[]).expect("a schema").canonical(false);
            let once = canonical(&format!(r#"{{"type": "number", "minimum": {number}}}"#));
            assert_eq!(canonical(&once), once, "{number}");
            let minimum = once.trim_start_matches(r#"{"type":"number","minimum":"#).trim_end_matches('}');
            assert_eq!(minimum.parse::<f64>(), number.parse::<f64>(), "the nearest double");
        }
    }
}
