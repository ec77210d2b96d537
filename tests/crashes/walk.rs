//! From every crash of a disk to what is seen of it afterwards.

use foldlog::testing::{CrashPoint, FaultyStorage, Unsynced};

use crate::figures::Figures;
use crate::random::Random;

/// How many images a crash point has, and of how many of them the recovery is crashed at.
const IMAGES: u64 = 6;
const RECOVERIES_ONE_IN: u64 = 60;

/// Makes a call once more, on what a crash of it left; gives what is seen then.
pub(crate) type Again = Box<dyn Fn(&FaultyStorage) -> String>;

/// What could be seen after a call, and between which events of the disk it was made.
struct Call {
    name: &'static str,
    begun: u64,
    returned: u64,
    is_durable: bool,
    seen: String,
    again: Option<Again>,
}

/// A disk, and what was done to it.
pub(crate) struct Life {
    pub(crate) disk: FaultyStorage,
    calls: Vec<Call>,
}

impl Life {
    /// One that begins with what is on a disk.
    pub(crate) fn new(disk: FaultyStorage, seen: String) -> Self {
        disk.record();
        let at = disk.events();
        Life {
            disk,
            calls: vec![Call {
                name: "nothing",
                begun: 0,
                returned: at,
                is_durable: true,
                seen,
                again: None,
            }],
        }
    }

    /// Makes a call, and notes what is seen afterwards.
    pub(crate) fn call<T>(
        &mut self,
        name: &'static str,
        is_durable: bool,
        call: impl FnOnce() -> T,
        seen: impl FnOnce() -> String,
    ) -> T {
        self.call_in_steps(name, is_durable, None, call, seen)
    }

    /// As [`call`](Self::call), of one that may be seen half done where making it once more does the rest.
    pub(crate) fn call_in_steps<T>(
        &mut self,
        name: &'static str,
        is_durable: bool,
        again: Option<Again>,
        call: impl FnOnce() -> T,
        seen: impl FnOnce() -> String,
    ) -> T {
        let begun = self.disk.events();
        let done = call();
        let returned = self.disk.events();
        let seen = seen();
        // One that wrote nothing made nothing durable either.
        let before = &self.calls[self.len()];
        let is_durable =
            if returned == begun { before.is_durable && before.seen == seen } else { is_durable };
        self.calls.push(Call { name, begun, returned, is_durable, seen, again });
        done
    }

    /// How many calls were made.
    pub(crate) fn len(&self) -> usize {
        self.calls.len() - 1
    }

    /// The last durable call that had returned at this event, and the last one begun.
    fn bounds(&self, event: u64) -> (usize, usize) {
        let floor = self.calls.iter().rposition(|call| call.is_durable && call.returned <= event);
        let last = self.calls.iter().rposition(|call| call.begun <= event);
        (floor.unwrap(), last.unwrap())
    }

    /// Which call's state an image shows; there may be several, and the first will do.
    fn found(&self, image: &FaultyStorage, seen: &str, event: u64, place: &str) -> (usize, usize) {
        let (floor, last) = self.bounds(event);
        let is_half_done = || {
            let call = &self.calls[last];
            call.again.as_ref().is_some_and(|again| again(&image.snapshot()) == call.seen).then_some(last)
        };
        let found = (floor..=last).find(|call| self.calls[*call].seen == seen).or_else(is_half_done);
        let found = found.unwrap_or_else(|| {
            let around: Vec<String> = (floor..=last)
                .map(|call| {
                    format!("{call}, {}: {}", self.calls[call].name, differing(seen, &self.calls[call].seen))
                })
                .collect();
            panic!("{place}: it shows neither of calls {floor} to {last}\n{}", around.join("\n"))
        });
        (found, floor)
    }

    /// Crashes at every event. `seen` opens an image, and says what is seen; `goes_on` is given one, and the number of the
    /// last call whose state it may hold.
    pub(crate) fn crashed_everywhere(
        &self,
        random: &mut Random,
        figures: &mut Figures,
        seen: impl Fn(&FaultyStorage) -> String,
        mut goes_on: impl FnMut(&FaultyStorage, usize, &mut Random) -> bool,
    ) {
        figures.workloads += 1;
        figures.calls += self.len() as u64;
        for crash in self.disk.crashes() {
            figures.points += 1;
            for number in 0..IMAGES {
                let fate = fate(number, random);
                let image = crash.image(fate);
                let place = format!("seed {}, event {}, {fate:?}", figures.seed, crash.event());
                image.record();
                let (found, floor) = self.found(&image, &seen(&image), crash.event(), &place);
                figures.images += 1;
                figures.ahead += u64::from(found > floor);
                if random.one_in(RECOVERIES_ONE_IN) {
                    self.recovery_crashed_everywhere(&crash, &image, random, figures, &seen);
                } else if goes_on(&image, self.bounds(crash.event()).1, random) {
                    figures.went_on += 1;
                }
            }
        }
    }

    fn recovery_crashed_everywhere(
        &self,
        crash: &CrashPoint,
        image: &FaultyStorage,
        random: &mut Random,
        figures: &mut Figures,
        seen: impl Fn(&FaultyStorage) -> String,
    ) {
        for again in image.crashes() {
            let kind = random.below(IMAGES);
            let fate = fate(kind, random);
            let place = format!(
                "seed {}, event {}, then event {} of its recovery, {fate:?}",
                figures.seed,
                crash.event(),
                again.event()
            );
            let image = again.image(fate);
            self.found(&image, &seen(&image), crash.event(), &place);
            figures.images += 1;
            figures.recoveries += 1;
        }
    }
}

/// The lines that one has and the other has not, not all of them and cut short.
fn differing(found: &str, expected: &str) -> String {
    let only = |of: &str, not: &str, mark| {
        let not: Vec<&str> = not.lines().collect();
        let lines = of.lines().filter(|line| !not.contains(line)).take(4);
        lines
            .map(|line| format!("\n  {mark} {}", line.chars().take(300).collect::<String>()))
            .collect::<String>()
    };
    only(found, expected, "found") + &only(expected, found, "expected")
}

fn fate(number: u64, random: &mut Random) -> Unsynced {
    match number {
        0 => Unsynced::Lost,
        1 => Unsynced::Kept,
        _ => Unsynced::Sampled { seed: random.next() },
    }
}
