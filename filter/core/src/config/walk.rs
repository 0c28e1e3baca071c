//! A walk through the JSON of a configuration that never stops at a problem: every getter reports what is wrong and goes on with a
//! placeholder, which nobody sees because one problem refuses the whole configuration.

use core::cell::RefCell;

use serde_json::{Map, Value};

use super::{
    nearest::nearest,
    problem::{Problem, join, kind, quoted, shown},
    reference::{KEYS, Key, Kind, Unset, find, names},
    text::{self, Rule},
};
use crate::protobuf;

/// Paths below which values may be secrets, put there rightly or by mistake: only their kind is ever shown.
const SECRET: [&str; 2] = ["sink.headers", "identity.credential_key_env"];

/// What the whole walk shares.
pub(super) struct Walk<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    /// Beside each key of the table: its default, parsed.
    defaults: Vec<Option<Value>>,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        let parse = |key: &Key| match key.default {
            Unset::Json(json) => serde_json::from_str(json).ok(),
            Unset::Required | Unset::Absent(_) => None,
        };
        Self { env, defaults: KEYS.iter().map(parse).collect(), problems: RefCell::default() }
    }

    /// The value of an environment variable, unless it is empty.
    pub(super) fn env(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.is_empty())
    }

    pub(super) fn report(&self, path: &str, found: impl Into<String>, allowed: impl Into<String>) {
        let path = if path.is_empty() { "configuration" } else { path };
        self.problems.borrow_mut().push(Problem { path: path.into(), found: found.into(), allowed: allowed.into() });
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    /// The document as an object.
    pub(super) fn root(&'a self, value: &'a Value) -> Section<'a> {
        Node { walk: self, path: String::new(), schema: String::new(), value }.section()
    }
}

/// A value and where it stands.
pub(super) struct Node<'a> {
    walk: &'a Walk<'a>,
    path: String,
    /// The path in the table of keys: `limits[].id` where the path says `limits[2].id`.
    schema: String,
    value: &'a Value,
}

impl<'a> Node<'a> {
    fn is_secret(&self) -> bool {
        SECRET.iter().any(|secret| self.schema.starts_with(secret))
    }

    fn refuse(&self, allowed: impl Into<String>) {
        let found = if self.is_secret() { kind(self.value).to_owned() } else { shown(self.value) };
        self.walk.report(&self.path, found, allowed);
    }

    fn refuse_kind(&self, key: &Key) {
        self.refuse(key.kind.allowed());
    }

