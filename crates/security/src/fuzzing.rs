//! The parsers of outside bytes for fuzz/.

use crate::{
    der, jwks,
    jwt::Token,
    nobody::Nobody,
    sasl::{parse_bearer, parse_plain},
    scram::{ClientFinal, ClientFirst, Exchange, ScramHash},
};

/// Reads the bytes as every message a client may send while it logs in; returns whether any of them was understood.
///
/// # Panics
/// If an exchange succeeds with a credential that no password fits.
pub fn login(bytes: &[u8]) -> bool {
    let first = ClientFirst::parse(bytes);
    if let Ok(first) = &first {
        let nobody = Nobody::new(b"secret".to_vec()).credential(ScramHash::Sha256, &first.user, None);
        let (exchange, _reply) = Exchange::begin(first, nobody, "nonce");
        if let Some((_, rest)) = std::str::from_utf8(bytes).ok().and_then(|text| text.split_once('\n'))
            && let Ok(last) = ClientFinal::parse(rest.as_bytes())
        {
            assert!(exchange.finish(&last).is_none(), "nobody got in");
        }
    }
    first.is_ok() | ClientFinal::parse(bytes).is_ok() | parse_plain(bytes).is_ok() | parse_bearer(bytes).is_ok()
}

/// Reads the bytes as a certificate, as a list of keys and as a token.
pub fn documents(bytes: &[u8]) -> bool {
    let token = std::str::from_utf8(bytes).is_ok_and(|text| Token::parse(text).is_ok());
    token | der::subject(bytes).is_some() | jwks::parse(bytes).is_ok()
}
