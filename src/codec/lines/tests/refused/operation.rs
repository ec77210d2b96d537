//! What is no operation.

use super::*;

#[test]
fn a_state_beyond_16_mib_is_refused() {
    let huge = format!(r#"{{"a":"{}"}}"#, "x".repeat(FIELDS_BYTES_MAX));
    let text = format!(r#"{{"op":"create","collection":"notes","id":"{ID}","state":{huge}}}"#);
    assert_eq!(
        Operation::from_line(&text).unwrap_err().to_string(),
        "16777224 bytes of fields; the limit is 16777216 bytes (16 MiB)"
    );
}

#[test]
fn what_is_no_operation_is_refused_with_a_reason() {
    check::<Operation>(&[
        (r#"{"op":"delete""#, "not valid JSON at column 14: EOF while parsing an object"),
        ("[1]", "an operation is a JSON object, but this is [1]"),
        ("nonsense", "an operation is a JSON object, but this is nonsense"),
        (r#""text""#, r#"an operation is a JSON object, but this is "text""#),
        (
            r#"{"op":"delete"} x"#,
            "something stands behind the object, at column 17; one line holds one object",
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"<id>"}{"op":"delete","collection":"notes","id":"<id>"}"#,
            "something stands behind the object, at column 81; one line holds one object",
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"<id>",}"#,
            "not valid JSON at column 81: trailing comma",
        ),
        (
            r#"{"op":"delNULete","collection":"notes","id":"<id>"}"#,
            r#"not valid JSON at column 10: control character (\u0000-\u001F) found while parsing a string"#,
        ),
        (
            r#"{"op":"delete",NUL"collection":"notes","id":"<id>"}"#,
            "not valid JSON at column 16: key must be a string",
        ),
        ("NUL", r#"an operation is a JSON object, but this is \u{0}"#),
        (
            r#"FORM-FEED{"op":"delete","collection":"notes","id":"<id>"}"#,
            r#"an operation is a JSON object, but this is \u{c}{"op":"delete","collection":"notes","id":"8d56e5d3-d4f3-583e-99…"#,
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"<id>","State":{}}"#,
            r#"an operation has no key "State"; the keys are op, collection, id, state, patch, at, group, groups, stamps, base, touched"#,
        ),
        (r#"{"op":"delete","id":"<id>"}"#, r#"an operation needs the key "collection""#),
        (r#"{"op":"delete","collection":"notes"}"#, r#"an operation needs the key "id""#),
        (r#"{"collection":"notes","id":"<id>"}"#, r#"an operation needs the key "op""#),
        (
            r#"{"op":"upsert","collection":"notes","id":"<id>"}"#,
            r#""op" is "create", "update" or "delete", but this is "upsert""#,
        ),
        (
            r#"{"op":"Create","collection":"notes","id":"<id>","state":{}}"#,
            r#""op" is "create", "update" or "delete", but this is "Create""#,
        ),
        (r#"{"op":7,"collection":"notes","id":"<id>"}"#, r#""op" is a string, but this is 7"#),
        (
            r#"{"op":"create","collection":"notes","id":"<id>"}"#,
            r#"a create needs the whole entity in "state""#,
        ),
        (
            r#"{"op":"create","collection":"notes","id":"<id>","patch":{}}"#,
            r#"a create has no "patch"; say the whole entity in "state""#,
        ),
        (
            r#"{"op":"create","collection":"notes","id":"<id>","state":{},"patch":{}}"#,
            r#"a create has no "patch"; say the whole entity in "state""#,
        ),
        (
            r#"{"op":"update","collection":"notes","id":"<id>"}"#,
            r#"an update needs a "patch" (some fields) or a "state" (all of them)"#,
        ),
        (
            r#"{"op":"update","collection":"notes","id":"<id>","state":{},"patch":{}}"#,
            r#"an update has a "patch" or a "state", not both; keep one of them"#,
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"<id>","state":{}}"#,
            r#"a delete has neither "state" nor "patch"; leave them out"#,
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"<id>","patch":{}}"#,
            r#"a delete has neither "state" nor "patch"; leave them out"#,
        ),
        (
            r#"{"op":"create","collection":"notes","id":"<id>","state":7}"#,
            "a state or a patch is a JSON object, but this is a number",
        ),
        (
            r#"{"op":"create","collection":"notes","id":"<id>","state":null}"#,
            "a state or a patch is a JSON object, but this is null",
        ),
        (
            r#"{"op":"update","collection":"notes","id":"<id>","patch":[]}"#,
            "a state or a patch is a JSON object, but this is an array",
        ),
        (
            r#"{"op":"delete","op":"delete","collection":"notes","id":"<id>"}"#,
            r#"the key "op" stands twice in one object; keep one of them"#,
        ),
        (
            r#"{"op":"delete","\u006fp":"delete","collection":"notes","id":"<id>"}"#,
            r#"the key "op" stands twice in one object; keep one of them"#,
        ),
        (
            r#"{"op":"create","collection":"notes","id":"<id>","state":{"a":1,"a":2}}"#,
            r#"the key "a" stands twice in one object; keep one of them"#,
        ),
        (
            r#"{"op":"create","collection":"notes","id":"<id>","state":{"a":[{"b":1,"\u0062":1}]}}"#,
            r#"the key "b" stands twice in one object; keep one of them"#,
        ),
        (
            r#"{"op":"create","collection":"notes","id":"<id>","state":{"a":1e400}}"#,
            "the number 1e400 cannot be carried exactly (integers of 64 bits and doubles can); send it as a string",
        ),
        (
            r#"{"op":"update","collection":"notes","id":"<id>","patch":{"a":18446744073709551616}}"#,
            "the number 18446744073709551616 cannot be carried exactly (integers of 64 bits and doubles can); send it as a string",
        ),
        (
            r#"{"op":"create","collection":"notes","id":"<id>","state":{"a":01}}"#,
            "not valid JSON at column 95: invalid number",
        ),
        (
            r#"{"op":"create","collection":"notes","id":"<id>","state":{"a":NaN}}"#,
            "not valid JSON at column 94: expected value",
        ),
        (
            r#"{"op":"create","collection":"notes","id":"<id>","state":{"a":"\ud800"}}"#,
            r#"a string or a key cannot be read: unexpected end of hex escape; escape a character beyond \uffff as two surrogates"#,
        ),
        (
            r#"{"op":"create","collection":"notes","id":"<id>","state":{"\udc00":1}}"#,
            r#"a string or a key cannot be read: lone leading surrogate in hex escape; escape a character beyond \uffff as two surrogates"#,
        ),
        (
            r#"{"op":"create","collection":"notes","id":"<id>","state":{"a":"\x"}}"#,
            "not valid JSON at column 96: invalid escape",
        ),
        (
            r#"{"op":"create","collection":"notes","id":"<id>","state":{"a":DEEP}}"#,
            "nested deeper than 120 levels",
        ),
        (r#"{"op":"delete","collection":"","id":"<id>"}"#, r#"the collection name "" is empty"#),
        (r#"{"op":"delete","collection":"a/b","id":"<id>"}"#, r#"the collection name "a/b" holds a '/'"#),
        (
            r#"{"op":"delete","collection":" a","id":"<id>"}"#,
            r#"the collection name " a" begins or ends with white space"#,
        ),
        (
            r#"{"op":"delete","collection":"a\u0000","id":"<id>"}"#,
            r#"the collection name "a\0" holds a control character"#,
        ),
        (
            r#"{"op":"delete","collection":"LONG","id":"<id>"}"#,
            r#"the collection name "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…" is longer than 128 bytes"#,
        ),
        (
            r#"{"op":"delete","collection":["notes"],"id":"<id>"}"#,
            r#""collection" is a string, but this is ["notes"]"#,
        ),
        (r#"{"op":"delete","collection":"notes","id":17}"#, r#""id" is a UUID in a string, but this is 17"#),
        (
            r#"{"op":"delete","collection":"notes","id":"17"}"#,
            r#""17" is no UUID; write it as 8-4-4-4-12 hexadecimal digits"#,
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"{<id>}"}"#,
            r#""{<id>}" is no UUID; write it as 8-4-4-4-12 hexadecimal digits"#,
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"00000000-0000-0000-0000-000000000000"}"#,
            "the nil UUID cannot name an entity; use a version 4 or 7 UUID",
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"<id>","at":-1}"#,
            r#""at" is a whole number of 64 bits, 0 or more, but this is -1"#,
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"<id>","at":1.0}"#,
            r#""at" is a whole number of 64 bits, 0 or more, but this is 1.0"#,
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"<id>","at":"7"}"#,
            r#""at" is a whole number of 64 bits, 0 or more, but this is "7""#,
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"<id>","at":null}"#,
            r#""at" is a whole number of 64 bits, 0 or more, but this is null"#,
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"<id>","at":253402300800000}"#,
            "the time 253402300800000 is out of range: 0 to 253402300799999 ms since 1970",
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"<id>","at":18446744073709551616}"#,
            r#""at" is a whole number of 64 bits, 0 or more, but this is 18446744073709551616"#,
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"<id>","group":7}"#,
            r#""group" is a string, but this is 7"#,
        ),
        (r#"{"op":"delete","collection":"notes","id":"<id>","group":""}"#, r#"the group name "" is empty"#),
        (
            r#"{"op":"delete","collection":"notes","id":"<id>","group":"a","groups":["b"]}"#,
            r#"an operation has a "group" or "groups", not both; keep one of them"#,
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"<id>","groups":"a"}"#,
            r#""groups" is a list, but this is "a""#,
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"<id>","groups":["a",7]}"#,
            r#""groups" is a list of strings, but this is 7"#,
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"<id>","groups":["a/b"]}"#,
            r#"the group name "a/b" holds a '/'"#,
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"<id>","stamps":{"a":1}}"#,
            r#"a delete writes no fields, so it has no "stamps""#,
        ),
        (
            r#"{"op":"create","collection":"notes","id":"<id>","state":{},"stamps":[]}"#,
            "stamps is a JSON object, but this is []",
        ),
        (
            r#"{"op":"create","collection":"notes","id":"<id>","state":{},"stamps":{"a":1,"a":1}}"#,
            r#"the key "a" stands twice in one object; keep one of them"#,
        ),
        (
            r#"{"op":"create","collection":"notes","id":"<id>","state":{},"stamps":{"a":"x"}}"#,
            r#""stamps" is a time in ms, or {"at":…,"replica":…}, for each field, but this is "x""#,
        ),
        (
            r#"{"op":"create","collection":"notes","id":"<id>","state":{},"stamps":{"a":253402300800000}}"#,
            "the time 253402300800000 is out of range: 0 to 253402300799999 ms since 1970",
        ),
        (
            r#"{"op":"create","collection":"notes","id":"<id>","state":{},"stamps":{"a":{"replica":"<id>"}}}"#,
            r#"a stamp needs the key "at""#,
        ),
        (
            r#"{"op":"create","collection":"notes","id":"<id>","state":{},"stamps":{"a":{"at":1,"by":"<id>"}}}"#,
            r#"a stamp has no key "by"; the keys are at, replica"#,
        ),
        (
            r#"{"op":"create","collection":"notes","id":"<id>","state":{},"stamps":{"a":{"at":1,"replica":"00000000-0000-0000-0000-000000000000"}}}"#,
            "the nil UUID cannot name an entity; use a version 4 or 7 UUID",
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"<id>","base":-1}"#,
            r#""base" is a whole number of 64 bits, 0 or more, but this is -1"#,
        ),
        (
            r#"{"op":"delete","collection":"notes","id":"<id>","base":null}"#,
            r#""base" is a whole number of 64 bits, 0 or more, but this is null"#,
        ),
        (
            r#"{"op":"update","collection":"notes","id":"<id>","patch":{"a":1},"touched":["a"]}"#,
            r#"only a create that revives says what it "touched""#,
        ),
    ]);
}
