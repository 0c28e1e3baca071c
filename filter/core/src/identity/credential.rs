//! From a credential to a keyed hash.
