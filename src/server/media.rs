//! The content types that are spoken.

/// What is asked and answered.
pub(super) const JSON: &str = "application/json";

/// What is answered in place of an answer (RFC 9457).
pub(super) const PROBLEM: &str = "application/problem+json";

/// A stream of triggers.
pub(super) const EVENTS: &str = "text/event-stream";

/// What Prometheus reads.
pub(super) const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
