//! What a run came to.

use std::fmt;

#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// That of the workload being played.
    pub(crate) seed: u64,
    pub(crate) workloads: u64,
    pub(crate) calls: u64,
    pub(crate) points: u64,
    pub(crate) images: u64,
    pub(crate) recoveries: u64,
    /// Images in which the call under way, or one that nobody was told is durable, is there.
    pub(crate) ahead: u64,
    /// Images that went on to where nothing was left to do.
    pub(crate) went_on: u64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { workloads, calls, points, images, recoveries, ahead, went_on, .. } = self;
        write!(
            f,
            "{workloads} workloads, {calls} calls, {points} crash points, {images} images ({recoveries} of a recovery \
             that was cut off): acknowledged commits lost: 0; {ahead} hold more than was acknowledged, {went_on} went on"
        )
    }
}
