//! What is bound, as SQL that binds to the same again: stars are written out, and names say where they come from.

use super::binding::Binding;
use super::bound::{
    BoundJoin, BoundSelect, Calls, Definition, LateFilter, RangeCall, RelationId, ScoreCall, WindowCall,
};
use super::syntax::SCORE_FUNCTIONS;
use crate::expression::{ColumnId, Place, Tree, aggregate_text, print};
use crate::interval;
use dataflow::Span as Length;
use operators::{Aggregate, RangeFunction};
use std::collections::{HashMap, HashSet};

/// The SELECTs of a binding, each as a view of its own after those that it reads.
pub(crate) fn views(binding: &Binding) -> String {
    let printer = Printer { binding, names: names(binding, 0..binding.relations.len()) };
    let mut all = String::new();
    for (definition, name) in binding.relations.iter().zip(&printer.names) {
        if let Definition::Select(select) = definition {
            all.push_str(&format!("CREATE VIEW {} AS\n{};\n\n", quoted(name), printer.select(select)));
        }
    }
    all
}

/// A name for every relation: that of the stream, or of what owns the SELECT. Of several with one owner the first in an
/// order has the name as it is.
fn names(binding: &Binding, order: impl Iterator<Item = usize>) -> Vec<String> {
    let mut taken = HashSet::new();
    let mut names = vec![String::new(); binding.relations.len()];
    for at in order {
        let name = match &binding.relations[at] {
            Definition::Stream { at, .. } => binding.streams[*at].name.as_str(),
            Definition::Select(select) => select.owner.as_str(),
            Definition::Bounded(_) => "query",
        };
        names[at] = free(name, &mut taken);
    }
    names
}

/// A name that is not taken, which it then is.
fn free(name: &str, taken: &mut HashSet<String>) -> String {
    let mut name = name.to_owned();
    while !taken.insert(name.to_lowercase()) {
        name.push('_');
    }
    name
}

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(super) fn text_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Prints what is bound.
pub(super) struct Printer<'b> {
    binding: &'b Binding<'b>,
    /// By relation.
    pub names: Vec<String>,
}

/// What can be named where an expression stands.
#[derive(Clone, Default)]
pub(super) struct Scope {
    /// What the first relation is called, and with it what stands beside the columns.
    qualifier: String,
    /// Columns as they are named, and calls as they are written.
    pub columns: HashMap<ColumnId, String>,
}

impl Scope {
    pub fn text(&self, tree: &Tree) -> String {
        print(tree, &|place| match place {
            Place::Column(id) => self.columns.get(&id).cloned().unwrap_or_default(),
            Place::Position => place.name().to_owned(),
            beside => format!("{}.{}", quoted(&self.qualifier), quoted(beside.name())),
        })
    }

    /// An expression as one side of a comparison.
    fn side(&self, tree: &Tree) -> String {
        let text = self.text(tree);
        if tree.as_place().is_some() { text } else { format!("({text})") }
    }

    fn time(&self) -> String {
        format!("{}.{}", quoted(&self.qualifier), quoted(Place::Time.name()))
    }

    fn list<'t>(&self, trees: impl IntoIterator<Item = &'t Tree>) -> Vec<String> {
        trees.into_iter().map(|tree| self.text(tree)).collect()
    }
}

