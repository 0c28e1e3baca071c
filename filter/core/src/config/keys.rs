//! The one table of configuration keys: what each means, what it may hold, and what it holds when it is not given.
//!
//! The walk takes allowed names, types, ranges and defaults from here, and so does the README: neither can disagree.

use super::{
    reference::{
        Key,
        Kind::{self, Amount, Choice, Choices, Decimal, Integer, Map, Object, Objects, Parts, Switch, Text, Texts},
        Unset::{self, Absent, Json, Required},
    },
    text,
};
use crate::{
    dialect::{DialectId, ErrorShape},
    provider::RateLimitFamily,
};

const fn key(path: &'static str, kind: Kind, default: Unset, meaning: &'static str) -> Key {
    // It is for the README; the filter would carry 12 KB that nobody sees.
    Key { path, kind, default, meaning: if cfg!(target_arch = "wasm32") { "" } else { meaning } }
}

/// The largest integer that a double holds exactly; numbers may arrive as doubles.
const MAX_EXACT: u64 = 1 << 53;
/// The largest amount of money that a counter holds with its sign in units of 1e-12 USD, rounded.
const MAX_USD: u64 = 9_000_000;
/// A price of a million dollars for a million tokens is a mistake.
const MAX_USD_PER_MTOK: u64 = 1_000_000;
/// Decimals of a price per million tokens that are still a whole number of 1e-24 USD per token.
pub(super) const PRICE_PLACES: u32 = 18;
/// Decimals of a discount factor.
pub(super) const FACTOR_PLACES: u32 = 6;

