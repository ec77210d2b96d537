//! Status: how much waits, and for how long.

use super::effects::Outline;
use super::error::Error;
use super::parked;
use super::pending::Pending;
use super::tables::Snapshot;
use super::{Journal, set_aside};
use crate::algebra::{BunchNumber, Index, Millis, Schema};
use crate::codec::records::JournalState;

/// How much there is of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Entities with an effect.
    pub entities: u64,
    /// The operations that were folded into those effects.
    pub operations: u64,
    /// Their fields' canonical JSON, in bytes; of patches that still have to be merged, the sum.
    pub bytes: u64,
}

/// How a journal stands. Every operation that was appended is pending, held, sealed, parked, settled, or set
/// aside because it was damaged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Appended in all, ever.
    pub appended: u64,
    /// To be sealed, as far as they do not come to nothing.
    pub pending: Count,
    /// Pending, but waiting for something parked.
    pub held: Count,
    /// In the open bunch.
    pub sealed: Count,
    /// Refused or clashing.
    pub parked: Count,
    /// Decided by the authority, come to nothing, or given up.
    pub settled: u64,
    /// Not readable any more. Where a damaged value was the last of the log, as many as it could have held.
    pub set_aside: u64,
    /// How many damaged values are set aside, of operations and of anything else; [`Journal::set_aside`] lists
    /// them.
    pub set_aside_values: u64,
    /// Of all that was appended, what need not be sent by itself: folded into another operation or come
    /// to nothing.
    pub folded_away: u64,
    /// The number of the open bunch.
    pub open_bunch: Option<BunchNumber>,
    /// When the oldest operation that is not settled was made.
    pub oldest_at: Option<Millis>,
    /// How long ago that was, in ms, by the journal's clock.
    pub oldest_age_ms: Option<u64>,
    /// Triggers were heard up to here without a gap.
    pub cursor: Index,
}

impl Journal {
    /// How the journal stands. Its cost follows what is pending: about as long as reading its rows.
    ///
    /// # Errors
    /// A journal that is suspended or damaged, or what the storage says.
    pub fn status(&self) -> Result<Status, Error> {
        let now = (self.inner.options.clock)();
        self.inner.read(|snapshot| {
            let state = snapshot.state()?;
            let options = &self.inner.options;
            let mut status = counted(snapshot, &state, options.schema.as_ref(), options.pass_bytes)?;
            status.oldest_age_ms = status.oldest_at.map(|at| now.0.saturating_sub(at.0));
            Ok(status)
        })
    }
}

pub(crate) fn counted(
    snapshot: &Snapshot,
    state: &JournalState,
    schema: Option<&Schema>,
    pass_bytes: u64,
) -> Result<Status, Error> {
    let mut pending = Pending::load(snapshot, state, pass_bytes)?.with_held(snapshot, schema)?;
    let mut status = Status {
        appended: pending.effects.folding.log_end(state.log_begins)?.saturating_sub(1),
        settled: state.settled,
        cursor: Index(state.cursor),
        ..Status::default()
    };
    let mut oldest = Oldest::default();
    let Pending { effects, held, .. } = &mut pending;
    effects.each(|_, outline| {
        let count = if held.contains(&outline.who) { &mut status.held } else { &mut status.pending };
        count.add(&outline);
        oldest.note(outline.kept.first_at);
        Ok(())
    })?;
    for (entry, _) in parked::all(snapshot)?.into_values() {
        status.parked.entities += 1;
        status.parked.operations += u64::from(entry.effect.shape.operations);
        status.parked.bytes += fields_bytes(&entry.effect.content) as u64;
        oldest.note(entry.first_at);
    }
    if let Some(open) = &state.open {
        let (_, entries) = super::seal::load(snapshot, open)?;
        status.open_bunch = Some(open.bunch_number());
        status.sealed.bytes = open.text_bytes;
        for entry in entries.into_values() {
            status.sealed.entities += 1;
            status.sealed.operations += u64::from(entry.effect.shape.operations);
            oldest.note(entry.first_at);
        }
    }
    let counts = [status.pending, status.held, status.sealed, status.parked];
    let folding: u64 = counts.iter().map(|count| count.operations - count.entities).sum();
    status.set_aside_values = set_aside::count(snapshot)?;
    if status.set_aside_values > 0 {
        let not_here = status.appended.saturating_sub(counts.iter().map(|count| count.operations).sum());
        // What came back into doubt counted as settled before.
        status.settled = status.settled.min(not_here);
        status.set_aside = not_here - status.settled;
    }
    status.folded_away = state.folded_away + folding;
    status.oldest_at = oldest.at();
    Ok(status)
}

fn fields_bytes(content: &crate::algebra::Content) -> usize {
    use crate::algebra::Content;
    match content {
        Content::Keep => 0,
        Content::Merge(patch) => patch.as_json().len(),
        Content::Replace(state) => state.as_json().len(),
    }
}

impl Count {
    fn add(&mut self, Outline { shape, kept, .. }: &Outline) {
        self.entities += 1;
        self.operations += u64::from(shape.operations);
        self.bytes += u64::from(kept.fields_bytes);
    }
}

/// The smallest time, each plus 1 so that 0 says none.
#[derive(Default)]
struct Oldest(Option<u64>);

impl Oldest {
    fn note(&mut self, first_at: u64) {
        if let Some(at) = first_at.checked_sub(1) {
            self.0 = Some(self.0.map_or(at, |oldest| oldest.min(at)));
        }
    }

    fn at(self) -> Option<Millis> {
        self.0.map(Millis)
    }
}
