//! From a frame to the handler that answers it.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{self as kafka, ApiKey},
    protocol::{Decodable, Encodable, HeaderVersion, Request},
};
use parking_lot::Mutex;
use security::Principal;

use crate::{
    fetch,
    frame::{Header, Read, Reader, Response},
    handlers::{
        acls, admin, configs, consumer_groups, features, group_admin, groups, markers, metadata, offsets, produce,
        quotas, reassignments, topics, transactions, users,
    },
    login::{self, LoginState, Session},
    quotas::{Limit, Spent},
    server::Shared,
    shape, versions,
};

/// What becomes of a request.
pub(crate) enum Outcome {
    Response(Response),
    /// The client wants none (Produce with `acks=0`).
    Silence,
    /// The protocol has no answer for this.
    Close(String),
    /// The last response: the connection closes after it.
    Farewell(Response, String),
}

pub(crate) type Answering = dyn Future<Output = Outcome> + Send;

/// Who is at the other end.
pub(crate) struct Client {
    pub(crate) peer: SocketAddr,
    /// Name and version of its library, once it has told them (ApiVersions ≥ 3).
    software: Mutex<String>,
    /// It is over its quota.
    muted_until: Mutex<Duration>,
    /// Who it is, once that is known.
    principal: OnceLock<Principal>,
    /// Its login, behind a door with SASL.
    pub(crate) session: Mutex<Option<Session>>,
    /// A login that shall prolong the session.
    pub(crate) renewal: tokio::sync::Mutex<Option<LoginState>>,
}

impl Client {
    pub(crate) fn new(peer: SocketAddr) -> Self {
        Self {
            peer,
            software: Mutex::default(),
            principal: OnceLock::new(),
            session: Mutex::default(),
            renewal: tokio::sync::Mutex::default(),
            muted_until: Mutex::default(),
        }
    }

    /// It has logged in.
    pub(crate) fn log_in(&self, session: Session) {
        self.is(session.principal.clone());
        *self.session.lock() = Some(session);
    }

    /// It has proved who it is. The first proof counts: a connection never changes hands.
    pub(crate) fn is(&self, principal: Principal) {
        self.principal.get_or_init(|| principal);
    }

    /// Whoever the door has not asked is anonymous.
    pub(crate) fn principal(&self) -> &Principal {
        self.principal.get_or_init(Principal::anonymous)
    }

    pub(crate) fn introduce(&self, name: &str, version: &str) {
        *self.software.lock() = format!("{name} {version}");
    }

    /// Nothing more is read from it before `until`, by the monotonic clock.
    pub(crate) fn mute(&self, until: Duration) {
        let mut muted = self.muted_until.lock();
        *muted = until.max(*muted);
    }

    pub(crate) fn muted_until(&self) -> Duration {
        *self.muted_until.lock()
    }
}

/// Everything a handler may want to know beside its request.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) shared: Arc<Shared>,
    pub(crate) client: Arc<Client>,
    pub(crate) version: i16,
    pub(crate) correlation: i32,
    /// As the request's header gives it; empty if null.
    pub(crate) client_id: String,
    /// What the request has taken so far, if that counts.
    pub(crate) spent: Option<Arc<Spent>>,
}

/// Starts a request; the next of its connection is read when this returns. `Err`: nothing in the protocol can answer it, and
/// the connection must close.
pub(crate) async fn dispatch(
    shared: &Arc<Shared>,
    client: &Arc<Client>,
    frame: Bytes,
) -> Result<Pin<Box<Answering>>, String> {
    if !shared.quotas.limits(Limit::Request) {
        return start(shared, client, frame, None).await.map(|(_, answer)| answer);
    }
    // Produce looks into its batches before the next request is read: that is most of what it takes.
    let spent = Arc::<Spent>::default();
    let started = Box::pin(start(shared, client, frame, Some(spent.clone())));
    let (timed, answer) = spent.measure(&*shared.world.clock, started).await?;
    Ok(match timed {
        Some((context, key)) => Box::pin(context.timed(key, spent, answer)),
        None => answer,
    })
}

/// A request under way, and where it comes from if the time it takes counts.
type Started = (Option<(Context, ApiKey)>, Pin<Box<Answering>>);

