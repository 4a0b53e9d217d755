//! Checking: everything that a target needs is planned, and everything wrong with it is said.

use crate::catalog::Catalog;
use crate::decision;
use crate::diagnostic::{Diagnostic, Fault, did_you_mean};
use crate::expression::{self, Place, Scope, ScopeColumn};
use crate::output::OutputSpec;
use crate::plan::{Plan, PlanKind};
use crate::planner::Planner;
use crate::relation::Relation;
use crate::removed_rows;
use crate::source_file::SourceFile;
use crate::statement::{Decision, History, Insert, Name, PlacedStatement, Statement, Statements};
use crate::stream::Stream;
use dataflow::{EventTime, Output, Port, RowText};
use sqlparser::ast::{Expr, LimitClause};
use sqlparser::tokenizer::{Location, Span};
use std::collections::{HashMap, HashSet};

/// What is planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The outputs that match the patterns (`lake.*`): targets of INSERT, topics of decisions, and decisions by name.
    Outputs(Vec<String>),
    /// The rows of a SELECT.
    Query(String),
    /// The rows of a view or stream.
    View(String),
    /// The rows of views and the log rows with an action of decisions, each as a table of that name: for tests.
    Collect(Vec<String>),
    /// The ARCHIVE statements.
    Archives,
    /// All outputs. Views, models and streams that no output needs are checked too, and stay out of the plan unless
    /// there is no output at all.
    All,
}

/// What a job starts with.
#[derive(Clone, Debug)]
pub struct Start {
    /// W: actions and topic rows after this leave the job.
    pub after: EventTime,
    /// The revision of the project, for the log of decisions.
    pub revision: String,
    /// The text of rows that fail, for dead letters and errors.
    pub row_text: RowText,
}

/// A plan that has passed all checks.
#[derive(Clone, Debug)]
pub struct CheckedPlan {
    /// The streams that are read, in the order in which the plan meets them.
    pub streams: Vec<Stream>,
    /// Where rows come out.
    pub outputs: Vec<OutputSpec>,
    /// The models that score rows, with their versions.
    pub models: Vec<(String, String)>,
    /// LIMIT of a query: the caller stops after this many rows.
    pub limit: Option<u64>,
    pub(crate) plan: Plan,
    pub(crate) files: Vec<SourceFile>,
}

/// Plans what a target needs, or says everything that is wrong with it.
pub fn check(statements: &Statements, catalog: &dyn Catalog, target: &Target) -> Result<CheckedPlan, Vec<Diagnostic>> {
    let mut statements = statements.clone();
    let (query, limit) = match target {
        Target::Query(text) => add_query(&mut statements, text).map_err(|diagnostic| vec![diagnostic])?,
        _ => (None, None),
    };
    let mut planner = Planner::new(&statements, catalog);
    same_names(&mut planner);
    same_outputs(&mut planner);
    let mut check = Check { planner, outputs: Vec::new(), models: Vec::new() };
    match target {
        Target::All => check.all(),
        Target::Archives => check.archives(),
        Target::Outputs(patterns) => check.matching(patterns),
        Target::Collect(names) => names.iter().for_each(|name| check.collect(name)),
        Target::View(name) => check.view(name, |_| Output::Query),
        Target::Query(_) => query.iter().for_each(|placed| check.insert(placed)),
    }
    let Check { planner, mut outputs, mut models } = check;
    models.sort();
    models.dedup();
    let Planner { plan, mut streams, mut wrong, .. } = planner;
    if wrong.is_empty() {
        let mut plan = plan.without_idle_nodes();
        let is_read = |stream: &Stream| {
            plan.nodes.iter().any(|node| matches!(&node.kind, PlanKind::Source(name) if *name == stream.name))
        };
        streams.retain(is_read);
        match target {
            Target::Query(_) | Target::View(_) => removed_rows::count_only(&mut streams),
            _ => removed_rows::plan(&mut plan, &streams, &mut outputs),
        }
        return Ok(CheckedPlan { streams, outputs, models, limit, plan, files: statements.files });
    }
    let order: HashMap<&str, usize> =
        statements.files.iter().enumerate().map(|(at, file)| (file.path.as_str(), at)).collect();
    wrong.sort_by_key(|wrong| (order.get(wrong.path.as_str()).copied(), wrong.line, wrong.column));
    wrong.dedup();
    Err(wrong)
}

