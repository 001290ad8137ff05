//! Whatever anyone may send.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::testing::encoded;

proptest! {
    #[test]
    fn whatever_is_sent_is_refused(
        text in ".{0,300}",
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let registry = Registry::trusting(Signer::Shared(vec![9; 32]));
        let part = encoded(&bytes);
        let thrice = format!("{part}.{part}.{part}");
        // By a key that is trusted, and yet not what it should be.
        let header = json!({"alg": "HS256", "kid": "trusted", "x5c": [STANDARD.encode(&bytes)]});
        let signed = registry.signer.token_of(&header.to_string(), &text);
        let odd = json!({"alg": text, "kid": text, "typ": text});
        let odd = registry.signer.token(&odd, &testing::claims());
        for token in [text, thrice, signed, odd] {
            prop_assert!(registry.verify(&token).is_err(), "{}", token);
        }
    }
}
