//! Relations: the columns that a SELECT can name.

use super::bound::RelationId;
use super::syntax::names_in;
use crate::diagnostic::{Fault, Outcome, fault, span_of};
use crate::expression::{Binder, ColumnId, Place, RowAlone, Scope, ScopeColumn, Special, TIMESTAMP, Tree, type_name};
use arrow::datatypes::DataType;
use sqlparser::ast::{Expr, Ident};
use sqlparser::tokenizer::Span;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// The name of the hidden column of row times.
pub(crate) const TIME: &str = "_time";

/// Rows that a SELECT reads or puts out.
#[derive(Clone, Debug)]
pub(crate) struct Relation {
    pub id: RelationId,
    /// The columns, in the order of `*`.
    pub columns: Vec<RelationColumn>,
    /// The models that scored the rows, with their versions.
    pub models: BTreeMap<String, String>,
    /// How much later `_time` is than the time columns, in microseconds: the reach of aggregates with a forward bound.
    pub shift: i64,
    /// Whether the rows are known only where the input ends, so that no stream can go on from them.
    pub is_bounded: bool,
    scope: Arc<Scope>,
    times: Arc<HashSet<ColumnId>>,
    scored: Arc<HashSet<ColumnId>>,
}

/// A column of a relation.
#[derive(Clone, Debug)]
pub(crate) struct RelationColumn {
    pub qualifier: Option<String>,
    pub name: String,
    pub id: ColumnId,
    pub data_type: DataType,
    /// Whether it holds the stream's time column as it came in.
    pub time: bool,
    /// Whether a model's score went into it.
    pub scored: bool,
    /// Whether its name needs its qualifier, since USING has made it one with a column of the other side.
    pub needs_qualifier: bool,
    /// Whether USING has made it of two, so that its name alone means it, whatever else has the name.
    pub is_used: bool,
}

impl Relation {
    pub fn new(id: RelationId, columns: Vec<RelationColumn>, models: BTreeMap<String, String>, shift: i64) -> Relation {
        let with = |is: fn(&RelationColumn) -> bool| {
            Arc::new(columns.iter().filter(|column| is(column)).map(|column| column.id).collect())
        };
        let (times, scored) = (with(|column| column.time), with(|column| column.scored));
        let scope = Arc::new(named(&columns).chain(beside(&columns)).collect());
        Relation { id, scope, columns, models, shift, is_bounded: false, times, scored }
    }

    /// Rows that end: beside their columns there is nothing.
    pub fn bounded(id: RelationId, columns: Vec<RelationColumn>) -> Relation {
        let scope = Arc::new(named(&columns).collect());
        let (times, scored) = (Arc::default(), Arc::default());
        Relation { id, scope, columns, models: BTreeMap::new(), shift: 0, is_bounded: true, times, scored }
    }

    /// The same rows under another name.
    pub fn named(&self, qualifier: &str) -> Relation {
        let columns = self.columns.iter();
        let columns = columns.map(|column| RelationColumn { qualifier: Some(qualifier.to_owned()), ..column.clone() });
        match self.is_bounded {
            true => Relation::bounded(self.id, columns.collect()),
            false => Relation::new(self.id, columns.collect(), self.models.clone(), self.shift),
        }
    }

