//! Schemas: from Arrow to Iceberg and back, and the changes that are legal in place.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use arrow::datatypes::{DataType, Field, FieldRef, Schema as ArrowSchema, SchemaRef as ArrowSchemaRef, TimeUnit};
use iceberg::{
    arrow::{
        arrow_schema_to_schema, arrow_schema_to_schema_auto_assign_ids, arrow_type_to_type, schema_to_arrow_schema,
    },
    spec::{
        ListType, MapType, NestedField, NestedFieldRef, PrimitiveType, Schema, StructType, TableMetadata, Transform,
        Type, UnboundPartitionSpec,
    },
};
use model::{Error, Result, TableName, error::codes};

use crate::error::{corrupt, internal};

/// What a table is made from.
#[derive(Clone, Debug)]
pub struct NewTable {
    /// Columns. Field ids in the metadata are ignored: the table numbers its columns itself.
    pub schema: ArrowSchemaRef,
    pub partition: Vec<PartitionBy>,
    /// Iceberg table properties (`write.*`, `history.*`, …) and our own (`lakehead.*`).
    pub properties: BTreeMap<String, String>,
    /// What its folder is called after; `None`: the table.
    pub folder: Option<String>,
}

impl NewTable {
    pub fn new(schema: ArrowSchemaRef) -> Self {
        Self { schema, partition: Vec::new(), properties: BTreeMap::new(), folder: None }
    }

    pub fn with_property(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.insert(key.into(), value.into());
        self
    }

    /// For a table that is to be renamed to `name`: folders keep their names.
    pub fn in_folder_of(mut self, name: &str) -> Self {
        self.folder = Some(name.to_owned());
        self
    }

    pub fn partitioned_by(mut self, column: impl Into<String>, transform: Transform) -> Self {
        self.partition.push(PartitionBy { column: column.into(), transform });
        self
    }

    pub(crate) fn iceberg_schema(&self) -> Result<Schema> {
        let mut seen = HashSet::new();
        let mut fields = Vec::with_capacity(self.schema.fields().len());
        for field in self.schema.fields() {
            if !seen.insert(field.name()) {
                return Err(invalid(format!("two columns are called `{}`", field.name())));
            }
            fields.push(stored_field(field)?);
        }
        if fields.is_empty() {
            return Err(invalid("a table has at least one column".to_owned()));
        }
        arrow_schema_to_schema_auto_assign_ids(&ArrowSchema::new(fields)).map_err(|e| invalid(e.to_string()))
    }

    pub(crate) fn partition_spec(&self, schema: &Schema) -> Result<UnboundPartitionSpec> {
        let mut spec = UnboundPartitionSpec::builder();
        for PartitionBy { column, transform } in &self.partition {
            let source = schema.field_id_by_name(column).ok_or_else(|| {
                invalid(format!("it is to be partitioned by `{column}`, which is not one of its columns"))
            })?;
            let name = match transform {
                Transform::Identity => column.clone(),
                Transform::Bucket(_) => format!("{column}_bucket"),
                Transform::Truncate(_) => format!("{column}_trunc"),
                other => format!("{column}_{other}"),
            };
            spec = spec.add_partition_field(source, name, *transform).map_err(|e| invalid(e.to_string()))?;
        }
        Ok(spec.build())
    }
}

/// One partition field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionBy {
    pub column: String,
    pub transform: Transform,
}

/// A change of columns that keeps every existing row as it is.
///
/// Paths are names from the top. What a list holds is called `element`, and the values of a map `value`, as in Iceberg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaChange {
    /// A new nullable field at the end of the struct at `parent` (empty: a column); existing rows read as null. Fine if it
    /// exists with the same type already.
    AddColumn { parent: Vec<String>, field: Field },
    /// A larger type: int → long, float → double, decimal to greater precision. Fine if the field is that wide already.
    Widen { path: Vec<String>, to: DataType },
    /// A required field becomes nullable.
    MakeNullable { path: Vec<String> },
}

impl SchemaChange {
    /// A new column of the table itself.
    pub fn add_column(field: Field) -> Self {
        Self::AddColumn { parent: Vec::new(), field }
    }
}