    /// The value as an object, whose names are checked.
    pub(super) fn section(self) -> Section<'a> {
        let Value::Object(map) = self.value else {
            self.refuse("an object");
            return Section { walk: self.walk, path: self.path, schema: self.schema, map: None };
        };
        let valid = names(&self.schema);
        for name in map.keys().filter(|name| !valid.contains(&name.as_str())) {
            // The name itself may be the secret that somebody pasted one level too deep.
            if self.is_secret() {
                self.walk.report(&self.path, "an unknown key", valid.join(", "));
                continue;
            }
            let found = match nearest(name, &valid) {
                Some(nearest) => format!("an unknown key (nearest: {nearest})"),
                None => "an unknown key".to_owned(),
            };
            self.walk.report(&join(&self.path, name), found, valid.join(", "));
        }
        Section { walk: self.walk, path: self.path, schema: self.schema, map: Some(map) }
    }

    /// The elements of a list of objects, whose keys stand in the table below `schema`.
    pub(super) fn items(self, max: usize, schema: &str) -> Vec<Section<'a>> {
        let Some(list) = self.value.as_array().filter(|list| list.len() <= max) else {
            self.refuse_count(max, &Kind::Objects(max));
            return Vec::new();
        };
        let node = |(nth, value)| Node {
            walk: self.walk,
            path: format!("{}[{nth}]", self.path),
            schema: schema.to_owned(),
            value,
        };
        list.iter().enumerate().map(node).map(Node::section).collect()
    }

    /// Says that a list or object is none, or how many elements it has too many.
    fn refuse_count(&self, max: usize, kind: &Kind) {
        let count = self.value.as_array().map(Vec::len).or_else(|| self.value.as_object().map(Map::len));
        match count.filter(|count| *count > max) {
            Some(count) => self.walk.report(&self.path, format!("{count} elements"), kind.allowed()),
            None => self.refuse(kind.allowed()),
        }
    }

    fn text(&self, rule: &Rule) -> Option<String> {
        let text = self.value.as_str().filter(|text| (rule.holds)(text));
        if text.is_none() {
            self.refuse(rule.allowed);
        }
        text.map(|text| if rule.fold { text.to_ascii_lowercase() } else { text.to_owned() })
    }

    fn exact_integer(&self) -> Option<u64> {
        self.value.as_u64().or_else(|| self.decimal()?.parse().ok())
    }

    /// A number as [`protobuf::decimal`] has it. In a YAML file Envoy makes text of what is neither an integer nor quoted, such as 0.8 and
    /// 2e5: it says nothing of quotes here. An integer that is quoted is no number.
    fn decimal(&self) -> Option<String> {
        let unquoted = |text: &&str| text.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
        let is_integer = |text: &&str| text.bytes().all(|b| b.is_ascii_digit());
        let text = self.value.as_str().filter(unquoted).filter(|text| !is_integer(text));
        match text {
            Some(text) => serde_json::from_str::<Value>(text).ok()?.as_number().map(protobuf::decimal),
            None => self.value.as_number().map(protobuf::decimal),
        }
    }

    /// A list of so many patterns at most.
    pub(super) fn globs(&self, max: usize) -> Vec<String> {
        let kind = Kind::Texts(max, &text::GLOBS);
        let Some(list) = self.value.as_array().filter(|list| list.len() <= max) else {
            self.refuse_count(max, &kind);
            return Vec::new();
        };
        let element = |(nth, value)| {
            let path = format!("{}[{nth}]", self.path);
            Node { walk: self.walk, path, schema: self.schema.clone(), value }.glob()
        };
        list.iter().enumerate().filter_map(element).collect()
    }

    /// One pattern.
    pub(super) fn glob(&self) -> Option<String> {
        self.text(&text::GLOB)
    }

    fn word(&self, words: &'static [&'static str]) -> Option<&'static str> {
        // In a YAML file Envoy takes an unquoted off for false.
        let typed = if self.value == &Value::Bool(false) { Some("off") } else { self.value.as_str() };
        let word = typed.and_then(|typed| words.iter().copied().find(|word| *word == typed));
        if word.is_none() {
            let near = typed.and_then(|typed| nearest(typed, words));
            let found =
                near.map_or_else(|| shown(self.value), |near| format!("{} (nearest: {near})", shown(self.value)));
            self.walk.report(&self.path, found, words.join(", "));
        }
        word
    }

    /// The elements of a list; a problem if it is none, is too long or says something twice.
    fn elements<T: PartialEq>(&self, max: usize, key: &Key, read: impl Fn(&Self) -> Option<T>) -> Vec<T> {
        let Some(list) = self.value.as_array().filter(|list| list.len() <= max) else {
            self.refuse_count(max, &key.kind);
            return Vec::new();
        };
        let mut read_so_far = Vec::new();
        for (nth, value) in list.iter().enumerate() {
            let path = format!("{}[{nth}]", self.path);
            let element = Node { walk: self.walk, path, schema: self.schema.clone(), value };
            let Some(value) = read(&element) else { continue };
            if read_so_far.contains(&value) {
                element.walk.report(&element.path, format!("{} again", shown(element.value)), "each only once");
            } else {
                read_so_far.push(value);
            }
        }
        read_so_far
    }
}

/// An object and where it stands.
pub(super) struct Section<'a> {
    walk: &'a Walk<'a>,
    path: String,
    schema: String,
    /// `None` if the value was no object: that has been reported, and what is missing in it is not.
    map: Option<&'a Map<String, Value>>,
}

