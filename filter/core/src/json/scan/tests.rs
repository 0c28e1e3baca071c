use proptest::prelude::*;

use super::*;

static MODEL: Shape = Shape::value(Field::RequestModel);
static TEXT: Shape = Shape::value(Field::InputText);
static PART: Shape = Shape::object(&[("type", &TYPE), ("text", &TEXT)]);
static TYPE: Shape = Shape::value(Field::PartType);
static CONTENT: Shape = Shape::value(Field::InputText).or_array(&PART);
static MESSAGE: Shape = Shape::object(&[("content", &CONTENT)]).and(Field::Message);
static MESSAGES: Shape = Shape::array(&MESSAGE);
static INPUT: Shape = Shape::value(Field::Input);
static USAGE: Shape = Shape::object(&[("prompt_tokens", &INPUT)]).and(Field::Usage);
static ROOT: Shape = Shape::object(&[("model", &MODEL), ("messages", &MESSAGES), ("usage", &USAGE)]);

fn scan(pieces: &[&[u8]]) -> (Vec<String>, End) {
    let mut scanner = Scanner::new(&ROOT);
    let mut seen = Vec::new();
    let mut found = |f: Found<'_>| {
        let value = match f.value {
            Value::Text { head, bytes, weight, .. } => {
                format!("{:?}/{bytes}/{weight}", String::from_utf8_lossy(head))
            }
            Value::Number(digits) => String::from_utf8_lossy(digits).into_owned(),
            other => format!("{other:?}"),
        };
        seen.push(format!("{:?} {value} {}..{}", f.field, f.start, f.end));
    };
    for piece in pieces {
        scanner.push(piece, &mut found);
    }
    let end = scanner.finish(&mut found);
    (seen, end)
}

#[test]
fn ok_only_the_wanted_paths_are_picked() {
    let body = br#"{"a":{"usage":{"prompt_tokens":9}},"model":"m\u00e9\ud83d\ude00\n","usage":{"prompt_tokens":12 }}"#;
    let (seen, end) = scan(&[body]);
    assert_eq!(end, End::Complete);
    assert_eq!(seen[0], "RequestModel \"mé😀\\n\"/8/0 43..66");
    assert_eq!(seen[1], "Usage ObjectStart 75..76");
    assert_eq!(seen[2], "Input 12 92..94");
    assert_eq!(seen[3], "Usage ObjectEnd(1) 75..96");
    assert_eq!(seen.len(), 4);
}

#[test]
fn ok_content_is_a_text_or_a_list() {
    let body = br#"{"messages":[{"content":"hi"},{"content":[{"type":"text","text":"there"},{"type":"image"}]}]}"#;
    let (seen, _) = scan(&[body]);
    let texts: Vec<&String> =
        seen.iter().filter(|line| line.starts_with("InputText \"") || line.starts_with("PartType")).collect();
    assert_eq!(texts.len(), 4, "{seen:?}");
}

#[test]
fn err_what_is_no_json() {
    for body in ["{]", "{\"a\"}", "[1,]x", "{\"a\":1,}", "tru ", "\"\\x\"", "{} {}", "{\"a\":\"\\u12g4\"}", "]"] {
        let (_, end) = scan(&[body.as_bytes()]);
        assert_eq!(end, End::Malformed, "{body}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(scan(&[deep.as_bytes()]).1, End::Malformed);
    assert_eq!(scan(&[b"  "]).1, End::Empty);
    assert_eq!(scan(&[b"{\"a\":"]).1, End::Incomplete);
    assert_eq!(scan(&[b"12"]).1, End::Complete);
}

#[test]
fn ok_a_lone_surrogate_is_replaced() {
    let (seen, _) = scan(&[br#"{"model":"\ud83dx\ud83d"}"#]);
    assert!(seen[0].starts_with("RequestModel \"\u{fffd}x\u{fffd}\"/7/0"), "{seen:?}");
}

#[test]
fn ok_a_text_that_is_weighed_has_no_head() {
    let (seen, _) = scan(&[
        br#"{"messages":[{"content":"m\u00e9\ud83d\ude00\n"},{"content":"\ud83dx\ud83d"},{"content":"\ud83d\n"}]}"#,
    ]);
    let weighed: Vec<&str> =
        seen.iter().filter(|line| line.starts_with("InputText")).filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(weighed, ["\"\"/8/2445", "\"\"/7/2965", "\"\"/4/1780"], "{seen:?}");
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "\\PC{0,12}".prop_map(Into::into),
    ];
    let name = prop_oneof![
        Just("model"),
        Just("usage"),
        Just("messages"),
        Just("content"),
        Just("prompt_tokens"),
        Just("x\n\"")
    ];
    leaf.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((name.clone(), inner), 0..4).prop_map(|members| members
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v))
                .collect::<serde_json::Map<_, _>>()
                .into()),
        ]
    })
}

proptest! {
    /// Cut anywhere: how a document is cut into pieces changes nothing, and a document is complete exactly at its end.
    #[test]
    fn cut_anywhere(value in json(), at in any::<prop::sample::Index>(), ascii in any::<bool>()) {
        let mut text = value.to_string();
        if ascii {
            text = text.chars().map(|c| if c.is_ascii() { c.to_string() } else {
                c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
            }).collect();
        }
        let bytes = text.as_bytes();
        let whole = scan(&[bytes]);
        prop_assert_eq!(whole.1, End::Complete);
        let (a, b) = bytes.split_at(at.index(bytes.len() + 1));
        prop_assert_eq!(&scan(&[a, b]), &whole);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&scan(&single), &whole);
    }

    /// Rubbish is taken without harm.
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _seen = scan(&[&bytes]);
    }
}
