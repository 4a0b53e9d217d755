//! Functions that are added to windows: those that were there keep what they hold, key by key, and the others get theirs
//! from history, or from the rows that the others hold.

use crate::carried::{SQL, edited, seeds, trial};
use crate::crashes::Trial;
use project::StateChange;
use tests::told;

/// A function more, as a column `added` of the view by senders; what becomes of the windows that it is added to.
struct Added {
    what: &'static str,
    function: &'static str,
    windows: StateChange,
}

const ADDED: [Added; 8] = [
    Added { what: "a longer frame", function: "count(*) OVER long", windows: StateChange::PartlyKept },
    Added {
        what: "a longer frame of values",
        function: "stddev_pop(m.size) OVER long",
        windows: StateChange::PartlyKept,
    },
    Added { what: "another function of a frame", function: "max(m.size) OVER w", windows: StateChange::Kept },
    Added { what: "a shorter frame", function: "avg(m.size) OVER short", windows: StateChange::Kept },
    Added {
        what: "different texts of some rows",
        function: "count(DISTINCT m.id) FILTER (WHERE m.size > 50) OVER w",
        windows: StateChange::PartlyKept,
    },
    Added { what: "the greatest text", function: "max(m.id) OVER long", windows: StateChange::PartlyKept },
    Added { what: "another lag", function: "coalesce(lag(m.size, 2) OVER k, -1)", windows: StateChange::PartlyKept },
    Added { what: "a column that did not travel", function: "avg(m.note) OVER w", windows: StateChange::PartlyKept },
];

fn with(function: &str) -> String {
    let of = |name: &str, seconds: u32| {
        format!("{name} AS (PARTITION BY m.sender ORDER BY m.sent_at RANGE INTERVAL '{seconds}' SECOND PRECEDING)")
    };
    let named = [("long", 40), ("short", 5)].into_iter().filter(|(name, _)| function.contains(&format!("OVER {name}")));
    let windows: String = named.map(|(name, seconds)| format!("{},\n       ", of(name, seconds))).collect();
    edited(
        SQL,
        &[
            ("AS before\n", &format!("AS before, {function} AS added\n")),
            ("AS of_size\n", "AS of_size, s.added\n"),
            ("WINDOW w AS (PARTITION BY m.sender", &format!("WINDOW {windows}w AS (PARTITION BY m.sender")),
        ],
    )
}

/// What becomes of steps whose names have these parts.
fn check(trial: &Trial, expected: &[(&str, StateChange)], what: &str) {
    let plan = trial.place.project("dev").plan_change(None, None).map_err(told).unwrap().unwrap();
    assert_eq!((plan.anew.as_ref(), plan.refusals.len()), (None, 0), "{what}: {plan:#?}");
    for (name, state) in expected {
        let step = plan.steps.iter().find(|step| step.name.contains(name)).unwrap();
        assert_eq!(step.state, *state, "{what}: {name}: {plan:#?}");
        let of_functions: Vec<StateChange> = step.functions.iter().map(|(_, state)| *state).collect();
        if *state == StateChange::PartlyKept {
            let built = of_functions.iter().filter(|state| **state == StateChange::Built).count();
            assert!(built == 1 && of_functions.len() > 1, "{what}: {name}: {plan:#?}");
        }
    }
}

#[test]
fn a_function_that_is_added_leaves_the_others_their_state() {
    for (seed, added) in seeds().flat_map(|seed| ADDED.iter().map(move |added| (seed, added))) {
        let checks = |trial: &Trial, seed: u64| {
            let what = format!("{}, seed {seed}", added.what);
            let kept = StateChange::Kept;
            let all = [
                ("messages.dedup", kept),
                ("by_sender.window[", added.windows),
                ("by_size.window[", kept),
                ("guard", kept),
            ];
            check(trial, &all, &what);
        };
        trial(seed, SQL, &with(added.function), &checks);
    }
}

#[test]
fn windows_over_columns_of_windows_are_built_beside_those_that_were_there() {
    let after = edited(SQL, &[("AS of_size\n", "AS of_size, max(s.n) OVER w AS added\n")]);
    let checks = |trial: &Trial, seed: u64| {
        let all = [("by_sender.window[", StateChange::Kept), ("by_size.window[", StateChange::PartlyKept)];
        check(trial, &all, &format!("seed {seed}"));
    };
    seeds().for_each(|seed| trial(seed, SQL, &after, &checks));
}

#[test]
fn windows_that_others_are_built_of_are_built_with_all_functions() {
    let after =
        edited(&with("count(*) OVER long"), &[("AS of_size, s.added\n", "AS of_size, max(s.added) OVER w AS added\n")]);
    let checks = |trial: &Trial, seed: u64| {
        let all = [("by_sender.window[", StateChange::Built), ("by_size.window[", StateChange::PartlyKept)];
        check(trial, &all, &format!("seed {seed}"));
    };
    seeds().for_each(|seed| trial(seed, SQL, &after, &checks));
}
