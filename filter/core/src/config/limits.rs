//! The `limits` of a configuration.

use std::rc::Rc;

use super::{problem::quoted, walk::Section};
use crate::limit::{
    Unit,
    spec::{Calendar, Dimension, Fallback, LimitSpec, Match, Override, Reserve, Window},
};

/// All limits. `credential_key` names the variable that holds the key of the credential hash, if it is set.
pub(super) fn limits(sections: &[Section<'_>], credential_key: Option<&String>) -> Vec<LimitSpec> {
    let mut limits: Vec<LimitSpec> = Vec::new();
    for section in sections {
        let limit = limit(section);
        if let Some(at) = limits.iter().position(|other| other.id == limit.id && !limit.id.is_empty()) {
            let first = sections.get(at).map_or("", Section::path);
            section.report("id", quoted(&limit.id), format!("an id that no other limit has; {first} has it"));
        }
        let Window::Fixed(calendar) = limit.window;
        let long = matches!(calendar, Calendar::Day | Calendar::Week | Calendar::Month);
        if long && credential_key.is_none() && limit.per.contains(&Dimension::Key) {
            section.report(
                "per",
                "\"key\" with a window of a day or longer, without a key for the credential hash",
                "second, minute and hour windows, unless the variable that identity.credential_key_env names is set in \
                 vm_config.environment_variables",
            );
        }
        limits.push(limit);
    }
    limits
}

fn limit(section: &Section<'_>) -> LimitSpec {
    let window = section.section("window");
    // One kind so far: reading it is what refuses any other.
    window.choice("kind");
    section.choice("on_exceed");
    let mut per: Vec<Dimension> =
        section.choices("per").unwrap_or_default().into_iter().filter_map(dimension).collect();
    per.sort_unstable();
    let applies = section.section("match");
    LimitSpec {
        id: Rc::from(section.text("id").unwrap_or_default()),
        applies: Match {
            tenant: applies.texts("tenant").unwrap_or_default(),
            provider: applies.texts("provider").unwrap_or_default(),
            model: applies.texts("model").unwrap_or_default(),
        },
        unit: match section.choice("unit") {
            "requests" => Unit::Requests,
            _ => Unit::Tokens,
        },
        amount: section.integer("amount"),
        overrides: section.items("overrides").iter().map(|section| other_amount(section, &per)).collect(),
        window: Window::Fixed(calendar(window.choice("per"))),
        reserve: match section.choice("reserve") {
            "worst_case" => Reserve::WorstCase,
            "none" => Reserve::None,
            _ => Reserve::Expected,
        },
        assume_output_tokens: section.integer("assume_output_tokens"),
        on_unbounded: fallback(section.choice("on_unbounded")),
        on_store_error: fallback(section.choice("on_store_error")),
        max_descriptors: section.integer_u32("max_descriptors"),
        per,
    }
}

fn other_amount(section: &Section<'_>, per: &[Dimension]) -> Override {
    let names = ["tenant", "provider", "model"];
    if !names.iter().any(|name| section.has(name)) && section.is_object() {
        section.report("", "no pattern", format!("at least one of {}", names.join(", ")));
    }
    // Two amounts for one counter would make the answer depend on who asks first.
    for name in names.iter().filter(|name| section.has(name)) {
        if dimension(name).is_some_and(|dimension| !per.contains(&dimension)) {
            section.report(name, format!("{name}, which is not in per"), "what the limit has a counter for each of");
        }
    }
    let glob = |name| section.text(name).into_iter().collect();
    Override {
        of: Match { tenant: glob("tenant"), provider: glob("provider"), model: glob("model") },
        amount: section.integer("amount"),
    }
}

fn dimension(name: &str) -> Option<Dimension> {
    match name {
        "tenant" => Some(Dimension::Tenant),
        "key" => Some(Dimension::Key),
        "provider" => Some(Dimension::Provider),
        "model" => Some(Dimension::Model),
        _ => None,
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
