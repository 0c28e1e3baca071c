//! The JSON scanner.

use meterr_core::usage::estimate;
use meterr_core::{
    dialect::{DialectId, Operation},
    json::scan::{End, Field, Found, MAX_NUMBER, MAX_TEXT, Scanner, Shape, Value},
};

use crate::{cut::Cut, tree::Tree};

/// Wants everything that can be reached by members `a` and `b` and by elements.
static EVERYTHING: Shape =
    Shape::object(&[("a", &EVERYTHING), ("b", &EVERYTHING)]).and(Field::Usage).or_array(&EVERYTHING);

/// A picked value, owned.
#[derive(Clone, Debug, PartialEq)]
struct Picked {
    field: Field,
    kind: Kind,
    start: usize,
    end: usize,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Null,
    Bool(bool),
    Number(Vec<u8>),
    Text { head: Vec<u8>, bytes: u64, chars: u64, weight: u64 },
    ObjectStart,
    ObjectEnd(u64),
    ArrayStart,
    ArrayEnd(u64),
}

impl Picked {
    fn of(found: &Found<'_>) -> Self {
        let kind = match found.value {
            Value::Null => Kind::Null,
            Value::Bool(value) => Kind::Bool(value),
            Value::Number(digits) => Kind::Number(digits.to_vec()),
            Value::Text { head, bytes, chars, weight } => Kind::Text { head: head.to_vec(), bytes, chars, weight },
            Value::ObjectStart => Kind::ObjectStart,
            Value::ObjectEnd(members) => Kind::ObjectEnd(members),
            Value::ArrayStart => Kind::ArrayStart,
            Value::ArrayEnd(items) => Kind::ArrayEnd(items),
        };
        let place = |offset| usize::try_from(offset).expect("a small document");
        Self { field: found.field, kind, start: place(found.start), end: place(found.end) }
    }
}

fn scan(shape: &'static Shape, pieces: &[&[u8]]) -> (Vec<Picked>, End) {
    let (mut scanner, mut picked) = (Scanner::new(shape), Vec::new());
    for piece in pieces {
        scanner.push(piece, &mut |found| picked.push(Picked::of(&found)));
    }
    let end = scanner.finish(&mut |found| picked.push(Picked::of(&found)));
    (picked, end)
}

/// What must be picked from a document, in its order.
fn wanted(tree: &Tree, shape: Option<&'static Shape>, found: &mut Vec<(Field, Kind)>) {
    let Some(shape) = shape else { return };
    let mut tell = |kind| found.extend(shape.field.map(|field| (field, kind)));
    let count = |items: usize| items as u64;
    match tree {
        Tree::Null => tell(Kind::Null),
        Tree::Bool(value) => tell(Kind::Bool(*value)),
        Tree::Number(_) => tell(Kind::Number(Vec::new())),
        Tree::Text(text) => {
            let (bytes, is_weighed) = (count(text.len()), shape.field.is_some_and(Field::is_weighed));
            tell(if is_weighed {
                let (chars, weight) = (count(text.chars().count()), estimate::weigh(text.as_bytes()));
                Kind::Text { head: Vec::new(), bytes, chars, weight }
            } else {
                let head = text.as_bytes()[..text.len().min(MAX_TEXT)].to_vec();
                Kind::Text { head, bytes, chars: 0, weight: 0 }
            });
        }
        Tree::Array(items) => {
            tell(Kind::ArrayStart);
            items.iter().for_each(|item| wanted(item, shape.items, found));
            found.extend(shape.field.map(|field| (field, Kind::ArrayEnd(count(items.len())))));
        }
        Tree::Object(members) => {
            tell(Kind::ObjectStart);
            for (name, value) in members {
                let member = shape.members.iter().find(|(known, _)| known == name).map(|(_, shape)| *shape);
                wanted(value, member, found);
            }
            found.extend(shape.field.map(|field| (field, Kind::ObjectEnd(count(members.len())))));
        }
    }
}

/// Whether the bytes from where a value is said to begin to where it is said to end are that value.
fn spans(picked: &Picked, document: &[u8]) {
    let bytes = &document[picked.start..picked.end];
    let tree = || Tree::parse(bytes).unwrap_or_else(|| panic!("{picked:?} is no value: {bytes:?}"));
    match &picked.kind {
        Kind::Null => assert_eq!(tree(), Tree::Null),
        Kind::Bool(value) => assert_eq!(tree(), Tree::Bool(*value)),
        Kind::Number(digits) => {
            assert!(matches!(tree(), Tree::Number(_)));
            assert_eq!(digits, &bytes[..bytes.len().min(MAX_NUMBER)]);
        }
        Kind::Text { head, .. } => {
            assert!(matches!(tree(), Tree::Text(text) if text.as_bytes().starts_with(head)));
        }
        Kind::ObjectStart => assert_eq!(bytes, b"{"),
        Kind::ArrayStart => assert_eq!(bytes, b"["),
        Kind::ObjectEnd(count) => {
            assert!(matches!(tree(), Tree::Object(members) if members.len() as u64 == *count));
        }
        Kind::ArrayEnd(count) => assert!(matches!(tree(), Tree::Array(items) if items.len() as u64 == *count)),
    }
}

/// Every operation of every dialect.
pub(crate) fn operations() -> impl Iterator<Item = &'static Operation> {
    DialectId::ALL.iter().flat_map(|dialect| dialect.operations().iter().copied())
}

fn shape(pick: u8) -> &'static Shape {
    let of = |operation: &'static Operation| [operation.request, operation.reply, operation.record];
    let all = operations().flat_map(of);
    core::iter::once(&EVERYTHING).chain(all).nth(usize::from(pick)).unwrap_or(&EVERYTHING)
}

/// Any bytes as one JSON document under any dialect's shape: however it is cut the same is picked, and from a valid document all that
/// a parser finds there, with its place.
pub fn json(data: &[u8]) {
    let (cut, rest) = Cut::take(data);
    let Some((pick, bytes)) = rest.split_first() else { return };
    let shape = shape(*pick);
    let (picked, end) = scan(shape, &[bytes]);
    assert_eq!(scan(shape, &cut.pieces(bytes)), (picked.clone(), end), "cut otherwise");
    let Some(tree) = Tree::parse(bytes) else { return };
    assert_eq!(end, End::Complete, "a parser takes it");
    picked.iter().for_each(|picked| spans(picked, bytes));
    let mut all = Vec::new();
    wanted(&tree, Some(shape), &mut all);
    let found: Vec<(Field, Kind)> = picked
        .into_iter()
        .map(|picked| match picked.kind {
            // Its digits were compared where it stands.
            Kind::Number(_) => (picked.field, Kind::Number(Vec::new())),
            kind => (picked.field, kind),
        })
        .collect();
    assert_eq!(found, all, "what is picked");
}
