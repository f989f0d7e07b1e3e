//! How to come in at a Kafka door that asks who somebody is: a file of the settings that Kafka's own clients take.
//!
//! The file is what `--command-config` of Kafka's tools or librdkafka's `-F` reads, so that one file serves all of them;
//! names of both are understood, settings that have nothing to do with security are passed over.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Result;
use model::{Error, error::codes};
use security::{scram::ScramHash, tls};
use tokio_rustls::rustls::ClientConfig;

/// Who we are and how it is proved.
#[derive(Clone)]
pub enum Mechanism {
    Plain,
    Scram(ScramHash),
    OauthBearer,
}

impl Mechanism {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram(hash) => hash.name(),
            Self::OauthBearer => "OAUTHBEARER",
        }
    }
}

/// What is said after the connection is there.
#[derive(Clone)]
pub struct Login {
    pub mechanism: Mechanism,
    pub user: String,
    /// Of OAUTHBEARER: the token.
    pub password: String,
}

/// What a door is reached with.
#[derive(Clone, Default)]
pub struct DoorSecurity {
    pub tls: Option<Arc<ClientConfig>>,
    pub login: Option<Login>,
}

impl DoorSecurity {
    /// From a file of settings.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = read_file(path)?;
        Settings::parse(path, &String::from_utf8_lossy(&bytes)).and_then(|settings| settings.security())
    }
}

/// The settings of a file, the last of each name.
struct Settings<'a> {
    path: &'a Path,
    values: BTreeMap<String, String>,
}

impl<'a> Settings<'a> {
    /// `name=value` a line; `#` and `!` begin comments, a backslash at the end goes on in the next line.
    fn parse(path: &'a Path, text: &str) -> Result<Self> {
        let mut values = BTreeMap::new();
        for line in text.replace("\\\r\n", "").replace("\\\n", "").lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let (name, value) = line
                .split_once('=')
                .ok_or_else(|| wrong(path, format!("`{}` is not `name=value`", line.escape_debug())))?;
            values.insert(name.trim().to_owned(), value.trim().to_owned());
        }
        Ok(Self { path, values })
    }

    /// The first of these names that is set.
    fn get(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.values.get(*name)).map(String::as_str)
    }

    fn security(&self) -> Result<DoorSecurity> {
        let protocol = self.get(&["security.protocol"]).unwrap_or("PLAINTEXT").to_ascii_uppercase();
        let (has_tls, has_login) = match protocol.as_str() {
            "PLAINTEXT" => (false, false),
            "SSL" => (true, false),
            "SASL_PLAINTEXT" => (false, true),
            "SASL_SSL" => (true, true),
            other => return Err(self.wrong(format!("there is no security.protocol `{other}`"))),
        };
        Ok(DoorSecurity {
            tls: has_tls.then(|| self.tls()).transpose()?,
            login: has_login.then(|| self.login()).transpose()?,
        })
    }

    fn tls(&self) -> Result<Arc<ClientConfig>> {
        for (kind, of) in
            [("ssl.truststore.type", "ssl.truststore.location"), ("ssl.keystore.type", "ssl.keystore.location")]
        {
            if self.get(&[of]).is_some() && self.get(&[kind]).is_none_or(|kind| !kind.eq_ignore_ascii_case("PEM")) {
                return Err(self.wrong(format!("`{of}` is understood with `{kind}=PEM` only")));
            }
        }
        let file = |names: &[&str]| -> Result<Option<(PathBuf, Vec<u8>)>> {
            let Some(named) = self.get(names) else { return Ok(None) };
            // Beside the file that names it.
            let path = self.path.parent().unwrap_or(Path::new("")).join(named);
            let bytes = read_file(&path)?;
            Ok(Some((path, bytes)))
        };
        let roots = file(&["ssl.ca.location", "ssl.truststore.location"])?;
        let certificate = file(&["ssl.certificate.location", "ssl.keystore.location"])?;
        let key = file(&["ssl.key.location", "ssl.keystore.location"])?;
        let identity = match (&certificate, &key) {
            (Some((path, certificate)), Some((_, key))) => {
                Some((path.as_path(), certificate.as_slice(), key.as_slice()))
            }
            (None, None) => None,
            _ => return Err(self.wrong("a certificate needs its key, and a key its certificate".to_owned())),
        };
        let roots = roots.as_ref().map(|(path, pem)| (path.as_path(), pem.as_slice()));
        Ok(tls::client_config(roots, identity)?)
    }

    fn login(&self) -> Result<Login> {
        let mechanism = self.get(&["sasl.mechanism", "sasl.mechanisms"]).unwrap_or("PLAIN");
        let mechanism = match mechanism.to_ascii_uppercase().as_str() {
            "PLAIN" => Mechanism::Plain,
            "OAUTHBEARER" => Mechanism::OauthBearer,
            other => match ScramHash::ALL.into_iter().find(|hash| hash.name() == other) {
                Some(hash) => Mechanism::Scram(hash),
                None => return Err(self.wrong(format!("there is no mechanism `{other}` here"))),
            },
        };
        let jaas = self.get(&["sasl.jaas.config"]).unwrap_or_default();
        let given = |name: &str, option: &str| {
            let value = self.get(&[name]).map(str::to_owned).or_else(|| jaas_option(jaas, option));
            value.ok_or_else(|| self.wrong(format!("neither `{name}` nor `{option}` in `sasl.jaas.config` is there")))
        };
        Ok(match mechanism {
            Mechanism::OauthBearer => {
                Login { mechanism, user: String::new(), password: given("sasl.oauthbearer.token", "token")? }
            }
            mechanism => Login {
                mechanism,
                user: given("sasl.username", "username")?,
                password: given("sasl.password", "password")?,
            },
        })
    }

    fn wrong(&self, why: String) -> anyhow::Error {
        wrong(self.path, why)
    }
}