    /// The same rows, the first columns of which have other names.
    pub fn with_names<'n>(&self, names: impl Iterator<Item = &'n str>) -> Relation {
        let mut columns = self.columns.clone();
        for (column, name) in columns.iter_mut().zip(names) {
            name.clone_into(&mut column.name);
        }
        match self.is_bounded {
            true => Relation::bounded(self.id, columns),
            false => Relation::new(self.id, columns, self.models.clone(), self.shift),
        }
    }

    /// The columns of another relation under the same names.
    pub fn with_id(self, id: RelationId) -> Relation {
        Relation { id, ..self }
    }

    /// An expression of the row alone.
    pub fn bind(&self, expr: &Expr, within: Span) -> Outcome<Tree> {
        self.bind_with(expr, &mut RowAlone, within)
    }

    /// An expression, parts of which may be more than a function of the row.
    pub fn bind_with(&self, expr: &Expr, special: &mut dyn Special, within: Span) -> Outcome<Tree> {
        let bound = Binder::new(&self.scope, special).bind(expr);
        bound.map_err(|problem| Box::new(fault(problem).within(within)))
    }

    /// A condition of the row alone: BOOLEAN.
    pub fn condition(&self, expr: &Expr, within: Span) -> Outcome<Tree> {
        self.condition_with(expr, &mut RowAlone, within)
    }

    /// A condition, parts of which may be more than a function of the row.
    pub fn condition_with(&self, expr: &Expr, special: &mut dyn Special, within: Span) -> Outcome<Tree> {
        let tree = self.bind_with(expr, special, within)?;
        let data_type = tree.settled_type();
        if data_type == DataType::Boolean {
            return Ok(tree);
        }
        if *tree.data_type() == DataType::Null {
            // NULL is of any type, and never true.
            return tree.cast_to(&DataType::Boolean).map_err(|problem| Box::new(fault(problem).within(within)));
        }
        Fault::new(span_of(expr), "a condition must be true or false")
            .found(format!("{expr}, which is {}", type_name(&data_type)))
            .expected("BOOLEAN")
            .within(within)
            .err()
    }

    /// Where the value of a plain column is: `m.sent_at`, `(sent_at)`, `_time`. `None` for other expressions and for
    /// names that mean nothing here.
    pub fn place(&self, expr: &Expr) -> Option<Place> {
        let found = match expr {
            Expr::Nested(inner) => return self.place(inner),
            Expr::Identifier(name) => self.scope.resolve(None, name),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [qualifier, name] => self.scope.resolve(Some(qualifier), name),
                _ => return None,
            },
            _ => return None,
        };
        found.ok().map(|column| column.place)
    }

    /// Whether no column has a name, under whatever qualifier.
    pub fn is_unknown(&self, name: &Ident) -> bool {
        !self.columns.iter().any(|column| column.name.eq_ignore_ascii_case(&name.value))
    }

    /// The column that an expression is.
    pub fn plain_column(&self, expr: &Expr) -> Option<ColumnId> {
        match self.place(expr)? {
            Place::Column(id) => Some(id),
            _ => None,
        }
    }

    /// Whether a model's score goes into an expression.
    pub fn is_scored(&self, tree: &Tree) -> bool {
        let mut scored = false;
        tree.each_column(&mut |id| scored |= self.scored.contains(&id));
        scored
    }

    /// Whether a place holds the row's time: the stream's time column, or `_time`. Where rows wait for a forward
    /// bound, `_time` alone does.
    pub fn is_time_at(&self, place: Place) -> bool {
        match place {
            Place::Time => true,
            Place::Column(id) => self.shift == 0 && self.times.contains(&id),
            _ => false,
        }
    }

    /// Whether an expression means the row's time.
    pub fn is_time(&self, expr: &Expr) -> bool {
        self.place(expr).is_some_and(|place| self.is_time_at(place))
    }

    /// The names of time columns, for messages.
    pub fn time_names(&self) -> String {
        let names: Vec<String> =
            self.columns.iter().filter(|column| column.time).map(RelationColumn::full_name).collect();
        if names.is_empty() || self.shift != 0 { TIME.to_owned() } else { names.join(" or ") }
    }

    /// Whether all names of an expression, of which there is at least one, mean columns here.
    pub fn has_all_names(&self, expr: &Expr) -> bool {
        let names = names_in(expr);
        !names.is_empty() && names.iter().all(|name| self.place(name).is_some() || self.is_field(name))
    }

    /// Whether an expression is a field of a STRUCT column.
    fn is_field(&self, expr: &Expr) -> bool {
        matches!(expr, Expr::CompoundIdentifier(_)) && self.bind(expr, Span::empty()).is_ok()
    }

    /// A plain column as messages call it, other expressions as they are written.
    pub fn key_name(&self, expr: &Expr) -> String {
        let column = self.plain_column(expr).and_then(|id| self.columns.iter().find(|column| column.id == id));
        column.map_or_else(|| expr.to_string(), RelationColumn::full_name)
    }
}

impl RelationColumn {
    pub fn full_name(&self) -> String {
        match &self.qualifier {
            Some(qualifier) => format!("{qualifier}.{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// What expressions over columns can name.
fn named(columns: &[RelationColumn]) -> impl Iterator<Item = ScopeColumn> {
    columns.iter().map(|column| ScopeColumn {
        qualifier: column.qualifier.clone(),
        name: column.name.clone(),
        data_type: column.data_type.clone(),
        place: Place::Column(column.id),
        needs_qualifier: column.needs_qualifier,
        is_used: column.is_used,
    })
}

/// What can be named beside the columns.
fn beside(columns: &[RelationColumn]) -> impl Iterator<Item = ScopeColumn> {
    let qualifier = columns.first().and_then(|column| column.qualifier.clone());
    let hidden = [(TIME, TIMESTAMP, Place::Time), ("_late", DataType::Boolean, Place::Late)];
    let hidden = hidden.into_iter().filter(|(name, ..)| !columns.iter().any(|c| c.name.eq_ignore_ascii_case(name)));
    hidden.map(move |(name, data_type, place)| ScopeColumn {
        qualifier: qualifier.clone(),
        name: name.to_owned(),
        data_type,
        place,
        needs_qualifier: false,
        is_used: false,
    })
}
