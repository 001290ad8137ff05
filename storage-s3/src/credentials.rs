//! Whose credentials requests are signed with: those of the configuration, or what the environment
//! has, in the order of AWS's own programs.

use std::env;
use std::fmt;
use std::path::PathBuf;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey as Key};

use crate::{Config, OpenError};

/// What variables of the environment say; an empty one says nothing.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Where credentials are from.
#[derive(PartialEq, Eq)]
pub(crate) enum Credentials {
    /// They are there, and stay the same.
    Keys {
        /// Where they were found.
        from: &'static str,
        access: String,
        secret: String,
        token: Option<String>,
    },
    /// Somebody is asked for them, now and then.
    Asked {
        /// Who.
        of: &'static str,
        how: Vec<(Key, String)>,
    },
}

/// What it is called, variables that must be there, and others that may be.
type Way = (&'static str, Names, Names);
type Names = &'static [(&'static str, Key)];

/// Ways that variables name.
const WAYS: [Way; 3] = [
    (
        "a role for the token of AWS_WEB_IDENTITY_TOKEN_FILE",
        &[
            ("AWS_WEB_IDENTITY_TOKEN_FILE", Key::WebIdentityTokenFile),
            ("AWS_ROLE_ARN", Key::RoleArn),
        ],
        &[
            ("AWS_ROLE_SESSION_NAME", Key::RoleSessionName),
            ("AWS_ENDPOINT_URL_STS", Key::StsEndpoint),
        ],
    ),
    (
        "the role of the container",
        &[(
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            Key::ContainerCredentialsRelativeUri,
        )],
        &[],
    ),
    (
        "the role of the pod",
        &[
            (
                "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                Key::ContainerCredentialsFullUri,
            ),
            (
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                Key::ContainerAuthorizationTokenFile,
            ),
        ],
        &[],
    ),
];

impl Credentials {
    /// The first that there are.
    pub(crate) fn find(config: &Config, variables: Variables<'_>) -> Result<Self, OpenError> {
        if let (Some(access), Some(secret)) = (&config.accesskey, &config.secretkey) {
            return Ok(Self::Keys {
                from: "the configuration",
                access: access.clone(),
                secret: secret.clone(),
                token: config.sessiontoken.clone(),
            });
        }
        let either = |one: &str, other: &str| variables(one).or_else(|| variables(other));
        let access = either("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY");
        let secret = either("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY");
        if let (Some(access), Some(secret)) = (access, secret) {
            return Ok(Self::Keys {
                from: "variables of the environment",
                access,
                secret,
                token: variables("AWS_SESSION_TOKEN"),
            });
        }
        let [identity, container, pod] = WAYS.map(|way| asked(way, variables));
        if let Some(identity) = identity {
            return Ok(identity);
        }
        if let Some(keys) = of_profile(variables)? {
            return Ok(keys);
        }
        match container.or(pod) {
            Some(asked) => Ok(asked),
            None => of_machine(variables),
        }
    }

    /// Where they are from, for people.
    pub(crate) fn origin(&self) -> &'static str {
        match self {
            Self::Keys { from, .. } => from,
            Self::Asked { of, .. } => of,
        }
    }

    /// Whether they are asked for over TLS, whatever the store speaks.
    pub(crate) fn needs_tls(&self) -> bool {
        let of_sts = |(key, _): &(Key, String)| *key == Key::WebIdentityTokenFile;
        matches!(self, Self::Asked { how, .. } if how.iter().any(of_sts))
    }

    pub(crate) fn apply(&self, builder: AmazonS3Builder) -> AmazonS3Builder {
        match self {
            Self::Keys {
                access,
                secret,
                token,
                ..
            } => {
                let builder = builder.with_access_key_id(access);
                let builder = builder.with_secret_access_key(secret);
                match token {
                    Some(token) => builder.with_token(token),
                    None => builder,
                }
            }
            Self::Asked { how, .. } => how.iter().fold(builder, |builder, (key, value)| {
                builder.with_config(*key, value)
            }),
        }
    }
}

