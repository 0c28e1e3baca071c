//! Wire shapes: one file a shape. A dialect is a table from its paths to fields, and the few rules that a table cannot say.

use crate::{json::scan::Shape, provider::DialectId};

/// A wire shape. Pure data and pure functions.
#[derive(Debug)]
pub struct Dialect {
    /// Which one.
    pub id: DialectId,
    /// The event's `dialect`.
    pub name: &'static str,
    /// `OpenTelemetry` operation name.
    pub operation: &'static str,
    /// The event's `endpoint`.
    pub endpoint: &'static str,
    /// What is wanted from the request.
    pub request: &'static Shape,
    /// What is wanted from a whole JSON reply.
    pub reply: &'static Shape,
    /// What is wanted from each record of a stream.
    pub record: &'static Shape,
}
