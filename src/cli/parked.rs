//! `parked`: what the authority refused, and what is held because of it.

use serde_json::json;

use super::args::{ParkedAction, ParkedArgs};
use super::failure::Failure;
use super::fold::object;
use super::output::Output;
use super::{show, words};
use crate::algebra::Operation;
use crate::journal::{Error, Journal};

pub(super) fn parked(args: &ParkedArgs, output: &mut Output) -> Result<(), Failure> {
    let journal = Journal::open(&args.of.journal)?;
    match args.action.as_ref().unwrap_or(&ParkedAction::List) {
        ParkedAction::List => {
            let (parked, held) = (journal.parked()?, journal.held()?);
            for parked in &parked {
                output.text(&show::parked_line(parked).end())?;
            }
            for held in &held {
                output.text(&show::held_line(held).end())?;
            }
            let said = format!("{} parked, {} held", parked.len(), held.len());
            output.summary(true, &said, || object(json!({"parked": parked.len(), "held": held.len()})))
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
            if !journal.discard(&key)? {
                return Err(Error::NotParked { key }.into());
            }
            output
                .summary(false, &format!("{key} is given up"), || object(json!({"dropped": key.to_string()})))
        }
    }
}
