//! Every kind of line there and back, and every way in which one is refused.

use super::*;
use crate::algebra::*;

mod plain;
mod refused;

const ID: &str = "8d56e5d3-d4f3-583e-9955-4d898ddc04c9";

#[test]
fn lines_come_back_as_they_were_written() {
    for text in [
        r#"{"op":"create","collection":"notes","id":"ID","state":{"a":1}}"#,
        r#"{"op":"update","collection":"no\"tes","id":"ID","patch":{"a":null,"b":[1.0]},"at":7,"stamps":{"a":5,"b":{"at":6,"replica":"ID"}},"group":"g"}"#,
        r#"{"op":"update","collection":"notes","id":"ID","state":{},"groups":["a","b"],"base":0}"#,
        r#"{"op":"delete","collection":"notes","id":"ID","at":253402300799999,"base":18446744073709551615}"#,
        r#"{"op":"create","collection":"notes","id":"ID","state":{"a":1,"b":2},"base":3,"touched":["a","c"]}"#,
    ] {
        let text = text.replace("ID", ID);
        assert_eq!(Planned::from_line(&text).unwrap().to_line(), text);
        let operation = Operation::from_line(&text).unwrap();
        assert_eq!(Operation::from_line(&operation.to_line()).unwrap(), operation);
    }
    for text in [
        r#"{"collection":"notes","id":"ID","state":{"a":1}}"#,
        r#"{"collection":"notes","id":"ID","state":null,"epoch":3}"#,
    ] {
        let text = text.replace("ID", ID);
        assert_eq!(Row::from_line(&text).unwrap().to_line(), text);
    }
    for text in [
        r#"{"index":7,"collection":"notes","id":"ID","action":"upsert","epoch":12,"sender":"ID"}"#,
        r#"{"index":1,"collection":"notes","id":"ID","action":"delete","epoch":0}"#,
    ] {
        let text = text.replace("ID", ID);
        assert_eq!(Trigger::from_line(&text).unwrap().to_line(), text);
    }
    let text = r#"{"bunch":3,"outcomes":[{"accepted":{}},{"accepted":{"epoch":9,"state":{"a":1},"overwrote":{"b":2}}},{"accepted":{"epoch":9,"state":null}},{"superseded":{"epoch":8,"state":null,"stamps":{"a":1},"writer":"ID"}},{"superseded":{"epoch":8,"state":{}}},{"clash":{"unique":["unit","na\"me"],"holder":"ID"}},{"clash":{"unique":["name"],"holder":"ID","of":{"collection":"notes","id":"ID"}}},{"refused":{"reason":"no\n"}},{"waits":{"for":{"collection":"notes","id":"ID"}}},{"retry":{}}]}"#.replace("ID", ID);
    assert_eq!(Outcomes::from_line(&text).unwrap().to_line(), text);
}

