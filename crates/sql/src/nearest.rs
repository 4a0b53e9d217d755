//! The name that is meant by a wrong one.

/// The nearest name, without regard to case: at most a third of the wrong one's letters differ, or the wrong one is its
/// beginning, and no less than half of it. Names further away are no help.
pub(crate) fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    let letters = wrong.chars().count();
    let limit = if letters < 3 { 0 } else { letters / 3 };
    let steps = |name: &str| {
        let name = name.to_lowercase();
        let is_beginning = letters > 2 && name.starts_with(&wrong) && 2 * letters >= name.chars().count();
        if is_beginning { 0 } else { distance(&wrong, &name) }
    };
    let near = names.map(|name| (steps(name), name)).filter(|(steps, _)| *steps <= limit);
    near.min().map(|(_, name)| name)
}

/// How many letters have to be put in, left out, changed or swapped with their neighbour to get from one to the other.
fn distance(one: &str, other: &str) -> usize {
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
    }
}
