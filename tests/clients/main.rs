//! Clients and their authority: replica, sync engine, scenarios, simulator. One program, as they share what is slow to
//! link.

mod asking;
mod authority;
#[path = "../prepared/bits.rs"]
mod bits;
mod damage;
mod differ;
mod faults;
mod gone;
mod hostile;
mod principles;
mod program;
mod races;
mod replica;
mod scenarios;
mod seen;
mod simulator;
mod store;
mod sync;
mod triggers;
