//! What limits must amount to, in the plainest terms: for each limit and descriptor the sum of what was settled in its window, and
//! the holds that are open. Written from the contract, not from the core.
//!
//! Where the reference cannot know (the clock went back over an edge, the store failed half-way) it says so: the counter is unknown
//! until its next window begins from zero.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Seconds of an epoch of holds: a hold lives for its own and the next.
pub const EPOCH_SECS: u64 = 900;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Exchanges: charged when they are admitted.
    Requests,
    /// Exchanges that are under way.
    Slots,
    /// Input and output tokens: held when they are admitted, charged when they settle. So are all that follow.
    Tokens,
    /// Input tokens.
    Input,
    /// Output tokens.
    Output,
    /// Money, in units of 1e-12 USD.
    Usd,
}

impl Unit {
    /// The word of the contract.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Slots => "concurrent_requests",
            Self::Tokens => "tokens",
            Self::Input => "input_tokens",
            Self::Output => "output_tokens",
            Self::Usd => "usd",
        }
    }

    /// Whether it is what the exchange consumes, so that its truth comes late.
    #[must_use]
    pub const fn is_content(self) -> bool {
        !matches!(self, Self::Requests | Self::Slots)
    }

    /// A number of the event.
    #[must_use]
    pub fn read(self, told: &Value) -> Option<i64> {
        if self == Self::Usd { picos(told.as_str()?) } else { told.as_i64() }
    }
}

/// A decimal of USD in units of 1e-12.
fn picos(text: &str) -> Option<i64> {
    let (is_debt, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let number: i64 = format!("{whole}{part:0<12}").parse().ok()?;
    Some(if is_debt { -number } else { number })
}

/// What a token costs by the price that the simulated configuration states: units of 1e-12 USD for one of input, and one of output.
pub const PRICES: (u64, u64) = (3_000_000, 15_000_000);

/// What an exchange consumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consumed {
    /// Input tokens.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Whether it has a price: what names no model has none, and costs nothing here.
    pub is_priced: bool,
}

impl Consumed {
    /// In that unit. Slots are given back, and requests were charged before.
    #[must_use]
    pub const fn of(self, unit: Unit) -> u64 {
        match unit {
            Unit::Requests | Unit::Slots => 0,
            Unit::Tokens => self.input + self.output,
            Unit::Input => self.input,
            Unit::Output => self.output,
            Unit::Usd if !self.is_priced => 0,
            Unit::Usd => self.input * PRICES.0 + self.output * PRICES.1,
        }
    }
}

/// How a limit forgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// At the edges of the UTC calendar: `second`, `minute`, `hour`, `day`.
    Fixed(&'static str),
    /// So many seconds; the window before weighs as much as it still overlaps.
    Sliding(u64),
    /// So many units leak in a second. A divisor of 1e9, so that a unit takes whole nanoseconds.
    Bucket(u64),
    /// Never: slots.
    Open,
}

/// Parts of an amount whose passing is told, in percent, and as an event says them.
pub const PARTS: [(u64, &str); 2] = [(50, "0.5"), (100, "1")];

/// The end of what has no window.
const NEVER: u64 = u64::MAX / 4;

/// A limit of the simulated configuration.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its id.
    pub id: &'static str,
    /// Counted by these: `tenant`, `key`, `provider`, `model`.
    pub per: &'static [&'static str],
    /// Applies only to models that begin so.
    pub model: Option<&'static str>,
    /// What is counted.
    pub unit: Unit,
    /// How much.
    pub amount: u64,
    /// Another amount for one tenant; needs `tenant` in `per`.
    pub other: Option<(&'static str, u64)>,
    /// How it forgets.
    pub window: Window,
    /// `expected`, `worst_case` or `none`.
    pub reserve: &'static str,
    /// Whether requests pass while the store fails.
    pub allow_on_error: bool,
    /// Whether it refuses nobody.
    pub only_reports: bool,
    /// Whether it tells of these parts of its amount, in percent: [`PARTS`].
    pub notifies: bool,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Tenant.
    pub tenant: &'static str,
    /// Credential.
    pub key: &'static str,
    /// Provider id.
    pub provider: &'static str,
    /// Model, `unknown` where it is decided without the body.
    pub model: &'static str,
}

