//! Before the first request: TLS, and SASL in the order Kafka's clients keep to.
//!
//! ```text
//!        ┌ ApiVersions (once) ┐
//!  ──────┴────────────────────┴→ SaslHandshake ──→ SaslAuthenticate … ──→ in
//!                                      └─ v0 ────→ bare tokens …     ──→ in
//! ```
//! Anything else closes the connection, with ILLEGAL_SASL_STATE first where the protocol can say so. Who is in may, and once
//! the session is over must, go through the second half again on the same connection (KIP-368).

use std::{sync::Arc, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        ApiKey, ApiVersionsRequest, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
        SaslHandshakeResponse,
    },
    protocol::StrBytes,
};
use security::{
    ClientAuth, Principal, Security,
    audit::Refusal,
    sasl::{Login, Mechanism, Refused, SaslExchange, Step},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{
    dispatch::{Client, Context, Outcome, decode, encode_as, rest_of_header},
    frame::{Header, Reader, Response},
    handlers::{errors, metadata},
    server::Shared,
    shape, versions,
};

/// Largest frame of somebody unknown (`sasl.server.max.receive.size`).
pub(crate) const FRAME_BYTES_MAX: i32 = 512 << 10;
/// What a frame may hold without asking for memory: more than any real token.
const FRAME_BYTES_FREE: usize = 16 << 10;
/// Memory for what is beyond that, over all connections. Whoever takes it all away keeps nobody with a real token out.
pub(crate) const FRAMES_BYTES_MAX: usize = 64 << 20;
/// Frames of one login; real ones take four.
const FRAMES_MAX: usize = 20;
/// What clients are told, whatever it was.
const FAILED: &str = "Authentication failed: the name, the password or the token is not right";

/// Where a login stands.
pub(crate) struct LoginState {
    stage: Stage,
    /// Whose session it shall prolong, if any.
    renews: Option<(Mechanism, Principal)>,
}

enum Stage {
    /// SaslHandshake comes, or ApiVersions before it.
    Start,
    Handshake,
    /// Tokens come, in requests or bare.
    Tokens {
        exchange: SaslExchange,
        bare: bool,
    },
}

/// What a frame led to.
enum Next {
    Reply(Outcome),
    In(Outcome, Mechanism, Login),
}

/// Nobody gets in here: what to say, if anything, before the connection closes.
struct Out {
    reply: Option<Outcome>,
    mechanism: Option<Mechanism>,
    refused: Refused,
}

impl Out {
    fn silent(why: impl Into<String>) -> Self {
        Self { reply: None, mechanism: None, refused: Refused { claims: None, why: why.into() } }
    }
}

/// Somebody is in: for how long.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) mechanism: Mechanism,
    pub(crate) principal: Principal,
    pub(crate) since: Duration,
    /// On the monotonic clock.
    pub(crate) until: Option<Duration>,
}

impl Session {
    /// With the lifetime that the client is told, in milliseconds; 0: for ever.
    fn begin(shared: &Shared, mechanism: Mechanism, login: Login) -> (Self, i64) {
        let clock = &shared.world.clock;
        let by_token = login.expires_ms.map(|at| at.saturating_sub(clock.now_ms()).max(0));
        let longest = shared.security.settings.reauthenticate_after;
        let by_settings = longest.map(|longest| i64::try_from(longest.as_millis()).unwrap_or(i64::MAX));
        let lifetime = by_token.into_iter().chain(by_settings).min();
        let since = clock.monotonic();
        let until = lifetime.map(|ms| since.saturating_add(Duration::from_millis(u64::try_from(ms).unwrap_or(0))));
        (Self { mechanism, principal: login.principal, since, until }, lifetime.unwrap_or(0))
    }
}

