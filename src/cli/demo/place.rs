//! Where the story takes place: an authority that is served, and devices that reach it over HTTP.

use std::path::PathBuf;
use std::sync::Arc;

use crate::algebra::{Operation, Schema};
use crate::authority::{Account, FileAuthority};
use crate::cli::failure::Failure;
use crate::client::{Connection, Credentials, Driver, Options};
use crate::clock::now;
use crate::journal;
use crate::replica::Replica;
use crate::server::{self, Running, TokenFile};
use crate::sync;

/// Conflicts wait for a person, so that there is one to show.
const SCHEMA: &str = r#"{"collections":{"files":{"policy":"manual"}}}"#;

pub(super) struct Place {
    // Ends before its folder is gone.
    running: Running,
    tokens: Arc<TokenFile>,
    schema: Schema,
    folder: Folder,
}

impl Place {
    pub(super) fn new() -> Result<Self, Failure> {
        let folder = Folder::new()?;
        let schema = Schema::from_json(SCHEMA)?;
        let authority = FileAuthority::create(folder.0.join("authority.redb"), schema.clone())?;
        let tokens = Arc::new(TokenFile::new(folder.0.join("authority.redb.tokens")));
        let running = server::serve(
            "127.0.0.1:0",
            Arc::new(authority),
            tokens.clone(),
            server::Options::default(),
            None,
        )?;
        Ok(Place { running, tokens, schema, folder })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.running.address())
    }

    /// A connection that speaks for an account.
    pub(super) fn connection(&self, account: &str) -> Result<Connection, Failure> {
        let account = Account::new(account).map_err(|error| Failure::Failed(error.to_string()))?;
        let token = self.tokens.issue(&account, now(), None)?.bearer;
        Ok(Connection::new(self.url().parse()?, Credentials::token(&token)?, Options::new())?)
    }

    /// A device with a replica of its own in a file.
    pub(super) fn device(&self, name: &str, account: &str) -> Result<Driver, Failure> {
        let path = self.folder.0.join(format!("{name}.replica"));
        let replica = Replica::create(path, journal::Options::new().schema(self.schema.clone()))?;
        Ok(Driver::new(replica, sync::Options::default(), self.connection(account)?))
    }
}

/// Carries operations out on a device, durable as one transaction.
pub(super) fn commit(device: &Driver, operations: &[Operation]) -> Result<(), Failure> {
    device.replica().commit(operations, journal::Durability::Durable)?;
    Ok(())
}

/// A folder of its own, gone with everything in it at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("foldlog-demo-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path)
            .map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
