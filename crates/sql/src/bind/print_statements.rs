//! What is bound, as the statements of a project: models, views, INSERTs, experiments and decisions, each after what it
//! reads. Streams are as they are declared, and stay out.

use super::binding::Binding;
use super::bound::{BoundDecision, BoundOutput, BoundRule, BoundSelect, Definition};
use super::print::{Printer, quoted, text_literal};
use crate::expression::{Arms, Op};
use crate::interval;
use crate::statement::{Experiment, Model, ModelOutput, Statement};
use dataflow::{Output, PartitionField, SortField, TableLayout};
use std::collections::HashSet;

/// The statements of a binding but its streams: SQL that binds to the same again.
pub(crate) fn statements(binding: &Binding) -> String {
    let mut project =
        Project { binding, printer: Printer::new(binding), text: String::new(), begun: 0, known: HashSet::new() };
    for output in &binding.outputs {
        match output {
            BoundOutput::Rows { relation, name, output } => project.insert(relation.0, name, output),
            BoundOutput::Actions { decision, topic } => project.decision(&binding.decisions[*decision], topic),
            BoundOutput::Log { .. } | BoundOutput::Acted { .. } => {}
        }
    }
    project.views_before(binding.relations.len());
    project.text
}

/// The statements so far.
struct Project<'b> {
    binding: &'b Binding<'b>,
    printer: Printer<'b>,
    text: String,
    /// The relations that have a statement: all before this one.
    begun: usize,
    /// The models and experiments that have one.
    known: HashSet<(&'static str, String)>,
}

impl Project<'_> {
    fn add(&mut self, statement: &str) {
        self.text.push_str(statement);
        self.text.push_str(";\n\n");
    }

    /// A view for each SELECT that none has yet, up to a relation.
    fn views_before(&mut self, end: usize) {
        for relation in self.begun..end {
            if let Definition::Select(select) = &self.binding.relations[relation] {
                let name = quoted(&self.printer.names[relation]);
                self.select(&format!("CREATE VIEW {name} AS"), select);
            }
        }
        self.begun = self.begun.max(end);
    }

    fn select(&mut self, begins: &str, select: &BoundSelect) {
        let early = select.late_filter.iter().filter_map(|late| late.before_windows.as_ref());
        let scores = early.chain([&select.calls]).flat_map(|calls| &calls.scores);
        scores.for_each(|call| self.model(&call.model));
        let select = self.printer.select(select);
        self.add(&format!("{begins}\n{select}"));
    }

    /// An INSERT, unless the rows of a view or a stream are what is asked for.
    fn insert(&mut self, relation: usize, name: &str, output: &Output) {
        let topic = matches!(output, Output::Topic(_));
        let written = |statement: &Statement| match statement {
            Statement::Insert(insert) => insert.topic == topic && insert.target.text == name,
            _ => false,
        };
        let is_written = self.binding.statements.statements.iter().any(|placed| written(&placed.statement));
        let Definition::Select(select) = &self.binding.relations[relation] else { return };
        if !is_written {
            return;
        }
        self.views_before(relation);
        self.begun = self.begun.max(relation + 1);
        let kind = if topic { "TOPIC " } else { "" };
        let layout = if topic { TableLayout::default() } else { self.binding.statements.table_layout(name) };
        self.select(&format!("INSERT INTO {kind}{}{}", dotted(name), layout_text(&layout)), select);
    }

    fn model(&mut self, name: &str) {
        let mut models = self.binding.statements.statements.iter().filter_map(|placed| match &placed.statement {
            Statement::Model(model) => Some(model),
            _ => None,
        });
        let found = models.find(|model| model.name.text == name);
        if let Some(model) = found.filter(|_| self.known.insert(("model", name.to_owned()))) {
            self.add(&model_text(model));
        }
    }

    fn experiment(&mut self, arms: &Arms) {
        let mut experiments = self.binding.statements.statements.iter().filter_map(|placed| match &placed.statement {
            Statement::Experiment(experiment) => Some(experiment),
            _ => None,
        });
        let found = experiments.find(|experiment| experiment.name.text == arms.experiment);
        if let Some(experiment) = found.filter(|_| self.known.insert(("experiment", arms.experiment.clone()))) {
            self.add(&experiment_text(experiment));
        }
    }

    fn decision(&mut self, decision: &BoundDecision, topic: &str) {
        self.views_before(decision.view.0 + 1);
        let view = &self.printer.names[decision.view.0];
        let mut scope = self.printer.scope(decision.view, view);
        let mut columns = self.printer.columns(decision.view).into_iter();
        let subject = columns.find(|(id, _)| *id == decision.subject).map_or(String::new(), |(_, name)| quoted(name));
        let (name, view) = (quoted(&decision.name), quoted(view));
        let mut text = format!("CREATE DECISION {name} ON {view} SUBJECT {subject} TO {} AS", dotted(topic));
        for arm in &decision.arms {
            if let Op::Arm(arms) = arm.tree.op() {
                self.experiment(arms);
                scope.columns.insert(arm.id, format!("arm({})", quoted(&arms.experiment)));
            }
        }
        let rules: Vec<String> =
            decision.rules.iter().map(|rule| rule_text(rule, &scope.text(&rule.condition))).collect();
        text.push_str(&rules.join(","));
        self.add(&text);
    }
}

