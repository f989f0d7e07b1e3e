//! Who gets in: the order of a login, credentials, sessions, tokens, certificates.

mod common;

use std::{path::Path, sync::Arc, time::Duration};

use base64::{
    Engine, engine::general_purpose::STANDARD as BASE64, engine::general_purpose::URL_SAFE_NO_PAD as BASE64_URL,
};
use broker::BrokerSettings;
use bytes::{BufMut, Bytes, BytesMut};
use common::{guarded::*, *};
use kafka_protocol::{messages::*, protocol::Request};
use ring::{
    digest, hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use security::{
    BootstrapUser, ClientAuth, Jwks, OauthSettings, Principal, Protocol, SecuritySettings, TlsSettings,
    sasl::Mechanism, scram::ScramHash,
};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::rustls;

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

/// Who asks for a salt must not learn who is there: those of users stay over restarts, and so do all others. Iterations come with it.
#[tokio::test]
async fn a_salt_says_nothing_of_whether_there_is_a_user() {
    let dir = tempfile::tempdir().expect("directory");
    let salts = async |server: &Server| {
        let mut salts = Vec::new();
        for user in ["root", "nobody", "nobody", "somebody"] {
            let mut client = server.client().await;
            client.ask(1, &handshake("SCRAM-SHA-256")).await;
            let first = client.ask(2, &token(Scram::new(ScramHash::Sha256, user).first())).await.auth_bytes;
            let first = String::from_utf8(first.to_vec()).expect("text");
            let (_nonce, shown) = first.split_once(',').expect("salt and iterations");
            salts.push(shown.to_owned());
        }
        salts
    };
    let server = serve_guarded(dir.path(), guarded()).await;
    let before = salts(&server).await;
    server.stop().await;
    let server = serve_guarded(dir.path(), guarded()).await;
    assert_eq!(salts(&server).await, before);
    server.stop().await;
    let [root, nobody, again, somebody] = before.as_slice() else { panic!("four: {before:?}") };
    assert_eq!(nobody, again);
    assert!(root != nobody && nobody != somebody, "{before:?}");
    assert!(before.iter().all(|shown| shown.len() == root.len() && shown.ends_with(",i=8192")), "{before:?}");
    // Another node's salts are others.
    let other = tempfile::tempdir().expect("directory");
    let server = serve_guarded(other.path(), guarded()).await;
    assert_ne!(salts(&server).await[1], *nobody);
    server.stop().await;
}

async fn send_bare(client: &mut Client, token: &[u8]) {
    let mut frame = BytesMut::new();
    frame.put_i32(token.len() as i32);
    frame.put_slice(token);
    client.stream.write_all(&frame).await.expect("sends");
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
    // Who writes it is no secret of theirs: tools ask that of every topic there is.
    let topic = describe_producers_request::TopicRequest::default()
        .with_name(topic_name(model::USERS_TOPIC))
        .with_partition_indexes(vec![0]);
    let asked = DescribeProducersRequest::default().with_topics(vec![topic]);
    assert_eq!(root.ask(0, &asked).await.topics[0].partitions[0].error_code, 0);
    assert_eq!(alice.ask(0, &asked).await.topics[0].partitions[0].error_code, 29);
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
    let security = SecuritySettings { reauthenticate_after: Some(Duration::from_millis(2500)), ..guarded() };
    let (server, clock) = serve_by_hand(dir.path(), BrokerSettings { security, ..BrokerSettings::default() }).await;
    let mut renews = server.client().await;
    let answer = plain(&mut renews, ROOT.0, ROOT.1).await;
    assert_eq!(answer.session_lifetime_ms, 2500);
    make_user(&mut renews, "alice", "a").await;
    let mut forgets = server.root().await;
    let mut changes = server.root().await;
    let mut switches = server.root().await;
    let mut fails = server.root().await;
    assert_eq!(renews.ask(1, &handshake("PLAIN")).await.error_code, 34, "just logged in");
    clock.advance(Duration::from_millis(1500));

    assert_eq!(plain(&mut renews, ROOT.0, ROOT.1).await.error_code, 0);
    assert_eq!(plain(&mut changes, "alice", "a").await.error_code, 58, "a connection never changes hands");
    assert!(is_closed(&mut changes).await);
    assert_eq!(switches.ask(1, &handshake("SCRAM-SHA-256")).await.error_code, 33);
    assert!(is_closed(&mut switches).await);
    assert_eq!(plain(&mut fails, ROOT.0, "wrong").await.error_code, 58);
    assert!(is_closed(&mut fails).await);
    forgets.create_topic("before", 1).await;

    clock.advance(Duration::from_millis(1000));
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
