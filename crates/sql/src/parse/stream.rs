//! CREATE STREAM, from tokens.

use super::token_reader::TokenReader;
use crate::diagnostic::{Fault, Outcome, span_of};
use crate::interval;
use crate::nearest::did_you_mean;
use crate::statement::{History, Name, NamedOutput, Stream, StreamColumn, StreamColumnSource, Watermark};
use dataflow::{BadRowPolicy, Late, Output, QueueSharing, Quiet, Span as Length};
use sqlparser::ast::{BinaryOperator, Expr};
use sqlparser::tokenizer::{Span, Token};
use values::Encoding;

/// How long a partition may be silent before it stops holding others back, where nothing is declared.
const QUIET_AFTER: Length = Length::seconds(1);

pub(crate) fn parse(reader: &mut TokenReader) -> Outcome<Stream> {
    reader.next();
    let name = reader.name("the name of the stream")?;
    let mut stream = Stream {
        name,
        columns: Vec::new(),
        watermark: None,
        dedup: None,
        history: None,
        live: None,
        queue: None,
        bad_rows: BadRowPolicy::Fail,
        dead_letters: None,
    };
    reader.in_parentheses(|reader| item(reader, &mut stream))?;
    let mut said = ClausesSeen::default();
    loop {
        let at = reader.here();
        if reader.take("HISTORY") {
            said.once("HISTORY", at)?;
            stream.history = Some(history(reader)?);
        } else if reader.take("LIVE") {
            said.once("LIVE", at)?;
            stream.live = Some(reader.dotted("the name of a topic")?);
            stream.queue = queue(reader)?;
        } else if reader.is("QUEUE") {
            let fault = reader.unexpected("QUEUE says how LIVE reads its topic", "LIVE, a topic, and then QUEUE");
            return fault.hint(format!("write LIVE {} QUEUE", stream.name.text)).err();
        } else if reader.take("ON") {
            if reader.word_upper().is_some_and(|word| ["BADROW", "BADROWS", "BAD_ROW", "BAD_ROWS"].contains(&&*word)) {
                let fault = reader.unexpected("expected BAD", "BAD");
                return fault.hint("write ON BAD ROW, in three words").err();
            }
            reader.expect("BAD")?;
            reader.expect("ROW")?;
            said.once("ON BAD ROW", at)?;
            (stream.bad_rows, stream.dead_letters) = bad_rows(reader)?;
        } else {
            return Ok(stream);
        }
    }
}

