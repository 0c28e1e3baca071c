use proptest::prelude::*;

use super::*;
use crate::{delay::MAX_DATED_MS, head::Headers, provider::RateLimitFamily, store::MemoryStore};

/// 2026-08-19T14:33:42Z.
const NOW: Timestamp = Timestamp::from_secs(1_787_150_022);

fn key(model: &str) -> Key {
    Subject { provider: "openai", host: b"api.openai.com", credential: "0123456789abcdef", model }.key()
}

fn left_ms(store: &MemoryStore, key: Key, now: Timestamp) -> Option<u64> {
    waits_until(store, key, now).expect("memory").map(|until| until.millis_since(now))
}

#[test]
fn ok_a_wait_ends_by_itself_and_is_nobody_elses() {
    let store = MemoryStore::default();
    assert_eq!(left_ms(&store, key("a"), NOW), None);
    assert_eq!(keep(&store, key("a"), 1_500, NOW), Ok(Kept::Yes));
    assert_eq!(left_ms(&store, key("a"), NOW), Some(1_500));
    assert_eq!(left_ms(&store, key("b"), NOW), None);
    assert_eq!(left_ms(&store, key("a"), NOW.plus_millis(1_499)), Some(1));
    assert_eq!(left_ms(&store, key("a"), NOW.plus_millis(1_500)), None);
    let subject = Subject { provider: "openai", host: b"api.openai.com", credential: "0123456789abcdef", model: "a" };
    assert_eq!(Subject { host: b"API.OpenAI.com", ..subject }.key(), key("a"), "hosts have no case");
    for other in [
        Subject { provider: "azure-openai", ..subject },
        Subject { host: b"eu.api.openai.com", ..subject },
        Subject { credential: "", ..subject },
    ] {
        assert_eq!(left_ms(&store, other.key(), NOW), None, "{other:?}");
    }
}

#[test]
fn ok_the_later_of_two_waits_holds() {
    let store = MemoryStore::default();
    for (wait_ms, left) in [(5_000, 5_000), (1_000, 5_000), (9_000, 9_000)] {
        assert_eq!(keep(&store, key("a"), wait_ms, NOW), Ok(Kept::Yes));
        assert_eq!(left_ms(&store, key("a"), NOW), Some(left));
    }
    assert_eq!(keep(&store, key("zero"), 0, NOW), Ok(Kept::Yes));
    assert_eq!(left_ms(&store, key("zero"), NOW), None);
    assert_eq!(store.size().0, 1, "nothing is written for no wait");
}

#[test]
fn ok_a_clock_that_goes_back_makes_no_wait_longer() {
    let store = MemoryStore::default();
    keep(&store, key("a"), 60_000, NOW).expect("memory");
    let before = |ms| Timestamp::from_millis(NOW.millis() - ms);
    assert_eq!(left_ms(&store, key("a"), before(3)), Some(60_000), "another worker's clock was read earlier");
    assert_eq!(left_ms(&store, key("a"), before(86_400_000)), None);
    // And what is said then is kept, although the old record ends later.
    keep(&store, key("a"), 2_000, before(86_400_000)).expect("memory");
    assert_eq!(left_ms(&store, key("a"), before(86_400_000)), Some(2_000));
}

#[test]
fn ok_the_table_is_bounded_and_the_first_to_end_gives_way() {
    let store = MemoryStore::default();
    let mut outcomes = [0; 2];
    for nth in 0..6_000_u64 {
        // Later ones end later: where it is full, they displace.
        match keep(&store, key(&nth.to_string()), 10_000 + nth, NOW).expect("memory") {
            Kept::Yes => outcomes[0] += 1,
            Kept::Displaced => outcomes[1] += 1,
            Kept::Full => panic!("this one ends last"),
        }
    }
    let (keys, bytes) = store.size();
    assert!(keys <= 4_096 && bytes <= 4_096 * 32, "{keys} keys, {bytes} bytes");
    assert!(outcomes[0] >= 3_000 && outcomes[1] > 0, "{outcomes:?}");
    assert_eq!(keep(&store, key("short"), 1, NOW), Ok(Kept::Full), "where all others end later, a wait is not kept");
    let later = NOW.plus_millis(60_000);
    for nth in 0..1_000_u64 {
        assert_eq!(keep(&store, key(&format!("new {nth}")), 5_000, later), Ok(Kept::Yes), "what has ended gives way");
        assert_eq!(left_ms(&store, key(&format!("new {nth}")), later), Some(5_000));
    }
    assert!(store.size().0 <= 4_096);
}

