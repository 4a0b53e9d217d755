//! Checking: everything that a target needs is bound and planned, and everything wrong with it is said.

use crate::bind::{Binding, Target, bind_query, bind_targets, check_layout, once, printed_statements, printed_views};
use crate::catalog::Catalog;
use crate::diagnostic::{Diagnostic, fault};
use crate::lower::physical::{Plan, PlanKind};
use crate::lower::{bounded, lower, name_apart, removed_rows, wanted_rows};
use crate::output::{OutputSpec, QueryPlan};
use crate::plan;
use crate::plan::logical::{LogicalNode, LogicalPlan, Operator, Score};
use crate::queue;
use crate::rules::{self, Rule};
use crate::source_file::SourceFile;
use crate::statement::{Insert, Layout, Name, PlacedStatement, Statement, Statements};
use crate::stream::Stream;
use arrow::datatypes::SchemaRef;
use dataflow::{EventTime, Output, RowFilter, RowText};
use sqlparser::tokenizer::{Location, Span};
use std::collections::{BTreeMap, HashMap};

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
    /// What a query does where the streams end.
    pub query: Option<QueryPlan>,
    /// What is wrong with what nothing needs.
    pub warnings: Vec<Diagnostic>,
    /// Of each stream what every row fulfils that comes further than the conditions which rows meet first. Readers of a
    /// query may leave out others; those of a job may not, since they count what becomes of every row.
    pub wanted: BTreeMap<String, RowFilter>,
    pub(crate) selects: String,
    pub(crate) bound: String,
    pub(crate) logical: LogicalPlan,
    pub(crate) fired: Vec<(Rule, usize)>,
    pub(crate) plan: Plan,
    pub(crate) files: Vec<SourceFile>,
    /// The names of all streams that are declared, read or not.
    pub(crate) declared: Vec<String>,
}

impl CheckedPlan {
    /// The statements as they are bound, but streams: stars are written out, names say where they come from, and a SELECT
    /// within another is a view of its own. It is SQL that binds to the same again.
    pub fn bound(&self) -> &str {
        &self.bound
    }

    /// The SELECTs of these statements, each as a view.
    pub fn selects(&self) -> &str {
        &self.selects
    }

    /// What each decision does, one text per rule.
    pub fn rules(&self) -> Vec<String> {
        let of = |node: &LogicalNode| match &node.operator {
            Operator::Decision(decision) => plan::describe::rules(decision, &self.logical.columns),
            _ => vec![],
        };
        self.logical.nodes.iter().flat_map(of).collect()
    }

    /// The logical plan as text.
    pub fn logical(&self) -> String {
        self.logical.print()
    }

    /// The rules that made the plan better, and how often.
    pub fn fired(&self) -> &[(Rule, usize)] {
        &self.fired
    }
}

/// Plans what a target needs, or says everything that is wrong with it.
pub fn check(statements: &Statements, catalog: &dyn Catalog, target: &Target) -> Result<CheckedPlan, Vec<Diagnostic>> {
    check_with(statements, catalog, target, &Rule::ALL)
}

