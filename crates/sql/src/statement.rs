//! The statements of a project, as they are written.

use crate::diagnostic::{Diagnostic, Fault};
use crate::source_file::SourceFile;
use dataflow::{BadRowPolicy, Late, Output, PartitionTransform, QueueSharing, Quiet, Span as Length};
use sqlparser::ast::{Expr, Ident, Query};
use sqlparser::tokenizer::{Location, Span};
use std::collections::HashSet;
use values::Encoding;

/// The statements of all files of a project.
#[derive(Clone, Debug, Default)]
pub struct Statements {
    pub(crate) files: Vec<SourceFile>,
    pub(crate) statements: Vec<PlacedStatement>,
    /// Where the right sides of as-of joins begin: file and location.
    pub(crate) as_of: HashSet<(usize, Location)>,
    /// What is wrong in the text of statements, which are not among these.
    pub(crate) wrong: Vec<Diagnostic>,
    pub(crate) lost: LostNames,
}

/// What the statements that could not be read may define: a name of theirs that is not found has been told of.
#[derive(Clone, Debug, Default)]
pub(crate) struct LostNames {
    /// In lower case.
    pub names: HashSet<String>,
    /// Whether a file could not be read at all, so that any name may be in it.
    pub may_be_any: bool,
}

impl LostNames {
    pub fn has(&self, name: &str) -> bool {
        self.may_be_any || self.names.contains(&name.to_lowercase())
    }
}

/// A statement and its place.
#[derive(Clone, Debug)]
pub(crate) struct PlacedStatement {
    pub file: usize,
    pub span: Span,
    pub statement: Statement,
}

#[derive(Clone, Debug)]
pub(crate) enum Statement {
    Stream(Stream),
    View(View),
    Insert(Insert),
    Archive(Archive),
    Model(Model),
    Experiment(Experiment),
    Decision(Decision),
    Test(Test),
}

/// A name with its place; parts of a dotted name are joined by dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The name.
    pub text: String,
    /// Its place.
    pub span: Span,
}

/// A stream as it is declared.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub name: Name,
    pub columns: Vec<StreamColumn>,
    pub watermark: Option<Watermark>,
    pub dedup: Option<(Vec<Name>, Length)>,
    pub history: Option<History>,
    pub live: Option<Name>,
    /// What QUEUE says of the topic, and where.
    pub queue: Option<(QueueSharing, Span)>,
    pub bad_rows: BadRowPolicy,
    /// What DEAD LETTER TO names.
    pub dead_letters: Option<NamedOutput>,
}

#[derive(Clone, Debug)]
pub(crate) struct StreamColumn {
    pub name: Name,
    pub data_type: Option<sqlparser::ast::DataType>,
    pub type_span: Span,
    pub source: StreamColumnSource,
    pub tags: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) enum StreamColumnSource {
    Named,
    Path(Vec<String>),
    Computed(Expr),
}

#[derive(Clone, Debug)]
pub(crate) struct Watermark {
    pub column: Name,
    pub delay: Length,
    pub quiet: Quiet,
    pub late: Late,
    /// Where QUIET and LATE are said, if they are.
    pub quiet_at: Option<Span>,
    pub late_at: Option<Span>,
    /// What ARRIVAL names: the column that says when a row of a history without coordinates arrived.
    pub arrival: Option<Name>,
    /// What LATE TO names.
    pub late_rows: Option<NamedOutput>,
}

/// Where a stream writes rows that it removes.
#[derive(Clone, Debug)]
pub(crate) struct NamedOutput {
    pub output: Output,
    pub name: Name,
}

/// Where the past of a stream is, as it is declared.
#[derive(Clone, Debug)]
pub(crate) enum History {
    Table(Name),
    Files(Name, Encoding),
}

#[derive(Clone, Debug)]
pub(crate) struct View {
    pub name: Name,
    pub query: Box<Query>,
}

#[derive(Clone, Debug)]
pub(crate) struct Insert {
    pub target: Name,
    pub topic: bool,
    pub layout: Layout,
    pub query: Box<Query>,
}

