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
        LimitClause, ObjectName, OrderBy, OrderByExpr, OrderByKind, Query, Select, SelectItem, SetExpr, SetOperator,
        SetQuantifier, TableAlias, TableAliasColumnDef, TableFactor, UnaryOperator, Value, VisitMut, VisitorMut,
    },
};
use model::{Error, Result, error::codes};

mod functions;

use self::functions::function;
use super::{folded, lists, scopes, series};
use crate::{functions::like_pattern, text, texts};

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
        scopes::selects(&mut query.body).into_iter().for_each(series_rows);
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
        TableFactor::Table { name, alias: Some(alias), args: Some(_), .. }
        | TableFactor::Function { name, alias: Some(alias), .. } => {
            series_column(name, alias);
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

/// `generate_series(1, 3) AS n` has the column `n`.
fn series_column(name: &ObjectName, alias: &mut TableAlias) {
    let function = name.0.last().and_then(|part| part.as_ident()).map(folded);
    if alias.columns.is_empty() && function.is_some_and(|function| series::is(&function)) {
        alias.columns.push(TableAliasColumnDef { name: alias.name.clone(), data_type: None });
    }
}

/// `SELECT generate_series(1, 3)` gives three rows.
fn series_rows(select: &mut Select) {
    for item in &mut select.projection {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
        if !matches!(expr, Expr::Function(called) if called.name.to_string().eq_ignore_ascii_case("generate_series")) {
            continue;
        }
        let rows = call("unnest", vec![take(expr)]);
        match item {
            SelectItem::ExprWithAlias { expr, .. } => *expr = rows,
            _ => *item = SelectItem::ExprWithAlias { expr: rows, alias: Ident::new("generate_series") },
        }
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
        Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
            if let Some(escape) = escape_char.take() {
                **pattern = with_backslash(take(pattern), &escape)?;
            }
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

/// A pattern of LIKE whose escape is another character, or none, as one that escapes with a backslash.
fn with_backslash(pattern: Expr, escape: &Value) -> Result<Expr> {
    let wrong = || refused(format!("ESCAPE {escape} is not offered"), "write one character, or none: ESCAPE '!'");
    let Value::SingleQuotedString(escape) = escape else { return Err(wrong()) };
    if escape.chars().count() > 1 {
        return Err(wrong());
    }
    Ok(match &pattern {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(pattern) => string(like_pattern(pattern, escape.chars().next())),
            _ => call("like_pattern", vec![cast(pattern, DataType::Text), string(escape.clone())]),
        },
        _ => call("like_pattern", vec![pattern, string(escape.clone())]),
    })
}

fn one_more(expr: Expr) -> Expr {
    let (left, right) = (Box::new(expr), Box::new(number(1)));
    Expr::Nested(Box::new(Expr::BinaryOp { left, op: BinaryOperator::Plus, right }))
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
