//! Frames: what every stored value is wrapped in.
//!
//! ```text
//! 0      2      3         4            8            24
//! ┌──────┬──────┬─────────┬────────────┬────────────┬──────┐
//! │ "fl" │ kind │ version │ length u32 │ blake3/128 │ body │
//! └──────┴──────┴─────────┴────────────┴────────────┴──────┘
//! ```
//!
//! The hash covers the body, the first eight bytes, and the place where the value is stored: a value
//! that was moved to another key is as damaged as one with a flipped bit. Invariant: a frame that opens
//! is, byte for byte, one that was closed for this kind and place.

use super::binary;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The format of everything inside the frames. A reader refuses a newer one.
pub(crate) const FORMAT_VERSION: u8 = 1;

/// The bytes before the body.
pub(crate) const FRAME_HEAD_BYTES: usize = 24;

/// Room for most records: what is longer makes its own.
const RECORD_BYTES: usize = 512;

const MAGIC: [u8; 2] = *b"fl";
const COVERED: usize = 8;

/// What a frame holds; each kind has a number of its own for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FrameKind {
    Identity = 1,
    State = 2,
    Rows = 3,
    Payload = 4,
    Base = 5,
    BunchText = 6,
    Parked = 7,
    Waits = 8,
    Superseded = 9,
    Trigger = 10,
    SetAside = 11,
    Local = 12,
    Conflict = 13,
    Lost = 14,
    Cursor = 15,
    Replica = 16,
    Authority = 17,
    Account = 18,
    Collection = 19,
    Entity = 20,
    Answer = 21,
    Triggers = 22,
    Left = 23,
    Merged = 24,
    Unparked = 25,
}

/// Why a stored value was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// It is shorter than a frame.
    #[error("{bytes} bytes are too short for a frame")]
    Short {
        /// How long it is.
        bytes: usize,
    },
    /// It does not begin like a frame of this kind.
    #[error("this is no frame of the kind that belongs here")]
    Kind,
    /// A newer program wrote it.
    #[error(
        "format version {found} is newer than {known}, the newest that this program reads; update foldlog"
    )]
    Newer {
        /// The version found.
        found: u8,
        /// The newest version known.
        known: u8,
    },
    /// The length does not agree.
    #[error("the frame says {stated} bytes and has {found}")]
    Length {
        /// What the frame says.
        stated: u32,
        /// What is there.
        found: usize,
    },
    /// The hash does not agree: bits were changed, or the value belongs elsewhere.
    #[error("the checksum does not agree")]
    Checksum,
    /// The body is not what its kind says.
    #[error("{why}")]
    Body {
        /// What is wrong with it.
        why: String,
    },
}

impl From<binary::Undecodable> for FrameError {
    fn from(error: binary::Undecodable) -> Self {
        FrameError::Body { why: error.to_string() }
    }
}

/// Room for a frame's head; the body is appended, then [`close`] fills the head in.
pub(crate) fn begin(body_bytes: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FRAME_HEAD_BYTES + body_bytes);
    bytes.resize(FRAME_HEAD_BYTES, 0);
    bytes
}

/// Fills in the head of a frame whose body stands behind the room for it.
///
/// # Panics
/// Bodies beyond 4 GiB: callers split at [`VALUE_BYTES_MAX`](super::columns::VALUE_BYTES_MAX), and [`record`] refuses
/// longer ones.
pub(crate) fn close(kind: FrameKind, place: &[u8], mut bytes: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(bytes.len() - FRAME_HEAD_BYTES).expect("frames are split far below 4 GiB");
    let (head, body) = bytes.split_at_mut(FRAME_HEAD_BYTES);
    let (covered, hash) = head.split_at_mut(COVERED);
    let [m0, m1] = MAGIC;
    let [l0, l1, l2, l3] = length.to_le_bytes();
    covered.copy_from_slice(&[m0, m1, kind as u8, FORMAT_VERSION, l0, l1, l2, l3]);
    hash.copy_from_slice(&checksum(place, covered, body));
    bytes
}

/// Checks a frame and gives its body.
pub(crate) fn open<'a>(kind: FrameKind, place: &[u8], bytes: &'a [u8]) -> Result<&'a [u8], FrameError> {
    let short = || FrameError::Short { bytes: bytes.len() };
    let (covered, rest) = bytes.split_at_checked(COVERED).ok_or_else(short)?;
    let (hash, body) = rest.split_at_checked(FRAME_HEAD_BYTES - COVERED).ok_or_else(short)?;
    let &[m0, m1, found_kind, version, l0, l1, l2, l3] = covered else { return Err(short()) };
    if [m0, m1] != MAGIC {
        return Err(FrameError::Kind);
    }
    let stated = u32::from_le_bytes([l0, l1, l2, l3]);
    let is_whole = hash == checksum(place, covered, body) || sabotaged!(checksum_not_compared);
    // A newer format may hash and measure otherwise, so its version is told first if it can be believed.
    if version > FORMAT_VERSION && is_whole {
        return Err(FrameError::Newer { found: version, known: FORMAT_VERSION });
    }
    if usize::try_from(stated) != Ok(body.len()) {
        return Err(FrameError::Length { stated, found: body.len() });
    }
    if !is_whole {
        return Err(FrameError::Checksum);
    }
    if found_kind != kind as u8 || version != FORMAT_VERSION {
        return Err(FrameError::Kind);
    }
    Ok(body)
}

