//! The parts of an entity on their way to one: gathered as they are stored until the last of them has come, and
//! composed at once.
//!
//! Of an entity with very many parts not all are held: what there is is composed into one part whenever it has grown
//! to twice that part and some. Composing is associative, so the result is the same.

use std::num::NonZeroU32;

use super::columns::Payload;
use super::entry::length;
#[cfg(feature = "testing")]
use super::entry::{effect_of, parts_of};
#[cfg(feature = "testing")]
use crate::algebra::Effect;
use crate::algebra::run::{Composer, Exceptions, Fields, Part, emptied};
use crate::algebra::{Clock, FieldStamp};
use crate::codec::FrameError;
use crate::codec::records;
use crate::codec::row::{ContentKind, Row};

/// So many bytes of an entity's parts are always gathered: enough that composing them pays, few enough for every
/// entity of a pass to have them.
const GATHERED_BYTES: usize = 4 * 1024;

/// What a part costs beside its payload.
pub(super) const GATHERED_PART_BYTES: usize = size_of::<Stored>();

/// What an entity costs beside its parts: itself, and what an allocator adds to its three lists.
pub(super) const GATHERING_BYTES: usize = size_of::<Gathering>() + 3 * 16;

/// The most that is held of an entity whose parts have so many bytes when they are composed.
pub(super) fn gathered_bytes_max(composed: usize) -> usize {
    composed.saturating_mul(2).saturating_add(GATHERED_BYTES)
}

/// What was gathered of all entities whose last part has not come.
pub(super) struct Gatherings {
    all: Vec<Gathering>,
    /// Those that are done with; their memory is for the next ones.
    done: Vec<Place>,
    composing: Composing,
    /// See [`GATHERED_BYTES`].
    gathered_bytes: usize,
}

/// Where an entity's parts are gathered, plus 1 so that an option takes no room.
pub(super) type Place = NonZeroU32;

/// What was gathered of one entity.
#[derive(Debug, Default)]
struct Gathering {
    parts: Vec<Stored>,
    fields: String,
    extra: Vec<u8>,
    /// The clock after all parts.
    clock: Clock,
    /// The bytes of the part that all were composed into last.
    composed: usize,
}

/// A part but for its payload, which stands in the order of the parts.
#[derive(Clone, Copy, Debug)]
struct Stored {
    content: ContentKind,
    written: Clock,
    before: Clock,
    fields_bytes: usize,
    extra_bytes: usize,
}

/// One part, made of several.
#[derive(Clone, Copy)]
pub(super) struct Whole<'c> {
    pub(super) content: ContentKind,
    pub(super) written: Clock,
    pub(super) payload: Payload<'c>,
}

impl Gatherings {
    pub(super) fn new() -> Self {
        Gatherings {
            all: Vec::new(),
            done: Vec::new(),
            composing: Composing::default(),
            gathered_bytes: GATHERED_BYTES,
        }
    }

    /// Begins with an entity, whose parts will have about so many bytes of fields; what came before them matters
    /// through its clock alone.
    ///
    /// # Panics
    /// Beyond 2³² entities at once.
    pub(super) fn begin(&mut self, before: Clock, parts: usize, fields_bytes: usize) -> Place {
        let place = self.done.pop().unwrap_or_else(|| {
            self.all.push(Gathering::default());
            u32::try_from(self.all.len()).ok().and_then(Place::new).expect("fewer than 2^32 entities")
        });
        let room = self.gathered_bytes;
        if let Some(gathering) = self.all.get_mut(place.get() as usize - 1) {
            gathering.clock = before;
            gathering.parts.reserve_exact(parts.min(room / GATHERED_PART_BYTES));
            gathering.fields.reserve_exact(fields_bytes.min(room));
        }
        place
    }

