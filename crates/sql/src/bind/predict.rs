//! Models in SQL: `predict(m)` binds the inputs of a model to columns by name.

use super::binding::Binding;
use super::bound::ScoreCall;
use super::columns::Columns;
use super::relation::Relation;
use super::syntax::{arguments, score_call};
use crate::diagnostic::{Fault, Outcome, place_of};
use crate::expression::{ColumnId, Tree, type_name};
use crate::nearest::did_you_mean;
use crate::statement::{Model, Name};
use arrow::datatypes::DataType;
use dataflow::{Scorer, ScorerInput, ScorerValue};
use operators::predict::Part;
use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, Ident};
use sqlparser::tokenizer::Span;
use std::collections::HashMap;
use std::sync::Arc;

/// A call of a model with an expression for each of its inputs.
pub(crate) struct NamedInputs {
    pub inputs: Vec<NamedInput>,
    pub span: Span,
    model: Model,
    scorer: Arc<dyn Scorer>,
}

/// The expression for an input of a model: what is given, or the column of its name.
pub(crate) struct NamedInput {
    pub expr: Expr,
    name: String,
    takes: ScorerInput,
}

/// Reads a call of a model: every input has an expression.
pub(crate) fn open(
    binding: &mut Binding,
    function: &Function,
    relation: &Relation,
    within: Span,
    call: &Expr,
) -> Outcome<NamedInputs> {
    let span = place_of(call, within);
    let (model, scorer) = binding.model(&model_name(function, span)?)?;
    let overrides =
        arguments(function).iter().skip(1).map(|argument| given(argument, span)).collect::<Outcome<Vec<_>>>()?;
    for (at, (name, _)) in overrides.iter().enumerate() {
        if overrides[..at].iter().any(|(before, _)| before.value.eq_ignore_ascii_case(&name.value)) {
            return Fault::new(name.span, format!("input \"{}\" is given twice", name.value)).err();
        }
    }
    let names: Vec<String> = match &model.inputs {
        Some(inputs) => inputs.iter().map(|input| input.text.clone()).collect(),
        None => scorer.inputs().iter().filter_map(|input| input.name.clone()).collect(),
    };
    if let Some((first, second)) = alike(&names) {
        let model = &model.name.text;
        let problem =
            format!("model \"{model}\" has inputs \"{first}\" and \"{second}\", which SQL does not tell apart");
        let hint = format!("give all inputs names in the model's order: CREATE MODEL {model} FROM .. INPUTS (..)");
        return Fault::new(span, problem).expected("names that differ in more than case").hint(hint).err();
    }
    if let Some((unknown, _)) =
        overrides.iter().find(|(name, _)| !names.iter().any(|n| n.eq_ignore_ascii_case(&name.value)))
    {
        let fault =
            Fault::new(unknown.span, format!("model \"{}\" has no input \"{}\"", model.name.text, unknown.value));
        return fault.offer(&unknown.value, names.iter().map(String::as_str)).err();
    }
    let input = |(name, takes): (&String, &ScorerInput)| {
        let given = overrides.iter().find(|(given, _)| given.value.eq_ignore_ascii_case(name)).map(|(_, expr)| *expr);
        let expr = given.map_or_else(|| by_name(name, &model, relation, span), |expr| Ok(expr.clone()))?;
        Ok(NamedInput { expr, name: name.clone(), takes: takes.clone() })
    };
    let inputs = names.iter().zip(scorer.inputs()).map(input).collect::<Outcome<Vec<_>>>()?;
    Ok(NamedInputs { inputs, span, model, scorer })
}

/// Two names that are the same in SQL.
fn alike(names: &[String]) -> Option<(&str, &str)> {
    let mut seen = HashMap::new();
    names.iter().find_map(|name| Some((seen.insert(name.to_ascii_lowercase(), name.as_str())?, name.as_str())))
}

/// The name of the model that is called.
fn model_name(function: &Function, span: Span) -> Outcome<Name> {
    match arguments(function).first() {
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(name)))) => {
            Ok(Name { text: name.value.clone(), span: name.span })
        }
        _ => Fault::new(span, "predict has no model").expected("predict(model), with the name of a CREATE MODEL").err(),
    }
}

/// The type of an expression whose fields are asked for: a call of a model, or an expression of the row.
pub(crate) fn type_of(binding: &mut Binding, relation: &Relation, expr: &Expr, within: Span) -> Outcome<DataType> {
    match score_call(expr) {
        Some((Part::Score, function)) => {
            let name = model_name(function, place_of(expr, within))?;
            binding.model(&name).map(|(_, scorer)| scorer.output())
        }
        _ => relation.bind(expr, within).map(|tree| tree.settled_type()),
    }
}

/// An input that is given by name.
fn given(argument: &FunctionArg, span: Span) -> Outcome<(Ident, &Expr)> {
    match argument {
        FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), .. } => Ok((name.clone(), expr)),
        FunctionArg::ExprNamed { name: Expr::Identifier(name), arg: FunctionArgExpr::Expr(expr), .. } => {
            Ok((name.clone(), expr))
        }
        other => Fault::new(span, "inputs of a model are given by name")
            .found(other.to_string())
            .expected("name => expression")
            .err(),
    }
}

