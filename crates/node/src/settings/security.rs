//! `[kafka_security]` in `lakehead.toml`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use model::{Error, Result, error::codes::SETTINGS_INVALID};
use security::{
    BootstrapUser, ClientAuth, Jwks, OauthSettings, Principal, Protocol, SecuritySettings, TlsSettings, sasl::Mechanism,
};
use serde::Deserialize;

/// The password of `bootstrap_user`, if no file holds it.
const PASSWORD_VARIABLE: &str = "LAKEHEAD_BOOTSTRAP_PASSWORD";

/// The section, setting by setting. Paths are relative to the data directory.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecurityFile {
    protocol: Option<String>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    client_ca: Option<PathBuf>,
    client_auth: Option<String>,
    mechanisms: Option<Vec<String>>,
    jwks: Option<String>,
    issuer: Option<String>,
    audience: Vec<String>,
    reauthenticate_after_ms: Option<u64>,
    authorizer: bool,
    super_users: Vec<String>,
    allow_everyone_if_no_acl_found: bool,
    bootstrap_user: Option<String>,
    bootstrap_password_file: Option<PathBuf>,
    unsafe_open_to_everyone: bool,
}

impl SecurityFile {
    pub(super) fn read(self, data: &Path) -> Result<SecuritySettings> {
        let default = SecuritySettings::default();
        let protocol = match &self.protocol {
            Some(name) => Protocol::parse(name)
                .ok_or_else(|| wrong("protocol", name, "it is PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"))?,
            None => default.protocol,
        };
        let mechanisms = match &self.mechanisms {
            Some(names) => {
                let known = "they are PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER";
                let parse = |name: &String| Mechanism::parse(name).ok_or_else(|| wrong("mechanisms", name, known));
                names.iter().map(parse).collect::<Result<_>>()?
            }
            None => default.mechanisms,
        };
        let parse = |name: &String| {
            Principal::parse(name).ok_or_else(|| wrong("super_users", name, "a super user is `User:name`"))
        };
        let super_users = self.super_users.iter().map(parse).collect::<Result<_>>()?;
        Ok(SecuritySettings {
            protocol,
            tls: self.tls(data)?,
            mechanisms,
            oauth: self.oauth(data)?,
            reauthenticate_after: self.reauthenticate_after_ms.map(Duration::from_millis),
            authorizer: self.authorizer,
            super_users,
            allow_if_no_acl: self.allow_everyone_if_no_acl_found,
            bootstrap_user: self.first_user(data)?,
            unsafe_open_to_everyone: self.unsafe_open_to_everyone,
        })
    }

    fn tls(&self, data: &Path) -> Result<Option<TlsSettings>> {
        let (certificate, key) = match (&self.certificate, &self.key) {
            (None, None) => return Ok(None),
            (Some(certificate), Some(key)) => (data.join(certificate), data.join(key)),
            (Some(given), None) | (None, Some(given)) => {
                let given = given.display().to_string();
                return Err(wrong("certificate", &given, "a certificate and its key come together"));
            }
        };
        let client_auth = match &self.client_auth {
            Some(name) => ClientAuth::parse(name)
                .ok_or_else(|| wrong("client_auth", name, "it is none, requested or required"))?,
            None => ClientAuth::None,
        };
        let client_ca = self.client_ca.as_ref().map(|path| data.join(path));
        Ok(Some(TlsSettings { certificate, key, client_ca, client_auth }))
    }

    fn oauth(&self, data: &Path) -> Result<Option<OauthSettings>> {
        let Some(jwks) = &self.jwks else { return Ok(None) };
        let Some(issuer) = &self.issuer else {
            return Err(wrong("jwks", jwks, "whose tokens are taken is said by `issuer` and `audience`"));
        };
        let jwks = match Jwks::parse(jwks) {
            Jwks::File(path) => Jwks::File(data.join(path)),
            url @ Jwks::Url(_) => url,
        };
        let audience: Vec<&str> = self.audience.iter().map(String::as_str).collect();
        Ok(Some(OauthSettings::new(jwks, issuer, &audience)))
    }

    fn first_user(&self, data: &Path) -> Result<Option<BootstrapUser>> {
        let Some(name) = self.bootstrap_user.clone() else { return Ok(None) };
        let password = match &self.bootstrap_password_file {
            Some(file) => {
                let path = data.join(file);
                let text = std::fs::read_to_string(&path)
                    .map_err(|error| Error::io(format!("cannot read {}", path.display()), &error))?;
                text.trim_end_matches(['\r', '\n']).to_owned()
            }
            None => std::env::var(PASSWORD_VARIABLE).unwrap_or_default(),
        };
        if password.is_empty() {
            let why = format!("its password is in `bootstrap_password_file`, or in {PASSWORD_VARIABLE}");
            return Err(wrong("bootstrap_user", &name, &why));
        }
        Ok(Some(BootstrapUser { name, password }))
    }
}

fn wrong(setting: &str, value: &str, why: &str) -> Error {
    Error::new(SETTINGS_INVALID, format!("`{setting} = {value}` in [kafka_security] is not possible"))
        .detail(why.to_owned())
        .hint("docs/settings.md lists what is")
}
