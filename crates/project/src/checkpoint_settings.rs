//! Where the checkpoints of an environment lie: the key `checkpoints` of `riverrun.toml`.

use crate::placed_text::{PlacedText, PlainSecrets};
use crate::store_keys::{AzureKeys, GcsKeys, S3Keys, StoreKeys};
use dataflow::{Error, Result};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

const EXPECTED: &str = "a folder such as \"./checkpoints\", a location in a store such as \"s3://BUCKET/FOLDER\", or a table \
                        such as { location = \"s3://BUCKET/FOLDER\", s3 = { region = \"eu-central-1\" } }";

/// Where checkpoints lie.
#[derive(Clone, Debug)]
pub struct CheckpointSettings {
    /// A folder or a store.
    pub place: CheckpointsIn,
    // Where secrets stand that are written out, and what they are.
    plain_secrets: PlainSecrets,
}

/// What holds checkpoints.
#[derive(Clone, Debug)]
pub enum CheckpointsIn {
    /// A folder, relative to the project.
    Folder(PathBuf),
    /// A folder in a store.
    Store(Box<CheckpointStoreKeys>),
}

/// A folder in a store, and how that is reached.
#[derive(Clone, Debug)]
pub struct CheckpointStoreKeys {
    /// `s3://BUCKET/FOLDER` and the like.
    pub location: String,
    /// Its own keys, with certificates that are trusted; those of `history` where it has none.
    pub own: Option<(StoreKeys, Option<PathBuf>)>,
}

impl CheckpointSettings {
    /// Where secrets stand that are written out, each with what it is.
    pub fn plain_secrets(&self) -> &[(Range<usize>, &'static str)] {
        self.plain_secrets.all()
    }

    fn of_text(text: String) -> CheckpointSettings {
        let place = match text.contains("://") {
            true => CheckpointsIn::Store(Box::new(CheckpointStoreKeys { location: text, own: None })),
            false => CheckpointsIn::Folder(text.into()),
        };
        CheckpointSettings { place, plain_secrets: PlainSecrets::default() }
    }
}

/// The keys as they can be written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckpointTable {
    location: String,
    s3: Option<S3Keys>,
    gcs: Option<GcsKeys>,
    azure: Option<AzureKeys>,
    ca: Option<PlacedText>,
}

impl CheckpointTable {
    fn settings(self) -> Result<CheckpointSettings> {
        let CheckpointTable { location, s3, gcs, azure, ca } = self;
        if !location.contains("://") {
            return Err(Error::invalid(format!("location \"{location}\" lies in no store, expected {EXPECTED}")));
        }
        let has_own = s3.is_some() || gcs.is_some() || azure.is_some() || ca.is_some();
        let stores =
            StoreKeys { s3: s3.unwrap_or_default(), gcs: gcs.unwrap_or_default(), azure: azure.unwrap_or_default() };
        stores.check()?;
        let mut plain_secrets = PlainSecrets::default();
        stores.look(&mut plain_secrets);
        let ca = ca.map(|ca| ca.path("ca")).transpose()?;
        let own = has_own.then_some((stores, ca));
        let place = CheckpointsIn::Store(Box::new(CheckpointStoreKeys { location, own }));
        Ok(CheckpointSettings { place, plain_secrets })
    }
}

impl<'de> Deserialize<'de> for CheckpointSettings {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        from.deserialize_any(TextOrTable)
    }
}

/// Reads either form, with the places of what is in a table.
struct TextOrTable;

impl<'de> Visitor<'de> for TextOrTable {
    type Value = CheckpointSettings;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<CheckpointSettings, E> {
        match text.trim() {
            "" => Err(E::custom(format!("checkpoints name nothing, expected {EXPECTED}"))),
            _ => Ok(CheckpointSettings::of_text(text.to_owned())),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<CheckpointSettings, A::Error> {
        let table = CheckpointTable::deserialize(MapAccessDeserializer::new(map))?;
        table.settings().map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Environment {
        checkpoints: CheckpointSettings,
    }

    fn read(checkpoints: &str) -> Result<CheckpointSettings, String> {
        let read = toml::from_str::<Environment>(&format!("checkpoints = {checkpoints}"));
        read.map(|environment| environment.checkpoints).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn checkpoints_lie_in_a_folder_or_in_a_store() {
        let folder = |text: &str| match read(text).unwrap().place {
            CheckpointsIn::Folder(folder) => folder,
            CheckpointsIn::Store(store) => panic!("{store:?}"),
        };
        let store = |text: &str| match read(text).unwrap().place {
            CheckpointsIn::Folder(folder) => panic!("{folder:?}"),
            CheckpointsIn::Store(store) => (store.location, store.own.is_some()),
        };
        assert_eq!(folder("\"./here\""), PathBuf::from("./here"));
        assert_eq!(store("\"s3://lake/c\""), ("s3://lake/c".to_owned(), false));
        assert_eq!(store("{ location = \"gs://lake/c\" }"), ("gs://lake/c".to_owned(), false));
        let own = "{ location = \"s3://lake/c\", s3 = { region = \"r\", access_key = \"k\", secret_key = \"env:S\" } }";
        assert_eq!(store(own), ("s3://lake/c".to_owned(), true));
        assert_eq!(read(own).unwrap().plain_secrets(), []);
        for (wrong, why) in [
            ("\"\"", "name nothing"),
            ("7", "expected a folder such as"),
            ("{ location = \"c\" }", "lies in no store"),
            ("{ s3 = {} }", "missing field `location`"),
            ("{ location = \"s3://a/b\", kept = 3 }", "unknown field `kept`"),
            ("{ location = \"s3://a/b\", s3 = { access_key = \"k\" } }", "expected both or none"),
        ] {
            let error = read(wrong).unwrap_err();
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }

    #[test]
    fn secrets_that_are_written_out_are_found_and_never_printed() {
        let text = "{ location = \"s3://lake/c\", s3 = { access_key = \"k\", secret_key = \"CANARY\" } }";
        let read = read(text).unwrap();
        assert_eq!(read.plain_secrets().iter().map(|(_, what)| *what).collect::<Vec<_>>(), ["the secret key of S3"]);
        let place = read.plain_secrets()[0].0.clone();
        assert_eq!(&format!("checkpoints = {text}")[place], "\"CANARY\"");
        assert!(!format!("{read:?}").contains("CANARY"), "{read:?}");
    }
}
