//! `= ANY (list)`, `<> ALL (list)` and lists that are written as a text: `'{a,b}'`.

use datafusion::sql::sqlparser::ast::{
    Array, BinaryOperator, CaseWhen, Expr, UnaryOperator, Value, helpers::attached_token::AttachedToken,
};

use super::idioms::{call, string, take};
use crate::{text, texts};

/// `value = ANY (list)`
pub(super) fn any(expr: &mut Expr) {
    let Expr::AnyOp { left, right, .. } = expr else { return };
    if let Some(list) = items(right) {
        *expr = Expr::InList { expr: Box::new(take(left)), list, negated: false };
    } else if matches!(right.as_ref(), Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
        // The engine passes over the NULLs in a list of a row; it minds those of a parameter.
        let unknown = Expr::IsNotNull(Box::new(call("array_position", vec![right.as_ref().clone(), null()])));
        let unless_unknown = Expr::Case {
            case_token: AttachedToken::empty(),
            end_token: AttachedToken::empty(),
            operand: None,
            conditions: vec![CaseWhen { condition: unknown, result: null() }],
            else_result: Some(Box::new(Expr::Value(Value::Boolean(false).into()))),
        };
        let (left, right) = (Box::new(take(expr)), Box::new(unless_unknown));
        *expr = Expr::Nested(Box::new(Expr::BinaryOp { left, op: BinaryOperator::Or, right }));
    }
}

/// `value <> ALL (list)`: nothing in it is equal.
pub(super) fn not_all(expr: &mut Expr) {
    let Expr::AllOp { left, right, .. } = expr else { return };
    let (left, right) = (Box::new(take(left)), Box::new(take(right)));
    let mut equal = Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, is_some: false };
    any(&mut equal);
    *expr =
        Expr::Nested(Box::new(Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(Expr::Nested(Box::new(equal))) }));
}

/// Makes a list of the text of one.
pub(super) fn written(expr: &mut Expr) {
    if !matches!(expr, Expr::Array(_))
        && let Some(elem) = items(expr)
    {
        *expr = Expr::Array(Array { elem, named: true });
    }
}

/// The items of `ARRAY[a, b]` and of `'{a,b}'`.
fn items(expr: &Expr) -> Option<Vec<Expr>> {
    match expr {
        Expr::Array(array) if !array.elem.iter().any(|item| matches!(item, Expr::Array(_))) => Some(array.elem.clone()),
        _ => {
            let items = texts::list_items(&text::literal_text(expr)?)?;
            Some(items.into_iter().map(|item| item.map_or(null(), string)).collect())
        }
    }
}

fn null() -> Expr {
    Expr::Value(Value::Null.into())
}