impl<'b> Printer<'b> {
    /// Streams are called as they are, and so is the last SELECT of a view: those before it have other names.
    pub fn new(binding: &'b Binding<'b>) -> Printer<'b> {
        let all = || 0..binding.relations.len();
        let is_stream = |at: &usize| matches!(binding.relations[*at], Definition::Stream { .. });
        let order = all().filter(is_stream).chain(all().rev().filter(|at| !is_stream(at)));
        Printer { binding, names: names(binding, order) }
    }

    pub fn select(&self, select: &BoundSelect) -> String {
        let mut taken: HashSet<String> = select.joins.iter().map(|join| join.alias.to_lowercase()).collect();
        let first = free(&self.names[select.from.0], &mut taken);
        let mut scope = self.scope(select.from, &first);
        let mut from = format!("FROM {}", self.table(select.from, &first));
        for join in &select.joins {
            from.push_str(&format!("\n{}", self.join(join, &mut scope)));
        }
        let before = scope.clone();
        self.calls(&select.calls, &mut scope, &taken);
        let items = select.items.iter().map(|item| format!("{} AS {}", scope.text(&item.tree), quoted(&item.name)));
        let items: Vec<String> = items.collect();
        let late = select.late_filter.as_ref().map(|late| self.late(late, before.clone(), &scope, &taken));
        let conditions: Vec<String> = select.filter.iter().map(|filter| before.text(filter)).chain(late).collect();
        let conditions: Vec<String> = conditions.iter().map(|condition| format!("({condition})")).collect();
        let filter =
            if conditions.is_empty() { String::new() } else { format!("\nWHERE {}", conditions.join(" AND ")) };
        format!("SELECT {}\n{from}{filter}", items.join(",\n    "))
    }

    /// A condition with subqueries: where windows come after it they are its own, elsewhere those of the columns.
    fn late(&self, late: &LateFilter, mut before: Scope, scope: &Scope, taken: &HashSet<String>) -> String {
        match &late.before_windows {
            None => scope.text(&late.condition),
            Some(calls) => {
                self.calls(calls, &mut before, taken);
                before.text(&late.condition)
            }
        }
    }

    /// The columns of a relation with their names.
    pub fn columns(&self, relation: RelationId) -> Vec<(ColumnId, &'b str)> {
        match &self.binding.relations[relation.0] {
            Definition::Stream { at, columns } => {
                let fields = self.binding.streams[*at].schema.fields().iter();
                columns.iter().copied().zip(fields.map(|field| field.name().as_str())).collect()
            }
            Definition::Select(select) => select.items.iter().map(|item| (item.id, item.name.as_str())).collect(),
            // No SELECT that is printed reads what comes after the end of the streams.
            Definition::Bounded(_) => vec![],
        }
    }

    /// The columns of a relation under a qualifier.
    pub fn scope(&self, relation: RelationId, qualifier: &str) -> Scope {
        let name = |name: &str| format!("{}.{}", quoted(qualifier), quoted(name));
        let columns = self.columns(relation).into_iter().map(|(id, column)| (id, name(column))).collect();
        Scope { qualifier: qualifier.to_owned(), columns }
    }

    fn table(&self, relation: RelationId, alias: &str) -> String {
        let name = &self.names[relation.0];
        if name == alias { quoted(name) } else { format!("{} AS {}", quoted(name), quoted(alias)) }
    }

    /// A join; its columns can be named after it.
    fn join(&self, join: &BoundJoin, scope: &mut Scope) -> String {
        let right = self.scope(join.right, &join.alias);
        let keys = join.keys.iter().map(|(ours, theirs)| format!("{} = {}", scope.side(ours), right.side(theirs)));
        let less = if join.strict { "<" } else { "<=" };
        let time = shifted(&right.time(), join.behind.0);
        let conditions: Vec<String> = keys.chain([format!("{time} {less} {}", scope.time())]).collect();
        let kind = if join.inner { "JOIN" } else { "LEFT JOIN" };
        let text = format!("ASOF {kind} {} ON {}", self.table(join.right, &join.alias), conditions.join(" AND "));
        for (id, _, theirs) in &join.columns {
            scope.columns.insert(*id, right.columns.get(theirs).cloned().unwrap_or_default());
        }
        text
    }

    /// Calls can be named as they are written.
    fn calls(&self, calls: &Calls, scope: &mut Scope, taken: &HashSet<String>) {
        let windows = calls.windows.iter().map(|call| (call.id, window(call, scope)));
        let ranges = calls.ranges.iter().map(|call| (call.id, self.range(call, scope, taken)));
        let known: Vec<(ColumnId, String)> = windows.chain(ranges).collect();
        scope.columns.extend(known);
        let scores: Vec<(ColumnId, String)> = calls.scores.iter().flat_map(|call| score(call, scope)).collect();
        scope.columns.extend(scores);
    }

    fn range(&self, call: &RangeCall, outer: &Scope, taken: &HashSet<String>) -> String {
        let alias = free(&self.names[call.right.0], &mut taken.clone());
        let inner = self.scope(call.right, &alias);
        let keys = call.keys.iter().map(|(ours, theirs)| format!("{} = {}", inner.side(theirs), outer.side(ours)));
        let bound = |less: &str, by: i64| format!("{} {less} {}", inner.time(), shifted(&outer.time(), by));
        let mut conditions: Vec<String> = keys.chain([bound(">=", call.from), bound("<=", call.to)]).collect();
        let filter = call.filter.as_ref().map(|filter| inner.text(filter));
        let value = match call.computes {
            RangeFunction::Exists => {
                conditions.extend(filter.map(|filter| format!("({filter})")));
                "1".to_owned()
            }
            RangeFunction::Aggregate(aggregate) => called(aggregate, call.argument.as_ref(), filter, &inner),
        };
        let exists = if call.computes == RangeFunction::Exists { "EXISTS " } else { "" };
        let from = self.table(call.right, &alias);
        format!("{exists}(SELECT {value} FROM {from} WHERE {})", conditions.join(" AND "))
    }
}