impl<'a> Section<'a> {
    /// Reports a problem that concerns more than one value; `name` tells where to look first.
    pub(super) fn report(&self, name: &str, found: impl Into<String>, allowed: impl Into<String>) {
        let path = if name.is_empty() { self.path.clone() } else { join(&self.path, name) };
        self.walk.report(&path, found, allowed);
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Whether the object has that key, right or wrong.
    pub(super) fn has(&self, name: &str) -> bool {
        self.map.is_some_and(|map| map.contains_key(name))
    }

    /// Whether the value was an object at all; if not, that has been reported.
    pub(super) const fn is_object(&self) -> bool {
        self.map.is_some()
    }

    /// Whether the object has nothing under that name, or an empty list.
    pub(super) fn is_empty_or_absent(&self, name: &str) -> bool {
        self.map.is_some_and(|map| map.get(name).is_none_or(|value| value.as_array().is_some_and(Vec::is_empty)))
    }

    /// The value of that key: given or default.
    fn node(&self, name: &str) -> Option<(Node<'a>, &'static Key)> {
        let schema = if self.schema.is_empty() { name.to_owned() } else { format!("{}.{name}", self.schema) };
        let key = find(&schema)?;
        let value = match self.map?.get(name) {
            Some(value) => value,
            None => match &key.default {
                Unset::Required => {
                    self.report(name, "nothing", key.kind.allowed());
                    return None;
                }
                Unset::Absent(_) => return None,
                Unset::Json(_) => {
                    let place = KEYS.iter().position(|other| other.path == key.path)?;
                    self.walk.defaults.get(place)?.as_ref()?
                }
            },
        };
        Some((Node { walk: self.walk, path: join(&self.path, name), schema, value }, key))
    }

    pub(super) fn section(&self, name: &str) -> Self {
        match self.node(name) {
            Some((node, _)) => node.section(),
            None => Self { walk: self.walk, path: join(&self.path, name), schema: self.schema.clone(), map: None },
        }
    }

    pub(super) fn items(&self, name: &str) -> Vec<Self> {
        let Some((node, key)) = self.node(name) else { return Vec::new() };
        let schema = format!("{}[]", node.schema);
        node.items(max_of(key), &schema)
    }

    /// Like [`Section::items`], for lists whose elements share the keys below `schema`.
    pub(super) fn items_of(&self, name: &str, schema: &str) -> Vec<Self> {
        self.node(name).map_or_else(Vec::new, |(node, key)| node.items(max_of(key), schema))
    }

    /// The entries of an object whose names the operator chooses.
    pub(super) fn entries(&self, name: &str) -> Vec<(String, Node<'a>)> {
        let Some((node, key)) = self.node(name) else { return Vec::new() };
        let Kind::Map(max, rule) = key.kind else { return Vec::new() };
        let Some(map) = node.value.as_object().filter(|map| map.len() <= max) else {
            node.refuse_count(max, &key.kind);
            return Vec::new();
        };
        let schema = format!("{}.<name>", node.schema);
        let mut entries: Vec<(String, Node<'a>)> = Vec::new();
        for (name, value) in map {
            let folded = if rule.fold { name.to_ascii_lowercase() } else { name.clone() };
            if !(rule.holds)(name) {
                let found = if node.is_secret() { "a name that cannot be used".to_owned() } else { quoted(name) };
                self.walk.report(&node.path, found, rule.allowed);
            } else if entries.iter().any(|(other, _)| *other == folded) {
                self.walk.report(&join(&node.path, name), "the same name again", "each only once, in whatever case");
            } else {
                let path = join(&node.path, name);
                entries.push((folded, Node { walk: self.walk, path, schema: schema.clone(), value }));
            }
        }
        entries
    }

    pub(super) fn switch(&self, name: &str) -> Option<bool> {
        let (node, key) = self.node(name)?;
        let value = node.value.as_bool();
        if value.is_none() {
            node.refuse_kind(key);
        }
        value
    }

    pub(super) fn integer(&self, name: &str) -> u64 {
        let Some((node, key)) = self.node(name) else { return 0 };
        let Kind::Integer(min, max, _) = key.kind else { return 0 };
        let integer = node.exact_integer().filter(|integer| (min..=max).contains(integer));
        if integer.is_none() {
            node.refuse_kind(key);
        }
        integer.unwrap_or(min)
    }

    /// An integer that has no default.
    pub(super) fn maybe_integer(&self, name: &str) -> Option<u64> {
        if self.has(name) { Some(self.integer(name)) } else { None }
    }

    /// How much of a unit: an integer, or of money a decimal, in units of 1e-12 USD.
    pub(super) fn amount(&self, name: &str, is_usd: bool) -> Option<u64> {
        let (node, key) = self.node(name)?;
        let Kind::Amount(max, max_usd) = key.kind else { return None };
        let amount = if is_usd {
            let most = max_usd.saturating_mul(1_000_000_000_000);
            let pico = node.value.as_str().and_then(|text| text::decimal(text, 12));
            pico.and_then(|pico| u64::try_from(pico).ok()).filter(|pico| (1..=most).contains(pico))
        } else {
            node.exact_integer().filter(|integer| (1..=max).contains(integer))
        };
        if amount.is_none() {
            node.refuse(if is_usd {
                format!("with unit usd: a decimal in a string, such as \"25.00\", above 0 and up to {max_usd}")
            } else {
                format!("an integer from 1 to {max}")
            });
        }
        // What is wrong has been reported: it is not missing.
        Some(amount.unwrap_or(1))
    }

    /// Parts of a whole, in millionths.
    pub(super) fn parts(&self, name: &str) -> Vec<u64> {
        let Some((node, key)) = self.node(name) else { return Vec::new() };
        let Kind::Parts(max) = key.kind else { return Vec::new() };
        node.elements(max, key, |element| {
            let part = element.decimal().and_then(|number| text::decimal(&number, 6));
            let part = part.and_then(|part| u64::try_from(part).ok()).filter(|part| (1..=10_000_000).contains(part));
            if part.is_none() {
                element.refuse("a number above 0 and up to 10, with at most 6 decimals");
            }
            part
        })
    }

    /// Says that a key is needed here although it has no default everywhere.
    pub(super) fn report_missing(&self, name: &str) {
        let schema = format!("{}.{name}", self.schema);
        if self.is_object()
            && let Some(key) = find(&schema)
        {
            self.report(name, "nothing", key.kind.allowed());
        }
    }

    pub(super) fn integer_u32(&self, name: &str) -> u32 {
        u32::try_from(self.integer(name)).unwrap_or(u32::MAX)
    }

    pub(super) fn integer_usize(&self, name: &str) -> usize {
        usize::try_from(self.integer(name)).unwrap_or(usize::MAX)
    }

    pub(super) fn choice(&self, name: &str) -> &'static str {
        let Some((node, key)) = self.node(name) else { return "" };
        let Kind::Choice(words) = key.kind else { return "" };
        node.word(words).unwrap_or("")
    }

    pub(super) fn choices(&self, name: &str) -> Option<Vec<&'static str>> {
        let (node, key) = self.node(name)?;
        let Kind::Choices(words) = key.kind else { return None };
        // One more than there are words, so that a repeated word is named rather than counted.
        Some(node.elements(words.len().saturating_add(16), key, |element| element.word(words)))
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        let (node, key) = self.node(name)?;
        let Kind::Text(rule) = key.kind else { return None };
        node.text(rule)
    }

    pub(super) fn texts(&self, name: &str) -> Option<Vec<String>> {
        let (node, key) = self.node(name)?;
        let Kind::Texts(max, rule) = key.kind else { return None };
        Some(node.elements(max, key, |element| element.text(rule)))
    }

    /// A decimal, in units of `10^-places` of its kind.
    pub(super) fn decimal(&self, name: &str) -> Option<u128> {
        let (node, key) = self.node(name)?;
        let Kind::Decimal(places, max) = key.kind else { return None };
        let most = u128::from(max).saturating_mul(10_u128.saturating_pow(places));
        let value = node.value.as_str().and_then(|text| text::decimal(text, places)).filter(|value| *value <= most);
        if value.is_none() {
            node.refuse_kind(key);
        }
        value
    }
}

const fn max_of(key: &Key) -> usize {
    match key.kind {
        Kind::Objects(max) => max,
        _ => usize::MAX,
    }
}
