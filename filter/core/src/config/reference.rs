//! What there is to say of a configuration key, and the table of the README that says it.

use super::text::Rule;

pub(super) use super::keys::KEYS;

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    /// Its path; `[]` stands for an index, `<name>` for a name that the operator chooses.
    pub(super) path: &'static str,
    /// What it may hold.
    pub(super) kind: Kind,
    /// What it holds when it is not given.
    pub(super) default: Unset,
    /// What it means.
    pub(super) meaning: &'static str,
}

/// What a key may hold.
#[derive(Debug)]
pub(super) enum Kind {
    /// `true` or `false`.
    Switch,
    /// An integer from the first to the second number, of the unit named.
    Integer(u64, u64, &'static str),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Some of these words, each once.
    Choices(&'static [&'static str]),
    /// A text.
    Text(&'static Rule),
    /// So many texts at most.
    Texts(usize, &'static Rule),
    /// A decimal in a string: so many decimals at most, and not more than this.
    Decimal(u32, u64),
    /// How much of a limit's unit: an integer up to the first number, or with unit `usd` a decimal in a string up to the second.
    Amount(u64, u64),
    /// So many parts of a whole at most: numbers above 0 with up to 6 decimals.
    Parts(usize),
    /// An object with the keys below this path.
    Object,
    /// So many objects at most.
    Objects(usize),
    /// So many named values at most; the names follow the rule.
    Map(usize, &'static Rule),
}

/// What holds when a key is not given.
#[derive(Debug)]
pub(super) enum Unset {
    /// The key must be given.
    Required,
    /// This JSON value.
    Json(&'static str),
    /// Nothing; the words say what follows.
    Absent(&'static str),
}

use Kind::{Amount, Choice, Choices, Decimal, Integer, Map, Object, Objects, Parts, Switch, Text, Texts};
use Unset::{Absent, Json, Required};

impl Kind {
    /// What is allowed, in words.
    pub(super) fn allowed(&self) -> String {
        match self {
            Switch => "true or false".to_owned(),
            Integer(min, max, "") => format!("an integer from {min} to {max}"),
            Integer(min, max, unit) => format!("an integer from {min} to {max} ({unit})"),
            Choice(words) => words.join(", "),
            Choices(words) => format!("a list of: {}; each once", words.join(", ")),
            Text(rule) => rule.allowed.to_owned(),
            Texts(max, rule) => format!("a list of at most {max} {}", rule.allowed),
            Decimal(places, max) => {
                format!("a decimal in quotes from \"0\" to \"{max}\" with at most {places} decimals, such as \"0.15\"")
            }
            Amount(max, usd) => {
                format!("an integer from 1 to {max}; with unit usd a decimal in quotes above 0 and up to \"{usd}\"")
            }
            Parts(max) => format!("a list of at most {max} numbers above 0 and up to 10, with at most 6 decimals"),
            Object => "an object".to_owned(),
            Objects(max) => format!("a list of at most {max} objects"),
            Map(max, rule) => format!("an object with at most {max} entries; {}", rule.allowed),
        }
    }
}

/// The key of that path.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Names of the keys directly below that path, in order.
pub(super) fn names(parent: &str) -> Vec<&'static str> {
    let below = |key: &'static Key| match parent {
        "" => Some(key.path),
        _ => key.path.strip_prefix(parent)?.strip_prefix('.'),
    };
    KEYS.iter().filter_map(below).filter(|name| !name.contains(['.', '[', '<'])).collect()
}

/// The configuration table of the README, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut table = String::from("| key | meaning | allowed | default |\n|---|---|---|---|\n");
    for Key { path, kind, default, meaning } in KEYS {
        let default = match default {
            Required => "required".to_owned(),
            Json(json) => format!("`{json}`"),
            Absent(words) => (*words).to_owned(),
        };
        // A bare star would start an emphasis that never ends.
        let allowed = kind.allowed().replace('*', "\\*").replace('<', "&lt;");
        let row = format!("| `{path}` | {meaning} | {allowed} | {default} |\n");
        table.push_str(&row);
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn ok_paths_are_unique_and_have_parents() {
        for (at, key) in KEYS.iter().enumerate() {
            assert!(KEYS.iter().skip(at + 1).all(|other| other.path != key.path), "{} twice", key.path);
            assert!(key.meaning.ends_with('.') && !key.meaning.contains('|'), "{}", key.path);
            let Some((parent, _)) = key.path.rsplit_once('.') else { continue };
            let parent = parent.trim_end_matches("[]").trim_end_matches(".<name>");
            assert!(parent.ends_with("<who>") || find(parent).is_some(), "{} has no parent", key.path);
        }
    }

    #[test]
    fn ok_defaults_are_json() {
        for key in KEYS {
            if let Json(json) = key.default {
                assert!(serde_json::from_str::<Value>(json).is_ok(), "{}", key.path);
            }
        }
    }

    #[test]
    fn ok_names_are_those_directly_below() {
        assert_eq!(
            names(""),
            ["identity", "providers", "limits", "prices", "sink", "tags", "header_hold", "max_hold_bytes"]
        );
        assert_eq!(names("sink.queue"), ["max_bytes", "on_full"]);
        assert_eq!(names("limits[].window"), ["kind", "per", "secs", "per_sec", "burst"]);
        assert_eq!(names("identity.<who>[]"), ["from", "name", "provider", "claim", "key", "value"]);
        assert_eq!(names("identity"), ["tenant", "user", "key", "labels", "on_missing", "credential_key_env"]);
        assert_eq!(names("sink.headers"), Vec::<&str>::new());
    }

    #[test]
    fn ok_the_table_has_four_columns_everywhere() {
        for line in reference().lines() {
            assert_eq!(line.matches('|').count(), 5, "{line}");
        }
        assert_eq!(reference().lines().count(), KEYS.len() + 2);
    }
}
