//! The anchor of a partition in the hands of a job.

use crate::anchor::{Anchor, AnchorFacts};
use std::sync::{Arc, Mutex, PoisonError};

/// Where what is known of a partition's anchor is put.
pub type AnchorShown = Arc<Mutex<Option<AnchorFacts>>>;

/// The anchor that a job holds while it reads, and where that is shown.
#[derive(Clone)]
pub struct Hold {
    pub anchor: Anchor,
    pub shown: AnchorShown,
}

impl Hold {
    /// Shows what is known of the anchor.
    pub fn show(&self, facts: Option<AnchorFacts>) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = facts;
    }
}
