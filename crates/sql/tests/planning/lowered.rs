//! Plans become job graphs whose steps can be made.

use crate::catalog::Known;
use crate::{folder, source};
use dataflow::{EventTime, KeyGroups, NodeKind, StepContext};
use sql::{Start, Target, check, parse};
use std::collections::HashSet;

#[test]
fn every_step_of_a_plan_can_be_made_and_every_edge_goes_forward() {
    for name in ["dm_spam.sql", "windows.sql", "other_streams.sql"] {
        let statements = parse(&[source(&folder().join("plans").join(name))]).unwrap();
        let checked = check(&statements, &Known, &Target::All).unwrap_or_else(|wrong| panic!("{}", wrong[0]));
        let graph = checked
            .lower(&Start { after: EventTime(7), revision: "r1".to_owned(), row_text: crate::row_text })
            .unwrap();
        // A project without outputs ends in views, whose rows nobody takes.
        assert!(checked.outputs.is_empty() || graph.check().is_ok(), "{name}: {:?}", graph.check());
        let mut names = HashSet::new();
        for (at, node) in graph.nodes.iter().enumerate() {
            assert!(names.insert(node.name.clone()), "{name}: two nodes are named {}", node.name);
            assert!(node.inputs.iter().all(|edge| edge.from < at), "{name}: {node:?} reads a later node");
            if let NodeKind::Step(make) = &node.kind {
                let made = make(StepContext { groups: KeyGroups::ALL });
                assert!(made.is_ok(), "{name}: {}: {}", node.name, made.err().map_or(String::new(), |e| e.chain()));
            }
        }
    }
}
