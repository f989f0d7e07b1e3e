//! The model of an Avro schema, and its parser.

use std::collections::{HashMap, HashSet};

use model::{Error, Result, error::codes};
use serde_json::{Map, Value};

use super::Schema;

/// Place of a type in [`Schema`].
pub(crate) type TypeId = usize;

/// Deepest nesting and largest number of types taken.
const DEPTH_MAX: usize = 64;
const TYPES_MAX: usize = 50_000;
pub(crate) const TEXT_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Type {
    pub(crate) kind: Kind,
    pub(crate) logical: Option<Logical>,
    /// Everything the specification does not reserve, `logicalType` among it, as written.
    pub(crate) props: Map<String, Value>,
    /// Comes from a referenced schema.
    pub(crate) external: bool,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Array(TypeId),
    Map(TypeId),
    Union(Vec<TypeId>),
    Fixed { name: Name, size: usize },
    Enum { name: Name, symbols: Vec<String>, default: Option<String> },
    Record { name: Name, fields: Vec<Field>, is_error: bool },
}

/// Name of a record, enum or fixed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Name {
    /// With its namespace.
    pub(crate) full: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) doc: Option<String>,
}

impl Name {
    pub(crate) fn space(&self) -> &str {
        self.full.rsplit_once('.').map_or("", |(space, _)| space)
    }

    pub(crate) fn short(&self) -> &str {
        self.full.rsplit_once('.').map_or(&self.full, |(_, name)| name)
    }
}

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) schema: TypeId,
    pub(crate) default: Option<Value>,
    pub(crate) aliases: Vec<String>,
    pub(crate) doc: Option<String>,
    pub(crate) order: Option<String>,
    pub(crate) props: Map<String, Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logical {
    Decimal {
        precision: u8,
        scale: i8,
    },
    Date,
    TimeMillis,
    TimeMicros,
    TimestampMillis,
    TimestampMicros,
    TimestampNanos,
    /// A date and time of day, in whatever zone.
    LocalTimestampMillis,
    LocalTimestampMicros,
    LocalTimestampNanos,
    Uuid,
}

impl Kind {
    pub(crate) fn name(&self) -> Option<&Name> {
        match self {
            Self::Fixed { name, .. } | Self::Enum { name, .. } | Self::Record { name, .. } => Some(name),
            _ => None,
        }
    }

    /// What the specification calls it.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Bytes => "bytes",
            Self::String => "string",
            Self::Array(_) => "array",
            Self::Map(_) => "map",
            Self::Union(_) => "union",
            Self::Fixed { .. } => "fixed",
            Self::Enum { .. } => "enum",
            Self::Record { is_error: true, .. } => "error",
            Self::Record { .. } => "record",
        }
    }
}

fn primitive(name: &str) -> Option<Kind> {
    Some(match name {
        "null" => Kind::Null,
        "boolean" => Kind::Boolean,
        "int" => Kind::Int,
        "long" => Kind::Long,
        "float" => Kind::Float,
        "double" => Kind::Double,
        "bytes" => Kind::Bytes,
        "string" => Kind::String,
        _ => return None,
    })
}

impl Schema {
    /// Parses `text`; `references` are names and texts of the schemas it may refer to, dependencies first.
    pub fn parse(text: &str, references: &[(String, String)]) -> Result<Self> {
        let mut parser = Parser { types: Vec::new(), names: HashMap::new(), depth: 0, external: true };
        for (name, text) in references {
            parser
                .document(text)
                .map_err(|why| invalid(&why).hint(format!("the fault is in the referenced `{name}`")))?;
        }
        parser.external = false;
        let root = parser.document(text).map_err(|why| invalid(&why))?;
        Ok(Self { types: parser.types, root })
    }
}

fn invalid(why: &str) -> Error {
    Error::new(codes::SCHEMA_INVALID, "this is not a valid Avro schema").detail(why.to_owned())
}

