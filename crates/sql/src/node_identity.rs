//! What the nodes of a plan are, whatever they are called.

use crate::check::CheckedPlan;
use crate::lower::physical::PlanKind;
use crate::lower::{contents, states};
use dataflow::{Edge, Error, Result, Span};
use operators::{Dedup, StateMove, WindowJoin, WindowLayout, as_of, decision, range, window};

/// What a node of a plan is, apart from its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeIdentity {
    /// What it does with which rows, and how their columns lie. Names are no part of it.
    pub content: u128,
    /// Whether its rows come in time order, each once the watermark has reached it.
    pub is_ordered: bool,
    /// The stream whose coordinates its rows have, by its number.
    pub stream: Option<usize>,
    /// Whether it keeps anything of the rows that it has seen.
    pub has_state: bool,
    /// By how much later than their own time its rows come out, since they wait for those that follow them; `None` where
    /// they wait for different times.
    pub wait: Option<Span>,
}

/// What the state of a step holds, apart from rows that it holds as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateIdentity {
    /// What it holds of which rows; columns that these only carry along are no part of it, nor are functions of windows.
    pub held: u128,
    /// What rows of the first input carry, and how they come: what rows are that are held as a whole.
    pub carried: u128,
    /// Of windows each function: what it holds, and the same for people.
    pub functions: Vec<(u128, String)>,
    /// Of windows how their state is stored.
    pub layout: Vec<u8>,
}

impl CheckedPlan {
    /// What the state of each step holds, in the order of the job graph; `None` for nodes that hold nothing, or rows as a
    /// whole alone.
    pub fn state_identities(&self) -> Vec<Option<StateIdentity>> {
        let contents = contents::contents(&self.plan);
        let identity = |(at, held): (usize, Option<u128>)| {
            let (node, held) = (&self.plan.nodes[at], held?);
            let carried = node.inputs.first().map_or(0, |edge| contents::input(edge, contents[edge.from]));
            let mut state = StateIdentity { held, carried, functions: vec![], layout: vec![] };
            if let PlanKind::Window(spec) = &node.kind {
                let input = &self.plan.nodes[node.inputs.first()?.from];
                let functions = node.lineage.holds.get(input.lineage.holds.len()..).unwrap_or_default();
                state.functions = functions.iter().copied().zip(node.lineage.functions.iter().cloned()).collect();
                let layout = WindowLayout::of(&input.schema, spec, &input.lineage.holds, functions);
                // What cannot be planned is refused before.
                state.layout = layout.ok()?.to_bytes();
            }
            Some(state)
        };
        states::states(&self.plan).into_iter().enumerate().map(identity).collect()
    }

    /// What each node is, in the order of the job graph.
    pub fn node_identities(&self) -> Vec<NodeIdentity> {
        let of_stream = |node: usize| {
            let name = self.plan.stream_of(node)?;
            self.streams.iter().position(|stream| stream.name == name)
        };
        let (contents, waits) = (contents::contents(&self.plan), self.waits());
        let identity = |((node, content), wait): ((usize, u128), Option<Span>)| NodeIdentity {
            content,
            is_ordered: self.plan.nodes[node].sorted,
            stream: of_stream(node),
            has_state: has_state(&self.plan.nodes[node].kind),
            wait,
        };
        contents.into_iter().enumerate().zip(waits).map(identity).collect()
    }

    /// How a node that has a [`StateIdentity`] takes over the state of one that held the same.
    pub fn state_move(&self, at: usize) -> Result<StateMove> {
        self.state_fingerprint(at).map(|fingerprint| StateMove { fingerprint })
    }

