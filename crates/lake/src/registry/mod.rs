//! The schema registry on the log: its state is the records of the topic `_schemas`, in Confluent's own format.
//!
//! Reads answer from memory at once. Writes go one at a time: decided against the state, appended, and answered only
//! once the append is durable. One method for each operation of Confluent's REST API.

use std::sync::Arc;

use commitlog::log::Log;
use model::Result;
use schemas::{
    RegisteredSchema, SchemaSource,
    registry::{
        CompatibilityAnswer, ConfigAnswer, ConfigUpdate, ModeAnswer, Registered, SchemaRequest, SchemaString,
        SubjectVersion, VersionOf, VersionSpec,
    },
};
use tokio::sync::watch;
use world::World;

/// The topic that keeps the registry.
pub const SCHEMAS_TOPIC: &str = "_schemas";

/// The registry of this node.
pub struct RegistryStore {}

impl RegistryStore {
    /// Reads `_schemas`, if there is one; it is made by the first write.
    pub async fn open(_log: Arc<dyn Log>, _world: World) -> Result<Arc<Self>> {
        unimplemented!()
    }

    /// Changes after every change of the registry.
    pub fn watch(&self) -> watch::Receiver<u64> {
        unimplemented!()
    }

    /// The schema of the newest version of `subject`, and that version.
    pub fn latest(&self, _subject: &str) -> Option<(i32, Arc<RegisteredSchema>)> {
        unimplemented!()
    }

    // ── subjects ──

    /// `GET /subjects?subjectPrefix&deleted&deletedOnly`
    pub fn subjects(&self, _prefix: Option<&str>, _deleted: bool, _deleted_only: bool) -> Vec<String> {
        unimplemented!()
    }

    /// `GET /subjects/{subject}/versions`
    pub fn versions(&self, _subject: &str, _deleted: bool, _deleted_only: bool) -> Result<Vec<i32>> {
        unimplemented!()
    }

    /// `GET /subjects/{subject}/versions/{version}` (and its `/schema`)
    pub fn version(&self, _subject: &str, _version: VersionSpec, _deleted: bool) -> Result<SubjectVersion> {
        unimplemented!()
    }

    /// `POST /subjects/{subject}`: is this schema there?
    pub fn lookup(
        &self,
        _subject: &str,
        _request: &SchemaRequest,
        _normalize: bool,
        _deleted: bool,
    ) -> Result<SubjectVersion> {
        unimplemented!()
    }

    /// `GET /subjects/{subject}/versions/{version}/referencedby`
    pub fn referenced_by(&self, _subject: &str, _version: VersionSpec) -> Result<Vec<i32>> {
        unimplemented!()
    }

    /// `POST /subjects/{subject}/versions?normalize`
    pub async fn register(&self, _subject: &str, _request: SchemaRequest, _normalize: bool) -> Result<Registered> {
        unimplemented!()
    }

    /// `DELETE /subjects/{subject}?permanent`: the versions deleted.
    pub async fn delete_subject(&self, _subject: &str, _permanent: bool) -> Result<Vec<i32>> {
        unimplemented!()
    }

    /// `DELETE /subjects/{subject}/versions/{version}?permanent`: the version deleted.
    pub async fn delete_version(&self, _subject: &str, _version: VersionSpec, _permanent: bool) -> Result<i32> {
        unimplemented!()
    }

    // ── schemas ──

    /// `GET /schemas/types`
    pub fn types(&self) -> Vec<&'static str> {
        vec!["JSON", "AVRO"]
    }

    /// `GET /schemas?subjectPrefix&deleted&latestOnly`
    pub fn schemas(&self, _prefix: Option<&str>, _deleted: bool, _latest_only: bool) -> Vec<SubjectVersion> {
        unimplemented!()
    }

    /// `GET /schemas/ids/{id}?fetchMaxId` (and its `/schema`)
    pub fn schema(&self, _id: i32, _fetch_max_id: bool) -> Result<SchemaString> {
        unimplemented!()
    }

    /// `GET /schemas/ids/{id}/subjects`
    pub fn schema_subjects(&self, _id: i32, _deleted: bool) -> Result<Vec<String>> {
        unimplemented!()
    }

    /// `GET /schemas/ids/{id}/versions`
    pub fn schema_versions(&self, _id: i32, _deleted: bool) -> Result<Vec<VersionOf>> {
        unimplemented!()
    }

    // ── compatibility ──

    /// `POST /compatibility/subjects/{subject}/versions/{version}?verbose&normalize`; without a version against all
    /// those that the subject's level names (`POST /compatibility/subjects/{subject}/versions`).
    pub fn compatibility(
        &self,
        _subject: &str,
        _version: Option<VersionSpec>,
        _request: &SchemaRequest,
        _verbose: bool,
        _normalize: bool,
    ) -> Result<CompatibilityAnswer> {
        unimplemented!()
    }

    // ── settings; subject `None` is the global one ──

    /// `GET /config[/{subject}?defaultToGlobal]`
    pub fn config(&self, _subject: Option<&str>, _default_to_global: bool) -> Result<ConfigAnswer> {
        unimplemented!()
    }

    /// `PUT /config[/{subject}]`: answers with what was set.
    pub async fn set_config(&self, _subject: Option<&str>, _update: ConfigUpdate) -> Result<ConfigUpdate> {
        unimplemented!()
    }

    /// `DELETE /config[/{subject}]`: answers with the setting that is gone.
    pub async fn delete_config(&self, _subject: Option<&str>) -> Result<ConfigAnswer> {
        unimplemented!()
    }

    /// `GET /mode[/{subject}?defaultToGlobal]`
    pub fn mode(&self, _subject: Option<&str>, _default_to_global: bool) -> Result<ModeAnswer> {
        unimplemented!()
    }

    /// `PUT /mode[/{subject}]?force`; the name of the mode comes unchecked.
    pub async fn set_mode(&self, _subject: Option<&str>, _mode: &str, _force: bool) -> Result<ModeAnswer> {
        unimplemented!()
    }

    /// `DELETE /mode/{subject}`: answers with the mode that is gone.
    pub async fn delete_mode(&self, _subject: &str) -> Result<ModeAnswer> {
        unimplemented!()
    }

}

impl SchemaSource for RegistryStore {
    fn schema_by_id(&self, _id: i32) -> Option<Arc<RegisteredSchema>> {
        unimplemented!()
    }
}
