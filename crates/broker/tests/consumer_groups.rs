//! The consumer protocol (KIP-848) over a real socket: every answer a client acts on.

mod common;

use common::*;
use kafka_protocol::{
    messages::{consumer_group_heartbeat_request::TopicPartitions, *},
    protocol::StrBytes,
};
use uuid::Uuid;

fn name(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn group() -> GroupId {
    GroupId(name("g"))
}

fn joining(member: &str, topics: &[&str]) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group())
        .with_member_id(name(member))
        .with_rebalance_timeout_ms(60_000)
        .with_subscribed_topic_names(Some(topics.iter().map(|t| topic_name(t)).collect()))
        .with_topic_partitions(Some(vec![]))
}

fn alive(member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group())
        .with_member_id(name(member))
        .with_member_epoch(epoch)
        .with_rebalance_timeout_ms(-1)
        .with_subscribed_topic_names(None)
        .with_topic_partitions(None)
}

fn owning(request: ConsumerGroupHeartbeatRequest, id: Uuid, partitions: &[i32]) -> ConsumerGroupHeartbeatRequest {
    let owned = TopicPartitions::default().with_topic_id(id).with_partitions(partitions.to_vec());
    request.with_topic_partitions(Some(vec![owned]))
}

/// What the answer assigns of the only topic; `None`: nothing new.
fn assigned(answer: &ConsumerGroupHeartbeatResponse) -> Option<(Option<Uuid>, Vec<i32>)> {
    assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    let topics = &answer.assignment.as_ref()?.topic_partitions;
    assert!(topics.len() <= 1);
    Some(topics.first().map_or((None, vec![]), |t| (Some(t.topic_id), t.partitions.clone())))
}

fn commit(member: &str, epoch: i32) -> OffsetCommitRequest {
    OffsetCommitRequest::default()
        .with_group_id(group())
        .with_member_id(name(member))
        .with_generation_id_or_member_epoch(epoch)
        .with_topics(vec![
            offset_commit_request::OffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(
                vec![offset_commit_request::OffsetCommitRequestPartition::default().with_committed_offset(3)],
            ),
        ])
}

fn fetch(member: Option<&str>, epoch: i32) -> OffsetFetchRequest {
    OffsetFetchRequest::default().with_groups(vec![
        offset_fetch_request::OffsetFetchRequestGroup::default()
            .with_group_id(group())
            .with_member_id(member.map(name))
            .with_member_epoch(epoch)
            .with_topics(None),
    ])
}

#[tokio::test]
async fn partitions_move_between_members_and_survive_a_restart() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 2).await;
    let joined = client.ask(1, &joining("a", &["t"])).await;
    assert_eq!((joined.member_id.as_deref(), joined.member_epoch, joined.heartbeat_interval_ms), (Some("a"), 1, 5000));
    let (id, all) = assigned(&joined).expect("the first answer assigns");
    let id = id.expect("a topic");
    assert_eq!(all, [0, 1], "of a topic made just before");
    assert_eq!(assigned(&client.ask(1, &owning(alive("a", 1), id, &[0, 1])).await), None);

    let second = client.ask(1, &joining("b", &["t"])).await;
    assert_eq!((second.member_epoch, assigned(&second)), (2, Some((None, vec![]))));
    let told = client.ask(1, &alive("a", 1)).await;
    assert_eq!((told.member_epoch, assigned(&told)), (1, Some((Some(id), vec![0]))));
    let gave_up = client.ask(1, &owning(alive("a", 1), id, &[0])).await;
    assert_eq!((gave_up.member_epoch, assigned(&gave_up)), (2, None));
    let granted = client.ask(1, &alive("b", 2)).await;
    assert_eq!(assigned(&granted), Some((Some(id), vec![1])));
    server.stop().await;

    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    for (member, partition) in [("a", 0), ("b", 1)] {
        let known = client.ask(1, &owning(alive(member, 2), id, &[partition])).await;
        assert_eq!((known.member_epoch, assigned(&known)), (2, None), "{member} goes on as if nothing had been");
    }
    server.stop().await;
}

