//! What people should know of the outputs while a job runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What people should know of the outputs while the job runs, by output: that a commit has to wait, and for what.
#[derive(Clone, Debug, Default)]
pub struct Notes(Arc<Mutex<BTreeMap<String, String>>>);

impl Notes {
    /// Says what an output waits for. What says the same as before but for numbers, such as those of files that are tried
    /// one after the other, is no news.
    pub(crate) fn set(&self, of: &str, note: String) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = notes.get(of).is_none_or(|before| !without_digits(before).eq(without_digits(&note)));
        if is_news {
            notes.insert(of.to_owned(), note);
        }
    }

    pub(crate) fn clear(&self, of: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(of);
    }

    /// All notes.
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

fn without_digits(note: &str) -> impl Iterator<Item = char> + '_ {
    note.chars().filter(|letter| !letter.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_in_numbers_alone_is_told_once() {
        let notes = Notes::default();
        notes.set("checkpoint", "state-1-17 cannot be written: the disk is full".to_owned());
        notes.set("checkpoint", "state-1-18 cannot be written: the disk is full".to_owned());
        assert_eq!(notes.all(), ["state-1-17 cannot be written: the disk is full"]);
        notes.set("checkpoint", "state-1-19 cannot be written: no permission".to_owned());
        assert_eq!(notes.all(), ["state-1-19 cannot be written: no permission"]);
        notes.clear("checkpoint");
        assert!(notes.all().is_empty());
    }
}
