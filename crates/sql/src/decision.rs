//! Decisions: conditions over the rows of a view, arms of experiments, and the operator's spec.

use crate::diagnostic::{Fault, Outcome, did_you_mean, place_of};
use crate::plan::DecisionPlan;
use crate::planner::Planner;
use crate::relation::{Relation, RelationColumn};
use crate::rewrite::{any, argument, arguments, call, generated, is_subquery, is_window, replace};
use crate::statement::{Decision, Experiment, Rule, Statement};
use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::DataType;
use dataflow::{Batch, Evaluated, EventTime, Scalar, key_hashes};
use operators::decision;
use sqlparser::ast::Expr;
use sqlparser::tokenizer::Span;
use std::sync::Arc;

/// Puts a decision into the plan: its node.
pub(crate) fn plan(planner: &mut Planner, declared: &Decision, span: Span) -> Outcome<usize> {
    let relation = planner.relation(&declared.view)?.named(&declared.view.text);
    let name = &declared.name.text;
    let subject = relation.plain_column(&Expr::Identifier(declared.subject.clone())).ok_or_else(|| {
        let names = relation.columns.iter().map(|column| column.name.as_str());
        let mut fault = Fault::new(
            declared.subject.span,
            format!("\"{}\" has no column \"{}\"", declared.view.text, declared.subject.value),
        );
        fault.expected = Some(names.clone().collect::<Vec<_>>().join(", "));
        fault.hint = did_you_mean(&declared.subject.value, names);
        Box::new(fault)
    })?;
    let mut conditions: Vec<Expr> = declared.rules.iter().map(|rule| rule.condition.clone()).collect();
    for condition in &conditions {
        refuse(condition, &declared.view.text, span)?;
    }
    let relation = arms(planner, name, relation, &mut conditions, span)?;
    let scored = conditions.iter().map(|condition| relation.is_scored(condition)).collect();
    let mut rules = Vec::with_capacity(conditions.len());
    for (Rule { name, shadow, action, once_per, .. }, condition) in declared.rules.iter().zip(&conditions) {
        let condition = relation.condition(condition, name.span)?.scalar;
        rules.push(decision::Rule {
            name: name.text.clone(),
            condition,
            action: action.clone(),
            shadow: *shadow,
            once_per: *once_per,
        });
    }
    let spec = decision::Spec {
        name: name.clone(),
        subject,
        rules,
        log_columns: (0..relation.columns.len()).collect(),
        model_versions: relation.models.clone().into_iter().collect(),
        revision: String::new(),
        published_after: EventTime::MIN,
        acts: true,
    };
    let input = planner.plan.schema(relation.node).clone();
    let wrong = |error: dataflow::Error| Box::new(Fault::new(declared.name.span, error.chain()));
    let actions = decision::actions_schema(&input, &spec).map_err(wrong)?;
    let log = decision::log_schema(&input, &spec).map_err(wrong)?;
    Ok(planner.plan.decision(relation.node, DecisionPlan { spec, log, scored }, actions))
}

fn refuse(condition: &Expr, view: &str, span: Span) -> Outcome<()> {
    if any(condition, |part| is_subquery(part) || is_window(part)) {
        return Fault::new(place_of(condition, span), "a window or subquery in a rule")
            .found(condition.to_string())
            .hint(format!("compute it in the view \"{view}\" under a name, and use the name here"))
            .err();
    }
    if any(condition, |part| call(part, "predict").is_some()) {
        return Fault::new(place_of(condition, span), "predict in a rule")
            .found(condition.to_string())
            .hint(format!("write predict(..) AS score in the view \"{view}\", and use score here"))
            .err();
    }
    Ok(())
}

