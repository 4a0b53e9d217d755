//! What a state holds, as a number that stays the same while the same is computed of the same rows.
//!
//! It is made of canonical bytes, written field by field with a version: of the operator, its keys and functions, and
//! of the lineage of its inputs down to topics, tables and the paths of columns in them. Names of streams, views and
//! columns, aliases, columns that are only passed on, and the order in which statements were planned are no part of it.

use crate::bind::Columns;
use crate::expression::{ColumnId, Place, Tree, print, type_name};
use crate::plan::logical::{AsOf, LogicalNode, LogicalPlan, Operator, Range, RangeAggregate, Score, WindowFunction};
use crate::stream::{History, Stream};
use dataflow::{Late, Quiet};
use operators::predict::Part;
use std::collections::HashMap;
use values::Encoding;

/// The version of the canonical bytes.
const VERSION: u8 = 1;

/// What each column holds, which rows each node puts out, and what the states hold.
#[derive(Default)]
pub(crate) struct Identities {
    columns: HashMap<ColumnId, u128>,
    rows: Vec<u128>,
    states: Vec<Option<u128>>,
}

/// Canonical bytes as they are hashed: FNV-1a of 128 bits, the same in every version of the program.
pub(crate) struct Canonical(u128);

impl Canonical {
    pub fn new(kind: &str) -> Canonical {
        Canonical(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d).bytes(&[VERSION]).text(kind)
    }

