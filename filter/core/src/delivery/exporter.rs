//! The delivery machine of one root context.

use std::rc::Rc;

use hashbrown::HashMap;

use super::{
    batch::{self, Batch, Item},
    pool::{Kind, Pool},
    retry::{Answer, Backoff, retry_after_ms},
    ring::{Fate, PushError, Ring, Slot},
    spec::{OnFull, Sink},
};
use crate::{
    effect::{Effect, Level},
    event::{
        encode,
        format::{self, Format},
    },
    metric::Metric,
    random::Random,
    store::SharedStore,
    time::Timestamp,
};

/// How often rings are tended, in milliseconds.
const TEND_MS: u64 = 1_000;
/// No collector is thought to refuse batches that are smaller.
const MIN_BATCH_BYTES: usize = 1_024;
/// Milliseconds between ticks while nothing waits.
const IDLE_MS: u32 = 1_000;

/// The queue has no room for the event of one more exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

/// Takes events over and sees that they arrive.
#[derive(Debug)]
pub struct Exporter {
    sink: Sink,
    source: String,
    pool: Pool,
    random: Random,
    backoff: Backoff,
    in_flight: HashMap<u64, Batch>,
    /// Halves of condemned batches, to be sent on their own.
    splits: Vec<Vec<Item>>,
    next_token: u64,
    tended: Option<Timestamp>,
    /// Writers and last `seq` of exchanges and of control events that found no place in shared data.
    homeless: [(u64, u64); 2],
    /// Most bytes of a batch: less than the sink's while the collector finds batches too large.
    batch_bytes: usize,
    /// Held once by each exchange whose event is still to come.
    promises: Rc<()>,
}

/// Room for the event of an exchange that was let in, as long as it is held.
#[derive(Debug)]
pub(crate) struct Promise {
    _held: Rc<()>,
}

impl Exporter {
    /// An exporter that owns nothing yet.
    #[must_use]
    pub fn new(sink: Sink, source: String, seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self {
            pool: Pool::new(sink.queue_bytes, random.next()),
            backoff: Backoff::new(&sink),
            homeless: [(random.next(), 0), (random.next(), 0)],
            random,
            batch_bytes: sink.batch_bytes,
            promises: Rc::new(()),
            sink,
            source,
            in_flight: HashMap::new(),
            splits: Vec::new(),
            next_token: 0,
            tended: None,
        }
    }

    /// Whether one more exchange may be let in: `Err` if the queue has no room for its event and such exchanges are to be refused, `Ok(None)`
    /// if nobody asked for that.
    pub(crate) fn promise(&mut self, store: &dyn SharedStore, now: Timestamp) -> Result<Option<Promise>, NoRoom> {
        if self.sink.on_full == OnFull::DropOldest {
            return Ok(None);
        }
        // With our own, there are as many as were promised and one more.
        if self.pool.has_room_for(Rc::strong_count(&self.promises), store, now) {
            Ok(Some(Promise { _held: Rc::clone(&self.promises) }))
        } else {
            Err(NoRoom)
        }
    }

    /// Takes the event of an exchange over that was refused for want of room: it is counted as dropped, and its `seq` is a gap.
    pub(crate) fn drop_refusal(
        &mut self,
        effects: &mut Vec<Effect>,
        encode: &mut dyn FnMut(u64, u64) -> Vec<u8>,
    ) -> Vec<u8> {
        effects.push(Effect::Measure(Metric::Events("accepted"), 1));
        count(&[Fate::Dropped], effects);
        self.encode_homeless(Kind::Usage, encode)
    }

    fn encode_homeless(&mut self, kind: Kind, encode: &mut dyn FnMut(u64, u64) -> Vec<u8>) -> Vec<u8> {
        let [usage, control] = &mut self.homeless;
        let (writer, seq) = match kind {
            Kind::Usage => usage,
            Kind::Control => control,
        };
        *seq = seq.saturating_add(1);
        encode(*writer, *seq)
    }

