//! A plan as text.

use super::explained::{Explained, ExplainedInput, ExplainedNode};
use std::fmt;

/// Streams, then stage by stage the nodes in the order in which rows meet them, then where each column comes from.
impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.rules.is_empty() {
            let rules: Vec<String> = self.rules.iter().map(|(rule, times)| format!("{rule} ({times})")).collect();
            writeln!(f, "rules: {}\n", rules.join(", "))?;
        }
        for node in self.nodes.iter().filter(|node| node.stage.is_none()) {
            self.write_node(f, node)?;
        }
        let last = self.nodes.iter().filter_map(|node| node.stage).max().unwrap_or(0);
        for stage in 1..=last {
            writeln!(f, "\nstage {stage}")?;
            for node in self.nodes.iter().filter(|node| node.stage == Some(stage)) {
                self.write_node(f, node)?;
            }
        }
        for output in &self.outputs {
            writeln!(f, "\ncolumns of {}", if output.name.is_empty() { "the query" } else { &output.name })?;
            for column in &output.columns {
                let from: Vec<String> = column.from.iter().map(|(stream, name)| format!("{stream}.{name}")).collect();
                writeln!(
                    f,
                    "    {} <- {}",
                    column.name,
                    if from.is_empty() { "no column".into() } else { from.join(", ") }
                )?;
            }
        }
        Ok(())
    }
}

impl Explained {
    fn write_node(&self, f: &mut fmt::Formatter<'_>, node: &ExplainedNode) -> fmt::Result {
        let inputs: Vec<String> = node.inputs.iter().map(|input| self.input(input)).collect();
        let from = if inputs.is_empty() { String::new() } else { format!("  <- {}", inputs.join(", ")) };
        writeln!(f, "{}: {}{from}", node.name, node.kind)?;
        writeln!(f, "    {}", node.computes)?;
        if let Some(state) = &node.state {
            writeln!(f, "    state id {}, about {} bytes each", state.id, state.bytes_each)?;
        }
        let columns: Vec<String> =
            node.columns[node.kept..].iter().map(|(name, data_type)| format!("{name} {data_type}")).collect();
        if columns.is_empty() {
            return Ok(());
        }
        writeln!(f, "    {}({})", if node.kept > 0 { "+ " } else { "" }, columns.join(", "))
    }

    fn input(&self, input: &ExplainedInput) -> String {
        let port = if input.port.is_empty() { String::new() } else { format!(" {}", input.port) };
        let exchange =
            input.exchange.as_ref().map_or(String::new(), |how| format!(" {how}, {} columns", input.columns));
        format!("{}{port}{exchange}", self.nodes[input.from].name)
    }
}
