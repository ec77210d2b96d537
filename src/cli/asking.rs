//! Asking somebody: a question on one stream, the answer as a line of another.

use std::io::{self, BufRead, Read, Write};

/// Asks, and gives the answer without what surrounds it; nothing at the end of the input. A longer answer than so many
/// bytes is cut.
pub(super) fn asked(
    input: &mut impl BufRead,
    out: &mut impl Write,
    question: &str,
    bytes_max: u64,
) -> io::Result<Option<String>> {
    write!(out, "{question}")?;
    out.flush()?;
    let mut answer = Vec::new();
    if input.take(bytes_max).read_until(b'\n', &mut answer)? == 0 {
        writeln!(out)?;
        return Ok(None);
    }
    Ok(Some(String::from_utf8_lossy(&answer).trim().to_owned()))
}
