//! The schema registry on the log: its state is the records of the topic `_schemas`, in Confluent's own format.
//!
//! Reads answer from memory at once. Writes go one at a time: decided against the state, appended, and answered only
//! once the append is durable. One method for each operation of Confluent's REST API.
//!
//! A write whose append fails may or may not be in the log. The state is then *behind*: the next write first reads what
//! the log has beyond it, so that decisions are always made against what is written.

mod topic;

use std::sync::Arc;

use commitlog::log::Log;
use model::{Offset, Result, SCHEMAS_TOPIC};
use parking_lot::RwLock;
use schemas::{
    RegisteredSchema, SchemaSource,
    registry::{
        CompatibilityAnswer, ConfigAnswer, ConfigUpdate, Decision, ModeAnswer, Registered, Registry, SchemaRequest,
        SchemaString, SubjectVersion, VersionOf, VersionSpec,
    },
};
use tokio::sync::{Mutex, watch};
use world::World;

use self::topic::SchemasTopic;

/// Records in the topic that say nothing any more, before it is rewritten.
const GARBAGE_RECORDS_MIN: usize = 1_000;

/// The registry of this node.
pub struct RegistryStore {
    state: RwLock<Registry>,
    /// Taken for a whole write, so that decisions follow each other.
    writer: Mutex<Writer>,
    changed: watch::Sender<u64>,
}

struct Writer {
    topic: SchemasTopic,
    /// Everything before it is in the state.
    applied: Offset,
}

impl RegistryStore {
    /// Reads `_schemas`, if there is one; it is made by the first write.
    pub async fn open(log: Arc<dyn Log>, world: World) -> Result<Arc<Self>> {
        let store = Self {
            state: RwLock::default(),
            writer: Mutex::new(Writer { topic: SchemasTopic::new(log, world)?, applied: 0 }),
            changed: watch::Sender::new(0),
        };
        let mut writer = store.writer.lock().await;
        store.catch_up(&mut writer).await?;
        drop(writer);
        Ok(Arc::new(store))
    }

    /// Takes what the log has beyond the state.
    async fn catch_up(&self, writer: &mut Writer) -> Result<()> {
        loop {
            let (records, next) = writer.topic.read(writer.applied).await?;
            if next == writer.applied {
                return Ok(());
            }
            {
                let mut state = self.state.write();
                for record in &records {
                    // What no registry writes is passed over: one stray record must not take the registry away.
                    if let Err(error) = state.apply(&record.key, record.value.as_deref()) {
                        tracing::warn!(%error, topic = SCHEMAS_TOPIC, "record passed over");
                    }
                }
            }
            writer.applied = next;
            self.changed.send_modify(|version| *version += 1);
        }
    }

    /// Decides, appends, applies, answers.
    async fn write<T>(&self, decide: impl FnOnce(&Registry) -> Result<Decision<T>>) -> Result<T> {
        let mut writer = self.writer.lock().await;
        self.catch_up(&mut writer).await?;
        let Decision { answer, records } = decide(&self.state.read())?;
        if records.is_empty() {
            return Ok(answer);
        }
        writer.topic.append(&records).await?;
        self.catch_up(&mut writer).await?;
        self.drop_garbage(&mut writer).await;
        Ok(answer)
    }

    /// Rewrites the topic once most of it says nothing any more: first everything that counts, then the old records go.
    /// A crash in between leaves both, which say the same.
    async fn drop_garbage(&self, writer: &mut Writer) {
        let Ok(written) = writer.topic.len() else { return };
        let (live, snapshot) = {
            let state = self.state.read();
            let live = state.live_records();
            if written < GARBAGE_RECORDS_MIN + 2 * live {
                return;
            }
            (live, state.snapshot())
        };
        // The change itself is durable already, so a failure here is no failure of the request.
        match writer.topic.replace(&snapshot, writer.applied).await {
            Ok(()) => tracing::info!(written, live, topic = SCHEMAS_TOPIC, "rewritten"),
            Err(error) => tracing::warn!(%error, topic = SCHEMAS_TOPIC, "could not be rewritten"),
        }
        if let Err(error) = self.catch_up(writer).await {
            tracing::warn!(%error, topic = SCHEMAS_TOPIC, "could not be read");
        }
    }

    /// Changes after every change of the registry.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The schema of the newest version of `subject`, and that version.
    pub fn latest(&self, subject: &str) -> Option<(i32, Arc<RegisteredSchema>)> {
        self.state.read().latest(subject)
    }

    // ── subjects ──

    /// `GET /subjects?subjectPrefix&deleted&deletedOnly`
    pub fn subjects(&self, prefix: Option<&str>, deleted: bool, deleted_only: bool) -> Vec<String> {
        self.state.read().subjects(prefix, deleted, deleted_only)
    }

    /// `GET /subjects/{subject}/versions`
    pub fn versions(&self, subject: &str, deleted: bool, deleted_only: bool) -> Result<Vec<i32>> {
        self.state.read().versions(subject, deleted, deleted_only)
    }

    /// `GET /subjects/{subject}/versions/{version}` (and its `/schema`)
    pub fn version(&self, subject: &str, version: VersionSpec, deleted: bool) -> Result<SubjectVersion> {
        self.state.read().version(subject, version, deleted)
    }

