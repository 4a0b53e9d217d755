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

/// How many of those that are read again as names may stand within each other: where something in the innermost one is
/// wrong, each level doubles the time that it takes to find that out.
const REREAD_MAX: usize = 12;

/// Words with a syntax of their own that may be names too: when what follows is wrong, it is read again as a call.
const REREAD: [&str; 25] = [
    "ARRAY",
    "CAST",
    "CEIL",
    "CONVERT",
    "CURRENT_DATE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "DATE",
    "EXISTS",
    "EXTRACT",
    "FLOOR",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "MATCH",
    "OVERLAY",
    "POSITION",
    "SAFE_CAST",
    "STRUCT",
    "SUBSTR",
    "SUBSTRING",
    "TIME",
    "TIMESTAMP",
    "TRIM",
    "TRY_CAST",
    "TRY_CONVERT",
];

/// How many levels around a token are read again when something in them is wrong.
#[derive(Default)]
struct Reread {
    /// Of each open parenthesis the INTERVALs whose value it is in, and one more where it follows one of these words.
    levels: Vec<usize>,
    /// INTERVALs whose value has not ended, in the innermost parenthesis.
    intervals: usize,
    /// Arrows and names of arguments: what stands after them is read twice.
    arrows: usize,
}

impl Reread {
    /// Takes a token; `before` are those before it, the last one first.
    fn take(&mut self, token: &TokenWithSpan, before: [Option<&TokenWithSpan>; 2], is_sign: bool) {
        match &token.token {
            Token::LParen | Token::LBracket => {
                let follows = before[0].is_some_and(|before| REREAD.iter().any(|word| is_word(before, word)));
                // What IN (( begins may be a list, or a query.
                let is_list = before[0].is_some_and(|before| before.token == Token::LParen)
                    && before[1].is_some_and(|before| is_word(before, "IN"));
                self.levels.push(self.intervals + usize::from(follows || is_list));
                self.intervals = 0;
            }
            Token::RParen | Token::RBracket => {
                self.levels.pop();
                self.intervals = 0;
            }
            Token::Arrow | Token::RArrow | Token::Assignment => self.arrows += 1,
            Token::Word(_) if is_word(token, "INTERVAL") => self.intervals += 1,
            Token::Word(_) if !ENDS.iter().any(|end| is_word(token, end)) && !is_operator(token) => {}
            _ if is_sign || matches!(token.token, Token::Tilde) => {}
            _ => self.intervals = 0,
        }
    }

    fn depth(&self) -> usize {
        self.levels.iter().sum::<usize>() + self.intervals + self.arrows
    }
}

/// Refuses a statement with an expression that is nested too deeply, or too long.
pub(super) fn check(tokens: &[TokenWithSpan]) -> Outcome<()> {
    // Per open parenthesis or CASE how many operators have come in it since the last end of a row of them.
    let (mut open, mut signs, mut selects, mut reread) = (vec![0], 0, 0, Reread::default());
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| &tokens[before]);
        let is_sign = is_word(token, "NOT") || (is_plus_or_minus(&token.token) && before.is_none_or(begins_operand));
        signs = if is_sign { signs + 1 } else { 0 };
        let before_that = at.checked_sub(2).map(|before| &tokens[before]);
        reread.take(token, [before, before_that], is_sign);
        if reread.depth() > REREAD_MAX {
            return Fault::new(token.span, "CAST, EXTRACT, SUBSTRING, INTERVAL and the like are nested too deeply")
                .expected(format!("at most {REREAD_MAX} of them within each other"))
                .hint("compute parts of it in a view, or in a SELECT inside FROM, and use their columns here")
                .err();
        }
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
        || ENDS
            .iter()
            .chain(&["CASE", "NOT", "BETWEEN", "INTERVAL"])
            .any(|word| is_word(before, word) && *word != "END")
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
