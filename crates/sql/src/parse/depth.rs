//! How deep and how long expressions may be: what reads them calls itself once per level.

use super::token_reader::{NESTED_MAX, is_word};
use crate::diagnostic::{Fault, Outcome};
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// How many operators may follow each other without a comma, a clause or a parenthesis between them.
const OPERATORS_MAX: usize = 10_000;

/// Words that end a row of operators.
const ENDS: [&str; 14] =
    ["SELECT", "FROM", "WHERE", "GROUP", "ORDER", "WINDOW", "JOIN", "ON", "AS", "WHEN", "THEN", "ELSE", "END", "UNION"];

/// Words that are operators.
const OPERATORS: [&str; 9] = ["AND", "OR", "IS", "ISNULL", "NOTNULL", "LIKE", "ILIKE", "IN", "BETWEEN"];

/// Refuses a statement with an expression that is nested too deeply, or too long.
pub(super) fn check(tokens: &[TokenWithSpan]) -> Outcome<()> {
    // Per open parenthesis or CASE how many operators have come in it since the last end of a row of them.
    let (mut open, mut signs, mut selects) = (vec![0], 0, 0);
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| &tokens[before]);
        let is_sign = is_word(token, "NOT") || (is_plus_or_minus(&token.token) && before.is_none_or(begins_operand));
        signs = if is_sign { signs + 1 } else { 0 };
        match &token.token {
            Token::LParen | Token::LBracket => open.push(0),
            Token::RParen | Token::RBracket if open.len() > 1 => drop(open.pop()),
            Token::Comma => set(&mut open, 0),
            _ if is_word(token, "CASE") => open.push(0),
            _ if is_word(token, "END") && open.len() > 1 => drop(open.pop()),
            // IS [NOT] DISTINCT FROM is an operator like others.
            _ if is_word(token, "FROM") && before.is_some_and(|before| is_word(before, "DISTINCT")) => {}
            _ if ENDS.iter().any(|end| is_word(token, end)) => set(&mut open, 0),
            _ if is_operator(token) && !is_sign => {
                let here = open.last().copied().unwrap_or(0);
                set(&mut open, here + 1);
            }
            _ => {}
        }
        if open.len() - 1 + signs > NESTED_MAX {
            return Fault::new(token.span, "the expression is nested too deeply")
                .expected(format!("at most {NESTED_MAX} parentheses, CASE, calls and signs within each other"))
                .hint("compute parts of it in a view, or in a SELECT inside FROM, and use their columns here")
                .err();
        }
        selects += usize::from(is_word(token, "SELECT"));
        if selects > OPERATORS_MAX {
            return Fault::new(token.span, "the statement is too long")
                .expected(format!("at most {OPERATORS_MAX} SELECTs in one statement"))
                .hint("write views, and statements of their own")
                .err();
        }
        if open.last().is_some_and(|&operators| operators > OPERATORS_MAX) {
            return Fault::new(token.span, "the expression is too long")
                .expected(format!("at most {OPERATORS_MAX} operators in a row"))
                .hint("write a list of values as x IN (..), and compute parts of a sum in a SELECT inside FROM")
                .err();
        }
    }
    Ok(())
}

/// Sets the count of the innermost parenthesis.
fn set(open: &mut [usize], operators: usize) {
    if let Some(last) = open.last_mut() {
        *last = operators;
    }
}

fn is_plus_or_minus(token: &Token) -> bool {
    matches!(token, Token::Plus | Token::Minus)
}

/// Whether an operand follows: a sign that stands here is no operator between two.
fn begins_operand(before: &TokenWithSpan) -> bool {
    is_operator(before)
        || matches!(before.token, Token::LParen | Token::LBracket | Token::Comma)
        || ENDS.iter().chain(&["CASE", "NOT", "BETWEEN"]).any(|word| is_word(before, word) && *word != "END")
}

fn is_operator(token: &TokenWithSpan) -> bool {
    match &token.token {
        Token::Word(_) => OPERATORS.iter().any(|word| is_word(token, word)),
        Token::Plus
        | Token::Minus
        | Token::Mul
        | Token::Div
        | Token::DuckIntDiv
        | Token::Mod
        | Token::StringConcat
        | Token::DoubleColon
        | Token::Eq
        | Token::DoubleEq
        | Token::Neq
        | Token::Lt
        | Token::LtEq
        | Token::Gt
        | Token::GtEq
        | Token::Ampersand
        | Token::Pipe
        | Token::Caret
        | Token::Arrow
        | Token::LongArrow => true,
        _ => false,
    }
}
