//! The API over a real port, from the real binary, on each storage driver.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::zombie_processes,
    reason = "a test fails by panicking, and works on real files"
)]

mod access;
mod blobs;
mod certificate;
#[cfg(feature = "fs")]
mod checking;
mod client;
#[cfg_attr(
    not(all(feature = "fs", feature = "htpasswd", feature = "token")),
    allow(dead_code, reason = "nobody logs in with a password besides")
)]
mod client_certificates;
#[cfg(feature = "fs")]
mod collecting;
#[cfg(feature = "fs")]
mod disk;
mod drop_in;
#[cfg(feature = "fs")]
mod examples;
#[cfg(feature = "fs")]
mod fsck;
mod h2c;
mod health;
#[cfg(all(feature = "fs", feature = "htpasswd"))]
mod htpasswd;
#[cfg_attr(
    not(all(feature = "fs", feature = "htpasswd", feature = "token")),
    allow(dead_code, reason = "no keys to fetch")
)]
mod https;
#[cfg(all(feature = "fs", feature = "htpasswd", feature = "token"))]
mod identity;
#[cfg(feature = "fs")]
mod image;
mod letsencrypt;
#[cfg(feature = "fs")]
mod lifecycle;
mod limits;
mod lists;
mod logging;
mod manifests;
mod metrics;
#[cfg(feature = "fs")]
mod order;
mod panics;
#[cfg_attr(
    not(feature = "fs"),
    allow(dead_code, reason = "what lasts in memory is soon told")
)]
mod process;
mod proxies;
mod proxy_protocol;
mod refusals;
mod robustness;
mod rules;
#[cfg(feature = "s3")]
mod s3;
mod server;
#[cfg(all(feature = "fs", feature = "htpasswd", feature = "token"))]
mod sessions;
#[cfg(all(feature = "fs", feature = "htpasswd", feature = "token"))]
mod setups;
mod sockets;
mod stalled;
#[cfg(feature = "fs")]
mod stopping;
#[cfg(feature = "fs")]
mod swapped;
mod tls;
#[cfg(all(feature = "fs", feature = "htpasswd", feature = "token"))]
mod tokens;
#[cfg(feature = "fs")]
mod trace;
mod uploads;
mod validation;

/// Runs a test on every storage driver, each as a test of its own; and on three servers that share
/// a bucket and take turns at its requests, but for those tests that come with a reason why not.
#[macro_export]
macro_rules! on_each_driver {
    ($($name:ident),+ $(,)? $(; $why:literal: $($alone:ident),+ $(,)?)*) => {
        mod inmemory {
            $crate::on_driver!["inmemory": $($name),+ $($(, $alone)+)*];
        }
        #[cfg(feature = "fs")]
        mod filesystem {
            $crate::on_driver!["filesystem": $($name),+ $($(, $alone)+)*];
        }
        #[cfg(feature = "s3")]
        mod s3 {
            $crate::on_driver!["s3": $($name),+ $($(, $alone)+)*];
        }
        #[cfg(feature = "s3")]
        mod replicas {
            $crate::on_driver!["replicas": $($name),+];
        }
    };
}

/// Runs tests on one storage driver.
#[macro_export]
macro_rules! on_driver {
    ($driver:literal: $($name:ident),+) => {
        $(#[test] fn $name() { super::$name(&$crate::server::Server::start($driver)); })+
    };
}
