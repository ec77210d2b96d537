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

/// `{"sub":"anna","exp":4102444800,"aud":"notes","iss":"login"}`, signed by HS256 and the secret below.
const SIGNED: &str = "\
    eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm5hIiwiZXhwIjo0MTAyNDQ0ODAwLCJhdWQiOiJub3RlcyI\
    sImlzcyI6ImxvZ2luIn0.wKW-ZVByx_jmZf4lHYz7C8kdHAR8CjAh1T7BynWF360";

#[test]
pub(crate) fn who_has_a_token_that_another_program_signed_syncs_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let serve =
        ["--listen", "127.0.0.1:0", "--jwt-key", "login.key", "--jwt-audience", "notes", "--jwt-issuer"];
    let (said, code) = refused(folder, &[&["serve"], &serve[..], &["login"]].concat());
    assert!(said.contains("login.key") && code == Some(1), "{said}");
    assert!(!folder.join("authority.redb").exists());
    std::fs::write(folder.join("login.key"), "too short").unwrap();
    let (said, _) = refused(folder, &[&["serve"], &serve[..], &["login"]].concat());
    assert!(said.contains("login.key") && said.contains("32 bytes"), "{said}");
    let (said, code) = refused(folder, &["serve", "--jwt-audience", "notes"]);
    assert!(said.contains("--jwt-key") && code == Some(2), "{said}");
    std::fs::write(folder.join("login.key"), "0123456789abcdef0123456789abcdef\n").unwrap();
    std::fs::write(folder.join("token"), SIGNED).unwrap();
    done(folder, &["replica", "init", "phone"]);
    done(folder, &["replica", "put", "phone", "notes", r#"{"title":"milk"}"#]);
    for (issuer, is_good) in [("another", false), ("login", true)] {
        let served = Served::with(folder, &[&serve[..], &[issuer]].concat());
        let sync = ["sync", "phone", "--url", &served.url, "--token-file", "token"];
        assert_eq!(foldlog(folder, &sync).status.success(), is_good, "{issuer}");
    }
}
