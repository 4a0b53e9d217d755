//! TEST, GIVEN and EXPECT from tokens.

use super::token_reader::TokenReader;
use crate::diagnostic::Outcome;
use crate::statement::{Expect, Expectation, Given, Name, Test};

/// GIVEN or EXPECT.
pub(crate) enum TestClause {
    Given(Given),
    Score(String, f64),
    Expect(Expect),
}

impl Test {
    pub(crate) fn add(&mut self, clause: TestClause) {
        match clause {
            TestClause::Given(given) => self.givens.push(given),
            TestClause::Score(model, score) => self.scores.push((model, score)),
            TestClause::Expect(expect) => self.expects.push(expect),
        }
    }
}

pub(crate) fn parse(reader: &mut TokenReader) -> Outcome<Test> {
    let span = reader.here();
    reader.next();
    let name = reader.string("what the test shows, in quotes")?;
    let (givens, scores, expects) = (Vec::new(), Vec::new(), Vec::new());
    Ok(Test { name: name.text, path: String::new(), line: span.start.line, givens, scores, expects, file: 0, span })
}

pub(crate) fn parse_clause(reader: &mut TokenReader) -> Outcome<TestClause> {
    if reader.take("GIVEN") {
        if reader.take("MODEL") {
            let model = reader.name("the name of a model")?;
            reader.expect("SCORES")?;
            return Ok(TestClause::Score(model.text, reader.number("a score")?));
        }
        let stream = reader.name("the name of a stream")?;
        let columns = columns(reader)?;
        return Ok(TestClause::Given(Given { stream, columns, query: reader.query()? }));
    }
    reader.expect("EXPECT")?;
    if reader.take("NO") {
        reader.expect("ROWS")?;
        let target = reader.dotted("the name of a view, a decision or an output")?;
        let condition = if reader.take("WHERE") { Some(reader.expression()?) } else { None };
        return Ok(TestClause::Expect(Expect { target, expectation: Expectation::NoRows(condition) }));
    }
    let exactly = reader.take("EXACTLY");
    let target = reader.dotted("the name of a view, a decision or an output")?;
    let columns = columns(reader)?;
    let query = reader.query()?;
    Ok(TestClause::Expect(Expect { target, expectation: Expectation::Rows { columns, query, exactly } }))
}

fn columns(reader: &mut TokenReader) -> Outcome<Option<Vec<Name>>> {
    let named = reader.is_token(&sqlparser::tokenizer::Token::LParen);
    if named { reader.names("the name of a column").map(Some) } else { Ok(None) }
}
