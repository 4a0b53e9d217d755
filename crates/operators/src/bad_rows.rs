//! What becomes of the rows on which a step fails.

use crate::columns::is_added;
use dataflow::{
    BadRow, BadRowPolicy, Batch, Context, DeadLetter, Error, Fate, Port, Result, RowOrder, RowText, dead_letters,
};

/// What a stream declares for its bad rows, as its steps need it.
#[derive(Clone, Debug)]
pub struct BadRows {
    /// The stream whose rows these are: of a join, the left one.
    pub stream: String,
    /// The step.
    pub step: String,
    /// What becomes of them.
    pub policy: BadRowPolicy,
    /// Rows are messages of a topic, so that their order tells their place.
    pub has_coordinates: bool,
    /// The text of a row.
    pub text: RowText,
}

/// The letters of a row that an error shows.
const SHOWN_MAX: usize = 300;

impl BadRows {
    /// Follows the policy for the rows of a batch that are removed, each with its reason, in the order of the batch.
    pub(crate) fn remove(&self, batch: &Batch, bad: &[(usize, Error)], cx: &mut Context) -> Result<()> {
        let fate = if self.policy == BadRowPolicy::DeadLetter { Fate::DeadLettered } else { Fate::Bad };
        self.tell(batch, bad, fate, cx)
    }

    /// Follows the policy for rows that go on although a part of the step failed on them.
    pub(crate) fn record(&self, batch: &Batch, failed: &[(usize, Error)], cx: &mut Context) -> Result<()> {
        self.tell(batch, failed, Fate::RuleFailed, cx)
    }

    fn tell(&self, batch: &Batch, bad: &[(usize, Error)], fate: Fate, cx: &mut Context) -> Result<()> {
        let Some((first, reason)) = bad.first() else { return Ok(()) };
        if self.policy == BadRowPolicy::Fail {
            return Err(Error::data(format!(
                "stream \"{}\": {}; ON BAD ROW SKIP would count it and go on",
                self.stream,
                self.shown(batch, *first, reason)?
            )));
        }
        if fate != Fate::RuleFailed {
            cx.tell_bad(|| Ok(BadRow { stream: self.stream.clone(), text: self.shown(batch, *first, reason)? }))?;
        }
        cx.count(fate, bad.len());
        if self.policy == BadRowPolicy::DeadLetter {
            cx.emit(Port::DEAD_LETTER, self.letters(batch, bad)?);
        }
        Ok(())
    }

    /// A row with its place and why the step failed on it.
    fn shown(&self, batch: &Batch, row: usize, reason: &Error) -> Result<String> {
        let text = self.texts(batch, &[row])?.remove(0);
        let text = match text.char_indices().nth(SHOWN_MAX) {
            Some((end, _)) => format!("{}..", &text[..end]),
            None => text,
        };
        // Among rows of files the text itself tells more than an order does.
        let place = match self.has_coordinates {
            true => format!(" ({})", self.position(batch.order(row))),
            false => String::new(),
        };
        Ok(format!("the row at {}{place} {text}: {}", batch.time(row), reason.chain()))
    }

    fn letters(&self, batch: &Batch, bad: &[(usize, Error)]) -> Result<Batch> {
        let rows: Vec<usize> = bad.iter().map(|(row, _)| *row).collect();
        let letter = |((row, reason), text): (&(usize, Error), String)| DeadLetter {
            time: batch.time(*row),
            order: batch.order(*row),
            has_time: true,
            position: self.position(batch.order(*row)),
            reason: reason.chain(),
            raw: None,
            row: Some(text),
        };
        let letters: Vec<DeadLetter> = bad.iter().zip(self.texts(batch, &rows)?).map(letter).collect();
        dead_letters(&self.stream, &self.step, &letters)
    }

    fn texts(&self, batch: &Batch, rows: &[usize]) -> Result<Vec<String>> {
        let rows: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
        let columns = batch.take(&rows)?;
        let names = columns.columns().schema();
        let shown = (0..names.fields().len()).filter(|&at| !is_added(names.field(at).name()));
        let columns = columns.columns().project(&shown.collect::<Vec<_>>())?;
        let texts = (self.text)(columns.schema())?.encode(&columns)?;
        Ok(texts.into_iter().map(|text| String::from_utf8_lossy(&text).into_owned()).collect())
    }

    /// What the order of a row tells of its place.
    fn position(&self, order: RowOrder) -> String {
        if !self.has_coordinates {
            return format!("_ord {:032x}", order.0);
        }
        let (partition, at) = order.position();
        format!("partition {partition}, message {}:{}:{}", at.ledger, at.entry, at.batch_index)
    }
}

/// Brings failures of several expressions into the order of rows; of one row the first stays.
pub(crate) fn by_row(mut failed: Vec<(usize, Error)>) -> Vec<(usize, Error)> {
    failed.sort_by_key(|(row, _)| *row);
    failed.dedup_by_key(|(row, _)| *row);
    failed
}

/// The rows of a batch that did not fail.
pub(crate) fn good_rows(rows: usize, failed: &[(usize, Error)]) -> Vec<u32> {
    let is_good = |row: &u32| failed.binary_search_by_key(&(*row as usize), |(row, _)| *row).is_err();
    (0..rows as u32).filter(is_good).collect()
}
