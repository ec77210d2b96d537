//! The client for a program with a tokio runtime.

mod connection;
mod driver;
mod run;

pub use connection::AsyncConnection;
pub use driver::AsyncDriver;
