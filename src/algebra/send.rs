//! What is sent of an effect, given what the authority holds.
//!
//! | effect | base absent, or unknown and born | base live | base dead | base unknown, not born |
//! |---|---|---|---|---|
//! | identity | – | – | – | – |
//! | `Merge(p)`, live | create {} ⊕ p | update patch p | create of the whole revived state (patch p where it is not known) | update patch p |
//! | `Replace(s)`, live | create s | update state s | create s | update state s |
//! | any, dead | nothing | delete | nothing | delete |
//!
//! Where the base is known, what does not change it is not sent.

use super::base::{Base, Held, Knowledge};
use super::effect::{Content, Effect, Liveness, Shape};
use super::fields::{Patch, State};
use super::operation::{Change, Update};

/// What whoever made an effect knew of the base: who made an entity says that there was none. So does who made it after
/// a delete of which nothing is known but that it was taken.
pub(crate) fn known_to<'b>(effect: &Effect, base: &'b Base) -> &'b Base {
    match base {
        Base::Unknown | Base::Dead(Held { epoch: None, state: Knowledge::Nothing })
            if effect.shape.is_born =>
        {
            &Base::Absent
        }
        base => base,
    }
}

/// The one change that has to be sent, or nothing.
#[must_use]
pub fn sent(effect: &Effect, base: &Base) -> Option<Change> {
    sent_of(effect.content.clone(), &effect.shape, base)
}

/// The one change that has to be sent of a content, or nothing.
pub(super) fn sent_of(content: Content, shape: &Shape, base: &Base) -> Option<Change> {
    let is_new = match base {
        Base::Absent => true,
        Base::Unknown => shape.is_born,
        Base::Live(_) | Base::Dead(_) => false,
    };
    match shape.liveness {
        Liveness::Keep => None,
        Liveness::Dead => match base {
            Base::Live(_) => Some(Change::Delete),
            Base::Unknown if !is_new => Some(Change::Delete),
            Base::Unknown | Base::Absent | Base::Dead(_) => None,
        },
        Liveness::Live => match content {
            Content::Keep => sent_patch(Patch::empty(), base, is_new),
            Content::Merge(patch) => sent_patch(patch, base, is_new),
            Content::Replace(state) => sent_state(state, base, is_new),
        },
    }
}

fn sent_patch(patch: Patch, base: &Base, is_new: bool) -> Option<Change> {
    let update = |patch: Patch| Some(Change::Update(Update::Patch(patch)));
    match base {
        _ if is_new => Some(Change::Create(State::empty().with(&patch))),
        Base::Unknown | Base::Absent => update(patch),
        Base::Live(held) => {
            let changing = match &held.state {
                Knowledge::State(state) => patch.changing(state),
                Knowledge::Nothing | Knowledge::Digest(_) => patch,
            };
            if changing.is_empty() { None } else { update(changing) }
        }
        Base::Dead(Held { state: Knowledge::State(state), .. }) => Some(Change::Create(state.with(&patch))),
        Base::Dead(Held { state: Knowledge::Nothing | Knowledge::Digest(_), .. }) => update(patch),
    }
}