    /// Takes in the next part of an entity.
    pub(super) fn push(&mut self, place: Place, row: &Row, payload: Payload<'_>) -> Result<(), FrameError> {
        let Gatherings { all, composing, gathered_bytes: room, .. } = self;
        let Some(gathering) = all.get_mut(place.get() as usize - 1) else { return Ok(()) };
        gathering.push(row, payload)?;
        if gathering.bytes() > room.saturating_add(gathering.composed.saturating_mul(2)) {
            *gathering = composing.compose(gathering, |whole| Gathering::of(whole, gathering.clock))??;
        }
        Ok(())
    }

    /// Ends with an entity: all of its parts as one, for somebody to take a look at.
    pub(super) fn end<T>(
        &mut self,
        place: Place,
        look: impl FnOnce(Whole<'_>) -> T,
    ) -> Result<Option<T>, FrameError> {
        let Gatherings { all, done, composing, gathered_bytes: room } = self;
        let Some(gathering) = all.get_mut(place.get() as usize - 1) else { return Ok(None) };
        let looked = composing.compose(gathering, look)?;
        gathering.clear(*room);
        done.push(place);
        Ok(Some(looked))
    }
}

impl Gathering {
    fn of(whole: Whole<'_>, clock: Clock) -> Result<Self, FrameError> {
        let mut gathering = Gathering { clock, ..Gathering::default() };
        // It says already what came before it.
        gathering.add(whole.content, whole.written, Clock::default(), whole.payload)?;
        gathering.composed = gathering.bytes();
        Ok(gathering)
    }

    fn push(&mut self, row: &Row, payload: Payload<'_>) -> Result<(), FrameError> {
        let before = self.clock;
        self.clock = row.shape.clock.after(before);
        self.add(row.content, row.written, before, payload)
    }

    fn add(
        &mut self,
        content: ContentKind,
        written: Clock,
        before: Clock,
        payload: Payload<'_>,
    ) -> Result<(), FrameError> {
        // A delete moves the clock, and nothing else.
        if content == ContentKind::Keep {
            return Ok(());
        }
        self.fields.push_str(text(payload.fields)?);
        self.extra.extend_from_slice(payload.extra);
        let (fields_bytes, extra_bytes) = (payload.fields.len(), payload.extra.len());
        self.parts.push(Stored { content, written, before, fields_bytes, extra_bytes });
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.parts.len() * GATHERED_PART_BYTES + self.fields.len() + self.extra.len()
    }

