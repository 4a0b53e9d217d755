//! Commas that are missing in a SELECT: it is a whole one with a comma there.

use super::dialect::SqlDialect;
use super::from_first::with_selects;
use crate::diagnostic::Fault;
use sqlparser::keywords::{Keyword, RESERVED_FOR_COLUMN_ALIAS};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// What is said where the parser stopped at a token of a query and a comma before it, or before the last one that was
/// read as a name, makes a query of all tokens.
pub(super) fn missing(tokens: &[TokenWithSpan], stopped: usize, recursion_limit: usize) -> Option<Fault> {
    let line = |at: usize| tokens.get(at).map(|token| token.span.start.line);
    let before = stopped.checked_sub(1)?;
    let begins_line = before.checked_sub(1).and_then(line) < line(before) && line(before) == line(stopped);
    let places = if begins_line { [before, stopped] } else { [stopped, before] };
    let begins_item = |at: &usize| *at > 0 && tokens.get(*at).is_some_and(|token| may_begin(&token.token));
    let at = places.into_iter().filter(begins_item).find(|at| {
        let mut tokens = tokens.to_vec();
        tokens.insert(*at, TokenWithSpan { token: Token::Comma, span: tokens[*at].span });
        is_query(&tokens, recursion_limit)
    })?;
    let fault = Fault::new(tokens[at].span, format!("a , is missing before {}", tokens[at].token));
    Some(fault.hint("write , between the items of a list; AS goes before the name of a column"))
}

/// Whether an item of a list may begin with a token.
fn may_begin(token: &Token) -> bool {
    match token {
        Token::Word(word) => word.keyword == Keyword::NoKeyword || !RESERVED_FOR_COLUMN_ALIAS.contains(&word.keyword),
        Token::Number(..) | Token::SingleQuotedString(_) => true,
        _ => false,
    }
}

fn is_query(tokens: &[TokenWithSpan], recursion_limit: usize) -> bool {
    let parser = Parser::new(&SqlDialect).with_recursion_limit(recursion_limit);
    let mut parser = parser.with_tokens_with_locations(with_selects(tokens));
    parser.parse_query().is_ok() && parser.peek_token_ref().token == Token::EOF
}
