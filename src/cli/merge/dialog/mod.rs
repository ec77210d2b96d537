//! The merge dialog: shows one undecided clash after another, asks who goes on, and looks anew what follows from that.
//!
//! It knows no terminal: answers are lines of any input. The end of the input is "quit", and nothing is merged unless
//! somebody says so at the end.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read, Write};

use super::counts::Counts;
use super::decided::undecided;
use super::files::Files;
use super::told;
use crate::algebra::{EntityKey, Version};
use crate::cli::conflicts::{Column, beside};
use crate::cli::failure::Failure;
use crate::cli::words;
use crate::merge::{Children, How, Keep, Pair, Refusal, Resolution, Resolutions, With};

/// The longest line that is taken for an answer.
const ANSWER_BYTES_MAX: u64 = 1_000;

/// So many children are shown of each of two; the rest are counted.
const CHILDREN_MAX: usize = 8;

const QUESTION: &str = "(s)ource, (d)est, (n)ewest, s(k)ip, (q)uit, (?) what these mean: ";

const MEANINGS: &str = "\
  s  source: the source's goes on, the destination's is deleted
  d  dest: the destination's goes on, the source's is deleted
  n  newest: the one that was changed last goes on
  k  skip: it is asked about again at the end
  q  quit: nothing is merged
What loses is kept; `foldlog conflicts` with `losers` lists it.";

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
            if !in_the_way.is_empty() {
                let Some(pair) = last.take() else { return Ok(None) };
                for refusal in in_the_way {
                    self.say(&format!("that does not go: {refusal}"))?;
                }
                decided.listed.retain(|one| one.pair != pair);
                continue;
            }
            let open = undecided(&checked);
            let Some(pair) = open.iter().find(|pair| !skipped.contains(**pair)).copied() else {
                if open.is_empty() {
                    self.say(&format!("\nall is decided: {}", Counts::of(&checked.entities).words()))?;
                    let goes = self.ask_one_of("merge? (y)es, (n)o: ", &[("y", "yes"), ("n", "no")])?;
                    return Ok((goes == Some("yes")).then_some(decided));
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
            let Some(with) = self.which()? else { return Ok(None) };
            let Some(with) = with else {
                skipped.insert(pair);
                continue;
            };
            let mut children = Children::Both;
            if has_children {
                let question = "the loser's children: (b)oth are kept, or (w)inner's alone: ";
                match self.ask_one_of(question, &[("b", "both"), ("w", "winner")])? {
                    Some("winner") => children = Children::Winner,
                    Some(_) => {}
                    None => return Ok(None),
                }
            }
            decided.listed.push(Resolution { pair: pair.clone(), how: How::Keep(Keep { with, children }) });
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

    /// Who goes on; nothing inside if that is put off, nothing at all at the end.
    fn which(&mut self) -> Result<Option<Option<With>>, Failure> {
        loop {
            let Some(answer) = self.ask(QUESTION)? else { return Ok(None) };
            return Ok(match answer.as_str() {
                "s" | "source" => Some(Some(With::Source)),
                "d" | "dest" => Some(Some(With::Dest)),
                "n" | "newest" => Some(Some(With::Newest)),
                "k" | "skip" => Some(None),
                "q" | "quit" => None,
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

    /// Asks until one of these is answered, by its letter or word; nothing at the end of the input.
    fn ask_one_of(
        &mut self,
        question: &str,
        answers: &[(&str, &'static str)],
    ) -> Result<Option<&'static str>, Failure> {
        loop {
            let Some(said) = self.ask(question)? else { return Ok(None) };
            let answer = answers.iter().find(|(letter, word)| said == *letter || said == *word);
            if let Some((_, word)) = answer {
                return Ok(Some(word));
            }
        }
    }

    /// Asks, and gives the answer in lower case; nothing at the end of the input.
    fn ask(&mut self, question: &str) -> Result<Option<String>, Failure> {
        write!(self.out, "{question}").and_then(|()| self.out.flush()).map_err(|error| gone(&error))?;
        let mut answer = Vec::new();
        let read = self.input.by_ref().take(ANSWER_BYTES_MAX).read_until(b'\n', &mut answer);
        if read.map_err(|error| gone(&error))? == 0 {
            self.say("")?;
            return Ok(None);
        }
        Ok(Some(String::from_utf8_lossy(&answer).trim().to_lowercase()))
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
