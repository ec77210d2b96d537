//! What is compared of two replicas.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use foldlog::replica::Replica;

/// Everything that can be seen of a replica.
pub(crate) fn observed(replica: &Replica) -> String {
    let seen: Vec<String> = replica
        .known()
        .unwrap()
        .iter()
        .map(|key| format!("{key} {:?}", replica.entity(key).unwrap()))
        .collect();
    let journal = replica.journal();
    format!(
        "{seen:#?} {:?} {:?} {:?} {:?} {:?} {:?}",
        replica.standing().unwrap(),
        replica.conflicts().unwrap(),
        replica.losers().unwrap(),
        journal.plan().unwrap(),
        journal.open_bunch().unwrap(),
        journal.parked().unwrap(),
    )
}
