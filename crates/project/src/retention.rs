//! Retention: old messages of the project's topics are removed, and none that an archive does not hold yet.

use crate::failure::Failure;
use crate::open::Project;
use connector_local::TrimSummary;
use dataflow::{Output, Position, ProcessingTime, Result, Topic};
use seam::{FRONTIER_PROPERTY, Frontier};
use sql::{History, Target};
use std::collections::BTreeMap;

/// What keeps messages of a topic beyond their age: the tables that archive it.
type Archives = Vec<String>;

impl Project {
    /// Removes what is older than the retention from the topics that the project reads or writes, and gives what was
    /// removed by topic. Without a retention nothing is, and nothing by who writes under names of their own. Messages that come after an archive's frontier stay.
    pub fn trim_topics(&self) -> Result<Vec<(String, TrimSummary)>, Failure> {
        let Some(retention) = self
            .retention()
            .filter(|_| self.person().is_none() && self.topics_path().is_some_and(|path| path.is_dir()))
        else {
            return Ok(Vec::new());
        };
        let age = i64::try_from(retention.as_micros()).unwrap_or(i64::MAX);
        let before = ProcessingTime(self.clock.now().0.saturating_sub(age));
        let mut trimmed = Vec::new();
        for (name, archives) in self.kept_topics()? {
            let Some(topic) = self.topics()?.local()?.topic(&name)? else { continue };
            let kept = self.archived_by(&archives, topic.as_ref())?;
            let removed = self.topics()?.local()?.trim(&name, before, kept.as_deref())?;
            if removed.segments > 0 {
                trimmed.push((name, removed));
            }
        }
        Ok(trimmed)
    }

    /// The topics of the project, each with the tables that archive it.
    fn kept_topics(&self) -> Result<BTreeMap<String, Archives>, Failure> {
        let mut topics: BTreeMap<String, Archives> = BTreeMap::new();
        for spec in &self.check(&Target::All)?.outputs {
            if let Output::Topic(topic) = &spec.output {
                topics.entry(topic.clone()).or_default();
            }
        }
        let archived = self.statements.archives();
        for name in self.statements.streams() {
            let stream = self.stream(&name)?;
            let Some(topic) = &stream.live else { continue };
            let tables = topics.entry(topic.clone()).or_default();
            if let Some(History::Table(table)) =
                stream.history.filter(|_| archived.iter().any(|of| of.eq_ignore_ascii_case(&name)))
            {
                tables.push(table);
            }
        }
        Ok(topics)
    }

    /// Per partition the last message that every archive of a topic holds; `None` when nothing archives it.
    fn archived_by(&self, tables: &[String], topic: &dyn Topic) -> Result<Option<Vec<Option<Position>>>> {
        let partitions = topic.partitions();
        let mut least: Option<Vec<Option<Position>>> = None;
        for table in tables {
            let frontier = match self.warehouse_if_there()? {
                Some(warehouse) if warehouse.exists(table)? => warehouse.properties(table)?.remove(FRONTIER_PROPERTY),
                _ => None,
            };
            let held: Vec<Option<Position>> = match frontier {
                Some(text) => {
                    let frontier = Frontier::parse(&text).map_err(|error| error.context(format!("table {table}")))?;
                    match frontier.id == *topic.id() {
                        true => frontier.partitions.iter().map(|at| at.map(|at| at.position)).collect(),
                        // A topic that was made again is another one, and the archive holds nothing of it.
                        false => vec![None; partitions as usize],
                    }
                }
                None => vec![None; partitions as usize],
            };
            least = Some(match least {
                None => held,
                Some(least) => least.into_iter().zip(held).map(|(one, other)| one.min(other)).collect(),
            });
        }
        Ok(least)
    }
}
