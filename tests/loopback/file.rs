//! A server in this process, on a file. It does not die, it ends.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use foldlog::algebra::{Millis, Schema};
use foldlog::authority::{Error, FileAuthority};
use foldlog::server::Running;

use crate::door::Door;
use crate::host::Host;

pub(crate) struct FileHost {
    /// The data stand in its folder.
    door: Door,
    schema: Schema,
    served: Mutex<Option<Served>>,
}

struct Served {
    running: Running,
    authority: Arc<FileAuthority>,
}

impl FileHost {
    pub(crate) fn new(schema: Schema) -> Self {
        let host = FileHost { door: Door::new(), schema, served: Mutex::default() };
        host.live();
        host
    }

    fn data(&self) -> PathBuf {
        self.door.folder.path().join("authority.redb")
    }

    fn copy(&self) -> PathBuf {
        self.door.folder.path().join("copy")
    }

    fn served(&self, is_restored: bool) -> Served {
        let authority = Arc::new(self.opened());
        if is_restored {
            assert_eq!(authority.renew_generations().unwrap(), 1);
        }
        Served { running: self.door.serve(authority.clone()), authority }
    }

    /// Whoever had it open before may be about to let go of it.
    fn opened(&self) -> FileAuthority {
        for _ in 0..500 {
            match FileAuthority::create(self.data(), self.schema.clone()) {
                Err(Error::InUse { .. }) => thread::sleep(Duration::from_millis(10)),
                opened => return opened.unwrap(),
            }
        }
        panic!("the file never came free");
    }
}

impl Host for FileHost {
    fn address(&self) -> Option<SocketAddr> {
        self.served.lock().unwrap().as_ref().map(|served| served.running.address())
    }

    fn die(&self) {
        drop(self.served.lock().unwrap().take());
    }

    fn live(&self) -> SocketAddr {
        let mut served = self.served.lock().unwrap();
        served.get_or_insert_with(|| self.served(false)).running.address()
    }

    fn back_up(&self) {
        let mut served = self.served.lock().unwrap();
        drop(served.take());
        // What is not there yet is made by whoever opens it.
        drop(self.opened());
        fs::copy(self.data(), self.copy()).unwrap();
        *served = Some(self.served(false));
    }

    fn restore(&self) {
        let mut served = self.served.lock().unwrap();
        drop(served.take());
        drop(self.opened());
        fs::copy(self.copy(), self.data()).unwrap();
        *served = Some(self.served(true));
    }

    fn prune(&self) {
        let served = self.served.lock().unwrap();
        served.as_ref().unwrap().authority.prune(Millis::MAX).unwrap();
    }

    fn token(&self) -> &str {
        &self.door.token
    }
}
