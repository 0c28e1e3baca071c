//! What one root context does: hands out what exchanges share, delivers their events, keeps what failed for the next tick.

use std::rc::Rc;

use crate::{
    config::{Config, Problems},
    delivery::{Exporter, Kind, NoRoom, Promise, Refusals, Summary, spec::Rejected},
    effect::{Effect, Level},
    event::{self, Outcome, UsageEvent},
    host::Host,
    identity::credential::CredentialKey,
    limit::{
        Alert, EPOCH_SECS, LimitState, Subject, Unsettled,
        queue::{LOOK_MS, Queue},
    },
    metric::Metric,
    random::Random,
    setup::Setup,
    store::StoreError,
    tag::SeriesTable,
    time::Timestamp,
    usage::estimate::memo::Memo,
};

/// Shared-data key of the process's random credential key, used where the environment has none.
const CREDENTIAL_KEY: &[u8] = b"meterr/credential-key";

/// Milliseconds between ticks while nothing waits: leases, heartbeats and the watchdog need no more.
const IDLE_TICK_MS: u32 = 1_000;

/// Why an exchange was refused for whose event the queue had no room.
pub(crate) const NO_ROOM: &str = "event_queue_full";

/// Most settlements that are kept for the next tick when the store fails. Past it the oldest is given up and counted: the limit
/// then forgets what that exchange used, its event does not.
const MAX_UNSETTLED: usize = 4_096;

/// One root context.
#[derive(Debug)]
pub struct Service {
    setup: Rc<Setup>,
    exporter: Exporter,
    refusals: Summary,
    random: Random,
    credential_key: Option<CredentialKey>,
    environment_key: Option<CredentialKey>,
    series: SeriesTable,
    unsettled: Vec<Unsettled>,
    queue: Queue,
    /// The epoch in which holds were last renewed.
    epoch: u64,
    tick_ms: u32,
    source: String,
}

impl Service {
    /// A service for this configuration text. A pure function of its arguments: nothing is claimed, stored or sent.
    ///
    /// # Errors
    /// Every problem of the configuration, each with its path.
    pub fn configure(
        text: &[u8],
        node: Option<&str>,
        seed: u64,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Problems> {
        let config = Config::parse(text, env)?;
        let environment_key = env(&config.identity.credential_key_env)
            .filter(|key| !key.is_empty())
            .map(|key| CredentialKey::new(key.as_bytes()));
        let source = format!("urn:meterr:{}", node.filter(|id| !id.is_empty()).unwrap_or("unknown"));
        let mut random = Random::new(seed);
        Ok(Self {
            exporter: Exporter::new(config.sink.clone(), source.clone(), random.next()),
            refusals: Summary::default(),
            random,
            credential_key: None,
            environment_key,
            series: SeriesTable::new(&config.tags),
            unsettled: Vec::new(),
            queue: Queue::default(),
            epoch: 0,
            tick_ms: IDLE_TICK_MS,
            source,
            setup: Rc::new(Setup::new(config)),
        })
    }

    /// Milliseconds between ticks while nothing waits.
    #[must_use]
    pub const fn idle_tick_ms(&self) -> u32 {
        IDLE_TICK_MS
    }

    /// Delivers what waits, retries what failed.
    pub fn on_tick(&mut self, host: &mut Host<'_>) {
        for unsettled in core::mem::take(&mut self.unsettled) {
            if let Some(again) = unsettled.retry(host.store, host.now) {
                self.unsettled.push(again);
            }
        }
        self.summarise(false, host);
        self.exporter.on_tick(host.store, host.now, host.effects);
        self.set_tick(host);
    }

    /// Forgets what it remembers of what was learned: what others have taught since is known at the next request, not within a second.
    pub fn forget_learned(&self) {
        if let Ok(mut memo) = self.setup.learned.try_borrow_mut() {
            *memo = Memo::default();
        }
    }

    /// Whether what open exchanges hold is to be renewed now: [`Exchange::renew_holds`](crate::exchange::Exchange::renew_holds).
    pub const fn holds_are_due(&mut self, now: Timestamp) -> bool {
        let epoch = now.secs() / EPOCH_SECS;
        core::mem::replace(&mut self.epoch, epoch) != epoch
    }

    /// The collector answered, or nobody did (`status` absent).
    pub fn on_callout_response(
        &mut self,
        token: u64,
        status: Option<u32>,
        retry_after: Option<&str>,
        host: &mut Host<'_>,
    ) {
        self.exporter.on_callout_response(token, status, retry_after, host.store, host.now, host.effects);
        self.set_tick(host);
    }

    /// Whether [`Self::on_answer_body`] wants the bodies of the collector's answers.
    #[must_use]
    pub fn reads_answers(&self) -> bool {
        self.exporter.reads_answers()
    }

    /// What the collector's answer says, before [`Self::on_callout_response`].
    pub fn on_answer_body(&self, body: &[u8], host: &mut Host<'_>) {
        self.exporter.on_answer_body(body, host.effects);
    }

    /// The host refused to start a callout.
    pub fn on_callout_refused(&mut self, token: u64, host: &mut Host<'_>) {
        self.exporter.on_callout_failed(token, host.store, host.now, host.effects);
        self.set_tick(host);
    }

    /// The root context ends. What is unsent is written to the log, where `scripts/reconcile` finds it.
    pub fn on_done(&mut self, host: &mut Host<'_>) {
        self.summarise(true, host);
        for event in self.exporter.drain_for_shutdown(host.store, host.now) {
            host.effect(Effect::Log(Level::Warn, format!("meterr unsent: {}", String::from_utf8_lossy(&event))));
        }
    }

    pub(crate) fn setup(&self) -> Rc<Setup> {
        Rc::clone(&self.setup)
    }

    pub(crate) const fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    pub(crate) const fn queue(&mut self) -> &mut Queue {
        &mut self.queue
    }

    /// Whether a request waits whose turn it may be.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    pub(crate) const fn series(&mut self) -> &mut SeriesTable {
        &mut self.series
    }

