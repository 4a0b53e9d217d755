//! What a client shows its brokers to be let in.

use crate::error::{Error, Result};
use access::{ClientCredentials, Secret, Tokens};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How long the token server has for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// How a client shows who it is. Secrets are read anew for every connection, so a file may be replaced.
#[derive(Clone, Debug)]
pub enum Authentication {
    /// A token, such as a JSON Web Token.
    Token(Secret),
    /// A name and a password.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// Tokens that a server gives for the client's credentials.
    TokenServer(Arc<TokenServer>),
}

/// A server that gives tokens, and the one that it gave last, which all connections use.
pub struct TokenServer {
    client: ClientCredentials,
    http: reqwest::Client,
    tokens: Tokens,
}

impl fmt::Debug for TokenServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenServer").field("client", &self.client).finish_non_exhaustive()
    }
}

impl TokenServer {
    /// Nothing is asked before a token is needed. `certificates` are trusted beside those of the system.
    pub fn new(client: ClientCredentials, certificates: &[u8]) -> Result<TokenServer> {
        let wrong = |error: reqwest::Error| {
            Error::invalid(format!("no client of a token server can be made: {}", access::told(&error, &[])))
        };
        let mut builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        for certificate in reqwest::Certificate::from_pem_bundle(certificates).map_err(wrong)? {
            builder = builder.add_root_certificate(certificate);
        }
        Ok(TokenServer { client, http: builder.build().map_err(wrong)?, tokens: Tokens::default() })
    }
}

/// What is said to a broker to be let in. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub(crate) method: &'static str,
    pub(crate) data: Bytes,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("method", &self.method).finish_non_exhaustive()
    }
}

impl Credentials {
    /// The certificate of the connection says it.
    pub(crate) const CERTIFICATE: Credentials = Credentials { method: "tls", data: Bytes::new() };

    /// A text of a broker with stars where it repeats what was shown to it, whole or the password alone.
    pub(crate) fn hidden_in(&self, text: &str) -> String {
        let shown = String::from_utf8_lossy(&self.data);
        let password =
            if self.method == "basic" { shown.split_once(':').map_or("", |(_, password)| password) } else { "" };
        access::hidden(text, &[&shown, password])
    }

    /// The credentials as they are now; those that a server gave before are asked for again where `is_new` is wanted.
    pub(crate) async fn read(authentication: &Authentication, is_new: bool) -> Result<Credentials> {
        let credentials = |method, text: String| Credentials { method, data: Bytes::from(text) };
        Ok(match authentication {
            Authentication::Token(secret) => credentials("token", secret.read_line("Pulsar's token")?),
            Authentication::Basic { user, password } => {
                credentials("basic", format!("{user}:{}", password.read("Pulsar's password")?))
            }
            Authentication::TokenServer(server) => {
                if is_new {
                    server.tokens.forget().await;
                }
                credentials("token", server.tokens.now(&server.http, &server.client, ANSWER_WITHIN, None).await?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_printed() {
        let authentication =
            Authentication::Basic { user: "ana".to_owned(), password: Secret::Text("CANARY".to_owned()) };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
        let credentials = runtime.block_on(Credentials::read(&authentication, false)).expect("they are there");
        assert_eq!(&credentials.data[..], b"ana:CANARY");
        assert!(!format!("{authentication:?} {credentials:?}").contains("CANARY"));
        assert_eq!(credentials.hidden_in("ana:CANARY is wrong, CANARY!"), "*** is wrong, ***!");
        assert_eq!(Credentials::CERTIFICATE.hidden_in("a certificate"), "a certificate");
    }
}
