//! What happens to what goes by, from a seed.

use std::time::Duration;

/// What happens to a request and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// The connection is cut before the server has heard of it.
    CutBefore,
    /// The server gets so many 256ths of it, and nothing more.
    CutWithin(u8),
    /// The server does it, and the answer is lost.
    CutAfter,
    /// So many 256ths of the answer come.
    CutAnswer(u8),
    /// It comes later.
    Delay(Duration),
    /// The server gets it twice at once; whether the answer of the second one counts.
    Double(bool),
    /// The server dies: once it has answered, but nobody hears it, or so long after it got the request.
    Die(Option<Duration>),
}

/// How likely what is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// Faults of the network, of a thousand requests.
    pub(crate) faults: u64,
    /// Requests that come again much later, of a thousand.
    pub(crate) late: u64,
    /// Deaths of the server, of a thousand requests.
    pub(crate) deaths: u64,
    /// Deaths altogether, at most.
    pub(crate) deaths_max: u64,
    /// How long a stream lives at most, in ms.
    pub(crate) stream_ms_max: u64,
}

impl Weather {
    /// A network that is as bad as it gets.
    pub(crate) const BAD: Weather =
        Weather { faults: 450, late: 100, deaths: 0, deaths_max: 0, stream_ms_max: 400 };

    /// The same, and a server that dies now and then.
    pub(crate) const fn deadly(self, deaths: u64, deaths_max: u64) -> Self {
        Weather { deaths, deaths_max, ..self }
    }
}

/// The faults to come.
#[derive(Debug)]
pub(crate) struct Schedule {
    random: Random,
    weather: Weather,
    deaths: u64,
}

impl Schedule {
    pub(crate) fn new(seed: u64, weather: Weather) -> Self {
        Schedule { random: Random(seed), weather, deaths: 0 }
    }

    /// What happens to the next request.
    pub(crate) fn fault(&mut self) -> Fault {
        let drawn = self.random.below(1_000);
        if drawn < self.weather.deaths && self.deaths < self.weather.deaths_max {
            self.deaths += 1;
            let after = Duration::from_micros(self.random.below(4_000));
            return Fault::Die((self.random.below(2) == 0).then_some(after));
        }
        if self.random.below(1_000) >= self.weather.faults {
            return Fault::None;
        }
        let share = u8::try_from(self.random.below(256)).unwrap_or(0);
        match self.random.below(10) {
            0 | 1 => Fault::CutBefore,
            2 => Fault::CutWithin(share),
            3..=5 => Fault::CutAfter,
            6 => Fault::CutAnswer(share),
            7 => Fault::Delay(Duration::from_millis(self.random.below(8))),
            _ => Fault::Double(share.is_multiple_of(2)),
        }
    }

    /// Which of so many older requests comes again now, and after how long; mostly none.
    pub(crate) fn late(&mut self, older: usize) -> Option<(usize, Duration)> {
        let comes = self.random.below(1_000) < self.weather.late && older > 0;
        let which = usize::try_from(self.random.below(older as u64)).unwrap_or(0);
        comes.then(|| (which, Duration::from_millis(self.random.below(30))))
    }

    /// How long the next stream lives.
    pub(crate) fn stream_life(&mut self) -> Duration {
        Duration::from_millis(self.random.below(self.weather.stream_ms_max))
    }
}

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one, which is small.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}
