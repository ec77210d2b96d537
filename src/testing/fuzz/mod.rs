//! The bodies of the fuzz targets: any bytes are taken, and a law that does not hold panics.
//!
//! The targets in `fuzz/` only call these, and so do the ordinary tests with the committed corpora. Where a
//! target wants something built of bytes, every byte string means something: what runs out reads as zeros.

mod build;
mod documents;
#[cfg(all(feature = "client", feature = "jwt"))]
mod doors;
mod frames;
mod hostile_authority;
mod hostile_client;
mod hostile_file;
mod lines;
mod scratch;
mod seen;
mod wire;

pub use documents::documents;
#[cfg(all(feature = "client", feature = "jwt"))]
pub use doors::doors;
pub use frames::frames;
pub use hostile_authority::hostile_authority;
pub use hostile_client::hostile_client;
pub use hostile_file::{hostile_file, salvaged};
pub use lines::lines;
pub use wire::wire;

use super::{laws, player, prefixes};
use build::Bytes;

/// Laws 1 to 6 on the log, the baseline, the cuts and the schema that these bytes mean.
///
/// # Panics
/// If one does not hold.
pub fn fold_laws(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let baseline = bytes.baseline();
    let cuts = [bytes.below(16), bytes.below(16)];
    let log = bytes.log(24);
    if let Err(violation) = laws::all(&log, &cuts, &baseline) {
        panic!("{violation}\nlog: {log:?}\ncuts: {cuts:?}\nbaseline: {baseline:?}");
    }
    let schema = bytes.schema().unwrap_or_default();
    if let Err(violation) = prefixes::of_log(&log, baseline.bases(), &schema) {
        panic!("{violation}\nlog: {log:?}\nbaseline: {baseline:?}\nschema: {schema:?}");
    }
}

/// The schedule that these bytes mean, on a journal with or without a schema, beside its model.
///
/// # Panics
/// If something is not as it must be.
pub fn schedules(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let seed = bytes.below(255) as u64;
    let schema = bytes.schema();
    let schedule = bytes.schedule(24);
    let played = match &schema {
        Some(schema) => player::play_with(schema, &schedule, seed),
        None => player::play(&schedule, seed),
    };
    if let Err(violation) = played {
        panic!("{violation}\nschema: {schema:?}\nschedule: {schedule:#?}");
    }
}
