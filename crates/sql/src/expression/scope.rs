//! The columns that an expression may name, and what is said when it is wrong.

use crate::nearest::offered;
use arrow::datatypes::DataType;
use sqlparser::ast::Ident;
use sqlparser::tokenizer::Span;
use std::collections::HashMap;

/// What is wrong with an expression, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// What is wrong, in lower case.
    pub message: Box<str>,
    /// The place in the text, when the parser kept it.
    pub span: Option<Span>,
    /// The word of a frame that stands at or after it, where the parser kept no place of the frame.
    pub word: Option<&'static str>,
    /// What was found there.
    pub found: Option<Box<str>>,
    /// What was expected there.
    pub expected: Option<Box<str>>,
    /// What to write instead.
    pub hint: Option<Box<str>>,
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>) -> Problem {
        Problem { message: message.into().into(), span: None, word: None, found: None, expected: None, hint: None }
    }

    /// Sets the place, unless a narrower one is known.
    pub(crate) fn at(mut self, span: Span) -> Problem {
        if self.span.is_none() && span != Span::empty() {
            self.span = Some(span);
        }
        self
    }

    pub(crate) fn found(mut self, found: impl Into<String>) -> Problem {
        self.found = Some(found.into().into());
        self
    }

    pub(crate) fn expected(mut self, expected: impl Into<String>) -> Problem {
        self.expected = Some(expected.into().into());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into().into());
        self
    }
}

/// A column by its number: in a plan its own, in an expression that is ready to run its position in the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ColumnId(pub usize);

/// Where a column's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A column of the batch.
    Column(ColumnId),
    /// The row's time: `_time`.
    Time,
    /// Whether the row was late: `_late`.
    Late,
    /// The row's order, as 32 hexadecimal digits.
    Position,
}

impl Place {
    /// The name in SQL of what stands beside the columns; columns have their own.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Place::Column(_) => "?",
            Place::Time => "_time",
            Place::Late => "_late",
            Place::Position => "row_position()",
        }
    }
}

/// A column that can be named.
#[derive(Clone, Debug, PartialEq)]
pub struct ScopeColumn {
    /// The stream, view or alias before the dot.
    pub qualifier: Option<String>,
    /// The column's name.
    pub name: String,
    /// The type of its values.
    pub data_type: DataType,
    /// Where they are.
    pub place: Place,
    /// Whether it is only named with its qualifier.
    pub needs_qualifier: bool,
    /// Whether USING has made it of two: its name alone means it, whatever else has the name.
    pub is_used: bool,
}

/// The columns that an expression may name.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// In the order in which a reader would list them.
    columns: Vec<ScopeColumn>,
    /// The columns of each name in lower case.
    by_name: HashMap<String, Vec<usize>>,
}

impl FromIterator<ScopeColumn> for Scope {
    fn from_iter<T: IntoIterator<Item = ScopeColumn>>(columns: T) -> Scope {
        let columns: Vec<ScopeColumn> = columns.into_iter().collect();
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, column) in columns.iter().enumerate() {
            by_name.entry(column.name.to_lowercase()).or_default().push(at);
        }
        Scope { columns, by_name }
    }
}

impl Scope {
    /// The columns, in the order in which a reader would list them.
    pub fn columns(&self) -> &[ScopeColumn] {
        &self.columns
    }

    /// The column that a name means. Names match without case, as in DuckDB, quoted or not.
    pub(crate) fn resolve(&self, qualifier: Option<&Ident>, name: &Ident) -> Result<&ScopeColumn, Problem> {
        let of_table = |column: &&ScopeColumn| match qualifier {
            None => !column.needs_qualifier,
            Some(wanted) => column.qualifier.as_ref().is_some_and(|q| q.eq_ignore_ascii_case(&wanted.value)),
        };
        let named = self.by_name.get(&name.value.to_lowercase()).into_iter().flatten().map(|&at| &self.columns[at]);
        let matches: Vec<&ScopeColumn> = named.filter(of_table).collect();
        match matches[..] {
            [one] => Ok(one),
            [] => Err(self.unknown(qualifier, name)),
            [first, ..] => {
                // A column that no qualifier names, as USING makes one of two, has no other name.
                let without: Vec<_> = matches.iter().filter(|column| column.qualifier.is_none()).collect();
                if let ([one], None) = (&without[..], qualifier) {
                    return Ok(one);
                }
                let used: Vec<_> = matches.iter().filter(|column| column.is_used).collect();
                if let ([one], None) = (&used[..], qualifier) {
                    return Ok(one);
                }
                let exact: Vec<_> = matches.iter().filter(|column| column.name == name.value).collect();
                if let [one] = exact[..] {
                    return Ok(one);
                }
                let options: Vec<String> = matches.iter().map(|column| column.full_name()).collect();
                Err(Problem::new(format!("column \"{}\" is ambiguous", name.value))
                    .at(name.span)
                    .found(&name.value)
                    .expected(options.join(" or "))
                    .hint(format!("say which one is meant, e.g. {}", first.full_name())))
            }
        }
    }

    fn unknown(&self, qualifier: Option<&Ident>, name: &Ident) -> Problem {
        if let Some(table) = qualifier {
            let tables = self.columns.iter().filter_map(|column| column.qualifier.as_deref());
            if !tables.clone().any(|known| known.eq_ignore_ascii_case(&table.value)) {
                let problem = Problem::new(format!("no stream or view is named \"{}\" here", table.value));
                let problem = problem.at(table.span).found(&table.value);
                return suggest(problem, &table.value, tables);
            }
        }
        let in_table = self.columns.iter().filter(|column| match (qualifier, &column.qualifier) {
            (Some(wanted), Some(known)) => known.eq_ignore_ascii_case(&wanted.value),
            (Some(_), None) => false,
            (None, _) => true,
        });
        let problem = Problem::new(format!("no column is named \"{}\"", name.value)).at(name.span).found(&name.value);
        let problem = suggest(problem, &name.value, in_table.map(|column| column.name.as_str()));
        match (&problem.hint, name.quote_style) {
            (None, Some('"')) => problem.hint(format!("\"{0}\" is a name; a text is written '{0}'", name.value)),
            _ => problem,
        }
    }
}

impl ScopeColumn {
    fn full_name(&self) -> String {
        match &self.qualifier {
            Some(qualifier) => format!("{qualifier}.{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// Adds the nearest known name as a hint, and the list of names as what was expected.
pub(crate) fn suggest<'a>(problem: Problem, name: &str, known: impl Iterator<Item = &'a str>) -> Problem {
    let mut known: Vec<&str> = known.collect();
    known.sort_unstable();
    known.dedup();
    let (hint, expected) = offered(name, known.into_iter());
    Problem { hint: hint.map(Box::from), expected: expected.map(Box::from), ..problem }
}
