//! What an exchange is likely to take, before it is known; and what is learned once it is.

use crate::{
    dialect::Counting,
    event::Outcome,
    host::Host,
    limit::Demand,
    usage::{
        Flag, Flags, Usage, UsageStatus,
        estimate::{
            Estimate, JSON_BYTE,
            learned::{ENOUGH, FEW, Kind, Learned, Sample, Shape},
        },
        meter::Snapshot,
    },
};

use super::open::Open;

/// Flags that say nothing against the counts.
const HARMLESS: Flags = Flags::NONE
    .with(Flag::CacheOtherScale)
    .with(Flag::UsageChunkVisible)
    .with(Flag::Unbounded)
    .with(Flag::CostMismatch)
    .with(Flag::OtherModelUsage);

impl Open {
    #[inline]
    fn kind(&self) -> Kind<'_> {
        Kind {
            provider: &self.provider,
            dialect: self.operation.dialect_name(),
            model: self.facts.model.as_deref(),
            shape: self.facts.shape(),
        }
    }

    /// The kind of a request whose body was not read before it had to be decided: neither model nor tools are known.
    fn unread(&self) -> Kind<'_> {
        Kind { model: None, shape: Shape::Unread, ..self.kind() }
    }

    fn known(&self, kind: &Kind<'_>, least: u32, host: &Host<'_>) -> Learned {
        match self.setup.learned.try_borrow_mut() {
            Ok(mut memo) => memo.read(kind, least, host.store, host.now),
            Err(_) => Learned::read(kind, least, host.store, host.now),
        }
    }

    /// What the request may consume. `whole` says that its body was read.
    pub(super) fn demand(&self, whole: bool, host: &Host<'_>) -> Demand {
        let is_asked = self.setup.limits.wants_estimate(&self.subject());
        let known = |kind: &Kind<'_>| {
            if is_asked { self.known(kind, ENOUGH, host) } else { Learned::default() }
        };
        if whole {
            let known = known(&self.kind());
            return Demand {
                input_estimate: known.input(self.facts.input_weight()),
                output_estimate: known.usual_choice().map(|tokens| tokens.saturating_mul(self.facts.choices())),
                output_cap: self.facts.output_bound(),
                input_bound: self.facts.input_bound(),
            };
        }
        let known = known(&self.unread());
        // Not every body announces its length.
        let input_estimate = match self.announced_bytes {
            Some(bytes) => known.input(bytes.saturating_mul(JSON_BYTE)),
            None => known.usual_input().unwrap_or(0),
        };
        Demand { input_estimate, output_estimate: known.usual_choice(), output_cap: None, input_bound: None }
    }

    /// What the exchange has taken, as far as anything was seen of it.
    #[inline(never)]
    pub(super) fn estimate(&self, snapshot: Option<&Snapshot>, host: &Host<'_>) -> Estimate {
        let known = self.known(&self.kind(), FEW, host);
        let estimate = known.estimate(self.facts.input_weight(), snapshot.map(|snapshot| snapshot.text));
        let audio = snapshot.map_or(0, Snapshot::audio_tokens);
        // No model writes more than it was allowed to, and one that embeds or ranks writes nothing: its reply is numbers.
        let cap = self.facts.output_bound().unwrap_or(u64::MAX);
        let output = estimate.output.filter(|_| self.operation.counting != Counting::InputOnly);
        Estimate { output: output.map(|tokens| tokens.saturating_add(audio).min(cap)), ..estimate }
    }

    /// Learns from an exchange whose counts the provider has reported, and nothing strange about them.
    pub(super) fn learn(&self, usage: &Usage, outcome: Outcome, snapshot: Option<&Snapshot>, host: &Host<'_>) {
        let Some(snapshot) = snapshot else { return };
        let is_sure = usage.status == UsageStatus::Reported && outcome == Outcome::Completed;
        let is_sure = is_sure && usage.flags.and(HARMLESS) == HARMLESS;
        if !is_sure || !self.operation.is_billed() {
            return;
        }
        let positive = |tokens: Option<u64>| tokens.filter(|tokens| *tokens > 0);
        let (input, output) = (positive(usage.input), positive(usage.output));
        // Sound and pictures are in no text.
        let is_written = positive(usage.output_audio).or(positive(usage.output_image)).is_none();
        let pair = |weight: u64, tokens: Option<u64>| tokens.filter(|_| weight > 0).map(|tokens| (weight, tokens));
        let sample = Sample {
            input: pair(self.facts.input_weight(), input.filter(|_| self.facts.complete)),
            output: pair(snapshot.text, output.filter(|_| is_written)),
            choice: output.map(|tokens| tokens.div_ceil(self.facts.choices())),
        };
        // Nothing else has it: no callback runs within another.
        let Ok(mut memo) = self.setup.learned.try_borrow_mut() else { return };
        if memo.learn(&self.kind(), &sample, host.store, host.now) {
            let input = pair(self.facts.body_bytes.saturating_mul(JSON_BYTE), input);
            memo.learn(&self.unread(), &Sample { input, output: None, ..sample }, host.store, host.now);
        }
    }
}
