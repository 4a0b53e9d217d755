//! What random statements are written with: each in two texts, ours, and one that DuckDB takes and that means the same.
//!
//! DuckDB's tables and views hold the hidden columns `_time`, `_ord` and `_late` as well, and its text names `_time`
//! where ours names the time column in a window or a bound.

use super::cells::{COLUMNS, Kind};
use super::expressions::Columns;
use super::scene::{Archived, SECOND, Source, Stream};
use std::collections::BTreeMap;
use tests::Chance;

/// The hidden columns.
pub const HIDDEN: &str = "_time, _ord, _late";

/// What a project says, and what DuckDB is told and asked.
#[derive(Debug, Default)]
pub struct Statements {
    /// Our project.
    pub ours: String,
    /// DuckDB's views, each after those that it reads.
    pub theirs: Vec<String>,
    pub outputs: Vec<Output>,
}

/// An output of ours, and the SELECT whose rows it should hold.
#[derive(Debug)]
pub struct Output {
    pub table: String,
    pub columns: Vec<String>,
    pub select: String,
    /// Of the log of a decision: the seconds of each rule that acts once per so many. The SELECT says which rule acts
    /// without that: time, place, subject, matched, acted, nulls.
    pub once_per: Option<BTreeMap<String, i64>>,
}

/// A stream or a view.
#[derive(Clone, Debug)]
pub struct Relation {
    pub name: String,
    pub columns: Vec<(String, Kind)>,
}

impl Relation {
    /// Its columns, with an alias in front.
    pub fn columns(&self, prefix: &str) -> Columns {
        Columns { prefix: prefix.to_owned(), all: self.columns.clone() }
    }
}

/// An item of a SELECT.
pub struct Item {
    pub name: String,
    pub kind: Kind,
    pub ours: String,
    pub theirs: String,
}

impl Item {
    /// One that is the same on both sides.
    pub fn same(name: String, kind: Kind, text: String) -> Item {
        Item { name, kind, theirs: text.clone(), ours: text }
    }
}

/// Writes statements, each after those that it reads.
pub struct Writer<'a> {
    pub chance: &'a mut Chance,
    pub wild: bool,
    pub end: Option<i64>,
    pub said: Statements,
    /// What outputs may read.
    pub views: Vec<Relation>,
}

