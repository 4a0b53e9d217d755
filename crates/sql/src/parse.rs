//! SQL text to statements: our own statements from tokens, SELECT bodies by sqlparser.

use crate::diagnostic::{Diagnostic, Fault, Outcome, did_you_mean};
use crate::statement::{Insert, Model, ModelOutput, Name, Placed, SourceFile, Statement, Statements, View};
use crate::{parse_decision, parse_stream, test_statement};
use sqlparser::ast::{Expr, Query};
use sqlparser::dialect::DuckDbDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};
use std::collections::HashSet;

/// Reads the statements of all files. Every statement that is wrong gives one diagnostic.
pub fn parse(files: &[SourceFile]) -> Result<Statements, Vec<Diagnostic>> {
    let mut statements = Statements { files: files.to_vec(), ..Statements::default() };
    let mut wrong = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let tokens = match tokens_of(&file.text) {
            Ok(tokens) => tokens,
            Err(fault) => {
                wrong.push(fault.in_file(file));
                continue;
            }
        };
        let (tokens, marks) = take_as_of(tokens);
        statements.as_of.extend(marks.into_iter().map(|at| (number, at)));
        for tokens in split(tokens) {
            match parse_statement(&tokens) {
                Ok(statement) => place(&mut statements, number, span_over(&tokens), statement, &mut wrong),
                Err(fault) => wrong.push(fault.within(span_over(&tokens)).in_file(file)),
            }
        }
    }
    if wrong.is_empty() { Ok(statements) } else { Err(wrong) }
}

/// Reads a query of its own, for `Target::Query`: the query, and where right sides of as-of joins begin.
pub(crate) fn parse_query(text: &str) -> Outcome<(Box<Query>, HashSet<Location>)> {
    let (tokens, marks) = take_as_of(tokens_of(text)?);
    let mut all = split(tokens);
    let (Some(tokens), true) = (all.pop(), all.is_empty()) else {
        return Fault::new(whole(text), "a query is one SELECT").err();
    };
    let mut reader = TokenReader::new(&tokens);
    let query = reader.query()?;
    reader.end()?;
    Ok((query, marks))
}

fn whole(text: &str) -> Span {
    let first = text.lines().next().unwrap_or("").chars().count() as u64;
    Span::new(Location::new(1, 1), Location::new(1, first + 1))
}

/// GIVEN and EXPECT belong to the test before them.
fn place(into: &mut Statements, file: usize, span: Span, parsed: Parsed, wrong: &mut Vec<Diagnostic>) {
    let statement = match parsed {
        Parsed::Statement(statement) => *statement,
        Parsed::OfTest(clause) => {
            let last = into.statements.last_mut().filter(|placed| placed.file == file);
            if let Some(Placed { statement: Statement::Test(test), .. }) = last {
                test.add(*clause);
            } else {
                let fault = Fault::new(span, "GIVEN and EXPECT belong to a test")
                    .hint("write TEST 'what it shows'; in front of them");
                wrong.push(fault.in_file(&into.files[file]));
            }
            return;
        }
    };
    let mut statement = statement;
    if let Statement::Test(test) = &mut statement {
        test.file = file;
        test.path.clone_from(&into.files[file].path);
    }
    into.statements.push(Placed { file, span, statement });
}

fn tokens_of(text: &str) -> Outcome<Vec<TokenWithSpan>> {
    let tokens = Tokenizer::new(&DuckDbDialect {}, text).tokenize_with_location();
    let tokens = tokens.or_else(|error| {
        let end = Location::new(error.location.line, error.location.column + 1);
        Fault::new(Span::new(error.location, end), lower_first(&error.message)).err()
    })?;
    Ok(tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect())
}

fn split(tokens: Vec<TokenWithSpan>) -> Vec<Vec<TokenWithSpan>> {
    let statements = tokens.split(|token| token.token == Token::SemiColon);
    statements.filter(|tokens| !tokens.is_empty()).map(<[TokenWithSpan]>::to_vec).collect()
}

fn span_over(tokens: &[TokenWithSpan]) -> Span {
    match (tokens.first(), tokens.last()) {
        (Some(first), Some(last)) => Span::new(first.span.start, last.span.end),
        _ => Span::empty(),
    }
}

/// Leaves out the word ASOF in front of a join and remembers where the right side begins: sqlparser knows another
/// form of as-of joins only.
fn take_as_of(tokens: Vec<TokenWithSpan>) -> (Vec<TokenWithSpan>, HashSet<Location>) {
    let mut marks = HashSet::new();
    let mut kept = Vec::with_capacity(tokens.len());
    for (at, token) in tokens.iter().enumerate() {
        let behind = |n: usize, word: &str| tokens.get(at + n).is_some_and(|token| is_word(token, word));
        let join = match is_word(token, "ASOF") {
            false => None,
            true if behind(1, "JOIN") => Some(2),
            true if (behind(1, "LEFT") || behind(1, "INNER")) && behind(2, "JOIN") => Some(3),
            true if behind(1, "LEFT") && behind(2, "OUTER") && behind(3, "JOIN") => Some(4),
            true => None,
        };
        match join.and_then(|words| tokens.get(at + words)) {
            Some(right) => drop(marks.insert(right.span.start)),
            None => kept.push(token.clone()),
        }
    }
    (kept, marks)
}

