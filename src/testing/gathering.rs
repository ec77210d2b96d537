//! Law 2 where an entity's effects lie apart in a journal.

use super::laws::{Violation, parts, require};
use crate::algebra::{Clock, Effect, Kind, Millis, Operation, Seq, Shape};

/// An entity's stored parts, gathered and composed at once, are what composing them one by one
/// gives, however many of them there is room for. The parts are the run between cuts, behind somebody who wrote
/// at some time.
///
/// # Errors
/// What was gathered, where it differs.
pub fn gathering_is_composition(
    run: &[Operation],
    cuts: &[usize],
    before: Option<Millis>,
    gathered_bytes: usize,
) -> Result<(), Violation> {
    let law = "gathering is composition";
    let of = |part: &[Operation]| {
        let effects = part.iter().map(|operation| Effect::of(Seq(1), operation));
        effects.reduce(|before, effect| before.then(&effect))
    };
    let parts: Vec<Effect> = parts(run, cuts).into_iter().filter_map(of).collect();
    let mut expected = Effect::identity();
    expected.shape = Shape::of(Seq(1), Kind::Patch, Clock::of(before));
    let clock = expected.shape.clock;
    expected = parts.iter().fold(expected, |before, effect| before.then(effect));
    let found = crate::journal::gathered(clock, &parts, gathered_bytes)
        .map_err(|error| Violation { law, found: error.to_string() })?;
    let seen = |effect: &Effect| (effect.content.clone(), effect.written, effect.exceptions.clone());
    require(law, seen(&found) == seen(&expected), || format!("gathered {found:?}, one by one {expected:?}"))
}
