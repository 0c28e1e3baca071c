//! Which row a request belongs to.
