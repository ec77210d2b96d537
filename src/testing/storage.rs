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

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::journal::Storage;
use crate::journal::pages::{Pages, out_of_range};

/// The size in bytes of what a disk writes as a whole or not at all.
pub const SECTOR_BYTES: u64 = SECTOR as u64;

const SECTOR: usize = 512;

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

/// How long a [`Fault`] lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Times {
    /// One call fails.
    Once,
    /// From then on every call that it fits fails, until [`FaultyStorage::heal`].
    Always,
}

/// A moment at which the power went: what the disk surely holds and what it may hold.
#[derive(Clone)]
pub struct CrashPoint {
    event: u64,
    synced: Image,
    now: Image,
    unsynced: Vec<Event>,
    under_way: Option<Event>,
}

/// The crashes before each event of a record, and the one after its last.
pub struct Crashes {
    next: Option<CrashPoint>,
    to_come: std::vec::IntoIter<Event>,
}

/// One thing that changes what the disk holds or promises.
#[derive(Clone)]
enum Event {
    Write { offset: u64, data: Arc<[u8]> },
    SetLen(u64),
    Sync,
}

/// The bytes of a file at one moment.
#[derive(Clone, Default)]
struct Image {
    pages: Pages,
    len: u64,
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

    fn from_image(image: Image) -> Self {
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
            Some(record) => Crashes::new(record.start.clone(), record.events.clone()),
            None => Crashes { next: None, to_come: Vec::new().into_iter() },
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

impl Event {
    fn bytes(&self) -> usize {
        match self {
            Event::Write { data, .. } => data.len(),
            Event::SetLen(_) | Event::Sync => 0,
        }
    }

    /// This event as one that was under way when the power went; nothing for a sync.
    fn at_risk(&self) -> Option<Event> {
        match self {
            Event::Write { .. } | Event::SetLen(_) => Some(self.clone()),
            Event::Sync => None,
        }
    }
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
    fn new(start: CrashPoint, events: Vec<Event>) -> Self {
        Crashes { next: Some(start), to_come: events.into_iter() }
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

impl Image {
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset.checked_add(to_u64(out.len())).is_none_or(|end| end > self.len) {
            return Err(out_of_range());
        }
        self.pages.read(offset, out, zeros)
    }

    /// Writes, and grows where that reaches past the end, like a file.
    fn write(&mut self, offset: u64, data: &[u8]) {
        // Fails only for an offset no file reaches: nothing is there then.
        if self.pages.write(offset, data, zeros).is_ok() {
            self.len = self.len.max(offset.saturating_add(to_u64(data.len())));
        }
    }

    fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.pages.truncate(len);
        }
        self.len = len;
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Write { offset, data } => self.write(*offset, data),
            Event::SetLen(len) => self.set_len(*len),
            Event::Sync => {}
        }
    }

    /// Takes a sector over from another image. Past the end of this one only as far as it may `extend`.
    fn copy_sector(&mut self, sector: u64, from: &Image, extend: bool) {
        let start = sector * SECTOR_BYTES;
        let end = if extend { from.len } else { from.len.min(self.len) };
        let Ok(bytes) = usize::try_from(end.saturating_sub(start).min(SECTOR_BYTES)) else { return };
        let mut buffer = [0; SECTOR];
        if let Some(buffer) = buffer.get_mut(..bytes)
            && from.read(start, buffer).is_ok()
        {
            self.write(start, buffer);
        }
    }

    fn flip_bit(&mut self, bit: u64) {
        let mut byte = [0];
        if self.read(bit / 8, &mut byte).is_ok() {
            self.write(bit / 8, &byte.map(|byte| byte ^ (1 << (bit % 8))));
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.len).unwrap_or(usize::MAX)];
        // Cannot fail: it ends where the image ends.
        let _ = self.read(0, &mut bytes);
        bytes
    }
}

/// The numbers of the sectors a write touches.
fn sectors(offset: u64, bytes: usize) -> std::ops::Range<u64> {
    offset / SECTOR_BYTES..offset.saturating_add(to_u64(bytes)).div_ceil(SECTOR_BYTES)
}

fn zeros(_: u64, out: &mut [u8]) -> io::Result<()> {
    out.fill(0);
    Ok(())
}

fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is small: the bias does not matter here.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn pick(&mut self, of: &[u64]) -> u64 {
        let place = usize::try_from(self.below(to_u64(of.len()))).unwrap_or(0);
        of.get(place).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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
