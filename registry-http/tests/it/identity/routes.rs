//! Every route, and what its methods need.

pub(super) const METHODS: [&str; 7] = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"];

/// What a request cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Nothing,
    /// To be let in at all.
    Entry,
    /// To be someone.
    Name,
    /// To be nobody, where that is allowed, or someone with the right password.
    Password,
    Catalog,
    Pull,
    /// To pull and to add.
    Add,
    /// To pull and to push, since a tag is moved.
    Move,
    Delete,
    /// To pull and to add; it is 201 for who may pull from the other repository, too, or else 202.
    Mount(&'static str),
}

/// A path with its operations: methods, what they need, and what they answer to who has it.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) name: &'static str,
    pub(super) path: &'static str,
    pub(super) operations: &'static [(&'static [&'static str], Need, u16)],
    pub(super) body: Body,
}

/// What is sent by the methods that send something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Nothing,
    Blob,
    First,
    Second,
}

const READ: &[&str] = &["GET", "HEAD"];

const fn route(
    name: &'static str,
    path: &'static str,
    body: Body,
    operations: &'static [(&'static [&'static str], Need, u16)],
) -> Route {
    Route {
        name,
        path,
        operations,
        body,
    }
}

pub(super) static ROUTES: [Route; 19] = [
    route("/", "/", Body::Nothing, &[(&METHODS, Need::Nothing, 200)]),
    route(
        "/v2/",
        "/v2/",
        Body::Nothing,
        &[(&METHODS, Need::Name, 200)],
    ),
    route(
        "_catalog",
        "/v2/_catalog",
        Body::Nothing,
        &[(READ, Need::Catalog, 200)],
    ),
    route(
        "/auth/token",
        "/auth/token?service=here",
        Body::Nothing,
        // Without a form there is nothing to be had by POST.
        &[(READ, Need::Password, 200), (&["POST"], Need::Nothing, 400)],
    ),
    route(
        "/auth/token/keys",
        "/auth/token/keys",
        Body::Nothing,
        &[(READ, Need::Nothing, 200)],
    ),
    route(
        "tags/list",
        "/v2/{repo}/tags/list",
        Body::Nothing,
        &[(READ, Need::Pull, 200)],
    ),
    route(
        "referrers",
        "/v2/{repo}/referrers/{first}",
        Body::Nothing,
        &[(READ, Need::Pull, 200)],
    ),
    route(
        "blobs/DIGEST",
        "/v2/{repo}/blobs/{layer}",
        Body::Nothing,
        &[(READ, Need::Pull, 200), (&["DELETE"], Need::Delete, 202)],
    ),
    route(
        "blobs/DIGEST, absent",
        "/v2/{repo}/blobs/{blob}",
        Body::Nothing,
        &[(READ, Need::Pull, 404), (&["DELETE"], Need::Delete, 404)],
    ),
    route(
        "uploads/",
        "/v2/{repo}/blobs/uploads/",
        Body::Nothing,
        &[(&["POST"], Need::Add, 202)],
    ),
    route(
        "uploads/?digest=",
        "/v2/{repo}/blobs/uploads/?digest={blob}",
        Body::Blob,
        &[(&["POST"], Need::Add, 201)],
    ),
    route(
        "uploads/?mount=&from=team/lib",
        "/v2/{repo}/blobs/uploads/?mount={team}&from=team/lib",
        Body::Nothing,
        &[(&["POST"], Need::Mount("team/lib"), 201)],
    ),
    route(
        "uploads/?mount=&from=alice/lib",
        "/v2/{repo}/blobs/uploads/?mount={alice}&from=alice/lib",
        Body::Nothing,
        &[(&["POST"], Need::Mount("alice/lib"), 201)],
    ),
    route(
        "uploads/ID, one's own",
        "{upload}&digest={blob}&{repo}",
        Body::Blob,
        &[
            (READ, Need::Pull, 204),
            (&["PATCH"], Need::Add, 202),
            (&["PUT"], Need::Add, 201),
            (&["DELETE"], Need::Add, 204),
        ],
    ),
    route(
        "uploads/ID, another's",
        "{others}&digest={blob}&{repo}",
        Body::Blob,
        &[
            (READ, Need::Pull, 204),
            (&["PATCH"], Need::Add, 202),
            (&["PUT"], Need::Add, 201),
            (&["DELETE"], Need::Add, 204),
        ],
    ),
    route(
        "manifests/TAG",
        "/v2/{repo}/manifests/t",
        Body::Second,
        &[
            (READ, Need::Pull, 200),
            (&["PUT"], Need::Move, 201),
            (&["DELETE"], Need::Delete, 202),
        ],
    ),
    route(
        "manifests/TAG, absent",
        "/v2/{repo}/manifests/new",
        Body::First,
        &[
            (READ, Need::Pull, 404),
            (&["PUT"], Need::Add, 201),
            (&["DELETE"], Need::Delete, 404),
        ],
    ),
    route(
        "manifests/DIGEST",
        "/v2/{repo}/manifests/{first}",
        Body::First,
        &[
            (READ, Need::Pull, 200),
            (&["PUT"], Need::Add, 201),
            (&["DELETE"], Need::Delete, 202),
        ],
    ),
    route(
        "manifests/DIGEST?tag=, absent",
        "/v2/{repo}/manifests/{second}?tag=t",
        Body::Second,
        &[
            (READ, Need::Pull, 404),
            (&["PUT"], Need::Move, 201),
            (&["DELETE"], Need::Delete, 404),
        ],
    ),
];

impl Route {
    /// What this method needs, and what it answers then.
    pub(super) fn operation(&self, method: &str) -> Option<(Need, u16)> {
        let known = self.operations.iter();
        let mut known = known.filter(|(methods, ..)| methods.contains(&method));
        match known.next() {
            Some((_, need, status)) => Some((*need, *status)),
            None if method == "OPTIONS" => Some((Need::Entry, 200)),
            None => None,
        }
    }
}