#[tokio::test]
async fn offsets_need_the_epoch_and_a_version_that_has_one() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    assert_eq!(client.ask(9, &commit("a", 1)).await.topics[0].partitions[0].error_code, 69);
    client.ask(1, &joining("a", &["t"])).await;
    for (version, member, epoch, code) in
        [(9, "a", 1, 0), (9, "a", 0, 113), (9, "b", 1, 25), (9, "", -1, 25), (8, "a", 1, 35)]
    {
        let answer = client.ask(version, &commit(member, epoch)).await;
        assert_eq!(answer.topics[0].partitions[0].error_code, code, "v{version} {member} {epoch}");
    }
    for (member, epoch, code) in [(Some("a"), 1, 0), (Some("a"), 2, 113), (Some("b"), 1, 25), (None, -1, 0)] {
        let answer = client.ask(9, &fetch(member, epoch)).await;
        assert_eq!(answer.groups[0].error_code, code, "{member:?} {epoch}");
        assert_eq!(answer.groups[0].topics.len(), usize::from(code == 0));
    }
    server.stop().await;
}

#[tokio::test]
async fn what_a_member_may_not_say_has_its_own_error() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    let instance = |request: ConsumerGroupHeartbeatRequest| request.with_instance_id(Some(name("i")));
    client.ask(1, &instance(joining("s", &["t"]))).await;
    let cases = [
        ("no member id from v1 on", joining("", &["t"]), 42),
        ("no rebalance timeout", joining("a", &["t"]).with_rebalance_timeout_ms(-1), 42),
        ("no topics", joining("a", &["t"]).with_subscribed_topic_names(None), 42),
        ("no group", joining("a", &["t"]).with_group_id(GroupId(name(""))), 42),
        ("unknown assignor", joining("a", &["t"]).with_server_assignor(Some(name("sticky"))), 112),
        ("bad regex", joining("a", &["t"]).with_subscribed_topic_regex(Some(name("("))), 128),
        ("unknown member", alive("nobody", 1), 25),
        ("epoch not given", alive("s", 9), 110),
        ("instance in use", instance(joining("other", &["t"])), 111),
        ("instance of another", instance(alive("other", 1)), 82),
        ("unknown instance", alive("s", 1).with_instance_id(Some(name("j"))), 25),
    ];
    for (what, request, code) in cases {
        let answer = client.ask(1, &request).await;
        assert_eq!(answer.error_code, code, "{what}: {:?}", answer.error_message);
        assert!(answer.error_message.is_some() && answer.assignment.is_none());
    }
    let made = client.ask(0, &joining("", &["t"])).await;
    assert!(made.member_id.is_some_and(|id| !id.is_empty()), "before v1 the broker makes the id");
    server.stop().await;
}

