//! Random views that look at other streams: as-of joins, aggregates over a range of time, labels.

use super::cells::Kind;
use super::writer::{HIDDEN, Item, Relation, Writer};

impl Writer<'_> {
    /// A view that looks at other streams.
    pub fn joins(&mut self, of: &Relation, others: &[Relation]) -> Relation {
        let (mut items, view) = (self.kept(of, "l."), self.views.len());
        let (mut ours, mut theirs) = (format!("FROM {} l", of.name), format!("FROM {} l", of.name));
        let hidden = HIDDEN.split(", ").map(|name| format!("l.{name}")).collect::<Vec<_>>().join(", ");
        for (at, other) in others.iter().enumerate() {
            for column in 0..self.chance.between(if at == 0 { 1 } else { 0 }, 2) {
                items.push(self.subquery(other, &format!("s{view}_{at}{column}")));
            }
            if self.chance.permille(400) {
                let (key, side) = (self.chance.of(&["k", "g"]), format!("r{at}"));
                let (ours_is, theirs_is) = self.chance.of(&[("<=", ">="), ("<=", ">="), ("<", ">")]);
                ours += &format!(
                    "\nASOF LEFT JOIN {} {side} ON {side}.{key} = l.{key} AND {side}.ts {ours_is} l.ts",
                    other.name
                );
                theirs += &format!(
                    " ASOF LEFT JOIN (SELECT * FROM {} QUALIFY row_number() OVER (PARTITION BY {key}, _time ORDER BY _ord DESC) = 1) {side} \
                     ON {side}.{key} = l.{key} AND l._time {theirs_is} {side}._time",
                    other.name
                );
                for _ in 0..2 {
                    let (name, kind) = other.columns[self.chance.below(other.columns.len() as u64) as usize].clone();
                    let own = format!("j{view}_{at}{name}");
                    if items.iter().all(|item| item.name != own) {
                        items.push(Item::same(own, kind, format!("{side}.{name}")));
                    }
                }
            }
        }
        self.view(&self.next_name(), items, (&ours, &theirs), &hidden)
    }

    /// What correlates another relation with a row, in the two texts.
    pub fn correlated(&mut self, other: &Relation, span: (&str, &str)) -> (String, String) {
        let key = self.chance.of(&["k", "g"]);
        let filter = if self.chance.permille(300) {
            format!(" AND {}", other.columns("o.").condition(self.chance, 1))
        } else {
            String::new()
        };
        let text = |time: &str| {
            format!(
                "FROM {} o WHERE o.{key} = l.{key}{filter} AND o.{time} BETWEEN l.{time}{} AND l.{time}{}",
                other.name, span.0, span.1
            )
        };
        (text("ts"), text("_time"))
    }

    /// An aggregate of another relation, or whether it has rows.
    pub fn subquery(&mut self, other: &Relation, name: &str) -> Item {
        let back = self.chance.of(&[" - INTERVAL '10' MINUTE", " - INTERVAL '2' HOUR", " - INTERVAL '5' SECOND"]);
        let (ours, theirs) = self.correlated(other, (back, ""));
        let (head, tail, kind) = if self.chance.permille(350) {
            (format!("{}EXISTS (SELECT 1 ", self.chance.of(&["", "NOT "])), ")", Kind::Boolean)
        } else {
            let (aggregate, kind) = self.aggregate(&other.columns("o."));
            (format!("(SELECT {aggregate} "), ")", kind)
        };
        Item {
            name: name.to_owned(),
            kind,
            ours: format!("{head}{ours}{tail}"),
            theirs: format!("{head}{theirs}{tail}"),
        }
    }

    /// A view of labels: what is known of a row some time after it.
    pub fn labels(&mut self, of: &Relation, others: &[Relation]) -> Relation {
        let ahead = self.chance.of(&[" + INTERVAL '10' MINUTE", " + INTERVAL '2' HOUR", " + INTERVAL '1' SECOND"]);
        let mut items = self.kept(of, "l.");
        let (ours, theirs) = self.correlated(&others[0], ("", ahead));
        let exists = |text: &str| format!("EXISTS (SELECT 1 {text})");
        items.push(Item {
            name: "label".to_owned(),
            kind: Kind::Boolean,
            ours: exists(&ours),
            theirs: exists(&theirs),
        });
        let from = format!("FROM {} l", of.name);
        let hidden = format!("l._time{ahead} AS _time, l._ord, l._late");
        self.view(&self.next_name(), items, (&from, &from), &hidden)
    }
}
