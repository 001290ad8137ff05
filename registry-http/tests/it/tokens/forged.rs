//! Tokens that are made to be believed, from without: by a key that is trusted and by one that is not, under every
//! name, with addresses that lead to who made them.

use std::net::TcpListener;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SigningKey as _};
use serde_json::{Value, json};

use super::with;
use crate::server::{Server, Setup};

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key of Ed25519.
struct Signer(KeyPair);

impl Signer {
    fn new() -> Self {
        Self(KeyPair::generate_for(&PKCS_ED25519).unwrap())
    }

    fn jwk(&self, id: &str) -> Value {
        let x = encoded(self.0.public_key_raw());
        json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": id})
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let signed = format!(
            "{}.{}",
            encoded(header.to_string()),
            encoded(claims.to_string())
        );
        let signature = self.0.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", encoded(signature))
    }
}

/// What the server trusts: `trusted`, and `curve`, whose other half is forgotten.
fn keys(trusted: &Signer) -> Value {
    let curve = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let (x, y) = curve.public_key_raw()[1..].split_at(32);
    let curve =
        json!({"kty": "EC", "crv": "P-256", "x": encoded(x), "y": encoded(y), "kid": "curve"});
    json!({"keys": [trusted.jwk("trusted"), curve]})
}

fn start(trusted: &Signer) -> Server {
    let mut server = Server::start("inmemory");
    let file = server.root.path().join("jwks.json");
    std::fs::write(file, keys(trusted).to_string()).unwrap();
    server.restart_with(Setup {
        more: "auth: {token: {realm: 'https://auth.example/t', service: here, issuer: there, jwks: ./jwks.json}}\n",
        ..Setup::default()
    });
    server
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs().try_into().unwrap()
}

/// All that one may want, and the time of it.
fn claims() -> Value {
    let access = json!([
        {"type": "repository", "name": "a", "actions": ["*"]},
        {"type": "registry", "name": "catalog", "actions": ["*"]},
    ]);
    json!({"iss": "there", "aud": "here", "sub": "alice", "iat": now(), "exp": now() + 3600, "access": access})
}

fn header() -> Value {
    json!({"alg": "EdDSA", "kid": "trusted", "typ": "JWT"})
}

/// The same with these members, which take the place of those that are there; `null` takes one away.
fn but(mut object: Value, changes: &Value) -> Value {
    let members = object.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => members.remove(name),
            value => members.insert(name.clone(), value.clone()),
        };
    }
    object
}

/// Everything that a stranger can say of a key of his own, who listens at this URL.
fn by_a_stranger(url: &str) -> Vec<String> {
    let own = Signer::new();
    let jwk = own.jwk("trusted");
    let headers = [
        json!({}),
        json!({"kid": "unknown"}),
        json!({"jwk": jwk}),
        json!({"kid": null, "jwk": jwk}),
        json!({"kid": "unknown", "jwk": jwk}),
        json!({"jku": url}),
        json!({"kid": null, "jku": url}),
        json!({"kid": "unknown", "jku": url}),
        json!({"kid": null, "x5u": url}),
        json!({"jwk": but(jwk.clone(), &json!({"x5u": url})), "x5u": url, "jku": url}),
        json!({"kid": url}),
        json!({"kid": "../../dev/null"}),
        json!({"kid": "/dev/null"}),
        json!({"kid": "trusted' OR '1'='1"}),
        json!({"kid": "k".repeat(10_000)}),
        json!({"kid": ["trusted"]}),
        json!({"kid": "curve", "alg": "ES256"}),
    ];
    let headers = headers.into_iter().map(|changes| but(header(), &changes));
    let mut tokens: Vec<String> = headers
        .map(|header| own.token(&header, &claims()))
        .collect();
    // From whom it is, is no address either.
    tokens.push(own.token(&header(), &but(claims(), &json!({"iss": url}))));
    tokens
}

