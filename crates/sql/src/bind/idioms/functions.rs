//! Functions of PostgreSQL and Athena, in those DataFusion knows.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments,
    Ident, ObjectName, OrderByExpr, OrderByOptions, Value,
};
use model::Result;

use super::{argument, arguments, array_of, call, cast, is_json, number, one_more, refused, string, take};
use crate::{bind::folded, text};

/// Renames `called`, or says what stands for it.
pub(super) fn function(called: &mut Function) -> Result<Option<Expr>> {
    let [name] = called.name.0.as_slice() else { return Ok(None) };
    let Some(name) = name.as_ident().map(folded) else { return Ok(None) };
    let rename = match name.as_str() {
        "every" => "bool_and",
        "any_value" | "arbitrary" => "first_value",
        "sign" => "signum",
        "variance" => "var_samp",
        "mod" => {
            let Some([dividend, divisor]) = arguments(called) else { return Ok(None) };
            let (Some(dividend), Some(divisor)) = (argument(dividend), argument(divisor)) else { return Ok(None) };
            let nested = |expr: &Expr| Box::new(Expr::Nested(Box::new(expr.clone())));
            let (left, right) = (nested(dividend), nested(divisor));
            return Ok(Some(Expr::Nested(Box::new(Expr::BinaryOp { left, op: BinaryOperator::Modulo, right }))));
        }
        "date_part" | "datepart" => {
            let field = arguments(called).and_then(<[_]>::first).and_then(argument).and_then(text::literal_text);
            if !field.is_some_and(|field| field.eq_ignore_ascii_case("isodow")) {
                return Ok(None);
            }
            return Ok(Some(one_more(Expr::Function(called.clone()))));
        }
        // PostgreSQL's catalogs have one of transactions, which is always 0.
        "year" | "quarter" | "month" | "week" | "day" | "hour" | "minute" | "second" | "day_of_year"
        | "day_of_week" => {
            let Some([time]) = arguments(called) else { return Ok(None) };
            let (Some(time), field) = (argument(time).cloned(), name.replace("day_of_year", "doy")) else {
                return Ok(None);
            };
            let is_week_day = field == "day_of_week";
            let field = if is_week_day { "isodow".to_owned() } else { field };
            let part = call("date_part", vec![string(field), time]);
            return Ok(Some(if is_week_day { one_more(part) } else { part }));
        }
        "count_if" => {
            if let FunctionArguments::List(list) = &mut called.args
                && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(condition))] = list.args.as_mut_slice()
            {
                let no = Expr::Value(Value::Boolean(false).into());
                *condition = call("nullif", vec![take(condition), no]);
            }
            "count"
        }
        "gen_random_uuid" if arguments(called).is_some_and(<[_]>::is_empty) => {
            return Ok(Some(call("to_uuid_text", vec![call("uuid", Vec::new())])));
        }
        "div" => {
            let Some([dividend, divisor]) = arguments(called) else { return Ok(None) };
            let (Some(dividend), Some(divisor)) = (argument(dividend), argument(divisor)) else { return Ok(None) };
            let nested = |expr: &Expr| Box::new(Expr::Nested(Box::new(expr.clone())));
            let pair = |left, op, right| Expr::BinaryOp { left, op, right };
            let rest = pair(nested(dividend), BinaryOperator::Modulo, nested(divisor));
            let whole = pair(nested(dividend), BinaryOperator::Minus, nested(&rest));
            let whole = pair(nested(&whole), BinaryOperator::Divide, nested(divisor));
            return Ok(Some(Expr::Nested(Box::new(whole))));
        }
        "approx_percentile" => {
            let FunctionArguments::List(list) = &mut called.args else { return Ok(None) };
            let [value, _] = list.args.as_slice() else {
                return Err(refused(
                    "approx_percentile takes a value and a share here",
                    "weights and accuracies are not offered; several shares are several calls",
                ));
            };
            let Some(expr) = argument(value).cloned() else { return Ok(None) };
            list.args.remove(0);
            let options = OrderByOptions { asc: None, nulls_first: None };
            called.within_group = vec![OrderByExpr { expr, options, with_fill: None }];
            "approx_percentile_cont"
        }
        "percentile_disc" => return Ok(percentile_disc(called)),
        "age" if !arguments(called).is_some_and(|args| matches!(args, [id] if is_transaction_id(argument(id)))) => {
            return Err(refused("age() is not offered", "subtract the times: a - b"));
        }
        "jsonb_build_object" => "json_build_object",
        "jsonb_build_array" => "json_build_array",
        "to_jsonb" | "row_to_json" => "to_json",
        "json_array_length" | "jsonb_array_length" => "json_length",
        "json_extract" => return path_call(called, "json_get_json").map(Some),
        "json_extract_scalar" => return path_call(called, "json_as_text").map(Some),
        "json_agg" | "jsonb_agg" => {
            let is_json = arguments(called).is_some_and(|args| args.iter().any(|arg| is_json(argument(arg))));
            called.name = ObjectName::from(vec![Ident::new("array_agg")]);
            let list = Expr::Function(called.clone());
            return Ok(Some(call(if is_json { "json_array_of" } else { "to_json" }, vec![list])));
        }
        "max_by" | "min_by" => {
            by(called, name == "max_by");
            return Ok(None);
        }
        "array" => match &mut called.args {
            FunctionArguments::Subquery(query) => return Ok(Some(array_of(query))),
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    called.name = ObjectName::from(vec![Ident::new(rename)]);
    Ok(None)
}

