//! One rule: who, which repositories, what.

use std::fmt;
use std::str::FromStr;

use super::pattern::{NamePattern, TagPattern};
use crate::access::{Certificate, CertificateName, CertificateNameError, Identity, Scheme};
use crate::name::{RepositoryName, Tag};

/// What a rule can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Right {
    /// Read anything under a repository.
    Pull,
    /// Add blobs, manifests and tags, and never move a tag.
    Create,
    /// Add, and move tags.
    Push,
    /// Delete blobs, manifests and tags.
    Delete,
    /// List the repositories that may be pulled.
    Catalog,
}

impl Right {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 5] = [
        Self::Pull,
        Self::Create,
        Self::Push,
        Self::Delete,
        Self::Catalog,
    ];

    /// The word of the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Create => "create",
            Self::Push => "push",
            Self::Delete => "delete",
            Self::Catalog => "catalog",
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Right {
    type Err = UnknownRight;

    fn from_str(text: &str) -> Result<Self, UnknownRight> {
        let known = Self::ALL.into_iter().find(|right| right.as_str() == text);
        known.ok_or_else(|| UnknownRight(text.to_owned()))
    }
}

/// A word that is no right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of pull, create, push, delete, catalog")]
pub struct UnknownRight(String);

/// Whom a rule is for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Who {
    /// Everyone, also those who do not say who they are: whoever logs in loses nothing by it.
    Anonymous,
    /// Whoever proved to be someone.
    Authenticated,
    /// One user.
    User(String),
    /// Whoever is in a group.
    Group(String),
    /// Whoever has the key of such a certificate.
    Certificate(CertificateName),
}

/// One of the two that may stand behind a request. Each has what rules give to it by itself, so
/// that none is ever taken for the other, and no token limits or widens what a certificate has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Party<'a> {
    User(&'a Identity),
    Certificate(&'a Certificate),
}

impl<'a> Party<'a> {
    /// Both, or the one that is there.
    pub(super) fn all(who: &'a Identity) -> impl Iterator<Item = Self> {
        let certificate = who.certificate.as_deref().map(Party::Certificate);
        std::iter::once(Party::User(who)).chain(certificate)
    }
}

impl Who {
    /// Whether it is this one.
    fn is(&self, who: Party<'_>, groups: &Groups) -> bool {
        match who {
            Party::User(who) => self.is_user(who, groups),
            Party::Certificate(certificate) => match self {
                Self::Anonymous | Self::Authenticated => true,
                Self::User(_) => false,
                Self::Group(group) => groups.has_certificate(group, certificate),
                Self::Certificate(name) => name.is(certificate),
            },
        }
    }

    fn is_user(&self, who: &Identity, groups: &Groups) -> bool {
        let name = who.name.as_deref().filter(|name| !name.is_empty());
        match (self, name) {
            (Self::Anonymous, _) => true,
            (Self::Certificate(_), _) | (_, None) => false,
            (Self::Authenticated, Some(_)) => who.scheme != Scheme::Anonymous,
            (Self::User(user), Some(name)) => user == name,
            (Self::Group(group), Some(name)) => {
                who.groups.contains(group) || groups.has_user(group, name)
            }
        }
    }

    /// Whether it can be a certificate, by its own name or that of a group.
    #[must_use]
    pub fn names_certificate(&self, groups: &Groups) -> bool {
        match self {
            Self::Certificate(_) => true,
            Self::Group(group) => groups.members(group).any(Member::is_certificate),
            _ => false,
        }
    }
}

impl FromStr for Who {
    type Err = UnknownWho;

    fn from_str(text: &str) -> Result<Self, UnknownWho> {
        match text.split_once(':') {
            None if text == "anonymous" => Ok(Self::Anonymous),
            None if text == "authenticated" => Ok(Self::Authenticated),
            Some(("user", name)) if !name.is_empty() => Ok(Self::User(name.to_owned())),
            Some(("group", name)) if !name.is_empty() => Ok(Self::Group(name.to_owned())),
            Some(("certificate", _)) => Ok(Self::Certificate(text.parse()?)),
            _ => Err(UnknownWho::Word(text.to_owned())),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Authenticated => f.write_str("authenticated"),
            Self::User(name) => write!(f, "user:{name}"),
            Self::Group(name) => write!(f, "group:{name}"),
            Self::Certificate(name) => name.fmt(f),
        }
    }
}

/// A text that names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnknownWho {
    /// No word or prefix is known.
    #[error(
        "{0:?} is none of anonymous, authenticated, user:NAME, group:NAME, certificate:KIND=VALUE"
    )]
    Word(String),
    /// It is about a certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateNameError),
}

