//! Content encodings, and Base64 in JSON.

use std::io::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use flate2::{
    Compression,
    read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder},
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use meterr_core::frame::{
    base64_member::Base64Member,
    inflate::{Encoding, InflateError, Inflater},
};

use crate::{cut::Cut, tree::Tree};

/// Most decoded bytes that are handed out at once.
const MAX_PIECE: usize = 64 * 1024;

fn decode(encoding: Encoding, pieces: &[&[u8]]) -> (Vec<u8>, Result<(), InflateError>) {
    let (mut inflater, mut out) = (Inflater::new(encoding), Vec::new());
    let mut result = Ok(());
    for piece in pieces {
        let before = result;
        result = inflater.push(piece, &mut |bytes| {
            assert!(bytes.len() <= MAX_PIECE, "{} bytes at once", bytes.len());
            out.extend_from_slice(bytes);
        });
        assert!(before.is_ok() || result == before, "an error is final");
    }
    (out, result)
}

/// Takes what a reader gives until it fails; `true` if it came to its end.
fn read(mut reader: impl std::io::Read) -> (Vec<u8>, bool) {
    let (mut out, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match reader.read(&mut piece) {
            Ok(0) => return (out, true),
            Ok(len) => out.extend_from_slice(&piece[..len]),
            Err(_) => return (out, false),
        }
    }
}

/// Encoded bytes under both readings: the same however they are cut; all that the reference decodes, if it decodes them to the end.
fn agrees(encoding: Encoding, cut: &Cut, bytes: &[u8], (reference, is_whole): (Vec<u8>, bool)) {
    let (out, result) = decode(encoding, &[bytes]);
    let (other, other_result) = decode(encoding, &cut.pieces(bytes));
    assert_eq!(other_result, result, "cut otherwise");
    if result == Err(InflateError::Malformed) {
        // How much of a step is still decoded before its fault depends on where the step begins.
        assert!(out.starts_with(&other) || other.starts_with(&out), "cut otherwise");
    } else {
        assert_eq!(other, out, "cut otherwise");
    }
    if is_whole {
        assert_eq!(result, Ok(()), "the reference decodes it");
        assert_eq!(out, reference);
    } else {
        let common = out.len().min(reference.len());
        assert_eq!(out[..common], reference[..common], "until it fails");
    }
}

fn packed(kind: u8, level: u8, text: &[u8]) -> Vec<u8> {
    let level = Compression::new(u32::from(level % 10));
    let done = match kind % 3 {
        0 => {
            let mut encoder = GzEncoder::new(Vec::new(), level);
            encoder.write_all(text).and_then(|()| encoder.finish())
        }
        1 => {
            let mut encoder = ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(text).and_then(|()| encoder.finish())
        }
        _ => {
            let mut encoder = DeflateEncoder::new(Vec::new(), level);
            encoder.write_all(text).and_then(|()| encoder.finish())
        }
    };
    done.expect("memory does not fail")
}

/// Any bytes as gzip, and any bytes compressed as one or two members.
pub fn gzip(data: &[u8]) {
    let (cut, bytes) = Cut::take(data);
    let reference = read(MultiGzDecoder::new(bytes));
    agrees(Encoding::Gzip, &cut, bytes, reference);
    let Some((level, text)) = bytes.split_first() else { return };
    let (one, two) = text.split_at(text.len() / 3);
    let members = [packed(0, *level, one), packed(0, level >> 4, two)].concat();
    agrees(Encoding::Gzip, &cut, &members, (text.to_vec(), true));
}

/// Any bytes as `deflate`, which is zlib or, from some servers, deflate alone; and any bytes compressed as either.
pub fn deflate(data: &[u8]) {
    let (cut, bytes) = Cut::take(data);
    let is_zlib = bytes
        .first_chunk()
        .is_none_or(|[method, flags]| method & 15 == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31));
    let reference = if is_zlib { read(ZlibDecoder::new(bytes)) } else { read(DeflateDecoder::new(bytes)) };
    agrees(Encoding::Deflate, &cut, bytes, reference);
    let Some((level, text)) = bytes.split_first() else { return };
    agrees(Encoding::Deflate, &cut, &packed(1, *level, text), (text.to_vec(), true));
    let raw = packed(2, *level, text);
    agrees(Encoding::Deflate, &cut, &raw, (text.to_vec(), true));
}

fn member(pieces: &[&[u8]]) -> Vec<u8> {
    let (mut member, mut out) = (Base64Member::default(), Vec::new());
    for piece in pieces {
        member.push(piece, &mut |bytes| {
            assert!(bytes.len() <= piece.len() / 4 * 3 + 3);
            out.extend_from_slice(bytes);
        });
    }
    out
}

/// Any bytes as an object with Base64 in it, and any bytes in such an object.
pub fn base64_member(data: &[u8]) {
    let (cut, bytes) = Cut::take(data);
    assert_eq!(member(&cut.pieces(bytes)), member(&[bytes]), "cut otherwise");
    if let Some(tree) = Tree::parse(bytes)
        && let Tree::Object(members) = &tree
        && let [(name, Tree::Text(text))] = members.as_slice()
        && name == "bytes"
        && bytes.windows(7).filter(|part| part == b"\"bytes\"").count() == 1
        && let Ok(plain) = BASE64_STANDARD.decode(text)
        && !bytes.contains(&b'\\')
    {
        assert_eq!(member(&[bytes]), plain);
    }
    let text = format!("{{\"p\":\"\\\"bytes\",\"bytes\" :\t\"{}\",\"bytes\":1}}", BASE64_STANDARD.encode(bytes));
    assert_eq!(member(&cut.pieces(text.as_bytes())), bytes, "what was put there");
}