/// A time plus so many microseconds.
fn shifted(time: &str, by: i64) -> String {
    match by {
        0 => time.to_owned(),
        by if by < 0 => format!("{time} - {}", interval::sql(Length(by.saturating_neg()))),
        by => format!("{time} + {}", interval::sql(Length(by))),
    }
}

/// An aggregate with its FILTER.
fn called(aggregate: Aggregate, argument: Option<&Tree>, filter: Option<String>, scope: &Scope) -> String {
    let argument = argument.map(|tree| scope.text(tree));
    let filter = filter.map_or(String::new(), |filter| format!(" FILTER (WHERE {filter})"));
    aggregate_text(aggregate, argument.as_deref()) + &filter
}

fn window(call: &WindowCall, scope: &Scope) -> String {
    let filter = call.filter.as_ref().map(|filter| scope.text(filter));
    let function = called(call.aggregate, call.argument.as_ref(), filter, scope);
    let keys = scope.list(&call.keys).join(", ");
    let keys = if keys.is_empty() { keys } else { format!("PARTITION BY {keys} ") };
    let order: Vec<String> = [scope.time()].into_iter().chain(scope.list(&call.order)).collect();
    let frame = match (call.aggregate, call.frame.to) {
        (Aggregate::Lag { .. }, _) => String::new(),
        (_, Length::ZERO) => format!(" RANGE {} PRECEDING", interval::sql(call.frame.from)),
        (_, to) => {
            format!(" RANGE BETWEEN {} PRECEDING AND {} PRECEDING", interval::sql(call.frame.from), interval::sql(to))
        }
    };
    format!("{function} OVER ({keys}ORDER BY {}{frame})", order.join(", "))
}

/// What is asked of a score.
fn score(call: &ScoreCall, scope: &Scope) -> Vec<(ColumnId, String)> {
    let given = call.input_names.iter().zip(&call.inputs);
    let given: String = given.map(|(name, input)| format!(", {} => {}", quoted(name), scope.text(input))).collect();
    let functions = call.columns.iter().flat_map(|(part, id)| {
        let named = SCORE_FUNCTIONS.iter().filter(move |(_, known)| known == part);
        named.map(|(name, _)| (*id, format!("{name}({}{given})", quoted(&call.model))))
    });
    functions.collect()
}