    /// The key of the credential hash: from the environment, else one random key per process, made by whoever comes first.
    pub(crate) fn credential_key(&mut self, host: &mut Host<'_>) -> CredentialKey {
        if let Some(key) = self.environment_key.as_ref().or(self.credential_key.as_ref()) {
            return key.clone();
        }
        let (key, is_shared) = self.process_key(host);
        // A key that nobody else has is no good for longer than this request.
        self.credential_key = is_shared.then(|| key.clone());
        key
    }

    /// The key, and whether the whole process has it.
    #[inline(never)]
    fn process_key(&mut self, host: &mut Host<'_>) -> (CredentialKey, bool) {
        let made: Vec<u8> = (0..4).flat_map(|_| self.random.next().to_le_bytes()).collect();
        match host.store.create(CREDENTIAL_KEY, &made) {
            Ok(()) => {
                let name = &self.setup.config.identity.credential_key_env;
                let text =
                    format!("meterr: {name} is not set: key ids come from a random key and change when Envoy restarts");
                host.effect(Effect::Log(Level::Warn, text));
                (CredentialKey::new(&made), true)
            }
            Err(StoreError::Conflict) => match host.store.read(CREDENTIAL_KEY) {
                Ok(Some((key, _))) => (CredentialKey::new(&key), true),
                Ok(None) | Err(_) => (CredentialKey::new(&made), false),
            },
            Err(StoreError::Host(_)) => (CredentialKey::new(&made), false),
        }
    }

    /// Asks for room for the event of an exchange that is about to be let in.
    pub(crate) fn promise(&mut self, host: &Host<'_>) -> Result<Option<Promise>, NoRoom> {
        self.exporter.promise(host.store, host.now)
    }

    /// Takes an event over: from here on it is delivered, dead-lettered, dropped and counted, or queued. Gives back its bytes.
    #[inline(never)]
    pub(crate) fn accept(&mut self, event: &UsageEvent, host: &mut Host<'_>) -> Vec<u8> {
        if event.outcome == Outcome::Rejected && self.sums_refusals() {
            let decided = |state: &&LimitState| state.decision == "rejected";
            let limit = event.limits.iter().find(decided).map_or("", |state| &*state.id);
            let reason = event.reason.unwrap_or_default();
            let refusal = Refusals::one(&event.tenant, &event.provider, reason, limit, event.time);
            // Where it cannot be counted, it is told by itself.
            if let Ok(over) = Summary::add(host.store, &refusal) {
                self.tell_refusals(over, host);
                return event::encode::encode(event, &self.source, None);
            }
        }
        let source = &self.source;
        let mut encode = |writer, seq| event::encode::encode(event, source, Some((writer, seq)));
        if event.reason == Some(NO_ROOM) {
            return self.exporter.drop_refusal(host.effects, &mut encode);
        }
        let accepted = self.exporter.accept(host.store, host.now, host.effects, Kind::Usage, &mut encode);
        self.set_tick(host);
        accepted
    }

    /// Tells the collector that a counter has passed a part of its amount.
    pub(crate) fn alert(&mut self, alert: &Alert, of: &Subject<'_>, host: &mut Host<'_>) {
        let id = self.random.uuid_v7(host.now);
        let (source, now) = (&self.source, host.now);
        let mut encode = |writer, seq| event::encode::alert(alert, of, (id, now), source, (writer, seq));
        self.exporter.accept(host.store, host.now, host.effects, Kind::Control, &mut encode);
        self.set_tick(host);
    }

    fn sums_refusals(&self) -> bool {
        self.setup.config.sink.rejected == Rejected::SummaryPerMinute
    }

    /// Tells the refusals of a minute that is over, or all if this is the end.
    #[inline(never)]
    fn summarise(&mut self, is_end: bool, host: &mut Host<'_>) {
        if self.sums_refusals() {
            let over = self.refusals.take(host.store, host.now, is_end);
            self.tell_refusals(over, host);
        }
    }

    #[inline(never)]
    fn tell_refusals(&mut self, groups: Vec<Refusals>, host: &mut Host<'_>) {
        for group in groups {
            let id = self.random.uuid_v7(host.now);
            let (source, now) = (&self.source, host.now);
            let mut encode = |writer, seq| event::encode::refusals(&group, (id, now), source, (writer, seq));
            self.exporter.accept(host.store, host.now, host.effects, Kind::Control, &mut encode);
        }
    }

    /// Keeps a settlement that the store did not take.
    pub(crate) fn keep_unsettled(&mut self, unsettled: Unsettled, host: &mut Host<'_>) {
        host.count(Metric::Errors("settle_deferred"));
        if self.unsettled.len() >= MAX_UNSETTLED {
            drop(self.unsettled.remove(0));
            host.count(Metric::Errors("settle_lost"));
        }
        self.unsettled.push(unsettled);
    }

    /// Asks for the ticks that are needed now.
    pub(crate) fn set_tick(&mut self, host: &mut Host<'_>) {
        let most = if self.queue.is_empty() { IDLE_TICK_MS } else { LOOK_MS };
        let wanted = self.exporter.next_tick_ms(host.now).min(most);
        if wanted != self.tick_ms {
            self.tick_ms = wanted;
            host.effect(Effect::SetTick(wanted));
        }
    }
}
