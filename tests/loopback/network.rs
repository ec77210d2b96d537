//! A simulation's authority on a real server, and the real way to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use foldlog::algebra::{
    Answer, Ask, Bunch, Cursors, EntityKey, FullRow, Generation, Index, Millis, Outcomes, Page, ReplicaId,
    Trigger,
};
use foldlog::client::{Connection, Credentials, Options};
use foldlog::testing::laws::Violation;
use foldlog::testing::simulator::Remote;

use crate::host::Host;
use crate::proxy::Proxy;
use crate::schedule::{Schedule, Weather};

/// How often the server is asked past the proxy, while it may be dying.
const ATTEMPTS_MAX: u32 = 500;

pub(crate) struct Network {
    host: Arc<dyn Host>,
    proxy: Proxy,
    clients: Vec<Connection>,
    /// Past the proxy, to where the server was last.
    direct: Option<(SocketAddr, Connection)>,
    has_backup: bool,
}

impl Network {
    pub(crate) fn new(host: Arc<dyn Host>, seed: u64, weather: Weather) -> Self {
        let proxy = Proxy::new(Arc::clone(&host), Schedule::new(seed, weather));
        Network { host, proxy, clients: Vec::new(), direct: None, has_backup: false }
    }

    pub(crate) fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// Asks the server itself, until it answers.
    fn directly(&mut self, ask: &Ask) -> Result<Answer, Violation> {
        let mut last = Answer::Offline;
        for _ in 0..ATTEMPTS_MAX {
            let address = self.host.live();
            let known = self.direct.take().filter(|(known, _)| *known == address);
            let (_, connection) =
                self.direct.insert(known.unwrap_or_else(|| {
                    (address, connection(&format!("http://{address}"), self.host.token()))
                }));
            match connection.ask(ask).map_err(|error| broken(&error))? {
                answer @ (Answer::Offline | Answer::Busy { .. }) => last = answer,
                answer => return Ok(answer),
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err(broken(&format!("the server does not come back: {last:?}")))
    }

    fn all(&mut self) -> Result<Page, Violation> {
        let (cursors, floors) = (Cursors::new(), Cursors::new());
        let ask = Ask::Changes { cursors, floors, generation: None, rows_max: 10_000 };
        match self.directly(&ask)? {
            Answer::Changes(page) if !page.has_more => Ok(page),
            other => Err(broken(&format!("{other:?} is not all there is"))),
        }
    }
}

/// A connection with short waits.
pub(crate) fn connection(url: &str, token: &str) -> Connection {
    let options = Options::new().connect_ms_max(5_000).silence_ms_max(20_000);
    Connection::new(url.parse().unwrap(), Credentials::token(token).unwrap(), options).unwrap()
}

fn broken(why: &dyn std::fmt::Display) -> Violation {
    Violation { law: "the network", found: why.to_string() }
}

impl Remote for Network {
    fn answer(&mut self, client: usize, ask: &Ask, _: Millis) -> Result<Answer, Violation> {
        while self.clients.len() <= client {
            self.clients.push(connection(&self.proxy.url(), self.host.token()));
        }
        let connection = self.clients.get(client).unwrap();
        connection.ask(ask).map_err(|error| broken(&error))
    }

    fn rows(&mut self) -> Result<Vec<FullRow>, Violation> {
        Ok(self.all()?.rows)
    }

    fn triggers_above(&mut self, above: Index) -> Result<Vec<Trigger>, Violation> {
        let generation = Some(self.all()?.generation);
        match self.directly(&Ask::Triggers { above, generation, triggers_max: 10_000 })? {
            Answer::Triggers(triggers) => Ok(triggers),
            Answer::TriggersTooOld => Ok(Vec::new()),
            other => Err(broken(&format!("{other:?} came in place of triggers"))),
        }
    }

    fn recorded(
        &mut self,
        replica: ReplicaId,
        bunch: &Bunch,
        generation: Option<Generation>,
    ) -> Result<Option<Outcomes>, Violation> {
        let ask = Ask::Deliver { replica, bunch: bunch.clone(), generation };
        match self.directly(&ask)? {
            Answer::Delivered(outcomes) => Ok(Some(outcomes)),
            Answer::Forked | Answer::StartOver { .. } => Ok(None),
            other => Err(broken(&format!("{other:?} came in place of outcomes"))),
        }
    }

    fn back_up(&mut self) -> Result<(), Violation> {
        self.host.live();
        self.host.back_up();
        self.has_backup = true;
        Ok(())
    }

    fn has_backup(&self) -> bool {
        self.has_backup
    }

    fn restore(&mut self) -> Result<(), Violation> {
        self.host.live();
        self.host.restore();
        Ok(())
    }

    fn prune(&mut self) -> Result<(), Violation> {
        self.host.live();
        self.host.prune();
        Ok(())
    }

    /// There is no way to tell a server that.
    fn refuse(&mut self, _: EntityKey) {}

    fn be_calm(&mut self, is_calm: bool) -> Result<(), Violation> {
        self.proxy.be_calm(is_calm);
        self.host.live();
        Ok(())
    }
}
