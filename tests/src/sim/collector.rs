//! The far end of delivery, and the book of all events: what was accepted, what arrived, what was given up.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Events whose id ends so are never taken: one in 256.
const CONDEMNED: &str = "7f";

/// The book of all events of a simulated process.
#[derive(Debug, Default)]
pub struct Collector {
    /// Every event that an exchange made, by id.
    accepted: BTreeMap<String, Vec<u8>>,
    /// Events that came before their exchange's callback returned: another worker was quick to adopt them.
    early: BTreeMap<String, Value>,
    /// Which of them came, at least once.
    arrived: BTreeSet<String>,
    /// Which of them were told to the log as dead letters.
    dead: BTreeSet<String>,
    /// Who has which `writer` and `seq`.
    places: BTreeMap<(String, u64), String>,
    counts: BTreeMap<&'static str, u64>,
    /// Events that came again.
    pub again: u64,
    /// Posts without any event: a worker that lost its ring between two operations.
    pub empty: u64,
}

fn text(event: &Value, name: &str) -> String {
    event[name].as_str().unwrap_or_default().to_owned()
}

fn place(event: &Value) -> (String, u64) {
    (text(&event["data"], "writer"), event["data"]["seq"].as_u64().unwrap_or(0))
}

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_default()
}

fn shown(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// The id of the event that begins after this bracket or comma.
fn next_id(rest: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"\"id\":\"";
    let at = rest.get(..64).unwrap_or(rest).windows(NAME.len()).position(|window| window == NAME)? + NAME.len();
    Some(shown(rest.get(at..at + 36)?).into_owned())
}

impl Collector {
    /// An exchange made an event. `writer` and `seq` must be nobody else's.
    ///
    /// # Errors
    /// The law that is broken.
    pub fn accept(&mut self, event: &Value, bytes: Vec<u8>) -> Result<(), String> {
        let id = text(event, "id");
        if let Some(other) = self.places.insert(place(event), id.clone()) {
            return Err(format!("one writer and seq for two events: {other} and {event}"));
        }
        if self.early.remove(&id).is_some_and(|early| early != *event) {
            return Err(format!("accepted {event} and sent something else before"));
        }
        match self.accepted.insert(id, bytes) {
            Some(_) => Err(format!("one id for two events: {event}")),
            None => Ok(()),
        }
    }

    /// A metric counted so many events.
    pub fn count(&mut self, result: &'static str, number: u64) {
        *self.counts.entry(result).or_default() += number;
    }

    fn counted(&self, result: &str) -> u64 {
        self.counts.get(result).copied().unwrap_or(0)
    }

    /// Events that are neither delivered nor dead-lettered nor dropped: those that the law calls queued.
    #[must_use]
    pub fn queued(&self) -> i128 {
        let gone: u64 = ["delivered", "dead_lettered", "dropped"].iter().map(|result| self.counted(result)).sum();
        i128::from(self.counted("accepted")) - i128::from(gone)
    }

    /// A POST came. Events that come again must be the same to the byte.
    ///
    /// # Errors
    /// The law that is broken.
    pub fn take(&mut self, body: &[u8]) -> Result<(), String> {
        self.empty += u64::from(body == b"[]");
        let mut rest = body;
        while let Some(id) = next_id(rest) {
            // Most events are known to the byte: no need to read them again.
            let Some(known) = self.accepted.get(&id).filter(|known| rest[1..].starts_with(known)) else {
                return self.take_unknown(&[b"[", &rest[1..]].concat());
            };
            rest = &rest[1 + known.len()..];
            self.again += u64::from(!self.arrived.insert(id));
        }
        if matches!(rest, b"]" | b"[]") { Ok(()) } else { Err(format!("a body that is no array: {}", shown(body))) }
    }

    /// Heartbeats, and events that nobody has told of yet.
    fn take_unknown(&mut self, body: &[u8]) -> Result<(), String> {
        let events: Vec<Value> = serde_json::from_slice(body).map_err(|error| format!("{error}: {}", shown(body)))?;
        for event in events {
            if event["type"] == "ai.meterr.heartbeat.v1" {
                heartbeat(&event["data"])?;
                continue;
            }
            let id = text(&event, "id");
            match self.accepted.get(&id) {
                Some(known) if parsed(known) == event => {}
                Some(known) => return Err(format!("accepted {} and sent {event}", shown(known))),
                None => {
                    self.early.insert(id.clone(), event);
                }
            }
            self.again += u64::from(!self.arrived.insert(id));
        }
        Ok(())
    }

    /// Whether a POST holds an event that this collector never takes.
    #[must_use]
    pub fn condemns(body: &[u8]) -> bool {
        let end = format!("{CONDEMNED}\",\"source\":");
        body.windows(end.len()).any(|window| window == end.as_bytes())
    }

    /// The log has a dead letter.
    ///
    /// # Errors
    /// The law that is broken.
    pub fn bury(&mut self, json: &str) -> Result<(), String> {
        let event: Value =
            serde_json::from_str(json).map_err(|error| format!("a dead letter that is no JSON: {error}"))?;
        let id = text(&event, "id");
        // An event that never found a place in the queue is told before its exchange is.
        if self.accepted.get(&id).is_some_and(|known| parsed(known) != event) {
            return Err(format!("a dead letter that is not what was accepted: {event}"));
        }
        self.dead.insert(id);
        Ok(())
    }

    /// At every moment: nothing is counted that was not accepted.
    ///
    /// # Errors
    /// The law that is broken.
    pub fn check(&self) -> Result<(), String> {
        let made = self.accepted.len() as u64;
        if self.counted("accepted") != made {
            return Err(format!("{made} events and {} counted as accepted", self.counted("accepted")));
        }
        if self.queued() < 0 {
            return Err(format!("more gone than accepted: {:?}", self.counts));
        }
        Ok(())
    }

    /// In the end, with the collector healthy for long enough.
    ///
    /// # Errors
    /// The law that is broken.
    pub fn check_end(&self) -> Result<(), String> {
        self.check()?;
        if let Some(event) = self.early.values().next() {
            return Err(format!("nobody accepted {event}"));
        }
        if self.queued() != 0 {
            return Err(format!("{} events are neither delivered nor given up: {:?}", self.queued(), self.counts));
        }
        let lost: Vec<&String> =
            self.accepted.keys().filter(|id| !self.arrived.contains(*id) && !self.dead.contains(*id)).collect();
        if lost.len() as u64 > self.counted("dropped") {
            return Err(format!(
                "{} events lost without a count, such as {:?}: {:?}",
                lost.len(),
                lost[0],
                self.counts
            ));
        }
        let mut next: BTreeMap<&str, u64> = BTreeMap::new();
        for (writer, seq) in self.places.keys() {
            let expected = next.entry(writer).or_insert(1);
            if seq != expected {
                return Err(format!("writer {writer} gave {seq} after {}", *expected - 1));
            }
            *expected += 1;
        }
        Ok(())
    }

    /// Dead letters that no collector condemned: they found no place in the queue.
    #[must_use]
    pub fn homeless(&self) -> u64 {
        self.dead.iter().filter(|id| !id.ends_with(CONDEMNED)).count() as u64
    }

    /// Events that arrived, those that were given up, and those that were dropped.
    #[must_use]
    pub fn totals(&self) -> (u64, u64, u64) {
        (self.arrived.len() as u64, self.counted("dead_lettered"), self.counted("dropped"))
    }
}

/// What a writer says of itself follows the law.
fn heartbeat(data: &Value) -> Result<(), String> {
    let number = |name: &str| data[name].as_u64().ok_or_else(|| format!("a heartbeat without {name}: {data}"));
    let gone = number("delivered")? + number("dead_lettered")? + number("dropped")?;
    if number("accepted")? != gone + number("queued")? || number("accepted")? != number("seq")? {
        return Err(format!("a heartbeat that does not add up: {data}"));
    }
    Ok(())
}
