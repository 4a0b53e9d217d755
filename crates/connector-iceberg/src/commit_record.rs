//! What a table says of the last commit of a sink, so that a later run can tell whether the table is where its
//! checkpoint left it.

pub use crate::frontier::TOKENS;
use crate::name::TableName;
use crate::prepared_files::PreparedFiles;
use crate::upkeep::ancestors;
use dataflow::{Error, Result};
use iceberg::spec::{SnapshotRef, TableMetadata};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// How many tokens are kept of commits before the last two. All of those two are: a checkpoint that was put before the last
/// one names both.
const EARLIER_MAX: usize = 64;
const VERSION: u32 = 1;

/// The last commit of a sink, in a property of the table that the same swap writes: it stays when snapshots expire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitRecord {
    version: u32,
    /// That of the writer.
    pub epoch: u64,
    /// The last checkpoint of its rows; an archive has none, and so has a sink that has committed nothing.
    pub checkpoint: Option<u64>,
    /// The tokens of all that was to be committed, those that were in the table already included.
    pub tokens: Vec<String>,
    // Tokens of commits before this one.
    earlier: Vec<String>,
}

impl CommitRecord {
    /// The property of a table that holds the record of a sink.
    pub fn property(sink: &str) -> String {
        format!("riverrun.commit.{sink}")
    }

    /// What a table says of a sink; nothing was committed when it says nothing.
    pub fn of(table: &TableName, metadata: &TableMetadata, sink: &str) -> Result<CommitRecord> {
        let key = CommitRecord::property(sink);
        let Some(text) = metadata.properties().get(&key) else {
            let (tokens, earlier) = (Vec::new(), Vec::new());
            return Ok(CommitRecord { version: VERSION, epoch: 0, checkpoint: None, tokens, earlier });
        };
        let record: CommitRecord = serde_json::from_str(text).map_err(|error| {
            Error::corrupt(format!("table \"{table}\": its property {key} does not describe a commit"))
                .with_source(error)
        })?;
        match record.version {
            VERSION => Ok(record),
            version => Err(Error::corrupt(format!(
                "table \"{table}\": its property {key} has version {version}, expected {VERSION}: it was written by a \
                 newer riverrun"
            ))),
        }
    }

    /// The record after the next commit.
    pub fn followed_by(self, epoch: u64, checkpoint: Option<u64>, tokens: Vec<String>) -> CommitRecord {
        let mut earlier = self.earlier;
        earlier.drain(..earlier.len().saturating_sub(EARLIER_MAX));
        earlier.extend(self.tokens);
        earlier.retain(|token| !tokens.contains(token));
        CommitRecord { version: VERSION, epoch, checkpoint, tokens, earlier }
    }

