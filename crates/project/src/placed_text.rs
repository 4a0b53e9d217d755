//! Texts of `riverrun.toml` that may lie elsewhere.

use access::Secret;
use dataflow::{Error, Result};
use serde::Deserialize;
use std::ops::Range;
use std::path::PathBuf;
use toml::Spanned;

/// What a secret is written as.
pub const SECRET_EXPECTED: &str = "\"env:NAME\" or \"file:PATH\"";

/// A text, or where it is found.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "toml::Value")]
pub struct PlacedText(pub Secret);

impl TryFrom<toml::Value> for PlacedText {
    type Error = Error;

    // No error shows the value, which may be a secret.
    fn try_from(value: toml::Value) -> Result<Self> {
        let expected = format!("expected a text, {SECRET_EXPECTED}");
        let toml::Value::String(text) = value else { return Err(Error::invalid(format!("it is no text, {expected}"))) };
        Secret::parse(&text).map(PlacedText).map_err(|error| Error::invalid(format!("{error}, {expected}")))
    }
}

impl PlacedText {
    /// The path of a file, which may not lie in the environment. `key` is the key of it.
    pub fn path(self, key: &str) -> Result<PathBuf> {
        match self.0 {
            Secret::Text(path) => Ok(path.into()),
            Secret::File(path) => Ok(path),
            Secret::Environment(_) => {
                Err(Error::invalid(format!("{key} is in the environment, expected \"file:PATH\"")))
            }
        }
    }
}

/// Where secrets stand that are written out, and what they are.
#[derive(Clone, Debug, Default)]
pub struct PlainSecrets(Vec<(Range<usize>, &'static str)>);

impl PlainSecrets {
    /// Takes note of a secret if it is written out.
    pub fn look(&mut self, secret: &Spanned<PlacedText>, what: &'static str) {
        if matches!(secret.get_ref().0, Secret::Text(_)) {
            self.0.push((secret.span(), what));
        }
    }

    /// Each with what it is.
    pub fn all(&self) -> &[(Range<usize>, &'static str)] {
        &self.0
    }
}

/// The secret itself.
pub fn inner(secret: Option<Spanned<PlacedText>>) -> Option<Secret> {
    secret.map(|secret| secret.into_inner().0)
}
