//! What can be said to `merge`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

use crate::cli::failure::Failure;
use crate::cli::input::Source;
use crate::merge::{Children, Keep, Resolutions, With};

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct MergeArgs {
    /// The replica files that go into it, in this order; they are never written.
    #[arg(value_name = "SOURCE", required = true)]
    pub(super) sources: Vec<PathBuf>,
    /// The replica's file that they are merged into; its schema counts.
    #[arg(long, value_name = "REPLICA")]
    pub(super) into: PathBuf,
    /// Only say what would happen; no file is changed. The exit code is 1 if something is to be decided.
    #[arg(long)]
    pub(super) check: bool,
    /// What is decided about clashes (JSON), as `--check --json` writes it; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(super) resolutions: Option<Source>,
    /// Which side goes on where nothing else is decided. What both files have is never deleted by it.
    #[arg(long, value_name = "SIDE", value_enum)]
    pub(super) prefer: Option<Prefer>,
    /// With --prefer: what becomes of the loser's children.
    #[arg(long, value_name = "WHOSE", value_enum)]
    pub(super) children: Option<Kept>,
    /// Do not keep the destination as it was.
    #[arg(long)]
    pub(super) no_backup: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Prefer {
    /// The source's.
    Source,
    /// The destination's.
    Dest,
    /// The one that was changed last.
    Newest,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Kept {
    /// They refer to the winner from then on.
    Both,
    /// Only the winner's are kept; the loser's are deleted as the schema says.
    Winner,
}

impl MergeArgs {
    /// What is decided from the start.
    pub(super) fn decided(&self) -> Result<Resolutions, Failure> {
        if self.children.is_some() && self.prefer.is_none() {
            return Err(Failure::Usage(
                "--children goes with --prefer, whose loser's children it is about; for a single clash write \
                 \"children\" in the resolutions"
                    .to_owned(),
            ));
        }
        let mut decided =
            self.resolutions.as_ref().map(super::decided::read).transpose()?.unwrap_or_default();
        if let Some(prefer) = self.prefer {
            let with = match prefer {
                Prefer::Source => With::Source,
                Prefer::Dest => With::Dest,
                Prefer::Newest => With::Newest,
            };
            let children = match self.children {
                Some(Kept::Both) => Children::Both,
                Some(Kept::Winner) => Children::Winner,
                None => decided.default.map_or_else(Children::default, |default| default.children),
            };
            decided.default = Some(Keep { with, children });
        }
        Ok(decided)
    }

    /// Whether decisions come by standard input, so that nobody can be asked there.
    pub(super) fn is_standard_taken(&self) -> bool {
        matches!(self.resolutions, Some(Source::Standard))
    }
}
