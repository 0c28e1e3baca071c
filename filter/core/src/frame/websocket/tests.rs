use proptest::prelude::*;

use super::*;

/// What a direction says, with the pieces of each message put together.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Text(Vec<u8>),
    Compressed,
    Close,
}

/// What was said, the text that is not whole, and whether the bytes could be read to their end.
fn read(sender: Sender, may_compress: bool, pieces: &[&[u8]]) -> (Vec<Said>, Vec<u8>, bool) {
    let mut framer = Framer::new(sender, may_compress);
    let (mut said, mut text) = (Vec::new(), Vec::new());
    let mut is_read = true;
    for piece in pieces {
        let read = framer.push(piece, &mut |item| match item {
            Item::Text(bytes) => text.extend_from_slice(bytes),
            Item::EndOfText => said.push(Said::Text(core::mem::take(&mut text))),
            Item::Compressed => said.push(Said::Compressed),
            Item::Close => said.push(Said::Close),
        });
        is_read &= read.is_ok();
        assert_eq!(read.is_err(), framer.is_broken());
    }
    (said, text, is_read)
}

fn whole(sender: Sender, bytes: &[u8]) -> (Vec<Said>, bool) {
    let (said, _, is_read) = read(sender, false, &[bytes]);
    (said, is_read)
}

