//! Standard Webhooks: how a receiver knows that a request is ours, and not an old one.

use crate::config::SigningSecret;
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::hmac;

/// The value of `webhook-signature`: one signature for each secret, so that a receiver that knows only
/// the new one or only the old one finds its own.
pub(super) fn of(secrets: &[SigningSecret], id: &str, timestamp: &str, body: &str) -> String {
    let signatures = secrets.iter().map(|secret| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.bytes());
        let mut context = hmac::Context::with_key(&key);
        for part in [id, ".", timestamp, ".", body] {
            context.update(part.as_bytes());
        }
        format!("v1,{}", STANDARD.encode(context.sign()))
    });
    signatures.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SigningSecret {
        SigningSecret::parse(text).expect("a secret")
    }

    #[test]
    fn it_is_what_the_standard_publishes() {
        let signature = of(
            &[secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn two_secrets_sign_side_by_side() {
        let (new, old) = (
            secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            secret("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        );
        let both = of(&[new.clone(), old.clone()], "job_1", "1", "{}");
        let each = [of(&[new], "job_1", "1", "{}"), of(&[old], "job_1", "1", "{}")];
        assert_eq!(both, each.join(" "));
    }

    #[test]
    fn a_secret_that_is_too_short_or_too_long_or_no_base64_is_none() {
        for bytes in [0, 23, 65] {
            let text = format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
            SigningSecret::parse(&text).expect_err("of the wrong length");
        }
        for bytes in [24, 64] {
            secret(&format!("whsec_{}", STANDARD.encode(vec![7; bytes])));
        }
        for text in ["", "whsec_", "whsec_***", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            SigningSecret::parse(text).expect_err(text);
        }
        assert_eq!(
            format!("{:?}", secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")),
            "SigningSecret(…)"
        );
    }
}