    /// How the windows of a node take over state that lies as a layout of a [`StateIdentity`] says, whose windows had other
    /// functions; `None` where they cannot. Rows that wait are kept only where they carry the same.
    pub fn window_join(&self, at: usize, kept: &[u8], keeps_rows: bool) -> Result<Option<WindowJoin>> {
        let node = &self.plan.nodes[at];
        let (PlanKind::Window(spec), Some(edge)) = (&node.kind, node.inputs.first()) else { return Ok(None) };
        let input = &self.plan.nodes[edge.from];
        let functions = node.lineage.holds.get(input.lineage.holds.len()..).unwrap_or_default();
        let ids = (&input.lineage.holds[..], functions);
        WindowJoin::new(input.schema.clone(), spec.clone(), ids, WindowLayout::parse(kept)?, keeps_rows)
    }

    /// The plan with the functions alone whose state is built, of the windows of these nodes. What comes after these nodes
    /// does not fit them any more.
    pub fn with_added_functions<'a>(
        &self,
        joins: impl Iterator<Item = (usize, &'a WindowJoin)>,
    ) -> Result<CheckedPlan> {
        let mut checked = self.clone();
        for (at, join) in joins {
            let Some(edge) = self.plan.nodes[at].inputs.first() else { continue };
            let (input, spec) = (&self.plan.nodes[edge.from].schema, join.added_spec());
            let node = &mut checked.plan.nodes[at];
            node.schema = window::output_schema(input, &spec)?;
            node.kind = PlanKind::Window(spec);
        }
        Ok(checked)
    }

    fn state_fingerprint(&self, at: usize) -> Result<u64> {
        let node = &self.plan.nodes[at];
        let input = |input: usize| {
            let edge = node.inputs.get(input).map(|edge| self.plan.schema_along(edge, node));
            edge.ok_or_else(|| Error::internal(format!("step {} has no input {input}", node.name)))
        };
        match &node.kind {
            PlanKind::Dedup { keys, within } => Ok(Dedup::new(input(0)?, keys.clone(), *within)?.fingerprint()),
            PlanKind::Window(spec) => window::fingerprint(&input(0)?, spec),
            PlanKind::AsOf(spec) => as_of::fingerprint((&input(0)?, &input(1)?), spec),
            PlanKind::Range(spec) => range::fingerprint((&input(0)?, &input(1)?), spec),
            PlanKind::Decision(plan) => {
                let rules = plan.spec.rules.iter().map(|rule| (rule.name.as_str(), rule.once_per));
                decision::fingerprint(&input(0)?, (&plan.spec.name, plan.spec.subject), rules)
            }
            _ => Err(Error::internal(format!("step {} holds nothing beside rows", node.name))),
        }
    }

    /// By how much later than their own time the rows of each node come out.
    fn waits(&self) -> Vec<Option<Span>> {
        let mut waits: Vec<Option<Span>> = Vec::with_capacity(self.plan.nodes.len());
        for node in &self.plan.nodes {
            let of = |input: usize| node.inputs.get(input).map_or(Some(Span::ZERO), |edge| waits[edge.from]);
            let wait = match &node.kind {
                PlanKind::Merge | PlanKind::Zip(_) => {
                    of(0).filter(|_| (1..node.inputs.len()).all(|input| of(input) == of(0)))
                }
                PlanKind::Range(spec) => of(0).map(|wait| Span(wait.0.saturating_add(spec.hold_us()))),
                _ => of(0),
            };
            waits.push(wait);
        }
        waits
    }

    /// What the rows of an input of a stage are, and how they come there, given what the nodes are.
    pub fn input_identity(&self, edge: &Edge, nodes: &[NodeIdentity]) -> u128 {
        contents::input(edge, nodes[edge.from].content)
    }
}

fn has_state(kind: &PlanKind) -> bool {
    match kind {
        PlanKind::Merge
        | PlanKind::Dedup { .. }
        | PlanKind::Window(_)
        | PlanKind::AsOf(_)
        | PlanKind::Range(_)
        | PlanKind::Zip(_)
        | PlanKind::Decision(_) => true,
        PlanKind::Source(_) | PlanKind::Filter(_) | PlanKind::Project(_) | PlanKind::Predict(_) | PlanKind::Sink(_) => {
            false
        }
    }
}