/// Without the secrets.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credentials").field(&self.origin()).finish()
    }
}

/// A variable of this process.
pub(crate) fn variable(name: &str) -> Option<String> {
    let value = env::var_os(name)?.into_string().ok()?;
    Some(value).filter(|value| !value.is_empty())
}

fn asked((of, all, more): Way, variables: Variables<'_>) -> Option<Credentials> {
    let value = |(name, key): &(&str, Key)| Some((*key, variables(name)?));
    let mut how: Vec<_> = all.iter().map(value).collect::<Option<_>>()?;
    how.extend(more.iter().filter_map(value));
    Some(Credentials::Asked { of, how })
}

fn of_machine(variables: Variables<'_>) -> Result<Credentials, OpenError> {
    if variables("AWS_EC2_METADATA_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"))
    {
        return Err(OpenError::Setting {
            key: "accesskey",
            why: "there are no credentials, neither here nor in the environment, and \
                  AWS_EC2_METADATA_DISABLED says not to ask the machine for its role"
                .to_owned(),
        });
    }
    let endpoint = variables("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    let endpoint = endpoint.map(|endpoint| (Key::MetadataEndpoint, endpoint));
    // Without a session, where the machine refuses to begin one.
    let disabled = |text: String| text.eq_ignore_ascii_case("true");
    let fallback = !variables("AWS_EC2_METADATA_V1_DISABLED").is_some_and(disabled);
    let fallback = (Key::ImdsV1Fallback, fallback.to_string());
    Ok(Credentials::Asked {
        of: "the role of the machine",
        how: endpoint.into_iter().chain([fallback]).collect(),
    })
}

/// Keys in the file that AWS's programs keep them in. It need not be there, unless it was named.
fn of_profile(variables: Variables<'_>) -> Result<Option<Credentials>, OpenError> {
    let named = variables("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
    let home = variables("HOME").map(|home| PathBuf::from(home).join(".aws/credentials"));
    let wanted = variables("AWS_PROFILE").or_else(|| variables("AWS_DEFAULT_PROFILE"));
    let must_be = named.is_some() || wanted.is_some();
    let Some(path) = named.or(home) else {
        return Ok(None);
    };
    let profile = wanted.unwrap_or_else(|| "default".to_owned());
    let refused = |why: String| OpenError::Profile {
        path: path.clone(),
        profile: profile.clone(),
        why,
    };
    #[allow(
        clippy::disallowed_methods,
        reason = "a file of AWS's programs, read once and before anything is served"
    )]
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(_) if !must_be => return Ok(None),
        Err(error) => return Err(refused(error.to_string())),
    };
    let Some(found) = section(&text, &profile) else {
        return match must_be {
            true => Err(refused("there is no such profile".to_owned())),
            false => Ok(None),
        };
    };
    let value = |name: &str| {
        let mut found = found.iter().rev();
        found
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    };
    match (value("aws_access_key_id"), value("aws_secret_access_key")) {
        (Some(access), Some(secret)) => Ok(Some(Credentials::Keys {
            from: "the file of profiles",
            access,
            secret,
            token: value("aws_session_token"),
        })),
        _ => Err(refused(
            "aws_access_key_id and aws_secret_access_key are wanted; other ways to credentials \
             are not known in that file"
                .to_owned(),
        )),
    }
}

