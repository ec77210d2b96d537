//! Measuring systems in turn, and printing what they took.

use std::time::{Duration, Instant};

/// How long a piece of work takes. What comes of it is given back: dropping it is none of that.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let began = Instant::now();
    let done = work();
    (began.elapsed(), done)
}

/// How much is done.
#[derive(Clone, Copy)]
pub(crate) enum Scale {
    Quick,
    Full,
}

impl Scale {
    pub(crate) fn of<T>(self, quick: T, full: T) -> T {
        match self {
            Scale::Quick => quick,
            Scale::Full => full,
        }
    }

    pub(crate) fn rounds(self) -> usize {
        self.of(3, 7)
    }
}

/// What one system took in each round, for one operation.
struct Row {
    system: &'static str,
    nanoseconds: Vec<f64>,
}

/// One work on all systems; the first that is measured is the reference, unless another one is named.
pub(crate) struct Table {
    work: &'static str,
    is_json: bool,
    rows: Vec<Row>,
    reference: Option<&'static str>,
}

impl Table {
    pub(crate) fn new(work: &'static str, is_json: bool) -> Self {
        Table { work, is_json, rows: Vec::new(), reference: None }
    }

    /// Which system the others are held against.
    pub(crate) fn against(&mut self, system: &'static str) {
        self.reference = Some(system);
    }

    /// Notes a round of one system.
    pub(crate) fn note(&mut self, system: &'static str, took: Duration, operations: usize) {
        let one = took.as_secs_f64() * 1e9 / operations as f64;
        match self.rows.iter_mut().find(|row| row.system == system) {
            Some(row) => row.nanoseconds.push(one),
            None => self.rows.push(Row { system, nanoseconds: vec![one] }),
        }
        if !self.is_json {
            eprint!(".");
        }
    }

    pub(crate) fn print(mut self) {
        for row in &mut self.rows {
            row.nanoseconds.sort_by(f64::total_cmp);
        }
        let of = |row: &Row| row.nanoseconds[row.nanoseconds.len() / 2];
        let reference = self.rows.iter().find(|row| self.reference.is_none_or(|name| name == row.system));
        let reference = reference.map_or(f64::NAN, of);
        if !self.is_json {
            eprintln!();
            println!("{}", self.work);
            println!("  {:<12} {:>12} {:>12} {:>12} {:>9}", "", "median", "min", "max", "ratio");
        }
        for row in &self.rows {
            let (median, all) = (of(row), &row.nanoseconds);
            let (min, max, ratio) = (all[0], all[all.len() - 1], median / reference);
            if self.is_json {
                let line = serde_json::json!({
                    "work": self.work, "system": row.system, "unit": "ns/op",
                    "median": median.round(), "min": min.round(), "max": max.round(),
                    "ratio": (ratio * 1_000.0).round() / 1_000.0,
                });
                println!("{line}");
            } else {
                let [median, min, max] = [median, min, max].map(shown);
                println!("  {:<12} {median:>12} {min:>12} {max:>12} {ratio:>8.2}x", row.system);
            }
        }
    }
}

fn shown(nanoseconds: f64) -> String {
    if nanoseconds < 10_000.0 {
        format!("{nanoseconds:.0} ns")
    } else {
        format!("{:.1} µs", nanoseconds / 1_000.0)
    }
}
