//! The job graph: what a statement becomes, and what a host runs.

use crate::{Error, KeyGroups, Operator, Port, Result};
use arrow::datatypes::SchemaRef;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// How rows travel along an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// To the same worker.
    Forward,
    /// To the worker that holds the key group of these columns; the batch then carries the key hashes.
    Hash(Vec<usize>),
    /// To every worker.
    Broadcast,
    /// To the first worker: outputs that have one writer.
    Single,
}

/// An edge into a node: where rows come from and how they travel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The index of the node that puts the rows out; less than the index of the node that takes them.
    pub from: usize,
    /// The port at which they leave.
    pub port: Port,
    /// How they travel.
    pub exchange: Exchange,
}

/// Where an instance of an operator stands.
#[derive(Clone, Copy, Debug)]
pub struct StepContext {
    /// The key groups that it holds.
    pub groups: KeyGroups,
}

/// Makes one instance of an operator per worker.
pub type MakeOperator = Arc<dyn Fn(StepContext) -> Result<Box<dyn Operator>> + Send + Sync>;

/// Where rows of an output go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A table, by its name in the project.
    Table(String),
    /// A topic, by its name in the project.
    Topic(String),
    /// The caller of a query, which may read several: by the number among them.
    Query(usize),
}

/// What a node does.
#[derive(Clone)]
pub enum NodeKind {
    /// Reads a stream, by its name in the project.
    Source(String),
    /// Runs an operator.
    Step(MakeOperator),
    /// Writes an output. The edge into a topic is [`Exchange::Single`] and sorted by a merge.
    Sink(Output),
}

/// A source, an operator or a sink in the graph.
#[derive(Clone)]
pub struct Node {
    /// A name that is unique in the job and comes from SQL names, e.g. `sender_features.window[sender_id]`.
    pub name: String,
    /// What it does.
    pub kind: NodeKind,
    /// Where its rows come from; the position in this list is the operator's [`crate::Input`].
    pub inputs: Vec<Edge>,
    /// The ports at which it can put rows out. Each has an edge, so that no row is lost.
    pub ports: Vec<Port>,
    /// The columns that leave at the main port (of a sink: that come in).
    pub schema: SchemaRef,
    /// One line for `explain`: what it computes, and what bounds its state.
    pub describe: String,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            NodeKind::Source(stream) => format!("source {stream}"),
            NodeKind::Step(_) => "step".to_owned(),
            NodeKind::Sink(output) => format!("sink {output:?}"),
        };
        write!(f, "{} ({kind}): {}", self.name, self.describe)
    }
}

/// Where the rows of a source go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// The sources whose main rows reach a step which this one's reach too, itself among them; ascending.
    pub streams: Vec<usize>,
    /// The nodes of the steps that it reaches; ascending.
    pub steps: Vec<usize>,
}

/// A job as nodes in an order in which every node comes after those that it takes rows from.
#[derive(Clone, Debug, Default)]
pub struct JobGraph {
    /// The nodes.
    pub nodes: Vec<Node>,
}

impl JobGraph {
    /// Per source, in the order of the sources: which steps its rows reach, and which sources meet it there. An output
    /// writes rows as they come: in it none waits for another. Neither does one wait in the merge that orders removed
    /// rows for a topic: a quiet stream may hold back the dead letters of another, but not its main rows.
    pub fn meetings(&self) -> Vec<Meeting> {
        let reach = self.sources_by_node();
        let removed = self.takes_removed_rows();
        let steps: Vec<usize> =
            (0..self.nodes.len()).filter(|&node| matches!(self.nodes[node].kind, NodeKind::Step(_))).collect();
        let sources = self.nodes.iter().filter(|node| matches!(node.kind, NodeKind::Source(_))).count();
        let of = |source: usize| {
            let steps: Vec<usize> = steps.iter().copied().filter(|&step| reach[step].contains(&source)).collect();
            let places = steps.iter().filter(|&&step| !removed[step]);
            let mut streams: Vec<usize> = places.flat_map(|&step| reach[step].iter().copied()).collect();
            streams.push(source);
            streams.sort_unstable();
            streams.dedup();
            Meeting { streams, steps }
        };
        (0..sources).map(of).collect()
    }

    /// Per node whether it takes nothing but removed rows: bad ones and late ones.
    fn takes_removed_rows(&self) -> Vec<bool> {
        let mut removed: Vec<bool> = Vec::new();
        for node in &self.nodes {
            let is_removed = |edge: &Edge| [Port::LATE, Port::DEAD_LETTER].contains(&edge.port) || removed[edge.from];
            removed.push(!node.inputs.is_empty() && node.inputs.iter().all(is_removed));
        }
        removed
    }

    /// Per node the sources that reach it, by their place among the sources; ascending.
    pub fn sources_by_node(&self) -> Vec<Vec<usize>> {
        let (mut reach, mut sources) = (Vec::<Vec<usize>>::new(), 0);
        for node in &self.nodes {
            let mut here: Vec<usize> = node.inputs.iter().flat_map(|edge| reach[edge.from].iter().copied()).collect();
            if matches!(node.kind, NodeKind::Source(_)) {
                here.push(sources);
                sources += 1;
            }
            here.sort_unstable();
            here.dedup();
            reach.push(here);
        }
        reach
    }