#[tokio::test]
async fn admins_see_each_group_as_what_it_is() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 2).await;
    client.ask(1, &joining("a", &["t"]).with_subscribed_topic_regex(Some(name("x.*")))).await;
    let simple = commit("", -1).with_group_id(GroupId(name("simple")));
    assert_eq!(client.ask(9, &simple).await.topics[0].partitions[0].error_code, 0);

    let listed =
        |types: &[&str]| ListGroupsRequest::default().with_types_filter(types.iter().map(|t| name(t)).collect());
    let rows = client.ask(5, &listed(&[])).await.groups;
    let shown: Vec<_> =
        rows.iter().map(|g| (&*g.group_id.0, &*g.group_type, &*g.group_state, &*g.protocol_type)).collect();
    assert_eq!(shown, [("g", "consumer", "Stable", "consumer"), ("simple", "classic", "Empty", "")]);
    for (filter, group) in [("Consumer", "g"), ("classic", "simple")] {
        let rows = client.ask(5, &listed(&[filter])).await.groups;
        assert_eq!(rows.iter().map(|g| &*g.group_id.0).collect::<Vec<_>>(), [group]);
    }

    let all = ["g", "simple", "none"].map(|id| GroupId(name(id))).to_vec();
    let described = client.ask(1, &ConsumerGroupDescribeRequest::default().with_group_ids(all.clone())).await.groups;
    assert_eq!(described.iter().map(|g| g.error_code).collect::<Vec<_>>(), [0, 69, 69]);
    // What the client may do is told if it asks, and only of what is there (KIP-430).
    let asked = ConsumerGroupDescribeRequest::default().with_group_ids(all.clone());
    let rights = async |client: &mut Client, asked: ConsumerGroupDescribeRequest| {
        let groups = client.ask(1, &asked).await.groups;
        groups.iter().map(|group| group.authorized_operations).collect::<Vec<_>>()
    };
    assert_eq!(rights(&mut client, asked.clone()).await, [i32::MIN; 3]);
    let asked = asked.with_include_authorized_operations(true);
    let all_of_a_group = [3, 6, 8, 10, 11].iter().fold(0, |bits, operation| bits | 1 << operation);
    assert_eq!(rights(&mut client, asked).await, [all_of_a_group, i32::MIN, i32::MIN]);
    let group = &described[0];
    assert_eq!((&*group.group_state, group.group_epoch, group.assignment_epoch), ("Stable", 1, 1));
    assert_eq!((&*group.assignor_name, group.members.len()), ("uniform", 1));
    let member = &group.members[0];
    assert_eq!((&*member.member_id, &*member.client_id, member.member_epoch, member.member_type), ("a", "test", 1, 1));
    assert_eq!(member.subscribed_topic_names, [topic_name("t")]);
    assert_eq!(member.subscribed_topic_regex.as_deref(), Some("x.*"));
    for assignment in [&member.assignment, &member.target_assignment] {
        let topic = &assignment.topic_partitions[0];
        assert_eq!((&topic.topic_name, &*topic.partitions), (&topic_name("t"), &[0, 1][..]));
    }
    let classic = client.ask(6, &DescribeGroupsRequest::default().with_groups(all.clone())).await.groups;
    assert_eq!(classic.iter().map(|g| g.error_code).collect::<Vec<_>>(), [69, 0, 69]);
    let older = client.ask(5, &DescribeGroupsRequest::default().with_groups(all.clone())).await.groups;
    assert_eq!(
        older.iter().map(|g| (g.error_code, &*g.group_state)).collect::<Vec<_>>(),
        [(0, "Dead"), (0, "Empty"), (0, "Dead")]
    );

    // A group without a name is none (`GroupCoordinatorService`).
    let nameless = || GroupId(name(""));
    let described = client.ask(1, &ConsumerGroupDescribeRequest::default().with_group_ids(vec![nameless()])).await;
    assert_eq!(described.groups[0].error_code, 24);
    assert_eq!(client.ask(0, &OffsetDeleteRequest::default().with_group_id(nameless())).await.error_code, 24);
    for version in 0..=5 {
        let members = vec![leave_group_request::MemberIdentity::default()];
        let request = LeaveGroupRequest::default().with_group_id(nameless());
        let request = if version >= 3 { request.with_members(members) } else { request };
        let left = client.ask(version, &request).await;
        assert_eq!((left.error_code, left.members.len()), (24, 0), "v{version}");
    }
    // What names nothing that is there makes no group.
    let nothing = commit("", -1).with_group_id(GroupId(name("other")));
    let mut elsewhere = nothing.clone();
    elsewhere.topics[0].name = TopicName(name("none"));
    client.ask(9, &nothing.with_topics(Vec::new())).await;
    assert_eq!(client.ask(9, &elsewhere).await.topics[0].partitions[0].error_code, 3);
    assert_eq!(client.ask(5, &listed(&[])).await.groups.len(), 2);

    let delete = DeleteGroupsRequest::default().with_groups_names(all);
    let results = client.ask(2, &delete).await.results;
    assert_eq!(results.iter().map(|r| r.error_code).collect::<Vec<_>>(), [68, 0, 69]);
    client.ask(1, &alive("a", -1)).await;
    assert_eq!(client.ask(2, &delete).await.results[0].error_code, 0);
    server.stop().await;
}

fn classic(member: &str, metadata: &'static [u8]) -> JoinGroupRequest {
    let protocol = join_group_request::JoinGroupRequestProtocol::default().with_name(name("sticky"));
    JoinGroupRequest::default()
        .with_group_id(group())
        .with_member_id(name(member))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_protocol_type(name("consumer"))
        .with_protocols(vec![protocol.with_metadata(metadata.into())])
}

