//! `sync`: a replica and its authority, once or until it is told to end.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args as ClapArgs;
use serde_json::json;

use super::failure::Failure;
use super::fold::object;
use super::output::{Output, say};
use super::progress::Progress;
use super::{replica, words};
use crate::client::{Address, Connection, Courier, Credentials, Driver, Event, Options, Phase, Synced};
use crate::replica::Replica;
use crate::sync::{self, Want};

/// Where the token is if nobody says.
const TOKEN_VARIABLE: &str = "FOLDLOG_TOKEN";

#[derive(Debug, ClapArgs)]
pub(super) struct SyncArgs {
    /// The replica's file.
    #[arg(value_name = "REPLICA")]
    replica: PathBuf,
    /// The authority's address, as `foldlog serve` tells it.
    #[arg(long, value_name = "URL")]
    url: String,
    /// The token; by default what the variable FOLDLOG_TOKEN says, so that it stands in no list of processes.
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// A file with the token.
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// Afterwards compare what is live here with what is live there; a difference is exit code 1.
    #[arg(long)]
    compare: bool,
    /// Go on until Ctrl-C: what is written goes up within a second, what changes elsewhere comes as it happens.
    #[arg(long)]
    watch: bool,
}

pub(super) fn sync(args: &SyncArgs, output: &mut Output) -> Result<(), Failure> {
    let address: Address =
        args.url.parse().map_err(|error: crate::client::Error| Failure::Usage(error.to_string()))?;
    let credentials = credentials(args)?;
    let replica = replica::open(&args.replica)?;
    let connection = Connection::new(address, credentials, Options::new())?;
    if args.watch { watch(args, replica, &connection) } else { once(args, replica, connection, output) }
}

fn credentials(args: &SyncArgs) -> Result<Credentials, Failure> {
    let (place, said) = match (&args.token, &args.token_file) {
        (Some(token), _) => ("--token".to_owned(), Some(token.clone())),
        (None, Some(path)) => {
            let place = path.display().to_string();
            let said = std::fs::read_to_string(path)
                .map_err(|error| Failure::Failed(format!("{place}: {error}")))?;
            (place, Some(said))
        }
        (None, None) => (format!("the variable {TOKEN_VARIABLE}"), std::env::var(TOKEN_VARIABLE).ok()),
    };
    let Some(said) = said else {
        return Err(Failure::Usage(format!(
            "who syncs? Give --token, --token-file or the variable {TOKEN_VARIABLE}; `foldlog token create ACCOUNT` \
             makes a token where the authority is"
        )));
    };
    Credentials::token(said.trim()).map_err(|error| Failure::Failed(format!("{place}: {error}")))
}

fn once(
    args: &SyncArgs,
    replica: Replica,
    connection: Connection,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut driver = Driver::new(replica, sync::Options::default(), connection);
    let want = Want { triggers: true, reads: true, compare: args.compare, ..Want::SYNC };
    let mut progress = Progress::new("rows and operations");
    let synced = driver.sync_with(want, |so_far| progress.at(so_far.rows_taken + so_far.operations_sent));
    drop(progress);
    let synced = synced?;
    let open = driver.replica().conflicts()?.len();
    let parked = driver.replica().journal().parked()?.len();
    let name = args.replica.display().to_string();
    output.summary(false, &told(&synced, open, parked, &name), || {
        object(json!({
            "sent": synced.operations_sent,
            "bunches": synced.bunches,
            "accepted": synced.accepted,
            "superseded": synced.superseded,
            "rows": synced.rows_taken,
            "bytes_sent": synced.bytes_sent,
            "bytes_received": synced.bytes_received,
            "conflicts": open,
            "parked": parked,
            "same": synced.is_same(),
        }))
    })?;
    match synced.is_same() {
        Some(false) => Err(Failure::Failed(difference(&synced))),
        Some(true) | None => Ok(()),
    }
}

