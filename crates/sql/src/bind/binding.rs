//! Binding: each stream, view and model is bound once, when the first that needs it asks.

use super::bound::{BoundDecision, BoundOutput, BoundedStep, Definition, RelationId};
use super::columns::Columns;
use super::relation::{Relation, RelationColumn};
use super::{model_inputs, stream, syntax};
use crate::catalog::{Catalog, StoredTable};
use crate::diagnostic::{Diagnostic, Fault, Outcome};
use crate::file_hint::file_hint;
use crate::statement::{Model, Name, PlacedStatement, Statement, Statements};
use crate::stream::Stream;
use arrow::datatypes::Field;
use dataflow::Scorer;
use sqlparser::ast::Query;
use sqlparser::tokenizer::Span;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Binds what is asked for, and gathers what is wrong.
pub(crate) struct Binding<'a> {
    pub statements: &'a Statements,
    pub catalog: &'a dyn Catalog,
    pub columns: Columns,
    /// What one reads comes before it.
    pub relations: Vec<Definition>,
    pub decisions: Vec<BoundDecision>,
    pub outputs: Vec<BoundOutput>,
    pub streams: Vec<Stream>,
    pub wrong: Vec<Diagnostic>,
    /// What is wrong with what nothing needs.
    pub warnings: Vec<Diagnostic>,
    /// Streams and views by lower-case name; `None` when they are wrong, which has been said.
    known: HashMap<String, Option<Relation>>,
    models: HashMap<String, Option<Arc<dyn Scorer>>>,
    /// Views that are being bound, to see cycles.
    open: Vec<String>,
    /// Names that WITH gives, innermost last.
    pub local: Vec<(String, Relation)>,
    /// The file of the statement that is being bound.
    pub file: usize,
    /// Whether what is being bound is a query over input that ends, and not a view.
    pub is_bounded: bool,
    /// The answer of the query.
    pub answer: Option<RelationId>,
    /// Binds a query: set by whoever knows how, so that names do not have to know SELECT.
    bind_query: BindQuery,
}

/// Binds a query whose steps are called after an owner.
pub(crate) type BindQuery = for<'a> fn(&mut Binding<'a>, &str, &Query, Span) -> Outcome<Relation>;

