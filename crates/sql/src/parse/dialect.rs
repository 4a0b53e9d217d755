//! How SQL is read: sqlparser's dialect of DuckDB, with the order in which DuckDB's own operators bind.
//!
//! ```text
//! OR < AND < NOT < IS NULL, IS TRUE < IS DISTINCT FROM < = < LIKE, IN, BETWEEN, ~ < || < & | << >> < + - < * / // %
//!    < ^ ** < signs < ::
//! ```

use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};
use sqlparser::dialect::{Dialect, DuckDbDialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;
use std::any::TypeId;

const OR: u8 = 5;
const AND: u8 = 10;
const NOT: u8 = 15;
const IS: u8 = 17;
const IS_DISTINCT: u8 = 18;
const COMPARISON: u8 = 20;
const SLICE: u8 = 21;
const LIKE: u8 = 22;
const CONCATENATE: u8 = 24;
const BITS: u8 = 26;
const SUM: u8 = 30;
const PRODUCT: u8 = 40;
const POWER: u8 = 42;
const TIME_ZONE: u8 = 43;
const SIGN: u8 = 45;
const CAST: u8 = 50;
const PERIOD: u8 = 100;

/// The dialect of all SQL that is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct SqlDialect;

type Parsed = Result<Expr, ParserError>;

impl Dialect for SqlDialect {
    fn dialect(&self) -> TypeId {
        TypeId::of::<DuckDbDialect>()
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        match precedence {
            Precedence::Period => PERIOD,
            Precedence::DoubleColon => CAST,
            Precedence::AtTz => TIME_ZONE,
            Precedence::MulDivModOp => PRODUCT,
            Precedence::PlusMinus => SUM,
            Precedence::Xor | Precedence::Ampersand | Precedence::Caret | Precedence::Pipe => BITS,
            Precedence::PgOther => CONCATENATE,
            Precedence::Between | Precedence::Like => LIKE,
            Precedence::Colon => SLICE,
            Precedence::Eq => COMPARISON,
            Precedence::Is => IS,
            Precedence::UnaryNot => NOT,
            Precedence::And => AND,
            Precedence::Or => OR,
        }
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        let precedence = match &parser.peek_token_ref().token {
            Token::StringConcat => CONCATENATE,
            Token::Caret => POWER,
            Token::Mul if parser.peek_nth_token_ref(1).token == Token::Mul => POWER,
            Token::Tilde
            | Token::TildeAsterisk
            | Token::ExclamationMarkTilde
            | Token::ExclamationMarkTildeAsterisk
            | Token::DoubleTilde
            | Token::DoubleTildeAsterisk
            | Token::ExclamationMarkDoubleTilde
            | Token::ExclamationMarkDoubleTildeAsterisk => LIKE,
            word if is_word(word, "ISNULL") => IS,
            word if is_word(word, "IS") && distinct(parser).is_some() => IS_DISTINCT,
            _ => return None,
        };
        Some(Ok(precedence))
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Parsed> {
        let (op, precedence) = match &parser.peek_token_ref().token {
            Token::Minus => (UnaryOperator::Minus, SIGN),
            Token::Plus => (UnaryOperator::Plus, SIGN),
            Token::Tilde => (UnaryOperator::BitwiseNot, BITS),
            not if is_word(not, "NOT") && is_word(&parser.peek_nth_token_ref(1).token, "EXISTS") => {
                parser.advance_token();
                return Some(parser.parse_subexpr(NOT).map(negated));
            }
            _ => return None,
        };
        parser.advance_token();
        Some(operand(parser, precedence).map(|expr| Expr::UnaryOp { op, expr: Box::new(expr) }))
    }

    fn parse_infix(&self, parser: &mut Parser, left: &Expr, precedence: u8) -> Option<Parsed> {
        if let Err(refused) = refuse_chain(parser, left, precedence) {
            return Some(Err(refused));
        }
        if let Some(found) = in_list(parser, left) {
            return Some(Ok(found));
        }
        let next = |n: usize, word: &str| is_word(&parser.peek_nth_token_ref(n).token, word);
        let is_negated = next(0, "NOT");
        if next(usize::from(is_negated), "BETWEEN") {
            skip(parser, 1 + usize::from(is_negated));
            return Some(between(parser, left, is_negated));
        }
        if next(0, "ISNULL") {
            skip(parser, 1);
            return Some(Ok(Expr::IsNull(Box::new(left.clone()))));
        }
        if precedence == IS_DISTINCT {
            return distinct(parser).map(|(negated, words)| {
                skip(parser, words);
                let (left, right) = (Box::new(left.clone()), Box::new(operand(parser, IS_DISTINCT)?));
                Ok(if negated { Expr::IsNotDistinctFrom(left, right) } else { Expr::IsDistinctFrom(left, right) })
            });
        }
        if precedence == POWER && parser.peek_token_ref().token == Token::Mul {
            skip(parser, 2);
            let (left, op) = (Box::new(left.clone()), BinaryOperator::BitwiseXor);
            return Some(operand(parser, POWER).map(|right| Expr::BinaryOp { left, op, right: Box::new(right) }));
        }
        let at = usize::from(is_negated);
        let tokens = at + 1 + usize::from(next(at, "SIMILAR"));
        if precedence >= LIKE && next(tokens, "NOT") { Some(Err(not_here(parser, tokens))) } else { None }
    }

    fn is_identifier_start(&self, letter: char) -> bool {
        DuckDbDialect.is_identifier_start(letter)
    }

    fn is_identifier_part(&self, letter: char) -> bool {
        DuckDbDialect.is_identifier_part(letter)
    }

    fn supports_numeric_literal_underscores(&self) -> bool {
        true
    }

    fn supports_trailing_commas(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }

    fn supports_named_fn_args_with_assignment_operator(&self) -> bool {
        true
    }

    fn supports_dictionary_syntax(&self) -> bool {
        true
    }

    fn support_map_literal_syntax(&self) -> bool {
        true
    }

    fn supports_lambda_functions(&self) -> bool {
        true
    }

    fn allow_extract_single_quotes(&self) -> bool {
        true
    }

    fn supports_array_typedef_with_brackets(&self) -> bool {
        true
    }

    fn supports_from_first_select(&self) -> bool {
        true
    }

    fn supports_order_by_all(&self) -> bool {
        true
    }

    fn supports_select_wildcard_exclude(&self) -> bool {
        true
    }

    fn supports_select_wildcard_replace(&self) -> bool {
        true
    }

    fn supports_select_expr_star(&self) -> bool {
        true
    }

    fn supports_notnull_operator(&self) -> bool {
        true
    }

    fn supports_comma_separated_trim(&self) -> bool {
        true
    }
}

fn skip(parser: &mut Parser, tokens: usize) {
    (0..tokens).for_each(|_| parser.advance_token());
}

pub(super) fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}

/// Whether IS [NOT] DISTINCT FROM comes next: whether with NOT, and its number of words.
fn distinct(parser: &Parser) -> Option<(bool, usize)> {
    let next = |n: usize, word: &str| is_word(&parser.peek_nth_token_ref(n).token, word);
    let negated = next(1, "NOT");
    let words = 2 + usize::from(negated);
    (next(words - 1, "DISTINCT") && next(words, "FROM")).then_some((negated, words + 1))
}

/// The right side of an operator that binds tighter than NOT.
fn operand(parser: &mut Parser, precedence: u8) -> Parsed {
    if is_word(&parser.peek_token_ref().token, "NOT") {
        return Err(not_here(parser, 0));
    }
    parser.parse_subexpr(precedence)
}

/// NOT of what it binds; EXISTS has a form of its own for it.
fn negated(of: Expr) -> Expr {
    match of {
        Expr::Exists { subquery, negated: false } => Expr::Exists { subquery, negated: true },
        other => Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(other) },
    }
}

