//! Counts, ranks and places are BIGINT, as in PostgreSQL and DuckDB.
//!
//! DataFusion's are unsigned, a type that neither clients nor tables have: it would be a DECIMAL to them. Each such
//! function is wrapped, so that its type is known wherever it is used.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::ArrayRef,
    compute::cast,
    datatypes::{DataType, Field, FieldRef},
};
use datafusion::{
    common::ScalarValue,
    error::Result,
    execution::FunctionRegistry,
    logical_expr::{
        Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, LimitEffect, PartitionEvaluator, ReturnFieldArgs,
        ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, WindowUDF, WindowUDFImpl,
        function::{AccumulatorArgs, ExpressionArgs, PartitionEvaluatorArgs, StateFieldsArgs, WindowUDFFieldArgs},
        simplify::{ExprSimplifyResult, SimplifyContext},
        window_state::WindowAggState,
    },
    physical_expr::PhysicalExpr,
    prelude::{Expr, SessionContext},
};

pub(super) fn register(context: &SessionContext) {
    for name in
        ["array_dims", "array_length", "array_ndims", "array_position", "array_positions", "cardinality", "json_length"]
    {
        let inner = context.udf(name).expect("it is registered");
        context.register_udf(ScalarUDF::from(Scalar { inner }));
    }
    for name in ["approx_distinct", "regr_count"] {
        let inner = context.udaf(name).expect("DataFusion has it");
        context.register_udaf(AggregateUDF::from(Aggregate { inner }));
    }
    for name in ["dense_rank", "ntile", "rank", "row_number"] {
        let inner = context.udwf(name).expect("DataFusion has it");
        context.register_udwf(WindowUDF::from(Window { inner }));
    }
}

/// What a result of `data_type` is given as.
fn signed(data_type: &DataType) -> DataType {
    match data_type {
        DataType::UInt64 => DataType::Int64,
        DataType::List(item) => {
            DataType::List(Arc::new(item.as_ref().clone().with_data_type(signed(item.data_type()))))
        }
        other => other.clone(),
    }
}

fn signed_field(field: &Field) -> FieldRef {
    Arc::new(field.clone().with_data_type(signed(field.data_type())))
}

fn signed_array(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(cast(array, &signed(array.data_type()))?)
}

fn signed_value(value: &ScalarValue) -> Result<ScalarValue> {
    value.cast_to(&signed(&value.data_type()))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Scalar {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for Scalar {
    as_inner!();

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types).map(|given| signed(&given))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args).map(|field| signed_field(&field))
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        // It makes what it says it does.
        let types: Vec<_> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        args.return_field =
            Arc::new(args.return_field.as_ref().clone().with_data_type(self.inner.return_type(&types)?));
        Ok(match self.inner.invoke_with_args(args)? {
            ColumnarValue::Array(array) => ColumnarValue::Array(signed_array(&array)?),
            ColumnarValue::Scalar(value) => ColumnarValue::Scalar(signed_value(&value)?),
        })
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Aggregate {
    inner: Arc<AggregateUDF>,
}

impl AggregateUDFImpl for Aggregate {
    as_inner!();

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types).map(|given| signed(&given))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Accumulated(self.inner.accumulator(args)?)))
    }
}

#[derive(Debug)]
struct Accumulated(Box<dyn Accumulator>);

impl Accumulator for Accumulated {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(values)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        signed_value(&self.0.evaluate()?)
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.retract_batch(values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.0.supports_retract_batch()
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Window {
    inner: Arc<WindowUDF>,
}

impl WindowUDFImpl for Window {
    as_inner!();

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn expressions(&self, args: ExpressionArgs<'_>) -> Vec<Arc<dyn PhysicalExpr>> {
        self.inner.expressions(args)
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs<'_>) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Evaluated(self.inner.partition_evaluator_factory(args)?)))
    }

    fn field(&self, args: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.field(args).map(|field| signed_field(&field))
    }

    fn sort_options(&self) -> Option<arrow::compute::SortOptions> {
        self.inner.sort_options()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn limit_effect(&self, args: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        self.inner.inner().limit_effect(args)
    }
}

#[derive(Debug)]
struct Evaluated(Box<dyn PartitionEvaluator>);

impl PartitionEvaluator for Evaluated {
    fn memoize(&mut self, state: &mut WindowAggState) -> Result<()> {
        self.0.memoize(state)
    }

    fn get_range(&self, index: usize, rows: usize) -> Result<Range<usize>> {
        self.0.get_range(index, rows)
    }

    fn is_causal(&self) -> bool {
        self.0.is_causal()
    }

    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        signed_array(&self.0.evaluate_all(values, rows)?)
    }

    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        signed_value(&self.0.evaluate(values, range)?)
    }

    fn evaluate_all_with_rank(&self, rows: usize, ranks: &[Range<usize>]) -> Result<ArrayRef> {
        signed_array(&self.0.evaluate_all_with_rank(rows, ranks)?)
    }

    fn supports_bounded_execution(&self) -> bool {
        self.0.supports_bounded_execution()
    }

    fn uses_window_frame(&self) -> bool {
        self.0.uses_window_frame()
    }

    fn include_rank(&self) -> bool {
        self.0.include_rank()
    }
}
