use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{
    dialect::DialectId,
    time::Timestamp,
    usage::{
        Flag, Usage, UsageStatus,
        estimate::Estimate,
        meter::{self, Meter, Snapshot, iteration::Iterations},
    },
};

fn query<'a>(provider: &'a str, model: &'a str, usage: &'a Usage) -> Query<'a> {
    let now = Timestamp::from_secs(1_795_521_600);
    Query {
        provider,
        request_model: Some(model),
        response_model: None,
        service_tier: None,
        usage,
        details: Details::default(),
        reported: None,
        now,
    }
}

fn usage(input: u64, output: u64) -> Usage {
    Usage { input: Some(input), output: Some(output), ..Usage::default() }
}

#[test]
fn ok_as_the_package_itself_calculates() {
    let cases = include_str!("../../../../tests/fixtures/prices.jsonl");
    let mut compared = 0;
    for line in cases.lines() {
        let case: Value = serde_json::from_str(line).expect("JSON");
        let number = |name: &str| case[name].as_u64();
        let count = |name: &str| number(name).filter(|count| *count > 0);
        let usage = Usage {
            cache_read: count("cache_read"),
            cache_write: count("cache_write"),
            cache_write_1h: count("cache_write_1h"),
            input: number("input"),
            output: number("output"),
            ..Usage::default()
        };
        let query = Query {
            now: Timestamp::from_secs(number("at").expect("a time")),
            service_tier: case["tier"].as_str(),
            ..query(case["provider"].as_str().expect("text"), case["model"].as_str().expect("text"), &usage)
        };
        let cost = price(&Adjustments::default(), &query);
        let total = cost.total.unwrap_or_else(|| panic!("no price: {case}"));
        assert_eq!(cost.priced_model.as_deref(), case["id"].as_str(), "{case}");
        // The package does not round; our parts are each rounded once to 1e-12.
        let exact = pico(case["usd"].as_str().expect("text"));
        assert!(total.0.abs_diff(exact) <= 3, "{total} instead of {case}");
        compared += 1;
    }
    assert!(compared > 200, "{compared} cases");
}

/// A decimal in units of 1e-12, cut.
fn pico(text: &str) -> u128 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction: String = fraction.chars().chain(core::iter::repeat('0')).take(12).collect();
    whole.parse::<u128>().expect("digits") * 1_000_000_000_000 + fraction.parse::<u128>().expect("digits")
}

#[test]
fn ok_display_is_a_plain_decimal() {
    for (pico, text) in [
        (0, "0"),
        (1, "0.000000000001"),
        (1_000_000_000_000, "1"),
        (285_000_000, "0.000285"),
        (12_500_000_000_000, "12.5"),
    ] {
        assert_eq!(PicoUsd(pico).to_string(), text);
    }
    assert_eq!((PicoUsd(1_499_999).micros(), PicoUsd(1_500_000).micros()), (1, 2));
}

#[test]
fn ok_unknown_is_never_free() {
    let nobody = price(&Adjustments::default(), &query("corp", "llama", &usage(1, 1)));
    assert_eq!((nobody.status, nobody.total), (CostStatus::Unpriced, None));
    let half = Usage { output: None, ..usage(10, 0) };
    assert_eq!(price(&Adjustments::default(), &query("openai", "gpt-4o-mini", &half)).status, CostStatus::Partial);
}

/// For a million tokens.
fn prices(input: u128, output: u128) -> TokenPrices {
    let price_of = |usd_per_mtok: u128| Some(usd_per_mtok * 1_000_000_000_000_000_000);
    TokenPrices { input: price_of(input), output: price_of(output), ..TokenPrices::default() }
}

fn own(prices: TokenPrices, tiers: &[PriceTier], tier_kind: TierKind) -> PriceOverride {
    PriceOverride { provider: "corp".to_owned(), model: "llama-*".to_owned(), prices, tiers: tiers.to_vec(), tier_kind }
}

