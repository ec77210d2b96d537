//! foldlog beside what one would take instead: every row is measured on all systems in turn, round by round, in one process.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- [--quick] [--json] [WORK…]
//! ```
//!
//! | work | what is done | reference |
//! |---|---|---|
//! | append_1 | one operation after another, each durable before the next | limit |
//! | threads_128 | the same by 128 threads at once | sqlite |
//! | bulk_10k | 10,000 operations a durable transaction | limit |
//! | read_back | who did what, from the first operation to the last, of a store that was opened anew | limit |
//! | reopen | a store is opened whose process was killed, with 5 M operations pending: until it could append | redb |
//! | pass | 10 M operations on disk with whole states become one an entity of 1 M | limit |
//! | pass_distinct | the same of as many entities: all of them survive | limit |
//! | amortised | 10,000 operations a durable transaction, folded every 100,000, until there were 1 M | limit |
//! | amortised_x10 | the same until there were 10 M | limit |
//! | fold_states | operations with whole states become the fewest that do the same | changegroup |
//! | fold_patches | the same of patches of 3 of 10 fields | changegroup |
//!
//! | system | |
//! |---|---|
//! | limit | a file that was written once before, `fdatasync`; reading: a buffered reader; a pass: both |
//! | foldlog_flushed | foldlog, flushed after each append, as by a program that goes to the background |
//! | redb | a row an operation |
//! | sqlite | a row an operation, WAL, `synchronous=FULL`; many threads share one connection |
//! | fjall | a row an operation, its journal synced with `fdatasync` |
//! | changegroup | SQLite's session extension: recorded changesets, combined (recording is not measured) |
//! | upsert | SQLite in memory: one row an entity, each operation laid over it |
//! | tanstack | TanStack DB's merge of pending mutations, all in one call, in node; left out where node, npm or the registry is missing |

mod amortised;
mod durable;
mod folding;
mod log;
mod passing;
mod reading;
mod reopening;
/// The same as the judge of the tests has.
#[path = "../../../tests/session/recorded.rs"]
mod session;
mod stores;
mod table;
mod tanstack;
mod threads;

use table::{Scale, Table};

const HELP: &str = "\
foldlog beside what one would take instead, measured in turn in one process

Usage: foldlog-peers [--quick] [--json] [WORK…]

Works: append_1, threads_128, bulk_10k, read_back, reopen, pass, pass_distinct, amortised, amortised_x10,
fold_states, fold_patches (all of them, if none is named)

  --quick  fewer operations and rounds: some minutes
  --json   a line a row, as JSON, instead of the table";

type Work = fn(Scale, &mut Table);

const WORKS: [(&str, Work); 11] = [
    ("append_1", durable::one_by_one),
    ("threads_128", threads::at_once),
    ("bulk_10k", durable::in_bulk),
    ("read_back", reading::read_back),
    ("reopen", reopening::reopen),
    ("pass", passing::many_an_entity),
    ("pass_distinct", passing::one_an_entity),
    ("amortised", amortised::short),
    ("amortised_x10", amortised::long),
    ("fold_states", folding::states),
    ("fold_patches", folding::patches),
];

fn main() -> Result<(), String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [hidden, system, folder, operations] = &args[..]
        && hidden == reopening::TO_BE_KILLED
    {
        let operations = operations.parse().map_err(|_| format!("{operations} is no number"))?;
        return reopening::append_until_killed(system, folder.as_ref(), operations)
            .map_err(|error| error.to_string());
    }
    let (mut scale, mut is_json, mut named) = (Scale::Full, false, Vec::new());
    for arg in args {
        match arg.as_str() {
            "--quick" => scale = Scale::Quick,
            "--json" => is_json = true,
            "--help" | "-h" => {
                println!("{HELP}");
                return Ok(());
            }
            name if WORKS.iter().any(|(work, _)| *work == name) => named.push(arg),
            other => return Err(format!("{other} is no work and no option; --help lists them")),
        }
    }
    for (name, work) in WORKS {
        if named.is_empty() || named.iter().any(|one| one == name) {
            let mut table = Table::new(name, is_json);
            work(scale, &mut table);
            table.print();
        }
    }
    Ok(())
}
