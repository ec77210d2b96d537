//! The order inside a bunch.
use super::plan::{Draft, Planned, rank};
use super::schema::Schema;

/// A plan's operations in the order in which they are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arranged {
    /// The operations.
    pub operations: Vec<Planned>,
    /// For each operation the earlier ones it must not go without, by their place.
    pub needs: Vec<Vec<usize>>,
}

/// stub
#[must_use]
pub fn arranged(mut drafts: Vec<Draft>, _schema: Option<&Schema>) -> Arranged {
    drafts.sort_by_key(|d| rank(&d.planned.operation.change, d.planned.first, d.planned.last));
    Arranged { needs: drafts.iter().map(|_| Vec::new()).collect(), operations: drafts.into_iter().map(|d| d.planned).collect() }
}
