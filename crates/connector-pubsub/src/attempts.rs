//! When the client has tried to open its stream of messages.
//!
//! It tells nobody that a stream broke or was refused, and tries again for ever. But it asks for credentials before each
//! attempt, and on the task that receives it asks for nothing else.

use crate::uptime::{Moment, Uptime};
use google_cloud_auth::credentials::{CacheableResource, Credentials, CredentialsProvider};
use http::{Extensions, HeaderMap};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// So many attempts within [`SOON`] say that streams are refused, or break at once.
const MANY: usize = 3;
const SOON: Duration = Duration::from_secs(10);

tokio::task_local! {
    static OF_STREAM: Attempts;
}

/// The last attempts to open a stream.
#[derive(Clone)]
pub(crate) struct Attempts {
    moments: Arc<Mutex<VecDeque<Moment>>>,
    clock: Arc<dyn Uptime>,
}

impl Attempts {
    /// None so far.
    pub fn new(clock: Arc<dyn Uptime>) -> Attempts {
        Attempts { moments: Arc::default(), clock }
    }

    /// What receives; attempts on its task are noted.
    pub fn scope<F: Future>(&self, receives: F) -> impl Future<Output = F::Output> + use<F> {
        OF_STREAM.scope(self.clone(), receives)
    }

    /// When the last one began.
    pub fn last(&self) -> Option<Moment> {
        self.moments.lock().unwrap_or_else(PoisonError::into_inner).back().copied()
    }

    /// Whether there were so many that no stream stands.
    pub fn are_many(&self) -> bool {
        let attempts = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        match (attempts.front(), attempts.back()) {
            (Some(first), Some(last)) => attempts.len() == MANY && last.since(*first) < SOON,
            _ => false,
        }
    }

    /// Whether the first one has not failed yet.
    pub fn is_first(&self) -> bool {
        self.moments.lock().unwrap_or_else(PoisonError::into_inner).len() == 1
    }

    /// One begins.
    pub fn note(&self) {
        let mut attempts = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.push_back(self.clock.now());
        if attempts.len() > MANY {
            attempts.pop_front();
        }
    }
}

/// Credentials that note attempts.
#[derive(Debug)]
pub(crate) struct Noting(pub Credentials);

impl CredentialsProvider for Noting {
    async fn headers(
        &self,
        extensions: Extensions,
    ) -> Result<CacheableResource<HeaderMap>, google_cloud_auth::errors::CredentialsError> {
        // Acknowledgements are sent from other tasks.
        let _ = OF_STREAM.try_with(Attempts::note);
        self.0.headers(extensions).await
    }

    async fn universe_domain(&self) -> Option<String> {
        self.0.universe_domain().await
    }
}
