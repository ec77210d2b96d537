//! Hostile bytes where a line is expected.

use std::fmt::Debug;

use crate::algebra::{Bunch, Operation, Outcomes, Planned, Row, Schema, Trigger};
use crate::codec::lines::{Line, read};

/// These bytes as the lines of every kind: a typed error that names the line, or values that are written as
/// lines which read back as the same values.
///
/// # Panics
/// If it is neither.
pub fn lines(data: &[u8]) {
    of::<Operation>(data);
    of::<Planned>(data);
    of::<Row>(data);
    of::<Trigger>(data);
    of::<Bunch>(data);
    of::<Outcomes>(data);
    if let Ok(schema) =
        std::str::from_utf8(data).map_err(drop).and_then(|text| Schema::from_json(text).map_err(drop))
    {
        assert_eq!(Schema::from_json(&schema.to_json()).ok(), Some(schema), "a schema reads back as itself");
    }
}

fn of<T: Line + PartialEq + Debug>(data: &[u8]) {
    let most = data.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
    let mut reader = read::<T, _>(data);
    while let Some(found) = reader.next() {
        assert!((1..=most).contains(&reader.line()), "line {} of {most}", reader.line());
        match found {
            Ok(value) => {
                let line = value.to_line();
                let again = T::from_line(&line).unwrap_or_else(|error| panic!("{line} is refused: {error}"));
                assert_eq!(again, value, "a line reads back as what was written");
                assert_eq!(again.to_line(), line, "and is written as the same line");
            }
            Err(error) => {
                assert_eq!(error.line, reader.line(), "the line is named");
                assert!(reader.next().is_none(), "an error ends the input");
                return;
            }
        }
    }
}
