//! The compiled-in table: a text, packed, whose beginning (`table.tsv`) tells what stands where. It is unpacked once, for the first
//! exchange of a VM, which waits 2 to 3 ms for it: Envoy's main thread and idle workers have VMs too, and no exchanges. A line is read when its
//! model is asked for: as values in memory, all of its lines would be many times as long.

use std::sync::LazyLock;

use super::{
    exact::Per,
    kind::{Kind, Scale},
};
use crate::frame::inflate::{Encoding, Inflater};

static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/price-table"));

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::of(unpacked().unwrap_or_default().leak()));

#[derive(Debug)]
struct Table {
    version: &'static str,
    providers: Vec<Provider>,
}

/// A provider of the table.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) id: &'static str,
    fallbacks: &'static str,
    pub(super) lines: Vec<Line>,
}

fn unpacked() -> Option<String> {
    let (length, packed) = PACKED.split_first_chunk()?;
    let mut text = Vec::with_capacity(usize::try_from(u32::from_le_bytes(*length)).ok()?);
    Inflater::new(Encoding::Deflate).push(packed, &mut |bytes| text.extend_from_slice(bytes)).ok()?;
    String::from_utf8(text).ok()
}

/// Which table this is, and its date.
pub(super) fn version() -> &'static str {
    TABLE.version
}

/// The provider with that id.
pub(super) fn provider(id: &str) -> Option<&'static Provider> {
    TABLE.providers.iter().find(|provider| provider.id == id)
}

impl Table {
    fn of(text: &'static str) -> Self {
        let (version, lines) = text.split_once('\n').unwrap_or_default();
        let mut providers: Vec<Provider> = Vec::new();
        for line in lines.lines() {
            if let Some(line) = Line::of(line) {
                if let Some(provider) = providers.last_mut() {
                    provider.lines.push(line);
                }
            } else if let Some((id, fallbacks)) = line.split_once('\t') {
                providers.push(Provider { id, fallbacks, lines: Vec::new() });
            }
        }
        providers.iter_mut().for_each(|provider| provider.lines.shrink_to_fit());
        Self { version, providers }
    }
}

impl Provider {
    /// Those whose models it resells.
    pub(super) fn fallbacks(&self) -> impl Iterator<Item = &'static Self> + use<> {
        self.fallbacks.split(' ').filter_map(provider)
    }

    /// The first of its models that a name, all in lower case, means.
    pub(super) fn line(&self, name: &str) -> Option<Line> {
        self.lines.iter().find(|line| line.matches(name)).copied()
    }
}

/// A model as the table has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) id: &'static str,
    patterns: &'static str,
    /// Whether each pattern is one atom, as nearly all are: to look for others in each takes most of a search.
    is_plain: bool,
    prices: &'static str,
}

impl Line {
    fn of(line: &'static str) -> Option<Self> {
        let mut columns = line.splitn(3, '\t');
        let (id, patterns, prices) = (columns.next()?, columns.next()?, columns.next()?);
        Some(Self { id, patterns, is_plain: !patterns.contains(['&', '|', '!']), prices })
    }

    fn matches(&self, name: &str) -> bool {
        let is = |atom: &str| match atom.strip_prefix('!') {
            Some(atom) => !is_like(name, atom, self.id),
            None => is_like(name, atom, self.id),
        };
        let mut patterns = self.patterns.split(' ');
        if self.is_plain {
            return patterns.any(|pattern| is_like(name, pattern, self.id));
        }
        patterns.any(|pattern| pattern.split('&').all(|group| group.split('|').any(is)))
    }

    /// What it costs; `None` if that cannot be read.
    pub(super) fn model(self) -> Option<Model> {
        let alternatives = self.prices.split(';').map(Alternative::of).collect::<Option<_>>()?;
        Some(Model { id: self.id, alternatives })
    }
}

