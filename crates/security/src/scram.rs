//! SCRAM: a password proved without being shown (RFC 5802, RFC 7677; Kafka's use of it KIP-84).
//!
//! What is kept of a password is salted and hashed so that neither side can be played by who steals it. Nonces and salts come
//! from the system's generator, not from `world`: they must be unpredictable.

use std::num::NonZeroU32;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ring::{digest, hmac, pbkdf2, rand::SecureRandom};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

/// Iterations a credential may have (Kafka's `ScramMechanism`; beyond the maximum a login would be an attack on us).
pub const ITERATIONS: std::ops::RangeInclusive<u32> = 4096..=16384;
/// Longest message of an exchange; real ones have a few hundred bytes.
const MESSAGE_BYTES_MAX: usize = 8 << 10;
/// Longest name of a user.
pub const USER_BYTES_MAX: usize = 256;
/// Longest salt.
pub const SALT_BYTES_MAX: usize = 1024;

/// A hash function to build SCRAM on; Kafka's numbers (`org.apache.kafka.clients.admin.ScramMechanism`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ScramHash {
    #[serde(rename = "SCRAM-SHA-256")]
    Sha256 = 1,
    #[serde(rename = "SCRAM-SHA-512")]
    Sha512 = 2,
}

impl ScramHash {
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    pub fn from_wire(number: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|hash| *hash as i8 == number)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// Bytes of a hash, and so of every key.
    pub fn bytes(self) -> usize {
        self.digest().output_len()
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        }
    }

    pub(crate) fn hmac(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), message).as_ref().to_vec()
    }

    pub(crate) fn hash(self, message: &[u8]) -> Vec<u8> {
        digest::digest(self.digest(), message).as_ref().to_vec()
    }

    /// `Hi(password, salt, i)`: slow on purpose.
    pub fn salted(self, password: &str, salt: &[u8], iterations: u32) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        };
        let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
        let mut salted = vec![0; self.bytes()];
        pbkdf2::derive(algorithm, iterations, salt, password.as_bytes(), &mut salted);
        salted
    }
}

/// What is kept of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    pub hash: ScramHash,
    pub iterations: u32,
    pub salt: Vec<u8>,
    pub stored_key: Vec<u8>,
    pub server_key: Vec<u8>,
}

/// Neither salt nor keys are for logs.
impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} with {} iterations", self.hash.name(), self.iterations)
    }
}

impl Credential {
    pub fn from_password(hash: ScramHash, password: &str, salt: Vec<u8>, iterations: u32) -> Self {
        Self::from_salted(hash, &hash.salted(password, &salt, iterations), salt, iterations)
    }

    /// From what an admin's tool sends: it hashes the password itself (KIP-554).
    pub fn from_salted(hash: ScramHash, salted: &[u8], salt: Vec<u8>, iterations: u32) -> Self {
        let stored_key = hash.hash(&hash.hmac(salted, b"Client Key"));
        let server_key = hash.hmac(salted, b"Server Key");
        Self { hash, iterations, salt, stored_key, server_key }
    }

    /// Slow on purpose; not for threads that serve others.
    pub fn fits(&self, password: &str) -> bool {
        let salted = self.hash.salted(password, &self.salt, self.iterations);
        let stored_key = self.hash.hash(&self.hash.hmac(&salted, b"Client Key"));
        stored_key.ct_eq(&self.stored_key).into()
    }
}

/// Bytes nobody can foresee.
pub fn unpredictable(bytes: usize) -> Vec<u8> {
    let mut out = vec![0; bytes];
    ring::rand::SystemRandom::new().fill(&mut out).expect("the system has random bytes");
    out
}

/// A nonce for [`Exchange::begin`]: printable, without commas.
pub fn nonce() -> String {
    BASE64.encode(unpredictable(24))
}

/// The message is not what RFC 5802 says, or asks for what is not offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub(crate) &'static str);

/// The first message of a client.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientFirst<'a> {
    /// Channel binding and who to act as, as sent.
    gs2_header: &'a str,
    /// The message after that.
    bare: &'a str,
    pub user: String,
    nonce: &'a str,
}

