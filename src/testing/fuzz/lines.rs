//! Hostile lines: refused in words, or read for good.

use std::fmt::Debug;

use crate::algebra::{Bunch, FullRow, Operation, Outcomes, Planned, Row, Schema, Trigger};
use crate::codec::lines::{self, Line, LineError, ReadList, read_all};

/// Reads arbitrary bytes as every kind of line there is, and as a schema.
///
/// # Panics
/// If what was read is not read again from what is written of it, or a refusal could not stand on a line of
/// a terminal.
pub fn lines(data: &[u8]) {
    there_and_back::<Operation>(data);
    there_and_back::<Planned>(data);
    there_and_back::<Row>(data);
    there_and_back::<FullRow>(data);
    there_and_back::<Trigger>(data);
    there_and_back::<ReadList>(data);
    there_and_back::<Outcomes>(data);
    there_and_back::<Bunch>(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    bunch_text(text);
    if let Ok(schema) = Schema::from_json(text) {
        assert_eq!(
            Schema::from_json(&schema.to_json()).ok(),
            Some(schema),
            "a schema is read as another one"
        );
    }
}

fn there_and_back<T: Line + PartialEq + Debug>(data: &[u8]) {
    match read_all::<T>(data) {
        Err(error) => {
            let most = data.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
            assert!((1..=most).contains(&error.line), "line {} of {most}", error.line);
            check_words(&error);
        }
        Ok(values) => {
            let written: Vec<String> = values.iter().map(Line::to_line).collect();
            let read = read_all::<T>(written.join("\n").as_bytes());
            assert_eq!(read.as_ref().ok(), Some(&values), "{written:?} was read as {read:?}");
            let again: Vec<String> = read.iter().flatten().map(Line::to_line).collect();
            assert_eq!(again, written, "written twice, a line changed");
        }
    }
}

fn check_words(error: &LineError) {
    let words = error.to_string();
    assert!(words.starts_with("line ") && !words.chars().any(char::is_control), "{words:?}");
}

/// No fuzzer guesses a hash, so a bunch is also read from the text that its id is made of.
fn bunch_text(text: &str) {
    let Ok(read) = lines::parse_bunch_text(text) else { return };
    let made = lines::bunch(read.number, read.operations);
    let written = lines::bunch_text(&made);
    let again = lines::parse_bunch_text(&written);
    assert_eq!(again.as_ref().ok(), Some(&made), "{written} was read as {again:?}");
    let planned: usize = made.operations.iter().map(lines::planned_bytes).sum();
    assert!(written.len() <= planned + lines::bunch_text(&lines::bunch(made.number, Vec::new())).len());
    there_and_back::<Bunch>(made.to_line().as_bytes());
    let read = Bunch::from_line(&made.to_line());
    assert_eq!(read.ok(), Some(made), "a bunch is not read from its own line");
}
