//! The catalog as the iceberg library wants it: [`Store`] and the metadata files it points to.

use crate::failure;
use crate::name::TableName;
use crate::object_files::is_local;
use crate::partition_names::{has_other_names, write_metadata};
use crate::pinned_base::{PinnedBase, check_age_on_disk};
use crate::storage::path_of;
use crate::store::{Store, Swap};
use crate::unknown_types::{check_changeable, make_known};
use crate::update_time::{in_order, put_in_order};
use crate::upkeep::{self, DELETE_OLD_METADATA};
use async_trait::async_trait;
use iceberg::io::FileIO;
use iceberg::spec::{SnapshotReference, SnapshotRetention, TableMetadata, TableMetadataBuilder};
use iceberg::table::Table;
use iceberg::{
    Catalog, Error, ErrorKind, MetadataLocation, Namespace, NamespaceIdent, Result, Runtime, TableCommit,
    TableCreation, TableIdent, TableUpdate,
};
use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

/// How files begin that are packed with gzip.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// Tables of a warehouse on disk. Cloning gives another view of the same catalog.
#[derive(Clone, Debug)]
pub struct SqliteCatalog {
    store: Arc<Store>,
    folder: PathBuf,
    file_io: FileIO,
    runtime: Runtime,
    base: Option<PinnedBase>,
}

impl SqliteCatalog {
    /// A catalog over an open file, for tables in folders of `folder`.
    pub fn new(store: Store, folder: PathBuf, file_io: FileIO, runtime: Runtime) -> SqliteCatalog {
        SqliteCatalog { store: Arc::new(store), folder, file_io, runtime, base: None }
    }

    /// A view for one commit: it swaps this base, and no other that it loads in between.
    ///
    /// The library loads the table at the start of every commit, and a catalog loads it again at its end; a commit
    /// that landed in between would go unseen by those who looked for something on the base.
    /// `seen` is what the library sees of it, if that is something else.
    pub fn pinned(&self, base: &Table, seen: Option<TableMetadata>) -> Result<SqliteCatalog> {
        let location = base.metadata_location_result()?.to_owned();
        let seen = seen.map(|seen| self.table(&TableName::of(base.identifier()), seen, location)).transpose()?;
        let base = PinnedBase::new(base, seen.unwrap_or_else(|| base.clone()));
        Ok(SqliteCatalog { base: Some(base), ..self.clone() })
    }

    /// The tables of the same file that are to take the place of others.
    pub fn staged(&self) -> SqliteCatalog {
        SqliteCatalog { store: Arc::new(self.store.staged()), ..self.clone() }
    }

    /// The catalog file.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The folder of the tables.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The location of the folder that a table gets.
    pub fn location_of(&self, table: &TableName) -> String {
        format!("file://{}/{}/{}", self.folder.display(), table.namespace, table.name)
    }

    async fn load(&self, table: &TableName) -> Result<Table> {
        let location = self.store.location(table).map_err(failure::for_iceberg)?.ok_or_else(|| {
            Error::new(ErrorKind::TableNotFound, format!("there is no table \"{table}\" in the catalog"))
        })?;
        self.load_from(table, location).await
    }

    async fn load_from(&self, table: &TableName, location: String) -> Result<Table> {
        let metadata = match TableMetadata::read_from(&self.file_io, &location).await {
            Ok(metadata) if !has_other_names(&metadata) => metadata,
            Ok(metadata) => with_known_names(metadata)?,
            Err(error) => self.with_known_types(&location).await.ok_or_else(|| {
                Error::new(error.kind(), format!("metadata file \"{location}\" cannot be read")).with_source(error)
            })?,
        };
        self.table(table, metadata, location)
    }

