//! The median of pairs, and the interval in which it lies.

/// How sure an interval is, at least.
const CONFIDENCE: f64 = 0.95;

/// The median of figures, one a pair, and bounds that the true median lies between with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Median {
    /// Of an even number the mean of the two in the middle.
    pub found: f64,
    /// None of fewer than six pairs: six on one side of the median are already a matter of chance.
    pub interval: Option<(f64, f64)>,
}

/// How a median is to its bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Met,
    Missed,
    /// The interval has the bar in it: the pairs do not decide.
    Spans,
    /// There are too few pairs for an interval.
    Unknown,
}

impl Verdict {
    pub fn text(self) -> &'static str {
        match self {
            Verdict::Met => "ok",
            Verdict::Missed => "OVER",
            Verdict::Spans => "SPANS the bar",
            Verdict::Unknown => "too few pairs for an interval",
        }
    }
}

impl Median {
    /// The interval is that of the sign test: its bounds are figures themselves, and nothing is assumed of how figures
    /// are distributed.
    pub fn of(figures: &[f64]) -> Median {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        let found = match count {
            0 => f64::NAN,
            _ if count % 2 == 1 => sorted[count / 2],
            _ => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
        };
        let interval = outer(count).map(|left_out| (sorted[left_out], sorted[count - 1 - left_out]));
        Median { found, interval }
    }

    /// Whether the median is at most so much.
    pub fn at_most(&self, bar: f64) -> Verdict {
        match self.interval {
            None => Verdict::Unknown,
            Some((_, high)) if high <= bar => Verdict::Met,
            Some((low, _)) if low > bar => Verdict::Missed,
            Some(_) => Verdict::Spans,
        }
    }
}

/// How many figures lie outside of the interval on each side: as many as leave it sure enough.
fn outer(count: usize) -> Option<usize> {
    let outside = (1.0 - CONFIDENCE) / 2.0;
    let mut chance = 0.5_f64.powi(i32::try_from(count).ok()?);
    let (mut below, mut found) = (0.0, None);
    for left_out in 0..count.div_ceil(2) {
        below += chance;
        if below > outside {
            break;
        }
        found = Some(left_out);
        chance *= (count - left_out) as f64 / (left_out + 1) as f64;
    }
    found
}

#[test]
fn nine_pairs_leave_one_out_on_each_side() {
    let figures = [1.0, 9.0, 2.0, 8.0, 3.0, 7.0, 4.0, 6.0, 5.0];
    let median = Median::of(&figures);
    // The chance that at most one of nine lies below the median is 10 in 512.
    assert_eq!(median, Median { found: 5.0, interval: Some((2.0, 8.0)) });
    assert_eq!(median.at_most(8.0), Verdict::Met);
    assert_eq!(median.at_most(7.9), Verdict::Spans);
    assert_eq!(median.at_most(1.9), Verdict::Missed);
}

#[test]
fn the_interval_is_as_wide_as_the_pairs_are_few() {
    let upto = |count: u32| (1..=count).map(f64::from).collect::<Vec<_>>();
    assert_eq!(Median::of(&upto(1)), Median { found: 1.0, interval: None });
    assert_eq!(Median::of(&upto(5)).at_most(9.0), Verdict::Unknown);
    assert_eq!(Median::of(&upto(6)), Median { found: 3.5, interval: Some((1.0, 6.0)) });
    assert_eq!(Median::of(&upto(15)).interval, Some((4.0, 12.0)));
    assert_eq!(Median::of(&upto(21)).interval, Some((6.0, 16.0)));
    assert!(Median::of(&[]).found.is_nan());
}

#[test]
fn a_run_whose_rows_never_came_is_beyond_every_bar() {
    let figures = [f64::INFINITY, 1.0, f64::INFINITY, f64::INFINITY, f64::INFINITY, f64::INFINITY];
    assert_eq!(Median::of(&figures).found, f64::INFINITY);
    assert_eq!(Median::of(&figures).at_most(1e9), Verdict::Spans);
}
