//! What sqlparser reads in a SELECT and nothing here answers, told at its words: the tree keeps no place of them.

use super::dialect::is_word;
use crate::diagnostic::{Fault, Outcome, span_of};
use sqlparser::ast::{Expr, Ident, Query, Select, SelectItem, Visit, Visitor};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Span, Token, TokenWithSpan};
use std::ops::ControlFlow;

/// Refuses parts of a query; `tokens` are what it was read from.
pub(super) fn check(query: &Query, tokens: &[TokenWithSpan]) -> Outcome<()> {
    match Visit::visit(query, &mut Refused { tokens }) {
        ControlFlow::Break(fault) => Err(fault),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Refused<'t> {
    tokens: &'t [TokenWithSpan],
}

impl Visitor for Refused<'_> {
    type Break = Box<Fault>;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Box<Fault>> {
        if query.fetch.is_some() {
            let fault = Fault::new(self.words("FETCH", &["FIRST", "NEXT"]), "FETCH is not supported");
            return broken(fault.hint("write LIMIT 10, which riverrun query takes"));
        }
        if query.with.as_ref().is_some_and(|with| with.recursive) {
            return broken(Fault::new(self.words("RECURSIVE", &[]), "WITH RECURSIVE is not supported"));
        }
        match query.locks.first() {
            Some(lock) => {
                let at = self.words("FOR", &["UPDATE", "SHARE", "NO", "KEY"]);
                let fault = Fault::new(at, "rows of streams and tables are not locked").found(lock.to_string());
                broken(fault.hint("leave it out"))
            }
            None => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Box<Fault>> {
        if let Some(top) = &select.top {
            let fault = Fault::new(self.words("TOP", &[]), "TOP is not supported").found(top.to_string());
            return broken(fault.hint("write LIMIT 10 at the end, which riverrun query takes"));
        }
        let quoted = select.projection.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } => self.quoted_name(expr, alias),
            _ => None,
        });
        quoted.map_or(ControlFlow::Continue(()), broken)
    }
}

fn broken(fault: Fault) -> ControlFlow<Box<Fault>> {
    ControlFlow::Break(Box::new(fault))
}

impl Refused<'_> {
    /// The place of a word that one of others follows.
    fn words(&self, word: &str, next: &[&str]) -> Span {
        let is_next = |at: usize| {
            next.is_empty()
                || self.tokens.get(at + 1).is_some_and(|token| next.iter().any(|next| is_word(&token.token, next)))
        };
        let at = (0..self.tokens.len()).find(|at| is_word(&self.tokens[*at].token, word) && is_next(*at));
        at.map_or_else(Span::empty, |at| self.tokens[at].span)
    }

    /// A name in single quotes without AS: most likely a text of its own after a comma that is missing.
    fn quoted_name(&self, named: &Expr, alias: &Ident) -> Option<Fault> {
        if alias.quote_style != Some('\'') {
            return None;
        }
        let is_name = |pair: &&[TokenWithSpan]| {
            let follows_value = match &pair[0].token {
                Token::Word(word) => word.keyword == Keyword::NoKeyword,
                Token::Number(..) | Token::RParen | Token::RBracket | Token::SingleQuotedString(_) => true,
                _ => false,
            };
            follows_value && matches!(&pair[1].token, Token::SingleQuotedString(text) if *text == alias.value)
        };
        // A column may be called as a keyword is, after which many a text stands that is no name.
        let end = span_of(named).end;
        let next = self.tokens.iter().find(|token| end.line > 0 && token.span.start >= end);
        let next = next.filter(|next| matches!(&next.token, Token::SingleQuotedString(text) if *text == alias.value));
        let name = next.or_else(|| self.tokens.windows(2).find(is_name).map(|pair| &pair[1]))?;
        let fault = Fault::new(name.span, "a text after an expression names its column only after AS");
        let fault = fault.found(name.token.to_string()).expected("a comma, or AS and a name");
        Some(fault.hint(format!("write AS \"{}\" where the column is to be called so", alias.value)))
    }
}
