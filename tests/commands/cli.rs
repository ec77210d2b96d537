//! The command as a real process.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

pub(crate) const ID: &str = "8d56e5d3-d4f3-583e-9955-4d898ddc04c9";

/// What a process said, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foldlog"));
    command.args(args);
    command
}

pub(crate) fn run(args: &[&str], input: impl AsRef<[u8]>) -> Ran {
    let mut child =
        command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Whoever refuses the call does not read its input.
    let _ = child.stdin.take().unwrap().write_all(input.as_ref());
    ran(child.wait_with_output().unwrap())
}

pub(crate) fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code().expect("no signal"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs what must be done, and gives its standard output.
pub(crate) fn done(args: &[&str], input: impl AsRef<[u8]>) -> String {
    let ran = run(args, input);
    assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
    ran.out
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A line with an id in place of `ID`.
pub(crate) fn line(text: &str) -> String {
    text.replace("ID", ID) + "\n"
}
