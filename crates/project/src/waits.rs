//! How long rows of an output wait for those that follow them, and where an output goes on for which they wait otherwise.

use checkpoint::{JobPlan, PlannedOutput, PlannedPart};
use dataflow::{EventTime, Span};

/// What `computes` says of a step that lets rows wait for what follows them.
const WAITS: &str = "; rows wait ";

/// The name of a step in which rows wait, and for how long.
pub fn wait_of_step(step: &PlannedPart) -> Option<(&str, &str)> {
    let (_, wait) = step.computes.split_once(WAITS)?;
    Some((step.name.as_str(), wait.split_once(';').map_or(wait, |(wait, _)| wait)))
}

/// By how much later than their own time the rows of an output come out; `None` where that is not one time, or where a
/// checkpoint of an earlier version does not say it.
pub fn wait_of(plan: &JobPlan, output: &PlannedOutput) -> Option<Span> {
    if plan.steps.iter().all(|step| wait_of_step(step).is_none()) {
        return Some(Span::ZERO);
    }
    let mut waits = output.feeds.iter().filter(|feed| feed.is_ordered && !feed.is_removed).map(|feed| feed.wait);
    let first = waits.next().unwrap_or(Some(Span::ZERO));
    first.filter(|_| waits.all(|wait| wait == first))
}

/// Up to when an output has what another plan gives, which has all up to a time by the plan before: its rows come out as
/// much later as they wait longer.
pub fn moved(after: EventTime, (was, now): (Span, Span)) -> EventTime {
    match after {
        EventTime::MIN | EventTime::MAX => after,
        after => after.minus(was).plus(now),
    }
}

/// Why rows of an output cannot go on that wait for another time than they did.
pub fn wrong_wait(
    (before, was): (&JobPlan, &PlannedOutput),
    (plan, now): (&JobPlan, &PlannedOutput),
) -> Option<String> {
    let place = was.place();
    match (wait_of(before, was), wait_of(plan, now)) {
        (Some(had), Some(has)) if had == has => None,
        _ if was.content == now.content => None,
        (Some(_), Some(_)) if now.is_topic => Some(format!(
            "rows of topic {place} would wait for those that follow them for another time than they did, so that some would \
             be missing, or there twice: write them to another topic"
        )),
        (Some(_), Some(_)) => None,
        _ => Some(format!(
            "the checkpoint does not say how long rows of {place} waited for those that follow them: run the pipelines as \
             they were once more, and end that run with `riverrun stop` or Ctrl-C"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use checkpoint::Feed;

    fn plan(wait: Option<i64>, is_topic: bool, content: u128) -> JobPlan {
        let step = |computes: &str| PlannedPart {
            name: "v".to_owned(),
            content: 1,
            computes: computes.to_owned(),
            state: None,
        };
        let feed = |is_ordered, wait: Option<i64>| Feed {
            node: "v".to_owned(),
            stream: Some(0),
            is_ordered,
            is_removed: !is_ordered,
            wait: wait.map(Span),
        };
        let output = PlannedOutput {
            name: "into lake.v".to_owned(),
            content,
            is_topic,
            columns: vec![],
            feeds: vec![feed(true, wait), feed(false, None)],
        };
        let steps = vec![step("x = count(*); rows wait 5 seconds; state: rows")];
        JobPlan { steps, outputs: vec![output], ..JobPlan::default() }
    }

    fn wrong(before: &JobPlan, now: &JobPlan) -> Option<String> {
        wrong_wait((before, &before.outputs[0]), (now, &now.outputs[0]))
    }

    #[test]
    fn an_output_goes_on_where_its_rows_come_out_with_the_new_wait() {
        let times = |was, now| moved(EventTime(1_000), (Span(was), Span(now))).0;
        assert_eq!([times(50, 20), times(50, 80), times(50, 0), times(0, 50)], [970, 1_030, 950, 1_050]);
        assert_eq!(moved(EventTime::MIN, (Span(50), Span(20))), EventTime::MIN);
        assert_eq!(moved(EventTime::MAX, (Span(50), Span(20))), EventTime::MAX);
    }

    #[test]
    fn how_long_rows_wait_is_that_of_all_that_come_in_order() {
        let known = plan(Some(50), false, 1);
        assert_eq!(wait_of(&known, &known.outputs[0]), Some(Span(50)));
        let unknown = plan(None, false, 1);
        assert_eq!(wait_of(&unknown, &unknown.outputs[0]), None);
        // Where no step lets rows wait, it need not be said.
        let without = JobPlan { steps: vec![], ..unknown };
        assert_eq!(wait_of(&without, &without.outputs[0]), Some(Span::ZERO));
    }

    #[test]
    fn a_wait_that_changes_is_refused_where_rows_would_be_lost() {
        assert_eq!(wrong(&plan(Some(50), true, 1), &plan(Some(50), true, 2)), None);
        assert_eq!(wrong(&plan(Some(50), false, 1), &plan(Some(20), false, 2)), None, "a table goes on elsewhere");
        assert_eq!(wrong(&plan(None, false, 1), &plan(Some(20), false, 1)), None, "nothing has changed of it");
        let topic = wrong(&plan(Some(50), true, 1), &plan(Some(20), true, 2)).unwrap();
        assert!(topic.contains("topic lake.v") && topic.contains("another topic"), "{topic}");
        let unknown = wrong(&plan(None, false, 1), &plan(Some(20), false, 2)).unwrap();
        assert!(unknown.contains("rows of lake.v waited") && unknown.contains("once more"), "{unknown}");
    }
}