impl<'a> Binding<'a> {
    pub fn new(statements: &'a Statements, catalog: &'a dyn Catalog, bind_query: BindQuery) -> Binding<'a> {
        Binding {
            statements,
            catalog,
            columns: Columns::default(),
            relations: Vec::new(),
            decisions: Vec::new(),
            outputs: Vec::new(),
            streams: Vec::new(),
            wrong: Vec::new(),
            warnings: Vec::new(),
            known: HashMap::new(),
            models: HashMap::new(),
            open: Vec::new(),
            local: Vec::new(),
            file: 0,
            is_bounded: false,
            answer: None,
            bind_query,
        }
    }

    /// Notes what is wrong with a part of a statement; `None` then.
    pub fn note<T>(&mut self, placed: &PlacedStatement, outcome: Outcome<T>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(fault) => {
                if !fault.is_reported() {
                    self.wrong.push(fault.within(placed.span).in_file(&self.statements.files[placed.file]));
                }
                None
            }
        }
    }

    /// The stream or view of a name.
    pub fn relation(&mut self, name: &Name) -> Outcome<Relation> {
        let key = name.text.to_lowercase();
        if let Some((_, relation)) = self.local.iter().rev().find(|(local, _)| *local == key) {
            return Ok(relation.clone());
        }
        if self.open.contains(&key) {
            let through = self.open.iter().skip_while(|open| **open != key).cloned().collect::<Vec<_>>().join(" -> ");
            return Fault::new(name.span, format!("view \"{}\" reads from itself", name.text))
                .found(format!("{through} -> {key}"))
                .hint("a view can read only views that do not read it")
                .err();
        }
        if let Some(known) = self.known.get(&key) {
            return known.clone().ok_or_else(|| Box::new(Fault::reported()));
        }
        let Some(placed) = self.definition(&key) else {
            if self.statements.lost.has(&key) {
                return Fault::reported().err();
            }
            return match self.is_bounded {
                true => self.stored(name),
                false => self.unknown_relation(name, &[]).err(),
            };
        };
        self.define_what_is_read(placed);
        let outcome = self.define(placed, &key);
        let relation = self.note(placed, outcome);
        self.known.insert(key, relation.clone());
        relation.ok_or_else(|| Box::new(Fault::reported()))
    }

    fn definition(&self, key: &str) -> Option<&'a PlacedStatement> {
        self.statements.statements.iter().find(|placed| match &placed.statement {
            Statement::Stream(stream) => stream.name.text.eq_ignore_ascii_case(key),
            Statement::View(view) => view.name.text.eq_ignore_ascii_case(key),
            _ => false,
        })
    }

    /// Binds the views that a view reads before it, however long their chain is: the stack of calls does not grow with
    /// it. A circle is left to whoever goes around it.
    fn define_what_is_read(&mut self, placed: &'a PlacedStatement) {
        let mut waiting = vec![(placed, false)];
        let mut seen = HashSet::new();
        while let Some((placed, ready)) = waiting.pop() {
            let Statement::View(view) = &placed.statement else { continue };
            let key = view.name.text.to_lowercase();
            if self.known.contains_key(&key) {
                continue;
            }
            if ready && waiting.is_empty() {
                return;
            }
            if ready {
                let outcome = self.define(placed, &key);
                let relation = self.note(placed, outcome);
                self.known.insert(key, relation);
                continue;
            }
            if !seen.insert(key) {
                // Its own reading leads back to it.
                return;
            }
            waiting.push((placed, true));
            let read = syntax::tables_in(&view.query);
            waiting
                .extend(read.iter().filter_map(|name| self.definition(&name.to_lowercase())).map(|view| (view, false)));
        }
    }

    fn define(&mut self, placed: &PlacedStatement, key: &str) -> Outcome<Relation> {
        let file = std::mem::replace(&mut self.file, placed.file);
        let local = std::mem::take(&mut self.local);
        let is_bounded = std::mem::replace(&mut self.is_bounded, false);
        self.open.push(key.to_owned());
        let outcome = match &placed.statement {
            Statement::Stream(stream) => self.define_stream(stream, placed),
            Statement::View(view) => self.query(&view.name.text, &view.query, placed.span),
            _ => Err(Box::new(Fault::reported())),
        };
        self.open.pop();
        self.local = local;
        self.is_bounded = is_bounded;
        self.file = file;
        outcome
    }

    /// A table that a job has written.
    fn stored(&mut self, name: &Name) -> Outcome<Relation> {
        let stored = self.catalog.stored_table(&name.text);
        let stored = stored.map_err(|error| Box::new(Fault::new(name.span, error.chain())))?;
        let (table, schema) = match stored {
            StoredTable::There { name, schema } => (name, schema),
            StoredTable::Absent { tables } => return self.unknown_relation(name, &tables).err(),
        };
        let column = |field: &Arc<Field>| RelationColumn {
            qualifier: Some(name.text.clone()),
            name: field.name().clone(),
            id: self.columns.add(field.name(), field.data_type().clone()),
            data_type: field.data_type().clone(),
            time: false,
            scored: false,
            needs_qualifier: false,
            is_used: false,
        };
        let columns: Vec<RelationColumn> = schema.fields().iter().map(column).collect();
        let ids = columns.iter().map(|column| column.id).collect();
        let step = BoundedStep::Table { name: table, schema, columns: ids };
        let id = self.add(Definition::Bounded(Box::new(step)));
        Ok(Relation::bounded(id, columns))
    }

    fn define_stream(&mut self, declared: &crate::statement::Stream, placed: &PlacedStatement) -> Outcome<Relation> {
        let stream = stream::bind(declared, self.catalog, placed.span)?;
        let mut columns = Vec::with_capacity(stream.schema.fields().len());
        for (at, field) in stream.schema.fields().iter().enumerate() {
            columns.push(RelationColumn {
                qualifier: Some(stream.name.clone()),
                name: field.name().clone(),
                id: self.columns.add(field.name(), field.data_type().clone()),
                data_type: field.data_type().clone(),
                time: at == stream.time_column,
                scored: false,
                needs_qualifier: false,
                is_used: false,
            });
        }
        let ids = columns.iter().map(|column| column.id).collect();
        let id = self.add(Definition::Stream { at: self.streams.len(), columns: ids });
        self.streams.push(stream);
        Ok(Relation::new(id, columns, BTreeMap::new(), 0))
    }

    /// How many streams and tables steps over rows that end read, each as often as it is read.
    pub fn inputs_of(&self, answer: RelationId) -> usize {
        let mut counts: Vec<usize> = Vec::with_capacity(answer.0 + 1);
        for definition in &self.relations[..=answer.0] {
            let reads = match definition {
                Definition::Bounded(step) => step.reads(),
                _ => vec![],
            };
            let count = reads.iter().fold(0_usize, |sum, read| sum.saturating_add(counts[read.0]));
            counts.push(count.max(1));
        }
        counts[answer.0]
    }

    /// What streams give to steps over rows that end, in the order in which these read it.
    pub fn streams_of(&self, answer: RelationId) -> Vec<RelationId> {
        match &self.relations[answer.0] {
            Definition::Bounded(step) => step.reads().into_iter().flat_map(|read| self.streams_of(read)).collect(),
            _ => vec![answer],
        }
    }

    /// Binds a query whose steps are called after an owner.
    pub fn query(&mut self, owner: &str, query: &Query, span: Span) -> Outcome<Relation> {
        (self.bind_query)(self, owner, query, span)
    }

    /// Adds a relation; what it reads is there already.
    pub fn add(&mut self, definition: Definition) -> RelationId {
        self.relations.push(definition);
        RelationId(self.relations.len() - 1)
    }

    /// What is said of a name that is none of what can be read: streams, views, and tables where a query is bound.
    fn unknown_relation(&self, name: &Name, tables: &[String]) -> Fault {
        let kinds = self.statements.statements.iter().filter_map(|placed| placed.statement.defines());
        let other = kinds.clone().find(|(_, defined)| defined.text.eq_ignore_ascii_case(&name.text));
        if let Some((kind, defined)) = other {
            let fault = Fault::new(name.span, format!("\"{}\" is a {kind}, and cannot be read", defined.text))
                .expected("a stream or a view");
            let log = format!("{}__log", defined.text);
            return match kind {
                "decision" => fault.hint(format!("its records are rows of {log}: {}", self.reading(&log))),
                _ => fault,
            };
        }
        if let Some(fault) = self.written(name) {
            return fault;
        }
        if let Some(hint) = file_hint(&name.text) {
            let place = self.statements.files.get(self.file).and_then(|file| file.place_of_quoted(&name.text));
            let span = place.unwrap_or(name.span);
            let fault = Fault::new(span, format!("\"{}\" is a file, and FROM reads streams and views", name.text));
            return fault.hint(hint);
        }
        let names = kinds.filter(|(kind, _)| matches!(*kind, "stream" | "view")).map(|(_, name)| name.text.as_str());
        let names = names.chain(tables.iter().map(String::as_str));
        let kind = if self.is_bounded { "stream, view or table" } else { "stream or view" };
        let fault = Fault::new(name.span, format!("no {kind} is named \"{}\"", name.text)).offer(&name.text, names);
        fault.hint_if_none(match name.text.rsplit_once('.') {
            Some((_, last)) => {
                format!("declare a stream over the table: CREATE STREAM {last} (..) HISTORY {}", name.text)
            }
            None => format!("declare it with CREATE STREAM {0} (..) or CREATE VIEW {0} AS SELECT ..", name.text),
        })
    }

    /// What is said of a name that is none of a stream or view, but of a table or a topic that the project writes.
    fn written(&self, name: &Name) -> Option<Fault> {
        let mut written = self.statements.statements.iter().flat_map(|placed| {
            let all = placed.statement.writes().into_iter();
            all.map(move |(is_topic, name, _)| (&placed.statement, is_topic, name))
        });
        let (statement, is_topic, found) = written.find(|(.., found)| found.eq_ignore_ascii_case(&name.text))?;
        if !is_topic {
            let fault = Fault::new(name.span, format!("\"{found}\" is a table that the project writes"));
            return Some(match self.is_bounded {
                true => fault.found("no such table yet").hint("`riverrun run` writes it"),
                false => fault.expected("a stream or a view").hint(self.reading(&found)),
            });
        }
        let fault = Fault::new(name.span, format!("\"{found}\" is a topic that the project writes, and no table"));
        let fault = fault.expected("a stream, a view or a table");
        let shown = format!("`riverrun tail {found}` shows its messages");
        Some(match statement {
            Statement::Decision(decision) => {
                let log = decision.log.clone();
                fault.hint(format!("{shown}; all that was decided is in {log}: {}", self.reading(&log)))
            }
            _ => fault.hint(shown),
        })
    }

    /// How a table that the project writes is read.
    fn reading(&self, table: &str) -> String {
        match self.is_bounded {
            true => format!("FROM {table}"),
            false => format!("`riverrun query \"FROM {table}\"` reads it once a job has written it"),
        }
    }

    /// Whether something has asked for a model, loaded or not.
    pub fn has_asked_for(&self, model: &Name) -> bool {
        self.models.contains_key(&model.text.to_lowercase())
    }

    /// The declared model of a name, and the model itself.
    pub fn model(&mut self, name: &Name) -> Outcome<(Model, Arc<dyn Scorer>)> {
        let key = name.text.to_lowercase();
        let statements = self.statements;
        let models = || {
            statements.statements.iter().filter_map(|placed| match &placed.statement {
                Statement::Model(model) => Some((placed, model)),
                _ => None,
            })
        };
        let Some((placed, model)) = models().find(|(_, model)| model.name.text.eq_ignore_ascii_case(&key)) else {
            if statements.lost.has(&key) {
                return Fault::reported().err();
            }
            let fault = Fault::new(name.span, format!("no model is named \"{}\"", name.text));
            let fault = fault.offer(&name.text, models().map(|(_, model)| model.name.text.as_str()));
            let declare = format!("declare it with CREATE MODEL {} FROM 'models/..onnx'", name.text);
            return fault.hint_if_none(declare).err();
        };
        if !self.models.contains_key(&key) {
            let loaded =
                self.catalog.scorer(model).map_err(|error| Box::new(Fault::new(model.path.span, error.chain())));
            let loaded = loaded.and_then(|scorer| model_inputs::check(model, scorer.as_ref()).map(|()| scorer));
            let scorer = self.note(placed, loaded);
            self.models.insert(key.clone(), scorer);
        }
        let scorer = self.models.get(&key).cloned().flatten();
        scorer.map(|scorer| (model.clone(), scorer)).ok_or_else(|| Box::new(Fault::reported()))
    }
}