fn between(parser: &mut Parser, left: &Expr, negated: bool) -> Parsed {
    let low = Box::new(operand(parser, LIKE)?);
    parser.expect_keyword(Keyword::AND)?;
    let high = Box::new(operand(parser, LIKE)?);
    Ok(Expr::Between { expr: Box::new(left.clone()), negated, low, high })
}

/// A list of IN that begins with a subquery in parentheses, as in `x IN ((SELECT ..), 1)`; sqlparser takes those
/// parentheses for the ones of IN. One subquery alone gives the values themselves.
fn in_list(parser: &mut Parser, left: &Expr) -> Option<Expr> {
    let token = |n: usize| &parser.peek_nth_token_ref(n).token;
    let negated = is_word(token(0), "NOT");
    let at = 1 + usize::from(negated);
    let opens = |n: usize| *token(n) == Token::LParen;
    if !is_word(token(at - 1), "IN") || !opens(at) || !opens(at + 1) {
        return None;
    }
    if !["SELECT", "WITH"].iter().any(|word| is_word(token(at + 2), word)) {
        return None;
    }
    let list = parser.maybe_parse(|parser| {
        skip(parser, at + 1);
        let list = parser.parse_comma_separated(Parser::parse_expr)?;
        parser.expect_token(&Token::RParen)?;
        Ok(list)
    });
    let (mut list, expr) = (list.ok()??, Box::new(left.clone()));
    match list.as_mut_slice() {
        [Expr::Subquery(subquery)] => Some(Expr::InSubquery { expr, subquery: subquery.clone(), negated }),
        _ => Some(Expr::InList { expr, list, negated }),
    }
}

