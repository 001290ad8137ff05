//! `registry check`: what it says of a configuration and a store, and that it leaves both alone.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::manifests::image;
use crate::server::{Server, Setup, command, sha256};

const READ_ONLY: Setup<'_> = Setup {
    more: "",
    variables: &[("REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED", "true")],
    through: &[],
};

/// A stopped server, in whose store there is one image.
fn stopped() -> Server {
    let mut server = Server::with("filesystem", Setup::default());
    server.push_manifest("app", "v1", &image(&server, "app", "layer"));
    server.process.signal("TERM");
    assert!(server.process.end().success());
    server
}

fn check(dir: &Path, flags: &[&str], setup: Setup) -> Output {
    let mut check = command(&[]);
    check.arg("check").args(flags).arg("config.yml");
    check
        .env_clear()
        .env("REGISTRY_HTTP_ADDR", "127.0.0.1:0")
        .envs(setup.variables.iter().copied());
    check.current_dir(dir).output().unwrap()
}

fn add(server: &Server, more: &str) {
    let file = server.root.path().join("config.yml");
    let config = fs::read_to_string(&file).unwrap();
    fs::write(file, config + more).unwrap();
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    let text = out(output);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Every file and directory, with what would show that somebody wrote to it.
fn snapshot(dir: &Path) -> BTreeMap<PathBuf, (u64, i64, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        let mut paths = vec![dir.clone()];
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => dirs.push(path),
                false => paths.push(path),
            }
        }
        for path in paths {
            let metadata = path.metadata().unwrap();
            let content = fs::read(&path).unwrap_or_default();
            let times = (metadata.mtime(), metadata.mtime_nsec());
            found.insert(path, (metadata.ino(), times.0, times.1, content));
        }
    }
    found
}

pub(crate) fn what_counts_is_shown_with_its_origin_and_without_secrets() {
    let server = stopped();
    add(
        &server,
        "http: { secret: hush, adr: x }\nhealth: { storagedriver: { enabled: true } }\n",
    );
    let variables = &[("REGISTRY_LOG_LEVEL", "warn")];
    let setup = Setup {
        variables,
        ..Setup::default()
    };
    let output = check(server.root.path(), &[], setup);
    assert!(output.status.success(), "{output:?}");
    let text = out(&output);
    for said in [
        "  log.level = warn  [REGISTRY_LOG_LEVEL]\n",
        "  http.secret = (hidden)  [config.yml:",
        "  storage.filesystem.maxthreads = 100  [default]\n",
        "  storage.delete.enabled = true  [config.yml:4:13]\n",
        "did you mean `http.addr`?\n",
        "  durability: full\n",
        "  held by: nobody else\n",
        "  1 repositories, 1 manifests, 1 tags, 0 traces of crashes\n",
        "  this could be served\n",
    ] {
        assert!(text.contains(said), "{said:?} in {text}");
    }
    assert!(!text.contains("hush"), "{text}");
    assert_eq!(err(&output), "");
}