/// `percentile_disc(p) WITHIN GROUP (ORDER BY x)`: of the values in order, the first at which a share of `p` is reached.
fn percentile_disc(called: &Function) -> Option<Expr> {
    let ([by], [share]) = (called.within_group.as_slice(), arguments(called)?) else { return None };
    let share = argument(share)?.clone();
    let known = Expr::IsNotNull(Box::new(Expr::Nested(Box::new(by.expr.clone()))));
    let filter = match &called.filter {
        Some(filter) => {
            let (left, right) = (Box::new(Expr::Nested(filter.clone())), Box::new(known));
            Expr::BinaryOp { left, op: BinaryOperator::And, right }
        }
        None => known,
    };
    let over = |name: &str, clauses: Vec<FunctionArgumentClause>| {
        let mut made = match call(name, vec![by.expr.clone()]) {
            Expr::Function(made) => made,
            _ => unreachable!("a call is a function"),
        };
        if let FunctionArguments::List(list) = &mut made.args {
            list.clauses = clauses;
        }
        made.filter = Some(Box::new(filter.clone()));
        made.over.clone_from(&called.over);
        Expr::Function(made)
    };
    let values = over("array_agg", vec![FunctionArgumentClause::OrderBy(vec![by.clone()])]);
    let (left, right) = (Box::new(Expr::Nested(Box::new(share))), Box::new(over("count", Vec::new())));
    let place = call("ceil", vec![Expr::BinaryOp { left, op: BinaryOperator::Multiply, right }]);
    let place = call("greatest", vec![cast(place, DataType::BigInt(None)), number(1)]);
    Some(call("array_element", vec![values, place]))
}

/// `json_extract(json, '$.a[0]')`
fn path_call(called: &mut Function, name: &str) -> Result<Expr> {
    let shown = called.name.to_string();
    let wrong =
        || refused(format!("{shown} takes a JSON text and a path"), "write the path as a literal: '$.name[0].name'");
    let Some([json, path]) = arguments(called) else { return Err(wrong()) };
    let (json, path) = (argument(json).cloned(), argument(path));
    let path = path.and_then(text::literal_text).and_then(|path| dollar_path(&path)).ok_or_else(wrong)?;
    Ok(call(name, json.into_iter().chain(path).collect()))
}

/// `max_by(value, key)` is the first value by falling key.
fn by(called: &mut Function, falls: bool) {
    let FunctionArguments::List(list) = &mut called.args else { return };
    let [_, key] = list.args.as_slice() else { return };
    let Some(key) = argument(key).cloned() else { return };
    list.args.truncate(1);
    let known = Expr::IsNotNull(Box::new(key.clone()));
    list.clauses.push(FunctionArgumentClause::OrderBy(vec![OrderByExpr {
        expr: key,
        options: OrderByOptions { asc: Some(!falls), nulls_first: Some(false) },
        with_fill: None,
    }]));
    called.filter = Some(Box::new(match called.filter.take() {
        Some(filter) => {
            Expr::BinaryOp { left: Box::new(Expr::Nested(filter)), op: BinaryOperator::And, right: Box::new(known) }
        }
        None => known,
    }));
    called.name = ObjectName::from(vec![Ident::new("first_value")]);
}

fn is_transaction_id(expr: Option<&Expr>) -> bool {
    let name = match expr {
        Some(Expr::Identifier(name)) => Some(name),
        Some(Expr::CompoundIdentifier(names)) => names.last(),
        _ => None,
    };
    name.is_some_and(|name| name.value.contains("xid"))
}

/// `$.a.b[0]['c']`
fn dollar_path(path: &str) -> Option<Vec<Expr>> {
    let mut rest = path.trim().strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let name = after.get(..end).filter(|name| !name.is_empty() && *name != "*")?;
            steps.push(string(name.trim_matches('"').to_owned()));
            rest = &after[end..];
        } else {
            let (step, after) = rest.strip_prefix('[')?.split_once(']')?;
            steps.push(match step.trim().trim_matches(['"', '\'']) {
                quoted if quoted.len() != step.trim().len() => string(quoted.to_owned()),
                index => number(index.parse().ok()?),
            });
            rest = after;
        }
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(path: Option<Vec<Expr>>) -> Option<String> {
        path.map(|steps| steps.iter().map(Expr::to_string).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn paths_are_read_step_by_step() {
        assert_eq!(shown(dollar_path("$.a.b[0]['c d'][\"e\"]")).as_deref(), Some("'a' 'b' 0 'c d' 'e'"));
        assert_eq!(shown(dollar_path("$")).as_deref(), Some(""));
        for wrong in ["a", "$a", "$.", "$.*", "$[", "$[x]", "$.a[]"] {
            assert_eq!(shown(dollar_path(wrong)), None, "{wrong}");
        }
        assert_eq!(shown(super::super::array_path("{a, 0,\"b\"}")).as_deref(), Some("'a' 0 'b'"));
        assert_eq!(shown(super::super::array_path("a")), None);
    }
}
