//! A project that somebody runs under names of their own, beside others who run the same one in the same environment.

use crate::open::{Own, Project};
use dataflow::{Error, Result};

/// The longest name of a person: it stands before the names of tables and topics.
const PERSON_MAX: usize = 32;

impl Project {
    /// Gives every table and topic that the project writes a name of one's own: `ana_` before it, for `ana`. Streams are
    /// read from where everybody reads them; checkpoints are of one's own as well.
    /// What writes what everybody reads is refused from now on.
    pub fn write_as(&mut self, person: &str) -> Result<()> {
        let is_name = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
        let begins = person.bytes().next().is_some_and(|first| first.is_ascii_lowercase());
        if !begins || person.len() > PERSON_MAX || !person.bytes().all(is_name) {
            return Err(Error::invalid(format!(
                "--as is \"{person}\", expected a name of at most {PERSON_MAX} letters from a to z and digits, a letter \
                 first: it stands before the names of tables and topics, as in ana_actions"
            )));
        }
        let prefix = format!("{person}_");
        let names = self.statements.write_under(&prefix).map_err(|name| {
            Error::invalid(format!(
                "--as {person} puts {prefix} before the names of what the project writes, and {name} begins with it \
                 already: take another name than {person}"
            ))
        })?;
        self.own = Some(Own { person: person.to_owned(), names });
        Ok(())
    }

    /// Who writes under names of their own, if somebody does.
    pub fn person(&self) -> Option<&str> {
        self.own.as_ref().map(|own| own.person.as_str())
    }

    /// Refuses what would write a topic or a table that everybody reads.
    pub(crate) fn refuse_as(&self, doing: &str) -> Result<()> {
        match self.person() {
            None => Ok(()),
            Some(person) => Err(Error::invalid(format!(
                "{doing} what everybody reads, and --as {person} writes under names of its own alone: leave --as out, or \
                 use an environment of your own, [env.{person}] in riverrun.toml"
            ))),
        }
    }

    /// The name of one's own for a table that the project writes.
    pub(crate) fn own_table(&self, name: &str) -> Option<&str> {
        self.own.as_ref()?.names.table(name)
    }

    /// The name of one's own for a topic that the project writes.
    pub(crate) fn own_topic(&self, name: &str) -> Option<&str> {
        self.own.as_ref()?.names.topic(name)
    }

    /// The name of one's own for an output of a job.
    pub(crate) fn own_output(&self, name: &str) -> Option<&str> {
        self.own_table(name).or_else(|| self.own_topic(name))
    }
}
