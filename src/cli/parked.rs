//! `parked`: what the authority refused, and what is held because of it.

use serde_json::json;

use super::args::{ParkedAction, ParkedArgs};
use super::failure::Failure;
use super::fold::object;
use super::output::Output;
use super::{show, words};
use crate::algebra::Operation;
use crate::journal::Error;
use crate::replica::journal_by_its_schema;

pub(super) fn parked(args: &ParkedArgs, output: &mut Output) -> Result<(), Failure> {
    let journal = journal_by_its_schema(&args.of.journal)?;
    match args.action.as_ref().unwrap_or(&ParkedAction::List) {
        ParkedAction::List => {
            let (parked, held, superseded) = (journal.parked()?, journal.held()?, journal.superseded()?);
            for parked in &parked {
                output.text(&show::parked_line(parked).end())?;
            }
            for held in &held {
                output.text(&show::held_line(held).end())?;
            }
            for superseded in &superseded {
                output.text(&show::superseded_line(superseded).end())?;
            }
            let (parked, held, gone) = (parked.len(), held.len(), superseded.len());
            let said = format!("{parked} parked, {held} held, {gone} gave way");
            output
                .summary(true, &said, || object(json!({"parked": parked, "held": held, "superseded": gone})))
        }
        ParkedAction::Retry { entity } => {
            let key = words::entity(entity)?;
            journal.retry(&key)?;
            output.summary(false, &format!("{key} is pending again"), || {
                object(json!({"retried": key.to_string()}))
            })
        }
        ParkedAction::Edit { input } => {
            let edits: Vec<Operation> = input.lines()?.collect::<Result<_, _>>()?;
            let parked = journal.parked()?;
            if let Some(other) = edits.iter().find(|edit| parked.iter().all(|parked| parked.key != edit.key))
            {
                return Err(Error::NotParked { key: other.key.clone() }.into());
            }
            journal.append(&edits, crate::journal::Durability::Durable)?;
            let number = edits.len() as u64;
            let said = format!("{} composed with what was parked; all is pending", words::operations(number));
            output.summary(false, &said, || object(json!({"edited": number})))
        }
        ParkedAction::Drop { entity } => {
            let key = words::entity(entity)?;
            // What is merely pending is nobody's decision here.
            let is_held = || Ok::<_, Error>(journal.held()?.iter().any(|held| held.key == key));
            if !journal.parked()?.iter().any(|parked| parked.key == key) && !is_held()? {
                return Err(Error::NotParked { key }.into());
            }
            journal.discard(&key)?;
            output
                .summary(false, &format!("{key} is given up"), || object(json!({"dropped": key.to_string()})))
        }
        ParkedAction::Forget => {
            let number = journal.forget_superseded()?;
            let said = format!("forgot {} that gave way", words::counted(number, "effect", "effects"));
            output.summary(false, &said, || object(json!({"forgotten": number})))
        }
    }
}
