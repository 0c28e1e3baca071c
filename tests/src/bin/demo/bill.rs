//! The calculation by hand: tokens times price, with nothing of the filter's own code.

/// What an exchange must cost.
pub(crate) struct Bill {
    pub(crate) input: u64,
    pub(crate) output: u64,
    parts: Vec<(u64, &'static str)>,
}

impl Bill {
    /// Tokens in all, and in parts, each with its price in USD for a million tokens (at most three decimals).
    pub(crate) fn new(input: u64, output: u64, parts: &[(u64, &'static str)]) -> Self {
        Self { input, output, parts: parts.to_vec() }
    }

    /// The sum as it is written in events.
    pub(crate) fn usd(&self) -> String {
        // A thousandth of a dollar for a million tokens is a billionth of a dollar for one.
        let nano: u64 = self.parts.iter().map(|(tokens, price)| tokens * thousandths(price)).sum();
        let text = format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    /// The calculation in words.
    pub(crate) fn words(&self) -> String {
        let parts: Vec<String> = self.parts.iter().map(|(tokens, price)| format!("{tokens} × ${price}")).collect();
        format!("({}) / 1,000,000 = ${}", parts.join(" + "), self.usd())
    }
}

fn thousandths(price: &str) -> u64 {
    let (whole, fraction) = price.split_once('.').unwrap_or((price, ""));
    format!("{whole}{fraction:0<3}").parse().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_a_bill_adds_up() {
        let bill = Bill::new(1200, 300, &[(200, "0.15"), (1000, "0.075"), (300, "0.6")]);
        assert_eq!(bill.usd(), "0.000285");
        assert_eq!(bill.words(), "(200 × $0.15 + 1000 × $0.075 + 300 × $0.6) / 1,000,000 = $0.000285");
    }
}
