//! What manifests and data files are known to hold, in the form DataFusion's pruning predicate asks for.
//!
//! Bounds come from two places. A data file lists lower and upper bounds per column; they hold for every non-null,
//! non-NaN value but need not be tight (long strings are cut). A partition value, or a manifest's summary of partition
//! values, is turned back through its transform into a range of the source column: `day(ts) = 19000` says
//! `ts` lies within that day. Where neither speaks, the answer is "unknown" and nothing is skipped.

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, BooleanArray, Int32Array, UInt64Array},
    datatypes::{DataType, SchemaRef, TimeUnit},
};
use datafusion::{
    common::{Column, ColumnStatistics, ScalarValue, Statistics, pruning::PruningStatistics, stats::Precision},
    error::DataFusionError,
};
use iceberg::spec::{
    DataFile, Datum, Literal, ManifestFile, NestedFieldRef, PartitionSpec, PrimitiveLiteral, PrimitiveType, Schema,
    Struct, TableMetadata, Transform, Type,
};

/// The columns of a scan: how they are presented, and the Iceberg field behind each (`None`: always null).
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) schema: SchemaRef,
    pub(super) fields: Vec<Option<NestedFieldRef>>,
}

impl Columns {
    pub(super) fn new(schema: SchemaRef, iceberg: &Schema) -> Self {
        let top = iceberg.as_struct();
        let fields = schema.fields().iter().map(|field| top.field_by_name(field.name()).cloned()).collect();
        Self { schema, fields }
    }

    fn find(&self, name: &str) -> Option<(&NestedFieldRef, &DataType)> {
        let index = self.schema.index_of(name).ok()?;
        Some((self.fields[index].as_ref()?, self.schema.field(index).data_type()))
    }
}

/// `literal` as a value of type `to`, if that needs no conversion but widening.
pub(super) fn scalar(literal: &PrimitiveLiteral, to: &DataType) -> Option<ScalarValue> {
    use PrimitiveLiteral as P;
    Some(match (literal, to) {
        (P::Boolean(v), DataType::Boolean) => ScalarValue::Boolean(Some(*v)),
        (P::Int(v), DataType::Int32) => ScalarValue::Int32(Some(*v)),
        (P::Int(v), DataType::Int64) => ScalarValue::Int64(Some(i64::from(*v))),
        (P::Int(v), DataType::Date32) => ScalarValue::Date32(Some(*v)),
        (P::Long(v), DataType::Int64) => ScalarValue::Int64(Some(*v)),
        (P::Long(v), DataType::Time64(TimeUnit::Microsecond)) => ScalarValue::Time64Microsecond(Some(*v)),
        (P::Long(v), DataType::Timestamp(TimeUnit::Microsecond, zone)) => {
            ScalarValue::TimestampMicrosecond(Some(*v), zone.clone())
        }
        (P::Long(v), DataType::Timestamp(TimeUnit::Nanosecond, zone)) => {
            ScalarValue::TimestampNanosecond(Some(*v), zone.clone())
        }
        (P::Float(v), DataType::Float32) => ScalarValue::Float32(Some(v.0)),
        (P::Float(v), DataType::Float64) => ScalarValue::Float64(Some(f64::from(v.0))),
        (P::Double(v), DataType::Float64) => ScalarValue::Float64(Some(v.0)),
        (P::String(v), DataType::Utf8) => ScalarValue::Utf8(Some(v.clone())),
        (P::String(v), DataType::Utf8View) => ScalarValue::Utf8View(Some(v.clone())),
        (P::String(v), DataType::LargeUtf8) => ScalarValue::LargeUtf8(Some(v.clone())),
        (P::Binary(v), DataType::Binary) => ScalarValue::Binary(Some(v.clone())),
        (P::Binary(v), DataType::BinaryView) => ScalarValue::BinaryView(Some(v.clone())),
        (P::Binary(v), DataType::LargeBinary) => ScalarValue::LargeBinary(Some(v.clone())),
        (P::Int128(v), DataType::Decimal128(precision, scale)) => ScalarValue::Decimal128(Some(*v), *precision, *scale),
        _ => return None,
    })
}