/// The clauses seen so far; each may occur once, since of two it would be unclear which one is meant.
#[derive(Default)]
struct ClausesSeen(Vec<&'static str>);

impl ClausesSeen {
    fn once(&mut self, clause: &'static str, at: Span) -> Outcome<()> {
        if self.0.contains(&clause) {
            return Fault::new(at, format!("{clause} is said twice")).hint("leave one of them out").err();
        }
        self.0.push(clause);
        Ok(())
    }
}

/// Whether the topic is one whose messages are shared with other consumers.
fn queue(reader: &mut TokenReader) -> Outcome<Option<(QueueSharing, Span)>> {
    let at = reader.here();
    if !reader.take("QUEUE") {
        return Ok(None);
    }
    if !reader.take("BY") {
        return Ok(Some((QueueSharing::Any, at)));
    }
    reader.expect("KEY")?;
    Ok(Some((QueueSharing::ByKey, at)))
}

fn history(reader: &mut TokenReader) -> Outcome<History> {
    if reader.take("FILES") {
        let pattern = reader.string("a pattern of files, in quotes")?;
        return Ok(History::Files(pattern, encoding(reader)?));
    }
    if let Token::SingleQuotedString(pattern) = reader.peek_at(0) {
        let hint = format!("write HISTORY FILES '{pattern}'");
        return reader.unexpected("a text after HISTORY is a pattern of FILES", "FILES").hint(hint).err();
    }
    Ok(History::Table(reader.dotted("the name of a table, or FILES and a pattern")?))
}

/// How text is stored in files, where it is said.
fn encoding(reader: &mut TokenReader) -> Outcome<Encoding> {
    if !reader.take("ENCODING") {
        return Ok(Encoding::default());
    }
    let name = reader.string("the name of an encoding, in quotes")?;
    match Encoding::named(&name.text) {
        Some(encoding) => Ok(encoding),
        None => Fault::new(name.span, format!("the encoding '{}' is not known", name.text))
            .found(name.text)
            .expected(Encoding::NAMES)
            .err(),
    }
}

fn bad_rows(reader: &mut TokenReader) -> Outcome<(BadRowPolicy, Option<NamedOutput>)> {
    if reader.take("FAIL") {
        return Ok((BadRowPolicy::Fail, None));
    }
    if reader.take("SKIP") {
        return Ok((BadRowPolicy::Skip, None));
    }
    if reader.take("DEAD") {
        reader.expect("LETTER")?;
        reader.expect("TO")?;
        return Ok((BadRowPolicy::DeadLetter, Some(output(reader)?)));
    }
    let is_one_word = reader.word_upper().is_some_and(|word| word.replace('_', "").starts_with("DEADLETTER"));
    let fault = reader.unexpected("unknown policy for bad rows", "FAIL, SKIP or DEAD LETTER TO a table");
    if is_one_word { fault.hint("write DEAD LETTER TO, in three words").err() } else { fault.err() }
}

/// Where removed rows go: a table, or TOPIC and a topic, as after INSERT INTO.
fn output(reader: &mut TokenReader) -> Outcome<NamedOutput> {
    let topic = reader.is("TOPIC") && matches!(reader.peek_at(1), Token::Word(_));
    if topic {
        reader.next();
    } else {
        reader.take("TABLE");
    }
    let name = reader.dotted("the name of a table, or TOPIC and the name of a topic")?;
    let text = name.text.clone();
    Ok(NamedOutput { output: if topic { Output::Topic(text) } else { Output::Table(text) }, name })
}

fn item(reader: &mut TokenReader, stream: &mut Stream) -> Outcome<()> {
    let next_is_name = matches!(reader.peek_at(1), Token::Word(_));
    if reader.is("WATERMARK") && next_is_name {
        let at = reader.here();
        if stream.watermark.is_some() {
            return Fault::new(at, format!("stream \"{}\" has two watermarks", stream.name.text)).err();
        }
        reader.next();
        stream.watermark = Some(watermark(reader)?);
    } else if reader.is("DEDUP") && next_is_name {
        reader.next();
        reader.expect("ON")?;
        if !reader.is_token(&Token::LParen) {
            let fault = reader.unexpected("the columns of DEDUP stand in parentheses", "(");
            return fault.hint("write DEDUP ON (id) WITHIN INTERVAL '1' HOUR").err();
        }
        let keys = reader.names("the name of a column")?;
        if !reader.is("WITHIN") {
            return reader
                .unexpected("DEDUP without an interval would remember every row for ever", "WITHIN INTERVAL ..")
                .hint_if_none("add WITHIN INTERVAL '1' HOUR, or as long as deliveries repeat")
                .err();
        }
        reader.next();
        stream.dedup = Some((keys, length(reader)?));
    } else {
        refuse_other_items(reader)?;
        let column = column(reader)?;
        stream.columns.push(column);
    }
    Ok(())
}

/// Refuses what begins as a clause that is mistyped, or as a constraint of a table.
fn refuse_other_items(reader: &TokenReader) -> Outcome<()> {
    let Some(word) = reader.word_upper() else { return Ok(()) };
    let next = match reader.peek_at(1) {
        Token::Word(next) if next.quote_style.is_none() => next.value.to_uppercase(),
        Token::LParen => "(".to_owned(),
        _ => return Ok(()),
    };
    match (word.as_str(), next.as_str()) {
        (wrong, "ON" | "FOR") => {
            let fault =
                reader.unexpected(format!("no clause of a stream is {wrong} {next}"), "a column, WATERMARK or DEDUP");
            let hint = did_you_mean(wrong, ["WATERMARK", "DEDUP"].into_iter());
            Err(Box::new(Fault { hint, ..fault }))
        }
        ("PRIMARY" | "FOREIGN", "KEY") | ("UNIQUE" | "CHECK", "(") => constraint(reader, &word),
        // CONSTRAINT and a name; a column of that name has a type, and then one of the words of a column.
        ("CONSTRAINT", _) if is_of_constraint(reader.peek_at(2)) => constraint(reader, &word),
        _ => Ok(()),
    }
}

/// Whether what follows CONSTRAINT and another word makes them a constraint and its name.
fn is_of_constraint(token: &Token) -> bool {
    let Token::Word(word) = token else { return false };
    ["PRIMARY", "UNIQUE", "CHECK", "FOREIGN", "NOT"].iter().any(|kind| word.value.eq_ignore_ascii_case(kind))
}

/// Words that begin what a table would demand of a column.
const CONSTRAINTS: [&str; 12] = [
    "NOT",
    "NULL",
    "PRIMARY",
    "UNIQUE",
    "DEFAULT",
    "CHECK",
    "REFERENCES",
    "CONSTRAINT",
    "GENERATED",
    "COLLATE",
    "COMMENT",
    "FOREIGN",
];

/// Refuses a constraint, and says how a stream does what it is for.
fn constraint<T>(reader: &TokenReader, word: &str) -> Outcome<T> {
    let hint = match word {
        "NOT" => "leave it out, and write WHERE x IS NOT NULL in a view to be rid of such rows",
        "PRIMARY" | "UNIQUE" => "leave it out; DEDUP ON (id) WITHIN INTERVAL '1' HOUR removes rows that come again",
        "DEFAULT" => "leave it out, and compute a column beside it, such as y BIGINT AS coalesce(x, 0)",
        "CHECK" => "leave it out, and write the condition in WHERE of a view",
        "GENERATED" => "write x BIGINT AS expression",
        _ => "leave it out",
    };
    let fault = reader.unexpected("a stream takes its rows as they come, and has no constraints", "a comma or )");
    fault.hint(hint).err()
}

fn column(reader: &mut TokenReader) -> Outcome<StreamColumn> {
    let name = reader.name("the name of a column, WATERMARK or DEDUP")?;
    let start = reader.here();
    let bare = matches!(reader.peek_at(0), Token::Comma | Token::RParen | Token::EOF) || reader.is("AS");
    let data_type = if bare { None } else { Some(reader.data_type()?) };
    let type_span = Span::new(start.start, start.end);
    let mut column = StreamColumn { name, data_type, type_span, source: StreamColumnSource::Named, tags: Vec::new() };
    loop {
        if reader.take("FROM") {
            column.source = StreamColumnSource::Path(reader.path("a path in the payload")?);
        } else if reader.take("AS") {
            column.source = StreamColumnSource::Computed(reader.expression()?);
        } else if reader.take("TAGS") {
            column.tags = reader.names("the name of a tag")?.into_iter().map(|tag| tag.text).collect();
        } else {
            let word = reader.word_upper().filter(|word| CONSTRAINTS.contains(&word.as_str()));
            return word.map_or(Ok(column), |word| constraint(reader, &word));
        }
    }
}

fn watermark(reader: &mut TokenReader) -> Outcome<Watermark> {
    reader.expect("FOR")?;
    let column = reader.name("the name of the time column")?;
    reader.expect("AS")?;
    let start = reader.here();
    let delay = delay(&column, &reader.expression()?, start).map_err(|fault| reader.of_interval(fault))?;
    let mut watermark = Watermark {
        column,
        delay,
        quiet: Quiet::After(QUIET_AFTER),
        late: Late::Move,
        quiet_at: None,
        late_at: None,
        arrival: None,
        late_rows: None,
    };
    let mut said = ClausesSeen::default();
    loop {
        let at = reader.here();
        if reader.take("ARRIVAL") {
            said.once("ARRIVAL", at)?;
            watermark.arrival = Some(reader.name("the name of the column that says when a row arrived")?);
        } else if reader.take("QUIET") {
            said.once("QUIET", at)?;
            watermark.quiet_at = Some(at);
            watermark.quiet = quiet(reader)?;
        } else if reader.take("LATE") {
            said.once("LATE", at)?;
            watermark.late_at = Some(at);
            (watermark.late, watermark.late_rows) = late(reader)?;
        } else {
            return Ok(watermark);
        }
    }
}

fn quiet(reader: &mut TokenReader) -> Outcome<Quiet> {
    if reader.take("NEVER") {
        return Ok(Quiet::Never);
    }
    if reader.take("AFTER") {
        return Ok(Quiet::After(length(reader)?));
    }
    reader.unexpected("unknown rule for quiet partitions", "AFTER INTERVAL .. or NEVER").err()
}

fn late(reader: &mut TokenReader) -> Outcome<(Late, Option<NamedOutput>)> {
    if reader.take("MOVE") {
        return Ok((Late::Move, None));
    }
    if reader.take("DROP") {
        return Ok((Late::Drop, None));
    }
    if reader.take("TO") {
        return Ok((Late::Aside, Some(output(reader)?)));
    }
    reader.unexpected("unknown rule for late rows", "MOVE, DROP or TO a table").err()
}

/// A watermark is the time column less a constant interval, and nothing else.
fn delay(column: &Name, expression: &Expr, start: Span) -> Outcome<Length> {
    let is_column =
        |expr: &Expr| matches!(expr, Expr::Identifier(ident) if ident.value.eq_ignore_ascii_case(&column.text));
    match expression {
        expr if is_column(expr) => Ok(Length::ZERO),
        Expr::BinaryOp { left, op: BinaryOperator::Minus, right } if is_column(left) => {
            let length = interval::literal(right)?;
            if length.0 < 0 {
                return Fault::new(span_of(right.as_ref()), "the delay of a watermark cannot be negative")
                    .within(start)
                    .err();
            }
            Ok(length)
        }
        other => Fault::new(span_of(other), "a watermark is the time column less a constant interval")
            .found(other.to_string())
            .expected(format!("{0} - INTERVAL '2' SECOND", column.text))
            .within(start)
            .err(),
    }
}

/// A positive constant interval.
pub(crate) fn length(reader: &mut TokenReader) -> Outcome<Length> {
    let start = reader.here();
    let expression = reader.expression()?;
    let length = interval::literal(&expression).map_err(|fault| reader.of_interval(Box::new(fault.within(start))))?;
    if length.0 <= 0 {
        return Fault::new(span_of(&expression), "the interval must be longer than zero")
            .found(expression.to_string())
            .within(start)
            .err();
    }
    Ok(length)
}
