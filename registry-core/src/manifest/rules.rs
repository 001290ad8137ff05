//! The rules that a manifest must keep when it is pushed.

use super::body::{Body, Descriptor};
use super::{Kind, MAX_BYTES, MAX_DEPTH, MAX_DESCRIPTORS, ManifestError, UrlRule, invalid, url};
use crate::media_type::{self, ELSEWHERE, MediaType, PLAIN_LAYERS};

/// The text, if every member of it is sound, those that we pass over as well: no lone surrogates,
/// no numbers beyond all bounds.
pub(super) fn sound(bytes: &[u8]) -> Result<&str, ManifestError> {
    if bytes.len() > MAX_BYTES {
        return Err(invalid(format!("larger than {MAX_BYTES} bytes")));
    }
    check_depth(bytes)?;
    let text = std::str::from_utf8(bytes).map_err(|error| invalid(format!("not JSON: {error}")))?;
    let _: serde_json::Value =
        serde_json::from_str(text).map_err(|error| invalid(format!("not JSON: {error}")))?;
    Ok(text)
}

/// Before any parser recurses: how deep do brackets nest?
fn check_depth(bytes: &[u8]) -> Result<(), ManifestError> {
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    for byte in bytes {
        match (in_text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => in_text = false,
            (true, _) => {}
            (false, b'"') => in_text = true,
            (false, b'{' | b'[') => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(invalid(format!("nested deeper than {MAX_DEPTH} levels")));
                }
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// Which kind it is, by its `Content-Type` and its body, which must agree.
pub(super) fn kind(body: &Body, content_type: Option<&MediaType>) -> Result<Kind, ManifestError> {
    let unspecific = ["", "application/json", "application/octet-stream"];
    let declared = content_type
        .map(MediaType::as_str)
        .filter(|text| !unspecific.contains(text));
    let named = body.named_type();
    if let (Some(declared), Some(named)) = (declared, named)
        && declared != named
    {
        return Err(invalid(format!(
            "Content-Type is {declared}, but mediaType is {named}"
        )));
    }
    let Some(text) = declared.or(named).or_else(|| body.shape()) else {
        return Err(invalid(
            "neither Content-Type nor mediaType says what this is",
        ));
    };
    if matches!(text, media_type::SCHEMA1 | media_type::SCHEMA1_SIGNED) {
        return Err(invalid(
            "Docker image manifest schema 1 is no longer accepted: it cannot be verified by digest; \
             push again with a client that writes schema 2 or OCI",
        ));
    }
    Kind::of(text).ok_or_else(|| invalid(format!("unsupported manifest media type: {text}")))
}

pub(super) fn validate(body: &Body, kind: Kind) -> Result<(), ManifestError> {
    if let Some(ambiguous) = &body.ambiguous {
        return Err(invalid(ambiguous));
    }
    let mut faults = body.faults.iter();
    if let Some((_, fault)) = faults.find(|(member, _)| has_meaning(member, kind)) {
        return Err(fault.clone());
    }
    if body.schema_version != Some(2) {
        return Err(invalid("schemaVersion must be 2"));
    }
    if !kind.is_oci() && body.named_type().is_none() {
        return Err(invalid(format!("mediaType must be {}", kind.media_type())));
    }
    validate_form(body, kind)?;
    let lists = [&body.config, &body.layers, &body.manifests];
    let count: usize = lists.iter().map(|list| list.len()).sum();
    if count > MAX_DESCRIPTORS {
        return Err(invalid(format!("more than {MAX_DESCRIPTORS} descriptors")));
    }
    let subject = body.subject.iter().filter(|_| kind.is_oci());
    let mut all = lists.into_iter().flatten().chain(subject);
    all.try_for_each(validate_descriptor)
}

/// Docker's manifests have neither subject nor annotations; what is called so there is unknown,
/// and passed over.
fn has_meaning(member: &str, kind: Kind) -> bool {
    match member {
        "subject" | "annotations" | "artifactType" => kind.is_oci(),
        "fsLayers" => false,
        _ => true,
    }
}

/// One document must not read as two kinds under one digest: CVE-2021-41190. What is null counts
/// as there where it must be, and as absent where it must not.
fn validate_form(body: &Body, kind: Kind) -> Result<(), ManifestError> {
    if kind.is_index() {
        if body.holds("config") || body.holds("layers") {
            return Err(invalid("an index must not have config or layers"));
        }
        if !body.has("manifests") {
            return Err(invalid("an index must have manifests"));
        }
    } else {
        if body.holds("manifests") {
            return Err(invalid("an image manifest must not have manifests"));
        }
        if !body.holds("config") || !body.has("layers") {
            return Err(invalid("an image manifest must have config and layers"));
        }
    }
    Ok(())
}

fn validate_descriptor(descriptor: &Descriptor) -> Result<(), ManifestError> {
    if let Some(fault) = &descriptor.fault {
        return Err(fault.clone());
    }
    let of = || match &descriptor.digest {
        Some(digest) => format!("descriptor of {digest}"),
        None => "a descriptor".to_owned(),
    };
    let media_type = descriptor.media_type.as_deref();
    if media_type.unwrap_or_default().is_empty() {
        return Err(invalid(format!("{} has no mediaType", of())));
    }
    if descriptor.size.is_none_or(|size| size < 0) {
        return Err(invalid(format!("{} has no valid size", of())));
    }
    Ok(())
}

/// The URLs of layers are looked at where they have a meaning.
pub(super) fn validate_urls(body: &Body, rule: Option<&dyn UrlRule>) -> Result<(), ManifestError> {
    let known = |layer: &&Descriptor| {
        let kind = layer.media_type.as_deref().unwrap_or_default();
        PLAIN_LAYERS.contains(&kind) || ELSEWHERE.contains(&kind)
    };
    let layers = body.layers.iter().filter(known);
    for url in layers.flat_map(|layer| &layer.urls) {
        if !url::is_acceptable(url) {
            return Err(invalid(format!("bad URL on a layer: {url:?}")));
        }
        if rule.is_some_and(|rule| !rule.admits(url)) {
            let message = format!("a layer must not be fetched from {url:?}");
            return Err(invalid(message));
        }
    }
    Ok(())
}

/// The class that distribution sees by the config, if it sees one; an index has none and needs none.
pub(super) fn validate_class(
    body: &Body,
    kind: Kind,
    accepted: &[String],
) -> Result<(), ManifestError> {
    if accepted.is_empty() || kind.is_index() {
        return Ok(());
    }
    let config = body.config.last();
    let config = config.and_then(|config| config.media_type.as_deref());
    let class = match (kind, config.unwrap_or_default()) {
        (Kind::DockerManifest, media_type::DOCKER_CONFIG)
        | (Kind::OciManifest, media_type::OCI_CONFIG) => "image",
        (Kind::DockerManifest, media_type::DOCKER_PLUGIN) => "plugin",
        (_, other) => {
            let message = format!("unknown manifest class for {other}");
            return Err(ManifestError::Denied(message));
        }
    };
    if accepted.iter().any(|accepted| accepted == class) {
        return Ok(());
    }
    let message = format!("registry does not allow {class} manifest");
    Err(ManifestError::Denied(message))
}