/// The keys of one section of such a file; nothing if it is not there.
fn section(text: &str, wanted: &str) -> Option<Vec<(String, String)>> {
    let mut found = None;
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            let name = name.split(']').next().unwrap_or_default().trim();
            inside = name == wanted;
            if inside {
                found.get_or_insert_with(Vec::new);
            }
        } else if inside
            && !line.starts_with(['#', ';'])
            && let Some((key, value)) = line.split_once('=')
            && let Some(found) = &mut found
        {
            found.push((key.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# Made by hand.
[default]
aws_access_key_id = ONE
aws_secret_access_key=hush==
region = eu-west-1
[ other ]
AWS_ACCESS_KEY_ID = TWO
aws_secret_access_key = hush
; aws_session_token = old
aws_session_token = hush for a while
[role]
role_arn = arn:x
";

    fn find(config: &Config, variables: &[(&str, &str)]) -> Result<Credentials, OpenError> {
        let value = |name: &str| {
            let mut variables = variables.iter();
            let found = variables.find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Credentials::find(config, &value)
    }

    #[track_caller]
    fn from(variables: &[(&str, &str)], origin: &str) {
        let found = find(&Config::new("b"), variables).unwrap();
        assert_eq!(found.origin(), origin, "{variables:?}");
    }

    #[test]
    fn what_comes_first_counts() {
        let mut config = Config::new("b");
        let keys = [
            ("AWS_ACCESS_KEY_ID", "A"),
            ("AWS_SECRET_ACCESS_KEY", "hush"),
        ];
        let identity = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"), ("AWS_ROLE_ARN", "r")];
        let container = [("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/c")];
        let mut all: Vec<_> = [&keys[..], &identity, &container].concat();
        from(&all, "variables of the environment");
        // One of the two is none.
        all.remove(0);
        from(&all, WAYS[0].0);
        all.remove(1);
        from(&all, "the role of the container");
        let pod = [
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://x/"),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/t"),
        ];
        from(&pod, "the role of the pod");
        from(&[], "the role of the machine");
        config.accesskey = Some("B".to_owned());
        config.secretkey = Some("hush".to_owned());
        let found = find(&config, &keys).unwrap();
        assert_eq!(found.origin(), "the configuration");
        assert!(!format!("{found:?}").contains("hush"));
    }

    #[test]
    fn a_machine_that_must_not_be_asked_is_not() {
        let disabled = [("AWS_EC2_METADATA_DISABLED", "true")];
        let error = find(&Config::new("b"), &disabled).unwrap_err();
        assert!(error.to_string().contains("no credentials"), "{error}");
    }

    #[test]
    fn a_file_of_profiles_is_read() {
        let dir = env::temp_dir().join(format!("profiles-{}", std::process::id()));
        #[allow(clippy::disallowed_methods, reason = "a file of the test")]
        std::fs::write(&dir, FILE).unwrap();
        let path = dir.to_str().unwrap();
        let found = |profile: &str| {
            let file = ("AWS_SHARED_CREDENTIALS_FILE", path);
            find(&Config::new("b"), &[file, ("AWS_PROFILE", profile)])
        };
        let keys = |access: &str, secret: &str, token: Option<&str>| Credentials::Keys {
            from: "the file of profiles",
            access: access.to_owned(),
            secret: secret.to_owned(),
            token: token.map(str::to_owned),
        };
        let other = keys("TWO", "hush", Some("hush for a while"));
        assert_eq!(found("other").unwrap(), other);
        assert_eq!(found("default").unwrap(), keys("ONE", "hush==", None));
        let unnamed = find(&Config::new("b"), &[("AWS_SHARED_CREDENTIALS_FILE", path)]);
        assert_eq!(unnamed.unwrap(), keys("ONE", "hush==", None));
        for (profile, why) in [("role", "other ways"), ("none", "no such profile")] {
            let error = found(profile).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains(path), "{error}");
        }
        let absent = [("AWS_SHARED_CREDENTIALS_FILE", "/nowhere/at/all")];
        assert!(find(&Config::new("b"), &absent).is_err());
        from(&[("HOME", "/nowhere/at/all")], "the role of the machine");
        #[allow(clippy::disallowed_methods, reason = "a file of the test")]
        std::fs::remove_file(&dir).unwrap();
    }
}