/// Lets somebody in, or says why not. The stream is just behind the last frame of the login.
pub(crate) async fn log_in(
    shared: &Arc<Shared>,
    client: &Arc<Client>,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> Result<Session, String> {
    let mut login = LoginState { stage: Stage::Start, renews: None };
    for _ in 0..FRAMES_MAX {
        let Some(frame) = next_frame(shared, stream).await? else {
            return Err("the client left before it was in".to_owned());
        };
        match login.frame(shared, client, frame).await {
            Ok(Next::Reply(outcome)) => send(stream, outcome).await?,
            Ok(Next::In(outcome, mechanism, in_as)) => {
                let (session, _) = Session::begin(shared, mechanism, in_as);
                send(stream, outcome).await?;
                return Ok(session);
            }
            Err(out) => {
                let why = failed(shared, client, &out).await;
                if let Some(reply) = out.reply {
                    send(stream, reply).await?;
                }
                return Err(why);
            }
        }
    }
    Err("too many requests came before a login".to_owned())
}

/// Takes note of a login that failed, and takes its time.
async fn failed(shared: &Shared, client: &Client, out: &Out) -> String {
    shared.security.refused(Refusal {
        event: "authentication",
        principal: out.refused.claims.as_ref().map_or_else(String::new, |name| Principal::user(name).to_string()),
        peer: client.peer.ip().to_canonical().to_string(),
        operation: out.mechanism.map_or("", Mechanism::name).to_owned(),
        resource: String::new(),
        why: out.refused.why.clone(),
    });
    // Guessing takes time.
    tokio::time::sleep(shared.dynamic.door().failed_login_delay).await;
    format!("nobody got in: {}", out.refused.why)
}

/// TLS did not come about. Worth an audit where a certificate was to prove who somebody is.
pub(crate) fn no_handshake(security: &Security, peer: std::net::SocketAddr, error: &std::io::Error) {
    if security.settings.tls.as_ref().is_some_and(|tls| tls.client_auth != ClientAuth::None) {
        security.refused(Refusal {
            event: "authentication",
            principal: String::new(),
            peer: peer.ip().to_canonical().to_string(),
            operation: "TLS".to_owned(),
            resource: String::new(),
            why: error.to_string(),
        });
    }
}

/// A whole frame without its length; `None` at the end of the stream.
async fn next_frame(shared: &Shared, stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<Bytes>, String> {
    let length = match stream.read_i32().await {
        Ok(length) => length,
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    if !(0..=FRAME_BYTES_MAX).contains(&length) {
        return Err(format!("a frame of {length} bytes came before a login: is the client's security.protocol right?"));
    }
    let beyond = (length as usize).saturating_sub(FRAME_BYTES_FREE);
    let _permit = shared.login_frames.acquire_many(beyond as u32).await.map_err(|error| error.to_string())?;
    // Memory follows the bytes that come.
    let mut frame = BytesMut::new();
    let mut rest = stream.take(length as u64);
    while rest.limit() > 0 {
        if rest.read_buf(&mut frame).await.map_err(|error| error.to_string())? == 0 {
            return Err("the connection ended in the middle of a frame".to_owned());
        }
    }
    Ok(Some(frame.freeze()))
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), outcome: Outcome) -> Result<(), String> {
    let Outcome::Response(response) = outcome else { return Err("a response could not be encoded".to_owned()) };
    let sent = async {
        for chunk in response.chunks {
            stream.write_all(&chunk).await?;
        }
        stream.flush().await
    };
    sent.await.map_err(|error: std::io::Error| error.to_string())
}

impl LoginState {
    async fn frame(&mut self, shared: &Arc<Shared>, client: &Arc<Client>, frame: Bytes) -> Result<Next, Out> {
        if let Stage::Tokens { exchange, bare: true } = &mut self.stage {
            let mechanism = exchange.mechanism();
            let step = exchange.step(&shared.security, &frame).await;
            return match step {
                Ok(Step::Challenge(token)) => Ok(Next::Reply(bare(&token))),
                Ok(Step::Done(token, login)) => Ok(Next::In(bare(&token), mechanism, login)),
                Err(refused) => Err(Out { reply: None, mechanism: Some(mechanism), refused }),
            };
        }
        let request = Request::read(frame).map_err(Out::silent)?;
        match (request.key, request.offered) {
            (ApiKey::ApiVersions, false) => Ok(Next::Reply(metadata::api_versions_unsupported(request.correlation))),
            (ApiKey::ApiVersions, true) => self.versions(shared, client, request).await,
            (ApiKey::SaslHandshake, true) => self.handshake(&shared.security, &request),
            (ApiKey::SaslAuthenticate, true) => self.token(shared, &request).await,
            _ => Err(Out::silent(format!("{:?} came before a login", request.key))),
        }
    }

    async fn versions(&mut self, shared: &Arc<Shared>, client: &Arc<Client>, request: Request) -> Result<Next, Out> {
        if !matches!(self.stage, Stage::Start) {
            return Err(Out::silent("ApiVersions came at the wrong moment of a login"));
        }
        let Request { version, correlation, .. } = request;
        let body: ApiVersionsRequest = request.body()?;
        let (shared, client) = (shared.clone(), client.clone());
        let context = Context { shared, client, version, correlation, client_id: String::new(), spent: None };
        let response = metadata::api_versions(&context, body).await;
        if response.error_code == 0 {
            self.stage = Stage::Handshake;
        }
        Ok(Next::Reply(encode_as(correlation, version, &response)))
    }

    fn handshake(&mut self, security: &Security, request: &Request) -> Result<Next, Out> {
        let body: SaslHandshakeRequest = request.body()?;
        let enabled = &security.settings.mechanisms;
        let answer = |code| {
            let names = enabled.iter().map(|mechanism| StrBytes::from_static_str(mechanism.name())).collect();
            let response = SaslHandshakeResponse::default().with_error_code(code).with_mechanisms(names);
            encode_as(request.correlation, request.version, &response)
        };
        let out = |code, why: &str| Err(Out { reply: Some(answer(code)), ..Out::silent(why) });
        if matches!(self.stage, Stage::Tokens { .. }) {
            return out(errors::ILLEGAL_SASL_STATE, "SaslHandshake came at the wrong moment of a login");
        }
        let wanted = Mechanism::parse(&body.mechanism).filter(|mechanism| enabled.contains(mechanism));
        let Some(mechanism) = wanted else {
            return out(errors::UNSUPPORTED_SASL_MECHANISM, "the client wants a mechanism that is not enabled");
        };
        if self.renews.as_ref().is_some_and(|(before, _)| *before != mechanism) {
            return out(errors::UNSUPPORTED_SASL_MECHANISM, "a session is renewed by the mechanism it began with");
        }
        self.stage = Stage::Tokens { exchange: SaslExchange::new(mechanism), bare: request.version == 0 };
        Ok(Next::Reply(answer(0)))
    }

    async fn token(&mut self, shared: &Arc<Shared>, request: &Request) -> Result<Next, Out> {
        let answer = |response: SaslAuthenticateResponse| encode_as(request.correlation, request.version, &response);
        let refusal = |code, why: &'static str| {
            let message = Some(StrBytes::from_static_str(why));
            answer(SaslAuthenticateResponse::default().with_error_code(code).with_error_message(message))
        };
        let body: SaslAuthenticateRequest = request.body()?;
        let Stage::Tokens { exchange, .. } = &mut self.stage else {
            let why = "SaslAuthenticate came before SaslHandshake";
            return Err(Out { reply: Some(refusal(errors::ILLEGAL_SASL_STATE, why)), ..Out::silent(why) });
        };
        let mechanism = exchange.mechanism();
        let refused = |refused| {
            let reply = Some(refusal(errors::SASL_AUTHENTICATION_FAILED, FAILED));
            Err(Out { reply, mechanism: Some(mechanism), refused })
        };
        match exchange.step(&shared.security, &body.auth_bytes).await {
            Ok(Step::Challenge(token)) => {
                Ok(Next::Reply(answer(SaslAuthenticateResponse::default().with_auth_bytes(token.into()))))
            }
            Ok(Step::Done(_, login)) if self.renews.as_ref().is_some_and(|(_, whose)| *whose != login.principal) => {
                let why = format!("the session is that of {}", self.renews.as_ref().expect("checked above").1);
                refused(Refused { claims: Some(login.principal.to_string()), why })
            }
            Ok(Step::Done(token, login)) => {
                let (_, lifetime) = Session::begin(shared, mechanism, login.clone());
                let response = SaslAuthenticateResponse::default().with_auth_bytes(token.into());
                let response =
                    if request.version >= 1 { response.with_session_lifetime_ms(lifetime) } else { response };
                Ok(Next::In(answer(response), mechanism, login))
            }
            Err(why) => refused(why),
        }
    }
}

/// A token without a request around it (SaslHandshake 0).
fn bare(token: &[u8]) -> Outcome {
    let mut out = BytesMut::with_capacity(token.len() + 4);
    out.put_i32(token.len() as i32);
    out.put_slice(token);
    Outcome::Response(Response { chunks: vec![out.freeze()], permit: None })
}

/// A request of a login.
pub(crate) struct Request {
    key: ApiKey,
    version: i16,
    correlation: i32,
    /// Whether this version is.
    offered: bool,
    body: Bytes,
}

impl Request {
    /// Reads what may come before a login, and nothing else.
    pub(crate) fn read(mut frame: Bytes) -> Result<Self, String> {
        let mut reader = Reader::new(&frame);
        let header = Header::parse(&mut reader).map_err(|error| format!("a request header is malformed: {error}"))?;
        let key = [ApiKey::ApiVersions, ApiKey::SaslHandshake, ApiKey::SaslAuthenticate];
        let key = key.into_iter().find(|key| *key as i16 == header.key);
        let key = key.ok_or_else(|| {
            format!(
                "a request with API key {} came before a login: is the client's security.protocol right?",
                header.key
            )
        })?;
        let offered = versions::find(header.key, header.version).is_some();
        let mut body = Bytes::new();
        if offered {
            let malformed = |error| format!("malformed {key:?} request: {error}");
            rest_of_header(&mut reader, key, header.version).map_err(malformed)?;
            body = frame.split_off(reader.position());
            shape::check(key, header.version, &body).map_err(malformed)?;
        }
        Ok(Self { key, version: header.version, correlation: header.correlation, offered, body })
    }

    /// Whether it is a whole request. For tests and fuzz/.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn is_whole(&self) -> bool {
        match self.key {
            ApiKey::ApiVersions => self.body::<ApiVersionsRequest>().is_ok(),
            ApiKey::SaslHandshake => self.body::<SaslHandshakeRequest>().is_ok(),
            _ => self.body::<SaslAuthenticateRequest>().is_ok(),
        }
    }

    fn body<R: kafka_protocol::protocol::Request>(&self) -> Result<R, Out> {
        decode::<R>(self.body.clone(), self.version)
            .map_err(|error| Out::silent(format!("malformed {:?} request: {error}", self.key)))
    }
}

