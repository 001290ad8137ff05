//! Where the bucket is asked: at AWS, by its region and its kinds of endpoints, or elsewhere.

use http::Uri;
use object_store::signer::Url;

use crate::Config;
use crate::credentials::variable;

/// Where AWS has most of its regions.
const COMMERCIAL: &str = "amazonaws.com";

/// Other parts of AWS, by what their regions begin with.
const PARTITIONS: [(&str, &str); 6] = [
    ("cn-", "amazonaws.com.cn"),
    ("eusc-", "amazonaws.eu"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
    ("us-isof-", "csp.hci.ic.gov"),
];

/// What requests begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Scheme and host, with the bucket where that is in the host.
    pub(crate) url: String,
    /// Whether it is.
    pub(crate) virtual_hosted: bool,
}

impl Endpoint {
    /// Of all requests.
    pub(crate) fn of(config: &Config) -> Self {
        match &config.regionendpoint {
            Some(endpoint) => Self::at(config, endpoint),
            None => Self::of_aws(config),
        }
    }

    /// Where clients are sent, if that is elsewhere.
    pub(crate) fn of_redirects(config: &Config) -> Option<Self> {
        let endpoint = config.redirectendpoint.as_ref()?;
        Some(Self::at(config, endpoint))
    }

    /// Whether it is asked over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.url.starts_with("https:")
    }

    /// Host and port.
    pub(crate) fn authority(&self) -> Option<&str> {
        let (_, rest) = self.url.split_once("://")?;
        rest.split('/').next()
    }

    fn at(config: &Config, endpoint: &str) -> Self {
        let (scheme, rest) = split(endpoint, config.secure);
        let rest = rest.trim_end_matches('/');
        let in_path = config.forcepathstyle.unwrap_or(true);
        let virtual_hosted = !in_path && fits_host(&config.bucket, scheme == "https");
        let url = match virtual_hosted {
            true => format!("{scheme}://{}.{rest}", config.bucket),
            false => format!("{scheme}://{rest}"),
        };
        Self {
            url,
            virtual_hosted,
        }
    }

    fn of_aws(config: &Config) -> Self {
        let scheme = if config.secure { "https" } else { "http" };
        let region = region(config);
        let partition = PARTITIONS
            .iter()
            .find(|(begin, _)| region.starts_with(begin));
        let suffix = partition.map_or(COMMERCIAL, |(_, suffix)| suffix);
        let dual = if config.usedualstack {
            ".dualstack"
        } else {
            ""
        };
        let fips = if config.usefipsendpoint { "-fips" } else { "" };
        let host = match config.accelerate {
            true => format!("s3-accelerate{dual}.{suffix}"),
            false => format!("s3{fips}{dual}.{region}.{suffix}"),
        };
        let in_path = config.forcepathstyle.unwrap_or(false);
        let virtual_hosted = !in_path && fits_host(&config.bucket, config.secure);
        let url = match virtual_hosted {
            true => format!("{scheme}://{}.{host}", config.bucket),
            false => format!("{scheme}://{host}"),
        };
        Self {
            url,
            virtual_hosted,
        }
    }
}

/// What requests are signed for.
pub(crate) fn region(config: &Config) -> String {
    let named = || variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
    let region = config.region.clone().or_else(named);
    region.unwrap_or_else(|| "us-east-1".to_owned())
}

/// Whether the name may be part of a host. Certificates are for one label, without dots in it.
fn fits_host(bucket: &str, secure: bool) -> bool {
    let fits =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.' && !secure;
    bucket.bytes().all(fits)
}

/// Scheme and rest of what may come without a scheme.
fn split(endpoint: &str, secure: bool) -> (&str, &str) {
    let scheme = if secure { "https" } else { "http" };
    endpoint.split_once("://").unwrap_or((scheme, endpoint))
}

/// What cannot be, in words.
pub(crate) fn check(config: &Config) -> Result<(), String> {
    let names = |text: &str, more: &[u8]| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || more.contains(&b);
        !text.is_empty() && text.bytes().all(fits)
    };
    if !names(&config.bucket, b"-._") {
        return Err(format!(
            "`bucket`: {:?} is not the name of a bucket, nor the alias of an access point",
            config.bucket
        ));
    }
    if let Some(region) = config
        .region
        .as_ref()
        .filter(|region| !names(region, b"-_"))
    {
        return Err(format!("`region`: {region:?} is not the name of a region"));
    }
    for (key, endpoint) in [
        ("regionendpoint", &config.regionendpoint),
        ("redirectendpoint", &config.redirectendpoint),
    ] {
        if let Some(endpoint) = endpoint
            && !is_endpoint(endpoint)
        {
            return Err(format!(
                "`{key}` is no endpoint: https://HOST, http://HOST:PORT or a host alone is wanted"
            ));
        }
    }
    let whole = [Some(Endpoint::of(config)), Endpoint::of_redirects(config)];
    if whole
        .iter()
        .flatten()
        .any(|one| Url::parse(&one.url).is_err())
    {
        return Err(
            "a bucket cannot be named before an address: leave `forcepathstyle: false` out, or \
             name the endpoint"
                .to_owned(),
        );
    }
    of_aws_only(config)
}

