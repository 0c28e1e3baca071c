//! The `limits` of a configuration.

use std::rc::Rc;

use super::{
    problem::quoted,
    walk::{Node, Section},
};
use crate::{
    backpressure::Mode,
    limit::{
        Unit,
        spec::{Calendar, Dimension, Fallback, LimitSpec, Match, OnExceed, Override, Reserve, Window},
    },
};

/// What a limit can count by, labels apart.
const DIMENSIONS: [&str; 5] = ["tenant", "user", "key", "provider", "model"];

/// What the limits of a configuration depend on elsewhere in it.
pub(super) struct Around {
    /// Whether the variable that holds the key of the credential hash is set.
    pub(super) has_credential_key: bool,
    /// Whether request headers may be held.
    pub(super) header_hold: bool,
    /// Names of the labels that identity gives.
    pub(super) labels: Vec<String>,
}

/// All limits.
pub(super) fn limits(sections: &[Section<'_>], around: &Around) -> Vec<LimitSpec> {
    let mut limits: Vec<LimitSpec> = Vec::new();
    for section in sections {
        let limit = limit(section, around);
        if let Some(at) = limits.iter().position(|other| other.id == limit.id && !limit.id.is_empty()) {
            let first = sections.get(at).map_or("", Section::path);
            section.report("id", quoted(&limit.id), format!("an id that no other limit has; {first} has it"));
        }
        limits.push(limit);
    }
    limits
}

#[inline(never)]
fn limit(section: &Section<'_>, around: &Around) -> LimitSpec {
    let unit = match section.choice("unit") {
        "requests" => Unit::Requests,
        "input_tokens" => Unit::InputTokens,
        "output_tokens" => Unit::OutputTokens,
        "usd" => Unit::Usd,
        "concurrent_requests" => Unit::ConcurrentRequests,
        _ => Unit::Tokens,
    };
    let per = per(section, around);
    let (window, burst) = window(section, unit);
    let amount = section.amount("amount", unit == Unit::Usd);
    let amount = match (amount, burst) {
        (Some(amount), Some(burst)) if amount != burst => {
            section.report("amount", "another number than window.burst", "the size of the bucket, once");
            burst
        }
        (amount, burst) => amount.or(burst).unwrap_or_else(|| {
            section.report_missing("amount");
            1
        }),
    };
    if is_long(window) && !around.has_credential_key && per.contains(&Dimension::Key) {
        section.report(
            "per",
            "\"key\" with a window of a day or longer, without a key for the credential hash",
            "second, minute and hour windows, unless the variable that identity.credential_key_env names is set in \
             vm_config.environment_variables",
        );
    }
    let on_exceed = on_exceed(section, around);
    let notify_at = ordered(section.parts("notify_at"));
    LimitSpec {
        id: Rc::from(section.text("id").unwrap_or_default()),
        applies: applies(&section.section("match")),
        unit,
        amount,
        overrides: section.items("overrides").iter().map(|section| other_amount(section, unit, &per)).collect(),
        window,
        reserve: match section.choice("reserve") {
            "worst_case" => Reserve::WorstCase,
            "none" => Reserve::None,
            _ => Reserve::Expected,
        },
        assume_output_tokens: section.integer("assume_output_tokens"),
        on_unbounded: fallback(section.choice("on_unbounded")),
        on_unpriced: fallback(section.choice("on_unpriced")),
        on_exceed,
        on_store_error: fallback(section.choice("on_store_error")),
        max_descriptors: section.integer_u32("max_descriptors"),
        notify_at,
        per,
    }
}

/// What the limit has a counter for each of, in an order of ours.
#[inline(never)]
fn per(section: &Section<'_>, around: &Around) -> Vec<Dimension> {
    let per: Vec<Dimension> =
        section.texts("per").unwrap_or_default().iter().filter_map(|name| dimension(name)).collect();
    for dimension in &per {
        if let Dimension::Label(name) = dimension
            && !around.labels.iter().any(|label| **label == **name)
        {
            let known = around.labels.iter().map(|label| format!("label:{label}")).collect::<Vec<_>>().join(", ");
            let known =
                if known.is_empty() { "a label that identity.labels gives; it gives none".into() } else { known };
            section.report("per", quoted(&format!("label:{name}")), known);
        }
    }
    ordered(per)
}

/// In order. A few words of a configuration want no sort that is built for thousands.
fn ordered<T: Ord>(items: Vec<T>) -> Vec<T> {
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        let at = out.partition_point(|other| *other <= item);
        out.insert(at, item);
    }
    out
}

/// The window, and the size of a bucket.
#[inline(never)]
fn window(section: &Section<'_>, unit: Unit) -> (Window, Option<u64>) {
    let is_usd = unit == Unit::Usd;
    let window = section.section("window");
    if unit == Unit::ConcurrentRequests {
        if section.has("window") {
            section.report("window", "a window", "nothing: concurrent_requests counts what is under way");
        }
        return (Window::Open, None);
    }
    let kind = window.choice("kind");
    let fields: [(&str, &str); 4] = [("per", "fixed"), ("secs", "sliding"), ("per_sec", "bucket"), ("burst", "bucket")];
    for (name, of) in fields {
        if window.has(name) && of != kind {
            window.report(name, format!("{name} in a window of kind {kind}"), format!("with kind {of} only"));
        }
    }
    let needed = |name: &str, value: Option<u64>| {
        if value.is_none() && !window.has(name) {
            window.report_missing(name);
        }
        value.unwrap_or(1).max(1)
    };
    match kind {
        "sliding" => (Window::Sliding { secs: needed("secs", window.maybe_integer("secs")) }, None),
        "bucket" => {
            let per_sec = needed("per_sec", window.amount("per_sec", is_usd));
            (Window::Bucket { per_sec }, window.amount("burst", is_usd))
        }
        _ => (Window::Fixed(calendar(window.choice("per"))), None),
    }
}

