//! The catalogs that commits go to, told apart where they differ.

use crate::catalog::SqliteCatalog;
use crate::file_settings::DATA_PATH;
use crate::name::TableName;
use crate::object_files::ObjectFiles;
use crate::pinned_base::with_default_spec;
use crate::rest::RestCatalog;
use crate::store::Swap;
use iceberg::table::Table;
use iceberg::{Catalog, ErrorKind, Result, TableUpdate};

/// Where a table lies.
pub struct TableFolder {
    /// Its location.
    pub location: String,
    /// Where its data files lie, if it says that they are elsewhere.
    pub data: Option<String>,
    /// The stores that are opened for it; `None` where all tables lie on a disk.
    pub files: Option<ObjectFiles>,
}

/// A catalog of tables.
#[derive(Clone, Debug)]
pub enum TableCatalog {
    /// A file in a folder.
    Sqlite(SqliteCatalog),
    /// A server.
    Rest(RestCatalog),
}

impl TableCatalog {
    /// As the iceberg library wants it.
    pub fn as_catalog(&self) -> &dyn Catalog {
        match self {
            TableCatalog::Sqlite(catalog) => catalog,
            TableCatalog::Rest(catalog) => catalog,
        }
    }

    /// A view for one commit: it swaps this base, and no other that it loads in between.
    /// The library adds files of the default partition spec alone, so that it sees `spec` as such, if one is given.
    pub fn pinned(&self, base: &Table, spec: Option<i32>) -> Result<TableCatalog> {
        let spec = spec.filter(|spec| *spec != base.metadata().default_partition_spec_id());
        let seen = spec.map(|spec| with_default_spec(base, spec)).transpose()?;
        Ok(match self {
            TableCatalog::Sqlite(catalog) => TableCatalog::Sqlite(catalog.pinned(base, seen)?),
            TableCatalog::Rest(catalog) => TableCatalog::Rest(catalog.pinned(base, seen)?),
        })
    }

    /// Whether a swap is refused only for another snapshot, so that a change of properties alone goes unseen by those who
    /// swap an older state.
    pub fn pins_snapshots_only(&self) -> bool {
        matches!(self, TableCatalog::Rest(_))
    }

    /// The table of a name, if there is one.
    pub async fn find(&self, name: &TableName) -> Result<Option<Table>> {
        match self {
            TableCatalog::Sqlite(catalog) => match catalog.load_table(&name.ident()).await {
                Err(error) if error.kind() == ErrorKind::TableNotFound => Ok(None),
                loaded => loaded.map(Some),
            },
            TableCatalog::Rest(catalog) => catalog.find(name).await,
        }
    }

    /// Whether there is a table of a name.
    pub async fn has(&self, name: &TableName) -> Result<bool> {
        match self {
            TableCatalog::Sqlite(catalog) => catalog.table_exists(&name.ident()).await,
            TableCatalog::Rest(catalog) => Ok(catalog.find(name).await?.is_some()),
        }
    }

    /// Sets a tag on a snapshot, or removes it.
    pub async fn set_tag(&self, base: &Table, tag: &str, snapshot: Option<i64>) -> Result<Swap> {
        match self {
            TableCatalog::Sqlite(catalog) => catalog.set_tag(base, tag, snapshot).await,
            TableCatalog::Rest(catalog) => catalog.set_tag(base, tag, snapshot).await,
        }
    }

    /// Swaps a base for what changes make of it, if it is the current state of the table.
    pub async fn change(&self, base: &Table, updates: Vec<TableUpdate>) -> Result<Table> {
        match self {
            TableCatalog::Sqlite(catalog) => catalog.change(base, updates).await,
            TableCatalog::Rest(catalog) => catalog.change(base, updates).await,
        }
    }

    /// Where the files of a table lie, if there is one of the name.
    pub async fn folder(&self, name: &TableName) -> Result<Option<TableFolder>> {
        let folder = |table: Table, files| TableFolder {
            location: table.metadata().location().to_owned(),
            data: table.metadata().properties().get(DATA_PATH).cloned(),
            files,
        };
        Ok(match self {
            TableCatalog::Sqlite(_) => self.find(name).await?.map(|table| folder(table, None)),
            TableCatalog::Rest(catalog) => {
                catalog.find_with_files(name).await?.map(|(table, files)| folder(table, Some(files)))
            }
        })
    }

    /// Where its tables are, for messages to people.
    pub fn place(&self) -> String {
        match self {
            TableCatalog::Sqlite(catalog) => format!("warehouse \"{}\"", catalog.folder().display()),
            TableCatalog::Rest(catalog) => format!("catalog \"{}\"", catalog.place()),
        }
    }
}
