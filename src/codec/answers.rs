//! Answers to bunches, as an authority's file keeps them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::frame::FrameError;
use super::records::{StampsRecord, key_of};
use crate::algebra::{
    BunchNumber, Digest, EntityKey, Epoch, Millis, Outcome, Outcomes, ReplicaId, Resulting, Stamp, Stamps,
    State,
};

/// What a bunch was answered.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AnswerRecord {
    id: [u8; 32],
    outcomes: Vec<OutcomeRecord>,
}

impl AnswerRecord {
    pub(crate) fn of(id: Digest, outcomes: &Outcomes) -> Self {
        AnswerRecord { id: id.0, outcomes: outcomes.outcomes.iter().map(OutcomeRecord::of).collect() }
    }

    pub(crate) fn answer(self, bunch: BunchNumber) -> Result<(Digest, Outcomes), FrameError> {
        let outcomes: Result<Vec<Outcome>, FrameError> =
            self.outcomes.into_iter().map(OutcomeRecord::outcome).collect();
        Ok((Digest(self.id), Outcomes { bunch, outcomes: outcomes? }))
    }
}

const AS_SENT: u8 = 0;

/// What one operation was answered. In the order in which they came to be: what is told with less is still read, and
/// only "as sent" is written as accepted.
#[derive(Debug, Serialize, Deserialize)]
enum OutcomeRecord {
    Accepted {
        epoch: Option<u64>,
        /// 0 as sent, 1 live, 2 gone.
        result: u8,
        state: Option<String>,
        overwrote: Option<String>,
    },
    Superseded {
        epoch: u64,
        state: Option<String>,
        stamps: Vec<(String, u64, Option<[u8; 16]>)>,
        writer: Option<[u8; 16]>,
    },
    Clash {
        unique: Vec<String>,
        holder: [u8; 16],
        of: Option<(String, [u8; 16])>,
    },
    Refused {
        reason: String,
    },
    Waits {
        collection: String,
        id: [u8; 16],
    },
    Retry,
    /// Accepted, with what is held there and its stamps.
    Told {
        epoch: Option<u64>,
        /// None where it is gone.
        state: Option<String>,
        overwrote: Option<String>,
        stamps: StampsRecord,
    },
    /// Superseded, with all of its stamps.
    Overruled {
        epoch: u64,
        state: Option<String>,
        stamps: StampsRecord,
        writer: Option<[u8; 16]>,
    },
}

impl OutcomeRecord {
    fn of(outcome: &Outcome) -> Self {
        let text = |state: &State| state.as_json().to_owned();
        let entity = |key: &EntityKey| (key.collection().as_str().to_owned(), key.id().into_bytes());
        match outcome {
            Outcome::Accepted { epoch, result, overwrote } => {
                let (epoch, overwrote) = (epoch.map(|epoch| epoch.0), overwrote.as_ref().map(text));
                let (state, stamps) = match result {
                    Resulting::AsSent => {
                        return OutcomeRecord::Accepted { epoch, result: AS_SENT, state: None, overwrote };
                    }
                    Resulting::Live(state, stamps) => (Some(text(state)), stamps),
                    Resulting::Gone(stamps) => (None, stamps),
                };
                OutcomeRecord::Told { epoch, state, overwrote, stamps: StampsRecord::of(stamps) }
            }
            Outcome::Superseded { epoch, state, stamps, writer } => OutcomeRecord::Overruled {
                epoch: epoch.0,
                state: state.as_ref().map(text),
                stamps: StampsRecord::of(stamps),
                writer: writer.map(|writer| writer.0.into_bytes()),
            },
            Outcome::Clash { unique, holder, of } => OutcomeRecord::Clash {
                unique: unique.clone(),
                holder: holder.into_bytes(),
                of: of.as_ref().map(entity),
            },
            Outcome::Refused { reason } => OutcomeRecord::Refused { reason: reason.clone() },
            Outcome::Waits { on } => {
                let (collection, id) = entity(on);
                OutcomeRecord::Waits { collection, id }
            }
            Outcome::Retry => OutcomeRecord::Retry,
        }
    }

    fn outcome(self) -> Result<Outcome, FrameError> {
        let state = |text: String| State::trusted(&text);
        let replica = |id: [u8; 16]| ReplicaId(Uuid::from_bytes(id));
        Ok(match self {
            OutcomeRecord::Accepted { epoch, result, state: text, overwrote } => Outcome::Accepted {
                epoch: epoch.map(Epoch),
                result: match (result, text) {
                    (AS_SENT, None) => Resulting::AsSent,
                    (1, Some(text)) => Resulting::Live(state(text), Stamps::default()),
                    (2, None) => Resulting::Gone(Stamps::default()),
                    (other, _) => {
                        let why = format!("a result is of no known kind ({other})");
                        return Err(FrameError::Body { why });
                    }
                },
                overwrote: overwrote.map(state),
            },
            OutcomeRecord::Superseded { epoch, state: text, stamps, writer } => {
                let stamp = |(name, at, by): (String, u64, Option<[u8; 16]>)| {
                    (name, Stamp { at: Millis(at).min(Millis::MAX), replica: by.map(replica) })
                };
                let fields = stamps.into_iter().map(stamp).collect();
                Outcome::Superseded {
                    epoch: Epoch(epoch),
                    state: text.map(state),
                    stamps: Stamps { fields, ..Stamps::default() },
                    writer: writer.map(replica),
                }
            }
            OutcomeRecord::Told { epoch, state: text, overwrote, stamps } => Outcome::Accepted {
                epoch: epoch.map(Epoch),
                result: match text {
                    Some(text) => Resulting::Live(state(text), stamps.stamps()),
                    None => Resulting::Gone(stamps.stamps()),
                },
                overwrote: overwrote.map(state),
            },
            OutcomeRecord::Overruled { epoch, state: text, stamps, writer } => Outcome::Superseded {
                epoch: Epoch(epoch),
                state: text.map(state),
                stamps: stamps.stamps(),
                writer: writer.map(replica),
            },
            OutcomeRecord::Clash { unique, holder, of } => Outcome::Clash {
                unique,
                holder: Uuid::from_bytes(holder),
                of: of.map(|(collection, id)| key_of(&collection, id)).transpose()?,
            },
            OutcomeRecord::Refused { reason } => Outcome::Refused { reason },
            OutcomeRecord::Waits { collection, id } => Outcome::Waits { on: key_of(&collection, id)? },
            OutcomeRecord::Retry => Outcome::Retry,
        })
    }
}
