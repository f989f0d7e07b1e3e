//! The one way to standard output and standard error.
//!
//! A reader of our output that has left (`… | head`) is a fine way to stop: it ends the command quietly. What fails on a
//! socket stays an error, so the two are told apart by [`Closed`].

use std::{
    fmt::{self, Display},
    io::{self, BufWriter, IsTerminal, Stdout, Write},
};

use anyhow::Result;

/// Whoever read our output has left.
#[derive(Debug)]
struct Closed;

impl Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads the output any more")
    }
}

impl std::error::Error for Closed {}

/// Whether this only says that nobody reads our output any more.
pub fn is_closed(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|error| error.get_ref().is_some_and(|inner| inner.is::<Closed>()))
}

/// Standard output, buffered: flush it where somebody waits for what was written.
pub struct Out(BufWriter<Stdout>);

impl Out {
    pub fn new() -> Self {
        Self(BufWriter::new(io::stdout()))
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(closed)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(closed)
    }
}

fn closed(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::BrokenPipe { io::Error::other(Closed) } else { error }
}

/// Prints `shown` and the end of the line.
pub fn line(shown: impl Display) -> Result<()> {
    text(format_args!("{shown}\n"))
}

/// Prints `shown` as it is.
pub fn text(shown: impl Display) -> Result<()> {
    let mut out = Out::new();
    write!(out, "{shown}")?;
    Ok(out.flush()?)
}

/// A word beside the output, on standard error.
pub fn note(said: impl Display) {
    // With standard error gone there is nobody left to tell.
    let _unheard = writeln!(io::stderr(), "{said}");
}

/// `1 record`, `2 records`.
pub fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Whether a stream takes colours: a terminal, unless its owner wants none (<https://no-color.org>).
pub fn takes_colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|wish| wish.is_empty())
}

/// Columns of the terminal that output goes to; `None` if it goes elsewhere.
pub fn terminal_width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let (columns, _) = rustyline::DefaultEditor::new().ok()?.dimensions()?;
    Some(usize::from(columns)).filter(|&columns| columns > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_output_may_break_quietly() {
        let ours = anyhow::Error::new(closed(io::ErrorKind::BrokenPipe.into())).context("while printing");
        let socket = anyhow::Error::new(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(is_closed(&ours) && !is_closed(&socket));
    }

    #[test]
    fn one_is_singular() {
        assert_eq!([0, 1, 2].map(|n| counted(n, "record")), ["0 records", "1 record", "2 records"]);
    }
}
