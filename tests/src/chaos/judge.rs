//! Compares what the provider served, what stands in the access log, and what the collector has.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::load::Record;
use crate::{envoy::FLUSH_MS, traffic::Balance};

/// What may come to one flush interval before a SIGKILL: Envoy's main thread, which asks for the flush, builds a VM at each change of the
/// configuration meanwhile, and the machine may have other things to do.
const LATE: Duration = Duration::from_secs(2);

/// When a SIGKILL was sent, and when the process was gone.
pub type Kill = (Instant, Instant);

/// What all know in the end.
#[derive(Debug)]
pub struct Evidence<'e> {
    /// `x-request-id` of each exchange that the provider served.
    pub ledger: &'e [String],
    /// What the clients know, by that id.
    pub records: &'e BTreeMap<String, Record>,
    /// The access log of all processes.
    pub access_log: &'e str,
    /// The collector's usage events.
    pub events: &'e [Value],
    /// Its gap report.
    pub gaps: &'e [Value],
    /// Every SIGKILL.
    pub kills: &'e [Kill],
}

/// What the comparison says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The provider's ledger and the collector's events; what a SIGKILL may cost is not among the lost.
    pub balance: Balance,
    /// Lines of the access log.
    pub lines: usize,
    /// Lines that cannot be read: a SIGKILL cuts one at most.
    pub cut_lines: usize,
    /// Exchanges in the provider's ledger that the access log has a line of.
    pub logged: usize,
    /// … that it has none of, though no SIGKILL explains it.
    pub unlogged: Vec<String>,
    /// Events in the access log that the collector has not.
    pub undelivered: Vec<String>,
    /// Events that tell other tokens than the provider did.
    pub wrong: Vec<String>,
    /// Events that are not the same in the access log and at the collector.
    pub altered: Vec<String>,
    /// Sequence numbers that a writer has given twice.
    pub repeated: Vec<String>,
    /// Exchanges without an event that were in flight at a SIGKILL.
    pub lost_in_flight: usize,
    /// … that had ended, but not longer before it than Envoy may keep a line in memory.
    pub lost_unflushed: usize,
    /// How long before, for the one that had ended first.
    pub oldest_unflushed: Duration,
    /// Sequence numbers that nobody has.
    pub missing_seqs: u64,
    /// Of any exchange that has no event, also of those that never came to the provider: each may have taken a sequence number along.
    pub explained_seqs: u64,
}

/// How an exchange may be lost.
enum Bound {
    InFlight,
    Unflushed(Duration),
}

fn bound(record: &Record, kills: &[Kill]) -> Option<Bound> {
    let of_kill = |(before, after): &Kill| {
        if record.begun > *after {
            return None;
        }
        let Some(age) = record.ended.and_then(|ended| before.checked_duration_since(ended)) else {
            return Some(Bound::InFlight);
        };
        (age <= Duration::from_millis(FLUSH_MS) + LATE).then_some(Bound::Unflushed(age))
    };
    kills.iter().find_map(of_kill)
}

/// What a line holds, and whether a record in it is cut: another Envoy goes on behind what a SIGKILL has cut.
fn record(line: &str) -> (Option<Value>, bool) {
    if let Ok(record) = serde_json::from_str(line) {
        return (Some(record), false);
    }
    let begins = line.match_indices("{\"").map(|(at, _)| at);
    (begins.skip(1).find_map(|at| serde_json::from_str(line.get(at..)?).ok()), true)
}

