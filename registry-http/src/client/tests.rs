//! Where a question goes, and what it says there.

use tokio::net::TcpListener;

use super::*;

fn request(uri: &Uri) -> Request<Empty<Bytes>> {
    Request::get(uri.clone()).body(Empty::new()).unwrap()
}

#[track_caller]
fn check(uri: &str, expected_address: &str, expected_host: &str, expected_path: &str) {
    let uri: Uri = uri.parse().unwrap();
    assert_eq!(address(&uri), expected_address);
    let request = relative(request(&uri)).unwrap();
    assert_eq!(request.headers()[header::HOST], expected_host);
    assert_eq!(request.uri(), expected_path);
    tls::name(bare_host(&uri)).unwrap();
}

#[test]
fn a_question_goes_where_the_url_says() {
    check("http://a.example", "a.example:80", "a.example", "/");
    check("https://a.example/", "a.example:443", "a.example", "/");
    check("https://a:8443/k?a=b#c", "a:8443", "a:8443", "/k?a=b");
    check("https://me:hush@a/k", "a:443", "a", "/k");
    check("https://127.0.0.1/", "127.0.0.1:443", "127.0.0.1", "/");
    check("https://[::1]:8443/", "[::1]:8443", "[::1]:8443", "/");
    check(
        "https://[2001:db8::1]",
        "[2001:db8::1]:443",
        "[2001:db8::1]",
        "/",
    );
}

#[test]
fn a_host_that_was_given_counts() {
    let uri = "https://a.example/".parse().unwrap();
    let mut request = request(&uri);
    let host = HeaderValue::from_static("b.example");
    request.headers_mut().insert(header::HOST, host);
    let request = relative(request).unwrap();
    let hosts: Vec<_> = request.headers().get_all(header::HOST).iter().collect();
    assert_eq!(hosts, ["b.example"]);
}

#[tokio::test]
async fn the_next_address_of_a_name_is_tried() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let open = listener.local_addr().unwrap();
    // Of no use as a place to go to.
    let closed = SocketAddr::from(([255, 255, 255, 255], open.port()));
    let patience = Duration::from_secs(60);
    let connected = connect_to_one(&[closed, open], patience).await.unwrap();
    assert_eq!(connected.peer_addr().unwrap(), open);
    connect_to_one(&[closed], patience).await.unwrap_err();
    connect_to_one(&[], patience).await.unwrap_err();
}
