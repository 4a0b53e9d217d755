//! The targets of planning: which statements are bound for them, and what leaves the job.

use super::binding::Binding;
use super::bound::BoundOutput;
use super::relation::Relation;
use super::{decision, removed_rows};
use crate::diagnostic::{Diagnostic, Fault};
use crate::source_file::SourceFile;
use crate::statement::{Archive, Decision, History, Name, PlacedStatement, Statement};
use dataflow::Output;
use sqlparser::tokenizer::{Location, Span};

/// What is planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The outputs that match the patterns (`lake.*`): targets of INSERT, topics of decisions, and decisions by name.
    Outputs(Vec<String>),
    /// The rows of a SELECT.
    Query(String),
    /// The rows of a view or stream.
    View(String),
    /// The rows of views and streams, the log rows with an action of decisions, and what the project writes to tables and
    /// topics, each under its name: for tests.
    Collect(Vec<String>),
    /// The ARCHIVE statements.
    Archives,
    /// All outputs. Views, models and streams that no output needs are checked too, and stay out of the plan unless
    /// there is no output at all.
    All,
}

/// How often a query may read streams and tables, each time with files and memory of its own.
const INPUTS_MAX: usize = 100;

/// Binds what a target needs.
pub(crate) struct Targets<'t, 'a> {
    binding: &'t mut Binding<'a>,
}

/// Binds what a target needs; a query is a statement of its own.
pub(crate) fn bind(binding: &mut Binding, target: &Target, query: Option<&PlacedStatement>) {
    let mut targets = Targets { binding };
    match target {
        Target::All => targets.all(),
        Target::Archives => targets.archives(),
        Target::Outputs(patterns) => targets.matching(patterns),
        Target::Collect(names) => names.iter().for_each(|name| targets.collect(name)),
        Target::View(name) => targets.view(name, |_| Output::Query(0)),
        Target::Query(_) => query.iter().for_each(|placed| targets.query(placed)),
    }
}

impl Targets<'_, '_> {
    fn all(&mut self) {
        let statements = self.binding.statements;
        for placed in &statements.statements {
            self.binding.file = placed.file;
            match &placed.statement {
                Statement::Stream(stream) => drop(self.relation(placed, &stream.name)),
                Statement::View(view) => drop(self.relation(placed, &view.name)),
                Statement::Archive(archive) => self.archive(placed, archive),
                Statement::Insert(_) => self.insert(placed),
                Statement::Decision(decision) => self.decision(placed, decision),
                Statement::Model(_) | Statement::Experiment(_) | Statement::Test(_) => {}
            }
        }
        self.unused_models();
    }

    /// Looks at the models that nothing scores: what is wrong with one keeps no job from running.
    fn unused_models(&mut self) {
        let statements = self.binding.statements;
        for placed in &statements.statements {
            let Statement::Model(model) = &placed.statement else { continue };
            if self.binding.has_asked_for(&model.name) {
                continue;
            }
            let before = self.binding.wrong.len();
            let outcome = self.binding.model(&model.name);
            self.binding.note(placed, outcome);
            let wrong = self.binding.wrong.split_off(before);
            let unused = |wrong: Diagnostic| Diagnostic {
                is_warning: true,
                message: format!("nothing uses model \"{}\": {}", model.name.text, wrong.message),
                ..wrong
            };
            self.binding.warnings.extend(wrong.into_iter().map(unused));
        }
    }

    fn archives(&mut self) {
        let statements = self.binding.statements;
        for placed in &statements.statements {
            self.binding.file = placed.file;
            if let Statement::Archive(archive) = &placed.statement {
                self.archive(placed, archive);
            }
        }
    }

    fn relation(&mut self, placed: &PlacedStatement, name: &Name) -> Option<Relation> {
        let outcome = self.binding.relation(name);
        self.binding.note(placed, outcome)
    }

    fn archive(&mut self, placed: &PlacedStatement, archive: &Archive) {
        let name = &archive.stream;
        let statements = self.binding.statements;
        let streams = || {
            statements.statements.iter().filter_map(|placed| match &placed.statement {
                Statement::Stream(stream) => Some(stream),
                _ => None,
            })
        };
        let found = streams().find(|stream| stream.name.text.eq_ignore_ascii_case(&name.text));
        let fault = match found {
            None if statements.lost.has(&name.text) => Fault::reported(),
            None => {
                let fault = Fault::new(name.span, format!("no stream is named \"{}\"", name.text));
                fault.offer(&name.text, streams().map(|stream| stream.name.text.as_str()))
            }
            Some(stream) if stream.queue.is_some() => {
                Fault::new(name.span, format!("stream \"{}\" cannot be archived", name.text))
                    .found("a queue, whose messages have no place to go on from")
                    .expected("a stream with LIVE, and HISTORY that is a table")
                    .hint("leave out QUEUE in the stream, and add HISTORY with a table; or leave out ARCHIVE")
            }
            Some(stream) if stream.live.is_none() || !matches!(stream.history, Some(History::Table(_))) => {
                Fault::new(name.span, format!("stream \"{}\" cannot be archived", name.text))
                    .expected("a stream with LIVE, and HISTORY that is a table")
                    .hint(format!(
                        "ARCHIVE copies LIVE to the table of HISTORY: add HISTORY raw.{0} LIVE {0}",
                        name.text
                    ))
            }
            Some(_) => return,
        };
        self.binding.note::<()>(placed, fault.err());
    }

