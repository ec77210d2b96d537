//! Clients and their authority: replica, sync engine, scenarios, simulator. One program, as they share what is slow to
//! link.

mod differ;
mod faults;
mod hostile;
mod principles;
mod program;
mod replica;
mod scenarios;
mod seen;
mod simulator;
mod store;
mod sync;
