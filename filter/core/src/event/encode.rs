//! Events and heartbeats as CloudEvents 1.0 JSON objects.
