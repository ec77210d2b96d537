//! What the folding is measured against: the same operations, each sent when it comes, over the same connection.

use std::time::{Duration, Instant};

use crate::algebra::{Answer, Ask, BunchNumber, Operation, Planned, ReplicaId, Seq};
use crate::cli::failure::Failure;
use crate::cli::progress::Progress;
use crate::client::Connection;
use crate::codec::lines::bunch_with_text;
use crate::codec::wire::Request;

/// What sending came to.
pub(super) struct Sent {
    pub(super) operations: u64,
    pub(super) requests: u64,
    /// Bytes of the requests' bodies, packed as they went.
    pub(super) bytes: u64,
    pub(super) took: Duration,
}

/// Sends operations without folding: first in one bunch what is there before, which is not counted, then each by itself.
pub(super) fn one_by_one(
    connection: &Connection,
    made: &[Operation],
    log: &[Operation],
) -> Result<Sent, Failure> {
    let replica = ReplicaId(uuid::Uuid::now_v7());
    deliver(connection, &asked(replica, 1, made))?;
    let each =
        (2..).zip(log).map(|(number, operation)| asked(replica, number, std::slice::from_ref(operation)));
    let asks: Vec<Ask> = each.collect();
    // A single operation is too short to be packed.
    let bytes = asks.iter().map(|ask| Request::of(ask).text.len() as u64).sum();
    let mut progress = Progress::new("operations sent one by one");
    let began = Instant::now();
    for (sent, ask) in (1..).zip(&asks) {
        deliver(connection, ask)?;
        progress.at(sent);
    }
    let (requests, took) = (asks.len() as u64, began.elapsed());
    Ok(Sent { operations: requests, requests, bytes, took })
}

fn asked(replica: ReplicaId, number: u64, operations: &[Operation]) -> Ask {
    let planned = |(place, operation): (u64, &Operation)| Planned {
        operation: operation.clone(),
        // Whoever does not keep what the authority holds claims nothing.
        base: None,
        first: Seq(place),
        last: Seq(place),
        operations: 1,
        touched: None,
    };
    let (bunch, _) = bunch_with_text(BunchNumber(number), (1..).zip(operations).map(planned).collect());
    Ask::Deliver { replica, bunch, generation: None }
}

fn deliver(connection: &Connection, ask: &Ask) -> Result<(), Failure> {
    match connection.ask(ask)? {
        Answer::Delivered(_) => Ok(()),
        answer => Err(Failure::Failed(format!("the authority answers an operation with {answer:?}"))),
    }
}
