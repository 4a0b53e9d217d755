//! Names of one's own for what a project writes, so that people who run the same project do not write over each other.

use crate::statement::{Name, NamedOutput, Statement, Statements};
use dataflow::Output;
use std::collections::BTreeMap;

/// The name of one's own for a table or a topic: a prefix before the last part of a table's name, and before all of a
/// topic's.
fn own(prefix: &str, is_topic: bool, name: &str) -> String {
    match name.rsplit_once('.').filter(|_| !is_topic) {
        Some((namespace, last)) => format!("{namespace}.{prefix}{last}"),
        None => format!("{prefix}{name}"),
    }
}

/// The names of one's own that a project writes under, by the names that its SQL has.
#[derive(Clone, Debug, Default)]
pub struct OwnNames {
    tables: BTreeMap<String, String>,
    topics: BTreeMap<String, String>,
}

impl OwnNames {
    /// The name of one's own for a table that the project writes.
    pub fn table(&self, name: &str) -> Option<&str> {
        find(&self.tables, name)
    }

    /// The name of one's own for a topic that the project writes.
    pub fn topic(&self, name: &str) -> Option<&str> {
        find(&self.topics, name)
    }

    /// The names of one's own of all tables.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.values().map(String::as_str)
    }

    fn rename_output(&self, output: &mut Output, name: &mut Name) {
        let own = match output {
            Output::Table(table) => self.table(table),
            Output::Topic(topic) => self.topic(topic),
            Output::Query(_) => None,
        };
        let Some(own) = own.map(str::to_owned) else { return };
        name.text.clone_from(&own);
        if let Output::Table(name) | Output::Topic(name) = output {
            *name = own;
        }
    }
}

fn find<'a>(names: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    names.iter().find(|(written, _)| written.eq_ignore_ascii_case(name)).map(|(_, own)| own.as_str())
}

fn rename(name: &mut Name, names: &BTreeMap<String, String>) {
    if let Some(own) = find(names, &name.text) {
        name.text = own.to_owned();
    }
}

impl Statements {
    /// Gives every table and topic that statements write a name of one's own, with a prefix. What streams
    /// read keeps its name, and so do tables that ARCHIVE writes: nothing that statements write is read by them. Gives the
    /// names, or one that stands in the text and begins with the prefix already.
    pub fn write_under(&mut self, prefix: &str) -> Result<OwnNames, String> {
        let mut names = OwnNames::default();
        for (is_topic, name, _) in self.statements.iter().flat_map(|placed| placed.statement.writes()) {
            if name.rsplit('.').next().is_some_and(|last| last.starts_with(prefix)) || name.starts_with(prefix) {
                return Err(name);
            }
            let own = own(prefix, is_topic, &name);
            if is_topic { &mut names.topics } else { &mut names.tables }.insert(name, own);
        }
        for placed in &mut self.statements {
            match &mut placed.statement {
                Statement::Insert(insert) if insert.topic => {
                    rename(&mut insert.target, &names.topics);
                }
                Statement::Insert(insert) => rename(&mut insert.target, &names.tables),
                Statement::Decision(decision) => {
                    rename(&mut decision.topic, &names.topics);
                    decision.log = own(prefix, false, &decision.log);
                }
                Statement::Stream(stream) => {
                    let late_rows = stream.watermark.as_mut().and_then(|watermark| watermark.late_rows.as_mut());
                    for NamedOutput { output, name } in stream.dead_letters.iter_mut().chain(late_rows) {
                        names.rename_output(output, name);
                    }
                }
                _ => {}
            }
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use crate::SourceFile;

    #[test]
    fn what_is_written_has_a_name_of_ones_own_and_what_is_read_keeps_its_name() {
        let text = "CREATE STREAM s (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at LATE TO lake.late)
                    HISTORY raw.s LIVE s ON BAD ROW DEAD LETTER TO TOPIC bad;
                    INSERT INTO lake.out SELECT * FROM s;
                    INSERT INTO TOPIC scores SELECT * FROM s;
                    CREATE DECISION d ON s SUBJECT id TO actions AS RULE r WHEN id > 1 THEN 'x';
                    ARCHIVE s;";
        let mut statements = crate::parse(&[SourceFile { path: "a.sql".to_owned(), text: text.to_owned() }]).unwrap();
        let names = statements.write_under("ana_").unwrap();
        let mut written: Vec<String> = statements
            .statements
            .iter()
            .flat_map(|placed| placed.statement.writes())
            .map(|(_, name, _)| name)
            .collect();
        written.sort();
        assert_eq!(written, ["ana_actions", "ana_bad", "ana_d__log", "ana_scores", "lake.ana_late", "lake.ana_out"]);
        assert_eq!(statements.history_tables(), [("raw.s".to_owned(), "s".to_owned())]);
        assert_eq!(statements.topics(), ["ana_actions", "ana_bad", "ana_scores", "s"]);
        assert_eq!((names.table("lake.OUT"), names.topic("s")), (Some("lake.ana_out"), None));
        assert_eq!(statements.write_under("ana_").unwrap_err(), "ana_bad");
    }
}