impl Writer<'_> {
    /// Writes a stream.
    pub fn stream(&mut self, stream: &Stream) -> Relation {
        let name = stream.name;
        let columns = COLUMNS.map(|(name, kind)| format!("{name} {}", kind.sql())).join(", ");
        let late = if stream.drops_late { " LATE DROP" } else { "" };
        let dedup =
            stream.dedup.map(|(keys, seconds)| format!(", DEDUP ON ({keys}) WITHIN INTERVAL '{seconds}' SECOND"));
        let (place, archive) = match stream.source {
            Source::Files { format, .. } => (format!("HISTORY FILES 'data/{name}-*.{}'", format.extension()), false),
            Source::Topic { archived: Archived::Nothing, .. } => (format!("LIVE {name}"), false),
            Source::Topic { .. } => (format!("HISTORY raw.{name} LIVE {name}"), true),
        };
        self.said.ours += &format!(
            "CREATE STREAM {name} ({columns},\n  WATERMARK FOR ts AS ts - INTERVAL '{}' SECOND{late}{}\n) {place} ON BAD ROW SKIP;\n",
            stream.delay / SECOND,
            dedup.unwrap_or_default()
        );
        if archive {
            self.said.ours += &format!("ARCHIVE {name};\n");
        }
        let kept = stream.dedup.map(|(keys, seconds)| {
            let before = format!("lag(_time) OVER (PARTITION BY {keys} ORDER BY _time, _ord)");
            format!(" QUALIFY {before} IS NULL OR _time - {before} > INTERVAL '{seconds}' SECOND")
        });
        let kept = kept.unwrap_or_default();
        self.said.theirs.push(format!("CREATE VIEW {name} AS SELECT * FROM {name}_rows{kept}"));
        let columns = COLUMNS.map(|(name, kind)| (name.to_owned(), kind)).to_vec();
        let relation = Relation { name: name.to_owned(), columns };
        self.views.push(relation.clone());
        relation
    }

    /// Makes a view of items on both sides.
    pub fn view(&mut self, name: &str, items: Vec<Item>, (ours, theirs): (&str, &str), hidden: &str) -> Relation {
        let list = |text: fn(&Item) -> &str| {
            let item = |item: &Item| format!("{} AS {}", text(item), item.name);
            items.iter().map(item).collect::<Vec<_>>().join(", ")
        };
        let (own, other) = (list(|item| &item.ours), list(|item| &item.theirs));
        self.said.ours += &format!("CREATE VIEW {name} AS\nSELECT {own}\n{ours};\n");
        self.said.theirs.push(format!("CREATE VIEW {name} AS SELECT {hidden}, {other} {theirs}"));
        let columns = items.into_iter().map(|item| (item.name, item.kind)).collect();
        let relation = Relation { name: name.to_owned(), columns };
        self.views.push(relation.clone());
        relation
    }

    /// The name of the next view.
    pub fn next_name(&self) -> String {
        format!("view{}", self.views.len())
    }

    /// The columns of a relation.
    pub fn kept(&self, of: &Relation, prefix: &str) -> Vec<Item> {
        of.columns.iter().map(|(name, kind)| Item::same(name.clone(), *kind, format!("{prefix}{name}"))).collect()
    }

    /// A WHERE, or nothing.
    pub fn filter(&mut self, of: &Relation) -> String {
        if self.chance.permille(500) {
            return String::new();
        }
        format!("WHERE {}", of.columns("").condition(self.chance, 2))
    }

    /// A stream beside the first one, or a view of it.
    pub fn other(&mut self, stream: &Relation) -> Relation {
        if self.chance.permille(600) {
            return stream.clone();
        }
        let mut items = self.kept(stream, "");
        let computed = stream.columns("").integer(self.chance, 2);
        items.push(Item::same(format!("{}q", stream.name), Kind::Integer, computed));
        let from = format!("FROM {} {}", stream.name, self.filter(stream));
        self.view(&self.next_name(), items, (&from, &from), HIDDEN)
    }

    /// A PARTITION BY, or nothing.
    pub fn keys(&mut self, of: &Relation) -> String {
        let keys = match self.chance.below(9) {
            0 => return String::new(),
            1 => "g".to_owned(),
            2 => "k, g".to_owned(),
            3 => of.columns("").integer(self.chance, 1),
            4 => of.columns("").of(self.chance, &[Kind::Extreme, Kind::Double]).unwrap_or_else(|| "k".to_owned()),
            5 => of.columns("").of(self.chance, &[Kind::WrittenInstant, Kind::Large]).unwrap_or_else(|| "k".to_owned()),
            6 => "coalesce(k, 'z')".to_owned(),
            _ => "k".to_owned(),
        };
        format!("PARTITION BY {keys} ")
    }

    /// The frame of a window.
    pub fn frame(&mut self) -> &'static str {
        self.chance.of(&[
            "RANGE INTERVAL '1' MINUTE PRECEDING",
            "RANGE INTERVAL '1' HOUR PRECEDING",
            "RANGE INTERVAL '0' SECOND PRECEDING",
            "RANGE BETWEEN INTERVAL '30' MINUTE PRECEDING AND INTERVAL '1' SECOND PRECEDING",
            "RANGE BETWEEN INTERVAL '2' HOUR PRECEDING AND INTERVAL '5' MINUTE PRECEDING",
            "RANGE BETWEEN INTERVAL '300' SECOND PRECEDING AND CURRENT ROW",
        ])
    }

    /// An aggregate over columns, and what it gives.
    pub fn aggregate(&mut self, columns: &Columns) -> (String, Kind) {
        use Kind::{Boolean, Double, Extreme, Integer, Large, Rounded, Text, WrittenInstant};
        let of = |chance: &mut Chance, kinds: &[Kind]| columns.of(chance, kinds);
        let any = [Integer, Large, Double, Extreme, Text, Boolean, WrittenInstant];
        let chosen = match self.chance.below(10) {
            0 | 1 => None,
            2 => of(self.chance, &any).map(|column| (format!("count({column})"), Integer)),
            3 => of(self.chance, &any).map(|column| (format!("count(DISTINCT {column})"), Integer)),
            4 => of(self.chance, &[Integer]).map(|column| (format!("sum({column})"), Large)),
            5 => of(self.chance, &[Integer, Double]).map(|column| (format!("avg({column})"), Rounded)),
            6 => of(self.chance, &[Double]).map(|column| (format!("sum({column})"), Rounded)),
            7 => {
                let kinds: &[Kind] = if self.wild { &[Integer] } else { &[Integer, Double] };
                let function = self.chance.of(&["stddev", "var_pop", "variance", "stddev_pop"]);
                of(self.chance, kinds).map(|column| (format!("{function}({column})"), Rounded))
            }
            _ => {
                let kind = self.chance.of(&[Integer, Large, Double, Extreme, Text, WrittenInstant]);
                let function = self.chance.of(&["min", "max"]);
                of(self.chance, &[kind]).map(|column| (format!("{function}({column})"), kind))
            }
        };
        chosen.unwrap_or_else(|| ("count(*)".to_owned(), Integer))
    }
}
