//! `array_agg` and `string_agg`, which gather all values of a group.
//!
//! DataFusion's own keep each value with an ORDER BY or DISTINCT by itself and count them all anew at every batch, so
//! their time grows with the square of the rows; and what the values of text columns take, which are views into shared
//! buffers, is not counted at all. Here values stay in arrays, sizes are counted as values come, and all of it is the
//! memory pool's, so that what is too much fails with an error.

mod distinct;
mod listed;
mod text;

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, new_null_array},
    buffer::OffsetBuffer,
    datatypes::{DataType, Field, FieldRef},
};
use datafusion::{
    error::{DataFusionError, Result},
    execution::FunctionRegistry,
    functions_aggregate::array_agg::array_agg_udaf,
    logical_expr::{
        Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature,
        function::{AccumulatorArgs, StateFieldsArgs},
        utils::AggregateOrderSensitivity,
    },
    physical_expr::{PhysicalSortExpr, expressions::Literal},
    prelude::SessionContext,
    scalar::ScalarValue,
};
use model::{Error, error::codes};

use self::{distinct::Distinct, listed::Listed, text::Text};

/// Largest text or list made of one group, as in PostgreSQL. Copies of it that are on their way are not the pool's.
const VALUE_BYTES_MAX: usize = 1 << 30;

pub(super) fn register(context: &SessionContext) {
    for joins in [false, true] {
        let name = if joins { "string_agg" } else { "array_agg" };
        let inner = context.udaf(name).expect("DataFusion has it");
        context.register_udaf(AggregateUDF::from(Gather { inner, joins }));
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Gather {
    /// DataFusion's: what it takes and gives.
    inner: Arc<AggregateUDF>,
    /// `string_agg`.
    joins: bool,
}

impl AggregateUDFImpl for Gather {
    as_inner!();

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    /// A text so far, or a list of values with a list of what they are ordered by.
    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        if self.joins && args.ordering_fields.is_empty() && !args.is_distinct {
            return self.inner.state_fields(args);
        }
        array_agg_udaf().state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let delimiter = if self.joins { Some(delimiter(&args)?) } else { None };
        let field = &args.expr_fields[0];
        let values = ValuesOf {
            data_type: field.data_type().clone(),
            // A text has no place for NULLs.
            skips_nulls: field.is_nullable() && (args.ignore_nulls || self.joins),
            // Values, and a delimiter, come before what they are ordered by.
            arguments: args.exprs.len(),
            delimiter,
        };
        if args.is_distinct {
            return Ok(Box::new(Distinct::new(values, distinct_order(&args)?)?));
        }
        let order: Vec<_> = args.order_bys.iter().map(|sort| sort.options).collect();
        Ok(match (values.delimiter, order.is_empty()) {
            (Some(delimiter), true) => Box::new(Text::new(delimiter)),
            (delimiter, _) => {
                let values = ValuesOf { delimiter, ..values };
                let fields = listed::order_fields(&args)?;
                Box::new(Listed::new(values, order, fields))
            }
        })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Counted { inner: self.inner.create_groups_accumulator(args)?, views: 0 }))
    }

    /// Rows are brought into order at the end, all at once.
    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Beneficial
    }

    fn with_beneficial_ordering(self: Arc<Self>, _ordered: bool) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        Ok(Some(self))
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.inner.supports_null_handling_clause()
    }
}

/// What all of these gather.
#[derive(Debug)]
struct ValuesOf {
    data_type: DataType,
    skips_nulls: bool,
    arguments: usize,
    /// Between values, where they become one text.
    delimiter: Option<String>,
}

impl ValuesOf {
    /// Which of `values` count; `None`: all.
    fn taken(&self, values: &ArrayRef) -> Option<BooleanArray> {
        let nulls = values.logical_nulls().filter(|nulls| self.skips_nulls && nulls.null_count() > 0)?;
        Some(BooleanArray::new(nulls.into_inner(), None))
    }

    /// The result: the values as a list, or joined.
    fn finished(&self, values: Option<ArrayRef>) -> Result<ScalarValue> {
        let Some(delimiter) = &self.delimiter else { return Ok(self.list(values)) };
        let mut text = Text::new(delimiter.clone());
        if let Some(values) = values {
            text.push(&values)?;
        }
        Ok(text.into_value())
    }

    /// The values so far, for whoever goes on gathering.
    fn list(&self, values: Option<ArrayRef>) -> ScalarValue {
        ScalarValue::List(Arc::new(match values {
            Some(values) => list_of(values),
            None => new_null_array(&DataType::new_list(self.data_type.clone(), true), 1).as_list().clone(),
        }))
    }
}

fn list_of(values: ArrayRef) -> ListArray {
    let field = Field::new_list_field(values.data_type().clone(), true);
    ListArray::new(field.into(), OffsetBuffer::from_lengths([values.len()]), values, None)
}

