//! Names of nodes: what the SQL calls them. Where two computations would have one name, what is computed tells them
//! apart, never the order in which they were planned.

use super::physical::{Plan, PlanNode};
use std::collections::HashMap;

/// Gives every node a name of its own.
pub(crate) fn name_apart(plan: &mut Plan) {
    let mut count: HashMap<String, usize> = HashMap::new();
    for node in &plan.nodes {
        *count.entry(node.name.clone()).or_default() += 1;
    }
    let mut contents: Vec<u64> = Vec::with_capacity(plan.nodes.len());
    for node in &plan.nodes {
        contents.push(content(node, &contents));
    }
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (node, content) in plan.nodes.iter_mut().zip(contents) {
        if count.get(&node.name).is_some_and(|count| *count > 1) {
            node.name = format!("{}#{:06x}", node.name, content & 0xff_ffff);
        }
        // What is left computes the same of the same rows, and each may be called either.
        let number = seen.entry(node.name.clone()).or_default();
        *number += 1;
        if *number > 1 {
            node.name = format!("{}.{number}", node.name);
        }
    }
}

/// What a node computes of what: a number that stays the same wherever the node stands in the plan.
fn content(node: &PlanNode, before: &[u64]) -> u64 {
    let mut text = format!("{}\n{}\n", node.name, node.describe);
    for field in node.schema.fields() {
        text.push_str(&format!("{} {}\n", field.name(), field.data_type()));
    }
    for edge in &node.inputs {
        text.push_str(&format!("{:016x} {:?} {:?}\n", before[edge.from], edge.port, edge.exchange));
    }
    fnv(text.as_bytes())
}

/// FNV-1a: the same in every version of the program.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
