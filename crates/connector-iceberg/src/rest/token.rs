//! The token of a REST catalog: the one of the settings, or one that its token server gives to a client.

use super::told::told;
use crate::settings::RestSettings;
use dataflow::{Error, ErrorKind, Result};
use serde::Deserialize;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The scope of tokens, unless the settings say another.
const SCOPE: &str = "catalog";
/// How long a token is taken for good of which the server does not say it.
const LIFE_DEFAULT: Duration = Duration::from_secs(3600);

/// The token that requests carry now.
#[derive(Default)]
pub struct Tokens(Mutex<Option<GivenToken>>);

struct GivenToken {
    text: String,
    // A new one is asked for before it ends.
    until: Instant,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: Option<u64>,
}

impl Tokens {
    /// The token of the next request, if requests carry one. `refused` is one that the catalog takes no more.
    pub async fn now(
        &self,
        http: &reqwest::Client,
        settings: &RestSettings,
        refused: Option<&str>,
    ) -> Result<Option<String>> {
        let Some(credential) = &settings.credential else {
            return settings.token.as_ref().map(|token| token.read("the token of the catalog")).transpose();
        };
        let credential = credential.read("the credential of the catalog")?;
        let mut held = self.0.lock().await;
        let good = |given: &&GivenToken| Some(given.text.as_str()) != refused && Instant::now() < given.until;
        if let Some(given) = held.as_ref().filter(good) {
            return Ok(Some(given.text.clone()));
        }
        let answer = ask(http, settings, &credential).await?;
        let life = answer.expires_in.map_or(LIFE_DEFAULT, Duration::from_secs);
        let given = GivenToken { text: answer.access_token, until: Instant::now() + life.mul_f64(0.8) };
        Ok(Some(held.insert(given).text.clone()))
    }
}

async fn ask(http: &reqwest::Client, settings: &RestSettings, credential: &str) -> Result<TokenAnswer> {
    let own = format!("{}/v1/oauth/tokens", settings.uri);
    let server = settings.oauth2_uri.as_deref().unwrap_or(&own);
    let (id, secret) = credential.split_once(':').unwrap_or(("", credential));
    let mut form = vec![("grant_type", "client_credentials"), ("client_secret", secret)];
    form.extend(Some(("client_id", id)).filter(|_| !id.is_empty()));
    form.push(("scope", settings.scope.as_deref().unwrap_or(SCOPE)));
    let away = |error: reqwest::Error| {
        let why = told(&error, &[secret]);
        Error::unavailable(format!("the token server \"{server}\" of the catalog does not answer")).with_source(why)
    };
    let sent = http.post(server).form(&form).timeout(settings.timeout).send().await.map_err(away)?;
    let status = sent.status();
    if status.is_success() {
        let bytes = sent.bytes().await.map_err(away)?;
        return serde_json::from_slice(&bytes).map_err(|_| {
            Error::unavailable(format!("the token server \"{server}\" of the catalog gives no token that can be read"))
        });
    }
    // What the server says is not told: it may repeat what was sent.
    Err(match status.as_u16() {
        400 | 401 | 403 => Error::new(
            ErrorKind::Refused,
            format!(
                "the token server \"{server}\" refuses the client ({}): look at credential (ID:SECRET) and scope of \
                 history in riverrun.toml",
                status.as_u16()
            ),
        ),
        404 | 405 => Error::invalid(format!(
            "\"{server}\" is no token server ({}): set oauth2_uri of history in riverrun.toml",
            status.as_u16()
        )),
        code => Error::unavailable(format!("the token server \"{server}\" of the catalog answers {code}")),
    })
}
