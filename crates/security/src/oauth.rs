//! Tokens signed by somebody we trust (JWT, RFC 7519; in Kafka KIP-255 and KIP-768).

use std::sync::Arc;

use model::Result;
use serde_json::Value;
use world::World;

use crate::{OauthSettings, Principal, jwks::Keys, jwt::Token, sasl::Login};

/// Longest name of a user.
const NAME_BYTES_MAX: usize = 256;

pub(crate) struct Oauth {
    settings: OauthSettings,
    keys: Arc<Keys>,
    world: World,
}

impl Oauth {
    pub(crate) async fn open(settings: OauthSettings, world: World) -> Result<Self> {
        let keys = Arc::new(Keys::load(settings.jwks.clone(), settings.refresh, world.clone()).await?);
        Ok(Self { settings, keys, world })
    }

    pub(crate) fn keys(&self) -> Arc<Keys> {
        self.keys.clone()
    }

    /// Who a token is for; `Err`: why it is not taken.
    pub(crate) async fn login(&self, token: &str) -> Result<Login, String> {
        let token = Token::parse(token)?;
        let found = self.keys.find(token.key_id.as_deref(), token.algorithm).await;
        let (keys, at) = found.ok_or("the token is signed with a key we do not know")?;
        let claims = token.claims(&keys[at])?;
        check(&self.settings, &claims, self.world.clock.now_ms()).map_err(str::to_owned)
    }
}

/// What a signed token must say. A claim of another type than it should have counts as wrong, never as absent.
fn check(settings: &OauthSettings, claims: &Value, now_ms: i64) -> Result<Login, &'static str> {
    let skew_ms = i64::try_from(settings.clock_skew.as_millis()).unwrap_or(i64::MAX);
    let time_ms = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(at) => match at.as_f64() {
            Some(seconds) if (0.0..1e12).contains(&seconds) => Ok(Some((seconds * 1000.0) as i64)),
            _ => Err("a time in the token is not a number of seconds"),
        },
    };
    let expires_ms = time_ms("exp")?.ok_or("the token does not say when it expires")?;
    if now_ms >= expires_ms.saturating_add(skew_ms) {
        return Err("the token is expired");
    }
    for name in ["nbf", "iat"] {
        if time_ms(name)?.is_some_and(|from| now_ms.saturating_add(skew_ms) < from) {
            return Err("the token is not valid yet");
        }
    }
    if claims.get("iss").and_then(Value::as_str) != Some(&settings.issuer) {
        return Err("the token is from another issuer");
    }
    let is_ours = |one: &Value| one.as_str().is_some_and(|one| settings.audience.iter().any(|ours| ours == one));
    let for_us = match claims.get("aud") {
        Some(Value::Array(all)) => all.iter().any(is_ours),
        Some(one) => is_ours(one),
        None => false,
    };
    if !for_us {
        return Err("the token is for another audience");
    }
    let name = claims.get(&settings.principal_claim).and_then(Value::as_str).unwrap_or_default();
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err("the token names nobody");
    }
    Ok(Login { principal: Principal::user(name), expires_ms: Some(expires_ms) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Jwks;

    #[test]
    fn a_token_is_taken_for_us_from_them_in_its_time_and_for_somebody() {
        let settings = OauthSettings::new(Jwks::parse("keys.json"), "https://id.example", &["kafka", "other"]);
        let good = json!({"iss": "https://id.example", "aud": "kafka", "sub": "alice", "exp": 2000, "iat": 1000});
        let at = |claims: &Value, seconds: i64| check(&settings, claims, seconds * 1000);
        let login = Login { principal: Principal::user("alice"), expires_ms: Some(2_000_000) };
        assert_eq!(at(&good, 1500), Ok(login.clone()));
        assert_eq!(at(&good, 2029), Ok(login), "clocks may be half a minute apart");
        assert!(at(&good, 2030).is_err() && at(&good, 969).is_err());
        let with = |name: &str, value: Value| {
            let mut claims = good.clone();
            claims[name] = value;
            at(&claims, 1500)
        };
        assert!(with("aud", json!(["x", "other"])).is_ok());
        for (name, value) in [
            ("aud", json!("x")),
            ("aud", json!([])),
            ("aud", json!(null)),
            ("iss", json!("https://id.example/")),
            ("iss", json!(["https://id.example"])),
            ("exp", json!("2000")),
            ("exp", json!(-1)),
            ("exp", json!(null)),
            ("nbf", json!("0")),
            ("nbf", json!(1600)),
            ("sub", json!("")),
            ("sub", json!(7)),
        ] {
            assert!(with(name, value.clone()).is_err(), "{name}: {value}");
        }
    }
}