async fn start(
    shared: &Arc<Shared>,
    client: &Arc<Client>,
    mut frame: Bytes,
    spent: Option<Arc<Spent>>,
) -> Result<Started, String> {
    let bad = |what: &str, header: &Header, why: String| {
        let software = client.software.lock().clone();
        format!("{what} (API key {}, version {}, client `{software}`): {why}", header.key, header.version)
    };
    let mut reader = Reader::new(&frame);
    let header = Header::parse(&mut reader).map_err(|e| format!("a request header is malformed: {e}"))?;
    let Some((which, offer)) = versions::find(header.key, header.version) else {
        if header.key == ApiKey::ApiVersions as i16 {
            return Ok((None, ready(metadata::api_versions_unsupported(header.correlation))));
        }
        return Err(bad("request not offered", &header, "neither this API nor this version is advertised".to_owned()));
    };
    shared.stats.request(which);
    let (key, version) = (offer.key, header.version);
    let is_login = matches!(key, ApiKey::SaslHandshake | ApiKey::SaslAuthenticate);
    let now = shared.world.clock.monotonic();
    if !is_login && client.session.lock().as_ref().is_some_and(|session| session.until.is_some_and(|end| now >= end)) {
        let why = "it should have logged in again (KIP-368)".to_owned();
        return Err(bad("request after the end of a session", &header, why));
    }
    let malformed = |e| bad("malformed request", &header, format!("{e}"));
    let client_id = rest_of_header(&mut reader, key, version).map_err(malformed)?;
    let body = frame.split_off(reader.position());
    let (shared, client, correlation) = (shared.clone(), client.clone(), header.correlation);
    let context = Context { shared, client, version, correlation, client_id, spent };
    let timed = context.spent.is_some().then(|| (context.clone(), key));
    match key {
        ApiKey::Produce => return Ok((timed, produce::produce(context, &body).await.map_err(malformed)?)),
        ApiKey::Fetch => return Ok((timed, fetch::fetch(context, &body).map_err(malformed)?)),
        _ => shape::check(key, version, &body).map(drop).map_err(malformed)?,
    }
    match key {
        ApiKey::SaslHandshake => return Ok((timed, Box::pin(login::handshake_again(context, body)))),
        ApiKey::SaslAuthenticate => return Ok((timed, Box::pin(login::authenticate_again(context, body)))),
        _ => {}
    }

    macro_rules! to {
        ($handler:path, $request:ty) => {{
            let request = decode::<$request>(body, version).map_err(|e| bad("malformed request", &header, e))?;
            Box::pin(async move {
                let response = $handler(&context, request).await;
                encode::<$request>(&context, &response)
            })
        }};
    }
    let answer: Pin<Box<Answering>> = match key {
        ApiKey::ApiVersions => to!(metadata::api_versions, kafka::ApiVersionsRequest),
        ApiKey::Metadata => to!(metadata::metadata, kafka::MetadataRequest),
        ApiKey::DescribeCluster => to!(metadata::describe_cluster, kafka::DescribeClusterRequest),
        ApiKey::DescribeTopicPartitions => {
            to!(metadata::describe_topic_partitions, kafka::DescribeTopicPartitionsRequest)
        }
        ApiKey::ListOffsets => to!(offsets::list_offsets, kafka::ListOffsetsRequest),
        ApiKey::OffsetForLeaderEpoch => to!(offsets::leader_epochs, kafka::OffsetForLeaderEpochRequest),
        ApiKey::FindCoordinator => to!(groups::find_coordinator, kafka::FindCoordinatorRequest),
        ApiKey::JoinGroup => to!(groups::join, kafka::JoinGroupRequest),
        ApiKey::SyncGroup => to!(groups::sync, kafka::SyncGroupRequest),
        ApiKey::Heartbeat => to!(groups::heartbeat, kafka::HeartbeatRequest),
        ApiKey::LeaveGroup => to!(groups::leave, kafka::LeaveGroupRequest),
        ApiKey::OffsetCommit => to!(groups::commit, kafka::OffsetCommitRequest),
        ApiKey::OffsetFetch => to!(groups::fetch_offsets, kafka::OffsetFetchRequest),
        ApiKey::DescribeGroups => to!(group_admin::describe, kafka::DescribeGroupsRequest),
        ApiKey::ListGroups => to!(group_admin::list, kafka::ListGroupsRequest),
        ApiKey::DeleteGroups => to!(group_admin::delete, kafka::DeleteGroupsRequest),
        ApiKey::OffsetDelete => to!(group_admin::delete_offsets, kafka::OffsetDeleteRequest),
        ApiKey::ConsumerGroupHeartbeat => to!(consumer_groups::heartbeat, kafka::ConsumerGroupHeartbeatRequest),
        ApiKey::ConsumerGroupDescribe => to!(consumer_groups::describe, kafka::ConsumerGroupDescribeRequest),
        ApiKey::CreateTopics => to!(topics::create, kafka::CreateTopicsRequest),
        ApiKey::DeleteTopics => to!(topics::delete, kafka::DeleteTopicsRequest),
        ApiKey::CreatePartitions => to!(topics::create_partitions, kafka::CreatePartitionsRequest),
        ApiKey::DeleteRecords => to!(topics::delete_records, kafka::DeleteRecordsRequest),
        ApiKey::DescribeConfigs => to!(configs::describe, kafka::DescribeConfigsRequest),
        ApiKey::AlterConfigs => to!(configs::alter, kafka::AlterConfigsRequest),
        ApiKey::IncrementalAlterConfigs => to!(configs::alter_incrementally, kafka::IncrementalAlterConfigsRequest),
        ApiKey::ListConfigResources => to!(configs::list, kafka::ListConfigResourcesRequest),
        ApiKey::ElectLeaders => to!(admin::elect_leaders, kafka::ElectLeadersRequest),
        ApiKey::AlterPartitionReassignments => to!(reassignments::alter, kafka::AlterPartitionReassignmentsRequest),
        ApiKey::ListPartitionReassignments => to!(reassignments::list, kafka::ListPartitionReassignmentsRequest),
        ApiKey::AlterReplicaLogDirs => to!(reassignments::alter_log_dirs, kafka::AlterReplicaLogDirsRequest),
        ApiKey::DescribeQuorum => to!(admin::describe_quorum, kafka::DescribeQuorumRequest),
        ApiKey::UpdateFeatures => to!(features::update, kafka::UpdateFeaturesRequest),
        ApiKey::WriteTxnMarkers => to!(markers::write, kafka::WriteTxnMarkersRequest),
        ApiKey::InitProducerId => to!(transactions::init_producer_id, kafka::InitProducerIdRequest),
        ApiKey::AddPartitionsToTxn => to!(transactions::add_partitions, kafka::AddPartitionsToTxnRequest),
        ApiKey::AddOffsetsToTxn => to!(transactions::add_offsets, kafka::AddOffsetsToTxnRequest),
        ApiKey::EndTxn => to!(transactions::end, kafka::EndTxnRequest),
        ApiKey::TxnOffsetCommit => to!(transactions::commit_offsets, kafka::TxnOffsetCommitRequest),
        ApiKey::DescribeProducers => to!(transactions::describe_producers, kafka::DescribeProducersRequest),
        ApiKey::DescribeTransactions => to!(transactions::describe, kafka::DescribeTransactionsRequest),
        ApiKey::ListTransactions => to!(transactions::list, kafka::ListTransactionsRequest),
        ApiKey::DescribeClientQuotas => to!(quotas::describe, kafka::DescribeClientQuotasRequest),
        ApiKey::AlterClientQuotas => to!(quotas::alter, kafka::AlterClientQuotasRequest),
        ApiKey::DescribeAcls => to!(acls::describe, kafka::DescribeAclsRequest),
        ApiKey::CreateAcls => to!(acls::create, kafka::CreateAclsRequest),
        ApiKey::DeleteAcls => to!(acls::delete, kafka::DeleteAclsRequest),
        ApiKey::DescribeUserScramCredentials => to!(users::describe, kafka::DescribeUserScramCredentialsRequest),
        ApiKey::AlterUserScramCredentials => to!(users::alter, kafka::AlterUserScramCredentialsRequest),
        ApiKey::DescribeLogDirs => to!(admin::describe_log_dirs, kafka::DescribeLogDirsRequest),
        _ => return Err(bad("request not offered", &header, "no handler".to_owned())),
    };
    Ok((timed, answer))
}

