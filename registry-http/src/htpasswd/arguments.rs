//! The arguments as Apache's htpasswd takes them: flags in any combination before the rest.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::builtin::users::COSTS;

pub(super) const USAGE: &str = "\
Usage:
    htpasswd [-ciBDv] [-C cost] passwordfile username
    htpasswd -b[cBDv] [-C cost] passwordfile username password

    htpasswd -n[iB] [-C cost] username
    htpasswd -nb[B] [-C cost] username password
 -c  Create a new file, whatever was there.
 -n  Don't update file; display results on stdout.
 -b  Use the password from the command line rather than prompting for it.
     Others on this machine may see it.
 -i  Read password from stdin without verification (for script usage).
 -B  Hash with bcrypt. That is always so: the registry accepts nothing else.
 -C  Set the cost of bcrypt (higher is more secure but slower, default: 10, valid: 4 to 17).
 -D  Delete the specified user.
 -v  Verify password for the specified user.
 -h  Show this.
It is `registry htpasswd` as well. -m, -d, -s, -p, -2 and -5 of Apache's are refused: the
registry, as distribution, lets nobody in by such a hash.
";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Help,
    Work(Arguments),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arguments {
    pub(super) job: Job,
    pub(super) user: String,
    pub(super) password: PasswordFrom,
    pub(super) cost: Option<u32>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Job {
    Print,
    Set { file: PathBuf, create: bool },
    Delete(PathBuf),
    Verify(PathBuf),
}

#[derive(PartialEq, Eq)]
pub(super) enum PasswordFrom {
    Terminal,
    Input,
    Argument(Vec<u8>),
}

/// Never shown, not even to who debugs.
impl std::fmt::Debug for PasswordFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Terminal => "Terminal",
            Self::Input => "Input",
            Self::Argument(_) => "Argument(…)",
        })
    }
}

#[derive(Default)]
struct Flags {
    create: bool,
    print: bool,
    batch: bool,
    input: bool,
    delete: bool,
    verify: bool,
    help: bool,
    cost: Option<u32>,
}

/// What follows the name of the program.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Parsed, String> {
    let mut arguments = arguments.into_iter().peekable();
    let mut flags = Flags::default();
    let is_flags = |argument: &OsString| {
        let bytes = argument.as_bytes();
        bytes.len() > 1 && bytes[0] == b'-'
    };
    while let Some(argument) = arguments.next_if(is_flags) {
        match argument.as_bytes() {
            b"--" => break,
            b"--help" => flags.help = true,
            _ => flags.take(&argument, &mut arguments)?,
        }
    }
    if flags.help {
        return Ok(Parsed::Help);
    }
    flags.finish(arguments.collect()).map(Parsed::Work)
}

impl Flags {
    /// One argument of flags, and the next one where that belongs to it.
    fn take(
        &mut self,
        argument: &OsStr,
        rest: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), String> {
        let text = argument.to_string_lossy();
        for (at, flag) in text.char_indices().skip(1) {
            match flag {
                'c' => self.create = true,
                'n' => self.print = true,
                'b' => self.batch = true,
                'i' => self.input = true,
                'D' => self.delete = true,
                'v' => self.verify = true,
                'h' => self.help = true,
                'B' => {}
                'C' => {
                    let value = match &text[at + 1..] {
                        "" => rest.next().unwrap_or_default(),
                        value => value.into(),
                    };
                    self.cost = Some(cost(&value)?);
                    return Ok(());
                }
                'm' | 'd' | 's' | 'p' | '2' | '5' | 'r' => {
                    return Err(format!(
                        "-{flag} is not for bcrypt, and the registry, as distribution, lets \
                         nobody in by another hash; leave it out"
                    ));
                }
                _ => return Err(format!("there is no flag -{flag}\n{USAGE}")),
            }
        }
        Ok(())
    }

