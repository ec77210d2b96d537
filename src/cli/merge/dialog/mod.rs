//! The merge dialog: shows one undecided clash after another, asks who goes on, and looks anew what follows from that.
//!
//! It knows no terminal: answers are lines of any input. The end of the input is "quit", and nothing is merged unless
//! somebody says so at the end.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Write};

use super::counts::Counts;
use super::decided::undecided;
use super::files::Files;
use super::told;
use crate::algebra::{EntityKey, Patch, Version};
use crate::cli::asking::asked;
use crate::cli::conflicts::{Column, beside};
use crate::cli::failure::Failure;
use crate::cli::words;
use crate::merge::{Children, How, Keep, Pair, Refusal, Resolution, Resolutions, Side, With};

/// The longest line that is taken for an answer.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// So many children are shown of each of two; the rest are counted.
const CHILDREN_MAX: usize = 8;

const QUESTION: &str = "(s)ource, (d)est, (n)ewest, (m)odify, s(k)ip, (q)uit, (?) what these mean: ";

const MEANINGS: &str = "\
  s  source: the source's goes on, the destination's is deleted
  d  dest: the destination's goes on, the source's is deleted
  n  newest: the one that was changed last goes on
  m  modify: both go on, one of them with other fields; in a source's file nothing changes
  k  skip: it is asked about again at the end
  q  quit: nothing is merged
What loses is kept; `foldlog conflicts` with `losers` lists it.";

/// What somebody wants to become of a clash.
enum Answer {
    Keep(With),
    Modify,
    /// It is put off.
    Skip,
    /// Or the input ended.
    Quit,
}

/// A dialog about what clashes.
pub(super) struct Dialog<'d, R, W> {
    pub(super) files: &'d Files,
    pub(super) input: R,
    pub(super) out: W,
    /// How wide lines may be.
    pub(super) width: usize,
}