fn sent_state(state: State, base: &Base, is_new: bool) -> Option<Change> {
    match base {
        _ if is_new => Some(Change::Create(state)),
        Base::Dead(_) => Some(Change::Create(state)),
        Base::Live(held) if held.state.is(&state) => None,
        Base::Unknown | Base::Absent | Base::Live(_) => Some(Change::Update(Update::State(state))),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::algebra::{CollectionName, EntityKey, Epoch, Operation, Seq};

    fn state(json: &str) -> State {
        State::from_json(json).unwrap()
    }

    /// What is sent of a log on each base: absent, unknown, live with its state, with its digest and with neither, dead
    /// with its state and without.
    fn require(log: &[Change], expected: [&str; 7]) {
        let key = EntityKey::new(CollectionName::new("notes").unwrap(), Uuid::from_u128(1)).unwrap();
        let effects = (1..)
            .map(Seq)
            .zip(log)
            .map(|(seq, change)| Effect::of(seq, &Operation::new(key.clone(), change.clone())));
        let effect = effects.reduce(|one, then| one.then(&then)).unwrap();
        require_of(&effect, expected);
    }

    /// The same of an effect.
    fn require_of(effect: &Effect, expected: [&str; 7]) {
        let held = |state| Held { epoch: Some(Epoch(3)), state };
        let there = state(r#"{"a":1,"b":2}"#);
        let [whole, digest] = [Knowledge::State(there.clone()), Knowledge::Digest(there.digest())];
        let bases = [
            Base::Absent,
            Base::Unknown,
            Base::Live(held(whole.clone())),
            Base::Live(held(digest)),
            Base::Live(held(Knowledge::Nothing)),
            Base::Dead(held(whole)),
            Base::Dead(held(Knowledge::Nothing)),
        ];
        let sent = bases.map(|base| match sent(effect, &base) {
            None => "-".to_owned(),
            Some(Change::Create(state)) => format!("create {}", state.as_json()),
            Some(Change::Update(Update::State(state))) => format!("state {}", state.as_json()),
            Some(Change::Update(Update::Patch(patch))) => format!("patch {}", patch.as_json()),
            Some(Change::Delete) => "delete".to_owned(),
        });
        assert_eq!(sent.each_ref().map(String::as_str), expected);
    }

    #[test]
    fn what_is_sent_is_what_the_table_says() {
        let patch = |json: &str| Change::Update(Update::Patch(Patch::from_json(json).unwrap()));
        let whole = |json: &str| Change::Update(Update::State(state(json)));
        let create = |json: &str| Change::Create(state(json));

        let (some, all) = (r#"{"b":3}"#, r#"{"a":1,"b":3}"#);
        let (change, made, revived) =
            (format!("patch {some}"), format!("create {some}"), format!("create {all}"));
        require(&[patch(some)], [&made, &change, &change, &change, &change, &revived, &change]);

        // What changes nothing of a state that is known is not sent.
        let (same, made) = (r#"patch {"a":1}"#, r#"create {"a":1}"#);
        let revived = r#"create {"a":1,"b":2}"#;
        require(&[patch(r#"{"a":1}"#)], [made, same, "-", same, same, revived, same]);

        let (replaced, made) = (format!("state {some}"), format!("create {some}"));
        require(&[whole(some)], [&made, &replaced, &replaced, &replaced, &replaced, &made, &made]);
        let (same, made) = (r#"state {"a":1,"b":2}"#, r#"create {"a":1,"b":2}"#);
        require(&[whole(r#"{"a":1,"b":2}"#)], [made, same, "-", "-", same, made, made]);

        // What was born here is made where nothing is known.
        let made = format!("create {some}");
        let born = [create("{}"), patch(some)];
        require(&born, [&made, &made, &replaced, &replaced, &replaced, &made, &made]);

        require(&[Change::Delete], ["-", "delete", "delete", "delete", "delete", "-", "-"]);
        require(&[create("{}"), Change::Delete], ["-", "-", "delete", "delete", "delete", "-", "-"]);
    }

    #[test]
    fn what_only_says_that_it_is_there_makes_it_or_brings_it_back_as_it_was() {
        let key = EntityKey::new(CollectionName::new("notes").unwrap(), Uuid::from_u128(1)).unwrap();
        let patch = Operation::patch(key, Patch::from_json(r#"{"a":5}"#).unwrap());
        let lives = Effect { content: Content::Keep, ..Effect::of(Seq(1), &patch) };
        let (made, update, revived) = ("create {}", "patch {}", r#"create {"a":1,"b":2}"#);
        require_of(&lives, [made, update, "-", "-", "-", revived, update]);
    }
}
