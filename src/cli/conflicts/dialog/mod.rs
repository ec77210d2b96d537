//! The conflict dialog: shows one open conflict after another, asks what to do, and does it at once.
//!
//! It knows no terminal: answers are lines of any input, an editor is any function. The end of the input is "quit".
//! What was decided before stays, whatever comes after.

use std::io::{self, BufRead, Write};

use super::seen::Seen;
use crate::algebra::{EntityKey, State};
use crate::cli::asking::asked;
use crate::cli::failure::Failure;
use crate::cli::words;
use crate::clock::now;
use crate::replica::{Error, Replica, Resolution};

/// The longest line that is taken for an answer.
const ANSWER_BYTES_MAX: u64 = 1_000;

const QUESTION: &str =
    "(l)ocal, (r)emote, (n)ewest, (e)dit, (d)elete, delete (a)ll, (s)kip, (q)uit, (?) what these mean: ";

const MEANINGS: &str = "\
  l  local: this side's is kept, on top of the other; of a clash, the entity that has the key is deleted
  r  remote: the other side's is taken
  n  newest: of each field what was changed later; of a clash, the entity that was changed later keeps the key,
     and the other is deleted
  e  edit: your editor opens the state, and what you save is what the entity becomes
  d  delete: the entity is deleted
  a  delete all: the entities of all these conflicts are deleted, those that were skipped too
  s  skip: it stays open
  q  quit: the rest stays open
What loses is kept; `losers` lists it.";

/// A dialog about the open conflicts of a replica.
pub(super) struct Dialog<'d, R, W, E> {
    pub(super) replica: &'d Replica,
    pub(super) input: R,
    pub(super) out: W,
    /// Gives back what became of a text, or says why there is nothing to give back.
    pub(super) editor: E,
    /// How wide lines may be.
    pub(super) width: usize,
}

/// How it goes on after a conflict.
enum Next {
    Resolved,
    Skipped,
    DeleteAll,
    Quit,
}

/// Whether a decision could be carried out.
enum Done {
    Yes,
    /// It was said why; another decision may do.
    No,
}

