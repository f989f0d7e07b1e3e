//! Settings: how a door asks who somebody is, and what is done with the answer.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use model::{Error, Result, error::codes};

use crate::{Principal, sasl::Mechanism};

/// What is spoken below the door's own protocol (`security.protocol`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    #[default]
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

impl Protocol {
    pub fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    /// By Kafka's name, in either case.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Plaintext, Self::Ssl, Self::SaslPlaintext, Self::SaslSsl];
        all.into_iter().find(|protocol| protocol.name().eq_ignore_ascii_case(text))
    }

    pub fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    pub fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

/// Whether clients show a certificate (`ssl.client.auth`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    #[default]
    None,
    /// Those who have one; the others are anonymous.
    Requested,
    Required,
}

impl ClientAuth {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "none" => Some(Self::None),
            "requested" => Some(Self::Requested),
            "required" => Some(Self::Required),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Requested => "requested",
            Self::Required => "required",
        }
    }
}

/// PEM files of the door. They are read again when they change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// The door's certificate, then those that lead to the root.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Roots that certificates of clients lead to.
    pub client_ca: Option<PathBuf>,
    pub client_auth: ClientAuth,
}

/// Where the keys are that tokens are signed with (`sasl.oauthbearer.jwks.endpoint.url`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Jwks {
    File(PathBuf),
    /// `https://…`, or `http://…` on the loopback.
    Url(String),
}

impl Jwks {
    /// A URL if it begins as one, otherwise a path.
    pub fn parse(text: &str) -> Self {
        match text.contains("://") {
            true => Self::Url(text.to_owned()),
            false => Self::File(text.into()),
        }
    }
}

/// Which tokens are taken (KIP-768).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OauthSettings {
    pub jwks: Jwks,
    /// `sasl.oauthbearer.expected.issuer`
    pub issuer: String,
    /// `sasl.oauthbearer.expected.audience`: a token for any of them. Tokens for other services do not open this door.
    pub audience: Vec<String>,
    /// The claim that names the user (`sasl.oauthbearer.sub.claim.name`).
    pub principal_claim: String,
    /// How far clocks may be apart (`sasl.oauthbearer.clock.skew.seconds`).
    pub clock_skew: Duration,
    /// How often keys are fetched again (`sasl.oauthbearer.jwks.endpoint.refresh.ms`). A token with an unknown key asks for them earlier.
    pub refresh: Duration,
}

impl OauthSettings {
    pub fn new(jwks: Jwks, issuer: &str, audience: &[&str]) -> Self {
        Self {
            jwks,
            issuer: issuer.to_owned(),
            audience: audience.iter().map(|one| (*one).to_owned()).collect(),
            principal_claim: "sub".to_owned(),
            clock_skew: Duration::from_secs(30),
            refresh: Duration::from_secs(3600),
        }
    }
}

/// A user who is there from the first start on and may everything.
#[derive(Clone, PartialEq, Eq)]
pub struct BootstrapUser {
    pub name: String,
    pub password: String,
}

/// Passwords are not for logs.
impl std::fmt::Debug for BootstrapUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.name)
    }
}

/// How a door asks who somebody is, and what is done with the answer. The default asks nobody, and is for the loopback only.
#[derive(Clone, Debug)]
pub struct SecuritySettings {
    /// `security.protocol` of the listener.
    pub protocol: Protocol,
    /// Needed by the protocols with TLS.
    pub tls: Option<TlsSettings>,
    /// `sasl.enabled.mechanisms`
    pub mechanisms: Vec<Mechanism>,
    /// Needed by OAUTHBEARER.
    pub oauth: Option<OauthSettings>,
    /// Who has logged in shall do so again after this long (`connections.max.reauth.ms`). `None`: when a token expires.
    pub reauthenticate_after: Option<Duration>,
    /// Rules decide who may do what. Off: whoever comes in may everything.
    pub authorizer: bool,
    /// `super.users`
    pub super_users: BTreeSet<Principal>,
    /// `allow.everyone.if.no.acl.found`
    pub allow_if_no_acl: bool,
    /// Made at a start if there is no such user yet, and a super user as long as it is named here.
    pub bootstrap_user: Option<BootstrapUser>,
    /// Lets a door that asks nobody who they are listen beyond the loopback: everyone in reach may read, write and delete
    /// everything.
    pub unsafe_open_to_everyone: bool,
}

impl Default for SecuritySettings {
    fn default() -> Self {
        Self {
            protocol: Protocol::Plaintext,
            tls: None,
            mechanisms: vec![Mechanism::ScramSha512, Mechanism::ScramSha256],
            oauth: None,
            reauthenticate_after: None,
            authorizer: false,
            super_users: BTreeSet::new(),
            allow_if_no_acl: false,
            bootstrap_user: None,
            unsafe_open_to_everyone: false,
        }
    }
}

impl SecuritySettings {
    /// Whether nobody gets in without saying, and proving, who they are.
    pub fn authenticates(&self) -> bool {
        let by_certificate = self.tls.as_ref().is_some_and(|tls| tls.client_auth == ClientAuth::Required);
        self.protocol.has_sasl() || (self.protocol.has_tls() && by_certificate)
    }