/// One frame, with the shortest form of its length that is at least `form` (7, 16 or 64 bits).
fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>, form: u8) -> Vec<u8> {
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let length = payload.len() as u64;
    let mut bytes = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 && form == 7 => bytes.push(bit | short),
        (_, Ok(medium)) if form <= 16 => {
            bytes.push(bit | 126);
            bytes.extend(medium.to_be_bytes());
        }
        _ => {
            bytes.push(bit | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend(mask.unwrap_or_default().iter().take(if mask.is_some() { 4 } else { 0 }));
    let keys = mask.unwrap_or_default();
    bytes.extend(payload.iter().zip(keys.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

#[test]
fn ok_the_examples_of_the_rfc() {
    // RFC 6455, section 5.7.
    let hello = vec![Said::Text(b"Hello".to_vec())];
    assert_eq!(whole(Sender::Server, &[0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]), (hello.clone(), true));
    let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(whole(Sender::Client, &masked), (hello.clone(), true));
    let fragmented = [0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f];
    assert_eq!(whole(Sender::Server, &fragmented), (hello, true));
    let ping_then_binary =
        [&[0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x82, 0x7e, 0x01, 0x00][..], &[7; 256]].concat();
    assert_eq!(whole(Sender::Server, &ping_then_binary), (vec![], true));
}

#[test]
fn ok_control_frames_stand_between_those_of_a_message() {
    let bytes = [
        frame(0x01, b"a", None, 7),
        frame(0x89, b"ping", None, 7),
        frame(0x00, b"", None, 7),
        frame(0x8a, b"", None, 7),
        frame(0x80, b"b", None, 7),
        frame(0x81, b"", None, 7),
        frame(0x88, b"\x03\xe8", None, 7),
    ]
    .concat();
    assert_eq!(
        whole(Sender::Server, &bytes),
        (vec![Said::Text(b"ab".to_vec()), Said::Text(vec![]), Said::Close], true)
    );
}

#[test]
fn ok_compressed_messages_are_told_and_the_next_plain_one_is_read() {
    let bytes =
        [frame(0x41, b"\xf2H", None, 7), frame(0x80, b"\xcd\xc9", None, 7), frame(0x81, b"{}", None, 7)].concat();
    let (said, _, is_read) = read(Sender::Server, true, &[&bytes]);
    assert_eq!((said, is_read), (vec![Said::Compressed, Said::Text(b"{}".to_vec())], true));
    assert_eq!(whole(Sender::Server, &bytes), (vec![], false), "nobody agreed to that");
}

#[test]
fn err_what_is_no_frame() {
    let cases: &[(&str, Vec<u8>)] = &[
        ("a bit that nobody defines", frame(0xa1, b"x", None, 7)),
        ("an opcode that nobody defines", frame(0x83, b"x", None, 7)),
        ("another", frame(0x8b, b"x", None, 7)),
        ("a control frame in pieces", frame(0x09, b"x", None, 7)),
        ("a control frame that is too long", frame(0x89, &[0; 126], None, 7)),
        ("a server that masks", frame(0x81, b"x", Some([1, 2, 3, 4]), 7)),
        ("a message inside another", [frame(0x01, b"x", None, 7), frame(0x81, b"y", None, 7)].concat()),
        ("the rest of nothing", frame(0x80, b"x", None, 7)),
        ("a negative length", [&[0x81, 0x7f, 0x80][..], &[0; 7]].concat()),
        ("HTTP", b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
    ];
    for (what, bytes) in cases {
        let (said, is_read) = whole(Sender::Server, bytes);
        assert!(!is_read && said.is_empty(), "{what}: {said:?}");
    }
    assert!(!whole(Sender::Client, &frame(0x81, b"x", None, 7)).1, "a client that does not mask");
}

#[test]
fn ok_absurd_lengths_take_no_memory() {
    let mut framer = Framer::new(Sender::Server, false);
    let mut passed = 0;
    let header = [&[0x81, 0x7f, 0x7f][..], &[0xff; 7]].concat();
    assert_eq!(framer.push(&header, &mut |_| ()), Ok(()));
    for _ in 0..1_000 {
        let read = framer.push(&[b'x'; 1_000], &mut |item| match item {
            Item::Text(bytes) => passed += bytes.len(),
            other => panic!("{other:?}"),
        });
        assert_eq!(read, Ok(()));
    }
    assert_eq!((passed, size_of::<Framer>() < 128), (1_000_000, true));
}

prop_compose! {
    /// A frame's worth of randomness: payload, mask, form of the length, and whether a ping goes before it.
    fn part()(payload in prop::collection::vec(any::<u8>(), 0..300), mask: [u8; 4], form in prop::sample::select(&[7, 16, 64][..]), ping: bool)
        -> (Vec<u8>, [u8; 4], u8, bool) { (payload, mask, form, ping) }
}

proptest! {
    /// Messages of any fragments come out as they went in, whatever the lengths' forms, the masks and the cuts.
    #[test]
    fn messages_survive_any_cut(
        messages in prop::collection::vec(prop::collection::vec(part(), 1..4), 0..5),
        is_client: bool, cuts in prop::collection::vec(1..40_usize, 1..8),
    ) {
        let sender = if is_client { Sender::Client } else { Sender::Server };
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for fragments in &messages {
            for (nth, (payload, mask, form, ping)) in fragments.iter().enumerate() {
                let mask = is_client.then_some(*mask);
                if *ping {
                    bytes.extend(frame(0x89, b"p", mask, 7));
                }
                let opcode = u8::from(nth == 0);
                let fin = if nth + 1 == fragments.len() { 0x80 } else { 0 };
                bytes.extend(frame(fin | opcode, payload, mask, *form));
            }
            expected.push(Said::Text(fragments.iter().flat_map(|(payload, ..)| payload.clone()).collect()));
        }
        let mut pieces = Vec::new();
        let mut rest = bytes.as_slice();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break; }
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        prop_assert_eq!(read(sender, false, &pieces), (expected.clone(), vec![], true));
        prop_assert_eq!(read(sender, false, &[&bytes]), (expected, vec![], true));
    }

    /// Rubbish is read the same however it is cut, and never more of it than there is.
    #[test]
    fn rubbish_is_read_alike(bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0..400_usize, may_compress: bool, is_client: bool) {
        let sender = if is_client { Sender::Client } else { Sender::Server };
        let (before, after) = bytes.split_at(at.min(bytes.len()));
        let one = read(sender, may_compress, &[&bytes]);
        prop_assert_eq!(&one, &read(sender, may_compress, &[before, after]));
        let each: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&one, &read(sender, may_compress, &each));
    }
}
