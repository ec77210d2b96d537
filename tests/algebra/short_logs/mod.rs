//! The small scope that is gone through exhaustively: ten operations, and every kind of base.

use foldlog::algebra::{Base, Existence, Held, Knowledge, Millis, Operation, Patch, State};
use foldlog::testing::strategies;

/// The longest log.
pub(crate) const LENGTH: usize = 5;

pub(crate) fn state(json: &str) -> State {
    State::from_json(json).unwrap()
}

/// Ten operations on one entity, whose values collide with each other and with the bases.
pub(crate) fn operations_on_one() -> Vec<Operation> {
    let key = strategies::entity(0);
    let patch = |json| Operation::patch(key.clone(), Patch::from_json(json).unwrap());
    let mut operations = vec![
        Operation::create(key.clone(), state(r#"{"a":1}"#)),
        Operation::create(key.clone(), state("{}")),
        Operation::update(key.clone(), state(r#"{"a":1,"b":1}"#)),
        Operation::update(key.clone(), state(r#"{"a":1.0}"#)),
        patch(r#"{"a":1}"#),
        patch(r#"{"b":1,"a":null}"#),
        patch("{}"),
        Operation::delete(key.clone()),
        patch(r#"{"b":2}"#),
        patch(r#"{"a":1.0,"b":null}"#),
    ];
    // Times that run backwards.
    for (operation, at) in operations.iter_mut().zip([9, 3, 7, 3, 5, 1]) {
        operation.at = Some(Millis(at));
    }
    operations
}

/// Every kind of base: unknown, absent, live, dead; with the state, its digest, neither.
pub(crate) fn bases() -> Vec<Base> {
    let mut bases = vec![Base::Unknown, Base::Absent];
    for held in held_states() {
        for state in [Knowledge::Nothing, Knowledge::Digest(held.digest()), Knowledge::State(held.clone())] {
            let held = Held { epoch: None, state };
            bases.extend([Base::Live(held.clone()), Base::Dead(held)]);
        }
    }
    bases
}

/// What an entity may be of which this is known.
pub(crate) fn truths(base: &Base) -> Vec<Existence> {
    let of = |held: &Held| -> Vec<State> {
        let is_it = |state: &State| held.state == Knowledge::Nothing || held.state.is(state);
        any_states().into_iter().filter(is_it).collect()
    };
    match base {
        Base::Absent => vec![Existence::Absent],
        Base::Live(held) => of(held).into_iter().map(Existence::Live).collect(),
        Base::Dead(held) => of(held).into_iter().map(Existence::Dead).collect(),
        Base::Unknown => {
            let both = |state: State| [Existence::Live(state.clone()), Existence::Dead(state)];
            std::iter::once(Existence::Absent).chain(any_states().into_iter().flat_map(both)).collect()
        }
    }
}

fn held_states() -> [State; 2] {
    [state(r#"{"a":1}"#), state(r#"{"a":1,"b":1}"#)]
}

fn any_states() -> Vec<State> {
    let mut states = held_states().to_vec();
    states.extend(["{}", r#"{"a":1.0}"#, r#"{"a":2,"b":2,"untouched":true}"#].map(state));
    states
}
