//! SQL as Lakehead reads it.

use std::any::TypeId;

use datafusion::sql::sqlparser::{
    ast::Expr,
    dialect::{Dialect, GenericDialect},
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::Token,
};

pub(crate) static DIALECT: LakeheadDialect = LakeheadDialect;

/// Between `::` (50) and `*` (40), as in PostgreSQL.
const POWER_PRECEDENCE: u8 = 45;

/// sqlparser's generic dialect with five differences: `^` is a power and binds as one, IS DISTINCT FROM ends before AND,
/// `a->b` and `a->>b` are operators (the generic dialect takes `address->street` for a lambda), tables may carry a version, and
/// names start as in ksqlDB.
#[derive(Debug)]
pub(crate) struct LakeheadDialect;

macro_rules! says {
    ($answer:literal: $($method:ident)*) => { $(fn $method(&self) -> bool { $answer })* };
}

impl Dialect for LakeheadDialect {
    /// The parser asks "is this the generic dialect?" in a hundred places; the answer is yes.
    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        (parser.peek_token_ref().token == Token::Caret).then_some(Ok(POWER_PRECEDENCE))
    }

    /// sqlparser lets `a IS DISTINCT FROM b AND c` end with `b AND c`.
    fn parse_infix(&self, parser: &mut Parser, left: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        use Keyword::{DISTINCT, FROM, IS, NOT};
        let is_distinct = parser.parse_keywords(&[IS, DISTINCT, FROM]);
        if !is_distinct && !parser.parse_keywords(&[IS, NOT, DISTINCT, FROM]) {
            return None;
        }
        let left = Box::new(left.clone());
        Some(parser.parse_subexpr(precedence).map(|right| match is_distinct {
            true => Expr::IsDistinctFrom(left, Box::new(right)),
            false => Expr::IsNotDistinctFrom(left, Box::new(right)),
        }))
    }

    fn is_delimited_identifier_start(&self, c: char) -> bool {
        c == '"' || c == '`'
    }

    fn is_identifier_start(&self, c: char) -> bool {
        c.is_alphabetic() || c == '_' || c == '@'
    }

    fn is_identifier_part(&self, c: char) -> bool {
        c.is_alphabetic() || c.is_ascii_digit() || matches!(c, '_' | '@' | '$')
    }

    says! { true:
        supports_unicode_string_literal supports_group_by_expr supports_group_by_with_modifier
        supports_left_associative_joins_without_parens supports_window_function_null_treatment_arg
        supports_dictionary_syntax supports_window_clause_named_window_reference supports_parenthesized_set_variables
        supports_select_wildcard_except support_map_literal_syntax allow_extract_custom allow_extract_single_quotes
        supports_extract_comma_syntax supports_parens_around_table_factor supports_values_as_table_factor
        supports_explain_with_utility_options supports_limit_comma supports_from_first_select
        supports_projection_trailing_commas supports_try_convert supports_bitwise_shift_operators supports_struct_literal
        supports_empty_projections supports_nested_comments supports_string_escape_constant
        supports_array_typedef_with_brackets supports_comma_separated_set_assignments supports_filter_during_aggregation
        supports_select_wildcard_exclude supports_select_wildcard_replace supports_interval_options
        supports_start_transaction_modifier supports_set_names supports_named_fn_args_with_assignment_operator
        supports_table_versioning supports_order_by_all supports_numeric_literal_underscores
    }

    says! { false: supports_lambda_functions supports_pipe_operator supports_comment_optimizer_hint }
}
