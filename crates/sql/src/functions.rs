//! Functions beyond DataFusion's own, and limits on those that make much out of little.

mod bounded;
mod json_text;

use datafusion::prelude::SessionContext;

pub(crate) use json_text::plain;

/// Registers everything on the context all sessions start from.
pub(crate) fn register(context: &SessionContext) {
    // A clone shares the state.
    let mut registry = context.clone();
    datafusion_functions_json::register_all(&mut registry).expect("functions of fresh names can be registered");
    bounded::register(context);
}