/// A store in which somebody else writes between each read and swap, so many times.
#[derive(Debug)]
struct Contended {
    inner: MemoryStore,
    left: core::cell::Cell<u32>,
    swaps: core::cell::Cell<u32>,
}

impl SharedStore for Contended {
    fn read(&self, key: &[u8]) -> Result<Option<(Vec<u8>, crate::store::Version)>, StoreError> {
        self.inner.read(key)
    }

    fn swap(&self, key: &[u8], value: &[u8], version: crate::store::Version) -> Result<(), StoreError> {
        self.swaps.set(self.swaps.get() + 1);
        if self.left.get() > 0 {
            self.left.set(self.left.get() - 1);
            return Err(StoreError::Conflict);
        }
        self.inner.swap(key, value, version)
    }

    fn create(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        // Somebody else comes first.
        if self.left.get() > 0 {
            self.left.set(self.left.get() - 1);
            keep(&self.inner, self::key("a"), 30_000, NOW)?;
        }
        self.inner.create(key, value)
    }

    fn write(&self, _key: &[u8], _value: &[u8]) -> Result<(), StoreError> {
        Err(StoreError::Host(12))
    }
}

#[test]
fn ok_workers_that_write_at_once_lose_nothing_and_give_up_in_time() {
    let store = Contended { inner: MemoryStore::default(), left: 1.into(), swaps: 0.into() };
    assert_eq!(keep(&store, key("a"), 10_000, NOW), Ok(Kept::Yes));
    assert_eq!(left_ms(&store.inner, key("a"), NOW), Some(30_000), "the other one's later end is kept");
    store.left.set(3);
    assert_eq!(keep(&store, key("a"), 50_000, NOW), Ok(Kept::Yes));
    assert_eq!(left_ms(&store.inner, key("a"), NOW), Some(50_000));
    store.left.set(u32::MAX);
    store.swaps.set(0);
    assert_eq!(keep(&store, key("a"), 90_000, NOW), Err(StoreError::Conflict));
    assert!(store.swaps.get() <= 8, "{} attempts", store.swaps.get());
}

#[test]
fn ok_rubbish_in_the_store_is_written_over() {
    let store = MemoryStore::default();
    keep(&store, key("a"), 1_000, NOW).expect("memory");
    let slot = (0..4_096_u32)
        .map(|slot| [b"meterr/b1/", slot.to_le_bytes().as_slice()].concat())
        .find(|slot| store.read(slot).is_ok_and(|value| value.is_some()))
        .expect("a slot");
    store.write(&slot, b"rubbish").expect("memory");
    assert_eq!(left_ms(&store, key("a"), NOW), None);
    keep(&store, key("a"), 1_000, NOW).expect("memory");
    assert_eq!((left_ms(&store, key("a"), NOW), store.size().0), (Some(1_000), 1));
}

fn asked(status: u32, headers: &[(&str, &str)], family: RateLimitFamily, body: &[u8]) -> Option<u64> {
    let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    match Asked::by(status, &Headers::new(headers), family, NOW) {
        Asked::Nothing => None,
        Asked::Wait(ms) => Some(ms),
        Asked::InBody(mut read) => {
            for piece in body.chunks(7) {
                read.push(piece);
            }
            read.wait().map(|(ms, since)| {
                assert_eq!(since, NOW);
                ms
            })
        }
    }
}

const RETRY_INFO: &[u8] = br#"{"error":{"code":429,"message":"You exceeded your current quota. Please retry in 48.9s.","status":
    "RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"PerMinute"}]},
    {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"48s"}]}}"#;