fn wrong(path: &Path, why: String) -> anyhow::Error {
    Error::new(codes::INPUT_INVALID, format!("`{}` cannot be used as settings of a Kafka client", path.display()))
        .detail(why)
        .hint("docs/cli.md says which settings are read")
        .into()
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    Ok(fs::read(path).map_err(|error| Error::io(format!("cannot read {}", path.display()), &error))?)
}

/// An option of a JAAS entry: `… required username="ann" password="secret";`.
fn jaas_option(jaas: &str, name: &str) -> Option<String> {
    let mut rest = jaas;
    while let Some(at) = rest.find(name) {
        let starts_word = rest[..at].ends_with(char::is_whitespace);
        rest = &rest[at + name.len()..];
        let Some(value) = rest.trim_start().strip_prefix('=').filter(|_| starts_word) else { continue };
        let value = value.trim_start();
        let Some(quoted) = value.strip_prefix('"') else {
            return value.split([' ', ';', '\t']).next().map(str::to_owned);
        };
        let mut out = String::new();
        let mut letters = quoted.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '"' => return Some(out),
                '\\' => out.extend(letters.next()),
                letter => out.push(letter),
            }
        }
        return None;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(text: &str) -> Result<(String, String, String), String> {
        let told = |error: anyhow::Error| crate::failure::told(&error);
        let security = Settings::parse(Path::new("client.properties"), text).and_then(|settings| settings.security());
        let login = security.map_err(told)?.login.ok_or("no login")?;
        Ok((login.mechanism.name().to_owned(), login.user, login.password))
    }

    fn as_told(mechanism: &str, user: &str, password: &str) -> Result<(String, String, String), String> {
        Ok((mechanism.to_owned(), user.to_owned(), password.to_owned()))
    }

    #[test]
    fn files_of_java_and_of_librdkafka_say_the_same() {
        let librdkafka = "bootstrap.servers=x:9092\nsecurity.protocol=sasl_plaintext\n# who\nsasl.mechanisms=SCRAM-SHA-512\nsasl.username=ann\nsasl.password= p=w\n";
        assert_eq!(login(librdkafka), as_told("SCRAM-SHA-512", "ann", "p=w"));
        let java = "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\\n  username=\"ann\" \\\n  password=\"p\\\"w\";\n";
        assert_eq!(login(java), as_told("PLAIN", "ann", "p\"w"));
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        for (text, named) in [
            ("security.protocol=SASL_PLAINTEXT\nsasl.username=ann", "sasl.password"),
            ("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=GSSAPI", "GSSAPI"),
            ("security.protocol=WHAT", "WHAT"),
            ("nonsense", "nonsense"),
            ("security.protocol=SSL\nssl.truststore.location=a.jks", "ssl.truststore.type=PEM"),
            ("security.protocol=SSL\nssl.ca.location=/nowhere.pem", "nowhere.pem"),
        ] {
            let told = login(text).expect_err(text);
            assert!(told.contains(named) && told.starts_with("LH"), "{told}");
        }
    }
}