    /// Forgets everything and keeps the memory, unless that is more than most entities take.
    fn clear(&mut self, bytes_max: usize) {
        if self.fields.capacity() + self.extra.capacity() > bytes_max {
            *self = Gathering::default();
        }
        self.parts.clear();
        self.fields.clear();
        self.extra.clear();
        self.composed = 0;
    }
}

fn text(fields: &[u8]) -> Result<&str, FrameError> {
    std::str::from_utf8(fields).map_err(|_| FrameError::Body { why: "fields are not UTF-8".to_owned() })
}

/// What composing takes, kept from one entity to the next.
#[derive(Default)]
struct Composing {
    composer: Composer,
    extra: Vec<u8>,
    // Empty between two entities: only their memory is kept.
    parts: Vec<Part<'static>>,
    stamps: Vec<(&'static str, FieldStamp)>,
    /// Where each part's stamps end.
    ends: Vec<usize>,
}

impl Composing {
    fn compose<T>(
        &mut self,
        gathering: &Gathering,
        look: impl FnOnce(Whole<'_>) -> T,
    ) -> Result<T, FrameError> {
        let Composing { composer, extra, ends, .. } = self;
        let mut stamps = emptied(std::mem::take(&mut self.stamps));
        ends.clear();
        let mut rest = gathering.extra.as_slice();
        for part in &gathering.parts {
            let (own, behind) = rest.split_at_checked(part.extra_bytes).unwrap_or((rest, &[]));
            rest = behind;
            stamps.extend(records::decode_extra(own)?.into_iter().map(records::exception_of));
            ends.push(stamps.len());
        }
        let mut parts = emptied(std::mem::take(&mut self.parts));
        let (mut rest, mut begin) = (gathering.fields.as_str(), 0);
        for (part, end) in gathering.parts.iter().zip(ends.iter()) {
            let (own, behind) = rest.split_at_checked(part.fields_bytes).unwrap_or((rest, ""));
            rest = behind;
            let fields = match part.content {
                ContentKind::Keep => Fields::Keep,
                ContentKind::Merge => Fields::Merge(own),
                ContentKind::Replace => Fields::Replace(own),
            };
            let exceptions = Exceptions::Read(stamps.get(begin..*end).unwrap_or_default());
            begin = *end;
            parts.push(Part { fields, written: part.written, exceptions, before: part.before });
        }
        let looked = composer.compose(&parts, |composed| {
            let (content, fields) = match composed.fields {
                Fields::Keep => (ContentKind::Keep, ""),
                Fields::Merge(text) => (ContentKind::Merge, text),
                Fields::Replace(text) => (ContentKind::Replace, text),
            };
            extra.clear();
            let stamps = composed.exceptions.iter();
            records::encode_extra(stamps.map(|(name, stamp)| records::extra_of(name, *stamp)), extra)?;
            let payload = Payload { fields: fields.as_bytes(), extra };
            Ok(look(Whole { content, written: composed.written, payload }))
        });
        self.parts = emptied(parts);
        self.stamps = emptied(stamps);
        looked
    }
}

impl Whole<'_> {
    /// The lengths of its payload, as a row has them.
    pub(super) fn lengths(&self) -> Result<(u32, u32), FrameError> {
        Ok((length(self.payload.fields.len())?, length(self.payload.extra.len())?))
    }
}

/// What gathering these parts of an entity gives, with so much room for them, behind somebody who wrote before.
#[cfg(feature = "testing")]
pub(crate) fn gathered(before: Clock, parts: &[Effect], gathered_bytes: usize) -> Result<Effect, FrameError> {
    let mut gatherings = Gatherings { gathered_bytes, ..Gatherings::new() };
    let mut found = Effect::identity();
    // The second time in the memory of the first.
    for _ in 0..2 {
        let place = gatherings.begin(before, parts.len(), gathered_bytes);
        for effect in parts {
            let parts = parts_of(uuid::Uuid::nil(), effect, 0, false)?;
            let payload = Payload { fields: parts.fields.as_bytes(), extra: &parts.extra };
            gatherings.push(place, &parts.row, payload)?;
        }
        let whole = gatherings.end(place, |whole| {
            let row = parts_of(uuid::Uuid::nil(), &found, 0, false)?.row;
            effect_of(
                &Row { content: whole.content, written: whole.written, ..row },
                Vec::new(),
                whole.payload,
            )
        })?;
        found = whole.unwrap_or(Ok(found))?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::{Kind, Millis, Seq, Shape};

    #[test]
    fn of_very_many_parts_not_all_are_held() {
        let mut gatherings = Gatherings::new();
        let place = gatherings.begin(Clock::default(), 100_000, 1_000_000);
        for n in 0..100_000 {
            let clock = Clock::of(Some(Millis(n)));
            let row = Row {
                id: uuid::Uuid::nil(),
                name: 0,
                groups: 0,
                content: ContentKind::Merge,
                is_cut: false,
                shape: Shape::of(Seq(n + 1), Kind::Patch, clock),
                written: clock,
                first_at: 0,
                fields_bytes: 0,
                extra_bytes: 0,
            };
            let patch = format!(r#"{{"count":{n},"{}":1}}"#, n % 7);
            gatherings.push(place, &row, Payload { fields: patch.as_bytes(), extra: &[] }).unwrap();
            let gathering = gatherings.all.first().unwrap();
            assert!(gathering.bytes() <= gathered_bytes_max(1024));
            assert!(gathering.fields.capacity() + gathering.extra.capacity() <= 4 * GATHERED_BYTES);
        }
        let found = gatherings.end(place, |whole| whole.payload.fields.to_vec()).unwrap().unwrap();
        let expected = r#"{"0":1,"1":1,"2":1,"3":1,"4":1,"5":1,"6":1,"count":99999}"#;
        assert_eq!(String::from_utf8(found).unwrap(), expected);
    }
}
