//! Our own token service.

use http::{HeaderValue, header};

use super::{Answer, json};
use crate::app::{App, Incoming};
use crate::endpoint::Query;
use crate::error::ApiError;
use crate::tokens::{Asked, FORM};

const JSON: &str = "application/json";

/// The answer is for who asked, and nobody keeps it.
pub(super) async fn issue(app: &App, query: &Query, form: bool, incoming: &mut Incoming) -> Answer {
    let tokens = app.tokens.as_ref().ok_or(ApiError::NotFound)?;
    let caller = incoming.caller()?;
    let asked = if form {
        let patience = app.config.stall_timeout;
        let form = incoming.body.collect(FORM, &app.budget, patience).await;
        let form = form.map_err(|error| match error {
            ApiError::ManifestTooLarge { limit } => ApiError::FormTooLarge { limit },
            error => error,
        })?;
        let form = std::str::from_utf8(&form);
        let form = form.map_err(|_| ApiError::BadToken("the form is not UTF-8"))?;
        Asked::by_form(&Query::parse(Some(form)), caller)?
    } else {
        Asked::by_query(query, caller)
    };
    let document = tokens.issue(asked).await?;
    let mut response = json(document.expose().clone(), JSON);
    let never = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, never);
    Ok(response)
}

/// Those who believe our tokens fetch these now and then.
pub(super) async fn keys(app: &App) -> Answer {
    let tokens = app.tokens.as_ref().ok_or(ApiError::NotFound)?;
    let mut response = json(tokens.keys().await, JSON);
    let minutes = HeaderValue::from_static("max-age=60");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, minutes);
    Ok(response)
}