fn is_word(token: &TokenWithSpan, word: &str) -> bool {
    matches!(&token.token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}

/// What stands between two semicolons.
pub(crate) enum Parsed {
    Statement(Box<Statement>),
    OfTest(Box<test_statement::Clause>),
}

/// Words that begin the clauses of a SELECT and are easily mistyped.
const CLAUSES: [&str; 3] = ["FROM", "WHERE", "WINDOW"];

const STATEMENTS: &str =
    "CREATE STREAM, VIEW, MODEL, EXPERIMENT or DECISION, INSERT INTO, ARCHIVE, TEST, GIVEN or EXPECT";

fn parse_statement(tokens: &[TokenWithSpan]) -> Outcome<Parsed> {
    let mut reader = TokenReader::new(tokens);
    let statement = match reader.word_upper().as_deref() {
        Some("CREATE") => parse_create(&mut reader)?,
        Some("INSERT") => parse_insert(&mut reader)?,
        Some("ARCHIVE") => {
            reader.next();
            Statement::Archive(reader.name("the name of a stream")?)
        }
        Some("TEST") => Statement::Test(test_statement::parse_test(&mut reader)?),
        Some("GIVEN" | "EXPECT") => {
            let clause = test_statement::parse_clause(&mut reader)?;
            reader.end()?;
            return Ok(Parsed::OfTest(Box::new(clause)));
        }
        Some("SELECT" | "WITH" | "FROM") => {
            return Fault::new(reader.here(), "a SELECT on its own has nowhere to go")
                .hint(
                    "name it with CREATE VIEW name AS SELECT .., or write it somewhere with INSERT INTO name SELECT ..",
                )
                .err();
        }
        word => {
            let known = ["CREATE", "INSERT", "ARCHIVE", "TEST", "GIVEN", "EXPECT"];
            let fault = reader.unexpected("unknown statement", STATEMENTS);
            return match word.and_then(|word| did_you_mean(word, known.into_iter())) {
                Some(hint) => fault.hint(hint).err(),
                None => fault.err(),
            };
        }
    };
    reader.end()?;
    Ok(Parsed::Statement(Box::new(statement)))
}

fn parse_create(reader: &mut TokenReader) -> Outcome<Statement> {
    reader.next();
    match reader.word_upper().as_deref() {
        Some("STREAM") => parse_stream::parse(reader).map(Statement::Stream),
        Some("VIEW") => parse_view(reader).map(Statement::View),
        Some("MODEL") => parse_model(reader).map(Statement::Model),
        Some("EXPERIMENT") => parse_decision::parse_experiment(reader).map(Statement::Experiment),
        Some("DECISION") => parse_decision::parse(reader).map(Statement::Decision),
        Some("TABLE") => Fault::new(reader.here(), "CREATE TABLE is not a statement of a project")
            .hint("write CREATE STREAM for an input; INSERT INTO creates its table by itself")
            .err(),
        word => {
            let known = ["STREAM", "VIEW", "MODEL", "EXPERIMENT", "DECISION"];
            let hint = word.and_then(|word| did_you_mean(word, known.into_iter()));
            let fault = reader.unexpected("unknown kind of CREATE", "STREAM, VIEW, MODEL, EXPERIMENT or DECISION");
            Err(Box::new(Fault { hint, ..fault }))
        }
    }
}

fn parse_view(reader: &mut TokenReader) -> Outcome<View> {
    reader.next();
    let name = reader.name("the name of the view")?;
    reader.expect("AS")?;
    Ok(View { name, query: reader.query()? })
}

fn parse_insert(reader: &mut TokenReader) -> Outcome<Statement> {
    reader.next();
    reader.expect("INTO")?;
    // A table may be called topic: the word is the marker only when a name follows it.
    let topic = reader.is("TOPIC")
        && matches!(reader.peek_at(1), Token::Word(word) if !word.value.eq_ignore_ascii_case("SELECT"));
    if topic {
        reader.next();
    } else {
        reader.take("TABLE");
    }
    let target = reader.dotted("the name of a table or topic")?;
    let selects = matches!(reader.peek_at(1), Token::Word(word) if word.value.eq_ignore_ascii_case("SELECT"));
    if reader.is_token(&Token::LParen) && !selects {
        return Fault::new(reader.here(), "INSERT has no list of columns: they are those of the SELECT")
            .hint("leave it out, and name the columns with AS in the SELECT")
            .err();
    }
    Ok(Statement::Insert(Insert { target, topic, query: reader.query()? }))
}

fn parse_model(reader: &mut TokenReader) -> Outcome<Model> {
    reader.next();
    let name = reader.name("the name of the model")?;
    reader.expect("FROM")?;
    let path = reader.string("the path of the model's file, in quotes")?;
    let mut inputs = None;
    let mut output = ModelOutput::Only;
    loop {
        if reader.take("INPUTS") {
            inputs = Some(reader.names("the name of an input")?);
        } else if reader.take("OUTPUT") {
            let named = reader.name("the name of an output")?;
            output = ModelOutput::Named(named.clone());
            if reader.take("OF") {
                output = ModelOutput::ProbabilityOf(reader.label()?);
            }
        } else if reader.is("VERSION") || reader.is("SHADOW") || reader.is("CANARY") {
            return Fault::new(reader.here(), "versions of a model beside each other are not supported yet")
                .hint("declare the other version as a model of its own name")
                .err();
        } else {
            return Ok(Model { name, path, inputs, output });
        }
    }
}

/// Reads one statement's tokens.
pub(crate) struct TokenReader<'a> {
    tokens: &'a [TokenWithSpan],
    at: usize,
}