/// Compares.
#[must_use]
pub fn judge(evidence: &Evidence<'_>) -> Verdict {
    let mut verdict = Verdict { balance: Balance::of(evidence.ledger, evidence.events), ..Verdict::default() };
    let (mut logged, mut settled) = (BTreeSet::new(), Vec::new());
    for line in evidence.access_log.lines() {
        verdict.lines += 1;
        let (line, is_cut) = record(line);
        verdict.cut_lines += usize::from(is_cut);
        let Some(line) = line else { continue };
        logged.extend(line["request_id"].as_str().map(str::to_owned));
        settled.extend(line["meterr"].as_str().and_then(|event| serde_json::from_str::<Value>(event).ok()));
    }
    let by_id: BTreeMap<&str, &Value> =
        evidence.events.iter().filter_map(|event| Some((event["id"].as_str()?, event))).collect();
    for event in &settled {
        let id = event["id"].as_str().unwrap_or_default();
        match by_id.get(id) {
            None => verdict.undelivered.push(id.to_owned()),
            Some(other) if *other != event => verdict.altered.push(id.to_owned()),
            Some(_) => {}
        }
    }
    let mut given = BTreeSet::new();
    for event in evidence.events {
        let data = &event["data"];
        if let (Some(writer), Some(seq)) = (data["writer"].as_str(), data["seq"].as_u64())
            && !given.insert((writer, seq))
        {
            verdict.repeated.push(format!("{writer}: {seq}"));
        }
    }

    let explained = |id: &String| evidence.records.get(id).and_then(|record| bound(record, evidence.kills));
    let served: BTreeSet<&String> = evidence.ledger.iter().collect();
    verdict.logged = served.iter().filter(|id| logged.contains(**id)).count();
    let unlogged = served.iter().filter(|id| !logged.contains(**id) && explained(id).is_none());
    verdict.unlogged = unlogged.map(|id| (*id).clone()).collect();
    for id in std::mem::take(&mut verdict.balance.lost) {
        match explained(&id) {
            Some(Bound::InFlight) => verdict.lost_in_flight += 1,
            Some(Bound::Unflushed(age)) => {
                verdict.lost_unflushed += 1;
                verdict.oldest_unflushed = verdict.oldest_unflushed.max(age);
            }
            None => verdict.balance.lost.push(id),
        }
    }

    let metered: BTreeSet<&str> =
        evidence.events.iter().filter_map(|event| event["data"]["request_id"].as_str()).collect();
    let without = evidence.records.keys().filter(|id| !metered.contains(id.as_str()));
    verdict.explained_seqs = without.filter(|id| explained(id).is_some()).count() as u64;
    let size = |gap: &Value| (gap["to"].as_u64().unwrap_or(0) + 1).saturating_sub(gap["from"].as_u64().unwrap_or(0));
    verdict.missing_seqs = evidence.gaps.iter().map(size).sum();

    for event in evidence.events.iter().filter(|event| event["data"]["usage_status"] == "reported") {
        let data = &event["data"];
        let Some(id) = data["request_id"].as_str() else { continue };
        let seen = (data["input_tokens"].as_u64(), data["output_tokens"].as_u64());
        let told = evidence.records.get(id).map(|record| (Some(record.tokens.0), Some(record.tokens.1)));
        if told != Some(seen) {
            verdict.wrong.push(format!("{id}: {seen:?} instead of {told:?}"));
        }
    }
    verdict
}

/// Events that stand in this access log and did not come by themselves, though Envoy's own log does not say either that a collector has condemned
/// them.
#[must_use]
pub fn left_behind(access_log: &str, envoy_log: &str, events: &[Value]) -> Vec<String> {
    let id = |event: &Value| event["id"].as_str().map(str::to_owned);
    let condemned =
        envoy_log.lines().filter_map(|line| serde_json::from_str(line.split_once("meterr dead letter: ")?.1).ok());
    let known: BTreeSet<String> = condemned.chain(events.iter().cloned()).filter_map(|event| id(&event)).collect();
    let lines = access_log.lines().filter_map(|line| record(line).0);
    let settled = lines.filter_map(|line| id(&serde_json::from_str(line["meterr"].as_str()?).ok()?));
    settled.filter(|id| !known.contains(id)).collect()
}

/// What heartbeats say that cannot be: of a law that does not add up, or of events as delivered that the collector had not got by itself.
#[must_use]
pub fn false_claims(heartbeats: &[Value], events: &[Value]) -> Vec<String> {
    let mut came = BTreeMap::<&str, u64>::new();
    for writer in events.iter().filter_map(|event| event["data"]["writer"].as_str()) {
        *came.entry(writer).or_default() += 1;
    }
    let is_false = |beat: &&Value| {
        let number = |name: &str| beat["data"][name].as_u64().unwrap_or(0);
        let done = number("delivered") + number("dead_lettered") + number("dropped");
        let has = beat["data"]["writer"].as_str().and_then(|writer| came.get(writer)).copied().unwrap_or(0);
        // Each number is given to an event that is accepted.
        number("accepted") != number("seq")
            || number("accepted") != done + number("queued")
            || number("delivered") > has
    };
    heartbeats.iter().filter(is_false).map(|beat| beat["data"].to_string()).collect()
}

impl Verdict {
    /// Exchanges without an event that a SIGKILL explains.
    #[must_use]
    pub const fn lost_within_bound(&self) -> usize {
        self.lost_in_flight + self.lost_unflushed
    }

