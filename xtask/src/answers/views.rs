//! Random views of one stream: computed columns, fewer rows, trailing windows.

use super::cells::Kind;
use super::writer::{HIDDEN, Item, Relation, Writer};

impl Writer<'_> {
    /// A view of the first stream: computed columns, one of which may fail.
    pub fn base(&mut self, stream: &Relation) -> Relation {
        let mut items = self.kept(stream, "");
        let columns = stream.columns("");
        items.push(Item::same("q".to_owned(), Kind::Integer, columns.integer(self.chance, 3)));
        items.push(Item::same("r".to_owned(), Kind::Double, columns.double(self.chance, 2)));
        items.push(Item::same("s".to_owned(), Kind::Text, columns.text(self.chance, 2)));
        items.push(Item::same("c".to_owned(), Kind::Boolean, columns.condition(self.chance, 2)));
        if self.chance.permille(300) {
            items.push(Item::same("row_time".to_owned(), Kind::Instant, "_time".to_owned()));
            items.push(Item::same("late".to_owned(), Kind::Boolean, "_late".to_owned()));
        }
        let filter = self.filter(stream);
        let mut holds = String::new();
        if self.chance.permille(400) {
            let divisor = columns.integer(self.chance, 1);
            items.push(Item::same("p".to_owned(), Kind::Integer, format!("100 // ({divisor})")));
            let word = if filter.is_empty() { "WHERE" } else { "AND" };
            holds = format!("{word} ({divisor}) IS DISTINCT FROM 0");
        }
        let from = format!("FROM {} {filter}", stream.name);
        self.view(&self.next_name(), items, (&from, &format!("{from} {holds}")), HIDDEN)
    }

    /// A view of computed columns and of fewer rows.
    pub fn rows(&mut self, of: &Relation) -> Relation {
        let mut items = self.kept(of, "");
        let name = format!("n{}", self.views.len());
        items.push(Item::same(name, Kind::Integer, of.columns("").integer(self.chance, 3)));
        let from = format!("FROM {} {}", of.name, self.filter(of));
        self.view(&self.next_name(), items, (&from, &from), HIDDEN)
    }

    /// A view with trailing windows.
    pub fn windows(&mut self, of: &Relation) -> Relation {
        let (mut items, view) = (self.kept(of, ""), self.views.len());
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let mut sums = Vec::new();
        let count = self.chance.between(1, 3);
        for window in 0..count {
            let keys = self.keys(of);
            let frame = self.frame();
            let name = format!("w{window}");
            ours.push(format!("{name} AS ({keys}ORDER BY ts {frame})"));
            theirs.push(format!("{name} AS ({keys}ORDER BY _time {frame})"));
            for column in 0..self.chance.between(1, 3) {
                let (text, kind) = self.aggregate(&of.columns(""));
                let filter = if self.chance.permille(200) {
                    format!(" FILTER (WHERE {})", of.columns("").condition(self.chance, 1))
                } else {
                    String::new()
                };
                items.push(Item::same(
                    format!("a{view}_{window}{column}"),
                    kind,
                    format!("{text}{filter} OVER {name}"),
                ));
            }
            // A row whose sum is beyond 64 bits is bad, and windows that the text has later do not count it.
            if count == 1 && self.chance.permille(200) {
                let column = format!("a{view}_{window}s");
                items.push(Item::same(column.clone(), Kind::Large, format!("sum(large) OVER {name}")));
                sums.push(column);
            }
        }
        if sums.is_empty() && self.chance.permille(250) {
            let keys = self.keys(of);
            // Two deliveries of a row may differ in whether they are late, and in nothing that says which comes first.
            let fit: Vec<_> = of.columns.iter().filter(|(name, _)| name != "late").collect();
            let (column, kind) = fit[self.chance.below(fit.len() as u64) as usize].clone();
            let back = self.chance.of(&["", ", 2", ", 5"]);
            let lag = |order: &str| format!("lag({column}{back}) OVER ({keys}ORDER BY {order})");
            items.push(Item { name: format!("lag{view}"), kind, ours: lag("ts, id"), theirs: lag("_time, id, _ord") });
        }
        let from = format!("FROM {}", of.name);
        let our_from = format!("{from}\nWINDOW {}", ours.join(",\n  "));
        // A row whose sum is beyond 64 bits is bad, after the window has counted it.
        let fits = sums
            .iter()
            .map(|sum| format!("({sum} IS NULL OR {sum} BETWEEN -9223372036854775808 AND 9223372036854775807)"));
        let fits = fits.collect::<Vec<_>>().join(" AND ");
        let fits = if fits.is_empty() { String::new() } else { format!("QUALIFY {fits}") };
        let their_from = format!("{from} WINDOW {} {fits}", theirs.join(", "));
        self.view(&self.next_name(), items, (&our_from, &their_from), HIDDEN)
    }
}