/// The type a column of type `data_type` has in a table: the nearest one of Iceberg v2 that holds all its values.
pub fn stored_type(data_type: &DataType) -> Result<DataType> {
    Ok(match data_type {
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::LargeBinary,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        DataType::Int64 | DataType::UInt32 => DataType::Int64,
        // The only type that holds all of them.
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 | DataType::Float32 => DataType::Float32,
        DataType::Boolean | DataType::Float64 | DataType::FixedSizeBinary(_) => data_type.clone(),
        DataType::Date32 | DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) if *s >= 0 => {
            DataType::Decimal128(*p, *s)
        }
        DataType::Decimal256(p, s) if *s >= 0 && *p <= 38 => DataType::Decimal128(*p, *s),
        DataType::Dictionary(_, values) => stored_type(values)?,
        DataType::RunEndEncoded(_, values) => stored_type(values.data_type())?,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => {
            let element = stored_type(item.data_type())?;
            DataType::List(Arc::new(Field::new("element", element, item.is_nullable())))
        }
        DataType::Struct(fields) => {
            let mut seen = HashSet::new();
            if let Some(twice) = fields.iter().find(|field| !seen.insert(field.name())) {
                return Err(invalid(format!("two fields of a struct are called `{}`", twice.name())));
            }
            DataType::Struct(fields.iter().map(stored_field).collect::<Result<_>>()?)
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(pair) = entries.data_type() else { return Err(unsupported(data_type)) };
            let [key, value] = &pair[..] else { return Err(unsupported(data_type)) };
            let key = Field::new("key", stored_type(key.data_type())?, false);
            let value = Field::new("value", stored_type(value.data_type())?, value.is_nullable());
            let entries = DataType::Struct(vec![key, value].into());
            DataType::Map(Arc::new(Field::new("key_value", entries, false)), false)
        }
        _ => return Err(unsupported(data_type)),
    })
}

fn stored_field(field: &FieldRef) -> Result<FieldRef> {
    let data_type =
        stored_type(field.data_type()).map_err(|e| e.hint(format!("cast the column `{}`", field.name())))?;
    let nullable = field.is_nullable() || *field.data_type() == DataType::Null;
    Ok(Arc::new(Field::new(field.name(), data_type, nullable)))
}

/// The Arrow form of `schema`, with field ids.
pub(crate) fn arrow_schema(schema: &Schema, table: &TableName) -> Result<ArrowSchemaRef> {
    match schema_to_arrow_schema(schema) {
        Ok(schema) => Ok(Arc::new(schema)),
        Err(e) => Err(corrupt(format!("could not read the schema of `{table}`"), e)),
    }
}

/// The schema after `changes`, or `None` if they all hold already.
pub(crate) fn evolved(metadata: &TableMetadata, changes: &[SchemaChange]) -> Result<Option<Schema>> {
    let current = metadata.current_schema();
    let mut fields = current.as_struct().fields().to_vec();
    // Ids are never used twice, not even those of columns dropped long ago.
    let mut last_id = metadata.last_column_id();
    for change in changes {
        fields = match change {
            SchemaChange::AddColumn { parent, field } if parent.is_empty() => with(fields, field, &mut last_id)?,
            SchemaChange::AddColumn { parent, field } => {
                alter(&fields, parent, &mut |of| with_field(of, field, &mut last_id, parent))?
            }
            SchemaChange::Widen { path, to } => {
                let to = primitive(to)?;
                alter(&fields, path, &mut |field| widened(field, &to, path))?
            }
            SchemaChange::MakeNullable { path } => alter(&fields, path, &mut |field| {
                let mut field = field.clone();
                field.required = false;
                Ok(field)
            })?,
        }
    }
    if fields == current.as_struct().fields() {
        return Ok(None);
    }
    let schema = Schema::builder()
        .with_fields(fields)
        .with_identifier_field_ids(current.identifier_field_ids())
        .build()
        .map_err(|e| illegal(e.to_string()))?;
    Ok(Some(schema))
}

/// `fields` and a new one, with ids that were never used.
fn with(mut fields: Vec<NestedFieldRef>, field: &Field, last_id: &mut i32) -> Result<Vec<NestedFieldRef>> {
    let stored = stored_field(&Arc::new(field.clone()))?;
    if let Some(existing) = fields.iter().find(|existing| existing.name == *field.name()) {
        let wanted =
            arrow_type_to_type(&with_ids(&stored, &mut 0).data_type().clone()).map_err(|e| invalid(e.to_string()))?;
        return match same_shape(&existing.field_type, &wanted) {
            true => Ok(fields),
            false => {
                Err(illegal(format!("column `{}` exists as {}, not as {wanted}", field.name(), existing.field_type)))
            }
        };
    }
    let numbered = with_ids(&stored.as_ref().clone().with_nullable(true).into(), last_id);
    let schema = arrow_schema_to_schema(&ArrowSchema::new(vec![numbered])).map_err(|e| invalid(e.to_string()))?;
    fields.extend(schema.as_struct().fields().iter().cloned());
    Ok(fields)
}

