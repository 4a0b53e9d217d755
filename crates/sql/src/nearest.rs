//! The name that is meant by a wrong one, and the names that there are.

/// How many names a message lists at most.
const LISTED_MAX: usize = 20;

/// A name that is near a wrong one, as a hint: `did you mean "sent_at"?`.
pub fn did_you_mean<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    nearest(wrong, names).map(|name| format!("did you mean \"{name}\"?"))
}

/// The hint for a wrong name: the name that is near it; else all that there are, after what introduces them
/// (`the jobs are`), or what stands for none.
pub fn near_or_all<'a>(
    wrong: &str,
    names: impl Iterator<Item = &'a str> + Clone,
    introduced: &str,
    none: &str,
) -> String {
    match (did_you_mean(wrong, names.clone()), names.clone().next()) {
        (Some(near), _) => near,
        (None, Some(_)) => format!("{introduced} {}", some_of(names)),
        (None, None) => none.to_owned(),
    }
}

/// Names as a list of which a message may hold all: the first of them, and how many follow.
pub fn some_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.len() {
        0..=LISTED_MAX => names.join(", "),
        all => format!("{} and {} more", names[..LISTED_MAX].join(", "), all - LISTED_MAX),
    }
}

/// What is offered for a wrong name in SQL: the near one as a hint, and what was expected. A long list is no help beside a
/// near name, and is left out.
pub(crate) fn offered<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> (Option<String>, Option<String>) {
    let names: Vec<&str> = names.collect();
    let hint = did_you_mean(wrong, names.iter().copied());
    let is_told = !names.is_empty() && (hint.is_none() || names.len() <= LISTED_MAX);
    let one_of = if names.len() > 1 { "one of " } else { "" };
    (hint, is_told.then(|| format!("{one_of}{}", some_of(names.into_iter()))))
}

/// The nearest name, without regard to case: at most a third of the wrong one's letters differ, or the wrong one is its
/// beginning, and no less than half of it. Names further away are no help. A wrong name without a namespace is also compared
/// with names without theirs.
pub fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    let letters = wrong.chars().count();
    let limit = if letters < 3 { 0 } else { letters / 3 };
    let to_name = |name: &str| {
        let is_beginning = letters > 2 && name.starts_with(&wrong) && 2 * letters >= name.chars().count();
        if is_beginning { 0 } else { distance(&wrong, name) }
    };
    let steps = |name: &str| {
        let name = name.to_lowercase();
        let last = name.rsplit_once('.').map(|(_, last)| last).filter(|_| !wrong.contains('.'));
        // Of two that are as near the one without a namespace is meant.
        (to_name(&name), false).min(last.map_or((usize::MAX, true), |last| (to_name(last), true)))
    };
    let near = names.map(|name| (steps(name), name)).filter(|((steps, _), _)| *steps <= limit);
    near.min().map(|(_, name)| name)
}

/// How many letters have to be put in, left out, changed or swapped with their neighbour to get from one to the other.
pub fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows = vec![(0..=other.len()).collect::<Vec<usize>>()];
    for i in 1..=one.len() {
        let mut row = vec![i];
        for j in 1..=other.len() {
            let change = usize::from(one[i - 1] != other[j - 1]);
            let mut least = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + change);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_offered_only_when_it_is_near() {
        let of = |wrong: &str| nearest(wrong, ["cosh", "mod", "length", "sender_id", "sent_at", "avg"].into_iter());
        assert_eq!(of("lenght"), Some("length"));
        assert_eq!(of("sender"), Some("sender_id"));
        assert_eq!(of("SENT_T"), Some("sent_at"));
        for far in ["hash", "md5", "sen", "averag", "s", "", "levenstein"] {
            assert_eq!(of(far), None, "{far}");
        }
        let tables = ["lake.features", "raw.plays"];
        assert_eq!(nearest("feature", tables.into_iter()), Some("lake.features"));
        assert_eq!(nearest("feature", ["lake.features", "z.features", "features"].into_iter()), Some("features"));
        assert_eq!(nearest("raw.play", tables.into_iter()), Some("raw.plays"));
        assert_eq!(nearest("raw.users", tables.into_iter()), None);
    }

    #[test]
    fn where_no_name_is_near_all_are_listed_up_to_a_bound() {
        let names: Vec<String> = (0..25).map(|n| format!("column_{n}")).collect();
        let names = || names.iter().map(String::as_str);
        let (hint, expected) = offered("x", names());
        assert_eq!(hint, None);
        assert!(expected.is_some_and(|list| list.starts_with("one of column_0, ") && list.ends_with(" and 5 more")));
        assert_eq!(offered("colum_3", names()), (Some("did you mean \"column_3\"?".to_owned()), None));
        assert_eq!(offered("x", names().take(1)), (None, Some("column_0".to_owned())));
        assert_eq!(near_or_all("x", names().take(2), "the columns are", "none"), "the columns are column_0, column_1");
        assert_eq!(near_or_all("x", names().take(0), "the columns are", "there is none"), "there is none");
    }
}
