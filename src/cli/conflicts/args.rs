//! What can be said to `conflicts`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};

use crate::cli::given::Given;
use crate::replica::Resolution;

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct ConflictsArgs {
    /// The replica's file.
    #[arg(value_name = "REPLICA")]
    pub(super) replica: PathBuf,
    #[command(subcommand)]
    pub(super) action: Option<ConflictsAction>,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConflictsAction {
    /// List the open conflicts, a line each (the default).
    #[command(after_help = "\
Examples:
  foldlog conflicts my.replica
  foldlog conflicts my.replica list --json | jq -r '.collection + \"/\" + .id'")]
    List,
    /// Show the sides of a conflict beside each other, a field a line.
    #[command(after_help = "\
Example:
  foldlog conflicts my.replica show notes/8d56e5d3-d4f3-583e-9955-4d898ddc04c9

Marks: * changed by that side, ! changed by both and not alike, = the values of a unique key that clash.")]
    Show {
        /// The entity, as COLLECTION/UUID.
        #[arg(value_name = "COLLECTION/ID")]
        entity: String,
    },
    /// Decide: by flags, or by answering questions on a terminal. What loses is kept, see `losers`.
    #[command(after_help = "\
Examples:
  foldlog conflicts my.replica resolve                      asks about each that is open
  foldlog conflicts my.replica resolve notes/8d56e5d3-d4f3-583e-9955-4d898ddc04c9 --with remote
  foldlog conflicts my.replica resolve notes/8d56e5d3-d4f3-583e-9955-4d898ddc04c9 --modify '{\"title\":\"both\"}'
  foldlog conflicts my.replica resolve --all --with newest

Without --with or --modify it asks; (e)dit opens $VISUAL or $EDITOR on the state. Each answer is durable at once.")]
    Resolve(ResolveArgs),
    /// List the values that lost, by number: whose, why, when. They stay until they are forgotten on purpose.
    #[command(after_help = "\
Examples:
  foldlog conflicts my.replica losers
  foldlog conflicts my.replica losers --json | jq 'select(.why == \"overwritten\")'
  foldlog conflicts my.replica losers --forget-older-than 90d")]
    Losers(LosersArgs),
    /// Make a value that lost the entity's again, as an edit of now; it stays in the list.
    #[command(after_help = "Example:\n  foldlog conflicts my.replica restore 7")]
    Restore {
        /// Its number, as `losers` lists it.
        #[arg(value_name = "NUMBER")]
        number: u64,
    },
}

#[derive(Debug, ClapArgs)]
pub(super) struct ResolveArgs {
    /// The entity, as COLLECTION/UUID.
    #[arg(value_name = "COLLECTION/ID", conflicts_with = "all")]
    pub(super) entity: Option<String>,
    /// Every open conflict.
    #[arg(long, requires = "with")]
    pub(super) all: bool,
    /// Which side is kept.
    #[arg(long, value_name = "SIDE", value_enum)]
    pub(super) with: Option<With>,
    /// What the entity becomes, a JSON object; `-` is standard input.
    #[arg(long, value_name = "STATE_JSON", requires = "entity", conflicts_with = "with")]
    pub(super) modify: Option<Given>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum With {
    /// This side's, on top of the other; of a clash, the entity that has the key is deleted.
    Local,
    /// The other side's.
    Remote,
    /// Of each field the value that was changed later; of a clash, the entity that was, and the other is deleted.
    Newest,
    /// Neither: the entity is deleted.
    Delete,
}

impl With {
    pub(super) fn resolution(self) -> Resolution {
        match self {
            With::Local => Resolution::Local,
            With::Remote => Resolution::Remote,
            With::Newest => Resolution::Newest,
            With::Delete => Resolution::Delete,
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(super) struct LosersArgs {
    /// Forget what lost longer ago than this, for good: a number and s, min, h or d.
    #[arg(long, value_name = "SPAN", value_parser = span_ms)]
    pub(super) forget_older_than: Option<u64>,
}

/// A span of time in ms, from how a person writes it: 30d.
fn span_ms(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).unwrap_or((text, ""));
    let unit_ms = match unit {
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("write it as a number and s, min, h or d, like 90d".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "begin it with a number, like 90d".to_owned())?;
    number.checked_mul(unit_ms).ok_or_else(|| "it is longer than there are numbers for".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        let read = ["0s", "45s", "5min", "2h", "90d"].map(|text| span_ms(text).unwrap());
        assert_eq!(read, [0, 45_000, 300_000, 7_200_000, 7_776_000_000]);
        for bad in ["", "d", "90", "9 d", "-1d", "ä", "1w", "99999999999999999999d", "18446744073709551615d"]
        {
            assert!(span_ms(bad).is_err(), "{bad:?}");
        }
    }
}