/// The struct `of` with one more field.
fn with_field(of: &NestedField, field: &Field, last_id: &mut i32, path: &[String]) -> Result<NestedField> {
    let Type::Struct(inner) = of.field_type.as_ref() else {
        return Err(illegal(format!("`{}` is {}, it has no fields", path.join("."), of.field_type)));
    };
    let fields = with(inner.fields().to_vec(), field, last_id)?;
    let mut of = of.clone();
    *of.field_type = Type::Struct(StructType::new(fields));
    Ok(of)
}

/// The field and all within it, numbered from `last_id` + 1.
fn with_ids(field: &FieldRef, last_id: &mut i32) -> FieldRef {
    *last_id += 1;
    let id = *last_id;
    let data_type = match field.data_type() {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|f| with_ids(f, last_id)).collect()),
        DataType::List(element) => DataType::List(with_ids(element, last_id)),
        DataType::Map(entries, sorted) => {
            let DataType::Struct(pair) = entries.data_type() else { unreachable!("made by `stored_type`") };
            // The pair itself has no id in Iceberg.
            let pair = DataType::Struct(pair.iter().map(|f| with_ids(f, last_id)).collect());
            DataType::Map(Arc::new(entries.as_ref().clone().with_data_type(pair)), *sorted)
        }
        other => other.clone(),
    };
    let id = [(parquet::arrow::PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())].into();
    Arc::new(field.as_ref().clone().with_data_type(data_type).with_metadata(id))
}

/// Equal but for ids and docs.
fn same_shape(a: &Type, b: &Type) -> bool {
    let same_field = |a: &NestedFieldRef, b: &NestedFieldRef| same_shape(&a.field_type, &b.field_type);
    match (a, b) {
        (Type::Primitive(a), Type::Primitive(b)) => a == b,
        (Type::List(a), Type::List(b)) => same_field(&a.element_field, &b.element_field),
        (Type::Map(a), Type::Map(b)) => {
            same_field(&a.key_field, &b.key_field) && same_field(&a.value_field, &b.value_field)
        }
        (Type::Struct(a), Type::Struct(b)) => {
            a.fields().len() == b.fields().len()
                && a.fields().iter().zip(b.fields()).all(|(a, b)| a.name == b.name && same_field(a, b))
        }
        _ => false,
    }
}

type Alteration<'a> = dyn FnMut(&NestedField) -> Result<NestedField> + 'a;

/// `fields` with the one at `path` altered.
fn alter(fields: &[NestedFieldRef], path: &[String], change: &mut Alteration<'_>) -> Result<Vec<NestedFieldRef>> {
    match altered(fields, path, change)? {
        Some(fields) => Ok(fields),
        None => Err(illegal(format!("there is no column `{}`", path.join(".")))),
    }
}

fn altered(
    fields: &[NestedFieldRef],
    path: &[String],
    change: &mut Alteration<'_>,
) -> Result<Option<Vec<NestedFieldRef>>> {
    let Some((name, rest)) = path.split_first() else { return Ok(None) };
    let Some(at) = fields.iter().position(|field| field.name == *name) else { return Ok(None) };
    let mut fields = fields.to_vec();
    let field = match rest {
        [] => change(&fields[at])?,
        rest => {
            let mut field = fields[at].as_ref().clone();
            let Some(within) = altered_type(&field.field_type, rest, change)? else { return Ok(None) };
            *field.field_type = within;
            field
        }
    };
    fields[at] = Arc::new(field);
    Ok(Some(fields))
}

fn altered_type(ty: &Type, path: &[String], change: &mut Alteration<'_>) -> Result<Option<Type>> {
    let only = |mut fields: Vec<NestedFieldRef>| fields.pop().expect("one in, one out");
    Ok(match ty {
        Type::Struct(inner) => {
            altered(inner.fields(), path, change)?.map(|fields| Type::Struct(StructType::new(fields)))
        }
        Type::List(list) => altered(std::slice::from_ref(&list.element_field), path, change)?
            .map(|element| Type::List(ListType::new(only(element)))),
        // Keys must stay equal to themselves; only values change.
        Type::Map(map) => altered(std::slice::from_ref(&map.value_field), path, change)?
            .map(|value| Type::Map(MapType::new(map.key_field.clone(), only(value)))),
        Type::Primitive(_) => None,
    })
}