/// What the holder of a trusted key may not say.
fn by_the_trusted(trusted: &Signer) -> Vec<String> {
    let (then, later) = (now() - 3600, now() + 3600);
    let claimed = [
        json!({"exp": then}),
        json!({"exp": null}),
        json!({"exp": later.to_string()}),
        json!({"exp": later as f64 + 0.5}),
        json!({"exp": 1e308}),
        json!({"nbf": later}),
        json!({"iat": later}),
        json!({"iss": "elsewhere"}),
        json!({"aud": "elsewhere"}),
        json!({"aud": ["elsewhere"]}),
        json!({"aud": []}),
        json!({"aud": null}),
    ];
    let claimed = claimed.map(|changes| trusted.token(&header(), &but(claims(), &changes)));
    let headed = [
        json!({"alg": "none"}),
        json!({"alg": "None"}),
        json!({"alg": null}),
        json!({"alg": "HS256"}),
        json!({"alg": "ES256"}),
        json!({"crit": ["exp"]}),
    ];
    let headed = headed.map(|changes| trusted.token(&but(header(), &changes), &claims()));
    claimed.into_iter().chain(headed).collect()
}

/// What others make of the tokens of a trusted key, and of one that is only published.
fn by_others(trusted: &Signer) -> Vec<String> {
    let good = trusted.token(&header(), &claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let other = trusted.token(&header(), &but(claims(), &json!({"sub": "root"})));
    let (other, _) = other.rsplit_once('.').unwrap();
    let curve = json!({"alg": "ES256", "kid": "curve"}).to_string();
    let curve = format!("{}.{}", encoded(curve), encoded(claims().to_string()));
    let zeros = encoded([0; 64]);
    vec![
        signed.to_owned(),
        format!("{signed}."),
        format!("{good}.{signature}"),
        format!("{other}.{signature}"),
        format!("{signed}.{}", &signature[..signature.len() - 4]),
        format!("{signed}.{zeros}"),
        format!("{curve}.{zeros}"),
        format!("{curve}.{}", encoded([0; 8])),
        // As DER has two zeros.
        format!("{curve}.{}", encoded([0x30, 6, 2, 1, 0, 2, 1, 0])),
    ]
}

#[test]
fn a_forged_token_opens_nothing_and_sends_the_server_nowhere() {
    let trusted = Signer::new();
    let server = start(&trusted);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/keys.json", listener.local_addr().unwrap());
    let routes = [
        ("GET", "/v2/", 200),
        ("GET", "/v2/_catalog", 200),
        ("GET", "/v2/a/tags/list", 404),
        ("POST", "/v2/a/blobs/uploads/", 202),
        ("DELETE", "/v2/a/manifests/t", 404),
    ];
    // That all of it is good but for what is wrong, and that addresses beside a good key do not matter.
    let beside = but(header(), &json!({"jku": url, "x5u": url}));
    for header in [header(), beside] {
        for (method, path, status) in routes {
            let token = trusted.token(&header, &claims());
            let answer = with(&server, method, path, &token);
            assert_eq!(answer.status, status, "{method} {path}");
        }
    }
    let tokens = [
        by_a_stranger(&url),
        by_the_trusted(&trusted),
        by_others(&trusted),
    ];
    for token in tokens.concat() {
        let header = token.split('.').next().unwrap();
        let header = String::from_utf8(URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
        for (method, path, _) in routes {
            let refused = with(&server, method, path, &token);
            refused.expect(401, "UNAUTHORIZED");
            let told = refused.header("www-authenticate");
            let begin = "Bearer realm=\"https://auth.example/t\",service=\"here\"";
            assert!(told.starts_with(begin), "{header}: {told}");
            let end = ",error=\"invalid_token\"";
            assert!(told.ends_with(end), "{method} {path} {header}: {told}");
        }
    }
    let came = listener.accept().map(drop).unwrap_err().kind();
    assert_eq!(came, std::io::ErrorKind::WouldBlock, "somebody called");
}
