//! How a connection begins: who the client is, and what the broker allows.

use bytes::Bytes;
use prost::Message;

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct FeatureFlags {
    #[prost(bool, optional, tag = "1")]
    pub supports_auth_refresh: Option<bool>,
    #[prost(bool, optional, tag = "2")]
    pub supports_broker_entry_metadata: Option<bool>,
    #[prost(bool, optional, tag = "3")]
    pub supports_partial_producer: Option<bool>,
    #[prost(bool, optional, tag = "5")]
    pub supports_get_partitioned_metadata_without_auto_creation: Option<bool>,
}

/// The first command of a client. It holds a secret, so it is never printed.
#[derive(Clone, PartialEq, Eq, Message)]
#[prost(skip_debug)]
pub struct Connect {
    #[prost(string, required, tag = "1")]
    pub client_version: String,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub auth_data: Option<Bytes>,
    #[prost(int32, optional, tag = "4")]
    pub protocol_version: Option<i32>,
    #[prost(string, optional, tag = "5")]
    pub auth_method_name: Option<String>,
    #[prost(string, optional, tag = "6")]
    pub proxy_to_broker_url: Option<String>,
    #[prost(message, optional, tag = "10")]
    pub feature_flags: Option<FeatureFlags>,
}

impl std::fmt::Debug for Connect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connect").field("auth_method_name", &self.auth_method_name).finish_non_exhaustive()
    }
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Connected {
    #[prost(string, required, tag = "1")]
    pub server_version: String,
    #[prost(int32, optional, tag = "3")]
    pub max_message_size: Option<i32>,
}

/// A credential on its way. It is never printed.
#[derive(Clone, PartialEq, Eq, Message)]
#[prost(skip_debug)]
pub struct AuthData {
    #[prost(string, optional, tag = "1")]
    pub auth_method_name: Option<String>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub auth_data: Option<Bytes>,
}

impl std::fmt::Debug for AuthData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthData").field("auth_method_name", &self.auth_method_name).finish_non_exhaustive()
    }
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct AuthResponse {
    #[prost(string, optional, tag = "1")]
    pub client_version: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub response: Option<AuthData>,
    #[prost(int32, optional, tag = "3")]
    pub protocol_version: Option<i32>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct AuthChallenge {
    #[prost(message, optional, tag = "2")]
    pub challenge: Option<AuthData>,
}
