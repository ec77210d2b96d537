//! What a disk holds when the power comes back. The fault model is that of [`FaultyStorage`]'s module.

use std::collections::HashMap;
use std::fmt;

use super::image::{Event, Image, SECTOR_BYTES, sectors, to_u64};
use super::storage::FaultyStorage;
use crate::workload::random::Random;

/// What becomes of the unsynced writes in a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unsynced {
    /// None of them is there.
    Lost,
    /// All that returned are there.
    Kept,
    /// Some are there, some torn, some older than others: the same for the same seed.
    Sampled {
        /// Chooses which.
        seed: u64,
    },
}

/// A moment at which the power went: what the disk surely holds and what it may hold.
#[derive(Clone)]
pub struct CrashPoint {
    pub(super) event: u64,
    pub(super) synced: Image,
    pub(super) now: Image,
    pub(super) unsynced: Vec<Event>,
    pub(super) under_way: Option<Event>,
}

/// The crashes before each event of a record, and the one after its last.
pub struct Crashes {
    next: Option<CrashPoint>,
    to_come: std::vec::IntoIter<Event>,
}

impl Iterator for Crashes {
    type Item = CrashPoint;

    fn next(&mut self) -> Option<CrashPoint> {
        let mut point = self.next.take()?;
        if let Some(event) = self.to_come.next() {
            point.under_way = event.at_risk();
            self.next = Some(point.then(event));
        }
        Some(point)
    }
}

impl Crashes {
    /// The crashes from `start` on; only that it is none without one.
    pub(super) fn new(start: Option<CrashPoint>, events: Vec<Event>) -> Self {
        Crashes { next: start, to_come: events.into_iter() }
    }
}

impl fmt::Debug for Crashes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crashes").field("next", &self.next).field("to_come", &self.to_come.len()).finish()
    }
}

impl CrashPoint {
    /// The number of the event that was under way: all before it happened.
    #[must_use]
    pub fn event(&self) -> u64 {
        self.event
    }

    /// How many unsynced writes and changes of the length are at stake, the one under way included.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.unsynced.len() + usize::from(self.under_way.is_some())
    }

    /// What the disk holds when the power comes back: a storage of its own, without faults, counted from 0.
    #[must_use]
    pub fn image(&self, unsynced: Unsynced) -> FaultyStorage {
        FaultyStorage::from_image(match unsynced {
            Unsynced::Lost => self.synced.clone(),
            Unsynced::Kept => self.now.clone(),
            Unsynced::Sampled { seed } => self.sampled(seed),
        })
    }

    /// The crash after one more event.
    fn then(&self, event: Event) -> CrashPoint {
        let mut next = CrashPoint { event: self.event + 1, under_way: None, ..self.clone() };
        next.now.apply(&event);
        match event {
            Event::Sync => {
                next.synced = next.now.clone();
                next.unsynced.clear();
            }
            Event::Write { .. } | Event::SetLen(_) => next.unsynced.push(event),
        }
        next
    }

    /// One of the images of the fault model. Events are played in their order, on the image as every
    /// reader saw it and on the disk; a sector that goes to the disk goes there as readers saw it then.
    fn sampled(&self, seed: u64) -> Image {
        let mut random = Random::new(seed);
        let chances = Chances::new(&mut random);
        let lengths = self.at_stake().filter(|event| matches!(event, Event::SetLen(_))).count();
        let mut lengths_kept = random.below(to_u64(lengths) + 1);
        let past_the_end_extends = random.below(2) == 0;
        let mut seen = self.synced.clone();
        let mut disk = self.synced.clone();
        let mut ranks: HashMap<u64, u64> = HashMap::new();
        for event in self.at_stake() {
            seen.apply(event);
            match event {
                Event::Sync => {}
                Event::SetLen(len) => {
                    if let Some(left) = lengths_kept.checked_sub(1) {
                        lengths_kept = left;
                        disk.set_len(*len);
                    }
                }
                Event::Write { offset, data } => {
                    let fate = chances.fate(&mut random);
                    let rank = if chances.reorders { random.next() } else { u64::MAX };
                    for sector in sectors(*offset, data.len()) {
                        let held = ranks.get(&sector).copied().unwrap_or(0);
                        if !fate.keeps(&mut random) || rank < held {
                            continue;
                        }
                        let start = sector * SECTOR_BYTES;
                        if disk.len <= start && !past_the_end_extends {
                            continue;
                        }
                        ranks.insert(sector, rank);
                        disk.copy_sector(sector, &seen, past_the_end_extends);
                    }
                }
            }
        }
        disk
    }

    fn at_stake(&self) -> impl Iterator<Item = &Event> {
        self.unsynced.iter().chain(&self.under_way)
    }
}

impl fmt::Debug for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CrashPoint")
            .field("event", &self.event)
            .field("synced_len", &self.synced.len)
            .field("len", &self.now.len)
            .field("unsynced", &self.unsynced())
            .finish_non_exhaustive()
    }
}

/// How one crash treats its writes: drawn once a crash, so that crashes that lose a single write, or keep
/// a single one, are as common as those that lose half of them.
struct Chances {
    /// Of 16: a write is kept whole.
    keep: u64,
    /// Of 16: a write is torn, if it is not kept whole.
    tear: u64,
    reorders: bool,
}

/// What a crash makes of one write.
#[derive(Clone, Copy)]
enum Fate {
    Kept,
    Lost,
    Torn {
        /// Of 16: a sector is kept.
        keep: u64,
    },
}

impl Chances {
    fn new(random: &mut Random) -> Self {
        const KEEP: [u64; 6] = [0, 2, 8, 12, 15, 16];
        const TEAR: [u64; 4] = [0, 4, 8, 16];
        Chances { keep: random.pick(&KEEP), tear: random.pick(&TEAR), reorders: random.below(2) == 0 }
    }

    fn fate(&self, random: &mut Random) -> Fate {
        if random.below(16) < self.keep {
            Fate::Kept
        } else if random.below(16) < self.tear {
            Fate::Torn { keep: 1 + random.below(15) }
        } else {
            Fate::Lost
        }
    }
}

impl Fate {
    fn keeps(self, random: &mut Random) -> bool {
        match self {
            Fate::Kept => true,
            Fate::Lost => false,
            Fate::Torn { keep } => random.below(16) < keep,
        }
    }
}