#[tokio::test]
async fn a_live_group_whose_members_cannot_be_understood_keeps_its_protocol() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    client.ask(1, &joining("a", &["t"])).await;
    assert_eq!(client.ask(3, &classic("", b"x")).await.error_code, 23);
    client.ask(1, &alive("a", -1)).await;
    assert_eq!(
        client.ask(3, &classic("", b"x")).await.error_code,
        0,
        "an empty group takes up the protocol of who comes"
    );
    assert_eq!(client.ask(1, &joining("a", &["t"])).await.error_code, 69);
    server.stop().await;
}

/// KIP-848, "Online migration": the first member is upgraded, then it is taken back.
#[tokio::test]
async fn a_live_group_changes_over_and_back() {
    const SUBSCRIPTION: &[u8] = b"\0\x01\0\0\0\x01\0\x01t\xff\xff\xff\xff\0\0\0\0";
    const BOTH: &[u8] = b"\0\x01\0\0\0\x01\0\x01t\0\0\0\x02\0\0\0\0\0\0\0\x01\xff\xff\xff\xff";
    const SECOND: &[u8] = b"\0\x01\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\x01\xff\xff\xff\xff";
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 2).await;
    let id = client.ask(9, &classic("", SUBSCRIPTION)).await.member_id;
    let joined = client.ask(9, &classic(&id, SUBSCRIPTION)).await;
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    let sync = |generation: i32| {
        SyncGroupRequest::default()
            .with_group_id(group())
            .with_member_id(id.clone())
            .with_generation_id(generation)
            .with_protocol_type(Some(name("consumer")))
            .with_protocol_name(Some(name("sticky")))
    };
    let beat = |generation: i32| {
        HeartbeatRequest::default().with_group_id(group()).with_member_id(id.clone()).with_generation_id(generation)
    };
    let mine = sync_group_request::SyncGroupRequestAssignment::default().with_member_id(id.clone());
    let led = sync(1).with_assignments(vec![mine.with_assignment(BOTH.into())]);
    assert_eq!(client.ask(5, &led).await.assignment, BOTH);

    assert_eq!(assigned(&client.ask(1, &joining("a", &["t"])).await), Some((None, vec![])), "nothing is free yet");
    assert_eq!(client.ask(4, &beat(1)).await.error_code, 27);
    let joined = client.ask(9, &classic(&id, SUBSCRIPTION)).await;
    assert_eq!((joined.error_code, joined.generation_id, &*joined.leader), (0, 2, ""));
    assert_eq!(joined.protocol_name.as_deref(), Some("sticky"));
    let kept = client.ask(5, &sync(2)).await;
    assert_eq!((kept.error_code, kept.assignment.len()), (0, SECOND.len()), "one of two");
    assert_eq!(client.ask(4, &beat(2)).await.error_code, 0);
    let (_, other) = assigned(&client.ask(1, &alive("a", 2)).await).expect("what was given up");
    assert_eq!(other.len(), 1);
    assert_eq!(
        client.ask(8, &commit(&id, 2)).await.topics[0].partitions[0].error_code,
        0,
        "an old request, an old member"
    );
    assert_eq!(client.ask(8, &commit("a", 2)).await.topics[0].partitions[0].error_code, 35);
    assert_eq!(client.ask(8, &commit(&id, 1)).await.topics[0].partitions[0].error_code, 22);
    let described = client.ask(1, &ConsumerGroupDescribeRequest::default().with_group_ids(vec![group()])).await;
    let mut types: Vec<_> =
        described.groups[0].members.iter().map(|m| (m.member_type, m.member_id == id, m.member_epoch)).collect();
    types.sort_unstable();
    assert_eq!(types, [(0, true, 2), (1, false, 2)]);
    server.stop().await;

    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    assert_eq!(client.ask(4, &beat(2)).await.error_code, 0, "it is all on disk");
    client.ask(1, &alive("a", -1)).await;
    let described = client.ask(6, &DescribeGroupsRequest::default().with_groups(vec![group()])).await;
    assert_eq!((described.groups[0].error_code, described.groups[0].members.len()), (0, 1));
    let joined = client.ask(9, &classic(&id, SUBSCRIPTION)).await;
    assert_eq!((joined.error_code, &joined.leader), (0, &id), "there is a leader again");
    assert!(joined.generation_id > 2);
    server.stop().await;
}
