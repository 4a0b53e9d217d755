//! Names of tables: `namespace.name`, and the folder that a table lives in.

use dataflow::{Error, Result};
use iceberg::{NamespaceIdent, TableIdent};
use std::fmt;

/// The namespace of names without a dot.
const DEFAULT_NAMESPACE: &str = "default";

/// A name that is known to be good as a table's name and as that of its folder.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TableName {
    /// The part before the last dot.
    pub namespace: String,
    /// The part after the last dot.
    pub name: String,
}

impl TableName {
    /// Reads `namespace.name`, or `name` in the default namespace. The namespace may have dots of its own.
    pub fn parse(text: &str) -> Result<TableName> {
        let (namespace, name) = text.rsplit_once('.').unwrap_or((DEFAULT_NAMESPACE, text));
        for part in namespace.split('.').chain([name]) {
            let good = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '$');
            if part.is_empty() || !part.chars().all(good) || part.len() > 200 {
                return Err(Error::invalid(format!(
                    "table \"{text}\": \"{part}\" is not a name; expected letters, digits, _, - or $, at most 200 bytes"
                )));
            }
        }
        Ok(TableName { namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// The name that the iceberg library uses.
    pub fn ident(&self) -> TableIdent {
        let namespace = NamespaceIdent::from_strs(self.namespace.split('.'));
        TableIdent::new(namespace.expect("a parsed name has a namespace"), self.name.clone())
    }

    /// The name of a table of the iceberg library.
    pub fn of(ident: &TableIdent) -> TableName {
        TableName { namespace: ident.namespace.join("."), name: ident.name.clone() }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_dot_is_in_the_default_namespace() {
        assert_eq!(TableName::parse("training").unwrap().to_string(), "default.training");
        assert_eq!(TableName::parse("lake.training").unwrap().to_string(), "lake.training");
        assert_eq!(TableName::parse("a.b.c").unwrap().ident().namespace.len(), 2);
    }

    #[test]
    fn a_name_cannot_leave_the_warehouse() {
        for text in ["", ".", "..", "a..b", "a/b", "../b", "a.", "a b", "a.b\0", "a.?"] {
            assert!(TableName::parse(text).is_err(), "{text}");
        }
    }
}