struct Parser {
    types: Vec<Type>,
    names: HashMap<String, TypeId>,
    depth: usize,
    external: bool,
}

type Parsed<T> = Result<T, String>;

impl Parser {
    fn document(&mut self, text: &str) -> Parsed<TypeId> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("its text has {} bytes; at most {TEXT_BYTES_MAX} are taken", text.len()));
        }
        // A bare name (`string`) is what some clients send for primitive types.
        let value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(_) if primitive(text.trim()).is_some() => Value::String(text.trim().to_owned()),
            Err(error) => return Err(format!("it is not JSON: {error}")),
        };
        self.schema(&value, "")
    }

    fn add(&mut self, kind: Kind, props: Map<String, Value>) -> Parsed<TypeId> {
        if self.types.len() >= TYPES_MAX {
            return Err(format!("it has more than {TYPES_MAX} types"));
        }
        let logical = logical(&kind, &props);
        self.types.push(Type { kind, logical, props, external: self.external });
        Ok(self.types.len() - 1)
    }

    fn schema(&mut self, value: &Value, space: &str) -> Parsed<TypeId> {
        if self.depth >= DEPTH_MAX {
            return Err(format!("it nests deeper than {DEPTH_MAX} levels"));
        }
        self.depth += 1;
        let parsed = match value {
            Value::String(name) => self.named(name, space),
            Value::Array(branches) => self.union(branches, space),
            Value::Object(object) => self.object(object, space),
            other => Err(format!("a type is a name, an object or an array, not {other}")),
        };
        self.depth -= 1;
        parsed
    }

    fn named(&mut self, name: &str, space: &str) -> Parsed<TypeId> {
        if let Some(kind) = primitive(name) {
            return self.add(kind, Map::new());
        }
        let qualified = qualify(name, space);
        match self.names.get(&qualified).or_else(|| self.names.get(name)) {
            Some(&id) => Ok(id),
            None => Err(format!("undefined name: `{qualified}`")),
        }
    }

    fn union(&mut self, branches: &[Value], space: &str) -> Parsed<TypeId> {
        let ids = branches.iter().map(|branch| self.schema(branch, space)).collect::<Parsed<Vec<_>>>()?;
        let mut seen = HashSet::new();
        for &id in &ids {
            let kind = &self.types[id].kind;
            if let Kind::Union(_) = kind {
                return Err("a union stands directly inside a union".into());
            }
            let label = kind.name().map_or_else(|| kind.label().to_owned(), |name| name.full.clone());
            if !seen.insert(label.clone()) {
                return Err(format!("duplicate in union: {label}"));
            }
        }
        self.add(Kind::Union(ids), Map::new())
    }

    fn object(&mut self, object: &Map<String, Value>, space: &str) -> Parsed<TypeId> {
        let type_name = match object.get("type") {
            Some(Value::String(name)) => name.as_str(),
            Some(nested @ (Value::Object(_) | Value::Array(_))) => return self.schema(nested, space),
            Some(other) => return Err(format!("\"type\" is {other}, which names no type")),
            None => {
                return Err(format!(
                    "no \"type\" in {}",
                    crate::decode::fault::abridged(&Value::from(object.clone()).to_string())
                ));
            }
        };
        let props = |reserved: &[&str]| -> Map<String, Value> {
            let own = object.iter().filter(|(key, _)| *key != "type" && !reserved.contains(&key.as_str()));
            own.map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        match type_name {
            "array" => {
                let items = object.get("items").ok_or("an array has no \"items\"")?;
                let items = self.schema(items, space)?;
                self.add(Kind::Array(items), props(&["items"]))
            }
            "map" => {
                let values = object.get("values").ok_or("a map has no \"values\"")?;
                let values = self.schema(values, space)?;
                self.add(Kind::Map(values), props(&["values"]))
            }
            "fixed" => {
                let name = name_of(object, space)?;
                let size = object.get("size").and_then(Value::as_u64).filter(|&size| size <= i32::MAX as u64);
                let size = size.ok_or_else(|| format!("fixed `{}` has no valid \"size\"", name.full))? as usize;
                let full = name.full.clone();
                let id =
                    self.add(Kind::Fixed { name, size }, props(&["name", "namespace", "doc", "aliases", "size"]))?;
                self.define(full, id)
            }
            "enum" => {
                let name = name_of(object, space)?;
                let full = name.full.clone();
                let symbols = symbols_of(object, &full)?;
                let default = match object.get("default") {
                    None => None,
                    Some(Value::String(symbol)) if symbols.contains(symbol) => Some(symbol.clone()),
                    Some(other) => return Err(format!("the default {other} of enum `{full}` is none of its symbols")),
                };
                let id = self.add(
                    Kind::Enum { name, symbols, default },
                    props(&["name", "namespace", "doc", "aliases", "symbols", "default"]),
                )?;
                self.define(full, id)
            }
            "record" | "error" => {
                let name = name_of(object, space)?;
                let (full, inner) = (name.full.clone(), name.space().to_owned());
                // Named first, so that its fields may refer to it.
                let id = self.add(
                    Kind::Record { name, fields: Vec::new(), is_error: type_name == "error" },
                    props(&["name", "namespace", "doc", "aliases", "fields"]),
                )?;
                self.define(full.clone(), id)?;
                let Some(Value::Array(list)) = object.get("fields") else {
                    return Err(format!("record `{full}` has no \"fields\""));
                };
                let mut names = HashSet::new();
                let mut parsed = Vec::with_capacity(list.len());
                for field in list {
                    let field = self.field(field, &inner).map_err(|why| format!("in record `{full}`: {why}"))?;
                    if !names.insert(field.name.clone()) {
                        return Err(format!("duplicate field `{}` in record `{full}`", field.name));
                    }
                    parsed.push(field);
                }
                if let Kind::Record { fields, .. } = &mut self.types[id].kind {
                    *fields = parsed;
                }
                Ok(id)
            }
            name => match primitive(name) {
                Some(kind) => self.add(kind, props(&["name", "namespace", "doc", "aliases"])),
                None => self.named(name, space),
            },
        }
    }

    fn define(&mut self, full: String, id: TypeId) -> Parsed<TypeId> {
        if primitive(&full).is_some() {
            return Err(format!("`{full}` is the name of a primitive type"));
        }
        match self.names.insert(full.clone(), id) {
            None => Ok(id),
            Some(_) => Err(format!("can't redefine: `{full}`")),
        }
    }

    fn field(&mut self, value: &Value, space: &str) -> Parsed<Field> {
        let Value::Object(object) = value else { return Err(format!("a field is an object, not {value}")) };
        let Some(Value::String(name)) = object.get("name") else { return Err("a field has no \"name\"".into()) };
        check_name(name)?;
        let schema = object.get("type").ok_or_else(|| format!("field `{name}` has no \"type\""))?;
        let schema = self.schema(schema, space).map_err(|why| format!("in field `{name}`: {why}"))?;
        let order = match object.get("order") {
            None => None,
            Some(Value::String(order)) if matches!(order.as_str(), "ascending" | "descending" | "ignore") => {
                Some(order.clone())
            }
            Some(other) => return Err(format!("the order {other} of field `{name}` is unknown")),
        };
        const RESERVED: [&str; 6] = ["name", "type", "doc", "default", "order", "aliases"];
        let props = object.iter().filter(|(key, _)| !RESERVED.contains(&key.as_str()));
        Ok(Field {
            name: name.clone(),
            schema,
            default: object.get("default").cloned(),
            aliases: strings(object, "aliases"),
            doc: object.get("doc").and_then(Value::as_str).map(str::to_owned),
            order: order.filter(|order| order != "ascending"),
            props: props.map(|(key, value)| (key.clone(), value.clone())).collect(),
        })
    }
}

