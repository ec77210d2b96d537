//! `demo`: two devices and their authority, over real sockets and files, told in ten seconds.

mod log;
mod one_by_one;
mod place;

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::conflicts::Seen;
use super::failure::Failure;
use super::fold::{Summary, object};
use super::output::Output;
use super::words;
use crate::algebra::{CollectionName, EntityKey};
use crate::client::{Driver, Synced};
use crate::codec::lines::Line;
use crate::replica::Resolution;
use log::{Log, OPERATIONS};
use one_by_one::{Sent, one_by_one};
use place::{Place, commit};

/// How wide the story is.
const WIDTH: usize = 80;

pub(super) fn demo(output: &mut Output) -> Result<(), Failure> {
    let mut teller = Teller { output, figures: Map::new() };
    let log = Log::included()?;
    let place = Place::new()?;
    let (mut laptop, mut phone) = (place.device("laptop", "anna")?, place.device("phone", "anna")?);
    commit(&laptop, &log.made)?;
    laptop.sync()?;
    phone.sync()?;
    let files = words::count(log.made.len() as u64);
    teller.say(&[
        "foldlog keeps what a program does offline, and folds it before anything is sent.",
        "Here: the history of a repository (ripgrep), as operations on its files.",
        "",
        &format!("1  An authority is served on {}. A laptop and a phone", place.url()),
        &format!("   have fetched the same {files} files from it. Now both are offline."),
        "",
    ])?;
    offline(&mut teller, &log, &laptop, &phone)?;
    online(&mut teller, &log, &place, &mut laptop, &mut phone)?;
    let key = conflict(&mut teller, &log, &phone)?;
    end(&mut teller, &log, &key, &mut laptop, &mut phone)?;
    teller.end()
}

/// Both devices work by themselves.
fn offline(teller: &mut Teller<'_>, log: &Log, laptop: &Driver, phone: &Driver) -> Result<(), Failure> {
    let began = Instant::now();
    commit(laptop, &log.laptop)?;
    let committed = began.elapsed();
    let began = Instant::now();
    laptop.replica().journal().compact()?;
    let compacted = began.elapsed();
    let plan = laptop.replica().journal().plan()?;
    let summary = Summary::of(&plan);
    let (number, bytes) = (log.laptop.len() as u64, OPERATIONS.len() as u64);
    let sent_bytes: u64 = plan.operations.iter().map(|planned| planned.to_line().len() as u64 + 1).sum();
    commit(phone, &log.phone)?;
    let phones = Summary::of(&phone.replica().journal().plan()?);
    teller.figures.extend(summary.json(number));
    teller.figures.extend(object(json!({"bytes": bytes, "sent_bytes": sent_bytes})));
    teller.say(&[
        "2  The laptop goes through years of work:",
        &row("came in", number, bytes, &format!("durable in {}", ms(committed))),
        &row("to be sent", summary.sent(), sent_bytes, &format!("folded in {}", ms(compacted))),
        &format!(
            "     folded away {:>6}             {:>9}",
            words::percent(number.saturating_sub(summary.sent()), number),
            words::percent(bytes.saturating_sub(sent_bytes), bytes)
        ),
        "",
        &format!(
            "     {} creates, {} updates, {} deletes; {} came to nothing",
            summary.creates, summary.updates, summary.deletes, summary.nothing
        ),
        "",
    ])?;
    for line in log.stories(&plan) {
        teller.say(&[&format!("     {line}")])?;
    }
    teller.say(&[
        "",
        &format!(
            "   The phone edits a little, one of the same files too: {} came in,",
            words::operations(log.phone.len() as u64)
        ),
        &format!("   {} are to be sent.", words::count(phones.sent())),
        "",
    ])
}

/// Both come online; what the laptop sent is sent once more to another account, without folding.
fn online(
    teller: &mut Teller<'_>,
    log: &Log,
    place: &Place,
    laptop: &mut Driver,
    phone: &mut Driver,
) -> Result<(), Failure> {
    let began = Instant::now();
    let synced = laptop.sync()?;
    let folded = Sent {
        operations: synced.operations_sent,
        requests: synced.bunches,
        bytes: synced.bytes_sent,
        took: began.elapsed(),
    };
    let unfolded = one_by_one(&place.connection("one by one")?, &log.made, &log.laptop)?;
    let phones = phone.sync()?;
    teller.figures.extend(object(json!({
        "folded": wire(&folded), "one_by_one": wire(&unfolded),
        "phone": {"sent": phones.operations_sent, "rows": phones.rows_taken},
    })));
    teller.say(&[
        "3  Both come online. What the laptop sends, and what it would send unfolded:",
        &carried("folded", &folded),
        &carried("one by one", &unfolded),
        &format!(
            "     {} of the bytes and {} of the time are saved",
            words::percent(unfolded.bytes.saturating_sub(folded.bytes), unfolded.bytes),
            words::percent(micros(unfolded.took).saturating_sub(micros(folded.took)), micros(unfolded.took))
        ),
        &format!(
            "   The phone takes {} and sends {}.",
            words::counted(phones.rows_taken, "row", "rows"),
            words::operations(phones.operations_sent)
        ),
        "",
    ])
}

