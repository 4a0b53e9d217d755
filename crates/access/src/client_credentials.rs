//! Tokens that a server gives to a client for its credentials (OAuth 2.0, RFC 6749 section 4.4).

use crate::secret::Secret;
use crate::told::told;
use dataflow::{Error, ErrorKind, Result};
use serde::Deserialize;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long a token is taken for good of which the server does not say it.
const LIFE_DEFAULT: Duration = Duration::from_secs(3600);

/// What the address of an issuer's configuration ends in (OpenID Connect Discovery 1.0, section 4).
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Who asks for tokens, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCredentials {
    /// `ID:SECRET` of the client, or the secret alone; or JSON with `client_id` and `client_secret`.
    pub credential: Secret,
    /// The token server. An address that ends in `/.well-known/openid-configuration` is that of an issuer, which is asked
    /// for the address of its token server before each token.
    pub server: String,
    /// What tokens are asked for.
    pub scope: Option<String>,
    /// Whom tokens are for.
    pub audience: Option<String>,
    /// Whom the client wants to talk to, for messages: `the catalog`.
    pub whose: &'static str,
    /// The key of riverrun.toml that the settings stand below, for messages.
    pub key: &'static str,
}

/// The token that a client has now.
#[derive(Default)]
pub struct Tokens(Mutex<Option<GivenToken>>);

struct GivenToken {
    text: String,
    // A new one is asked for before it ends.
    until: Instant,
}

/// What a file with the key of a client has, as Pulsar's clients and identity providers write it.
#[derive(Deserialize)]
struct KeyFile {
    client_id: String,
    client_secret: String,
}

#[derive(Deserialize)]
struct IssuerConfiguration {
    token_endpoint: String,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: Option<u64>,
}

impl Tokens {
    /// A token that is good, asked for with `http` within a time where there is none. `refused` is one that is taken no
    /// more.
    pub async fn now(
        &self,
        http: &reqwest::Client,
        client: &ClientCredentials,
        within: Duration,
        refused: Option<&str>,
    ) -> Result<String> {
        let credential = client.credential.read(&format!("the credential of {}", client.whose))?;
        let mut held = self.0.lock().await;
        let good = |given: &&GivenToken| Some(given.text.as_str()) != refused && Instant::now() < given.until;
        if let Some(given) = held.as_ref().filter(good) {
            return Ok(given.text.clone());
        }
        let answer = client.ask(http, &credential, within).await?;
        let life = answer.expires_in.map_or(LIFE_DEFAULT, Duration::from_secs);
        let given = GivenToken { text: answer.access_token, until: Instant::now() + life.mul_f64(0.8) };
        Ok(held.insert(given).text.clone())
    }

    /// Lets the token go, so that the next one is a new one.
    pub async fn forget(&self) {
        *self.0.lock().await = None;
    }
}

impl ClientCredentials {
    async fn ask(&self, http: &reqwest::Client, credential: &str, within: Duration) -> Result<TokenAnswer> {
        let (id, secret) = self.parts(credential)?;
        let server = match self.server.ends_with(DISCOVERY) {
            true => self.discover(http, within).await?,
            false => self.server.clone(),
        };
        let ClientCredentials { whose, key, .. } = self;
        let mut form = vec![("grant_type", "client_credentials"), ("client_secret", secret.as_str())];
        form.extend(Some(("client_id", id.as_str())).filter(|_| !id.is_empty()));
        form.extend(self.scope.as_deref().map(|scope| ("scope", scope)));
        form.extend(self.audience.as_deref().map(|audience| ("audience", audience)));
        let away = |error: reqwest::Error| {
            let why = told(&error, &[secret.as_str()]);
            Error::unavailable(format!("the token server \"{server}\" of {whose} does not answer")).with_source(why)
        };
        let request = http.post(&server).form(&form).timeout(within);
        let sent = request.send().await.map_err(|error| match error.is_builder() {
            true => self.no_server(&server, ""),
            false => away(error),
        })?;
        let status = sent.status();
        if status.is_success() {
            let bytes = sent.bytes().await.map_err(away)?;
            return serde_json::from_slice(&bytes).map_err(|_| {
                Error::unavailable(format!("the token server \"{server}\" of {whose} gives no token that can be read"))
            });
        }
        // What the server says is not told: it may repeat what was sent.
        Err(match status.as_u16() {
            400 | 401 | 403 => Error::new(
                ErrorKind::Refused,
                format!(
                    "the token server \"{server}\" refuses the client ({}): look at credential (ID:SECRET) and scope of \
                     {key} in riverrun.toml",
                    status.as_u16()
                ),
            ),
            code @ (404 | 405) => self.no_server(&server, &format!(" ({code})")),
            code => Error::unavailable(format!("the token server \"{server}\" of {whose} answers {code}")),
        })
    }
    /// The client's name, which may be left out, and its secret.
    fn parts(&self, credential: &str) -> Result<(String, String)> {
        if !credential.trim_start().starts_with('{') {
            let (id, secret) = credential.split_once(':').unwrap_or(("", credential));
            return Ok((id.to_owned(), secret.to_owned()));
        }
        // What is wrong with it is not told: the text is a secret.
        let file: KeyFile = serde_json::from_str(credential).map_err(|_| {
            Error::invalid(format!(
                "the credential of {} begins as JSON, expected {{\"client_id\": .., \"client_secret\": ..}} or ID:SECRET",
                self.whose
            ))
        })?;
        Ok((file.client_id, file.client_secret))
    }

    /// The token server of an issuer.
    async fn discover(&self, http: &reqwest::Client, within: Duration) -> Result<String> {
        let ClientCredentials { server, whose, .. } = self;
        let away = |error: reqwest::Error| {
            Error::unavailable(format!("\"{server}\" with the token server of {whose} does not answer"))
                .with_source(told(&error, &[]))
        };
        let sent = http.get(server).timeout(within).send().await.map_err(|error| match error.is_builder() {
            true => self.no_server(server, ""),
            false => away(error),
        })?;
        let status = sent.status();
        if status.is_server_error() {
            let what = format!("\"{server}\" with the token server of {whose} answers {}", status.as_u16());
            return Err(Error::unavailable(what));
        }
        if !status.is_success() {
            return Err(self.no_server(server, &format!(" ({})", status.as_u16())));
        }
        let bytes = sent.bytes().await.map_err(away)?;
        let configuration = serde_json::from_slice::<IssuerConfiguration>(&bytes);
        let found = configuration.map_err(|_| self.no_server(server, ", for it names no token_endpoint"))?;
        // The secret would be seen on the way.
        if server.starts_with("https://") && !found.token_endpoint.starts_with("https://") {
            return Err(self.no_server(server, ", for the token_endpoint that it names is not https"));
        }
        Ok(found.token_endpoint)
    }

    fn no_server(&self, server: &str, why: &str) -> Error {
        let key = self.key;
        Error::invalid(format!("\"{server}\" is no token server{why}: set oauth2_uri of {key} in riverrun.toml"))
    }
}
