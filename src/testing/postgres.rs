//! A PostgreSQL server to test on: started from the installed programs, stopped and removed with the process that
//! asked for it, however that ends.
//!
//! `FOLDLOG_TEST_POSTGRES` names one that is there already, by its connection string.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use uuid::Uuid;

/// Where a connection string may be named.
pub const URL: &str = "FOLDLOG_TEST_POSTGRES";

/// The users that a server runs as, where it may not run as root.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// A server.
#[derive(Debug)]
pub struct Server {
    url: String,
    /// None where it was there already.
    own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    programs: PathBuf,
    folder: PathBuf,
    user: Option<&'static str>,
    settings: String,
    /// Stops the server when this process ends: it reads from a pipe that nobody writes to.
    keeper: Child,
}

/// The server that all tests of this process share; none where there is no way to have one, which is said then.
pub fn shared() -> Option<&'static Server> {
    static SHARED: OnceLock<Option<Server>> = OnceLock::new();
    let started = SHARED.get_or_init(|| match std::env::var(URL) {
        Ok(url) => Some(Server { url, own: None }),
        Err(_) => Server::start(&[]).map_err(|why| println!("no PostgreSQL: {why}")).ok(),
    });
    started.as_ref()
}

impl Server {
    /// Starts one of its own, with these settings beside the usual ones.
    ///
    /// # Errors
    /// Programs that are not installed or do not do what they should.
    pub fn start(settings: &[(&str, &str)]) -> io::Result<Self> {
        let programs = programs()?;
        let user = user()?;
        let folder = std::env::temp_dir().join(format!("foldlog-{}", Uuid::new_v4().simple()));
        fs::create_dir(&folder)?;
        let keeper = keeper(&programs, &folder, user)?;
        if let Some(user) = user {
            done(Command::new("chown").arg(user).arg(&folder).output()?)?;
        }
        let socket = folder.display();
        let mut words =
            format!("-k {socket} -c listen_addresses= -c max_connections=60 -c shared_buffers=64MB");
        for (name, value) in settings {
            words.push_str(&format!(" -c {name}={value}"));
        }
        let url = format!("host={socket} user=foldlog dbname=postgres");
        let own = Own { programs, folder, user, settings: words, keeper };
        let data = own.folder.join("data");
        let mut made = own.program("initdb");
        made.arg("-D").arg(&data).args([
            "-U",
            "foldlog",
            "--auth=trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        done(made.output()?)?;
        let server = Server { url, own: Some(own) };
        server.start_again()?;
        Ok(server)
    }

    /// How to connect.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops it as a power cut would.
    ///
    /// # Errors
    /// One that is not its own, or does not stop.
    pub fn stop_at_once(&self) -> io::Result<()> {
        let own = self.own.as_ref().ok_or_else(|| io::Error::other("the server is somebody else's"))?;
        let mut stop = own.program("pg_ctl");
        done(stop.arg("-D").arg(own.folder.join("data")).args(["-m", "immediate", "-w", "stop"]).output()?)
    }

    /// Starts it after it was stopped.
    ///
    /// # Errors
    /// One that is not its own, or does not start.
    pub fn start_again(&self) -> io::Result<()> {
        let own = self.own.as_ref().ok_or_else(|| io::Error::other("the server is somebody else's"))?;
        let mut start = own.program("pg_ctl");
        start.arg("-D").arg(own.folder.join("data")).arg("-l").arg(own.folder.join("log"));
        start.args(["-w", "-o", &own.settings, "start"]).stdin(Stdio::null());
        // Not `output`: the server would keep the pipe open.
        let status = start.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        if status.success() {
            return Ok(());
        }
        let log = fs::read_to_string(own.folder.join("log")).unwrap_or_default();
        Err(io::Error::other(format!("the server does not start: {log}")))
    }
}

impl Own {
    /// A program of the server's, run as its user.
    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = match self.user {
            Some(user) => {
                let mut command = Command::new("setpriv");
                command.arg(format!("--reuid={user}")).args(["--clear-groups"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.current_dir(&self.folder).env("LC_ALL", "C");
        command
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        drop(self.keeper.wait());
    }
}

/// Waits for the end of this process, and then removes everything.
fn keeper(programs: &Path, folder: &Path, user: Option<&str>) -> io::Result<Child> {
    let run_as = user.map_or_else(String::new, |user| format!("setpriv --reuid={user} --clear-groups "));
    let script = format!(
        "cat >/dev/null; cd '{folder}' && {run_as}'{programs}/pg_ctl' -D '{folder}/data' -m immediate -w stop; rm -rf \
         '{folder}'",
        folder = folder.display(),
        programs = programs.display()
    );
    let mut keeper = Command::new("sh");
    keeper.arg("-c").arg(script).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    keeper.spawn()
}

/// Where the server's programs are: on the path, or where Debian puts them, the newest.
fn programs() -> io::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut debian: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    debian.sort();
    folders.extend(debian.into_iter().rev());
    let has_all =
        |folder: &PathBuf| ["initdb", "pg_ctl", "postgres"].iter().all(|name| folder.join(name).is_file());
    let found = folders.into_iter().find(has_all);
    found.ok_or_else(|| io::Error::other("initdb, pg_ctl and postgres are nowhere; install PostgreSQL"))
}

/// Who the server runs as, where this process is root's.
fn user() -> io::Result<Option<&'static str>> {
    let own = Command::new("id").arg("-u").output()?;
    if String::from_utf8_lossy(&own.stdout).trim() != "0" {
        return Ok(None);
    }
    let is_there =
        |user: &&str| Command::new("id").arg(user).output().is_ok_and(|found| found.status.success());
    let user = USERS.into_iter().find(|user| is_there(user));
    user.map(Some).ok_or_else(|| io::Error::other("there is no user that PostgreSQL would run as"))
}

fn done(output: Output) -> io::Result<()> {
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(io::Error::other(String::from_utf8_lossy(&said).into_owned()))
}
