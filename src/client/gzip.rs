//! Packing what is sent and unpacking what comes, both in bounded memory.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::{GzDecoder, GzEncoder};

use super::error::Error;

/// From how many bytes on a body is packed: below 4 KiB it fits into a few packets either way.
const PACKED_FROM_BYTES: usize = 4 * 1024;

/// The body as it is sent, and whether it is packed.
pub(super) fn packed(text: &str) -> (Vec<u8>, bool) {
    if text.len() < PACKED_FROM_BYTES {
        return (text.as_bytes().to_vec(), false);
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4), Compression::fast());
    // Writing to memory does not fail; if it did, the text goes as it is.
    match encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()) {
        Ok(packed) => (packed, true),
        Err(_) => (text.as_bytes().to_vec(), false),
    }
}

/// What comes of a body of this encoding, in these pieces.
#[cfg(feature = "testing")]
pub(crate) fn arrived<'p>(
    encoding: Option<&str>,
    max: usize,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Result<Vec<u8>, Error> {
    let mut body = Arriving::new(encoding, max)?;
    pieces.into_iter().try_for_each(|piece| body.take(piece))?;
    body.end()
}

/// A body that comes in pieces, packed or not.
#[derive(Debug)]
pub(super) struct Arriving {
    body: Body,
    received: u64,
    max: usize,
}

#[derive(Debug)]
enum Body {
    Plain(Bounded),
    Packed(Box<GzDecoder<Bounded>>),
}

impl Arriving {
    /// A body of this encoding, of at most so many bytes when it is unpacked.
    pub(super) fn new(encoding: Option<&str>, max: usize) -> Result<Self, Error> {
        let into = Bounded { bytes: Vec::new(), max, is_over: false };
        let body = match encoding.map(|name| name.trim().to_ascii_lowercase()).as_deref() {
            None | Some("" | "identity") => Body::Plain(into),
            Some("gzip" | "x-gzip") => Body::Packed(Box::new(GzDecoder::new(into))),
            Some(other) => {
                let why =
                    format!("it comes as {:?}; only gzip was asked for", crate::algebra::shortened(other));
                return Err(Error::Packed { why });
            }
        };
        Ok(Arriving { body, received: 0, max })
    }

    /// Takes a piece.
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.received += piece.len() as u64;
        // Nothing that is packed may go on for ever without coming to anything.
        if self.received > self.max as u64 {
            return Err(Error::TooLong { max: self.max });
        }
        let taken = match &mut self.body {
            Body::Plain(into) => into.write_all(piece),
            Body::Packed(decoder) => decoder.write_all(piece),
        };
        taken.map_err(|error| self.refused(&error))
    }

    /// Bytes that came, as they came.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// The whole of it.
    pub(super) fn end(mut self) -> Result<Vec<u8>, Error> {
        if let Body::Packed(decoder) = &mut self.body
            && let Err(error) = decoder.try_finish()
        {
            return Err(self.refused(&error));
        }
        Ok(match self.body {
            Body::Plain(into) => into.bytes,
            Body::Packed(mut decoder) => std::mem::take(&mut decoder.get_mut().bytes),
        })
    }

    fn refused(&self, error: &io::Error) -> Error {
        let is_over = match &self.body {
            Body::Plain(into) => into.is_over,
            Body::Packed(decoder) => decoder.get_ref().is_over,
        };
        match is_over {
            true => Error::TooLong { max: self.max },
            false => Error::Packed { why: error.to_string() },
        }
    }
}

/// Bytes up to a bound.
#[derive(Debug)]
struct Bounded {
    bytes: Vec<u8>,
    max: usize,
    is_over: bool,
}

impl Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.bytes.len().saturating_add(piece.len()) > self.max {
            self.is_over = true;
            return Err(io::Error::other("too many bytes"));
        }
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Arriving, Compression, Error, GzEncoder, packed};

    fn arrived(bytes: &[u8], encoding: Option<&str>, max: usize, piece: usize) -> Result<Vec<u8>, Error> {
        let mut body = Arriving::new(encoding, max)?;
        bytes.chunks(piece).try_for_each(|piece| body.take(piece))?;
        body.end()
    }

    #[test]
    fn what_is_packed_is_unpacked_in_whatever_pieces_it_comes() {
        let text = r#"{"rows":[]}"#.repeat(1_000);
        let (bytes, is_packed) = packed(&text);
        assert!(is_packed && bytes.len() < text.len() / 20);
        for piece in [1, 7, 100_000] {
            assert_eq!(arrived(&bytes, Some("GZIP"), text.len(), piece).unwrap(), text.as_bytes());
            assert_eq!(arrived(text.as_bytes(), None, text.len(), piece).unwrap(), text.as_bytes());
        }
        assert_eq!(packed("{}"), (b"{}".to_vec(), false));
    }

    #[test]
    fn what_is_too_much_or_broken_is_refused_as_such() {
        let text = "x".repeat(1_000_000);
        let (bytes, _) = packed(&text);
        assert!(matches!(arrived(&bytes, Some("gzip"), 999_999, 100), Err(Error::TooLong { .. })));
        assert!(matches!(arrived(text.as_bytes(), None, 999_999, 100), Err(Error::TooLong { .. })));
        let cut = &bytes[..bytes.len() - 3];
        assert!(matches!(arrived(cut, Some("gzip"), 2_000_000, 100), Err(Error::Packed { .. })));
        assert!(matches!(arrived(b"{}", Some("gzip"), 100, 100), Err(Error::Packed { .. })));
        assert!(matches!(arrived(b"{}", Some("br"), 100, 100), Err(Error::Packed { .. })));
        // Many members of nothing: packed bytes without end that come to nothing.
        let (mut empty, nothing) =
            (Vec::new(), GzEncoder::new(Vec::new(), Compression::fast()).finish().unwrap());
        (0..100).for_each(|_| empty.extend_from_slice(&nothing));
        assert!(arrived(&empty, Some("gzip"), 100, 100).is_err());
    }
}
