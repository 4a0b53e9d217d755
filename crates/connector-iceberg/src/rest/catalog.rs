//! A REST catalog as the iceberg library wants it.

use super::client::{RequestFailure, RestClient};
use super::held_name::{is_hidden, new_name, of_new, old_name};
use super::loaded_table::{LoadedTable, SEPARATOR, TableKeys, in_path};
use crate::failure;
use crate::name::TableName;
use crate::object_files::{ObjectFiles, ObjectFilesFactory, Renewal};
use crate::pinned_base::PinnedBase;
use crate::settings::RestSettings;
use crate::store::Swap;
use crate::unknown_types::{check_changeable, make_known};
use crate::update_time::put_in_order;
use crate::upkeep;
use async_trait::async_trait;
use iceberg::io::FileIOBuilder;
use iceberg::spec::{MAIN_BRANCH, SnapshotReference, SnapshotRetention, TableMetadata};
use iceberg::table::Table;
use iceberg::{
    Catalog, Error, ErrorKind, Namespace, NamespaceIdent, Result, Runtime, TableCommit, TableCreation, TableIdent,
    TableRequirement, TableUpdate,
};
use object_stores::StoreAccess;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

/// The greatest version of the table format that is read.
const FORMAT_MAX: u64 = 3;
/// How many namespaces are looked through for tables.
const NAMESPACES_MAX: usize = 1000;
/// So many ways of opening buckets are kept, with their connections.
const ACCESSES_KEPT: usize = 16;

/// Tables of a REST catalog. Cloning gives another view of the same catalog.
#[derive(Clone, Debug)]
pub struct RestCatalog {
    client: Arc<RestClient>,
    files: Arc<Mutex<Vec<OpenedFiles>>>,
    runtime: Runtime,
    base: Option<PinnedBase>,
    // Whether its tables are those that are to take the place of the ones of their names.
    is_staged: bool,
}

/// Files that are opened the same way.
#[derive(Debug)]
struct OpenedFiles {
    // The table for which the catalog gives keys, and what tells it from others of its name; others are opened as all are.
    of: Option<(TableName, Uuid)>,
    files: ObjectFiles,
}

impl RestCatalog {
    /// A catalog. Nothing is sent yet.
    pub fn new(settings: RestSettings, runtime: Runtime) -> dataflow::Result<RestCatalog> {
        let client = Arc::new(RestClient::new(settings)?);
        Ok(RestCatalog { client, files: Arc::default(), runtime, base: None, is_staged: false })
    }

    /// A view for one commit: it swaps this base, and no other that it loads in between.
    /// `seen` is what the library sees of it, if that is something else.
    pub fn pinned(&self, base: &Table, seen: Option<TableMetadata>) -> Result<RestCatalog> {
        let seen = match seen {
            Some(seen) => self.changed(base, seen, base.metadata_location_result()?.to_owned())?,
            None => base.clone(),
        };
        Ok(RestCatalog { base: Some(PinnedBase::new(base, seen)), ..self.clone() })
    }

    /// A view of the tables that are to take the place of the ones of their names. The catalog has them under other names.
    pub fn staged(&self) -> RestCatalog {
        RestCatalog { is_staged: true, ..self.clone() }
    }

    /// The name by which the catalog knows a table.
    fn held(&self, name: &TableName) -> TableName {
        if self.is_staged { new_name(name) } else { name.clone() }
    }

    /// Whether the catalog gives tables other names, as far as it tells.
    pub async fn can_rename(&self) -> Result<bool> {
        let config = self.client.config().await.map_err(|failure| self.failed(failure))?;
        Ok(config.can_rename)
    }