/// A query is an INSERT whose target is the caller; its LIMIT is the caller's business.
fn add_query(statements: &mut Statements, text: &str) -> Result<(Option<PlacedStatement>, Option<u64>), Diagnostic> {
    let file = SourceFile { path: "<query>".to_owned(), text: text.to_owned() };
    let (mut query, marks) = crate::parse::parse_query(text).map_err(|fault| fault.in_file(&file))?;
    let number = statements.files.len();
    statements.files.push(file);
    statements.as_of.extend(marks.into_iter().map(|at| (number, at)));
    let span = first_character();
    let limit = match &query.limit_clause {
        Some(LimitClause::LimitOffset { limit: Some(limit), offset: None, limit_by }) if limit_by.is_empty() => {
            limit.to_string().parse().ok()
        }
        _ => None,
    };
    if limit.is_some() {
        query.limit_clause = None;
    }
    let insert = Insert { target: Name { text: String::new(), span }, topic: false, query };
    Ok((Some(PlacedStatement { file: number, span, statement: Statement::Insert(insert) }), limit))
}

fn first_character() -> Span {
    Span::new(Location::new(1, 1), Location::new(1, 2))
}

struct Check<'a> {
    planner: Planner<'a>,
    outputs: Vec<OutputSpec>,
    models: Vec<(String, String)>,
}

