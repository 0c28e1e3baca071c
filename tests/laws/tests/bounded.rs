//! Every law on every seed, on what the fuzzer once found, and on a bounded number of changed seeds.

use std::{fs, path::Path};

use meterr_laws::{Law, TARGETS, seeds::seeds, target};
use proptest::{prelude::*, sample::Index, test_runner::TestRunner};

/// Changed seeds of each target.
const CASES: u32 = 2_000;
/// Longest seed that is changed: what is long takes long.
const MAX_SEED: usize = 4_096;

/// Bytes that mean something to somebody.
const WORDS: &[&[u8]] = &[
    b"\"usage\":{}",
    b"\"choices\":[]",
    b"null",
    b"\r\n",
    b"\n\n",
    b"data:",
    b"event: ",
    b"[DONE]",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\u",
    b"\\ud83d",
    b"1e9",
    b"-",
    b".0",
    b"9007199254740993",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\0\0\0",
    b" ",
    b":",
    b",",
    b"\"stream\":true",
    b"\"stream_options\":null",
    b"\"bytes\":\"",
];

#[derive(Clone, Debug)]
enum Change {
    Flip(Index, u8),
    Insert(Index, Index),
    Remove(Index, u8),
    Double(Index, u8),
    Cut(Index),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let place = |at: &Index, bytes: &Vec<u8>| at.index(bytes.len() + 1);
        let range = |at: &Index, len: u8, bytes: &Vec<u8>| {
            let from = place(at, bytes);
            from..(from + usize::from(len)).min(bytes.len())
        };
        match self {
            Self::Flip(at, byte) => {
                let at = place(at, bytes);
                if let Some(found) = bytes.get_mut(at) {
                    *found ^= byte;
                }
            }
            Self::Insert(at, word) => {
                let at = place(at, bytes);
                bytes.splice(at..at, WORDS[word.index(WORDS.len())].iter().copied());
            }
            Self::Remove(at, len) => {
                bytes.drain(range(at, *len, bytes));
            }
            Self::Double(at, len) => {
                let range = range(at, *len, bytes);
                let part = bytes[range.clone()].to_vec();
                bytes.splice(range.end..range.end, part);
            }
            Self::Cut(at) => bytes.truncate(place(at, bytes)),
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Flip(at, byte)),
        4 => (any::<Index>(), any::<Index>()).prop_map(|(at, word)| Change::Insert(at, word)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, len)| Change::Remove(at, len)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, len)| Change::Double(at, len)),
        1 => any::<Index>().prop_map(Change::Cut),
    ]
}

/// What the fuzzer found once, one file each.
fn found(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("found").join(name);
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| fs::read(entry.expect("an entry").path()).expect("a file")).collect()
}

fn holds(name: &str) {
    let law: Law = target(name).expect("a target");
    law(b"");
    let seeds = seeds(name);
    assert!(!seeds.is_empty(), "{name} has no seeds");
    let found = found(name);
    seeds.iter().chain(&found).for_each(|input| law(input));
    let all: Vec<Vec<u8>> = seeds.into_iter().chain(found).filter(|seed| seed.len() <= MAX_SEED).collect();
    let inputs = (prop::sample::select(all), prop::collection::vec(change(), 1..6));
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let result = TestRunner::new(config).run(&inputs, |(mut input, changes)| {
        changes.iter().for_each(|change| change.apply(&mut input));
        law(&input);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{name}: {error}");
    }
}

macro_rules! laws {
    ($($name:ident)+) => {
        $(#[test]
        fn $name() {
            holds(stringify!($name));
        })+

        #[test]
        fn ok_every_target_is_tested() {
            let tested = [$(stringify!($name)),+];
            assert_eq!(TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>(), tested);
        }
    };
}

laws! { sse hide eventstream ndjson json gzip deflate base64_member config headers exchange websocket }
