//! What an exchange holds for as long as it is open.

use super::*;

#[test]
fn ok_a_slot_stays_taken_for_as_long_as_the_exchange_is_open() {
    let mut world = World::new(&json!([{ "id": "one", "unit": "concurrent_requests", "amount": 1 }]));
    let mut exchange = Exchange::default();
    let ask = |world: &mut World| world.request(&mut Exchange::default(), &[], &chat(true));
    assert_eq!(world.request(&mut exchange, &[], &chat(true)), Verdict::Continue);
    for _ in 0..100 {
        world.now = world.now.plus_millis(60_000);
        let (store, now) = (&world.store, world.now);
        if world.service.holds_are_due(now) {
            exchange.renew_holds(store, now);
        }
        assert!(matches!(ask(&mut world), Verdict::Reply(_)), "the first is still open");
    }
    world.done(&mut exchange, "downstream_remote_disconnect");
    assert_eq!(ask(&mut world), Verdict::Continue);
}