#[test]
fn ok_tiers_are_a_cliff_or_graduated() {
    let tiers = [
        PriceTier { above: 100_000, prices: prices(2, 4) },
        PriceTier { above: 200_000, prices: TokenPrices { input: prices(3, 0).input, ..TokenPrices::default() } },
    ];
    for (kind, input, cached, output, usd) in [
        (TierKind::Cliff, 100_000, 0, 300_000, "0.7"),
        (TierKind::Cliff, 100_001, 0, 300_000, "1.400002"),
        (TierKind::Cliff, 300_000, 0, 0, "0.9"),
        (TierKind::Graduated, 100_001, 0, 0, "0.100002"),
        (TierKind::Graduated, 300_000, 0, 0, "0.6"),
        // What was cached has no price of its own, and is the beginning of the input.
        (TierKind::Graduated, 300_000, 150_000, 0, "0.6"),
        (TierKind::Graduated, 0, 0, 300_000, "1"),
        (TierKind::Graduated, u64::MAX, 0, 0, "55340232221128.354845"),
    ] {
        let adjustments = Adjustments { overrides: vec![own(prices(1, 2), &tiers, kind)], ..Adjustments::default() };
        let usage = Usage { cache_read: Some(cached), ..usage(input, output) };
        let cost = price(&adjustments, &query("corp", "llama-3", &usage));
        assert_eq!(total(&cost).as_deref(), Some(usd), "{kind:?} {input} {cached} {output}");
    }
}

#[test]
fn ok_the_operator_knows_better() {
    let adjustments = Adjustments {
        overrides: vec![own(prices(1, 2), &[], TierKind::Cliff)],
        discounts: vec![Discount { provider: "openai".to_owned(), factor_millionths: 850_000 }],
        ..Adjustments::default()
    };
    let cached = Usage { cache_read: Some(400_000), ..usage(1_000_000, 500_000) };
    let own = price(&adjustments, &query("corp", "llama-3", &cached));
    assert_eq!((own.total.map(|t| t.to_string()).as_deref(), own.source), (Some("2"), Some("override")));
    assert_eq!(own.cache_read.map(|t| t.to_string()).as_deref(), Some("0.4"), "input's price");
    let less = price(&adjustments, &query("openai", "gpt-4o-mini", &usage(1_000_000, 0)));
    assert_eq!(less.total.map(|t| t.to_string()).as_deref(), Some("0.1275"), "15 % off 0.15");
    assert!(known_model(&adjustments, "corp", "llama-x") && !known_model(&adjustments, "corp", "x"));
}

const MODELS: [(&str, &str); 8] = [
    ("anthropic", "claude-sonnet-4-5"),
    ("openai", "gpt-realtime"),
    ("openai", "gpt-image-1"),
    ("google-ai-studio", "gemini-2.5-flash"),
    ("perplexity", "sonar-deep-research"),
    ("groq", "whisper-large-v3"),
    ("mistral", "mistral-ocr-2505"),
    ("xai", "grok-4.3"),
];

prop_compose! {
    /// Any counts, known or not, sensible or absurd.
    fn any_usage()(counts in prop::collection::vec(prop_oneof![
        Just(None), (0_u64..5_000_000).prop_map(Some), any::<u64>().prop_map(Some)
    ], 22), seconds in prop_oneof![Just(None), "[0-9]{1,20}(\\.[0-9]{1,15})?".prop_map(Some), "\\PC*".prop_map(Some)]) -> Usage {
        let count = |at: usize| counts[at];
        Usage {
            input: count(0), output: count(1), cache_read: count(2), cache_write: count(3), cache_write_1h: count(4),
            input_audio: count(5), input_image: count(6), input_video: count(7), cache_read_audio: count(8),
            cache_read_image: count(9), reasoning: count(10), output_audio: count(11), output_image: count(12),
            output_video: count(13), citations: count(14), web_searches: count(15), file_searches: count(16),
            pages: count(17), annotated_pages: count(18), text_messages: count(19), characters: count(20),
            search_units: count(21), audio_seconds: seconds, status: UsageStatus::Reported, ..Usage::default()
        }
    }
}