fn widened(field: &NestedField, to: &PrimitiveType, path: &[String]) -> Result<NestedField> {
    use PrimitiveType::{Decimal, Double, Float, Int, Long};
    let path = path.join(".");
    let mut field = field.clone();
    let Type::Primitive(from) = field.field_type.as_ref() else {
        return Err(illegal(format!("column `{path}` is {}, it has no wider type", field.field_type)));
    };
    let keep = match (from, to) {
        (Long, Int) | (Double, Float) => true,
        (Decimal { precision: p, scale: s }, Decimal { precision: q, scale: t }) if s == t => p >= q,
        _ => from == to,
    };
    let legal = match (from, to) {
        (Int, Long) | (Float, Double) => true,
        (Decimal { precision: p, scale: s }, Decimal { precision: q, scale: t }) => s == t && p <= q,
        _ => false,
    };
    match (keep, legal) {
        (true, _) => {}
        (false, true) => *field.field_type = Type::Primitive(to.clone()),
        (false, false) => return Err(illegal(format!("column `{path}` is {from}; {to} does not hold its values"))),
    }
    Ok(field)
}

fn primitive(data_type: &DataType) -> Result<PrimitiveType> {
    match arrow_type_to_type(&stored_type(data_type)?) {
        Ok(Type::Primitive(primitive)) => Ok(primitive),
        Ok(_) => Err(illegal("only simple types can be widened".to_owned())),
        Err(e) => Err(internal("a stored type has no Iceberg type".to_owned(), e)),
    }
}

fn unsupported(data_type: &DataType) -> Error {
    Error::new(codes::SCHEMA_UNSUPPORTED, format!("a table cannot hold the type {data_type}"))
}

fn invalid(why: String) -> Error {
    Error::new(codes::TABLE_SCHEMA_INVALID, "these columns do not make a table").detail(why)
}

