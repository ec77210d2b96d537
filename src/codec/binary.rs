//! The only user of bincode: little-endian, fixed-size integers, bounded by what there is, every byte accounted for.
//!
//! bincode is unmaintained and its version 3 does not compile, so it stays behind this module, and in
//! the one layout that is easily read without it.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use bincode::error::DecodeError;
use bincode::serde::borrow_decode_from_slice;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What the records of each length may ask for when they are decoded: none holds more than it is long. Without a limit a
/// message of 9 bytes could ask for a tebibyte; with the same one for all, a long record could be written that nobody
/// reads.
const SHORT_BYTES_MAX: usize = 64 * 1024;
const LONG_BYTES_MAX: usize = 48 * 1024 * 1024;
const LONGER_BYTES_MAX: usize = 4 * LONG_BYTES_MAX;
const LONGEST_BYTES_MAX: usize = 16 * LONG_BYTES_MAX;
/// The most that the engine takes as one value: 3 GiB.
pub(crate) const RECORD_BYTES_MAX: usize = 64 * LONG_BYTES_MAX;

const fn layout<const BYTES_MAX: usize>() -> Configuration<LittleEndian, Fixint, Limit<BYTES_MAX>> {
    bincode::config::standard().with_little_endian().with_fixed_int_encoding().with_limit()
}

const LAYOUT: Configuration<LittleEndian, Fixint, Limit<RECORD_BYTES_MAX>> = layout();

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
    decode_borrowed(bytes)
}

/// Decodes a record whose texts stay where they are.
///
/// # Errors
/// As [`decode`].
pub(crate) fn decode_borrowed<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Result<T, Undecodable> {
    let decoded = match bytes.len() {
        0..=SHORT_BYTES_MAX => borrow_decode_from_slice(bytes, layout::<SHORT_BYTES_MAX>()),
        length if length <= LONG_BYTES_MAX => borrow_decode_from_slice(bytes, layout::<LONG_BYTES_MAX>()),
        length if length <= LONGER_BYTES_MAX => borrow_decode_from_slice(bytes, layout::<LONGER_BYTES_MAX>()),
        length if length <= LONGEST_BYTES_MAX => {
            borrow_decode_from_slice(bytes, layout::<LONGEST_BYTES_MAX>())
        }
        _ => borrow_decode_from_slice(bytes, LAYOUT),
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
    fn whatever_is_encoded_is_read_however_long_it_is() {
        for bytes in [48 << 20, (48 << 20) + 1, 200 << 20] {
            let text = "x".repeat(bytes);
            let encoded = encode(&text).unwrap();
            assert!(decode_borrowed::<&str>(&encoded).is_ok_and(|read| read == text), "{bytes} bytes");
            assert!(decode::<String>(&encoded).is_ok_and(|read| read == text), "{bytes} bytes");
        }
    }

    #[test]
    fn a_long_message_cannot_ask_for_many_times_what_it_has() {
        let mut bytes = (1_u64 << 30).to_le_bytes().to_vec();
        bytes.resize(49 << 20, 0);
        let refused = decode::<String>(&bytes).unwrap_err().to_string();
        assert!(refused.contains("LimitExceeded"), "{refused}");
    }

    #[test]
    fn every_byte_must_be_read() {
        let mut bytes = encode(&(7_u32, "x".to_owned())).unwrap();
        assert_eq!(decode::<(u32, String)>(&bytes).unwrap(), (7, "x".to_owned()));
        bytes.push(0);
        assert!(decode::<(u32, String)>(&bytes).is_err());
    }
}
