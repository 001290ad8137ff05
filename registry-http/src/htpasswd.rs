//! `registry htpasswd`, and the binary under the name `htpasswd`: Apache's command, with bcrypt
//! alone. Statuses are those of Apache's.

mod arguments;
mod prompt;

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use self::arguments::{Arguments, Job, Parsed, PasswordFrom};
use crate::ambient::{ambient, probe};
use crate::builtin::users::edit::{self, Begin};
use crate::builtin::users::{BadPassword, DEFAULT_COST, Hash, Malformed, Unusable};

/// Under which the binary is this command.
pub(crate) const NAME: &str = "htpasswd";

/// Bytes that are read of a password from a pipe.
const LONGEST: u64 = 4096;

/// Why nothing was done; each has a status.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("cannot modify file {0}; use '-c' to create it")]
    NoFile(String),
    #[error("{0}: {1}")]
    File(String, #[source] io::Error),
    #[error("reading the password: {0}")]
    Input(#[source] io::Error),
    #[error("there is no terminal to ask for the password on; use -i or -b")]
    NoTerminal,
    #[error("{0}")]
    Usage(String),
    #[error("password verification error")]
    Differ,
    #[error("password verification failed")]
    Wrong,
    #[error("the hash of user {0} {1}: the registry never accepts it")]
    Unusable(String, #[source] Unusable),
    #[error("{0}")]
    Password(#[source] BadPassword),
    #[error("username too long (> 255)")]
    LongUser,
    #[error("{0}")]
    User(String),
    #[error("User {0} not found")]
    NoUser(String),
    #[error("the file {0} does not appear to be a valid htpasswd file: {1}")]
    Malformed(String, #[source] Malformed),
}

impl Failed {
    fn status(&self) -> u8 {
        match self {
            Self::NoFile(_) | Self::File(..) | Self::Input(_) | Self::NoTerminal => 1,
            Self::Usage(_) => 2,
            Self::Differ | Self::Wrong | Self::Unusable(..) => 3,
            Self::Password(_) | Self::LongUser => 5,
            Self::User(_) | Self::NoUser(_) => 6,
            Self::Malformed(..) => 7,
        }
    }
}

/// Does what the arguments behind the name say.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let done = match arguments::parse(arguments) {
        Ok(Parsed::Help) => say(arguments::USAGE).map_err(Failed::Input),
        Ok(Parsed::Work(arguments)) => work(&arguments),
        Err(message) => Err(Failed::Usage(message)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("{NAME}: {failed}");
            ExitCode::from(failed.status())
        }
    }
}

fn work(arguments: &Arguments) -> Result<(), Failed> {
    let user = arguments.user.as_str();
    check_user(user)?;
    match &arguments.job {
        Job::Print => {
            let hash = make(arguments)?;
            say(&format!("{user}:{hash}\n")).map_err(|error| Failed::File("output".into(), error))
        }
        Job::Verify(file) => verify(file, arguments),
        Job::Delete(file) => delete(file, user),
        Job::Set { file, create } => set(file, *create, arguments),
    }
}

/// What the server would never find again, or take for something else.
fn check_user(user: &str) -> Result<(), Failed> {
    let refused = |why: &str| Err(Failed::User(format!("username {why}")));
    if user.len() > 255 {
        return Err(Failed::LongUser);
    }
    match user {
        "" => refused("is empty"),
        _ if user.contains(':') => refused("contains illegal character ':'"),
        _ if user.contains(char::is_control) => refused("contains a control character"),
        _ if user.starts_with('#') => refused("begins with '#', as a comment does"),
        _ if user.trim() != user => refused("begins or ends with a blank"),
        _ => Ok(()),
    }
}

fn set(file: &Path, create: bool, arguments: &Arguments) -> Result<(), Failed> {
    let user = arguments.user.as_str();
    let begin = match create {
        true => Begin::Anew,
        false => Begin::Existing,
    };
    if !create {
        // Nobody is to type a password for nothing.
        read(file)?;
    }
    let hash = make(arguments)?;
    let found = change(file, begin, user, Some(&hash))?;
    let doing = if found { "Updating" } else { "Adding" };
    eprintln!("{doing} password for user {user}");
    Ok(())
}

fn delete(file: &Path, user: &str) -> Result<(), Failed> {
    // Apache's ends well, too, where there was nobody.
    match change(file, Begin::Existing, user, None)? {
        true => eprintln!("Deleting password for user {user}"),
        false => eprintln!("User {user} not found"),
    }
    Ok(())
}

fn verify(file: &Path, arguments: &Arguments) -> Result<(), Failed> {
    let user = arguments.user.as_str();
    let found = edit::find(&read(file)?, user);
    let found = found.map_err(|error| Failed::Malformed(file.display().to_string(), error))?;
    let text = found.ok_or_else(|| Failed::NoUser(user.to_owned()))?;
    let hash = Hash::parse(&text).map_err(|error| Failed::Unusable(user.to_owned(), error))?;
    let password = match &arguments.password {
        PasswordFrom::Argument(password) => password.clone(),
        PasswordFrom::Input => from_input()?,
        PasswordFrom::Terminal => prompt::once("Enter password: ")?,
    };
    if !hash.matches(&password) {
        return Err(Failed::Wrong);
    }
    eprintln!("Password for user {user} correct.");
    Ok(())
}

/// A hash of the new password, wherever that comes from.
fn make(arguments: &Arguments) -> Result<Hash, Failed> {
    let password = match &arguments.password {
        PasswordFrom::Argument(password) => password.clone(),
        PasswordFrom::Input => from_input()?,
        PasswordFrom::Terminal => prompt::twice()?,
    };
    probe().map_err(|error| Failed::Input(io::Error::other(error)))?;
    let mut salt = [0; 16];
    salt.copy_from_slice(&(ambient().random)()[..16]);
    let cost = arguments.cost.unwrap_or(DEFAULT_COST);
    Hash::make(&password, cost, salt).map_err(Failed::Password)
}

/// Up to the end of the line.
fn from_input() -> Result<Vec<u8>, Failed> {
    let mut line = Vec::new();
    let mut input = io::stdin().lock().take(LONGEST);
    input.read_to_end(&mut line).map_err(Failed::Input)?;
    if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
        line.truncate(end);
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}

fn change(file: &Path, begin: Begin, user: &str, hash: Option<&Hash>) -> Result<bool, Failed> {
    /// Either is told with the name of the file.
    enum Why {
        File(io::Error),
        Malformed(Malformed),
    }
    impl From<io::Error> for Why {
        fn from(error: io::Error) -> Self {
            Self::File(error)
        }
    }
    let mut was_there = false;
    let edited = edit::edit(file, begin, &mut |text| {
        let (next, found) = edit::changed(text, user, hash).map_err(Why::Malformed)?;
        was_there = found;
        Ok(next)
    });
    match edited {
        Ok(()) => Ok(was_there),
        Err(Why::File(error)) => Err(of_file(file, error)),
        Err(Why::Malformed(error)) => Err(Failed::Malformed(file.display().to_string(), error)),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Failed> {
    edit::read(file).map_err(|error| of_file(file, error))
}

fn of_file(file: &Path, error: io::Error) -> Failed {
    let file = file.display().to_string();
    match error.kind() {
        io::ErrorKind::NotFound => Failed::NoFile(file),
        _ => Failed::File(file, error),
    }
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
