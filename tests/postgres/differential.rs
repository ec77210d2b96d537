//! PostgreSQL and memory, asked the same.

use foldlog::algebra::Schema;
use foldlog::authority::{Authority, MemoryAuthority};

use crate::asks::{Asks, NOW, SCHEMA, comparable};
use crate::namespace::{Namespace, account};

const SEEDS: u64 = 6;
const STEPS: u64 = 60;

#[test]
fn whatever_is_asked_it_answers_as_memory_does() {
    let Some(namespace) = Namespace::of("whatever_is_asked_it_answers_as_memory_does") else { return };
    let postgres = namespace.open(SCHEMA);
    let accounts = [account("anna's \"own\" %_\\"), account("bert")];
    for seed in 0..std::env::var("FOLDLOG_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS) {
        let memory = MemoryAuthority::new(Schema::from_json(SCHEMA).unwrap());
        for account in &accounts {
            postgres.erase(account).unwrap();
        }
        let mut asks = Asks::new(seed * 1_000);
        for step in 0..STEPS {
            let account = &accounts[usize::from(asks.chance(2))];
            if asks.chance(40) {
                assert_eq!(postgres.erase(account).unwrap(), memory.erase(account).unwrap(), "seed {seed}");
            }
            let ask = asks.next();
            let expected = memory.answer(account, NOW, &ask).unwrap();
            let found = postgres
                .answer(account, NOW, &ask)
                .unwrap_or_else(|error| panic!("seed {seed}, step {step}: {error}\n{ask:?}"));
            assert_eq!(
                comparable(found),
                comparable(expected),
                "seed {seed}, step {step}, account {account}: {ask:?}"
            );
        }
    }
}