/// `ARCHIVE stream`, and how its rows lie in the table.
#[derive(Clone, Debug)]
pub(crate) struct Archive {
    pub stream: Name,
    pub layout: Layout,
}

/// How the rows of a table lie in its files, as it is written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    pub partition_by: Vec<PartitionColumn>,
    pub sort_by: Vec<SortColumn>,
    pub properties: Vec<Property>,
}

#[derive(Clone, Debug)]
pub(crate) struct PartitionColumn {
    pub column: Name,
    pub transform: PartitionTransform,
}

#[derive(Clone, Debug)]
pub(crate) struct SortColumn {
    pub column: Name,
    pub descending: bool,
    pub nulls_first: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Property {
    pub name: Name,
    pub value: String,
}

/// A model as it is declared: `CREATE MODEL name FROM 'file' INPUTS (..) OUTPUT ..`.
#[derive(Clone, Debug)]
pub struct Model {
    /// The name in the project.
    pub name: Name,
    /// The path of the file in the project.
    pub path: Name,
    /// The names of the inputs in the model's order; `None` when the model file has them.
    pub inputs: Option<Vec<Name>>,
    /// Which output is the score.
    pub output: ModelOutput,
}

/// Which output of a model is the score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelOutput {
    /// The only output of the model.
    Only,
    /// `OUTPUT name`: an output by its name in the file.
    Named(Name),
    /// `OUTPUT probability OF 1`: the probability of a class by its label, as it is written.
    ProbabilityOf(Name),
    /// `OUTPUT value OF 1`: one of several values by its place.
    ValueOf(Name),
}

/// An experiment: a share of the keys for each arm.
#[derive(Clone, Debug)]
pub(crate) struct Experiment {
    pub name: Name,
    pub key: Name,
    /// Names of the arms and their shares in hundredths of a percent, which add up to 10,000.
    pub arms: Vec<(Name, u64)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Decision {
    pub name: Name,
    pub view: Name,
    pub subject: Ident,
    pub topic: Name,
    /// The table that a record of every decision goes to.
    pub log: String,
    pub rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub name: Name,
    pub shadow: bool,
    pub condition: Expr,
    pub action: String,
    pub once_per: Option<Length>,
}

/// A test as it is written.
#[derive(Clone, Debug)]
pub struct Test {
    /// What it shows.
    pub name: String,
    /// The path of its file.
    pub path: String,
    /// Its line, counted from 1.
    pub line: u64,
    /// The rows of streams.
    pub givens: Vec<Given>,
    /// Models that give one score for every row.
    pub scores: Vec<(String, f64)>,
    /// What should come out.
    pub expects: Vec<Expect>,
    pub(crate) file: usize,
    pub(crate) span: Span,
}

/// Rows of a stream.
#[derive(Clone, Debug)]
pub struct Given {
    /// The stream.
    pub stream: Name,
    pub(crate) columns: Option<Vec<Name>>,
    pub(crate) query: Box<Query>,
}

/// What should come out of a view or decision.
#[derive(Clone, Debug)]
pub struct Expect {
    /// The view or decision.
    pub target: Name,
    pub(crate) expectation: Expectation,
}

/// The rows that a target should have, or that it should have none.
#[derive(Clone, Debug)]
pub(crate) enum Expectation {
    Rows { columns: Option<Vec<Name>>, query: Box<Query>, exactly: bool },
    NoRows(Option<Expr>),
}

impl Test {
    /// The views and decisions that the test looks at, for [`crate::Target::Collect`].
    pub fn targets(&self) -> Vec<String> {
        let mut targets: Vec<String> = Vec::new();
        for expect in &self.expects {
            if !targets.iter().any(|target| target.eq_ignore_ascii_case(&expect.target.text)) {
                targets.push(expect.target.text.clone());
            }
        }
        targets
    }
}

impl Statement {
    /// The word after CREATE and the name, for statements that define a name.
    pub fn defines(&self) -> Option<(&'static str, &Name)> {
        match self {
            Statement::Stream(stream) => Some(("stream", &stream.name)),
            Statement::View(view) => Some(("view", &view.name)),
            Statement::Model(model) => Some(("model", &model.name)),
            Statement::Experiment(experiment) => Some(("experiment", &experiment.name)),
            Statement::Decision(decision) => Some(("decision", &decision.name)),
            Statement::Insert(_) | Statement::Archive(_) | Statement::Test(_) => None,
        }
    }

