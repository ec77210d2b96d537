//! A client that asks an authority whatever it likes, beside others that are honest: one of its own account, one of
//! another.
//!
//! | looked at | when |
//! |---|---|
//! | nothing of the other account is touched: all that it is answered is as before | after every hostile question |
//! | nothing of the other account is seen: no answer holds what only that one wrote | in every answer |
//! | the account is whole: live sets, epochs, cursors and triggers say the same, keys are unique, references lead somewhere | after every hostile question |
//! | the authority in memory and the one on a file answer alike | at every question |
//! | the file holds it: opened again as a crash would leave it, it answers as before | now and then |
//! | honest clients of both accounts sync, and see what the authority holds | at the end |

mod asked;
mod device;
mod whole;

use uuid::Uuid;

use super::build::Bytes;
use crate::algebra::{Answer, Ask, Generation, Millis, ReplicaId, Schema};
use crate::authority::{Account, Authority, FileAuthority, FileOptions, MemoryAuthority};
use crate::codec::wire::{Reply, Request};
use crate::testing::conformance::{comparable, without_generation};
use crate::testing::{FaultyStorage, Unsynced};
use asked::Asked;
use device::Device;

const STEPS_MAX: usize = 24;
const NOW: u64 = 1_000_000;
/// Begins every value that the other account's client writes, and nothing that the hostile one does.
const SECRET: &str = "of anna's own";

/// The session that these bytes mean: whatever is asked harms nobody but who asks it.
///
/// # Panics
/// If something is not as it must be.
pub fn hostile_client(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let mut world = World::new(bytes.schema_with_policies());
    for _ in 0..STEPS_MAX {
        if bytes.is_empty() {
            break;
        }
        world.step(&mut bytes);
    }
    world.come_to_rest();
}

struct World {
    schema: Schema,
    memory: MemoryAuthority,
    file: FileAuthority,
    storage: FaultyStorage,
    /// Whose data are nobody else's business.
    anna: Account,
    /// Whose token the hostile client has.
    mallory: Account,
    /// Honest clients of both accounts, each with a replica an authority.
    anna_devices: [Device; 2],
    mallory_devices: [Device; 2],
    asked: Asked,
    now: u64,
    account: Vec<String>,
}

impl World {
    fn new(schema: Schema) -> Self {
        let storage = FaultyStorage::new();
        let file = opened(&storage, &schema);
        let account = |name| Account::new(name).expect("a plain name");
        let devices = |id: u128| [(); 2].map(|()| Device::new(&schema, ReplicaId(Uuid::from_u128(id))));
        let mut world = World {
            memory: MemoryAuthority::new(schema.clone()),
            file,
            storage,
            anna: account("anna"),
            mallory: account("mallory"),
            anna_devices: devices(7),
            mallory_devices: devices(8),
            asked: Asked::default(),
            now: NOW,
            account: Vec::new(),
            schema,
        };
        for number in 0..3 {
            world.anna_writes(&mut Bytes::new(&[number, 1, 2, 3, number, 5, 6]));
        }
        world
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        self.now += 1_000;
        match bytes.below(16) {
            0 => self.anna_writes(bytes),
            1 | 2 => self.mallory_writes(bytes),
            3 => self.open_again(),
            4 if bytes.below(4) == 0 => self.erase(),
            _ => self.ask(bytes),
        }
    }

    fn authorities(&self) -> [&dyn Authority; 2] {
        [&self.memory, &self.file]
    }

    fn anna_writes(&mut self, bytes: &mut Bytes<'_>) {
        self.now += 1_000;
        let operations = Device::operations(bytes, Some(SECRET));
        self.account.push(format!("anna writes {operations:?}"));
        let World { memory, file, anna, anna_devices: [one, other], .. } = self;
        one.write(&operations);
        one.sync(memory, anna, self.now, &mut self.account);
        other.write(&operations);
        other.sync(file, anna, self.now, &mut self.account);
    }

    fn mallory_writes(&mut self, bytes: &mut Bytes<'_>) {
        let operations = Device::operations(bytes, None);
        self.account.push(format!("another client of mallory's writes {operations:?}"));
        let World { memory, file, mallory, mallory_devices: [one, other], .. } = self;
        one.write(&operations);
        other.write(&operations);
        if bytes.below(4) > 0 {
            one.sync(memory, mallory, self.now, &mut self.account);
            other.sync(file, mallory, self.now, &mut self.account);
        }
    }

