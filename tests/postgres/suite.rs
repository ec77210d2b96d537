//! The suite for stores.

use std::cell::{Cell, OnceCell};

use foldlog::authority::postgres::PostgresAuthority;
use foldlog::testing::conformance::{GENERATION, conforms};

use crate::namespace::{Namespace, account};

const SESSIONS: u64 = 12;

#[test]
fn the_store_on_postgres_holds_to_the_suite() {
    let Some(namespace) = Namespace::of("the_store_on_postgres_holds_to_the_suite") else { return };
    let (authority, number) = (OnceCell::new(), Cell::new(0));
    let held = conforms(
        |schema| {
            let authority = authority.get_or_init(|| {
                PostgresAuthority::open(&namespace.url, schema.clone(), namespace.options()).unwrap()
            });
            number.set(number.get() + 1);
            let name = format!("account {}", number.get());
            namespace.sql(&format!(
                "INSERT INTO NS.accounts (name, generation) VALUES ('{name}', '{}')",
                GENERATION.0
            ));
            authority.store(&account(&name)).unwrap()
        },
        SESSIONS,
    )
    .unwrap();
    println!("{held:?}");
    assert!(held.answers >= SESSIONS * 10);
}
