//! Owners of one ring, of which one is slow to hear that it is none any more.

use super::*;
use crate::delivery::{
    head::LEASE_MS,
    ring::{self, Fate, PushError, Ring, Slot},
};

const NUMBER: u8 = 3;
const ROOM: usize = 1 << 16;
/// Before and after the first owner's lease.
const EARLY: Timestamp = Timestamp::from_secs(1_800_000_000);
const LATE: Timestamp = EARLY.plus_millis(LEASE_MS + 1);

fn take(store: &MemoryStore, owner: u64, slots: u64, now: Timestamp) -> Ring {
    let head = ring::read_head(store, NUMBER).expect("a store that works");
    Ring::take(store, NUMBER, head, owner, 77, slots, now).expect("nobody was faster")
}

fn push(ring: &mut Ring, store: &MemoryStore, event: &str, now: Timestamp) -> Result<(), PushError> {
    ring.push(store, event.as_bytes(), ROOM, now)
}

/// What the ring holds, from its tail on.
fn events(ring: &Ring, store: &MemoryStore) -> Vec<String> {
    let read = |seq| match ring.read(store, seq).expect("a store that works") {
        Slot::Event { event, .. } => String::from_utf8(event).expect("a text"),
        Slot::Done(fate) => format!("{fate:?}"),
    };
    ring.seqs().map(read).collect()
}

#[test]
fn ok_what_the_head_of_a_dead_owner_does_not_know_is_found() {
    let store = MemoryStore::default();
    let mut dead = take(&store, 1, 8, EARLY);
    for event in ["a", "b", "c"] {
        push(&mut dead, &store, event, EARLY).expect("room");
    }
    let (head, _) = ring::read_head(&store, NUMBER).expect("a store that works").expect("a head");
    assert_eq!((head.queued(), head.accepted), (0, 0));
    // Another number of slots is for rings that are known to be empty.
    let mut heir = take(&store, 2, 16, LATE);
    assert_eq!(
        (events(&heir, &store), heir.waiting_count()),
        (vec!["a".to_owned(), "b".to_owned(), "c".to_owned()], 3)
    );
    assert!(heir.renew(&store, LATE));
    assert_eq!((heir.head().accepted, heir.head().queued(), heir.head().slots, heir.head().bytes), (3, 3, 8, 3));
    assert_eq!(heir.finish(&store, &[1, 2, 3].map(|seq| (seq, Fate::Delivered)), LATE), Some(vec![Fate::Delivered; 3]));
    heir.give_back(&store);
    assert_eq!(take(&store, 3, 16, LATE).head().slots, 16);
}

#[test]
fn ok_an_event_of_an_owner_that_was_slow_is_the_new_ones() {
    let store = MemoryStore::default();
    let mut slow = take(&store, 1, 8, EARLY);
    let mut heir = take(&store, 2, 8, LATE);
    // It had looked at the clock before it stalled.
    push(&mut slow, &store, "slow", EARLY).expect("the slot is free");
    assert_eq!(push(&mut heir, &store, "heir", LATE), Err(PushError::Given));
    push(&mut heir, &store, "heir", LATE).expect("the next one is free");
    assert_eq!(events(&heir, &store), ["slow", "heir"]);
    // Without an event of its own it finds it at its next look.
    assert_eq!(push(&mut slow, &store, "slower", EARLY), Err(PushError::Given));
    push(&mut slow, &store, "slower", EARLY).expect("the next one is free");
    assert!(heir.tend(&store, LATE));
    assert_eq!(events(&heir, &store), ["slow", "heir", "slower"]);
    assert_eq!((heir.head().accepted, heir.waiting_count()), (3, 3));
    // Once it looks at the clock, it knows.
    assert_eq!(push(&mut slow, &store, "slowest", LATE), Err(PushError::Lost));
    assert!(!slow.tend(&store, LATE));
    assert_eq!(slow.finish(&store, &[(1, Fate::Dropped)], LATE), None);
    assert_eq!(events(&heir, &store), ["slow", "heir", "slower"]);
}

#[test]
fn ok_an_owner_that_was_slow_writes_over_nothing() {
    let store = MemoryStore::default();
    let mut slow = take(&store, 1, 4, EARLY);
    let mut heir = take(&store, 2, 4, LATE);
    for seq in 1..=4 {
        push(&mut heir, &store, "gone", LATE).expect("room");
        assert_eq!(heir.finish(&store, &[(seq, Fate::Delivered)], LATE), Some(vec![Fate::Delivered]));
    }
    // The same slots again.
    push(&mut heir, &store, "kept", LATE).expect("room");
    assert_eq!(push(&mut slow, &store, "slow", EARLY), Err(PushError::Lost));
    assert_eq!(events(&heir, &store), ["kept"]);
}
