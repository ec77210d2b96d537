//! Every way in which a line is refused, and in what words.

mod operation;

use super::*;

/// Checks what each line is refused for. Some words stand for what is tedious to write.
fn check<T: Line + std::fmt::Debug>(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let text = text
            .replace("NUL", "\0")
            .replace("FORM-FEED", "\x0c")
            .replace("LONG", &"x".repeat(COLLECTION_NAME_BYTES_MAX + 1))
            .replace("DEEP", &format!("{}1{}", "[".repeat(200), "]".repeat(200)))
            .replace("ZERO", &"0".repeat(64))
            .replace("<id>", ID);
        let error = read_all::<T>(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(error, format!("line 1: {}", expected.replace("<id>", ID)), "{text}");
    }
}

#[test]
fn what_is_no_row_is_refused_with_a_reason() {
    check::<Row>(&[
        (r#"{"collection":"notes","id":"<id>"}"#, r#"a row needs the key "state""#),
        (
            r#"{"collection":"notes","id":"<id>","state":[]}"#,
            "a state or a patch is a JSON object, but this is an array",
        ),
        (
            r#"{"collection":"notes","id":"<id>","state":{},"epoch":"3"}"#,
            r#""epoch" is a whole number of 64 bits, 0 or more, but this is "3""#,
        ),
        (
            r#"{"collection":"notes","id":"<id>","state":{},"patch":{}}"#,
            r#"a row has no key "patch"; the keys are collection, id, state, epoch"#,
        ),
        (r#"{"id":"<id>","state":{}}"#, r#"a row needs the key "collection""#),
    ]);
}

#[test]
fn what_is_no_trigger_is_refused_with_a_reason() {
    check::<Trigger>(&[
        (
            r#"{"index":0,"collection":"notes","id":"<id>","action":"upsert","epoch":1}"#,
            r#""index" is a whole number from 1 to 18446744073709551614, but this is 0"#,
        ),
        (
            r#"{"index":18446744073709551615,"collection":"notes","id":"<id>","action":"upsert","epoch":1}"#,
            r#""index" is a whole number from 1 to 18446744073709551614, but this is 18446744073709551615"#,
        ),
        (
            r#"{"index":1,"collection":"notes","id":"<id>","action":"x","epoch":1}"#,
            r#""action" is "upsert" or "delete", but this is "x""#,
        ),
        (
            r#"{"index":1,"collection":"notes","id":"<id>","action":"upsert"}"#,
            r#"a trigger needs the key "epoch""#,
        ),
        (
            r#"{"index":1,"collection":"notes","id":"<id>","action":"upsert","epoch":1,"sender":"x"}"#,
            r#""x" is no UUID; write it as 8-4-4-4-12 hexadecimal digits"#,
        ),
        (
            r#"{"index":1,"collection":"notes","id":"<id>","action":"upsert","epoch":1,"state":{}}"#,
            r#"a trigger has no key "state"; the keys are index, collection, id, action, epoch, sender"#,
        ),
    ]);
}

#[test]
fn what_is_no_list_of_reads_is_refused_with_a_reason() {
    check::<ReadList>(&[
        (r#"{"collection":"notes"}"#, r#"a list of reads needs the key "ids""#),
        (r#"{"collection":"notes","ids":{}}"#, r#""ids" is a list, but this is {}"#),
        (r#"{"collection":"notes","ids":[7]}"#, r#""ids" is a list of UUIDs in strings, but this is 7"#),
        (
            r#"{"collection":"notes","ids":["<id>","<id>"]}"#,
            r#"an id stands twice in "ids"; each is read once"#,
        ),
    ]);
}

#[test]
fn what_is_no_bunch_is_refused_with_a_reason() {
    check::<Bunch>(&[
        (r#"{"bunch":0,"id":"ZERO","operations":[]}"#, r#""bunch" is a whole number from 1, but this is 0"#),
        (r#"{"bunch":1,"operations":[]}"#, r#"a bunch needs the key "id""#),
        (
            r#"{"bunch":1,"id":"x","operations":[]}"#,
            r#""id" is a blake3 hash in 64 lower-case hexadecimal digits, but this is "x""#,
        ),
        (
            r#"{"bunch":1,"id":"ZERO","operations":[]}"#,
            "the bunch's operations are not those that its id was made of: it was changed on the way; ask for it again",
        ),
        (r#"{"bunch":1,"id":"ZERO","operations":{}}"#, r#""operations" is a list, but this is {}"#),
        (
            r#"{"bunch":1,"id":"ZERO","operations":[{"op":"delete","collection":"notes","id":"<id>"},{"op":"delete","id":"<id>"}]}"#,
            r#"operation 2: an operation needs the key "collection""#,
        ),
        (
            r#"{"bunch":1,"id":"ZERO","operations":[7]}"#,
            "operation 1: an operation is a JSON object, but this is 7",
        ),
        (
            r#"{"bunch":1,"id":"ZERO","operations":[],"outcomes":[]}"#,
            r#"a bunch has no key "outcomes"; the keys are bunch, id, operations"#,
        ),
    ]);
}

#[test]
fn what_is_no_answer_is_refused_with_a_reason() {
    check::<Outcomes>(&[
        (r#"{"bunch":1}"#, r#"an answer needs the key "outcomes""#),
        (r#"{"bunch":0,"outcomes":[]}"#, r#""bunch" is a whole number from 1, but this is 0"#),
        (r#"{"bunch":1,"outcomes":{}}"#, r#""outcomes" is a list, but this is {}"#),
        (
            r#"{"bunch":1,"outcomes":["retry"]}"#,
            r#"outcome 1: an outcome is a JSON object, but this is "retry""#,
        ),
        (
            r#"{"bunch":1,"outcomes":[{"retry":{}},{"lost":{}}]}"#,
            r#"outcome 2: an outcome has no key "lost"; the keys are accepted, superseded, clash, refused, waits, retry"#,
        ),
        (
            r#"{"bunch":1,"outcomes":[{}]}"#,
            "outcome 1: an outcome has one key: accepted, superseded, clash, refused, waits or retry",
        ),
        (
            r#"{"bunch":1,"outcomes":[{"retry":{},"refused":{"reason":"x"}}]}"#,
            "outcome 1: an outcome has one key: accepted, superseded, clash, refused, waits or retry",
        ),
        (
            r#"{"bunch":1,"outcomes":[{"accepted":{"epoch":-1}}]}"#,
            r#"outcome 1: "epoch" is a whole number of 64 bits, 0 or more, but this is -1"#,
        ),
        (
            r#"{"bunch":1,"outcomes":[{"accepted":{"epoch":1,"overwrote":["a"]}}]}"#,
            "outcome 1: a state or a patch is a JSON object, but this is an array",
        ),
        (
            r#"{"bunch":1,"outcomes":[{"accepted":{"epoch":1,"writer":"<id>"}}]}"#,
            r#"outcome 1: "accepted" has no key "writer"; the keys are epoch, state, created, turned, stamps, overwrote"#,
        ),
        (
            r#"{"bunch":1,"outcomes":[{"accepted":{"epoch":1,"created":5}}]}"#,
            r#"outcome 1: "accepted" says when its fields were changed, but not what they are; add "state""#,
        ),
        (
            r#"{"bunch":1,"outcomes":[{"superseded":{"epoch":1}}]}"#,
            r#"outcome 1: "superseded" needs the key "state""#,
        ),
        (
            r#"{"bunch":1,"outcomes":[{"superseded":{"state":{}}}]}"#,
            r#"outcome 1: "superseded" needs the key "epoch""#,
        ),
        (
            r#"{"bunch":1,"outcomes":[{"clash":{"unique":[],"holder":"<id>"}}]}"#,
            r#"outcome 1: "unique" is the list of the key's fields, but this is []"#,
        ),
        (
            r#"{"bunch":1,"outcomes":[{"clash":{"unique":"name","holder":"<id>"}}]}"#,
            r#"outcome 1: "unique" is a list, but this is "name""#,
        ),
        (
            r#"{"bunch":1,"outcomes":[{"clash":{"unique":["name"]}}]}"#,
            r#"outcome 1: "clash" needs the key "holder""#,
        ),
        (
            r#"{"bunch":1,"outcomes":[{"clash":{"unique":["name"],"holder":"00000000-0000-0000-0000-000000000000"}}]}"#,
            "outcome 1: the nil UUID cannot name an entity; use a version 4 or 7 UUID",
        ),
        (r#"{"bunch":1,"outcomes":[{"refused":{}}]}"#, r#"outcome 1: "refused" needs the key "reason""#),
        (
            r#"{"bunch":1,"outcomes":[{"refused":{"reason":7}}]}"#,
            r#"outcome 1: "reason" is a string, but this is 7"#,
        ),
        (
            r#"{"bunch":1,"outcomes":[{"waits":{"for":"notes/<id>"}}]}"#,
            r#"outcome 1: "for" is a JSON object, but this is "notes/<id>""#,
        ),
        (
            r#"{"bunch":1,"outcomes":[{"waits":{"for":{"collection":"notes","id":"x"}}}]}"#,
            r#"outcome 1: "x" is no UUID; write it as 8-4-4-4-12 hexadecimal digits"#,
        ),
        (
            r#"{"bunch":1,"outcomes":[{"retry":null}]}"#,
            r#"outcome 1: "retry" is a JSON object, but this is null"#,
        ),
        (
            r#"{"bunch":1,"outcomes":[{"retry":{"after":5}}]}"#,
            r#"outcome 1: "retry" has no key "after"; the keys are none"#,
        ),
    ]);
}