    /// A question as it travels, perhaps with other bytes in it; what is read of it is answered by both.
    fn ask(&mut self, bytes: &mut Bytes<'_>) {
        let known = [&self.anna, &self.mallory].map(|account| self.generations(account));
        let [of_anna, own] = known;
        let ask = self.asked.next(bytes);
        let how = bytes.below(8);
        let is_bent = bytes.below(4) == 0;
        // Both are asked the same, but for the generation.
        let mut again = bytes.clone();
        let mut texts = Vec::new();
        let asks = [0, 1].map(|place| {
            let generation = match how {
                0 => of_anna.get(place).copied(),
                1 => Some(Generation(Uuid::from_u128(99))),
                2 => None,
                _ => own.get(place).copied(),
            };
            let mut request = Request::of(&asked::knowing(&ask, generation));
            if is_bent {
                let mut text = std::mem::take(&mut request.text).into_bytes();
                if place == 0 {
                    again.bend(&mut text)
                } else {
                    bytes.bend(&mut text)
                }
                request.text = String::from_utf8_lossy(&text).into_owned();
            }
            let read = request.ask();
            texts.push(request.text);
            read.ok()
        });
        self.account.push(format!("mallory asks {texts:?}"));
        let anna_before = self.looked_at(&self.anna);
        let answers: Vec<Answer> = self
            .authorities()
            .into_iter()
            .zip(&asks)
            .filter_map(|(authority, ask)| Some(self.answer(authority, ask.as_ref()?)))
            .collect();
        if let [one, other] = answers.as_slice() {
            let [one, other] = [one, other].map(|answer| comparable(without_generation(answer.clone())));
            // Bent, they may have become other questions, for the generations in them differ.
            assert!(is_bent || one == other, "{one:?}\nand {other:?}\n{:#?}", self.account);
        }
        assert!(self.looked_at(&self.anna) == anna_before, "anna's is another\n{:#?}", self.account);
        self.require_whole(&self.mallory);
    }

    fn answer(&self, authority: &dyn Authority, ask: &Ask) -> Answer {
        let answer = authority.answer(&self.mallory, Millis(self.now), ask);
        let answer = answer.unwrap_or_else(|error| panic!("{error}\n{:#?}", self.account));
        let text = Reply::of(&answer).body;
        assert!(!text.contains(SECRET), "{text}\n{:#?}", self.account);
        answer
    }

    fn erase(&mut self) {
        self.account.push("mallory's account is erased".to_owned());
        let before = self.looked_at(&self.anna);
        for authority in self.authorities() {
            authority.erase(&self.mallory).expect("an authority that can be written");
        }
        assert!(self.looked_at(&self.anna) == before, "anna's is another\n{:#?}", self.account);
        self.require_whole(&self.mallory);
    }

    /// The process ends, and what was not synced is gone.
    fn open_again(&mut self) {
        self.account.push("the authority is opened again".to_owned());
        let before = [&self.anna, &self.mallory].map(|account| whole::seen(&self.file, account));
        let image = self.storage.after_crash(Unsynced::Lost);
        self.file = opened(&image, &self.schema);
        self.storage = image;
        let after = [&self.anna, &self.mallory].map(|account| whole::seen(&self.file, account));
        assert!(before == after, "{before:?}\nbecame {after:?}\n{:#?}", self.account);
    }

    fn generations(&self, account: &Account) -> [Generation; 2] {
        self.authorities().map(|authority| whole::generation(authority, account))
    }

    fn looked_at(&self, account: &Account) -> [whole::Seen; 2] {
        self.authorities().map(|authority| whole::seen(authority, account))
    }

    fn require_whole(&self, account: &Account) {
        for seen in self.looked_at(account) {
            let found = whole::wrong(&self.schema, &seen);
            assert!(found.is_empty(), "{found:#?}\n{:#?}", self.account);
        }
    }

    fn come_to_rest(&mut self) {
        self.require_whole(&self.anna);
        self.require_whole(&self.mallory);
        let World { memory, file, anna, mallory, anna_devices, mallory_devices, .. } = self;
        for (account, devices) in [(&*anna, anna_devices), (&*mallory, mallory_devices)] {
            let authorities: [&dyn Authority; 2] = [memory, file];
            for (device, authority) in devices.iter_mut().zip(authorities) {
                self.now += 1_000_000;
                device.come_to_rest(authority, account, self.now, &mut self.account);
            }
        }
    }
}

fn opened(storage: &FaultyStorage, schema: &Schema) -> FileAuthority {
    let opened = FileOptions::new().cache_bytes(1 << 20).on(storage.clone(), schema.clone());
    opened.expect("an authority in memory")
}
