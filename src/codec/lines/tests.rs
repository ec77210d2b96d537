//! Every kind of line there and back, and every way in which one is refused.

use super::*;
use crate::algebra::*;

const ID: &str = "8d56e5d3-d4f3-583e-9955-4d898ddc04c9";

fn refused<T: Line + std::fmt::Debug>(text: &str) -> String {
    T::from_line(text).unwrap_err().to_string()
}

#[test]
fn lines_come_back_as_they_were_written() {
    for text in [
        r#"{"op":"create","collection":"notes","id":"ID","state":{"a":1}}"#,
        r#"{"op":"update","collection":"no\"tes","id":"ID","patch":{"a":null,"b":[1.0]},"at":7,"stamps":{"a":5,"b":{"at":6,"replica":"ID"}},"group":"g"}"#,
        r#"{"op":"update","collection":"notes","id":"ID","state":{},"groups":["a","b"],"base":0}"#,
        r#"{"op":"delete","collection":"notes","id":"ID","at":253402300799999,"base":18446744073709551615}"#,
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
    let text = r#"{"bunch":3,"outcomes":[{"accepted":{}},{"accepted":{"epoch":9,"state":{"a":1},"overwrote":{"b":2}}},{"accepted":{"epoch":9,"state":null}},{"superseded":{"epoch":8,"state":null,"stamps":{"a":1},"writer":"ID"}},{"superseded":{"epoch":8,"state":{}}},{"clash":{"unique":["unit","na\"me"],"holder":"ID"}},{"refused":{"reason":"no\n"}},{"waits":{"for":{"collection":"notes","id":"ID"}}},{"retry":{}}]}"#.replace("ID", ID);
    assert_eq!(Outcomes::from_line(&text).unwrap().to_line(), text);
}

#[test]
fn a_bunch_is_known_by_the_hash_of_its_bytes() {
    let one = Planned::from_line(&format!(r#"{{"op":"delete","collection":"notes","id":"{ID}"}}"#)).unwrap();
    let made = bunch(BunchNumber(3), vec![one.clone(), one]);
    let line = made.to_line();
    assert_eq!(Bunch::from_line(&line).unwrap(), made);
    assert_eq!(parse_bunch_text(&bunch_text(&made)).unwrap(), made);
    assert_eq!(refused::<Bunch>(&line.replace("\"bunch\":3", "\"bunch\":4")), Problem::BunchId.to_string());
    let planned: usize = made.operations.iter().map(planned_bytes).sum();
    assert_eq!(bunch_text(&made).len(), r#"{"bunch":3,"operations":[]}"#.len() + planned - 1);
}

#[test]
fn what_is_no_operation_is_refused_with_a_reason() {
    let huge = format!(r#"{{"a":"{}"}}"#, "x".repeat(FIELDS_BYTES_MAX));
    for (text, expected) in [
        ("{", "not valid JSON at column 1: EOF while parsing an object"),
        (r#"{"op":"delete"} x"#, "not valid JSON at column 17: trailing characters"),
        ("[1]", "an operation is a JSON object, but this is [1]"),
        ("nonsense", "an operation is a JSON object, but this is nonsense"),
        (
            r#"{"op":"delete","collection":"notes","id":"ID","State":{}}"#,
            r#"an operation has no key "State"; the keys are op, collection, id, state, patch, at, group, groups, stamps, base"#,
        ),
        (r#"{"op":"delete","id":"ID"}"#, r#"an operation needs the key "collection""#),
        (r#"{"collection":"notes","id":"ID"}"#, r#"an operation needs the key "op""#),
        (
            r#"{"op":"upsert","collection":"notes","id":"ID"}"#,
            r#""op" is "create", "update" or "delete", but this is "upsert""#,
        ),
        (r#"{"op":7,"collection":"notes","id":"ID"}"#, r#""op" is a string, but this is 7"#),
        (r#"{"op":"create","collection":"notes","id":"ID"}"#, r#"a create needs a "state""#),
        (
            r#"{"op":"create","collection":"notes","id":"ID","patch":{}}"#,
            r#"a create has a "state" and no "patch""#,
        ),
        (r#"{"op":"update","collection":"notes","id":"ID"}"#, r#"an update needs a "patch" or a "state""#),
        (
            r#"{"op":"update","collection":"notes","id":"ID","state":{},"patch":{}}"#,
            r#"an update has a "patch" or a "state", not both; keep one of them"#,
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"ID","state":{}}"#,
            r#"a delete has neither "state" nor "patch""#,
        ),
        (
            r#"{"op":"create","collection":"notes","id":"ID","state":7}"#,
            "a state or a patch is a JSON object, but this is a number",
        ),
        (
            r#"{"op":"delete","op":"delete","collection":"notes","id":"ID"}"#,
            r#"the key "op" stands twice in one object; keep one of them"#,
        ),
        (
            r#"{"op":"create","collection":"notes","id":"ID","state":{"a":{"b":1,"b":1}}}"#,
            r#"the key "b" stands twice in one object; keep one of them"#,
        ),
        (
            r#"{"op":"create","collection":"notes","id":"ID","state":{"a":1e400}}"#,
            "the number 1e400 cannot be carried exactly (integers of 64 bits and doubles can); send it as a string",
        ),
        (r#"{"op":"delete","collection":"a/b","id":"ID"}"#, r#"the collection name "a/b" holds a '/'"#),
        (
            r#"{"op":"delete","collection":"notes","id":"17"}"#,
            r#""17" is no UUID; write it as 8-4-4-4-12 hexadecimal digits"#,
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"00000000-0000-0000-0000-000000000000"}"#,
            "the nil UUID cannot name an entity; use a version 4 or 7 UUID",
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"ID","at":-1}"#,
            r#""at" is a whole number of 64 bits, 0 or more, but this is -1"#,
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"ID","at":253402300800000}"#,
            "the time 253402300800000 is out of range: 0 to 253402300799999 ms since 1970",
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"ID","group":"a","groups":["b"]}"#,
            r#"an operation has a "group" or "groups", not both"#,
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"ID","stamps":{"a":1}}"#,
            r#"a delete writes no fields, so it has no "stamps""#,
        ),
        (
            &format!(r#"{{"op":"create","collection":"notes","id":"ID","state":{huge}}}"#),
            "16777224 bytes of fields; the limit is 16777216 bytes (16 MiB)",
        ),
    ] {
        assert_eq!(refused::<Operation>(&text.replace("ID", ID)), expected);
    }
}

#[test]
fn what_is_no_row_trigger_or_outcome_is_refused_with_a_reason() {
    assert_eq!(
        refused::<Row>(&format!(r#"{{"collection":"notes","id":"{ID}"}}"#)),
        r#"a row needs the key "state""#
    );
    let trigger = |text: &str| refused::<Trigger>(&text.replace("ID", ID));
    assert_eq!(
        trigger(r#"{"index":0,"collection":"notes","id":"ID","action":"upsert","epoch":1}"#),
        r#""index" is a whole number from 1, but this is 0"#
    );
    assert_eq!(
        trigger(r#"{"index":1,"collection":"notes","id":"ID","action":"x","epoch":1}"#),
        r#""action" is "upsert" or "delete", but this is "x""#
    );
    for (text, expected) in [
        (r#"{"bunch":1,"outcomes":{}}"#, r#""outcomes" is a list, but this is {}"#),
        (
            r#"{"bunch":1,"outcomes":[{"retry":{}},{"lost":{}}]}"#,
            r#"outcome 2: an outcome has no key "lost"; the keys are accepted, superseded, clash, refused, waits, retry"#,
        ),
        (
            r#"{"bunch":1,"outcomes":[{"retry":{},"refused":{"reason":"x"}}]}"#,
            "outcome 1: an outcome has one key: accepted, superseded, clash, refused, waits or retry",
        ),
        (
            r#"{"bunch":1,"outcomes":[{"superseded":{"epoch":1}}]}"#,
            r#"outcome 1: "superseded" needs the key "state""#,
        ),
    ] {
        assert_eq!(refused::<Outcomes>(text), expected);
    }
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
