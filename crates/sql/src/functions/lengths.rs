//! `length` and `octet_length`: of BYTES both count bytes, where DataFusion reads them as text or refuses them.

use std::sync::Arc;

use arrow::{
    array::{AsArray, Int32Array},
    compute::cast,
    datatypes::{DataType, Field, FieldRef},
};
use datafusion::{
    error::Result,
    execution::FunctionRegistry,
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    },
    prelude::SessionContext,
};

use super::coerced;

pub(super) fn register(context: &SessionContext) {
    for name in ["character_length", "octet_length"] {
        let inner = context.udf(name).expect("DataFusion has it");
        let signature = Signature::user_defined(Volatility::Immutable);
        context.register_udf(ScalarUDF::from(Length { inner, signature }));
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Length {
    /// DataFusion's, for texts.
    inner: Arc<ScalarUDF>,
    signature: Signature,
}

impl ScalarUDFImpl for Length {
    as_inner!();

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [bytes] if is_bytes(bytes) => Ok(vec![DataType::Binary]),
            _ => coerced(types, &self.inner),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [bytes] if is_bytes(bytes) => Ok(DataType::Int32),
            _ => self.inner.return_type(types),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        match args.arg_fields {
            [bytes] if is_bytes(bytes.data_type()) => {
                Ok(Field::new(self.name(), DataType::Int32, bytes.is_nullable()).into())
            }
            _ => self.inner.return_field_from_args(args),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if !is_bytes(&args.args[0].data_type()) {
            return self.inner.invoke_with_args(args);
        }
        let bytes = cast(&args.args[0].to_array(args.number_rows)?, &DataType::Binary)?;
        let octets = bytes.as_binary::<i32>().iter().map(|bytes| Some(i32::try_from(bytes?.len()).unwrap_or(i32::MAX)));
        Ok(ColumnarValue::Array(Arc::new(octets.collect::<Int32Array>())))
    }
}

fn is_bytes(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_))
}
