//! A storage that fails on purpose: crashes that lose, reorder and tear what was not synced, and calls
//! that return errors. In memory, deterministic, and cheap to take an image of.
//!
//! # Fault model
//!
//! What a disk may hold after a crash:
//!
//! | of | holds |
//! |---|---|
//! | what was written before a sync that succeeded | all of it |
//! | what was written since, and the write under way | of each write all, nothing, or any of its 512-byte sectors |
//! | a sector written several times since | any one of its contents in that time, not only the last: the disk may have written it early and lost the rest, or two writes in the other order |
//! | the length, set several times since | any one of its values in that time; a length set later never without the ones before it |
//! | sectors written past an end that did not move | nothing, or the file reaches to the last of them, with zeros between |
//!
//! A sector is never a mixture of two contents: that is the one thing a disk promises. Bytes that were
//! not written do not change (see [`FaultyStorage::flip_bit`] for rot), and nothing is written to a
//! place it was not meant for. A sync that fails promises nothing, and a later one that succeeds makes
//! good for it: a system that forgets what it failed to write (Linux may) is *not* modelled.
//!
//! What a call may do instead of its work is a [`Fault`], at the *n*-th call, once or from then on.
//!
//! # Two ways to crash
//!
//! | | cost for a workload of *n* events | for |
//! |---|---|---|
//! | [`FaultyStorage::crash_at`] | *n* runs | what the program itself does when the power goes |
//! | [`FaultyStorage::record`], then [`FaultyStorage::crashes`] | one run | what the disk holds afterwards |
//!
//! An event is a write, a change of the length or a sync. Images share their 4 KiB pages until they are
//! written to. Memory: the image, plus what was written since the last sync up to
//! [`UNSYNCED_BYTES_MAX`]; with a record, everything written since it began.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::crash::{CrashPoint, Crashes, Unsynced};
use super::image::{Event, Image};
use crate::journal::Storage;
use crate::storage::pages::out_of_range;

/// How many unsynced bytes are remembered: 64 MiB. Beyond, the oldest count as written, which is what a
/// system short of memory does too.
pub const UNSYNCED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A storage in memory that can crash and fail. A clone is another handle to the same storage.
///
/// ```
/// use foldlog::journal::Storage;
/// use foldlog::testing::{FaultyStorage, Unsynced};
/// let disk = FaultyStorage::new();
/// disk.write(0, b"old")?;
/// disk.sync()?;
/// disk.crash_at(disk.events() + 1);
/// disk.write(0, b"new")?;
/// assert!(disk.sync().is_err());
/// assert_eq!(disk.after_crash(Unsynced::Lost).bytes(), b"old");
/// assert_eq!(disk.after_crash(Unsynced::Kept).bytes(), b"new");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct FaultyStorage {
    disk: Arc<Mutex<Disk>>,
}

/// What a call does instead of its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Any call: an I/O error, and nothing was done.
    Any,
    /// A read: an I/O error.
    Read,
    /// A read: half of the bytes, then the end of the file.
    ShortRead,
    /// A write or a change of the length: an I/O error, and nothing was done.
    Write,
    /// A write: half of the bytes are written, then an I/O error.
    ShortWrite,
    /// A write, or a length that grows: half of the bytes are written, then "no space left".
    NoSpace,
    /// A sync: an I/O error, and nothing new is promised.
    Sync,
}

impl Fault {
    /// Every kind of fault.
    pub const ALL: [Fault; 7] = [
        Fault::Any,
        Fault::Read,
        Fault::ShortRead,
        Fault::Write,
        Fault::ShortWrite,
        Fault::NoSpace,
        Fault::Sync,
    ];
}

/// How long a [`Fault`] lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Times {
    /// One call fails.
    Once,
    /// From then on every call that it fits fails, until [`FaultyStorage::heal`].
    Always,
}

struct ArmedFault {
    call: u64,
    fault: Fault,
    times: Times,
}

struct Record {
    start: CrashPoint,
    events: Vec<Event>,
}

