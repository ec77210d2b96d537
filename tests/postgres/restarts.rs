//! The server is stopped as by a power cut and started again, while clients write.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use foldlog::algebra::{Answer, Cursors, Outcome};
use foldlog::authority::{Authority, Error};
use foldlog::testing::postgres::Server;

use crate::asks::{NOW, bunch, changes, create, deliver};
use crate::namespace::{Namespace, account};

const SCHEMA: &str = r#"{"collections":{"notes":{"unique":[["title"]]}}}"#;
const WRITERS: u64 = 4;

#[test]
fn what_was_acknowledged_survives_the_servers_crash_and_it_goes_on_by_itself() {
    let Ok(server) = Server::start(&[]) else {
        println!("skipped: what_was_acknowledged_survives_the_servers_crash_and_it_goes_on_by_itself");
        return;
    };
    let namespace = Namespace::on(&server);
    let (authority, anna) = (namespace.open(SCHEMA), account("anna"));
    let (is_over, acknowledged) = (AtomicBool::new(false), Mutex::new(BTreeSet::new()));
    let errors: Vec<(Duration, Error)> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (authority, anna) = (&authority, &anna);
                let (is_over, acknowledged) = (&is_over, &acknowledged);
                scope.spawn(move || {
                    let (mut number, mut errors) = (0, Vec::new());
                    while !is_over.load(Ordering::SeqCst) {
                        number += 1;
                        let n = u128::from(number * WRITERS + writer + 1);
                        let note = create("notes", n, &format!(r#"{{"title":{n}}}"#));
                        let ask = deliver(100 + u128::from(writer), bunch(number, vec![note]));
                        // A bunch is delivered until it is answered.
                        let answer = loop {
                            let begun = Instant::now();
                            match authority.answer(anna, NOW, &ask) {
                                Ok(answer) => break answer,
                                Err(error) => errors.push((begun.elapsed(), error)),
                            }
                            std::thread::sleep(Duration::from_millis(20));
                        };
                        let Answer::Delivered(outcomes) = answer else { panic!("{answer:?}") };
                        assert!(matches!(outcomes.outcomes[..], [Outcome::Accepted { .. }]), "{outcomes:?}");
                        acknowledged.lock().unwrap().insert(n);
                    }
                    errors
                })
            })
            .collect();
        for _ in 0..2 {
            std::thread::sleep(Duration::from_millis(300));
            server.stop_at_once().unwrap();
            std::thread::sleep(Duration::from_millis(400));
            server.start_again().unwrap();
        }
        std::thread::sleep(Duration::from_millis(300));
        is_over.store(true, Ordering::SeqCst);
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    let longest = errors.iter().map(|(took, _)| *took).max().unwrap_or_default();
    assert!(!errors.is_empty() && longest < Duration::from_secs(3), "{} errors, {longest:?}", errors.len());
    assert!(errors.iter().all(|(_, error)| matches!(error, Error::Store { .. })), "{errors:?}");
    let Answer::Changes(page) = authority.answer(&anna, NOW, &changes(Cursors::new(), 9_999, None)).unwrap()
    else {
        panic!("no changes");
    };
    let kept: BTreeSet<u128> = page.rows.iter().map(|row| row.key.id().as_u128()).collect();
    let acknowledged = acknowledged.into_inner().unwrap();
    println!("{} acknowledged, {} errors, the longest after {longest:?}", acknowledged.len(), errors.len());
    assert!(acknowledged.len() > 20);
    assert_eq!(kept, acknowledged, "each was delivered until it was answered");
}
