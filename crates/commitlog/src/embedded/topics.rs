//! Topics on disk: made, changed, deleted and found again.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use model::{
    Error, PartitionId, Result, TopicId, TopicName,
    error::codes::{CORRUPT, PARTITIONS_INVALID, TOPIC_EXISTS, TOPIC_NAME_INVALID},
};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use super::{
    layout::{self, FORMAT_VERSION},
    partition::{Partition, Start},
    shared::{Shared, TopicHandle},
    writer::remove_clean_mark,
};
use crate::{
    log::TopicSpec,
    topic::{Topic, TopicConfig},
};

/// Most partitions a topic may have: beyond, even listing them hurts clients.
const PARTITIONS_MAX: i32 = 10_000;

/// `topic.json`
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    name: TopicName,
    id: TopicId,
    partitions: i32,
    overrides: BTreeMap<String, String>,
}

pub(super) fn create(shared: &Shared, spec: TopicSpec, validate_only: bool) -> Result<Arc<Topic>> {
    let _admin = shared.topics_admin.lock();
    let disk = &*shared.world.disk;
    {
        let topics = shared.topics.read();
        if topics.contains_key(spec.name.as_str()) {
            return Err(Error::new(TOPIC_EXISTS, format!("topic `{}` exists already", spec.name)));
        }
        let like = topics.keys().find(|other| other.collides_with(&spec.name)).map(|other| other.as_str());
        if let Some(other) = like.or(spec.name.collides_with_kept()) {
            return Err(Error::new(TOPIC_NAME_INVALID, format!("`{}` is too like another topic's name", spec.name))
                .detail(format!("`{other}` differs only by `.` against `_`, which metrics cannot tell apart")));
        }
    }
    let partitions = spec.partitions.unwrap_or(shared.settings.default_partitions);
    check_partitions(partitions)?;
    let config = config_of(shared, &spec.name, &spec.overrides)?;
    let random = u128::from(shared.world.random.u64()) << 64 | u128::from(shared.world.random.u64());
    let id = uuid::Builder::from_random_bytes(random.to_be_bytes()).into_uuid();
    let topic = Topic { name: spec.name, id, partitions, overrides: spec.overrides, config };
    if validate_only {
        return Ok(Arc::new(topic));
    }
    let dir = shared.layout.topic(&topic.name, id);
    let made = (|| {
        shared.meta.persist(disk)?;
        disk.create_dir_all(&dir).map_err(|error| Error::io(format!("cannot make {}", dir.display()), &error))?;
        store(shared, &dir, &topic)?;
        [shared.layout.topics(), shared.layout.dir().to_owned()]
            .iter()
            .try_for_each(|dir| disk.sync_dir(dir))
            .map_err(|error| Error::io(format!("cannot make {} durable", dir.display()), &error))
    })();
    if let Err(error) = made {
        shared.unsure_names.store(true, Ordering::Release);
        let _ = disk.remove_dir_all(&dir);
        return Err(error);
    }
    let topic = Arc::new(topic);
    let now = shared.world.clock.now_ms();
    let handle = handle(&dir, topic.clone(), |_| Start::fresh(now));
    shared.topics.write().insert(topic.name.clone(), handle);
    shared.changed();
    Ok(topic)
}

/// Returns the directory that is left to remove.
pub(super) fn delete(shared: &Shared, name: &str) -> Result<std::path::PathBuf> {
    let _admin = shared.topics_admin.lock();
    let handle = shared.handle(name)?;
    remove_clean_mark(shared)?;
    let partitions = handle.partitions.read().clone();
    for partition in &partitions {
        partition.set_deleted(true);
        // Whoever is writing has finished; nobody begins.
        drop(partition.files());
    }
    let gone = layout::deleted(&handle.dir);
    let disk = &*shared.world.disk;
    let renamed = disk.rename(&handle.dir, &gone).map_err(|error| (error, true));
    let done = renamed.and_then(|()| {
        // Nobody knows which name is on disk now: back to the old one, or not at all.
        disk.sync_dir(&shared.layout.topics()).map_err(|error| (error, disk.rename(&gone, &handle.dir).is_ok()))
    });
    let remains = matches!(done, Err((_, true)));
    if remains {
        partitions.iter().for_each(|partition| partition.set_deleted(false));
    } else {
        shared.topics.write().remove(name);
        partitions.iter().for_each(|partition| partition.wake());
        shared.changed();
    }
    match done {
        Ok(()) => Ok(gone),
        Err((error, _)) => {
            shared.unsure_names.store(true, Ordering::Release);
            Err(Error::io(format!("cannot delete topic `{}`", name.escape_debug()), &error))
        }
    }
}

pub(super) fn create_partitions(shared: &Shared, name: &str, total: i32, validate_only: bool) -> Result<()> {
    let _admin = shared.topics_admin.lock();
    let handle = shared.handle(name)?;
    let old = handle.topic.read().clone();
    check_partitions(total)?;
    if total <= old.partitions {
        return Err(Error::new(PARTITIONS_INVALID, format!("topic `{name}` cannot have {total} partitions"))
            .detail(format!("it has {}, and their number can only rise", old.partitions)));
    }
    if validate_only {
        return Ok(());
    }
    let topic = Arc::new(Topic { partitions: total, ..(*old).clone() });
    store(shared, &handle.dir, &topic)?;
    *handle.topic.write() = topic;
    let now = shared.world.clock.now_ms();
    handle.partitions.write().extend(
        (old.partitions..total)
            .map(|number| Arc::new(Partition::new(&handle.topic, &handle.dir, number, Start::fresh(now)))),
    );
    shared.changed();
    Ok(())
}

