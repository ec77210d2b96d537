//! What is read ahead is what is read in order.

use std::fs;
use std::path::Path;

use super::super::input::Source;
use super::*;
use crate::algebra::Operation;

const ID: &str = "8d56e5d3-d4f3-583e-9955-4d898ddc04c9";

/// So many lines, each of so many bytes.
fn lines(number: usize, bytes: usize) -> Vec<String> {
    let line = |at: usize| {
        let begin = format!(r#"{{"op":"create","collection":"notes","id":"{ID}","at":{at},"state":{{"a":""#);
        format!("{begin}{}\"}}}}", "x".repeat(bytes.saturating_sub(begin.len() + 4)))
    };
    (0..number).map(line).collect()
}

fn written(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> Source {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    Source::File(path)
}

type Read = (Vec<Operation>, Option<Failure>);

fn read(lines: impl Iterator<Item = Result<Operation, Failure>>) -> Read {
    let mut read = (Vec::new(), None);
    for line in lines {
        assert!(read.1.is_none(), "nothing comes behind an error");
        match line {
            Ok(line) => read.0.push(line),
            Err(failure) => read.1 = Some(failure),
        }
    }
    read
}

fn assert_alike(sources: &[Source]) -> Read {
    let in_order = read(Source::all_lines(sources.to_vec()));
    let ahead = read(ahead(Source::all_lines(sources.to_vec())).unwrap().lines());
    assert!(in_order.0 == ahead.0, "{} lines and {}", in_order.0.len(), ahead.0.len());
    assert_eq!(format!("{:?}", in_order.1), format!("{:?}", ahead.1));
    ahead
}

fn said(read: &Read) -> String {
    match &read.1 {
        Some(Failure::Failed(why)) => why.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_are_read_one_after_another() {
    let folder = tempfile::tempdir().unwrap();
    let empty = written(folder.path(), "empty", "");
    let blank = written(folder.path(), "blank", "\n  \r\n\n");
    let short = written(folder.path(), "short", lines(3, 100).join("\n"));
    let long = written(folder.path(), "long", lines(30_000, 200).join("\n") + "\n");
    let huge = written(folder.path(), "huge", lines(5, 3 << 20).join("\n"));
    assert_eq!(assert_alike(&[]).0.len(), 0);
    assert_eq!(assert_alike(&[empty.clone(), blank.clone()]).0.len(), 0);
    assert_eq!(assert_alike(&[empty, short.clone(), blank, long, huge, short]).0.len(), 30_011);
}

#[test]
fn the_first_bad_line_ends_it_wherever_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let good = lines(11_000, 100);
    let border = usize::try_from(BATCH_BYTES).unwrap().div_ceil(101);
    let places = (border - 2..border + 3).chain([0, 1, 5_000, good.len() - 1]);
    for place in places {
        let mut all = good.clone();
        all[place] = r#"{"op":"fly"}"#.to_owned();
        all.push("nobody reads this".to_owned());
        let bad = written(folder.path(), "bad", all.join("\n"));
        let read = assert_alike(&[bad.clone(), bad]);
        assert_eq!(read.0.len(), place);
        assert!(said(&read).contains(&format!("bad: line {}: ", place + 1)), "{}", said(&read));
    }
}

#[test]
fn what_cannot_be_read_is_named_once_its_turn_comes() {
    let folder = tempfile::tempdir().unwrap();
    let good = written(folder.path(), "good", lines(10, 100).join("\n"));
    let missing = Source::File(folder.path().join("missing"));
    let read = assert_alike(&[good.clone(), missing, good.clone()]);
    assert_eq!(read.0.len(), 10);
    assert!(said(&read).contains("missing: "), "{}", said(&read));
    let too_long = written(folder.path(), "too long", "x".repeat(crate::codec::lines::LINE_BYTES_MAX + 1));
    let read = assert_alike(&[good, too_long]);
    assert!(said(&read).contains("too long: line 1: longer than"), "{}", said(&read));
}

#[test]
fn a_panic_is_not_taken_for_the_end() {
    let mut left = 3;
    let mut batches = batches_of(move || {
        left -= 1;
        assert!(left > 0, "broken");
        Some(Batch { lines: vec![left], failure: None })
    })
    .unwrap();
    assert_eq!(batches.next().map(Result::unwrap), Some(vec![2]));
    assert_eq!(batches.next().map(Result::unwrap), Some(vec![1]));
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| batches.next()));
    assert!(ended.is_err());
}

#[test]
fn whoever_wants_no_more_is_not_kept() {
    // It would go on for ever.
    let mut batches = batches_of(|| Some(Batch { lines: vec![1], failure: None })).unwrap();
    assert!(batches.next().is_some());
    let thread = batches.thread.take().unwrap();
    drop(batches);
    thread.join().unwrap();
}
