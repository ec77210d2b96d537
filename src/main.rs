//! The `foldlog` command.

#![forbid(unsafe_code)]

fn main() {}
