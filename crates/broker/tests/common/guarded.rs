//! A door that asks for a login and has rules, and clients that know how to log in.

#![allow(dead_code, reason = "each test file uses its part")]

use std::{path::Path, time::Duration};

use broker::BrokerSettings;
use bytes::Bytes;
use commitlog::{Isolation, Log, record};
use kafka_protocol::{messages::*, protocol::StrBytes};
use model::TopicPartition;
use security::{BootstrapUser, Protocol, SecuritySettings, sasl::Mechanism, scram::ScramHash};
use tokio::io::{AsyncRead, AsyncWrite};

use super::*;

pub const ROOT: (&str, &str) = ("root", "root's secret");

/// SASL with every mechanism but tokens, and rules; `root` may everything.
pub fn guarded() -> SecuritySettings {
    SecuritySettings {
        protocol: Protocol::SaslPlaintext,
        mechanisms: vec![Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha512],
        authorizer: true,
        bootstrap_user: Some(BootstrapUser { name: ROOT.0.to_owned(), password: ROOT.1.to_owned() }),
        ..SecuritySettings::default()
    }
}

pub async fn serve_guarded(dir: &Path, security: SecuritySettings) -> Server {
    serve_with(dir, BrokerSettings { security, ..BrokerSettings::default() }).await
}

pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub fn handshake(mechanism: &str) -> SaslHandshakeRequest {
    SaslHandshakeRequest::default().with_mechanism(text(mechanism))
}

pub fn token(bytes: impl Into<Bytes>) -> SaslAuthenticateRequest {
    SaslAuthenticateRequest::default().with_auth_bytes(bytes.into())
}

pub async fn plain<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    user: &str,
    password: &str,
) -> SaslAuthenticateResponse {
    assert_eq!(client.ask(1, &handshake("PLAIN")).await.error_code, 0);
    client.ask(2, &token(format!("\0{user}\0{password}"))).await
}

impl Server {
    pub async fn client_of(&self, user: &str, password: &str) -> Client {
        let mut client = self.client().await;
        let answer = plain(&mut client, user, password).await;
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        client
    }

    pub async fn root(&self) -> Client {
        self.client_of(ROOT.0, ROOT.1).await
    }

    /// Values of the audit topic.
    pub async fn audited(&self) -> Vec<serde_json::Value> {
        let place = TopicPartition::new(model::TopicName::new(model::AUDIT_TOPIC).expect("legal"), 0);
        let mut values = Vec::new();
        if self.log.topic(model::AUDIT_TOPIC).is_none() {
            return values;
        }
        let slice = self.log.read(&place, 0, 64 << 20, Isolation::Uncommitted).await.expect("reads");
        for batch in record::batches(slice.records) {
            let batch = batch.expect("whole");
            let block = batch.decompress(64 << 20).expect("decompresses");
            for line in record::Records::new(&batch.header, &block) {
                let value = line.expect("a record").value.expect("a value").to_vec();
                values.push(serde_json::from_slice(&value).expect("JSON"));
            }
        }
        values
    }

    pub async fn audited_soon(&self, found: impl Fn(&serde_json::Value) -> bool) -> Vec<serde_json::Value> {
        for _ in 0..100 {
            let events = self.audited().await;
            if events.iter().any(&found) {
                return events;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("not audited: {:?}", self.audited().await);
    }
}

pub async fn is_closed<S: AsyncRead + AsyncWrite + Unpin>(client: &mut Client<S>) -> bool {
    client.receive_frame().await.is_none()
}

pub fn upsertion(
    user: &str,
    hash: ScramHash,
    password: &str,
    iterations: i32,
) -> alter_user_scram_credentials_request::ScramCredentialUpsertion {
    let salted = hash.salted(password, b"some salt", iterations.max(1) as u32);
    alter_user_scram_credentials_request::ScramCredentialUpsertion::default()
        .with_name(text(user))
        .with_mechanism(hash as i8)
        .with_iterations(iterations)
        .with_salt(Bytes::from_static(b"some salt"))
        .with_salted_password(salted.into())
}

pub async fn make_user(client: &mut Client, user: &str, password: &str) {
    let request = AlterUserScramCredentialsRequest::default().with_upsertions(vec![upsertion(
        user,
        ScramHash::Sha256,
        password,
        4096,
    )]);
    assert_eq!(client.ask(0, &request).await.results[0].error_code, 0);
}
