//! SQL text to statements: our own statements from tokens, SELECT bodies by sqlparser.

mod commas;
mod depth;
mod dialect;
mod from_first;
mod keywords;
mod refused;
mod token_reader;

mod decision;
mod layout;
mod stream;
mod test;

use crate::diagnostic::{Diagnostic, Fault, Outcome};
use crate::nearest::did_you_mean;
use crate::source_file::SourceFile;
use crate::statement::{Archive, Insert, Model, ModelOutput, PlacedStatement, Statement, Statements, View};
pub use dialect::SqlDialect;
use sqlparser::ast::Query;
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer, Word};
use std::collections::HashSet;
use token_reader::{TokenReader, is_word, lower_first};

/// So many wrong statements are told of. What is no SQL at all has one at every semicolon, and each is shown with its line.
const WRONG_MAX: usize = 100;

/// Reads the statements of all files. Every statement that is wrong gives one diagnostic, the first hundred of them.
pub fn parse(files: &[SourceFile]) -> Result<Statements, Vec<Diagnostic>> {
    let statements = parse_all(files);
    if statements.wrong.is_empty() { Ok(statements) } else { Err(statements.wrong) }
}

/// The same, where those that can be read are there beside what is wrong with the others: checking them says both.
pub fn parse_all(files: &[SourceFile]) -> Statements {
    let mut statements = Statements { files: files.to_vec(), ..Statements::default() };
    let mut wrong = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let tokens = match tokens_of(&file.text) {
            Ok(tokens) => tokens,
            Err(fault) => {
                statements.lost.may_be_any = true;
                wrong.push(fault.in_file(file));
                continue;
            }
        };
        let (tokens, marks) = take_as_of(tokens);
        statements.as_of.extend(marks.into_iter().map(|at| (number, at)));
        for tokens in split(tokens) {
            if wrong.len() >= WRONG_MAX {
                statements.lost.may_be_any = true;
                return Statements { wrong, ..statements };
            }
            match depth::check(&tokens).and_then(|()| parse_statement(&tokens)) {
                Ok(statement) => place(&mut statements, number, span_over(&tokens), statement, &mut wrong),
                Err(fault) => {
                    statements.lost.names.extend(names_in(&tokens));
                    wrong.push(fault.within(span_over(&tokens)).in_file(file));
                }
            }
        }
    }
    Statements { wrong, ..statements }
}

/// The names that a statement which cannot be read may define: after CREATE and the kind, however these are written, and
/// where another statement begins before this one has ended.
fn names_in(tokens: &[TokenWithSpan]) -> impl Iterator<Item = String> {
    let begins = (0..tokens.len()).filter(|&at| at == 0 || is_word(&tokens[at], "CREATE"));
    begins.filter_map(|at| match tokens.get(at + 2).map(|token| &token.token) {
        Some(Token::Word(word)) => Some(word.value.to_lowercase()),
        _ => None,
    })
}