    /// `POST /subjects/{subject}`: is this schema there?
    pub fn lookup(
        &self,
        subject: &str,
        request: &SchemaRequest,
        normalize: bool,
        deleted: bool,
    ) -> Result<SubjectVersion> {
        self.state.read().lookup(subject, request, normalize, deleted)
    }

    /// `GET /subjects/{subject}/metadata?key&value&deleted`
    pub fn latest_with_metadata(&self, subject: &str, deleted: bool) -> Result<SubjectVersion> {
        self.state.read().latest_with_metadata(subject, deleted)
    }

    /// `GET /contexts`
    pub fn contexts(&self) -> Vec<String> {
        self.state.read().contexts()
    }

    /// `GET /subjects/{subject}/versions/{version}/referencedby`
    pub fn referenced_by(&self, subject: &str, version: VersionSpec) -> Result<Vec<i32>> {
        self.state.read().referenced_by(subject, version)
    }

    /// `POST /subjects/{subject}/versions?normalize`
    pub async fn register(&self, subject: &str, request: SchemaRequest, normalize: bool) -> Result<Registered> {
        self.write(|registry| registry.register(subject, &request, normalize)).await
    }

    /// `DELETE /subjects/{subject}?permanent`: the versions deleted.
    pub async fn delete_subject(&self, subject: &str, permanent: bool) -> Result<Vec<i32>> {
        self.write(|registry| registry.delete_subject(subject, permanent)).await
    }

    /// `DELETE /subjects/{subject}/versions/{version}?permanent`: the version deleted.
    pub async fn delete_version(&self, subject: &str, version: VersionSpec, permanent: bool) -> Result<i32> {
        self.write(|registry| registry.delete_version(subject, version, permanent)).await
    }

    // ── schemas ──

    /// `GET /schemas/types`
    pub fn types(&self) -> Vec<&'static str> {
        vec!["JSON", "PROTOBUF", "AVRO"]
    }

    /// `GET /schemas?subjectPrefix&deleted&latestOnly`
    pub fn schemas(&self, prefix: Option<&str>, deleted: bool, latest_only: bool) -> Vec<SubjectVersion> {
        self.state.read().schemas(prefix, deleted, latest_only)
    }

    /// `GET /schemas/ids/{id}?fetchMaxId` (and its `/schema`)
    pub fn schema(&self, id: i32, fetch_max_id: bool) -> Result<SchemaString> {
        self.state.read().schema(id, fetch_max_id)
    }

    /// `format=serialized` of whatever shows schema `id`; `None`: the usual text.
    pub fn formatted(&self, id: i32, format: &str) -> Option<String> {
        self.state.read().formatted(id, format)
    }

    /// `GET /schemas/ids/{id}/subjects`
    pub fn schema_subjects(&self, id: i32, deleted: bool) -> Result<Vec<String>> {
        self.state.read().schema_subjects(id, deleted)
    }

    /// `GET /schemas/ids/{id}/versions`
    pub fn schema_versions(&self, id: i32, deleted: bool) -> Result<Vec<VersionOf>> {
        self.state.read().schema_versions(id, deleted)
    }

    // ── compatibility ──

    /// `POST /compatibility/subjects/{subject}/versions/{version}?verbose&normalize`; without a version against all
    /// those that the subject's level names (`POST /compatibility/subjects/{subject}/versions`).
    pub fn compatibility(
        &self,
        subject: &str,
        version: Option<VersionSpec>,
        request: &SchemaRequest,
        verbose: bool,
        normalize: bool,
    ) -> Result<CompatibilityAnswer> {
        self.state.read().compatibility(subject, version, request, verbose, normalize)
    }

    // ── settings; subject `None` is the global one ──

    /// `GET /config[/{subject}?defaultToGlobal]`
    pub fn config(&self, subject: Option<&str>, default_to_global: bool) -> Result<ConfigAnswer> {
        self.state.read().config(subject, default_to_global)
    }

    /// `PUT /config[/{subject}]`: answers with what was set.
    pub async fn set_config(&self, subject: Option<&str>, update: ConfigUpdate) -> Result<ConfigUpdate> {
        self.write(|registry| registry.set_config(subject, update)).await
    }

    /// `DELETE /config[/{subject}]`: answers with the setting that is gone.
    pub async fn delete_config(&self, subject: Option<&str>) -> Result<ConfigAnswer> {
        self.write(|registry| registry.delete_config(subject)).await
    }

    /// `GET /mode[/{subject}?defaultToGlobal]`
    pub fn mode(&self, subject: Option<&str>, default_to_global: bool) -> Result<ModeAnswer> {
        self.state.read().mode(subject, default_to_global)
    }

    /// `PUT /mode[/{subject}]?force`; the name of the mode comes unchecked.
    pub async fn set_mode(&self, subject: Option<&str>, mode: &str, force: bool) -> Result<ModeAnswer> {
        self.write(|registry| registry.set_mode(subject, mode, force)).await
    }

    /// `DELETE /mode/{subject}`: answers with the mode that is gone.
    pub async fn delete_mode(&self, subject: &str) -> Result<ModeAnswer> {
        self.write(|registry| registry.delete_mode(subject)).await
    }
}

impl SchemaSource for RegistryStore {
    fn schema_by_id(&self, id: i32) -> Option<Arc<RegisteredSchema>> {
        self.state.read().registered(id)
    }
}

#[cfg(test)]
mod tests;