fn not_here(parser: &Parser, ahead: usize) -> ParserError {
    fault(parser, ahead, "NOT binds looser than the operator before it: put parentheses around NOT and its condition")
}

/// An error at the place of a token.
fn fault(parser: &Parser, ahead: usize, message: &str) -> ParserError {
    ParserError::ParserError(format!("{message}{}", parser.peek_nth_token_ref(ahead).span.start))
}

/// DuckDB refuses rows of operators that people read in two ways, and so are they refused here.
fn refuse_chain(parser: &Parser, left: &Expr, precedence: u8) -> Result<(), ParserError> {
    let message = match (binds(left), precedence) {
        (COMPARISON, COMPARISON) | (IS_DISTINCT, IS_DISTINCT) => {
            "a comparison of a comparison is not clear: write a < b AND b < c, or put parentheses around one of them"
        }
        (LIKE | IS, LIKE) if !ends_in_parenthesis(left) => {
            "a condition of a condition is not clear: put parentheses around the first of them"
        }
        (LIKE, after) if after > LIKE && after < CAST && ends_in_parenthesis(left) => {
            "an operator after IN (..) is not clear: put parentheses around the condition with IN"
        }
        _ => return Ok(()),
    };
    Err(fault(parser, 0, message))
}

fn ends_in_parenthesis(expr: &Expr) -> bool {
    matches!(expr, Expr::InList { .. } | Expr::InSubquery { .. })
}

/// How tight the outermost operator of a condition binds; 0 for what is none.
fn binds(expr: &Expr) -> u8 {
    use BinaryOperator as B;
    match expr {
        Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsTrue(_)
        | Expr::IsNotTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsNotFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotUnknown(_) => IS,
        Expr::IsDistinctFrom(..) | Expr::IsNotDistinctFrom(..) => IS_DISTINCT,
        Expr::Like { .. } | Expr::ILike { .. } | Expr::SimilarTo { .. } | Expr::Between { .. } => LIKE,
        expr if ends_in_parenthesis(expr) => LIKE,
        Expr::BinaryOp { op, .. } => match op {
            B::Eq | B::NotEq | B::Lt | B::LtEq | B::Gt | B::GtEq => COMPARISON,
            B::PGRegexMatch | B::PGRegexIMatch | B::PGRegexNotMatch | B::PGRegexNotIMatch => LIKE,
            B::PGLikeMatch | B::PGILikeMatch | B::PGNotLikeMatch | B::PGNotILikeMatch => LIKE,
            _ => 0,
        },
        _ => 0,
    }
}
