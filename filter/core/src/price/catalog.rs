//! Which model of the table is meant.
//!
//! The rules of matching are those of the package that the table comes from (genai-prices, `types.py`): within a provider the first model
//! whose clauses match, case folded; else the providers that it resells; else the same with a compact date written with dashes.

use std::{cell::RefCell, rc::Rc};

use super::table::{self, Line, Model, Provider};

/// Our provider ids where the table has others.
const NAMES: [(&str, &str); 12] = [
    ("anthropic-aws", "anthropic"),
    ("anthropic-gcp", "anthropic"),
    ("azure-openai", "azure"),
    ("azure-foundry", "azure"),
    ("google-ai-studio", "google"),
    ("vertex-ai", "google"),
    ("bedrock", "aws"),
    ("bedrock-mantle", "aws"),
    ("moonshot", "moonshotai"),
    ("voyage", "voyageai"),
    ("xai", "x-ai"),
    ("zhipu", "zhipuai"),
];

/// A model of the table.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    /// The table's id of the provider that was asked for.
    pub(super) provider: &'static str,
    pub(super) model: Rc<Model>,
    /// Whether it is that provider's own, or one that it resells.
    pub(super) is_own: bool,
}

/// Names that were asked for last: a model is looked for among hundreds, and asked for again by the next request. Two that remember other
/// names are equal all the same, as they give the same answers, and a copy begins anew.
#[derive(Debug, Default)]
pub struct Recent(RefCell<Names>);

#[derive(Debug, Default)]
struct Names {
    /// Each with its provider and what it means.
    asked: Vec<(String, String, Option<Listed>)>,
    /// Which of them is forgotten next.
    next: usize,
}

/// How many names are remembered.
const ASKED: usize = 32;
/// Longest name that is remembered: longer than any model's.
const MAX_ASKED: usize = 256;

impl Clone for Recent {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Recent {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Recent {}

impl Recent {
    /// The model that a name means at a provider.
    pub(super) fn find(&self, provider: &str, name: &str) -> Option<Listed> {
        // Nothing else has it: to look for a name is to look for no other.
        let Ok(mut names) = self.0.try_borrow_mut() else { return find(provider, name) };
        let known = names.asked.iter().find(|(at, asked, _)| asked == name && at == provider);
        if let Some((_, _, found)) = known {
            return found.clone();
        }
        let found = find(provider, name);
        if name.len() <= MAX_ASKED && provider.len() <= MAX_ASKED {
            let new = (provider.to_owned(), name.to_owned(), found.clone());
            let next = names.next;
            names.next = (next + 1) % ASKED;
            match names.asked.get_mut(next) {
                Some(oldest) => *oldest = new,
                None => names.asked.push(new),
            }
        }
        found
    }
}

/// The same, looked for.
fn find(provider: &str, name: &str) -> Option<Listed> {
    let name = name.to_ascii_lowercase();
    if provider == "huggingface-router" {
        // `model:provider`: the table has a price list for each of its providers, and none for its own choice.
        let (model, by) = name.rsplit_once(':')?;
        return find_at(table::provider(&format!("huggingface_{by}"))?, model);
    }
    let provider = NAMES.iter().find(|(ours, _)| *ours == provider).map_or(provider, |(_, theirs)| theirs);
    find_at(table::provider(provider)?, &name)
}

fn find_at(provider: &'static Provider, name: &str) -> Option<Listed> {
    let listed = |line: Line, is_own| Some(Listed { provider: provider.id, model: Rc::new(line.model()?), is_own });
    let own = |name: &str| listed(provider.line(name)?, true);
    let resold = |name: &str| listed(provider.fallbacks().find_map(|other| other.line(name))?, false);
    own(name).or_else(|| resold(name)).or_else(|| {
        let dashed = dashed(name)?;
        own(&dashed).or_else(|| resold(&dashed))
    })
}

/// `gpt-5.2-20251211` as `gpt-5.2-2025-12-11`, if it holds such a date.
fn dashed(name: &str) -> Option<String> {
    let mut out = String::with_capacity(name.len() + 2);
    let mut rest = name;
    let mut found = false;
    while let Some((before, after)) = rest.split_once('-') {
        out.push_str(before);
        out.push('-');
        rest = after;
        if let Some((year, month, day, after)) = date(rest) {
            out.push_str(&format!("{year}-{month}-{day}"));
            rest = after;
            found = true;
        }
    }
    out.push_str(rest);
    found.then_some(out)
}

/// Year, month and day of a compact date of this century, and what follows it.
fn date(text: &str) -> Option<(&str, &str, &str, &str)> {
    let (digits, after) = text.split_at_checked(8)?;
    let ends = matches!(after.as_bytes().first(), None | Some(b'-' | b':'));
    if !ends || !table::has_shape(digits.as_bytes(), b"20######") {
        return None;
    }
    let (year, rest) = digits.split_at_checked(4)?;
    let (month, day) = rest.split_at_checked(2)?;
    let [y, m, d] = [year, month, day].map(|digits| digits.parse::<u32>().unwrap_or(0));
    let is_leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    let days = match m {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&d).then_some((year, month, day, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_and_err_compact_dates() {
        assert_eq!(dashed("gpt-5.2-20251211").as_deref(), Some("gpt-5.2-2025-12-11"));
        assert_eq!(dashed("a-20251211-b-20240229:c").as_deref(), Some("a-2025-12-11-b-2024-02-29:c"));
        for name in
            ["gpt-5.2", "a-20251301", "a-20250229", "a-20250431", "a-20251211x", "a-2025é211", "a-19991211", "20251211"]
        {
            assert_eq!(dashed(name), None, "{name}");
        }
    }

    #[test]
    fn ok_a_router_names_its_provider_behind_the_model() {
        let model = |name| find("huggingface-router", name).map(|listed| listed.provider);
        assert_eq!(model("openai/gpt-oss-120b:cerebras"), Some("huggingface_cerebras"));
        assert_eq!(model("openai/gpt-oss-120b:fastest"), None);
        assert_eq!(model("openai/gpt-oss-120b"), None);
    }

    #[test]
    fn ok_what_is_remembered_is_what_is_found() {
        let recent = Recent::default();
        let ids: Vec<_> = table::provider("openai").expect("a provider").lines.iter().map(|line| line.id).collect();
        for _ in 0..2 {
            for name in ids.iter().copied().take(3 * ASKED).chain(["nobody's", &"x".repeat(300)]) {
                for (provider, other) in [("openai", "azure-openai"), ("azure-openai", "openai")] {
                    let id =
                        |listed: Option<Listed>| listed.map(|listed| (listed.provider, listed.model.id, listed.is_own));
                    for provider in [provider, provider, other] {
                        assert_eq!(id(recent.find(provider, name)), id(find(provider, name)), "{provider}/{name}");
                    }
                }
            }
        }
        assert_eq!(recent.0.borrow().asked.len(), ASKED);
    }

    #[test]
    fn ok_every_provider_that_we_rename_is_in_the_table() {
        assert!(
            NAMES.iter().all(|(ours, theirs)| table::provider(theirs).is_some() && table::provider(ours).is_none())
        );
    }
}
