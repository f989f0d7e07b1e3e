//! Can a reader with one schema read what was written with another? (Specification, "Schema Resolution".)
//!
//! Messages have the form of Confluent's verbose answers: `{errorType:'…', description:'…', additionalInfo:'…'}`.

use std::collections::HashMap;

use super::{
    Kind, Schema, TypeId,
    schema::{Field, Name},
};

/// Everything that keeps `reader` from reading what `writer` wrote; empty if nothing does. `labels` are what messages
/// call the two: `["new", "old"]`.
pub fn unreadable(reader: &Schema, writer: &Schema, labels: [&str; 2]) -> Vec<String> {
    let mut check = Check { reader, writer, known: HashMap::new(), depth: 0, bytes_left: FAULTS_BYTES_MAX };
    let mut path = Vec::new();
    let faults = check.types(reader.root(), writer.root(), &mut path);
    faults.iter().take(FAULTS_MAX).map(|fault| fault.text(labels)).collect()
}

const FAULTS_MAX: usize = 100;
/// Named types can chain without nesting in the text.
const DEPTH_MAX: usize = 128;
const PAIRS_MAX: usize = 100_000;
/// Faults of a type are faults of everything that uses it, so all that is kept for all pairs is limited.
const FAULTS_BYTES_MAX: usize = 16 << 20;

struct Check<'a> {
    reader: &'a Schema,
    writer: &'a Schema,
    /// Pairs looked at: what was found, nothing while they are being looked at.
    known: HashMap<(TypeId, TypeId), Vec<Fault>>,
    depth: usize,
    /// For the faults in `known`.
    bytes_left: usize,
}

#[derive(Clone, Debug)]
struct Fault {
    rule: Rule,
    path: String,
    info: String,
}

#[derive(Clone, Copy, Debug)]
enum Rule {
    NameMismatch,
    FixedSizeMismatch,
    MissingEnumSymbols,
    ReaderFieldMissingDefaultValue,
    TypeMismatch,
    MissingUnionBranch,
    TooComplex,
}

impl Fault {
    fn text(&self, [reader, writer]: [&str; 2]) -> String {
        let (path, info) = (&self.path, &self.info);
        let (rule, description) = match self.rule {
            Rule::NameMismatch => ("NAME_MISMATCH", format!("The name of the schema has changed (path '{path}')")),
            Rule::FixedSizeMismatch => (
                "FIXED_SIZE_MISMATCH",
                format!(
                    "The size of FIXED type field at path '{path}' in the {reader} schema does not match with the {writer} schema"
                ),
            ),
            Rule::MissingEnumSymbols => (
                "MISSING_ENUM_SYMBOLS",
                format!("The {reader} schema is missing enum symbols '{info}' at path '{path}' in the {writer} schema"),
            ),
            Rule::ReaderFieldMissingDefaultValue => (
                "READER_FIELD_MISSING_DEFAULT_VALUE",
                format!(
                    "The field '{info}' at path '{path}' in the {reader} schema has no default value and is missing in the {writer} schema"
                ),
            ),
            Rule::TypeMismatch => (
                "TYPE_MISMATCH",
                format!(
                    "The type (path '{path}') of a field in the {reader} schema does not match with the {writer} schema"
                ),
            ),
            Rule::MissingUnionBranch => (
                "MISSING_UNION_BRANCH",
                format!(
                    "The {reader} schema is missing a type inside a union field at path '{path}' in the {writer} schema"
                ),
            ),
            Rule::TooComplex => {
                ("TOO_COMPLEX", format!("The schemas are too deeply nested to compare (path '{path}')"))
            }
        };
        format!("{{errorType:'{rule}', description:'{description}', additionalInfo:'{info}'}}")
    }
}

type Path = Vec<String>;

fn fault(rule: Rule, path: &Path, info: impl Into<String>) -> Fault {
    Fault { rule, path: format!("/{}", path.join("/")), info: info.into() }
}

/// Adds as many as will ever be shown.
fn add(found: &mut Vec<Fault>, faults: impl IntoIterator<Item = Fault>) {
    let room = FAULTS_MAX.saturating_sub(found.len());
    found.extend(faults.into_iter().take(room));
}

