//! A password from the terminal, which does not show it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::Failed;

/// The terminal while it shows nothing of what is typed.
struct Silent {
    terminal: File,
    before: Termios,
}

impl Silent {
    fn open() -> Result<Self, Failed> {
        // Not standard input: that may be a pipe of something else.
        let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty");
        let terminal = terminal.map_err(|_| Failed::NoTerminal)?;
        let before = tcgetattr(&terminal).map_err(|_| Failed::NoTerminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        // What was typed before the question is no answer to it.
        tcsetattr(&terminal, OptionalActions::Flush, &silent)
            .map_err(|error| Failed::Input(error.into()))?;
        Ok(Self { terminal, before })
    }

    fn ask(&mut self, question: &str) -> io::Result<Vec<u8>> {
        self.terminal.write_all(question.as_bytes())?;
        let mut line = Vec::new();
        let mut byte = [0];
        // The terminal hands over whole lines, and no more than it has.
        while self.terminal.read(&mut byte)? == 1 && byte != *b"\n" {
            line.extend(byte);
        }
        self.terminal.write_all(b"\n")?;
        Ok(line)
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // There is nothing else to try.
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// Asks for a password.
pub(super) fn once(question: &str) -> Result<Vec<u8>, Failed> {
    Silent::open()?.ask(question).map_err(Failed::Input)
}

/// Asks for a new password, and for the same again.
pub(super) fn twice() -> Result<Vec<u8>, Failed> {
    let mut silent = Silent::open()?;
    let first = silent.ask("New password: ").map_err(Failed::Input)?;
    let again = silent
        .ask("Re-type new password: ")
        .map_err(Failed::Input)?;
    match first == again {
        true => Ok(first),
        false => Err(Failed::Differ),
    }
}