    /// Whether clients get to see salts of users before they have proved anything: the first answer of SCRAM holds one.
    pub fn shows_salts(&self) -> bool {
        let scram = [Mechanism::ScramSha256, Mechanism::ScramSha512];
        self.protocol.has_sasl() && scram.iter().any(|mechanism| self.mechanisms.contains(mechanism))
    }

    pub fn check(&self, listen: std::net::SocketAddr) -> Result<()> {
        let wrong = |why: &'static str| {
            Err(Error::new(codes::SECURITY_SETTINGS_INVALID, "a setting of the door's security is wrong").detail(why))
        };
        if !listen.ip().to_canonical().is_loopback() && !self.authenticates() && !self.unsafe_open_to_everyone {
            let address = format!("the Kafka door would listen on {listen} without asking anybody who they are");
            return Err(Error::new(codes::LISTENER_UNPROTECTED, address)
                .detail(format!("its protocol is {}", self.protocol.name()))
                .hint("listen on 127.0.0.1, or take SASL_SSL, or SSL with client certificates required"));
        }
        if self.protocol.has_tls() && self.tls.is_none() {
            return wrong("TLS needs a certificate and a key");
        }
        if let Some(tls) = &self.tls
            && tls.client_auth != ClientAuth::None
            && tls.client_ca.is_none()
        {
            return wrong("certificates of clients cannot be checked without the roots they lead to");
        }
        if !self.protocol.has_sasl() {
            return Ok(());
        }
        if self.mechanisms.is_empty() {
            return wrong("SASL needs at least one mechanism");
        }
        if self.mechanisms.contains(&Mechanism::OauthBearer) {
            match &self.oauth {
                None => return wrong("OAUTHBEARER needs the keys that tokens are signed with"),
                Some(oauth) if oauth.issuer.is_empty() || oauth.audience.is_empty() => {
                    return wrong(
                        "OAUTHBEARER needs issuer and audience: tokens made for others must not open this door",
                    );
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_that_asks_nobody_stays_on_the_loopback_unless_told_by_a_name_that_says_so() {
        let check = |listen: &str, settings: &SecuritySettings| settings.check(listen.parse().expect("an address"));
        let open = SecuritySettings::default();
        for loopback in ["127.0.0.1:9092", "127.8.8.8:1", "[::1]:9092", "[::ffff:127.0.0.1]:1"] {
            check(loopback, &open).expect("harmless");
        }
        let tls = TlsSettings { client_ca: Some("ca".into()), ..TlsSettings::default() };
        let with = |protocol, client_auth| SecuritySettings {
            protocol,
            tls: Some(TlsSettings { client_auth, ..tls.clone() }),
            ..SecuritySettings::default()
        };
        for wide in ["0.0.0.0:9092", "[::]:9092", "10.1.2.3:9092"] {
            assert!(check(wide, &open).expect_err(wide).is(codes::LISTENER_UNPROTECTED));
            for client_auth in [ClientAuth::None, ClientAuth::Requested] {
                let error = check(wide, &with(Protocol::Ssl, client_auth)).expect_err(wide);
                assert!(error.is(codes::LISTENER_UNPROTECTED));
            }
            check(wide, &with(Protocol::Ssl, ClientAuth::Required)).expect("certificates say who they are");
            check(wide, &with(Protocol::SaslSsl, ClientAuth::None)).expect("SASL does");
            check(wide, &SecuritySettings { unsafe_open_to_everyone: true, ..open.clone() }).expect("as told");
        }
    }

    #[test]
    fn what_a_setting_needs_beside_it_is_asked_for() {
        let check = |settings: &SecuritySettings| settings.check("127.0.0.1:1".parse().expect("an address"));
        let sasl = SecuritySettings { protocol: Protocol::SaslPlaintext, ..SecuritySettings::default() };
        check(&sasl).expect("SCRAM needs nothing");
        let oauth = |issuer: &str, audience: &[&str]| SecuritySettings {
            mechanisms: vec![Mechanism::OauthBearer],
            oauth: Some(OauthSettings::new(Jwks::parse("keys.json"), issuer, audience)),
            ..sasl.clone()
        };
        check(&oauth("https://id.example", &["kafka"])).expect("whole");
        for bad in [
            SecuritySettings { protocol: Protocol::SaslSsl, ..sasl.clone() },
            SecuritySettings { mechanisms: vec![], ..sasl.clone() },
            SecuritySettings { mechanisms: vec![Mechanism::OauthBearer], ..sasl.clone() },
            oauth("", &["kafka"]),
            oauth("https://id.example", &[]),
            SecuritySettings {
                protocol: Protocol::Ssl,
                tls: Some(TlsSettings { client_auth: ClientAuth::Required, ..TlsSettings::default() }),
                ..sasl.clone()
            },
        ] {
            assert!(check(&bad).expect_err("refused").is(codes::SECURITY_SETTINGS_INVALID));
        }
    }
}