/// The range of a transform's source values, given the least and greatest transformed value. Either end may be unknown.
fn source_range(
    transform: Transform,
    source: &PrimitiveType,
    low: Option<&PrimitiveLiteral>,
    high: Option<&PrimitiveLiteral>,
) -> (Option<PrimitiveLiteral>, Option<PrimitiveLiteral>) {
    use PrimitiveLiteral as P;
    match transform {
        Transform::Identity => (low.cloned(), high.cloned()),
        Transform::Truncate(width) => {
            let last = i64::from(width).max(1) - 1;
            let high = match high {
                Some(P::Int(v)) => Some(P::Int(v.saturating_add(last.try_into().unwrap_or(i32::MAX)))),
                Some(P::Long(v)) => Some(P::Long(v.saturating_add(last))),
                Some(P::Int128(v)) => Some(P::Int128(v.saturating_add(i128::from(last)))),
                _ => None, // a prefix bounds its strings from below only
            };
            (low.cloned(), high)
        }
        Transform::Year | Transform::Month | Transform::Day | Transform::Hour => {
            let start = |v: i64| period_start(transform, source, v);
            let as_i64 = |v: &P| if let P::Int(v) = v { Some(i64::from(*v)) } else { None };
            // Old writers rounded times before 1970 towards zero, so a value ≤ 0 may also hold its predecessor's rows.
            let low = low.and_then(as_i64).and_then(|v| start(if v <= 0 { v - 1 } else { v }));
            let high = high.and_then(as_i64).and_then(|v| start(v + 1)).map(|end| end - 1);
            let typed = |v: i64| match source {
                PrimitiveType::Date => i32::try_from(v).ok().map(P::Int),
                _ => Some(P::Long(v)),
            };
            (low.and_then(typed), high.and_then(typed))
        }
        Transform::Bucket(_) | Transform::Void | Transform::Unknown => (None, None),
    }
}

/// First instant of period `value` (years, months, days or hours since 1970) in the source's unit.
fn period_start(transform: Transform, source: &PrimitiveType, value: i64) -> Option<i64> {
    let hours = match transform {
        Transform::Hour => value,
        Transform::Day => value.checked_mul(24)?,
        Transform::Month => days_to_month(value)?.checked_mul(24)?,
        Transform::Year => days_to_month(value.checked_mul(12)?)?.checked_mul(24)?,
        _ => return None,
    };
    let per_hour: i64 = match source {
        PrimitiveType::Date => return (transform != Transform::Hour).then_some(hours / 24),
        PrimitiveType::Timestamp | PrimitiveType::Timestamptz => 3_600_000_000,
        PrimitiveType::TimestampNs | PrimitiveType::TimestamptzNs => 3_600_000_000_000,
        _ => return None,
    };
    hours.checked_mul(per_hour)
}