impl<'a> ClientFirst<'a> {
    pub fn parse(message: &'a [u8]) -> Result<Self, Malformed> {
        let text = text(message)?;
        let (binding, rest) = text.split_once(',').ok_or(Malformed("there is no channel binding flag"))?;
        if binding != "n" && binding != "y" {
            return Err(Malformed("channel binding is not offered"));
        }
        let (authorization, bare) = rest.split_once(',').ok_or(Malformed("there is no authorization id"))?;
        let gs2_header = &text[..text.len() - bare.len()];
        let mut fields = bare.split(',');
        let user = fields.next().and_then(|field| field.strip_prefix("n=")).ok_or(Malformed("there is no name"))?;
        let user = unescape(user)?;
        if user.is_empty() || user.len() > USER_BYTES_MAX {
            return Err(Malformed("the name is empty or too long"));
        }
        match authorization {
            "" => {}
            _ => {
                let other = authorization.strip_prefix("a=").ok_or(Malformed("the authorization id is malformed"))?;
                if unescape(other)? != user {
                    return Err(Malformed("nobody may act as somebody else"));
                }
            }
        }
        let nonce = fields.next().and_then(|field| field.strip_prefix("r=")).ok_or(Malformed("there is no nonce"))?;
        if nonce.is_empty() || !nonce.bytes().all(|b| (0x21..=0x7e).contains(&b)) {
            return Err(Malformed("the nonce is empty or not printable"));
        }
        // `tokenauth` (KIP-48) would mean another kind of credential; unknown extensions are to be ignored.
        if fields.any(|field| field == "tokenauth=true") {
            return Err(Malformed("delegation tokens are not offered"));
        }
        Ok(Self { gs2_header, bare, user, nonce })
    }
}

/// The last message of a client.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientFinal<'a> {
    binding: Vec<u8>,
    nonce: &'a str,
    proof: Vec<u8>,
    without_proof: &'a str,
}

impl<'a> ClientFinal<'a> {
    pub fn parse(message: &'a [u8]) -> Result<Self, Malformed> {
        let text = text(message)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(Malformed("there is no proof"))?;
        let proof = BASE64.decode(proof).map_err(|_| Malformed("the proof is not base64"))?;
        let mut fields = without_proof.split(',');
        let binding =
            fields.next().and_then(|field| field.strip_prefix("c=")).ok_or(Malformed("no channel binding"))?;
        let binding = BASE64.decode(binding).map_err(|_| Malformed("the channel binding is not base64"))?;
        let nonce = fields.next().and_then(|field| field.strip_prefix("r=")).ok_or(Malformed("there is no nonce"))?;
        Ok(Self { binding, nonce, proof, without_proof })
    }
}

pub(crate) fn text(message: &[u8]) -> Result<&str, Malformed> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(Malformed("the message is too long"));
    }
    std::str::from_utf8(message).map_err(|_| Malformed("the message is not UTF-8"))
}

/// `=2C` is a comma and `=3D` an equals sign; nothing else follows one.
fn unescape(name: &str) -> Result<String, Malformed> {
    let mut parts = name.split('=');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (sign, rest) = match part.get(..2) {
            Some("2C") => (',', &part[2..]),
            Some("3D") => ('=', &part[2..]),
            _ => return Err(Malformed("an equals sign in a name is written =3D")),
        };
        out.push(sign);
        out.push_str(rest);
    }
    Ok(out)
}

/// An exchange whose first half is done.
pub struct Exchange {
    credential: Credential,
    gs2_header: String,
    nonce: String,
    /// Both first messages, which the proof covers.
    firsts: String,
}

impl Exchange {
    /// Answers a first message: the exchange and the server's first message.
    pub fn begin(first: &ClientFirst<'_>, credential: Credential, nonce: &str) -> (Self, String) {
        let nonce = format!("{}{nonce}", first.nonce);
        let reply = format!("r={nonce},s={},i={}", BASE64.encode(&credential.salt), credential.iterations);
        let firsts = format!("{},{reply}", first.bare);
        (Self { credential, gs2_header: first.gs2_header.to_owned(), nonce, firsts }, reply)
    }

