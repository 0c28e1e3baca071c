//! From the walk to a [`Config`]: one function for each part of the document.

use std::borrow::Cow;

use super::{
    Config, Unknown, limits,
    problem::quoted,
    walk::{Section, Walk},
};
use crate::{
    backpressure,
    delivery::spec::{OnFull, Rejected, Sink},
    dialect::{DialectId, ErrorShape},
    event::format::Format,
    identity::{Identity, Source, Sources},
    price::{Adjustments, Discount, PriceOverride, PriceTier, TierKind, TokenPrices},
    provider::{Apart, RateLimitFamily, Row, Verified, table},
    tag::{ResponseHeaders, Tags},
};

/// Where the table describes a source, whoever's it is.
const SOURCE: &str = "identity.<who>[]";

#[inline(never)]
pub(super) fn config(walk: &Walk<'_>, root: &Section<'_>) -> Config {
    let identity = identity(&root.section("identity"));
    let providers = root.section("providers");
    let has_key = walk.env(&identity.credential_key_env).is_some();
    let header_hold = root.switch("header_hold").unwrap_or_default();
    let backpressure = limits::backpressure(&providers.section("backpressure"), header_hold);
    let sections = root.items("limits");
    let limits = limits::limits(
        &sections,
        &limits::Around {
            has_credential_key: has_key,
            header_hold,
            labels: identity.labels.iter().map(|(name, _)| name.clone()).collect(),
        },
    );
    for (section, limit) in sections.iter().zip(&limits) {
        if backpressure != backpressure::Mode::Off && &*limit.id == backpressure::LIMIT_ID {
            section.report("id", quoted(&limit.id), "another id: this one stands for providers.backpressure");
        }
    }
    Config {
        unknown: match providers.choice("unknown") {
            "pass" => Unknown::Pass,
            "reject" => Unknown::Reject,
            _ => Unknown::Detect,
        },
        prefix_authorities: providers.texts("prefix_authorities").unwrap_or_default(),
        extra: rows(&providers.items("extra")),
        backpressure,
        limits,
        prices: prices(&root.section("prices")),
        sink: sink(walk, &root.section("sink")),
        tags: tags(&root.section("tags"), header_hold),
        header_hold,
        max_hold_bytes: root.integer("max_hold_bytes"),
        identity,
    }
}

#[inline(never)]
fn identity(section: &Section<'_>) -> Identity {
    let of = |name| sources(section.items_of(name, SOURCE));
    let label = |(name, node): (String, super::walk::Node<'_>)| (name, sources(node.items(16, SOURCE)));
    Identity {
        tenant: of("tenant"),
        user: of("user"),
        key: of("key"),
        labels: section.entries("labels").into_iter().map(label).collect(),
        reject_missing: section.choice("on_missing") == "reject",
        credential_key_env: section.text("credential_key_env").unwrap_or_default(),
    }
}

#[inline(never)]
fn sources(sections: Vec<Section<'_>>) -> Sources {
    let source = |section: &Section<'_>| {
        let from = section.choice("from");
        for (name, only) in
            [("name", "header"), ("provider", "jwt"), ("claim", "jwt"), ("key", "filter_state"), ("value", "constant")]
        {
            if from == only && !section.has(name) {
                section.report(name, "nothing", format!("required with from: {only}"));
            } else if !from.is_empty() && from != only && section.has(name) {
                section.report(name, format!("{name} with from: {from}"), format!("only with from: {only}"));
            }
        }
        match from {
            "header" => section.text("name").map(Source::Header),
            "jwt" => section
                .text("provider")
                .zip(section.text("claim"))
                .map(|(provider, claim)| Source::Jwt { provider, claim }),
            "filter_state" => section.text("key").map(Source::FilterState),
            "peer_san" => Some(Source::PeerSan),
            "constant" => section.text("value").map(Source::Constant),
            "credential" => Some(Source::Credential),
            _ => None,
        }
    };
    sections.iter().filter_map(source).collect()
}

#[inline(never)]
fn rows(sections: &[Section<'_>]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for section in sections {
        let Some(row) = row(section) else { continue };
        if rows.iter().any(|other| other.id == row.id) {
            section.report("id", quoted(&row.id), "an id that no other entry of providers.extra has");
        }
        for host in row.hosts.iter() {
            if let Some(other) = rows.iter().find(|other| other.hosts.contains(host)) {
                let allowed = format!("a host that no other entry has; {} has it", other.id);
                section.report("hosts", quoted(host), allowed);
            }
        }
        rows.push(row);
    }
    rows
}