impl<R: BufRead, W: Write, E: FnMut(&str) -> Result<String, String>> Dialog<'_, R, W, E> {
    /// Goes through these conflicts, and says how many were resolved.
    pub(super) fn talk(&mut self, keys: &[EntityKey]) -> Result<u64, Failure> {
        let mut resolved = 0;
        for (number, key) in (1_usize..).zip(keys) {
            // What was decided before may have been the end of it.
            let Some(seen) = Seen::of(self.replica, key)? else { continue };
            self.say(&format!("\n{number} of {}", keys.len()))?;
            for line in seen.told(self.width, now()) {
                self.say(&line)?;
            }
            match self.one(&seen)? {
                Next::Resolved => resolved += 1,
                Next::Skipped => {}
                Next::Quit => break,
                Next::DeleteAll => return Ok(resolved + self.delete_all(keys)?),
            }
        }
        Ok(resolved)
    }

    /// Asks about one until there is an answer that can be carried out.
    fn one(&mut self, seen: &Seen) -> Result<Next, Failure> {
        let key = &seen.conflict.key;
        loop {
            let Some(answer) = self.ask(QUESTION)? else { return Ok(Next::Quit) };
            let resolution = match answer.as_str() {
                "l" | "local" => Resolution::Local,
                "r" | "remote" => Resolution::Remote,
                "n" | "newest" => Resolution::Newest,
                "d" | "delete" => Resolution::Delete,
                "e" | "edit" => match self.edit(seen)? {
                    Some(next) => return Ok(next),
                    None => continue,
                },
                "a" | "all" | "delete all" => match self.confirms_all()? {
                    Some(true) => return Ok(Next::DeleteAll),
                    Some(false) => continue,
                    None => return Ok(Next::Quit),
                },
                "s" | "skip" => return Ok(Next::Skipped),
                "q" | "quit" => return Ok(Next::Quit),
                "" => continue,
                "?" | "help" => {
                    self.say(MEANINGS)?;
                    continue;
                }
                other => {
                    self.say(&format!("{:?} is none of the answers:\n{MEANINGS}", words::shown(other)))?;
                    continue;
                }
            };
            match self.decide(key, &resolution)? {
                Done::Yes => return Ok(Next::Resolved),
                Done::No => {}
            }
        }
    }

    /// Carries out a decision. One that does not go leaves the conflict open; a failure of the file is the end.
    fn decide(&mut self, key: &EntityKey, resolution: &Resolution) -> Result<Done, Failure> {
        match self.replica.resolve(key, resolution) {
            Ok(()) => {
                self.say(&format!("{key} is resolved"))?;
                Ok(Done::Yes)
            }
            Err(Error::Journal { source }) => Err(source.into()),
            Err(error) => {
                self.say(&format!("that does not go: {error}"))?;
                Ok(Done::No)
            }
        }
    }

    /// Lets the state be edited until it can be stored, or nobody wants that any more: then there is nothing to go on
    /// with.
    fn edit(&mut self, seen: &Seen) -> Result<Option<Next>, Failure> {
        let conflict = &seen.conflict;
        let sides = [&conflict.local, &conflict.remote];
        let live = sides.iter().find_map(|side| side.existence.live()).cloned();
        let mut text = indented(&live.unwrap_or_else(State::empty));
        loop {
            text = match (self.editor)(&text) {
                Ok(text) => text,
                Err(why) => {
                    self.say(&format!("nothing is decided: {why}"))?;
                    return Ok(None);
                }
            };
            if text.trim().is_empty() {
                self.say("the file is empty: nothing is decided")?;
                return Ok(None);
            }
            match State::from_json(text.trim()) {
                Ok(state) => {
                    if let Done::Yes = self.decide(&conflict.key, &Resolution::Modify(state))? {
                        return Ok(Some(Next::Resolved));
                    }
                }
                Err(error) => self.say(&format!("that is no state: {error}"))?,
            }
            loop {
                match self.ask("edit it again? (y)es, (n)o: ")?.as_deref() {
                    Some("y" | "yes" | "e" | "edit") => break,
                    Some("n" | "no") => return Ok(None),
                    Some(_) => {}
                    None => return Ok(Some(Next::Quit)),
                }
            }
        }
    }

    /// Whether really all are to be deleted; nothing at the end of the input.
    fn confirms_all(&mut self) -> Result<Option<bool>, Failure> {
        let answer = self.ask("delete the entities of all these conflicts? type yes: ")?;
        Ok(answer.map(|answer| answer == "yes"))
    }

    fn delete_all(&mut self, keys: &[EntityKey]) -> Result<u64, Failure> {
        let mut resolved = 0;
        for key in keys {
            if Seen::of(self.replica, key)?.is_some()
                && let Done::Yes = self.decide(key, &Resolution::Delete)?
            {
                resolved += 1;
            }
        }
        Ok(resolved)
    }

    /// Asks, and gives the answer in lower case; nothing at the end of the input.
    fn ask(&mut self, question: &str) -> Result<Option<String>, Failure> {
        let answer = asked(&mut self.input, &mut self.out, question, ANSWER_BYTES_MAX);
        Ok(answer.map_err(|error| gone(&error))?.map(|answer| answer.to_lowercase()))
    }

    fn say(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.out, "{line}").map_err(|error| gone(&error))
    }
}

/// Nobody can be asked any more.
fn gone(error: &io::Error) -> Failure {
    Failure::Failed(format!("the terminal cannot be used any more: {error}; what was decided so far stays"))
}

/// A state with a field a line, each value as it is stored.
fn indented(state: &State) -> String {
    let field = |(name, raw): (String, &str)| format!("  {}: {raw}", serde_json::Value::String(name));
    let fields: Vec<String> = state.iter().map(field).collect();
    if fields.is_empty() { "{}\n".to_owned() } else { format!("{{\n{}\n}}\n", fields.join(",\n")) }
}

#[cfg(test)]
mod tests;