/// Says whether the topic has become stricter, so that what it holds must be brought to disk.
pub(super) fn alter(
    shared: &Shared,
    name: &str,
    overrides: BTreeMap<String, String>,
    validate_only: bool,
) -> Result<bool> {
    let _admin = shared.topics_admin.lock();
    let handle = shared.handle(name)?;
    let old = handle.topic.read().clone();
    let config = config_of(shared, &old.name, &overrides)?;
    if validate_only {
        return Ok(false);
    }
    let stricter = old.config.unsafe_ack_before_fsync && !config.unsafe_ack_before_fsync;
    let topic = Arc::new(Topic { overrides, config, ..(*old).clone() });
    store(shared, &handle.dir, &topic)?;
    *handle.topic.write() = topic;
    shared.changed();
    Ok(stricter)
}

/// Gives all topics other defaults than the house's, or none.
pub(super) fn set_defaults(shared: &Shared, given: &BTreeMap<String, String>, validate_only: bool) -> Result<()> {
    let _admin = shared.topics_admin.lock();
    let defaults = TopicConfig::parse(given, shared.settings.unsafe_ack_before_fsync)?;
    let handles: Vec<_> = shared.topics.read().values().cloned().collect();
    let mut changed = Vec::new();
    for handle in &handles {
        let old = handle.topic.read().clone();
        if old.name.is_protected() {
            continue;
        }
        let with = defaults.with(&old.overrides);
        let config = with.map_err(|error| error.hint(format!("topic `{}` has settings that exclude it", old.name)))?;
        changed.push((handle, Arc::new(Topic { config: Arc::new(config), ..(*old).clone() })));
    }
    if validate_only {
        return Ok(());
    }
    *shared.topic_defaults.write() = defaults;
    for (handle, topic) in changed {
        *handle.topic.write() = topic;
    }
    shared.changed();
    Ok(())
}

/// Settings of a topic: its own over the defaults. What the house keeps for itself works by the house's, whatever others get.
fn config_of(shared: &Shared, name: &TopicName, overrides: &BTreeMap<String, String>) -> Result<Arc<TopicConfig>> {
    let config = match name.is_protected() {
        true => TopicConfig::parse(overrides, shared.settings.unsafe_ack_before_fsync)?,
        false => shared.topic_defaults.read().with(overrides)?,
    };
    Ok(Arc::new(config))
}

fn check_partitions(count: i32) -> Result<()> {
    if (1..=PARTITIONS_MAX).contains(&count) {
        return Ok(());
    }
    Err(Error::new(PARTITIONS_INVALID, format!("a topic cannot have {count} partitions"))
        .detail(format!("it has 1 to {PARTITIONS_MAX}")))
}

fn store(shared: &Shared, dir: &Path, topic: &Topic) -> Result<()> {
    // A start that finds the mark takes names as they are, synced or not.
    remove_clean_mark(shared)?;
    let stored = Stored {
        version: FORMAT_VERSION,
        name: topic.name.clone(),
        id: topic.id,
        partitions: topic.partitions,
        overrides: topic.overrides.clone(),
    };
    let bytes = serde_json::to_vec_pretty(&stored).expect("text and numbers are JSON");
    let path = layout::topic_json(dir);
    let disk = &*shared.world.disk;
    disk.write_atomic(&path, &bytes).map_err(|error| {
        shared.unsure_names.store(true, Ordering::Release);
        Error::io(format!("cannot write {}", path.display()), &error)
    })
}

fn handle(dir: &Path, topic: Arc<Topic>, mut start: impl FnMut(PartitionId) -> Start) -> Arc<TopicHandle> {
    let (id, count) = (topic.id, topic.partitions);
    let topic = Arc::new(RwLock::new(topic));
    let partitions = (0..count).map(|number| Arc::new(Partition::new(&topic, dir, number, start(number)))).collect();
    Arc::new(TopicHandle { id, dir: dir.to_owned(), topic, partitions: RwLock::new(partitions) })
}

/// All topics on disk, each partition as `start` says. Finishes deletions.
pub(super) fn load(
    shared: &Shared,
    mut start: impl FnMut(TopicId, PartitionId) -> Option<Start>,
) -> Result<BTreeMap<TopicName, Arc<TopicHandle>>> {
    let disk = &*shared.world.disk;
    let root = shared.layout.topics();
    let now = shared.world.clock.now_ms();
    let failed = |error: std::io::Error| Error::io(format!("cannot read {}", root.display()), &error);
    let mut topics = BTreeMap::new();
    for name in disk.list(&root).map_err(failed)? {
        let dir = root.join(&name);
        if layout::is_deleted(&name) {
            disk.remove_dir_all(&dir).map_err(failed)?;
            continue;
        }
        let path = layout::topic_json(&dir);
        let Some(bytes) = disk.read(&path).map_err(failed)? else {
            // A creation that was cut off: nobody was told of it.
            disk.remove_dir_all(&dir).map_err(failed)?;
            continue;
        };
        let damaged = |detail: String| Error::new(CORRUPT, format!("{} is damaged", path.display())).detail(detail);
        let stored: Stored = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if stored.version != FORMAT_VERSION {
            return Err(damaged(format!("format {}, this is {FORMAT_VERSION}", stored.version)));
        }
        check_partitions(stored.partitions)?;
        let config = config_of(shared, &stored.name, &stored.overrides)?;
        let topic = Arc::new(Topic {
            name: stored.name.clone(),
            id: stored.id,
            partitions: stored.partitions,
            overrides: stored.overrides,
            config,
        });
        let handle = handle(&dir, topic, |number| start(stored.id, number).unwrap_or_else(|| Start::fresh(now)));
        topics.insert(stored.name, handle);
    }
    Ok(topics)
}
