//! The command `foldlog serve`, as a process of its own that is killed without a warning.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Mutex;

use foldlog::algebra::Schema;

use crate::host::{ACCOUNT, Host};

pub(crate) struct ProcessHost {
    folder: tempfile::TempDir,
    token: String,
    process: Mutex<Option<Process>>,
}

struct Process {
    child: Child,
    address: SocketAddr,
    says: BufReader<ChildStderr>,
}

impl ProcessHost {
    pub(crate) fn new(schema: &Schema) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("schema.json"), schema.to_json()).unwrap();
        let mut host = ProcessHost { folder, token: String::new(), process: Mutex::default() };
        let created = host.command(&["token", "create", ACCOUNT]).output().unwrap();
        assert!(created.status.success(), "{created:?}");
        host.token = String::from_utf8(created.stdout).unwrap().trim().to_owned();
        host.live();
        host
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foldlog"));
        command.current_dir(self.folder.path()).args(args);
        command
    }

    fn started(&self, more: &[&str]) -> Process {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0", "--schema", "schema.json"]);
        command.args(["--max-requests", "64"]).args(more).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut says = BufReader::new(child.stderr.take().unwrap());
        let address = told(&mut says);
        Process { child, address, says }
    }
}

/// The address that a server says it is served on.
fn told(says: &mut impl BufRead) -> SocketAddr {
    let mut said = String::new();
    loop {
        let mut line = String::new();
        assert!(says.read_line(&mut line).unwrap() > 0, "it does not serve: {said}");
        said.push_str(&line);
        if let Some((_, address)) = line.trim_end().rsplit_once("http://") {
            return address.parse().unwrap();
        }
    }
}

impl Process {
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let mut said = String::new();
        self.says.read_to_string(&mut said).unwrap();
        assert!(!said.contains("panicked"), "{said}");
    }
}

impl Host for ProcessHost {
    fn address(&self) -> Option<SocketAddr> {
        self.process.lock().unwrap().as_ref().map(|process| process.address)
    }

    fn die(&self) {
        if let Some(process) = self.process.lock().unwrap().take() {
            process.kill();
        }
    }

    fn live(&self) -> SocketAddr {
        self.process.lock().unwrap().get_or_insert_with(|| self.started(&[])).address
    }

    fn back_up(&self) {
        let mut process = self.process.lock().unwrap();
        process.take().into_iter().for_each(Process::kill);
        fs::copy(self.folder.path().join("authority.redb"), self.folder.path().join("copy")).unwrap();
        *process = Some(self.started(&[]));
    }

    fn restore(&self) {
        let mut process = self.process.lock().unwrap();
        process.take().into_iter().for_each(Process::kill);
        fs::copy(self.folder.path().join("copy"), self.folder.path().join("authority.redb")).unwrap();
        *process = Some(self.started(&["--restored"]));
    }

    fn prune(&self) {}

    fn token(&self) -> &str {
        &self.token
    }
}

impl Drop for ProcessHost {
    fn drop(&mut self) {
        self.die();
    }
}
