//! A scalar function as a name and two plain functions.

use std::{any::Any, collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::{
    error::Result,
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    },
};

/// On columns whose text is of a type that the engine has not: `json`, `jsonb` or `uuid`.
const TYPE_MARK: &str = "lakehead.type";

#[derive(Debug)]
pub(super) struct Simple {
    name: &'static str,
    signature: Signature,
    returns: fn(&[DataType]) -> Result<DataType>,
    run: fn(&ScalarFunctionArgs) -> Result<ColumnarValue>,
    gives: Gives,
    nullable: bool,
}

/// What the text of a result is.
#[derive(Debug)]
enum Gives {
    Text,
    /// Text of this type.
    Named(&'static str),
    /// What the first argument is.
    Same,
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
        Self { name, signature, returns, run, gives: Gives::Text, nullable: true }
    }

    /// Its result is text that reads as `type_name`.
    pub(super) fn giving(mut self, type_name: &'static str) -> Self {
        self.gives = Gives::Named(type_name);
        self
    }

    /// Its result is its first argument, with whatever is known of it.
    pub(super) fn keeping(mut self) -> Self {
        self.gives = Gives::Same;
        self
    }

    /// It never gives NULL.
    pub(super) fn total(mut self) -> Self {
        self.nullable = false;
        self
    }

    pub(super) fn udf(self) -> ScalarUDF {
        ScalarUDF::from(self)
    }
}

/// What the text of `field` is, if it is more than text. Casts carry marks along, so a mark on anything else means nothing.
pub fn text_type(field: &Field) -> Option<&str> {
    let is_text = matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    field.metadata().get(TYPE_MARK).filter(|_| is_text).map(String::as_str)
}

pub(super) fn is_json(field: &Field) -> bool {
    matches!(text_type(field), Some("json" | "jsonb"))
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
        let field = Field::new(self.name, (self.returns)(&types)?, self.nullable);
        Ok(Arc::new(match self.gives {
            Gives::Named(name) => field.with_metadata(HashMap::from([(TYPE_MARK.to_owned(), name.to_owned())])),
            Gives::Same => field.with_metadata(args.arg_fields[0].metadata().clone()),
            Gives::Text => field,
        }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        (self.run)(&args)
    }
}
