//! The storage engine on a faulty storage: transactions that are easy to tell apart.

use std::collections::BTreeMap;
use std::io;

use foldlog::journal::Storage;
use foldlog::testing::FaultyStorage;
use redb::{
    Builder, Database, Durability, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition,
    TableError,
};

use crate::random::Random;

const LAST_COMMIT: TableDefinition<u8, u64> = TableDefinition::new("last commit");
const TABLES: [TableDefinition<u64, &[u8]>; 3] =
    [TableDefinition::new("first"), TableDefinition::new("second"), TableDefinition::new("third")];

/// Table and key → the value.
pub(crate) type Content = BTreeMap<(usize, u64), Vec<u8>>;

#[derive(Debug)]
pub(crate) struct Engine(FaultyStorage);

impl StorageBackend for Engine {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

/// How a commit is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    NotDurable,
    OnePhase,
    TwoPhase,
}

pub(crate) fn open(disk: &FaultyStorage, cache_bytes: usize) -> Result<Database, redb::Error> {
    Ok(Builder::new().set_cache_size(cache_bytes).create_with_backend(Engine(disk.clone()))?)
}

/// One transaction: a few changes to the tables, and to the content they are expected to have.
pub(crate) fn change(
    db: &Database,
    number: u64,
    content: &mut Content,
    random: &mut Random,
) -> Result<Way, redb::Error> {
    let mut write = db.begin_write()?;
    let way = match random.below(4) {
        0 | 1 => Way::NotDurable,
        2 => Way::OnePhase,
        _ => Way::TwoPhase,
    };
    match way {
        Way::NotDurable => write.set_durability(Durability::None)?,
        Way::OnePhase => {}
        Way::TwoPhase => write.set_quick_repair(true),
    }
    for _ in 0..1 + random.below(3) {
        let table = random.index(TABLES.len());
        match random.below(12) {
            0 => {
                write.delete_table(TABLES[table])?;
                content.retain(|(held, _), _| *held != table);
            }
            1..4 => {
                let from = random.below(40);
                let to = from + random.below(30);
                write.open_table(TABLES[table])?.retain_in(from..to, |_, _| false)?;
                content.retain(|(held, key), _| *held != table || !(from..to).contains(key));
            }
            _ => {
                let mut open = write.open_table(TABLES[table])?;
                let large = if random.one_in(8) { 30_000 } else { 1500 };
                for _ in 0..1 + random.below(8) {
                    let key = random.below(40);
                    let mut value = vec![number.to_le_bytes()[0]; 8 + random.index(large)];
                    value[..8].copy_from_slice(&number.to_le_bytes());
                    open.insert(key, value.as_slice())?;
                    content.insert((table, key), value);
                }
            }
        }
    }
    write.open_table(LAST_COMMIT)?.insert(0, number)?;
    write.commit()?;
    Ok(way)
}

/// The number of the last commit, 0 if there is none, and the content.
pub(crate) fn read(db: &Database) -> Result<(u64, Content), redb::Error> {
    let read = db.begin_read()?;
    let number = match read.open_table(LAST_COMMIT) {
        Ok(table) => table.get(0)?.unwrap().value(),
        Err(TableError::TableDoesNotExist(_)) => 0,
        Err(error) => return Err(error.into()),
    };
    let mut content = Content::new();
    for (place, table) in TABLES.into_iter().enumerate() {
        match read.open_table(table) {
            Ok(table) => {
                for row in table.iter()? {
                    let (key, value) = row?;
                    content.insert((place, key.value()), value.value().to_vec());
                }
            }
            Err(TableError::TableDoesNotExist(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok((number, content))
}
