//! What a replica holds beside its entities, to be compared.

use crate::replica::Replica;

/// What is in conflict, what lost, and all that its journal has in hand.
pub(super) fn in_hand(replica: &Replica) -> String {
    let journal = replica.journal();
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        replica.conflicts().expect("conflicts"),
        replica.losers().expect("losers"),
        journal.plan().expect("a plan"),
        journal.parked().expect("what is parked"),
        journal.held().expect("what is held"),
        journal.open_bunch().expect("a bunch"),
        journal.reads().expect("reads"),
    )
}
