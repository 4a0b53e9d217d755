//! FROM without SELECT is of all columns. sqlparser takes no clause after such a FROM, so SELECT * is written before it.

use super::dialect::is_word;
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// Words between two queries of one.
const BETWEEN: [&str; 3] = ["UNION", "EXCEPT", "INTERSECT"];

/// The tokens of a query in which every FROM has its SELECT, at the place of the FROM.
pub(super) fn with_selects(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let mut written = Vec::with_capacity(tokens.len());
    // Per open parenthesis whether a query in it waits for its SELECT.
    let mut waits = vec![true];
    for (at, token) in tokens.iter().enumerate() {
        let begins = |word: &str| tokens.get(at + 1).is_some_and(|next| is_word(&next.token, word));
        match &token.token {
            Token::LParen => {
                let nested = tokens.get(at + 1).is_some_and(|next| next.token == Token::LParen);
                waits.push(nested || ["SELECT", "FROM", "WITH"].into_iter().any(begins));
            }
            Token::RParen => drop(waits.pop()),
            _ if BETWEEN.iter().any(|word| is_word(&token.token, word)) => set(&mut waits, true),
            _ if is_word(&token.token, "SELECT") => set(&mut waits, false),
            _ if is_word(&token.token, "FROM") && waits.last() == Some(&true) => {
                if !has_select(&tokens[at..]) {
                    let select = Token::make_keyword("SELECT");
                    written
                        .extend([select, Token::Mul].map(|token_before| TokenWithSpan::new(token_before, token.span)));
                }
                set(&mut waits, false);
            }
            _ => {}
        }
        written.push(token.clone());
    }
    written
}

fn set(waits: &mut [bool], is_waiting: bool) {
    if let Some(last) = waits.last_mut() {
        *last = is_waiting;
    }
}

/// Whether the SELECT of a FROM comes after it.
fn has_select(tokens: &[TokenWithSpan]) -> bool {
    let mut open = 0_usize;
    for token in tokens {
        match &token.token {
            Token::LParen => open += 1,
            Token::RParen if open == 0 => return false,
            Token::RParen => open -= 1,
            _ if open > 0 => {}
            _ if is_word(&token.token, "SELECT") => return true,
            _ if BETWEEN.iter().any(|word| is_word(&token.token, word)) => return false,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::dialect::SqlDialect;
    use sqlparser::parser::Parser;
    use sqlparser::tokenizer::Tokenizer;

    #[test]
    fn a_from_without_select_is_of_all_columns() {
        for (text, meant) in [
            ("FROM t", "SELECT * FROM t"),
            ("FROM t WHERE x > 1 ORDER BY x", "SELECT * FROM t WHERE x > 1 ORDER BY x"),
            ("FROM t SELECT x WHERE y", "SELECT x FROM t WHERE y"),
            (
                "WITH w AS (FROM t WHERE a) FROM w WHERE b",
                "WITH w AS (SELECT * FROM t WHERE a) SELECT * FROM w WHERE b",
            ),
            ("FROM t WHERE a UNION ALL FROM u WHERE b", "SELECT * FROM t WHERE a UNION ALL SELECT * FROM u WHERE b"),
            ("SELECT extract(hour FROM at) FROM t", "SELECT extract(hour FROM at) FROM t"),
            (
                "FROM (FROM t WHERE (SELECT 1) IS DISTINCT FROM x) AS q",
                "SELECT * FROM (SELECT * FROM t WHERE (SELECT 1) IS DISTINCT FROM x) AS q",
            ),
        ] {
            let tokens = |text: &str| Tokenizer::new(&SqlDialect, text).tokenize_with_location().unwrap();
            let query = |tokens: Vec<TokenWithSpan>| {
                let mut parser = Parser::new(&SqlDialect).with_tokens_with_locations(tokens);
                let query = parser.parse_query().unwrap();
                assert_eq!(parser.peek_token().token, Token::EOF, "{text}");
                query.to_string()
            };
            let plain = |query: String| query.replace("FROM t SELECT x", "SELECT x FROM t");
            assert_eq!(plain(query(with_selects(&tokens(text)))), query(tokens(meant)), "{text}");
        }
    }
}
