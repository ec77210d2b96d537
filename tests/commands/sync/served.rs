//! The command, and a server that is one of its processes.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

pub(crate) fn foldlog(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_foldlog")).current_dir(folder).args(args).output().unwrap()
}

/// Standard output of a command that does what it is told.
pub(crate) fn done(folder: &Path, args: &[&str]) -> String {
    let output = foldlog(folder, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a command says that does not do what it is told, and its exit code.
pub(crate) fn refused(folder: &Path, args: &[&str]) -> (String, Option<i32>) {
    let output = foldlog(folder, args);
    assert!(!output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
    (String::from_utf8(output.stderr).unwrap(), output.status.code())
}

pub(crate) struct Served {
    pub(crate) child: Child,
    pub(crate) url: String,
}

impl Served {
    pub(crate) fn at(folder: &Path, address: &str) -> Self {
        Served::with(folder, &["--listen", address])
    }

    pub(crate) fn with(folder: &Path, args: &[&str]) -> Self {
        Served::of(Command::new(env!("CARGO_BIN_EXE_foldlog")).current_dir(folder).arg("serve").args(args))
    }

    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap()).lines().next().unwrap().unwrap();
        let url = said.rsplit(' ').next().unwrap().to_owned();
        assert!(url.starts_with("http"), "{said}");
        Served { child, url }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