/// Whether a name is like one pattern of the model with that id.
fn is_like(name: &str, pattern: &str, id: &str) -> bool {
    let Some((how, text)) = pattern.split_at_checked(1) else { return false };
    let (name, text) = (name.as_bytes(), if text.is_empty() { id } else { text }.as_bytes());
    let (head, tail) = (name.get(..text.len()), name.len().checked_sub(text.len()).and_then(|from| name.get(from..)));
    match how {
        "=" => name.eq_ignore_ascii_case(text),
        "^" => head.is_some_and(|head| head.eq_ignore_ascii_case(text)),
        "$" => tail.is_some_and(|tail| tail.eq_ignore_ascii_case(text)),
        "*" => memchr::memmem::find(name, text).is_some(),
        "#" => name.len() == text.len() && has_shape(name, text),
        "~" => head.is_some_and(|head| has_shape(head, text)),
        _ => false,
    }
}

/// Whether a text is that one, where `#` stands for a digit.
pub(super) fn has_shape(text: &[u8], shape: &[u8]) -> bool {
    let is = |(byte, wanted): (&u8, &u8)| if *wanted == b'#' { byte.is_ascii_digit() } else { byte == wanted };
    text.iter().zip(shape).all(is)
}

/// A model, and what it costs when.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) id: &'static str,
    alternatives: Vec<Alternative>,
}

/// Prices, and when they hold. Those on a term of service replace the usual ones; of several, the first that has a price for a kind.
#[derive(Debug)]
struct Alternative {
    on: Option<On<'static>>,
    when: When,
    rates: Vec<Rate>,
}

/// A term of service that a reply names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On<'a> {
    Tier(&'a str),
    Speed(&'a str),
}

/// When a price holds, UTC.
#[derive(Clone, Copy, Debug)]
enum When {
    Always,
    /// From that day on, counted from the epoch.
    FromDay(u64),
    /// Between two seconds of each day; the second may be the smaller one.
    Daily(u64, u64),
}

/// The price of a kind in the unit of [`Per`], where more than `above` input tokens were sent. Past a threshold it holds for all tokens,
/// not only for those beyond.
#[derive(Clone, Copy, Debug)]
struct Rate {
    kind: Kind,
    above: u64,
    amount: u128,
}

impl Alternative {
    fn of(text: &'static str) -> Option<Self> {
        let mut found = Self { on: None, when: When::Always, rates: Vec::new() };
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            if let Some(when) = word.strip_prefix('@') {
                found.when = When::of(when)?;
            } else if let Some(tier) = word.strip_prefix("tier:") {
                found.on = Some(On::Tier(tier));
            } else if let Some(speed) = word.strip_prefix("speed:") {
                found.on = Some(On::Speed(speed));
            } else {
                found.rates.push(Rate::of(word)?);
            }
        }
        Some(found)
    }

    fn price(&self, kind: Kind, total_input: u64) -> Option<u128> {
        let applies = |rate: &&Rate| rate.kind == kind && (rate.above == 0 || total_input > rate.above);
        Some(self.rates.iter().rev().find(applies)?.amount)
    }
}

impl When {
    fn of(text: &str) -> Option<Self> {
        match text.split_once('-') {
            Some((start, end)) => Some(Self::Daily(start.parse().ok()?, end.parse().ok()?)),
            None => Some(Self::FromDay(text.parse().ok()?)),
        }
    }

    fn holds(self, secs: u64) -> bool {
        let in_day = secs % 86_400;
        match self {
            Self::Always => true,
            Self::FromDay(day) => secs / 86_400 >= day,
            Self::Daily(start, end) if end < start => in_day >= start || in_day < end,
            Self::Daily(start, end) => start <= in_day && in_day < end,
        }
    }
}

impl Rate {
    fn of(word: &str) -> Option<Self> {
        let (price, above) = match word.split_once('>') {
            Some((price, above)) => (price, above.parse().ok()?),
            None => (word, 0),
        };
        let (code, amount) = price.split_at_checked(price.find(|byte: char| byte.is_ascii_digit())?)?;
        let kind = Kind::from_code(code)?;
        // Finer than money is elsewhere: the package has prices of 17 decimals.
        let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
        let places = kind.price_decimals().checked_sub(u32::try_from(fraction.len()).ok()?)?;
        let of_digits = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<u128>().ok() };
        let whole = of_digits(whole)?.checked_mul(10_u128.checked_pow(kind.price_decimals())?)?;
        let fraction = of_digits(fraction)?.checked_mul(10_u128.checked_pow(places)?)?;
        Some(Self { kind, above, amount: whole.checked_add(fraction)? })
    }
}

