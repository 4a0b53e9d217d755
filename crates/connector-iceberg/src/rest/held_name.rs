//! The names that tables of a REST catalog have while they are to take the place of others, and after they gave way.

use crate::name::TableName;
use uuid::Uuid;

const NEW: &str = "__riverrun_new";
const OLD: &str = "__riverrun_old_";

/// The name of a table that is to take the place of the one of a name.
pub fn new_name(name: &TableName) -> TableName {
    TableName { namespace: name.namespace.clone(), name: format!("{}{NEW}", name.name) }
}

/// The name that a table has which gave way to another one. No other table ever has it, so that a request that comes late
/// finds the name taken.
pub fn old_name(name: &TableName, uuid: Uuid) -> TableName {
    TableName { namespace: name.namespace.clone(), name: format!("{}{OLD}{}", name.name, uuid.simple()) }
}

/// The name of which a listed table is the new one.
pub fn of_new(listed: &str) -> Option<&str> {
    listed.strip_suffix(NEW)
}

/// Whether a listed table is one that people do not ask for by name.
pub fn is_hidden(listed: &str) -> bool {
    of_new(listed).is_some()
        || listed.rsplit_once(OLD).is_some_and(|(_, uuid)| uuid.len() == 32 && Uuid::try_parse(uuid).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_held_are_told_from_those_of_people() {
        let name = TableName::parse("lake.plays").unwrap();
        assert_eq!(of_new(&new_name(&name).name), Some("plays"));
        assert!(is_hidden(&new_name(&name).name) && is_hidden(&old_name(&name, Uuid::from_u128(7)).name));
        for people in ["plays", "plays__riverrun_old_", "plays__riverrun_old_first", "__riverrun_new_plays"] {
            assert!(!is_hidden(people), "{people}");
        }
    }
}
