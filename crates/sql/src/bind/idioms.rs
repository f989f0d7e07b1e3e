//! What PostgreSQL, Athena and the standard write, in the words DataFusion knows.
//!
//! Only what needs no types: the rest are functions of their own (`functions`). It happens after columns were named, so
//! `SELECT 2 ^ 3` is still called by its text.

use std::ops::ControlFlow;

use datafusion::sql::{
    parser::Statement as DfStatement,
    sqlparser::ast::{
        AccessExpr, BinaryOperator, CastKind, Cte, DataType, DateTimeField, ExactNumberInfo, Expr, Function,
        FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Ident, Interval,
        LimitClause, ObjectName, OrderBy, OrderByExpr, OrderByKind, OrderByOptions, Query, Select, SelectItem, SetExpr,
        SetOperator, SetQuantifier, TableAlias, TableAliasColumnDef, TableFactor, UnaryOperator, Value, VisitMut,
        VisitorMut,
    },
};
use model::{Error, Result, error::codes};

use super::{folded, lists, scopes};
use crate::{text, texts};

pub(super) fn rewrite(statement: &mut DfStatement) -> Result<()> {
    match scopes::visit(statement, &mut Idioms) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(*error),
    }
}

struct Idioms;

impl VisitorMut for Idioms {
    type Break = Box<Error>;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        if let Some(with) = query.with.as_mut().filter(|with| with.recursive) {
            with.cte_tables.iter_mut().for_each(recursive_columns);
        }
        flow(fetch(query).and_then(|()| counted_sets(&query.body)))
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Self::Break> {
        flow(relation(factor))
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        // A sign belongs to the number and not to its power: -2 ^ 2 is 4.
        if let Expr::UnaryOp { op: op @ (UnaryOperator::Minus | UnaryOperator::Plus), expr: inner } = expr
            && is_power(inner)
        {
            let op = *op;
            let mut power = take(inner);
            let mut base = &mut power;
            while let Expr::BinaryOp { left, op: BinaryOperator::BitwiseXor, .. } = base {
                base = left;
            }
            *base = Expr::UnaryOp { op, expr: Box::new(take(base)) };
            *expr = power;
        }
        ControlFlow::Continue(())
    }

    /// Innermost first: what is inside is rewritten already.
    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        flow(expression(expr))
    }
}

fn flow(result: Result<()>) -> ControlFlow<Box<Error>> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(Box::new(error)),
    }
}

fn refused(what: impl Into<String>, hint: &'static str) -> Error {
    Error::new(codes::SQL_UNSUPPORTED, what.into()).hint(hint)
}

/// `FETCH FIRST n ROWS ONLY` is `LIMIT n`.
fn fetch(query: &mut Query) -> Result<()> {
    let Some(fetch) = query.fetch.take() else { return Ok(()) };
    if fetch.with_ties || fetch.percent {
        return Err(refused(format!("{fetch} is not offered"), "FETCH FIRST n ROWS ONLY is"));
    }
    let rows = fetch.quantity.unwrap_or_else(|| number(1));
    match &mut query.limit_clause {
        None => {
            let limit = LimitClause::LimitOffset { limit: Some(rows), offset: None, limit_by: Vec::new() };
            query.limit_clause = Some(limit);
        }
        Some(LimitClause::LimitOffset { limit: limit @ None, .. }) => *limit = Some(rows),
        Some(_) => return Err(refused("FETCH beside LIMIT is not offered", "write one of them")),
    }
    Ok(())
}

/// `WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r …)`: the engine knows `r` by what the first query calls its
/// columns.
fn recursive_columns(cte: &mut Cte) {
    let SetExpr::SetOperation { left, .. } = cte.query.body.as_mut() else { return };
    let SetExpr::Select(first) = left.as_mut() else { return };
    if cte.alias.columns.len() != first.projection.len() {
        return;
    }
    for (item, column) in first.projection.iter_mut().zip(&cte.alias.columns) {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            *item = SelectItem::ExprWithAlias { expr: take(expr), alias: column.name.clone() };
        }
    }
}

/// The engine takes `EXCEPT ALL` for a set without what it holds once.
fn counted_sets(body: &SetExpr) -> Result<()> {
    let SetExpr::SetOperation { op, set_quantifier, left, right } = body else { return Ok(()) };
    if matches!(op, SetOperator::Except | SetOperator::Intersect) && *set_quantifier == SetQuantifier::All {
        return Err(refused(
            format!("{op} ALL is not offered"),
            "number equal rows with row_number() OVER (PARTITION BY all columns) on both sides, and leave ALL out",
        ));
    }
    counted_sets(left)?;
    counted_sets(right)
}