proptest! {
    /// The total is the sum of the parts, and nothing wraps or panics whatever the counts and the terms are.
    #[test]
    fn sum_of_the_parts(
        usage in any_usage(),
        model in 0..MODELS.len(),
        tier in prop::sample::select(vec![None, Some("batch"), Some("flex"), Some("priority"), Some("default")]),
        place in prop::sample::select(vec![None, Some("us")]),
        reported in prop_oneof![Just(None), "[0-9]{1,30}(\\.[0-9]{1,30})?".prop_map(Some), "\\PC*".prop_map(Some)],
        secs in any::<u64>(),
        discount in prop::sample::select(vec![1_000_000, 850_000, 333_333, 0]),
    ) {
        let (provider, model) = MODELS[model];
        let adjustments = Adjustments {
            discounts: vec![Discount { provider: provider.to_owned(), factor_millionths: discount }],
            ..Adjustments::default()
        };
        let details = Details { inference_geo: place, ..Details::default() };
        let query = Query {
            service_tier: tier, details, reported: reported.as_deref(), now: Timestamp::from_secs(secs), ..query(provider, model, &usage)
        };
        let cost = price(&adjustments, &query);
        let parts = [cost.input, cost.output, cost.cache_read, cost.cache_write, cost.other];
        let sum: u128 = parts.into_iter().flatten().map(|part| part.0).sum();
        prop_assert_eq!(cost.total.unwrap_or_default().0, sum);
        prop_assert_eq!(cost.total.is_some(), matches!(cost.status, CostStatus::Priced | CostStatus::Partial));
        prop_assert_eq!(cost.total.is_some(), cost.source.is_some());
    }
}

#[test]
fn ok_what_the_provider_says_is_read_exactly() {
    let read = |text| PicoUsd::parse(text).map(|cost| cost.to_string());
    assert_eq!(read("0.000784").as_deref(), Some("0.000784"));
    assert_eq!(read("12").as_deref(), Some("12"));
    assert_eq!(read("0.0000000000005").as_deref(), Some("0"), "half to even");
    assert_eq!(read("0.0000000000015").as_deref(), Some("0.000000000002"));
    assert_eq!(read("0.00000000000051").as_deref(), Some("0.000000000001"));
    for text in ["", "-1", "1e3", "1.x"] {
        assert_eq!(read(text), None, "{text}");
    }
}

/// On these terms of service; the reply is whole.
fn on<'a>(query: Query<'a>, tier: Option<&'a str>, details: Details<'a>) -> Cost {
    price(&Adjustments::default(), &Query { service_tier: tier, details, ..query })
}

fn total(cost: &Cost) -> Option<String> {
    cost.total.map(|total| total.to_string())
}

fn read(dialect: DialectId, reply: &str) -> Snapshot {
    let mut meter = Meter::new(dialect.operations()[0], 200, b"application/json", None);
    meter.push(reply.as_bytes(), Timestamp::default());
    meter.finish();
    meter.snapshot()
}

