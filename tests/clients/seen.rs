//! What is compared of two replicas.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use foldlog::replica::{Error, Replica};

/// Everything that can be seen of a replica.
pub(crate) fn observed(replica: &Replica) -> String {
    try_observed(replica).unwrap()
}

pub(crate) fn try_observed(replica: &Replica) -> Result<String, Error> {
    let known = replica.known()?;
    let seen = known.iter().map(|key| Ok(format!("{key} {:?}", replica.entity(key)?)));
    let seen = seen.collect::<Result<Vec<_>, Error>>()?;
    let journal = replica.journal();
    Ok(format!(
        "{seen:#?} {:?} {:?} {:?} {:?} {:?} {:?}",
        replica.standing()?,
        replica.conflicts()?,
        replica.losers()?,
        journal.plan()?,
        journal.open_bunch()?,
        journal.parked()?,
    ))
}
