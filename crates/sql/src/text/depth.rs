//! Statements that nest too deeply are refused before anything recurses over them.
//!
//! Parsers, planners, evaluators and destructors all recurse over expressions; one statement of a megabyte of `1+1+1…`
//! would overflow a stack and take the node with it. So the depth an expression can reach is estimated from its tokens:
//! brackets nest, and every infix or prefix operator of a chain may add a level. Chains of AND and OR may be longer,
//! because the parser's output is balanced right away ([`balance`]).

use std::ops::ControlFlow;

use datafusion::sql::{
    parser::Statement as DfStatement,
    sqlparser::{
        ast::{BinaryOperator, Expr, Query, Value, VisitMut, VisitorMut},
        tokenizer::{Token, TokenWithSpan},
    },
};
use model::{Error, Result, error::codes};

const BRACKETS_MAX: usize = 100;
const OPERATORS_MAX: usize = 200;
const LOGICAL_MAX: usize = 5_000;
const SET_OPERATIONS_MAX: usize = 500;
const JOINS_MAX: usize = 200;

/// What the parser may recurse to; sqlparser counts its own steps.
pub(super) const PARSER_RECURSION_MAX: usize = 160;

/// Parsing and planning run on a stack of at least this size, whatever thread they are on.
const STACK_BYTES: usize = 32 << 20;
const STACK_RED_ZONE_BYTES: usize = 8 << 20;

/// Runs `work` with enough stack for anything [`check`] lets through.
pub(crate) fn with_stack<T>(work: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(STACK_RED_ZONE_BYTES, STACK_BYTES, work)
}

#[derive(Default)]
struct Level {
    operators: usize,
    logical: usize,
    set_operations: usize,
    joins: usize,
    /// Opened by CASE, closed by END.
    is_case: bool,
}

/// Refuses what nests too deeply; white space and comments must be left out.
pub(crate) fn check(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut levels = vec![Level::default()];
    for (index, token) in tokens.iter().enumerate() {
        let depth = levels.len();
        let level = levels.last_mut().expect("never empty: the outermost level stays");
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => levels.push(Level::default()),
            // `ARRAY<ARRAY<…`: types nest too.
            Token::Lt if index > 0 && is_word(&tokens[index - 1].token, &["ARRAY", "MAP", "STRUCT"]) => {
                levels.push(Level::default())
            }
            Token::RParen | Token::RBracket | Token::RBrace if depth > 1 => {
                levels.pop();
            }
            Token::Gt | Token::ShiftRight => level.operators += 1,
            Token::Comma => (level.operators, level.logical) = (0, 0),
            Token::Word(word) if word.quote_style.is_none() => match word.value.to_ascii_uppercase().as_str() {
                "AND" | "OR" => (level.operators, level.logical) = (0, level.logical + 1),
                "UNION" | "INTERSECT" | "EXCEPT" | "MINUS" => level.set_operations += 1,
                "SELECT" => {
                    *level = Level { set_operations: level.set_operations, is_case: level.is_case, ..Level::default() }
                }
                "JOIN" => level.joins += 1,
                "CASE" => levels.push(Level { is_case: true, ..Level::default() }),
                "END" if level.is_case && depth > 1 => drop(levels.pop()),
                "FROM" | "WHERE" | "GROUP" | "HAVING" | "ORDER" | "LIMIT" | "ON" | "WHEN" | "THEN" | "ELSE" => {
                    (level.operators, level.logical) = (0, 0)
                }
                "NOT" | "IS" | "LIKE" | "ILIKE" | "IN" | "BETWEEN" | "COLLATE" | "AT" | "XOR" | "DIV" | "EXPLAIN"
                | "INTERVAL" | "PRIOR" | "SIMILAR" | "REGEXP" | "RLIKE" | "PIVOT" | "UNPIVOT" | "PREPARE" | "ARRAY"
                | "OVERLAPS" | "MEMBER" => level.operators += 1,
                _ => {}
            },
            Token::Word(_) | Token::Number(..) | Token::Period | Token::Colon | Token::Placeholder(_) => {}
            token if is_string(token) => {}
            // Everything else is an operator of some kind.
            _ => level.operators += 1,
        }
        let level = levels.last().expect("never empty: the outermost level stays");
        let what = if levels.len() > BRACKETS_MAX {
            format!("more than {BRACKETS_MAX} brackets inside each other")
        } else if level.operators > OPERATORS_MAX {
            format!("more than {OPERATORS_MAX} operators in one expression")
        } else if level.logical > LOGICAL_MAX {
            format!("more than {LOGICAL_MAX} AND or OR in one condition")
        } else if level.set_operations > SET_OPERATIONS_MAX {
            format!("more than {SET_OPERATIONS_MAX} set operations in one query")
        } else if level.joins > JOINS_MAX {
            format!("more than {JOINS_MAX} joins in one query")
        } else {
            continue;
        };
        return Err(Error::new(codes::SQL_TOO_LARGE, "the statement nests too deeply")
            .detail(format!("{what}, at line {}, column {}", token.span.start.line, token.span.start.column))
            .hint(
                "write long OR chains as IN (…), long sums with an aggregate, and name parts of the query with WITH",
            ));
    }
    Ok(())
}

