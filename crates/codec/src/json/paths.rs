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

/// Where columns that nothing declares lie in an object beside those of declared paths: a dotted name is a path, unless
/// a step of it would have no name, or be a value in one column and an object in another.
pub fn free_paths(declared: &[Vec<String>], names: &[String]) -> Vec<Vec<String>> {
    let whole = |name: &String| vec![name.clone()];
    let plain = names.iter().filter(|name| !name.contains('.')).map(whole);
    let mut taken: Vec<Vec<String>> = declared.iter().cloned().chain(plain).collect();
    let path = |name: &String| {
        let steps: Vec<String> = name.split('.').map(str::to_owned).collect();
        let meets = |other: &Vec<String>| other.starts_with(&steps) || steps.starts_with(other);
        if steps.len() == 1 || steps.iter().any(String::is_empty) || taken.iter().any(meets) {
            return whole(name);
        }
        taken.push(steps.clone());
        steps
    };
    names.iter().map(path).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dotted_name_is_a_path_where_it_can_be_one() {
        let path = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
        for (declared, names, expected) in [
            (&[][..], &["a.b", "a.c", "d"][..], &["a/b", "a/c", "d"][..]),
            (&[], &["a.b", "a"], &["a.b", "a"]),
            (&[], &["a.b", "a.b.c"], &["a/b", "a.b.c"]),
            (&["a"], &["a.b"], &["a.b"]),
            (&["a/b"], &["a.c", "a.b.c"], &["a/c", "a.b.c"]),
            (&[], &["", ".c", "a..b", "a."], &["", ".c", "a..b", "a."]),
        ] {
            let declared: Vec<_> = declared.iter().map(|text| path(text)).collect();
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            let expected: Vec<_> = expected.iter().map(|text| path(text)).collect();
            assert_eq!(free_paths(&declared, &names), expected, "{names:?}");
        }
    }
}
