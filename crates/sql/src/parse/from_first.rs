//! FROM without SELECT is of all columns. sqlparser takes no clause after such a FROM, so SELECT * is written before it.

use super::dialect::is_word;
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// Words between two queries of one.
const BETWEEN: [&str; 3] = ["UNION", "EXCEPT", "INTERSECT"];

/// Words that may stand between those and the next query.
const AFTER_BETWEEN: [&str; 4] = ["ALL", "DISTINCT", "BY", "NAME"];

/// What may come next inside a pair of parentheses, or outside of all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A query begins here, if one does.
    Start,
    /// The named queries of a WITH, after which its query begins.
    With,
    /// No query begins here: a FROM belongs to a SELECT, a function or IS DISTINCT FROM.
    Inside,
}

/// The tokens of a query in which every FROM has its SELECT, at the place of the FROM.
pub(super) fn with_selects(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let mut written = Vec::with_capacity(tokens.len());
    let mut places = vec![Place::Start];
    for (at, token) in tokens.iter().enumerate() {
        let mut place = places.pop().unwrap_or(Place::Inside);
        let is = |word: &str| is_word(&token.token, word);
        match &token.token {
            Token::Whitespace(_) => places.push(place),
            Token::LParen => places.extend([place, start(&tokens[at + 1..])]),
            Token::RParen => {
                // A query in parentheses was the whole one, up to a UNION.
                let outer = places.pop().unwrap_or(Place::Inside);
                places.push(if outer == Place::Start { Place::Inside } else { outer });
            }
            _ => {
                if place != Place::Inside && is("FROM") && !has_select(&tokens[at..]) {
                    let select = [Token::make_keyword("SELECT"), Token::Mul];
                    written.extend(select.map(|before| TokenWithSpan::new(before, token.span)));
                }
                place = match place {
                    _ if BETWEEN.into_iter().any(is) => Place::Start,
                    _ if is("SELECT") || is("FROM") => Place::Inside,
                    Place::Start if is("WITH") => Place::With,
                    Place::Start if !AFTER_BETWEEN.into_iter().any(is) => Place::Inside,
                    place => place,
                };
                places.push(place);
            }
        }
        written.push(token.clone());
    }
    written
}

/// What comes after an opening parenthesis.
fn start(tokens: &[TokenWithSpan]) -> Place {
    let next = tokens.iter().map(|token| &token.token).find(|token| !matches!(token, Token::Whitespace(_)));
    let begins = |token: &Token| ["SELECT", "FROM", "WITH"].into_iter().any(|word| is_word(token, word));
    match next {
        Some(token) if *token == Token::LParen || begins(token) => Place::Start,
        _ => Place::Inside,
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
            ("SELECT substring((a) FROM 2) FROM t", "SELECT substring((a) FROM 2) FROM t"),
            ("FROM t WHERE ((a + b) IS NOT DISTINCT FROM c)", "SELECT * FROM t WHERE ((a + b) IS NOT DISTINCT FROM c)"),
            ("(FROM t WHERE a) UNION (FROM u)", "(SELECT * FROM t WHERE a) UNION (SELECT * FROM u)"),
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
