//! The client over loopback: an authority in memory, HTTP by hand, and a network that does what networks do.

mod asynchronous;
mod devices;
mod hostile;
mod once;
mod runs;
mod server;
mod streams;
