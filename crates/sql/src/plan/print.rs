//! A logical plan as text.

use super::describe::{kind, text};
use super::logical::LogicalPlan;
use std::fmt::Write;

impl LogicalPlan {
    /// One paragraph a node, in the order in which rows meet them: what it reads, what it computes, and what it puts out.
    pub fn print(&self) -> String {
        let mut all = String::new();
        for (node, output) in self.nodes.iter().zip(self.outputs()) {
            let inputs: Vec<&str> = node.inputs.iter().map(|&input| self.nodes[input].name.as_str()).collect();
            let from = if inputs.is_empty() { String::new() } else { format!("  <- {}", inputs.join(", ")) };
            // Writing to a String cannot fail.
            let _ = writeln!(all, "{}: {}{from}", node.name, kind(&node.operator));
            let _ = writeln!(all, "    {}", text(&node.operator, &self.columns));
            let names: Vec<&str> = output.iter().map(|column| &*column.name).collect();
            if !names.is_empty() {
                let _ = writeln!(all, "    {} columns: {}", names.len(), names.join(", "));
            }
        }
        all
    }
}
