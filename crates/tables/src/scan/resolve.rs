//! Columns by field id, not by name.
//!
//! A Parquet file keeps the names and types its table had when it was written, and an id for each field. DataFusion asks
//! an adapter to rewrite the columns of projections and filters for each file; this one finds each by id:
//!
//! | since the file was written, the column was | it reads as |
//! |---|---|
//! | renamed | the old name's column |
//! | widened (int → long, float → double, decimal) | a cast, which row-group pruning sees through |
//! | added | null |
//! | changed inside (struct fields added, renamed, widened, reordered) | rebuilt field by field, also in lists and maps |

use std::{any::Any, fmt, hash::Hash, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, GenericListArray, MapArray, OffsetSizeTrait, RecordBatch, StructArray, new_null_array,
    },
    compute::{CastOptions, cast_with_options, is_null, nullif},
    datatypes::{DataType, FieldRef, Fields, Schema as ArrowSchema, SchemaRef},
    error::ArrowError,
};
use datafusion::{
    common::{
        DataFusionError, Result, ScalarValue, exec_err, internal_err,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    logical_expr::ColumnarValue,
    physical_expr::{
        PhysicalExpr,
        expressions::{CastExpr, Column, lit},
    },
    physical_expr_adapter::{PhysicalExprAdapter, PhysicalExprAdapterFactory},
};
use iceberg::spec::Type;

use super::{
    bounds::Columns,
    reader::{field_id, find_root, has_field_ids},
};

/// Makes an adapter for each file of a scan.
#[derive(Debug)]
pub(super) struct ByFieldId {
    pub(super) columns: Arc<Columns>,
}

impl PhysicalExprAdapterFactory for ByFieldId {
    fn create(&self, _logical: SchemaRef, physical: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        Ok(Arc::new(Adapter::new(self.columns.clone(), physical)))
    }
}

/// Rewrites expressions over the scan's columns into ones over one file's.
#[derive(Debug)]
pub(super) struct Adapter {
    columns: Arc<Columns>,
    physical: SchemaRef,
}

impl Adapter {
    pub(super) fn new(columns: Arc<Columns>, physical: SchemaRef) -> Self {
        Self { columns, physical }
    }

    fn column(&self, name: &str) -> Result<Arc<dyn PhysicalExpr>> {
        let index = self.columns.schema.index_of(name)?;
        let to = self.columns.schema.field(index).data_type();
        let Some(field) = &self.columns.fields[index] else { return null(to) };
        let Some(at) = find_root(&self.physical, field.id, &field.name) else { return null(to) };
        let found = self.physical.field(at);
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(found.name(), at));
        let by_id = has_field_ids(&self.physical);
        Ok(match Rebuild::plan(found.data_type(), to, &field.field_type, by_id)? {
            Rebuild::Same => column,
            Rebuild::Cast(to) => Arc::new(CastExpr::new(column, to, None)),
            rebuild => Arc::new(RebuildExpr { column, to: to.clone(), rebuild }),
        })
    }
}

impl PhysicalExprAdapter for Adapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        // Downwards, and not into what was put in: a file's column may bear the name of another column of the table.
        expr.transform_down(|expr| match expr.as_any().downcast_ref::<Column>() {
            None => Ok(Transformed::no(expr)),
            Some(column) => {
                let found = self.column(column.name())?;
                Ok(Transformed::new(found, true, datafusion::common::tree_node::TreeNodeRecursion::Jump))
            }
        })
        .data()
    }
}

fn null(to: &DataType) -> Result<Arc<dyn PhysicalExpr>> {
    Ok(lit(ScalarValue::try_new_null(to)?))
}

/// How a file's array becomes the table's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Rebuild {
    Same,
    Cast(DataType),
    /// For each field wanted: where it is in the file's struct and how to rebuild it, or null.
    Struct(Fields, Vec<Option<(usize, Rebuild)>>),
    List(FieldRef, Box<Rebuild>),
    LargeList(FieldRef, Box<Rebuild>),
    Map(FieldRef, bool, Box<Rebuild>),
}