/// Days from 1970-01-01 to the first of the month `months` after January 1970 (proleptic Gregorian calendar).
fn days_to_month(months: i64) -> Option<i64> {
    if months.abs() > 12 * 1_000_000 {
        return None;
    }
    let (year, month) = (1970 + months.div_euclid(12), months.rem_euclid(12) + 1);
    // Counting from March makes the leap day the last of its year.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

/// Smallest and greatest value, as far as known.
type Range = (Option<PrimitiveLiteral>, Option<PrimitiveLiteral>);

fn primitive(field: &NestedFieldRef) -> Option<&PrimitiveType> {
    field.field_type.as_primitive_type()
}

/// The value partition field `index` has in `partition`; the outer `None`: the struct has no such field.
fn partition_value(partition: &Struct, index: usize) -> Option<Option<&PrimitiveLiteral>> {
    Some(match partition.fields().get(index)? {
        Some(Literal::Primitive(value)) => Some(value),
        _ => None,
    })
}

/// A data file and what its partition says.
pub(super) trait HasFile {
    fn file(&self) -> &DataFile;
    fn spec(&self) -> &PartitionSpec;
}

/// Range of `field` in a file.
fn file_range<F: HasFile>(candidate: &F, field: &NestedFieldRef) -> Range {
    let file = candidate.file();
    let Some(source) = primitive(field) else { return (None, None) };
    let mut range = (
        file.lower_bounds().get(&field.id).map(|datum| datum.literal().clone()),
        file.upper_bounds().get(&field.id).map(|datum| datum.literal().clone()),
    );
    if source.is_float() && file.nan_value_counts().get(&field.id) != Some(&0) {
        // NaN sorts beyond every number (and -NaN before), but bounds leave it out.
        range = (None, None);
    }
    if range.0.is_some() && range.1.is_some() {
        return range;
    }
    for (index, partition) in candidate.spec().fields().iter().enumerate() {
        if partition.source_id == field.id
            && let Some(value) = partition_value(file.partition(), index)
            && !source.is_float()
        {
            let (low, high) = source_range(partition.transform, source, value, value);
            range = (range.0.or(low), range.1.or(high));
        }
    }
    range
}

/// Nulls of `field` in a file, if known.
fn file_nulls<F: HasFile>(candidate: &F, field: &NestedFieldRef) -> Option<u64> {
    let file = candidate.file();
    if let Some(nulls) = file.null_value_counts().get(&field.id) {
        return Some(*nulls);
    }
    // Every transform but `void` maps null to null and nothing else to null.
    candidate.spec().fields().iter().enumerate().find_map(|(index, partition)| {
        if partition.source_id != field.id || matches!(partition.transform, Transform::Void | Transform::Unknown) {
            return None;
        }
        Some(if partition_value(file.partition(), index)?.is_some() { 0 } else { file.record_count() })
    })
}

trait IsFloat {
    fn is_float(&self) -> bool;
}

impl IsFloat for PrimitiveType {
    fn is_float(&self) -> bool {
        matches!(self, Self::Float | Self::Double)
    }
}

/// Values as an array of `to`, unknown ones as null; `None` if none is known.
fn to_array(values: impl Iterator<Item = Option<PrimitiveLiteral>>, to: &DataType) -> Option<ArrayRef> {
    let unknown = ScalarValue::try_new_null(to).ok()?;
    let mut any = false;
    let scalars: Vec<ScalarValue> = values
        .map(|value| match value.as_ref().and_then(|value| scalar(value, to)) {
            Some(scalar) => {
                any = true;
                scalar
            }
            None => unknown.clone(),
        })
        .collect();
    if any { ScalarValue::iter_to_array(scalars).ok() } else { None }
}

/// Files as containers to prune.
pub(super) struct FileBounds<'a, F> {
    pub(super) columns: &'a Columns,
    pub(super) files: &'a [F],
}

impl<F: HasFile> PruningStatistics for FileBounds<'_, F> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        let (field, to) = self.columns.find(&column.name)?;
        to_array(self.files.iter().map(|file| file_range(file, field).0), to)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        let (field, to) = self.columns.find(&column.name)?;
        to_array(self.files.iter().map(|file| file_range(file, field).1), to)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let (field, _) = self.columns.find(&column.name)?;
        Some(Arc::new(UInt64Array::from_iter(self.files.iter().map(|file| file_nulls(file, field)))))
    }

    fn row_counts(&self, _column: &Column) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from_iter_values(self.files.iter().map(|file| file.file().record_count()))))
    }

    /// Buckets: a file whose bucket none of `values` falls into holds none of them.
    fn contained(&self, column: &Column, values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        let (field, _) = self.columns.find(&column.name)?;
        let has_bucket =
            |spec: &PartitionSpec| spec.fields().iter().any(|p| is_bucket(p.transform) && p.source_id == field.id);
        if !self.files.iter().any(|file| has_bucket(file.spec())) {
            return None;
        }
        let mut wanted = Buckets { values, source: primitive(field)?, known: Vec::new() };
        Some(
            self.files
                .iter()
                .map(|file| {
                    let mut absent = false;
                    for (index, partition) in file.spec().fields().iter().enumerate() {
                        if partition.source_id == field.id
                            && is_bucket(partition.transform)
                            && let Some(Some(PrimitiveLiteral::Int(bucket))) =
                                partition_value(file.file().partition(), index)
                        {
                            absent |= wanted.of(partition.transform).is_some_and(|hit| !hit.contains(bucket));
                        }
                    }
                    absent.then_some(false)
                })
                .collect(),
        )
    }
}

fn is_bucket(transform: Transform) -> bool {
    matches!(transform, Transform::Bucket(_))
}