/// Who is in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Member {
    /// A user, by name.
    User(String),
    /// A certificate.
    Certificate(CertificateName),
}

impl Member {
    /// Whether it is a certificate, and no user.
    #[must_use]
    pub fn is_certificate(&self) -> bool {
        matches!(self, Self::Certificate(_))
    }
}

impl FromStr for Member {
    type Err = CertificateNameError;

    /// A name, or what a rule says of a certificate.
    fn from_str(text: &str) -> Result<Self, CertificateNameError> {
        match text.starts_with(CertificateName::PREFIX) {
            true => text.parse().map(Self::Certificate),
            false => Ok(Self::User(text.to_owned())),
        }
    }
}

/// Groups that the configuration makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups(Vec<(String, Vec<Member>)>);

impl Groups {
    /// Adds a group with its members.
    pub fn insert(&mut self, group: impl Into<String>, members: Vec<Member>) {
        self.0.push((group.into(), members));
    }

    /// Whether there is such a group.
    #[must_use]
    pub fn contains(&self, group: &str) -> bool {
        self.0.iter().any(|(known, _)| known == group)
    }

    fn members(&self, group: &str) -> impl Iterator<Item = &Member> {
        let groups = self.0.iter().filter(move |(known, _)| known == group);
        groups.flat_map(|(_, members)| members)
    }

    fn has_user(&self, group: &str, user: &str) -> bool {
        let mut members = self.members(group);
        members.any(|member| matches!(member, Member::User(name) if name == user))
    }

    fn has_certificate(&self, group: &str, certificate: &Certificate) -> bool {
        let mut members = self.members(group);
        members.any(|member| matches!(member, Member::Certificate(name) if name.is(certificate)))
    }
}

/// Gives some rights on some repositories to some.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rule {
    /// Any of these.
    pub who: Vec<Who>,
    /// Any of these; none are needed for [`Right::Catalog`].
    pub repositories: Vec<NamePattern>,
    /// All of these.
    pub rights: Vec<Right>,
}

impl Rule {
    /// A rule that gives these rights.
    #[must_use]
    pub fn new(who: Vec<Who>, repositories: Vec<NamePattern>, rights: Vec<Right>) -> Self {
        Self {
            who,
            repositories,
            rights,
        }
    }

    /// Whether it gives this right on this repository; on none if it is about all of them.
    pub(super) fn gives(
        &self,
        right: Right,
        repository: Option<&RepositoryName>,
        who: Party<'_>,
        groups: &Groups,
    ) -> bool {
        // A certificate is no user, whatever it calls itself.
        let user = match who {
            Party::User(who) => who.name.as_deref(),
            Party::Certificate(_) => None,
        };
        self.rights.contains(&right)
            && self.who.iter().any(|known| known.is(who, groups))
            && repository.is_none_or(|name| {
                let mut patterns = self.repositories.iter();
                patterns.any(|pattern| pattern.matches(name, user))
            })
    }
}

/// Tags that nobody moves. They can be deleted, by those who may delete.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Immutable {
    /// In any of these repositories.
    pub repositories: Vec<NamePattern>,
    /// Any of these.
    pub tags: Vec<TagPattern>,
}

impl Immutable {
    /// These tags of these repositories.
    #[must_use]
    pub fn new(repositories: Vec<NamePattern>, tags: Vec<TagPattern>) -> Self {
        Self { repositories, tags }
    }

    /// Whether it is about this tag.
    #[must_use]
    pub fn covers(&self, repository: &RepositoryName, tag: &Tag) -> bool {
        let mut repositories = self.repositories.iter();
        repositories.any(|pattern| pattern.matches(repository, None))
            && self.tags.iter().any(|pattern| pattern.matches(tag))
    }
}