    /// Gives a table another name, once; names are those that the catalog knows. Refused when there is no table of the one
    /// or a table of the other. Whether it was done when nothing comes back, only what is there can tell.
    pub async fn rename(&self, from: &TableName, to: &TableName) -> Result<()> {
        let ident = |name: &TableName| json!({ "namespace": name.ident().namespace, "name": name.name });
        let body = json!({ "source": ident(from), "destination": ident(to) });
        match self.client.post(&["tables", "rename"], &body).await {
            Ok(_) => Ok(()),
            // What is there is looked at, since it may have been done by the request before.
            Err(RequestFailure::Refused(refusal)) if matches!(refusal.status, 404 | 409) => {
                Err(Error::new(ErrorKind::CatalogCommitConflicts, refusal.message))
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Drops a table, if it is there, with its files or without them; the name is the one that the catalog knows.
    pub async fn drop_with_files(&self, name: &TableName, purges: bool) -> Result<()> {
        let namespace = in_path(name);
        let path = ["namespaces", namespace.as_str(), "tables", name.name.as_str()];
        match self.client.delete(&path, &[("purgeRequested", if purges { "true" } else { "false" })]).await {
            Err(RequestFailure::Refused(refusal)) if refusal.status == 404 => Ok(()),
            done => done.map(drop).map_err(|failure| self.failed(failure)),
        }
    }

    /// Where it is, for messages to people.
    pub fn place(&self) -> &str {
        &self.client.settings().uri
    }

    fn failed(&self, failure: RequestFailure) -> Error {
        match failure {
            RequestFailure::Refused(refusal) if refusal.status == 409 => {
                Error::new(ErrorKind::CatalogCommitConflicts, refusal.message)
            }
            other => failure::for_iceberg(self.client.error_of(other)),
        }
    }

    /// The table of a name, if there is one. A view is refused.
    pub async fn find(&self, name: &TableName) -> Result<Option<Table>> {
        Ok(self.find_with_files(name).await?.map(|(table, _)| table))
    }

    /// The same with the stores in which its files lie.
    pub async fn find_with_files(&self, name: &TableName) -> Result<Option<(Table, ObjectFiles)>> {
        let held = self.held(name);
        let namespace = in_path(&held);
        let path = ["namespaces", namespace.as_str(), "tables", held.name.as_str()];
        match self.client.get(&path, &[]).await {
            Ok(answer) => self.table(name, answer).await.map(Some),
            Err(RequestFailure::Refused(refusal)) if refusal.status == 404 && !refusal.kind.contains("Warehouse") => {
                let view = ["namespaces", namespace.as_str(), "views", held.name.as_str()];
                match self.client.get(&view, &[]).await {
                    Ok(_) => Err(failure::for_iceberg(dataflow::Error::invalid(format!(
                        "\"{name}\" is a view of the catalog, and views are not read; name a table"
                    )))),
                    Err(_) => Ok(None),
                }
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn table(&self, name: &TableName, answer: Value) -> Result<(Table, ObjectFiles)> {
        let loaded = LoadedTable::of(&self.client, name, answer).map_err(failure::for_iceberg)?;
        let access = loaded.access(&self.client).await.map_err(failure::for_iceberg)?;
        let metadata = metadata(name, loaded.metadata)?;
        let files = self.files((name, metadata.uuid()), access);
        let mut table = Table::builder()
            .identifier(name.ident())
            .metadata(metadata)
            .file_io(FileIOBuilder::new(Arc::new(ObjectFilesFactory(files.clone()))).build())
            .runtime(self.runtime.clone());
        if let Some(location) = loaded.metadata_location {
            table = table.metadata_location(location);
        }
        Ok((table.build()?, files))
    }

    /// The stores of a table. Keys that the catalog gives are of the table alone, and those who hold its files already have
    /// the new ones from here on; with those of the settings, connections serve all tables.
    fn files(&self, (name, uuid): (&TableName, Uuid), access: StoreAccess) -> ObjectFiles {
        let mut kept = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let of = access.is_vended().then(|| (self.held(name), uuid));
        let is_same = |opened: &&OpenedFiles| match &of {
            Some(table) => opened.of.as_ref() == Some(table),
            None => opened.of.is_none() && opened.files.access().as_ref() == Some(&access),
        };
        match kept.iter().find(is_same) {
            Some(opened) => {
                if opened.files.access().as_ref() != Some(&access) {
                    opened.files.renew(access);
                }
                opened.files.clone()
            }
            None => {
                let keys = of.as_ref().map(|(table, uuid)| -> Arc<dyn Renewal> {
                    let mut names = vec![table.clone(), name.clone()];
                    names.dedup();
                    names.push(old_name(name, *uuid));
                    Arc::new(TableKeys { client: self.client.clone(), names, uuid: *uuid })
                });
                let files = ObjectFiles::new(access, keys);
                kept.truncate(ACCESSES_KEPT - 1);
                kept.insert(0, OpenedFiles { of, files: files.clone() });
                files
            }
        }
    }

    /// The names of all tables, sorted.
    pub async fn tables(&self) -> Result<Vec<TableName>> {
        let (mut tables, mut to_visit) = (Vec::new(), self.namespaces_below(&[]).await?);
        let mut visited = 0;
        while let Some(namespace) = to_visit.pop() {
            visited += 1;
            if visited > NAMESPACES_MAX {
                break;
            }
            let in_path = namespace.join(SEPARATOR);
            let listed = self.listed(&["namespaces", in_path.as_str(), "tables"], &[], "identifiers").await?;
            tables.extend(listed.iter().filter_map(|ident| {
                let name = ident["name"].as_str()?;
                let name = if self.is_staged { of_new(name)? } else { Some(name).filter(|name| !is_hidden(name))? };
                Some(TableName { namespace: namespace.join("."), name: name.to_owned() })
            }));
            to_visit.extend(self.namespaces_below(&namespace).await?);
        }
        tables.sort_unstable_by_key(ToString::to_string);
        Ok(tables)
    }

    async fn namespaces_below(&self, parent: &[String]) -> Result<Vec<Vec<String>>> {
        let in_path = parent.join(SEPARATOR);
        let query = [("parent", in_path.as_str())];
        let query = if parent.is_empty() { &query[..0] } else { &query[..] };
        let listed = self.listed(&["namespaces"], query, "namespaces").await?;
        let names = listed.iter().filter_map(Value::as_array);
        let names = names.map(|parts| parts.iter().filter_map(|part| Some(part.as_str()?.to_owned())).collect());
        Ok(names.filter(|name: &Vec<String>| name.len() == parent.len() + 1).collect())
    }

    /// All pages of a list.
    async fn listed(&self, path: &[&str], query: &[(&str, &str)], key: &str) -> Result<Vec<Value>> {
        let (mut all, mut page) = (Vec::new(), None::<String>);
        loop {
            let mut query = query.to_vec();
            if let Some(page) = &page {
                query.push(("pageToken", page.as_str()));
            }
            let mut answer = self.client.get(path, &query).await.map_err(|failure| self.failed(failure))?;
            all.extend(answer.get_mut(key).and_then(Value::as_array_mut).map(std::mem::take).into_iter().flatten());
            page = answer["next-page-token"].as_str().filter(|token| !token.is_empty()).map(str::to_owned);
            if page.is_none() {
                return Ok(all);
            }
        }
    }

    /// Makes the namespaces of a table that are not there.
    async fn make_namespaces(&self, namespace: &NamespaceIdent) -> Result<()> {
        for depth in 1..=namespace.len() {
            let parts = &namespace[..depth];
            match self.client.get(&["namespaces", parts.join(SEPARATOR).as_str()], &[]).await {
                Ok(_) => continue,
                Err(RequestFailure::Refused(refusal)) if refusal.status == 404 => {}
                Err(error) => return Err(self.failed(error)),
            }
            match self.client.post(&["namespaces"], &json!({ "namespace": parts, "properties": {} })).await {
                Ok(_) => {}
                // Somebody else has made it meanwhile.
                Err(RequestFailure::Refused(refusal)) if refusal.status == 409 => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(())
    }

    /// Sets a tag on a snapshot, or removes it.
    pub async fn set_tag(&self, base: &Table, tag: &str, snapshot: Option<i64>) -> Result<Swap> {
        let update = match snapshot {
            Some(snapshot) => {
                let retention = SnapshotRetention::Tag { max_ref_age_ms: None };
                let reference = SnapshotReference::new(snapshot, retention);
                TableUpdate::SetSnapshotRef { ref_name: tag.to_owned(), reference }
            }
            None => TableUpdate::RemoveSnapshotRef { ref_name: tag.to_owned() },
        };
        let mut requirements = pins(base);
        let snapshot_id = base.metadata().snapshot_for_ref(tag).map(|snapshot| snapshot.snapshot_id());
        requirements.push(TableRequirement::RefSnapshotIdMatch { r#ref: tag.to_owned(), snapshot_id });
        match self.commit(base, requirements, vec![update]).await {
            Ok(_) => Ok(Swap::Done),
            Err(error) if error.kind() == ErrorKind::CatalogCommitConflicts => Ok(Swap::Conflict),
            Err(error) => Err(error),
        }
    }

    /// Changes a base; refused when the table has another snapshot by now. A snapshot among the changes takes the upkeep of
    /// a commit with it.
    pub async fn change(&self, base: &Table, updates: Vec<TableUpdate>) -> Result<Table> {
        self.change_if(base, pins(base), updates).await
    }

    async fn change_if(
        &self,
        base: &Table,
        requirements: Vec<TableRequirement>,
        updates: Vec<TableUpdate>,
    ) -> Result<Table> {
        check_changeable(&TableName::of(base.identifier()), base.metadata())?;
        let mut updates = upkeep::merge_manifests(base, updates).await?;
        if updates.iter().any(|update| matches!(update, TableUpdate::AddSnapshot { .. })) {
            let expired = upkeep::expired(base.metadata())?;
            updates.extend(upkeep::statistics_of_gone(base.metadata(), &expired));
            if !expired.is_empty() {
                updates.push(TableUpdate::RemoveSnapshots { snapshot_ids: expired });
            }
        }
        self.commit(base, requirements, updates).await
    }

    /// Sends a change of a base, once.
    async fn commit(&self, base: &Table, needs: Vec<TableRequirement>, updates: Vec<TableUpdate>) -> Result<Table> {
        let name = TableName::of(base.identifier());
        let held = self.held(&name);
        let body = json!({
            "identifier": { "namespace": base.identifier().namespace, "name": held.name },
            "requirements": needs,
            "updates": updates,
        });
        let namespace = in_path(&name);
        let answer = self.client.post(&["namespaces", namespace.as_str(), "tables", held.name.as_str()], &body).await;
        let answer = answer.map_err(|failure| self.failed(failure))?;
        // The commit has happened: that its answer cannot be read must not say otherwise.
        let next = metadata(&name, answer["metadata"].clone());
        let location = answer["metadata-location"].as_str();
        let (Ok(next), Some(location)) = (next, location) else { return Ok(base.clone()) };
        self.changed(base, next, location.to_owned())
    }

    /// A table with other metadata.
    fn changed(&self, base: &Table, next: TableMetadata, location: String) -> Result<Table> {
        Table::builder()
            .identifier(base.identifier().clone())
            .metadata(next)
            .metadata_location(location)
            .file_io(base.file_io().clone())
            .runtime(self.runtime.clone())
            .build()
    }
}

/// What makes a catalog refuse a change of another state than this one.
///
/// A change of the owner of a table adds a snapshot, so that nothing that was seen on the base is another by the time of
/// the swap; nor are its columns, which files that are added have to fit.
fn pins(base: &Table) -> Vec<TableRequirement> {
    let snapshot_id = base.metadata().current_snapshot_id();
    vec![
        TableRequirement::CurrentSchemaIdMatch { current_schema_id: base.metadata().current_schema_id() },
        TableRequirement::UuidMatch { uuid: base.metadata().uuid() },
        TableRequirement::RefSnapshotIdMatch { r#ref: MAIN_BRANCH.to_owned(), snapshot_id },
    ]
}

fn metadata(name: &TableName, mut metadata: Value) -> Result<TableMetadata> {
    if let Some(version) = metadata["format-version"].as_u64().filter(|&version| version > FORMAT_MAX) {
        return Err(failure::for_iceberg(dataflow::Error::invalid(format!(
            "table \"{name}\" has version {version} of the table format, and versions up to {FORMAT_MAX} are read"
        ))));
    }
    make_known(&mut metadata);
    put_in_order(&mut metadata);
    serde_json::from_value(metadata).map_err(|error| {
        let what = format!("the metadata of table \"{name}\" cannot be read: {error}");
        failure::for_iceberg(dataflow::Error::corrupt(what))
    })
}

fn refused(what: &str) -> Error {
    Error::new(ErrorKind::FeatureUnsupported, format!("riverrun does not {what}"))
}

#[async_trait]
impl Catalog for RestCatalog {
    async fn list_namespaces(&self, parent: Option<&NamespaceIdent>) -> Result<Vec<NamespaceIdent>> {
        let parent: &[String] = parent.map_or(&[], |parent| parent);
        self.namespaces_below(parent).await?.into_iter().map(NamespaceIdent::from_vec).collect()
    }

    async fn create_namespace(&self, name: &NamespaceIdent, _: HashMap<String, String>) -> Result<Namespace> {
        self.make_namespaces(name).await?;
        Ok(Namespace::new(name.clone()))
    }

    async fn get_namespace(&self, name: &NamespaceIdent) -> Result<Namespace> {
        match self.namespace_exists(name).await? {
            true => Ok(Namespace::new(name.clone())),
            false => Err(Error::new(ErrorKind::NamespaceNotFound, format!("there is no namespace \"{name}\""))),
        }
    }

    async fn namespace_exists(&self, name: &NamespaceIdent) -> Result<bool> {
        match self.client.get(&["namespaces", name.join(SEPARATOR).as_str()], &[]).await {
            Ok(_) => Ok(true),
            Err(RequestFailure::Refused(refusal)) if refusal.status == 404 => Ok(false),
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn update_namespace(&self, _: &NamespaceIdent, _: HashMap<String, String>) -> Result<()> {
        Err(refused("change the properties of a namespace"))
    }

    async fn drop_namespace(&self, _: &NamespaceIdent) -> Result<()> {
        Err(refused("drop a namespace"))
    }

    async fn list_tables(&self, namespace: &NamespaceIdent) -> Result<Vec<TableIdent>> {
        let namespace = namespace.join(".");
        let tables = self.tables().await?.into_iter().filter(|name| name.namespace == namespace);
        Ok(tables.map(|name| name.ident()).collect())
    }

    async fn create_table(&self, namespace: &NamespaceIdent, creation: TableCreation) -> Result<Table> {
        self.make_namespaces(namespace).await?;
        let name = TableName { namespace: namespace.join("."), name: creation.name };
        let mut body = json!({
            "name": self.held(&name).name,
            "schema": creation.schema,
            "stage-create": false,
            "properties": creation.properties,
        });
        // A catalog that is not told where a table lies puts it where it keeps its tables.
        let parts = [
            ("location", creation.location.map(Value::from)),
            // Catalogs want a number, and give the one that the table gets.
            ("partition-spec", creation.partition_spec.map(|spec| json!({ "spec-id": 0, "fields": spec.fields() }))),
            ("write-order", creation.sort_order.map(|order| json!(order))),
        ];
        for (key, value) in parts {
            if let Some(value) = value {
                body[key] = value;
            }
        }
        let there = || Error::new(ErrorKind::TableAlreadyExists, format!("there is a table \"{name}\" already"));
        match self.client.post(&["namespaces", in_path(&name).as_str(), "tables"], &body).await {
            Ok(answer) => Ok(self.table(&name, answer).await?.0),
            Err(RequestFailure::Refused(refusal)) if refusal.status == 409 => Err(there()),
            // Only the catalog can say what has come of it: one that is there may be this one or another's.
            Err(RequestFailure::Unknown(error)) => match self.find(&name).await {
                Ok(Some(_)) => Err(there()),
                _ => Err(failure::for_iceberg(error)),
            },
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn load_table(&self, table: &TableIdent) -> Result<Table> {
        if let Some(base) = self.base.as_ref().filter(|base| base.seen.identifier() == table) {
            return Ok(base.seen.clone());
        }
        let name = TableName::of(table);
        self.find(&name).await?.ok_or_else(|| {
            Error::new(
                ErrorKind::TableNotFound,
                format!("there is no table \"{name}\" in catalog \"{}\"", self.place()),
            )
        })
    }

    async fn drop_table(&self, _: &TableIdent) -> Result<()> {
        Err(refused("drop a table of a REST catalog"))
    }

    async fn purge_table(&self, _: &TableIdent) -> Result<()> {
        Err(refused("purge a table"))
    }

    async fn table_exists(&self, table: &TableIdent) -> Result<bool> {
        Ok(self.find(&TableName::of(table)).await?.is_some())
    }

    async fn rename_table(&self, _: &TableIdent, _: &TableIdent) -> Result<()> {
        Err(refused("rename a table"))
    }

    async fn register_table(&self, _: &TableIdent, _: String) -> Result<Table> {
        Err(refused("register a table"))
    }

    async fn update_table(&self, mut commit: TableCommit) -> Result<Table> {
        let base = match self.base.as_ref().filter(|base| base.swapped.identifier() == commit.identifier()) {
            Some(base) => {
                base.check_age()?;
                base.swapped.clone()
            }
            None => self.load_table(commit.identifier()).await?,
        };
        let mut requirements = commit.take_requirements();
        for pin in pins(&base) {
            if !requirements.contains(&pin) {
                requirements.push(pin);
            }
        }
        self.change_if(&base, requirements, commit.take_updates()).await
    }
}