    /// Checks the proof; the server's last message proves in turn that we know the credential.
    pub fn finish(self, last: &ClientFinal<'_>) -> Option<String> {
        let Credential { hash, stored_key, server_key, .. } = &self.credential;
        if last.binding != self.gs2_header.as_bytes() || last.nonce != self.nonce || last.proof.len() != hash.bytes() {
            return None;
        }
        let covered = format!("{},{}", self.firsts, last.without_proof);
        let signature = hash.hmac(stored_key, covered.as_bytes());
        let client_key: Vec<u8> = last.proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let is_proved: bool = hash.hash(&client_key).ct_eq(stored_key).into();
        is_proved.then(|| format!("v={}", BASE64.encode(hash.hmac(server_key, covered.as_bytes()))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{nobody::Nobody, scram_client::ScramClient};

    fn credential(hash: ScramHash, salt: &str, iterations: u32) -> Credential {
        Credential::from_password(hash, "pencil", BASE64.decode(salt).expect("base64"), iterations)
    }

    /// RFC 7677, section 3.
    #[test]
    fn the_exchange_of_rfc_7677_is_reproduced() {
        let first = ClientFirst::parse(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO").expect("a first message");
        assert_eq!(first.user, "user");
        let credential = credential(ScramHash::Sha256, "W22ZaJ0SNY7soEsUEjb6gQ==", 4096);
        let (exchange, reply) = Exchange::begin(&first, credential, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
        assert_eq!(reply, "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let last = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                     p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let last = ClientFinal::parse(last).expect("a last message");
        assert_eq!(exchange.finish(&last).as_deref(), Some("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
    }

    /// What a client answers, begun with the nonce `abc`.
    fn client_final(hash: ScramHash, user: &str, password: &str, reply: &str) -> String {
        let (client, _) = ScramClient::begin(hash, user, "abc");
        client.prove(password, reply.as_bytes()).expect("whole").1
    }

    #[test]
    fn only_the_right_password_opens_with_either_hash_and_never_for_nobody() {
        for hash in ScramHash::ALL {
            let (_, message) = ScramClient::begin(hash, "a,b=c", "abc");
            let first = ClientFirst::parse(message.as_bytes()).expect("a first message");
            assert_eq!(first.user, "a,b=c");
            let right = Credential::from_password(hash, "right", vec![7; 16], 4096);
            assert!(right.fits("right") && !right.fits("wrong"));
            let nobody = Nobody::new(b"secret".to_vec()).credential(hash, "a,b=c", None);
            for (credential, password, opens) in
                [(&right, "right", true), (&right, "wrong", false), (&nobody, "", false)]
            {
                let (exchange, reply) = Exchange::begin(&first, credential.clone(), "xyz");
                let last = client_final(hash, "a,b=c", password, &reply);
                let last = ClientFinal::parse(last.as_bytes()).expect("a last message");
                assert_eq!(exchange.finish(&last).is_some(), opens, "{hash:?} {password}");
            }
            // What a tool salts itself is the same credential.
            let salted = hash.salted("right", &[7; 16], 4096);
            assert_eq!(Credential::from_salted(hash, &salted, vec![7; 16], 4096), right);
        }
    }

    #[test]
    fn a_proof_for_another_nonce_or_binding_is_none() {
        let first = ClientFirst::parse(b"n,,n=u,r=abc").expect("a first message");
        let right = Credential::from_password(ScramHash::Sha256, "right", vec![7; 16], 4096);
        for (from, to) in [("r=abcxyz", "r=abcxyy"), ("c=biws", "c=eSws"), ("r=abcxyz", "r=abc")] {
            let (exchange, reply) = Exchange::begin(&first, right.clone(), "xyz");
            let last = client_final(ScramHash::Sha256, "u", "right", &reply).replace(from, to);
            assert_eq!(exchange.finish(&ClientFinal::parse(last.as_bytes()).expect("whole")), None);
        }
    }

    #[test]
    fn what_is_not_offered_is_refused() {
        for bad in [
            "p=tls-unique,,n=u,r=a",
            "n,a=other,n=u,r=a",
            "n,,n=u,r=a,tokenauth=true",
            "n,,n=,r=a",
            "n,,n=a=b,r=a",
            "n,,r=a",
        ] {
            assert!(ClientFirst::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(ClientFirst::parse(b"y,a=u,n=u,r=a,x=unknown").is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100), text in "[a-z=,23CDn r]{0,40}") {
            let _ = (ClientFirst::parse(&bytes), ClientFinal::parse(&bytes));
            let _ = (ClientFirst::parse(text.as_bytes()), ClientFinal::parse(text.as_bytes()));
        }
    }
}