impl Rule {
    /// As it stands in the configuration.
    #[must_use]
    pub fn json(&self) -> Value {
        let store = if self.allow_on_error { "allow" } else { "reject" };
        let exceed = if self.only_reports { "report_only" } else { "reject" };
        let mut rule = json!({ "id": self.id, "per": self.per, "unit": self.unit.word(), "amount": self.told(self.amount),
            "on_exceed": exceed, "on_store_error": store, "notify_at": if self.notifies { vec![0.5, 1.0] } else { Vec::new() } });
        if self.unit.is_content() {
            rule["reserve"] = json!(self.reserve);
            rule["assume_output_tokens"] = json!(60);
        }
        match self.window {
            Window::Fixed(per) => rule["window"] = json!({ "kind": "fixed", "per": per }),
            Window::Sliding(secs) => rule["window"] = json!({ "kind": "sliding", "secs": secs }),
            Window::Bucket(per_sec) => rule["window"] = json!({ "kind": "bucket", "per_sec": per_sec }),
            Window::Open => {}
        }
        if let Some(model) = self.model {
            rule["match"] = json!({ "model": [format!("{model}*")] });
        }
        if let Some((tenant, amount)) = self.other {
            rule["overrides"] = json!([{ "tenant": tenant, "amount": self.told(amount) }]);
        }
        rule
    }

    fn told(&self, amount: u64) -> Value {
        if self.unit == Unit::Usd { json!(format!("0.{amount:012}")) } else { json!(amount) }
    }

    /// Whether it counts requests of that subject.
    #[must_use]
    pub fn applies(&self, subject: &Subject) -> bool {
        self.model.is_none_or(|model| subject.model.starts_with(model))
    }

    /// The amount for that subject.
    #[must_use]
    pub fn amount(&self, subject: &Subject) -> u64 {
        self.other.filter(|(tenant, _)| *tenant == subject.tenant).map_or(self.amount, |(_, amount)| amount)
    }

    const fn secs(&self) -> Option<u64> {
        match self.window {
            Window::Fixed(per) => Some(match per.len() {
                4 if per.as_bytes()[0] == b'h' => 3_600,
                3 => 86_400,
                _ if per.as_bytes()[0] == b's' => 1,
                _ => 60,
            }),
            Window::Sliding(secs) => Some(secs),
            Window::Bucket(_) | Window::Open => None,
        }
    }

    /// The second in which the window of this instant is over.
    #[must_use]
    pub fn end(&self, now_ms: u64) -> u64 {
        self.secs().map_or(NEVER, |secs| (now_ms / 1_000 / secs + 1) * secs)
    }

    /// What an alert says of whom it is about.
    #[must_use]
    pub fn told_of(&self, data: &Value, model: &str) -> String {
        let value = |name: &&str| match *name {
            "key" => data["key_id"].as_str().unwrap_or_default(),
            "model" => model,
            name => data[name].as_str().unwrap_or_default(),
        };
        self.per.iter().map(value).collect::<Vec<_>>().join("|")
    }

    fn descriptor(&self, subject: &Subject) -> String {
        let value = |name: &&str| match *name {
            "tenant" => subject.tenant,
            "key" => subject.key,
            "provider" => subject.provider,
            _ => subject.model,
        };
        self.per.iter().map(value).collect::<Vec<_>>().join("|")
    }
}

fn epoch(now_ms: u64) -> u64 {
    now_ms / 1_000 / EPOCH_SECS
}

/// What one request takes from one limit.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Place of the limit in the rules.
    pub rule: usize,
    /// Amount that applies.
    pub amount: u64,
    /// Held until it settles, or charged at once (requests).
    pub held: u64,
    /// The limit would refuse it whatever is counted.
    pub never: bool,
}

/// When something happened, as far as is known: several workers and a moving clock make an instant a span.
#[derive(Clone, Copy, Debug)]
pub struct When {
    /// The time that the core was told.
    pub now: u64,
    /// The time when the callback returned; other workers may have acted in between.
    pub until: u64,
    /// Nobody acted in between.
    pub is_whole: bool,
}

impl When {
    /// Where nobody else acts.
    #[must_use]
    pub const fn instant(now: u64) -> Self {
        Self { now, until: now, is_whole: true }
    }
}

