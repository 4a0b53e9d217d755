//! CREATE DECISION and CREATE EXPERIMENT, from tokens.

use super::stream::length;
use super::token_reader::TokenReader;
use crate::diagnostic::{Fault, Outcome};
use crate::statement::{Decision, Experiment, Name, Rule};
use sqlparser::ast::Ident;
use sqlparser::tokenizer::Token;

pub(crate) fn parse(reader: &mut TokenReader) -> Outcome<Decision> {
    reader.next();
    let name = reader.name("the name of the decision")?;
    reader.expect("ON")?;
    let view = reader.name("the name of a view")?;
    reader.expect("SUBJECT")?;
    let subject = reader.name("the column of the subject")?;
    reader.expect("TO")?;
    let topic = reader.dotted("the name of a topic")?;
    reader.expect("AS")?;
    let mut rules: Vec<Rule> = Vec::new();
    while reader.is("RULE") || rules.is_empty() {
        let rule = rule(reader)?;
        if let Some(twice) = rules.iter().find(|other| other.name.text.eq_ignore_ascii_case(&rule.name.text)) {
            return Fault::new(
                rule.name.span,
                format!("decision \"{}\" has two rules \"{}\"", name.text, rule.name.text),
            )
            .hint(format!("the first is in line {}; give one of them another name", twice.name.span.start.line))
            .err();
        }
        rules.push(rule);
        reader.take_token(&Token::Comma);
    }
    let subject = Ident { value: subject.text, quote_style: None, span: subject.span };
    let log = format!("{}__log", name.text);
    Ok(Decision { name, view, subject, topic, log, rules })
}

fn rule(reader: &mut TokenReader) -> Outcome<Rule> {
    reader.expect("RULE")?;
    let name = reader.name("the name of a rule")?;
    let shadow = reader.take("SHADOW");
    reader.expect("WHEN")?;
    let condition = reader.expression()?;
    reader.expect("THEN")?;
    let action = reader.string("an action, in quotes")?.text;
    let mut once_per = None;
    if reader.take("ONCE") {
        reader.expect("PER")?;
        once_per = Some(length(reader)?);
    }
    if reader.is("AFTER") {
        return Fault::new(reader.here(), "delayed actions are not supported yet").err();
    }
    Ok(Rule { name, shadow, condition, action, once_per })
}

/// The buckets of an experiment: shares are told to a hundredth of a percent.
const BUCKETS: u64 = 10_000;

pub(crate) fn parse_experiment(reader: &mut TokenReader) -> Outcome<Experiment> {
    reader.next();
    let name = reader.name("the name of the experiment")?;
    reader.expect("ON")?;
    let key = reader.name("the column whose values are divided")?;
    reader.expect("ARMS")?;
    let start = reader.here();
    let arms: Vec<(Name, u64)> = reader.in_parentheses(|reader| {
        let arm = reader.name("the name of an arm")?;
        let at = reader.here();
        let share = reader.number("the share of the arm in percent")? * 100.0;
        // 0.07 times 100 is no whole number of a DOUBLE.
        let hundredths = share.round();
        if share < 0.0 || share > BUCKETS as f64 || (share - hundredths).abs() > 1e-9 {
            return Fault::new(at, "a share is a percentage with at most two decimals").err();
        }
        Ok((arm, hundredths as u64))
    })?;
    let sum: u64 = arms.iter().map(|(_, share)| share).sum();
    if sum != BUCKETS {
        return Fault::new(start, format!("the arms of experiment \"{}\" do not add up", name.text))
            .found(format!("{} percent", sum as f64 / 100.0))
            .expected("100 percent")
            .err();
    }
    Ok(Experiment { name, key, arms })
}