    fn matching(&mut self, patterns: &[String]) {
        let statements = self.binding.statements;
        let outputs = || {
            statements
                .statements
                .iter()
                .filter(|placed| matches!(placed.statement, Statement::Insert(_) | Statement::Decision(_)))
        };
        for pattern in patterns {
            if !outputs().any(|placed| names_of(&placed.statement).iter().any(|name| matches(pattern, name))) {
                let known: Vec<String> = outputs().flat_map(|placed| names_of(&placed.statement)).collect();
                self.unknown(pattern, "output", &known);
            }
        }
        for placed in outputs() {
            let names = names_of(&placed.statement);
            if names.iter().any(|name| patterns.iter().any(|pattern| matches(pattern, name))) {
                match &placed.statement {
                    Statement::Decision(decision) => self.decision(placed, decision),
                    _ => self.insert(placed),
                }
            }
        }
    }

    /// A name that did not come from SQL text, unless a test expects rows of it.
    fn unknown(&mut self, name: &str, kind: &str, known: &[String]) {
        let statements = self.binding.statements;
        let expected = statements.statements.iter().find_map(|placed| match &placed.statement {
            Statement::Test(test) => Some((placed, test.expects.iter().find(|expect| expect.target.text == name)?)),
            _ => None,
        });
        if let Some((placed, expect)) = expected {
            let fault = Fault::new(expect.target.span, format!("no {kind} is named \"{name}\""));
            let fault = fault.offer(name, known.iter().map(String::as_str));
            self.binding.note::<()>(placed, fault.err());
            return;
        }
        let file = SourceFile { path: format!("<{kind}>"), text: name.to_owned() };
        let end = Location::new(1, 1 + name.chars().count() as u64);
        let fault = Fault::new(Span::new(Location::new(1, 1), end), format!("no {kind} is named \"{name}\""));
        let mut fault = fault.offer(name, known.iter().map(String::as_str));
        if known.is_empty() {
            fault.hint = Some(format!("the project has no {kind}"));
        }
        self.binding.wrong.push(fault.in_file(&file));
    }

    fn insert(&mut self, placed: &PlacedStatement) {
        let Statement::Insert(insert) = &placed.statement else { return };
        self.binding.file = placed.file;
        let (owner, output) = match (insert.target.text.as_str(), insert.topic) {
            (name, true) => (name, Output::Topic(name.to_owned())),
            (name, false) => (name, Output::Table(name.to_owned())),
        };
        let is_it = |known: &BoundOutput| matches!(known, BoundOutput::Rows { output: known, .. } if *known == output);
        if self.binding.outputs.iter().any(is_it) {
            return;
        }
        let outcome = self.binding.query(owner, &insert.query, placed.span);
        if let Some(relation) = self.binding.note(placed, outcome) {
            self.put(BoundOutput::Rows { relation: relation.id, name: owner.to_owned(), output });
        }
    }

    /// Binds the query: streams give rows to it, and it goes on where they end.
    fn query(&mut self, placed: &PlacedStatement) {
        let Statement::Insert(insert) = &placed.statement else { return };
        self.binding.file = placed.file;
        self.binding.is_bounded = true;
        let outcome = self.binding.query("query", &insert.query, placed.span);
        self.binding.is_bounded = false;
        let Some(relation) = self.binding.note(placed, outcome) else { return };
        let inputs = self.binding.inputs_of(relation.id);
        if inputs > INPUTS_MAX {
            let fault = Fault::new(Span::empty(), "the query reads streams, tables and queries of WITH too often");
            let fault = fault.found(format!("{inputs} times")).expected(format!("at most {INPUTS_MAX} times"));
            self.binding.note::<()>(placed, fault.err());
            return;
        }
        for (number, id) in self.binding.streams_of(relation.id).into_iter().enumerate() {
            let name = if number == 0 { "query".to_owned() } else { format!("query {}", number + 1) };
            self.binding.outputs.push(BoundOutput::Rows { relation: id, name, output: Output::Query(number) });
        }
        self.binding.answer = Some(relation.id);
    }

    /// Adds an output, unless it is there already.
    fn put(&mut self, output: BoundOutput) {
        if !self.binding.outputs.contains(&output) {
            self.binding.outputs.push(output);
        }
    }

    /// Binds a decision: its place among the bound ones.
    fn decided(&mut self, placed: &PlacedStatement, declared: &Decision) -> Option<usize> {
        let known = self.binding.decisions.iter().position(|known| known.name == declared.name.text);
        if known.is_some() {
            return known;
        }
        self.binding.file = placed.file;
        let outcome = decision::bind(self.binding, declared, placed.span);
        self.binding.note(placed, outcome)
    }

