//! The built-in rows.