fn relation(factor: &mut TableFactor) -> Result<()> {
    let (what, hint) = match factor {
        TableFactor::UNNEST { alias, array_exprs, with_ordinality, .. } => {
            unnest(alias, array_exprs, with_ordinality);
            return Ok(());
        }
        TableFactor::Pivot { .. } => {
            ("PIVOT is not offered", "write sum(value) FILTER (WHERE name = 'a') AS a for each column")
        }
        TableFactor::Unpivot { .. } => (
            "UNPIVOT is not offered",
            "write CROSS JOIN UNNEST(ARRAY['a', 'b'], ARRAY[a, b]) AS u(name, value) over the columns",
        ),
        TableFactor::MatchRecognize { .. } => {
            ("MATCH_RECOGNIZE is not offered", "window functions such as lag() look at the rows nearby")
        }
        TableFactor::JsonTable { .. } | TableFactor::OpenJsonTable { .. } => {
            ("JSON_TABLE is not offered", "UNNEST(json_get_array(…)) gives the elements of a JSON array")
        }
        TableFactor::Table { sample: Some(_), .. } => {
            ("TABLESAMPLE is not offered", "WHERE random() < 0.1 takes about a tenth of the rows")
        }
        _ => return Ok(()),
    };
    Err(refused(what, hint))
}

/// `UNNEST(a) AS t` has the column `t`; WITH ORDINALITY is a second array of 1, 2, 3 …
fn unnest(alias: &mut Option<TableAlias>, arrays: &mut Vec<Expr>, with_ordinality: &mut bool) {
    if let Some(alias) = alias
        && alias.columns.is_empty()
        && arrays.len() == 1
    {
        alias.columns.push(TableAliasColumnDef { name: alias.name.clone(), data_type: None });
    }
    if let ([first, ..], true) = (arrays.as_slice(), *with_ordinality) {
        let length = call("array_length", vec![first.clone()]);
        let numbers = call("generate_series", vec![number(1), length]);
        if let Some(alias) = alias
            && alias.columns.len() == arrays.len()
        {
            alias.columns.push(TableAliasColumnDef::from_name("ordinality"));
        }
        arrays.push(numbers);
        *with_ordinality = false;
    }
}

fn expression(expr: &mut Expr) -> Result<()> {
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::BitwiseXor, right } => {
            let base = cast(take(left), DataType::DoublePrecision);
            *expr = call("power", vec![base, take(right)]);
        }
        Expr::BinaryOp { left, op: op @ (BinaryOperator::HashArrow | BinaryOperator::HashLongArrow), right } => {
            let path = text::literal_text(right)
                .and_then(|path| array_path(&path))
                .ok_or_else(|| refused(format!("`{op}` takes its path as a literal"), "write it as '{name,0,name}'"))?;
            let name = if *op == BinaryOperator::HashArrow { "json_get_json" } else { "json_as_text" };
            *expr = call(name, std::iter::once(take(left)).chain(path).collect());
        }
        Expr::Cast { kind, expr: inner, data_type, .. } => match text_type(data_type) {
            // JSON and UUID are text here, with a mark; what is not text yet becomes JSON.
            Some(function) => {
                // A parameter would have no type.
                let is_value = matches!(inner.as_ref(), Expr::Value(_));
                let inner = take(inner);
                *expr = call(function, vec![if is_value { cast(inner, DataType::Text) } else { inner }]);
            }
            // A cast alone would carry the mark along.
            None if matches!(data_type, DataType::Array(_)) => lists::written(inner),
            None if is_text(data_type) && is_marked(inner) => *expr = call("to_plain_text", vec![take(inner)]),
            None if is_numeric(data_type) && *kind != CastKind::TryCast => {
                *expr = call("to_numeric", vec![take(inner)]);
            }
            None => {}
        },
        // The engine would make a DOUBLE of it.
        Expr::Value(value) if is_beyond_64_bits(&value.value) => {
            let Value::Number(digits, _) = &value.value else { unreachable!("just seen") };
            let precision = DataType::Decimal(ExactNumberInfo::PrecisionAndScale(digits.len() as u64, 0));
            *expr = cast(string(digits.clone()), precision);
        }
        Expr::TypedString(typed) => {
            let numeric = is_numeric(&typed.data_type).then_some("to_numeric");
            if let Some(function) = text_type(&typed.data_type).or(numeric) {
                *expr = call(function, vec![Expr::Value(typed.value.clone())]);
            }
        }
        // The engine reads literals of this kind by itself, and no times in them.
        Expr::Interval(Interval { value, leading_field: None, .. }) => {
            if let Some(spelled) = text::literal_text(value).and_then(|text| texts::interval(&text)) {
                **value = string(spelled);
            }
        }
        Expr::CompoundFieldAccess { access_chain, .. } => {
            for access in access_chain {
                if let AccessExpr::Dot(Expr::Identifier(field)) = access {
                    *access = AccessExpr::Dot(string(folded(field)));
                }
            }
        }
        Expr::AtTimeZone { timestamp, time_zone } => *expr = call("timezone", vec![take(time_zone), take(timestamp)]),
        Expr::SimilarTo { negated, expr: value, pattern, escape_char: None } => {
            let written = match pattern.as_ref() {
                Expr::Value(value) => value.value.clone().into_string(),
                _ => None,
            };
            let pattern = written
                .map(|pattern| similar(&pattern))
                .ok_or_else(|| refused("SIMILAR TO takes its pattern as a literal", "or write it as a regex: a ~ b"))?;
            let op = if *negated { BinaryOperator::PGRegexNotMatch } else { BinaryOperator::PGRegexMatch };
            *expr = Expr::BinaryOp { left: Box::new(take(value)), op, right: Box::new(string(pattern)) };
        }
        Expr::SimilarTo { .. } => {
            return Err(refused("SIMILAR TO … ESCAPE is not offered", "write the pattern as a regex: a ~ b"));
        }
        Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right }
            if matches!(right.as_ref(), Expr::Subquery(_)) =>
        {
            let Expr::Subquery(subquery) = take(right) else { unreachable!("just seen") };
            *expr = Expr::InSubquery { expr: Box::new(take(left)), subquery, negated: true };
        }
        Expr::AnyOp { compare_op: BinaryOperator::Eq, .. } => lists::any(expr),
        Expr::AllOp { compare_op: BinaryOperator::NotEq, .. } => lists::not_all(expr),
        Expr::AllOp { compare_op, right, .. } if matches!(right.as_ref(), Expr::Subquery(_)) => {
            return Err(refused(
                format!("{compare_op} ALL (SELECT …) is not offered"),
                "compare with (SELECT max(…) …) or (SELECT min(…) …), or write NOT EXISTS",
            ));
        }
        // Monday is 1 everywhere but in the engine.
        Expr::Extract { field: DateTimeField::Isodow, .. } => *expr = one_more(take(expr)),
        Expr::Function(called) => {
            if let Some(new) = function(called)? {
                *expr = new;
            }
        }
        _ => {}
    }
    Ok(())
}

