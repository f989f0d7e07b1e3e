//! Who gets in, and what they may do: the order of a login, credentials, certificates, tokens, rules, the audit.

mod common;

use std::{path::Path, sync::Arc, time::Duration};

use base64::{
    Engine, engine::general_purpose::STANDARD as BASE64, engine::general_purpose::URL_SAFE_NO_PAD as BASE64_URL,
};
use broker::BrokerSettings;
use bytes::{BufMut, Bytes, BytesMut};
use commitlog::{Isolation, Log, record};
use common::*;
use kafka_protocol::{
    messages::*,
    protocol::{Request, StrBytes},
};
use model::TopicPartition;
use ring::{
    digest, hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use security::{
    BootstrapUser, ClientAuth, Jwks, OauthSettings, Principal, Protocol, SecuritySettings, TlsSettings,
    sasl::Mechanism, scram::ScramHash,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::rustls;

const ROOT: (&str, &str) = ("root", "root's secret");

/// SASL with every mechanism but tokens, and rules; `root` may everything.
fn guarded() -> SecuritySettings {
    SecuritySettings {
        protocol: Protocol::SaslPlaintext,
        mechanisms: vec![Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha512],
        authorizer: true,
        bootstrap_user: Some(BootstrapUser { name: ROOT.0.to_owned(), password: ROOT.1.to_owned() }),
        ..SecuritySettings::default()
    }
}

async fn serve_guarded(dir: &Path, security: SecuritySettings) -> Server {
    serve_with(dir, BrokerSettings { security, ..BrokerSettings::default() }).await
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn handshake(mechanism: &str) -> SaslHandshakeRequest {
    SaslHandshakeRequest::default().with_mechanism(text(mechanism))
}

fn token(bytes: impl Into<Bytes>) -> SaslAuthenticateRequest {
    SaslAuthenticateRequest::default().with_auth_bytes(bytes.into())
}

async fn plain<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    user: &str,
    password: &str,
) -> SaslAuthenticateResponse {
    assert_eq!(client.ask(1, &handshake("PLAIN")).await.error_code, 0);
    client.ask(2, &token(format!("\0{user}\0{password}"))).await
}

impl Server {
    async fn client_of(&self, user: &str, password: &str) -> Client {
        let mut client = self.client().await;
        let answer = plain(&mut client, user, password).await;
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        client
    }

    async fn root(&self) -> Client {
        self.client_of(ROOT.0, ROOT.1).await
    }

    /// Values of the audit topic.
    async fn audited(&self) -> Vec<serde_json::Value> {
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

    async fn audited_soon(&self, found: impl Fn(&serde_json::Value) -> bool) -> Vec<serde_json::Value> {
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

async fn is_closed<S: AsyncRead + AsyncWrite + Unpin>(client: &mut Client<S>) -> bool {
    client.receive_frame().await.is_none()
}

// ── the order of a login ──

#[tokio::test]
async fn before_a_login_only_its_own_requests_are_answered_and_in_their_order() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve_guarded(dir.path(), guarded()).await;

    let mut client = server.client().await;
    client.send(5, &MetadataRequest::default()).await;
    assert!(is_closed(&mut client).await, "Metadata before a login");

    let mut client = server.client().await;
    let answer = client.ask(1, &token("\0root\0root's secret")).await;
    assert_eq!(answer.error_code, 34, "SaslAuthenticate before SaslHandshake");
    assert!(is_closed(&mut client).await);

    let mut client = server.client().await;
    client.ask(1, &handshake("PLAIN")).await;
    assert_eq!(client.ask(1, &handshake("PLAIN")).await.error_code, 34, "SaslHandshake twice");
    assert!(is_closed(&mut client).await);

    let mut client = server.client().await;
    assert_eq!(client.ask(0, &ApiVersionsRequest::default()).await.error_code, 0);
    client.send(0, &ApiVersionsRequest::default()).await;
    assert!(is_closed(&mut client).await, "ApiVersions twice");

    let mut client = server.client().await;
    client.ask(1, &handshake("PLAIN")).await;
    client.send(0, &ApiVersionsRequest::default()).await;
    assert!(is_closed(&mut client).await, "ApiVersions between SaslHandshake and SaslAuthenticate");

    let mut client = server.client().await;
    let answer = client.ask(1, &handshake("GSSAPI")).await;
    assert_eq!(answer.error_code, 33);
    assert_eq!(answer.mechanisms, ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"].map(text));
    assert!(is_closed(&mut client).await);

    // All that is allowed, in one go: a version of ApiVersions that is unknown is answered, and may be asked for again.
    let mut client = server.client().await;
    let mut unknown = BytesMut::new();
    unknown.put_i32(10);
    unknown.put_i16(ApiVersionsRequest::KEY);
    unknown.put_i16(99);
    unknown.put_i32(0);
    unknown.put_i16(-1);
    client.stream.write_all(&unknown).await.expect("sends");
    let answer = client.receive::<ApiVersionsRequest>(0).await;
    assert_eq!(answer.error_code, 35);
    assert!(answer.api_keys.iter().any(|offer| offer.api_key == SaslAuthenticateRequest::KEY));
    assert_eq!(client.ask(0, &ApiVersionsRequest::default()).await.error_code, 0);
    assert_eq!(plain(&mut client, ROOT.0, ROOT.1).await.error_code, 0);
    client.ask(0, &ApiVersionsRequest::default()).await;
    client.create_topic("t", 1).await;
    server.stop().await;
}

#[tokio::test]
async fn strangers_get_little_memory() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve_guarded(dir.path(), guarded()).await;
    for claimed in [(512 << 10) + 1, i32::MAX, -1, i32::from_be_bytes(*b"GET ")] {
        let mut client = server.client().await;
        client.stream.write_all(&claimed.to_be_bytes()).await.expect("sends");
        assert!(is_closed(&mut client).await, "{claimed}");
    }
    server.stop().await;
}

#[tokio::test]
async fn without_sasl_its_requests_are_out_of_order() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    assert_eq!(client.ask(1, &handshake("PLAIN")).await.error_code, 34);
    assert_eq!(client.ask(1, &token("x")).await.error_code, 34);
    let none = client
        .ask(
            3,
            &DescribeAclsRequest::default()
                .with_pattern_type_filter(1)
                .with_operation(1)
                .with_permission_type(1)
                .with_resource_type_filter(1),
        )
        .await;
    assert_eq!(none.error_code, 54, "no authorizer, no rules");
    let creation = create_acls_request::AclCreation::default().with_resource_type(2).with_resource_pattern_type(3);
    let made = client.ask(3, &CreateAclsRequest::default().with_creations(vec![creation])).await;
    assert_eq!(made.results[0].error_code, 54);
    let gone = client.ask(3, &DeleteAclsRequest::default().with_filters(vec![Default::default()])).await;
    assert_eq!(gone.filter_results[0].error_code, 54);
    server.stop().await;
}

// ── credentials ──

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_get_the_same_late_answer_and_the_audit_has_no_secret() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve_guarded(dir.path(), guarded()).await;
    let mut texts = Vec::new();
    for (user, password) in [(ROOT.0, "not this 123"), ("nobody", "not this 123")] {
        let mut client = server.client().await;
        let clock = server.world.clock.clone();
        let began = clock.monotonic();
        let answer = plain(&mut client, user, password).await;
        assert!(clock.monotonic() - began >= Duration::from_millis(100));
        assert_eq!(answer.error_code, 58);
        texts.push(answer.error_message);
        assert!(is_closed(&mut client).await);
    }
    assert_eq!(texts[0], texts[1]);
    let events = server.audited_soon(|event| event["principal"] == "User:nobody").await;
    let event = events.iter().find(|event| event["principal"] == "User:root").expect("audited");
    assert_eq!((&event["event"], &event["operation"]), (&"authentication".into(), &"PLAIN".into()));
    assert_eq!(event["peer"], "127.0.0.1");
    assert!(!serde_json::to_string(&events).expect("JSON").contains("not this 123"));
    server.stop().await;
}

/// A client's half of SCRAM (RFC 5802).
struct Scram {
    hash: ScramHash,
    bare: String,
}

impl Scram {
    fn new(hash: ScramHash, user: &str) -> Self {
        Self { hash, bare: format!("n={user},r=clientnonce") }
    }

    fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    fn hmac(&self, key: &[u8], message: &[u8]) -> Vec<u8> {
        let algorithm = if self.hash == ScramHash::Sha256 { hmac::HMAC_SHA256 } else { hmac::HMAC_SHA512 };
        hmac::sign(&hmac::Key::new(algorithm, key), message).as_ref().to_vec()
    }

    /// The last message, and what the server must say to it.
    fn last(&self, password: &str, reply: &[u8]) -> (String, String) {
        let reply = std::str::from_utf8(reply).expect("text");
        let field = |name: &str| reply.split(',').find_map(|field| field.strip_prefix(name)).expect("a field");
        assert!(field("r=").starts_with("clientnonce") && field("r=").len() > 30);
        let salt = BASE64.decode(field("s=")).expect("base64");
        let salted = self.hash.salted(password, &salt, field("i=").parse().expect("a number"));
        let without_proof = format!("c=biws,r={}", field("r="));
        let covered = format!("{},{reply},{without_proof}", self.bare);
        let client_key = self.hmac(&salted, b"Client Key");
        let algorithm = if self.hash == ScramHash::Sha256 { &digest::SHA256 } else { &digest::SHA512 };
        let signature = self.hmac(digest::digest(algorithm, &client_key).as_ref(), covered.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let verdict = self.hmac(&self.hmac(&salted, b"Server Key"), covered.as_bytes());
        (format!("{without_proof},p={}", BASE64.encode(proof)), format!("v={}", BASE64.encode(verdict)))
    }
}

#[tokio::test]
async fn scram_opens_to_the_password_alone_in_requests_and_as_bare_tokens() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve_guarded(dir.path(), guarded()).await;
    for hash in ScramHash::ALL {
        for (user, password, opens) in [("root", ROOT.1, true), ("root", "wrong", false), ("nobody", "wrong", false)] {
            let scram = Scram::new(hash, user);
            let mut client = server.client().await;
            client.ask(1, &handshake(hash.name())).await;
            let first = client.ask(2, &token(scram.first())).await;
            assert_eq!(first.error_code, 0, "nobody looks like somebody");
            let (last, verdict) = scram.last(password, &first.auth_bytes);
            let answer = client.ask(2, &token(last)).await;
            assert_eq!(answer.error_code, if opens { 0 } else { 58 });
            if opens {
                assert_eq!(answer.auth_bytes, verdict);
                assert_eq!(answer.session_lifetime_ms, 0);
                client.create_topic(&format!("t{}", hash as i8), 1).await;
            } else {
                assert!(is_closed(&mut client).await);
            }

            // SaslHandshake 0: tokens without requests around them.
            let mut client = server.client().await;
            client.ask(0, &handshake(hash.name())).await;
            send_bare(&mut client, scram.first().as_bytes()).await;
            let first = client.receive_frame().await.expect("answers");
            let (last, verdict) = scram.last(password, &first);
            send_bare(&mut client, last.as_bytes()).await;
            if opens {
                assert_eq!(client.receive_frame().await.expect("answers"), verdict);
                client.ask(0, &ApiVersionsRequest::default()).await;
            } else {
                assert!(is_closed(&mut client).await);
            }
        }
    }
    server.stop().await;
}

async fn send_bare(client: &mut Client, token: &[u8]) {
    let mut frame = BytesMut::new();
    frame.put_i32(token.len() as i32);
    frame.put_slice(token);
    client.stream.write_all(&frame).await.expect("sends");
}

fn upsertion(
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

async fn make_user(client: &mut Client, user: &str, password: &str) {
    let request = AlterUserScramCredentialsRequest::default().with_upsertions(vec![upsertion(
        user,
        ScramHash::Sha256,
        password,
        4096,
    )]);
    assert_eq!(client.ask(0, &request).await.results[0].error_code, 0);
}

#[tokio::test]
async fn users_are_made_listed_and_gone_over_restarts_and_what_is_kept_is_shown_to_nobody() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve_guarded(dir.path(), guarded()).await;
    let mut root = server.root().await;
    let alter = |upsertions, deletions| {
        AlterUserScramCredentialsRequest::default().with_upsertions(upsertions).with_deletions(deletions)
    };
    let deletion = |user: &str, mechanism| {
        alter_user_scram_credentials_request::ScramCredentialDeletion::default()
            .with_name(text(user))
            .with_mechanism(mechanism)
    };
    let sha256 = ScramHash::Sha256;
    let answer = root
        .ask(
            0,
            &alter(
                vec![
                    upsertion("alice", sha256, "a", 4096),
                    upsertion("alice", ScramHash::Sha512, "a", 16384),
                    upsertion("weak", sha256, "a", 4095),
                    upsertion("slow", sha256, "a", 16385),
                    upsertion("", sha256, "a", 4096),
                    upsertion("twice", sha256, "a", 4096),
                    upsertion("twice", sha256, "b", 4096),
                    upsertion("odd", sha256, "a", 4096).with_mechanism(0),
                    upsertion("short", sha256, "a", 4096).with_salted_password(Bytes::from_static(b"x")),
                ],
                vec![deletion("gone", 1)],
            ),
        )
        .await;
    let codes: Vec<_> = answer.results.iter().map(|row| (row.user.as_str(), row.error_code)).collect();
    assert_eq!(
        codes,
        [("", 93), ("alice", 0), ("gone", 91), ("odd", 33), ("short", 93), ("slow", 93), ("twice", 92), ("weak", 93)]
    );
    let describe = |users: &[&str]| {
        let user = |name: &&str| describe_user_scram_credentials_request::UserName::default().with_name(text(name));
        DescribeUserScramCredentialsRequest::default().with_users(Some(users.iter().map(user).collect()))
    };
    let named = root.ask(0, &describe(&["alice", "nobody"])).await;
    let infos: Vec<_> =
        named.results[0].credential_infos.iter().map(|info| (info.mechanism, info.iterations)).collect();
    assert_eq!(infos, [(1, 4096), (2, 16384)]);
    assert_eq!(named.results[1].error_code, 91);
    assert_eq!(root.ask(0, &describe(&["alice", "alice"])).await.results[0].error_code, 92);

    let mut alice = server.client_of("alice", "a").await;
    assert_eq!(alice.ask(0, &describe(&[])).await.error_code, 31);
    assert_eq!(
        alice.ask(0, &alter(vec![upsertion("alice", sha256, "b", 4096)], vec![])).await.results[0].error_code,
        31
    );

    // Not even to those who may everything.
    let mut fetch = fetch_request::FetchTopic::default().with_topic(topic_name(model::USERS_TOPIC));
    fetch.partitions = vec![fetch_request::FetchPartition::default().with_partition_max_bytes(1 << 20)];
    let read = root.ask(12, &FetchRequest::default().with_max_bytes(1 << 20).with_topics(vec![fetch])).await;
    assert_eq!(read.responses[0].partitions[0].error_code, 29);
    drop((root, alice));
    server.stop().await;

    // The first user keeps the password it was made with.
    let mut settings = guarded();
    settings.bootstrap_user = Some(BootstrapUser { name: "root".to_owned(), password: "another".to_owned() });
    let server = serve_guarded(dir.path(), settings).await;
    let mut root = server.root().await;
    server.client_of("alice", "a").await;
    let answer = root.ask(0, &alter(vec![], vec![deletion("alice", 1), deletion("alice", 2)])).await;
    assert_eq!(answer.results[0].error_code, 0);
    let left: Vec<_> = root.ask(0, &describe(&[])).await.results.iter().map(|row| row.user.to_string()).collect();
    assert_eq!(left, ["root"]);
    let mut client = server.client().await;
    assert_eq!(plain(&mut client, "alice", "a").await.error_code, 58);
    server.stop().await;
}

// ── sessions ──

#[tokio::test]
async fn a_session_ends_unless_the_same_user_logs_in_again_on_the_connection() {
    let dir = tempfile::tempdir().expect("directory");
    let settings = SecuritySettings { reauthenticate_after: Some(Duration::from_millis(2500)), ..guarded() };
    let server = serve_guarded(dir.path(), settings).await;
    let mut renews = server.client().await;
    let answer = plain(&mut renews, ROOT.0, ROOT.1).await;
    assert!((1..=2500).contains(&answer.session_lifetime_ms), "{}", answer.session_lifetime_ms);
    make_user(&mut renews, "alice", "a").await;
    let mut forgets = server.root().await;
    let mut changes = server.root().await;
    let mut switches = server.root().await;
    let mut fails = server.root().await;
    assert_eq!(renews.ask(1, &handshake("PLAIN")).await.error_code, 34, "just logged in");
    tokio::time::sleep(Duration::from_millis(1500)).await;

    assert_eq!(plain(&mut renews, ROOT.0, ROOT.1).await.error_code, 0);
    assert_eq!(plain(&mut changes, "alice", "a").await.error_code, 58, "a connection never changes hands");
    assert!(is_closed(&mut changes).await);
    assert_eq!(switches.ask(1, &handshake("SCRAM-SHA-256")).await.error_code, 33);
    assert!(is_closed(&mut switches).await);
    assert_eq!(plain(&mut fails, ROOT.0, "wrong").await.error_code, 58);
    assert!(is_closed(&mut fails).await);
    forgets.create_topic("before", 1).await;

    tokio::time::sleep(Duration::from_millis(1300)).await;
    renews.create_topic("after", 1).await;
    forgets.send(1, &MetadataRequest::default()).await;
    assert!(is_closed(&mut forgets).await, "its session is over");
    server.stop().await;
}

// ── tokens ──

/// Signs tokens, and says with which key.
struct Issuer {
    key: EcdsaKeyPair,
    random: SystemRandom,
}

impl Issuer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
        Self { key: EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).expect("a key"), random }
    }

    fn jwks(&self, id: &str) -> String {
        let point = self.key.public_key().as_ref();
        let (x, y) = (BASE64_URL.encode(&point[1..33]), BASE64_URL.encode(&point[33..]));
        format!(
            r#"{{"keys": [{{"kty": "new", "kid": "?"}}, {{"kty": "EC", "crv": "P-256", "kid": "{id}", "use": "sig", "x": "{x}", "y": "{y}"}}]}}"#
        )
    }

    fn token(&self, header: &str, claims: &serde_json::Value) -> String {
        let signed = format!("{}.{}", BASE64_URL.encode(header), BASE64_URL.encode(claims.to_string()));
        let signature = self.key.sign(&self.random, signed.as_bytes()).expect("signs");
        format!("{signed}.{}", BASE64_URL.encode(signature.as_ref()))
    }
}