/// The column of an input's name.
fn by_name(input: &str, model: &Model, relation: &Relation, span: Span) -> Outcome<Expr> {
    let column = Expr::Identifier(Ident { value: input.to_owned(), quote_style: None, span });
    if relation.place(&column).is_some() {
        return Ok(column);
    }
    let columns: Vec<&str> = relation.columns.iter().map(|column| column.name.as_str()).collect();
    let matching = columns.iter().filter(|column| column.eq_ignore_ascii_case(input)).count();
    let hint = match did_you_mean(input, columns.iter().copied()) {
        _ if matching > 1 => {
            format!("say which one is meant: predict({}, {input} => stream.{input})", model.name.text)
        }
        Some(near) => near,
        None => format!(
            "give it: predict({}, {input} => expression), or select it in the view that is read",
            model.name.text
        ),
    };
    let problem = if matching > 1 { "several columns are named" } else { "no column is named" };
    Fault::new(span, format!("model \"{}\" has an input \"{input}\", and {problem} so", model.name.text))
        .found(columns.join(", "))
        .expected(input)
        .hint(hint)
        .err()
}

/// Checks that an input is of a type that the model takes.
pub(crate) fn check(input: &NamedInput, tree: &Tree, call: &NamedInputs) -> Outcome<()> {
    let data_type = tree.settled_type();
    let NamedInput { expr, name, takes } = input;
    if takes.takes(&data_type) {
        return Ok(());
    }
    let model = &call.model.name.text;
    let article = if takes.value == ScorerValue::Integer && takes.list.is_none() { "an" } else { "a" };
    let fault =
        Fault::new(place_of(expr, call.span), format!("input \"{name}\" of model \"{model}\" is {article} {takes}"))
            .found(format!("{expr} {}", type_name(&data_type)))
            .expected(types_for(takes));
    match hint(takes, expr, &data_type) {
        Some(hint) => fault.hint(hint).err(),
        None => fault.err(),
    }
}

/// The types of SQL that an input takes.
fn types_for(input: &ScorerInput) -> String {
    if input.list.is_some() && input.value != ScorerValue::Text {
        return "TEXT that holds a list, such as [0.5, 1.5]".to_owned();
    }
    let types: &[&str] = match input.value {
        ScorerValue::Any | ScorerValue::Number => &["BIGINT", "INTEGER", "SMALLINT", "DOUBLE", "FLOAT", "BOOLEAN"],
        ScorerValue::Integer => &["BIGINT", "INTEGER", "SMALLINT", "TINYINT", "BOOLEAN"],
        ScorerValue::Boolean => &["BOOLEAN"],
        ScorerValue::Text => &["TEXT"],
    };
    let lists = if input.list.is_some() { "[]" } else { "" };
    match types {
        [before @ .., last] if !before.is_empty() => format!("{} or {last}{lists}", before.join(", ")),
        only => format!("{}{lists}", only.concat()),
    }
}

/// What to write instead.
fn hint(input: &ScorerInput, expr: &Expr, data_type: &DataType) -> Option<String> {
    if input.list.is_some() {
        return None;
    }
    match (input.value, data_type) {
        (ScorerValue::Text, of) if !of.is_nested() => Some(format!("write {expr}::TEXT")),
        (ScorerValue::Number | ScorerValue::Integer, DataType::Timestamp(..)) => {
            Some(format!("write epoch({expr}), or the difference of two times in seconds"))
        }
        (ScorerValue::Number | ScorerValue::Integer, DataType::Duration(_) | DataType::Interval(_)) => {
            Some(format!("write epoch({expr}): the length in seconds"))
        }
        (ScorerValue::Integer, of) if of.is_numeric() => Some(format!("write {expr}::BIGINT, which rounds")),
        (ScorerValue::Boolean, of) if of.is_numeric() => Some(format!("write {expr} <> 0")),
        _ => None,
    }
}

/// Adds a call of a model, or finds the one that gives the same: the column of what is asked.
pub(crate) fn add(
    call: NamedInputs,
    part: Part,
    inputs: Vec<Tree>,
    name: Option<&str>,
    columns: &mut Columns,
    scores: &mut Vec<ScoreCall>,
) -> (ColumnId, DataType) {
    let model = call.model.name.text;
    let data_type = match part {
        Part::Score => call.scorer.output(),
        Part::Version | Part::Fault => DataType::Utf8,
    };
    let at = scores.iter().position(|known| known.model == model && known.inputs == inputs).unwrap_or(scores.len());
    if at == scores.len() {
        let input_names = call.inputs.into_iter().map(|input| input.name).collect();
        scores.push(ScoreCall { columns: vec![], model, scorer: call.scorer, input_names, inputs });
    }
    let score = &mut scores[at];
    if let Some((_, id)) = score.columns.iter().find(|(known, _)| *known == part) {
        return (*id, data_type);
    }
    let id = match name {
        Some(name) => columns.add(name, data_type.clone()),
        None => columns.add_part(&score.model, data_type.clone()),
    };
    score.columns.push((part, id));
    (id, data_type)
}