#[test]
fn ok_what_is_said_most_exactly_goes_first() {
    let all = [
        ("retry-after-ms", "1500"),
        ("retry-after", "2"),
        ("x-amz-retry-after", "3000"),
        ("x-ratelimit-timeremaining", "5"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "6s"),
    ];
    let words = br#"{"error":{"message":"Please try again in 7s."}}"#;
    for (from, body, ms) in [
        (0, RETRY_INFO, 1_500),
        (1, RETRY_INFO, 2_000),
        (2, RETRY_INFO, 3_000),
        (3, RETRY_INFO, 48_000),
        (3, words, 5_000),
        (4, words, 6_000),
        (6, words, 7_000),
        (6, RETRY_INFO, 48_000),
    ] {
        assert_eq!(asked(429, &all[from..], RateLimitFamily::OpenAi, body), Some(ms), "{:?}", &all[from..]);
    }
}

#[test]
fn ok_every_form_of_a_refusal() {
    use RateLimitFamily::{Absent, Anthropic, Azure, Cerebras, OpenAi, OpenRouter};
    let epoch_ms = NOW.millis() + 30_000;
    let openrouter = format!(
        r#"{{"error":{{"code":429,"message":"Rate limit exceeded","metadata":{{"headers":{{"X-RateLimit-Limit":"20",
           "X-RateLimit-Remaining":"0","X-RateLimit-Reset":"{epoch_ms}"}}}}}}}}"#
    );
    let array = [b"[", RETRY_INFO, b"\n]"].concat();
    for (status, headers, family, body, ms) in [
        (429, &[("retry-after", "7")][..], OpenAi, &b""[..], Some(7_000)),
        (429, &[("retry-after", "0.5")], Absent, b"", Some(500)),
        (429, &[("retry-after", "Wed, 19 Aug 2026 14:34:12 GMT")], Absent, b"", Some(30_000)),
        (429, &[("retry-after", "86400")], Absent, b"", Some(3_600_000)),
        (429, &[("retry-after", "Thu, 20 Aug 2026 14:33:42 GMT")], Absent, b"", Some(MAX_DATED_MS)),
        (529, &[("retry-after", "3")], Anthropic, b"", Some(3_000)),
        (503, &[("retry-after", "3")], Absent, b"", Some(3_000)),
        (429, &[("retry-after-ms", "0"), ("retry-after", "1")], Azure, b"", Some(1_000)),
        (429, &[("x-amz-retry-after", "1500")], Absent, b"", Some(1_500)),
        (429, &[("x-ratelimit-timeremaining", "12")], RateLimitFamily::GitHub, b"", Some(12_000)),
        (429, &[], Absent, RETRY_INFO, Some(48_000)),
        (429, &[], Absent, &array, Some(48_000)),
        (429, &[], OpenRouter, openrouter.as_bytes(), Some(30_000)),
        (
            429,
            &[],
            OpenAi,
            br#"{"error":{"message":"Rate limit reached. Please try again in 1m26.4s."}}"#,
            Some(86_400),
        ),
        (429, &[], Azure, br#"{"error":{"code":"429","message":"Please retry after 26 seconds."}}"#, Some(26_000)),
        (429, &[], Absent, br#"{"message":"try again in 2s"}"#, Some(2_000)),
        (429, &[], Absent, br#"{"code":"x","error":"try again in 2s"}"#, Some(2_000)),
        (429, &[], Absent, br#"{"detail":"try again in 2s"}"#, Some(2_000)),
        (429, &[], Absent, br#"{"errors":[{"code":1,"message":"try again in 2s"}]}"#, Some(2_000)),
        (
            429,
            &[("x-ratelimit-remaining-tokens-minute", "0"), ("x-ratelimit-reset-tokens-minute", "26.28")],
            Cerebras,
            br#"{"message":"Requests per minute limit exceeded","code":"request_quota_exceeded"}"#,
            Some(26_280),
        ),
        // A success, too, may say that nothing is left.
        (
            200,
            &[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "2s")],
            OpenAi,
            b"",
            Some(2_000),
        ),
        (200, &[("x-ratelimit-remaining-requests", "1"), ("x-ratelimit-reset-requests", "2s")], OpenAi, b"", None),
        // Who has no such family is not believed by its headers.
        (200, &[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "2s")], Absent, b"", None),
    ] {
        assert_eq!(asked(status, headers, family, body), ms, "{status} {headers:?} {}", String::from_utf8_lossy(body));
    }
}

#[test]
fn err_nobody_asked_to_wait() {
    for (status, headers, body) in [
        (429, &[][..], &b""[..]),
        (429, &[("retry-after", "soon")], b"Too Many Requests"),
        (429, &[], br#"{"error":{"message":"You exceeded your current quota.","type":"insufficient_quota"}}"#),
        (429, &[], br#"{"prompt":"try again in 2s","error":{"message":"no"}}"#),
        // A request that is too large for Groq's limit: no wait makes it smaller.
        (413, &[("retry-after", "60")], b""),
        (500, &[("retry-after", "60")], b""),
        (200, &[("retry-after", "60")], b""),
        // Envoy's own limits.
        (429, &[("x-envoy-ratelimited", "true"), ("retry-after", "60")], b""),
        (429, &[("content-encoding", "br")], br#"{"message":"try again in 2s"}"#),
    ] {
        assert_eq!(asked(status, headers, RateLimitFamily::OpenAi, body), None, "{status} {headers:?}");
    }
}

#[test]
fn ok_a_long_or_compressed_refusal_is_read_too() {
    use std::io::Write as _;
    let long = format!(r#"{{"error":{{"message":"{} Please try again in 2s."}}}}"#, "x".repeat(1_000));
    assert_eq!(asked(429, &[], RateLimitFamily::Absent, long.as_bytes()), Some(2_000));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(long.as_bytes()).expect("memory");
    let gzip = gzip.finish().expect("memory");
    assert_eq!(asked(429, &[("content-encoding", "gzip")], RateLimitFamily::Absent, &gzip), Some(2_000));
    let endless = format!(r#"{{"error":{{"message":"{} Please try again in 2s."}}}}"#, "x".repeat(100_000));
    assert_eq!(asked(429, &[], RateLimitFamily::Absent, endless.as_bytes()), None, "no more than 16 KiB are kept");
}

proptest! {
    /// Whatever a refusal holds, the wait is bounded.
    #[test]
    fn any_refusal_is_bounded(
        status in prop_oneof![Just(429_u32), Just(503), Just(529), any::<u32>()],
        value in "[-0-9.:TZPa-z ]{0,16}",
        body in any::<Vec<u8>>(),
        now in any::<u64>(),
    ) {
        let names = ["retry-after", "retry-after-ms", "x-ratelimit-timeremaining", "content-encoding"];
        for name in names {
            let headers = Headers::new(vec![(name.as_bytes(), value.as_bytes())]);
            let ms = match Asked::by(status, &headers, RateLimitFamily::OpenAi, Timestamp(now)) {
                Asked::Nothing => None,
                Asked::Wait(ms) => Some(ms),
                Asked::InBody(mut read) => {
                    read.push(&body);
                    read.wait().map(|(ms, _)| ms)
                }
            };
            prop_assert!(ms.is_none_or(|ms| ms > 0 && ms <= MAX_DATED_MS));
        }
    }

    /// Against a plain map: what is kept is the latest end that was asked for, at any time, for any of several workers' clocks.
    #[test]
    fn the_table_agrees_with_a_map(steps in prop::collection::vec((0..5_u8, 0..20_000_u64, 0..4_000_u64), 1..60)) {
        let store = MemoryStore::default();
        let mut model = [0_u64; 5];
        let mut now = NOW;
        for (who, wait_ms, passes) in steps {
            now = now.plus_millis(passes);
            let slot = &mut model[usize::from(who)];
            prop_assert_eq!(keep(&store, key(&who.to_string()), wait_ms, now), Ok(Kept::Yes));
            *slot = (*slot).max(now.millis() + wait_ms);
            for (who, until) in model.iter().enumerate() {
                let expected = until.checked_sub(now.millis()).filter(|ms| *ms > 0);
                prop_assert_eq!(left_ms(&store, key(&who.to_string()), now), expected);
            }
        }
    }
}