    /// Takes an event over. `encode` is told writer and seq; what it makes comes back.
    pub fn accept(
        &mut self,
        store: &dyn SharedStore,
        now: Timestamp,
        effects: &mut Vec<Effect>,
        kind: Kind,
        encode: &mut dyn FnMut(u64, u64) -> Vec<u8>,
    ) -> Vec<u8> {
        effects.push(Effect::Measure(Metric::Events("accepted"), 1));
        let mut pushed = self.pool.push(store, now, kind, encode);
        // One large event may take the room of several small ones.
        while self.sink.on_full == OnFull::DropOldest
            && matches!(pushed, Err(PushError::Full))
            && self.drop_oldest(kind, store, now, effects)
        {
            pushed = self.pool.push(store, now, kind, encode);
        }
        if let Ok((_, event)) = pushed {
            if self.is_batch_full() {
                self.send(store, now, effects);
            }
            return event;
        }
        // Shared data fails, or events were larger than was thought when their exchanges were let in: the log is the only place left.
        let event = self.encode_homeless(kind, encode);
        dead_letter(&event, effects);
        event
    }

    /// Makes room. What is dropped is counted, and its `seq` stays as a gap.
    fn drop_oldest(&mut self, kind: Kind, store: &dyn SharedStore, now: Timestamp, effects: &mut Vec<Effect>) -> bool {
        let is_of_kind = |ring: &&mut Ring| Kind::of(ring.number) == kind && ring.oldest().is_some();
        let rings = self.pool.rings.iter_mut().filter(is_of_kind);
        let Some(ring) = rings.min_by_key(|ring| ring.came(ring.seqs().start)) else { return false };
        let Some(seq) = ring.oldest() else { return false };
        let number = ring.number;
        self.finish(&[Item { ring: number, seq }], Fate::Dropped, store, now, effects);
        // A ring that is lost is not ours to make room in; the next push looks for another.
        true
    }

    /// Sends what waits and is due, and looks after the rings.
    #[inline(never)]
    pub fn on_tick(&mut self, store: &dyn SharedStore, now: Timestamp, effects: &mut Vec<Effect>) {
        self.backoff.cap(now);
        // A clock that went back must not stop the care of rings.
        if self.tended.is_none_or(|last| now.millis_since(last) >= TEND_MS || now < last) {
            self.tended = Some(now);
            let depth = self.pool.tend(store, now);
            self.finish(&[], Fate::Dropped, store, now, effects);
            let age = if depth.oldest == 0 { 0 } else { now.millis().saturating_sub(depth.oldest) };
            effects.push(Effect::Measure(Metric::EventQueueBytes, depth.bytes));
            effects.push(Effect::Measure(Metric::EventOldestMs, age));
            self.heartbeats(store, now, effects);
            self.give_up(store, now, effects);
        }
        if self.is_batch_due(now) {
            self.send(store, now, effects);
        }
    }

    /// The collector answered, or nobody did (`status` absent).
    pub fn on_callout_response(
        &mut self,
        token: u64,
        status: Option<u32>,
        retry_after: Option<&str>,
        store: &dyn SharedStore,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let Some(batch) = self.in_flight.remove(&token) else { return };
        let answer = Answer::of(status);
        effects.push(Effect::Measure(Metric::Callouts(answer.code()), 1));
        let Batch::Events(items) = batch else { return };
        match answer {
            Answer::Delivered => {
                self.backoff.succeeded();
                self.batch_bytes = self.batch_bytes.saturating_add(self.batch_bytes / 64).min(self.sink.batch_bytes);
                self.measure_delay(&items, now, effects);
                self.finish(&items, Fate::Delivered, store, now, effects);
            }
            Answer::Condemned => {
                self.backoff.succeeded();
                if status == Some(413) {
                    let bytes: usize = items.iter().map(|item| self.bytes_of(*item)).sum();
                    self.batch_bytes = (bytes / 2).clamp(MIN_BATCH_BYTES.min(self.sink.batch_bytes), self.batch_bytes);
                }
                self.condemn(items, store, now, effects);
            }
            Answer::Retry => {
                let wait = retry_after.and_then(|value| retry_after_ms(value, now));
                self.backoff.failed(wait, &mut self.random, now);
                self.put_back(&items);
            }
        }
        if self.is_batch_due(now) {
            self.send(store, now, effects);
        }
    }

