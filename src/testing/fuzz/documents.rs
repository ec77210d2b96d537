//! Hostile documents: what people write into files, and what travels beside questions and answers.

use crate::codec::wire::{Details, EventId};
use crate::merge::Resolutions;
use crate::scenario::{Medium, Scenario, play};
use crate::testing::simulator::Given;

/// A scenario of more lines is only read: playing it shows nothing that a shorter one does not.
const LINES_PLAYED_MAX: usize = 12;

/// Reads arbitrary text as a scenario, which is played; as decisions of a merge; as a simulation; as the place in a
/// stream and as the details of a problem.
///
/// # Panics
/// If what was read is not read again from what is written of it, or a refusal names no line that there is.
pub fn documents(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lines = text.lines().count();
    match Scenario::read(text) {
        Ok(scenario) if lines <= LINES_PLAYED_MAX => {
            // It goes as expected or it does not.
            let _ = play(&scenario, Medium::Memory, None);
        }
        Ok(_) => {}
        Err(error) => {
            let most = u64::try_from(lines.max(1)).unwrap_or(u64::MAX);
            assert!((1..=most).contains(&error.line), "line {} of {most}", error.line);
        }
    }
    if let Ok(decided) = Resolutions::from_json(text) {
        let again = Resolutions::from_json(&decided.to_json());
        assert_eq!(again.ok(), Some(decided), "{text} is written and read as other decisions");
    }
    if let Ok(given) = Given::from_lines(text) {
        let again = Given::from_lines(&given.to_lines());
        assert_eq!(again.ok(), Some(given), "{text} is written and read as another simulation");
    }
    if let Ok(id) = text.parse::<EventId>() {
        assert_eq!(id.to_string().parse::<EventId>().ok(), Some(id), "{text} is another place in a stream");
    }
    for status in [400, 409, 503] {
        let details = Details::read(status, text);
        let again = Details::read(status, &details.to_json());
        assert_eq!(again, details, "{text} is written and read as another problem");
    }
}
