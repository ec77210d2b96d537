//! Export and import: what is seen, as lines.

use std::io::{BufRead, Write};

use super::Replica;
use super::error::Error;
use super::transact::Edit;
use crate::algebra::{Existence, Operation, Row};
use crate::codec::lines::{self, Line};
use crate::journal::{Appended, Durability};

impl Replica {
    /// Writes every live entity as a line, in the order of their keys, as they are seen at one moment:
    /// `{"collection","id","state"}`. Gives the number of lines. Epochs and what is unsent are not among them: what is
    /// read back elsewhere is that replica's own doing.
    ///
    /// # Errors
    /// What the writer or the journal says.
    pub fn export(&self, mut out: impl Write) -> Result<u64, Error> {
        // Read first, then written: nothing of the file is held while somebody else's code runs.
        let rows = self.read(|_, view| {
            let mut rows = Vec::new();
            for key in view.keys(None)? {
                if let Existence::Live(state) = view.visible(&key)?.existence {
                    rows.push(Row { key, state: Some(state), epoch: None });
                }
            }
            Ok(rows)
        })?;
        let mut text = String::new();
        for row in &rows {
            text.clear();
            row.write_line(&mut text);
            text.push('\n');
            out.write_all(text.as_bytes())?;
        }
        out.flush()?;
        Ok(rows.len() as u64)
    }

    /// Makes of each entity what its line says, all of them or none: one that is not live is created, of a live one the
    /// fields that differ are changed, `"state":null` deletes. What is not among the lines stays. An epoch says
    /// nothing here. These are operations of this replica's, and are sent like any others.
    ///
    /// # Errors
    /// A line that is refused, by its number; otherwise as [`Replica::commit`].
    pub fn import(&self, input: impl BufRead, durability: Durability) -> Result<Appended, Error> {
        let rows: Vec<Row> = lines::read(input).collect::<Result<_, _>>()?;
        let all = |edit: &mut Edit<'_, '_, '_>| {
            for Row { key, state, .. } in rows {
                let operation = match (edit.view.visible(&key)?.existence, state) {
                    (Existence::Live(seen), Some(state)) => Operation::patch(key, seen.changes_to(&state)),
                    (Existence::Absent | Existence::Dead(_), Some(state)) => Operation::create(key, state),
                    (_, None) => Operation::delete(key),
                };
                edit.carry_out(&operation)?;
            }
            Ok(())
        };
        self.commit_with(durability, all, |_, _, _| Ok(()))
    }
}
