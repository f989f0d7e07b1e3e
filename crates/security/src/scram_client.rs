//! The client's half of the SCRAM exchange (RFC 5802, section 3).

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use subtle::ConstantTimeEq;

use crate::scram::{Malformed, ScramHash, text};

/// Most iterations done for a server: beyond, it would only keep us busy.
const ITERATIONS_MAX: u32 = 1 << 20;

/// A login that has been begun.
pub struct ScramClient {
    hash: ScramHash,
    bare: String,
    nonce: String,
}

/// A login that waits for the server's last word.
pub struct Proved {
    signature: Vec<u8>,
}

impl ScramClient {
    /// Begins a login: the exchange and the client's first message. `nonce` is [`crate::scram::nonce`]'s.
    pub fn begin(hash: ScramHash, user: &str, nonce: &str) -> (Self, String) {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={user},r={nonce}");
        let first = format!("n,,{bare}");
        (Self { hash, bare, nonce: nonce.to_owned() }, first)
    }

    /// Answers the server's first message with the proof. Slow on purpose.
    pub fn prove(self, password: &str, reply: &[u8]) -> Result<(Proved, String), Malformed> {
        let reply = text(reply)?;
        let mut fields = reply.split(',');
        let mut field =
            |name, missing| fields.next().and_then(|field| field.strip_prefix(name)).ok_or(Malformed(missing));
        let nonce = field("r=", "there is no nonce")?;
        let salt = field("s=", "there is no salt")?;
        let iterations = field("i=", "the number of iterations is missing")?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(Malformed("the nonce is not an answer to ours"));
        }
        let salt = BASE64.decode(salt).map_err(|_| Malformed("the salt is not base64"))?;
        let iterations = iterations.parse().ok().filter(|iterations| (1..=ITERATIONS_MAX).contains(iterations));
        let iterations = iterations.ok_or(Malformed("the number of iterations is none or too large"))?;
        let salted = self.hash.salted(password, &salt, iterations);
        let without_proof = format!("c=biws,r={nonce}");
        let covered = format!("{},{reply},{without_proof}", self.bare);
        let client_key = self.hash.hmac(&salted, b"Client Key");
        let signature = self.hash.hmac(&self.hash.hash(&client_key), covered.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let server_key = self.hash.hmac(&salted, b"Server Key");
        let proved = Proved { signature: self.hash.hmac(&server_key, covered.as_bytes()) };
        Ok((proved, format!("{without_proof},p={}", BASE64.encode(proof))))
    }
}

impl Proved {
    /// Whether the server's last message shows that it knows the credential, too.
    pub fn is_server_known(&self, last: &[u8]) -> bool {
        let told = text(last).ok().and_then(|last| last.strip_prefix("v=")).and_then(|told| BASE64.decode(told).ok());
        told.is_some_and(|told| told.ct_eq(&self.signature).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677, section 3.
    #[test]
    fn the_exchange_of_rfc_7677_is_reproduced() {
        let (client, first) = ScramClient::begin(ScramHash::Sha256, "user", "rOprNGfwEbeRWgbNEkqO");
        assert_eq!(first, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let reply = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let (proved, last) = client.prove("pencil", reply).expect("whole");
        assert_eq!(
            last,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert!(proved.is_server_known(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        assert!(!proved.is_server_known(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="));
        assert!(!proved.is_server_known(b"e=invalid-proof"));
    }

    #[test]
    fn a_server_that_answers_somebody_else_or_asks_for_ages_is_refused() {
        for reply in [
            "r=xyz123,s=AAAA,i=4096",
            "r=abc,s=AAAA,i=4096",
            "r=abcd,s=AAAA,i=0",
            "r=abcd,s=AAAA,i=9999999",
            "r=abcd,s=?,i=1",
            "r=abcd",
            "",
        ] {
            let (client, _) = ScramClient::begin(ScramHash::Sha512, "u", "abc");
            assert!(client.prove("pw", reply.as_bytes()).is_err(), "{reply}");
        }
    }
}
