//! A subscription looked at over gRPC, the way that its messages come.
//!
//! The client asks for subscriptions over plain HTTP, which a proxy or a firewall may pass while it passes no gRPC.

use crate::error::no_client;
use crate::settings::Settings;
use dataflow::Result;
use google_cloud_gax::error::Error as ClientError;
use google_cloud_gax::options::RequestOptions;
use google_cloud_gax_internal::grpc::Client;
use google_cloud_gax_internal::grpc::tonic::{Extensions, GrpcMethod};
use google_cloud_gax_internal::options::ClientConfig;
use http::uri::PathAndQuery;

/// Where Google's is.
const ENDPOINT: &str = "https://pubsub.googleapis.com";
/// What Google is told of who asks.
const CLIENT: &str = concat!("gl-rust/1 gccl/", env!("CARGO_PKG_VERSION"));
/// What a topic is called in a subscription when it was deleted.
const DELETED: &str = "_deleted-topic_";

/// Asks for subscriptions.
#[derive(Clone)]
pub(crate) struct Looker(Client);

/// A subscription as Pub/Sub describes it; only what matters here.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Found {
    #[prost(string, tag = "2")]
    topic: String,
    #[prost(message, optional, tag = "4")]
    push: Option<Push>,
    #[prost(bool, tag = "10")]
    ordering: bool,
    #[prost(bool, tag = "15")]
    detached: bool,
    #[prost(message, optional, tag = "18")]
    bigquery: Option<Elsewhere>,
    #[prost(message, optional, tag = "22")]
    storage: Option<Elsewhere>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Push {
    #[prost(string, tag = "1")]
    endpoint: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Elsewhere {}

#[derive(Clone, PartialEq, prost::Message)]
struct GetSubscription {
    #[prost(string, tag = "1")]
    subscription: String,
}

impl Looker {
    pub async fn open(settings: &Settings) -> Result<Looker> {
        let mut config = ClientConfig::default();
        config.cred = Some(settings.credentials()?);
        config.endpoint = settings.endpoint();
        let client = Client::new(config, ENDPOINT).await;
        client.map(Looker).map_err(|error| no_client(&settings.place(), error))
    }

    /// Asks once.
    pub async fn look(&self, subscription: &str) -> std::result::Result<Found, ClientError> {
        let mut extensions = Extensions::new();
        extensions.insert(GrpcMethod::new("google.pubsub.v1.Subscriber", "GetSubscription"));
        let path = PathAndQuery::from_static("/google.pubsub.v1.Subscriber/GetSubscription");
        let request = GetSubscription { subscription: subscription.to_owned() };
        let parameters = format!("subscription={subscription}");
        let asked = self.0.execute(extensions, path, request, RequestOptions::default(), CLIENT, &parameters);
        Ok(asked.await?.into_inner())
    }
}

impl Found {
    /// Whether its topic was deleted: it still has what waited.
    pub fn has_lost_its_topic(&self) -> bool {
        self.topic == DELETED
    }

    /// Whether messages of one ordering key come in their order.
    pub fn is_ordered(&self) -> bool {
        self.ordering
    }

    /// Why nothing can be pulled from it, if nothing can.
    pub fn is_not_pulled(&self) -> Option<String> {
        if self.detached {
            return Some("is detached from its topic".to_owned());
        }
        let push = self.push.as_ref().filter(|push| !push.endpoint.is_empty());
        match (push, &self.bigquery, &self.storage) {
            (Some(push), ..) => Some(format!("pushes its messages to {}", push.endpoint)),
            (_, Some(_), _) => Some("writes its messages to BigQuery".to_owned()),
            (.., Some(_)) => Some("writes its messages to Cloud Storage".to_owned()),
            _ => None,
        }
    }
}