    /// The metadata of a table that has columns of types which the library does not know, or whose last change seems earlier
    /// than one before it.
    async fn with_known_types(&self, location: &str) -> Option<TableMetadata> {
        let bytes = self.file_io.new_input(location).ok()?.read().await.ok()?;
        let mut plain = Vec::new();
        let metadata = match bytes.starts_with(GZIP) {
            true => flate2::read::GzDecoder::new(&*bytes).read_to_end(&mut plain).ok().map(|_| plain.as_slice())?,
            false => &*bytes,
        };
        let mut metadata = serde_json::from_slice(metadata).ok()?;
        let (is_known, is_in_order) = (!make_known(&mut metadata), !put_in_order(&mut metadata));
        if is_known && is_in_order { None } else { serde_json::from_value(metadata).ok() }
    }

    fn table(&self, table: &TableName, metadata: TableMetadata, location: String) -> Result<Table> {
        Table::builder()
            .identifier(table.ident())
            .metadata(metadata)
            .metadata_location(location)
            .file_io(self.file_io.clone())
            .runtime(self.runtime.clone())
            .build()
    }

    /// Deletes old files that nothing in the folder of a table's metadata names any more, unless a table of another name
    /// has its metadata there.
    async fn sweep(&self, table: &Table, now: SystemTime) -> dataflow::Result<()> {
        let (name, folder) = (TableName::of(table.identifier()), path_of(table.metadata().location()));
        let others = self.store.tables()?;
        let shared = others.iter().any(|(other, location)| *other != name && path_of(location).starts_with(&folder));
        if shared { Ok(()) } else { upkeep::sweep(table, now).await }
    }

    /// Deletes the metadata files that a commit has put out of use, if the table wants that.
    async fn delete_old(&self, before: &TableMetadata, after: &TableMetadata) {
        if after.properties().get(DELETE_OLD_METADATA).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            for file in left_the_log(before, after) {
                // The commit has happened: a file that stays costs space and nothing else.
                let _ = self.file_io.delete(file).await;
            }
        }
    }

    /// Sets a tag on a snapshot, or removes it.
    pub async fn set_tag(&self, base: &Table, tag: &str, snapshot: Option<i64>) -> Result<Swap> {
        let name = TableName::of(base.identifier());
        check_changeable(&name, base.metadata())?;
        let from = base.metadata_location_result()?.to_owned();
        let builder = base.metadata().clone().into_builder(Some(from.clone()));
        let builder = match snapshot {
            Some(snapshot) => {
                let retention = SnapshotRetention::Tag { max_ref_age_ms: None };
                builder.set_ref(tag, SnapshotReference::new(snapshot, retention))?
            }
            None => builder.remove_ref(tag),
        };
        let next = in_order(builder.build()?.metadata)?;
        let location = MetadataLocation::from_str(&from)?.with_next_version().with_new_metadata(&next);
        write_metadata(&next, &self.file_io, &location).await?;
        self.put_in_place(&name, base, (&next, &location.to_string())).await
    }

    /// Lets a metadata file take the place of a base, which leaves nothing that is out of use.
    async fn put_in_place(&self, name: &TableName, base: &Table, (next, to): (&TableMetadata, &str)) -> Result<Swap> {
        let swap = self.store.swap(name, base.metadata_location_result()?, to).map_err(failure::for_iceberg)?;
        match swap {
            Swap::Done => self.delete_old(base.metadata(), next).await,
            Swap::Conflict => {
                // Nothing points to the file, so one that stays costs space and nothing else.
                let _ = self.file_io.delete(to).await;
            }
        }
        Ok(swap)
    }

    /// Swaps a base for what changes make of it. A snapshot among them takes the upkeep of a commit with it.
    pub async fn change(&self, base: &Table, updates: Vec<TableUpdate>) -> Result<Table> {
        let name = TableName::of(base.identifier());
        check_changeable(&name, base.metadata())?;
        let from = base.metadata_location_result()?.to_owned();
        let updates = upkeep::merge_manifests(base, updates).await?;
        let added = updates.iter().find_map(|update| match update {
            TableUpdate::AddSnapshot { snapshot } => Some(snapshot.clone()),
            _ => None,
        });
        let expired = if added.is_some() { upkeep::expired(base.metadata())? } else { Vec::new() };
        let statistics = added.is_some().then(|| upkeep::statistics_of_gone(base.metadata(), &expired));
        let mut builder = base.metadata().clone().into_builder(Some(from.clone()));
        for update in updates.into_iter().chain(statistics.into_iter().flatten()) {
            builder = update.apply(builder)?;
        }
        let next = in_order(builder.remove_snapshots(&expired).build()?.metadata)?;
        let location = MetadataLocation::from_str(&from)?.with_next_version().with_new_metadata(&next);
        write_metadata(&next, &self.file_io, &location).await?;
        let to = location.to_string();
        if let Some(snapshot) = added.as_ref().filter(|_| is_local(&to)) {
            let age = check_age_on_disk(base, snapshot, &path_of(&to)).await;
            if let Err(error) = age {
                // Nothing points to the file, so one that stays costs space and nothing else.
                let _ = self.file_io.delete(&to).await;
                return Err(error);
            }
        }
        match self.put_in_place(&name, base, (&next, &to)).await? {
            Swap::Done => {
                let written = std::fs::metadata(path_of(&to)).and_then(|about| about.modified());
                let table = self.table(&name, next, to)?;
                // By the clock of the disk, as the times of the files are. The commit has happened: files that stay cost
                // space and nothing else.
                if let (Ok(now), Some(_), false) = (written, added, expired.is_empty()) {
                    let _ = self.sweep(&table, now).await;
                }
                Ok(table)
            }
            Swap::Conflict => Err(Error::new(
                ErrorKind::CatalogCommitConflicts,
                format!("table \"{name}\" was changed by someone else at the same time"),
            )),
        }
    }
}