#[inline(never)]
fn row(section: &Section<'_>) -> Option<Row> {
    let id = section.text("id");
    let base = id.as_ref().and_then(|id| table::rows().iter().find(|row| row.id == **id));
    let hosts = section.texts("hosts");
    let dialects = section.choices("dialects");
    for (name, given, inherited) in [
        ("hosts", hosts.as_ref().is_some_and(|hosts| !hosts.is_empty()), base.is_some()),
        ("dialects", dialects.as_ref().is_some_and(|dialects| !dialects.is_empty()), base.is_some()),
    ] {
        if given || (inherited && !section.has(name)) {
            continue;
        }
        // A list with a wrong element has been reported already; only an empty or absent one is news.
        if section.is_empty_or_absent(name) {
            let found = if section.has(name) { "an empty list" } else { "nothing" };
            section.report(name, found, "at least one entry, or the id of a built-in row");
        }
    }
    let owned = |hosts: Vec<String>| Cow::Owned(hosts.into_iter().map(Cow::Owned).collect());
    let hosts: Cow<'static, [Cow<'static, str>]> = match (hosts, base) {
        (Some(hosts), _) => owned(hosts),
        (None, Some(base)) => base.hosts.clone(),
        (None, None) => Cow::Borrowed(&[]),
    };
    let dialects = match (dialects, base) {
        (Some(names), _) => Cow::Owned(names.into_iter().filter_map(DialectId::from_name).collect()),
        (None, Some(base)) => base.dialects.clone(),
        (None, None) => Cow::Borrowed(&[] as &[DialectId]),
    };
    let authority = section.text("authority").map(Cow::Owned);
    let authority = authority.or_else(|| match base {
        Some(base) if !section.has("hosts") => base.authority.clone(),
        _ => hosts.iter().find(|host| !host.contains('*')).cloned(),
    });
    let tls = section.switch("tls").unwrap_or_else(|| base.is_none_or(|base| base.tls));
    let inject_include_usage =
        section.switch("inject_include_usage").unwrap_or_else(|| base.is_some_and(|base| base.inject_include_usage));
    // What is not given, or wrong and reported, is the built-in row's, else what claims the least.
    let rate_limits = RateLimitFamily::from_name(section.choice("rate_limit_headers"));
    let errors = ErrorShape::from_name(section.choice("error_shape"));
    Some(Row {
        id: Cow::Owned(id?),
        hosts,
        authority,
        tls,
        dialects,
        inject_include_usage,
        rate_limits: rate_limits.or(base.map(|base| base.rate_limits)).unwrap_or(RateLimitFamily::Absent),
        errors: errors.or(base.map(|base| base.errors)).unwrap_or(ErrorShape::OpenAi),
        apart: base.map_or(Apart::Nothing, |base| base.apart),
        verified: Verified { basics: true, rate_limits: true, errors: true },
    })
}

#[inline(never)]
fn prices(section: &Section<'_>) -> Adjustments {
    let token_prices = |section: &Section<'_>| {
        let names =
            ["input_usd_per_mtok", "output_usd_per_mtok", "cache_read_usd_per_mtok", "cache_write_usd_per_mtok"];
        if section.is_object() && !names.iter().any(|name| section.has(name)) {
            section.report("", "no price", format!("at least one of {}", names.join(", ")));
        }
        // USD per million tokens with 18 decimals is USD per token with 24.
        let [input, output, cache_read, cache_write] = names.map(|name| section.decimal(name));
        TokenPrices { input, output, cache_read, cache_write }
    };
    let one = |section: &Section<'_>| {
        let mut tiers: Vec<PriceTier> = Vec::new();
        for section in section.items("tiers") {
            let above = section.integer("above_tokens");
            if let Some(last) = tiers.last().filter(|last| above > 0 && last.above >= above) {
                section.report("above_tokens", above.to_string(), format!("more than {}, the one before", last.above));
            }
            tiers.push(PriceTier { above, prices: token_prices(&section) });
        }
        PriceOverride {
            provider: section.text("provider").unwrap_or_default(),
            model: section.text("model").unwrap_or_default(),
            prices: token_prices(section),
            tiers,
            tier_kind: if section.choice("tier_kind") == "graduated" { TierKind::Graduated } else { TierKind::Cliff },
        }
    };
    let mut discounts: Vec<Discount> = Vec::new();
    for section in section.items("discounts") {
        let provider = section.text("provider").unwrap_or_default();
        let factor = section.decimal("factor").unwrap_or_default();
        if !provider.is_empty() && discounts.iter().any(|other| other.provider == provider) {
            section.report("provider", quoted(&provider), "a provider that has no other discount");
        }
        discounts.push(Discount { provider, factor_millionths: u32::try_from(factor).unwrap_or(u32::MAX) });
    }
    Adjustments { overrides: section.items("overrides").iter().map(one).collect(), discounts, ..Adjustments::default() }
}