#[test]
fn the_traces_of_a_crash_are_told_and_nothing_is_written() {
    let server = stopped();
    let digits = "0".repeat(64);
    let revision = format!("repositories/app/_manifests/revisions/sha256/{digits}/link");
    let plant = |path: &str, content: &str| {
        let path = server.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    plant(&revision, &format!("sha256:{digits}"));
    plant(
        &format!("repositories/app/_layers/sha256/{digits}/link"),
        "",
    );
    plant("repositories/app/_manifests/tags/cut/current/link", "");
    plant(
        "repositories/app/_manifests/tags/far/current/link",
        &format!("sha256:{}", "1".repeat(64)),
    );
    plant("repositories/begun/_uploads/an-id/startedat", "");
    for n in 0..25 {
        plant(&format!("repositories/app/_uploads/{n:02}/data"), "");
    }
    let before = snapshot(server.root.path());
    let output = check(server.root.path(), &["--json"], Setup::default());
    let all = check(server.root.path(), &["--json", "--all"], Setup::default());
    let text = check(server.root.path(), &[], Setup::default());
    assert_eq!(snapshot(server.root.path()), before);
    assert!(
        output.status.success() && all.status.success(),
        "{output:?}"
    );

    let said = lines(&output);
    let of = |kind: &str| {
        let traces = said
            .iter()
            .filter(|line| line["seen"] == "trace" && line["kind"] == kind);
        let paths = traces.map(|line| line["path"].as_str().unwrap().to_owned());
        paths.collect::<Vec<_>>()
    };
    assert_eq!(
        of("missing-manifest"),
        [format!("docker/registry/v2/{revision}")]
    );
    for (kind, end) in [
        ("empty-link", &*format!("_layers/sha256/{digits}/link")),
        ("empty-tag", "tags/cut/current/link"),
        ("dangling-tag", "tags/far/current/link"),
    ] {
        assert!(
            of(kind).len() == 1 && of(kind)[0].ends_with(end),
            "{said:?}"
        );
    }
    assert_eq!(of("upload").len(), 20);
    let end = said.last().unwrap();
    assert_eq!(
        (&end["traces"], &end["servable"]),
        (&30.into(), &true.into())
    );
    let uploads = lines(&all);
    let uploads = uploads.iter().filter(|line| line["kind"] == "upload");
    assert_eq!(uploads.count(), 26);
    assert!(
        out(&text).contains("never ended: 6 more (--all)"),
        "{text:?}"
    );
}

/// Where the bytes of a blob lie.
fn data(server: &Server, digest: &str) -> PathBuf {
    let hex = digest.strip_prefix("sha256:").unwrap();
    server.at(&format!("blobs/sha256/{}/{hex}/data", &hex[..2]))
}

pub(crate) fn what_has_lost_its_bytes_is_told_absent_for_who_reads_and_brought_by_the_next_push() {
    let mut server = stopped();
    server.restart();
    let manifest = image(&server, "app", "emptied");
    let emptied = server.push_manifest("app", "v2", &manifest);
    let cut = server.push_manifest("app", "v3", &image(&server, "app", "cut"));
    let layer = sha256(b"emptied");
    let nothing = server.push_blob("app", b"");
    server.process.signal("TERM");
    assert!(server.process.end().success());
    for digest in [&layer, &emptied] {
        fs::write(data(&server, digest), "").unwrap();
    }
    let path = data(&server, &cut);
    let half = fs::read(&path).unwrap();
    fs::write(&path, &half[..half.len() / 2]).unwrap();

    let said = lines(&check(server.root.path(), &["--json"], Setup::default()));
    let traces = said.iter().filter(|line| line["seen"] == "trace");
    let mut kinds: Vec<_> = traces.map(|line| line["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    let expected = ["empty-blob", "unreadable-manifest", "unreadable-manifest"];
    assert_eq!(kinds, expected, "{said:?}");

    let output = command(&[])
        .args(["garbage-collect", "--now", "config.yml"])
        .env_clear()
        .current_dir(server.root.path())
        .output();
    assert!(output.unwrap().status.success());
    server.restart();
    let blob = format!("/v2/app/blobs/{layer}");
    server.get(&blob).expect(404, "BLOB_UNKNOWN");
    assert_eq!(server.head(&blob).status, 404);
    server
        .get("/v2/app/manifests/v2")
        .expect(404, "MANIFEST_UNKNOWN");
    assert_eq!(server.get("/v2/app/manifests/v3").status, 500);
    assert_eq!(server.get(&format!("/v2/app/blobs/{nothing}")).status, 200);
    server
        .put_manifest("app", "v2", &manifest)
        .expect(400, "MANIFEST_BLOB_UNKNOWN");
    server.push_blob("app", b"emptied");
    server.push_manifest("app", "v2", &manifest);
    assert_eq!(server.get(&blob).body, b"emptied");
    assert_eq!(server.get("/v2/app/manifests/v2").status, 200);
}

pub(crate) fn what_would_not_be_served_is_told_in_the_same_words() {
    let server = stopped();
    for more in [
        "auth: { silly: { realm: a, service: b } }\n",
        "version: 2\n",
        "log: [x]\n",
    ] {
        let config = fs::read_to_string(server.root.path().join("storage.yml")).unwrap();
        let whole = match more.starts_with("version") {
            true => config.replace("version: 0.1\n", more),
            false => config + more,
        };
        fs::write(server.root.path().join("config.yml"), whole).unwrap();
        let output = check(server.root.path(), &[], Setup::default());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let serve = command(&[])
            .args(["serve", "config.yml"])
            .env_clear()
            .current_dir(server.root.path())
            .output()
            .unwrap();
        assert_eq!(err(&output), err(&serve), "{more}");
        let said = lines(&check(server.root.path(), &["--json"], Setup::default()));
        let problem = said.iter().find(|line| line["seen"] == "problem").unwrap();
        let message = problem["message"].as_str().unwrap();
        assert_eq!(err(&serve), format!("registry: {message}\n"));
        assert_eq!(said.last().unwrap()["servable"], false);
    }
}

#[test]
fn a_root_that_is_not_there_is_looked_at_and_not_made() {
    let above = tempfile::tempdir().unwrap();
    let config = "version: 0.1\nstorage: { filesystem: { rootdirectory: a/b } }\n";
    fs::write(above.path().join("config.yml"), config).unwrap();
    let output = check(above.path(), &[], Setup::default());
    assert!(output.status.success(), "{output:?}");
    assert!(out(&output).contains("state: absent"), "{output:?}");
    let output = check(above.path(), &["--json"], READ_ONLY);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = lines(&output);
    let problem = said.iter().find(|line| line["seen"] == "problem").unwrap();
    assert!(
        problem["message"].as_str().unwrap().contains("a/b"),
        "{problem}"
    );
    assert!(!above.path().join("a").exists());
}

#[test]
fn a_question_about_rights_is_answered_with_the_rule() {
    let dir = tempfile::tempdir().unwrap();
    let config = "\
version: 0.1
storage: {inmemory: }
auth: {htpasswd: {realm: a, path: b}}
extensions:
  token: {keys: ./keys}
  access:
    rules:
      - {who: [anonymous], repositories: ['public/*'], actions: [pull]}
      - {who: ['user:alice'], repositories: ['team/*'], actions: [pull, create]}
      - {who: ['user:bob'], repositories: ['team/*'], actions: [pull, push, catalog]}
";
    fs::write(dir.path().join("config.yml"), config).unwrap();
    let ask = |flags: &[&str]| {
        let output = check(dir.path(), flags, Setup::default());
        (output.status.code(), out(&output) + &err(&output))
    };
    let first = "`extensions.access.rules.0` (config.yml:8:9)";
    let second = "`extensions.access.rules.1` (config.yml:9:9)";
    let table: [(&[&str], i32, String); 9] = [
        (
            &["--may", "pull", "public/a"],
            0,
            format!("anonymous may pull public/a, by {first}"),
        ),
        (
            &["--as", "alice", "--may", "pull", "public/a"],
            0,
            format!("alice may pull public/a, by {first}"),
        ),
        (
            &["--may", "push", "public/a"],
            1,
            "anonymous may not push public/a: no rule gives it".to_owned(),
        ),
        (
            &["--as", "alice", "--may", "create", "team/a"],
            0,
            format!("alice may create team/a, by {second}"),
        ),
        (
            &["--as", "alice", "--may", "push", "team/a"],
            1,
            format!(
                "alice may not push team/a: no rule gives it; {second} lets add tags, and move none (create)"
            ),
        ),
        (
            &["--as", "bob", "--may", "create", "team/a"],
            0,
            "bob may create team/a, by `extensions.access.rules.2` (config.yml:10:9)".to_owned(),
        ),
        (
            &["--as", "alice", "--may", "catalog", "x"],
            1,
            "alice may not list the catalog: no rule gives it".to_owned(),
        ),
        (
            &["--may", "read", "a"],
            1,
            "registry: --may: \"read\" is none of pull, create, push, delete, catalog".to_owned(),
        ),
        (
            &["--may", "pull", "A"],
            1,
            "registry: --may: \"A\" is no name of a repository: does not match the grammar"
                .to_owned(),
        ),
    ];
    for (flags, code, said) in table {
        assert_eq!(ask(flags), (Some(code), format!("{said}\n")), "{flags:?}");
    }
    let (_, json) = ask(&["--json", "--as", "bob", "--may", "pull", "team/a"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["allowed"], true);
    let (code, _) = ask(&["--as", "bob"]);
    assert_eq!(code, Some(1));

    // Nobody is anybody without a token, which is not ours to know.
    let by_others = config.replace("  token: {keys: ./keys}\n", "").replace(
        "{htpasswd: {realm: a, path: b}}",
        "{token: {realm: a, service: b, issuer: c, jwks: d}}",
    );
    fs::write(dir.path().join("config.yml"), by_others).unwrap();
    let (code, said) = ask(&["--may", "pull", "public/a"]);
    let first = "`extensions.access.rules.0` (config.yml:7:9)";
    let expected =
        format!("anonymous may pull public/a where a token of `auth.token` says so, by {first}\n");
    assert_eq!((code, said), (Some(0), expected));
}

/// Checks beside a server, which is no problem; what it says of what is in use, in the words of a
/// server that would not start.
fn in_use(server: &Server, setup: Setup) -> String {
    let before = snapshot(server.root.path());
    let output = check(server.root.path(), &[], setup);
    let json = check(server.root.path(), &["--json"], setup);
    assert_eq!(snapshot(server.root.path()), before);
    assert!(
        output.status.success() && json.status.success(),
        "{output:?}"
    );
    assert_eq!(err(&output), "");
    let text = out(&output);
    let verdict = "  this could be served, once what is in use has been stopped\n";
    assert!(text.ends_with(verdict), "{text}");
    assert!(
        text.contains("  1 repositories, 1 manifests, 1 tags, 0 traces"),
        "{text}"
    );
    let end = &lines(&json)[..];
    let end = end.last().unwrap();
    assert_eq!(
        (&end["servable"], &end["free"]),
        (&true.into(), &false.into())
    );
    let messages: Vec<_> = lines(&json)
        .iter()
        .filter(|line| line["seen"] == "inuse")
        .map(|line| line["message"].as_str().unwrap().to_owned())
        .collect();
    for message in &messages {
        assert!(text.contains(&format!("in use:\n  {message}\n")), "{text}");
    }
    let served = server.beside(setup).err().unwrap();
    let last = served.lines.last().unwrap();
    let root = format!("{}/", server.root.path().display());
    let said = last.strip_prefix("registry: ").unwrap();
    // It is given the path, and this the name.
    let said = said.replace(&format!("({root}config"), "(config");
    assert!(messages.contains(&said), "{said} in {messages:?}");
    messages.join("\n")
}

pub(crate) fn what_a_running_server_has_hides_nothing() {
    let mut server = stopped();
    server.restart();
    let pid = format!("process {}", server.process.id());
    assert!(in_use(&server, Setup::default()).contains(&pid));
    assert!(in_use(&server, READ_ONLY).contains(&pid));

    // One that only reads lets others in who only read.
    server.restart_with(READ_ONLY);
    let pid = format!("process {}", server.process.id());
    assert!(in_use(&server, Setup::default()).contains(&pid));
    let beside = check(server.root.path(), &[], READ_ONLY);
    assert!(beside.status.success(), "{beside:?}");
    assert!(
        out(&beside).contains(&format!("held by: {pid}")),
        "{beside:?}"
    );
    assert!(
        out(&beside).ends_with("  this could be served\n"),
        "{beside:?}"
    );

    let address = server.address.to_string();
    for name in ["REGISTRY_HTTP_ADDR", "REGISTRY_HTTP_DEBUG_ADDR"] {
        let variables = [READ_ONLY.variables[0], (name, &*address)];
        let setup = Setup {
            variables: &variables,
            ..READ_ONLY
        };
        let said = in_use(&server, setup);
        assert!(
            said.contains(&format!(" ({name}): listening on {address}: ")),
            "{said}"
        );
    }
}

#[test]
fn an_address_that_no_server_could_have_is_a_problem() {
    let server = stopped();
    fs::write(server.root.path().join("plain"), "").unwrap();
    let port = server.address.to_string();
    let table: [(&[(&str, &str)], &str); 5] = [
        (
            &[
                ("REGISTRY_HTTP_NET", "unix"),
                ("REGISTRY_HTTP_ADDR", "plain"),
            ],
            "plain exists and is not a socket",
        ),
        (
            &[
                ("REGISTRY_HTTP_NET", "unix"),
                ("REGISTRY_HTTP_ADDR", "no/where.sock"),
            ],
            "`http.addr` (REGISTRY_HTTP_ADDR): listening on no/where.sock",
        ),
        (
            &[("REGISTRY_HTTP_DEBUG_ADDR", "nonsense")],
            "`http.debug.addr` (REGISTRY_HTTP_DEBUG_ADDR): listening on nonsense",
        ),
        (
            &[("REGISTRY_HTTP_DEBUG_ADDR", "192.0.2.1:5001")],
            "listening on 192.0.2.1:5001",
        ),
        (
            &[
                ("REGISTRY_HTTP_ADDR", &*port),
                ("REGISTRY_HTTP_DEBUG_ADDR", &*port),
            ],
            "`http.addr` is the same",
        ),
    ];
    for (variables, said) in table {
        let setup = Setup {
            variables,
            ..Setup::default()
        };
        let output = check(server.root.path(), &[], setup);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(err(&output).contains(said), "{output:?}");
        assert!(
            out(&output).ends_with("  this could not be served\n"),
            "{output:?}"
        );
        assert!(server.beside(setup).is_err(), "{variables:?}");
    }
    assert!(server.root.path().join("plain").is_file());
}

#[test]
fn every_refusal_is_a_problem() {
    let server = stopped();
    let more = "http: { tls: { certificate: a, key: b } }\nproxy: { remoteurl: 'https://a' }\n\
                auht: { htpasswd: { realm: a } }\n";
    add(&server, more);
    let output = check(server.root.path(), &[], Setup::default());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let keys = ["`http.tls.certificate`", "`proxy.remoteurl`", "`auht`"];
    let said = err(&output);
    for key in keys {
        assert!(said.contains(key), "{key} in {said}");
        assert!(!out(&output).contains(key), "{output:?}");
    }
    assert!(!out(&output).contains("not honoured"), "{output:?}");
}
