//! Signatures of tokens (JWS, RFC 7515; algorithms of RFC 7518 and RFC 8037) with keys as JSON (RFC 7517).
//!
//! Which algorithm a token may be signed with follows from the key, never from the token alone; symmetric keys and `none` do not
//! exist here. ring checks the signatures.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64_URL};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::Value;

/// A signature that can be checked without being able to make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    /// By the name in a token or key (`alg`).
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }
}

/// A token in its parts; nothing of it is believed yet.
pub(crate) struct Token<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<String>,
    signed: &'a str,
    claims: &'a str,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood; none is.
    crit: Option<Value>,
}

impl<'a> Token<'a> {
    pub(crate) fn parse(token: &'a str) -> Result<Self, &'static str> {
        let (signed, signature) = token.rsplit_once('.').ok_or("the token has no signature")?;
        let (header, claims) = signed.split_once('.').ok_or("the token has no claims")?;
        let header = BASE64_URL.decode(header).map_err(|_| "the token's header is not base64")?;
        let header: Header = serde_json::from_slice(&header).map_err(|_| "the token's header is malformed")?;
        if header.crit.is_some() {
            return Err("the token wants extensions to be understood");
        }
        Ok(Self {
            algorithm: Algorithm::parse(&header.alg).ok_or("tokens signed so are not taken")?,
            key_id: header.kid,
            signed,
            claims,
            signature: BASE64_URL.decode(signature).map_err(|_| "the token's signature is not base64")?,
        })
    }

    /// What the token says, if `key` signed it.
    pub(crate) fn claims(&self, key: &Key) -> Result<Value, &'static str> {
        if !key.checks(self.algorithm) || !key.verifies(self.algorithm, self.signed.as_bytes(), &self.signature) {
            return Err("the token's signature is not right");
        }
        let claims = BASE64_URL.decode(self.claims).map_err(|_| "the token's claims are not base64")?;
        serde_json::from_slice(&claims).map_err(|_| "the token's claims are malformed")
    }
}

/// A public key, and what it may be used for.
pub(crate) struct Key {
    pub(crate) id: Option<String>,
    /// The only algorithm it is for, if it says so.
    algorithm: Option<Algorithm>,
    material: Material,
}

enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// Uncompressed points.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Key {
    /// `None`: not a public key that signatures are checked with, or of a kind we do not know.
    pub(crate) fn parse(jwk: &Value) -> Option<Self> {
        let jwk = Jwk::deserialize(jwk).ok()?;
        if jwk.usage.is_some_and(|usage| usage != "sig") {
            return None;
        }
        let bytes = |text: &Option<String>| BASE64_URL.decode(text.as_ref()?).ok();
        let of_length = |text: &Option<String>, length: usize| bytes(text).filter(|bytes| bytes.len() == length);
        let point = |length| Some([vec![4], of_length(&jwk.x, length)?, of_length(&jwk.y, length)?].concat());
        let material = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => Material::Rsa { n: bytes(&jwk.n)?, e: bytes(&jwk.e)? },
            ("EC", Some("P-256")) => Material::P256(point(32)?),
            ("EC", Some("P-384")) => Material::P384(point(48)?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(of_length(&jwk.x, 32)?),
            _ => return None,
        };
        let algorithm = match &jwk.alg {
            Some(name) => Some(Algorithm::parse(name)?),
            None => None,
        };
        Some(Self { id: jwk.kid, algorithm, material })
    }

    /// Whether signatures of this kind may be made with it.
    pub(crate) fn checks(&self, algorithm: Algorithm) -> bool {
        use Algorithm::*;
        let fits = match self.material {
            Material::Rsa { .. } => matches!(algorithm, Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512),
            Material::P256(_) => algorithm == Es256,
            Material::P384(_) => algorithm == Es384,
            Material::Ed25519(_) => algorithm == EdDsa,
        };
        fits && self.algorithm.is_none_or(|only| only == algorithm)
    }

    fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let verified = match &self.material {
            Material::Rsa { n, e } => {
                let parameters = match algorithm {
                    Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
                    Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                    Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                    Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
                    Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
                    Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
                    Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => return false,
                };
                // ring wants numbers without leading zeros; some lists of keys have them.
                let trim = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
                RsaPublicKeyComponents { n: trim(n), e: trim(e) }.verify(parameters, message, signature)
            }
            Material::P256(point) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            Material::P384(point) => {
                UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point).verify(message, signature)
            }
            Material::Ed25519(key) => UnparsedPublicKey::new(&signature::ED25519, key).verify(message, signature),
        };
        verified.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ring::{
        rand::SystemRandom,
        signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
    };
    use serde_json::json;

    use super::*;

    /// RFC 7515, appendix A.2: a key, and a token it signed by RS256.
    const RSA_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    const RSA_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    /// RFC 8037, appendix A.4: a key, and what it signed by EdDSA.
    const ED_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    const ED_TOKEN: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

    fn key(jwk: Value) -> Key {
        Key::parse(&jwk).expect("a key")
    }

    #[test]
    fn signatures_of_the_rfcs_are_right_and_bent_ones_are_not() {
        let rsa = key(json!({"kty": "RSA", "n": RSA_N, "e": "AQAB"}));
        let token = Token::parse(RSA_TOKEN).expect("a token");
        assert_eq!(token.claims(&rsa).expect("signed")["iss"], "joe");
        let ed = key(json!({"kty": "OKP", "crv": "Ed25519", "x": ED_X}));
        let token = Token::parse(ED_TOKEN).expect("a token");
        assert!(ed.verifies(token.algorithm, token.signed.as_bytes(), &token.signature));
        assert!(!ed.verifies(token.algorithm, b"other", &token.signature));
        let bent = RSA_TOKEN.replacen("eyJpc3Mi", "eyJpc3Nj", 1);
        assert!(Token::parse(&bent).expect("a token").claims(&rsa).is_err());
    }

    #[test]
    fn the_key_says_how_a_token_may_be_signed() {
        let rsa = |alg: &str| key(json!({"kty": "RSA", "n": RSA_N, "e": "AQAB", "alg": alg, "use": "sig"}));
        let token = Token::parse(RSA_TOKEN).expect("a token");
        assert!(token.claims(&rsa("RS256")).is_ok());
        assert!(token.claims(&rsa("PS256")).is_err());
        let ed = key(json!({"kty": "OKP", "crv": "Ed25519", "x": ED_X}));
        assert!(token.claims(&ed).is_err());
        for none in [
            json!({"kty": "oct", "k": "c2VjcmV0"}),
            json!({"kty": "RSA", "n": RSA_N, "e": "AQAB", "use": "enc"}),
            json!({"kty": "RSA", "n": RSA_N, "e": "AQAB", "alg": "HS256"}),
            json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}),
            json!({"kty": "EC", "crv": "secp256k1", "x": ED_X, "y": ED_X}),
            json!("RSA"),
        ] {
            assert!(Key::parse(&none).is_none(), "{none}");
        }
        let with = |header: &str| Token::parse(&format!("{}.e30.AA", BASE64_URL.encode(header))).err();
        assert_eq!(with(r#"{"alg": "RS256", "kid": "a"}"#), None);
        for bad in [r#"{"alg": "none"}"#, r#"{"alg": "HS256"}"#, r#"{"alg": "RS256", "crit": ["exp"]}"#, r#"{}"#, "x"] {
            assert!(with(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn every_curve_checks_what_its_key_signs() {
        let random = SystemRandom::new();
        let signed = |header: &str, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
            let text = format!("{}.{}", BASE64_URL.encode(header), BASE64_URL.encode(r#"{"sub": "a"}"#));
            format!("{text}.{}", BASE64_URL.encode(sign(text.as_bytes())))
        };
        let algorithm = &ECDSA_P384_SHA384_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).expect("a key");
        let point = pair.public_key().as_ref();
        let (x, y) = (BASE64_URL.encode(&point[1..49]), BASE64_URL.encode(&point[49..]));
        let p384 = key(json!({"kty": "EC", "crv": "P-384", "x": x, "y": y}));
        let token = signed(r#"{"alg": "ES384"}"#, &|text| pair.sign(&random, text).expect("signs").as_ref().to_vec());
        assert_eq!(Token::parse(&token).expect("a token").claims(&p384).expect("signed")["sub"], "a");
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key");
        let ed = key(json!({"kty": "OKP", "crv": "Ed25519", "x": BASE64_URL.encode(pair.public_key().as_ref())}));
        let token = signed(r#"{"alg": "EdDSA"}"#, &|text| pair.sign(text).as_ref().to_vec());
        assert_eq!(Token::parse(&token).expect("a token").claims(&ed).expect("signed")["sub"], "a");
        assert!(Token::parse(&token).expect("a token").claims(&p384).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "\\PC{0,60}", part in "[A-Za-z0-9_.-]{0,60}") {
            let _ = (Token::parse(&text).is_ok(), Token::parse(&part).is_ok());
        }
    }
}