impl<'a> TokenReader<'a> {
    pub fn new(tokens: &'a [TokenWithSpan]) -> Self {
        TokenReader { tokens, at: 0 }
    }

    pub fn next(&mut self) {
        self.at += 1;
    }

    pub fn peek_at(&self, ahead: usize) -> &Token {
        self.tokens.get(self.at + ahead).map_or(&Token::EOF, |token| &token.token)
    }

    /// The place of the next token; behind the last one, the place where something is missing.
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

    pub fn is(&self, word: &str) -> bool {
        self.tokens.get(self.at).is_some_and(|token| is_word(token, word))
    }

    pub fn take(&mut self, word: &str) -> bool {
        let found = self.is(word);
        self.at += usize::from(found);
        found
    }

    pub fn expect(&mut self, word: &str) -> Outcome<()> {
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
        Fault::new(self.here(), message).found(found).expected(expected)
    }

    pub fn end(&self) -> Outcome<()> {
        if self.at >= self.tokens.len() {
            return Ok(());
        }
        let fault = self.unexpected("the statement goes on where it should end", "; and the next statement");
        let before = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        let hint = before.and_then(|token| match &token.token {
            Token::Word(word) if !CLAUSES.contains(&word.value.to_uppercase().as_str()) => {
                did_you_mean(&word.value, CLAUSES.into_iter())
            }
            _ => None,
        });
        Err(Box::new(Fault { hint, ..fault }))
    }

    pub fn name(&mut self, what: &str) -> Outcome<Name> {
        let span = self.here();
        match self.peek_at(0) {
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
            _ => self.unexpected(format!("expected {what}"), what).err(),
        }
    }

    /// A class label: a number, a string or a word.
    fn label(&mut self) -> Outcome<Name> {
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
            return self.unexpected("expected a SELECT", "SELECT").err();
        }
        self.sqlparser(|parser| parser.parse_query())
    }

    pub fn expression(&mut self) -> Outcome<Expr> {
        self.sqlparser(|parser| parser.parse_expr())
    }

    /// Lets sqlparser read from here on.
    pub fn sqlparser<T>(&mut self, read: impl FnOnce(&mut Parser) -> Result<T, ParserError>) -> Outcome<T> {
        let rest = self.tokens.get(self.at..).unwrap_or(&[]).to_vec();
        let mut parser = Parser::new(&DuckDbDialect {}).with_tokens_with_locations(rest);
        let read = read(&mut parser);
        let next = parser.peek_token_ref();
        match read {
            Ok(value) => {
                self.at = match next.token {
                    Token::EOF => self.tokens.len(),
                    _ => self.tokens.iter().position(|t| t.span.start == next.span.start).unwrap_or(self.tokens.len()),
                };
                Ok(value)
            }
            Err(error) => self.parser_fault(&error, parser.get_current_index()).err(),
        }
    }

    /// sqlparser writes places into its messages: `Expected: x, found: y at Line: 3, Column: 9`.
    fn parser_fault(&self, error: &ParserError, stopped: usize) -> Fault {
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
        let span = TokenReader { tokens: self.tokens, at: at.unwrap_or(self.tokens.len()) }.here();
        let found_expected = text.strip_prefix("Expected: ").and_then(|rest| rest.split_once(", found: "));
        match found_expected {
            Some((expected, found)) => {
                let found = if found == "EOF" { "the end of the statement" } else { found };
                Fault::new(span, "the statement is not valid SQL here").found(found).expected(expected)
            }
            None => Fault::new(span, lower_first(&text)),
        }
    }
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or(String::new(), |first| first.to_lowercase().chain(characters).collect())
}
