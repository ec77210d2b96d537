//! `salvage`: what is readable of a damaged journal, in a new one.

use serde_json::{Value, json};

use super::args::SalvageArgs;
use super::failure::Failure;
use super::fold::object;
use super::output::{Output, say};
use super::status;
use super::words;
use crate::journal::{Finding, Judged, LostName, Reading, Salvaged, salvage as salvaged};

/// What could not be read goes to standard output, a line each; what was judged, and how the new journal stands, is said.
pub(super) fn salvage(args: &SalvageArgs, output: &mut Output) -> Result<(), Failure> {
    let lost_name = if args.new_name { LostName::Drawn } else { LostName::Refused };
    let account = salvaged(&args.damaged, &args.new, lost_name)?;
    if !output.is_json() {
        for Finding { place, what } in &account.unreadable {
            output.text(&format!("{}: {}", words::shown(place), words::shown(what)))?;
        }
        let listed = account.unreadable.len() as u64;
        if account.unreadable_count > listed {
            output.text(&format!("and {} more", words::count(account.unreadable_count - listed)))?;
        }
        output.flush()?;
        for judged in &account.judged {
            say(&format!("{judged}"));
        }
        for line in status::lines(&account.status) {
            say(&line);
        }
    }
    let said = said(&account);
    output.summary(false, &said, || object(as_json(&account)))
}

fn said(account: &Salvaged) -> String {
    let taken =
        format!("{} in {}", words::counted(account.values, "value", "values"), words::bytes(account.bytes));
    let unread = || words::counted(account.unreadable_count, "thing", "things");
    match account.reading {
        Reading::Copied => format!("nothing is damaged, so it is a copy: {taken}"),
        Reading::Engine => format!("salvaged {taken}; {} could not be read", unread()),
        Reading::Pages => format!("salvaged {taken}, page by page; {} could not be read", unread()),
    }
}

fn as_json(account: &Salvaged) -> Value {
    let reading = match account.reading {
        Reading::Copied => "copied",
        Reading::Engine => "engine",
        Reading::Pages => "pages",
    };
    let unreadable: Vec<Value> = account
        .unreadable
        .iter()
        .map(|Finding { place, what }| json!({"place": place, "what": what}))
        .collect();
    let judged: Vec<String> = account.judged.iter().map(Judged::to_string).collect();
    json!({
        "reading": reading, "replica": account.replica.0.to_string(), "bytes": account.bytes, "values": account.values,
        "bases": account.bases, "status": status::as_json(&account.status), "unreadable": unreadable,
        "unreadable_count": account.unreadable_count, "judged": judged,
    })
}