fn iterations(list: &str) -> Iterations {
    read(DialectId::AnthropicMessages, &format!(r#"{{"usage":{{"iterations":{list}}}}}"#)).iterations
}

#[test]
fn ok_what_xai_has_billed_is_what_the_table_says() {
    // Recorded: a call of a batch and one by itself, with what xAI says of them in ticks.
    let usage = Usage { cache_read: Some(192), status: UsageStatus::Reported, ..usage(204, 83) };
    let batch = Query { service_tier: Some("batch"), reported: Some("0.00020872"), ..query("xai", "grok-4.3", &usage) };
    let cost = price(&Adjustments::default(), &batch);
    assert_eq!((total(&cost).as_deref(), cost.source), (Some("0.00020872"), Some("provider")));
    assert_eq!((cost.other, cost.is_mismatch), (None, false), "the table's parts are all of it");
    assert_eq!(cost.cache_read.map(|part| part.to_string()).as_deref(), Some("0.00003072"));
    let usage = Usage { input: Some(218), output: Some(410), ..usage };
    assert_eq!(total(&on(query("xai", "grok-4.3", &usage), None, Details::default())).as_deref(), Some("0.0010959"));
}

#[test]
fn ok_what_a_provider_says_is_taken_or_compared() {
    let usage = Usage { status: UsageStatus::Reported, ..usage(1_000_000, 0) };
    let say = |provider, model, reported| {
        let query = Query { reported: Some(reported), ..query(provider, model, &usage) };
        price(&Adjustments::default(), &query)
    };
    let told = |cost: &Cost| (total(cost), cost.source, cost.is_mismatch, cost.reported.clone());
    let some = |text: &str| Some(text.to_owned());
    // The table says 0.15.
    let compared = say("openai", "gpt-4o-mini", "0.1513");
    assert_eq!(told(&compared), (some("0.15"), Some("table"), false, some("0.1513")), "within the tolerance");
    assert!(say("openai", "gpt-4o-mini", "0.16").is_mismatch);
    let tiny = Usage { input: Some(1), ..usage.clone() };
    let query_of_tiny = Query { reported: Some("0.000001"), ..query("openai", "gpt-4o-mini", &tiny) };
    assert!(!price(&Adjustments::default(), &query_of_tiny).is_mismatch, "less than a micro-dollar");
    // A router's provider has a price of its own: no mismatch, and it is the cost.
    let router = say("openrouter", "openai/gpt-4o-mini", "0.2");
    assert_eq!(told(&router), (some("0.2"), Some("provider"), false, some("0.2")));
    assert_eq!(
        [router.input, router.other].map(|part| part.map(|part| part.to_string())),
        [some("0.15"), some("0.05")]
    );
    // The table's fee for a request is the highest that there is; the tokens cost 1 USD.
    let fee = say("perplexity", "sonar", "1.005");
    assert_eq!(told(&fee), (some("1.005"), Some("provider"), false, some("1.005")));
    assert_eq!([fee.input, fee.other].map(|part| part.map(|part| part.to_string())), [some("1"), some("0.005")]);
    let less = say("xai", "grok-4.3", "0.01");
    assert_eq!((told(&less), less.input), ((some("0.01"), Some("provider"), true, some("0.01")), None));
    // Where no price is known, what is said is all there is.
    let unknown = say("corp", "llama", "0.3");
    assert_eq!(
        (told(&unknown), unknown.status),
        ((some("0.3"), Some("provider"), false, some("0.3")), CostStatus::Priced)
    );
}

#[test]
fn ok_what_is_said_before_the_end_is_not_the_cost() {
    let cut = Usage { status: UsageStatus::Partial, ..usage(1_000_000, 0) };
    let of = |provider, model| Query { reported: Some("0"), ..query(provider, model, &cut) };
    let cost = price(&Adjustments::default(), &of("perplexity", "sonar"));
    assert_eq!((cost.source, cost.reported.as_deref()), (Some("table"), Some("0")));
    let nobody = price(&Adjustments::default(), &of("perplexity", "no-such-model"));
    assert_eq!((nobody.status, nobody.total, nobody.reported.as_deref()), (CostStatus::Unpriced, None, Some("0")));
}

#[test]
fn ok_tiers_speed_and_place_move_the_price() {
    let mtok = usage(1_000_000, 0);
    let cost = |provider, model, tier, details| on(query(provider, model, &mtok), tier, details);
    let plain = Details::default();
    let fast = Details { speed: Some("fast"), ..plain };
    let us = Details { inference_geo: Some("us"), ..plain };
    for (provider, model, tier, details, usd) in [
        ("anthropic", "claude-opus-4-8", Some("standard"), plain, Some("5")),
        ("anthropic", "claude-opus-4-8", Some("batch"), plain, Some("2.5")),
        ("anthropic", "claude-opus-4-8", None, fast, Some("10")),
        ("anthropic", "claude-opus-4-8", None, us, Some("5.5")),
        ("anthropic-aws", "claude-opus-4-8", Some("batch"), us, Some("2.75")),
        ("anthropic", "claude-opus-4-8", None, Details { inference_geo: Some("not_available"), ..plain }, Some("5")),
        // What was bought ahead, what is not told, what is not known.
        ("anthropic", "claude-opus-4-8", Some("priority"), plain, None),
        ("anthropic", "claude-haiku-4-5", None, fast, None),
        ("anthropic", "claude-opus-4-8", None, Details { inference_geo: Some("eu"), ..plain }, None),
        ("bedrock", "anthropic.claude-opus-4-8", None, Details { speed: Some("optimized"), ..plain }, None),
        // The table's own price of a tier, else what is documented for all models, else nothing.
        ("openai", "gpt-4.1", Some("priority"), plain, Some("3.5")),
        ("openai", "gpt-4.1", Some("flex"), plain, Some("1")),
        ("openai", "gpt-4.1", Some("ultrafast"), plain, None),
        ("openai", "gpt-4o-2024-05-13", Some("batch"), plain, Some("2.5")),
        ("azure-openai", "gpt-4.1", Some("priority"), plain, None),
        ("vertex-ai", "gemini-2.5-flash", Some("ON_DEMAND_FLEX"), plain, Some("0.15")),
        ("vertex-ai", "gemini-2.5-flash", Some("PROVISIONED_THROUGHPUT"), plain, None),
        ("groq", "llama-3.3-70b-versatile", Some("flex"), plain, Some("0.59")),
    ] {
        let cost = cost(provider, model, tier, details);
        assert_eq!(total(&cost).as_deref(), usd, "{provider} {model} {tier:?} {details:?}");
        assert_eq!(cost.status, if usd.is_some() { CostStatus::Priced } else { CostStatus::Unpriced });
    }
    // Searches cost what they cost.
    let searching = Usage { web_searches: Some(1_000), ..usage(1_000_000, 0) };
    let batch = on(query("anthropic", "claude-opus-4-8", &searching), Some("batch"), us);
    assert_eq!((total(&batch).as_deref(), batch.other), (Some("12.75"), Some(PicoUsd(10_000_000_000_000))));
}

#[test]
fn ok_each_sub_inference_has_its_own_price() {
    let with = |usage: Usage, told: &Iterations| {
        let details = Details { iterations: Some(told), ..Details::default() };
        on(query("anthropic", "claude-sonnet-4-5", &usage), None, details)
    };
    // Sonnet 4.5 at 3 and 15 USD, Opus 4.8 at 5 and 25 for a million.
    let told = iterations(
        r#"[{"type":"message","input_tokens":1128,"output_tokens":135},
            {"type":"advisor_message","model":"claude-opus-4-8","input_tokens":2543,"output_tokens":18},
            {"type":"message","input_tokens":1283,"output_tokens":10}]"#,
    );
    let cost = with(usage(2411, 145), &told);
    assert_eq!(told.beside_headline(), Some((2543, 18)));
    assert_eq!(cost.other.map(|part| part.to_string()).as_deref(), Some("0.013165"), "the advisor");
    assert_eq!((total(&cost).as_deref(), cost.status), (Some("0.022573"), CostStatus::Priced));

    // A summary is by the model that was asked, whatever it wrote to its cache.
    let told = iterations(
        r#"[{"type":"compaction","input_tokens":10,"output_tokens":81,"cache_read_input_tokens":100,
             "cache_creation_input_tokens":1000,"cache_creation":{"ephemeral_1h_input_tokens":1000}},
            {"type":"message","input_tokens":162,"output_tokens":11}]"#,
    );
    let cost = with(usage(162, 11), &told);
    assert_eq!((told.beside_headline(), total(&cost).as_deref()), (Some((1110, 81)), Some("0.007926")));

    // Two turns below the threshold are not one beyond it.
    let turns = r#"[{"type":"message","input_tokens":150000,"output_tokens":1},{"type":"message","input_tokens":150000,"output_tokens":1}]"#;
    assert_eq!(total(&with(usage(300_000, 2), &iterations(turns))).as_deref(), Some("0.90003"));
    assert_eq!(total(&with(usage(300_000, 2), &iterations("[]"))).as_deref(), Some("1.800045"));

    // Only the turns say how long a cache lives; a headline that knows more than they is priced by itself.
    let hour = r#"[{"type":"message","input_tokens":0,"output_tokens":0,"cache_creation_input_tokens":1000,
                    "cache_creation":{"ephemeral_1h_input_tokens":1000}}]"#;
    let written = Usage { cache_write: Some(1000), ..usage(1000, 0) };
    assert_eq!(total(&with(written.clone(), &iterations(hour))).as_deref(), Some("0.006"));
    let known = Usage { cache_write_1h: Some(1000), ..written };
    let silent = r#"[{"type":"message","input_tokens":0,"output_tokens":0,"cache_creation_input_tokens":1000}]"#;
    assert_eq!(total(&with(known, &iterations(silent))).as_deref(), Some("0.006"));

    // A model stood in for the one that was asked.
    let stood_in = r#"[{"type":"fallback_message","model":"claude-opus-4-8","input_tokens":1000,"output_tokens":0}]"#;
    let cost = with(usage(1000, 0), &iterations(stood_in));
    assert_eq!((total(&cost).as_deref(), cost.priced_model.as_deref()), (Some("0.005"), Some("claude-opus-4-8")));
}

