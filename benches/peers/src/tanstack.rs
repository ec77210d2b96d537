//! TanStack DB's merge of pending mutations, in one node for all rounds: starting it is not measured, nor reading what is
//! to be merged.
//!
//! All operations are handed to `Transaction.applyMutations` in one call, to its favour: an application makes a call an
//! operation or for a few of them, and each call goes over everything that is pending, so that the time of many grows with
//! the square of their number. To its favour, too: each update's `changes` are its `modified`, and all are of one shape.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use foldlog::Uuid;
use tempfile::TempDir;

const PACKAGE: &str = "@tanstack/db@0.15.2";
const SCRIPT: &str = include_str!("tanstack.mjs");
/// Node's own limit is too low for millions of objects.
const HEAP_MIB: u32 = 12 << 10;

/// An update with a whole state: the entity, and the values of its fields in their order.
pub(crate) type Update<const FIELDS: usize> = (Uuid, [u32; FIELDS]);

pub(crate) struct Tanstack {
    node: Child,
    asked: ChildStdin,
    answers: BufReader<ChildStdout>,
    _folder: TempDir,
}

impl Tanstack {
    /// None where something is missing that it needs, which is said.
    pub(crate) fn with<const N: usize>(updates: impl Iterator<Item = Update<N>>) -> Option<Self> {
        Self::start(updates).map_err(|why| eprintln!("tanstack is left out: {why}")).ok()
    }

    fn start<const N: usize>(updates: impl Iterator<Item = Update<N>>) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(because("there is no folder for it"))?;
        answered(Command::new("node").arg("--version")).map_err(because("node is missing"))?;
        install(folder.path())?;
        let script = folder.path().join("tanstack.mjs");
        fs::write(&script, SCRIPT).map_err(because("no room"))?;
        let handed_over = folder.path().join("updates");
        write(&handed_over, updates).map_err(because("no room"))?;
        let mut node = Command::new("node")
            .args(["--expose-gc", &format!("--max-old-space-size={HEAP_MIB}")])
            .args([&script, &handed_over])
            .env("NODE_ENV", "production")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(because("node does not start"))?;
        let asked = node.stdin.take().expect("piped");
        let answers = BufReader::new(node.stdout.take().expect("piped"));
        let mut started = Tanstack { node, asked, answers, _folder: folder };
        match started.answer().as_str() {
            "ready" => Ok(started),
            _ => Err("node cannot load it".to_owned()),
        }
    }

    /// Merges all updates once: how long, and how many mutations are left.
    pub(crate) fn merge(&mut self) -> (Duration, usize) {
        writeln!(self.asked).expect("node listens");
        let answer = self.answer();
        let (took, left) = answer.split_once(' ').expect("node answers");
        (Duration::from_nanos(took.parse().expect("a time")), left.parse().expect("a number"))
    }

    /// A line; an empty one of a node that ended.
    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("text");
        line.trim_end().to_owned()
    }
}

impl Drop for Tanstack {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.node.kill();
        let _ = self.node.wait();
    }
}

/// Without what it only needs to be compiled against, and running nothing of what is installed.
fn install(folder: &Path) -> Result<(), String> {
    let mut npm = Command::new("npm");
    npm.args(["install", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund"]);
    npm.args(["--loglevel=error", "--fetch-retries=1", PACKAGE, "--prefix"]).arg(folder).current_dir(folder);
    answered(&mut npm).map_err(because(&format!("npm does not install {PACKAGE}")))
}

fn answered(command: &mut Command) -> Result<(), String> {
    let ended = command.output().map_err(|error| error.to_string())?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    Err(said.lines().next().unwrap_or("it says no more").to_owned())
}

fn because<E: Display>(what: &str) -> impl Fn(E) -> String {
    move |why| format!("{what}: {why}")
}

fn write<const N: usize>(path: &Path, updates: impl Iterator<Item = Update<N>>) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for (id, values) in updates {
        file.write_all(id.as_bytes())?;
        for value in values {
            file.write_all(&value.to_le_bytes())?;
        }
    }
    file.flush()
}
