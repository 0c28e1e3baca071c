//! What a provider itself says that a reply cost: taken, or only compared with the table.

use super::{Cost, CostStatus, PicoUsd, Query};
use crate::usage::UsageStatus;

/// What a provider's own statement of cost is worth.
struct Statement {
    provider: &'static str,
    /// Whether it is the cost. Otherwise the table is, if it has a price.
    is_preferred: bool,
    /// Whether the table ought to come to the same.
    is_compared: bool,
}

/// Those who say what a reply cost. Of anybody else the statement is compared, and taken where the table has no price.
const STATEMENTS: &[Statement] = &[
    // `usage.cost` in credits, which are USD: openrouter 1.3 `components/chatusage.py`. The table has one price of a model, and the
    // provider that it was routed to another.
    Statement { provider: "openrouter", is_preferred: true, is_compared: false },
    // `usage.cost.total_cost` in USD: perplexityai 0.46 `types/shared/usage_info.py`. The fee for a request depends on how much was
    // searched; the table has the highest.
    Statement { provider: "perplexity", is_preferred: true, is_compared: false },
    // `usage.cost_in_usd_ticks` of 1e-10 USD, tools included: xai-sdk 1.21 `proto/v6/usage_pb2.pyi`.
    Statement { provider: "xai", is_preferred: true, is_compared: true },
];
const ANYBODY: Statement = Statement { provider: "", is_preferred: false, is_compared: true };

/// The table and the provider agree if they differ by no more than one in so many, or by a micro-dollar.
const TOLERANCE: u128 = 100;
const MICRO_USD: u128 = 1_000_000;

/// The cost, with what the provider says of it.
pub(super) fn with_statement(own: Cost, query: &Query<'_>, is_discounted: bool) -> Cost {
    let Some((text, stated)) = query.reported.and_then(|text| Some((text, PicoUsd::parse(text)?))) else { return own };
    let provider = STATEMENTS.iter().find(|statement| statement.provider == query.provider).unwrap_or(&ANYBODY);
    let by_table = own.source == Some("table");
    let is_whole = own.status == CostStatus::Priced;
    // A reply that was cut short has told no final cost; and what an operator pays by contract, no provider's reply knows.
    let is_better = own.total.is_none() || (provider.is_preferred && by_table);
    let is_taken = is_better && query.usage.status == UsageStatus::Reported;
    let differs = own.total.is_some_and(|total| {
        let difference = total.0.abs_diff(stated.0);
        difference > MICRO_USD && difference > stated.0 / TOLERANCE
    });
    let is_mismatch = provider.is_compared && by_table && is_whole && !is_discounted && differs;
    let mut cost = if is_taken { taken(own, stated) } else { own };
    cost.reported = Some(text.to_owned());
    cost.is_mismatch = is_mismatch;
    cost
}

/// The stated cost. The table's price of the tokens stays beside it if it is no more; the rest is other costs.
fn taken(own: Cost, stated: PicoUsd) -> Cost {
    let source = Some("provider");
    let tokens = own.total.map(|total| total.0.saturating_sub(own.other.unwrap_or_default().0));
    match tokens.and_then(|tokens| stated.0.checked_sub(tokens)) {
        Some(rest) => {
            let other = (own.other.is_some() || rest > 0).then_some(PicoUsd(rest));
            Cost { total: Some(stated), other, status: CostStatus::Priced, source, ..own }
        }
        None => Cost {
            total: Some(stated),
            other: Some(stated),
            status: CostStatus::Priced,
            source,
            priced_model: own.priced_model,
            ..Cost::default()
        },
    }
}
