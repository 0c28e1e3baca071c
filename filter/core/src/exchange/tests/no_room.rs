//! A queue of events that is full.

use super::*;

fn world(on_full: &str) -> World {
    World::of(&json!({
        "header_hold": true,
        "sink": { "cluster": "collector", "queue": { "max_bytes": 65_536, "on_full": on_full } },
    }))
}

impl World {
    /// One exchange from its beginning to its end.
    fn exchange(&mut self) -> Verdict {
        let mut exchange = Exchange::default();
        let verdict = self.request(&mut exchange, &[], &chat(false));
        if verdict == Verdict::Continue {
            self.response(&mut exchange, &[(":status", "200"), ("content-type", "application/json")]);
            self.body(&mut exchange, r#"{"usage":{"prompt_tokens":3,"completion_tokens":2}}"#, true);
        }
        self.done(&mut exchange, "");
        verdict
    }

    pub(super) fn counted(&self, wanted: &str) -> u64 {
        let number = |effect: &Effect| match effect {
            Effect::Measure(Metric::Events(result), number) if *result == wanted => *number,
            _ => 0,
        };
        self.effects.iter().map(number).sum()
    }

    /// The collector takes what is under way, and what follows.
    pub(super) fn deliver(&mut self) {
        let mut answered = 0;
        for _ in 0..200 {
            self.wait(20);
            self.step(Service::on_tick);
            let callouts: Vec<u64> = self
                .effects
                .iter()
                .filter_map(|effect| match effect {
                    Effect::Callout(callout) => Some(callout.token),
                    _ => None,
                })
                .collect();
            for token in &callouts[answered..] {
                self.step(|service, host| service.on_callout_response(*token, Some(204), None, host));
            }
            answered = callouts.len();
        }
    }
}

fn reply(verdict: Verdict) -> LocalReply {
    match verdict {
        Verdict::Reply(reply) => reply,
        other => panic!("{other:?}"),
    }
}

#[test]
fn err_requests_are_refused_when_their_events_would_find_no_room() {
    let mut world = world("reject_requests");
    let admitted = (0..1_000).take_while(|_| world.exchange() == Verdict::Continue).count() as u64;
    assert!((20..100).contains(&admitted), "{admitted} events of some 900 bytes in 64 KiB");
    let refused = reply(world.exchange());
    assert_eq!((refused.status, refused.details), (503, "meterr_event_queue_full"));
    assert!(refused.headers.contains(&("retry-after".to_owned(), "1".to_owned())), "{refused:?}");
    let body: Value = serde_json::from_slice(&refused.body).expect("JSON");
    assert_eq!(body["error"]["code"], "event_queue_full");
    let events = world.events();
    let last = events.last().expect("an event of the refusal");
    assert_eq!([&last["data"]["outcome"], &last["data"]["reason"]], ["rejected", "event_queue_full"]);
    assert!(world.effects.contains(&Effect::Measure(Metric::Errors("event_queue_full"), 1)));
    // Two refusals, whose own events are the only ones that went away.
    assert_eq!((world.counted("accepted"), world.counted("dropped")), (admitted + 2, 2));
    world.deliver();
    assert_eq!((world.counted("delivered"), world.counted("dead_lettered")), (admitted, 0));
    assert_eq!(world.exchange(), Verdict::Continue, "there is room again");
}

#[test]
fn err_room_is_kept_for_exchanges_that_are_open() {
    let mut world = world("reject_requests");
    let mut open = Vec::new();
    let refused = loop {
        let (exchange, verdict) = world.asked();
        match verdict {
            Verdict::Continue => open.push(exchange),
            other => break reply(other),
        }
    };
    assert_eq!((refused.status, world.counted("accepted")), (503, 0), "none of {} has ended", open.len());
    let admitted = open.len() as u64;
    for exchange in &mut open {
        world.done(exchange, "");
    }
    world.deliver();
    assert_eq!((world.counted("delivered"), world.counted("dropped")), (admitted, 0));
}

#[test]
fn ok_the_oldest_event_makes_room_where_no_request_is_refused() {
    let mut world = world("drop_oldest");
    assert!((0..200).all(|_| world.exchange() == Verdict::Continue));
    let dropped = world.counted("dropped");
    assert!(dropped > 50, "{dropped}");
    world.deliver();
    assert_eq!((world.counted("accepted"), world.counted("delivered")), (200, 200 - dropped));
}
