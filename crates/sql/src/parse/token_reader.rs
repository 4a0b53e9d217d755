//! A statement as a sequence of tokens.

use super::dialect::SqlDialect;
use super::from_first::with_selects;
use super::{commas, keywords, refused};
use crate::diagnostic::{Fault, Outcome};
use crate::file_hint::file_hint;
use crate::nearest::did_you_mean;
use crate::statement::Name;
use sqlparser::ast::{DataType, Expr, Query};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};
use std::cell::RefCell;

/// How deep parentheses, CASE, function calls and signs in front of each other may be nested.
pub(super) const NESTED_MAX: usize = 100;

/// How many words are remembered that could have stood somewhere.
const POSSIBLE_MAX: usize = 64;

/// Reads one statement's tokens.
pub(crate) struct TokenReader<'a> {
    tokens: &'a [TokenWithSpan],
    at: usize,
    /// Where the last query begins.
    query: Option<usize>,
    // The words that were looked for, with the place: one of them is meant where a mistyped one stands.
    possible: RefCell<Vec<(usize, &'static str)>>,
}

impl<'a> TokenReader<'a> {
    pub fn new(tokens: &'a [TokenWithSpan]) -> Self {
        TokenReader { tokens, at: 0, query: None, possible: RefCell::default() }
    }

    pub fn next(&mut self) {
        self.at += 1;
    }

    pub fn peek_at(&self, ahead: usize) -> &Token {
        self.tokens.get(self.at + ahead).map_or(&Token::EOF, |token| &token.token)
    }

    /// The place of the next token; after the last one, the place where something is missing.
    pub fn here(&self) -> Span {
        match self.tokens.get(self.at) {
            Some(token) => token.span,
            None => {
                let end = self.tokens.last().map_or(Location::new(1, 1), |token| token.span.end);
                Span::new(end, Location::new(end.line, end.column + 1))
            }
        }
    }

