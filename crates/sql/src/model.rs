//! Models in SQL: `predict(m)` binds the inputs of a model to columns by name.

use crate::diagnostic::{Fault, Outcome, did_you_mean, place_of};
use crate::planner::Planner;
use crate::relation::{Relation, RelationColumn, type_name};
use crate::rewrite::{arguments, call, generated, replace};
use crate::statement::{Model, Name};
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use dataflow::{Batch, Evaluated, Scalar, Scorer};
use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, Ident};
use sqlparser::tokenizer::Span;
use std::sync::Arc;

/// Replaces the calls of predict in expressions by columns of one projection in front of them.
pub(crate) fn plan(
    planner: &mut Planner,
    owner: &str,
    relation: Relation,
    items: &mut [(Expr, Option<String>)],
    span: Span,
) -> Outcome<Relation> {
    let mut added: Vec<(RelationColumn, Arc<dyn Scalar>)> = Vec::new();
    let mut models = relation.models.clone();
    for (expr, alias) in items.iter_mut() {
        let whole = call(expr, "predict").is_some();
        let alias = alias.clone().filter(|_| whole);
        replace(expr, |part| {
            let Some(function) = call(part, "predict") else { return Ok(None) };
            let at = place_of(part, span);
            let (name, scalar) = predict(planner, function, &relation, at)?;
            models.insert(name.0, name.1);
            let column_name = format!("__{}_{}", alias.as_deref().unwrap_or("score"), added.len() + 1);
            let data_type = scalar.data_type();
            let column = RelationColumn {
                qualifier: None,
                name: column_name.clone(),
                data_type,
                nullable: true,
                time: false,
                scored: true,
                generated: true,
            };
            added.push((column, scalar));
            Ok(Some(generated(&column_name, at)))
        })?;
    }
    if added.is_empty() {
        return Ok(relation);
    }
    let kept: Vec<usize> = (0..relation.columns.len()).collect();
    let names: Vec<String> = models.iter().map(|(name, version)| format!("{name} {}", short(version))).collect();
    let describe = format!("scores with {}", names.join(", "));
    let mut scored = relation.project(&mut planner.plan, format!("{owner}.predict"), &kept, added, describe);
    scored.models = models;
    Ok(scored)
}

/// The first letters of a digest, enough to tell versions apart.
fn short(version: &str) -> String {
    version.chars().take(12).collect()
}

type Version = (String, String);

fn predict(
    planner: &mut Planner,
    function: &Function,
    relation: &Relation,
    span: Span,
) -> Outcome<(Version, Arc<dyn Scalar>)> {
    let mut arguments = arguments(function).iter();
    let name = match arguments.next() {
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(name)))) => name.clone(),
        _ => {
            return Fault::new(span, "predict has no model")
                .expected("predict(model), with the name of a CREATE MODEL")
                .err();
        }
    };
    let (model, scorer) = planner.model(&Name { text: name.value.clone(), span: name.span })?;
    let mut overrides: Vec<(Ident, &Expr)> = Vec::new();
    for argument in arguments {
        match argument {
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), .. } => overrides.push((name.clone(), expr)),
            FunctionArg::ExprNamed { name: Expr::Identifier(name), arg: FunctionArgExpr::Expr(expr), .. } => {
                overrides.push((name.clone(), expr));
            }
            other => {
                return Fault::new(span, "inputs of a model are given by name")
                    .found(other.to_string())
                    .expected("name => expression")
                    .err();
            }
        }
    }
    let names: Vec<String> = match &model.inputs {
        Some(inputs) => inputs.iter().map(|input| input.text.clone()).collect(),
        None => scorer.inputs().iter().filter_map(|input| input.name.clone()).collect(),
    };
    if let Some((unknown, _)) =
        overrides.iter().find(|(name, _)| !names.iter().any(|n| n.eq_ignore_ascii_case(&name.value)))
    {
        let mut fault =
            Fault::new(unknown.span, format!("model \"{}\" has no input \"{}\"", model.name.text, unknown.value));
        fault.hint = did_you_mean(&unknown.value, names.iter().map(String::as_str));
        return fault.expected(names.join(", ")).err();
    }
    let inputs =
        names.iter().map(|input| bind(input, &overrides, &model, relation, span)).collect::<Outcome<Vec<_>>>()?;
    let version = (model.name.text.clone(), scorer.version().to_owned());
    Ok((version, Arc::new(Predict { scorer, inputs })))
}

/// The column, or the expression given, for one input of a model.
fn bind(
    input: &str,
    overrides: &[(Ident, &Expr)],
    model: &Model,
    relation: &Relation,
    span: Span,
) -> Outcome<Arc<dyn Scalar>> {
    let given = overrides.iter().find(|(name, _)| name.value.eq_ignore_ascii_case(input)).map(|(_, expr)| *expr);
    let by_name = Expr::Identifier(Ident { value: input.to_owned(), quote_style: None, span });
    if given.is_none() && relation.place(&by_name).is_none() {
        let matching = relation.columns.iter().filter(|column| column.name.eq_ignore_ascii_case(input)).count();
        let columns: Vec<&str> =
            relation.columns.iter().filter(|column| !column.generated).map(|column| column.name.as_str()).collect();
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
        return Fault::new(span, format!("model \"{}\" has an input \"{input}\", and {problem} so", model.name.text))
            .found(columns.join(", "))
            .expected(input)
            .hint(hint)
            .err();
    }
    let expr = given.unwrap_or(&by_name);
    let compiled = relation.compile(expr, span)?;
    if !(compiled.data_type.is_numeric() || compiled.data_type == DataType::Boolean) {
        let fault =
            Fault::new(place_of(expr, span), format!("input \"{input}\" of model \"{}\" is a number", model.name.text))
                .found(format!("{expr} {}", type_name(&compiled.data_type)))
                .expected("BIGINT, INTEGER, SMALLINT, DOUBLE, FLOAT or BOOLEAN");
        return match compiled.data_type {
            DataType::Timestamp(..) => {
                fault.hint(format!("write epoch({expr}), or the difference of two times in seconds")).err()
            }
            DataType::Duration(_) | DataType::Interval(_) => {
                fault.hint(format!("write epoch({expr}): the length in seconds")).err()
            }
            _ => fault.err(),
        };
    }
    Ok(compiled.scalar)
}

/// A model over columns.
#[derive(Debug)]
struct Predict {
    scorer: Arc<dyn Scorer>,
    inputs: Vec<Arc<dyn Scalar>>,
}

impl Scalar for Predict {
    fn data_type(&self) -> DataType {
        self.scorer.output()
    }

    fn evaluate(&self, batch: &Batch) -> dataflow::Result<Evaluated> {
        let mut failed = Vec::new();
        let mut inputs: Vec<ArrayRef> = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            let Evaluated { values, failed: rows } = input.evaluate(batch)?;
            inputs.push(values);
            failed.extend(rows);
        }
        failed.sort_by_key(|(row, _)| *row);
        failed.dedup_by_key(|(row, _)| *row);
        Ok(Evaluated { values: self.scorer.score(&inputs)?, failed })
    }
}