// ── again, on a connection that is in ──

/// Least time between two logins on a connection, as in Kafka.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// SaslHandshake on a connection that is in: a new login begins, which the session outlasts or not.
pub(crate) async fn handshake_again(context: Context, body: Bytes) -> Outcome {
    let Context { shared, client, version, correlation, .. } = &context;
    let now = shared.world.clock.monotonic();
    let session = client.session.lock().clone();
    let Some(session) = session.filter(|session| now.saturating_sub(session.since) >= AGAIN_AFTER) else {
        // No SASL here, or just done: nothing changes.
        let response = SaslHandshakeResponse::default().with_error_code(errors::ILLEGAL_SASL_STATE);
        return encode_as(*correlation, *version, &response);
    };
    let mut login =
        LoginState { stage: Stage::Handshake, renews: Some((session.mechanism, session.principal.clone())) };
    let request =
        Request { key: ApiKey::SaslHandshake, version: *version, correlation: *correlation, offered: true, body };
    if *version == 0 {
        return Outcome::Close("a session cannot be renewed by bare tokens (SaslHandshake 0)".to_owned());
    }
    match login.handshake(&shared.security, &request) {
        Ok(Next::Reply(outcome) | Next::In(outcome, ..)) => {
            *client.renewal.lock().await = Some(login);
            outcome
        }
        Err(out) => farewell(&context, out).await,
    }
}

