//! gzip and deflate with an output cap.
