//! Which rows of a table are wanted, with what its partition specs and bounds of columns tell of them.

use super::column_values::{as_stored, stored_value};
use super::known_values::KnownValues;
use super::manifest_entries::Entry;
use crate::avro::AvroValue;
use crate::unknown_types::unknown_types;
use dataflow::{FilterComparison, FilterValue, RowFilter};
use iceberg::spec::{ManifestFile, PrimitiveType, TableMetadata, Transform};
use std::collections::{BTreeMap, HashMap};

/// The entries of files that hold rows, and of those that delete rows by columns.
const ROWS: i32 = 0;
const EQUALITY_DELETES: i32 = 2;

/// Which rows of a table are wanted.
#[derive(Clone, Debug)]
pub struct TableFilter {
    condition: Condition,
    // The columns of the condition, by their ids.
    columns: BTreeMap<i32, PrimitiveType>,
    specs: HashMap<i32, Vec<PartitionedBy>>,
}

/// A condition on columns of the table by their ids.
#[derive(Clone, Debug)]
enum Condition {
    Column(i32, Test),
    All(Vec<Condition>),
    Any(Vec<Condition>),
}

#[derive(Clone, Debug)]
enum Test {
    Compare(FilterComparison, FilterValue),
    IsNull,
    IsNotNull,
}

/// A field of a partition spec.
#[derive(Clone, Debug)]
struct PartitionedBy {
    id: i32,
    column: i32,
    transform: Transform,
}

/// What is known of columns, by their ids; of one column from several sides.
type Known = Vec<(i32, KnownValues)>;

impl TableFilter {
    /// Wants all rows.
    pub fn everything() -> TableFilter {
        TableFilter { condition: Condition::All(Vec::new()), columns: BTreeMap::new(), specs: HashMap::new() }
    }

    /// Rows of a table that fulfil a condition. What it says of columns that the table does not have, or of those of types
    /// that are not compared, is left out.
    pub fn new(filter: &RowFilter, metadata: &TableMetadata) -> TableFilter {
        let mut columns = BTreeMap::new();
        let condition = bound(filter, metadata, &mut columns);
        let spec = |spec: &iceberg::spec::PartitionSpecRef| {
            let field = |field: &iceberg::spec::PartitionField| PartitionedBy {
                id: field.field_id,
                column: field.source_id,
                transform: field.transform,
            };
            (spec.spec_id(), spec.fields().iter().map(field).collect())
        };
        TableFilter { condition, columns, specs: metadata.partition_specs_iter().map(spec).collect() }
    }

    /// Whether all rows are wanted.
    pub fn is_everything(&self) -> bool {
        matches!(&self.condition, Condition::All(conditions) if conditions.is_empty())
    }

    /// Whether a manifest may name files with wanted rows, or what deletes some of them, by what its list says of it.
    pub fn may_be_in_manifest(&self, manifest: &ManifestFile) -> bool {
        let spec = self.specs.get(&manifest.partition_spec_id);
        let (Some(spec), Some(summaries)) = (spec, &manifest.partitions) else { return true };
        if spec.len() != summaries.len() {
            return true;
        }
        let mut known = Known::new();
        for (field, summary) in spec.iter().zip(summaries) {
            let Some(column) = self.columns.get(&field.column) else { continue };
            let (least, greatest) = (summary.lower_bound.as_deref(), summary.upper_bound.as_deref());
            let least = least.map(|bound| bound.as_slice());
            let greatest = greatest.map(|bound| bound.as_slice());
            let Some(values) = KnownValues::of_partition(field.transform, column, least, greatest) else { continue };
            let may_be_nan = is_floating(column) && summary.contains_nan != Some(false);
            let is_null_alone = summary.contains_null && !may_be_nan && least.is_none() && greatest.is_none();
            let may_be_null = summary.contains_null;
            known.push((
                field.column,
                KnownValues { may_be_null, may_be_nan, may_have_values: !is_null_alone, ..values },
            ));
        }
        self.condition.may_hold(&known)
    }

