//! A scalar function as a name and two plain functions.

use std::{any::Any, collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::{
    error::Result,
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    },
};

/// Marks columns whose text is JSON already.
pub(super) const JSON_MARK: &str = "lakehead.json";

#[derive(Debug)]
pub(super) struct Simple {
    name: &'static str,
    signature: Signature,
    returns: fn(&[DataType]) -> Result<DataType>,
    run: fn(&ScalarFunctionArgs) -> Result<ColumnarValue>,
    gives_json: bool,
}

impl Simple {
    /// A function of `args` arguments (`None`: any number) of any type.
    pub(super) fn new(
        name: &'static str,
        args: Option<usize>,
        returns: fn(&[DataType]) -> Result<DataType>,
        run: fn(&ScalarFunctionArgs) -> Result<ColumnarValue>,
    ) -> Self {
        let signature = match args {
            Some(args) => Signature::any(args, Volatility::Immutable),
            None => Signature::variadic_any(Volatility::Immutable),
        };
        Self { name, signature, returns, run, gives_json: false }
    }

    /// Its result is JSON text.
    pub(super) fn giving_json(mut self) -> Self {
        self.gives_json = true;
        self
    }

    pub(super) fn udf(self) -> ScalarUDF {
        ScalarUDF::from(self)
    }
}

/// What is known of the text of `field`.
pub(super) fn is_json(field: &Field) -> bool {
    field.metadata().contains_key(JSON_MARK)
}

impl PartialEq for Simple {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Simple {}

impl std::hash::Hash for Simple {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Simple {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        (self.returns)(args)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<_> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let field = Field::new(self.name, (self.returns)(&types)?, true);
        Ok(Arc::new(match self.gives_json {
            true => field.with_metadata(HashMap::from([(JSON_MARK.to_owned(), "true".to_owned())])),
            false => field,
        }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        (self.run)(&args)
    }
}