/// The metadata files that a log before a commit names and the one after it does not.
fn left_the_log<'a>(before: &'a TableMetadata, after: &TableMetadata) -> Vec<&'a str> {
    let kept: HashSet<&str> = after.metadata_log().iter().map(|entry| entry.metadata_file.as_str()).collect();
    let before = before.metadata_log().iter().map(|entry| entry.metadata_file.as_str());
    before.filter(|file| !kept.contains(file)).collect()
}

fn refused(what: &str) -> Error {
    Error::new(ErrorKind::FeatureUnsupported, format!("this catalog cannot {what}"))
}

#[async_trait]
impl Catalog for SqliteCatalog {
    async fn list_namespaces(&self, parent: Option<&NamespaceIdent>) -> Result<Vec<NamespaceIdent>> {
        let depth = parent.map_or(0, |parent| parent.len());
        let all = self.store.namespaces().map_err(failure::for_iceberg)?;
        let all = all.iter().map(|name| NamespaceIdent::from_strs(name.split('.'))).collect::<Result<Vec<_>>>()?;
        let below = |ident: &NamespaceIdent| {
            ident.len() == depth + 1 && parent.is_none_or(|parent| ident[..depth] == parent[..])
        };
        Ok(all.into_iter().filter(below).collect())
    }

    async fn create_namespace(&self, name: &NamespaceIdent, _: HashMap<String, String>) -> Result<Namespace> {
        self.store.create_namespace(&name.join(".")).map_err(failure::for_iceberg)?;
        Ok(Namespace::new(name.clone()))
    }

    async fn get_namespace(&self, name: &NamespaceIdent) -> Result<Namespace> {
        match self.namespace_exists(name).await? {
            true => Ok(Namespace::new(name.clone())),
            false => Err(Error::new(ErrorKind::NamespaceNotFound, format!("there is no namespace \"{name}\""))),
        }
    }

    async fn namespace_exists(&self, name: &NamespaceIdent) -> Result<bool> {
        Ok(self.store.namespaces().map_err(failure::for_iceberg)?.contains(&name.join(".")))
    }

    async fn update_namespace(&self, _: &NamespaceIdent, _: HashMap<String, String>) -> Result<()> {
        Err(refused("change the properties of a namespace"))
    }

