//! Hostile requests, replies and streams: refused in words, or read for good.

use crate::algebra::Answer;
use crate::codec::wire::{Events, Reply, Request, Route};

/// Reads arbitrary text as every kind of request, reply and stream.
///
/// # Panics
/// If what was read is not read again from what is written of it.
pub fn wire(data: &[u8]) {
    let mut whole = Vec::new();
    let whole_is = Events::default().read(data, &mut whole).is_ok();
    // In two pieces it is the same stream.
    let (mut reader, mut pieces) = (Events::default(), Vec::new());
    let (first, second) = data.split_at(data.len() / 2);
    let pieces_are = reader.read(first, &mut pieces).is_ok() && reader.read(second, &mut pieces).is_ok();
    assert_eq!((whole_is, whole), (pieces_are, pieces), "a stream in pieces is another one");

    let Ok(text) = std::str::from_utf8(data) else { return };
    for route in Route::ALL {
        let request = Request { route, text: text.to_owned() };
        if let Ok(ask) = request.ask() {
            let written = Request::of(&ask);
            let again = written.ask().map(|ask| Request::of(&ask));
            assert_eq!(again.ok(), Some(written), "{text} is written and read as another request");
        }
        for status in [200, 401, 409, 410, 413, 429, 500, 503] {
            let reply = Reply { status, body: text.to_owned(), retry_after_s: None };
            let answered = reply.answer(route).ok().filter(|answer| *answer != Answer::Offline);
            if let Some(answer) = answered {
                let written = Reply::of(&answer);
                let again = written.answer(route);
                assert_eq!(again.ok(), Some(answer), "{text} is written and read as another answer");
            }
        }
    }
}