/// What a sync came to, a line each.
fn told(synced: &Synced, open: usize, parked: usize, replica: &str) -> String {
    let (sent, rows) = (synced.operations_sent, synced.rows_taken);
    let mut done = Vec::new();
    if sent > 0 {
        done.push(format!("sent {}", words::operations(sent)));
    }
    if rows > 0 {
        done.push(format!("took {}", words::counted(rows, "row", "rows")));
    }
    if done.is_empty() {
        done.push("nothing to send, nothing new".to_owned());
    }
    let (out, came) = (words::bytes(synced.bytes_sent), words::bytes(synced.bytes_received));
    let mut said = vec![format!("{} ({out} out, {came} in)", done.join(", "))];
    if synced.superseded > 0 {
        said.push(format!(
            "{} gave way to what others did: `foldlog conflicts {replica} losers` shows what lost",
            words::operations(synced.superseded)
        ));
    }
    if synced.starts_over > 0 {
        said.push(
            "the authority's data began anew: all of it was fetched, and what was unsent is kept".to_owned(),
        );
    }
    if let Some(name) = synced.renamed {
        said.push(format!("the file is a copy of another replica's: it goes on as {name}"));
    }
    if open > 0 {
        let conflicts = words::counted(open as u64, "conflict is open", "conflicts are open");
        said.push(format!("{conflicts}: `foldlog conflicts {replica}`"));
    }
    if parked > 0 {
        let refused = words::counted(parked as u64, "effect was refused", "effects were refused");
        said.push(format!("{refused} for good: `foldlog parked {replica}`"));
    }
    if synced.is_same() == Some(true) {
        said.push("compared: what is live here is what is live there".to_owned());
    }
    said.join("\n")
}

fn difference(synced: &Synced) -> String {
    let compared = synced.compared.clone().unwrap_or_default();
    let names = |all: &[crate::algebra::CollectionName]| {
        all.iter().map(|name| words::shown(name.as_str())).collect::<Vec<_>>().join(", ")
    };
    match (&compared.differing[..], &compared.behind[..]) {
        ([], behind) => format!("others write faster than this compares: {}; try again", names(behind)),
        (differing, _) => format!("what is live here is not what is live there: {}", names(differing)),
    }
}

fn watch(args: &SyncArgs, replica: Replica, connection: &Connection) -> Result<(), Failure> {
    let name = args.replica.display().to_string();
    let courier = Courier::start(replica, sync::Options::default(), connection)?;
    let handle = courier.handle();
    let news = handle.events();
    say("in step from here on; Ctrl-C ends it");
    let is_over = std::sync::Arc::new(AtomicBool::new(false));
    let over = std::sync::Arc::clone(&is_over);
    // Signals are waited for on a thread of their own; the process ends with it.
    let waiting = std::thread::spawn(move || {
        let waited = crate::server::wait_for_signal();
        over.store(true, Ordering::Release);
        waited
    });
    let mut is_refused = false;
    while !is_over.load(Ordering::Acquire) && !is_refused {
        let Some(event) = news.wait(Duration::from_millis(200)) else { continue };
        match event {
            Event::Synced(synced) if synced.operations_sent + synced.rows_taken > 0 => {
                say(&told(&synced, 0, 0, &name));
            }
            Event::Conflicts(keys) => {
                for key in keys {
                    say(&format!(
                        "a conflict is open: `foldlog conflicts {name} show {key}` once this has ended"
                    ));
                }
            }
            Event::Failed(error) => say(&error.to_string()),
            Event::Phase(Phase::Unauthorised) => is_refused = true,
            Event::Streaming(true) => say("changes elsewhere come as they happen"),
            Event::Streaming(false) => say("the stream ended; it is opened again"),
            _ => {}
        }
    }
    courier.stop();
    if is_refused {
        return Err(Failure::Failed("the authority refuses the token; what is unsent is kept".to_owned()));
    }
    match waiting.join() {
        Ok(waited) => Ok(waited?),
        Err(_) => Ok(()),
    }
}
