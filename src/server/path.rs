//! The paths that are not those of a [`Route`](crate::codec::wire::Route).

/// The account of whoever asks.
pub(super) const ACCOUNT: &str = "/v1/account";

/// Whether the server takes requests.
pub(super) const HEALTH: &str = "/healthz";

/// What the server counts.
pub(super) const METRICS: &str = "/metrics";

/// What is served, as an OpenAPI document.
pub(super) const OPENAPI: &str = "/v1/openapi.json";
