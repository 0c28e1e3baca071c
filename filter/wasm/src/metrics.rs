//! Metric ids: a metric is defined once per VM, since defining allocates a new id each time.

use hashbrown::HashMap;
use meterr_core::metric::{Kind, Metric};

use crate::abi::{self, Status};

#[derive(Debug, Default)]
pub(crate) struct Metrics(HashMap<Metric, u32>);

impl Metrics {
    pub(crate) fn measure(&mut self, metric: Metric, value: u64) -> Result<(), Status> {
        let kind = metric.kind();
        let id = self.id(metric)?;
        match kind {
            // Envoy refuses an increment by nothing.
            Kind::Counter if value == 0 => Ok(()),
            Kind::Counter => abi::increment_metric(id, i64::try_from(value).unwrap_or(i64::MAX)),
            Kind::Gauge | Kind::Histogram => abi::record_metric(id, value),
        }
    }

    /// Moves a gauge that several workers share.
    pub(crate) fn shift(&mut self, metric: Metric, by: i64) -> Result<(), Status> {
        let id = self.id(metric)?;
        abi::increment_metric(id, by)
    }

    fn id(&mut self, metric: Metric) -> Result<u32, Status> {
        if let Some(id) = self.0.get(&metric) {
            return Ok(*id);
        }
        let id = abi::define_metric(kind_number(metric.kind()), &metric.stat_name())?;
        self.0.insert(metric, id);
        Ok(id)
    }
}

const fn kind_number(kind: Kind) -> u32 {
    match kind {
        Kind::Counter => 0,
        Kind::Gauge => 1,
        Kind::Histogram => 2,
    }
}
