//! Reads the Prometheus text format, so that tests compare samples and not the order of labels.

use std::collections::BTreeMap;

/// What `/stats/prometheus` said.
#[derive(Debug)]
pub struct Metrics(String);

/// Name, labels and value of one line.
fn sample(line: &str) -> Option<(String, BTreeMap<String, String>, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (series, ""),
    };
    let pairs = labels.split("\",").filter(|pair| !pair.is_empty()).filter_map(|pair| {
        let (name, value) = pair.split_once("=\"")?;
        Some((name.to_owned(), value.trim_end_matches('"').to_owned()))
    });
    Some((name.to_owned(), pairs.collect(), value.parse().ok()?))
}

impl Metrics {
    /// From the text.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// Whether there is a sample equal to this line, whatever the order of its labels.
    #[must_use]
    pub fn has(&self, line: &str) -> bool {
        let wanted = sample(line);
        wanted.is_some() && self.0.lines().any(|line| sample(line) == wanted)
    }

    /// The sum of all samples of that name that have these labels.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let samples = self.0.lines().filter_map(sample).filter(|(other, _, _)| other == name);
        let matching =
            samples.filter(|(_, has, _)| labels.iter().all(|(k, v)| has.get(*k).is_some_and(|value| value == v)));
        matching.map(|(_, _, value)| value).sum()
    }

    /// The same of counts.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are small and not negative")]
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.sum(name, labels).round() as u64
    }

    /// All lines that begin like this.
    #[must_use]
    pub fn about(&self, prefix: &str) -> String {
        self.0.lines().filter(|line| line.starts_with(prefix)).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_samples_are_compared_not_lines() {
        let metrics = Metrics::new("# TYPE a counter\na{x=\"1\",y=\"2,3\"} 5\na{x=\"2\"} 7\n".to_owned());
        assert!(metrics.has("a{y=\"2,3\",x=\"1\"} 5"));
        assert!(!metrics.has("a{x=\"1\"} 5") && !metrics.has("a{x=\"2\"} 8"));
        assert_eq!(metrics.sum("a", &[]), 12.0);
        assert_eq!(metrics.sum("a", &[("x", "2")]), 7.0);
    }
}
