//! Requests to a REST catalog. What only reads is tried again; what changes something is sent once.

use crate::settings::RestSettings;
use access::{ClientCredentials, Tokens, told, without};
use dataflow::{Error, ErrorKind, Result};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;

/// How often what only reads is tried while the catalog does not answer.
const READ_ATTEMPTS: u32 = 5;
const READ_PAUSE: Duration = Duration::from_millis(100);
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// How a catalog names the endpoint that gives a table another name.
const RENAME: &str = "/tables/rename";

/// The scope of tokens, unless the settings say another.
const SCOPE: &str = "catalog";

/// What a request came to that was not done.
pub enum RequestFailure {
    /// The catalog has refused it, and has done nothing.
    Refused(Refusal),
    /// Nobody knows whether it was done.
    Unknown(Error),
    /// It could not be made.
    NotSent(Error),
}

/// What a catalog says when it refuses.
#[derive(Debug)]
pub struct Refusal {
    pub status: u16,
    /// The name of the error, such as `NoSuchTableException`.
    pub kind: String,
    pub message: String,
}

/// What a catalog says of itself.
pub struct ServerConfig {
    /// Its properties, those that it insists on last.
    pub properties: HashMap<String, String>,
    /// Whether it gives tables other names, as far as it tells.
    pub can_rename: bool,
    prefix: Option<String>,
}

/// A REST catalog.
pub struct RestClient {
    settings: RestSettings,
    base: Url,
    http: reqwest::Client,
    tokens: Tokens,
    config: OnceCell<ServerConfig>,
    // What no message may show.
    secrets: Mutex<Vec<String>>,
}

impl fmt::Debug for RestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestClient").field("uri", &self.settings.uri).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct ErrorAnswer {
    error: ErrorBody,
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    message: String,
    #[serde(default, rename = "type")]
    kind: String,
}

