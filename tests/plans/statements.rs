//! What rules save for the SELECTs of tests/sql, each alone and those of a file as one job: how many columns travel
//! between workers, in how many exchanges, and how many operators keep rows of windows.
//!
//! `RIVERRUN_REWRITE=1 cargo test --test plans` writes the table anew; read the difference before committing it.

use crate::{Models, folder};
use sql::{Rule, SourceFile, Statements, Target, check_with, parse};
use sqllogictest::{DefaultColumnType, Record};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What an exchange costs a row beside its columns.
const EXCHANGE_COLUMNS: usize = 8;

/// The work of a plan that rules are to make less.
#[derive(Debug, PartialEq, Eq)]
struct Work {
    /// The columns that travel through each exchange, in the order in which rows meet them.
    exchanges: Vec<usize>,
    /// The operators that keep rows of windows.
    windows: usize,
    /// The columns that all nodes put out which are no stream.
    columns: usize,
}

impl Work {
    fn columns_between_workers(&self) -> usize {
        self.exchanges.iter().sum()
    }

    /// What travels, in columns: an exchange more has to spare what it costs.
    fn travel(&self) -> usize {
        self.columns_between_workers() + EXCHANGE_COLUMNS * self.exchanges.len()
    }
}

/// What is planned.
struct Asked {
    /// The file, and which of its SELECTs.
    place: String,
    statements: Statements,
    target: Target,
}

/// The work of a plan; `None` where the SELECT is one that is refused.
fn work(asked: &Asked, rules: &[Rule]) -> Option<Work> {
    let checked = check_with(&asked.statements, &Models, &asked.target, rules).ok()?;
    let explained = checked.explained().unwrap_or_else(|wrong| panic!("{}: {}", asked.place, wrong[0]));
    let steps = || explained.nodes.iter().filter(|node| node.stage.is_some());
    let travel = |node: &sql::ExplainedNode| {
        let columns = node.inputs.iter().filter(|input| input.exchange.is_some()).map(|input| input.columns);
        columns.collect::<Vec<_>>()
    };
    Some(Work {
        exchanges: steps().flat_map(travel).collect(),
        windows: steps().filter(|node| node.kind == "windows").count(),
        columns: steps().map(|node| node.columns.len()).sum(),
    })
}

/// The SELECTs of a file, each with what is created before it, and then all of them as outputs of one job.
fn asked(path: &Path) -> Vec<Asked> {
    let name = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
    let records: Vec<Record<DefaultColumnType>> = sqllogictest::parse_file(path).expect("the file can be read");
    let (mut created, mut inserted, mut all) = (String::new(), Vec::new(), Vec::new());
    let parsed = |text: &str| {
        let file = SourceFile { path: format!("{name}.slt"), text: text.to_owned() };
        parse(&[file]).unwrap_or_else(|wrong| panic!("{}", wrong[0]))
    };
    for record in records {
        match record {
            Record::Statement { sql, .. } if sql.starts_with("CREATE ") => created += &format!("{sql};\n"),
            Record::Query { sql, .. } if sql.starts_with("SELECT ") => {
                let number = inserted.len() + 1;
                inserted.push(format!("INSERT INTO lake.select_{number} {sql};\n"));
                let (place, statements) = (format!("{name} {number}"), parsed(&created));
                all.push(Asked { place, statements, target: Target::Query(sql) });
            }
            _ => {}
        }
    }
    // A job does not take every SELECT that a query takes: its columns need names.
    let taken =
        |insert: &String| check_with(&parsed(&format!("{created}{insert}")), &Models, &Target::All, &[]).is_ok();
    inserted.retain(taken);
    if inserted.len() > 1 {
        let (place, text) = (format!("all {} of {name}", inserted.len()), created + &inserted.concat());
        all.push(Asked { place, statements: parsed(&text), target: Target::All });
    }
    all
}

fn table() -> String {
    let entries = std::fs::read_dir(tests::root().join("tests/sql/files")).expect("the folder is there");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let mut rows = String::new();
    let (mut better, mut fewer) = (0, 0);
    for asked in paths.iter().flat_map(|path| asked(path)) {
        let (Some(before), Some(after)) = (work(&asked, &[]), work(&asked, &Rule::ALL)) else { continue };
        assert!(after.columns_between_workers() <= before.columns_between_workers(), "{}", asked.place);
        assert!(after.travel() <= before.travel() && after.windows <= before.windows, "{}", asked.place);
        if before == after {
            continue;
        }
        better += usize::from(after.columns_between_workers() < before.columns_between_workers());
        fewer += usize::from(after.exchanges.len() < before.exchanges.len() || after.windows < before.windows);
        let text = |work: &Work| {
            let columns: Vec<String> = work.exchanges.iter().map(usize::to_string).collect();
            format!("{} | {} | {} | {}", columns.join(" + "), work.exchanges.len(), work.windows, work.columns)
        };
        writeln!(rows, "| {} | {} | {} |", asked.place, text(&before), text(&after)).expect("it is a String");
    }
    eprintln!("{better} SELECTs carry fewer columns between workers, {fewer} have fewer exchanges or windows");
    assert!(
        better >= 10 && fewer >= 2,
        "only {better} carry fewer columns between workers, {fewer} have fewer exchanges"
    );
    "What travels between workers, and what nodes put out, without rules and with them, for SELECTs of tests/sql/files.\n\n\
     | SELECT | columns through exchanges | exchanges | windows | columns of nodes | with rules: through exchanges | exchanges | windows | columns of nodes |\n\
     | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
        .to_owned()
        + &rows
}

#[test]
fn selects_of_the_sql_tests_carry_less_with_rules() {
    let (actual, expected) = (table(), folder().join("statements.md"));
    if std::env::var_os("RIVERRUN_REWRITE").is_some() {
        std::fs::write(&expected, &actual).expect("the file can be written");
    } else {
        assert_eq!(std::fs::read_to_string(&expected).unwrap_or_default(), actual);
    }
}