#[test]
fn err_sub_inferences_that_cannot_be_priced_are_told() {
    let status = |list: &str| {
        let told = iterations(list);
        on(
            query("anthropic", "claude-sonnet-4-5", &usage(100, 10)),
            None,
            Details { iterations: Some(&told), ..Details::default() },
        )
        .status
    };
    let turn = r#"{"type":"message","input_tokens":100,"output_tokens":10}"#;
    assert_eq!(status(&format!("[{turn}]")), CostStatus::Priced);
    for more in [
        r#"{"type":"advisor_message","model":"nobody","input_tokens":1,"output_tokens":1}"#,
        r#"{"type":"advisor_message","input_tokens":1,"output_tokens":1}"#,
        r#"{"type":"advisor_message","model":"claude-opus-4-8","input_tokens":-1,"output_tokens":1}"#,
        r#"{"type":"compaction","input_tokens":1}"#,
        r#"{"type":"something_new","input_tokens":1,"output_tokens":1}"#,
        r#"{"type":"fallback_message","model":"claude-opus-4-8","input_tokens":1,"output_tokens":1}"#,
        "7",
    ] {
        let list = format!("[{turn},{more}]");
        assert_eq!(status(&list), CostStatus::Partial, "{more}");
    }
    assert_eq!(status(&format!("[{}]", vec![turn; 65].join(","))), CostStatus::Partial, "more than are kept");
}