fn is_word(token: &Token, words: &[&str]) -> bool {
    matches!(token, Token::Word(word) if words.iter().any(|w| word.value.eq_ignore_ascii_case(w)))
}

fn is_string(token: &Token) -> bool {
    matches!(
        token,
        Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::SingleQuotedByteStringLiteral(_)
    )
}

/// Turns chains `a AND b AND c …` and `a OR b OR c …`, which parse into a list-like tree, into trees of logarithmic depth.
/// Both operators are associative, in three-valued logic too.
pub(super) fn balance(statement: &mut DfStatement) {
    match statement {
        DfStatement::Statement(statement) => {
            let _ = statement.visit(&mut Balance);
        }
        DfStatement::Explain(explain) => balance(&mut explain.statement),
        DfStatement::CopyTo(copy) => {
            if let datafusion::sql::parser::CopyToSource::Query(query) = &mut copy.source {
                balance_query(query);
            }
        }
        DfStatement::CreateExternalTable(_) | DfStatement::Reset(_) => {}
    }
}

/// The same for a lone query.
pub(super) fn balance_query(query: &mut Query) {
    let _ = query.visit(&mut Balance);
}

struct Balance;

impl VisitorMut for Balance {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        for operator in [BinaryOperator::And, BinaryOperator::Or] {
            let mut depth = 0;
            let mut left = &*expr;
            while let Expr::BinaryOp { left: next, op, .. } = left
                && *op == operator
            {
                depth += 1;
                left = next;
            }
            if depth > 8 {
                let mut terms = Vec::with_capacity(depth + 1);
                let mut rest = std::mem::replace(expr, null());
                loop {
                    match rest {
                        Expr::BinaryOp { left, op, right } if op == operator => {
                            terms.push(*right);
                            rest = *left;
                        }
                        first => break terms.push(first),
                    }
                }
                terms.reverse();
                *expr = join(terms, &operator);
            }
        }
        ControlFlow::Continue(())
    }
}

fn join(mut terms: Vec<Expr>, operator: &BinaryOperator) -> Expr {
    if terms.len() == 1 {
        return terms.pop().expect("one term: checked above");
    }
    let right = terms.split_off(terms.len() / 2);
    // Parentheses keep the tree when it is written out as text.
    let side = |terms: Vec<Expr>| match join(terms, operator) {
        expr @ Expr::BinaryOp { .. } => Box::new(Expr::Nested(Box::new(expr))),
        expr => Box::new(expr),
    };
    Expr::BinaryOp { left: side(terms), op: operator.clone(), right: side(right) }
}

fn null() -> Expr {
    Expr::Value(Value::Null.into())
}