/// Reads a query of its own, for `Target::Query`: the query, and where right sides of as-of joins begin.
pub(crate) fn parse_query(text: &str) -> Outcome<(Box<Query>, HashSet<Location>)> {
    let (tokens, marks) = take_as_of(tokens_of(text)?);
    let mut all = split(tokens);
    if let Some(second) = all.get(1) {
        let fault = Fault::new(span_over(second), "a query is one SELECT, and another statement follows it");
        return fault.hint("leave out what comes after the ;").err();
    }
    let Some(tokens) = all.pop() else {
        return Fault::new(whole(text), "a query is one SELECT").err();
    };
    depth::check(&tokens)?;
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
fn place(into: &mut Statements, file: usize, span: Span, parsed: StatementOrClause, wrong: &mut Vec<Diagnostic>) {
    let statement = match parsed {
        StatementOrClause::Statement(statement) => *statement,
        StatementOrClause::OfTest(clause) => {
            let last = into.statements.last_mut().filter(|placed| placed.file == file);
            if let Some(PlacedStatement { statement: Statement::Test(test), .. }) = last {
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
    into.statements.push(PlacedStatement { file, span, statement });
}

fn tokens_of(text: &str) -> Outcome<Vec<TokenWithSpan>> {
    let tokens = Tokenizer::new(&SqlDialect, text).tokenize_with_location();
    let tokens = tokens.or_else(|error| {
        let end = Location::new(error.location.line, error.location.column + 1);
        Fault::new(Span::new(error.location, end), lower_first(&error.message)).err()
    })?;
    let tokens = tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_)));
    Ok(tokens.map(without_underscores).collect())
}

/// `1_000_000` is the number 1000000.
fn without_underscores(mut token: TokenWithSpan) -> TokenWithSpan {
    if let Token::Number(text, _) = &mut token.token {
        text.retain(|letter| letter != '_');
    }
    token
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

/// Leaves out the word ASOF in front of a join and remembers where the right side begins, after its parentheses:
/// sqlparser knows another form of as-of joins only.
fn take_as_of(tokens: Vec<TokenWithSpan>) -> (Vec<TokenWithSpan>, HashSet<Location>) {
    let mut marks = HashSet::new();
    let mut kept = Vec::with_capacity(tokens.len());
    for (at, token) in tokens.iter().enumerate() {
        let next = |n: usize, word: &str| tokens.get(at + n).is_some_and(|token| is_word(token, word));
        let join = match is_word(token, "ASOF") {
            false => None,
            true if next(1, "JOIN") => Some(2),
            true if (next(1, "LEFT") || next(1, "INNER")) && next(2, "JOIN") => Some(3),
            true if next(1, "LEFT") && next(2, "OUTER") && next(3, "JOIN") => Some(4),
            true => None,
        };
        let right = join.and_then(|words| tokens[at..].iter().skip(words).find(|token| token.token != Token::LParen));
        match right {
            Some(right) => drop(marks.insert(right.span.start)),
            None => kept.push(token.clone()),
        }
    }
    (kept, marks)
}

/// What a semicolon ends: a statement, or a clause of the test before it.
pub(crate) enum StatementOrClause {
    Statement(Box<Statement>),
    OfTest(Box<test::TestClause>),
}

const STATEMENTS: &str =
    "CREATE STREAM, VIEW, MODEL, EXPERIMENT or DECISION, INSERT INTO, ARCHIVE, TEST, GIVEN or EXPECT";

fn parse_statement(tokens: &[TokenWithSpan]) -> Outcome<StatementOrClause> {
    let mut reader = TokenReader::new(tokens);
    let statement = match reader.word_upper().as_deref() {
        Some("CREATE") => parse_create(&mut reader)?,
        Some("INSERT") => parse_insert(&mut reader)?,
        Some("ARCHIVE") => {
            reader.next();
            let stream = reader.name("the name of a stream")?;
            Statement::Archive(Archive { stream, layout: layout::parse(&mut reader)? })
        }
        Some("TEST") => Statement::Test(test::parse(&mut reader)?),
        Some("GIVEN" | "EXPECT") => {
            let clause = test::parse_clause(&mut reader)?;
            reader.end()?;
            return Ok(StatementOrClause::OfTest(Box::new(clause)));
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
    Ok(StatementOrClause::Statement(Box::new(statement)))
}

fn parse_create(reader: &mut TokenReader) -> Outcome<Statement> {
    reader.next();
    match reader.word_upper().as_deref() {
        Some("STREAM") => stream::parse(reader).map(Statement::Stream),
        Some("VIEW") => parse_view(reader).map(Statement::View),
        Some("MODEL") => parse_model(reader).map(Statement::Model),
        Some("EXPERIMENT") => decision::parse_experiment(reader).map(Statement::Experiment),
        Some("DECISION") => decision::parse(reader).map(Statement::Decision),
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
    let begins_query = |word: &Word| {
        word.quote_style.is_none() && matches!(word.value.to_uppercase().as_str(), "SELECT" | "FROM" | "WITH")
    };
    let topic = reader.is("TOPIC") && matches!(reader.peek_at(1), Token::Word(word) if !begins_query(word));
    if topic {
        reader.next();
    } else {
        reader.take("TABLE");
    }
    let target = reader.dotted("the name of a table or topic")?;
    let selects = matches!(reader.peek_at(1), Token::Word(word) if begins_query(word));
    if reader.is_token(&Token::LParen) && !selects {
        return Fault::new(reader.here(), "INSERT has no list of columns: they are those of the SELECT")
            .hint("leave it out, and name the columns with AS in the SELECT")
            .err();
    }
    if topic && (reader.is("PARTITION") || reader.is("SORT") || reader.is("PROPERTIES")) {
        return Fault::new(reader.here(), "only a table has partitions, an order in its files and properties")
            .hint("leave it out: a topic has messages in the order of their time")
            .err();
    }
    let layout = layout::parse(reader)?;
    Ok(Statement::Insert(Insert { target, topic, layout, query: reader.query()? }))
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
                let kinds = ["value", "probability"];
                let Some(kind) = kinds.iter().position(|kind| named.text.eq_ignore_ascii_case(kind)) else {
                    let fault = Fault::new(named.span, "only a value and a probability are OF something");
                    return fault.found(named.text.as_str()).offer(&named.text, kinds.into_iter()).err();
                };
                let of = reader.label()?;
                output = if kind == 0 { ModelOutput::ValueOf(of) } else { ModelOutput::ProbabilityOf(of) };
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

#[test]
fn a_hundred_wrong_statements_are_told_of() {
    let file = SourceFile { path: "a.sql".to_owned(), text: "words;\n".repeat(10_000) };
    let wrong = parse(&[file]).expect_err("no statement begins so");
    assert_eq!((wrong.len(), wrong[99].line), (WRONG_MAX, 100));
}