#[test]
fn ok_a_use_without_a_price_is_told() {
    let of = |model, usage: &Usage| {
        let cost = price(&Adjustments::default(), &query("openai", model, usage));
        (total(&cost), cost.status)
    };
    let searching = Usage { web_searches: Some(1), ..usage(0, 1_000_000) };
    assert_eq!(of("gpt-4.1", &searching), (Some("8.01".to_owned()), CostStatus::Priced));
    assert_eq!(of("gpt-4.1-nano", &searching), (Some("0.4".to_owned()), CostStatus::Partial));
    // Time and tokens are two scales of the same work.
    let seconds = Usage { audio_seconds: Some("90.5".to_owned()), ..Usage::default() };
    assert_eq!(of("whisper-1", &seconds), (Some("0.00905".to_owned()), CostStatus::Priced));
    assert_eq!(of("gpt-4.1", &seconds), (None, CostStatus::Unpriced));
    // More was cached than there was.
    assert_eq!(of("gpt-4.1", &Usage { cache_read: Some(2_000_000), ..usage(1, 0) }).1, CostStatus::Partial);
    // The cache is counted on another scale.
    let mut billed = Usage { cache_read: Some(1360), ..usage(1_000_000, 0) };
    billed.flags.insert(Flag::CacheOtherScale);
    assert_eq!(of("gpt-4.1", &billed), (Some("2".to_owned()), CostStatus::Priced));
    let made = Details { has_unpriced_use: true, ..Details::default() };
    assert_eq!(on(query("openai", "gpt-4.1", &usage(1, 1)), None, made).status, CostStatus::Partial);
    let short = Usage { audio_seconds: Some("3".to_owned()), ..Usage::default() };
    let heard = price(&Adjustments::default(), &query("groq", "whisper-large-v3", &short));
    assert_eq!(total(&heard).as_deref(), Some("0.000308333333"), "ten seconds at least");
}