/// Buckets a set of values falls into, per transform seen.
struct Buckets<'a> {
    values: &'a HashSet<ScalarValue>,
    source: &'a PrimitiveType,
    known: Vec<(Transform, Option<HashSet<i32>>)>,
}

impl Buckets<'_> {
    fn of(&mut self, transform: Transform) -> Option<&HashSet<i32>> {
        let at = match self.known.iter().position(|(known, _)| *known == transform) {
            Some(at) => at,
            None => {
                let buckets = self.compute(transform);
                self.known.push((transform, buckets));
                self.known.len() - 1
            }
        };
        self.known[at].1.as_ref()
    }

    fn compute(&self, transform: Transform) -> Option<HashSet<i32>> {
        let to = iceberg::arrow::type_to_arrow_type(&Type::Primitive(self.source.clone())).ok()?;
        let values = self.values.iter().map(|value| value.cast_to(&to)).collect::<Result<Vec<_>, DataFusionError>>();
        let array = ScalarValue::iter_to_array(values.ok()?).ok()?;
        let buckets = iceberg::transform::create_transform_function(&transform).ok()?.transform(array).ok()?;
        let buckets = buckets.as_any().downcast_ref::<Int32Array>()?;
        (buckets.null_count() == 0).then(|| buckets.values().iter().copied().collect())
    }
}

/// Manifests as containers to prune, by their summaries of partition values.
pub(super) struct ManifestBounds<'a> {
    pub(super) columns: &'a Columns,
    pub(super) manifests: &'a [&'a ManifestFile],
    pub(super) metadata: &'a TableMetadata,
    /// For the types of partition values: the schema the specs were bound to has the same ids.
    pub(super) schema: &'a Schema,
}

impl ManifestBounds<'_> {
    fn range(&self, manifest: &ManifestFile, field: &NestedFieldRef) -> Range {
        let mut range = (None, None);
        let (Some(source), Some(spec), Some(summaries)) = (
            primitive(field),
            self.metadata.partition_spec_by_id(manifest.partition_spec_id),
            manifest.partitions.as_ref(),
        ) else {
            return range;
        };
        let Ok(types) = spec.partition_type(self.schema) else { return range };
        for ((partition, summary), transformed) in spec.fields().iter().zip(summaries).zip(types.fields()) {
            if partition.source_id != field.id || source.is_float() {
                continue;
            }
            let Some(stored) = transformed.field_type.as_primitive_type() else { continue };
            let value = |bytes: Option<&[u8]>| {
                Datum::try_from_bytes(bytes?, stored.clone()).ok().map(|datum| datum.literal().clone())
            };
            let low = value(summary.lower_bound.as_ref().map(|b| b.as_ref()));
            let high = value(summary.upper_bound.as_ref().map(|b| b.as_ref()));
            let (low, high) = source_range(partition.transform, source, low.as_ref(), high.as_ref());
            range = (range.0.or(low), range.1.or(high));
        }
        range
    }

    fn nulls(&self, manifest: &ManifestFile, field: &NestedFieldRef) -> Option<u64> {
        let spec = self.metadata.partition_spec_by_id(manifest.partition_spec_id)?;
        let summaries = manifest.partitions.as_ref()?;
        spec.fields().iter().zip(summaries).find_map(|(partition, summary)| {
            let known = partition.source_id == field.id
                && !matches!(partition.transform, Transform::Void | Transform::Unknown)
                && !summary.contains_null;
            known.then_some(0)
        })
    }
}