    fn finish(self, rest: Vec<OsString>) -> Result<Arguments, String> {
        let jobs = [self.create, self.print, self.verify, self.delete];
        if jobs.iter().filter(|job| **job).count() > 1 {
            return Err("only one of -c -n -v -D may be specified".to_owned());
        }
        if self.batch && self.input {
            return Err("only one of -b -i may be specified".to_owned());
        }
        let mut rest = rest.into_iter();
        let mut next = |what| rest.next().ok_or_else(|| format!("no {what}\n{USAGE}"));
        let file = match self.print {
            true => PathBuf::new(),
            false => next("passwordfile")?.into(),
        };
        let user = next("username")?;
        let user = user.into_string().map_err(|_| "username is not UTF-8")?;
        let password = match (self.batch, self.input) {
            // It is not asked for.
            _ if self.delete => {
                let _ = next("password");
                PasswordFrom::Terminal
            }
            (true, _) => PasswordFrom::Argument(next("password")?.into_vec()),
            (false, true) => PasswordFrom::Input,
            (false, false) => PasswordFrom::Terminal,
        };
        if rest.next().is_some() {
            return Err(format!("there is an argument too many\n{USAGE}"));
        }
        let job = match (self.print, self.delete, self.verify) {
            (true, ..) => Job::Print,
            (_, true, _) => Job::Delete(file),
            (_, _, true) => Job::Verify(file),
            _ => Job::Set {
                file,
                create: self.create,
            },
        };
        Ok(Arguments {
            job,
            user,
            password,
            cost: self.cost,
        })
    }
}

fn cost(text: &OsStr) -> Result<u32, String> {
    let number = text.to_str().and_then(|text| text.parse().ok());
    number.filter(|cost| COSTS.contains(cost)).ok_or_else(|| {
        let (least, most) = (COSTS.start(), COSTS.end());
        format!("argument to -C must be a number from {least} to {most}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(line: &str) -> Result<Arguments, String> {
        match parse(line.split(' ').map(OsString::from))? {
            Parsed::Work(arguments) => Ok(arguments),
            Parsed::Help => panic!("{line}"),
        }
    }

    #[test]
    fn flags_are_combined_as_people_type_them() {
        let given = |password: &str| PasswordFrom::Argument(password.into());
        let set = |create| Job::Set {
            file: "f".into(),
            create,
        };
        let table = [
            ("-Bbn u p", Job::Print, given("p"), None),
            ("-nbB u p", Job::Print, given("p"), None),
            ("-n -b -B u p", Job::Print, given("p"), None),
            ("-nb -C 4 u p", Job::Print, given("p"), Some(4)),
            ("-nbC17 u p", Job::Print, given("p"), Some(17)),
            ("-nbBC 12 u p", Job::Print, given("p"), Some(12)),
            ("-nb u -p", Job::Print, given("-p"), None),
            ("-nb -- u -", Job::Print, given("-"), None),
            ("-n u", Job::Print, PasswordFrom::Terminal, None),
            ("-ni u", Job::Print, PasswordFrom::Input, None),
            ("f u", set(false), PasswordFrom::Terminal, None),
            ("-B f u", set(false), PasswordFrom::Terminal, None),
            ("-cB f u", set(true), PasswordFrom::Terminal, None),
            ("-cbB f u p", set(true), given("p"), None),
            ("-i f u", set(false), PasswordFrom::Input, None),
            (
                "-D f u",
                Job::Delete("f".into()),
                PasswordFrom::Terminal,
                None,
            ),
            (
                "-bD f u p",
                Job::Delete("f".into()),
                PasswordFrom::Terminal,
                None,
            ),
            (
                "-v f u",
                Job::Verify("f".into()),
                PasswordFrom::Terminal,
                None,
            ),
            ("-vb f u p", Job::Verify("f".into()), given("p"), None),
            (
                "-iv f u",
                Job::Verify("f".into()),
                PasswordFrom::Input,
                None,
            ),
        ];
        for (line, job, password, cost) in table {
            let expected = Arguments {
                job,
                user: "u".to_owned(),
                password,
                cost,
            };
            assert_eq!(work(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_in_words() {
        let table = [
            ("-n", "no username"),
            ("f", "no username"),
            ("-nb u", "no password"),
            ("-nb u p x", "too many"),
            ("f u p", "too many"),
            ("-cn f u", "only one of -c -n -v -D"),
            ("-vD f u", "only one of -c -n -v -D"),
            ("-bi f u p", "only one of -b -i"),
            ("-m f u", "-m is not for bcrypt"),
            ("-nbs u p", "-s is not for bcrypt"),
            ("-5 f u", "-5 is not for bcrypt"),
            ("-x f u", "no flag -x"),
            ("--what f u", "no flag --"),
            ("-C 3 f u", "from 4 to 17"),
            ("-C 18 f u", "from 4 to 17"),
            ("-C", "from 4 to 17"),
            ("-Cx f u", "from 4 to 17"),
        ];
        for (line, expected) in table {
            let message = work(line).unwrap_err();
            assert!(message.contains(expected), "{line}: {message}");
        }
        for line in ["-h", "--help", "-nbh"] {
            assert_eq!(parse([line.into()]), Ok(Parsed::Help));
        }
        assert!(parse([]).unwrap_err().contains("no passwordfile"));
    }
}
