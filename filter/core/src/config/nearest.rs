//! The valid name that a typo probably meant.

/// The closest of `names` to `typed`, if it is close enough to be meant: at most two edits, and fewer than half of the letters.
pub(super) fn nearest<'n>(typed: &str, names: &[&'n str]) -> Option<&'n str> {
    // Longer than any valid name by more than the edits allowed: not worth the quadratic comparison.
    if typed.len() > 64 {
        return None;
    }
    let typed = typed.to_ascii_lowercase();
    names
        .iter()
        .map(|name| (distance(&typed, name), *name))
        .filter(|(edits, name)| *edits <= 2 && edits * 2 < name.chars().count().max(1))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// Edits that turn one text into the other: insertions, deletions, replacements, swaps of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    // Rows of the usual table: the one before the last, the last, and the one being filled.
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (row, x) in a.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, y) in b.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
            let replace = at(&last, column) + usize::from(x != *y);
            let mut edits = replace.min(at(&last, column + 1) + 1).min(at(&current, column) + 1);
            let left = column.checked_sub(1).and_then(|left| b.get(left)).copied();
            if left == Some(x) && previous == Some(*y) {
                edits = edits.min(at(&before, column.saturating_sub(1)) + 1);
            }
            current.push(edits);
        }
        previous = Some(x);
        before = core::mem::replace(&mut last, current);
    }
    last.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_distances() {
        for (a, b, edits) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("window", "window", 0),
            ("winow", "window", 1),
            ("widnow", "window", 1),
            ("vindov", "window", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
            assert_eq!(distance(b, a), edits, "{b} {a}");
        }
    }

    #[test]
    fn ok_typos_find_their_name() {
        let names = ["cluster", "authority", "path", "per"];
        assert_eq!(nearest("clutser", &names), Some("cluster"));
        assert_eq!(nearest("Cluster", &names), Some("cluster"));
        assert_eq!(nearest("pathh", &names), Some("path"));
    }

    #[test]
    fn err_far_names_are_not_suggested() {
        let names = ["cluster", "per"];
        assert_eq!(nearest("headers", &names), None);
        assert_eq!(nearest("pxx", &names), None, "two of three letters wrong is another word");
        assert_eq!(nearest(&"x".repeat(100_000), &names), None);
    }
}