impl PruningStatistics for ManifestBounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        let (field, to) = self.columns.find(&column.name)?;
        to_array(self.manifests.iter().map(|manifest| self.range(manifest, field).0), to)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        let (field, to) = self.columns.find(&column.name)?;
        to_array(self.manifests.iter().map(|manifest| self.range(manifest, field).1), to)
    }

    fn num_containers(&self) -> usize {
        self.manifests.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let (field, _) = self.columns.find(&column.name)?;
        Some(Arc::new(UInt64Array::from_iter(self.manifests.iter().map(|manifest| self.nulls(manifest, field)))))
    }

    fn row_counts(&self, _column: &Column) -> Option<ArrayRef> {
        None
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// What is known of a file with `deleted` rows masked out, for the columns at `wanted`.
pub(super) fn file_statistics<F: HasFile>(
    columns: &Columns,
    candidate: &F,
    deleted: u64,
    wanted: &[usize],
) -> Statistics {
    let file = candidate.file();
    let mut statistics = Statistics::new_unknown(&columns.schema);
    statistics.num_rows = Precision::Exact((file.record_count().saturating_sub(deleted)) as usize);
    for &index in wanted {
        if let Some(field) = &columns.fields[index] {
            let to = columns.schema.field(index).data_type();
            statistics.column_statistics[index] = column_statistics(candidate, field, to, deleted > 0);
        }
    }
    statistics
}

fn column_statistics<F: HasFile>(
    candidate: &F,
    field: &NestedFieldRef,
    to: &DataType,
    deletes: bool,
) -> ColumnStatistics {
    let file = candidate.file();
    // Strings and bytes may be cut, floats leave NaN out; every engine writes the rest tight. (Spark answers MIN and
    // MAX from the same bounds.)
    let tight = !deletes
        && primitive(field).is_some_and(|t| {
            !t.is_float() && !matches!(t, PrimitiveType::String | PrimitiveType::Binary | PrimitiveType::Fixed(_))
        })
        && file.lower_bounds().contains_key(&field.id)
        && file.upper_bounds().contains_key(&field.id);
    let (low, high) = file_range(candidate, field);
    let bound = |value: Option<PrimitiveLiteral>| match value.and_then(|value| scalar(&value, to)) {
        Some(value) if tight => Precision::Exact(value),
        Some(value) => Precision::Inexact(value),
        None => Precision::Absent,
    };
    let nulls = match file_nulls(candidate, field) {
        Some(nulls) if !deletes => Precision::Exact(nulls as usize),
        Some(nulls) => Precision::Inexact(nulls as usize),
        None => Precision::Absent,
    };
    let size = match file.column_sizes().get(&field.id) {
        Some(bytes) => Precision::Inexact(*bytes as usize),
        None => Precision::Absent,
    };
    ColumnStatistics::new_unknown()
        .with_min_value(bound(low))
        .with_max_value(bound(high))
        .with_null_count(nulls)
        .with_byte_size(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_start_where_the_calendar_says() {
        for (months, days) in
            [(0, 0), (1, 31), (2, 59), (12, 365), (24, 730), (26, 790), (360, 10_957), (-1, -31), (-12, -365)]
        {
            assert_eq!(days_to_month(months), Some(days), "{months} months");
        }
    }

    #[test]
    fn a_partition_value_bounds_its_source_from_both_sides() {
        use PrimitiveLiteral as P;
        let check = |transform, source: PrimitiveType, value: P, low: Option<P>, high: Option<P>| {
            assert_eq!(source_range(transform, &source, Some(&value), Some(&value)), (low, high), "{transform}");
        };
        check(Transform::Identity, PrimitiveType::Int, P::Int(3), Some(P::Int(3)), Some(P::Int(3)));
        check(Transform::Truncate(10), PrimitiveType::Long, P::Long(20), Some(P::Long(20)), Some(P::Long(29)));
        check(
            Transform::Truncate(2),
            PrimitiveType::String,
            P::String("ab".into()),
            Some(P::String("ab".into())),
            None,
        );
        check(Transform::Day, PrimitiveType::Date, P::Int(7), Some(P::Int(7)), Some(P::Int(7)));
        check(Transform::Month, PrimitiveType::Date, P::Int(1), Some(P::Int(31)), Some(P::Int(58)));
        check(Transform::Year, PrimitiveType::Date, P::Int(1), Some(P::Int(365)), Some(P::Int(729)));
        let hour = 3_600_000_000;
        check(
            Transform::Hour,
            PrimitiveType::Timestamptz,
            P::Int(5),
            Some(P::Long(5 * hour)),
            Some(P::Long(6 * hour - 1)),
        );
        // Old writers: hour 0 may hold the last hour of 1969.
        check(Transform::Hour, PrimitiveType::Timestamp, P::Int(0), Some(P::Long(-hour)), Some(P::Long(hour - 1)));
        check(Transform::Bucket(4), PrimitiveType::Int, P::Int(2), None, None);
    }
}