    /// Whether the bodies of answers say anything that matters.
    #[must_use]
    pub fn reads_answers(&self) -> bool {
        self.sink.format == Format::OtlpLogs
    }

    /// The body of an answer, to be told before the answer itself. What a collector rejects of a batch that it takes is not sent again (OTLP:
    /// `partialSuccess`), and so counts as delivered; it is counted once more by itself.
    pub fn on_answer_body(&self, body: &[u8], effects: &mut Vec<Effect>) {
        if !self.reads_answers() {
            return;
        }
        if let Some((rejected, message)) = format::rejected_records(body) {
            effects.push(Effect::Measure(Metric::EventsRejected, rejected));
            let text =
                format!("meterr: the collector rejected {rejected} log records of a batch that it took: {message}");
            effects.push(Effect::Log(Level::Warn, text));
        }
    }

    /// From the end of its exchange until now, for each event that arrived.
    fn measure_delay(&self, items: &[Item], now: Timestamp, effects: &mut Vec<Effect>) {
        let came = |item: &Item| self.ring(*item)?.came(item.seq);
        let delays = items.iter().filter_map(came).map(|came| now.millis().saturating_sub(came));
        effects.extend(delays.map(|delay| Effect::Measure(Metric::EventDeliveryMs, delay)));
    }

    fn ring(&self, item: Item) -> Option<&Ring> {
        self.pool.rings.iter().find(|ring| ring.number == item.ring)
    }

    fn bytes_of(&self, item: Item) -> usize {
        self.ring(item).map_or(0, |ring| ring.bytes_of(item.seq))
    }

    /// The host refused to start a callout.
    pub fn on_callout_failed(
        &mut self,
        token: u64,
        _store: &dyn SharedStore,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let Some(batch) = self.in_flight.remove(&token) else { return };
        effects.push(Effect::Measure(Metric::Callouts("not_started"), 1));
        if let Batch::Events(items) = batch {
            self.backoff.failed(None, &mut self.random, now);
            self.put_back(&items);
        }
    }

    /// Milliseconds until the next tick is wanted.
    #[must_use]
    pub fn next_tick_ms(&self, now: Timestamp) -> u32 {
        if self.waiting_since().is_none() && self.splits.is_empty() {
            return IDLE_MS;
        }
        // Half of the delay: a tick comes late under load, and an event must not wait for two.
        let soon = u64::from(self.sink.batch_delay_ms / 2);
        let wait = self.backoff.wait_ms(now).max(soon).clamp(2, u64::from(IDLE_MS));
        u32::try_from(wait).unwrap_or(IDLE_MS)
    }

    /// Gives the rings back and tells what is in them.
    pub fn drain_for_shutdown(&mut self, store: &dyn SharedStore, _now: Timestamp) -> Vec<Vec<u8>> {
        let mut unsent = Vec::new();
        for ring in core::mem::take(&mut self.pool.rings) {
            unsent.extend(ring.seqs().filter_map(|seq| match ring.read(store, seq) {
                Ok(Slot::Event { event, .. }) => Some(event),
                Ok(Slot::Done(_)) | Err(_) => None,
            }));
            ring.give_back(store);
        }
        unsent
    }

    fn waiting_since(&self) -> Option<u64> {
        self.pool.rings.iter().filter_map(Ring::waiting_since).min()
    }

    fn is_batch_full(&self) -> bool {
        let waiting: usize = self.pool.rings.iter().map(Ring::waiting_count).sum();
        waiting >= self.sink.batch_events
    }

