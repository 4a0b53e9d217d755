//! DuckDB as the judge of random projects: one process for all of them.

use super::job::{Answers, Laid};
use super::writer::Statements;
use crate::failure;
use crate::python::Python;
use dataflow::{Error, Result};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

const SCRIPT: &str = "answers.py";

/// A process that answers questions line by line, and ends with its owner.
pub struct Judge {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What the judge says of a project.
pub enum Verdict {
    /// All outputs hold the rows that they should: so many.
    Agrees(u64),
    /// How they differ.
    Differs(String),
}

impl Judge {
    /// Starts DuckDB.
    pub fn start(python: &Python) -> Result<Judge> {
        let started = python.command(SCRIPT).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = started.map_err(|error| failure::program(SCRIPT, error))?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(questions), Some(answers)) => Ok(Judge { child, questions, answers: BufReader::new(answers) }),
            _ => Err(Error::internal(format!("{SCRIPT} has no pipes"))),
        }
    }

    /// Compares the rows of a project's outputs with DuckDB's.
    pub fn judge(&mut self, laid: &Laid, said: &Statements, answers: &Answers) -> Result<Verdict> {
        let tables: Vec<Value> = laid.known.iter().map(|(name, path)| json!({ "name": name, "path": path })).collect();
        let output = |output: &super::writer::Output| {
            let path = answers.get(&output.table);
            json!({ "table": output.table, "columns": output.columns, "select": output.select, "once_per": output.once_per, "path": path })
        };
        let outputs: Vec<Value> = said.outputs.iter().map(output).collect();
        let question = json!({ "tables": tables, "views": said.theirs, "outputs": outputs });
        let wrong = |error| failure::program(SCRIPT, error);
        writeln!(self.questions, "{question}").map_err(wrong)?;
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(wrong)?;
        let answer: Value = serde_json::from_str(&line).map_err(|error| failure::program(SCRIPT, error))?;
        match (answer["rows"].as_u64(), answer["differs"].as_str()) {
            (Some(rows), None) => Ok(Verdict::Agrees(rows)),
            (_, Some(how)) => Ok(Verdict::Differs(how.to_owned())),
            _ => Err(failure::program(SCRIPT, format!("{line:?} is no verdict"))),
        }
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        // It has nothing to lose.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