#[derive(Clone, Debug, Default)]
struct Cell {
    end: u64,
    epoch: u64,
    settled: u64,
    /// By exchange: amount and epoch.
    holds: BTreeMap<u64, (u64, u64)>,
    /// Settled and held of the window before, for one that slides.
    past: (u64, BTreeMap<u64, (u64, u64)>),
    /// Of a bucket.
    bucket: Bucket,
    /// The latest time of any operation that may have touched it.
    seen: u64,
    /// Nothing is known of windows that end by then, nor of slots in epochs that end by then.
    unknown: u64,
}

/// A bucket seen from its other side: when it will be empty if nothing more comes. Nanoseconds.
#[derive(Clone, Debug, Default)]
struct Bucket {
    empty_at: u64,
    /// The latest time that it was brought to.
    time: u64,
    /// By exchange: when all that was in it then will have leaked away, and when that was.
    tails: BTreeMap<u64, (u64, u64)>,
    /// When it was last found empty.
    was_empty: u64,
    /// It may be fuller than is known until then, and its level is not known before.
    in_doubt: Option<u64>,
}

impl Bucket {
    fn touch(&mut self, now_ms: u64) {
        self.time = self.time.max(now_ms * 1_000_000);
        if self.in_doubt.is_some_and(|until| until <= self.time) {
            self.in_doubt = None;
            self.empty_at = self.time;
        }
        if self.empty_at <= self.time {
            self.empty_at = self.time;
            self.was_empty = self.time;
        }
    }

    fn add(&mut self, units: u64, nanos: u64) {
        self.empty_at += units * nanos;
        if let Some(until) = &mut self.in_doubt {
            *until += units * nanos;
        }
    }

    /// Takes back what was too much, as far as it has not leaked away by now. A unit that has begun to leak is still whole.
    fn refund(&mut self, exchange: u64, units: u64, nanos: u64) {
        let Some((tail, at)) = self.tails.get(&exchange).copied() else { return };
        if self.was_empty <= at {
            let left = tail.saturating_sub(self.time).div_ceil(nanos);
            self.empty_at = self.empty_at.saturating_sub(units.min(left) * nanos).max(self.time);
        }
    }

    fn doubt(&mut self, units: u64, nanos: u64, latest_ms: u64) {
        let from = self.in_doubt.unwrap_or(0).max(self.empty_at).max(latest_ms * 1_000_000);
        self.in_doubt = Some(from + units * nanos);
    }
}

const fn nanos(rule: &Rule) -> u64 {
    match rule.window {
        Window::Bucket(per_sec) => 1_000_000_000 / per_sec,
        _ => 0,
    }
}

fn sum(holds: &BTreeMap<u64, (u64, u64)>) -> u64 {
    holds.values().map(|(amount, _)| amount).sum()
}

impl Cell {
    fn is_known(&self, rule: &Rule) -> bool {
        match rule.window {
            Window::Fixed(_) => self.end > self.unknown,
            Window::Sliding(secs) => self.end > self.unknown + secs,
            Window::Bucket(_) => self.bucket.in_doubt.is_none(),
            Window::Open => self.epoch * EPOCH_SECS >= self.unknown,
        }
    }

    fn used(&self, rule: &Rule, now_ms: u64) -> u64 {
        let counted = self.settled + sum(&self.holds);
        match rule.window {
            Window::Fixed(_) | Window::Open => counted,
            Window::Sliding(secs) => {
                let left = (self.end * 1_000).saturating_sub(now_ms).min(secs * 1_000);
                let past = u128::from(self.past.0 + sum(&self.past.1));
                let weight = (past * u128::from(left)).div_ceil(u128::from(secs) * 1_000);
                counted + u64::try_from(weight).unwrap_or(u64::MAX)
            }
            Window::Bucket(_) => (self.bucket.empty_at - self.bucket.time).div_ceil(nanos(rule)),
        }
    }

    /// Nothing is known of what there is now.
    fn doubt(&mut self, rule: &Rule, most: u64) {
        self.unknown = self.unknown.max(match rule.window {
            Window::Open => (epoch(self.seen).max(self.epoch) + 2) * EPOCH_SECS,
            _ => most,
        });
    }

