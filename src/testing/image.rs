//! The bytes of a file at one moment, and what changes them. Clones share their pages.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::storage::pages::{Pages, out_of_range};

/// The size in bytes of what a disk writes as a whole or not at all.
pub const SECTOR_BYTES: u64 = SECTOR as u64;

pub(super) const SECTOR: usize = 512;

/// One thing that changes what the disk holds or promises.
#[derive(Clone)]
pub(super) enum Event {
    Write { offset: u64, data: Arc<[u8]> },
    SetLen(u64),
    Sync,
}

/// The bytes of a file at one moment.
#[derive(Clone, Default)]
pub(super) struct Image {
    pages: Pages,
    pub(super) len: u64,
}

impl Event {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Event::Write { data, .. } => data.len(),
            Event::SetLen(_) | Event::Sync => 0,
        }
    }

    /// This event as one that was under way when the power went; nothing for a sync.
    pub(super) fn at_risk(&self) -> Option<Event> {
        match self {
            Event::Write { .. } | Event::SetLen(_) => Some(self.clone()),
            Event::Sync => None,
        }
    }
}

impl Image {
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset.checked_add(to_u64(out.len())).is_none_or(|end| end > self.len) {
            return Err(out_of_range());
        }
        self.pages.read(offset, out, zeros)
    }

    /// Writes, and grows where that reaches past the end, like a file.
    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        // Fails only for an offset no file reaches: nothing is there then.
        if self.pages.write(offset, data, zeros).is_ok() {
            self.len = self.len.max(offset.saturating_add(to_u64(data.len())));
        }
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.pages.truncate(len);
        }
        self.len = len;
    }

    pub(super) fn apply(&mut self, event: &Event) {
        match event {
            Event::Write { offset, data } => self.write(*offset, data),
            Event::SetLen(len) => self.set_len(*len),
            Event::Sync => {}
        }
    }

    /// Takes a sector over from another image. Past the end of this one only as far as it may `extend`.
    pub(super) fn copy_sector(&mut self, sector: u64, from: &Image, extend: bool) {
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

    pub(super) fn flip_bit(&mut self, bit: u64) {
        let mut byte = [0];
        if self.read(bit / 8, &mut byte).is_ok() {
            self.write(bit / 8, &byte.map(|byte| byte ^ (1 << (bit % 8))));
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.len).unwrap_or(usize::MAX)];
        // Cannot fail: it ends where the image ends.
        let _ = self.read(0, &mut bytes);
        bytes
    }
}

/// The numbers of the sectors a write touches.
pub(super) fn sectors(offset: u64, bytes: usize) -> Range<u64> {
    offset / SECTOR_BYTES..offset.saturating_add(to_u64(bytes)).div_ceil(SECTOR_BYTES)
}

fn zeros(_: u64, out: &mut [u8]) -> io::Result<()> {
    out.fill(0);
    Ok(())
}

pub(super) fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
