//! Lines the way programs write most of them, looked through once: canonical objects, nothing escaped, no fractions.
//!
//! Whatever is written otherwise is none of its business, and left to the parser: that also has the words for what is
//! wrong. Invariant: what is found here is what the parser would have found.

use memchr::memchr2;

use crate::algebra::FIELDS_BYTES_MAX;

/// Lists and objects in one another; deeper ones are the parser's.
const DEPTH_MAX: usize = 16;

/// An integer of so many digits fits into 64 bits, with a sign or without.
const DIGITS_MAX: usize = 18;

/// A line that is being looked through.
pub(super) struct Plain<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Plain<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Plain { text, at: 0 }
    }

    /// Whether nothing is left.
    pub(super) fn is_over(&self) -> bool {
        self.at == self.text.len()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Goes on behind a byte, if that is next.
    pub(super) fn eat(&mut self, byte: u8) -> Option<()> {
        self.has(byte).then_some(())
    }

    /// Whether a byte is next; then behind it.
    pub(super) fn has(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let is_next = self.text.as_bytes().get(self.at..)?.starts_with(word.as_bytes());
        is_next.then(|| self.at += word.len())
    }

    /// A string, what is between its quotes.
    pub(super) fn string(&mut self) -> Option<&'a str> {
        self.eat(b'"')?;
        let rest = self.text.as_bytes().get(self.at..)?;
        let end = memchr2(b'"', b'\\', rest)?;
        if rest.get(end) != Some(&b'"') {
            return None;
        }
        let inside = rest.get(..end)?;
        // All of them are looked at: many at a time is quicker than up to the first.
        if inside.iter().fold(false, |is_control, byte| is_control | (*byte < 0x20)) {
            return None;
        }
        let inside = self.text.get(self.at..self.at + end)?;
        self.at += end + 1;
        Some(inside)
    }

    /// A whole number, 0 or more.
    pub(super) fn whole(&mut self) -> Option<u64> {
        let begin = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        let digits = self.text.get(begin..self.at)?;
        let is_plain = digits.len() <= DIGITS_MAX && (digits == "0" || !digits.starts_with('0'));
        // What a number goes on with is not what a line goes on with.
        is_plain.then(|| digits.parse().ok()).flatten()
    }

    /// A state or patch as it is written, which is its canonical text.
    pub(super) fn fields(&mut self, nulls: Nulls) -> Option<&'a str> {
        let begin = self.at;
        self.object(nulls, 0)?;
        let text = self.text.get(begin..self.at)?;
        (text.len() <= FIELDS_BYTES_MAX).then_some(text)
    }

    fn object(&mut self, nulls: Nulls, depth: usize) -> Option<()> {
        self.eat(b'{')?;
        if self.has(b'}') {
            return Some(());
        }
        let mut last: Option<&str> = None;
        loop {
            let name = self.string()?;
            if last.is_some_and(|last| last >= name) {
                return None;
            }
            last = Some(name);
            self.eat(b':')?;
            if nulls == Nulls::Removed && self.peek() == Some(b'n') {
                return None;
            }
            self.value(depth)?;
            if !self.has(b',') {
                return self.eat(b'}');
            }
        }
    }

    fn list(&mut self, depth: usize) -> Option<()> {
        self.eat(b'[')?;
        if self.has(b']') {
            return Some(());
        }
        loop {
            self.value(depth)?;
            if !self.has(b',') {
                return self.eat(b']');
            }
        }
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'{' if depth < DEPTH_MAX => self.object(Nulls::Kept, depth + 1),
            b'[' if depth < DEPTH_MAX => self.list(depth + 1),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            b'-' => {
                self.at += 1;
                self.whole().filter(|number| *number > 0).map(drop)
            }
            _ => self.whole().map(drop),
        }
    }
}

/// What a null means among the fields of an object.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Nulls {
    /// The field is not there: not the canonical way to say that.
    Removed,
    /// It is a value, or takes a field away.
    Kept,
}