fn delimiter(args: &AccumulatorArgs<'_>) -> Result<String> {
    let literal = args.exprs.get(1).and_then(|expr| expr.as_any().downcast_ref::<Literal>());
    let text = literal.map(Literal::value).and_then(|value| match value.is_null() {
        true => Some(String::new()),
        false => value.try_as_str().flatten().map(str::to_owned),
    });
    text.ok_or_else(|| {
        let error = Error::new(codes::SQL_UNSUPPORTED, "string_agg takes a literal between the texts")
            .hint("write string_agg(text, ', ')");
        DataFusionError::External(Box::new(error))
    })
}

/// How different values are ordered: by themselves, if at all.
fn distinct_order(args: &AccumulatorArgs<'_>) -> Result<arrow::compute::SortOptions> {
    match args.order_bys {
        [] => Ok(arrow::compute::SortOptions { descending: false, nulls_first: false }),
        [PhysicalSortExpr { expr, options }] if expr.eq(&args.exprs[0]) => Ok(*options),
        _ => {
            let error = Error::new(
                codes::SQL_UNSUPPORTED,
                "with DISTINCT, the ORDER BY inside of an aggregate is by the values themselves",
            )
            .detail("a value that is there twice has two places in any other order")
            .hint("take the different rows in a subquery first");
            Err(DataFusionError::External(Box::new(error)))
        }
    }
}

/// Refuses a value nobody could take in.
fn check_size(bytes: usize, function: &str) -> Result<()> {
    if bytes <= VALUE_BYTES_MAX {
        return Ok(());
    }
    let error = Error::new(codes::SQL_MEMORY, format!("{function} made one value of more than 1 GB"))
        .hint("gather fewer rows with WHERE, or in more groups with GROUP BY");
    Err(DataFusionError::External(Box::new(error)))
}

/// What `array` takes by itself, its share of the buffers it may have in common with others.
fn bytes_of(array: &dyn Array) -> usize {
    match array.data_type() {
        DataType::Utf8View => 16 * array.len() + array.as_string_view().total_bytes_len(),
        DataType::BinaryView => 16 * array.len() + array.as_binary_view().total_bytes_len(),
        DataType::Struct(_) => array.as_struct().columns().iter().map(|column| bytes_of(column)).sum(),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (first, last) = (list.value_offsets()[0], list.value_offsets()[list.len()]);
            4 * list.len() + bytes_of(&list.values().slice(first as usize, (last - first) as usize))
        }
        _ => array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size()),
    }
}

/// `array`, without the buffers it uses little of: text that was filtered would keep all that was read.
fn kept(array: &ArrayRef) -> ArrayRef {
    let (held, used) = match array.data_type() {
        DataType::Utf8View => {
            let array = array.as_string_view();
            (array.data_buffers().iter().map(|b| b.len()).sum::<usize>(), array.total_buffer_bytes_used())
        }
        DataType::BinaryView => {
            let array = array.as_binary_view();
            (array.data_buffers().iter().map(|b| b.len()).sum::<usize>(), array.total_buffer_bytes_used())
        }
        _ => return array.clone(),
    };
    if held <= 2 * used {
        return array.clone();
    }
    match array.data_type() {
        DataType::Utf8View => Arc::new(array.as_string_view().gc()),
        _ => Arc::new(array.as_binary_view().gc()),
    }
}

/// DataFusion's lists of many groups, with what their texts take.
struct Counted {
    inner: Box<dyn GroupsAccumulator>,
    views: usize,
}

impl Counted {
    fn count(&mut self, values: &dyn Array) {
        if let DataType::Utf8View | DataType::BinaryView | DataType::Struct(_) | DataType::List(_) = values.data_type()
        {
            self.views += bytes_of(values);
        }
    }
}

impl GroupsAccumulator for Counted {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        let values: Vec<_> = values.iter().map(kept).collect();
        self.inner.update_batch(&values, groups, filter, total)?;
        values.iter().for_each(|values| self.count(values));
        Ok(())
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.inner.merge_batch(values, groups, filter, total)?;
        values.iter().for_each(|values| self.count(values));
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let done = self.inner.evaluate(emit)?;
        self.gone(emit);
        Ok(done)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let state = self.inner.state(emit)?;
        self.gone(emit);
        Ok(state)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(values, filter)
    }

    fn supports_convert_to_state(&self) -> bool {
        self.inner.supports_convert_to_state()
    }

    fn size(&self) -> usize {
        self.inner.size() + self.views
    }
}

impl Counted {
    /// The first groups share their arrays with those that stay.
    fn gone(&mut self, emitted: EmitTo) {
        if matches!(emitted, EmitTo::All) {
            self.views = 0;
        }
    }
}