    /// What the statement writes to: whether it is a topic, its name, and the place that names it.
    pub(crate) fn writes(&self) -> Vec<(bool, String, Span)> {
        match self {
            Statement::Stream(stream) => {
                let late_rows = stream.watermark.as_ref().and_then(|watermark| watermark.late_rows.as_ref());
                let of = |to: &NamedOutput| (matches!(to.output, Output::Topic(_)), to.name.text.clone(), to.name.span);
                stream.dead_letters.iter().chain(late_rows).map(of).collect()
            }
            Statement::Insert(insert) => vec![(insert.topic, insert.target.text.clone(), insert.target.span)],
            Statement::Decision(decision) => vec![
                (true, decision.topic.text.clone(), decision.topic.span),
                (false, decision.log.clone(), decision.name.span),
            ],
            _ => Vec::new(),
        }
    }
}

impl Statements {
    /// What is wrong with the statements that could not be read.
    pub fn wrong(&self) -> &[Diagnostic] {
        &self.wrong
    }

    /// The statements that could be read, as if the others were not there.
    #[must_use]
    pub fn as_far_as_read(&self) -> Statements {
        Statements { wrong: Vec::new(), ..self.clone() }
    }

    /// Whether there is no statement at all.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// Whether there is an INSERT or a decision: something that a job writes.
    pub fn has_outputs(&self) -> bool {
        self.statements.iter().any(|placed| matches!(placed.statement, Statement::Insert(_) | Statement::Decision(_)))
    }

    /// Adds a suffix to the names of all outputs of removed rows.
    pub fn keep_under(&mut self, suffix: &str) {
        for placed in &mut self.statements {
            let Statement::Stream(stream) = &mut placed.statement else { continue };
            let late_rows = stream.watermark.as_mut().and_then(|watermark| watermark.late_rows.as_mut());
            for to in stream.dead_letters.iter_mut().chain(late_rows) {
                if let Output::Table(name) | Output::Topic(name) = &mut to.output {
                    name.push_str(suffix);
                }
                to.name.text.push_str(suffix);
            }
        }
    }

    /// The names of all streams.
    pub fn streams(&self) -> Vec<String> {
        let stream = |placed: &PlacedStatement| match &placed.statement {
            Statement::Stream(stream) => Some(stream.name.text.clone()),
            _ => None,
        };
        self.statements.iter().filter_map(stream).collect()
    }