/// The one conflict is shown and decided.
fn conflict(teller: &mut Teller<'_>, log: &Log, phone: &Driver) -> Result<EntityKey, Failure> {
    let all = Seen::all(phone.replica())?;
    teller.figures.insert("conflicts".to_owned(), all.len().into());
    let [seen] = all.as_slice() else {
        return Err(Failure::Failed(format!("there are {} conflicts where one was to be", all.len())));
    };
    let key = seen.conflict.key.clone();
    teller.say(&[&format!("4  One conflict: both changed {}. On the phone:", log.name(&key)), ""])?;
    for line in seen.beside(WIDTH - 5) {
        teller.say(&[&format!("     {line}")])?;
    }
    phone.replica().resolve(&key, &Resolution::Local)?;
    let kept = phone.replica().losers()?.len() as u64;
    teller.say(&[
        "",
        "   Its user decides for the phone's. The laptop's is not thrown away:",
        &format!(
            "   {} kept, and can be restored.",
            words::counted(kept, "lost value is", "lost values are")
        ),
        "",
    ])?;
    Ok(key)
}

/// Both sync once more, and compare.
fn end(
    teller: &mut Teller<'_>,
    log: &Log,
    key: &EntityKey,
    laptop: &mut Driver,
    phone: &mut Driver,
) -> Result<(), Failure> {
    phone.sync()?;
    let compared = [("laptop", laptop.compare()?), ("phone", phone.compare()?)];
    let digests = [held(laptop, key.collection())?, held(phone, key.collection())?];
    let is_same = |synced: &Synced| synced.is_same() == Some(true);
    if let Some((name, _)) = compared.iter().find(|(_, synced)| !is_same(synced)) {
        return Err(Failure::Failed(format!("what the {name} holds is not what the authority holds")));
    }
    let [(files, digest), (_, other)] = &digests;
    if digest != other {
        return Err(Failure::Failed("the laptop and the phone do not hold the same".to_owned()));
    }
    teller.figures.extend(object(json!({"live": files, "digest": digest, "same": true})));
    let short: String = digest.chars().take(16).collect();
    teller.say(&[
        "5  Both sync once more. Laptop, phone and authority hold the same",
        &format!(
            "   {} files, {} as the phone has it: digest {short}….",
            words::count(*files),
            log.name(key)
        ),
        "",
        "Next:  foldlog fold --help, or foldlog serve and foldlog replica --help",
    ])
}

/// How many entities of a collection are live on a device, and their digest.
fn held(device: &Driver, collection: &CollectionName) -> Result<(u64, String), Failure> {
    let sets = device.replica().live_sets()?;
    let set = sets.get(collection).copied().unwrap_or_default();
    Ok((set.count, set.sum.to_string()))
}

/// Tells the story as it happens, or its figures at the end.
struct Teller<'o> {
    output: &'o mut Output,
    figures: Map<String, Value>,
}

impl Teller<'_> {
    fn say(&mut self, lines: &[&str]) -> Result<(), Failure> {
        if self.output.is_json() {
            return Ok(());
        }
        lines.iter().try_for_each(|line| self.output.text(line))?;
        self.output.flush()
    }

    fn end(self) -> Result<(), Failure> {
        if self.output.is_json() {
            return self.output.summary(false, "", || self.figures);
        }
        Ok(())
    }
}

fn row(what: &str, operations: u64, bytes: u64, took: &str) -> String {
    format!("     {what:<11} {:>6} operations  {:>9}   {took}", words::count(operations), words::bytes(bytes))
}

fn carried(what: &str, sent: &Sent) -> String {
    let requests = format!(
        "{:>5} {}",
        words::count(sent.requests),
        if sent.requests == 1 { "request" } else { "requests" }
    );
    format!(
        "     {what:<10} {:>6} operations in {requests:<14} {:>8}  {:>10}",
        words::count(sent.operations),
        words::bytes(sent.bytes),
        ms(sent.took)
    )
}

fn wire(sent: &Sent) -> Value {
    json!({
        "operations": sent.operations, "requests": sent.requests, "bytes": sent.bytes,
        "us": micros(sent.took),
    })
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn ms(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds >= 1.0 => format!("{seconds:.1} s "),
        seconds => format!("{:.1} ms", seconds * 1_000.0),
    }
}
