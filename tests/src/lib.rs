//! Stand-ins and harness.