    /// What is not as it must be.
    #[must_use]
    pub fn breaches(&self, kills: usize) -> Vec<String> {
        let balance = &self.balance;
        let mut breaches = Vec::new();
        for (what, ids) in [
            ("lost", &balance.lost),
            ("metered twice", &balance.twice),
            ("metered and never served", &balance.invented),
            ("served and not in the access log", &self.unlogged),
            ("in the access log and not at the collector", &self.undelivered),
            ("with wrong tokens", &self.wrong),
            ("not the same in the access log and at the collector", &self.altered),
            ("sequence numbers given twice", &self.repeated),
        ] {
            if !ids.is_empty() {
                breaches.push(format!("{} {what}: {:?}", ids.len(), ids.iter().take(10).collect::<Vec<_>>()));
            }
        }
        if self.missing_seqs > self.explained_seqs {
            breaches.push(format!(
                "{} sequence numbers are missing, SIGKILL explains {} at most",
                self.missing_seqs, self.explained_seqs
            ));
        }
        if self.cut_lines > kills {
            breaches.push(format!("{} lines of the access log are cut, by {kills} SIGKILLs", self.cut_lines));
        }
        breaches
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(request: &str, seq: u64) -> Value {
        json!({ "id": format!("e-{request}"), "data": { "request_id": request, "usage_status": "reported", "writer": "w", "seq": seq,
                "input_tokens": 1, "output_tokens": 2 } })
    }

    fn line(request: &str, event: &Value) -> String {
        json!({ "request_id": request, "meterr": event.to_string() }).to_string() + "\n"
    }

    #[test]
    fn ok_what_a_sigkill_explains_is_told_apart_from_what_is_lost() {
        let kill = Instant::now() + Duration::from_secs(60);
        let before = |secs: u64| kill - Duration::from_secs(secs);
        let record =
            |begun: u64, ended: Option<u64>| Record { begun: before(begun), ended: ended.map(before), tokens: (1, 2) };
        let records = BTreeMap::from([
            ("told".to_owned(), record(50, Some(49))),
            ("early".to_owned(), record(50, Some(40))),
            ("late".to_owned(), record(50, Some(1))),
            ("open".to_owned(), record(50, None)),
        ]);
        let ledger = ["told", "early", "late", "open"].map(str::to_owned);
        let events = [event("told", 1)];
        let gaps = [json!({ "from": 2, "to": 4 })];
        let log = line("told", &events[0]);
        let kills = [(kill, kill)];
        let verdict = judge(&Evidence {
            ledger: &ledger,
            records: &records,
            access_log: &log,
            events: &events,
            gaps: &gaps,
            kills: &kills,
        });
        assert_eq!(verdict.balance.lost, ["early"]);
        assert_eq!((verdict.lost_in_flight, verdict.lost_unflushed), (1, 1));
        assert_eq!(verdict.oldest_unflushed, Duration::from_secs(1));
        assert_eq!((verdict.missing_seqs, verdict.explained_seqs), (3, 2));
        assert_eq!(verdict.unlogged, ["early"]);
        assert_eq!(verdict.breaches(1).len(), 3);
    }

    #[test]
    fn ok_what_the_log_has_and_the_collector_has_not_and_wrong_tokens_are_breaches() {
        let now = Instant::now();
        let records = BTreeMap::from([
            ("a".to_owned(), Record { begun: now, ended: Some(now), tokens: (1, 2) }),
            ("b".to_owned(), Record { begun: now, ended: Some(now), tokens: (7, 7) }),
        ]);
        let ledger = ["a", "b"].map(str::to_owned);
        let (a, b) = (event("a", 1), event("b", 2));
        let log = line("a", &a) + "{\"request_id\":\"x" + &line("b", &b) + "{\"request_id\":\"c";
        let verdict = judge(&Evidence {
            ledger: &ledger,
            records: &records,
            access_log: &log,
            events: &[b],
            gaps: &[],
            kills: &[],
        });
        assert_eq!((&verdict.undelivered[..], verdict.wrong.len(), verdict.cut_lines), (&["e-a".to_owned()][..], 1, 2));
        assert_eq!((verdict.logged, verdict.lines, &verdict.balance.lost[..]), (2, 3, &["a".to_owned()][..]));
        assert_eq!(verdict.breaches(0).len(), 4);
    }

    #[test]
    fn ok_what_neither_came_nor_was_condemned_is_left_behind() {
        let [a, b, c] = ["a", "b", "c"].map(|id| event(id, 1));
        let access_log = [("a", &a), ("b", &b), ("c", &c)].map(|(id, event)| line(id, event)).concat();
        let envoy_log = format!("[x][warning] wasm log meterr: meterr dead letter: {b}\nother\n");
        assert_eq!(left_behind(&access_log, &envoy_log, &[a]), ["e-c"]);
    }

    #[test]
    fn ok_a_heartbeat_that_claims_too_much_is_told() {
        let beat = |accepted: u64, delivered: u64, queued: u64| {
            json!({ "data": { "writer": "w", "seq": 2, "accepted": accepted, "delivered": delivered, "dead_lettered": 0, "dropped": 0,
                    "queued": queued } })
        };
        let events = [event("a", 1)];
        assert_eq!(false_claims(&[beat(2, 1, 1), beat(2, 0, 2)], &events), Vec::<String>::new());
        for odd in [beat(2, 2, 0), beat(3, 1, 2), beat(2, 1, 0)] {
            assert_eq!(false_claims(&[odd], &events).len(), 1);
        }
    }

    #[test]
    fn ok_an_event_that_is_not_the_same_everywhere_and_a_number_given_twice_are_breaches() {
        let now = Instant::now();
        let record = Record { begun: now, ended: Some(now), tokens: (1, 2) };
        let records = BTreeMap::from(["a", "b"].map(|id| (id.to_owned(), record)));
        let ledger = ["a", "b"].map(str::to_owned);
        let (a, b) = (event("a", 1), event("b", 1));
        let log = line("a", &event("a", 7)) + &line("b", &b);
        let events = [a, b];
        let verdict = judge(&Evidence {
            ledger: &ledger,
            records: &records,
            access_log: &log,
            events: &events,
            gaps: &[],
            kills: &[],
        });
        assert_eq!((&verdict.altered[..], &verdict.repeated[..]), (&["e-a".to_owned()][..], &["w: 1".to_owned()][..]));
        assert_eq!(verdict.breaches(0).len(), 2);
    }
}