/// Replaces `arm(experiment)` in conditions by columns, which the log then shows.
fn arms(
    planner: &mut Planner,
    owner: &str,
    relation: Relation,
    conditions: &mut [Expr],
    span: Span,
) -> Outcome<Relation> {
    let mut added: Vec<(RelationColumn, Arc<dyn Scalar>)> = Vec::new();
    for condition in conditions {
        replace(condition, |part| {
            let Some(function) = call(part, "arm") else { return Ok(None) };
            let at = place_of(part, span);
            let [Some(Expr::Identifier(name))] = arguments(function).iter().map(argument).collect::<Vec<_>>()[..]
            else {
                return Fault::new(at, "arm has no experiment").expected("arm(experiment)").err();
            };
            let experiment = experiment(planner, &name.value, name.span)?;
            let column_name = format!("arm_{}", experiment.name.text);
            if !added.iter().any(|(column, _)| column.name == column_name) {
                added.push(arm_column(&column_name, &experiment, &relation)?);
            }
            Ok(Some(generated(&column_name, at)))
        })?;
    }
    if added.is_empty() {
        return Ok(relation);
    }
    let kept: Vec<usize> = (0..relation.columns.len()).collect();
    let names: Vec<&str> = added.iter().map(|(column, _)| column.name.as_str()).collect();
    let describe = format!("divides rows into {}", names.join(", "));
    Ok(relation.project(&mut planner.plan, format!("{owner}.arms"), &kept, added, describe))
}

fn experiment(planner: &Planner, name: &str, span: Span) -> Outcome<Experiment> {
    let experiments = planner.statements.statements.iter().filter_map(|placed| match &placed.statement {
        Statement::Experiment(experiment) => Some(experiment),
        _ => None,
    });
    let found = experiments.clone().find(|experiment| experiment.name.text.eq_ignore_ascii_case(name));
    found.cloned().ok_or_else(|| {
        let mut fault = Fault::new(span, format!("no experiment is named \"{name}\""));
        fault.hint = did_you_mean(name, experiments.map(|experiment| experiment.name.text.as_str()))
            .or_else(|| Some(format!("declare it with CREATE EXPERIMENT {name} ON key ARMS (control 90, other 10)")));
        Box::new(fault)
    })
}

fn arm_column(name: &str, experiment: &Experiment, relation: &Relation) -> Outcome<(RelationColumn, Arc<dyn Scalar>)> {
    let key = generated(&experiment.key.text, experiment.key.span);
    let compiled = relation.compile(&key, experiment.key.span)?;
    let mut end = 0;
    let arms = experiment.arms.iter().map(|(arm, share)| {
        end += share;
        (arm.text.clone(), end)
    });
    let arm = Arm { experiment: experiment.name.text.clone(), key: compiled.scalar, arms: arms.collect() };
    let column = RelationColumn {
        qualifier: None,
        name: name.to_owned(),
        data_type: DataType::Utf8,
        nullable: false,
        time: false,
        scored: false,
        generated: false,
    };
    Ok((column, Arc::new(arm)))
}

/// The arm of an experiment that a key is in: a pure function of both, so that a replay gives the same arm.
#[derive(Debug)]
struct Arm {
    experiment: String,
    key: Arc<dyn Scalar>,
    /// The arms and the first bucket after each.
    arms: Vec<(String, u64)>,
}

/// The buckets that keys are divided into.
const BUCKETS: u64 = 10_000;

impl Scalar for Arm {
    fn data_type(&self) -> DataType {
        DataType::Utf8
    }

    fn evaluate(&self, batch: &Batch) -> dataflow::Result<Evaluated> {
        let Evaluated { values, failed } = self.key.evaluate(batch)?;
        let salt: ArrayRef =
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&self.experiment, batch.rows())));
        let hashes = key_hashes(&[salt, values], batch.rows())?;
        let arm = |hash: u64| {
            let bucket = hash % BUCKETS;
            self.arms.iter().find(|(_, end)| bucket < *end).map_or("", |(name, _)| name.as_str())
        };
        let values: ArrayRef = Arc::new(StringArray::from_iter_values(hashes.into_iter().map(arm)));
        Ok(Evaluated { values, failed })
    }
}
