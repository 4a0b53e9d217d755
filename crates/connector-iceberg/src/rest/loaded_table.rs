//! A table as a REST catalog gives it, with the keys to its files.

use super::client::{RequestFailure, RestClient};
use crate::name::TableName;
use crate::object_files::Renewal;
use async_trait::async_trait;
use object_stores::StoreAccess;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// What stands between the parts of a namespace in a path.
pub const SEPARATOR: &str = "\u{1f}";

/// Asks the catalog for other keys of a table.
pub struct TableKeys {
    pub client: Arc<RestClient>,
    /// The name of the table, and the ones that it has once it has taken the place of another, or has given way to one.
    pub names: Vec<TableName>,
    /// What it is under any of them.
    pub uuid: Uuid,
}

/// A table as a catalog gives it.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LoadedTable {
    pub metadata_location: Option<String>,
    pub metadata: Value,
    #[serde(default)]
    config: HashMap<String, String>,
    #[serde(default)]
    storage_credentials: Vec<StorageCredential>,
}

#[derive(Deserialize)]
struct StorageCredential {
    prefix: String,
    #[serde(default)]
    config: HashMap<String, String>,
}

impl LoadedTable {
    /// Reads the answer of a catalog.
    pub fn of(client: &RestClient, name: &TableName, answer: Value) -> dataflow::Result<LoadedTable> {
        let place = &client.settings().uri;
        // What the answer holds instead is not told: it may be a key.
        serde_json::from_value(answer).map_err(|_| {
            dataflow::Error::corrupt(format!(
                "catalog \"{place}\" describes table \"{name}\" wrongly, expected its metadata"
            ))
        })
    }

    /// What tells the table from every other, whatever its name.
    pub fn uuid(&self) -> Option<Uuid> {
        self.metadata["table-uuid"].as_str().and_then(|uuid| Uuid::try_parse(uuid).ok())
    }

    /// What opens the files of the table: what the settings say, and what the catalog says of all tables, of this one, and
    /// of the places that its files lie in.
    pub async fn access(&self, client: &RestClient) -> dataflow::Result<StoreAccess> {
        let location = self.metadata["location"].as_str().unwrap_or_default();
        let of_prefix = self.storage_credentials.iter().filter(|one| location.starts_with(&one.prefix));
        let vended = of_prefix.max_by_key(|one| one.prefix.len()).map(|one| one.config.clone()).unwrap_or_default();
        let config = client.config().await.map_err(|failure| client.error_of(failure))?;
        let properties: HashMap<_, _> =
            config.properties.clone().into_iter().chain(self.config.clone()).chain(vended).collect();
        let settings = client.settings();
        StoreAccess::new(&settings.stores, settings.ca.as_deref(), properties)
    }
}

#[async_trait]
impl Renewal for TableKeys {
    async fn renewed(&self) -> dataflow::Result<StoreAccess> {
        let mut names = self.names.iter().peekable();
        while let Some(name) = names.next() {
            let namespace = in_path(name);
            match self.client.get(&["namespaces", namespace.as_str(), "tables", name.name.as_str()], &[]).await {
                Err(RequestFailure::Refused(refusal)) if refusal.status == 404 && names.peek().is_some() => {}
                Err(failure) => return Err(self.client.error_of(failure)),
                Ok(answer) => {
                    let loaded = LoadedTable::of(&self.client, name, answer)?;
                    // Keys of the table that has its name by now may not open its files.
                    if loaded.uuid().is_none_or(|uuid| uuid == self.uuid) || names.peek().is_none() {
                        return loaded.access(&self.client).await;
                    }
                }
            }
        }
        Err(dataflow::Error::internal("keys of a table without a name"))
    }
}

/// The namespace of a table as it stands in a path.
pub fn in_path(name: &TableName) -> String {
    name.namespace.split('.').collect::<Vec<_>>().join(SEPARATOR)
}