impl Check<'_> {
    fn all(&mut self) {
        let statements = self.planner.statements;
        for placed in &statements.statements {
            self.planner.file = placed.file;
            match &placed.statement {
                Statement::Stream(stream) => drop(self.relation(placed, &stream.name)),
                Statement::View(view) => drop(self.relation(placed, &view.name)),
                Statement::Model(model) => {
                    let outcome = self.planner.model(&model.name);
                    self.planner.note(placed, outcome);
                }
                Statement::Archive(name) => self.archive(placed, name),
                Statement::Insert(_) => self.insert(placed),
                Statement::Decision(decision) => self.decision(placed, decision),
                Statement::Experiment(_) | Statement::Test(_) => {}
            }
        }
    }

    fn archives(&mut self) {
        let statements = self.planner.statements;
        for placed in &statements.statements {
            self.planner.file = placed.file;
            if let Statement::Archive(name) = &placed.statement {
                self.archive(placed, name);
            }
        }
    }

    fn relation(&mut self, placed: &PlacedStatement, name: &Name) -> Option<Relation> {
        let outcome = self.planner.relation(name);
        self.planner.note(placed, outcome)
    }

    fn archive(&mut self, placed: &PlacedStatement, name: &Name) {
        let statements = self.planner.statements;
        let streams = || {
            statements.statements.iter().filter_map(|placed| match &placed.statement {
                Statement::Stream(stream) => Some(stream),
                _ => None,
            })
        };
        let found = streams().find(|stream| stream.name.text.eq_ignore_ascii_case(&name.text));
        let fault = match found {
            None => {
                let mut fault = Fault::new(name.span, format!("no stream is named \"{}\"", name.text));
                fault.hint = did_you_mean(&name.text, streams().map(|stream| stream.name.text.as_str()));
                fault
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
        self.planner.note::<()>(placed, fault.err());
    }

    fn matching(&mut self, patterns: &[String]) {
        let statements = self.planner.statements;
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
        let statements = self.planner.statements;
        let expected = statements.statements.iter().find_map(|placed| match &placed.statement {
            Statement::Test(test) => Some((placed, test.expects.iter().find(|expect| expect.target.text == name)?)),
            _ => None,
        });
        if let Some((placed, expect)) = expected {
            let mut fault = Fault::new(expect.target.span, format!("no {kind} is named \"{name}\""));
            fault.hint = did_you_mean(name, known.iter().map(String::as_str));
            self.planner.note::<()>(placed, fault.err());
            return;
        }
        let file = SourceFile { path: format!("<{kind}>"), text: name.to_owned() };
        let end = Location::new(1, 1 + name.chars().count() as u64);
        let mut fault = Fault::new(Span::new(Location::new(1, 1), end), format!("no {kind} is named \"{name}\""));
        fault.hint = did_you_mean(name, known.iter().map(String::as_str));
        fault.expected =
            Some(if known.is_empty() { format!("none: the project has no {kind}") } else { known.join(", ") });
        self.planner.wrong.push(fault.in_file(&file));
    }

    fn insert(&mut self, placed: &PlacedStatement) {
        let Statement::Insert(insert) = &placed.statement else { return };
        self.planner.file = placed.file;
        let (owner, output) = match (insert.target.text.as_str(), insert.topic) {
            ("", _) => ("query", Output::Query),
            (name, true) => (name, Output::Topic(name.to_owned())),
            (name, false) => (name, Output::Table(name.to_owned())),
        };
        let outcome = self.planner.query(owner, &insert.query, placed.span);
        if let Some(relation) = self.planner.note(placed, outcome) {
            self.put_out(relation, owner.to_owned(), output);
        }
    }

    fn put_out(&mut self, relation: Relation, name: String, output: Output) {
        let plan = &mut self.planner.plan;
        let schema = plan.schema(relation.node).clone();
        match output {
            Output::Table(_) => plan.sink(relation.node, Port::MAIN, name.clone(), output.clone()),
            Output::Topic(_) | Output::Query => plan.single_sink(relation.node, name.clone(), output.clone()),
        };
        self.models.extend(relation.models);
        self.outputs.push(OutputSpec { name, output, schema, from_decision: None, rules: Vec::new() });
    }

    fn decision(&mut self, placed: &PlacedStatement, declared: &Decision) {
        self.planner.file = placed.file;
        let outcome = decision::plan(&mut self.planner, declared, placed.span);
        let Some(node) = self.planner.note(placed, outcome) else { return };
        let plan = &mut self.planner.plan;
        let PlanKind::Decision(decision) = &plan.nodes[node].kind else { return };
        self.models.extend(decision.spec.model_versions.iter().cloned());
        let (actions, log) = (plan.schema(node).clone(), decision.log.clone());
        let names = decision.spec.rules.iter().map(|rule| rule.name.clone());
        let rules: Vec<_> = names.zip(decision.scored.iter().copied()).collect();
        let topic = declared.topic.text.clone();
        let table = declared.log_table();
        plan.single_sink(node, topic.clone(), Output::Topic(topic.clone()));
        plan.sink(node, Port::RECORDS, table.clone(), Output::Table(table.clone()));
        let from_decision = Some(declared.name.text.clone());
        let output = Output::Topic(topic.clone());
        self.outputs.push(OutputSpec {
            name: topic,
            output,
            schema: actions,
            from_decision: from_decision.clone(),
            rules: rules.clone(),
        });
        let output = Output::Table(table.clone());
        self.outputs.push(OutputSpec { name: table, output, schema: log, from_decision, rules });
    }

    fn view(&mut self, wanted: &str, output: fn(&str) -> Output) {
        let statements = self.planner.statements;
        let kinds = statements.statements.iter().filter_map(|placed| Some((placed, placed.statement.defines()?)));
        let readable = kinds.filter(|(_, (kind, _))| matches!(*kind, "view" | "stream"));
        let found = readable.clone().find(|(_, (_, name))| name.text.eq_ignore_ascii_case(wanted));
        let Some((placed, (_, name))) = found else {
            let known: Vec<String> = readable.map(|(_, (_, name))| name.text.clone()).collect();
            return self.unknown(wanted, "view", &known);
        };
        if let Some(relation) = self.relation(placed, name) {
            self.put_out(relation, name.text.clone(), output(&name.text));
        }
    }

    fn collect(&mut self, name: &str) {
        let statements = self.planner.statements;
        let decision = statements.statements.iter().find_map(|placed| match &placed.statement {
            Statement::Decision(decision) if decision.name.text.eq_ignore_ascii_case(name) => Some((placed, decision)),
            _ => None,
        });
        // What a stream keeps of the rows that it removes comes with the stream.
        let keeper = statements.statements.iter().find_map(|placed| match &placed.statement {
            Statement::Stream(stream) if removed_rows::is_kept_by(stream, name) => Some(stream.name.text.clone()),
            _ => None,
        });
        if let Some(stream) = keeper {
            return self.view(&stream, |name| Output::Table(name.to_owned()));
        }
        let Some((placed, declared)) = decision else {
            return self.view(name, |name| Output::Table(name.to_owned()));
        };
        self.planner.file = placed.file;
        let outcome = decision::plan(&mut self.planner, declared, placed.span);
        let Some(node) = self.planner.note(placed, outcome) else { return };
        self.acted(node, declared, placed);
    }

    /// The log rows of a decision that have an action.
    fn acted(&mut self, node: usize, declared: &Decision, placed: &PlacedStatement) {
        let PlanKind::Decision(decision) = &self.planner.plan.nodes[node].kind else { return };
        let log = decision.log.clone();
        let Ok(action) = log.index_of("action") else { return };
        let column = ScopeColumn {
            qualifier: None,
            name: "action".to_owned(),
            data_type: log.field(action).data_type().clone(),
            place: Place::Column(action),
        };
        let has_action = Expr::IsNotNull(Box::new(Expr::Identifier("action".into())));
        let compiled = expression::compile(&has_action, &Scope { columns: vec![column] });
        let compiled = compiled.map_err(|problem| Box::new(crate::diagnostic::fault(problem)));
        let Some(compiled) = self.planner.note(placed, compiled) else { return };
        let name = declared.name.text.clone();
        let filter = self.planner.plan.records_filter(node, compiled.scalar, log.clone());
        let output = Output::Table(name.clone());
        self.planner.plan.sink(filter, Port::MAIN, name.clone(), output.clone());
        self.outputs.push(OutputSpec {
            name: name.clone(),
            output,
            schema: log,
            from_decision: Some(name),
            rules: Vec::new(),
        });
    }
}

/// The names by which an output can be asked for.
fn names_of(statement: &Statement) -> Vec<String> {
    match statement {
        Statement::Insert(insert) => vec![insert.target.text.clone()],
        Statement::Decision(decision) => {
            vec![decision.name.text.clone(), decision.topic.text.clone(), decision.log_table()]
        }
        _ => vec![],
    }
}

/// Whether a name matches a pattern, in which `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern.eq_ignore_ascii_case(name),
        Some((before, behind)) => {
            let begins = name.get(..before.len()).is_some_and(|start| start.eq_ignore_ascii_case(before));
            begins
                && name
                    .char_indices()
                    .map(|(at, _)| at)
                    .chain([name.len()])
                    .filter(|at| *at >= before.len())
                    .any(|at| matches(behind, &name[at..]))
        }
    }
}

