//! What can be said to the command.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

use super::conflicts::ConflictsArgs;
use super::input::Source;
use super::merge::MergeArgs;
use super::replica::ReplicaArgs;
use super::serve::{ServeArgs, TokenArgs};
use super::sync::SyncArgs;

/// A durable outbox for programs that go on working without a network.
///
/// Operations go durably into a journal (one file); before anything is sent they are folded to at most one
/// an entity: create + delete is nothing, create + updates is one create with the final state.
#[derive(Debug, Parser)]
#[command(
    name = "foldlog",
    version,
    max_term_width = 100,
    after_help = "\
Start here:
  foldlog demo                         two devices and their authority, in ten seconds
  foldlog fold ops.ndjson              what is left of a log, without a journal
  foldlog append my.journal ops.ndjson
  foldlog plan my.journal              what would be sent

Lines are NDJSON: {\"op\":\"create\",\"collection\":\"notes\",\"id\":\"<uuid>\",\"state\":{…}},
{\"op\":\"update\",…,\"patch\":{…}} (or \"state\"), {\"op\":\"delete\",…}; optional \"at\" and \"group\".
Exit codes: 0 done, 1 a check or an operation failed, 2 called wrong."
)]
pub(super) struct Args {
    /// Give the summary as one JSON object: on standard output, or on standard error where standard output
    /// carries data.
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

impl Command {
    /// Whether its exit code says more than that it wrote what there is: then it does not end with whoever reads that.
    pub(super) fn is_asked_how_it_ends(&self) -> bool {
        matches!(
            self,
            Command::Merge(_)
                | Command::Salvage(_)
                | Command::Scenario(_)
                | Command::Sync(_)
                | Command::Verify(_)
        )
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Fold operations to the plan of what is to be sent: a filter without a journal.
    #[command(after_help = "\
Examples:
  foldlog fold ops.ndjson > plan.ndjson
  foldlog fold monday.ndjson tuesday.ndjson --baseline server.ndjson --complete
  foldlog generate --operations 1000000 | foldlog fold | wc -l")]
    Fold(FoldArgs),
    /// Append operations to a journal, all of them or none; makes the journal if there is none.
    #[command(after_help = "\
Examples:
  foldlog append my.journal ops.ndjson
  my-app --log | foldlog append my.journal --each     answers each line with {\"seq\":N}, once it is durable")]
    Append(AppendArgs),
    /// Tell a journal what the authority holds; makes the journal if there is none.
    #[command(after_help = "\
Examples:
  foldlog baseline my.journal server.ndjson --complete
  echo '{\"collection\":\"notes\",\"id\":\"8d56e5d3-d4f3-583e-9955-4d898ddc04c9\",\"state\":{}}' | foldlog baseline my.journal")]
    Baseline(BaselineArgs),
    /// What would be sent now, without changing the journal.
    #[command(after_help = "\
Examples:
  foldlog plan my.journal | head
  echo '{\"collections\":{\"notes\":{\"unique\":[[\"name\"]],\"references\":{\"folder\":{\"to\":\"folders\",\"on_delete\":\"cascade\"}}}}}' |
    foldlog plan my.journal --schema -")]
    Plan(PlanArgs),
    /// Fold what came in since the last pass.
    #[command(after_help = "\
Examples:
  foldlog compact my.journal
  foldlog compact my.journal --mend     sets aside what is damaged, and goes on with the rest")]
    Compact(CompactArgs),
    /// Freeze the next bunch and print it; an open one is printed again, byte for byte.
    #[command(after_help = "\
Examples:
  foldlog seal my.journal > bunch.json
  foldlog seal my.journal --max-operations 500 --max-bytes 1000000")]
    Seal(SealArgs),
    /// Record what the authority answered to the open bunch.
    #[command(after_help = "\
Example:
  echo '{\"bunch\":1,\"outcomes\":[{\"accepted\":{\"epoch\":9}},{\"refused\":{\"reason\":\"too late\"}}]}' |
    foldlog settle my.journal

Outcomes, one an operation, in the bunch's order:
  {\"accepted\":{\"epoch\":9}}                             also \"state\", where it became another one than was sent
  {\"superseded\":{\"epoch\":8,\"state\":{…}}}               gave way to this; null: to a delete
  {\"clash\":{\"unique\":[\"name\"],\"holder\":\"<uuid>\"}}      another entity holds a unique key: parked
  {\"refused\":{\"reason\":\"…\"}}                           for good: parked
  {\"waits\":{\"for\":{\"collection\":\"…\",\"id\":\"<uuid>\"}}}   pending again, held until that one is settled
  {\"retry\":{}}                                         pending again")]
    Settle(InputArgs),
    /// Take triggers into the inbox; makes the journal if there is none.
    #[command(after_help = "\
Example:
  echo '{\"index\":7,\"collection\":\"notes\",\"id\":\"8d56e5d3-d4f3-583e-9955-4d898ddc04c9\",\"action\":\"upsert\",\"epoch\":12}' |
    foldlog receive my.journal
  foldlog receive my.journal triggers.ndjson --cursor 100     begins behind trigger 100")]
    Receive(ReceiveArgs),
    /// What has to be read to know what the triggers hint at: a line a collection.
    #[command(after_help = "Example:\n  foldlog reads my.journal     {\"collection\":\"notes\",\"ids\":[…]}")]
    Reads(JournalArgs),
    /// Take in the rows that were read.
    #[command(after_help = "\
Examples:
  foldlog integrate my.journal rows.ndjson
  echo '{\"collection\":\"notes\",\"id\":\"8d56e5d3-d4f3-583e-9955-4d898ddc04c9\",\"state\":null,\"epoch\":13}' |
    foldlog integrate my.journal     a row without a state is a tombstone")]
    Integrate(InputArgs),
    /// How much waits, and for how long.
    #[command(
        after_help = "Examples:\n  foldlog status my.journal\n  foldlog status my.journal --json | jq .pending"
    )]
    Status(JournalArgs),
    /// What the journal knows of its entities: a line for each effect, and for each base of one asked for.
    #[command(after_help = "\
Examples:
  foldlog show my.journal
  foldlog show my.journal notes
  foldlog show my.journal notes/8d56e5d3-d4f3-583e-9955-4d898ddc04c9")]
    Show(ShowArgs),
    /// List and decide what the authority refused, and what is held because of it.
    #[command(after_help = "\
Examples:
  foldlog parked my.journal
  foldlog parked my.journal retry notes/8d56e5d3-d4f3-583e-9955-4d898ddc04c9
  foldlog parked my.journal edit mend.ndjson
  foldlog parked my.journal drop notes/8d56e5d3-d4f3-583e-9955-4d898ddc04c9")]
    Parked(ParkedArgs),
    /// Make a replica, read what is seen in it, and change it.
    #[command(after_help = "\
Examples:
  foldlog replica init my.replica --schema schema.json
  foldlog replica put my.replica notes '{\"title\":\"milk\"}'
  foldlog replica list my.replica")]
    Replica(ReplicaArgs),
    /// List and decide what both sides changed, and bring back what lost.
    #[command(after_help = "\
Examples:
  foldlog conflicts my.replica
  foldlog conflicts my.replica show notes/8d56e5d3-d4f3-583e-9955-4d898ddc04c9
  foldlog conflicts my.replica resolve                      asks about one after another
  foldlog conflicts my.replica resolve --all --with newest
  foldlog conflicts my.replica losers")]
    Conflicts(ConflictsArgs),
    /// Merge replica files that were edited apart into one of them, all or nothing; the others are only read.
    #[command(after_help = "\
Examples:
  foldlog merge --into established.redb crew1.redb crew2.redb            asks about what clashes, on a terminal
  foldlog merge --into established.redb crew1.redb crew2.redb --check    only says what would happen; 1 if something clashes
  foldlog merge --into established.redb crew1.redb --check --json > clashes.json
  $EDITOR clashes.json                                                   \"with\": source, dest or newest
  foldlog merge --into established.redb crew1.redb --resolutions clashes.json
  foldlog merge --into established.redb crew1.redb --prefer newest       of each clash the one that was changed last

A clash is one unique key under two ids. Of each, one goes on and the other is deleted; what refers to that one refers to
the other from then on (\"children\": both), or goes as well (winner). Both go on where one is changed:
  {\"source\":\"units/…\",\"dest\":\"units/…\",\"modify\":\"source\",\"to\":{\"code\":\"oak 2\"}}
The destination as it was is kept beside it, as NAME.backup. What loses is kept too: `foldlog conflicts NAME losers`.")]
    Merge(MergeArgs),
    /// Check every byte of a journal, without ever writing to it.
    #[command(after_help = "Example:\n  foldlog verify my.journal && echo sound")]
    Verify(JournalArgs),
    /// Take everything readable of a damaged journal or replica to a new file, and say what could not be read.
    #[command(after_help = "\
Examples:
  foldlog salvage my.journal saved.journal
  foldlog salvage my.journal saved.journal --json | jq .unreadable

The damaged file is never written; the new one is there only if it is whole and verifies. Where the damaged file does not tell
any more what was sent, everything unsent is parked in the new one, and what was parked and may be done with is parked again:
`foldlog parked NEW` lists it, to be retried or dropped. Of a replica list it once more when it was opened, by a sync or the
program that it belongs to: what is seen there and cannot be read otherwise is parked then.
What could not be read is kept in the new one, too: `foldlog compact NEW` lists it. Use one of the two files from then on: both
write for the same replica. If even that name cannot be read, the file is refused, unless --new-name is given.")]
    Salvage(SalvageArgs),
    /// Make a workload from a seed, as lines.
    #[command(after_help = "\
Examples:
  foldlog generate --operations 100000 --entities 5000 --seed 7 > ops.ndjson
  foldlog generate --creates 1 --updates 0 --patches 8 --deletes 1 --skew 4 | foldlog fold --json > plan.ndjson")]
    Generate(GenerateArgs),
    /// Play files of what happens to clients and an authority, and say whether it goes as they expect.
    #[command(after_help = "\
Examples:
  foldlog scenario tests/scenarios/*.ndjson
  foldlog scenario mine.ndjson --seeds 20     plays it again with crashes of clients between the steps
  made-by-a-script | foldlog scenario

A scenario is NDJSON: a title (and perhaps a schema), then a step a line:
  {\"scenario\":\"what it shows\"}
  {\"do\":\"create\",\"client\":\"a\",\"entity\":\"notes/x\",\"state\":{\"v\":1}}
  {\"do\":\"push\",\"client\":\"a\"}
  {\"do\":\"expect\",\"authority\":true,\"entity\":\"notes/x\",\"state\":{\"v\":1}}")]
    Scenario(ScenarioArgs),
    /// Serve an authority over HTTP: replicas sync with it.
    #[command(after_help = "\
Examples:
  foldlog serve                                            authority.redb, http://127.0.0.1:8470
  foldlog serve --data /srv/notes.redb --schema schema.json --listen 0.0.0.0:8470 \\
    --certificate chain.pem --key key.pem
  foldlog serve --jwt-key login.pem --jwt-audience notes   who has a token that `login` signed may sync, too
  foldlog serve --restored                                 once, after authority.redb came back from a backup

Then, elsewhere:
  foldlog token create anna                                a token for the account anna
  foldlog sync my.replica --url http://127.0.0.1:8470 --token foldlog_…")]
    Serve(Box<ServeArgs>),
    /// Sync a replica with a served authority: down, then up.
    #[command(after_help = "\
Examples:
  foldlog sync my.replica --url http://127.0.0.1:8470 --token-file anna.token
  FOLDLOG_TOKEN=$(cat anna.token) foldlog sync my.replica --url https://sync.example.org --compare
  foldlog sync my.replica --url http://127.0.0.1:8470 --watch      until Ctrl-C, both ways as it happens")]
    Sync(SyncArgs),
    /// Make, list and revoke the tokens by which replicas sync with a served authority.
    #[command(after_help = "\
Examples:
  foldlog token create anna > anna.token
  foldlog token list
  foldlog token revoke 3f29a1c07be4d852")]
    Token(TokenArgs),
    /// Tell the whole story on real data: an authority on this machine, two devices, edits offline on both, what is
    /// folded away, one conflict, and all the same in the end. In a temporary folder; nothing is left behind.
    #[command(after_help = "Example:\n  foldlog demo")]
    Demo,
}

#[derive(Debug, ClapArgs)]
pub(super) struct FoldArgs {
    /// Files of operations, one after another; `-` is standard input, which is only one of all that is read.
    #[arg(value_name = "FILE", default_value = "-")]
    pub(super) files: Vec<Source>,
    /// What the authority holds: a file of rows.
    #[arg(long, value_name = "FILE")]
    pub(super) baseline: Option<Source>,
    /// Entities that the baseline does not list are absent, not unknown.
    #[arg(long, requires = "baseline")]
    pub(super) complete: bool,
    /// A schema (JSON), by whose references and unique keys the plan is ordered.
    #[arg(long, value_name = "FILE")]
    pub(super) schema: Option<Source>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct AppendArgs {
    #[command(flatten)]
    pub(super) to: InputArgs,
    /// Commit each line by itself, and answer it with {"seq":N} on standard output as soon as it is durable.
    #[arg(long)]
    pub(super) each: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct BaselineArgs {
    #[command(flatten)]
    pub(super) to: InputArgs,
    /// Entities that are not listed, now or before, are absent, not unknown.
    #[arg(long)]
    pub(super) complete: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    pub(super) of: JournalArgs,
    /// A schema (JSON), by whose references and unique keys the plan is ordered; a replica's is by its own unless said.
    #[arg(long, value_name = "FILE")]
    pub(super) schema: Option<Source>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct CompactArgs {
    #[command(flatten)]
    pub(super) of: JournalArgs,
    /// Look at every stored value first, and set aside what is damaged; the file as it was is kept beside the
    /// journal, with `.damaged` behind its name.
    #[arg(long)]
    pub(super) mend: bool,
    /// Forget what was set aside; the operations in it count as given up.
    #[arg(long)]
    pub(super) forget: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct SealArgs {
    #[command(flatten)]
    pub(super) of: JournalArgs,
    /// The most operations in the bunch; a group that is larger goes alone.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) max_operations: Option<u64>,
    /// The most bytes of operations in the bunch; one that is larger goes alone.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) max_bytes: Option<u64>,
    /// A schema (JSON), by whose references and unique keys the bunch is ordered.
    #[arg(long, value_name = "FILE")]
    pub(super) schema: Option<Source>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct JournalArgs {
    /// The journal's file.
    #[arg(value_name = "JOURNAL")]
    pub(super) journal: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(super) struct SalvageArgs {
    /// The damaged file.
    #[arg(value_name = "DAMAGED")]
    pub(super) damaged: PathBuf,
    /// Where the new one goes; nothing may be there yet.
    #[arg(value_name = "NEW")]
    pub(super) new: PathBuf,
    /// Where the name of the replica (its id) cannot be read any more, draw a new one; everything unsent is parked then, for it
    /// may have been sent under the old one.
    #[arg(long)]
    pub(super) new_name: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct InputArgs {
    /// The journal's file.
    #[arg(value_name = "JOURNAL")]
    pub(super) journal: PathBuf,
    /// The input; `-` is standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    pub(super) input: Source,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ReceiveArgs {
    #[command(flatten)]
    pub(super) to: InputArgs,
    /// Triggers up to this index are known from elsewhere (a full download, say) and not asked for; one that is not beyond
    /// what was heard changes nothing.
    #[arg(long, value_name = "INDEX")]
    pub(super) cursor: Option<u64>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    pub(super) of: JournalArgs,
    /// A collection, or an entity as COLLECTION/UUID.
    #[arg(value_name = "WHAT")]
    pub(super) what: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ParkedArgs {
    #[command(flatten)]
    pub(super) of: JournalArgs,
    #[command(subcommand)]
    pub(super) action: Option<ParkedAction>,
}

#[derive(Debug, Subcommand)]
pub(super) enum ParkedAction {
    /// List what is parked, what is held, and what gave way to the authority's side (the default).
    List,
    /// Send an effect again as it is, or let a held one go.
    Retry {
        /// The entity, as COLLECTION/UUID.
        entity: String,
    },
    /// Mend parked effects: each operation is composed with the effect of its entity.
    Edit {
        /// A file of operations; `-` is standard input.
        #[arg(value_name = "FILE", default_value = "-")]
        input: Source,
    },
    /// Give up what is parked or held of an entity, later edits included.
    Drop {
        /// The entity, as COLLECTION/UUID.
        entity: String,
    },
    /// Forget what gave way to the authority's side.
    Forget,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ScenarioArgs {
    /// The files, a scenario each; `-` is standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    pub(super) files: Vec<Source>,
    /// Also play each so many times with clients that crash between the steps.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) seeds: u64,
}

#[derive(Debug, ClapArgs)]
pub(super) struct GenerateArgs {
    /// How many operations.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(super) operations: u64,
    /// How many entities they may be about.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) entities: u64,
    /// How unevenly: 0 evenly; with 4, the first 1 % of the entities get 40 % of the operations.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(..=64))]
    pub(super) skew: u32,
    /// The share of creates.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) creates: u32,
    /// The share of updates with a whole state.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) updates: u32,
    /// The share of updates with a patch.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(super) patches: u32,
    /// The share of deletes.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) deletes: u32,
    /// About how many bytes of JSON a state has, at most 16,000,000.
    #[arg(long, value_name = "N", default_value_t = 140, value_parser = clap::value_parser!(u32).range(..=16_000_000))]
    pub(super) payload_bytes: u32,
    /// Where all draws begin.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
    /// The collection.
    #[arg(long, value_name = "NAME", default_value = "notes")]
    pub(super) collection: String,
}
