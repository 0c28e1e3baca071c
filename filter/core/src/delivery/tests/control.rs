//! Events beside those of exchanges: rings and numbers of their own.

use super::*;

/// How many bytes wait in each ring.
fn depths(world: &World) -> Vec<(u8, u64)> {
    let head = |ring: u8| ring::read_head(&world.store, ring).expect("read");
    (0..=u8::MAX).filter_map(|ring| Some((ring, head(ring)?.0.bytes))).collect()
}

#[test]
fn ok_a_lost_control_event_is_no_gap_between_exchanges() {
    let mut world = World::new(1, sink());
    for nth in 0..12 {
        world.accept_as(0, if nth % 3 == 1 { Kind::Control } else { Kind::Usage });
    }
    world.settle();
    let seqs: Vec<Vec<u64>> = world.by_writer.values().map(|seqs| seqs.iter().copied().collect()).collect();
    assert_eq!(seqs.len(), 2, "{seqs:?}");
    assert!(seqs.contains(&(1..=8).collect()) && seqs.contains(&(1..=4).collect()), "{seqs:?}");
    assert_eq!((world.count("accepted"), world.count("delivered")), (12, 12));
}

#[test]
fn ok_a_flood_of_control_events_is_bounded_and_drops_none_of_exchanges() {
    let mut world = World::new(1, Sink { queue_bytes: 65_536, ..sink() });
    (0..20).for_each(|_| world.accept(0));
    (0..6_000).for_each(|_| world.accept_as(0, Kind::Control));
    let (usage, control): (Vec<_>, Vec<_>) = depths(&world).into_iter().partition(|(ring, _)| *ring < 192);
    let sum = |depths: &[(u8, u64)]| depths.iter().map(|(_, bytes)| bytes).sum::<u64>();
    assert!(sum(&control) > 1 << 19 && sum(&control) <= 2 << 20, "{} bytes", sum(&control));
    assert!(sum(&usage) <= 65_536, "{} bytes", sum(&usage));
    let dropped = world.count("dropped");
    assert!(dropped > 1_000, "{dropped}");
    for _ in 0..20 {
        world.settle();
    }
    assert_eq!(world.collected.len() as u64, 6_020 - dropped);
    assert!((1..=20).all(|made| world.collected.contains(&made)), "all exchanges arrive");
    assert!(world.collected.contains(&6_020), "and the newest of the others");
}

#[test]
fn ok_a_flood_of_exchanges_drops_no_control_event() {
    let mut world = World::new(1, Sink { queue_bytes: 65_536, ..sink() });
    world.accept_as(0, Kind::Control);
    (0..300).for_each(|_| world.accept(0));
    assert!(world.count("dropped") > 100);
    world.settle();
    assert!(world.collected.contains(&1));
}

#[test]
fn ok_a_ring_of_control_events_is_given_back_once_its_end_is_told() {
    let mut world = World::new(2, Sink { heartbeat_secs: 5, ..sink() });
    world.accept_as(0, Kind::Control);
    let owners = |world: &World| {
        let head = |ring: u8| ring::read_head(&world.store, ring).expect("read");
        (192..=u8::MAX).filter(|ring| head(*ring).is_some_and(|(head, _)| head.owner != 0)).count()
    };
    assert_eq!(owners(&world), 1);
    world.wait(1_000);
    world.answer(0, Some(204));
    world.wait(1_000);
    assert_eq!(owners(&world), 1, "nobody has told of the last number");
    let mut told = Vec::new();
    for _ in 0..8 {
        world.wait(1_000);
        for (_, callout) in world.under_way.drain(..) {
            let beats: Vec<Value> = serde_json::from_slice(&callout.body).expect("JSON");
            told.extend(beats.iter().map(|beat| (beat["data"]["seq"].clone(), beat["data"]["delivered"].clone())));
        }
    }
    assert_eq!((owners(&world), told), (0, vec![(1.into(), 1.into())]));
}
