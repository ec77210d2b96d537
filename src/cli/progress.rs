//! Progress: a line that moves, for work over a second that somebody watches.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::output::is_watched;

/// Nothing is shown before this: what is quick needs no bar.
const QUIET: Duration = Duration::from_secs(1);

/// Counts what was done.
pub(super) struct Progress {
    what: &'static str,
    done: u64,
    began: Instant,
    is_watched: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn new(what: &'static str) -> Self {
        Progress { what, done: 0, began: Instant::now(), is_watched: is_watched(), bar: None }
    }

    /// One more.
    pub(super) fn tick(&mut self) {
        self.done += 1;
        if self.done.is_multiple_of(4096) {
            self.show();
        }
    }

    /// So many by now.
    pub(super) fn at(&mut self, done: u64) {
        self.done = done;
        self.show();
    }

    fn show(&mut self) {
        if !self.is_watched {
            return;
        }
        if self.bar.is_none() && self.began.elapsed() >= QUIET {
            let style = ProgressStyle::with_template("{spinner} {msg} {human_pos} ({per_sec}, {elapsed})")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            self.bar = Some(ProgressBar::new_spinner().with_style(style).with_message(self.what));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        }
    }

    /// The same iterator, counted.
    pub(super) fn over<I: Iterator>(mut self, items: I) -> impl Iterator<Item = I::Item> {
        items.inspect(move |_| self.tick())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
