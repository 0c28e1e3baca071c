//! Members and elements of JSON as they stand: no value changes on its way from one format to another.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::Value;

/// White space of JSON.
const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// Members of an object with their names, in its order; none of what is no object.
#[derive(Debug, Default)]
pub(super) struct Members<'j>(Vec<(Cow<'j, str>, &'j str)>);

impl<'j> Members<'j> {
    /// Those of a text from outside: none if it is no JSON.
    pub(super) fn checked(text: &'j str) -> Self {
        match serde_json::from_str::<IgnoredAny>(text) {
            Ok(IgnoredAny) => Self::of(text),
            Err(_) => Self::default(),
        }
    }

    /// Those of a value that stands in JSON.
    pub(super) fn of(object: &'j str) -> Self {
        let parts = parts(object, '{', '}').into_iter();
        Self(parts.filter_map(member).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&'j str> {
        self.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'j str)> {
        self.0.iter().map(|(name, value)| (&**name, *value))
    }
}

/// Elements of an array that stands in JSON. What is no array has none.
pub(super) fn elements(array: &str) -> Vec<&str> {
    parts(array, '[', ']')
}

/// A text.
pub(super) fn text(value: &str) -> Option<Cow<'_, str>> {
    let inside = value.strip_prefix('"')?.strip_suffix('"')?;
    if !inside.contains('\\') {
        return Some(inside.into());
    }
    match serde_json::from_str(value).ok()? {
        Value::String(text) => Some(text.into()),
        _ => None,
    }
}

/// A member's name and value.
fn member(part: &str) -> Option<(Cow<'_, str>, &str)> {
    let (name, rest) = part.split_at_checked(text_end(part))?;
    Some((text(name)?, rest.trim_start_matches(SPACE).strip_prefix(':')?.trim_start_matches(SPACE)))
}

/// What stands between the commas of an object or an array.
fn parts(json: &str, open: char, close: char) -> Vec<&str> {
    let inside = json.trim_matches(SPACE).strip_prefix(open).and_then(|json| json.strip_suffix(close));
    let mut rest = inside.unwrap_or_default().trim_matches(SPACE);
    let mut parts = Vec::new();
    while let Some((part, after)) = rest.split_at_checked(part_end(rest)).filter(|(part, _)| !part.is_empty()) {
        parts.push(part.trim_matches(SPACE));
        rest = after.strip_prefix(',').unwrap_or_default();
    }
    parts
}

/// Where the first comma stands that is in nothing else, or the end.
fn part_end(json: &str) -> usize {
    let (mut at, mut depth) = (0_usize, 0_u32);
    while let Some(byte) = json.as_bytes().get(at) {
        match byte {
            b'"' => {
                at = at.saturating_add(text_end(json.get(at..).unwrap_or_default()));
                continue;
            }
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => return at,
            _ => {}
        }
        at = at.saturating_add(1);
    }
    json.len()
}

/// Where a text ends that begins here, past its quote.
fn text_end(json: &str) -> usize {
    let mut is_escaped = false;
    let is_end = |byte| {
        let was_escaped = is_escaped;
        is_escaped = byte == b'\\' && !was_escaped;
        byte == b'"' && !was_escaped
    };
    json.bytes().skip(1).position(is_end).map_or(json.len(), |end| end.saturating_add(2))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn json() -> impl Strategy<Value = Value> {
        let text = prop::collection::vec(prop_oneof![Just('"'), Just('\\'), Just(','), Just('}'), any::<char>()], 0..6);
        let text = text.prop_map(String::from_iter).boxed();
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((text.clone(), inner), 0..5).prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    /// What the text says when it is put together again.
    fn read(text: &str) -> Value {
        let value = |text| serde_json::from_str::<Value>(text).expect("a value");
        match value(text) {
            Value::Array(_) => elements(text).into_iter().map(read).collect(),
            Value::Object(_) => {
                Members::checked(text).iter().map(|(name, value)| (name.to_owned(), read(value))).collect()
            }
            other => other,
        }
    }

    proptest! {
        #[test]
        fn ok_nothing_is_lost_and_nothing_comes_from_elsewhere(value in json()) {
            prop_assert_eq!(read(&value.to_string()), value.clone());
            prop_assert_eq!(read(&serde_json::to_string_pretty(&value).expect("JSON")), value);
        }

        #[test]
        fn err_what_is_no_json_has_no_members(text in "[\\[\\]{}\":,a\\\\ 0]{0,24}") {
            let members = Members::checked(&text);
            match serde_json::from_str::<BTreeMap<String, Value>>(&text) {
                Ok(expected) => prop_assert!(expected.keys().all(|name| members.get(name).is_some()), "{}", text),
                Err(_) => prop_assert!(members.iter().next().is_none(), "{}", text),
            }
        }
    }
}