/// All keys, in the order of the walk and of the README.
pub(super) static KEYS: &[Key] = &[
    key("identity", Object, Json("{}"), "Who pays."),
    key(
        "identity.tenant",
        Objects(16),
        Json(r#"[{"from":"credential"},{"from":"constant","value":"unknown"}]"#),
        "Sources of the tenant; the first that gives a value wins.",
    ),
    key("identity.user", Objects(16), Json("[]"), "Sources of the end user."),
    key("identity.key", Objects(16), Json(r#"[{"from":"credential"}]"#), "Sources of the key id."),
    key("identity.labels", Map(32, &text::LABEL), Json("{}"), "Sources of free labels, by the label's name."),
    key(
        "identity.<who>[].from",
        Choice(&["header", "jwt", "filter_state", "peer_san", "credential", "constant"]),
        Required,
        "Kind of source, for `tenant`, `user`, `key` and `labels.<name>` alike. `header`: a request header that the operator \
         trusts; it is removed before the request goes upstream. `jwt`: a claim of a token that Envoy's `jwt_authn` filter has \
         verified. `filter_state`: a text that an earlier filter has set. `peer_san`: the first URI among the subject \
         alternative names of the client's certificate, such as a SPIFFE id. `credential`: the keyed hash of what the caller \
         authenticates with. `constant`: a fixed value.",
    ),
    key(
        "identity.<who>[].name",
        Text(&text::IDENTITY_HEADER),
        Absent("required with `from: header`"),
        "The header, in any case.",
    ),
    key(
        "identity.<who>[].provider",
        Text(&text::VALUE),
        Absent("required with `from: jwt`"),
        "What `payload_in_metadata` of the provider in `jwt_authn` says.",
    ),
    key(
        "identity.<who>[].claim",
        Text(&text::VALUE),
        Absent("required with `from: jwt`"),
        "The claim. Dots lead into objects (`org.id`), after the longest name that the token has. A text counts, a boolean, an \
         integer below 2^53, and a list of exactly one of these.",
    ),
    key(
        "identity.<who>[].key",
        Text(&text::VALUE),
        Absent("required with `from: filter_state`"),
        "The name of the filter state object.",
    ),
    key("identity.<who>[].value", Text(&text::VALUE), Absent("required with `from: constant`"), "The fixed value."),
    key(
        "identity.on_missing",
        Choice(&["meter", "reject"]),
        Json(r#""meter""#),
        "What to do when no source gives a tenant: `meter` it as `unknown`, or `reject` it with 401.",
    ),
    key(
        "identity.credential_key_env",
        Text(&text::ENV),
        Json(r#""METERR_CREDENTIAL_KEY""#),
        "Variable in `vm_config.environment_variables` that holds the key of the credential hash; 32 random bytes or more are \
         a good key. Without it each process makes its own, and key ids change with every restart.",
    ),
    key("providers", Object, Json("{}"), "Who serves the models."),
    key(
        "providers.unknown",
        Choice(&["detect", "pass", "reject"]),
        Json(r#""detect""#),
        "What to do with a host that no row knows: `detect` meters what looks like a known dialect and changes nothing, `pass` \
         lets it go unmetered, `reject` answers 404.",
    ),
    key(
        "providers.prefix_authorities",
        Texts(64, &text::PREFIX_AUTHORITY),
        Json(r#"["localhost","127.0.0.1","[::1]"]"#),
        "Authorities whose first path segment names the provider. IP literals always do.",
    ),
    key("providers.extra", Objects(256), Json("[]"), "Providers of your own, or changes to built-in rows."),
    key(
        "providers.extra[].id",
        Text(&text::PROVIDER_ID),
        Required,
        "Id of the provider. With the id of a built-in row, what is not given here is taken from that row.",
    ),
    key(
        "providers.extra[].hosts",
        Texts(64, &text::HOST),
        Absent("required, but for the id of a built-in row"),
        "Hosts, without port.",
    ),
    key(
        "providers.extra[].dialects",
        Choices(DialectId::NAMES),
        Absent("required, but for the id of a built-in row"),
        "What it speaks.",
    ),
    key("providers.extra[].tls", Switch, Absent("`true`"), "Whether the upstream connection is TLS."),
    key(
        "providers.extra[].authority",
        Text(&text::AUTHORITY),
        Absent("the first of `hosts` that has no `*`"),
        "Where the prefix form goes.",
    ),
    key(
        "providers.extra[].inject_include_usage",
        Switch,
        Absent("`false`"),
        "Whether a stream may be asked for its usage (`stream_options.include_usage`) on the client's behalf.",
    ),
    key(
        "providers.extra[].rate_limit_headers",
        Choice(RateLimitFamily::NAMES),
        Absent("`none`, or the built-in row's"),
        "Whose rate-limit headers it sends, for `providers.backpressure`. `retry-after` and the like on a refusal are read from \
         everybody.",
    ),
    key(
        "providers.extra[].error_shape",
        Choice(ErrorShape::NAMES),
        Absent("`openai`, or the built-in row's"),
        "Whose errors its own look like, where its dialect's are OpenAI's; the other dialects bring their own.",
    ),
    key("providers.backpressure", Object, Json("{}"), "What providers say of their own rate limits."),
    key(
        "providers.backpressure.mode",
        Choice(&["off", "report_only", "queue", "reject"]),
        Json(r#""off""#),
        "What to do while a provider has said that this credential is to wait with this model: nothing and not even to listen \
         (`off`), to count and tag what would be refused (`report_only`), to let it wait until that time has come (`queue`, needs \
         `header_hold`; what cannot wait is refused), or to refuse it with 429, the provider's own error shape \
         and the time that is left (`reject`). A model that stands in the body is known in time only with `header_hold`; what is \
         not known is let through.",
    ),
    key("providers.backpressure.queue", Object, Json("{}"), "Bounds of waiting, with `mode: queue`."),
    key(
        "providers.backpressure.queue.max_wait_ms",
        Integer(1, 600_000, "milliseconds"),
        Json("2000"),
        "Longest wait. What would have to wait longer is refused at once.",
    ),
    key(
        "providers.backpressure.queue.max_waiting",
        Integer(1, 100_000, "requests"),
        Json("100"),
        "Most requests that wait for one credential and model in one worker. Further ones are refused at once.",
    ),
    key("limits", Objects(64), Json("[]"), "Limits. A request must pass all that apply to it."),
    key("limits[].id", Text(&text::LIMIT_ID), Required, "Unique id: it stands in refusals, events and metrics."),
    key(
        "limits[].per",
        Texts(37, &text::DIMENSION),
        Json("[]"),
        "What gets a counter of its own; `[]` is one counter for all. A value that is missing counts as `unknown`. `key` with a window of a day \
         or longer needs the environment variable of `identity.credential_key_env`.",
    ),
    key("limits[].match", Object, Json("{}"), "Where the limit applies; an empty list means everywhere."),
    key("limits[].match.provider", Texts(64, &text::GLOBS), Json("[]"), "Provider ids."),
    key("limits[].match.model", Texts(64, &text::GLOBS), Json("[]"), "Models, as the client names them."),
    key("limits[].match.tenant", Texts(64, &text::GLOBS), Json("[]"), "Tenants."),
    key("limits[].match.user", Texts(64, &text::GLOBS), Json("[]"), "End users."),
    key("limits[].match.key", Texts(64, &text::GLOBS), Json("[]"), "Key ids."),
    key("limits[].match.labels", Map(32, &text::LABEL), Json("{}"), "Lists of patterns, by the label's name."),
    key(
        "limits[].unit",
        Choice(&["requests", "tokens", "input_tokens", "output_tokens", "usd", "concurrent_requests"]),
        Json(r#""tokens""#),
        "What is counted. `tokens` are input and output together. `concurrent_requests` are those under way; one that lasts longer than half \
         an hour is no longer counted.",
    ),
    key(
        "limits[].amount",
        Amount(MAX_EXACT, MAX_USD),
        Absent("required, but for a bucket with `burst`"),
        "How much of the unit a window allows.",
    ),
    key(
        "limits[].overrides",
        Objects(1024),
        Json("[]"),
        "Other amounts for some counters; the first entry whose given patterns all match applies.",
    ),
    key("limits[].overrides[].tenant", Text(&text::GLOB), Absent("any"), "Which tenants. Needs `tenant` in `per`."),
    key(
        "limits[].overrides[].provider",
        Text(&text::GLOB),
        Absent("any"),
        "Which providers. Needs `provider` in `per`.",
    ),
    key("limits[].overrides[].model", Text(&text::GLOB), Absent("any"), "Which models. Needs `model` in `per`."),
    key("limits[].overrides[].user", Text(&text::GLOB), Absent("any"), "Which end users. Needs `user` in `per`."),
    key("limits[].overrides[].key", Text(&text::GLOB), Absent("any"), "Which key ids. Needs `key` in `per`."),
    key(
        "limits[].overrides[].labels",
        Map(32, &text::LABEL),
        Json("{}"),
        "A pattern for each label. Needs `label:<name>` in `per`.",
    ),
    key("limits[].overrides[].amount", Amount(MAX_EXACT, MAX_USD), Required, "Their amount."),
    key("limits[].window", Object, Json("{}"), "When the limit forgets. Not for `concurrent_requests`."),
    key(
        "limits[].window.kind",
        Choice(&["fixed", "sliding", "bucket"]),
        Json(r#""fixed""#),
        "`fixed` windows start from zero at each edge of the UTC calendar. `sliding`: the last `secs` seconds; what the window before \
         counted weighs as much as it still overlaps. `bucket`: a bucket of size `burst` that leaks `per_sec` units a second.",
    ),
    key(
        "limits[].window.per",
        Choice(&["second", "minute", "hour", "day", "week", "month"]),
        Json(r#""minute""#),
        "Length of a fixed window; weeks begin on Monday.",
    ),
    key(
        "limits[].window.secs",
        Integer(1, 2_678_400, "seconds"),
        Absent("required with `kind: sliding`"),
        "Length of a sliding window.",
    ),
    key(
        "limits[].window.per_sec",
        Amount(MAX_EXACT, MAX_USD),
        Absent("required with `kind: bucket`"),
        "Units that leak in a second.",
    ),
    key(
        "limits[].window.burst",
        Amount(MAX_EXACT, MAX_USD),
        Absent("`amount`"),
        "Size of the bucket: as much as can be used at once.",
    ),
    key(
        "limits[].reserve",
        Choice(&["expected", "worst_case", "none"]),
        Json(r#""expected""#),
        "What is held until the truth is known: the `expected` tokens, the most that the request can consume, or nothing.",
    ),
    key(
        "limits[].assume_output_tokens",
        Integer(0, 100_000_000, "tokens"),
        Json("4096"),
        "Output to expect where the request states no cap and nothing is learned yet.",
    ),
    key(
        "limits[].on_unbounded",
        Choice(&["admit_flagged", "reject"]),
        Json(r#""admit_flagged""#),
        "With `reserve: worst_case`: what to do with a request whose consumption cannot be bounded.",
    ),
    key(
        "limits[].on_unpriced",
        Choice(&["allow", "reject"]),
        Json(r#""allow""#),
        "With `unit: usd`: what to do with a model whose price is not known. `allow` lets it through uncounted.",
    ),
    key(
        "limits[].on_exceed",
        Choice(&["reject", "queue", "report_only"]),
        Json(r#""reject""#),
        "What to do past the amount: `reject` with 429; `queue` holds the request until there is room (needs `header_hold`); `report_only` lets it \
         through, counts it, and says in the event and in metrics that it would have been refused.",
    ),
    key("limits[].queue", Object, Json("{}"), "Bounds of waiting, with `on_exceed: queue`."),
    key(
        "limits[].queue.max_wait_ms",
        Integer(1, 600_000, "milliseconds"),
        Json("2000"),
        "Longest wait. Past it the request is refused.",
    ),
    key(
        "limits[].queue.max_waiting",
        Integer(1, 100_000, "requests"),
        Json("100"),
        "Most requests that wait for one counter in one worker. Further ones are refused at once.",
    ),
    key(
        "limits[].notify_at",
        Parts(16),
        Json("[0.8,1.0]"),
        "Parts of the amount: when a counter passes one, an event `ai.meterr.limit.v1` goes to the sink, once in a window.",
    ),
    key(
        "limits[].on_store_error",
        Choice(&["allow", "reject"]),
        Json(r#""allow""#),
        "What to do when counters cannot be read or written.",
    ),
    key(
        "limits[].max_descriptors",
        Integer(1, 1_048_576, "counters"),
        Json("65536"),
        "Most counters of the limit; past it further ones share one, and stay limited.",
    ),
    key("prices", Object, Json("{}"), "What you pay, where it differs from the price table."),
    key("prices.overrides", Objects(1024), Json("[]"), "Prices of your own; the first match wins over the table."),
    key("prices.overrides[].provider", Text(&text::VALUE), Required, "Provider id."),
    key("prices.overrides[].model", Text(&text::GLOB), Required, "Pattern of the model's name."),
    key(
        "prices.overrides[].input_usd_per_mtok",
        Decimal(PRICE_PLACES, MAX_USD_PER_MTOK),
        Absent("unpriced"),
        "Uncached input, in USD for a million tokens.",
    ),
    key(
        "prices.overrides[].output_usd_per_mtok",
        Decimal(PRICE_PLACES, MAX_USD_PER_MTOK),
        Absent("unpriced"),
        "Output, in USD for a million tokens.",
    ),
    key(
        "prices.overrides[].cache_read_usd_per_mtok",
        Decimal(PRICE_PLACES, MAX_USD_PER_MTOK),
        Absent("input's price"),
        "Input read from a cache, in USD for a million tokens.",
    ),
    key(
        "prices.overrides[].cache_write_usd_per_mtok",
        Decimal(PRICE_PLACES, MAX_USD_PER_MTOK),
        Absent("input's price"),
        "Input written to a cache, in USD for a million tokens.",
    ),
    key(
        "prices.overrides[].tiers",
        Objects(8),
        Json("[]"),
        "Prices past a number of tokens, in ascending order; what has none there keeps the one below.",
    ),
    key("prices.overrides[].tiers[].above_tokens", Integer(1, MAX_EXACT, "tokens"), Required, "The number."),
    key(
        "prices.overrides[].tiers[].input_usd_per_mtok",
        Decimal(PRICE_PLACES, MAX_USD_PER_MTOK),
        Absent("the price below"),
        "As above.",
    ),
    key(
        "prices.overrides[].tiers[].output_usd_per_mtok",
        Decimal(PRICE_PLACES, MAX_USD_PER_MTOK),
        Absent("the price below"),
        "As above.",
    ),
    key(
        "prices.overrides[].tiers[].cache_read_usd_per_mtok",
        Decimal(PRICE_PLACES, MAX_USD_PER_MTOK),
        Absent("the price below"),
        "As above.",
    ),
    key(
        "prices.overrides[].tiers[].cache_write_usd_per_mtok",
        Decimal(PRICE_PLACES, MAX_USD_PER_MTOK),
        Absent("the price below"),
        "As above.",
    ),
    key(
        "prices.overrides[].tier_kind",
        Choice(&["cliff", "graduated"]),
        Json(r#""cliff""#),
        "`cliff`: a tier's price is for all tokens of a call whose input is larger; `graduated`: for those beyond, of each class by itself.",
    ),
    key("prices.discounts", Objects(256), Json("[]"), "Factors on the table's prices."),
    key("prices.discounts[].provider", Text(&text::VALUE), Required, "Provider id."),
    key("prices.discounts[].factor", Decimal(FACTOR_PLACES, 1), Required, "The factor: `\"0.85\"` is 15 % off."),
    key("sink", Object, Json("{}"), "Where events go."),
    key("sink.cluster", Text(&text::VALUE), Required, "Envoy cluster of the collector."),
    key("sink.authority", Text(&text::AUTHORITY), Json(r#""collector.local""#), "`:authority` of the requests."),
    key("sink.path", Text(&text::PATH), Json(r#""/v1/events""#), "`:path` of the requests."),
    key(
        "sink.format",
        Choice(&["cloudevents", "otlp_logs", "ndjson"]),
        Json(r#""cloudevents""#),
        "How events are written: `cloudevents`, CloudEvents 1.0 in JSON batches; `otlp_logs`, log records as OTLP/HTTP JSON (set `sink.path` to `/v1/logs`); `ndjson`, a JSON object a line.",
    ),
    key("sink.gzip", Switch, Json("false"), "Whether bodies are compressed, with `content-encoding: gzip`."),
    key("sink.headers", Map(32, &text::SINK_HEADER), Json("{}"), "Further request headers, by name."),
    key(
        "sink.headers.<name>.env",
        Text(&text::ENV),
        Absent("exactly one of `env` and `value`"),
        "Variable in `vm_config.environment_variables` that holds the value: the place for secrets.",
    ),
    key(
        "sink.headers.<name>.value",
        Text(&text::HEADER_VALUE),
        Absent("exactly one of `env` and `value`"),
        "The value itself.",
    ),
    key("sink.timeout_ms", Integer(1, 600_000, "ms"), Json("5000"), "How long an attempt may take."),
    key("sink.batch", Object, Json("{}"), "When a batch is sent: at the first bound that it reaches."),
    key("sink.batch.max_events", Integer(1, 10_000, "events"), Json("100"), "Most events."),
    key(
        "sink.batch.max_bytes",
        Integer(1_024, 16_777_216, "bytes"),
        Json("262144"),
        "Most bytes of its events as CloudEvents, unless one event alone is larger. As `otlp_logs` they take two to three times as many.",
    ),
    key("sink.batch.max_delay_ms", Integer(0, 60_000, "ms"), Json("50"), "Longest wait for a batch to fill."),
    key("sink.retry", Object, Json("{}"), "Exponential backoff with full jitter."),
    key("sink.retry.base_ms", Integer(1, 60_000, "ms"), Json("100"), "First upper bound of the random delay."),
    key(
        "sink.retry.max_ms",
        Integer(1, 3_600_000, "ms"),
        Json("30000"),
        "Last upper bound; not less than `sink.retry.base_ms`.",
    ),
    key(
        "sink.retry.give_up_after_secs",
        Integer(1, 2_592_000, "s"),
        Json("86400"),
        "Age at which an undelivered event goes to the dead letter.",
    ),
    key("sink.queue", Object, Json("{}"), "Undelivered events."),
    key(
        "sink.queue.max_bytes",
        Integer(65_536, 1_073_741_824, "bytes"),
        Json("33554432"),
        "Memory for them, for the whole process: each takes its own bytes and 512 more.",
    ),
    key(
        "sink.queue.on_full",
        Choice(&["drop_oldest", "reject_requests"]),
        Json(r#""drop_oldest""#),
        "What to do when it is full: `drop_oldest` drops the oldest event and counts it; `reject_requests` answers requests with 503 for whose \
         event there would be no room, so that none goes unmetered.",
    ),
    key("sink.dead_letter", Object, Json("{}"), "Events that the collector will never take."),
    key("sink.dead_letter.path", Text(&text::EMPTY), Json(r#""""#), "Empty: a tagged log record and a counter."),
    key(
        "sink.rejected",
        Choice(&["each", "summary_per_minute"]),
        Json(r#""each""#),
        "Events for requests that we refuse: one for each, or one a minute for each tenant, provider, reason and limit.",
    ),
    key("sink.heartbeat_secs", Integer(1, 86_400, "s"), Json("60"), "Time between heartbeats of a writer."),
    key("tags", Object, Json("{}"), "How exchanges are tagged."),
    key(
        "tags.response_headers",
        Choice(&["off", "limits", "usage"]),
        Json(r#""limits""#),
        "Headers beside `x-meterr-id`: none, the tightest limit, or also usage, for which JSON replies are held until they are \
         counted (needs `header_hold`).",
    ),
    key("tags.metrics", Object, Json("{}"), "Labels of metrics."),
    key("tags.metrics.tenant", Switch, Json("true"), "Whether metrics carry the tenant."),
    key(
        "tags.metrics.max_series",
        Integer(1, 1_000_000, "series"),
        Json("2000"),
        "Most combinations of tenant and model; past it both become `other`.",
    ),
    key(
        "header_hold",
        Switch,
        Json("false"),
        "Whether request headers may be held until the body was seen. Needs `allow_on_headers_stop_iteration: true` on the plugin.",
    ),
    key(
        "max_hold_bytes",
        Integer(0, 104_857_600, "bytes"),
        Json("1048576"),
        "Longest request body that is held whole.",
    ),
];
