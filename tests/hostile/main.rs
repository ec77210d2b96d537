//! Law 11, by property: hostile bytes end in a typed error or in a value that is stored again byte for byte. The
//! bodies are those of the fuzz targets; the bytes are their corpora, cut, joined and changed at random.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod corpora;
#[path = "../corpus/mod.rs"]
mod corpus;

use foldlog::testing::{cases, fuzz};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

fn seeds(target: &str) -> Vec<Vec<u8>> {
    corpus::inputs(target).into_iter().map(|(_, input)| input).collect()
}

/// A seed with a few bytes changed, taken out or doubled, perhaps with a piece of another one behind it.
fn changed(target: &str) -> impl Strategy<Value = Vec<u8>> {
    let seeds = seeds(target);
    let change = (any::<Index>(), any::<u8>(), 0..4_u8);
    (select(seeds.clone()), vec(change, 0..6), proptest::option::weighted(0.3, select(seeds)), any::<Index>())
        .prop_map(|(mut bytes, changes, tail, cut)| {
            for (place, byte, how) in changes {
                if bytes.is_empty() {
                    break;
                }
                let place = place.index(bytes.len());
                match how {
                    0 => bytes.truncate(place),
                    1 => bytes.insert(place, byte),
                    2 => drop(bytes.remove(place)),
                    _ => bytes.splice(place..=place, [byte]).for_each(drop),
                }
            }
            if let Some(tail) = tail {
                let from = cut.index(tail.len() + 1);
                bytes.extend(tail.get(from..).unwrap_or(&[]));
            }
            bytes
        })
}

proptest! {
    #![proptest_config(cases(10_000))]

    #[test]
    fn bytes_from_disk(bytes in changed("frames")) {
        fuzz::frames(&bytes);
    }

    #[test]
    fn bytes_from_a_peer(bytes in changed("lines")) {
        fuzz::lines(&bytes);
    }

    #[test]
    fn bytes_of_no_kind_at_all(bytes in vec(any::<u8>(), 0..200)) {
        fuzz::frames(&bytes);
        fuzz::lines(&bytes);
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn a_hostile_authority(bytes in changed("hostile_authority")) {
        fuzz::hostile_authority(&bytes);
    }

    #[test]
    fn a_hostile_client(bytes in changed("hostile_client")) {
        fuzz::hostile_client(&bytes);
    }

    #[test]
    fn a_hostile_file(bytes in changed("hostile_file")) {
        fuzz::hostile_file(&bytes);
    }

    #[test]
    fn a_hostile_file_salvaged(bytes in changed("salvaged")) {
        fuzz::salvaged(&bytes);
    }

    #[test]
    fn a_hostile_document(bytes in changed("documents")) {
        fuzz::documents(&bytes);
    }
}