/// A name of parts with dots between them.
fn dotted(name: &str) -> String {
    name.split('.').map(quoted).collect::<Vec<_>>().join(".")
}

/// The clauses that say how rows lie in the files of a table, each on a line of its own.
fn layout_text(layout: &TableLayout) -> String {
    let mut text = String::new();
    let mut clause = |begins: &str, items: Vec<String>, ends: &str| {
        if !items.is_empty() {
            text.push_str(&format!("\n{begins}{}{ends}", items.join(", ")));
        }
    };
    let partition = |of: &PartitionField| PartitionField { column: quoted(&of.column), ..of.clone() }.to_string();
    clause("PARTITION BY ", layout.partition_by.iter().map(partition).collect(), "");
    let sort = |of: &SortField| SortField { column: quoted(&of.column), ..of.clone() }.to_string();
    clause("SORT BY ", layout.sort_by.iter().map(sort).collect(), "");
    let property = |(key, value): &(String, String)| format!("{} = {}", text_literal(key), text_literal(value));
    clause("PROPERTIES (", layout.properties.iter().map(property).collect(), ")");
    text
}

fn rule_text(rule: &BoundRule, condition: &str) -> String {
    let shadow = if rule.shadow { " SHADOW" } else { "" };
    let once = rule.once_per.map_or(String::new(), |length| format!(" ONCE PER {}", interval::sql(length)));
    let (name, action) = (quoted(&rule.name), text_literal(&rule.action));
    format!("\n  RULE {name}{shadow} WHEN {condition} THEN {action}{once}")
}

fn model_text(model: &Model) -> String {
    let mut text = format!("CREATE MODEL {} FROM {}", quoted(&model.name.text), text_literal(&model.path.text));
    if let Some(inputs) = &model.inputs {
        let inputs: Vec<String> = inputs.iter().map(|input| quoted(&input.text)).collect();
        text.push_str(&format!(" INPUTS ({})", inputs.join(", ")));
    }
    match &model.output {
        ModelOutput::Only => {}
        ModelOutput::Named(name) => text.push_str(&format!(" OUTPUT {}", quoted(&name.text))),
        ModelOutput::ProbabilityOf(label) => {
            text.push_str(&format!(" OUTPUT probability OF {}", text_literal(&label.text)));
        }
        ModelOutput::ValueOf(place) => text.push_str(&format!(" OUTPUT value OF {}", text_literal(&place.text))),
    }
    text
}

fn experiment_text(experiment: &Experiment) -> String {
    let share = |hundredths: u64| format!("{}.{:02}", hundredths / 100, hundredths % 100);
    let arms = experiment.arms.iter().map(|(arm, hundredths)| format!("{} {}", quoted(&arm.text), share(*hundredths)));
    let arms: Vec<String> = arms.collect();
    let (name, key) = (quoted(&experiment.name.text), quoted(&experiment.key.text));
    format!("CREATE EXPERIMENT {name} ON {key} ARMS ({})", arms.join(", "))
}
