//! The client with threads.

mod connection;
mod courier;
mod driver;
mod stream;

pub use connection::Connection;
pub use courier::Courier;
pub use driver::Driver;
