//! Group commit under a scheduler that decides who goes on at every lock: nobody waits for ever, everybody is answered once,
//! and what was answered was done. Two callers in every order there is, larger crowds in many.
//!
//! `FOLDLOG_ORDERS` says how many orders of the larger crowds are tried.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "../src/storage/commit.rs"]
mod commit;

/// What the module under test takes for locks.
mod locks {
    pub(crate) use shuttle::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
}

use std::panic::AssertUnwindSafe;
use std::sync::Mutex;

use commit::{Lead, Queue, Turn};
use locks::Arc;
use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler};
use shuttle::{Config, Runner, thread};

/// The number of the commit that a caller's work was in; none, if the leader died.
type Answer = Option<u64>;

#[derive(Clone, Copy, Debug)]
struct Crowd {
    callers: u64,
    turns: u64,
    /// This one panics when it leads, after it has committed and answered the first of those it took.
    dies: Option<u64>,
}

/// What was committed, by commit.
#[derive(Default)]
struct Log {
    commits: Vec<Vec<(u64, u64)>>,
}

struct World {
    queue: Queue<(u64, u64), Answer>,
    /// One of the system's: nobody waits for it, and its order is of no interest.
    log: Mutex<Log>,
}

impl World {
    /// Commits what one has to do, and what all have to do who wait.
    fn led(&self, lead: Lead<'_, (u64, u64), Answer>, own: Option<(u64, u64)>, dies: bool) -> Answer {
        let works: Vec<_> = own.into_iter().chain(lead.taken.iter().map(|request| request.work)).collect();
        let number = {
            let mut log = self.log.lock().unwrap();
            log.commits.push(works);
            log.commits.len() as u64
        };
        // The disk is slow: the others go on meanwhile.
        thread::yield_now();
        if dies {
            if let Some(first) = lead.taken.first() {
                first.answer(Some(number));
            }
            std::panic::resume_unwind(Box::new("the leader dies"));
        }
        for request in &lead.taken {
            request.answer(Some(number));
        }
        drop(lead);
        Some(number)
    }

    fn asked(&self, work: (u64, u64), dies: bool) -> Answer {
        match self.queue.join(|| work) {
            Turn::Lead(lead) => self.led(lead, Some(work), dies),
            Turn::Follow(request) => {
                if let Some(lead) = self.queue.follow(&request) {
                    assert!(
                        lead.taken.iter().any(|taken| taken.work == work),
                        "who is handed the lead is taken"
                    );
                    self.led(lead, None, dies);
                }
                self.queue.answer_of(&request)
            }
        }
    }
}

fn play(crowd: Crowd) {
    let world = Arc::new(World { queue: Queue::new(|| None), log: Mutex::default() });
    let callers: Vec<_> = (0..crowd.callers)
        .map(|caller| {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let dies = crowd.dies == Some(caller);
                let mut answers = Vec::new();
                for turn in 0..crowd.turns {
                    let asked = AssertUnwindSafe(|| world.asked((caller, turn), dies));
                    match std::panic::catch_unwind(asked) {
                        Ok(answer) => answers.push(((caller, turn), answer)),
                        Err(_) => assert!(dies, "only who is to die panics"),
                    }
                }
                answers
            })
        })
        .collect();
    let answers: Vec<_> = callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect();
    let log = world.log.lock().unwrap();
    for (work, answer) in &answers {
        let commits = log.commits.iter().filter(|commit| commit.contains(work)).count();
        match answer {
            Some(number) => {
                assert_eq!(commits, 1, "{work:?} is done once");
                let commit = usize::try_from(number - 1).unwrap();
                assert!(log.commits.get(commit).unwrap().contains(work), "{work:?} is told another's commit");
            }
            // It may be done, or not: its leader died over it.
            None => assert!(crowd.dies.is_some() && commits <= 1, "{work:?} is not answered"),
        }
    }
    let expected = crowd.callers * crowd.turns;
    assert!(answers.len() as u64 == expected || crowd.dies.is_some(), "{} answers", answers.len());
    // Nothing is left: whoever comes now leads at once.
    let Turn::Lead(lead) = world.queue.join(|| (u64::MAX, 0)) else { panic!("somebody leads still") };
    assert!(lead.taken.is_empty(), "somebody waits still");
}

fn orders() -> usize {
    std::env::var("FOLDLOG_ORDERS").map_or(3_000, |text| text.parse().unwrap())
}

#[test]
fn two_callers_are_answered_in_every_order_there_is() {
    for dies in [None, Some(0)] {
        let crowd = Crowd { callers: 2, turns: 1, dies };
        let played = Runner::new(DfsScheduler::new(None, false), Config::new()).run(move || play(crowd));
        println!("{crowd:?}: {played} orders");
        assert!(played > 10);
    }
}

#[test]
fn larger_crowds_are_all_answered_in_many_orders() {
    for (callers, turns, dies) in [(3, 2, None), (3, 2, Some(1)), (5, 3, None), (5, 3, Some(0)), (8, 2, None)]
    {
        let crowd = Crowd { callers, turns, dies };
        Runner::new(RandomScheduler::new(orders()), Config::new()).run(move || play(crowd));
        Runner::new(PctScheduler::new(3, orders()), Config::new()).run(move || play(crowd));
    }
}
