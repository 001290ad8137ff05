//! Keys at a URL: how often it is asked, and what becomes of its answers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use auth_token::{FetchKeys, Issuer, Jwks, TokenAuth};
use registry_core::BoxError;
use registry_core::access::{AuthError, Authenticator as _};
use tokio::sync::Semaphore;

use crate::given::{DAY, ambient, config, earlier, is_believed, issuer, later, show, token};

/// An issuer's address: counts who asks, and answers when it may.
#[derive(Debug)]
struct Address {
    asked: AtomicUsize,
    answer: Mutex<Result<Vec<u8>, &'static str>>,
    may: Semaphore,
}

impl Address {
    /// It answers at once.
    fn with(answer: String) -> Arc<Self> {
        Self::waiting(answer, Semaphore::MAX_PERMITS)
    }

    fn waiting(answer: String, permits: usize) -> Arc<Self> {
        Arc::new(Self {
            asked: AtomicUsize::new(0),
            answer: Mutex::new(Ok(answer.into_bytes())),
            may: Semaphore::new(permits),
        })
    }

    fn says(&self, answer: Result<String, &'static str>) {
        *self.answer.lock().unwrap() = answer.map(String::into_bytes);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn trusted(self: &Arc<Self>) -> TokenAuth {
        let mut config = config();
        config.jwks = Some(Jwks::Remote(Arc::clone(self) as Arc<dyn FetchKeys>));
        TokenAuth::open(config, ambient()).unwrap()
    }
}

#[async_trait]
impl FetchKeys for Address {
    async fn fetch(&self, limit: usize) -> Result<Vec<u8>, BoxError> {
        assert_eq!(limit, 1024 * 1024);
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.may.acquire().await?.forget();
        self.answer.lock().unwrap().clone().map_err(BoxError::from)
    }
}

async fn given() -> (tempfile::TempDir, Arc<Issuer>, Arc<Address>) {
    let folder = tempfile::tempdir().unwrap();
    let issuer = issuer(folder.path());
    let address = Address::with(issuer.jwks().await);
    (folder, issuer, address)
}

/// Lets the other tasks of this thread run until `done`.
async fn until(mut done: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if done() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never came to that");
}

#[tokio::test]
async fn the_address_is_asked_when_the_first_token_comes() {
    let (_folder, issuer, address) = given().await;
    let auth = address.trusted();
    assert_eq!(address.asked(), 0);
    for _ in 0..3 {
        assert!(is_believed(&auth, &token(&issuer).await).await);
    }
    assert_eq!(address.asked(), 1);
}

#[tokio::test]
async fn unknown_keys_have_it_asked_once_a_minute() {
    let (folder, issuer, address) = given().await;
    let auth = address.trusted();
    assert!(is_believed(&auth, &token(&issuer).await).await);
    // Each with a key of its own.
    for number in 0..20 {
        let other = crate::given::issuer(&folder.path().join(number.to_string()));
        assert!(!is_believed(&auth, &token(&other).await).await);
    }
    for number in 0..1000 {
        assert!(!is_believed(&auth, &naming(number)).await);
    }
    assert_eq!(address.asked(), 1);
    later(59);
    assert!(!is_believed(&auth, &naming(1)).await);
    assert_eq!(address.asked(), 1);
    later(1);
    assert!(!is_believed(&auth, &naming(2)).await);
    assert!(!is_believed(&auth, &naming(3)).await);
    assert_eq!(address.asked(), 2);
}

/// A token that names a key which nobody has.
fn naming(number: usize) -> String {
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let header = encode(&format!("{{\"alg\":\"ES256\",\"kid\":\"{number}\"}}"));
    format!("{header}.{}.AAAA", encode("{}"))
}

#[tokio::test]
async fn who_waits_for_the_same_keys_waits_for_one_answer() {
    let (_folder, issuer, _) = given().await;
    let address = Address::waiting(issuer.jwks().await, 0);
    let auth = address.trusted();
    let token = token(&issuer).await;
    let callers = (0..50).map(|_| is_believed(&auth, &token));
    let callers = futures(callers);
    let answering = async {
        // All of them wait by now.
        until(|| address.asked() == 1).await;
        address.may.add_permits(1);
    };
    let (believed, ()) = tokio::join!(callers, answering);
    assert_eq!(believed, 50);
    assert_eq!(address.asked(), 1);
}

/// Polls all of them in turn until they are done, and counts who said yes.
async fn futures(all: impl Iterator<Item = impl Future<Output = bool>>) -> usize {
    let mut waiting: Vec<_> = all.map(Box::pin).collect();
    let mut yes = 0;
    std::future::poll_fn(move |context| {
        waiting.retain_mut(|one| match one.as_mut().poll(context) {
            Poll::Ready(believed) => {
                yes += usize::from(believed);
                false
            }
            Poll::Pending => true,
        });
        match waiting.is_empty() {
            true => Poll::Ready(yes),
            false => Poll::Pending,
        }
    })
    .await
}

/// A client that goes away must not keep the keys from being fetched: it could do so each minute.
#[tokio::test]
async fn a_client_that_goes_away_takes_no_answer_with_it() {
    let (_folder, issuer, _) = given().await;
    let address = Address::waiting(issuer.jwks().await, 0);
    let auth = address.trusted();
    let token = token(&issuer).await;
    {
        let gone = is_believed(&auth, &token);
        tokio::pin!(gone);
        let polled = std::future::poll_fn(|context| Poll::Ready(gone.as_mut().poll(context))).await;
        assert!(polled.is_pending());
    }
    address.may.add_permits(1);
    assert!(is_believed(&auth, &token).await);
    assert_eq!(address.asked(), 1);
}

#[tokio::test]
async fn a_key_is_known_once_it_is_published_and_forgotten_after_ten_minutes() {
    let (folder, old, address) = given().await;
    let new = issuer(&folder.path().join("new"));
    let auth = address.trusted();
    assert!(is_believed(&auth, &token(&old).await).await);

    address.says(Ok(new.jwks().await));
    later(60);
    let after = token(&new).await;
    assert!(is_believed(&auth, &after).await);
    assert_eq!(address.asked(), 2);
    assert!(!is_believed(&auth, &token(&old).await).await);

    // Nobody brings an unknown key, and the one that is known is taken back.
    address.says(Ok(old.jwks().await));
    later(600);
    let after = token(&new).await;
    assert!(is_believed(&auth, &after).await, "nobody waits");
    for _ in 0..10_000 {
        if !is_believed(&auth, &after).await {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(!is_believed(&auth, &after).await);
    assert_eq!(address.asked(), 3);
}

#[tokio::test]
async fn an_answer_that_cannot_be_used_leaves_the_last_keys() {
    let (folder, issuer, address) = given().await;
    let other = crate::given::issuer(&folder.path().join("other"));
    // With a set in it that would do.
    let long = format!("{{\"x\":\"{}\",", "x".repeat(1024 * 1024));
    let long = other.jwks().await.replacen('{', &long, 1);
    let auth = address.trusted();
    assert!(is_believed(&auth, &token(&issuer).await).await);
    let shared = r#"{"keys":[{"kty":"oct","k":"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE"}]}"#;
    let answers = [
        Err("connection refused"),
        Ok("<html>".to_owned()),
        Ok("{\"keys\":[]}".to_owned()),
        Ok(shared.to_owned()),
        Ok(long),
    ];
    for (at, answer) in answers.into_iter().enumerate() {
        address.says(answer);
        later(60);
        assert!(!is_believed(&auth, &naming(at)).await);
        assert_eq!(address.asked(), at + 2);
        assert!(is_believed(&auth, &token(&issuer).await).await);
    }
}

/// 503, not 401: a client that is told to fetch another token would do so for ever.
#[tokio::test]
async fn without_any_answer_nothing_can_be_said_of_a_token() {
    let (_folder, issuer, address) = given().await;
    address.says(Err("connection refused"));
    let auth = address.trusted();
    for _ in 0..2 {
        let undecided = show(&auth, &token(&issuer).await).await.unwrap_err();
        assert!(matches!(undecided, AuthError::Unavailable(_)));
    }
    assert_eq!(address.asked(), 1);
    address.says(Ok(issuer.jwks().await));
    later(60);
    assert!(is_believed(&auth, &token(&issuer).await).await);
}

#[tokio::test]
async fn an_operator_has_it_asked_at_once() {
    let (folder, old, address) = given().await;
    let new = issuer(&folder.path().join("new"));
    let auth = address.trusted();
    assert!(is_believed(&auth, &token(&old).await).await);
    address.says(Ok(new.jwks().await));
    auth.reload().await;
    assert_eq!(address.asked(), 2);
    assert!(is_believed(&auth, &token(&new).await).await);
}

/// Has a minute go by, and what timers may be late.
async fn a_minute_passes() {
    tokio::time::advance(Duration::from_secs(61)).await;
}

#[tokio::test(start_paused = true)]
async fn the_address_is_asked_again_though_no_token_comes() {
    let (folder, old, address) = given().await;
    let new = issuer(&folder.path().join("new"));
    let auth = address.trusted();
    let before = token(&old).await;
    assert!(is_believed(&auth, &before).await);
    later(599);
    a_minute_passes().await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(address.asked(), 1, "they are not old");
    // While nobody comes, the key is taken back, and the address is away for a while.
    address.says(Err("connection refused"));
    later(1);
    a_minute_passes().await;
    until(|| address.asked() == 2).await;
    address.says(Ok(new.jwks().await));
    later(60);
    a_minute_passes().await;
    until(|| address.asked() == 3).await;
    assert!(
        !is_believed(&auth, &before).await,
        "who comes first does not get in"
    );
    assert!(is_believed(&auth, &token(&new).await).await);
    assert_eq!(address.asked(), 3);
}

#[tokio::test]
async fn nobody_asks_for_the_keys_of_who_is_gone() {
    let (_folder, issuer, address) = given().await;
    let auth = address.trusted();
    assert!(is_believed(&auth, &token(&issuer).await).await);
    drop(auth);
    until(|| Arc::strong_count(&address) == 1).await;
}

/// 503 here, too: the token may be as good as ever.
#[tokio::test]
async fn keys_that_were_not_confirmed_for_an_hour_are_believed_no_more() {
    let (_folder, issuer, address) = given().await;
    let auth = address.trusted();
    assert!(is_believed(&auth, &token(&issuer).await).await);
    address.says(Err("connection refused"));
    for minutes in [20, 39] {
        later(minutes * 60);
        assert!(is_believed(&auth, &token(&issuer).await).await);
    }
    later(59);
    let shown = token(&issuer).await;
    assert!(is_believed(&auth, &shown).await);
    later(1);
    for token in [&shown, &token(&issuer).await] {
        let undecided = show(&auth, token).await.unwrap_err();
        assert!(matches!(undecided, AuthError::Unavailable(_)));
    }
    assert!(
        !is_believed(&auth, "junk").await,
        "that can be told without keys"
    );
    // Once a minute and no more, also now.
    let asked = address.asked();
    later(60);
    for _ in 0..10 {
        assert!(show(&auth, &shown).await.is_err());
    }
    assert_eq!(address.asked(), asked + 1);
    address.says(Ok(issuer.jwks().await));
    later(60);
    assert!(is_believed(&auth, &token(&issuer).await).await);
}

#[tokio::test]
async fn a_clock_that_was_set_back_neither_ends_the_hour_nor_makes_a_day_of_it() {
    let (_folder, issuer, address) = given().await;
    let auth = address.trusted();
    assert!(is_believed(&auth, &token(&issuer).await).await);
    address.says(Err("connection refused"));
    earlier(DAY);
    assert!(is_believed(&auth, &token(&issuer).await).await);
    until(|| address.asked() == 2).await;
    later(3600);
    let undecided = show(&auth, &token(&issuer).await).await.unwrap_err();
    assert!(matches!(undecided, AuthError::Unavailable(_)));
}