#[test]
fn ok_tools_that_the_provider_ran_are_counted() {
    let counted = |output: &str, more: &str| {
        let reply = format!(
            r#"{{"status":"completed","output":[{output}],"usage":{{"input_tokens":1,"output_tokens":1,"total_tokens":2}}{more}}}"#
        );
        let snapshot = read(DialectId::OpenAiResponses, &reply);
        let operation = DialectId::OpenAiResponses.operations()[0];
        let usage = meter::settle_usage(operation, "openai", &snapshot, false, None, &mut Estimate::default);
        (usage.web_searches, usage.file_searches, snapshot.has_unpriced_use())
    };
    let search = r#"{"type":"web_search_call","action":{"type":"search","query":"x"}}"#;
    let visit = r#"{"type":"web_search_call","action":{"type":"open_page"}}"#;
    let files = r#"{"type":"file_search_call","queries":["x"]}"#;
    let message = r#"{"type":"message","content":[{"type":"output_text","text":"x"}]}"#;
    assert_eq!(counted(message, ""), (None, None, false));
    assert_eq!(counted(&[search, visit, files, search, message].join(","), ""), (Some(2), Some(1), false));
    let told = r#","tool_usage":{"web_search":{"num_requests":3},"image_gen":{"total_tokens":0}}"#;
    assert_eq!(counted(search, told), (Some(3), None, false), "what the provider counted");
    assert!(counted(r#"{"type":"code_interpreter_call"}"#, "").2);
    assert!(counted("", r#","tool_usage":{"image_gen":{"total_tokens":9}}"#).2);
    let grounded = r#"{"candidates":[{"groundingMetadata":{"webSearchQueries":["x"]}}]}"#;
    assert!(read(DialectId::GeminiGenerate, grounded).has_unpriced_use());
    assert!(!read(DialectId::GeminiGenerate, &grounded.replace("\"x\"", "")).has_unpriced_use());
}

#[test]
fn ok_a_key_of_the_callers_own_costs_the_fee_and_the_upstream() {
    let stated = |usage: &str| read(DialectId::OpenAiChat, &format!(r#"{{"usage":{usage}}}"#)).stated_cost();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        stated(r#"{"cost":0.95,"is_byok":false,"cost_details":{"upstream_inference_cost":0.95}}"#),
        some("0.95")
    );
    assert_eq!(stated(r#"{"cost":0.05,"is_byok":true,"cost_details":{"upstream_inference_cost":1}}"#), some("1.05"));
    assert_eq!(stated(r#"{"cost":0.05,"is_byok":true}"#), None, "only the fee is known");
    assert_eq!(stated(r#"{"cost_in_usd_ticks":2087200}"#), some("0.00020872"));
    assert_eq!(stated(r#"{"cost":{"request_cost":0.006,"total_cost":0.00614}}"#), some("0.00614"));
    assert_eq!(stated(r#"{"cost":-1}"#), None);
}
