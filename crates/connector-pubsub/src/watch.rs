//! A subscription looked at again and again while it is copied.

use crate::subscription::{Seen, Subscription};
use crate::uptime::{Moment, Uptime};
use dataflow::Result;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::time::{sleep, timeout};

/// How often it is asked whether the subscription is there.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// How long the answer may take.
const ASK_ANSWER: Duration = Duration::from_secs(5);

/// What the server has said of a subscription, asked at this time.
pub(crate) struct Look {
    pub asked: Moment,
    pub found: Result<Seen>,
}

/// Looks at a subscription again and again, until nobody wants to know.
pub(crate) async fn watch(subscription: Subscription, looks: Sender<Look>, clock: Arc<dyn Uptime>) {
    loop {
        sleep(ASK_EVERY).await;
        let asked = clock.now();
        let found = match timeout(ASK_ANSWER, subscription.look()).await {
            Ok(found) => found,
            Err(_) => Err(subscription.no_answer()),
        };
        if looks.send(Look { asked, found }).await.is_err() {
            return;
        }
    }
}