const fn is_long(window: Window) -> bool {
    match window {
        Window::Fixed(calendar) => calendar.is_long(),
        Window::Sliding { secs } => secs >= 86_400,
        Window::Bucket { .. } | Window::Open => false,
    }
}

#[inline(never)]
fn applies(section: &Section<'_>) -> Match {
    let globs = |name| section.texts(name).unwrap_or_default();
    let labels = section.entries("labels");
    Match {
        tenant: globs("tenant"),
        user: globs("user"),
        key: globs("key"),
        provider: globs("provider"),
        model: globs("model"),
        labels: labels.into_iter().map(|(name, globs)| (name, globs.globs(64))).collect(),
    }
}

fn on_exceed(section: &Section<'_>, around: &Around) -> OnExceed {
    match (section.choice("on_exceed"), queue(section, "on_exceed", around.header_hold)) {
        (_, Some((max_wait_ms, max_waiting))) => OnExceed::Queue { max_wait_ms, max_waiting },
        ("report_only", None) => OnExceed::ReportOnly,
        (_, None) => OnExceed::Reject,
    }
}

/// `providers.backpressure`.
pub(super) fn backpressure(section: &Section<'_>, header_hold: bool) -> Mode {
    match (section.choice("mode"), queue(section, "mode", header_hold)) {
        (_, Some((max_wait_ms, max_waiting))) => Mode::Queue { max_wait_ms, max_waiting },
        ("report_only", None) => Mode::ReportOnly,
        ("reject", None) => Mode::Reject,
        (_, None) => Mode::Off,
    }
}

/// The bounds of waiting, longest time and most requests, where the key `mode` says `queue`.
#[inline(never)]
fn queue(section: &Section<'_>, mode: &str, header_hold: bool) -> Option<(u64, usize)> {
    let queue = section.section("queue");
    let bounds = (queue.integer("max_wait_ms"), queue.integer_usize("max_waiting"));
    let chosen = section.choice(mode);
    if chosen != "queue" {
        if section.has("queue") {
            let found = format!("bounds of a queue with {mode} {chosen}");
            section.report("queue", found, format!("with {mode} queue only"));
        }
        return None;
    }
    if !header_hold {
        let allowed = "another one; or header_hold: true, since a request that waits is held";
        section.report(mode, "\"queue\" without header_hold", allowed);
    }
    Some(bounds)
}

#[inline(never)]
fn other_amount(section: &Section<'_>, unit: Unit, per: &[Dimension]) -> Override {
    if !DIMENSIONS.iter().any(|name| section.has(name)) && !section.has("labels") && section.is_object() {
        section.report("", "no pattern", format!("at least one of {}, labels", DIMENSIONS.join(", ")));
    }
    // Two amounts for one counter would make the answer depend on who asks first.
    let counted = "what the limit has a counter for each of";
    for name in DIMENSIONS.iter().filter(|name| section.has(name)) {
        if dimension(name).is_some_and(|dimension| !per.contains(&dimension)) {
            section.report(name, format!("{name}, which is not in per"), counted);
        }
    }
    let glob = |name| section.text(name).into_iter().collect();
    let labels: Vec<(String, Vec<String>)> = section
        .entries("labels")
        .into_iter()
        .map(|(name, glob): (String, Node<'_>)| (name, glob.glob().into_iter().collect()))
        .collect();
    for (name, _) in &labels {
        if !per.contains(&Dimension::Label(Rc::from(name.as_str()))) {
            section.report("labels", format!("{name}, and label:{name} is not in per"), counted);
        }
    }
    Override {
        of: Match {
            tenant: glob("tenant"),
            user: glob("user"),
            key: glob("key"),
            provider: glob("provider"),
            model: glob("model"),
            labels,
        },
        amount: section.amount("amount", unit == Unit::Usd).unwrap_or(1),
    }
}

fn dimension(name: &str) -> Option<Dimension> {
    match name {
        "tenant" => Some(Dimension::Tenant),
        "user" => Some(Dimension::User),
        "key" => Some(Dimension::Key),
        "provider" => Some(Dimension::Provider),
        "model" => Some(Dimension::Model),
        _ => name.strip_prefix("label:").map(|name| Dimension::Label(Rc::from(name))),
    }
}

fn calendar(name: &str) -> Calendar {
    match name {
        "second" => Calendar::Second,
        "hour" => Calendar::Hour,
        "day" => Calendar::Day,
        "week" => Calendar::Week,
        "month" => Calendar::Month,
        _ => Calendar::Minute,
    }
}

fn fallback(name: &str) -> Fallback {
    if name == "reject" { Fallback::Reject } else { Fallback::Allow }
}