fn is_beyond_64_bits(value: &Value) -> bool {
    const DIGITS_MAX: usize = 76;
    let Value::Number(digits, _) = value else { return false };
    let is_whole = digits.len() <= DIGITS_MAX && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_whole && digits.parse::<u64>().is_err()
}

/// Renames `called`, or says what stands for it.
fn function(called: &mut Function) -> Result<Option<Expr>> {
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

/// `ARRAY(query)`
fn array_of(query: &mut Query) -> Expr {
    // Read as text: the tree has two dozen fields, and all but these names are defaults.
    const SHAPE: &str = "(SELECT array_agg(\"v\") FROM (SELECT 1) AS \"array\"(\"v\"))";
    let order = sorted_by(query);
    let mut shape = text::expression(SHAPE).expect("a constant that parses");
    struct Fill<'a>(&'a Query, Vec<OrderByExpr>);
    impl VisitorMut for Fill<'_> {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::Function(Function { args: FunctionArguments::List(list), .. }) = expr
                && !self.1.is_empty()
            {
                list.clauses.push(FunctionArgumentClause::OrderBy(self.1.clone()));
            }
            ControlFlow::Continue(())
        }

        fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
            if let TableFactor::Derived { subquery, alias: Some(alias), .. } = factor {
                **subquery = self.0.clone();
                let more = self.1.iter().filter_map(|by| match &by.expr {
                    Expr::Identifier(ident) if ident.value != "v" => Some(ident.clone()),
                    _ => None,
                });
                alias.columns.extend(more.map(|name| TableAliasColumnDef { name, data_type: None }));
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        }
    }
    let mut fill = Fill(query, order);
    if let Expr::Subquery(shaped) = &mut shape
        && let SetExpr::Select(select) = shaped.body.as_mut()
    {
        let _ = VisitMut::visit(&mut select.projection, &mut fill);
        let _ = VisitMut::visit(&mut select.from, &mut fill);
    }
    shape
}

/// What the rows of `query` are sorted by, which an aggregate over it must be told: the value `v` itself, or columns that
/// the query gives besides from now on.
fn sorted_by(query: &mut Query) -> Vec<OrderByExpr> {
    let Some(OrderBy { kind: OrderByKind::Expressions(sorts), .. }) = &query.order_by else { return Vec::new() };
    let mut select = match query.body.as_mut() {
        SetExpr::Select(select) if select.distinct.is_none() => Some(select),
        // These are sorted by what they give, and that is one column.
        _ => None,
    };
    let mut order = Vec::with_capacity(sorts.len());
    for (index, sort) in sorts.iter().enumerate() {
        let by = match select.as_mut().filter(|select| !is_value(&sort.expr, select)) {
            None => Ident::with_quote('"', "v"),
            Some(select) => {
                let alias = Ident::with_quote('"', format!("by{index}"));
                select.projection.push(SelectItem::ExprWithAlias { expr: sort.expr.clone(), alias: alias.clone() });
                alias
            }
        };
        order.push(OrderByExpr { expr: Expr::Identifier(by), ..sort.clone() });
    }
    order
}

