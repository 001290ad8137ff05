//! From headers to who asks; from a refusal to 401 or 403.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header};
use registry_core::access::{
    Access, AuthError, BearerError, Caller, Challenge, Credentials, Identity, Realm, Scheme, Secret,
};
use registry_core::{Grant, Refusal};
use serde_json::{Value, json};

use crate::app::App;
use crate::endpoint::Wanted;
use crate::error::ApiError;
use crate::proxies::Outside;

/// Whether this request may do what it wants. Without a grant no handler runs.
pub(crate) async fn authorize(
    app: &App,
    caller: &Caller,
    outside: &Outside,
    wanted: &Wanted,
) -> Result<Grant, ApiError> {
    let known = match wanted.public {
        true => Ok(Identity::anonymous()),
        false => app.authenticator.authenticate(caller).await,
    };
    let is_certified = caller.certificate.is_some() && app.rules.are_set();
    let who = match known {
        Ok(who) => who,
        // Rules may be about the certificate alone. Credentials that are wrong stay wrong.
        Err(AuthError::Challenge(_))
            if is_certified && matches!(caller.credentials, Credentials::Anonymous) =>
        {
            Identity::anonymous()
        }
        Err(AuthError::Challenge(challenge)) => {
            let scope = [wanted.required.as_slice(), &wanted.optional].concat();
            return Err(unauthorized(app, &challenge, &scope, outside));
        }
        Err(AuthError::Throttled { retry_after }) => {
            return Err(ApiError::Throttled { retry_after });
        }
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "authentication failed"
            );
            return Err(ApiError::Unavailable);
        }
    };
    let who = match &caller.certificate {
        Some(certificate) if !wanted.public => who.with_certificate(Arc::clone(certificate)),
        _ => who,
    };
    let is_nobody = who.scheme == Scheme::Anonymous;
    let is_unnamed = is_unnamed(&who);
    // Where nothing is wanted but to know how to log in, a certificate is no login.
    let could_log_in = is_nobody || (is_unnamed && wanted.required.is_empty());
    if could_log_in && wanted.asks_who && !app.authenticator.is_open() {
        let challenge = without_error(app.authenticator.challenge());
        return Err(unauthorized(app, &challenge, &wanted.required, outside));
    }
    match app.rules.authorize(who, &wanted.required, &wanted.optional) {
        Ok(grant) => Ok(grant),
        Err(Refusal::Denied) => Err(ApiError::Denied),
        // There is nobody to be, so that no credentials would help.
        Err(Refusal::Challenge { .. }) if app.authenticator.is_open() => Err(ApiError::Denied),
        Err(Refusal::Challenge { scope }) => {
            let challenge = match app.authenticator.challenge() {
                challenge if is_unnamed => without_error(challenge),
                challenge => challenge,
            };
            Err(unauthorized(app, &challenge, &scope, outside))
        }
    }
}

/// Whether there were no credentials, with a certificate or without.
fn is_unnamed(who: &Identity) -> bool {
    let schemes = [Scheme::Anonymous, Scheme::Certificate];
    who.name.is_none() && schemes.contains(&who.scheme)
}

/// As it is for someone who has shown nothing that could be wrong.
fn without_error(mut challenge: Challenge) -> Challenge {
    if let Challenge::Bearer { error, .. } = &mut challenge {
        *error = None;
    }
    challenge
}

/// What a request shows of its sender. More than one `Authorization` is ambiguous: refused.
pub(crate) fn caller(headers: &HeaderMap, address: Option<IpAddr>) -> Result<Caller, ApiError> {
    use base64::Engine;
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(ApiError::BadRequest("more than one Authorization header"));
    }
    let text = first
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    let credentials = if scheme.eq_ignore_ascii_case("bearer") {
        Credentials::Bearer(Secret::new(rest.trim().to_owned()))
    } else if scheme.eq_ignore_ascii_case("basic") {
        let decoded = base64::engine::general_purpose::STANDARD
            .decode(rest.trim())
            .ok();
        let pair = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        match pair.as_deref().and_then(|pair| pair.split_once(':')) {
            Some((user, password)) => Credentials::Basic {
                user: user.to_owned(),
                password: Secret::new(password.to_owned()),
            },
            None => Credentials::Unreadable,
        }
    } else if first.is_none() {
        Credentials::Anonymous
    } else {
        Credentials::Unreadable
    };
    Ok(Caller::new(credentials, address))
}

fn unauthorized(app: &App, challenge: &Challenge, scope: &[Access], outside: &Outside) -> ApiError {
    let text = match challenge {
        Challenge::Basic { realm } => format!("Basic realm={}", quoted(realm)),
        Challenge::Bearer {
            realm,
            service,
            error,
        } => {
            let mut text = format!(
                "Bearer realm={},service={}",
                quoted(&realm_url(app, realm, outside)),
                quoted(service)
            );
            if !scope.is_empty() {
                text.push_str(&format!(",scope={}", quoted(&scope_text(scope))));
            }
            match error {
                Some(BearerError::InvalidToken) => text.push_str(",error=\"invalid_token\""),
                Some(BearerError::InsufficientScope) => {
                    text.push_str(",error=\"insufficient_scope\"");
                }
                _ => {}
            }
            text
        }
        _ => String::new(),
    };
    let challenge = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Basic"));
    ApiError::Unauthorized {
        challenge,
        scope: scope_detail(scope),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn realm_url(app: &App, realm: &Realm, outside: &Outside) -> String {
    match realm {
        Realm::Fixed(url) => url.clone(),
        Realm::Here { path } => app.url(path, outside),
        Realm::SameHost { path } => {
            let scheme = outside.scheme.unwrap_or("https");
            format!("{scheme}://{}{path}", outside.host)
        }
        _ => String::new(),
    }
}

/// One entry for each resource, its actions together, in the order in which they were wanted.
fn scope_text(scope: &[Access]) -> String {
    let mut entries: Vec<(String, Vec<&str>)> = Vec::new();
    for access in scope {
        let (resource, action) = match access {
            Access::Repository { name, action } => (format!("repository:{name}"), action.as_str()),
            _ => ("registry:catalog".to_owned(), "*"),
        };
        match entries.iter_mut().find(|(known, _)| *known == resource) {
            Some((_, actions)) => actions.push(action),
            None => entries.push((resource, vec![action])),
        }
    }
    let texts = entries
        .iter()
        .map(|(resource, actions)| format!("{resource}:{}", actions.join(",")));
    texts.collect::<Vec<_>>().join(" ")
}

fn scope_detail(scope: &[Access]) -> Value {
    let entries = scope.iter().map(|access| match access {
        Access::Repository { name, action } => {
            json!({"Type": "repository", "Class": "", "Name": name.as_str(), "Action": action.as_str()})
        }
        _ => json!({"Type": "registry", "Class": "", "Name": "catalog", "Action": "*"}),
    });
    Value::Array(entries.collect())
}