    /// Refuses edges that point forwards, edges from ports that put nothing out, and ports that no edge leaves from:
    /// their rows would vanish.
    pub fn check(&self) -> Result<()> {
        let edges = || self.nodes.iter().flat_map(|node| &node.inputs);
        let taken: HashSet<(usize, Port)> = edges().map(|edge| (edge.from, edge.port)).collect();
        for (at, node) in self.nodes.iter().enumerate() {
            for edge in &node.inputs {
                if edge.from >= at {
                    return Err(Error::internal(format!("node {} takes rows from a node after it", node.name)));
                }
                let from = &self.nodes[edge.from];
                if !from.ports.contains(&edge.port) {
                    return Err(Error::internal(format!(
                        "node {} takes rows from port {} of node {}, which puts none out there",
                        node.name, edge.port.0, from.name
                    )));
                }
            }
            if let Some(port) = node.ports.iter().find(|&&port| !taken.contains(&(at, port))) {
                return Err(Error::internal(format!(
                    "node {} puts rows out at port {}, and no edge takes them",
                    node.name, port.0
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Schema;

    fn node(name: &str, kind: NodeKind, ports: Vec<Port>, from: &[(usize, Port)]) -> Node {
        let edge = |&(from, port): &(usize, Port)| Edge { from, port, exchange: Exchange::Forward };
        Node {
            name: name.to_owned(),
            kind,
            inputs: from.iter().map(edge).collect(),
            ports,
            schema: Arc::new(Schema::empty()),
            describe: String::new(),
        }
    }

    #[test]
    fn streams_meet_where_a_step_takes_rows_of_both() {
        let source = || node("s", NodeKind::Source(String::new()), vec![Port::MAIN], &[]);
        let step = |from: &[usize]| {
            let from: Vec<_> = from.iter().map(|&from| (from, Port::MAIN)).collect();
            let never: MakeOperator = Arc::new(|_| Err(Error::internal("nothing is run here")));
            node("n", NodeKind::Step(never), vec![Port::MAIN], &from)
        };
        // 0 and 1 meet in step 3, 1 and 2 in step 4; 0 and 2 nowhere but in a table.
        let mut nodes = vec![source(), source(), source(), step(&[0, 1]), step(&[1, 2]), step(&[3]), step(&[5])];
        let table = NodeKind::Sink(Output::Table("dead_letters".to_owned()));
        nodes.push(node("t", table, vec![], &[(0, Port::DEAD_LETTER), (1, Port::DEAD_LETTER), (2, Port::DEAD_LETTER)]));
        let meeting = |streams: &[usize], steps: &[usize]| Meeting { streams: streams.into(), steps: steps.into() };
        let expected = [meeting(&[0, 1], &[3, 5, 6]), meeting(&[0, 1, 2], &[3, 4, 5, 6]), meeting(&[1, 2], &[4])];
        assert_eq!(JobGraph { nodes }.meetings(), expected);
    }

    #[test]
    fn streams_whose_removed_rows_share_a_topic_do_not_meet_in_its_merge() {
        let source = || node("s", NodeKind::Source(String::new()), vec![Port::MAIN], &[]);
        let step = |from: &[(usize, Port)]| {
            let never: MakeOperator = Arc::new(|_| Err(Error::internal("nothing is run here")));
            node("n", NodeKind::Step(never), vec![Port::MAIN], from)
        };
        // A filter after each source; their dead letters and the late rows of the first go through merge 4.
        let letters = [(2, Port::DEAD_LETTER), (3, Port::DEAD_LETTER), (0, Port::LATE)];
        let mut nodes = vec![source(), source(), step(&[(0, Port::MAIN)]), step(&[(1, Port::MAIN)]), step(&letters)];
        let topic = NodeKind::Sink(Output::Topic("letters".to_owned()));
        nodes.push(node("into letters", topic, vec![], &[(4, Port::MAIN)]));
        // Whoever joins still joins no lower than the merge has come.
        let meeting = |streams: &[usize], steps: &[usize]| Meeting { streams: streams.into(), steps: steps.into() };
        assert_eq!(JobGraph { nodes }.meetings(), [meeting(&[0], &[2, 4]), meeting(&[1], &[3, 4])]);
    }

    fn refused(ports: Vec<Port>, from: &[(usize, Port)]) -> Option<String> {
        let source = node("plays", NodeKind::Source("plays".to_owned()), ports, &[]);
        let sink = node("into t", NodeKind::Sink(Output::Table("t".to_owned())), vec![], from);
        JobGraph { nodes: vec![source, sink] }.check().err().map(|error| error.chain())
    }

    #[test]
    fn a_port_without_an_edge_is_refused() {
        assert_eq!(refused(vec![Port::MAIN], &[(0, Port::MAIN)]), None);
        assert_eq!(
            refused(vec![Port::MAIN, Port::DEAD_LETTER], &[(0, Port::MAIN)]).as_deref(),
            Some("node plays puts rows out at port 2, and no edge takes them")
        );
        let message = refused(vec![Port::MAIN], &[(0, Port::MAIN), (0, Port::LATE)]);
        assert!(message.is_some_and(|message| message.contains("puts none out there")));
        assert!(
            refused(vec![Port::MAIN], &[(0, Port::MAIN), (1, Port::MAIN)])
                .is_some_and(|message| message.contains("after it"))
        );
    }
}
