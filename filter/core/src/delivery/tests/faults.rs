//! Owners that die, rings that change hands, clocks that go back.

use super::*;

#[test]
fn ok_what_an_owner_had_no_time_to_count_is_counted_once_and_not_sent_again() {
    let mut world = World::new(2, sink());
    (0..3).for_each(|_| world.accept(0));
    world.wait(50);
    world.store.refuses_heads.set(true);
    world.answer(0, Some(204));
    assert_eq!(
        (world.collected.len(), world.count("delivered")),
        (3, 0),
        "the ring is lost before anything is counted"
    );
    world.store.refuses_heads.set(false);
    for _ in 0..15 {
        world.wait(1_000);
    }
    assert!(world.under_way.is_empty(), "the slots tell who adopts the ring that it is done");
    assert_eq!(world.count("delivered"), 3);
}

#[test]
fn ok_what_is_done_frees_its_bytes() {
    let mut world = World::new(1, sink());
    (0..40).for_each(|_| world.accept(0));
    let full = world.store.memory.size().1;
    world.settle();
    let (_keys, empty) = world.store.memory.size();
    // Nine bytes a slot, and the heads of three rings at most.
    assert!(full > 40 * 400 && empty < 40 * 30 + 3 * 200, "{full} bytes, then {empty}");
    assert_eq!(world.count("delivered"), 40);
}

#[test]
fn ok_the_way_of_an_event_takes_few_operations_on_the_store() {
    let mut world = World::new(1, Sink { batch_events: 10, ..sink() });
    // Twice around the ring of 32 slots, so that no key is new.
    for _ in 0..6 {
        (0..10).for_each(|_| world.accept(0));
        world.answer(0, Some(204));
    }
    world.store.asked.set((0, 0, 0));
    (0..10).for_each(|_| world.accept(0));
    world.answer(0, Some(204));
    let (reads, bytes, writes) = world.store.asked.get();
    // In: the old slot, read and written. Out: its slot, read once and written once. The head once for all ten.
    assert_eq!((reads, writes), (10 * 2 + 1, 10 * 2 + 1));
    assert!(bytes < 10 * (9 + 600) + 113, "{bytes} bytes: each event is read once");
    assert_eq!(world.count("delivered"), 70);
}

#[test]
fn ok_a_clock_set_back_keeps_no_ring_of_a_dead_owner_for_long() {
    let mut world = World::new(2, sink());
    world.accept(0);
    world.workers[0] = None;
    world.now = Timestamp(world.now.0 - 3_600_000_000_000);
    for _ in 0..15 {
        world.wait(1_000);
        // Heartbeats among them.
        while !world.under_way.is_empty() {
            world.answer(0, Some(204));
        }
    }
    assert_eq!((world.collected.len(), world.count("delivered")), (1, 1));
}

#[test]
fn ok_a_clock_set_back_leaves_room_in_rings_of_dead_owners() {
    // Sixteen rings and eight spare ones.
    let mut world = World::new(1, Sink { queue_bytes: 65_536, ..sink() });
    for _ in 0..24 {
        world.accept(0);
        world.wait(25);
        world.answer(0, Some(204));
        world.crash(0);
    }
    world.now = Timestamp(world.now.0 - 3_600_000_000_000);
    world.accept(0);
    assert_eq!((world.count("delivered"), world.count("dead_lettered")), (24, 0));
    world.settle();
    assert_eq!(world.count("delivered"), 25);
}

#[test]
fn ok_a_clock_set_back_takes_no_ring_from_a_living_owner() {
    let mut world = World::new(2, sink());
    world.accept(0);
    world.wait(50);
    world.now = Timestamp(world.now.0 - 3_600_000_000_000);
    for _ in 0..30 {
        world.wait(1_000);
    }
    let is_usage = |(_, callout): &&(usize, Callout)| String::from_utf8_lossy(&callout.body).contains("\"usage\"");
    assert_eq!(world.under_way.iter().filter(is_usage).count(), 1, "nobody else sends it");
    (0..world.under_way.len()).for_each(|_| world.answer(0, Some(204)));
    assert_eq!(world.count("delivered"), 1);
}