/// How many bytes the frame has that seems to begin here, by what it says itself; none where none does.
pub(crate) fn stated_bytes(bytes: &[u8]) -> Option<usize> {
    /// No kind or version comes near; in texts, which begin like a frame now and then, no byte is less.
    const NUMBERS_END: u8 = b' ';
    let (&[m0, m1, kind, version, l0, l1, l2, l3], _) = bytes.split_first_chunk::<COVERED>()?;
    let body = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).ok()?;
    let is_head = [m0, m1] == MAGIC && kind < NUMBERS_END && version < NUMBERS_END;
    if is_head { body.checked_add(FRAME_HEAD_BYTES) } else { None }
}

/// The number of the kind of frame that seems to begin here.
pub(crate) fn stated_kind(bytes: &[u8]) -> Option<u8> {
    stated_bytes(bytes).and_then(|_| bytes.get(2)).copied()
}

/// The body of a frame that was opened before and has not changed since.
pub(crate) fn open_checked(bytes: &[u8]) -> Result<&[u8], FrameError> {
    bytes.get(FRAME_HEAD_BYTES..).ok_or(FrameError::Short { bytes: bytes.len() })
}

/// Frames one record.
pub(crate) fn record<T: Serialize>(kind: FrameKind, place: &[u8], record: &T) -> Result<Vec<u8>, FrameError> {
    let mut bytes = begin(RECORD_BYTES);
    binary::encode_behind(record, &mut bytes)?;
    if bytes.len() > binary::RECORD_BYTES_MAX {
        return Err(FrameError::Body { why: format!("{} bytes are too many for one record", bytes.len()) });
    }
    Ok(close(kind, place, bytes))
}

/// Opens a frame of one record.
pub(crate) fn open_record<T: DeserializeOwned>(
    kind: FrameKind,
    place: &[u8],
    bytes: &[u8],
) -> Result<T, FrameError> {
    Ok(binary::decode(open(kind, place, bytes)?)?)
}

/// Opens a frame of one record whose texts stay where they are.
pub(crate) fn open_borrowed_record<'b, T: Deserialize<'b>>(
    kind: FrameKind,
    place: &[u8],
    bytes: &'b [u8],
) -> Result<T, FrameError> {
    Ok(binary::decode_borrowed(open(kind, place, bytes)?)?)
}

fn checksum(place: &[u8], covered: &[u8], body: &[u8]) -> [u8; FRAME_HEAD_BYTES - COVERED] {
    let mut hasher = blake3::Hasher::new();
    // The body first: where it begins at a chunk of the hash, many chunks are hashed at once. What is covered
    // says how long the body is, and so parts it from what follows.
    hasher.update(body);
    hasher.update(covered);
    hasher.update(place);
    let mut short = [0; FRAME_HEAD_BYTES - COVERED];
    hasher.finalize_xof().fill(&mut short);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Vec<u8> {
        let mut bytes = begin(5);
        bytes.extend_from_slice(b"hello");
        close(FrameKind::Rows, b"log 7", bytes)
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_noticed() {
        let good = frame();
        assert_eq!(open(FrameKind::Rows, b"log 7", &good).unwrap(), b"hello");
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(open(FrameKind::Rows, b"log 7", &bad).is_err(), "bit {bit}");
        }
        for length in 0..good.len() {
            assert!(open(FrameKind::Rows, b"log 7", &good[..length]).is_err(), "length {length}");
        }
    }

    #[test]
    fn a_value_in_the_wrong_place_is_damaged() {
        assert!(matches!(open(FrameKind::Rows, b"log 8", &frame()), Err(FrameError::Checksum)));
        assert!(matches!(open(FrameKind::Payload, b"log 7", &frame()), Err(FrameError::Kind)));
    }

    #[test]
    fn a_newer_format_is_named() {
        let mut bytes = frame();
        bytes[3] = FORMAT_VERSION + 1;
        let (head, body) = bytes.split_at(FRAME_HEAD_BYTES);
        let hash = checksum(b"log 7", &head[..COVERED], body);
        bytes[COVERED..FRAME_HEAD_BYTES].copy_from_slice(&hash);
        assert!(matches!(open(FrameKind::Rows, b"log 7", &bytes), Err(FrameError::Newer { found: 2, .. })));
    }
}