impl Check<'_> {
    fn types(&mut self, r: TypeId, w: TypeId, path: &mut Path) -> Vec<Fault> {
        if let Some(known) = self.known.get(&(r, w)) {
            return known.clone();
        }
        if self.depth >= DEPTH_MAX || self.known.len() >= PAIRS_MAX {
            return vec![fault(Rule::TooComplex, path, "")];
        }
        // Recursive types: a pair met again inside itself counts as readable.
        self.known.insert((r, w), Vec::new());
        self.depth += 1;
        let mut found = self.fresh(r, w, path);
        self.depth -= 1;
        let bytes = found.iter().map(|fault| size_of::<Fault>() + fault.path.len() + fault.info.len()).sum();
        match self.bytes_left.checked_sub(bytes) {
            Some(left) => self.bytes_left = left,
            None => found = vec![fault(Rule::TooComplex, &Vec::new(), "")],
        }
        if !found.is_empty() {
            self.known.insert((r, w), found.clone());
        }
        found
    }

    fn within(&mut self, step: impl Into<String>, r: TypeId, w: TypeId, path: &mut Path) -> Vec<Fault> {
        path.push(step.into());
        let found = self.types(r, w, path);
        path.pop();
        found
    }

    fn fresh(&mut self, r: TypeId, w: TypeId, path: &mut Path) -> Vec<Fault> {
        let (reader, writer) = (&self.reader.get(r).kind, &self.writer.get(w).kind);
        let mismatch = |path: &Path| {
            let info = format!("reader type: {} not compatible with writer type: {}", label(reader), label(writer));
            vec![fault(Rule::TypeMismatch, path, info)]
        };
        match (reader, writer) {
            // Whatever branch was written must be readable.
            (reader, Kind::Union(branches)) => {
                let mut found = Vec::new();
                for (index, &branch) in branches.iter().enumerate() {
                    let into_union = matches!(reader, Kind::Union(_));
                    let faults = self.types(r, branch, path);
                    if into_union && !faults.is_empty() {
                        path.push(index.to_string());
                        let missing = label(&self.writer.get(branch).kind);
                        found.push(fault(
                            Rule::MissingUnionBranch,
                            path,
                            format!("reader union lacking writer type: {missing}"),
                        ));
                        path.pop();
                        // The nearest branch's own faults say which field is to blame.
                        add(
                            &mut found,
                            faults.into_iter().filter(|fault| !matches!(fault.rule, Rule::MissingUnionBranch)),
                        );
                    } else {
                        add(&mut found, faults);
                    }
                }
                found
            }
            // Some branch must take what was written.
            (Kind::Union(branches), writer) => {
                let mut nearest = Vec::new();
                for (index, &branch) in branches.iter().enumerate() {
                    let faults = self.within(index.to_string(), branch, w, path);
                    if faults.is_empty() {
                        return faults;
                    }
                    let same_name = match (self.reader.get(branch).kind.name(), writer.name()) {
                        (Some(a), Some(b)) => a.full == b.full,
                        _ => false,
                    };
                    if same_name {
                        nearest = faults;
                    }
                }
                let missing = format!("reader union lacking writer type: {}", label(writer));
                let mut found = vec![fault(Rule::MissingUnionBranch, path, missing)];
                found.extend(nearest);
                found
            }
            (Kind::Array(r), Kind::Array(w)) => {
                let (r, w) = (*r, *w);
                self.within("items", r, w, path)
            }
            (Kind::Map(r), Kind::Map(w)) => {
                let (r, w) = (*r, *w);
                self.within("values", r, w, path)
            }
            (Kind::Fixed { name: r, size: r_size }, Kind::Fixed { name: w, size: w_size }) => {
                let mut found = names(r, w, path);
                if r_size != w_size {
                    path.push("size".into());
                    found.push(fault(Rule::FixedSizeMismatch, path, format!("expected: {w_size}, found: {r_size}")));
                    path.pop();
                }
                found
            }
            (Kind::Enum { name: r, symbols, default }, Kind::Enum { name: w, symbols: written, .. }) => {
                let mut found = names(r, w, path);
                let missing: Vec<_> = written.iter().filter(|symbol| !symbols.contains(symbol)).cloned().collect();
                if !missing.is_empty() && default.is_none() {
                    path.push("symbols".into());
                    found.push(fault(Rule::MissingEnumSymbols, path, format!("[{}]", missing.join(", "))));
                    path.pop();
                }
                found
            }
            (Kind::Record { name: r, fields, .. }, Kind::Record { name: w, fields: written, .. }) => {
                let mut found = names(r, w, path);
                found.extend(self.fields(fields, written, path));
                found
            }
            (r, w) if promotes(r, w) => Vec::new(),
            _ => mismatch(path),
        }
    }

    fn fields(&mut self, fields: &[Field], written: &[Field], path: &mut Path) -> Vec<Fault> {
        let by_name: HashMap<&str, &Field> = written.iter().map(|field| (field.name.as_str(), field)).collect();
        let mut found = Vec::new();
        for (index, field) in fields.iter().enumerate() {
            path.extend(["fields".to_owned(), index.to_string()]);
            let aliases = field.aliases.iter().map(String::as_str);
            let source = [field.name.as_str()].into_iter().chain(aliases).find_map(|name| by_name.get(name));
            match source {
                Some(source) => add(&mut found, self.within("type", field.schema, source.schema, path)),
                None if field.default.is_none() => {
                    found.push(fault(Rule::ReaderFieldMissingDefaultValue, path, &field.name));
                }
                None => {}
            }
            path.truncate(path.len() - 2);
        }
        found
    }
}

/// Names match without their namespaces, or through an alias of the reader.
fn names(reader: &Name, writer: &Name, path: &mut Path) -> Vec<Fault> {
    if reader.short() == writer.short() || reader.aliases.contains(&writer.full) {
        return Vec::new();
    }
    path.push("name".into());
    let found = vec![fault(Rule::NameMismatch, path, format!("expected: {}", writer.full))];
    path.pop();
    found
}

fn promotes(reader: &Kind, writer: &Kind) -> bool {
    use Kind::*;
    matches!(
        (reader, writer),
        (Null, Null)
            | (Boolean, Boolean)
            | (Int, Int)
            | (Long, Int | Long)
            | (Float, Int | Long | Float)
            | (Double, Int | Long | Float | Double)
            | (Bytes | String, Bytes | String)
    )
}

fn label(kind: &Kind) -> String {
    kind.label().to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_use_each_other_do_not_multiply_their_faults() {
        let schema = |more: &str| {
            let record = |i: usize| {
                let earlier: String = (0..i).map(|j| format!(r#","r{j}""#)).collect();
                format!(r#"{{"type":"record","name":"r{i}","fields":[{{"name":"n","type":["null"{earlier}]}}{more}]}}"#)
            };
            let records: Vec<_> = (0..30).map(record).collect();
            Schema::parse(&format!("[{}]", records.join(",")), &[]).expect("a schema")
        };
        let (old, new) = (schema(""), schema(r#",{"name":"x","type":"int"}"#));
        let found = unreadable(&new, &old, ["new", "old"]);
        assert!((1..=FAULTS_MAX).contains(&found.len()));
        assert!(unreadable(&old, &new, ["old", "new"]).is_empty());
    }
}
