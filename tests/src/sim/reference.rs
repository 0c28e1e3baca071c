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
    /// Tokens: held when they are admitted, charged when they settle.
    Tokens,
}

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
    /// `second`, `minute`, `hour` or `day`.
    pub window: &'static str,
    /// `expected`, `worst_case` or `none`.
    pub reserve: &'static str,
    /// Whether requests pass while the store fails.
    pub allow_on_error: bool,
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
        let unit = if self.unit == Unit::Requests { "requests" } else { "tokens" };
        let store = if self.allow_on_error { "allow" } else { "reject" };
        let mut rule = json!({ "id": self.id, "per": self.per, "unit": unit, "amount": self.amount, "reserve": self.reserve,
            "window": { "kind": "fixed", "per": self.window }, "assume_output_tokens": 60, "on_store_error": store, "notify_at": [] });
        if let Some(model) = self.model {
            rule["match"] = json!({ "model": [format!("{model}*")] });
        }
        if let Some((tenant, amount)) = self.other {
            rule["overrides"] = json!([{ "tenant": tenant, "amount": amount }]);
        }
        rule
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

    /// The second in which the window of this instant is over.
    #[must_use]
    pub fn end(&self, now_ms: u64) -> u64 {
        let secs = match self.window {
            "second" => 1,
            "minute" => 60,
            "hour" => 3_600,
            _ => 86_400,
        };
        (now_ms / 1_000 / secs + 1) * secs
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Place of the limit in the rules.
    pub rule: usize,
    /// Amount that applies.
    pub amount: u64,
    /// Held until it settles (tokens), or charged at once (requests).
    pub held: u64,
}

/// When something happened, as far as is known: several workers and a moving clock make an instant a span.
#[derive(Clone, Copy, Debug)]
pub struct When {
    /// The time that the core was told.
    pub now: u64,
    /// The time when the callback returned; other workers may have acted in between.
    pub until: u64,
}

#[derive(Clone, Debug, Default)]
struct Cell {
    end: u64,
    epoch: u64,
    settled: u64,
    /// By exchange: amount and epoch.
    holds: BTreeMap<u64, (u64, u64)>,
    /// The latest time of any operation that may have touched it.
    seen: u64,
    /// Nothing is known of windows that end by then.
    unknown: u64,
}

impl Cell {
    fn is_known(&self) -> bool {
        self.end > self.unknown
    }

    fn used(&self) -> u64 {
        self.settled + self.holds.values().map(|(amount, _)| amount).sum::<u64>()
    }

    /// Brings it to an instant.
    fn touch(&mut self, rule: &Rule, when: When) {
        let end = self.end.max(rule.end(when.now));
        let latest = self.seen.max(when.now).max(when.until);
        let most = end.max(rule.end(latest));
        let in_between = rule.end(when.now) != rule.end(when.until) || epoch(when.now) != epoch(when.until);
        if end < most || in_between {
            self.unknown = self.unknown.max(most);
        }
        if end > self.end {
            self.settled = 0;
            self.holds.clear();
        }
        let (least, most) = (self.epoch.max(epoch(when.now)), epoch(latest));
        if least < most {
            // Holds may be older than they seem.
            self.unknown = self.unknown.max(end);
        }
        (self.end, self.epoch, self.seen) = (end, least, latest);
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
        cell.touch(rule, When { now, until: now });
        let left = i64::try_from(claim.amount).ok()? - i64::try_from(cell.used()).ok()?;
        cell.is_known().then_some(left)
    }

    /// Whether every limit has room, if that is known.
    #[must_use]
    pub fn fits(&self, claims: &[Claim], subject: &Subject, now: u64) -> Option<bool> {
        let room = |claim: &Claim| {
            let left = self.remaining(claim, subject, now)?;
            Some(left > 0 && left >= i64::try_from(claim.held).ok()?)
        };
        let all: Vec<Option<bool>> = claims.iter().map(room).collect();
        if all.contains(&Some(false)) { Some(false) } else { all.into_iter().try_fold(true, |a, b| Some(a && b?)) }
    }

    /// An exchange was admitted.
    pub fn admit(&mut self, exchange: u64, claims: &[Claim], subject: &Subject, when: When) {
        for claim in claims {
            let (end, is_sure) = self.with(claim.rule, subject, |rule, cell| {
                cell.touch(rule, when);
                let is_sure = cell.is_known() && rule.end(when.now) == rule.end(when.until);
                match rule.unit {
                    Unit::Requests => cell.settled += claim.held,
                    Unit::Tokens => {
                        cell.holds.insert(exchange, (claim.held, cell.epoch));
                    }
                }
                (cell.end, is_sure)
            });
            self.admitted.insert((exchange, claim.rule), end);
            if is_sure {
                self.counted_in.insert((exchange, claim.rule), end);
            }
        }
    }

    /// An admitted exchange settled.
    pub fn settle(&mut self, exchange: u64, claims: &[Claim], subject: &Subject, tokens: u64, when: When) {
        for claim in claims {
            let Some(end) = self.admitted.remove(&(exchange, claim.rule)) else { continue };
            self.with(claim.rule, subject, |rule, cell| {
                cell.touch(rule, when);
                if rule.unit == Unit::Tokens {
                    // Its own window gets the truth; a later one only what was not held.
                    cell.settled += if cell.end == end { tokens } else { tokens.saturating_sub(claim.held) };
                    cell.holds.remove(&exchange);
                }
            });
        }
    }

    /// Something may or may not have reached these counters.
    pub fn doubt(&mut self, claims: &[Claim], subject: &Subject, when: When) {
        for claim in claims {
            self.with(claim.rule, subject, |rule, cell| {
                cell.touch(rule, when);
                cell.unknown = cell.unknown.max(cell.end);
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
