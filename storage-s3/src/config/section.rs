//! The driver's map as it is written, and what it comes to.

use serde::Deserialize;
use serde::de::Error;

use super::{Config, size, words};
use crate::endpoint;

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Section {
    accesskey: String,
    secretkey: String,
    sessiontoken: String,
    region: String,
    regionendpoint: String,
    #[serde(deserialize_with = "words::flag")]
    forcepathstyle: Option<bool>,
    redirectendpoint: String,
    bucket: String,
    rootdirectory: String,
    #[serde(deserialize_with = "words::flag")]
    encrypt: Option<bool>,
    keyid: String,
    #[serde(deserialize_with = "words::flag")]
    secure: Option<bool>,
    #[serde(deserialize_with = "words::flag")]
    skipverify: Option<bool>,
    #[serde(deserialize_with = "words::flag")]
    v4auth: Option<bool>,
    #[serde(deserialize_with = "size::part")]
    chunksize: Option<u64>,
    #[serde(deserialize_with = "size::part")]
    multipartcopychunksize: Option<u64>,
    #[serde(deserialize_with = "size::count")]
    multipartcopymaxconcurrency: Option<u64>,
    #[serde(deserialize_with = "size::copy")]
    multipartcopythresholdsize: Option<u64>,
    #[serde(deserialize_with = "words::class")]
    storageclass: Option<String>,
    #[serde(deserialize_with = "words::acl")]
    objectacl: Option<String>,
    useragent: String,
    #[serde(deserialize_with = "words::flag")]
    usedualstack: Option<bool>,
    #[serde(deserialize_with = "words::flag")]
    accelerate: Option<bool>,
    #[serde(deserialize_with = "words::flag")]
    usefipsendpoint: Option<bool>,
    loglevel: String,
    #[serde(deserialize_with = "size::count")]
    uploadmemory: Option<u64>,
}

impl Section {
    /// Checks what a type alone cannot say.
    pub(super) fn settle<E: Error>(self) -> Result<Config, E> {
        if self.bucket.is_empty() {
            return Err(E::missing_field("bucket"));
        }
        if self.region.is_empty() && self.regionendpoint.is_empty() {
            return Err(E::missing_field("region"));
        }
        if self.v4auth == Some(false) {
            return Err(E::custom(
                "`v4auth: false` asks for signatures of version 2, which this registry does not \
                 make; leave the key out where the store knows version 4",
            ));
        }
        if self.accesskey.is_empty() != self.secretkey.is_empty() {
            return Err(E::custom(
                "of `accesskey` and `secretkey` there is only one; give both, or neither, to use \
                 the credentials of the environment",
            ));
        }
        let config = self.config();
        endpoint::check(&config).map_err(E::custom)?;
        Ok(config)
    }

    fn config(self) -> Config {
        let ours = Config::default();
        let given = |text: String| Some(text).filter(|text| !text.is_empty());
        let keyid = given(self.keyid);
        Config {
            accesskey: given(self.accesskey),
            secretkey: given(self.secretkey),
            sessiontoken: given(self.sessiontoken),
            region: given(self.region),
            regionendpoint: given(self.regionendpoint),
            forcepathstyle: self.forcepathstyle,
            redirectendpoint: given(self.redirectendpoint),
            bucket: self.bucket,
            rootdirectory: self.rootdirectory,
            // A key alone is not there for nothing.
            encrypt: self.encrypt.unwrap_or(keyid.is_some()),
            keyid,
            storageclass: self.storageclass,
            objectacl: self.objectacl,
            secure: self.secure.unwrap_or(ours.secure),
            skipverify: self.skipverify.unwrap_or(ours.skipverify),
            usedualstack: self.usedualstack.unwrap_or(ours.usedualstack),
            accelerate: self.accelerate.unwrap_or(ours.accelerate),
            usefipsendpoint: self.usefipsendpoint.unwrap_or(ours.usefipsendpoint),
            useragent: given(self.useragent),
            // What distribution logs besides would show secrets.
            logged: self.loglevel.to_ascii_lowercase().starts_with("debug"),
            chunksize: self.chunksize.unwrap_or(ours.chunksize),
            multipartcopychunksize: self
                .multipartcopychunksize
                .unwrap_or(ours.multipartcopychunksize),
            multipartcopymaxconcurrency: self
                .multipartcopymaxconcurrency
                .map_or(ours.multipartcopymaxconcurrency, |count| {
                    usize::try_from(count).unwrap_or(usize::MAX)
                }),
            multipartcopythresholdsize: self
                .multipartcopythresholdsize
                .unwrap_or(ours.multipartcopythresholdsize),
            uploadmemory: self.uploadmemory.unwrap_or(ours.uploadmemory),
            ..ours
        }
    }
}
