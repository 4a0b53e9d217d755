//! Random expressions that both sides take and that fail on no row.

use super::cells::Kind;
use tests::Chance;

/// Columns that may be named.
#[derive(Clone, Debug)]
pub struct Columns {
    /// What stands before each name: nothing, or an alias and a point.
    pub prefix: String,
    pub all: Vec<(String, Kind)>,
}

impl Columns {
    /// A column of one of these kinds.
    pub fn of(&self, chance: &mut Chance, kinds: &[Kind]) -> Option<String> {
        let fit: Vec<&str> =
            self.all.iter().filter(|(_, kind)| kinds.contains(kind)).map(|(name, _)| name.as_str()).collect();
        if fit.is_empty() { None } else { Some(format!("{}{}", self.prefix, chance.of(&fit))) }
    }

    /// An integer that stays small.
    pub fn integer(&self, chance: &mut Chance, depth: u32) -> String {
        if depth == 0 || chance.permille(300) {
            let literal = chance.of(&["0", "1", "2", "7", "-3"]).to_owned();
            let column = if chance.permille(800) { self.of(chance, &[Kind::Integer]) } else { None };
            return column.unwrap_or(literal);
        }
        let part = |chance: &mut Chance| self.integer(chance, depth - 1);
        match chance.below(13) {
            0 => format!("({} + {})", part(chance), part(chance)),
            1 => format!("({} - {})", part(chance), part(chance)),
            2 => format!("({} * {})", part(chance), chance.of(&["2", "-1", "3"])),
            3 => format!("coalesce({}, {})", part(chance), part(chance)),
            4 => format!("nullif({}, {})", part(chance), part(chance)),
            5 => format!("greatest({}, {})", part(chance), part(chance)),
            6 => format!("{} % {}", part(chance), chance.of(&["7", "-3", "1000"])),
            7 => format!("({} // {})", part(chance), chance.of(&["2", "-3", "1000"])),
            8 => format!("length({})", self.text(chance, depth - 1)),
            9 => format!("CAST({} AS INTEGER)", self.condition(chance, depth - 1)),
            10 => format!("date_part('{}', {}ts)", chance.of(&["hour", "minute", "second", "dayofweek"]), self.prefix),
            11 => format!("abs({})", part(chance)),
            _ => format!(
                "CASE WHEN {} THEN {} ELSE {} END",
                self.condition(chance, depth - 1),
                part(chance),
                part(chance)
            ),
        }
    }

    /// A double whose value does not hang on how it is rounded.
    pub fn double(&self, chance: &mut Chance, depth: u32) -> String {
        match chance.below(7) {
            0 => format!("{} / {}", self.integer(chance, depth), chance.of(&["4", "-8", "1024"])),
            1 => format!("CAST({} AS DOUBLE)", self.integer(chance, depth)),
            2 | 3 => format!("sqrt(abs({}))", self.integer(chance, depth)),
            4 => {
                let column = self.of(chance, &[Kind::Double]).unwrap_or_else(|| "1.5::DOUBLE".to_owned());
                format!("coalesce({column}, 0.25::DOUBLE)")
            }
            5 => {
                let column = self.of(chance, &[Kind::Double]).unwrap_or_else(|| "1.5::DOUBLE".to_owned());
                format!("({column} * 2)")
            }
            _ => self.of(chance, &[Kind::Double]).unwrap_or_else(|| "2.5::DOUBLE".to_owned()),
        }
    }

    /// A text.
    pub fn text(&self, chance: &mut Chance, depth: u32) -> String {
        let column = |chance: &mut Chance| self.of(chance, &[Kind::Text]).unwrap_or_else(|| "'a'".to_owned());
        if depth == 0 {
            return column(chance);
        }
        match chance.below(9) {
            0 => format!("lower({})", column(chance)),
            1 => format!("({} || 'x')", column(chance)),
            2 => format!("substr({}, {}, {})", column(chance), chance.of(&["1", "2", "-3"]), chance.of(&["1", "5"])),
            3 => format!("coalesce({}, 'none')", column(chance)),
            4 => format!("replace({}, 'a', 'bb')", column(chance)),
            5 => format!("concat({}, '-', {})", column(chance), self.integer(chance, depth - 1)),
            6 => format!("reverse({}k)", self.prefix),
            7 => format!("left({}, {})", column(chance), chance.of(&["3", "-1", "0"])),
            _ => column(chance),
        }
    }

    /// A condition.
    pub fn condition(&self, chance: &mut Chance, depth: u32) -> String {
        if depth > 0 && chance.permille(350) {
            let (one, other) = (self.condition(chance, depth - 1), self.condition(chance, depth - 1));
            return match chance.below(3) {
                0 => format!("({one} AND {other})"),
                1 => format!("({one} OR {other})"),
                _ => format!("(NOT ({one}))"),
            };
        }
        let any =
            [Kind::Integer, Kind::Large, Kind::Double, Kind::Extreme, Kind::Text, Kind::Boolean, Kind::WrittenInstant];
        let operator = chance.of(&["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"]);
        let depth = depth.saturating_sub(1);
        match chance.below(12) {
            0 | 1 => format!("({} {operator} {})", self.integer(chance, depth), self.integer(chance, depth)),
            2 => {
                let other =
                    if chance.permille(200) { format!("epoch({}ts)", self.prefix) } else { self.double(chance, depth) };
                format!("({} {operator} {other})", self.double(chance, depth))
            }
            3 => format!("({} {operator} {})", self.text(chance, depth), self.text(chance, depth)),
            4 => match self.of(chance, &any) {
                Some(column) => format!("({column} IS {}NULL)", chance.of(&["", "NOT "])),
                None => "true".to_owned(),
            },
            5 => format!(
                "({} BETWEEN {} AND {})",
                self.integer(chance, depth),
                self.integer(chance, 0),
                self.integer(chance, 0)
            ),
            6 => format!(
                "({} {}IN (1, 2, {}))",
                self.integer(chance, depth),
                chance.of(&["", "NOT "]),
                self.integer(chance, 0)
            ),
            7 => format!(
                "({} {}LIKE {})",
                self.text(chance, depth),
                chance.of(&["", "NOT "]),
                chance.of(&["'a%'", "'%x%'", "'_'", "'%'"])
            ),
            8 => match self.of(chance, &[Kind::Boolean]) {
                Some(column) => column,
                None => "false".to_owned(),
            },
            9 => match self.of(chance, &[Kind::Extreme]) {
                Some(column) => {
                    format!("({column} {operator} {})", chance.of(&["0.1::DOUBLE", "1e300", "'NaN'::DOUBLE", "0"]))
                }
                None => "true".to_owned(),
            },
            10 => match self.of(chance, &[Kind::Large]) {
                Some(column) => format!(
                    "({column} {operator} {})",
                    chance.of(&["9007199254740993", "0", "-1", "9223372036854775807"])
                ),
                None => "true".to_owned(),
            },
            _ => match self.of(chance, &[Kind::WrittenInstant]) {
                Some(column) => format!(
                    "({column} {operator} TIMESTAMP '{}')",
                    chance.of(&["2024-02-29 12:00:00", "9999-12-31 23:59:59.999999"])
                ),
                None => "true".to_owned(),
            },
        }
    }
}
