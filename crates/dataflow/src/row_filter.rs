//! Which rows of files are wanted, so that files which hold none of them are not opened.

/// A value that a column is compared with. It says in which type both are compared.
#[derive(Clone, Debug, PartialEq)]
pub enum FilterValue {
    /// BOOLEAN.
    Boolean(bool),
    /// BIGINT, and INTEGER as one.
    Whole(i64),
    /// DOUBLE, and FLOAT as one. NaN is greater than all others, and -0 the same as 0.
    Number(f64),
    /// TEXT, in the order of its bytes.
    Text(String),
    /// BLOB.
    Bytes(Vec<u8>),
    /// DATE: days since 1970.
    Date(i32),
    /// TIMESTAMP: microseconds since 1970.
    Instant(i64),
}

/// How a column is compared with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterComparison {
    /// `=`
    Equal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A condition that every wanted row fulfils. A reader may give rows that do not, and leaves out none that do.
///
/// A comparison with NULL is not fulfilled, as in SQL. Where the type of a column is not the one of the value, the
/// value of the column is compared as CAST to that type has it.
///
/// ```
/// use dataflow::{FilterComparison, FilterValue, RowFilter};
///
/// let since = RowFilter::compare("at", FilterComparison::GreaterOrEqual, FilterValue::Instant(0));
/// assert!(RowFilter::any(vec![since.clone(), RowFilter::everything()]).is_everything());
/// assert_eq!(RowFilter::all(vec![since.clone(), RowFilter::everything()]), since);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum RowFilter {
    /// A column compares so with a value.
    Compare {
        /// The name of the column.
        column: String,
        /// How they compare.
        comparison: FilterComparison,
        /// The value on the right.
        value: FilterValue,
    },
    /// A column is NULL.
    IsNull(String),
    /// A column is not NULL.
    IsNotNull(String),
    /// All of them hold; of none, every row is wanted.
    All(Vec<RowFilter>),
    /// One of them holds; of none, no row is wanted.
    Any(Vec<RowFilter>),
}

impl RowFilter {
    /// The condition that all rows fulfil.
    pub fn everything() -> RowFilter {
        RowFilter::All(Vec::new())
    }

    /// The condition that no row fulfils.
    pub fn nothing() -> RowFilter {
        RowFilter::Any(Vec::new())
    }

    /// A comparison of a column with a value.
    pub fn compare(column: impl Into<String>, comparison: FilterComparison, value: FilterValue) -> RowFilter {
        RowFilter::Compare { column: column.into(), comparison, value }
    }

    /// Rows that fulfil all conditions.
    pub fn all(filters: Vec<RowFilter>) -> RowFilter {
        let mut kept: Vec<RowFilter> = Vec::with_capacity(filters.len());
        for filter in filters {
            match filter {
                RowFilter::All(inner) => kept.extend(inner),
                other => kept.push(other),
            }
        }
        if kept.len() == 1 { kept.swap_remove(0) } else { RowFilter::All(kept) }
    }

    /// Rows that fulfil one of the conditions at least.
    pub fn any(filters: Vec<RowFilter>) -> RowFilter {
        let mut kept: Vec<RowFilter> = Vec::with_capacity(filters.len());
        for filter in filters {
            match filter {
                all if all.is_everything() => return all,
                RowFilter::Any(inner) => kept.extend(inner),
                other => kept.push(other),
            }
        }
        if kept.len() == 1 { kept.swap_remove(0) } else { RowFilter::Any(kept) }
    }

    /// Whether all rows fulfil it, whatever they hold.
    pub fn is_everything(&self) -> bool {
        matches!(self, RowFilter::All(filters) if filters.is_empty())
    }

    /// The same condition on columns of other names; what is said of a column without one is left out, so that more
    /// rows fulfil it.
    pub fn renamed(&self, name: &dyn Fn(&str) -> Option<String>) -> RowFilter {
        let inner = |filters: &[RowFilter]| filters.iter().map(|filter| filter.renamed(name)).collect();
        let renamed = match self {
            RowFilter::Compare { column, comparison, value } => {
                name(column).map(|column| RowFilter::compare(column, *comparison, value.clone()))
            }
            RowFilter::IsNull(column) => name(column).map(RowFilter::IsNull),
            RowFilter::IsNotNull(column) => name(column).map(RowFilter::IsNotNull),
            RowFilter::All(filters) => Some(RowFilter::all(inner(filters))),
            RowFilter::Any(filters) => Some(RowFilter::any(inner(filters))),
        };
        renamed.unwrap_or_else(RowFilter::everything)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_null(column: &str) -> RowFilter {
        RowFilter::IsNull(column.to_owned())
    }

    #[test]
    fn what_is_said_of_a_column_without_a_name_is_left_out() {
        let name = |column: &str| (column == "a").then(|| "b".to_owned());
        let both = RowFilter::all(vec![is_null("a"), is_null("c")]);
        assert_eq!(both.renamed(&name), is_null("b"));
        let either = RowFilter::any(vec![is_null("a"), is_null("c")]);
        assert!(either.renamed(&name).is_everything());
        assert_eq!(RowFilter::nothing().renamed(&name), RowFilter::nothing());
    }

    #[test]
    fn conditions_of_one_part_are_that_part() {
        assert_eq!(RowFilter::any(vec![RowFilter::nothing(), is_null("a")]), is_null("a"));
        assert_eq!(RowFilter::all(vec![RowFilter::all(vec![is_null("a")]), RowFilter::everything()]), is_null("a"));
    }
}
