//! What the demo prints, and whether all of it was right.

use serde_json::Value;

use crate::bill::Bill;

/// Prints and remembers what was wrong.
#[derive(Default)]
pub(crate) struct Show {
    checks: usize,
    wrong: Vec<String>,
}

impl Show {
    pub(crate) fn title(&self, text: &str) {
        println!("\n{text}");
    }

    pub(crate) fn fact(&self, text: &str) {
        println!("    {text}");
    }

    pub(crate) fn lines(&self, text: &str) {
        for line in text.lines() {
            self.fact(line);
        }
    }

    pub(crate) fn check(&mut self, what: &str, holds: bool) {
        self.checks += 1;
        println!("  {} {what}", if holds { "✓" } else { "✗" });
        if !holds {
            self.wrong.push(what.to_owned());
        }
    }

    /// Those fields of an event's data.
    pub(crate) fn json(&self, event: &Value, fields: &[&str]) {
        let data = &event["data"];
        let fields: Vec<String> = fields
            .iter()
            .filter(|name| !data[**name].is_null())
            .map(|name| format!("{name} {}", data[*name]))
            .collect();
        self.fact(&format!("event {}: {}", event["id"].as_str().unwrap_or("?"), fields.join(", ")));
    }

    /// An event beside its bill.
    pub(crate) fn event(&mut self, event: &Value, bill: &Bill) {
        let data = &event["data"];
        self.json(event, &["tenant", "provider", "response_model", "stream", "outcome", "usage_status"]);
        self.json(
            event,
            &[
                "input_tokens",
                "cache_read_tokens",
                "cache_write_tokens",
                "output_tokens",
                "reasoning_tokens",
                "cost_usd",
            ],
        );
        self.fact(&format!("by hand: {} + {} tokens; {}", bill.input, bill.output, bill.words()));
        let tokens = data["input_tokens"] == bill.input && data["output_tokens"] == bill.output;
        self.check("tokens as calculated", tokens && data["total_tokens"] == bill.input + bill.output);
        self.check("cost as calculated, to the last digit", data["cost_usd"] == bill.usd());
        self.check(
            "completed, reported, billable",
            data["outcome"] == "completed" && data["usage_status"] == "reported" && data["billable"] == true,
        );
    }

    /// The verdict.
    pub(crate) fn is_right(&self) -> bool {
        if self.wrong.is_empty() {
            println!("\nAll {} checks are right.", self.checks);
        } else {
            println!("\n{} of {} checks are wrong:", self.wrong.len(), self.checks);
            for what in &self.wrong {
                println!("  ✗ {what}");
            }
        }
        self.wrong.is_empty()
    }
}