/// Names are defined once. Streams, views and decisions share their names; models and experiments have their own.
fn same_names(planner: &mut Planner) {
    let statements = planner.statements;
    let mut seen: HashMap<(u8, String), (&PlacedStatement, &str)> = HashMap::new();
    for placed in &statements.statements {
        let Some((kind, name)) = placed.statement.defines() else { continue };
        let space = match kind {
            "model" => 1,
            "experiment" => 2,
            _ => 0,
        };
        match seen.get(&(space, name.text.to_lowercase())) {
            None => drop(seen.insert((space, name.text.to_lowercase()), (placed, kind))),
            Some((first, first_kind)) => {
                let place = format!("{}:{}", statements.files[first.file].path, first.span.start.line);
                let fault = Fault::new(name.span, format!("\"{}\" is defined twice", name.text))
                    .found(format!("a {kind} of the name of the {first_kind} at {place}"))
                    .hint("give one of them another name");
                planner.note::<()>(placed, fault.err());
            }
        }
    }
}

/// Each table and topic is written by one statement, and not by one that reads it.
fn same_outputs(planner: &mut Planner) {
    let statements = planner.statements;
    let mut seen: HashMap<(bool, String), String> = HashMap::new();
    for placed in &statements.statements {
        if let Statement::Stream(stream) = &placed.statement {
            if let Some(History::Table(table)) = &stream.history {
                seen.insert((false, table.text.to_lowercase()), format!("HISTORY of stream \"{}\"", stream.name.text));
            }
            if let Some(topic) = &stream.live {
                seen.insert((true, topic.text.to_lowercase()), format!("LIVE of stream \"{}\"", stream.name.text));
            }
        }
    }
    let mut shared = HashSet::new();
    for placed in &statements.statements {
        for (topic, name, span) in placed.statement.writes() {
            let kind = if topic { "topic" } else { "table" };
            // Streams may share what their dead letters go to, since these all have the same columns.
            let letters = removed_rows::are_letters(&placed.statement, span);
            match seen.get(&(topic, name.to_lowercase())) {
                Some(_) if letters && shared.contains(&(topic, name.to_lowercase())) => {}
                None => {
                    if letters {
                        shared.insert((topic, name.to_lowercase()));
                    }
                    let place = format!("written at {}:{}", statements.files[placed.file].path, span.start.line);
                    seen.insert((topic, name.to_lowercase()), place);
                }
                Some(other) => {
                    let fault = Fault::new(span, format!("{kind} \"{name}\" has another use already"))
                        .found(other)
                        .expected(format!("a {kind} that nothing else writes or reads as input"))
                        .hint("write to another name");
                    planner.note::<()>(placed, fault.err());
                }
            }
        }
    }
}