impl RestClient {
    /// A client of a catalog. Nothing is sent yet.
    pub fn new(mut settings: RestSettings) -> Result<RestClient> {
        settings.uri = settings.uri.trim_end_matches('/').trim_end_matches("/v1").to_owned();
        let wrong = |what: &str| {
            let what = format!("the address of the catalog {what}, expected https://HOST[:PORT][/PATH]");
            Error::invalid(what)
        };
        let base = Url::parse(&settings.uri).map_err(|error| wrong(&format!("cannot be read ({error})")))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(wrong("is not one of the web"));
        }
        if base.password().is_some() || !base.username().is_empty() {
            return Err(wrong("has a user in it, which goes into token or credential"));
        }
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIME_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("riverrun/", env!("CARGO_PKG_VERSION")));
        if let Some(ca) = &settings.ca {
            let wrong = || Error::invalid(format!("the certificates of {} cannot be used", ca.display()));
            let pem = std::fs::read(ca).map_err(|error| wrong().with_source(error))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem);
            for certificate in certificates.map_err(|error| wrong().with_source(error.to_string()))? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let http = builder.build();
        let http =
            http.map_err(|error| Error::invalid("no client of a catalog can be made").with_source(told(&error, &[])))?;
        let (tokens, config, secrets) = (Tokens::default(), OnceCell::new(), Mutex::default());
        Ok(RestClient { settings, base, http, tokens, config, secrets })
    }

    /// How the catalog is reached.
    pub fn settings(&self) -> &RestSettings {
        &self.settings
    }

    /// What the catalog says of itself, asked for once.
    pub async fn config(&self) -> std::result::Result<&ServerConfig, RequestFailure> {
        let ask = || async {
            let mut url = self.url(["v1", "config"]);
            if let Some(warehouse) = &self.settings.warehouse {
                url.query_pairs_mut().append_pair("warehouse", warehouse);
            }
            let answer = self.read(url).await?;
            let of = |part: &str| {
                let entries = answer[part].as_object().into_iter().flatten();
                entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect::<Vec<_>>()
            };
            let mut properties: HashMap<String, String> = of("defaults").into_iter().collect();
            properties.extend(of("overrides"));
            let prefix = properties.get("prefix").cloned();
            // One that tells nothing of what it can do is asked for it.
            let endpoints = answer["endpoints"].as_array();
            let is_rename = |endpoint: &Value| endpoint.as_str().is_some_and(|endpoint| endpoint.ends_with(RENAME));
            let can_rename = endpoints.is_none_or(|endpoints| endpoints.iter().any(is_rename));
            Ok(ServerConfig { properties, can_rename, prefix })
        };
        self.config.get_or_try_init(ask).await
    }

    /// Reads what lies at a path below the prefix of the catalog; tried again while the catalog does not answer.
    pub async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> std::result::Result<Value, RequestFailure> {
        let mut url = self.placed(path).await?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.read(url).await
    }

    /// Changes something, once: whether it was done when nothing comes back, only what is there can tell.
    pub async fn post(&self, path: &[&str], body: &Value) -> std::result::Result<Value, RequestFailure> {
        let url = self.placed(path).await?;
        self.send(Method::POST, url, Some(body)).await
    }

    /// Deletes something, once.
    pub async fn delete(&self, path: &[&str], query: &[(&str, &str)]) -> std::result::Result<Value, RequestFailure> {
        let mut url = self.placed(path).await?;
        url.query_pairs_mut().extend_pairs(query);
        self.send(Method::DELETE, url, None).await
    }

    async fn placed(&self, path: &[&str]) -> std::result::Result<Url, RequestFailure> {
        let prefix = self.config().await?.prefix.as_deref();
        let prefix = prefix.into_iter().flat_map(|prefix| prefix.split('/'));
        Ok(self.url(["v1"].into_iter().chain(prefix).chain(path.iter().copied())))
    }

    fn url<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    async fn read(&self, url: Url) -> std::result::Result<Value, RequestFailure> {
        let mut attempt = 0;
        loop {
            match self.send(Method::GET, url.clone(), None).await {
                Err(RequestFailure::Unknown(_)) if attempt + 1 < READ_ATTEMPTS => {
                    tokio::time::sleep(READ_PAUSE * (1 << attempt)).await;
                    attempt += 1;
                }
                answer => return answer,
            }
        }
    }

    /// Sends a request once; once more with a new token where the catalog has refused the old one.
    async fn send(&self, method: Method, url: Url, body: Option<&Value>) -> std::result::Result<Value, RequestFailure> {
        let mut refused = None;
        loop {
            let token = self.token(refused.as_deref()).await;
            let token = token.map_err(RequestFailure::NotSent)?;
            let answer = self.send_with(method.clone(), url.clone(), body, token.as_deref()).await;
            match answer {
                Err(RequestFailure::Refused(refusal))
                    if matches!(refusal.status, 401 | 419)
                        && refused.is_none()
                        && self.settings.credential.is_some() =>
                {
                    refused = Some(token.unwrap_or_default());
                }
                answer => return answer,
            }
        }
    }

    /// The token of the next request, if requests carry one. `refused` is one that the catalog takes no more.
    async fn token(&self, refused: Option<&str>) -> Result<Option<String>> {
        let settings = &self.settings;
        let Some(credential) = &settings.credential else {
            return settings.token.as_ref().map(|token| token.read_line("the token of the catalog")).transpose();
        };
        let own = || format!("{}/v1/oauth/tokens", settings.uri);
        let client = ClientCredentials {
            credential: credential.clone(),
            server: settings.oauth2_uri.clone().unwrap_or_else(own),
            scope: Some(settings.scope.clone().unwrap_or_else(|| SCOPE.to_owned())),
            audience: None,
            whose: "the catalog",
            key: "history",
        };
        self.tokens.now(&self.http, &client, settings.timeout, refused).await.map(Some)
    }

    async fn send_with(
        &self,
        method: Method,
        url: Url,
        body: Option<&Value>,
        token: Option<&str>,
    ) -> std::result::Result<Value, RequestFailure> {
        let mut request = self.http.request(method, url).timeout(self.settings.timeout);
        request = request.header("Accept", "application/json");
        // Keys of the settings are for stores that the catalog gives none for.
        if !self.settings.stores.has_keys() {
            request = request.header("X-Iceberg-Access-Delegation", "vended-credentials");
        }
        if let Some(token) = token {
            self.hide(token);
            request = request.bearer_auth(token);
        }
        for (name, value) in &self.settings.headers {
            let value =
                value.read_line(&format!("the header {name} of the catalog")).map_err(RequestFailure::NotSent)?;
            self.hide(&value);
            request = request.header(name, value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let unknown = |error: reqwest::Error| {
            let (uri, source) = (&self.settings.uri, self.shown(&told(&error, &[])));
            if error.is_builder() {
                let what = format!("no request to catalog \"{uri}\" can be made of the settings of history");
                return RequestFailure::NotSent(Error::invalid(what).with_source(source));
            }
            let why = if error.is_timeout() { "does not answer in time" } else { "does not answer" };
            RequestFailure::Unknown(Error::unavailable(format!("catalog \"{uri}\" {why}")).with_source(source))
        };
        let answer = request.send().await.map_err(unknown)?;
        let status = answer.status();
        let bytes = answer.bytes().await;
        if status.is_success() {
            let bytes = bytes.map_err(unknown)?;
            if bytes.is_empty() {
                return Ok(Value::Null);
            }
            return serde_json::from_slice(&bytes).map_err(|_| {
                let what = format!("catalog \"{}\" gives an answer that is cut or is no JSON", self.settings.uri);
                RequestFailure::Unknown(Error::unavailable(what))
            });
        }
        // The status alone says enough when the rest is cut.
        Err(self.refusal(status, &bytes.unwrap_or_default()))
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> RequestFailure {
        let (kind, message) = match serde_json::from_slice::<ErrorAnswer>(body) {
            Ok(answer) => (answer.error.kind, answer.error.message),
            // A page for browsers tells people nothing.
            Err(_) => (String::new(), String::new()),
        };
        // A stack of the server's language tells people nothing.
        let message = self.shown(message.lines().next().unwrap_or_default());
        let kind = self.shown(&kind);
        let refusal = Refusal { status: status.as_u16(), kind, message };
        let is_clear = status.is_client_error() && !matches!(refusal.status, 408 | 425 | 429);
        if is_clear {
            return RequestFailure::Refused(refusal);
        }
        let said = if refusal.message.is_empty() { String::new() } else { format!(": {}", refusal.message) };
        let what = format!("catalog \"{}\" answers {}{said}", self.settings.uri, refusal.status);
        RequestFailure::Unknown(Error::unavailable(what))
    }

    /// Has a text shown in no message.
    fn hide(&self, secret: &str) {
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        if !secrets.iter().any(|known| known == secret) {
            secrets.truncate(15);
            secrets.insert(0, secret.to_owned());
        }
    }

    fn shown(&self, text: &str) -> String {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        without(text, &secrets)
    }

    /// What a request that was not done means to a host.
    pub fn error_of(&self, failure: RequestFailure) -> Error {
        match failure {
            RequestFailure::Refused(refusal) => self.refused(&refusal),
            RequestFailure::Unknown(error) | RequestFailure::NotSent(error) => error,
        }
    }

    /// What a refusal means to a host.
    fn refused(&self, refusal: &Refusal) -> Error {
        let said = [refusal.kind.as_str(), refusal.message.as_str()];
        let said: Vec<&str> = said.into_iter().filter(|text| !text.is_empty()).collect();
        let said = format!("({}{}{})", refusal.status, if said.is_empty() { "" } else { " " }, said.join(": "));
        let uri = &self.settings.uri;
        let kind = if matches!(refusal.status, 401 | 403 | 419) { ErrorKind::Refused } else { ErrorKind::Invalid };
        let what = match refusal.status {
            401 | 419 => {
                let hint = match (&self.settings.token, &self.settings.credential) {
                    (None, None) => "it wants a token: set token or credential of history in riverrun.toml",
                    _ => "the token is wrong or has expired: look at token or credential of history in riverrun.toml",
                };
                format!("catalog \"{uri}\" does not let this client in; {hint} {said}")
            }
            403 => format!("catalog \"{uri}\" does not permit this client to do that {said}"),
            404 if refusal.kind.contains("Warehouse") => {
                format!(
                    "catalog \"{uri}\" knows no such warehouse; look at warehouse of history in riverrun.toml {said}"
                )
            }
            _ => format!("catalog \"{uri}\" refuses {said}"),
        };
        Error::new(kind, what)
    }
}