#[tokio::test]
async fn a_token_opens_while_its_key_is_known_and_its_time_lasts() {
    let dir = tempfile::tempdir().expect("directory");
    let keys = dir.path().join("keys.json");
    let issuer = Issuer::new();
    std::fs::write(&keys, issuer.jwks("one")).expect("writes");
    let settings = SecuritySettings {
        mechanisms: vec![Mechanism::OauthBearer],
        oauth: Some(OauthSettings::new(Jwks::File(keys.clone()), "https://id.example", &["kafka"])),
        super_users: [Principal::user("service")].into(),
        ..guarded()
    };
    let server = serve_guarded(&dir.path().join("data"), settings).await;
    let now = server.world.clock.now_ms() / 1000;
    let claims = serde_json::json!({"iss": "https://id.example", "aud": "kafka", "sub": "service", "exp": now + 600});
    let header = r#"{"alg": "ES256", "kid": "one"}"#;
    let bearer = |token: &str| format!("n,,\x01auth=Bearer {token}\x01\x01");

    let mut client = server.client().await;
    client.ask(1, &handshake("OAUTHBEARER")).await;
    let answer = client.ask(2, &token(bearer(&issuer.token(header, &claims)))).await;
    assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    assert!((590_000..=600_000).contains(&answer.session_lifetime_ms), "{}", answer.session_lifetime_ms);
    client.create_topic("t", 1).await;

    let mut expired = claims.clone();
    expired["exp"] = (now - 60).into();
    let mut tampered = issuer.token(header, &claims);
    tampered.replace_range(tampered.len() - 4.., "AAAA");
    for bad in [
        issuer.token(header, &expired),
        tampered,
        Issuer::new().token(header, &claims),
        issuer.token(r#"{"alg": "none"}"#, &claims),
        issuer.token(r#"{"alg": "HS256", "kid": "one"}"#, &claims),
        issuer.token(r#"{"alg": "ES256", "kid": "two"}"#, &claims),
        "x".to_owned(),
    ] {
        let mut client = server.client().await;
        client.ask(1, &handshake("OAUTHBEARER")).await;
        let answer = client.ask(2, &token(bearer(&bad))).await;
        assert_eq!((answer.error_code, &answer.auth_bytes[..]), (0, &br#"{"status":"invalid_token"}"#[..]), "{bad}");
        assert_eq!(client.ask(2, &token("\x01")).await.error_code, 58);
        assert!(is_closed(&mut client).await);
    }

    // A new key needs no restart.
    let other = Issuer::new();
    std::fs::write(&keys, other.jwks("two")).expect("writes");
    let token_of_other = other.token(r#"{"alg": "ES256", "kid": "two"}"#, &claims);
    for patience in (0..100).rev() {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut client = server.client().await;
        client.ask(1, &handshake("OAUTHBEARER")).await;
        if client.ask(2, &token(bearer(&token_of_other))).await.auth_bytes.is_empty() {
            break;
        }
        assert!(patience > 0, "the new key is never known");
    }
    server.stop().await;
}

// ── certificates ──

fn certificate(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates").join(name)
}

/// TLS with the door at `server`; `client`: with this certificate. Gives the common name of the door's certificate, too.
async fn over_tls(
    server: &Server,
    client: Option<&str>,
) -> std::io::Result<Client<tokio_rustls::client::TlsStream<TcpStream>>> {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate("ca.pem")).expect("a root")).expect("a root");
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let chain = CertificateDer::from_pem_file(certificate(&format!("{name}.pem"))).expect("a certificate");
            let key = PrivateKeyDer::from_pem_file(certificate(&format!("{name}.key"))).expect("a key");
            builder.with_client_auth_cert(vec![chain], key).expect("fits")
        }
    };
    let stream = TcpStream::connect(server.handle.addr).await?;
    let name = "localhost".try_into().expect("a name");
    Ok(Client::on(tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?))
}

fn tls(dir: &Path, client_auth: ClientAuth) -> TlsSettings {
    std::fs::copy(certificate("server.pem"), dir.join("server.pem")).expect("copies");
    std::fs::copy(certificate("server.key"), dir.join("server.key")).expect("copies");
    TlsSettings {
        certificate: dir.join("server.pem"),
        key: dir.join("server.key"),
        client_ca: Some(certificate("ca.pem")),
        client_auth,
    }
}

#[tokio::test]
async fn certificates_are_read_again_when_they_change_and_bad_ones_change_nothing() {
    let dir = tempfile::tempdir().expect("directory");
    let settings =
        SecuritySettings { protocol: Protocol::SaslSsl, tls: Some(tls(dir.path(), ClientAuth::None)), ..guarded() };
    let server = serve_guarded(&dir.path().join("data"), settings).await;
    let shown = async || {
        let mut client = over_tls(&server, None).await.expect("TLS");
        assert_eq!(plain(&mut client, ROOT.0, ROOT.1).await.error_code, 0);
        client.ask(1, &MetadataRequest::default()).await;
        let certificates = client.stream.get_ref().1.peer_certificates().expect("shown").to_vec();
        security::tls::principal_of(&certificates).expect("a subject").to_string()
    };
    let mut old = over_tls(&server, None).await.expect("TLS");
    plain(&mut old, ROOT.0, ROOT.1).await;
    assert_eq!(shown().await, "User:CN=localhost");

    // Half a change is none: this key is not that certificate's.
    std::fs::copy(certificate("server-new.pem"), dir.path().join("server.pem")).expect("copies");
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(shown().await, "User:CN=localhost");
    std::fs::copy(certificate("server-new.key"), dir.path().join("server.key")).expect("copies");
    for patience in (0..100).rev() {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if shown().await == "User:CN=localhost new" {
            break;
        }
        assert!(patience > 0, "the new certificate is never shown");
    }
    // Who is in stays in.
    old.ask(1, &MetadataRequest::default()).await;
    std::fs::write(dir.path().join("server.pem"), "nonsense").expect("writes");
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(shown().await, "User:CN=localhost new");
    server.stop().await;
}

#[tokio::test]
async fn a_clients_certificate_says_who_it_is_where_it_must_be_shown() {
    const CLIENT: &str = "User:CN=client,O=Example\\, Inc,C=DE";
    let dir = tempfile::tempdir().expect("directory");
    let settings = |client_auth| SecuritySettings {
        protocol: Protocol::Ssl,
        tls: Some(tls(dir.path(), client_auth)),
        authorizer: true,
        super_users: [Principal::parse(CLIENT).expect("a principal")].into(),
        ..SecuritySettings::default()
    };
    let server = serve_guarded(&dir.path().join("a"), settings(ClientAuth::Required)).await;
    let mut client = over_tls(&server, Some("client")).await.expect("TLS");
    let topic = create_topics_request::CreatableTopic::default()
        .with_name(topic_name("t"))
        .with_num_partitions(1)
        .with_replication_factor(1);
    let create = CreateTopicsRequest::default().with_topics(vec![topic]);
    assert_eq!(client.ask(7, &create).await.topics[0].error_code, 0);
    for nobody in [None, Some("stranger")] {
        // With TLS 1.3 the client learns of it when it reads.
        if let Ok(mut client) = over_tls(&server, nobody).await {
            let _ = client.stream.write_all(&frame(0, 1, &ApiVersionsRequest::default())).await;
            assert!(is_closed(&mut client).await, "{nobody:?}");
        }
    }
    server.audited_soon(|event| event["operation"] == "TLS").await;
    server.stop().await;

    let server = serve_guarded(&dir.path().join("b"), settings(ClientAuth::Requested)).await;
    let mut anonymous = over_tls(&server, None).await.expect("TLS");
    assert_eq!(anonymous.ask(7, &create).await.topics[0].error_code, 29);
    let events = server.audited_soon(|event| event["operation"] == "CREATE").await;
    assert_eq!(events[0]["principal"], "User:ANONYMOUS");
    assert_eq!(events[0]["resource"], "TOPIC:t");
    let mut client = over_tls(&server, Some("client")).await.expect("TLS");
    assert_eq!(client.ask(7, &create).await.topics[0].error_code, 0);
    server.stop().await;
}

#[tokio::test]
async fn a_door_open_to_everyone_in_reach_does_not_open() {
    let dir = tempfile::tempdir().expect("directory");
    let world = world::World::real();
    let log = commitlog::EmbeddedLog::open(dir.path(), Default::default(), world.clone()).await.expect("opens");
    let groups = commitlog::groups::Groups::open(log.clone(), world.clone()).await.expect("opens");
    let transactions =
        commitlog::transactions::Transactions::open(log.clone(), groups.clone(), world.clone()).await.expect("opens");
    let error = broker::Broker::start(broker::BrokerParts {
        log,
        groups,
        transactions,
        world,
        listen: "0.0.0.0:0".parse().expect("an address"),
        settings: BrokerSettings::default(),
    })
    .await
    .err()
    .expect("refused");
    assert_eq!(error.code().name, "LH0601");
}

// ── rules ──

fn rule(
    kind: i8,
    name: &str,
    pattern: i8,
    user: &str,
    operation: i8,
    permission: i8,
) -> create_acls_request::AclCreation {
    create_acls_request::AclCreation::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_resource_pattern_type(pattern)
        .with_principal(text(user))
        .with_host(text("*"))
        .with_operation(operation)
        .with_permission_type(permission)
}

async fn make_rules(client: &mut Client, rules: Vec<create_acls_request::AclCreation>) -> Vec<i16> {
    let made = client.ask(3, &CreateAclsRequest::default().with_creations(rules)).await;
    made.results.iter().map(|row| row.error_code).collect()
}

const TOPIC: i8 = 2;
const GROUP: i8 = 3;
const CLUSTER: i8 = 4;
const LITERAL: i8 = 3;
const PREFIXED: i8 = 4;
const ALL: i8 = 2;
const READ: i8 = 3;
const WRITE: i8 = 4;
const DESCRIBE: i8 = 8;
const DENY: i8 = 2;
const ALLOW: i8 = 3;

#[tokio::test]
async fn rules_are_made_obeyed_found_kept_over_restarts_and_taken_away() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve_guarded(dir.path(), guarded()).await;
    let mut root = server.root().await;
    make_user(&mut root, "alice", "a").await;
    for topic in ["team.a", "team.secret", "other"] {
        root.create_topic(topic, 1).await;
    }
    let mut alice = server.client_of("alice", "a").await;
    let written = async |client: &mut Client, topic: &str| {
        let answer = client.ask(9, &produce(topic, batch(&["x"]), -1)).await;
        answer.responses[0].partition_responses[0].error_code
    };
    assert_eq!(written(&mut alice, "team.a").await, 29);
    let codes = make_rules(
        &mut root,
        vec![
            rule(TOPIC, "team.", PREFIXED, "User:alice", WRITE, ALLOW),
            rule(TOPIC, "team.secret", LITERAL, "User:*", ALL, DENY),
            rule(CLUSTER, "other-name", LITERAL, "User:alice", ALL, ALLOW),
            rule(TOPIC, "t", 1, "User:alice", ALL, ALLOW),
            rule(TOPIC, "t", LITERAL, "alice", ALL, ALLOW),
            rule(TOPIC, "", LITERAL, "User:alice", ALL, ALLOW),
            rule(TOPIC, "t", LITERAL, "User:alice", 1, ALLOW),
        ],
    )
    .await;
    assert_eq!(codes, [0, 0, 42, 42, 42, 42, 42]);
    assert_eq!(written(&mut alice, "team.a").await, 0);
    assert_eq!(written(&mut alice, "team.secret").await, 29);
    assert_eq!(written(&mut alice, "other").await, 29);
    assert_eq!(written(&mut alice, "no such topic").await, 29, "names do not leak");

    let listed = async |client: &mut Client| {
        let answer = client
            .ask(8, &MetadataRequest::default().with_topics(None).with_include_topic_authorized_operations(true))
            .await;
        let row = |topic: metadata_response::MetadataResponseTopic| {
            (topic.name.expect("a name").to_string(), topic.topic_authorized_operations)
        };
        answer.topics.into_iter().map(row).collect::<Vec<_>>()
    };
    assert_eq!(listed(&mut alice).await, [("team.a".to_owned(), 1 << WRITE | 1 << DESCRIBE)]);
    drop((root, alice));
    server.stop().await;

    let server = serve_guarded(dir.path(), guarded()).await;
    let mut root = server.root().await;
    let mut alice = server.client_of("alice", "a").await;
    assert_eq!(written(&mut alice, "team.a").await, 0);
    assert_eq!(written(&mut alice, "team.secret").await, 29);
    let find = |pattern: i8, name: Option<&str>| {
        DescribeAclsRequest::default()
            .with_resource_type_filter(TOPIC)
            .with_resource_name_filter(name.map(text))
            .with_pattern_type_filter(pattern)
            .with_principal_filter(None)
            .with_host_filter(None)
            .with_operation(1)
            .with_permission_type(1)
    };
    let names = async |client: &mut Client, request: &DescribeAclsRequest| {
        let answer = client.ask(3, request).await;
        assert_eq!(answer.error_code, 0);
        answer.resources.iter().map(|resource| resource.resource_name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&mut root, &find(1, None)).await, ["team.", "team.secret"]);
    assert_eq!(names(&mut root, &find(2, Some("team.secret"))).await, ["team.", "team.secret"], "all that apply to it");
    assert_eq!(names(&mut root, &find(2, Some("team.x"))).await, ["team."]);
    assert_eq!(names(&mut root, &find(LITERAL, None)).await, ["team.secret"]);
    assert_eq!(alice.ask(3, &find(1, None)).await.error_code, 31);

    let filter = delete_acls_request::DeleteAclsFilter::default()
        .with_resource_type_filter(TOPIC)
        .with_resource_name_filter(Some(text("team.")))
        .with_pattern_type_filter(PREFIXED)
        .with_principal_filter(None)
        .with_host_filter(None)
        .with_operation(1)
        .with_permission_type(1);
    let delete = DeleteAclsRequest::default().with_filters(vec![filter]);
    assert_eq!(alice.ask(3, &delete).await.filter_results[0].error_code, 31);
    let gone = root.ask(3, &delete).await;
    assert_eq!(gone.filter_results[0].matching_acls.len(), 1);
    assert_eq!(written(&mut alice, "team.a").await, 29, "at once");
    server.stop().await;
}

#[tokio::test]
async fn every_api_on_offer_refuses_somebody_without_rights_or_shows_nothing() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve_guarded(dir.path(), guarded()).await;
    let mut root = server.root().await;
    make_user(&mut root, "eve", "e").await;
    root.create_topic("t", 1).await;
    root.produce("t", &["secret"]).await;
    let id = root.ask(12, &MetadataRequest::default().with_topics(None)).await.topics[0].topic_id;
    assert!(!id.is_nil());
    let mut eve = server.client_of("eve", "e").await;
    let offers = eve.ask(0, &ApiVersionsRequest::default()).await.api_keys;
    let mut checked = std::collections::BTreeSet::new();

    macro_rules! refused {
        ($($request:ty, $expected:expr, $fill:expr, $codes:expr;)*) => { $({
            let offer = offers.iter().find(|offer| offer.api_key == <$request>::KEY).expect("on offer");
            for version in offer.min_version.max(if <$request>::KEY == 0 { 3 } else { 0 })..=offer.max_version {
                let fill: &dyn Fn(i16) -> $request = &$fill;
                let answer = eve.ask(version, &fill(version)).await;
                let codes: fn(_, i16) -> Vec<i16> = $codes;
                assert_eq!(codes(answer, version), $expected, "{} v{version}", stringify!($request));
            }
            checked.insert(<$request>::KEY);
        })* };
    }
    let group = || GroupId(text("g"));
    let tid = || TransactionalId(text("x"));
    const NOTHING: [i16; 0] = [];
    refused! {
        ProduceRequest, [29], |v| {
            let mut request = produce("t", batch(&["x"]), -1);
            if v >= 13 { request.topic_data[0].topic_id = id; request.topic_data[0].name = Default::default(); }
            request
        }, |a: ProduceResponse, _| vec![a.responses[0].partition_responses[0].error_code];
        FetchRequest, [29], |v| {
            let mut topic = fetch_request::FetchTopic::default();
            if v >= 13 { topic.topic_id = id } else { topic.topic = topic_name("t") }
            topic.partitions = vec![fetch_request::FetchPartition::default().with_partition_max_bytes(1000)];
            FetchRequest::default().with_max_bytes(1000).with_topics(vec![topic])
        }, |a: FetchResponse, _| vec![a.responses[0].partitions[0].error_code];
        ListOffsetsRequest, [29], |_| ListOffsetsRequest::default().with_topics(vec![
            list_offsets_request::ListOffsetsTopic::default().with_name(topic_name("t"))
                .with_partitions(vec![list_offsets_request::ListOffsetsPartition::default().with_timestamp(-1)]),
        ]), |a: ListOffsetsResponse, _| vec![a.topics[0].partitions[0].error_code];
        OffsetForLeaderEpochRequest, [29], |_| OffsetForLeaderEpochRequest::default().with_topics(vec![
            offset_for_leader_epoch_request::OffsetForLeaderTopic::default().with_topic(topic_name("t"))
                .with_partitions(vec![Default::default()]),
        ]), |a: OffsetForLeaderEpochResponse, _| vec![a.topics[0].partitions[0].error_code];
        MetadataRequest, [29, 29], |_| MetadataRequest::default().with_topics(Some(["t", "none"].map(|name| {
            metadata_request::MetadataRequestTopic::default().with_name(Some(topic_name(name)))
        }).into())), |a: MetadataResponse, _| a.topics.iter().map(|topic| topic.error_code).collect();
        DescribeTopicPartitionsRequest, [29], |_| DescribeTopicPartitionsRequest::default().with_topics(vec![
            describe_topic_partitions_request::TopicRequest::default().with_name(topic_name("t")),
        ]), |a: DescribeTopicPartitionsResponse, _| a.topics.iter().map(|topic| topic.error_code).collect();
        FindCoordinatorRequest, [30], |v| if v >= 4 {
            FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g")])
        } else { FindCoordinatorRequest::default().with_key(text("g")) },
            |a: FindCoordinatorResponse, v| if v >= 4 { vec![a.coordinators[0].error_code] } else { vec![a.error_code] };
        JoinGroupRequest, [30], |_| JoinGroupRequest::default().with_group_id(group()).with_session_timeout_ms(10000),
            |a: JoinGroupResponse, _| vec![a.error_code];
        SyncGroupRequest, [30], |v| {
            let request = SyncGroupRequest::default().with_group_id(group());
            if v >= 5 { request.with_protocol_type(Some(text("p"))).with_protocol_name(Some(text("p"))) } else { request }
        }, |a: SyncGroupResponse, _| vec![a.error_code];
        HeartbeatRequest, [30], |_| HeartbeatRequest::default().with_group_id(group()), |a: HeartbeatResponse, _| vec![a.error_code];
        LeaveGroupRequest, [30], |_| LeaveGroupRequest::default().with_group_id(group()), |a: LeaveGroupResponse, _| vec![a.error_code];
        OffsetCommitRequest, [30], |_| OffsetCommitRequest::default().with_group_id(group()).with_topics(vec![
            offset_commit_request::OffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![Default::default()]),
        ]), |a: OffsetCommitResponse, _| vec![a.topics[0].partitions[0].error_code];
        OffsetFetchRequest, [30], |v| if v >= 8 {
            let wanted = offset_fetch_request::OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(None);
            OffsetFetchRequest::default().with_groups(vec![wanted])
        } else {
            OffsetFetchRequest::default().with_group_id(group()).with_topics(Some(vec![
                offset_fetch_request::OffsetFetchRequestTopic::default().with_name(topic_name("t")).with_partition_indexes(vec![0]),
            ]))
        }, |a: OffsetFetchResponse, v| match v {
            8.. => vec![a.groups[0].error_code],
            2.. => vec![a.error_code],
            _ => vec![a.topics[0].partitions[0].error_code],
        };
        DescribeGroupsRequest, [30], |_| DescribeGroupsRequest::default().with_groups(vec![group()]),
            |a: DescribeGroupsResponse, _| vec![a.groups[0].error_code];
        ListGroupsRequest, NOTHING, |_| ListGroupsRequest::default(), |a: ListGroupsResponse, _| a.groups.iter().map(|_| 0).collect();
        DeleteGroupsRequest, [30], |_| DeleteGroupsRequest::default().with_groups_names(vec![group()]),
            |a: DeleteGroupsResponse, _| vec![a.results[0].error_code];
        OffsetDeleteRequest, [30], |_| OffsetDeleteRequest::default().with_group_id(group()), |a: OffsetDeleteResponse, _| vec![a.error_code];
        CreateTopicsRequest, [29], |_| CreateTopicsRequest::default().with_topics(vec![
            create_topics_request::CreatableTopic::default().with_name(topic_name("new")).with_num_partitions(1).with_replication_factor(1),
        ]), |a: CreateTopicsResponse, _| vec![a.topics[0].error_code];
        DeleteTopicsRequest, [29], |v| if v >= 6 {
            DeleteTopicsRequest::default().with_topics(vec![delete_topics_request::DeleteTopicState::default().with_name(None).with_topic_id(id)])
        } else { DeleteTopicsRequest::default().with_topic_names(vec![topic_name("t")]) },
            |a: DeleteTopicsResponse, v| {
                assert!(v < 6 || a.responses[0].name.is_none(), "names do not leak");
                vec![a.responses[0].error_code]
            };
        DeleteRecordsRequest, [29], |_| DeleteRecordsRequest::default().with_topics(vec![
            delete_records_request::DeleteRecordsTopic::default().with_name(topic_name("t")).with_partitions(vec![Default::default()]),
        ]), |a: DeleteRecordsResponse, _| vec![a.topics[0].partitions[0].error_code];
        CreatePartitionsRequest, [29], |_| CreatePartitionsRequest::default().with_topics(vec![
            create_partitions_request::CreatePartitionsTopic::default().with_name(topic_name("t")).with_count(9),
        ]), |a: CreatePartitionsResponse, _| vec![a.results[0].error_code];
        DescribeConfigsRequest, [29, 31, 30], |_| DescribeConfigsRequest::default().with_resources([(2, "t"), (4, "1"), (32, "g")].map(|(kind, name)| {
            describe_configs_request::DescribeConfigsResource::default().with_resource_type(kind).with_resource_name(text(name))
        }).into()), |a: DescribeConfigsResponse, _| a.results.iter().map(|row| row.error_code).collect();
        AlterConfigsRequest, [29, 31], |_| AlterConfigsRequest::default().with_resources([(2, "t"), (4, "1")].map(|(kind, name)| {
            alter_configs_request::AlterConfigsResource::default().with_resource_type(kind).with_resource_name(text(name))
        }).into()), |a: AlterConfigsResponse, _| a.responses.iter().map(|row| row.error_code).collect();
        IncrementalAlterConfigsRequest, [29, 31], |_| IncrementalAlterConfigsRequest::default().with_resources([(2, "t"), (4, "1")].map(|(kind, name)| {
            incremental_alter_configs_request::AlterConfigsResource::default().with_resource_type(kind).with_resource_name(text(name))
        }).into()), |a: IncrementalAlterConfigsResponse, _| a.responses.iter().map(|row| row.error_code).collect();
        ListConfigResourcesRequest, [31], |_| ListConfigResourcesRequest::default(), |a: ListConfigResourcesResponse, _| vec![a.error_code];
        DescribeLogDirsRequest, NOTHING, |_| DescribeLogDirsRequest::default().with_topics(None), |a: DescribeLogDirsResponse, v| {
            assert!(v < 3 || a.error_code == 31);
            a.results.iter().map(|_| 0).collect()
        };
        ElectLeadersRequest, NOTHING, |_| ElectLeadersRequest::default().with_topic_partitions(None), |a: ElectLeadersResponse, v| {
            assert!(v < 1 || a.error_code == 31);
            a.replica_election_results.iter().map(|_| 0).collect()
        };
        InitProducerIdRequest, [53], |_| InitProducerIdRequest::default().with_transactional_id(Some(tid())).with_transaction_timeout_ms(1000),
            |a: InitProducerIdResponse, _| vec![a.error_code];
        InitProducerIdRequest, [31], |_| InitProducerIdRequest::default().with_transactional_id(None),
            |a: InitProducerIdResponse, _| vec![a.error_code];
        AddPartitionsToTxnRequest, [53], |_| AddPartitionsToTxnRequest::default().with_v3_and_below_transactional_id(tid())
            .with_v3_and_below_topics(vec![add_partitions_to_txn_request::AddPartitionsToTxnTopic::default()
                .with_name(topic_name("t")).with_partitions(vec![0])]),
            |a: AddPartitionsToTxnResponse, _| vec![a.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code];
        AddOffsetsToTxnRequest, [53], |_| AddOffsetsToTxnRequest::default().with_transactional_id(tid()).with_group_id(group()),
            |a: AddOffsetsToTxnResponse, _| vec![a.error_code];
        EndTxnRequest, [53], |_| EndTxnRequest::default().with_transactional_id(tid()), |a: EndTxnResponse, _| vec![a.error_code];
        TxnOffsetCommitRequest, [53], |_| TxnOffsetCommitRequest::default().with_transactional_id(tid()).with_group_id(group()).with_topics(vec![
            txn_offset_commit_request::TxnOffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![Default::default()]),
        ]), |a: TxnOffsetCommitResponse, _| vec![a.topics[0].partitions[0].error_code];
        DescribeTransactionsRequest, [53], |_| DescribeTransactionsRequest::default().with_transactional_ids(vec![tid()]),
            |a: DescribeTransactionsResponse, _| vec![a.transaction_states[0].error_code];
        ListTransactionsRequest, NOTHING, |_| ListTransactionsRequest::default(), |a: ListTransactionsResponse, _| a.transaction_states.iter().map(|_| 0).collect();
        DescribeAclsRequest, [31], |_| DescribeAclsRequest::default().with_pattern_type_filter(1).with_resource_type_filter(1)
            .with_operation(1).with_permission_type(1), |a: DescribeAclsResponse, _| vec![a.error_code];
        CreateAclsRequest, [31], |_| CreateAclsRequest::default().with_creations(vec![rule(TOPIC, "t", LITERAL, "User:eve", ALL, ALLOW)]),
            |a: CreateAclsResponse, _| vec![a.results[0].error_code];
        DeleteAclsRequest, [31], |_| DeleteAclsRequest::default().with_filters(vec![
            delete_acls_request::DeleteAclsFilter::default().with_pattern_type_filter(1).with_resource_type_filter(1).with_operation(1).with_permission_type(1),
        ]), |a: DeleteAclsResponse, _| vec![a.filter_results[0].error_code];
        DescribeUserScramCredentialsRequest, [31], |_| DescribeUserScramCredentialsRequest::default(),
            |a: DescribeUserScramCredentialsResponse, _| vec![a.error_code];
        AlterUserScramCredentialsRequest, [31], |_| AlterUserScramCredentialsRequest::default()
            .with_upsertions(vec![upsertion("eve", ScramHash::Sha512, "x", 4096)]),
            |a: AlterUserScramCredentialsResponse, _| vec![a.results[0].error_code];
        ConsumerGroupHeartbeatRequest, [30], |_| ConsumerGroupHeartbeatRequest::default().with_group_id(group()).with_member_id(text("m")),
            |a: ConsumerGroupHeartbeatResponse, _| vec![a.error_code];
        ConsumerGroupDescribeRequest, [30], |_| ConsumerGroupDescribeRequest::default().with_group_ids(vec![group()]),
            |a: ConsumerGroupDescribeResponse, _| vec![a.groups[0].error_code];
        DescribeProducersRequest, [29], |_| DescribeProducersRequest::default().with_topics(vec![
            describe_producers_request::TopicRequest::default().with_name(topic_name("t")).with_partition_indexes(vec![0]),
        ]), |a: DescribeProducersResponse, _| vec![a.topics[0].partitions[0].error_code];
        DescribeClientQuotasRequest, [31], |_| DescribeClientQuotasRequest::default(), |a: DescribeClientQuotasResponse, _| vec![a.error_code];
        AlterClientQuotasRequest, [31], |_| AlterClientQuotasRequest::default().with_entries(vec![
            alter_client_quotas_request::EntryData::default(),
        ]), |a: AlterClientQuotasResponse, _| vec![a.entries[0].error_code];
        // What needs no rights.
        DescribeClusterRequest, [0], |_| DescribeClusterRequest::default(), |a: DescribeClusterResponse, _| vec![a.error_code];
        SaslHandshakeRequest, [34], |_| handshake("PLAIN"), |a: SaslHandshakeResponse, _| vec![a.error_code];
        SaslAuthenticateRequest, [34], |_| token("x"), |a: SaslAuthenticateResponse, _| vec![a.error_code];
        ApiVersionsRequest, [0], |v| if v >= 3 {
            ApiVersionsRequest::default().with_client_software_name(text("t")).with_client_software_version(text("1"))
        } else { ApiVersionsRequest::default() }, |a: ApiVersionsResponse, _| vec![a.error_code];
    }
    let unchecked: Vec<_> = offers.iter().map(|offer| offer.api_key).filter(|key| !checked.contains(key)).collect();
    assert_eq!(unchecked, NOTHING, "say in `access` what these APIs need, and check it here");

    // Nothing was listed, made or lost.
    assert_eq!(eve.ask(8, &MetadataRequest::default().with_topics(None)).await.topics, []);
    assert_eq!(
        eve.ask(0, &DescribeTopicPartitionsRequest::default().with_response_partition_limit(10)).await.topics,
        []
    );
    let topics: Vec<_> = root.ask(8, &MetadataRequest::default().with_topics(None)).await.topics;
    let names: Vec<_> = topics
        .iter()
        .filter(|t| !t.name.as_ref().expect("named").starts_with('_'))
        .map(|t| t.name.clone().expect("named").to_string())
        .collect();
    assert_eq!(names, ["t"]);
    // Groups and topics are asked for singly: a right to one is none to the other.
    make_rules(&mut root, vec![rule(GROUP, "g", LITERAL, "User:eve", READ, ALLOW)]).await;
    let commit = OffsetCommitRequest::default().with_group_id(group()).with_topics(vec![
        offset_commit_request::OffsetCommitRequestTopic::default()
            .with_name(topic_name("t"))
            .with_partitions(vec![Default::default()]),
    ]);
    assert_eq!(eve.ask(8, &commit).await.topics[0].partitions[0].error_code, 29);
    make_rules(&mut root, vec![rule(TOPIC, "t", LITERAL, "User:eve", READ, ALLOW)]).await;
    assert_eq!(eve.ask(8, &commit).await.topics[0].partitions[0].error_code, 0);
    server.stop().await;
}
