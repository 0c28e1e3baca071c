//! What is written down is true: generated tables equal the code, and each configuration file holds what the filter takes.
//!
//! `METERR_BLESS=1` writes the tables instead of comparing them.

use std::{fs, path::Path, rc::Rc};

use meterr_core::{
    config::Config,
    metric::{Metric, Series},
};
use meterr_tests::envoy::root;
use serde::Deserialize as _;
use serde_json::Value;

/// Compares what stands between the markers of that name with what the code says.
fn compare(file: &str, name: &str, generated: &str) {
    let path = root().join(file);
    let text = fs::read_to_string(&path).expect("the file is there");
    let (begin, end) = (format!("<!-- {name}:begin -->\n"), format!("<!-- {name}:end -->"));
    let from = text.find(&begin).unwrap_or_else(|| panic!("{file} has no marker {begin}")) + begin.len();
    let to = from + text[from..].find(&end).unwrap_or_else(|| panic!("{file} has no marker {end}"));
    if std::env::var_os("METERR_BLESS").is_some() {
        fs::write(&path, [&text[..from], generated, &text[to..]].concat()).expect("it can be written");
        return;
    }
    assert_eq!(
        &text[from..to],
        generated,
        "{file} is stale: run METERR_BLESS=1 cargo test -p meterr-tests --test docs"
    );
}

#[test]
fn ok_the_configuration_reference_is_the_codes() {
    compare("envoy/README.md", "configuration", &meterr_core::config::reference());
}

#[test]
fn ok_the_provider_table_is_the_codes() {
    compare("README.md", "providers", &meterr_core::provider::reference());
}

/// One of each. A new variant breaks the match, and with it this test, until it is told of.
fn metrics() -> Vec<Metric> {
    let text: Rc<str> = Rc::from("x");
    let series = Series { provider: Rc::clone(&text), model: Rc::clone(&text), tenant: Rc::clone(&text) };
    let all = vec![
        Metric::Requests(series.clone(), "x"),
        Metric::Tokens(series.clone(), "x"),
        Metric::CostMicrousd(series),
        Metric::UsageStatus(Rc::clone(&text), "x"),
        Metric::TimeToFirstTokenMs(Rc::clone(&text), Rc::clone(&text)),
        Metric::DurationMs(Rc::clone(&text), Rc::clone(&text)),
        Metric::LimitDecisions(Rc::clone(&text), "x"),
        Metric::LimitCounters(Rc::clone(&text), "x"),
        Metric::QueueWaiting(Rc::clone(&text)),
        Metric::QueueWaitMs(Rc::clone(&text)),
        Metric::Queue(text, "x"),
        Metric::Events("x"),
        Metric::EventQueueBytes,
        Metric::EventOldestMs,
        Metric::EventDeliveryMs,
        Metric::EventsRejected,
        Metric::Callouts("x"),
        Metric::Unmetered("x"),
        Metric::Errors("x"),
    ];
    for metric in &all {
        match metric {
            Metric::Requests(..)
            | Metric::Tokens(..)
            | Metric::CostMicrousd(..)
            | Metric::UsageStatus(..)
            | Metric::TimeToFirstTokenMs(..)
            | Metric::DurationMs(..)
            | Metric::LimitDecisions(..)
            | Metric::LimitCounters(..)
            | Metric::QueueWaiting(..)
            | Metric::QueueWaitMs(..)
            | Metric::Queue(..)
            | Metric::Events(..)
            | Metric::EventQueueBytes
            | Metric::EventOldestMs
            | Metric::EventDeliveryMs
            | Metric::EventsRejected
            | Metric::Callouts(..)
            | Metric::Unmetered(..)
            | Metric::Errors(..) => {}
        }
    }
    all
}

#[test]
fn ok_the_readme_names_each_metric_with_its_labels_and_envoy_extracts_them() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let tags = fs::read_to_string(root().join("envoy/stats_tags.yaml")).expect("stats_tags.yaml");
    for metric in metrics() {
        let name = metric.stat_name();
        let (name, labels) = name.split_once('.').unwrap_or((&name, ""));
        let labels: Vec<&str> = labels.split(";.;").filter_map(|label| Some(label.split_once("=.=")?.0)).collect();
        let row =
            if labels.is_empty() { format!("| `{name}` |") } else { format!("| `{name}{{{}}}` |", labels.join(",")) };
        assert!(readme.contains(&row), "README.md has no row {row}");
        for label in labels {
            assert!(tags.contains(&format!("tag_name: {label},")), "envoy/stats_tags.yaml does not extract {label}");
        }
    }
}

fn yaml(path: &Path) -> Value {
    serde_yaml_ng::from_str(&fs::read_to_string(path).expect("a file")).expect("YAML")
}

/// All documents of a file.
fn documents(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("a file");
    serde_yaml_ng::Deserializer::from_str(&text).map(|one| Value::deserialize(one).expect("YAML")).collect()
}

#[test]
fn ok_the_reference_configuration_extracts_the_tags_of_stats_tags() {
    let reference = yaml(&root().join("envoy/envoy.yaml"));
    let tags = yaml(&root().join("envoy/stats_tags.yaml"));
    assert_eq!(reference["stats_config"]["stats_tags"], tags["stats_tags"]);
}

/// Every object in the document that is a configuration of the filter.
fn configurations(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Object(members) => {
            let is_filter =
                members.get("name").is_some_and(|name| name == "meterr") && members.contains_key("vm_config");
            if let (true, Some(configuration)) = (is_filter, members.get("configuration")) {
                found.push(configuration["value"].clone());
            }
            // A WasmPlugin of Istio.
            found.extend(members.get("pluginConfig").cloned());
            members.values().for_each(|member| configurations(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| configurations(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn ok_each_configuration_file_holds_a_configuration_that_the_filter_takes() {
    let mut count = 0;
    let entries =
        ["envoy", "envoy/examples", "envoy/istio"].map(|folder| fs::read_dir(root().join(folder)).expect("a folder"));
    for entry in entries.into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let mut found = Vec::new();
        configurations(&documents(&path), &mut found);
        for configuration in found {
            let text = configuration.as_str().map_or_else(|| configuration.to_string(), str::to_owned);
            if let Err(problems) =
                Config::parse(text.as_bytes(), &|_| Some("value of a secret that is long enough".to_owned()))
            {
                panic!("{}: {problems}", path.display());
            }
            count += 1;
        }
    }
    assert!(count > 1, "{count} configurations were found");
}

#[test]
fn ok_every_flag_is_explained_and_links_lead_somewhere() {
    let text = fs::read_to_string(root().join("envoy/operating.md")).expect("the page");
    for flag in meterr_core::usage::Flags::codes() {
        assert!(text.contains(&format!("`{flag}`")), "{flag} is not explained");
    }
    // Links within the repository lead somewhere.
    for page in [
        "README.md",
        "envoy/README.md",
        "envoy/operating.md",
        "envoy/istio/README.md",
        ".github/CONTRIBUTING.md",
        ".github/CHANGELOG.md",
    ] {
        let path = root().join(page);
        let text = fs::read_to_string(&path).expect("a page");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !file.contains("://") {
                let there = path.parent().expect("a folder").join(file);
                assert!(there.exists(), "{page}: {target} leads nowhere");
            }
        }
    }
}