    async fn drop_namespace(&self, _: &NamespaceIdent) -> Result<()> {
        Err(refused("drop a namespace"))
    }

    async fn list_tables(&self, namespace: &NamespaceIdent) -> Result<Vec<TableIdent>> {
        let all = self.store.tables().map_err(failure::for_iceberg)?;
        let namespace = namespace.join(".");
        Ok(all.into_iter().filter(|(name, _)| name.namespace == namespace).map(|(name, _)| name.ident()).collect())
    }

    async fn create_table(&self, namespace: &NamespaceIdent, creation: TableCreation) -> Result<Table> {
        let name = TableName { namespace: namespace.join("."), name: creation.name.clone() };
        let location = creation.location.clone().unwrap_or_else(|| self.location_of(&name));
        let creation = TableCreation { location: Some(location.clone()), ..creation };
        let metadata = TableMetadataBuilder::from_table_creation(creation)?.build()?.metadata;
        let file = MetadataLocation::new_with_metadata(location, &metadata);
        metadata.write_to(&self.file_io, &file).await?;
        if !self.store.insert(&name, &file.to_string()).map_err(failure::for_iceberg)? {
            let _ = self.file_io.delete(file.to_string()).await;
            return Err(Error::new(ErrorKind::TableAlreadyExists, format!("there is a table \"{name}\" already")));
        }
        self.table(&name, metadata, file.to_string())
    }

    async fn load_table(&self, table: &TableIdent) -> Result<Table> {
        match &self.base {
            Some(base) if base.seen.identifier() == table => Ok(base.seen.clone()),
            _ => self.load(&TableName::of(table)).await,
        }
    }

    async fn drop_table(&self, table: &TableIdent) -> Result<()> {
        let name = TableName::of(table);
        let location = self.store.location(&name).map_err(failure::for_iceberg)?;
        let removed = location.map(|location| self.store.remove(&name, &location)).transpose();
        match removed.map_err(failure::for_iceberg)? {
            Some(true) => Ok(()),
            _ => Err(Error::new(ErrorKind::TableNotFound, format!("there is no table \"{table}\""))),
        }
    }

    async fn purge_table(&self, _: &TableIdent) -> Result<()> {
        Err(refused("purge a table"))
    }

    async fn table_exists(&self, table: &TableIdent) -> Result<bool> {
        Ok(self.store.location(&TableName::of(table)).map_err(failure::for_iceberg)?.is_some())
    }

    async fn rename_table(&self, _: &TableIdent, _: &TableIdent) -> Result<()> {
        Err(refused("rename a table"))
    }

    async fn register_table(&self, table: &TableIdent, location: String) -> Result<Table> {
        let name = TableName::of(table);
        let loaded = self.load_from(&name, location.clone()).await?;
        match self.store.insert(&name, &location).map_err(failure::for_iceberg)? {
            true => Ok(loaded),
            false => Err(Error::new(ErrorKind::TableAlreadyExists, format!("there is a table \"{name}\" already"))),
        }
    }

    async fn update_table(&self, mut commit: TableCommit) -> Result<Table> {
        let base = match self.base.as_ref().filter(|base| base.swapped.identifier() == commit.identifier()) {
            Some(base) => {
                base.check_age()?;
                base.swapped.clone()
            }
            None => self.load_table(commit.identifier()).await?,
        };
        for requirement in commit.take_requirements() {
            requirement.check(Some(base.metadata()))?;
        }
        self.change(&base, commit.take_updates()).await
    }
}

/// The metadata with names of partition fields that the library knows.
fn with_known_names(metadata: TableMetadata) -> Result<TableMetadata> {
    let known = serde_json::to_value(&metadata).and_then(|mut written| {
        make_known(&mut written);
        serde_json::from_value(written)
    });
    known.map_err(|error| Error::new(ErrorKind::Unexpected, "what describes a table cannot be read").with_source(error))
}
