//! What is believed of headers by which proxies tell of their clients, and of whom.

use crate::client::Request;
use crate::server::{Server, Setup};

const HOST: &str = "outside.example:444";

const FORWARDED: &str = "for=192.0.2.1;proto=https;host=\"outside.example:444\"";

fn server(more: &str) -> Server {
    let setup = Setup {
        more,
        ..Setup::default()
    };
    Server::with("inmemory", setup)
}

/// Where an upload goes on.
fn location(server: &Server, headers: &[(&str, &str)]) -> String {
    let request = Request::new("POST", "/v2/a/blobs/uploads/");
    let answer = server.send(with(request, headers));
    assert_eq!(answer.status, 202, "{answer:?}");
    let told = answer.header("location");
    let (host, _) = told.split_once("/v2/").unwrap();
    host.to_owned()
}

fn with(request: Request, headers: &[(&str, &str)]) -> Request {
    let headers = headers.iter();
    headers.fold(request, |request, (name, value)| {
        request.header(name, value)
    })
}

/// Who asks, as the line of a request has it.
fn remote(server: &Server, name: &str, headers: &[(&str, &str)]) -> String {
    let path = format!("/{name}");
    server.send(with(Request::new("GET", &path), headers));
    let line = server.process.access.wait(&format!("GET {path} "));
    line.split(' ').next().unwrap().to_owned()
}