/// Whether `by` means the column the query selects: by its place, by its name, or as it is written.
fn is_value(by: &Expr, select: &Select) -> bool {
    match (by, select.projection.first()) {
        (Expr::Value(_), _) => true,
        (Expr::Identifier(by), Some(SelectItem::ExprWithAlias { alias, .. })) => folded(by) == folded(alias),
        (by, Some(SelectItem::UnnamedExpr(expr))) => by == expr,
        _ => false,
    }
}

fn one_more(expr: Expr) -> Expr {
    let (left, right) = (Box::new(expr), Box::new(number(1)));
    Expr::Nested(Box::new(Expr::BinaryOp { left, op: BinaryOperator::Plus, right }))
}

fn is_transaction_id(expr: Option<&Expr>) -> bool {
    let name = match expr {
        Some(Expr::Identifier(name)) => Some(name),
        Some(Expr::CompoundIdentifier(names)) => names.last(),
        _ => None,
    };
    name.is_some_and(|name| name.value.contains("xid"))
}

/// A pattern of SIMILAR TO as a regular expression: it is about the whole text, `%` is any text and `_` any character.
fn similar(pattern: &str) -> String {
    let mut regex = String::from("^(?:");
    let mut chars = pattern.chars();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                regex.push('\\');
                regex.extend(chars.next());
            }
            '[' | ']' => {
                in_class = c == '[';
                regex.push(c);
            }
            '%' if !in_class => regex.push_str("(?s:.*)"),
            '_' if !in_class => regex.push_str("(?s:.)"),
            '.' | '^' | '$' if !in_class => regex.extend(['\\', c]),
            c => regex.push(c),
        }
    }
    regex + ")$"
}

fn is_power(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryOp { op: BinaryOperator::BitwiseXor, .. })
}

/// The function that casts to a type which is text here.
fn text_type(data_type: &DataType) -> Option<&'static str> {
    match data_type {
        DataType::JSON => Some("to_json_text"),
        DataType::JSONB => Some("to_jsonb_text"),
        DataType::Uuid => Some("to_uuid_text"),
        _ => None,
    }
}

/// Without precision and scale.
fn is_numeric(data_type: &DataType) -> bool {
    use ExactNumberInfo::None;
    matches!(data_type, DataType::Numeric(None) | DataType::Decimal(None) | DataType::Dec(None))
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Text | DataType::Varchar(None) | DataType::String(None))
}

fn is_marked(mut expr: &Expr) -> bool {
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    is_json(Some(expr)) || matches!(expr, Expr::Function(function) if function.name.to_string() == "to_uuid_text")
}

/// Whether `expr`, rewritten, gives JSON text, as far as can be seen.
fn is_json(expr: Option<&Expr>) -> bool {
    let Some(Expr::Function(function)) = expr else { return false };
    let name = function.name.to_string().to_lowercase();
    matches!(
        name.as_str(),
        "to_json"
            | "to_json_text"
            | "to_jsonb_text"
            | "json_array_of"
            | "json_build_object"
            | "json_build_array"
            | "json_get_json"
    )
}

/// `{a,0,b}`
fn array_path(path: &str) -> Option<Vec<Expr>> {
    let inner = path.trim().strip_prefix('{')?.strip_suffix('}')?;
    if inner.trim().is_empty() {
        return Some(Vec::new());
    }
    Some(inner.split(',').map(|step| step_of(step.trim().trim_matches('"'))).collect())
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

fn step_of(step: &str) -> Expr {
    step.parse::<i64>().map_or_else(|_| string(step.to_owned()), number)
}

fn arguments(called: &Function) -> Option<&[FunctionArg]> {
    match &called.args {
        FunctionArguments::List(list) => Some(&list.args),
        _ => None,
    }
}

fn argument(argument: &FunctionArg) -> Option<&Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}

pub(super) fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::Value(Value::Null.into()))
}

pub(super) fn string(text: String) -> Expr {
    Expr::Value(Value::SingleQuotedString(text).into())
}

fn number(number: i64) -> Expr {
    Expr::Value(Value::Number(number.to_string(), false).into())
}

fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

pub(super) fn call(name: &str, args: Vec<Expr>) -> Expr {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
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
        assert_eq!(shown(array_path("{a, 0,\"b\"}")).as_deref(), Some("'a' 0 'b'"));
        assert_eq!(shown(array_path("a")), None);
    }
}
