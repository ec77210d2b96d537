//! What a server counts, as Prometheus reads it. Names no account.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answered {
    path: &'static str,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Path {
    path: &'static str,
}

/// The upper bounds of the histogram's buckets, in seconds: from what a read takes to what nobody waits for.
const BUCKETS_S: [f64; 9] = [0.000_5, 0.002, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0];

pub(super) struct Metrics {
    registry: Registry,
    answered: Family<Answered, Counter>,
    took: Family<Path, Histogram, fn() -> Histogram>,
    pub(super) operations: Counter,
    pub(super) streams: Gauge,
    pub(super) events: Counter,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("foldlog");
        let answered = Family::default();
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS_S);
        let took = Family::new_with_constructor(histogram);
        let (operations, streams, events) = (Counter::default(), Gauge::default(), Counter::default());
        registry.register("requests", "Requests that were answered", answered.clone());
        registry.register_with_unit("request", "How long answers took", Unit::Seconds, took.clone());
        registry.register("operations", "Operations in bunches that were answered", operations.clone());
        registry.register("streams", "Streams that are open", streams.clone());
        registry.register("events", "Triggers sent over streams", events.clone());
        Metrics { registry, answered, took, operations, streams, events }
    }

    pub(super) fn answered(&self, path: &'static str, status: u16, took: Duration) {
        self.answered.get_or_create(&Answered { path, status }).inc();
        self.took.get_or_create(&Path { path }).observe(took.as_secs_f64());
    }

    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        // Writing a string into memory cannot fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}
