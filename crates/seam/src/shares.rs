//! The shares of a history that one reader holds.

use crate::StreamStats;
use crate::history::History;
use crate::placing::Aside;
use crate::spec::StreamSpec;
use dataflow::{Batch, ByteReader, ByteWriter, Error, EventTime, Result, TimedFiles};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;

/// How many shares a history has.
pub(crate) const SHARES: u16 = 1;

/// How far a share was read: how many rows it has given out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SharePosition {
    rows: u64,
    aside: u64,
}

impl SharePosition {
    pub fn to_bytes(self) -> Vec<u8> {
        let mut out = ByteWriter::new(1);
        out.u64(self.rows);
        out.u64(self.aside);
        out.finish()
    }

    pub fn parse(bytes: &[u8]) -> Result<SharePosition> {
        let mut from = ByteReader::new("the position in a share of the history", bytes, 1)?;
        let position = SharePosition { rows: from.u64()?, aside: from.u64()? };
        from.end()?;
        Ok(position)
    }
}

/// What is the same for all readers of a history.
pub(crate) struct HistoryPlan {
    pub spec: StreamSpec,
    pub files: Arc<dyn TimedFiles>,
    pub stats: Arc<StreamStats>,
    pub memory_bytes: usize,
    pub spill_dir: PathBuf,
}

/// The rows of shares, in order.
pub(crate) struct Shares {
    plan: Option<Arc<HistoryPlan>>,
    share: Option<(u16, History, SharePosition)>,
    // What was given out before the share was taken up, and is passed over.
    skip: SharePosition,
}

impl Shares {
    pub fn new(plan: Option<Arc<HistoryPlan>>) -> Shares {
        Shares { plan, share: None, skip: SharePosition::default() }
    }

    pub fn add(&mut self, shares: Vec<(u16, SharePosition)>) -> Result<()> {
        for (share, position) in shares {
            let Some(plan) = &self.plan else {
                return Err(Error::internal(format!("share {share} is of a stream without history")));
            };
            let history = History::new(
                &plan.spec,
                plan.files.clone(),
                plan.stats.clone(),
                plan.memory_bytes,
                plan.spill_dir.clone(),
            )?;
            self.share = Some((share, history, position));
            self.skip = position;
        }
        Ok(())
    }

    pub fn wake(&mut self, _: &Waker) {}

    pub fn next(&mut self, rows_max: usize, ceiling: EventTime) -> Result<Option<Batch>> {
        let (Some((_, history, position)), Some(plan)) = (&mut self.share, &self.plan) else { return Ok(None) };
        while self.skip.rows > 0 {
            let Some(batch) = history.next(usize::try_from(self.skip.rows).unwrap_or(usize::MAX), EventTime::MAX)?
            else {
                return Ok(None);
            };
            plan.stats.history_rows.fetch_sub(batch.rows() as u64, Relaxed);
            self.skip.rows -= batch.rows() as u64;
        }
        let batch = history.next(rows_max, ceiling)?;
        position.rows += batch.as_ref().map_or(0, |batch| batch.rows() as u64);
        Ok(batch)
    }

    pub fn watermark(&self) -> EventTime {
        self.share.as_ref().map_or(EventTime::MAX, |(_, history, _)| history.watermark())
    }

    pub fn take_aside(&mut self) -> Aside {
        let Some((_, history, position)) = &mut self.share else { return Vec::new() };
        let mut aside = Vec::new();
        for (port, batch) in history.take_aside() {
            let passed = self.skip.aside.min(batch.rows() as u64);
            self.skip.aside -= passed;
            let batch = batch.slice(passed as usize, batch.rows() - passed as usize);
            position.aside += batch.rows() as u64;
            if batch.rows() > 0 {
                aside.push((port, batch));
            }
        }
        aside
    }

    pub fn is_finished(&self) -> bool {
        self.share.as_ref().is_none_or(|(_, history, _)| history.is_finished() && self.skip.rows == 0)
    }

    pub fn has_ready(&self) -> bool {
        self.share.as_ref().is_some_and(|(_, history, _)| history.ready_to().is_some())
    }

    /// Whether it has nothing ready and is still looking for its next rows.
    pub fn is_looking(&self) -> bool {
        !self.is_finished() && !self.has_ready()
    }

    pub fn positions(&self) -> Vec<(u16, SharePosition)> {
        self.share.iter().map(|(share, _, position)| (*share, *position)).collect()
    }
}