    /// Whether the file of an entry may hold wanted rows, or delete some of them.
    pub fn may_be_in_entry(&self, spec: i32, entry: &Entry<'_>) -> bool {
        let mut known = Known::new();
        for field in self.specs.get(&spec).into_iter().flatten() {
            let value = entry.partition.iter().find(|(id, _)| *id == field.id);
            if let (Some(column), Some((_, value))) = (self.columns.get(&field.column), value) {
                known.extend(of_partition(field.transform, column, *value).map(|values| (field.column, values)));
            }
        }
        for (&id, column) in &self.columns {
            // What is in a file that deletes by columns are values that are deleted: rows with others are not.
            if entry.content == ROWS || entry.content == EQUALITY_DELETES && entry.equality_ids.contains(&id) {
                known.push((id, of_column(id, column, entry)));
            }
        }
        self.condition.may_hold(&known)
    }
}

impl Condition {
    fn may_hold(&self, known: &Known) -> bool {
        match self {
            Condition::All(conditions) => conditions.iter().all(|condition| condition.may_hold(known)),
            Condition::Any(conditions) => conditions.iter().any(|condition| condition.may_hold(known)),
            Condition::Column(id, test) => {
                let mut of_column = known.iter().filter(|(of, _)| of == id);
                of_column.all(|(_, values)| match test {
                    Test::Compare(comparison, value) => values.may_compare(*comparison, value),
                    Test::IsNull => values.may_be_null,
                    Test::IsNotNull => values.may_have_values || values.may_be_nan,
                })
            }
        }
    }
}

/// A condition by the ids of the columns, which are noted with their types.
fn bound(filter: &RowFilter, metadata: &TableMetadata, columns: &mut BTreeMap<i32, PrimitiveType>) -> Condition {
    let mut of_column = |name: &str, test: Test| {
        let fields = metadata.current_schema().as_struct().fields();
        let field = fields.iter().find(|field| field.name == name);
        let field = field.filter(|field| !unknown_types(metadata).contains_key(&field.id));
        match field.and_then(|field| Some((field.id, field.field_type.as_primitive_type()?))) {
            Some((id, column)) => {
                columns.insert(id, column.clone());
                Condition::Column(id, test)
            }
            None => Condition::All(Vec::new()),
        }
    };
    match filter {
        RowFilter::Compare { column, comparison, value } => {
            of_column(column, Test::Compare(*comparison, value.clone()))
        }
        RowFilter::IsNull(column) => of_column(column, Test::IsNull),
        RowFilter::IsNotNull(column) => of_column(column, Test::IsNotNull),
        RowFilter::All(filters) => {
            Condition::All(filters.iter().map(|filter| bound(filter, metadata, columns)).collect())
        }
        RowFilter::Any(filters) => {
            Condition::Any(filters.iter().map(|filter| bound(filter, metadata, columns)).collect())
        }
    }
}

/// What the value of a partition says of its column.
fn of_partition(transform: Transform, column: &PrimitiveType, value: AvroValue<'_>) -> Option<KnownValues> {
    let stored = as_stored(value);
    let values = KnownValues::of_partition(transform, column, stored.as_deref(), stored.as_deref())?;
    let is_null = value == AvroValue::Null;
    let is_number = match value {
        AvroValue::Float(value) => !value.is_nan(),
        AvroValue::Double(value) => !value.is_nan(),
        _ => true,
    };
    Some(KnownValues { may_be_null: is_null, may_be_nan: !is_number, may_have_values: !is_null && is_number, ..values })
}

/// What an entry says of a column of its file.
fn of_column(id: i32, column: &PrimitiveType, entry: &Entry<'_>) -> KnownValues {
    let count = |counts: &[(i32, i64)]| counts.iter().find(|(of, _)| *of == id).map(|(_, count)| *count);
    let value = |bounds: &[(i32, &[u8])]| {
        bounds.iter().find(|(of, _)| *of == id).and_then(|(_, stored)| stored_value(stored, column))
    };
    let (values, nulls, nans) = (count(&entry.values), count(&entry.nulls), count(&entry.nans));
    let is_null_alone = values.is_some() && values == nulls;
    KnownValues {
        lower: value(&entry.lower),
        upper: value(&entry.upper),
        may_be_null: nulls != Some(0),
        may_be_nan: is_floating(column) && nans != Some(0) && !is_null_alone,
        may_have_values: !is_null_alone,
        ..KnownValues::default()
    }
}

fn is_floating(column: &PrimitiveType) -> bool {
    matches!(column, PrimitiveType::Float | PrimitiveType::Double)
}