impl<R: BufRead, W: Write> Dialog<'_, R, W> {
    /// Asks until nothing is undecided, and whether to merge; gives what was decided if so.
    pub(super) fn talk(&mut self, mut decided: Resolutions) -> Result<Option<Resolutions>, Failure> {
        let mut skipped: BTreeSet<Pair> = BTreeSet::new();
        let mut last: Option<Pair> = None;
        loop {
            let checked = self.files.check(&decided)?;
            let in_the_way: Vec<&Refusal> = checked
                .refusals
                .iter()
                .filter(|refusal| {
                    !matches!(refusal, Refusal::Undecided { .. } | Refusal::MustBeListed { .. })
                })
                .collect();
            let mut open = undecided(&checked);
            if !in_the_way.is_empty() {
                let of: BTreeSet<&Pair> = in_the_way.iter().map(|refusal| refusal.pair()).collect();
                for refusal in &in_the_way {
                    self.say(&format!("that does not go: {refusal}"))?;
                }
                // It may be about an earlier answer, or about what was decided by default: that is asked about.
                let number = decided.listed.len();
                decided.listed.retain(|one| !of.contains(&one.pair));
                if decided.listed.len() < number {
                    continue;
                }
                open.extend(of.into_iter().filter(|pair| checked.clashes.has(pair)));
                if open.is_empty() {
                    let Some(pair) = last.take() else { return Ok(None) };
                    decided.listed.retain(|one| one.pair != pair);
                    continue;
                }
            }
            let Some(pair) = open.iter().find(|pair| !skipped.contains(**pair)).copied() else {
                if open.is_empty() {
                    self.say(&format!("\nall is decided: {}", Counts::of(&checked.entities).words()))?;
                    let answers = [("y", true), ("yes", true), ("n", false), ("no", false)];
                    let goes = self.ask_one_of("merge? (y)es, (n)o: ", &answers)?;
                    return Ok((goes == Some(true)).then_some(decided));
                }
                self.say(&format!(
                    "\n{} skipped",
                    words::counted(open.len() as u64, "clash was", "clashes were")
                ))?;
                skipped.clear();
                continue;
            };
            self.say(&format!(
                "\n{} to decide",
                words::counted(open.len() as u64, "clash is", "clashes are")
            ))?;
            let pair = pair.clone();
            let has_children = self.show(&pair)?;
            let how = match self.which()? {
                Answer::Keep(with) => self.children(with, has_children)?,
                Answer::Modify => self.modify()?,
                Answer::Skip => {
                    skipped.insert(pair);
                    continue;
                }
                Answer::Quit => None,
            };
            let Some(how) = how else { return Ok(None) };
            decided.listed.push(Resolution { pair: pair.clone(), how });
            last = Some(pair);
        }
    }

    /// Both of a clash beside each other, and what refers to them; says whether anything does.
    fn show(&mut self, pair: &Pair) -> Result<bool, Failure> {
        self.say(&told::clash(self.files, pair)?)?;
        let (source, dest) = self.files.sides(pair)?;
        let nothing = Version::default();
        let source = source.as_ref().map_or(&nothing, |found| &found.version);
        let dest = dest.as_ref().map_or(&nothing, |found| &found.version);
        let states = (source.existence.live(), dest.existence.live());
        let unique = match states {
            (Some(source), Some(dest)) if pair.source != pair.dest => {
                self.files.key_of(pair, source, dest).unwrap_or_default()
            }
            _ => &[],
        };
        let columns = [Column::of("dest", dest), Column::side("source", source)];
        for line in beside(&columns, unique, self.width) {
            self.say(&line)?;
        }
        self.say("  (= the key that clashes, * what differs)")?;
        if pair.source == pair.dest {
            return Ok(false);
        }
        Ok(self.show_children("dest", &pair.dest)? | self.show_children("source", &pair.source)?)
    }

    fn show_children(&mut self, side: &str, of: &EntityKey) -> Result<bool, Failure> {
        let children = self.files.children(of)?;
        for (key, state) in children.iter().take(CHILDREN_MAX) {
            let line = format!("  below {side}: {key} {}", words::shown(state.as_json()));
            let line = match line.char_indices().nth(self.width.saturating_sub(1)) {
                Some((end, _)) => line.get(..end).unwrap_or_default().to_owned() + "…",
                None => line,
            };
            self.say(&line)?;
        }
        if let Some(more) = children.len().checked_sub(CHILDREN_MAX).filter(|more| *more > 0) {
            self.say(&format!("  below {side}: {} more", words::count(more as u64)))?;
        }
        Ok(!children.is_empty())
    }

    /// What becomes of the children of whoever loses; nothing at the end of the input.
    fn children(&mut self, with: With, has_children: bool) -> Result<Option<How>, Failure> {
        let question = "the loser's children: (b)oth are kept, or (w)inner's alone: ";
        let answers = [("b", Children::Both), ("w", Children::Winner)];
        let words = [("both", Children::Both), ("winner", Children::Winner)];
        let children = match has_children {
            true => self.ask_one_of(question, &[answers, words].concat())?,
            false => Some(Children::Both),
        };
        Ok(children.map(|children| How::Keep(Keep { with, children })))
    }

    /// Which one is given other fields, and which; nothing at the end of the input.
    fn modify(&mut self) -> Result<Option<How>, Failure> {
        let question = "whose is to be another one: the (s)ource's, the (d)est's: ";
        let answers =
            [("s", Side::Source), ("source", Side::Source), ("d", Side::Dest), ("dest", Side::Dest)];
        let Some(side) = self.ask_one_of(question, &answers)? else { return Ok(None) };
        loop {
            let Some(said) = self.ask("the fields that change, as JSON, such as {\"code\":\"B 2\"}: ")?
            else {
                return Ok(None);
            };
            match Patch::from_json(&said) {
                Ok(to) if !to.is_empty() => return Ok(Some(How::Modify { side, to })),
                Ok(_) => self.say("that changes nothing")?,
                Err(error) => self.say(&format!("that cannot be used: {error}"))?,
            }
        }
    }

    fn which(&mut self) -> Result<Answer, Failure> {
        loop {
            let Some(answer) = self.ask(QUESTION)? else { return Ok(Answer::Quit) };
            return Ok(match answer.to_lowercase().as_str() {
                "s" | "source" => Answer::Keep(With::Source),
                "d" | "dest" => Answer::Keep(With::Dest),
                "n" | "newest" => Answer::Keep(With::Newest),
                "m" | "modify" => Answer::Modify,
                "k" | "skip" => Answer::Skip,
                "q" | "quit" => Answer::Quit,
                "" => continue,
                "?" | "help" => {
                    self.say(MEANINGS)?;
                    continue;
                }
                other => {
                    self.say(&format!("{:?} is none of the answers:\n{MEANINGS}", words::shown(other)))?;
                    continue;
                }
            });
        }
    }

    /// Asks until one of these is answered; nothing at the end of the input.
    fn ask_one_of<T: Copy>(&mut self, question: &str, answers: &[(&str, T)]) -> Result<Option<T>, Failure> {
        loop {
            let Some(said) = self.ask(question)? else { return Ok(None) };
            let said = said.to_lowercase();
            if let Some((_, meant)) = answers.iter().find(|(answer, _)| said == *answer) {
                return Ok(Some(*meant));
            }
        }
    }

    /// Asks, and gives the answer; nothing at the end of the input.
    fn ask(&mut self, question: &str) -> Result<Option<String>, Failure> {
        asked(&mut self.input, &mut self.out, question, ANSWER_BYTES_MAX).map_err(|error| gone(&error))
    }

    fn say(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.out, "{line}").map_err(|error| gone(&error))
    }
}

/// Nobody can be asked any more.
fn gone(error: &io::Error) -> Failure {
    Failure::Failed(format!("the terminal cannot be used any more: {error}; nothing was merged"))
}

#[cfg(test)]
mod tests;
