//! Decisions: conditions over the rows of a view, and arms of experiments.

use super::binding::Binding;
use super::bound::{BoundDecision, BoundItem, BoundRule};
use super::relation::Relation;
use super::syntax::{any, argument, arguments, call, is_subquery, is_window, score_call};
use crate::diagnostic::{Fault, Outcome, fault, place_of};
use crate::expression::{Arms, ColumnId, Op, Problem, Special, Tree};
use crate::statement::{Decision, Experiment, Statement};
use arrow::datatypes::DataType;
use sqlparser::ast::{Expr, Function, Ident};
use sqlparser::tokenizer::Span;

/// Binds a decision: its place among the bound ones.
pub(crate) fn bind(binding: &mut Binding, declared: &Decision, span: Span) -> Outcome<usize> {
    let relation = binding.relation(&declared.view)?.named(&declared.view.text);
    let subject = subject(declared, &relation)?;
    for rule in &declared.rules {
        refuse(&rule.condition, &declared.view.text, span)?;
    }
    let mut arms: Vec<BoundItem> = Vec::new();
    let mut rules = Vec::with_capacity(declared.rules.len());
    for rule in &declared.rules {
        let mut special = ArmCalls { binding, relation: &relation, arms: &mut arms, span };
        let condition = relation.condition_with(&rule.condition, &mut special, rule.name.span)?;
        rules.push(BoundRule {
            scored: relation.is_scored(&condition),
            condition,
            name: rule.name.text.clone(),
            action: rule.action.clone(),
            shadow: rule.shadow,
            once_per: rule.once_per,
        });
    }
    binding.decisions.push(BoundDecision {
        name: declared.name.text.clone(),
        file: binding.file,
        view: relation.id,
        arms,
        subject,
        rules,
        model_versions: relation.models.into_iter().collect(),
        span: declared.name.span,
    });
    Ok(binding.decisions.len() - 1)
}

fn subject(declared: &Decision, relation: &Relation) -> Outcome<ColumnId> {
    relation.plain_column(&Expr::Identifier(declared.subject.clone())).ok_or_else(|| {
        let names = relation.columns.iter().map(|column| column.name.as_str());
        let fault = Fault::new(
            declared.subject.span,
            format!("\"{}\" has no column \"{}\"", declared.view.text, declared.subject.value),
        );
        Box::new(fault.offer(&declared.subject.value, names))
    })
}

fn refuse(condition: &Expr, view: &str, span: Span) -> Outcome<()> {
    if any(condition, |part| is_subquery(part) || is_window(part)) {
        return Fault::new(place_of(condition, span), "a window or subquery in a rule")
            .found(condition.to_string())
            .hint(format!("compute it in the view \"{view}\" under a name, and use the name here"))
            .err();
    }
    if any(condition, |part| score_call(part).is_some()) {
        return Fault::new(place_of(condition, span), "predict in a rule")
            .found(condition.to_string())
            .hint(format!("write predict(..) AS score in the view \"{view}\", and use score here"))
            .err();
    }
    Ok(())
}

/// `arm(experiment)` in conditions becomes a column, which the log then shows.
struct ArmCalls<'b, 'p> {
    binding: &'b mut Binding<'p>,
    relation: &'b Relation,
    arms: &'b mut Vec<BoundItem>,
    span: Span,
}

impl ArmCalls<'_, '_> {
    fn arm(&mut self, function: &Function, at: Span) -> Outcome<Tree> {
        let [Some(Expr::Identifier(name))] = arguments(function).iter().map(argument).collect::<Vec<_>>()[..] else {
            return Fault::new(at, "arm has no experiment").expected("arm(experiment)").err();
        };
        let experiment = experiment(self.binding, &name.value, name.span)?;
        let column = format!("arm_{}", experiment.name.text);
        if let Some(known) = self.arms.iter().find(|arm| arm.name == column) {
            return Ok(Tree::column(known.id, DataType::Utf8));
        }
        let key = Ident { value: experiment.key.text.clone(), quote_style: None, span: experiment.key.span };
        let key = self.relation.bind(&Expr::Identifier(key), experiment.key.span)?;
        let tree = Tree::of(Op::Arm(arms_of(experiment)), vec![key]);
        let tree = tree.map_err(|problem| Box::new(fault(problem).within(at)))?;
        let id = self.binding.columns.add(&column, DataType::Utf8);
        self.arms.push(BoundItem { id, name: column, tree });
        Ok(Tree::column(id, DataType::Utf8))
    }
}

impl Special for ArmCalls<'_, '_> {
    fn bind(&mut self, expr: &Expr) -> Result<Option<Tree>, Problem> {
        match call(expr, "arm") {
            Some(function) => Ok(Some(self.arm(function, place_of(expr, self.span))?)),
            None => Ok(None),
        }
    }
}

/// The arms of an experiment with the first bucket after each.
fn arms_of(experiment: &Experiment) -> Arms {
    let mut end = 0;
    let arms = experiment.arms.iter().map(|(arm, share)| {
        end += share;
        (arm.text.clone(), end)
    });
    Arms { experiment: experiment.name.text.clone(), arms: arms.collect() }
}

fn experiment<'a>(binding: &Binding<'a>, name: &str, span: Span) -> Outcome<&'a Experiment> {
    let experiments = binding.statements.statements.iter().filter_map(|placed| match &placed.statement {
        Statement::Experiment(experiment) => Some(experiment),
        _ => None,
    });
    let found = experiments.clone().find(|experiment| experiment.name.text.eq_ignore_ascii_case(name));
    found.ok_or_else(|| {
        if binding.statements.lost.has(name) {
            return Box::new(Fault::reported());
        }
        let names = experiments.map(|experiment| experiment.name.text.as_str());
        let declare = format!("declare it with CREATE EXPERIMENT {name} ON key ARMS (control 90, other 10)");
        let fault = Fault::new(span, format!("no experiment is named \"{name}\"")).offer(name, names);
        Box::new(fault.hint_if_none(declare))
    })
}
