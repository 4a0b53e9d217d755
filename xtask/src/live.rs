//! `xtask bench live`: one process publishes, one decides, this one reads the actions. How much later than the rule
//! allows each is seen, what it costs, and the same for a bare loop.

mod case;
mod floor;
mod idle;
mod messages;
mod report;

pub use case::{Measured, Rate, Rule, rank};
pub use floor::floor;
pub use idle::Idle;
pub use messages::publish;
pub use report::{bars, json, text};

use crate::failure;
use case::Case;
use dataflow::Result;
use std::path::PathBuf;
use tests::machine::SECOND;

const RATES: [Rate; 4] = [Rate::PerSecond(100), Rate::PerSecond(1_000), Rate::PerSecond(20_000), Rate::Unbounded];
const RULES: [Rule; 3] = [Rule::Stateless, Rule::Window, Rule::AsOf];
const DELAYS: [i64; 2] = [0, 2];
/// What a case takes beside publishing: the start, the wait for its last rows, the end.
const BESIDE: i64 = 27 * SECOND / 10;
const PUBLISH_MIN: i64 = SECOND;

/// How to measure.
pub struct Options {
    /// Where topics lie while they are measured.
    pub cache: PathBuf,
    pub riverrun: PathBuf,
    /// How long all of it may take, about.
    pub seconds: u32,
    pub workers: usize,
}

/// All that was measured.
pub struct Live {
    pub cases: Vec<Measured>,
    pub idle: Idle,
    pub workers: usize,
}

impl Live {
    /// The bare loop at a rate.
    pub fn floor(&self, rate: Rate) -> Option<&Measured> {
        self.cases.iter().find(|found| found.case.rate == rate && found.case.rule == Rule::Floor)
    }

    /// Whether every message led to one action.
    pub fn agree(&self) -> bool {
        self.cases.iter().all(|case| case.missing == 0 && case.twice == 0)
    }
}

/// Every rule with every delay at every rate, and the loop between them.
fn cases() -> Vec<Case> {
    let at_rate = |rate| {
        let rules = DELAYS.into_iter().flat_map(|delay_s| RULES.into_iter().map(move |rule| (rule, delay_s)));
        let all = [(Rule::Floor, 0)].into_iter().chain(rules);
        all.map(move |(rule, delay_s)| Case { rule, delay_s, rate })
    };
    RATES.into_iter().flat_map(at_rate).collect()
}

/// Measures all.
pub fn run(options: &Options) -> Result<Live> {
    let folder = options.cache.join("live");
    std::fs::create_dir_all(&folder).map_err(|error| failure::file("make", &folder, error))?;
    let cases = cases();
    let each = (i64::from(options.seconds) * SECOND - idle::LENGTH) / cases.len() as i64;
    let length = (each - BESIDE).max(PUBLISH_MIN);
    let mut measured = Vec::new();
    for case in cases {
        let one = case::measure(case, length, &folder, options)?;
        eprintln!("{}", report::line(&one, None));
        measured.push(one);
    }
    let idle = idle::measure(&folder, options)?;
    Ok(Live { cases: measured, idle, workers: options.workers })
}
