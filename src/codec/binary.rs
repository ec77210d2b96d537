//! The only user of bincode: little-endian, fixed-size integers, bounded by what there is, every byte accounted for.
//!
//! bincode is unmaintained and its version 3 does not compile, so it stays behind this module, and in
//! the one layout that is easily read without it.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use bincode::error::DecodeError;
use bincode::serde::{borrow_decode_from_slice, decode_from_slice};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The most that one decoded record may ask for: a state of the largest size, twice, and change.
/// Without a limit a message of 9 bytes could ask for a tebibyte.
const DECODED_BYTES_MAX: usize = 48 * 1024 * 1024;
/// A record that is no longer than this cannot hold a longer text than this either.
const SHORT_BYTES_MAX: usize = 64 * 1024;

const fn layout<const BYTES_MAX: usize>() -> Configuration<LittleEndian, Fixint, Limit<BYTES_MAX>> {
    bincode::config::standard().with_little_endian().with_fixed_int_encoding().with_limit()
}

const LAYOUT: Configuration<LittleEndian, Fixint, Limit<DECODED_BYTES_MAX>> = layout();
const SHORT: Configuration<LittleEndian, Fixint, Limit<SHORT_BYTES_MAX>> = layout();

/// A record could not be decoded.
#[derive(Debug, thiserror::Error)]
#[error("the record does not decode: {why}")]
pub(crate) struct Undecodable {
    why: String,
}

/// Encodes a record.
///
/// # Errors
/// As [`encode_behind`].
pub(crate) fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>, Undecodable> {
    let mut bytes = Vec::new();
    encode_behind(record, &mut bytes).map(|()| bytes)
}

/// Encodes a record behind what is in the buffer already.
///
/// # Errors
/// A record that serde cannot take apart.
pub(crate) fn encode_behind<T: Serialize>(record: &T, buffer: &mut Vec<u8>) -> Result<(), Undecodable> {
    let encoded = bincode::serde::encode_into_std_write(record, buffer, LAYOUT);
    encoded.map(drop).map_err(|error| Undecodable { why: error.to_string() })
}

/// Decodes a record from all of these bytes.
///
/// # Errors
/// Bytes that are no such record, or more than one.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Undecodable> {
    let is_short = bytes.len() <= SHORT_BYTES_MAX;
    whole(bytes, if is_short { decode_from_slice(bytes, SHORT) } else { decode_from_slice(bytes, LAYOUT) })
}

/// Decodes a record whose texts stay where they are.
///
/// # Errors
/// As [`decode`].
pub(crate) fn decode_borrowed<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Result<T, Undecodable> {
    let is_short = bytes.len() <= SHORT_BYTES_MAX;
    let decoded = if is_short {
        borrow_decode_from_slice(bytes, SHORT)
    } else {
        borrow_decode_from_slice(bytes, LAYOUT)
    };
    whole(bytes, decoded)
}

fn whole<T>(bytes: &[u8], decoded: Result<(T, usize), DecodeError>) -> Result<T, Undecodable> {
    match decoded {
        Ok((record, read)) if read == bytes.len() => Ok(record),
        Ok((_, read)) => Err(Undecodable { why: format!("{} bytes are left over", bytes.len() - read) }),
        Err(error) => Err(Undecodable { why: error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_message_cannot_ask_for_a_tebibyte() {
        let mut bytes = (1_u64 << 40).to_le_bytes().to_vec();
        bytes.push(0);
        assert!(decode::<Vec<u8>>(&bytes).is_err());
        assert!(decode::<Vec<String>>(&bytes).is_err());
    }

    #[test]
    fn a_short_message_cannot_ask_for_much_memory() {
        let mut bytes = (32_u64 << 20).to_le_bytes().to_vec();
        bytes.push(0);
        let refused = decode::<String>(&bytes).unwrap_err().to_string();
        assert!(refused.contains("LimitExceeded"), "{refused}");
    }

    #[test]
    fn what_fills_a_record_is_read_on_either_side_of_the_limit() {
        for bytes in [SHORT_BYTES_MAX - 8, SHORT_BYTES_MAX - 7, SHORT_BYTES_MAX, 20 << 20] {
            let text = "x".repeat(bytes);
            assert_eq!(decode_borrowed::<&str>(&encode(&text).unwrap()).unwrap(), text);
            assert_eq!(decode::<String>(&encode(&text).unwrap()).unwrap(), text);
        }
    }

    #[test]
    fn every_byte_must_be_read() {
        let mut bytes = encode(&(7_u32, "x".to_owned())).unwrap();
        assert_eq!(decode::<(u32, String)>(&bytes).unwrap(), (7, "x".to_owned()));
        bytes.push(0);
        assert!(decode::<(u32, String)>(&bytes).is_err());
    }
}