/// Each header that could tell who asks, or of what.
const EACH: [(&str, &str); 6] = [
    ("X-Forwarded-For", "192.0.2.1"),
    ("X-Real-Ip", "192.0.2.1"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", HOST),
    ("Forwarded", FORWARDED),
    ("X-Forwarded-Port", "444"),
];

pub(crate) fn a_proxy_says_what_clients_ask_and_who_they_are() {
    for proxies in ["127.0.0.1", "127.0.0.0/8", "all"] {
        let server = server(&format!(
            "http: {{relativeurls: false}}\nextensions: {{proxies: [{proxies}]}}\n\
             log: {{level: debug, formatter: json}}\n"
        ));
        let table = [
            ("http://registry", "127.0.0.1", &[][..]),
            ("http://registry", "192.0.2.1", &[EACH[0]]),
            ("http://registry", "192.0.2.1", &[EACH[1]]),
            ("https://registry", "127.0.0.1", &[EACH[2]]),
            ("http://outside.example:444", "127.0.0.1", &[EACH[3]]),
            ("https://outside.example:444", "192.0.2.1", &[EACH[4]]),
            ("http://registry", "127.0.0.1", &[EACH[5]]),
            ("https://outside.example:444", "192.0.2.1", &EACH),
            (
                "http://registry",
                "127.0.0.1",
                &[
                    ("X-Forwarded-For", "evil\" 200"),
                    ("X-Forwarded-Proto", "javascript"),
                    ("X-Forwarded-Host", "evil/..\""),
                    ("Forwarded", "for=\";proto=https"),
                ],
            ),
        ];
        for (at, (host, client, headers)) in table.into_iter().enumerate() {
            assert_eq!(location(&server, headers), host, "{headers:?}");
            let remote = remote(&server, &at.to_string(), headers);
            assert_eq!(remote, client, "{headers:?}");
        }
        assert_eq!(server.process.log.count("is not believed"), 0);
        let line = server.process.log.wait("\"request.path\":\"/1\"");
        assert!(line.contains("\"peer\":\"192.0.2.1\""), "{line}");
        assert!(line.contains("\"proxy\":\"127.0.0.1:"), "{line}");
    }
}

pub(crate) fn who_is_no_proxy_is_believed_nothing() {
    for proxies in ["", "10.0.0.0/8, unix"] {
        let server = server(&format!(
            "http: {{relativeurls: false}}\nextensions: {{proxies: [{proxies}]}}\n"
        ));
        for (at, header) in EACH.into_iter().enumerate() {
            assert_eq!(
                location(&server, &[header]),
                "http://registry",
                "{header:?}"
            );
            let remote = remote(&server, &at.to_string(), &[header]);
            assert_eq!(remote, "127.0.0.1", "{header:?}");
        }
        server
            .process
            .log
            .wait("`extensions.proxies` does not name it");
        assert_eq!(server.process.log.count("is not believed"), 1);
    }
}

#[test]
fn where_nobody_is_named_a_scheme_is_told_to_who_said_it_and_the_rest_is_said_once() {
    let server = server("http: {relativeurls: false}\n");
    for header in [EACH[2], EACH[4]] {
        assert_eq!(
            location(&server, &[header]),
            "https://registry",
            "{header:?}"
        );
    }
    assert_eq!(location(&server, &[]), "http://registry");
    assert_eq!(server.process.log.count("is not believed"), 0);
    for (at, header) in EACH.into_iter().enumerate() {
        let remote = remote(&server, &at.to_string(), &[header]);
        assert_eq!(remote, "127.0.0.1", "{header:?}");
    }
    let line = server.process.log.wait("is not believed");
    let expected = "x-forwarded-for from 127.0.0.1 is not believed: `extensions.proxies` does not \
                    name it. If it is a proxy of yours, write `extensions: {proxies: ['127.0.0.1']}`";
    assert!(line.contains(expected), "{line}");
    assert_eq!(server.process.log.count("is not believed"), 1);
}

#[cfg(all(feature = "htpasswd", feature = "token"))]
#[test]
fn a_realm_is_where_the_proxy_says() {
    let realm = |proxies: &str, header: (&str, &str)| {
        let server = server(&format!(
            "auth: {{htpasswd: {{realm: r, path: ./htpasswd}}}}\n\
             extensions: {{{proxies}token: {{enabled: true, keys: ./keys}}}}\n"
        ));
        let answer = server.send(with(Request::new("GET", "/v2/"), &[header]));
        let challenge = answer.header("www-authenticate").to_owned();
        challenge.split('"').nth(1).unwrap().to_owned()
    };
    let here = "http://registry/auth/token";
    for header in EACH {
        assert_eq!(realm("proxies: [], ", header), here, "{header:?}");
    }
    for (header, expected) in [
        (EACH[2], "https://registry/auth/token"),
        (EACH[3], "http://outside.example:444/auth/token"),
        (EACH[4], "https://outside.example:444/auth/token"),
        (("X-Forwarded-Host", "a\", scope=\"b"), here),
    ] {
        let told = realm("proxies: [127.0.0.1], ", header);
        assert_eq!(told, expected, "{header:?}");
    }
}

/// Behind a proxy, who guesses is not everyone.
#[cfg(feature = "htpasswd")]
#[test]
fn failed_logins_are_held_against_the_client_of_a_proxy_and_nobody_talks_himself_out() {
    let start = |proxies: &str| {
        server(&format!(
            "auth: {{htpasswd: {{realm: r, path: ./htpasswd, failures: 2}}}}\n\
             extensions: {{proxies: [{proxies}]}}\n"
        ))
    };
    let login = |server: &Server, client: &str| {
        // Of nobody, so that each is a failure.
        let request = Request::new("GET", "/v2/").header("Authorization", "Basic YTpi");
        server
            .send(request.header("X-Forwarded-For", client))
            .status
    };
    let server = start("127.0.0.1");
    let mut statuses = [0; 3];
    statuses.fill_with(|| login(&server, "192.0.2.1"));
    assert_eq!(statuses, [401, 401, 429]);
    assert_eq!(login(&server, "1.1.1.1, 192.0.2.1"), 429);
    assert_eq!(login(&server, "192.0.2.1, 192.0.2.2"), 401);

    let server = start("10.0.0.1");
    let clients = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
    let statuses = clients.map(|client| login(&server, client));
    assert_eq!(statuses, [401, 401, 429]);
}
