//! What tests, the demo and the benchmark share: a strict provider, a small collector, and an Envoy between them, all on loopback.

pub mod calls;
pub mod chaos;
pub mod collector;
pub mod envoy;
pub mod estimated;
pub mod example;
pub mod ext_proc;
pub mod istio;
pub mod istiod;
pub mod limits;
pub mod line;
pub mod otlp;
pub mod prometheus;
pub mod provider;
pub mod ratelimit;
pub mod recorded;
pub mod server;
pub mod sim;
pub mod stack;
pub mod tap;
pub mod traffic;
pub mod vm;
pub mod watched;
pub mod workload;
