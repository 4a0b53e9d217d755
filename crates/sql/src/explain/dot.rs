//! A plan as a graph for Graphviz.

use super::explained::{Explained, ExplainedInput, ExplainedNode};
use std::fmt::Write;

impl Explained {
    /// The graph in the language of `dot`: a box for each stage, dashed edges where rows travel between workers.
    pub fn dot(&self) -> String {
        let mut text = "digraph plan {\n  rankdir = LR;\n  node [shape = box];\n".to_owned();
        let last = self.nodes.iter().filter_map(|node| node.stage).max().unwrap_or(0);
        // Writing to a String cannot fail.
        for (at, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.stage.is_none()) {
            let _ = writeln!(text, "  {}", box_of(at, node));
        }
        for stage in 1..=last {
            let _ = writeln!(text, "  subgraph cluster_{stage} {{\n    label = \"stage {stage}\";");
            for (at, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.stage == Some(stage)) {
                let _ = writeln!(text, "    {}", box_of(at, node));
            }
            text.push_str("  }\n");
        }
        for (at, node) in self.nodes.iter().enumerate() {
            for input in &node.inputs {
                let _ = writeln!(text, "  n{} -> n{at}{};", input.from, edge(input));
            }
        }
        text + "}\n"
    }
}

fn box_of(at: usize, node: &ExplainedNode) -> String {
    format!("n{at} [label = \"{}\\n{}\"];", escaped(&node.name), escaped(node.kind))
}

fn edge(input: &ExplainedInput) -> String {
    let port = [input.port.to_owned()].into_iter().filter(|port| !port.is_empty());
    match &input.exchange {
        Some(how) => {
            let label: Vec<String> = port.chain([how.clone(), format!("{} columns", input.columns)]).collect();
            format!(" [style = dashed, label = \"{}\"]", escaped(&label.join(", ")))
        }
        None if !input.port.is_empty() => format!(" [label = \"{}\"]", input.port),
        None => String::new(),
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
