//! Lists that are written as text, as those of JSON and of files reach SQL: `[0.25, NULL, 1e3]`, also in one another.

/// A value of a list.
pub trait ListValue: Copy {
    /// What stands for a missing one, if anything does.
    const MISSING: Option<Self>;

    /// Reads a number.
    fn read(text: &str) -> Option<Self>;
}

impl ListValue for f32 {
    const MISSING: Option<f32> = Some(f32::NAN);

    /// As a column of doubles gives it: rounded twice.
    fn read(text: &str) -> Option<f32> {
        f64::read(text).map(|number| number as f32)
    }
}

impl ListValue for f64 {
    const MISSING: Option<f64> = Some(f64::NAN);

    fn read(text: &str) -> Option<f64> {
        text.parse().ok()
    }
}

impl ListValue for i64 {
    const MISSING: Option<i64> = None;

    fn read(text: &str) -> Option<i64> {
        text.parse().ok()
    }
}

/// The values in lists, one list after the other, and where those of each row begin: of a row whose text is no list of
/// `width` values, nowhere.
pub fn read<'a, T: ListValue>(
    texts: impl Iterator<Item = Option<&'a str>>,
    width: usize,
) -> (Vec<T>, Vec<Option<usize>>) {
    let mut values = Vec::new();
    let mut starts = Vec::with_capacity(texts.size_hint().0);
    for text in texts {
        let from = values.len();
        let read = text.and_then(|text| list(text, width, &mut values));
        if read.is_none() {
            values.truncate(from);
        }
        starts.push(read.map(|()| from));
    }
    (values, starts)
}

/// Appends the values of a list.
fn list<T: ListValue>(text: &str, width: usize, values: &mut Vec<T>) -> Option<()> {
    let from = values.len();
    let inner = text.trim().strip_prefix('[')?.strip_suffix(']')?;
    let open = |depth: i64, sign: char| match sign {
        '[' => Some(depth + 1),
        ']' if depth > 0 => Some(depth - 1),
        ']' => None,
        _ => Some(depth),
    };
    if inner.chars().try_fold(0, open) != Some(0) {
        return None;
    }
    for part in inner.split(',') {
        // Lists in a list lie one after the other; what they are divided by does not matter.
        let part = part.trim_matches(|sign: char| sign.is_ascii_whitespace() || sign == '[' || sign == ']');
        if values.len() - from == width {
            return None;
        }
        values.push(value(part)?);
    }
    (values.len() - from == width).then_some(())
}

fn value<T: ListValue>(text: &str) -> Option<T> {
    match text {
        _ if text.eq_ignore_ascii_case("null") => T::MISSING,
        "true" => T::read("1"),
        "false" => T::read("0"),
        _ => T::read(text),
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn lists_of_json_and_of_files_are_read() {
        let texts =
            ["[1, 2.5,-3e2]", "[[1,2],[ 3 ]]", " [1.0, NULL, nan] ", "[1,2]", "[1,2,3,4]", "1,2,3", "[]", "[a,b,c]"];
        let (values, starts) = read::<f32>(texts.iter().map(|text| Some(*text)).chain([None]), 3);
        assert_eq!(starts, [Some(0), Some(3), Some(6), None, None, None, None, None, None]);
        assert_eq!(values[..7], [1.0, 2.5, -300.0, 1.0, 2.0, 3.0, 1.0]);
        assert!(values[7].is_nan() && values[8].is_nan() && values.len() == 9);
    }

    #[test]
    fn a_number_of_a_list_is_that_of_a_column_and_brackets_are_in_pairs() {
        let texts = ["[1.0000000596046448]", "[1]]", "[[1]", "[[1]]", "]1["];
        let (values, starts) = read::<f32>(texts.iter().map(|text| Some(*text)), 1);
        assert_eq!(starts, [Some(0), None, None, Some(1), None]);
        assert_eq!(values[0], 1.0000000596046448_f64 as f32);
    }

    #[test]
    fn integers_have_no_missing_value() {
        let texts = ["[1, 2]", "[1, null]", "[true, false]", "[1.5, 2]"];
        let (values, starts) = read::<i64>(texts.iter().map(|text| Some(*text)), 2);
        assert_eq!((values, starts), (vec![1, 2, 1, 0], vec![Some(0), None, Some(2), None]));
    }
}
