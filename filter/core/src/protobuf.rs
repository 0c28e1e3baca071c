//! Reads `google.protobuf.Struct` in its binary form, which is how Envoy hands over a configuration that is written as one, and
//! dynamic metadata, which is a map of such.
//!
//! Source: `google/protobuf/struct.proto`; Protocol Buffers encoding, "Message Structure".

use serde_json::{Map, Number, Value};

/// Deepest nesting; our configuration has seven levels.
const MAX_DEPTH: usize = 32;

/// The document, or `None` if the bytes are no such message.
pub(crate) fn document(bytes: &[u8]) -> Option<Value> {
    object(bytes, 0)
}

/// A number, which is a double in a `Struct`, in its shortest decimal form: an integer reads as one. From a millionth up to 2^53 there is no
/// exponent.
pub(crate) fn decimal(number: &Number) -> String {
    let text = number.to_string();
    // What is written there has an exponent below a hundred-thousandth.
    if let Some(digits) = text.strip_suffix("e-6") {
        return format!("0.00000{digits}");
    }
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// What a `Struct` has under that name: a `Value`, for [`decoded`] and [`inner`]. Nothing else of the message is decoded.
///
/// It does the same for every message whose field 1 is a map from text to messages, such as `envoy.config.core.v3.Metadata`.
pub(crate) fn member<'a>(mut message: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut found = None;
    while !message.is_empty() {
        let (1, Field::Bytes(mut entry)) = field(&mut message)? else { continue };
        let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
        while !entry.is_empty() {
            match field(&mut entry)? {
                (1, Field::Bytes(bytes)) => key = bytes,
                (2, Field::Bytes(bytes)) => value = bytes,
                _ => {}
            }
        }
        if key == name.as_bytes() {
            found = Some(value);
        }
    }
    found
}

/// The `Struct` in a `Value`, or `None` if it holds another kind.
pub(crate) fn inner(mut value: &[u8]) -> Option<&[u8]> {
    match field(&mut value)? {
        (5, Field::Bytes(inner)) if value.is_empty() => Some(inner),
        _ => None,
    }
}

/// A `Value`, or `None` if the bytes are no such message.
pub(crate) fn decoded(bytes: &[u8]) -> Option<Value> {
    value(bytes, 0)
}

/// One field of a message.
enum Field<'a> {
    Varint(u64),
    Double(f64),
    Bytes(&'a [u8]),
}

/// Takes the next field: its number and value. `None` at a byte that makes no sense.
fn field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Field<'a>)> {
    let tag = varint(bytes)?;
    let field = match tag & 7 {
        0 => Field::Varint(varint(bytes)?),
        1 => {
            let (number, rest) = bytes.split_first_chunk::<8>()?;
            *bytes = rest;
            Field::Double(f64::from_le_bytes(*number))
        }
        2 => {
            let len = usize::try_from(varint(bytes)?).ok()?;
            let (field, rest) = bytes.split_at_checked(len)?;
            *bytes = rest;
            Field::Bytes(field)
        }
        _ => return None,
    };
    Some((tag >> 3, field))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// `Struct`: a map of fields.
fn object(mut bytes: &[u8], depth: usize) -> Option<Value> {
    let mut map = Map::new();
    while !bytes.is_empty() {
        let (1, Field::Bytes(mut entry)) = field(&mut bytes)? else { return None };
        let (mut name, mut member) = (String::new(), Value::Null);
        while !entry.is_empty() {
            match field(&mut entry)? {
                (1, Field::Bytes(text)) => name = String::from_utf8(text.to_vec()).ok()?,
                (2, Field::Bytes(inner)) => member = value(inner, depth)?,
                _ => return None,
            }
        }
        map.insert(name, member);
    }
    Some(Value::Object(map))
}

/// `Value`: one of six kinds.
fn value(mut bytes: &[u8], depth: usize) -> Option<Value> {
    if depth > MAX_DEPTH {
        return None;
    }
    let mut found = Value::Null;
    while !bytes.is_empty() {
        found = match field(&mut bytes)? {
            (1, Field::Varint(_)) => Value::Null,
            (2, Field::Double(number)) => Value::Number(Number::from_f64(number)?),
            (3, Field::Bytes(text)) => Value::String(String::from_utf8(text.to_vec()).ok()?),
            (4, Field::Varint(truth)) => Value::Bool(truth != 0),
            (5, Field::Bytes(inner)) => object(inner, depth.saturating_add(1))?,
            (6, Field::Bytes(inner)) => list(inner, depth.saturating_add(1))?,
            _ => return None,
        };
    }
    Some(found)
}