impl Model {
    /// Whether it has prices of its own on that term, at that time.
    pub(super) fn has_variant(&self, on: On<'_>, secs: u64) -> bool {
        self.alternatives.iter().any(|other| other.on == Some(on) && other.when.holds(secs))
    }

    /// The price of a kind at that time, on these terms, for so much input.
    pub(super) fn price(&self, kind: Kind, secs: u64, on: &[Option<On<'_>>], total_input: u64) -> Option<(u128, Per)> {
        let applies = |other: &&Alternative| other.on.is_some() && on.contains(&other.on) && other.when.holds(secs);
        let mut on_terms = self.alternatives.iter().filter(applies);
        let amount = on_terms.find_map(|other| other.price(kind, total_input)).or_else(|| {
            // The last that holds wins; the first holds if none does.
            let usual = || self.alternatives.iter().filter(|other| other.on.is_none());
            let active = usual().rfind(|other| other.when.holds(secs));
            active.or_else(|| usual().next())?.price(kind, total_input)
        })?;
        Some((amount, if kind.scale() == Scale::Time { Per::Hour } else { Per::One }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_every_line_of_the_table_can_be_read() {
        assert!(version().starts_with("genai-prices "));
        let lines: Vec<&Line> = TABLE.providers.iter().flat_map(|provider| &provider.lines).collect();
        assert!(lines.len() > 2_000);
        for line in lines {
            assert!(line.model().is_some_and(|model| model.id == line.id), "{line:?}");
            for atom in line.patterns.split([' ', '&', '|']) {
                assert!(atom.trim_start_matches('!').starts_with(['=', '^', '$', '*', '#', '~']), "{line:?}");
            }
        }
        let named =
            TABLE.providers.iter().flat_map(|provider| provider.fallbacks.split(' ')).filter(|id| !id.is_empty());
        assert!(named.map(provider).all(|found| found.is_some()));
    }

    #[test]
    fn ok_patterns() {
        let line = |patterns: &str| Line::of(format!("GPT-x\t{patterns}\t").leak()).expect("three columns");
        let cases: [(&str, &[&str], &[&str]); 8] = [
            ("=", &["gpt-x"], &["gpt-xy", "gpt", "a-gpt-x", ""]),
            ("^ =other", &["gpt-x", "gpt-x-1", "other"], &["a-gpt-x", "others"]),
            ("$-tts", &["a-tts", "-tts"], &["tts", "a-tts-b"]),
            ("*v2", &["v2", "av2b"], &["v", "2v"]),
            ("#a-##", &["a-12"], &["a-1", "a-123", "a-1x"]),
            ("~a-##", &["a-12", "a-123"], &["a-1", "b-12"]),
            ("^a|^b&!$z&!*-m-", &["ab", "by"], &["az", "cb", "a-m-b"]),
            ("?", &[], &["gpt-x"]),
        ];
        for (patterns, like, unlike) in cases {
            assert!(like.iter().all(|name| line(patterns).matches(name)), "{patterns}");
            assert!(!unlike.iter().any(|name| line(patterns).matches(name)), "{patterns}");
        }
    }

    #[test]
    fn ok_and_err_prices() {
        let amount = |word| Rate::of(word).map(|rate| (rate.kind, rate.above, rate.amount));
        assert_eq!(amount("in2.5"), Some((Kind::Input, 0, 25 * 10_u128.pow(17))));
        assert_eq!(amount("cr0.125>200000"), Some((Kind::CacheRead, 200_000, 125 * 10_u128.pow(15))));
        assert_eq!(amount("ws10"), Some((Kind::WebSearch, 0, 10_u128.pow(22))));
        assert_eq!(amount("hr0.04"), Some((Kind::AudioTime, 0, 4 * 10_u128.pow(10))));
        assert_eq!(amount("in0"), Some((Kind::Input, 0, 0)));
        for word in
            ["", "in", "2.5", "xx1", "in1>", "in1>x", "in1.2.3", "in-1", "in1.0000000000000000001", &"in9".repeat(20)]
        {
            assert!(Rate::of(word).is_none(), "{word}");
        }
    }
}
