//! One login, whichever mechanism: tokens in, challenges out, at the end a principal (RFC 4422).
//!
//! Nothing said to a client tells a wrong name from a wrong password; what was wrong goes to the log and the audit.

use std::sync::Arc;

use crate::{
    Principal, Security,
    scram::{self, ClientFinal, ClientFirst, Exchange, ScramHash},
};

/// Longest PLAIN message: three names of at most this together.
const PLAIN_BYTES_MAX: usize = 4 << 10;
/// Longest token.
const TOKEN_BYTES_MAX: usize = 64 << 10;

/// A SASL mechanism (`sasl.mechanism`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mechanism {
    /// RFC 4616: the password in the clear. For use below TLS.
    Plain,
    ScramSha256,
    ScramSha512,
    /// RFC 7628: a token signed by somebody we trust.
    OauthBearer,
}

impl Mechanism {
    pub const ALL: [Self; 4] = [Self::Plain, Self::ScramSha256, Self::ScramSha512, Self::OauthBearer];

    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name() == name)
    }
}

/// Somebody is who they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    pub principal: Principal,
    /// When what proved it expires, in milliseconds since 1970.
    pub expires_ms: Option<i64>,
}

/// What a token led to.
#[derive(Debug)]
pub enum Step {
    /// The client shall answer this.
    Challenge(Vec<u8>),
    /// The last word to the client, and who it is.
    Done(Vec<u8>, Login),
}

/// Nobody got in.
#[derive(Debug)]
pub struct Refused {
    /// Who it claims to be, if it said so.
    pub claims: Option<String>,
    /// For the log and the audit, not for the client. Never a secret.
    pub why: String,
}

impl Refused {
    fn new(claims: Option<&str>, why: impl Into<String>) -> Self {
        Self { claims: claims.map(str::to_owned), why: why.into() }
    }
}

/// A login under way.
pub struct SaslExchange {
    mechanism: Mechanism,
    state: State,
}

enum State {
    First,
    /// SCRAM's proof is awaited.
    Proof(Box<Exchange>, String),
    /// A token was refused; the client has to say that it knows (RFC 7628, section 3.2.3).
    Acknowledge(Refused),
    Over,
}

impl SaslExchange {
    pub fn new(mechanism: Mechanism) -> Self {
        Self { mechanism, state: State::First }
    }

    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Takes the client's next token.
    pub async fn step(&mut self, security: &Arc<Security>, token: &[u8]) -> Result<Step, Refused> {
        match (std::mem::replace(&mut self.state, State::Over), self.mechanism) {
            (State::First, Mechanism::Plain) => plain(security, token).await,
            (State::First, Mechanism::ScramSha256) => self.scram_first(security, ScramHash::Sha256, token),
            (State::First, Mechanism::ScramSha512) => self.scram_first(security, ScramHash::Sha512, token),
            (State::First, Mechanism::OauthBearer) => self.oauth(security, token).await,
            (State::Proof(exchange, user), _) => scram_last(*exchange, &user, token),
            (State::Acknowledge(refused), _) => Err(refused),
            (State::Over, _) => Err(Refused::new(None, "a token came after the login was over")),
        }
    }

    fn scram_first(&mut self, security: &Security, hash: ScramHash, token: &[u8]) -> Result<Step, Refused> {
        let first = ClientFirst::parse(token).map_err(|error| Refused::new(None, error.to_string()))?;
        let credential = security.users.find_or_nobody(&first.user, hash);
        let (exchange, reply) = Exchange::begin(&first, (*credential).clone(), &scram::nonce());
        self.state = State::Proof(Box::new(exchange), first.user);
        Ok(Step::Challenge(reply.into_bytes()))
    }

