//! A simulation as lines, so that one that failed is kept and played again for good.
//!
//! The first line says the seed, how many clients there are and the policies; then there is a line an action.

use serde::{Deserialize, Serialize};

use super::action::{Action, Given};
use crate::algebra::Policy;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    seed: u64,
    clients: usize,
    policies: [Policy; 3],
}

impl Given {
    /// The simulation as lines.
    #[must_use]
    pub fn to_lines(&self) -> String {
        let head = Head { seed: self.seed, clients: self.clients, policies: self.policies };
        let head = serde_json::to_string(&head).expect("numbers and names are JSON");
        let actions =
            self.actions.iter().map(|action| serde_json::to_string(action).expect("numbers are JSON"));
        std::iter::once(head).chain(actions).map(|line| line + "\n").collect()
    }

    /// Reads a simulation from its lines.
    ///
    /// # Errors
    /// A line that is none, by its number.
    pub fn from_lines(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().enumerate();
        let wrong = |place: usize, error: serde_json::Error| format!("line {}: {error}", place + 1);
        let (_, head) = lines.next().ok_or("line 1: the seed, the clients and the policies are missing")?;
        let Head { seed, clients, policies } = serde_json::from_str(head).map_err(|error| wrong(0, error))?;
        let actions =
            lines.map(|(place, line)| serde_json::from_str(line).map_err(|error| wrong(place, error)));
        Ok(Given { seed, clients, policies, actions: actions.collect::<Result<Vec<Action>, _>>()? })
    }
}