#[test]
fn a_bunch_is_known_by_the_hash_of_its_bytes() {
    let one = Planned::from_line(&format!(r#"{{"op":"delete","collection":"notes","id":"{ID}"}}"#)).unwrap();
    let made = bunch(BunchNumber(3), vec![one.clone(), one]);
    let line = made.to_line();
    assert_eq!(Bunch::from_line(&line).unwrap(), made);
    assert_eq!(parse_bunch_text(&bunch_text(&made)).unwrap(), made);
    let changed = line.replace("\"bunch\":3", "\"bunch\":4");
    assert_eq!(
        Bunch::from_line(&changed).unwrap_err().to_string(),
        "the bunch's operations are not those that its id was made of: it was changed on the way; ask for it again"
    );
    let planned: usize = made.operations.iter().map(planned_bytes).sum();
    assert_eq!(bunch_text(&made).len(), r#"{"bunch":3,"operations":[]}"#.len() + planned - 1);
}

#[test]
fn what_was_folded_here_is_read_however_large_it_is() {
    let [one, other] = ["a", "b"]
        .map(|name| Patch::from_json(&format!(r#"{{"{name}":"{}"}}"#, "x".repeat(FIELDS_BYTES_MAX / 3 * 2))));
    let folded = one.unwrap().then(&other.unwrap());
    let line = format!(r#"{{"op":"update","collection":"notes","id":"{ID}","patch":{{}}}}"#);
    let mut planned = Planned::from_line(&line).unwrap();
    planned.operation.change = Change::Update(Update::Patch(folded));
    let (made, text) = bunch_with_text(BunchNumber(3), vec![planned]);
    assert_eq!(parse_bunch_text(&text).unwrap(), made);
    // Whoever takes it from somebody else refuses it, and says that it is too large.
    let refused = Bunch::from_line(&made.to_line()).unwrap_err();
    assert!(refused.is_too_large(), "{refused}");
    assert!(!Bunch::from_line("{}").unwrap_err().is_too_large());
}

fn first_error(input: &[u8]) -> String {
    read::<Operation, _>(input).find_map(Result::err).unwrap().to_string()
}

#[test]
fn lines_are_counted_from_one_and_blank_ones_pass() {
    let good = format!(r#"{{"op":"delete","collection":"notes","id":"{ID}"}}"#);
    let input = format!("\u{feff}{good}\r\n\n  \n{good}");
    let mut lines = read::<Operation, _>(input.as_bytes());
    assert!(lines.next().unwrap().is_ok());
    assert_eq!(lines.line(), 1);
    assert!(lines.next().unwrap().is_ok());
    assert_eq!(lines.line(), 4);
    assert!(lines.next().is_none());
    assert_eq!(lines.line(), 4);
    let mut input = format!("{good}\n\n").into_bytes();
    input.extend_from_slice(b"{\"op\":\"\xff\"}\n");
    assert_eq!(first_error(&input), "line 3: byte 8 is not UTF-8; the input must be");
    assert_eq!(first_error(b"{}\n"), r#"line 1: an operation needs the key "collection""#);
    // A byte order mark begins an input; in the middle (two files in a row) it is told by its number.
    assert_eq!(
        first_error(format!("{good}\n\u{feff}[]").as_bytes()),
        "line 2: an operation is a JSON object, but this is \\u{feff}[]"
    );
}

#[test]
fn an_over_long_line_is_refused_before_it_is_in_memory() {
    /// Letters without end, counted.
    struct Endless(u64);
    impl std::io::Read for Endless {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            into.fill(b'x');
            self.0 += into.len() as u64;
            Ok(into.len())
        }
    }
    let mut endless = Endless(0);
    let error = read::<Operation, _>(std::io::BufReader::new(&mut endless)).next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "line 1: longer than 33554432 bytes; one line holds one object");
    assert!(endless.0 < 40 << 20);
}

#[test]
fn the_longest_line_passes_and_one_byte_more_does_not() {
    let mut line = format!(r#"{{"op":"delete","collection":"notes","id":"{ID}"}}"#);
    line.push_str(&" ".repeat(LINE_BYTES_MAX - line.len()));
    assert_eq!(read_all::<Operation>(format!("{line}\n").as_bytes()).unwrap().len(), 1);
    line.push(' ');
    let error = read_all::<Operation>(format!("\n{line}\n").as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "line 2: longer than 33554432 bytes; one line holds one object");
}

#[test]
fn what_the_system_says_is_told_with_the_line_and_ends_the_reading() {
    /// A line, a pause, and then nothing but errors.
    struct Broken(u8);
    impl std::io::Read for Broken {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 => Err(std::io::ErrorKind::Interrupted.into()),
                2 => {
                    into[..2].copy_from_slice(b"\n\n");
                    Ok(2)
                }
                _ => Err(std::io::Error::other("the disk is gone")),
            }
        }
    }
    let mut lines = read::<Row, _>(std::io::BufReader::new(Broken(0)));
    let error = lines.next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "line 3: reading failed: the disk is gone");
    assert!(lines.next().is_none());
}

#[test]
fn nothing_is_kept_of_an_input_with_a_bad_line() {
    let good = format!(r#"{{"collection":"notes","id":"{ID}","state":{{}}}}"#);
    let error = read_all::<Row>(format!("{good}\n{good}\n{{}}\n{good}").as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), r#"line 3: a row needs the key "state""#);
    assert_eq!(error.line, 3);
}

#[test]
fn groups_are_written_once_each_in_their_order() {
    let text = format!(r#"{{"op":"delete","collection":"notes","id":"{ID}","groups":["b","a","b"]}}"#);
    let operation = Operation::from_line(&text).unwrap();
    assert_eq!(operation.to_line(), text.replace(r#"["b","a","b"]"#, r#"["a","b"]"#));
}
