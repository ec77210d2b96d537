//! Requests and replies by hand: what the documentation shows, and what is refused.

use super::*;
use crate::algebra::{Answer, Ask, Generation, Index};
use crate::codec::lines::Line;
use uuid::Uuid;

const ID: &str = "8d56e5d3-d4f3-583e-9955-4d898ddc04c9";
const NAME: &str = "00000000-0000-0000-0000-000000000001";

fn asked(route: Route, text: &str) -> Result<String, String> {
    let request = Request { route, text: text.to_owned() };
    request.ask().map(|ask| Request::of(&ask).text).map_err(|problem| problem.to_string())
}

#[test]
fn requests_are_written_as_documented() {
    let same = |route, text: &str| assert_eq!(asked(route, text).unwrap(), text);
    let reads = format!(r#"{{"reads":[{{"collection":"notes","ids":["{ID}"]}}]}}"#);
    same(Route::Reads, &reads);
    let changes =
        format!(r#"{{"cursors":{{"notes":9,"ä \"x\"":0}},"floors":{{}},"generation":"{NAME}","rows":1000}}"#);
    same(Route::Changes, &changes);
    same(Route::Triggers, &format!("above=7&limit=1000&generation={NAME}"));
    same(Route::Digests, &format!("generation={NAME}"));
    same(Route::Digests, "");
    // What need not be said.
    assert_eq!(asked(Route::Triggers, "").unwrap(), "above=0&limit=1000");
    let least = asked(Route::Changes, r#"{"cursors":{}}"#).unwrap();
    assert_eq!(least, r#"{"cursors":{},"floors":{},"rows":1000}"#);
}

#[test]
fn what_is_no_request_is_refused_by_name() {
    for (route, text, why) in [
        (Route::Bunches, "", "the request is a JSON object"),
        (Route::Bunches, "{}", r#"needs the key "bunch""#),
        (Route::Changes, r#"{"cursors":[]}"#, "cursors is a JSON object"),
        (Route::Changes, r#"{"cursors":{"notes":-1}}"#, "a whole number"),
        (Route::Changes, r#"{"cursors":{"notes":1,"notes":2}}"#, "notes"),
        (Route::Changes, r#"{"cursors":{},"row":1}"#, r#"no key "row""#),
        (Route::Changes, r#"{"cursors":{},"generation":"x"}"#, "UUID"),
        (Route::Reads, r#"{"reads":[{"collection":"a","ids":[]},{"collection":"a","ids":[]}]}"#, "twice"),
        (Route::Triggers, "above=1&above=2", "above"),
        (Route::Triggers, "above=%31", "a whole number"),
        (Route::Triggers, "from=1", "from"),
        (Route::Digests, "generation=", "UUID"),
    ] {
        let refused = asked(route, text).unwrap_err();
        assert!(refused.contains(why), "{text}: {refused}");
    }
}

#[test]
fn every_answer_that_is_no_outcome_has_a_status_and_comes_back() {
    let generation = Generation(Uuid::from_u128(7));
    for (answer, status) in [
        (Answer::Forked, 409),
        (Answer::StartOver { generation }, 410),
        (Answer::TriggersTooOld, 410),
        (Answer::Unauthorised, 401),
        (Answer::Busy { retry_after_ms: 3_000 }, 429),
    ] {
        let reply = Reply::of(&answer);
        assert_eq!(reply.status, status);
        assert_eq!(reply.answer(Route::Changes).unwrap(), answer, "{}", reply.body);
    }
    let reply = Reply::of(&Answer::StartOver { generation });
    assert_eq!(
        reply.body,
        r#"{"type":"urn:foldlog:start-over","title":"everything has to be fetched anew","status":410,"detail":"what was read before does not count any more; what is unsent is kept","generation":"00000000-0000-0000-0000-000000000007"}"#
    );
}

#[test]
fn what_stands_in_between_is_understood_by_its_status() {
    let reply = |status, body: &str| Reply { status, body: body.to_owned(), retry_after_s: None };
    let page = "<html><h1>Bad Gateway</h1></html>";
    assert_eq!(reply(502, page).answer(Route::Reads).unwrap(), Answer::Offline);
    assert_eq!(reply(503, page).answer(Route::Reads).unwrap(), Answer::Busy { retry_after_ms: 1_000 });
    assert_eq!(reply(403, page).answer(Route::Reads).unwrap(), Answer::Unauthorised);
    // Nobody but the authority can say that everything is to be fetched anew.
    for status in [410, 409, 404, 302, 204] {
        let error = reply(status, page).answer(Route::Reads).unwrap_err();
        assert!(matches!(error, Unanswered::Refused { .. }), "{status}: {error}");
    }
    let error = reply(200, page).answer(Route::Reads).unwrap_err().to_string();
    assert!(error.contains("is this its address?"), "{error}");
    let known = Details::new(Kind::TooLarge, "at most 100 operations");
    let error = Reply::problem(&known).answer(Route::Changes).unwrap_err().to_string();
    assert!(error.contains("413") && error.contains(": at most 100 operations"), "{error}");
    // These may go in parts, whoever they are too large for.
    for route in [Route::Bunches, Route::Reads] {
        assert_eq!(Reply::problem(&known).answer(route).unwrap(), Answer::TooLarge);
        assert_eq!(reply(413, page).answer(route).unwrap(), Answer::TooLarge);
    }
}

#[test]
fn a_bunch_with_an_operation_that_is_larger_than_may_be_is_too_large_and_nothing_worse() {
    let large = "x".repeat(crate::algebra::FIELDS_BYTES_MAX);
    let answered = |state: &str| {
        let text = format!(
            r#"{{"replica":"{NAME}","bunch":{{"bunch":1,"id":"{}","operations":[{{"op":"create","collection":"notes","id":"{ID}","state":{state}}}]}}}}"#,
            "0".repeat(64)
        );
        let problem = Request { route: Route::Bunches, text }.ask().unwrap_err();
        Reply::problem(&Details::unread(&problem)).answer(Route::Bunches)
    };
    assert_eq!(answered(&format!(r#"{{"a":"{large}"}}"#)).unwrap(), Answer::TooLarge);
    assert!(matches!(answered("7"), Err(Unanswered::Refused { .. })));
}

#[test]
fn events_come_back_in_whatever_pieces_they_are_read() {
    let line = format!(
        r#"{{"index":7,"collection":"notes","id":"{ID}","action":"upsert","epoch":12,"sender":"{NAME}"}}"#
    );
    let trigger = crate::algebra::Trigger::from_line(&line).unwrap();
    let generation = Generation(Uuid::from_u128(1));
    let events = [
        Event::Alive,
        Event::Trigger { generation, trigger },
        Event::Resync { until: EventId { generation, index: Index(9) } },
    ];
    let mut text = String::from(":a comment\n\nevent: of another kind\ndata: x\n\n");
    events.iter().for_each(|event| event.write(&mut text));
    for text in [text.clone(), text.replace('\n', "\r\n"), text.replace('\n', "\r")] {
        for size in 1..40 {
            let (mut reader, mut found) = (Events::default(), Vec::new());
            text.as_bytes().chunks(size).for_each(|piece| reader.read(piece, &mut found).unwrap());
            assert_eq!(found, events, "in pieces of {size}");
        }
    }
}

#[test]
fn a_stream_of_something_else_is_refused_in_bounded_memory() {
    let read = |text: &str| {
        let mut found = Vec::new();
        Events::default()
            .read(text.as_bytes(), &mut found)
            .map(|()| found.len())
            .map_err(|error| error.to_string())
    };
    assert!(read(&"x".repeat(EVENT_BYTES_MAX + 1)).unwrap_err().contains("longer than"));
    assert!(read(&"data: x\n".repeat(EVENT_BYTES_MAX)).unwrap_err().contains("longer than"));
    assert!(read("event: trigger\ndata: {}\n\n").is_err());
    assert!(read("event: resync\ndata: {}\n\n").unwrap_err().contains("generation"));
    // An event that has not ended is none yet.
    assert_eq!(read("event: alive\ndata: {}\n"), Ok(0));
}

#[test]
fn an_ask_for_reads_is_grouped_by_collection() {
    let text = format!(
        r#"{{"reads":[{{"collection":"b","ids":["{ID}","{NAME}"]}},{{"collection":"a","ids":[]}}]}}"#
    );
    let ask = Request { route: Route::Reads, text }.ask().unwrap();
    let Ask::Reads { keys } = &ask else { panic!("{ask:?}") };
    assert_eq!(keys.len(), 2);
    assert_eq!(
        Request::of(&ask).text,
        format!(r#"{{"reads":[{{"collection":"b","ids":["{NAME}","{ID}"]}}]}}"#)
    );
}

/// The JSON texts of the page that describes the protocol.
fn shown() -> Vec<String> {
    let page = include_str!("PROTOCOL.md");
    page.split("```json\n")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once("```")?.0.replace('\n', "")))
        .collect()
}

#[test]
fn the_page_shows_what_is_really_said() {
    let [bunch, outcomes, changes, page, reads, digests] = &shown()[..] else {
        panic!("{:?}", shown().len())
    };
    // No page can show a hash that holds, so the bunch is told by its operations.
    let operations = bunch.split_once("\"operations\":").unwrap().1.strip_suffix("}}").unwrap();
    let operations: Vec<serde_json::Value> = serde_json::from_str(operations).unwrap();
    for operation in operations {
        crate::algebra::Planned::from_line(&operation.to_string()).unwrap();
    }
    crate::algebra::Outcomes::from_line(outcomes).unwrap();
    for (route, text) in [(Route::Changes, changes), (Route::Reads, reads)] {
        asked(route, text).unwrap();
    }
    let answered =
        |route, body: &str| Reply { status: 200, body: body.to_owned(), retry_after_s: None }.answer(route);
    answered(Route::Changes, page).unwrap();
    answered(Route::Digests, &digests.replace("5f0c…", &"5f0c".repeat(16))).unwrap();
    for kind in Kind::ALL {
        let (name, status, _) = kind.said();
        let row = format!("| {status} | `urn:foldlog:{name}` |");
        assert!(include_str!("PROTOCOL.md").contains(&row), "{row} is not on the page");
    }
}
