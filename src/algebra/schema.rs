//! The schema: stub.
/// What a program knows of its collections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {}