    fn bytes(mut self, bytes: &[u8]) -> Canonical {
        for &byte in bytes {
            self.0 = (self.0 ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
        self
    }

    /// A text with its length, so that two texts are not one.
    pub fn text(self, text: &str) -> Canonical {
        self.number(text.len() as i64).bytes(text.as_bytes())
    }

    pub fn number(self, number: i64) -> Canonical {
        self.bytes(&number.to_le_bytes())
    }

    pub fn id(self, id: u128) -> Canonical {
        self.bytes(&id.to_le_bytes())
    }

    /// Ids in their order, and how many they are.
    pub fn ids(self, ids: impl IntoIterator<Item = u128>) -> Canonical {
        let ids: Vec<u128> = ids.into_iter().collect();
        ids.iter().fold(self.number(ids.len() as i64), |canonical, id| canonical.id(*id))
    }

    /// The number that stands for all that was written.
    pub fn finish(self) -> u128 {
        self.0
    }

    /// Ids whose order says nothing.
    fn set(self, ids: impl IntoIterator<Item = u128>) -> Canonical {
        let mut ids: Vec<u128> = ids.into_iter().collect();
        ids.sort_unstable();
        self.ids(ids)
    }
}

impl Identities {
    /// Those of a plan.
    pub fn of(plan: &LogicalPlan, streams: &[Stream]) -> Identities {
        let mut identities = Identities::default();
        for node in &plan.nodes {
            let (rows, state) = identities.node(streams, node);
            identities.rows.push(rows);
            identities.states.push(state);
        }
        identities
    }

    /// What the state of a node holds; `None` where it has none.
    pub fn state(&self, node: usize) -> Option<u128> {
        self.states[node]
    }

    /// What a node computes of its input, without the columns that it only passes on.
    pub fn computed(&self, node: usize) -> u128 {
        Canonical::new("computed").id(self.rows[node]).id(self.states[node].unwrap_or_default()).0
    }

    /// What rows hold that have these columns, in their order.
    pub fn layout(&self, columns: &[ColumnId]) -> u128 {
        Canonical::new("layout").ids(self.columns_of(columns)).0
    }

    /// What a node computes of rows that it removes where that fails; `None` where it fails on none.
    pub fn removes(&self, node: &LogicalNode, columns: &Columns) -> Option<u128> {
        let trees = |trees: &mut dyn Iterator<Item = &Tree>| -> Vec<u128> {
            trees.filter(|tree| tree.can_fail()).map(|tree| self.tree(tree)).collect()
        };
        let ids: Vec<u128> = match &node.operator {
            Operator::Project(all) => trees(&mut all.iter().map(|column| &column.tree)),
            Operator::Predict(scores) => trees(&mut scores.iter().flat_map(|score| &score.inputs)),
            Operator::Window { functions, .. } => {
                let failing = functions.iter().filter(|function| function.can_fail(columns));
                failing.map(|function| self.column(function.id)).collect()
            }
            Operator::Range(range) => {
                let failing = range.functions.iter().filter(|function| function.can_fail(columns));
                failing.map(|function| self.column(function.id)).collect()
            }
            _ => vec![],
        };
        (!ids.is_empty()).then(|| Canonical::new("removes").set(ids).finish())
    }

    fn column(&self, id: ColumnId) -> u128 {
        self.columns.get(&id).copied().unwrap_or_default()
    }

    /// What columns hold.
    pub fn columns_of<'a>(&'a self, ids: impl IntoIterator<Item = &'a ColumnId>) -> Vec<u128> {
        ids.into_iter().map(|id| self.column(*id)).collect()
    }

    /// An expression is the SQL that it prints as, over what its columns hold.
    fn tree(&self, tree: &Tree) -> u128 {
        if let Some(id) = tree.as_column() {
            return self.column(id);
        }
        let text = print(tree, &|place| match place {
            Place::Column(id) => format!("{:032x}", self.column(id)),
            beside => beside.name().to_owned(),
        });
        Canonical::new("expression").text(&text).text(&type_name(&tree.settled_type())).0
    }

    /// The rows that a node puts out, and its state; its columns become known.
    fn node(&mut self, streams: &[Stream], node: &LogicalNode) -> (u128, Option<u128>) {
        let input = node.inputs.first().map_or(0, |&input| self.rows[input]);
        let other = node.inputs.get(1).map_or(0, |&input| self.rows[input]);
        match &node.operator {
            Operator::Source { stream, columns } => {
                let found = streams.iter().find(|known| known.name == *stream);
                (found.map_or(0, |stream| self.stream(stream, columns)), None)
            }
            Operator::Dedup { keys, within } => {
                let state = Canonical::new("dedup").id(input).ids(self.columns_of(keys)).number(within.0).0;
                (state, Some(state))
            }
            Operator::Filter(condition) => (Canonical::new("filter").id(input).id(self.tree(condition)).0, None),
            Operator::Project(all) => {
                let known: Vec<(ColumnId, u128)> = all.iter().map(|c| (c.id, self.tree(&c.tree))).collect();
                self.columns.extend(known);
                (input, None)
            }
            Operator::Window { keys, functions } => (input, Some(self.window(input, keys, functions))),
            Operator::AsOf(join) => {
                let state = self.as_of(input, other, join);
                (if join.inner { state } else { input }, Some(state))
            }
            Operator::Range(range) => {
                let state = self.range(input, other, range);
                // Rows that wait come out at another time.
                let rows = match range.hold() {
                    0 => input,
                    hold => Canonical::new("wait").id(input).number(hold).0,
                };
                (rows, Some(state))
            }
            Operator::Predict(scores) => {
                scores.iter().for_each(|score| self.score(score));
                (input, None)
            }
            Operator::Decision(decision) => {
                let rules = decision.rules.iter().map(|rule| {
                    let once = rule.once_per.map_or(-1, |span| span.0);
                    let rule_id = Canonical::new("rule").text(&rule.name).text(&rule.action).number(once);
                    rule_id.number(i64::from(rule.shadow)).id(self.tree(&rule.condition)).0
                });
                let rules: Vec<u128> = rules.collect();
                let state = Canonical::new("decision").text(&decision.name).id(input);
                let state = state.id(self.column(decision.subject)).ids(rules).0;
                (state, Some(state))
            }
            Operator::Zip(_) | Operator::Acted | Operator::Sink { .. } => (input, None),
        }
    }

    /// The rows of a stream: where they come from, and what decides their times and which of them are removed.
    fn stream(&mut self, stream: &Stream, columns: &[ColumnId]) -> u128 {
        let place = match (&stream.live, &stream.history) {
            (Some(topic), _) => Canonical::new("topic").text(topic).0,
            (None, Some(History::Table(table))) => Canonical::new("table").text(table).0,
            (None, Some(History::Files(pattern, encoding))) => {
                let encoding = match encoding {
                    Encoding::Unicode => 0,
                    Encoding::Latin1 => 1,
                    Encoding::Utf16 => 2,
                };
                Canonical::new("files").text(pattern).number(encoding).0
            }
            (None, None) => 0,
        };
        for ((&id, origin), field) in columns.iter().zip(&stream.origins).zip(stream.schema.fields()) {
            let column = Canonical::new("column").id(place).text(origin).text(&type_name(field.data_type())).0;
            self.columns.insert(id, column);
        }
        let quiet = match stream.quiet {
            Quiet::Never => -1,
            Quiet::After(span) => span.0,
        };
        let late = i64::from(stream.late != Late::Move);
        let time = columns.get(stream.time_column).map_or(0, |id| self.column(*id));
        let decided = Canonical::new("stream").id(place).id(time).number(stream.delay.0).number(quiet).number(late);
        // Beside a topic the broker's arrivals decide.
        let arrival = stream.arrival.filter(|_| stream.live.is_none()).and_then(|column| columns.get(column));
        arrival.map_or(decided.0, |id| Canonical::new("arrived").id(decided.0).id(self.column(*id)).0)
    }

    fn window(&mut self, input: u128, keys: &[ColumnId], functions: &[WindowFunction]) -> u128 {
        let keys = self.columns_of(keys);
        let mut all = Vec::with_capacity(functions.len());
        for function in functions {
            let computed = Canonical::new("window function").id(input).set(keys.iter().copied());
            let computed = computed.text(function.aggregate.name()).number(lag(function));
            let computed = computed.ids(self.columns_of(&function.argument)).ids(self.columns_of(&function.filter));
            let computed = computed.ids(self.columns_of(&function.order));
            let computed = computed.number(function.frame.from.0).number(function.frame.to.0).0;
            self.columns.insert(function.id, computed);
            all.push(computed);
        }
        Canonical::new("window").id(input).set(keys).set(all).0
    }

    fn as_of(&mut self, left: u128, right: u128, join: &AsOf) -> u128 {
        let keys: Vec<u128> = join
            .keys
            .iter()
            .map(|(ours, theirs)| Canonical::new("key").id(self.column(*ours)).id(self.column(*theirs)).0)
            .collect();
        let found = Canonical::new("as of").id(right).set(keys).number(join.behind.0);
        let found = found.number(i64::from(join.strict)).number(i64::from(join.inner)).0;
        let mut all = Vec::with_capacity(join.columns.len());
        for (id, _, theirs) in &join.columns {
            let column = Canonical::new("as of column").id(found).id(self.column(*theirs)).0;
            self.columns.insert(*id, column);
            all.push(column);
        }
        Canonical::new("as of state").id(left).id(found).set(all).0
    }

    fn range(&mut self, left: u128, right: u128, range: &Range) -> u128 {
        let keys: Vec<u128> = range
            .keys
            .iter()
            .map(|(ours, theirs)| Canonical::new("key").id(self.column(*ours)).id(self.column(*theirs)).0)
            .collect();
        let mut all = Vec::with_capacity(range.functions.len());
        for function in &range.functions {
            let RangeAggregate { computes, argument, filter, from, to, .. } = function;
            let computed = Canonical::new("aggregate").id(right).set(keys.iter().copied()).text(&computes.to_string());
            let computed = computed.ids(self.columns_of(argument)).ids(self.columns_of(filter));
            let computed = computed.number(*from).number(*to).0;
            self.columns.insert(function.id, computed);
            all.push(computed);
        }
        Canonical::new("range").id(left).id(right).set(keys).set(all).0
    }

    fn score(&mut self, score: &Score) {
        let inputs: Vec<u128> = score.inputs.iter().map(|input| self.tree(input)).collect();
        for (part, id) in &score.columns {
            let kind = match part {
                Part::Score => "score",
                Part::Version => "score version",
                Part::Fault => "score fault",
            };
            let mut canonical = Canonical::new(kind).text(&score.model).text(score.scorer.version());
            if let Some(output) = score.scorer.chosen() {
                canonical = canonical.text(&output);
            }
            self.columns.insert(*id, canonical.ids(inputs.iter().copied()).0);
        }
    }
}

/// How many rows before, of lag alone.
fn lag(function: &WindowFunction) -> i64 {
    match function.aggregate {
        operators::Aggregate::Lag { offset } => offset as i64,
        _ => 0,
    }
}
