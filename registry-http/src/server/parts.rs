//! What the configuration says to each part of a server.

use std::sync::Arc;

use registry_core::manifest::{Demands, UrlRule};
use registry_core::registry::Options;

use crate::accept::AcceptLimits;
use crate::ambient::ambient;
use crate::app::AppConfig;
use crate::config::{Config, Http, UrlLists};
use crate::endpoint;

pub(crate) fn options(config: &mut Config) -> Options {
    let mut options = Options::new(ambient());
    options.delete = config.delete;
    options.secret = config.http.secret.take();
    options.upload_age = config.uploadpurging.age;
    options.demands = demands(config);
    options.immutable.clone_from(&config.immutable);
    options.read_only = config.readonly;
    options.redirect = config.redirect;
    options
}

fn demands(config: &Config) -> Demands {
    let rule = |lists: &UrlLists| Arc::new(lists.clone()) as Arc<dyn UrlRule>;
    Demands {
        urls: config.validation.urls.as_ref().map(rule),
        children: config.validation.children.clone(),
        classes: config.classes.clone(),
    }
}

pub(crate) fn app_config(config: &Config) -> AppConfig {
    let http = &config.http;
    AppConfig {
        limits: endpoint::Limits {
            catalog: config.catalog_max,
            tags: config.tags_max,
            read_only: config.readonly,
        },
        manifest_limit: config.limits.manifest,
        stall_timeout: config.limits.stall_timeout,
        prefix: http.prefix.trim_end_matches('/').to_owned(),
        base: base(http),
        absolute: http.relativeurls == Some(false),
        headers: http.headers.clone(),
        access_log: None,
    }
}

/// Of a fixed URL, the path is where the API lies for clients, wherever it lies below here; one
/// without a path leaves that to `http.prefix`.
fn base(http: &Http) -> Option<String> {
    let host = http.host.as_ref()?;
    let (scheme, authority) = (host.scheme()?, host.authority()?);
    let path = match host.path().trim_end_matches('/') {
        "" => http.prefix.trim_end_matches('/'),
        path => path,
    };
    Some(format!("{scheme}://{authority}{path}"))
}

pub(crate) fn accept_limits(config: &Config) -> AcceptLimits {
    let limits = &config.limits;
    AcceptLimits {
        connections: limits.connections,
        header: limits.header,
        headers: limits.headers,
        header_timeout: limits.header_timeout,
        idle_timeout: limits.idle_timeout,
        stall_timeout: limits.stall_timeout,
        handshakes: limits.handshakes,
        handshake_timeout: limits.handshake_timeout,
        h2c: config.http.h2c,
        drain: config.http.draintimeout,
    }
}
