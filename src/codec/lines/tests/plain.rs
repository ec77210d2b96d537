//! What is read as plainly written is what the parser makes of it; all else is left to the parser.

use super::super::operation::{parsed, plain};
use super::ID;

/// Reads a line both ways; whether it counted as plain.
fn is_plain(line: &str) -> bool {
    match plain(line) {
        None => false,
        Some(found) => {
            assert_eq!(parsed(line).ok(), Some(found), "{line}");
            true
        }
    }
}

fn of_fields(fields: &str) -> String {
    format!(r#"{{"op":"update","collection":"notes","id":"{ID}","patch":{fields},"at":7}}"#)
}

#[test]
fn what_programs_write_is_plain() {
    for line in [
        r#"{"op":"create","collection":"notes","id":"ID","state":{"a":1,"b":"é😀\u007f"}}"#,
        r#"{"op":"update","collection":"Äpfel und {Birnen}","id":"ID","state":{},"at":0}"#,
        r#"{"at":253402300799999,"patch":{"":[],"a":null,"b":{"x":[true,false,null,-1]}},"group":"g","id":"ID","collection":"n","op":"update"}"#,
        r#"{"op":"delete","collection":"notes","id":"ID","at":999999999999}"#,
    ] {
        let line = line.replace("ID", ID).replace("\\u007f", "\u{7f}");
        assert!(is_plain(&line), "{line}");
        assert!(is_plain(&line.replace(ID, &ID.to_uppercase())), "an id may be in capitals");
    }
    for fields in [
        r#"{"a":999999999999999999}"#,
        r#"{"a":-999999999999999999}"#,
        r#"{"a":0,"a!":"","é":"},{"}"#,
        r#"{"a":{"b":{"c":[[[]],{}]}}}"#,
    ] {
        assert!(is_plain(&of_fields(fields)), "{fields}");
    }
}

#[test]
fn what_has_another_canonical_form_or_none_is_left_to_the_parser() {
    for fields in [
        r#"{"b":1,"a":1}"#,
        r#"{"a":1,"a":1}"#,
        r#"{"a":{"b":1,"b":1}}"#,
        r#"{"a":{"b":1,"a":1}}"#,
        r#"{ "a":1}"#,
        r#"{"a": 1}"#,
        r#"{"a":1 }"#,
        r#"{"a":1,}"#,
        r#"{"a":[1,]}"#,
        r#"{"a":[1 ]}"#,
        r#"{"a":1.5}"#,
        r#"{"a":1e2}"#,
        r#"{"a":01}"#,
        r#"{"a":-0}"#,
        r#"{"a":-01}"#,
        r#"{"a":-}"#,
        r#"{"a":+1}"#,
        r#"{"a":}"#,
        r#"{"a"}"#,
        r#"{a:1}"#,
        r#"{"a":1000000000000000000}"#,
        r#"{"a":"\u0041"}"#,
        r#"{"\u0041":1}"#,
        "{\"a\":\"\t\"}",
        "{\"a\":\"\0\"}",
        r#"{"a":nul}"#,
        r#"{"a":True}"#,
        r#"{"a":"b}"#,
        r#"{"a":1"#,
        r#"{"a":1}}"#,
        r#"[]"#,
        r#"null"#,
    ] {
        assert!(!is_plain(&of_fields(fields)), "{fields}");
    }
    let deep = |levels: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    assert!(is_plain(&of_fields(&deep(10))) && !is_plain(&of_fields(&deep(100))));
    let good = of_fields("{}");
    for (what, instead) in [
        (r#""op":"update""#, r#""op":"create""#),
        (r#""op":"update""#, r#""op":"delete""#),
        (r#""op":"update""#, r#""op":"up""#),
        (r#""op":"update","#, ""),
        (r#""collection":"notes""#, r#""collection":"no/tes""#),
        (r#""collection":"notes","#, ""),
        (r#","patch":{}"#, ""),
        (r#""patch":{}"#, r#""patch":{},"patch":{}"#),
        (r#""patch":{}"#, r#""patch":{},"state":{}"#),
        (r#""patch":{}"#, r#""state":{"a":null}"#),
        (ID, "x"),
        (ID, "00000000-0000-0000-0000-000000000000"),
        (":7", ":07"),
        (":7", ":-7"),
        (":7", ":\"7\""),
        (":7", ":253402300800000"),
        (":7", ":7,\"group\":\"a/b\""),
        (":7", ":7,\"group\":\"g\",\"group\":\"g\""),
        (":7", ":7,\"base\":1"),
        (":7", ":7,\"unknown\":1"),
        (":7}", ":7,}"),
        (":7}", ":7} "),
        (":7}", ":7}}"),
        (":7}", ":7"),
        ("{\"op\"", " {\"op\""),
        ("{\"op\"", "{\"op\" "),
    ] {
        let line = good.replace(what, instead);
        assert!(line != good && !is_plain(&line), "{line}");
    }
}