    /// The names of all topics: those that streams read, and those that something is written to.
    pub fn topics(&self) -> Vec<String> {
        let of = |placed: &PlacedStatement| {
            let read = match &placed.statement {
                Statement::Stream(stream) => stream.live.as_ref().map(|topic| topic.text.clone()),
                _ => None,
            };
            let writes = placed.statement.writes().into_iter().filter(|(is_topic, ..)| *is_topic);
            read.into_iter().chain(writes.map(|(_, name, _)| name)).collect::<Vec<_>>()
        };
        let mut topics: Vec<String> = self.statements.iter().flat_map(of).collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    /// What a stream declares of bad rows, also where a query of it would only count them.
    pub fn bad_rows(&self, stream: &str) -> Option<BadRowPolicy> {
        self.statements.iter().find_map(|placed| match &placed.statement {
            Statement::Stream(found) if found.name.text.eq_ignore_ascii_case(stream) => Some(found.bad_rows),
            _ => None,
        })
    }

    /// Where the dead letters of a stream go, by the name that its declaration gives.
    pub fn dead_letters(&self, stream: &str) -> Option<&Output> {
        self.statements.iter().find_map(|placed| match &placed.statement {
            Statement::Stream(found) if found.name.text.eq_ignore_ascii_case(stream) => {
                found.dead_letters.as_ref().map(|to| &to.output)
            }
            _ => None,
        })
    }

    /// The names of the experiments.
    pub fn experiments(&self) -> impl Iterator<Item = String> {
        self.statements.iter().filter_map(|placed| match &placed.statement {
            Statement::Experiment(experiment) => Some(experiment.name.text.clone()),
            _ => None,
        })
    }

    /// Whether a stream says which columns it has, and does not take them from its history.
    pub fn declares_columns(&self, stream: &str) -> bool {
        self.statements.iter().any(|placed| match &placed.statement {
            Statement::Stream(found) => found.name.text.eq_ignore_ascii_case(stream) && !found.columns.is_empty(),
            _ => false,
        })
    }

    /// What is wrong with the inputs of a stream, at the place where its HISTORY or LIVE stands.
    pub fn at_inputs(&self, stream: &str, message: &str) -> Option<Diagnostic> {
        self.statements.iter().find_map(|placed| match &placed.statement {
            Statement::Stream(found) if found.name.text.eq_ignore_ascii_case(stream) => {
                let span = match &found.history {
                    Some(History::Table(name) | History::Files(name, _)) => name.span,
                    None => found.live.as_ref().map_or(found.name.span, |topic| topic.span),
                };
                Some(Fault::new(span, message).in_file(self.files.get(placed.file)?))
            }
            _ => None,
        })
    }

    /// What is wrong with an output, at the place that names it.
    pub fn at_output(&self, output: &Output, message: &str) -> Option<Diagnostic> {
        self.statements.iter().find_map(|placed| {
            let (_, _, span) = placed.statement.writes().into_iter().find(|(is_topic, name, _)| match output {
                Output::Topic(topic) => *is_topic && name == topic,
                Output::Table(table) => !*is_topic && name == table,
                Output::Query(_) => false,
            })?;
            Some(Fault::new(span, message).in_file(self.files.get(placed.file)?))
        })
    }

    /// The patterns of the files that streams read as history, with the stream of each.
    pub fn history_files(&self) -> Vec<(String, String)> {
        let files = |placed: &PlacedStatement| match &placed.statement {
            Statement::Stream(stream) => match &stream.history {
                Some(History::Files(pattern, _)) => Some((pattern.text.clone(), stream.name.text.clone())),
                _ => None,
            },
            _ => None,
        };
        self.statements.iter().filter_map(files).collect()
    }

    /// The tables that streams have as HISTORY, each with its stream.
    pub fn history_tables(&self) -> Vec<(String, String)> {
        let history = |placed: &PlacedStatement| match &placed.statement {
            Statement::Stream(Stream { name, history: Some(History::Table(table)), .. }) => {
                Some((table.text.clone(), name.text.clone()))
            }
            _ => None,
        };
        self.statements.iter().filter_map(history).collect()
    }

    /// The tests, in the order of the text.
    pub fn tests(&self) -> Vec<Test> {
        let test = |placed: &PlacedStatement| match &placed.statement {
            Statement::Test(test) => Some(test.clone()),
            _ => None,
        };
        self.statements.iter().filter_map(test).collect()
    }

    /// The names of streams and views, in the order of the text.
    pub fn relations(&self) -> Vec<&str> {
        let defined = self.statements.iter().filter_map(|placed| placed.statement.defines());
        defined.filter(|(kind, _)| matches!(*kind, "stream" | "view")).map(|(_, name)| name.text.as_str()).collect()
    }

    /// The names of decisions, in the order of the text.
    pub fn decisions(&self) -> Vec<&str> {
        let defined = self.statements.iter().filter_map(|placed| placed.statement.defines());
        defined.filter(|(kind, _)| *kind == "decision").map(|(_, name)| name.text.as_str()).collect()
    }

    /// The topic that a decision writes its actions to.
    pub fn topic_of(&self, decision: &str) -> Option<&str> {
        self.statements.iter().find_map(|placed| match &placed.statement {
            Statement::Decision(found) if found.name.text.eq_ignore_ascii_case(decision) => {
                Some(found.topic.text.as_str())
            }
            _ => None,
        })
    }

    /// The models, in the order of the text.
    pub fn models(&self) -> Vec<Model> {
        let model = |placed: &PlacedStatement| match &placed.statement {
            Statement::Model(model) => Some(model.clone()),
            _ => None,
        };
        self.statements.iter().filter_map(model).collect()
    }
}