    pub fn word_upper(&self) -> Option<String> {
        match self.peek_at(0) {
            Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_uppercase()),
            _ => None,
        }
    }

    pub fn is(&self, word: &'static str) -> bool {
        let found = self.tokens.get(self.at).is_some_and(|token| is_word(token, word));
        if !found {
            let mut possible = self.possible.borrow_mut();
            if possible.len() >= POSSIBLE_MAX {
                possible.retain(|(at, _)| at + 1 >= self.at);
            }
            possible.push((self.at, word));
        }
        found
    }

    pub fn take(&mut self, word: &'static str) -> bool {
        let found = self.is(word);
        self.at += usize::from(found);
        found
    }

    pub fn expect(&mut self, word: &'static str) -> Outcome<()> {
        if self.take(word) { Ok(()) } else { self.unexpected(format!("expected {word}"), word).err() }
    }

    pub fn is_token(&self, token: &Token) -> bool {
        self.peek_at(0) == token
    }

    pub fn take_token(&mut self, token: &Token) -> bool {
        let found = self.is_token(token);
        self.at += usize::from(found);
        found
    }

    pub fn expect_token(&mut self, token: &Token) -> Outcome<()> {
        if self.take_token(token) {
            return Ok(());
        }
        self.unexpected(format!("expected {token}"), token.to_string()).err()
    }

    pub fn unexpected(&self, message: impl Into<String>, expected: impl Into<String>) -> Fault {
        let found = match self.peek_at(0) {
            Token::EOF => "the end of the statement".to_owned(),
            token => token.to_string(),
        };
        let fault = Fault::new(self.here(), message).found(found).expected(expected);
        self.before_statement(self.mistyped(fault))
    }

    /// Offers the word that is meant by a mistyped one: by the one here, or by the one before, which was taken for a name.
    fn mistyped(&self, fault: Fault) -> Fault {
        let possible = self.possible.borrow();
        let of = |at: usize| {
            let words = possible.iter().filter(move |(of, _)| *of == at).map(|(_, word)| *word);
            did_you_mean(word_of(self.tokens.get(at)?)?, words)
        };
        match (of(self.at), self.at.checked_sub(1).filter(|_| self.may_follow_name())) {
            (Some(hint), _) => fault.hint(hint),
            (None, Some(before)) => match of(before) {
                Some(hint) => self.at_token(fault, before).hint(hint),
                None => fault,
            },
            (None, None) => fault,
        }
    }

    /// The same among the words of a SELECT, and those that sqlparser would have taken where it stopped.
    fn mistyped_in_select(&self, fault: Fault, at: usize) -> Fault {
        let expected = fault.expected.clone().unwrap_or_default();
        let near = |at: usize| keywords::meant(word_of(self.tokens.get(at)?)?, &expected);
        let of_expected = |at: usize| keywords::meant_of(word_of(self.tokens.get(at)?)?, &expected);
        let reader = TokenReader { at, ..TokenReader::new(self.tokens) };
        let before = at.checked_sub(1).filter(|_| reader.may_follow_name());
        let instead = |at: usize| keywords::instead(word_of(self.tokens.get(at)?)?);
        let instead = [Some(at), at.checked_sub(1)].into_iter().flatten().find_map(|at| Some((at, instead(at)?)));
        if let Some((place, hint)) = instead {
            return self.at_token(fault, place).hint(hint);
        }
        let found = near(at).map(|hint| (at, hint));
        let found = found.or_else(|| before.and_then(|before| Some((before, near(before)?))));
        match found.or_else(|| Some((at + 1, of_expected(at + 1)?))) {
            Some((place, hint)) if place == at => fault.hint(hint),
            Some((place, hint)) => self.at_token(fault, place).hint(hint),
            None => fault,
        }
    }

    /// Whether the next token may follow a mistyped word that was taken for a name.
    fn may_follow_name(&self) -> bool {
        matches!(
            self.peek_at(0),
            Token::Word(_) | Token::Number(..) | Token::SingleQuotedString(_) | Token::LParen | Token::EOF
        )
    }

    fn at_token(&self, mut fault: Fault, at: usize) -> Fault {
        fault.span = self.tokens[at].span;
        fault.found(self.tokens[at].token.to_string())
    }

    pub fn end(&self) -> Outcome<()> {
        if self.at >= self.tokens.len() {
            return Ok(());
        }
        if let Some(fault) = self.bare_path() {
            return fault.err();
        }
        let fault = self.unexpected("the statement goes on where it should end", "; and the next statement");
        let fault = if fault.hint.is_some() { fault } else { self.mistyped_in_select(fault, self.at) };
        match self.query.filter(|_| fault.hint.is_none()) {
            Some(query) => self.missing_comma(query, self.at).unwrap_or(fault).err(),
            None => fault.err(),
        }
    }

    /// What is said where a query stopped at a token because a comma is missing there.
    fn missing_comma(&self, query: usize, stopped: usize) -> Option<Fault> {
        commas::missing(self.tokens.get(query..)?, stopped.checked_sub(query)?, 8 * NESTED_MAX)
    }

    /// A path that is not in quotes, and ends here for SQL: a name, and then `/` and what follows without a blank.
    fn bare_path(&self) -> Option<Fault> {
        let is_adjacent = |at: usize| {
            self.tokens.get(at - 1).zip(self.tokens.get(at)).is_some_and(|(a, b)| a.span.end == b.span.start)
        };
        let first =
            (1..=self.at.min(self.tokens.len().saturating_sub(1))).rev().find(|at| !is_adjacent(*at)).unwrap_or(0);
        let end = (self.at..self.tokens.len()).find(|at| *at > first && !is_adjacent(*at)).unwrap_or(self.tokens.len());
        let path: String = self.tokens.get(first..end)?.iter().map(|token| token.token.to_string()).collect();
        let hint = file_hint(&path).filter(|_| path.contains('/'))?;
        let span = Span::new(self.tokens[first].span.start, self.tokens[end - 1].span.end);
        Some(Fault::new(span, format!("\"{path}\" is a file, and FROM reads streams and views")).hint(hint))
    }

    /// Whether a token and those after it are the beginning of a statement.
    fn begins_statement(&self, at: usize) -> bool {
        let is = |ahead: usize, words: &[&str]| {
            self.tokens.get(at + ahead).is_some_and(|token| words.iter().any(|word| is_word(token, word)))
        };
        let is_text = |ahead: usize| {
            matches!(self.tokens.get(at + ahead).map(|token| &token.token), Some(Token::SingleQuotedString(_)))
        };
        let is_name =
            |ahead: usize| matches!(self.tokens.get(at + ahead).map(|token| &token.token), Some(Token::Word(_)));
        is(0, &["CREATE"]) && is(1, &["STREAM", "VIEW", "MODEL", "EXPERIMENT", "DECISION"])
            || is(0, &["INSERT"]) && is(1, &["INTO"])
            || is(0, &["TEST"]) && is_text(1)
            || is(0, &["ARCHIVE", "GIVEN", "EXPECT"]) && is_name(1)
    }

    pub fn name(&mut self, what: &str) -> Outcome<Name> {
        let span = self.here();
        match self.peek_at(0) {
            Token::Word(word) if word.value.is_empty() => Fault::new(span, "a name is empty").expected(what).err(),
            Token::Word(word) => {
                let text = word.value.clone();
                self.next();
                Ok(Name { text, span })
            }
            _ => self.unexpected(format!("expected {what}"), what).err(),
        }
    }

    pub fn dotted(&mut self, what: &str) -> Outcome<Name> {
        let mut name = self.name(what)?;
        while self.take_token(&Token::Period) {
            let part = self.name(what)?;
            name.text = format!("{}.{}", name.text, part.text);
            name.span.end = part.span.end;
        }
        Ok(name)
    }

    /// Names with dots between them; a dot in quotes is part of a name.
    pub fn path(&mut self, what: &str) -> Outcome<Vec<String>> {
        let mut path = vec![self.name(what)?.text];
        while self.take_token(&Token::Period) {
            path.push(self.name(what)?.text);
        }
        Ok(path)
    }

    /// Names in parentheses.
    pub fn names(&mut self, what: &str) -> Outcome<Vec<Name>> {
        self.in_parentheses(|reader| reader.name(what))
    }

    /// Items in parentheses, with commas between them.
    pub fn in_parentheses<T>(&mut self, mut item: impl FnMut(&mut Self) -> Outcome<T>) -> Outcome<Vec<T>> {
        self.expect_token(&Token::LParen)?;
        let mut items = Vec::new();
        while !self.take_token(&Token::RParen) {
            if !items.is_empty() && !self.take_token(&Token::Comma) {
                return self.unexpected("expected , or )", ", or )").err();
            }
            if !self.is_token(&Token::RParen) || items.is_empty() {
                items.push(item(self)?);
            }
        }
        Ok(items)
    }

    pub fn string(&mut self, what: &str) -> Outcome<Name> {
        let span = self.here();
        match self.peek_at(0) {
            Token::SingleQuotedString(text) => {
                let text = text.clone();
                self.next();
                Ok(Name { text, span })
            }
            _ => {
                let fault = self.unexpected(format!("expected {what}"), what);
                match self.as_text() {
                    Some(text) => fault.hint_if_none(format!("write {text}: a text is in single quotes")).err(),
                    None => fault.err(),
                }
            }
        }
    }

    /// What stands here in double quotes or in none, as a text.
    fn as_text(&self) -> Option<String> {
        let Token::Word(first) = self.peek_at(0) else { return None };
        let quoted = |text: &str| Some(format!("'{}'", text.replace('\'', "''")));
        if first.quote_style.is_some() {
            return quoted(&first.value);
        }
        let rest = self.tokens.get(self.at..).unwrap_or(&[]);
        let is_end = |token: &Token| matches!(token, Token::RParen | Token::Eq | Token::Comma | Token::SemiColon);
        let is_same = |pair: &&[TokenWithSpan]| pair[0].span.end == pair[1].span.start && !is_end(&pair[1].token);
        let adjacent = rest.windows(2).take_while(is_same).count();
        quoted(&rest.get(..=adjacent)?.iter().map(|token| token.token.to_string()).collect::<String>())
    }

    /// A class label: a number, a string or a word.
    pub fn label(&mut self) -> Outcome<Name> {
        let span = self.here();
        let text = match self.peek_at(0) {
            Token::Number(text, _) | Token::SingleQuotedString(text) => text.clone(),
            Token::Word(word) => word.value.clone(),
            _ => return self.unexpected("expected the label of a class", "a number or a string").err(),
        };
        self.next();
        Ok(Name { text, span })
    }

    /// An unsigned number.
    pub fn number(&mut self, what: &str) -> Outcome<f64> {
        let minus = self.take_token(&Token::Minus);
        let value = match self.peek_at(0) {
            Token::Number(text, _) => text.parse::<f64>().ok(),
            _ => None,
        };
        let Some(value) = value else {
            return self.unexpected(format!("expected {what}"), what).err();
        };
        self.next();
        Ok(if minus { -value } else { value })
    }

    pub fn query(&mut self) -> Outcome<Box<Query>> {
        if !(self.is("SELECT")
            || self.is("WITH")
            || self.is("FROM")
            || self.is("VALUES")
            || self.is_token(&Token::LParen))
        {
            let fault = self.unexpected("expected a SELECT", "SELECT");
            return match self.word_upper().as_deref() {
                Some("SHOW" | "DESCRIBE" | "DESC" | "PRAGMA") => fault
                    .hint("`riverrun explain NAME` shows columns and how they are computed, `riverrun explain` those of all outputs")
                    .err(),
                _ => fault.err(),
            };
        }
        let begin = self.at;
        self.query = Some(begin);
        let rest = with_selects(self.tokens.get(begin..).unwrap_or(&[]));
        let query = self.read(rest, self.tokens.len(), |parser| parser.parse_query()).map_err(|fault| {
            let stopped = self.tokens.iter().position(|token| token.span.start == fault.span.start);
            let stopped = stopped.filter(|_| fault.hint.is_none());
            stopped.and_then(|stopped| self.missing_comma(begin, stopped)).map_or(fault, Box::new)
        })?;
        refused::check(&query, &self.tokens[begin..self.at.min(self.tokens.len())])?;
        Ok(query)
    }

    pub fn expression(&mut self) -> Outcome<Expr> {
        self.sqlparser(self.item_end(), |parser| parser.parse_expr())
    }

    /// What is wrong with an interval that was read just now: a mistyped unit after it is told at its place.
    pub fn of_interval(&self, fault: Box<Fault>) -> Box<Fault> {
        let unit = self.tokens.get(self.at).and_then(word_of);
        let length = self.at.checked_sub(1).and_then(|before| self.tokens.get(before));
        if let (Some(unit), Some(Token::SingleQuotedString(_) | Token::Number(..))) =
            (unit, length.map(|length| &length.token))
            && keywords::is_unit(unit)
        {
            let written = length.map_or_else(String::new, |length| length.token.to_string());
            return Box::new(fault.hint_if_none(format!("write INTERVAL {written} {}", unit.to_uppercase())));
        }
        match unit.and_then(|unit| Some((unit, keywords::unit_meant(unit)?))) {
            Some((unit, hint)) => {
                let fault = Fault::new(self.here(), format!("{unit} is not a unit of time")).found(unit);
                Box::new(fault.expected("SECOND, MINUTE, HOUR, DAY or WEEK").hint(hint))
            }
            None => fault,
        }
    }

    pub fn data_type(&mut self) -> Outcome<DataType> {
        self.sqlparser(self.item_end(), |parser| parser.parse_data_type())
    }

    /// The place after the comma or the parenthesis that ends the item of a list that is next: sqlparser is given a copy
    /// of what it reads, and a copy of all that follows for each of thousands of columns would take their square.
    fn item_end(&self) -> usize {
        let mut open = 0;
        for (at, token) in self.tokens.iter().enumerate().skip(self.at) {
            match token.token {
                Token::LParen | Token::LBracket | Token::LBrace => open += 1,
                Token::RParen | Token::RBracket | Token::RBrace if open > 0 => open -= 1,
                Token::RParen | Token::RBracket | Token::RBrace => return at + 1,
                Token::Comma if open == 0 => return at + 1,
                _ => {}
            }
        }
        self.tokens.len()
    }

    /// Lets sqlparser read from here up to an end.
    fn sqlparser<T>(&mut self, end: usize, read: impl FnOnce(&mut Parser) -> Result<T, ParserError>) -> Outcome<T> {
        let rest = self.tokens.get(self.at..end).unwrap_or(&[]).to_vec();
        self.read(rest, end, read)
    }

    /// Lets sqlparser read tokens that stand for those from here up to an end.
    fn read<T>(
        &mut self,
        rest: Vec<TokenWithSpan>,
        end: usize,
        read: impl FnOnce(&mut Parser) -> Result<T, ParserError>,
    ) -> Outcome<T> {
        // What is nested deeper was refused by name; a level of ours takes a few of the parser's.
        let parser = Parser::new(&SqlDialect).with_recursion_limit(8 * NESTED_MAX);
        let mut parser = parser.with_tokens_with_locations(rest);
        let read = read(&mut parser);
        let next = parser.peek_token_ref();
        match read {
            Ok(value) => {
                self.at = match next.token {
                    Token::EOF => end,
                    _ => {
                        let left = self.tokens.iter().skip(self.at).position(|t| t.span.start == next.span.start);
                        left.map_or(self.tokens.len(), |left| self.at + left)
                    }
                };
                Ok(value)
            }
            Err(error) => {
                let (fault, at) = self.parser_fault(&error, parser.get_current_index());
                Err(Box::new(self.before_statement(self.mistyped_in_select(fault, at))))
            }
        }
    }

    /// Where a fault lies at the beginning of a statement, the one before it has no end.
    fn before_statement(&self, fault: Fault) -> Fault {
        // sqlparser takes the first word as a name that AS gives, and stops at the second.
        let at = self.tokens.iter().position(|token| token.span.start == fault.span.start);
        let begins =
            at.and_then(|at| [at, at.saturating_sub(1)].into_iter().find(|at| *at > 0 && self.begins_statement(*at)));
        match begins {
            Some(at) => missing_semicolon(&self.tokens[at - 1], &self.tokens[at]),
            None => fault,
        }
    }

    /// sqlparser writes places into its messages: `Expected: x, found: y at Line: 3, Column: 9`.
    fn parser_fault(&self, error: &ParserError, stopped: usize) -> (Fault, usize) {
        let text = match error {
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.clone(),
            ParserError::RecursionLimitExceeded => "the expression is nested too deeply".to_owned(),
        };
        let (text, place) = match text.rsplit_once(" at Line: ") {
            Some((text, place)) => (text.to_owned(), place.split_once(", Column: ")),
            None => (text, None),
        };
        let location = place.and_then(|(line, column)| Some(Location::new(line.parse().ok()?, column.parse().ok()?)));
        let at = match location {
            Some(location) => self.tokens.iter().position(|token| token.span.start == location),
            None if text.ends_with("found: EOF") => Some(self.tokens.len()),
            None => Some((self.at + stopped).min(self.tokens.len())),
        };
        let at = at.unwrap_or(self.tokens.len());
        let span = TokenReader { at, ..TokenReader::new(self.tokens) }.here();
        let found_expected = text.strip_prefix("Expected: ").and_then(|rest| rest.split_once(", found: "));
        let fault = match found_expected {
            Some((expected, found)) => {
                let expected = if expected == "identifier" { "a name" } else { expected };
                let found = if found == "EOF" { "the end of the statement" } else { found };
                Fault::new(span, "the statement is not valid SQL here").found(found).expected(expected)
            }
            None if text.starts_with("No infix parser") => {
                let operator = self.tokens.get(at).map_or_else(String::new, |token| token.token.to_string());
                Fault::new(span, format!("{operator} is no operator"))
            }
            None => Fault::new(span, lower_first(&text)),
        };
        (fault, at)
    }
}

/// The text of a word without quotes.
fn word_of(token: &TokenWithSpan) -> Option<&str> {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => Some(&word.value),
        _ => None,
    }
}

/// Two statements with nothing between them.
fn missing_semicolon(before: &TokenWithSpan, next: &TokenWithSpan) -> Fault {
    let end = before.span.end;
    let span = Span::new(end, Location::new(end.line, end.column + 1));
    let word = next.token.to_string().to_uppercase();
    Fault::new(span, format!("a ; is missing before the {word} in line {}", next.span.start.line))
        .hint("write ; at the end of each statement")
}

pub(crate) fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or(String::new(), |first| first.to_lowercase().chain(characters).collect())
}

pub(crate) fn is_word(token: &TokenWithSpan, word: &str) -> bool {
    matches!(&token.token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}
