//! The planner: each stream, view and model is planned once, when the first that needs it asks.

use crate::catalog::Catalog;
use crate::diagnostic::{Diagnostic, Fault, Outcome, did_you_mean};
use crate::interval;
use crate::plan::Plan;
use crate::relation::{Relation, RelationColumn, type_name};
use crate::statement::{Model, Name, PlacedStatement, Statement, Statements};
use crate::stream::Stream;
use dataflow::Scorer;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Plans what is asked for, and gathers what is wrong.
pub(crate) struct Planner<'a> {
    pub statements: &'a Statements,
    pub catalog: &'a dyn Catalog,
    pub plan: Plan,
    pub streams: Vec<Stream>,
    pub wrong: Vec<Diagnostic>,
    /// Streams and views by lower-case name; `None` when they are wrong, which has been said.
    relations: HashMap<String, Option<Relation>>,
    models: HashMap<String, Option<Arc<dyn Scorer>>>,
    /// Views that are being planned, to see cycles.
    open: Vec<String>,
    /// Names that WITH gives, innermost last.
    pub local: Vec<(String, Relation)>,
    /// The file of the statement that is being planned.
    pub file: usize,
    /// Something is wrong, so columns that a SELECT does not use are kept too: one of them may have been meant.
    pub keeps_all: bool,
}

impl<'a> Planner<'a> {
    pub fn new(statements: &'a Statements, catalog: &'a dyn Catalog) -> Planner<'a> {
        Planner {
            statements,
            catalog,
            plan: Plan::default(),
            streams: Vec::new(),
            wrong: Vec::new(),
            relations: HashMap::new(),
            models: HashMap::new(),
            open: Vec::new(),
            local: Vec::new(),
            file: 0,
            keeps_all: false,
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
        if let Some(known) = self.relations.get(&key) {
            return known.clone().ok_or_else(|| Box::new(Fault::reported()));
        }
        let statements = self.statements;
        let defined = statements.statements.iter().find(|placed| match &placed.statement {
            Statement::Stream(stream) => stream.name.text.eq_ignore_ascii_case(&key),
            Statement::View(view) => view.name.text.eq_ignore_ascii_case(&key),
            _ => false,
        });
        let Some(placed) = defined else {
            return self.unknown_relation(name).err();
        };
        let outcome = self.define(placed, &key);
        let relation = self.note(placed, outcome);
        self.relations.insert(key, relation.clone());
        relation.ok_or_else(|| Box::new(Fault::reported()))
    }

    fn define(&mut self, placed: &PlacedStatement, key: &str) -> Outcome<Relation> {
        let file = std::mem::replace(&mut self.file, placed.file);
        let local = std::mem::take(&mut self.local);
        self.open.push(key.to_owned());
        let outcome = match &placed.statement {
            Statement::Stream(stream) => self.define_stream(stream, placed),
            Statement::View(view) => self.query(&view.name.text, &view.query, placed.span),
            _ => Err(Box::new(Fault::reported())),
        };
        self.open.pop();
        self.local = local;
        self.file = file;
        outcome
    }

    fn define_stream(&mut self, declared: &crate::statement::Stream, placed: &PlacedStatement) -> Outcome<Relation> {
        let stream = crate::bind_stream::bind(declared, self.catalog, placed.span)?;
        let describe =
            format!("by {} less {}", stream.schema.field(stream.time_column).name(), interval::describe(stream.delay));
        let mut node = self.plan.source(&stream.name, stream.schema.clone(), describe);
        if let Some(dedup) = &stream.dedup {
            node = self.plan.dedup(node, &stream.name, dedup.keys.clone(), dedup.within);
        }
        let column = |(index, field): (usize, &Arc<arrow::datatypes::Field>)| RelationColumn {
            qualifier: Some(stream.name.clone()),
            name: field.name().clone(),
            data_type: field.data_type().clone(),
            nullable: field.is_nullable(),
            time: index == stream.time_column,
            scored: false,
            generated: false,
        };
        let columns = stream.schema.fields().iter().enumerate().map(column).collect();
        self.streams.push(stream);
        Ok(Relation { node, columns, models: BTreeMap::new(), shift: 0 })
    }

    fn unknown_relation(&self, name: &Name) -> Fault {
        let kinds = self.statements.statements.iter().filter_map(|placed| placed.statement.defines());
        let other = kinds.clone().find(|(_, defined)| defined.text.eq_ignore_ascii_case(&name.text));
        if let Some((kind, defined)) = other {
            return Fault::new(name.span, format!("\"{}\" is a {kind}, and cannot be read", defined.text))
                .expected("a stream or a view");
        }
        let names = kinds.filter(|(kind, _)| matches!(*kind, "stream" | "view")).map(|(_, name)| name.text.as_str());
        let fault = Fault::new(name.span, format!("no stream or view is named \"{}\"", name.text));
        let hint = did_you_mean(&name.text, names).unwrap_or_else(|| match name.text.rsplit_once('.') {
            Some((_, last)) => {
                format!("declare a stream over the table: CREATE STREAM {last} (..) HISTORY {}", name.text)
            }
            None => format!("declare it with CREATE STREAM {0} (..) or CREATE VIEW {0} AS SELECT ..", name.text),
        });
        fault.hint(hint)
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
            let known = did_you_mean(&name.text, models().map(|(_, model)| model.name.text.as_str()));
            let hint =
                known.unwrap_or_else(|| format!("declare it with CREATE MODEL {} FROM 'models/..onnx'", name.text));
            return Fault::new(name.span, format!("no model is named \"{}\"", name.text)).hint(hint).err();
        };
        if !self.models.contains_key(&key) {
            let loaded =
                self.catalog.scorer(model).map_err(|error| Box::new(Fault::new(model.path.span, error.chain())));
            let loaded = loaded.and_then(|scorer| crate::model_inputs::check(model, scorer.as_ref()).map(|()| scorer));
            let scorer = self.note(placed, loaded);
            self.models.insert(key.clone(), scorer);
        }
        let scorer = self.models.get(&key).cloned().flatten();
        scorer.map(|scorer| (model.clone(), scorer)).ok_or_else(|| Box::new(Fault::reported()))
    }
}

/// Whether values of two types are the same key when they are equal.
pub(crate) fn same_key(left: &arrow::datatypes::DataType, right: &arrow::datatypes::DataType) -> bool {
    left == right || (left.is_integer() && right.is_integer()) || (left.is_floating() && right.is_floating())
}

/// What is wrong with keys whose types differ.
pub(crate) fn key_fault(span: sqlparser::tokenizer::Span, left: &RelationColumn, right: &RelationColumn) -> Fault {
    let describe = |column: &RelationColumn| format!("{} {}", column.full_name(), type_name(&column.data_type));
    Fault::new(span, "the columns of a key have different types")
        .found(format!("{} and {}", describe(left), describe(right)))
        .expected("the same type on both sides")
        .hint("cast one of them, e.g. CAST(x AS BIGINT)")
}
