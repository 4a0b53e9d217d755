//! Where columns lie in an object.

use dataflow::{Error, Result};

/// A field of an object, with the columns that it is or that lie below it.
#[derive(Debug, Default)]
pub(super) struct Field {
    pub name: String,
    /// Its number among all fields, those below others included.
    pub id: usize,
    /// The columns that are this field itself.
    pub columns: Vec<usize>,
    /// The fields below, when a column lies there.
    pub below: Vec<Field>,
    /// All columns that this field decides: its own, and those below.
    pub all: Vec<usize>,
}

/// How many fields there are, those below others included.
pub(super) fn count(fields: &[Field]) -> usize {
    fields.iter().map(|field| 1 + count(&field.below)).sum()
}

/// The fields of the outermost object for one path per column.
pub(super) fn fields(paths: &[Vec<String>]) -> Result<Vec<Field>> {
    let (mut fields, mut ids) = (Vec::new(), 0);
    for (column, path) in paths.iter().enumerate() {
        if path.is_empty() {
            return Err(Error::invalid(format!("column {column} has an empty path in its JSON message")));
        }
        add(&mut fields, path, column, &mut ids);
    }
    Ok(fields)
}

fn add(fields: &mut Vec<Field>, path: &[String], column: usize, ids: &mut usize) {
    let Some((name, rest)) = path.split_first() else { return };
    let at = fields.iter().position(|field| field.name == *name).unwrap_or_else(|| {
        fields.push(Field { name: name.clone(), id: *ids, ..Field::default() });
        *ids += 1;
        fields.len() - 1
    });
    let field = &mut fields[at];
    field.all.push(column);
    if rest.is_empty() {
        field.columns.push(column);
    } else {
        add(&mut field.below, rest, column, ids);
    }
}