impl Rebuild {
    fn plan(from: &DataType, to: &DataType, iceberg: &Type, by_id: bool) -> Result<Self> {
        match (from, to, iceberg) {
            (DataType::Struct(have), DataType::Struct(want), Type::Struct(fields)) => {
                let children = want.iter().map(|want| {
                    let Some(field) = fields.field_by_name(want.name()) else { return Ok(None) };
                    let at = have.iter().position(|have| match field_id(have) {
                        Some(id) => id == field.id,
                        None => !by_id && have.name() == &field.name,
                    });
                    let Some(at) = at else { return Ok(None) };
                    let child = Self::plan(have[at].data_type(), want.data_type(), &field.field_type, by_id)?;
                    Ok(Some((at, child)))
                });
                Ok(Self::Struct(want.clone(), children.collect::<Result<_>>()?))
            }
            (DataType::List(have), DataType::List(want), Type::List(list)) => {
                let item = Self::plan(have.data_type(), want.data_type(), &list.element_field.field_type, by_id)?;
                Ok(Self::List(want.clone(), Box::new(item)))
            }
            (DataType::LargeList(have), DataType::LargeList(want), Type::List(list)) => {
                let item = Self::plan(have.data_type(), want.data_type(), &list.element_field.field_type, by_id)?;
                Ok(Self::LargeList(want.clone(), Box::new(item)))
            }
            (DataType::Map(have, _), DataType::Map(want, sorted), Type::Map(map)) => {
                let (DataType::Struct(have), DataType::Struct(entries)) = (have.data_type(), want.data_type()) else {
                    return internal_err!("a map's entries are a struct");
                };
                let key = Self::plan(have[0].data_type(), entries[0].data_type(), &map.key_field.field_type, by_id)?;
                let value =
                    Self::plan(have[1].data_type(), entries[1].data_type(), &map.value_field.field_type, by_id)?;
                let pair = Self::Struct(entries.clone(), vec![Some((0, key)), Some((1, value))]);
                Ok(Self::Map(want.clone(), *sorted, Box::new(pair)))
            }
            (from, to, _) if from == to => Ok(Self::Same),
            (from, to, Type::Primitive(_)) if arrow::compute::can_cast_types(from, to) => Ok(Self::Cast(to.clone())),
            (from, to, _) => exec_err!("a file holds {from} where the table has {to}"),
        }
    }

    fn apply(&self, array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Same => array.clone(),
            // A value that does not fit is an error, here as in a column of its own.
            Self::Cast(to) => cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() })?,
            Self::Struct(fields, children) => {
                let have = array.as_struct();
                let rebuilt = fields.iter().zip(children).map(|(field, child)| match child {
                    Some((at, rebuild)) => rebuild.apply(&within(have, *at, field.is_nullable())?),
                    None => Ok(new_null_array(field.data_type(), have.len())),
                });
                let rebuilt = rebuilt.collect::<Result<Vec<_>, _>>()?;
                match fields.is_empty() {
                    true => Arc::new(StructArray::new_empty_fields(have.len(), have.nulls().cloned())),
                    false => Arc::new(StructArray::try_new(fields.clone(), rebuilt, have.nulls().cloned())?),
                }
            }
            Self::List(field, item) => rebuild_list::<i32>(array, field, item)?,
            Self::LargeList(field, item) => rebuild_list::<i64>(array, field, item)?,
            Self::Map(field, sorted, pair) => {
                let have = array.as_map();
                let entries = pair.apply(&(Arc::new(have.entries().clone()) as ArrayRef))?;
                let entries = entries.as_struct().clone();
                let (offsets, nulls) = (have.offsets().clone(), have.nulls().cloned());
                Arc::new(MapArray::try_new(field.clone(), offsets, entries, nulls, *sorted)?)
            }
        })
    }
}

/// Field `at` of `of`. One that was required when it was written has no nulls of its own where the struct is null; now
/// that it is `nullable`, whoever takes it out of the struct must find them.
fn within(of: &StructArray, at: usize, nullable: bool) -> Result<ArrayRef, ArrowError> {
    let field = of.column(at);
    match nullable && of.null_count() > 0 && field.nulls().is_none() {
        true => nullif(field, &is_null(of)?),
        false => Ok(field.clone()),
    }
}

fn rebuild_list<O: OffsetSizeTrait>(
    array: &ArrayRef,
    field: &FieldRef,
    item: &Rebuild,
) -> Result<ArrayRef, ArrowError> {
    let have: &GenericListArray<O> = array.as_list::<O>();
    let values = item.apply(have.values())?;
    let (offsets, nulls) = (have.offsets().clone(), have.nulls().cloned());
    Ok(Arc::new(GenericListArray::try_new(field.clone(), offsets, values, nulls)?))
}

/// A nested column of the file, rebuilt to the table's type.
#[derive(Debug, Eq)]
struct RebuildExpr {
    column: Arc<dyn PhysicalExpr>,
    to: DataType,
    rebuild: Rebuild,
}

impl PartialEq for RebuildExpr {
    fn eq(&self, other: &Self) -> bool {
        self.column.eq(&other.column) && self.to == other.to && self.rebuild == other.rebuild
    }
}

impl Hash for RebuildExpr {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.column.hash(state);
        self.to.hash(state);
        self.rebuild.hash(state);
    }
}

impl fmt::Display for RebuildExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "by_field_id({})", self.column)
    }
}

impl PhysicalExpr for RebuildExpr {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn data_type(&self, _input: &ArrowSchema) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn nullable(&self, input: &ArrowSchema) -> Result<bool> {
        self.column.nullable(input)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let array = self.column.evaluate(batch)?.into_array(batch.num_rows())?;
        Ok(ColumnarValue::Array(self.rebuild.apply(&array).map_err(DataFusionError::from)?))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.column]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let [column] = <[_; 1]>::try_from(children)
            .map_err(|_| DataFusionError::Internal("by_field_id has one argument".into()))?;
        Ok(Arc::new(Self { column, to: self.to.clone(), rebuild: self.rebuild.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.column.fmt_sql(f)
    }
}