    /// Brings it to an instant.
    fn touch(&mut self, rule: &Rule, when: When) {
        let latest = self.seen.max(when.now).max(when.until);
        if let Window::Bucket(_) = rule.window {
            self.seen = latest;
            self.bucket.touch(when.now);
            if !when.is_whole || self.bucket.time < latest * 1_000_000 {
                // Who came first counts in a bucket. So does whether a refused request of a later time has touched it.
                self.bucket.doubt(0, nanos(rule), latest);
            }
            return;
        }
        let end = self.end.max(rule.end(when.now));
        let most = end.max(rule.end(latest));
        let in_between = rule.end(when.now) != rule.end(when.until) || epoch(when.now) != epoch(when.until);
        self.seen = latest;
        if end < most || in_between {
            self.doubt(rule, most);
        }
        if end > self.end {
            let past = (std::mem::take(&mut self.settled), std::mem::take(&mut self.holds));
            let follows = rule.secs().is_some_and(|secs| end == self.end + secs);
            self.past = if follows { past } else { (0, BTreeMap::new()) };
        }
        let (least, newest) = (self.epoch.max(epoch(when.now)), epoch(latest));
        if least < newest {
            // Holds may be older than they seem.
            self.doubt(rule, end);
        }
        (self.end, self.epoch) = (end, least);
        self.holds.retain(|_, (_, epoch)| *epoch + 2 > least);
    }
}

/// The plain model of all counters.
#[derive(Clone, Debug)]
pub struct Reference {
    rules: Vec<Rule>,
    cells: BTreeMap<(usize, String), Cell>,
    /// In which window each open exchange was admitted, by exchange and rule.
    admitted: BTreeMap<(u64, usize), u64>,
    /// The same where it is known for sure, and for good.
    counted_in: BTreeMap<(u64, usize), u64>,
    /// What exchanges settled, by the window that they were admitted in; and whether a hold may have expired before it settled.
    windows: BTreeMap<(usize, String, u64), (u64, bool)>,
}