/// What the handles share.
#[derive(Default)]
struct Disk {
    now: Image,
    synced: Image,
    unsynced: VecDeque<Event>,
    unsynced_bytes: usize,
    events: u64,
    calls: u64,
    crash_at: Option<u64>,
    /// Set by the crash: the event that was under way, if it was not a sync.
    crashed: Option<Option<Event>>,
    faults: Vec<ArmedFault>,
    faults_fired: u64,
    record: Option<Record>,
}

/// What a call is about to do.
#[derive(Clone, Copy)]
enum Call {
    Len,
    Read,
    Write,
    Grow,
    Shrink,
    Sync,
}

impl FaultyStorage {
    /// An empty storage without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::from_image(Image::default())
    }

    /// A storage that holds these bytes, synced.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut image = Image::default();
        image.write(0, bytes);
        Self::from_image(image)
    }

    pub(super) fn from_image(image: Image) -> Self {
        let disk = Disk { now: image.clone(), synced: image, ..Disk::default() };
        FaultyStorage { disk: Arc::new(Mutex::new(disk)) }
    }

    /// What the storage holds now, synced or not.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.disk().now.bytes()
    }

    /// Another storage that holds the same bytes, all of them synced, without faults and counted from 0.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        Self::from_image(self.disk().now.clone())
    }

    /// How many events there were: writes, changes of the length and syncs, those that failed without
    /// effect not counted.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.disk().events
    }

    /// How many calls there were, of any kind, those that failed counted too.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.disk().calls
    }

    /// How many calls were made to fail by [`fail_at`](Self::fail_at).
    #[must_use]
    pub fn faults_fired(&self) -> u64 {
        self.disk().faults_fired
    }

    /// How many unsynced writes and changes of the length a crash could lose now.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.disk().unsynced.len()
    }

    /// Takes the power away at the event with this number, counted from 0 like
    /// [`events`](Self::events): it is under way when it happens, it and every call after it fail. A
    /// number that has passed: at the next event.
    pub fn crash_at(&self, event: u64) {
        self.disk().crash_at = Some(event);
    }

    /// Whether the power is gone.
    #[must_use]
    pub fn is_crashed(&self) -> bool {
        self.disk().crashed.is_some()
    }

    /// What the disk holds when the power comes back, as a storage of its own that knows no faults and
    /// counts from 0. If the power is not gone: as if it went now.
    #[must_use]
    pub fn after_crash(&self, unsynced: Unsynced) -> FaultyStorage {
        self.disk().crash_point().image(unsynced)
    }

    /// Begins to remember every event, for [`crashes`](Self::crashes). What was remembered is dropped.
    pub fn record(&self) {
        let mut disk = self.disk();
        let start = disk.crash_point();
        disk.record = Some(Record { start, events: Vec::new() });
    }

    /// Every crash that could have happened since [`record`](Self::record): before each event and after
    /// the last. None without a record.
    #[must_use]
    pub fn crashes(&self) -> Crashes {
        match &self.disk().record {
            Some(record) => Crashes::new(Some(record.start.clone()), record.events.clone()),
            None => Crashes::new(None, Vec::new()),
        }
    }

    /// Makes the call with this number fail, counted from 0 like [`calls`](Self::calls), or the first one
    /// after it that the fault fits.
    pub fn fail_at(&self, call: u64, fault: Fault, times: Times) {
        self.disk().faults.push(ArmedFault { call, fault, times });
    }

    /// Takes every fault away. A crash stays.
    pub fn heal(&self) {
        self.disk().faults.clear();
    }

    /// Turns one bit around, counted from the lowest of the first byte, on the disk and for every reader.
    /// Nothing past the end.
    pub fn flip_bit(&self, bit: u64) {
        let mut disk = self.disk();
        disk.now.flip_bit(bit);
        disk.synced.flip_bit(bit);
    }

    /// Cuts the storage off at `len`, or lengthens it with zeros, as if it had always been so: no event,
    /// and what was unsynced counts as synced.
    pub fn truncate(&self, len: u64) {
        let mut disk = self.disk();
        disk.now.set_len(len);
        disk.synced = disk.now.clone();
        disk.unsynced.clear();
        disk.unsynced_bytes = 0;
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        // A panic elsewhere leaves whole images behind: every change is made by one call.
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for FaultyStorage {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FaultyStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let disk = self.disk();
        f.debug_struct("FaultyStorage")
            .field("len", &disk.now.len)
            .field("events", &disk.events)
            .field("unsynced", &disk.unsynced.len())
            .field("crashed", &disk.crashed.is_some())
            .finish_non_exhaustive()
    }
}