#[inline(never)]
fn sink(walk: &Walk<'_>, section: &Section<'_>) -> Sink {
    let batch = section.section("batch");
    let retry = section.section("retry");
    let queue = section.section("queue");
    let (retry_base_ms, retry_max_ms) = (retry.integer("base_ms"), retry.integer("max_ms"));
    if retry_max_ms < retry_base_ms {
        retry.report("max_ms", retry_max_ms.to_string(), format!("not less than base_ms, which is {retry_base_ms}"));
    }
    // It has one value so far: reading it is what refuses any other.
    section.section("dead_letter").text("path");
    let headers = section.entries("headers").into_iter();
    Sink {
        cluster: section.text("cluster").unwrap_or_default(),
        authority: section.text("authority").unwrap_or_default(),
        path: section.text("path").unwrap_or_default(),
        format: match section.choice("format") {
            "otlp_logs" => Format::OtlpLogs,
            "ndjson" => Format::Ndjson,
            _ => Format::CloudEvents,
        },
        gzip: section.switch("gzip").unwrap_or_default(),
        headers: headers.filter_map(|(name, node)| Some((name, header(walk, &node.section())?))).collect(),
        timeout_ms: section.integer_u32("timeout_ms"),
        batch_events: batch.integer_usize("max_events"),
        batch_bytes: batch.integer_usize("max_bytes"),
        batch_delay_ms: batch.integer_u32("max_delay_ms"),
        retry_base_ms,
        retry_max_ms,
        give_up_after_secs: retry.integer("give_up_after_secs"),
        queue_bytes: queue.integer_usize("max_bytes"),
        on_full: match queue.choice("on_full") {
            "reject_requests" => OnFull::RejectRequests,
            _ => OnFull::DropOldest,
        },
        rejected: match section.choice("rejected") {
            "summary_per_minute" => Rejected::SummaryPerMinute,
            _ => Rejected::Each,
        },
        heartbeat_secs: section.integer("heartbeat_secs"),
    }
}

/// The value of one of the sink's headers. No problem here repeats anything that stands in the configuration.
#[inline(never)]
fn header(walk: &Walk<'_>, section: &Section<'_>) -> Option<String> {
    match (section.has("env"), section.has("value")) {
        (true, false) => {
            let value = walk.env(&section.text("env")?);
            let value = match value {
                None => Err("nothing in the environment"),
                Some(value) if !(super::text::HEADER_VALUE.holds)(&value) => Err("a value that no header can have"),
                Some(value) => Ok(value),
            };
            let allowed =
                "a variable of vm_config.environment_variables with 1 to 8192 bytes without control characters";
            value.map_err(|found| section.report("env", found, allowed)).ok()
        }
        (false, true) => section.text("value"),
        (both, _) => {
            if section.is_object() {
                let found = if both { "both env and value" } else { "neither env nor value" };
                section.report("", found, "exactly one of env and value");
            }
            None
        }
    }
}

#[inline(never)]
fn tags(section: &Section<'_>, header_hold: bool) -> Tags {
    let metrics = section.section("metrics");
    let response_headers = match section.choice("response_headers") {
        "off" => ResponseHeaders::Off,
        "usage" => ResponseHeaders::Usage,
        _ => ResponseHeaders::Limits,
    };
    if response_headers == ResponseHeaders::Usage && !header_hold {
        section.report(
            "response_headers",
            "\"usage\" without header_hold",
            "off, limits; usage with header_hold: true",
        );
    }
    Tags {
        response_headers,
        metric_tenant: metrics.switch("tenant").unwrap_or_default(),
        max_series: metrics.integer_usize("max_series"),
    }
}
