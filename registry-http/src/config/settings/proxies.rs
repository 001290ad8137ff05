//! `extensions.proxies` and `extensions.proxyprotocol`: who may say for whom a request is, or a
//! connection.

use super::super::ConfigError;
use super::super::layers::Layers;
use crate::proxies::Proxies;

pub(super) fn proxies(list: Option<&[String]>, layers: &Layers) -> Result<Proxies, ConfigError> {
    let Some(list) = list else {
        return Ok(Proxies::default());
    };
    Proxies::named(list).map_err(|at| {
        let message = format!(
            "{:?} is no address such as 10.0.0.1, no network such as 10.0.0.0/8, and neither \
             `unix` nor `all`",
            list[at]
        );
        layers.refuse(&["extensions", "proxies", &at.to_string()], message)
    })
}

/// With the PROXY protocol, whoever is no proxy is turned away.
pub(super) fn has_speakers(
    proxyprotocol: bool,
    proxies: &Proxies,
    layers: &Layers,
) -> Result<(), ConfigError> {
    if !proxyprotocol || !proxies.is_empty() {
        return Ok(());
    }
    let message = "nobody could connect: name those who speak it in `extensions.proxies`";
    Err(layers.refuse(&["extensions", "proxyprotocol"], message))
}
