//! What a job is, as its checkpoints keep it: parts that are found again by what they do.

use checkpoint::{Feed, JobPlan, PlannedOutput, PlannedPart, PlannedState, PlannedStream};
use dataflow::{BadRowPolicy, Edge, JobGraph, Late, Node, NodeKind, Output, Port, Quiet, stages};
use sql::{CheckedPlan, History, NodeIdentity, StateIdentity, Stream, length_text};
use values::Encoding;

/// What the job of a plan is.
pub fn job_plan(checked: &CheckedPlan, graph: &JobGraph) -> JobPlan {
    let nodes = checked.node_identities();
    let states = checked.state_identities();
    let is_step = |(node, ..): &(&Node, &NodeIdentity, &Option<StateIdentity>)| matches!(node.kind, NodeKind::Step(_));
    let step = |(node, identity, state): (&Node, &NodeIdentity, &Option<StateIdentity>)| PlannedPart {
        name: node.name.clone(),
        content: identity.content,
        computes: node.describe.clone(),
        state: state.as_ref().map(planned_state),
    };
    let input = |edge: &Edge| PlannedPart {
        name: graph.edge_name(edge),
        content: checked.input_identity(edge, &nodes),
        computes: String::new(),
        state: None,
    };
    let both = || graph.nodes.iter().zip(&nodes);
    let output = |(node, identity): (&Node, &NodeIdentity)| {
        let columns = node.schema.fields().iter();
        Some(PlannedOutput {
            name: matches!(node.kind, NodeKind::Sink(_)).then(|| node.name.clone())?,
            content: identity.content,
            is_topic: matches!(node.kind, NodeKind::Sink(Output::Topic(_))),
            columns: columns.map(|field| (field.name().clone(), values::name(field.data_type()))).collect(),
            feeds: node.inputs.iter().map(|edge| feed(edge, graph, &nodes)).collect(),
        })
    };
    JobPlan {
        streams: checked.streams.iter().map(planned_stream).collect(),
        steps: both()
            .zip(&states)
            .map(|((node, identity), state)| (node, identity, state))
            .filter(is_step)
            .map(step)
            .collect(),
        inputs: stages(graph).iter().flat_map(|stage| &stage.inputs).map(input).collect(),
        outputs: both().filter_map(output).collect(),
    }
}

fn planned_state(state: &StateIdentity) -> PlannedState {
    let StateIdentity { held, carried, functions, layout } = state.clone();
    PlannedState { held, carried, functions, layout }
}

fn feed(edge: &Edge, graph: &JobGraph, nodes: &[NodeIdentity]) -> Feed {
    let NodeIdentity { is_ordered, stream, wait, .. } = nodes[edge.from];
    Feed {
        node: graph.nodes[edge.from].name.clone(),
        stream: stream.map(|stream| stream as u64),
        is_ordered,
        is_removed: [Port::LATE, Port::DEAD_LETTER].contains(&edge.port),
        wait,
    }
}

/// What decides the rows of a stream and their times; names of columns do not.
fn planned_stream(stream: &Stream) -> PlannedStream {
    let origin = |&column: &usize| stream.origins.get(column).map_or("", String::as_str);
    let columns = stream.origins.iter().zip(stream.schema.fields());
    let columns = columns.map(|(origin, field)| format!("{origin} {}", values::name(field.data_type())));
    let quiet = match stream.quiet {
        Quiet::After(span) => length_text(span),
        Quiet::Never => "never".to_owned(),
    };
    let late = match stream.late {
        Late::Move => "moved",
        Late::Drop => "dropped",
        Late::Aside => "put aside",
    };
    let bad_rows = match stream.bad_rows {
        BadRowPolicy::Fail => "fail",
        BadRowPolicy::Skip => "skipped",
        BadRowPolicy::DeadLetter => "dead letters",
    };
    let dedup = stream.dedup.as_ref().map_or("none".to_owned(), |dedup| {
        let keys: Vec<&str> = dedup.keys.iter().map(origin).collect();
        format!("on ({}) within {}", keys.join(", "), length_text(dedup.within))
    });
    let history = match &stream.history {
        Some(History::Table(table)) => format!("table {table}"),
        Some(History::Files(pattern, Encoding::Unicode)) => format!("files {pattern}"),
        Some(History::Files(pattern, Encoding::Latin1)) => format!("files {pattern} as latin1"),
        Some(History::Files(pattern, Encoding::Utf16)) => format!("files {pattern} as utf-16"),
        None => "none".to_owned(),
    };
    let arrival = stream.arrival.as_ref().map_or("none", origin);
    let settings = [
        ("columns", columns.collect::<Vec<_>>().join(", ")),
        ("time", origin(&stream.time_column).to_owned()),
        ("delay", length_text(stream.delay)),
        ("quiet after", quiet),
        ("arrival", arrival.to_owned()),
        ("late rows", late.to_owned()),
        ("bad rows", bad_rows.to_owned()),
        ("dedup", dedup),
        ("history", history),
        ("live", stream.live.clone().unwrap_or_else(|| "none".to_owned())),
    ];
    let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    PlannedStream { name: stream.name.clone(), settings }
}
