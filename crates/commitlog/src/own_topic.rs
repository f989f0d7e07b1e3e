//! Topics in which the log keeps its own state: the last record of each key says it, so they are compacted.

use model::{ErrorKind, Result, TopicName};

use crate::{
    log::{Log, TopicSpec},
    topic::UNSAFE_ACK,
};

/// A start reads all of what is not compacted, so segments are small (Kafka's `offsets.topic.segment.bytes` is 100 MB).
const SEGMENT_BYTES: u64 = 4 << 20;

/// Whatever topics of others may do: what we say of them has to be on disk before they are told.
fn spec(name: &TopicName) -> TopicSpec {
    TopicSpec::new(name.clone(), 1)
        .with("cleanup.policy", "compact")
        .with("segment.bytes", &SEGMENT_BYTES.to_string())
        .with(UNSAFE_ACK, "false")
}

/// Makes the topic if it is not there.
pub(crate) async fn ensure(log: &dyn Log, name: &TopicName) -> Result<()> {
    if log.topic(name).is_some() {
        return Ok(());
    }
    match log.create_topic(spec(name), false).await {
        Err(error) if error.kind() != ErrorKind::TopicExists => Err(error),
        _ => Ok(()),
    }
}

/// Gives a topic that is there, perhaps made by an older version, the settings it should have. Says whether it is there.
pub(crate) async fn update(log: &dyn Log, name: &TopicName) -> Result<bool> {
    let Some(topic) = log.topic(name) else { return Ok(false) };
    if topic.overrides != spec(name).overrides {
        log.alter_topic(name, spec(name).overrides, false).await?;
        tracing::info!(topic = %name, "has the settings of this version from here on");
    }
    Ok(true)
}
