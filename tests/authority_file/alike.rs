//! The authority on a file answers as the one in memory does, and loses nothing to whoever comes beside or after.

use foldlog::algebra::Schema;
use foldlog::authority::{Account, Authority, FileOptions, MemoryAuthority, SingleStore};
use foldlog::testing::conformance::{GENERATION, answers_alike, conforms, nothing_is_missed, schema};

const SESSIONS: u64 = 60;

#[test]
fn the_store_on_a_file_holds_to_the_suite() {
    for writes in [true, false] {
        let held = conforms(
            |schema: &Schema| SingleStore::new(schema.clone(), GENERATION, writes).unwrap(),
            SESSIONS,
        );
        assert!(held.unwrap().answers >= SESSIONS * 40);
    }
}

#[test]
fn the_authority_on_a_file_answers_as_the_one_in_memory() {
    for seed in 0..40 {
        let memory = MemoryAuthority::new(schema());
        let file = FileOptions::new().in_memory(schema()).unwrap();
        answers_alike([&memory, &file], seed, 300).unwrap();
    }
}

#[test]
fn whoever_reads_beside_sixteen_writers_misses_nothing() {
    let account = Account::new("one").unwrap();
    let file = FileOptions::new().in_memory(Schema::default()).unwrap();
    let memory = MemoryAuthority::new(Schema::default());
    for authority in [&file as &dyn Authority, &memory] {
        let seen = nothing_is_missed(authority, &account, 16, 60).unwrap();
        assert!(seen.pages > 20 && seen.accepted > 16 * 60, "{seen:?}");
    }
}