/// `ListValue`: values in order.
fn list(mut bytes: &[u8], depth: usize) -> Option<Value> {
    let mut items = Vec::new();
    while !bytes.is_empty() {
        let (1, Field::Bytes(item)) = field(&mut bytes)? else { return None };
        items.push(value(item, depth)?);
    }
    Some(Value::Array(items))
}

/// The other direction, for tests.
#[cfg(test)]
pub(crate) mod encode {
    use serde_json::Value;

    /// A length-delimited field.
    fn tagged(number: u8, bytes: Vec<u8>) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        let mut len = bytes.len();
        while len >= 0x80 {
            out.push(u8::try_from(len & 0x7f).expect("seven bits") | 0x80);
            len >>= 7;
        }
        out.push(u8::try_from(len).expect("seven bits"));
        [out, bytes].concat()
    }

    fn any(value: &Value) -> Vec<u8> {
        match value {
            Value::Null => vec![8, 0],
            Value::Bool(truth) => vec![32, u8::from(*truth)],
            Value::Number(number) => [vec![17], number.as_f64().expect("a number").to_le_bytes().to_vec()].concat(),
            Value::String(text) => tagged(3, text.as_bytes().to_vec()),
            Value::Array(items) => tagged(6, items.iter().flat_map(|item| tagged(1, any(item))).collect()),
            Value::Object(_) => tagged(5, object(value)),
        }
    }

    /// A JSON object as a `Struct`.
    pub(crate) fn object(value: &Value) -> Vec<u8> {
        let map = value.as_object().expect("an object");
        let entry = |(name, value): (&String, &Value)| {
            tagged(1, [tagged(1, name.clone().into_bytes()), tagged(2, any(value))].concat())
        };
        map.iter().flat_map(entry).collect()
    }

    /// Structs by namespace as an `envoy.config.core.v3.Metadata`, with typed metadata beside them.
    pub(crate) fn metadata(namespaces: &[(&str, Value)]) -> Vec<u8> {
        let entry = |(name, value): &(&str, Value)| {
            tagged(1, [tagged(1, name.as_bytes().to_vec()), tagged(2, object(value))].concat())
        };
        let typed =
            tagged(2, [tagged(1, b"typed".to_vec()), tagged(2, tagged(1, b"type.example/x".to_vec()))].concat());
        namespaces.iter().map(entry).chain([typed]).flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{encode::object as encode_object, *};

    #[test]
    fn ok_numbers_have_no_exponent_where_they_are_wanted() {
        let cases = [
            (json!(7), "7"),
            (json!(-0.0), "-0"),
            (json!(200_000.0), "200000"),
            (json!(9_007_199_254_740_992.0), "9007199254740992"),
            (json!(0.8), "0.8"),
            (json!(0.000_015), "0.000015"),
            (json!(0.00001), "0.00001"),
            (json!(0.000_009), "0.000009"),
            (json!(0.000_001), "0.000001"),
        ];
        for (number, expected) in cases {
            assert_eq!(number.as_number().map(decimal).as_deref(), Some(expected));
        }
    }

    #[test]
    fn ok_every_kind_of_value() {
        let text = "x".repeat(300);
        let value = json!({ "a": null, "b": true, "c": 2.5, "d": text, "e": [1.0, { "f": [] }], "g": {} });
        assert_eq!(document(&encode_object(&value)), Some(value));
        assert_eq!(document(b""), Some(json!({})));
    }

    #[test]
    fn ok_a_member_is_found_without_decoding_the_rest() {
        let bytes = encode_object(&json!({ "a": { "b": 7.0 }, "b": "text" }));
        assert_eq!(
            member(&bytes, "a").and_then(inner).and_then(|a| member(a, "b")).and_then(decoded),
            Some(json!(7.0))
        );
        assert_eq!(member(&bytes, "b").and_then(inner), None);
        assert_eq!(member(&bytes, "c"), None);
        let twice = [encode_object(&json!({ "a": 1.0 })), encode_object(&json!({ "a": 2.0 }))].concat();
        assert_eq!(member(&twice, "a").and_then(decoded), Some(json!(2.0)), "the last one counts, as in any map");
        assert_eq!(member(&bytes[..bytes.len() - 1], "a"), None, "half a message says nothing");
    }

    #[test]
    fn err_what_is_no_message() {
        let deep = (0..100).fold(json!(1.0), |inner, _| json!([inner]));
        for bytes in [
            &b"{}"[..],
            b"\x0a",
            b"\x0a\x05ab",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            &encode_object(&json!({ "a": deep })),
        ] {
            assert_eq!(document(bytes), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _read = document(&bytes);
            let _found = member(&bytes, "a").and_then(inner).and_then(|a| member(a, "b")).and_then(decoded);
        }
    }
}
