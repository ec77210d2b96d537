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