impl Reference {
    /// Of these limits.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        Self {
            rules,
            cells: BTreeMap::new(),
            admitted: BTreeMap::new(),
            counted_in: BTreeMap::new(),
            windows: BTreeMap::new(),
        }
    }

    /// The limits.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    fn with<T>(&mut self, at: usize, subject: &Subject, run: impl FnOnce(&Rule, &mut Cell) -> T) -> T {
        let rule = &self.rules[at];
        let cell = self.cells.entry((at, rule.descriptor(subject))).or_default();
        run(rule, cell)
    }

    /// Amount less settled and held at an instant, if that is known. Changes nothing.
    #[must_use]
    pub fn remaining(&self, claim: &Claim, subject: &Subject, now: u64) -> Option<i64> {
        let rule = &self.rules[claim.rule];
        let mut cell = self.cells.get(&(claim.rule, rule.descriptor(subject))).cloned().unwrap_or_default();
        cell.touch(rule, When::instant(now));
        let left = i64::try_from(claim.amount).ok()? - i64::try_from(cell.used(rule, now)).ok()?;
        cell.is_known(rule).then_some(left)
    }

    /// The highest part of the amount that the settled sum of a calendar's window has passed, if that is known.
    #[must_use]
    pub fn passed(&self, claim: &Claim, subject: &Subject, now: u64) -> Option<&'static str> {
        let rule = &self.rules[claim.rule];
        let mut cell = self.cells.get(&(claim.rule, rule.descriptor(subject))).cloned()?;
        cell.touch(rule, When::instant(now));
        let is_known = matches!(rule.window, Window::Fixed(_)) && rule.notifies && cell.is_known(rule);
        let mut passed = PARTS.iter().filter(|(part, _)| is_known && cell.settled * 100 >= part * claim.amount);
        passed.next_back().map(|(_, told)| *told)
    }

    /// Whether one limit has room, if that is known.
    #[must_use]
    pub fn has_room(&self, claim: &Claim, subject: &Subject, now: u64) -> Option<bool> {
        if claim.never {
            return Some(false);
        }
        let left = self.remaining(claim, subject, now)?;
        Some(left > 0 && left >= i64::try_from(claim.held).ok()?)
    }

    /// Whether every limit that refuses has room, if that is known.
    #[must_use]
    pub fn fits(&self, claims: &[Claim], subject: &Subject, now: u64) -> Option<bool> {
        let refuses = claims.iter().filter(|claim| !self.rules[claim.rule].only_reports);
        let all: Vec<Option<bool>> = refuses.map(|claim| self.has_room(claim, subject, now)).collect();
        if all.contains(&Some(false)) { Some(false) } else { all.into_iter().try_fold(true, |a, b| Some(a && b?)) }
    }

    /// An exchange was admitted.
    pub fn admit(&mut self, exchange: u64, claims: &[Claim], subject: &Subject, when: When) {
        for claim in claims {
            let (end, is_sure) = self.with(claim.rule, subject, |rule, cell| {
                cell.touch(rule, when);
                let is_sure = cell.is_known(rule) && rule.end(when.now) == rule.end(when.until);
                match (rule.unit, rule.window) {
                    (_, Window::Bucket(_)) => {
                        cell.bucket.add(claim.held, nanos(rule));
                        cell.bucket.tails.insert(exchange, (cell.bucket.empty_at, cell.bucket.time));
                    }
                    (Unit::Requests, _) => cell.settled += claim.held,
                    _ => {
                        cell.holds.insert(exchange, (claim.held, cell.epoch));
                    }
                }
                (cell.end, is_sure)
            });
            self.admitted.insert((exchange, claim.rule), end);
            if is_sure && self.rules[claim.rule].secs().is_some() {
                self.counted_in.insert((exchange, claim.rule), end);
            }
        }
    }

    /// An admitted exchange settled.
    pub fn settle(&mut self, exchange: u64, claims: &[Claim], subject: &Subject, consumed: Consumed, when: When) {
        for claim in claims {
            let Some(end) = self.admitted.remove(&(exchange, claim.rule)) else { continue };
            self.with(claim.rule, subject, |rule, cell| {
                cell.touch(rule, when);
                if rule.unit == Unit::Requests {
                    cell.bucket.tails.remove(&exchange);
                    return;
                }
                let truth = consumed.of(rule.unit);
                let excess = truth.saturating_sub(claim.held);
                match rule.window {
                    Window::Bucket(_) => {
                        cell.bucket.refund(exchange, claim.held.saturating_sub(truth), nanos(rule));
                        cell.bucket.add(excess, nanos(rule));
                        cell.bucket.tails.remove(&exchange);
                    }
                    Window::Sliding(secs) if cell.end == end + secs => {
                        cell.past.0 += truth;
                        cell.past.1.remove(&exchange);
                    }
                    // Its own window gets the truth; a later one only what was not held.
                    _ => {
                        cell.settled += if cell.end == end { truth } else { excess };
                        cell.holds.remove(&exchange);
                    }
                }
            });
        }
    }

    /// Something may or may not have reached these counters: what is held, and what was consumed.
    pub fn doubt(&mut self, claims: &[Claim], subject: &Subject, consumed: Consumed, when: When) {
        for claim in claims {
            self.with(claim.rule, subject, |rule, cell| {
                cell.touch(rule, when);
                cell.doubt(rule, cell.end);
                cell.bucket.doubt(claim.held + consumed.of(rule.unit), nanos(rule), cell.seen);
            });
        }
    }

    /// A request that was refused may have brought these counters to its time, and nothing else.
    pub fn glance(&mut self, claims: &[Claim], subject: &Subject, when: When) {
        for claim in claims {
            self.with(claim.rule, subject, |_, cell| cell.seen = cell.seen.max(when.now).max(when.until));
        }
    }

    /// What an exchange used is charged to the window that it was admitted in. No window takes more than its amount, unless a hold may have
    /// expired. Where the window is not known for sure, nothing is said.
    ///
    /// # Errors
    /// The law that is broken.
    pub fn charge(
        &mut self,
        exchange: u64,
        claim: &Claim,
        subject: &Subject,
        charged: u64,
        may_have_expired: bool,
    ) -> Result<(), String> {
        let Some(window) = self.counted_in.remove(&(exchange, claim.rule)) else { return Ok(()) };
        let rule = &self.rules[claim.rule];
        let descriptor = rule.descriptor(subject);
        let (sum, is_exempt) = self.windows.entry((claim.rule, descriptor.clone(), window)).or_insert((0, false));
        *sum += charged;
        *is_exempt |= may_have_expired;
        if *is_exempt || *sum <= claim.amount {
            return Ok(());
        }
        Err(format!("{} of {descriptor} took {sum} of {} in the window until {window}", rule.id, claim.amount))
    }
}