/// What a header holds after [`Header`]; returns the client's id, empty if null.
pub(crate) fn rest_of_header(reader: &mut Reader<'_>, key: ApiKey, version: i16) -> Read<String> {
    let client_id = reader.text(false)?.unwrap_or_default().to_owned();
    if key.request_header_version(version) >= 2 {
        reader.tags()?;
    }
    Ok(client_id)
}

pub(crate) fn ready(outcome: Outcome) -> Pin<Box<Answering>> {
    Box::pin(std::future::ready(outcome))
}

pub(crate) fn decode<R: Request>(mut body: Bytes, version: i16) -> Result<R, String> {
    <R as Decodable>::decode(&mut body, version).map_err(|e| e.to_string())
}

/// Length, header and body of a response.
pub(crate) fn encode<R: Request>(context: &Context, response: &R::Response) -> Outcome {
    encode_as(context.correlation, context.version, response)
}

pub(crate) fn encode_as<R: Encodable + HeaderVersion>(correlation: i32, version: i16, response: &R) -> Outcome {
    let mut out = BytesMut::with_capacity(256);
    out.put_i32(0);
    out.put_i32(correlation);
    if R::header_version(version) >= 1 {
        out.put_u8(0);
    }
    if let Err(error) = response.encode(&mut out, version) {
        return Outcome::Close(format!("a response could not be encoded: {error}"));
    }
    let length = (out.len() - 4) as u32;
    out[..4].copy_from_slice(&length.to_be_bytes());
    Outcome::Response(Response { chunks: vec![out.freeze()], permit: None })
}