    fn is_batch_due(&self, now: Timestamp) -> bool {
        let delay = u64::from(self.sink.batch_delay_ms);
        // Half a tick early is better than a whole one late.
        let is_old = |since: u64| now.millis() < since || now.millis().saturating_sub(since) >= delay / 2;
        !self.splits.is_empty() || self.is_batch_full() || self.waiting_since().is_some_and(is_old)
    }

    /// Sends batches while there is something to send and the backoff allows it.
    fn send(&mut self, store: &dyn SharedStore, now: Timestamp, effects: &mut Vec<Effect>) {
        while self.backoff.allows(self.events_in_flight(), now) {
            let items = self.splits.pop().unwrap_or_else(|| self.next_batch());
            let items: Vec<Item> = items.into_iter().filter(|item| self.is_ours(*item)).collect();
            if items.is_empty() {
                if self.splits.is_empty() && self.waiting_since().is_none() {
                    return;
                }
                continue;
            }
            let (mut events, mut sent, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
            for item in items {
                let Some(ring) = self.pool.rings.iter_mut().find(|ring| ring.number == item.ring) else { continue };
                match ring.read(store, item.seq) {
                    Ok(Slot::Event { event, version, .. }) => {
                        ring.sent(item.seq, version);
                        events.push(event);
                        sent.push(item);
                    }
                    // An owner before us was slow to hear of it. The next finish lets the tail pass.
                    Ok(Slot::Done(fate)) => ring.is_done(item.seq, fate),
                    Err(_) => unreadable.push(item),
                }
            }
            if !events.is_empty() {
                self.next_token = self.next_token.wrapping_add(1);
                effects.push(Effect::Callout(batch::callout(&self.sink, self.next_token, &events)));
                self.in_flight.insert(self.next_token, Batch::Events(sent));
            }
            if !unreadable.is_empty() {
                self.put_back(&unreadable);
                return;
            }
        }
    }

    fn events_in_flight(&self) -> usize {
        self.in_flight.values().filter(|batch| matches!(batch, Batch::Events(_))).count()
    }

    fn is_ours(&self, item: Item) -> bool {
        self.ring(item).is_some_and(|ring| ring.seqs().contains(&item.seq))
    }

    /// The oldest waiting events, up to the bounds of a batch. Events of condemned batches are none of them.
    fn next_batch(&self) -> Vec<Item> {
        let mut items = Vec::new();
        let mut bytes = 0_usize;
        for ring in &self.pool.rings {
            for (seq, _) in ring.waiting() {
                let size = ring.bytes_of(seq).saturating_add(1);
                let is_full = items.len() >= self.sink.batch_events || bytes.saturating_add(size) > self.batch_bytes;
                if is_full && !items.is_empty() {
                    return items;
                }
                bytes = bytes.saturating_add(size);
                items.push(Item { ring: ring.number, seq });
            }
        }
        items
    }

    fn put_back(&mut self, items: &[Item]) {
        for item in items {
            if let Some(ring) = self.pool.rings.iter_mut().find(|ring| ring.number == item.ring) {
                ring.put_back(item.seq);
            }
        }
    }

    /// Splits a batch that the collector will never take until the guilty events are alone.
    fn condemn(&mut self, items: Vec<Item>, store: &dyn SharedStore, now: Timestamp, effects: &mut Vec<Effect>) {
        if items.len() > 1 {
            let (first, second) = items.split_at_checked(items.len() / 2).unwrap_or((&items, &[]));
            // They stay marked as under way, so that no other batch takes them.
            self.splits.push(second.to_vec());
            self.splits.push(first.to_vec());
            return;
        }
        for item in &items {
            match self.ring(*item).map(|ring| ring.read(store, item.seq)) {
                Some(Ok(Slot::Event { event, .. })) => log_dead_letter(&event, effects),
                Some(Ok(Slot::Done(_))) | None => {}
                Some(Err(_)) => {
                    self.put_back(&items);
                    return;
                }
            }
        }
        self.finish(&items, Fate::DeadLettered, store, now, effects);
    }

    /// Marks events as done and counts what the tails pass over, also in rings whose slots knew more than their heads.
    fn finish(
        &mut self,
        items: &[Item],
        fate: Fate,
        store: &dyn SharedStore,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        self.pool.rings.retain_mut(|ring| {
            let number = ring.number;
            let of_ring = items.iter().filter(|item| item.ring == number);
            let done: Vec<(u64, Fate)> = of_ring.map(|item| (item.seq, fate)).collect();
            if done.is_empty() && !ring.is_behind() {
                return true;
            }
            match ring.finish(store, &done, now) {
                Some(fates) => {
                    count(&fates, effects);
                    true
                }
                // The new owner sends them again: a second delivery, never a loss.
                None => false,
            }
        });
    }

    /// Dead-letters what is older than anybody waits for.
    fn give_up(&mut self, store: &dyn SharedStore, now: Timestamp, effects: &mut Vec<Effect>) {
        let limit = self.sink.give_up_after_secs.saturating_mul(1_000);
        let mut old = Vec::new();
        for ring in &self.pool.rings {
            for (seq, _) in ring.waiting().take_while(|(_, came)| now.millis().saturating_sub(*came) >= limit) {
                let Ok(Slot::Event { event, .. }) = ring.read(store, seq) else { break };
                log_dead_letter(&event, effects);
                old.push(Item { ring: ring.number, seq });
            }
        }
        if !old.is_empty() {
            self.finish(&old, Fate::DeadLettered, store, now, effects);
        }
    }

    fn heartbeats(&mut self, store: &dyn SharedStore, now: Timestamp, effects: &mut Vec<Effect>) {
        let period = self.sink.heartbeat_secs.saturating_mul(1_000);
        let mut beats = Vec::new();
        for ring in &mut self.pool.rings {
            // A date in the future is older than a clock that went back.
            let since = now.millis().checked_sub(ring.head().heartbeat).unwrap_or(period);
            // A writer that has never written has nothing to say.
            if since < period || ring.next() <= 1 || !ring.beat(store, now) {
                continue;
            }
            let head = ring.head();
            beats.push(encode::heartbeat(
                &encode::Heartbeat {
                    id: self.random.uuid_v7(now),
                    time: now,
                    writer: head.writer,
                    last_seq: head.next.saturating_sub(1),
                    accepted: head.accepted,
                    delivered: head.delivered,
                    dead_lettered: head.dead_lettered,
                    dropped: head.dropped,
                    // Those that are done but not yet at the tail are not queued any more.
                    queued: head.accepted.saturating_sub(head.delivered + head.dead_lettered + head.dropped),
                },
                &self.source,
            ));
        }
        if !beats.is_empty() {
            self.next_token = self.next_token.wrapping_add(1);
            effects.push(Effect::Callout(batch::callout(&self.sink, self.next_token, &beats)));
            self.in_flight.insert(self.next_token, Batch::Heartbeat);
        }
    }
}

fn count(fates: &[Fate], effects: &mut Vec<Effect>) {
    for (fate, result) in
        [(Fate::Delivered, "delivered"), (Fate::DeadLettered, "dead_lettered"), (Fate::Dropped, "dropped")]
    {
        let number = fates.iter().filter(|other| **other == fate).count() as u64;
        if number > 0 {
            effects.push(Effect::Measure(Metric::Events(result), number));
        }
    }
}

/// An event that nobody takes goes to the log, tagged, so that it can be sent again from there.
fn dead_letter(event: &[u8], effects: &mut Vec<Effect>) {
    effects.push(Effect::Measure(Metric::Events("dead_lettered"), 1));
    log_dead_letter(event, effects);
}

fn log_dead_letter(event: &[u8], effects: &mut Vec<Effect>) {
    effects.push(Effect::Log(Level::Warn, format!("meterr dead letter: {}", String::from_utf8_lossy(event))));
}