/// The same with some of the rules: they make the plan better, and never change what it gives.
pub fn check_with(
    statements: &Statements,
    catalog: &dyn Catalog,
    target: &Target,
    rules: &[Rule],
) -> Result<CheckedPlan, Vec<Diagnostic>> {
    let mut statements = statements.clone();
    let query = match target {
        Target::Query(text) => Some(add_query(&mut statements, text).map_err(|diagnostic| vec![diagnostic])?),
        _ => None,
    };
    let mut binding = Binding::new(&statements, catalog, bind_query);
    binding.wrong.clone_from(&statements.wrong);
    once::names(&mut binding);
    once::outputs(&mut binding);
    bind_targets(&mut binding, target, query.as_ref());
    if !binding.wrong.is_empty() {
        return Err(in_order(binding.wrong, &statements));
    }
    let (selects, bound) = (printed_views(&binding), printed_statements(&binding));
    let ours = |problem| vec![fault(problem).in_file(&statements.files[0])];
    let built = plan::build(&binding).map_err(ours)?;
    if !matches!(target, Target::Query(_) | Target::View(_)) {
        let wrong = queue::wrong(&built, &binding.streams, &statements);
        if !wrong.is_empty() {
            return Err(in_order(wrong, &statements));
        }
    }
    let Binding { mut streams, relations, answer, warnings, .. } = binding;
    let (logical, fired) = rules::apply(built, rules).map_err(ours)?;
    let wanted = wanted_rows(&logical, &streams);
    let lowered = lower(&logical, &streams);
    let (mut plan, mut outputs) = lowered.map_err(|(file, fault)| vec![fault.in_file(&statements.files[file])])?;
    let query = answer.map(|answer| {
        let given: Vec<SchemaRef> = outputs.iter().map(|output| output.schema.clone()).collect();
        bounded::query(&relations, &logical.columns, &given, answer).map_err(ours)
    });
    let query = query.transpose()?;
    let is_read = |stream: &Stream| {
        plan.nodes.iter().any(|node| matches!(&node.kind, PlanKind::Source(name) if *name == stream.name))
    };
    streams.retain(is_read);
    match target {
        Target::Query(_) | Target::View(_) => removed_rows::count_only(&mut streams),
        _ => removed_rows::plan(&mut plan, &streams, &mut outputs),
    }
    let wrong = wrong_layouts(&statements, &outputs);
    if !wrong.is_empty() {
        return Err(wrong);
    }
    name_apart(&mut plan);
    let (models, declared) = (models(&logical), statements.streams());
    let files = statements.files;
    Ok(CheckedPlan {
        streams,
        outputs,
        models,
        query,
        warnings,
        wanted,
        selects,
        bound,
        logical,
        fired,
        plan,
        files,
        declared,
    })
}

/// What is wrong with how rows of outputs are to lie in the files of their tables.
fn wrong_layouts(statements: &Statements, outputs: &[OutputSpec]) -> Vec<Diagnostic> {
    let mut wrong = Vec::new();
    for placed in &statements.statements {
        let Statement::Insert(insert) = &placed.statement else { continue };
        let is_it = |spec: &&OutputSpec| spec.output == Output::Table(insert.target.text.clone());
        let Some(spec) = outputs.iter().find(is_it) else { continue };
        if let Err(fault) = check_layout(&insert.layout, &spec.schema) {
            wrong.push(fault.within(placed.span).in_file(&statements.files[placed.file]));
        }
    }
    wrong
}

/// What is wrong, in the order of the files and their lines.
fn in_order(mut wrong: Vec<Diagnostic>, statements: &Statements) -> Vec<Diagnostic> {
    let order: HashMap<&str, usize> =
        statements.files.iter().enumerate().map(|(at, file)| (file.path.as_str(), at)).collect();
    wrong.sort_by_key(|wrong| (order.get(wrong.path.as_str()).copied(), wrong.line, wrong.column));
    wrong.dedup();
    wrong
}

/// The models that score rows, with their versions.
fn models(logical: &LogicalPlan) -> Vec<(String, String)> {
    let version = |score: &Score| (score.model.clone(), score.scorer.version().to_owned());
    let of = |operator: &Operator| match operator {
        Operator::Predict(scores) => scores.iter().map(version).collect(),
        _ => vec![],
    };
    let mut models: Vec<(String, String)> = logical.nodes.iter().flat_map(|node| of(&node.operator)).collect();
    models.sort();
    models.dedup();
    models
}

/// A query is an INSERT whose target is the caller.
fn add_query(statements: &mut Statements, text: &str) -> Result<PlacedStatement, Diagnostic> {
    let file = SourceFile { path: "<query>".to_owned(), text: text.to_owned() };
    let (query, marks) = crate::parse::parse_query(text).map_err(|fault| fault.in_file(&file))?;
    let number = statements.files.len();
    statements.files.push(file);
    statements.as_of.extend(marks.into_iter().map(|at| (number, at)));
    let span = first_character();
    let insert = Insert { target: Name { text: String::new(), span }, topic: false, layout: Layout::default(), query };
    Ok(PlacedStatement { file: number, span, statement: Statement::Insert(insert) })
}

fn first_character() -> Span {
    Span::new(Location::new(1, 1), Location::new(1, 2))
}
