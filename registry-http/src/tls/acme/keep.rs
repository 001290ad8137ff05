//! Sees to it that every host has a certificate, for as long as the server runs.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::future::join_all;

use super::certificate::Held;
use super::schedule::{Failure, Jitter, LOOK, pause};
use super::{Acme, AcmeError, blocking};

/// What failed, and how long the authority wants to be left alone.
#[derive(Debug)]
struct Failed {
    error: AcmeError,
    asked: Option<Duration>,
}

impl Acme {
    /// Never ends.
    pub(crate) async fn keep(&self) {
        join_all(self.hosts.names().map(|host| self.keep_host(host))).await;
    }

    async fn keep_host(&self, host: &str) -> Infallible {
        let (mut failures, mut again) = (0, self.again.subscribe());
        loop {
            let due = self.due_in(host);
            let wait = match due.is_zero() {
                false => due.min(LOOK),
                true => match self.renew(host).await {
                    Ok(()) => {
                        failures = 0;
                        continue;
                    }
                    Err(failed) => {
                        failures += 1;
                        self.tell(host, &failed, failures)
                    }
                },
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // We are who would send, so that this is no end.
                _ = again.changed() => self.read(host).await,
            }
        }
    }

    /// How long until the certificate of a host is renewed.
    fn due_in(&self, host: &str) -> Duration {
        let now = (self.ambient.now)();
        let due = self.hosts.due(host);
        let due = due.and_then(|due| due.duration_since(now).ok());
        due.unwrap_or_default()
    }

    /// Takes what another process has put into the folder, or orders.
    async fn renew(&self, host: &str) -> Result<(), Failed> {
        let mut authority = self.authority.lock().await;
        self.read(host).await;
        if !self.due_in(host).is_zero() {
            return Ok(());
        }
        tracing::info!(host, "ordering a certificate");
        let text = match authority.order(host, &self.challenges).await {
            Ok(text) => text,
            Err(error) => {
                let asked = authority.take_asked();
                return Err(Failed { error, asked });
            }
        };
        let failed = |error| Failed { error, asked: None };
        let held = Held::parse(text.expose(), host);
        let held = held.map_err(|why| failed(AcmeError::Issued(why)))?;
        tracing::info!(
            host,
            until = %jiff::Timestamp::try_from(held.not_after).unwrap_or_default(),
            "a certificate was issued"
        );
        self.hosts.put(host, held, self.jitter());
        let (folder, name) = (self.folder.clone(), host.to_owned());
        let written = blocking(move || folder.write(&name, text.expose())).await;
        if let Err(error) = written {
            // It serves all the same; to order another would not help.
            tracing::error!(
                host,
                error = &error as &dyn std::error::Error,
                "the new certificate cannot be kept, and the next start will order another"
            );
        }
        if self.due_in(host).is_zero() {
            // Otherwise this would order without end.
            let why = "it is due already; is the clock right?".to_owned();
            return Err(failed(AcmeError::Issued(why)));
        }
        Ok(())
    }

    async fn read(&self, host: &str) {
        let (hosts, folder) = (self.hosts.clone(), self.folder.clone());
        let (host, jitter) = (host.to_owned(), self.jitter());
        let reading = blocking(move || Ok(hosts.read(&host, &folder, jitter)));
        // Only a panic is an error here.
        let _ = reading.await;
    }

    /// Says what failed; how long until it is tried again.
    fn tell(&self, host: &str, failed: &Failed, failures: u32) -> Duration {
        let failure = match failed.error.is_refusal() {
            true => Failure::Refused,
            false => Failure::Unreached,
        };
        let wait = pause(failure, failures, failed.asked, self.jitter());
        let now = (self.ambient.now)();
        let ends = self.hosts.ends();
        let end = ends.iter().find(|(name, _)| *name == host);
        let until = end.map(|(_, end)| jiff::Timestamp::try_from(*end).unwrap_or_default());
        let meanwhile = match end {
            None => "there is none, and handshakes are refused",
            Some((_, end)) if *end <= now => "the one that there is has expired",
            Some(_) => "the one that there is goes on",
        };
        tracing::error!(
            host,
            error = &failed.error as &dyn std::error::Error,
            until = until.map(tracing::field::display),
            again_in = ?Duration::from_secs(wait.as_secs()),
            "no certificate was issued; {meanwhile}"
        );
        wait
    }

    fn jitter(&self) -> Jitter {
        Jitter((self.ambient.random)()[0])
    }
}
