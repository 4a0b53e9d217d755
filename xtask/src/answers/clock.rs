//! The rule of row time, once more and alone: where the messages of a partition lie in time.

/// How long a stream is silent before its clock runs on.
const QUIET: i64 = 1_000_000;
/// A message that lies further ahead of its arrival is nonsense.
const AHEAD_MAX: i64 = 86_400_000_000;

/// Where a message lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// `_time`.
    pub time: i64,
    /// `_late`.
    pub late: bool,
}

/// The clock of a partition.
#[derive(Debug, Default)]
pub struct Clock {
    at: Option<i64>,
    arrival: Option<i64>,
}

impl Clock {
    /// Takes the next message, of an event time if it has one; gives its place unless it is bad.
    pub fn take(&mut self, event: Option<i64>, arrival: i64, delay: i64) -> Option<Place> {
        if let (Some(at), Some(before)) = (self.at, self.arrival) {
            self.at = Some(at.max((at + arrival - before - QUIET).min(arrival - QUIET)));
        }
        self.arrival = Some(arrival);
        let event = event.filter(|event| *event <= arrival + AHEAD_MAX)?;
        let open = self.at.map(|at| at - delay);
        let late = open.is_some_and(|open| event < open);
        let own = event.min(arrival);
        self.at = Some(self.at.map_or(own, |at| at.max(own)));
        Some(Place { time: open.map_or(event, |open| event.max(open)), late })
    }

    /// The greatest time that it has shown.
    pub fn at(&self) -> Option<i64> {
        self.at
    }
}

#[test]
fn late_messages_are_moved_and_those_from_the_future_move_nobody() {
    let mut clock = Clock::default();
    let second = 1_000_000;
    let mut take = |event: i64, arrival: i64| clock.take(Some(event * second), arrival * second, 2 * second);
    let place = |time: i64, late| Some(Place { time: time * second, late });
    assert_eq!(take(10, 10), place(10, false));
    assert_eq!(take(5, 10), place(8, true));
    assert_eq!(take(30, 11), place(30, false));
    assert_eq!(take(9, 12), place(9, false));
    assert_eq!(take(200_000, 13), None);
    // The clock stood at 11, and runs on by the 17 seconds of silence less the first of them.
    assert_eq!(take(9, 30), place(27 - 2, true));
}