fn illegal(why: String) -> Error {
    Error::new(codes::SCHEMA_CHANGE_ILLEGAL, "could not change the columns").detail(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_arrow_type_has_a_stored_type_that_is_its_own_or_is_refused() {
        let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8View, true)));
        let nested =
            DataType::Struct(vec![Field::new("a", list, true), Field::new("b", DataType::UInt64, false)].into());
        for data_type in [
            DataType::Null,
            DataType::Utf8View,
            DataType::Int8,
            DataType::UInt64,
            DataType::Float16,
            DataType::Date64,
            DataType::Timestamp(TimeUnit::Nanosecond, Some("Europe/Berlin".into())),
            DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            DataType::Decimal256(30, 2),
            nested,
        ] {
            let stored = stored_type(&data_type).expect("storable");
            assert_eq!(stored_type(&stored).expect("stored"), stored, "{data_type}");
            let schema = ArrowSchema::new(vec![Field::new("c", stored, true)]);
            arrow_schema_to_schema_auto_assign_ids(&schema).expect("an Iceberg type");
        }
        for bad in [DataType::Decimal256(60, 2), DataType::Duration(TimeUnit::Second), DataType::Decimal128(5, -2)] {
            assert!(stored_type(&bad).expect_err("refused").is(codes::SCHEMA_UNSUPPORTED), "{bad}");
        }
    }

    fn metadata(fields: Vec<Field>) -> TableMetadata {
        let schema = NewTable::new(Arc::new(ArrowSchema::new(fields))).iceberg_schema().expect("schema");
        let creation = iceberg::TableCreation::builder().name("t".into()).location("file:///t".into()).schema(schema);
        let builder = iceberg::spec::TableMetadataBuilder::from_table_creation(creation.build()).expect("builder");
        builder.build().expect("metadata").metadata
    }

    #[test]
    fn new_columns_get_ids_that_were_never_used() {
        let list = DataType::List(Arc::new(Field::new("item", DataType::Int32, true)));
        let metadata = metadata(vec![Field::new("a", DataType::Int32, false), Field::new("b", list.clone(), true)]);
        assert_eq!(metadata.last_column_id(), 3);
        let add = |name: &str, ty: &DataType| SchemaChange::add_column(Field::new(name, ty.clone(), true));
        let schema = evolved(&metadata, &[add("c", &list), add("d", &DataType::Utf8)]).expect("legal").expect("new");
        let ids = |name| schema.field_id_by_name(name);
        assert_eq!((ids("c"), ids("c.element"), ids("d")), (Some(4), Some(5), Some(6)));

        assert!(evolved(&metadata, &[add("b", &list)]).expect("legal").is_none(), "it is there already");
        let error = evolved(&metadata, &[add("b", &DataType::Utf8)]).expect_err("another type");
        assert!(error.is(codes::SCHEMA_CHANGE_ILLEGAL));
    }

    #[test]
    fn columns_widen_and_never_narrow() {
        let inner = DataType::Struct(vec![Field::new("f", DataType::Float32, true)].into());
        let metadata = metadata(vec![
            Field::new("i", DataType::Int32, true),
            Field::new("s", inner, true),
            Field::new("l", DataType::Int64, true),
            Field::new("d", DataType::Decimal128(9, 2), true),
            Field::new("t", DataType::Utf8, true),
        ]);
        let widen = |column: &str, to: DataType| evolved(&metadata, &[SchemaChange::Widen { path: path(column), to }]);
        let ty = |schema: &Schema, column| schema.field_by_name(column).expect("column").field_type.to_string();
        assert_eq!(ty(&widen("i", DataType::Int64).expect("legal").expect("new"), "i"), "long");
        assert_eq!(ty(&widen("s.f", DataType::Float64).expect("legal").expect("new"), "s.f"), "double");
        assert_eq!(ty(&widen("d", DataType::Decimal128(20, 2)).expect("legal").expect("new"), "d"), "decimal(20, 2)");
        assert!(widen("l", DataType::Int32).expect("wide enough").is_none());
        for (column, to) in [
            ("i", DataType::Float64),
            ("i", DataType::Utf8),
            ("t", DataType::Int64),
            ("d", DataType::Decimal128(20, 3)),
            ("nowhere", DataType::Int64),
        ] {
            assert!(widen(column, to).expect_err(column).is(codes::SCHEMA_CHANGE_ILLEGAL), "{column}");
        }
    }

    fn path(dotted: &str) -> Vec<String> {
        dotted.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn fields_within_structs_lists_and_maps_grow_and_the_others_keep_their_ids() {
        let point = || DataType::Struct(vec![Field::new("x", DataType::Int32, false)].into());
        let pair = vec![Field::new("key", DataType::Utf8, false), Field::new("value", point(), false)];
        let entries = Field::new("entries", DataType::Struct(pair.into()), false);
        let metadata = metadata(vec![
            Field::new("s", point(), true),
            Field::new("l", DataType::List(Arc::new(Field::new("item", point(), false))), true),
            Field::new("m", DataType::Map(Arc::new(entries), false), true),
        ]);
        let before = metadata.current_schema();
        let places = ["s", "l.element", "m.value"];
        let last_id = metadata.last_column_id();
        let changes = places.iter().flat_map(|place| {
            let x = path(&format!("{place}.x"));
            let list = DataType::List(Arc::new(Field::new("item", point(), true)));
            [
                SchemaChange::AddColumn { parent: path(place), field: Field::new("new", list, false) },
                SchemaChange::Widen { path: x.clone(), to: DataType::Int64 },
                SchemaChange::MakeNullable { path: x },
            ]
        });
        let changes: Vec<_> = changes.chain([SchemaChange::MakeNullable { path: path("l.element") }]).collect();
        let schema = evolved(&metadata, &changes).expect("legal").expect("new");
        for (n, place) in places.iter().enumerate() {
            let field = |name: &str| schema.field_by_name(name).unwrap_or_else(|| panic!("{name}"));
            let x = format!("{place}.x");
            assert_eq!(Some(field(&x).id), before.field_id_by_name(&x));
            assert_eq!((field(&x).required, field(&x).field_type.to_string()), (false, "long".to_owned()));
            // The new list, its element, and what that holds.
            let first = last_id + 1 + 3 * n as i32;
            let ids = ["new", "new.element", "new.element.x"].map(|name| field(&format!("{place}.{name}")).id);
            assert_eq!(ids, [first, first + 1, first + 2]);
            assert!(!field(&format!("{place}.new")).required, "existing rows have no value");
        }
        assert!(!schema.field_by_name("l.element").expect("there").required);

        for bad in ["s.x", "l", "m", "m.key", "s.nowhere"] {
            let add = SchemaChange::AddColumn { parent: path(bad), field: Field::new("n", DataType::Utf8, true) };
            assert!(evolved(&metadata, &[add]).expect_err(bad).is(codes::SCHEMA_CHANGE_ILLEGAL), "{bad}");
        }
    }

    #[test]
    fn a_name_with_a_dot_is_one_name() {
        let inner = DataType::Struct(vec![Field::new("b", DataType::Int32, true)].into());
        let metadata = metadata(vec![Field::new("a", inner, true), Field::new("x.y", DataType::Int32, true)]);
        let widen = SchemaChange::Widen { path: vec!["x.y".into()], to: DataType::Int64 };
        let schema = evolved(&metadata, &[widen]).expect("legal").expect("new");
        assert_eq!(schema.field_by_name("x.y").expect("there").field_type.to_string(), "long");
        let split = SchemaChange::Widen { path: path("x.y"), to: DataType::Int64 };
        assert!(evolved(&metadata, &[split]).is_err());
    }
}
