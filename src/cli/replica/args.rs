//! What can be said to `replica`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use crate::cli::given::Given;
use crate::cli::input::Source;

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct ReplicaArgs {
    #[command(subcommand)]
    pub(super) action: ReplicaAction,
}

#[derive(Debug, Subcommand)]
pub(super) enum ReplicaAction {
    /// Make a replica: a new file, or an existing journal if that is asked for.
    #[command(after_help = "\
Examples:
  foldlog replica init my.replica
  foldlog replica init my.replica --schema schema.json
  foldlog replica init my.journal --of-journal     what is pending in the journal is seen in the replica

A schema names collections with their policy, unique keys and references:
  {\"collections\":{\"notes\":{\"policy\":\"newest\",\"unique\":[[\"title\"]],
    \"references\":{\"folder\":{\"to\":\"folders\",\"on_delete\":\"cascade\"}}}}}")]
    Init(InitArgs),
    /// Create an entity, or replace the whole state of a live one; its id goes to standard output.
    #[command(after_help = "\
Examples:
  id=$(foldlog replica put my.replica notes '{\"title\":\"milk\",\"done\":false}')
  foldlog replica put my.replica notes/$id '{\"title\":\"oat milk\"}'     \"done\" is gone: this is all of it
  foldlog replica put my.replica notes - < note.json")]
    Put(PutArgs),
    /// Change the fields that a patch names; null removes one. What is deleted comes back with the rest of its fields.
    #[command(after_help = "\
Examples:
  foldlog replica patch my.replica notes/8d56e5d3-d4f3-583e-9955-4d898ddc04c9 '{\"done\":true}'
  echo '{\"done\":null}' | foldlog replica patch my.replica notes/8d56e5d3-d4f3-583e-9955-4d898ddc04c9 -")]
    Patch(PatchArgs),
    /// Delete an entity, with what the schema says goes with it.
    #[command(
        after_help = "Example:\n  foldlog replica delete my.replica notes/8d56e5d3-d4f3-583e-9955-4d898ddc04c9"
    )]
    Delete(EntityArgs),
    /// The state of a live entity; with --json all that is known of it.
    #[command(after_help = "\
Examples:
  foldlog replica get my.replica notes/8d56e5d3-d4f3-583e-9955-4d898ddc04c9 | jq .title
  foldlog replica get my.replica notes/8d56e5d3-d4f3-583e-9955-4d898ddc04c9 --json

With --json also of what is deleted: {\"collection\",\"id\",\"state\",\"epoch\",\"status\",\"deleted\",\"last\",\"changed_at\"};
\"status\" is \"synchronised\", \"changed\" or \"created\", \"last\" the state that a deleted entity had. The exit code is 1
where it is not live.")]
    Get(EntityArgs),
    /// The live entities, a row a line, each with its status.
    #[command(after_help = "\
Examples:
  foldlog replica list my.replica
  foldlog replica list my.replica notes | jq -r .state.title
  foldlog replica list my.replica --deleted     tombstones too: rows with \"state\":null")]
    List(ListArgs),
    /// Take back what was done to entities and is not on its way yet; an open conflict ends for the other side.
    #[command(after_help = "\
Examples:
  foldlog replica undo my.replica notes/8d56e5d3-d4f3-583e-9955-4d898ddc04c9
  foldlog replica undo my.replica --all     everything unsent")]
    Undo(UndoArgs),
}

#[derive(Debug, ClapArgs)]
pub(super) struct FileArgs {
    /// The replica's file.
    #[arg(value_name = "REPLICA")]
    pub(super) replica: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(super) struct InitArgs {
    #[command(flatten)]
    pub(super) of: FileArgs,
    /// A schema (JSON): policies, unique keys, references. It stays with the replica.
    #[arg(long, value_name = "FILE")]
    pub(super) schema: Option<Source>,
    /// The file is a journal: make a replica of it.
    #[arg(long)]
    pub(super) of_journal: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct PutArgs {
    #[command(flatten)]
    pub(super) of: FileArgs,
    /// The entity, as COLLECTION/UUID; or its collection, and it is a new one.
    #[arg(value_name = "COLLECTION[/ID]")]
    pub(super) entity: String,
    /// The whole state, a JSON object; `-` is standard input.
    #[arg(value_name = "STATE_JSON")]
    pub(super) state: Given,
}

#[derive(Debug, ClapArgs)]
pub(super) struct PatchArgs {
    #[command(flatten)]
    pub(super) of: FileArgs,
    /// The entity, as COLLECTION/UUID.
    #[arg(value_name = "COLLECTION/ID")]
    pub(super) entity: String,
    /// The fields with their new values, a JSON object; `-` is standard input.
    #[arg(value_name = "PATCH_JSON")]
    pub(super) patch: Given,
}

#[derive(Debug, ClapArgs)]
pub(super) struct EntityArgs {
    #[command(flatten)]
    pub(super) of: FileArgs,
    /// The entity, as COLLECTION/UUID.
    #[arg(value_name = "COLLECTION/ID")]
    pub(super) entity: String,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub(super) of: FileArgs,
    /// Only this collection.
    #[arg(value_name = "COLLECTION")]
    pub(super) collection: Option<String>,
    /// What is deleted, too.
    #[arg(long)]
    pub(super) deleted: bool,
}

#[derive(Debug, ClapArgs)]
#[command(override_usage = "foldlog replica undo [OPTIONS] <REPLICA> <COLLECTION/ID>...
       foldlog replica undo [OPTIONS] <REPLICA> --all")]
pub(super) struct UndoArgs {
    #[command(flatten)]
    pub(super) of: FileArgs,
    /// The entities, as COLLECTION/UUID.
    #[arg(value_name = "COLLECTION/ID", required_unless_present = "all", conflicts_with = "all")]
    pub(super) entities: Vec<String>,
    /// Every entity of which something is unsent.
    #[arg(long)]
    pub(super) all: bool,
}
