//! What a request says before it is answered.