    async fn oauth(&mut self, security: &Security, token: &[u8]) -> Result<Step, Refused> {
        let token = parse_bearer(token).map_err(|why| Refused::new(None, why))?;
        let Some(oauth) = &security.oauth else { return Err(Refused::new(None, "tokens are not taken here")) };
        match oauth.login(token.token).await {
            Ok(login) if token.user.is_some_and(|user| Principal::user(user) != login.principal) => {
                Err(Refused::new(token.user, "nobody may act as somebody else"))
            }
            Ok(login) => Ok(Step::Done(Vec::new(), login)),
            Err(why) => {
                self.state = State::Acknowledge(Refused::new(None, why));
                Ok(Step::Challenge(br#"{"status":"invalid_token"}"#.to_vec()))
            }
        }
    }
}

fn scram_last(exchange: Exchange, user: &str, token: &[u8]) -> Result<Step, Refused> {
    let last = ClientFinal::parse(token).map_err(|error| Refused::new(Some(user), error.to_string()))?;
    let verdict =
        exchange.finish(&last).ok_or_else(|| Refused::new(Some(user), "the name or the password is wrong"))?;
    Ok(Step::Done(verdict.into_bytes(), Login { principal: Principal::user(user), expires_ms: None }))
}

async fn plain(security: &Arc<Security>, token: &[u8]) -> Result<Step, Refused> {
    let Plain { acts_as, user, password } = parse_plain(token).map_err(|why| Refused::new(None, why))?;
    if !acts_as.is_empty() && acts_as != user {
        return Err(Refused::new(Some(user), "nobody may act as somebody else"));
    }
    match security.password_fits(user, password).await {
        true => Ok(Step::Done(Vec::new(), Login { principal: Principal::user(user), expires_ms: None })),
        false => Err(Refused::new(Some(user), "the name or the password is wrong")),
    }
}

/// A PLAIN message.
#[derive(PartialEq, Eq)]
pub struct Plain<'a> {
    pub acts_as: &'a str,
    pub user: &'a str,
    pub password: &'a str,
}

/// `[authzid] NUL authcid NUL passwd` (RFC 4616, section 2).
pub fn parse_plain(message: &[u8]) -> Result<Plain<'_>, &'static str> {
    if message.len() > PLAIN_BYTES_MAX {
        return Err("the message is too long");
    }
    let text = std::str::from_utf8(message).map_err(|_| "the message is not UTF-8")?;
    let mut parts = text.split('\0');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(acts_as), Some(user), Some(password), None) if !user.is_empty() && !password.is_empty() => {
            Ok(Plain { acts_as, user, password })
        }
        _ => Err("the message is not three texts, the last two not empty"),
    }
}

/// An OAUTHBEARER message.
#[derive(Debug, PartialEq, Eq)]
pub struct Bearer<'a> {
    /// Who the client wants to be.
    pub user: Option<&'a str>,
    pub token: &'a str,
}

/// `n,[a=name],^A key=value ^A … ^A` with `auth=Bearer token` among the pairs (RFC 7628, section 3.1).
pub fn parse_bearer(message: &[u8]) -> Result<Bearer<'_>, &'static str> {
    if message.len() > TOKEN_BYTES_MAX {
        return Err("the message is too long");
    }
    let text = std::str::from_utf8(message).map_err(|_| "the message is not UTF-8")?;
    let (header, pairs) = text.split_once('\x01').ok_or("the header does not end")?;
    let user =
        match header.strip_prefix("n,").and_then(|rest| rest.strip_suffix(',')).ok_or("the header is malformed")? {
            "" => None,
            user => Some(user.strip_prefix("a=").ok_or("the header is malformed")?),
        };
    let pairs = pairs.strip_suffix("\x01\x01").ok_or("the pairs do not end")?;
    let auth = pairs.split('\x01').find_map(|pair| pair.strip_prefix("auth=")).ok_or("there is no token")?;
    let (scheme, token) = auth.split_once(' ').ok_or("there is no token")?;
    let token = token.trim_matches(' ');
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || !token.bytes().all(is_token) {
        return Err("the token is malformed");
    }
    Ok(Bearer { user, token })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_messages_have_three_parts() {
        let plain = parse_plain(b"\0alice\0s3c=,ret").unwrap_or_else(|why| panic!("{why}"));
        assert_eq!((plain.acts_as, plain.user, plain.password), ("", "alice", "s3c=,ret"));
        for bad in
            [&b""[..], b"alice\0secret", b"\0\0secret", b"\0alice\0", b"\0alice\0a\0b", b"\0al\xff\0secret", &[0; 5000]]
        {
            assert!(parse_plain(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn bearer_messages_carry_a_token_among_pairs() {
        let read = |text: &str| parse_bearer(text.as_bytes()).map(|b| (b.user.map(str::to_owned), b.token.to_owned()));
        assert_eq!(read("n,,\x01auth=Bearer a.b-c_d\x01\x01"), Ok((None, "a.b-c_d".into())));
        let long = "n,a=alice,\x01host=h\x01auth=bearer  t==\x01traceId=1\x01\x01";
        assert_eq!(read(long), Ok((Some("alice".into()), "t==".into())));
        for bad in [
            "",
            "n,,\x01\x01",
            "n,,\x01auth=Basic t\x01\x01",
            "n,,\x01auth=Bearer \x01\x01",
            "n,,\x01auth=Bearer a b\x01\x01",
            "y,,\x01auth=Bearer t\x01\x01",
            "n,x,\x01auth=Bearer t\x01\x01",
            "n,,auth=Bearer t",
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100), text in "[n,a=\x01Beartuh \\.]{0,40}") {
            let _ = (parse_plain(&bytes).is_ok(), parse_bearer(&bytes), parse_bearer(text.as_bytes()));
        }
    }
}
