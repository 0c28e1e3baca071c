//! A writer for the flat JSON objects of events.