    /// The text of the property.
    pub fn to_text(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|error| Error::internal("the record of a commit cannot be written").with_source(error))
    }

    /// Which of the tokens a table has, in its snapshots or in this record of it.
    pub fn tokens_in(&self, metadata: &TableMetadata, tokens: &[String]) -> Vec<String> {
        let mut there: HashSet<&str> = metadata.snapshots().flat_map(tokens_of).collect();
        there.extend(self.tokens.iter().chain(&self.earlier).map(String::as_str));
        tokens.iter().filter(|token| there.contains(token.as_str())).cloned().collect()
    }

    /// Leaves out what was committed before the last commit, of what a checkpoint has pending, the oldest first: commits come
    /// in the order of checkpoints, so that the table has it, even where nothing tells of it any more.
    pub fn without_earlier(&self, mut pending: Vec<PreparedFiles>) -> Vec<PreparedFiles> {
        let is_of_last = |prepared: &PreparedFiles| self.tokens.iter().any(|token| token == prepared.token());
        // What is of the last commit stays, all of it: by that the table is known to fit.
        let first = pending.iter().position(is_of_last).unwrap_or(0);
        let mut at = 0;
        pending.retain(|prepared| {
            let is_earlier = at < first && prepared.checkpoint().is_some() && prepared.checkpoint() < self.checkpoint;
            at += 1;
            !is_earlier
        });
        pending
    }

    /// Refuses a table that somebody has set back to a snapshot before the last commit. Snapshots after it are theirs.
    pub fn check_line(&self, table: &TableName, metadata: &TableMetadata) -> Result<()> {
        let is_of_commit =
            |snapshot: &&SnapshotRef| tokens_of(snapshot).any(|token| self.tokens.iter().any(|own| own == token));
        let Some(last) = metadata.snapshots().filter(is_of_commit).max_by_key(|snapshot| snapshot.sequence_number())
        else {
            return Ok(());
        };
        let line = metadata.current_snapshot().map(|current| ancestors(metadata, current.snapshot_id()));
        let line = line.unwrap_or_default();
        // Where the begin of the line has expired, nobody can tell what older snapshots belonged to.
        let is_cut = |oldest: &&SnapshotRef| oldest.parent_snapshot_id().is_some();
        let cut = line.last().copied().filter(is_cut).map(|oldest| oldest.sequence_number());
        let is_older = cut.is_some_and(|cut| last.sequence_number() < cut);
        if is_older || line.iter().any(|snapshot| snapshot.snapshot_id() == last.snapshot_id()) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "table \"{table}\" was set back to before snapshot {}, with which this job committed rows{}; they would be \
             missing: set it to that snapshot again, or start over with --fresh",
            last.snapshot_id(),
            self.checkpoint.map(|checkpoint| format!(" of checkpoint {checkpoint}")).unwrap_or_default()
        )))
    }

    /// Refuses a table that is not where a checkpoint left it, which knows of a last commit and of tokens that may have
    /// been committed after it.
    pub fn check_fits(&self, table: &TableName, pending: &[&str], known: u64) -> Result<()> {
        let holds = self.checkpoint.unwrap_or(0);
        let is_of_pending =
            !self.tokens.is_empty() && self.tokens.iter().all(|token| pending.contains(&token.as_str()));
        if is_of_pending || holds == known {
            return Ok(());
        }
        let told = match holds > known {
            true => format!(
                "is ahead of the checkpoint: it holds rows up to checkpoint {holds}, and {}; rows would be there twice",
                match known {
                    0 => "no commit was made when that was taken".to_owned(),
                    known => format!("the last that was committed then was {known}"),
                }
            ),
            false => format!(
                "is before the checkpoint: it holds rows up to checkpoint {holds}, and the checkpoint knows that those of \
                 {known} were committed; rows would be missing"
            ),
        };
        Err(Error::invalid(format!(
            "table \"{table}\" {told}; put back the table and the checkpoints of one moment, or start over with --fresh"
        )))
    }
}

fn tokens_of(snapshot: &SnapshotRef) -> impl Iterator<Item = &str> {
    snapshot.summary().additional_properties.get(TOKENS).into_iter().flat_map(|list| list.split(','))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(checkpoint: u64, tokens: &[&str]) -> CommitRecord {
        let tokens = tokens.iter().map(|&token| token.to_owned()).collect();
        CommitRecord { version: VERSION, epoch: 1, checkpoint: Some(checkpoint), tokens, earlier: Vec::new() }
    }

    #[test]
    fn a_record_keeps_a_bounded_number_of_tokens() {
        let mut kept = record(0, &[]);
        for n in 0..500 {
            kept = kept.followed_by(1, Some(n), vec![format!("t{n}"), "again".to_owned()]);
        }
        let expected: Vec<String> = (500 - EARLIER_MAX - 2..499).map(|n| format!("t{n}")).collect();
        assert_eq!(kept.earlier, expected);
        assert_eq!(kept.tokens, ["t499", "again"]);
    }

    #[test]
    fn no_token_of_the_last_two_commits_is_forgotten_however_many_there_are() {
        let many = |commit: &str| -> Vec<String> { (0..500).map(|n| format!("{commit}{n}")).collect() };
        let kept = record(0, &[]).followed_by(1, Some(1), many("a")).followed_by(1, Some(2), many("b"));
        assert_eq!((kept.earlier.clone(), kept.tokens.clone()), (many("a"), many("b")));
        assert_eq!(kept.followed_by(1, Some(3), many("c")).earlier.len(), EARLIER_MAX + 500);
    }

    #[test]
    fn a_table_fits_where_the_checkpoint_left_it_or_further_by_what_is_pending() {
        let table = TableName::parse("lake.t").unwrap();
        let told = |record: CommitRecord, pending: &[&str], known| {
            record.check_fits(&table, pending, known).map_err(|error| error.to_string())
        };
        assert_eq!(told(record(4, &["a"]), &[], 4), Ok(()));
        assert_eq!(told(record(4, &["a"]), &["b"], 4), Ok(()));
        assert_eq!(told(record(5, &["b"]), &["b", "c"], 4), Ok(()));
        // One of the tokens was not pending any more.
        assert!(told(record(5, &["a", "b"]), &["b"], 4).unwrap_err().contains("ahead of the checkpoint"));
        assert!(told(record(3, &["a"]), &["b"], 4).unwrap_err().contains("before the checkpoint"));
        assert!(told(record(9, &["a"]), &[], 0).unwrap_err().contains("--fresh"));
    }
}
