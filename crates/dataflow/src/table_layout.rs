//! How the rows of a table lie in its files, as a statement says it.

use std::fmt;

/// How the rows of a table lie in its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableLayout {
    /// What cuts the table into partitions; none for one whole.
    pub partition_by: Vec<PartitionField>,
    /// What rows of a file are sorted by.
    pub sort_by: Vec<SortField>,
    /// Properties of the table.
    pub properties: Vec<(String, String)>,
}

impl TableLayout {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.partition_by.is_empty() && self.sort_by.is_empty() && self.properties.is_empty()
    }
}

/// A column whose values, or what is made of them, are the same in all rows of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionField {
    /// The name of the column.
    pub column: String,
    /// What is made of its values.
    pub transform: PartitionTransform,
}

/// What is made of a value to tell its partition. NULL stays NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionTransform {
    /// The value itself.
    Identity,
    /// One of so many buckets, by a hash.
    Bucket(u32),
    /// Its first characters or bytes, or the number down to a multiple of this.
    Truncate(u32),
    /// The year.
    Year,
    /// The month.
    Month,
    /// The day.
    Day,
    /// The hour.
    Hour,
}

/// A column that rows are sorted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortField {
    /// The name of the column.
    pub column: String,
    /// Whether the greatest come first.
    pub descending: bool,
    /// Whether NULL comes first.
    pub nulls_first: bool,
}

/// As PARTITION BY has it.
impl fmt::Display for PartitionField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PartitionField { column, transform } = self;
        match transform {
            PartitionTransform::Identity => write!(f, "{column}"),
            PartitionTransform::Bucket(count) => write!(f, "bucket({count}, {column})"),
            PartitionTransform::Truncate(width) => write!(f, "truncate({width}, {column})"),
            PartitionTransform::Year => write!(f, "year({column})"),
            PartitionTransform::Month => write!(f, "month({column})"),
            PartitionTransform::Day => write!(f, "day({column})"),
            PartitionTransform::Hour => write!(f, "hour({column})"),
        }
    }
}

/// As SORT BY has it.
impl fmt::Display for SortField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SortField { column, descending, nulls_first } = self;
        let (direction, nulls) = (if *descending { " DESC" } else { "" }, if *nulls_first { "FIRST" } else { "LAST" });
        write!(f, "{column}{direction} NULLS {nulls}")
    }
}