fn qualify(name: &str, space: &str) -> String {
    if name.contains('.') || space.is_empty() { name.to_owned() } else { format!("{space}.{name}") }
}

fn name_of(object: &Map<String, Value>, space: &str) -> Parsed<Name> {
    let Some(Value::String(name)) = object.get("name") else {
        return Err(format!("a {} has no \"name\"", object["type"].as_str().unwrap_or("named type")));
    };
    let own_space = object.get("namespace").and_then(Value::as_str);
    let full = match name.strip_prefix('.') {
        Some(bare) => bare.to_owned(),
        None => qualify(name, own_space.unwrap_or(space)),
    };
    // A namespace is not looked at, as in Avro for Java up to 1.11 and so in Confluent's registry: Debezium's is the
    // prefix of its topics, hyphens and all.
    check_name(full.rsplit('.').next().expect("split gives at least one part"))?;
    let mut result = Name { full, doc: object.get("doc").and_then(Value::as_str).map(str::to_owned), aliases: vec![] };
    result.aliases = strings(object, "aliases").iter().map(|alias| qualify(alias, result.space())).collect();
    Ok(result)
}

fn strings(object: &Map<String, Value>, key: &str) -> Vec<String> {
    let list = object.get(key).and_then(Value::as_array);
    list.map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect()).unwrap_or_default()
}