    fn decision(&mut self, placed: &PlacedStatement, declared: &Decision) {
        let Some(decision) = self.decided(placed, declared) else { return };
        let (topic, log) = (declared.topic.text.clone(), declared.log.clone());
        self.put(BoundOutput::Actions { decision, topic });
        self.put(BoundOutput::Log { decision, log });
    }

    fn view(&mut self, wanted: &str, output: fn(&str) -> Output) {
        let statements = self.binding.statements;
        let kinds = statements.statements.iter().filter_map(|placed| Some((placed, placed.statement.defines()?)));
        let readable = kinds.filter(|(_, (kind, _))| matches!(*kind, "view" | "stream"));
        let found = readable.clone().find(|(_, (_, name))| name.text.eq_ignore_ascii_case(wanted));
        let Some((placed, (_, name))) = found else {
            let written = statements.statements.iter().flat_map(|placed| names_of(&placed.statement));
            let known: Vec<String> = readable.map(|(_, (_, name))| name.text.clone()).chain(written).collect();
            return self.unknown(wanted, "stream, view, decision or output", &known);
        };
        if let Some(relation) = self.relation(placed, name) {
            let (name, output) = (name.text.clone(), output(&name.text));
            self.put(BoundOutput::Rows { relation: relation.id, name, output });
        }
    }

    fn collect(&mut self, name: &str) {
        let statements = self.binding.statements;
        let all = || statements.statements.iter();
        let as_table = |name: &str| Output::Table(name.to_owned());
        let defined = all().find(|placed| match &placed.statement {
            Statement::Stream(_) | Statement::View(_) | Statement::Decision(_) => {
                placed.statement.defines().is_some_and(|(_, defined)| defined.text.eq_ignore_ascii_case(name))
            }
            _ => false,
        });
        let writes = |placed: &&PlacedStatement| {
            placed.statement.writes().iter().any(|(_, written, _)| written.eq_ignore_ascii_case(name))
        };
        match defined.or_else(|| all().find(writes)).map(|placed| (placed, &placed.statement)) {
            Some((placed, Statement::Decision(declared))) => self.collect_decision(placed, declared, name),
            Some((placed, Statement::Insert(_))) => self.insert(placed),
            Some(_) if defined.is_some() => self.view(name, as_table),
            Some(_) => all().filter(writes).for_each(|placed| self.collect_removed(&placed.statement, name)),
            None => {
                let defined = all().filter_map(|placed| placed.statement.defines());
                let defined = defined.filter(|(kind, _)| matches!(*kind, "view" | "stream" | "decision"));
                let written = all().flat_map(|placed| placed.statement.writes()).map(|(_, name, _)| name);
                let known: Vec<String> = defined.map(|(_, name)| name.text.clone()).chain(written).collect();
                self.unknown(name, "view, decision or output", &known);
            }
        }
    }

    /// What a stream keeps of the rows that it removes comes with the stream, and dead letters with all that is written of
    /// it too, since each step may make some.
    fn collect_removed(&mut self, stream: &Statement, name: &str) {
        let Statement::Stream(stream) = stream else { return };
        self.view(&stream.name.text, |name| Output::Table(name.to_owned()));
        let letters = stream.dead_letters.as_ref().filter(|to| to.name.text.eq_ignore_ascii_case(name));
        let statements = self.binding.statements;
        for placed in letters.iter().flat_map(|_| removed_rows::writers_from(statements, &stream.name.text)) {
            match &placed.statement {
                Statement::Decision(decision) => self.decision(placed, decision),
                _ => self.insert(placed),
            }
        }
    }

    /// The log rows with an action of a decision under its own name, all of them under that of its log, and the actions
    /// under that of its topic.
    fn collect_decision(&mut self, placed: &PlacedStatement, declared: &Decision, name: &str) {
        let Some(decision) = self.decided(placed, declared) else { return };
        let (topic, log) = (declared.topic.text.clone(), declared.log.clone());
        if name.eq_ignore_ascii_case(&declared.name.text) {
            return self.put(BoundOutput::Acted { decision, name: declared.name.text.clone() });
        }
        // A step that puts out actions puts out its log too.
        if name.eq_ignore_ascii_case(&topic) {
            self.put(BoundOutput::Actions { decision, topic });
        }
        self.put(BoundOutput::Log { decision, log });
    }
}

/// The names by which an output can be asked for.
fn names_of(statement: &Statement) -> Vec<String> {
    match statement {
        Statement::Insert(insert) => vec![insert.target.text.clone()],
        Statement::Decision(decision) => {
            vec![decision.name.text.clone(), decision.topic.text.clone(), decision.log.clone()]
        }
        _ => vec![],
    }
}

/// Whether a name matches a pattern, in which `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern.eq_ignore_ascii_case(name),
        Some((before, after)) => {
            let begins = name.get(..before.len()).is_some_and(|start| start.eq_ignore_ascii_case(before));
            begins
                && name
                    .char_indices()
                    .map(|(at, _)| at)
                    .chain([name.len()])
                    .filter(|at| *at >= before.len())
                    .any(|at| matches(after, &name[at..]))
        }
    }
}
