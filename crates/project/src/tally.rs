//! What a decision did, counted on the way into its log.

use arrow::array::{Array, AsArray};
use dataflow::{Batch, Committable, Error, Result, Sink};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts of a decision's rules, added up over workers; readable at any time.
#[derive(Clone, Debug, Default)]
pub struct RuleTally(Arc<Mutex<RuleCounts>>);

#[derive(Debug, Default)]
struct RuleCounts {
    rows: i64,
    // The id of the row that is most worth a look, and how much it is.
    example: Option<(Worth, String)>,
    rules: BTreeMap<String, Rule>,
    // The rows of each arm, by the experiments of the rules.
    arms: BTreeMap<String, BTreeMap<String, i64>>,
}

/// How much a row of a log is worth a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    Evaluated,
    Acted,
    Published,
}

/// What one rule of a decision did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Rows that it matched, in shadow or not.
    pub matched: i64,
    /// Rows on which it acted.
    pub acted: i64,
    /// Rows on which it would have acted but for ONCE PER.
    pub suppressed: i64,
    /// Actions that left the job, since they are after W.
    pub published: i64,
    /// Whether its condition reads a model's score.
    pub model: bool,
}

impl RuleTally {
    /// A tally of rules that are known by name, in their order, and whether each reads a model's score, and of the arms of
    /// experiments.
    pub fn new(rules: &[(String, bool)], experiments: impl Iterator<Item = String>) -> RuleTally {
        let rule = |(name, model): &(String, bool)| {
            (name.clone(), Rule { name: name.clone(), model: *model, ..Rule::default() })
        };
        let arms = experiments.map(|experiment| (experiment, BTreeMap::new())).collect();
        let counts = RuleCounts { rules: rules.iter().map(rule).collect(), arms, ..RuleCounts::default() };
        RuleTally(Arc::new(Mutex::new(counts)))
    }

    /// The rules, those that published most first.
    pub fn rules(&self) -> Vec<Rule> {
        let mut rules: Vec<_> = self.counts().rules.values().cloned().collect();
        rules.sort_by_key(|rule| (-rule.published, -rule.acted, -rule.matched));
        rules
    }

    /// The experiments that rules ask for, with the rows of each arm.
    pub fn arms(&self) -> Vec<(String, Vec<(String, i64)>)> {
        let counts = self.counts();
        let asked = counts.arms.iter().filter(|(_, arms)| !arms.is_empty());
        asked
            .map(|(name, arms)| (name.clone(), arms.iter().map(|(arm, rows)| (arm.clone(), *rows)).collect()))
            .collect()
    }

    /// Rows that the decision evaluated.
    pub fn rows(&self) -> i64 {
        self.counts().rows
    }

    /// The id of a row in the log: of the latest action that was published, or else that was taken, or else of the
    /// latest row.
    pub fn example(&self) -> Option<String> {
        self.counts().example.as_ref().map(|(_, id)| id.clone())
    }

    fn counts(&self) -> MutexGuard<'_, RuleCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, log: &Batch) -> Result<()> {
        let column = |name: &str| {
            let found = log.columns().column_by_name(name);
            found.ok_or_else(|| Error::internal(format!("a decision's log has no column {name}")))
        };
        let (ids, matched) = (column("decision_id")?.as_string::<i32>(), column("matched")?.as_string::<i32>());
        let (acted, published) = (column("acted")?.as_string::<i32>(), column("published")?.as_boolean());
        let suppressed = column("suppressed")?.as_string::<i32>();
        let mut counts = self.counts();
        counts.rows += log.rows() as i64;
        let mut example: Option<(Worth, usize)> = None;
        for row in 0..log.rows() {
            for name in matched.value(row).split(',').filter(|name| !name.is_empty()) {
                counts.rule(name).matched += 1;
            }
            let worth = match (acted.is_valid(row), published.value(row)) {
                (false, _) => Worth::Evaluated,
                (true, false) => Worth::Acted,
                (true, true) => Worth::Published,
            };
            if worth >= Worth::Acted {
                let rule = counts.rule(acted.value(row));
                rule.acted += 1;
                rule.published += i64::from(worth == Worth::Published);
            }
            if suppressed.is_valid(row) {
                counts.rule(suppressed.value(row)).suppressed += 1;
            }
            if example.is_none_or(|(other, _)| worth >= other) {
                example = Some((worth, row));
            }
        }
        for (experiment, arms) in &mut counts.arms {
            let arm = log.columns().column_by_name(&format!("arm_{experiment}"));
            for arm in arm.and_then(|arm| arm.as_string_opt::<i32>()).into_iter().flatten().flatten() {
                match arms.get_mut(arm) {
                    Some(rows) => *rows += 1,
                    None => drop(arms.insert(arm.to_owned(), 1)),
                }
            }
        }
        if let Some((worth, row)) = example
            && counts.example.as_ref().is_none_or(|(other, _)| worth >= *other)
        {
            counts.example = Some((worth, ids.value(row).to_owned()));
        }
        Ok(())
    }
}

impl RuleCounts {
    fn rule(&mut self, name: &str) -> &mut Rule {
        self.rules.entry(name.to_owned()).or_insert_with(|| Rule { name: name.to_owned(), ..Rule::default() })
    }
}

/// A writer of a decision's log that counts what passes.
pub struct TallySink {
    pub inner: Box<dyn Sink>,
    pub tally: RuleTally,
}

impl Sink for TallySink {
    fn write(&mut self, batch: &Batch) -> Result<()> {
        self.tally.add(batch)?;
        self.inner.write(batch)
    }

    fn prepare(&mut self, checkpoint: u64) -> Result<Option<Committable>> {
        self.inner.prepare(checkpoint)
    }

    fn position(&self) -> Option<Vec<u8>> {
        self.inner.position()
    }

    fn left_out(&self) -> u64 {
        self.inner.left_out()
    }
}