fn symbols_of(object: &Map<String, Value>, full: &str) -> Parsed<Vec<String>> {
    let Some(Value::Array(list)) = object.get("symbols") else {
        return Err(format!("enum `{full}` has no \"symbols\""));
    };
    let mut seen = HashSet::new();
    let mut symbols = Vec::with_capacity(list.len());
    for symbol in list {
        let Value::String(symbol) = symbol else { return Err(format!("a symbol of enum `{full}` is {symbol}")) };
        check_name(symbol)?;
        if !seen.insert(symbol) {
            return Err(format!("duplicate symbol `{symbol}` in enum `{full}`"));
        }
        symbols.push(symbol.clone());
    }
    Ok(symbols)
}

/// The specification knows ASCII only; Avro for Java, which is what writes schemas, takes any letter.
fn check_name(name: &str) -> Parsed<()> {
    let mut chars = name.chars();
    let legal =
        chars.next().is_some_and(|c| c.is_alphabetic() || c == '_') && chars.all(|c| c.is_alphanumeric() || c == '_');
    if legal { Ok(()) } else { Err(format!("illegal name: `{}`", name.escape_debug())) }
}

/// The logical type, if it fits the type under it; one that does not is ignored, as the specification asks.
fn logical(kind: &Kind, props: &Map<String, Value>) -> Option<Logical> {
    let name = props.get("logicalType")?.as_str()?;
    Some(match (name, kind) {
        ("decimal", Kind::Bytes | Kind::Fixed { .. }) => {
            let precision = props.get("precision")?.as_u64()?;
            let scale = props.get("scale").map_or(Some(0), Value::as_u64)?;
            if !(1..=38).contains(&precision) || scale > precision {
                return None;
            }
            Logical::Decimal { precision: precision as u8, scale: scale as i8 }
        }
        ("date", Kind::Int) => Logical::Date,
        ("time-millis", Kind::Int) => Logical::TimeMillis,
        ("time-micros", Kind::Long) => Logical::TimeMicros,
        ("timestamp-millis", Kind::Long) => Logical::TimestampMillis,
        ("local-timestamp-millis", Kind::Long) => Logical::LocalTimestampMillis,
        ("timestamp-micros", Kind::Long) => Logical::TimestampMicros,
        ("local-timestamp-micros", Kind::Long) => Logical::LocalTimestampMicros,
        ("timestamp-nanos", Kind::Long) => Logical::TimestampNanos,
        ("local-timestamp-nanos", Kind::Long) => Logical::LocalTimestampNanos,
        ("uuid", Kind::String) => Logical::Uuid,
        _ => return None,
    })
}