impl Storage for FaultyStorage {
    fn len(&self) -> io::Result<u64> {
        let mut disk = self.disk();
        disk.admit(Call::Len).map_err(Refused::into_error)?;
        Ok(disk.now.len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut disk = self.disk();
        let refused = disk.admit(Call::Read).err();
        let half = out.len() / 2;
        match refused {
            None => disk.now.read(offset, out),
            Some(Refused::ShortRead) => {
                disk.now.read(offset, out.get_mut(..half).ok_or_else(out_of_range)?)?;
                Err(Refused::ShortRead.into_error())
            }
            Some(refused) => Err(refused.into_error()),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut disk = self.disk();
        let call = if len > disk.now.len { Call::Grow } else { Call::Shrink };
        disk.admit(call).map_err(Refused::into_error)?;
        disk.happen(Event::SetLen(len))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut disk = self.disk();
        if data.is_empty() {
            return disk.admit(Call::Write).map_err(Refused::into_error);
        }
        match disk.admit(Call::Write) {
            Ok(()) => disk.happen(Event::Write { offset, data: data.into() }),
            Err(refused) => {
                if let Refused::ShortWrite | Refused::NoSpace = refused
                    && let Some(half @ [_, ..]) = data.get(..data.len() / 2)
                {
                    disk.happen(Event::Write { offset, data: half.into() })?;
                }
                Err(refused.into_error())
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.disk();
        disk.admit(Call::Sync).map_err(Refused::into_error)?;
        disk.happen(Event::Sync)
    }
}

/// Why a call is not carried out.
#[derive(Clone, Copy)]
enum Refused {
    PowerGone,
    Io,
    ShortRead,
    ShortWrite,
    NoSpace,
}

impl Refused {
    fn into_error(self) -> io::Error {
        match self {
            Refused::PowerGone => io::Error::other("the power is gone"),
            Refused::Io => io::Error::other("injected I/O error"),
            Refused::ShortRead => io::Error::new(io::ErrorKind::UnexpectedEof, "injected short read"),
            Refused::ShortWrite => io::Error::new(io::ErrorKind::WriteZero, "injected short write"),
            Refused::NoSpace => io::Error::new(io::ErrorKind::StorageFull, "injected: no space left"),
        }
    }
}

impl Fault {
    /// What becomes of a call under this fault; nothing if it does not fit.
    fn refusal(self, call: Call) -> Option<Refused> {
        match (self, call) {
            (Fault::Any, Call::Len | Call::Read | Call::Write | Call::Grow | Call::Shrink | Call::Sync)
            | (Fault::Read, Call::Read)
            | (Fault::Write, Call::Write | Call::Grow | Call::Shrink)
            | (Fault::Sync, Call::Sync) => Some(Refused::Io),
            (Fault::ShortRead, Call::Read) => Some(Refused::ShortRead),
            (Fault::ShortWrite, Call::Write) => Some(Refused::ShortWrite),
            (Fault::NoSpace, Call::Write | Call::Grow) => Some(Refused::NoSpace),
            (Fault::Read | Fault::ShortRead, _)
            | (Fault::Write | Fault::ShortWrite | Fault::NoSpace, _)
            | (Fault::Sync, _) => None,
        }
    }
}

impl Disk {
    /// Counts a call and says whether it may go on.
    fn admit(&mut self, call: Call) -> Result<(), Refused> {
        let number = self.calls;
        self.calls += 1;
        if self.crashed.is_some() {
            return Err(Refused::PowerGone);
        }
        let armed = self.faults.iter().enumerate().find_map(|(place, armed)| {
            let refused = (armed.call <= number).then(|| armed.fault.refusal(call))??;
            Some((place, armed.times, refused))
        });
        let Some((place, times, refused)) = armed else { return Ok(()) };
        match times {
            Times::Once => drop(self.faults.remove(place)),
            Times::Always => {}
        }
        self.faults_fired += 1;
        Err(refused)
    }

    /// Lets an event happen, or the crash that was to come with it.
    fn happen(&mut self, event: Event) -> io::Result<()> {
        if self.crash_at.is_some_and(|crash| crash <= self.events) {
            self.crashed = Some(event.at_risk());
            return Err(Refused::PowerGone.into_error());
        }
        if let Some(record) = &mut self.record {
            record.events.push(event.clone());
        }
        self.events += 1;
        self.now.apply(&event);
        match event {
            Event::Sync => {
                self.synced = self.now.clone();
                self.unsynced.clear();
                self.unsynced_bytes = 0;
            }
            Event::Write { .. } | Event::SetLen(_) => {
                self.unsynced_bytes += event.bytes();
                self.unsynced.push_back(event);
                self.write_oldest_back();
            }
        }
        Ok(())
    }

    /// Keeps what is remembered within [`UNSYNCED_BYTES_MAX`].
    fn write_oldest_back(&mut self) {
        while self.unsynced_bytes > UNSYNCED_BYTES_MAX
            && let Some(oldest) = self.unsynced.pop_front()
        {
            self.unsynced_bytes -= oldest.bytes();
            self.synced.apply(&oldest);
        }
    }

    fn crash_point(&self) -> CrashPoint {
        CrashPoint {
            event: self.events,
            synced: self.synced.clone(),
            now: self.now.clone(),
            unsynced: self.unsynced.iter().cloned().collect(),
            under_way: self.crashed.clone().flatten(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::SECTOR_BYTES;
    use super::*;

    /// A synced file of `sectors` sectors of `byte`.
    fn synced(sectors: u64, byte: u8) -> FaultyStorage {
        FaultyStorage::from_bytes(&vec![byte; usize::try_from(sectors * SECTOR_BYTES).unwrap()])
    }

    fn sampled(disk: &FaultyStorage, seeds: u64) -> impl Iterator<Item = Vec<u8>> {
        (0..seeds).map(|seed| disk.after_crash(Unsynced::Sampled { seed }).bytes())
    }

    /// The first byte of each sector, if all of its bytes are equal.
    fn by_sector(bytes: &[u8]) -> Vec<u8> {
        bytes
            .chunks(512)
            .map(|sector| {
                assert!(sector.iter().all(|byte| byte == &sector[0]), "a sector is a mixture");
                sector[0]
            })
            .collect()
    }

    #[test]
    fn what_was_synced_survives_every_crash() {
        let disk = synced(8, 1);
        disk.write(512, &[2; 1024]).unwrap();
        disk.sync().unwrap();
        disk.write(2048, &[3; 512]).unwrap();
        for bytes in sampled(&disk, 1000) {
            let sectors = by_sector(&bytes);
            assert_eq!(sectors[..4], [1, 2, 2, 1]);
            assert_eq!(sectors[5..], [1, 1, 1]);
        }
    }

    #[test]
    fn unsynced_writes_are_lost_kept_and_torn_by_the_sector() {
        let disk = synced(4, 1);
        disk.write(0, &[2; 2048]).unwrap();
        let seen: BTreeSet<Vec<u8>> = sampled(&disk, 3000).map(|bytes| by_sector(&bytes)).collect();
        assert_eq!(seen.len(), 16, "each sector is the old one or the new one, in every combination");
    }

    #[test]
    fn a_later_write_may_survive_without_the_earlier_one() {
        let disk = synced(2, 1);
        disk.write(0, &[2; 512]).unwrap();
        disk.write(512, &[3; 512]).unwrap();
        let seen: BTreeSet<Vec<u8>> = sampled(&disk, 300).map(|bytes| by_sector(&bytes)).collect();
        assert_eq!(seen, [[1, 1], [1, 3], [2, 1], [2, 3]].map(Vec::from).into());
    }

    #[test]
    fn a_sector_written_twice_may_hold_either_content() {
        let disk = synced(1, 1);
        disk.write(0, &[2; 512]).unwrap();
        disk.write(0, &[3; 512]).unwrap();
        let seen: BTreeSet<Vec<u8>> = sampled(&disk, 300).map(|bytes| by_sector(&bytes)).collect();
        assert_eq!(seen, [[1], [2], [3]].map(Vec::from).into());
    }

    #[test]
    fn a_part_of_a_sector_never_arrives_without_what_was_written_before_it() {
        let disk = synced(1, 0);
        disk.write(0, &[1; 100]).unwrap();
        disk.write(100, &[2; 100]).unwrap();
        for bytes in sampled(&disk, 300) {
            assert!(bytes[100] == 0 || bytes[0] == 1);
        }
    }

    #[test]
    fn a_file_that_did_not_grow_drops_what_lies_past_its_end_or_reaches_that_far() {
        let disk = synced(1, 1);
        disk.set_len(8 * 512).unwrap();
        disk.write(3 * 512, &[2; 512]).unwrap();
        let seen: BTreeSet<Vec<u8>> = sampled(&disk, 1000).map(|bytes| by_sector(&bytes)).collect();
        let expected =
            [vec![1], vec![1, 0, 0, 2], vec![1, 0, 0, 0, 0, 0, 0, 0], vec![1, 0, 0, 2, 0, 0, 0, 0]];
        assert_eq!(seen, expected.into());
    }

    #[test]
    fn lengths_take_effect_in_their_order() {
        let disk = synced(4, 1);
        disk.set_len(512).unwrap();
        disk.set_len(1024).unwrap();
        let seen: BTreeSet<Vec<u8>> = sampled(&disk, 300).map(|bytes| by_sector(&bytes)).collect();
        assert_eq!(seen, [vec![1, 1, 1, 1], vec![1], vec![1, 0]].into());
    }

    #[test]
    fn the_same_seed_gives_the_same_image() {
        let disk = synced(16, 1);
        for place in 0..16u8 {
            disk.write(u64::from(place) * 300, &[place; 900]).unwrap();
        }
        assert!(sampled(&disk, 50).eq(sampled(&disk, 50)));
    }

    #[test]
    fn nothing_works_after_the_power_is_gone() {
        let disk = synced(1, 1);
        disk.crash_at(1);
        disk.write(0, &[2; 10]).unwrap();
        assert!(!disk.is_crashed());
        assert!(disk.sync().is_err());
        assert!(disk.is_crashed());
        assert!(disk.len().is_err());
        assert!(disk.read(0, &mut [0]).is_err());
        assert!(disk.write(0, &[0]).is_err());
        assert!(disk.set_len(0).is_err());
        assert_eq!(disk.events(), 1);
        assert_eq!(disk.after_crash(Unsynced::Lost).bytes(), [1; 512]);
    }

    #[test]
    fn the_write_under_way_may_be_there_but_is_not_among_those_that_returned() {
        let disk = synced(2, 1);
        disk.crash_at(0);
        assert!(disk.write(0, &[2; 1024]).is_err());
        assert_eq!(by_sector(&disk.after_crash(Unsynced::Kept).bytes()), [1, 1]);
        let seen: BTreeSet<Vec<u8>> = sampled(&disk, 300).map(|bytes| by_sector(&bytes)).collect();
        assert_eq!(seen.len(), 4);
    }

    #[test]
    fn a_record_gives_the_same_crashes_as_running_again() {
        fn work(disk: &FaultyStorage) -> io::Result<()> {
            disk.set_len(8192)?;
            for round in 1..6u8 {
                disk.write(u64::from(round) * 700, &[round; 1500])?;
                if round % 2 == 0 {
                    disk.sync()?;
                }
            }
            disk.set_len(5000)?;
            disk.write(0, &[9; 4000])
        }
        let disk = synced(2, 7);
        disk.record();
        work(&disk).unwrap();
        let crashes: Vec<CrashPoint> = disk.crashes().collect();
        assert_eq!(crashes.len() as u64, disk.events() + 1);
        for crash in &crashes {
            let again = synced(2, 7);
            again.crash_at(crash.event());
            assert_eq!(work(&again).is_err(), crash.event() < disk.events());
            let fates = [Unsynced::Lost, Unsynced::Kept]
                .into_iter()
                .chain((0..20).map(|seed| Unsynced::Sampled { seed }));
            for fate in fates {
                assert_eq!(crash.image(fate).bytes(), again.after_crash(fate).bytes());
            }
        }
    }

    #[test]
    fn an_image_is_another_storage() {
        let disk = synced(1, 1);
        let image = disk.after_crash(Unsynced::Kept);
        image.write(0, &[2; 512]).unwrap();
        assert_eq!(disk.bytes(), [1; 512]);
        assert_eq!(image.events(), 1);
        assert_eq!(disk.clone().events(), 0);
    }

    #[test]
    fn a_fault_strikes_once_or_until_it_is_healed() {
        let disk = synced(1, 1);
        disk.fail_at(1, Fault::Write, Times::Once);
        disk.write(0, &[2]).unwrap();
        disk.sync().unwrap();
        assert!(disk.write(1, &[2]).is_err());
        disk.write(2, &[2]).unwrap();
        assert_eq!(disk.bytes()[..3], [2, 1, 2]);
        disk.fail_at(0, Fault::Any, Times::Always);
        assert!(disk.len().is_err() && disk.read(0, &mut [0]).is_err() && disk.sync().is_err());
        disk.heal();
        assert_eq!(disk.len().unwrap(), 512);
        assert_eq!(disk.faults_fired(), 4);
    }

    #[test]
    fn short_reads_and_writes_do_half_and_then_fail() {
        let disk = synced(1, 1);
        disk.fail_at(0, Fault::ShortWrite, Times::Once);
        disk.fail_at(0, Fault::ShortRead, Times::Once);
        assert!(disk.write(0, &[2; 4]).is_err());
        let mut out = [0; 6];
        assert_eq!(disk.read(0, &mut out).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(out, [2, 2, 1, 0, 0, 0]);
        disk.fail_at(0, Fault::NoSpace, Times::Always);
        assert_eq!(disk.set_len(10_000).unwrap_err().kind(), io::ErrorKind::StorageFull);
        disk.set_len(100).unwrap();
        assert_eq!(disk.write(0, &[3; 2]).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.bytes()[..3], [3, 2, 1]);
    }

    #[test]
    fn a_failed_sync_promises_nothing() {
        let disk = synced(1, 1);
        disk.write(0, &[2; 512]).unwrap();
        disk.fail_at(0, Fault::Sync, Times::Once);
        assert!(disk.sync().is_err());
        assert_eq!(disk.after_crash(Unsynced::Lost).bytes(), [1; 512]);
        disk.sync().unwrap();
        assert_eq!(disk.after_crash(Unsynced::Lost).bytes(), [2; 512]);
    }

    #[test]
    fn reads_and_lengths_are_those_of_a_file() {
        let disk = FaultyStorage::new();
        assert!(disk.is_empty().unwrap());
        assert!(disk.read(0, &mut [0]).is_err());
        disk.write(5000, &[1; 10]).unwrap();
        assert_eq!(disk.len().unwrap(), 5010);
        disk.set_len(5005).unwrap();
        disk.set_len(5010).unwrap();
        assert_eq!(disk.bytes()[5000..], [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]);
        assert!(disk.read(5009, &mut [0; 2]).is_err());
        assert!(disk.read(u64::MAX, &mut [0; 2]).is_err());
    }

    #[test]
    fn damage_is_no_event_and_is_there_after_a_crash() {
        let disk = synced(1, 0);
        disk.flip_bit(8 * 3 + 1);
        disk.flip_bit(u64::MAX);
        assert_eq!(disk.after_crash(Unsynced::Lost).bytes()[..5], [0, 0, 0, 2, 0]);
        disk.truncate(4);
        assert_eq!(disk.after_crash(Unsynced::Lost).bytes(), [0, 0, 0, 2]);
        assert_eq!(disk.events(), 0);
    }

    #[test]
    fn what_is_unsynced_is_remembered_within_its_bound() {
        let disk = FaultyStorage::new();
        let megabyte = vec![1; 1024 * 1024];
        for _ in 0..70 {
            disk.write(0, &megabyte).unwrap();
        }
        assert_eq!(disk.unsynced(), 64);
        assert_eq!(disk.after_crash(Unsynced::Lost).len().unwrap(), 1024 * 1024);
    }
}