/// What AWS's own endpoints have and no other has.
fn of_aws_only(config: &Config) -> Result<(), String> {
    let kinds = [
        ("accelerate", config.accelerate),
        ("usedualstack", config.usedualstack),
        ("usefipsendpoint", config.usefipsendpoint),
    ];
    let asked = kinds.iter().find(|(_, asked)| *asked);
    if let (Some((key, _)), Some(_)) = (asked, &config.regionendpoint) {
        return Err(format!(
            "`{key}` chooses one of AWS's endpoints, and `regionendpoint` another; one of them has \
             to go"
        ));
    }
    if !config.accelerate {
        return Ok(());
    }
    if config.usefipsendpoint {
        return Err("`accelerate` and `usefipsendpoint` cannot be together".to_owned());
    }
    if !Endpoint::of_aws(config).virtual_hosted {
        return Err(
            "`accelerate` needs a bucket that is named in the host: without dots and capitals, and \
             without `forcepathstyle`"
                .to_owned(),
        );
    }
    Ok(())
}

/// A password in it would be shown to clients.
fn is_endpoint(endpoint: &str) -> bool {
    let (scheme, rest) = split(endpoint, true);
    let uri = format!("{scheme}://{rest}").parse::<Uri>();
    let fits = |uri: Uri| {
        let host = uri.host().is_some_and(|host| !host.is_empty());
        let user = uri
            .authority()
            .is_some_and(|all| all.as_str().contains('@'));
        host && !user && uri.query().is_none()
    };
    matches!(scheme, "http" | "https") && uri.is_ok_and(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> Config {
        let json = format!("{{\"bucket\": \"b\", \"region\": \"eu-west-1\"{json}}}");
        serde_json::from_str(&json).unwrap()
    }

    #[track_caller]
    fn check(json: &str, url: &str, virtual_hosted: bool) {
        let url = url.to_owned();
        let expected = Endpoint {
            url,
            virtual_hosted,
        };
        assert_eq!(Endpoint::of(&config(json)), expected, "{json}");
    }

    #[test]
    fn a_bucket_of_aws_is_asked_where_its_keys_say() {
        let path = ", \"forcepathstyle\": true";
        check("", "https://b.s3.eu-west-1.amazonaws.com", true);
        check(path, "https://s3.eu-west-1.amazonaws.com", false);
        let plain = ", \"secure\": false";
        check(plain, "http://b.s3.eu-west-1.amazonaws.com", true);
        let dual = ", \"usedualstack\": true";
        check(dual, "https://b.s3.dualstack.eu-west-1.amazonaws.com", true);
        let fips = ", \"usefipsendpoint\": true";
        check(fips, "https://b.s3-fips.eu-west-1.amazonaws.com", true);
        let both = format!("{dual}{fips}");
        check(
            &both,
            "https://b.s3-fips.dualstack.eu-west-1.amazonaws.com",
            true,
        );
        let near = ", \"accelerate\": true";
        check(near, "https://b.s3-accelerate.amazonaws.com", true);
        let both = format!("{near}{dual}");
        check(
            &both,
            "https://b.s3-accelerate.dualstack.amazonaws.com",
            true,
        );
    }

    #[test]
    fn other_parts_of_aws_have_other_names() {
        let mut config = config("");
        for (region, host) in [
            ("us-gov-west-1", "s3.us-gov-west-1.amazonaws.com"),
            ("cn-north-1", "s3.cn-north-1.amazonaws.com.cn"),
            ("us-isob-east-1", "s3.us-isob-east-1.sc2s.sgov.gov"),
        ] {
            config.region = Some(region.to_owned());
            assert_eq!(Endpoint::of(&config).url, format!("https://b.{host}"));
        }
    }

    #[test]
    fn an_endpoint_of_ones_own_has_the_bucket_in_the_path_unless_it_is_told_otherwise() {
        let own = ", \"regionendpoint\": \"http://minio:9000/\"";
        check(own, "http://minio:9000", false);
        let host = format!("{own}, \"forcepathstyle\": \"false\"");
        check(&host, "http://b.minio:9000", true);
        check(", \"regionendpoint\": \"minio\"", "https://minio", false);
        let plain = ", \"regionendpoint\": \"minio:9000\", \"secure\": false";
        check(plain, "http://minio:9000", false);
        // The scheme that is there counts.
        let named = ", \"regionendpoint\": \"https://minio\", \"secure\": false";
        check(named, "https://minio", false);
    }

    #[test]
    fn a_bucket_that_no_certificate_fits_is_in_the_path() {
        let mut config = config("");
        config.bucket = "images.example".to_owned();
        assert!(!Endpoint::of(&config).virtual_hosted);
        config.secure = false;
        let url = "http://images.example.s3.eu-west-1.amazonaws.com";
        assert_eq!(Endpoint::of(&config).url, url);
        config.bucket = "Images".to_owned();
        assert!(!Endpoint::of(&config).virtual_hosted);
    }

    #[test]
    fn clients_are_sent_where_they_reach_the_bucket() {
        assert_eq!(Endpoint::of_redirects(&config("")), None);
        let both = ", \"regionendpoint\": \"http://minio:9000\", \
                    \"redirectendpoint\": \"https://s3.example\"";
        let found = Endpoint::of_redirects(&config(both)).unwrap();
        assert_eq!(found.url, "https://s3.example");
    }
}
