//! What is bound to a logical plan: only what the outputs need, in the order in which it was bound.

use super::builder::Builder;
use super::logical::{Decision, LogicalNode, LogicalPlan, Operator, Origin, ProjectColumn, SinkRows};
use super::select;
use crate::bind::{Binding, BoundDecision, BoundOutput, Definition, RelationId};
use crate::expression::{ColumnId, Problem};
use dataflow::Output;
use sqlparser::tokenizer::Span;
use std::collections::{HashMap, HashSet};

/// The plan of all outputs of a binding; of all that is bound where there is no output.
pub(crate) fn build(binding: &Binding) -> Result<LogicalPlan, Problem> {
    let plan = LogicalPlan { columns: binding.columns.clone(), nodes: Vec::new() };
    let mut build = Build { binding, builder: Builder::new(plan) };
    for id in needed(binding) {
        build.relation(id)?;
    }
    let mut decisions = HashMap::new();
    for output in &binding.outputs {
        build.add_output(output, &mut decisions);
    }
    Ok(build.builder.plan)
}

/// The relations that outputs need, each after those that it reads.
fn needed(binding: &Binding) -> Vec<RelationId> {
    let all = (0..binding.relations.len()).map(RelationId);
    if binding.outputs.is_empty() && binding.answer.is_none() {
        return all.collect();
    }
    let of_output = |output: &BoundOutput| match output {
        BoundOutput::Rows { relation, .. } => *relation,
        BoundOutput::Actions { decision, .. }
        | BoundOutput::Log { decision, .. }
        | BoundOutput::Acted { decision, .. } => binding.decisions[*decision].view,
    };
    let mut needed: HashSet<RelationId> = binding.outputs.iter().map(of_output).collect();
    for id in all.clone().rev() {
        if let (true, Definition::Select(select)) = (needed.contains(&id), &binding.relations[id.0]) {
            needed.extend(select.reads());
        }
    }
    all.filter(|id| needed.contains(id)).collect()
}

/// What is bound, and the plan of it as it grows.
struct Build<'b> {
    binding: &'b Binding<'b>,
    builder: Builder,
}

impl Build<'_> {
    fn relation(&mut self, id: RelationId) -> Result<(), Problem> {
        let binding = self.binding;
        let node = match &binding.relations[id.0] {
            Definition::Stream { at, columns } => self.stream(*at, columns),
            Definition::Select(select) => select::plan(&mut self.builder, select)?,
            // It comes after what streams give.
            Definition::Bounded(_) => return Ok(()),
        };
        self.builder.nodes.insert(id, node);
        Ok(())
    }

    fn stream(&mut self, at: usize, columns: &[ColumnId]) -> usize {
        let stream = &self.binding.streams[at];
        let origin = Origin { file: 0, span: Span::empty() };
        let operator = Operator::Source { stream: stream.name.clone(), columns: columns.to_vec() };
        let source = self.builder.push(LogicalNode { name: stream.name.clone(), operator, inputs: vec![], origin });
        let Some(dedup) = &stream.dedup else { return source };
        let keys = dedup.keys.iter().map(|&key| columns[key]).collect();
        let operator = Operator::Dedup { keys, within: dedup.within };
        self.builder.push(LogicalNode {
            name: format!("{}.dedup", stream.name),
            operator,
            inputs: vec![source],
            origin,
        })
    }

    fn add_output(&mut self, output: &BoundOutput, decisions: &mut HashMap<usize, usize>) {
        let binding = self.binding;
        match output {
            BoundOutput::Rows { relation, name, output } => {
                self.sink(self.builder.node_of(*relation), name, output.clone(), SinkRows::Main);
            }
            BoundOutput::Actions { decision, topic } => {
                let node = self.decision(*decision, &binding.decisions[*decision], decisions);
                self.sink(node, topic, Output::Topic(topic.clone()), SinkRows::Main);
            }
            BoundOutput::Log { decision, log } => {
                let node = self.decision(*decision, &binding.decisions[*decision], decisions);
                self.sink(node, log, Output::Table(log.clone()), SinkRows::Records);
            }
            BoundOutput::Acted { decision, name } => {
                let node = self.decision(*decision, &binding.decisions[*decision], decisions);
                let origin = self.builder.plan.nodes[node].origin;
                let acted = LogicalNode {
                    name: format!("{name}.acted"),
                    operator: Operator::Acted,
                    inputs: vec![node],
                    origin,
                };
                let acted = self.builder.push(acted);
                self.sink(acted, name, Output::Table(name.clone()), SinkRows::Main);
            }
        }
    }

    fn sink(&mut self, from: usize, name: &str, output: Output, rows: SinkRows) {
        let origin = self.builder.plan.nodes[from].origin;
        let operator = Operator::Sink { output, name: name.to_owned(), rows };
        self.builder.push(LogicalNode { name: format!("into {name}"), operator, inputs: vec![from], origin });
    }

    fn decision(&mut self, at: usize, decision: &BoundDecision, known: &mut HashMap<usize, usize>) -> usize {
        if let Some(&node) = known.get(&at) {
            return node;
        }
        let origin = Origin { file: decision.file, span: decision.span };
        let mut input = self.builder.node_of(decision.view);
        if !decision.arms.is_empty() {
            let columns = &self.builder.plan.columns;
            let kept = self.builder.output(input).iter().map(|column| ProjectColumn::kept(column, columns));
            let all = kept.chain(decision.arms.iter().map(select::project)).collect();
            let name = format!("{}.arms", decision.name);
            input =
                self.builder.push(LogicalNode { name, operator: Operator::Project(all), inputs: vec![input], origin });
        }
        let operator = Operator::Decision(Decision {
            name: decision.name.clone(),
            subject: decision.subject,
            rules: decision.rules.clone(),
            model_versions: decision.model_versions.clone(),
        });
        let node =
            self.builder.push(LogicalNode { name: decision.name.clone(), operator, inputs: vec![input], origin });
        known.insert(at, node);
        node
    }
}
