//! The tail of a topic as a plan node: decoded once, shared by all readers.

use std::{any::Any, fmt, ops::Range, sync::Arc};

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::SchemaRef,
};
use datafusion::{
    common::{Statistics, stats::Precision},
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{Expr, Operator, expr::InList},
    physical_expr::EquivalenceProperties,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
        execution_plan::{Boundedness, EmissionType},
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet},
        stream::RecordBatchStreamAdapter,
    },
    scalar::ScalarValue,
};
use futures::{StreamExt, TryStreamExt, future::ready};
use lake::{Lake, TailFilter, TopicPin, columns::pseudo};

use super::topic::external;

/// Reads what the pin's table does not hold.
pub(super) struct TailExec {
    lake: Arc<Lake>,
    pin: Arc<TopicPin>,
    columns: Vec<usize>,
    schema: SchemaRef,
    filter: TailFilter,
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl TailExec {
    pub(super) fn new(
        lake: Arc<Lake>,
        pin: Arc<TopicPin>,
        all: &SchemaRef,
        columns: Vec<usize>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Self> {
        let schema = Arc::new(all.project(&columns)?);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let filter = prune(filters);
        Ok(Self {
            lake,
            pin,
            columns,
            schema,
            filter,
            limit,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl fmt::Debug for TailExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TailExec").field("topic", &self.pin.topic.topic).field("filter", &self.filter).finish()
    }
}

impl DisplayAs for TailExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records: i64 = self.pin.tail.iter().map(|offsets| (offsets.end - offsets.start).max(0)).sum();
        write!(f, "TailExec: topic={}, records<={records}", self.pin.topic.topic)?;
        if let Some(partitions) = &self.filter.partitions {
            write!(f, ", partitions={partitions:?}")?;
        }
        if let Some(offsets) = &self.filter.offsets {
            write!(f, ", offsets={}", range(offsets))?;
        }
        if let Some(timestamps) = &self.filter.timestamps {
            write!(f, ", timestamps={}", range(timestamps))?;
        }
        if let Some(limit) = self.limit {
            write!(f, ", limit={limit}")?;
        }
        Ok(())
    }
}

fn range(range: &Range<i64>) -> String {
    let end = |bound: i64, open: i64| if bound == open { String::new() } else { bound.to_string() };
    format!("{}..{}", end(range.start, i64::MIN), end(range.end, i64::MAX))
}

impl ExecutionPlan for TailExec {
    fn name(&self) -> &str {
        "TailExec"
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return Err(DataFusionError::Internal(format!("the tail has one partition, not {partition}")));
        }
        let (lake, pin, filter) = (self.lake.clone(), self.pin.clone(), self.filter.clone());
        let (columns, metrics) = (self.columns.clone(), BaselineMetrics::new(&self.metrics, 0));
        let schema = self.schema.clone();
        let mut left = self.limit.unwrap_or(usize::MAX);
        let batches = lake.tail(pin.as_ref().clone(), filter).map_err(external);
        let rows = batches.try_filter(|batch| ready(batch.num_rows() > 0)).map(move |batch: Result<RecordBatch>| {
            let batch = batch?;
            let batch = shown(&batch.slice(0, batch.num_rows().min(left)), &columns, &schema)?;
            left -= batch.num_rows();
            metrics.record_output(batch.num_rows());
            Ok(batch)
        });
        // The source stops being read once there is enough.
        let rows = rows.take_while(|batch| ready(!batch.as_ref().is_ok_and(|batch| batch.num_rows() == 0)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn partition_statistics(&self, _: Option<usize>) -> Result<Statistics> {
        let records: i64 = self.pin.tail.iter().map(|offsets| (offsets.end - offsets.start).max(0)).sum();
        let mut statistics = Statistics::new_unknown(&self.schema);
        // Records that cannot be decoded are no rows.
        statistics.num_rows = Precision::Inexact(usize::try_from(records).unwrap_or(usize::MAX));
        Ok(statistics)
    }
}

/// The columns asked for, with strings as views: the views point into the bytes that are there.
fn shown(batch: &RecordBatch, columns: &[usize], schema: &SchemaRef) -> Result<RecordBatch> {
    let arrays = columns.iter().zip(schema.fields()).map(|(index, field)| match batch.column(*index) {
        same if same.data_type() == field.data_type() => Ok(same.clone()),
        other => Ok(arrow::compute::cast(other, field.data_type())?),
    });
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), arrays.collect::<Result<_>>()?, &options)?)
}

// ── pruning ──

/// What the conjuncts say about partition, offset and timestamp. Anything not understood prunes nothing.
fn prune(filters: &[Expr]) -> TailFilter {
    let mut filter = TailFilter::default();
    for conjunct in filters.iter().flat_map(|f| datafusion::logical_expr::utils::split_conjunction(f)) {
        match conjunct {
            Expr::BinaryExpr(binary) => {
                if let (Some(column), Some(value)) = (column(&binary.left), literal(&binary.right)) {
                    narrow(&mut filter, column, binary.op, value);
                } else if let (Some(value), Some(column)) = (literal(&binary.left), column(&binary.right))
                    && let Some(op) = binary.op.swap()
                {
                    narrow(&mut filter, column, op, value);
                }
            }
            Expr::Between(between) if !between.negated => {
                if let Some(column) = column(&between.expr) {
                    for (bound, op) in [(&between.low, Operator::GtEq), (&between.high, Operator::LtEq)] {
                        if let Some(value) = literal(bound) {
                            narrow(&mut filter, column, op, value);
                        }
                    }
                }
            }
            Expr::InList(InList { expr, list, negated: false }) if column(expr) == Some(pseudo::PARTITION) => {
                let values: Option<Vec<i64>> = list.iter().map(|item| literal(item).and_then(integer)).collect();
                if let Some(values) = values {
                    keep_partitions(&mut filter, |partition| values.contains(&partition), &values);
                }
            }
            _ => {}
        }
    }
    filter
}

fn column(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Column(column) => Some(column.name.as_str()),
        // Comparisons of timestamps of different units.
        Expr::Cast(cast) => column(&cast.expr).filter(|name| *name == pseudo::TIMESTAMP),
        _ => None,
    }
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

fn integer(value: &ScalarValue) -> Option<i64> {
    Some(match value {
        ScalarValue::Int8(v) => i64::from((*v)?),
        ScalarValue::Int16(v) => i64::from((*v)?),
        ScalarValue::Int32(v) => i64::from((*v)?),
        ScalarValue::Int64(v) => (*v)?,
        ScalarValue::UInt8(v) => i64::from((*v)?),
        ScalarValue::UInt16(v) => i64::from((*v)?),
        ScalarValue::UInt32(v) => i64::from((*v)?),
        ScalarValue::UInt64(v) => i64::try_from((*v)?).ok()?,
        _ => return None,
    })
}

/// Milliseconds, rounded down.
fn millis(value: &ScalarValue) -> Option<i64> {
    Some(match value {
        ScalarValue::TimestampSecond(v, _) => (*v)?.checked_mul(1_000)?,
        ScalarValue::TimestampMillisecond(v, _) => (*v)?,
        ScalarValue::TimestampMicrosecond(v, _) => (*v)?.div_euclid(1_000),
        ScalarValue::TimestampNanosecond(v, _) => (*v)?.div_euclid(1_000_000),
        _ => return None,
    })
}

fn narrow(filter: &mut TailFilter, column: &str, op: Operator, value: &ScalarValue) {
    match column {
        pseudo::PARTITION => {
            if let (Operator::Eq, Some(value)) = (op, integer(value)) {
                keep_partitions(filter, |partition| partition == value, &[value]);
            }
        }
        pseudo::OFFSET => {
            if let Some(bounds) = integer(value).and_then(|value| bounds(op, value)) {
                filter.offsets = Some(intersect(filter.offsets.take(), bounds));
            }
        }
        pseudo::TIMESTAMP => {
            // Rounded to milliseconds, `<` keeps the millisecond itself: whole batches are left out, rows are filtered above.
            let op = if op == Operator::Lt {
                Operator::LtEq
            } else if op == Operator::Gt {
                Operator::GtEq
            } else {
                op
            };
            if let Some(bounds) = millis(value).and_then(|value| bounds(op, value)) {
                filter.timestamps = Some(intersect(filter.timestamps.take(), bounds));
            }
        }
        _ => {}
    }
}

fn keep_partitions(filter: &mut TailFilter, keep: impl Fn(i64) -> bool, values: &[i64]) {
    match &mut filter.partitions {
        Some(partitions) => partitions.retain(|partition| keep(i64::from(*partition))),
        None => filter.partitions = Some(values.iter().filter_map(|value| i32::try_from(*value).ok()).collect()),
    }
}

fn bounds(op: Operator, value: i64) -> Option<Range<i64>> {
    Some(match op {
        Operator::Eq => value..value.checked_add(1)?,
        Operator::GtEq => value..i64::MAX,
        Operator::Gt => value.checked_add(1)?..i64::MAX,
        Operator::LtEq => i64::MIN..value.checked_add(1)?,
        Operator::Lt => i64::MIN..value,
        _ => return None,
    })
}

fn intersect(old: Option<Range<i64>>, new: Range<i64>) -> Range<i64> {
    match old {
        Some(old) => old.start.max(new.start)..old.end.min(new.end),
        None => new,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    #[test]
    fn filters_on_pseudo_columns_prune_and_others_do_not() {
        let filters = [
            col("_partition").eq(lit(2)).and(col("_offset").gt_eq(lit(10i64))),
            lit(20i64).gt(col("_offset")),
            col("price").gt(lit(1)),
            col("_offset").eq(lit(5i64)).or(col("price").eq(lit(1))),
        ];
        let filter = prune(&filters);
        assert_eq!(filter.partitions, Some(vec![2]));
        assert_eq!(filter.offsets, Some(10..20));
        assert_eq!(filter.timestamps, None);
    }

    #[test]
    fn timestamps_prune_to_whole_milliseconds_outwards() {
        let at = |micros| Expr::Literal(ScalarValue::TimestampMicrosecond(Some(micros), Some("+00:00".into())), None);
        let filter = prune(&[col("_timestamp").gt(at(1_999_999)), col("_timestamp").lt(at(3_000_001))]);
        assert_eq!(filter.timestamps, Some(1_999..3_001));
    }
}