/// SaslAuthenticate on a connection that is in.
pub(crate) async fn authenticate_again(context: Context, body: Bytes) -> Outcome {
    let Context { shared, client, version, correlation, .. } = &context;
    let mut renewal = client.renewal.lock().await;
    let request =
        Request { key: ApiKey::SaslAuthenticate, version: *version, correlation: *correlation, offered: true, body };
    let Some(login) = renewal.as_mut() else {
        let response = SaslAuthenticateResponse::default()
            .with_error_code(errors::ILLEGAL_SASL_STATE)
            .with_error_message(Some(StrBytes::from_static_str("SaslAuthenticate came before SaslHandshake")));
        return encode_as(*correlation, *version, &response);
    };
    match login.token(shared, &request).await {
        Ok(Next::Reply(outcome)) => outcome,
        Ok(Next::In(outcome, mechanism, in_as)) => {
            *renewal = None;
            let (session, _) = Session::begin(shared, mechanism, in_as);
            *client.session.lock() = Some(session);
            outcome
        }
        Err(out) => {
            *renewal = None;
            farewell(&context, out).await
        }
    }
}

/// The last word, after which the connection closes.
async fn farewell(context: &Context, out: Out) -> Outcome {
    let why = failed(&context.shared, &context.client, &out).await;
    match out.reply {
        Some(Outcome::Response(response)) => Outcome::Farewell(response, why),
        _ => Outcome::Close(why),
    }
}
