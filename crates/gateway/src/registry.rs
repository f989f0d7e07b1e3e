//! Confluent's Schema Registry REST API (Confluent Platform 8.0), one route for each operation of
//! [`lake::registry::RegistryStore`]. Errors are `{"error_code","message"}` with Confluent's numbers.

use std::str::FromStr;

use axum::{
    Router,
    body::Bytes,
    extract::{FromRequest, Path, Query, Request, State},
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use model::{Error, error::codes};
use schemas::registry::{ConfigUpdate, SchemaRequest, VersionSpec, error_code, http_status};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    app::{Shared, read_body},
    error::Failure,
};

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// The version of Confluent's registry whose API this is.
const CONFLUENT_VERSION: &str = "8.0.0";

type Answer = Result<Response, RegistryFailure>;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/subjects", get(subjects))
        .route("/subjects/{subject}", post(lookup).delete(delete_subject))
        .route("/subjects/{subject}/metadata", get(latest_with_metadata))
        .route("/subjects/{subject}/versions", get(versions).post(register))
        .route("/subjects/{subject}/versions/{version}", get(version).delete(delete_version))
        .route("/subjects/{subject}/versions/{version}/schema", get(version_schema))
        .route("/subjects/{subject}/versions/{version}/referencedby", get(referenced_by))
        .route("/schemas", get(all_schemas))
        .route("/schemas/types", get(types))
        .route("/schemas/ids/{id}", get(schema))
        .route("/schemas/ids/{id}/schema", get(schema_text))
        .route("/schemas/ids/{id}/subjects", get(schema_subjects))
        .route("/schemas/ids/{id}/versions", get(schema_versions))
        .route("/compatibility/subjects/{subject}/versions", post(compatibility))
        .route("/compatibility/subjects/{subject}/versions/{version}", post(compatibility))
        .route("/config", get(config).put(set_config).delete(delete_config))
        .route("/config/{subject}", get(config).put(set_config).delete(delete_config))
        .route("/mode", get(mode).put(set_mode))
        .route("/mode/{subject}", get(mode).put(set_mode).delete(delete_mode))
        .route("/contexts", get(contexts))
        .route("/v1/metadata/id", get(server_id))
        .route("/v1/metadata/version", get(server_version))
}

/// Where all of the above begin.
const FAMILIES: [&str; 7] = ["subjects", "schemas", "compatibility", "config", "mode", "contexts", "v1"];

/// `error`, about a path that is not served or not in this way, as whoever asks for such a path understands it.
pub(crate) fn refusal(uri: &Uri, error: Error) -> Response {
    let family = uri.path().split('/').nth(1).unwrap_or_default();
    match FAMILIES.contains(&family) {
        true => RegistryFailure(error).into_response(),
        false => Failure(error).into_response(),
    }
}

/// `value` as the registry's JSON.
pub(crate) fn json(value: &impl Serialize) -> Response {
    let bytes = serde_json::to_vec(value).expect("answers are plain structs with string keys");
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], bytes).into_response()
}

fn text(schema: String) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], schema).into_response()
}

// ── errors ──

struct RegistryFailure(Error);

impl From<Error> for RegistryFailure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for RegistryFailure {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let status = StatusCode::from_u16(http_status(&error)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() {
            tracing::error!(%error, "a registry request failed");
        }
        // Confluent has one text; ours keeps the cause and the code for `lakehead explain`.
        let mut message = error.message().to_owned();
        for part in [error.detail_text(), error.hint_text()].into_iter().flatten() {
            message += "; ";
            message += part;
        }
        message += &format!(" [{}]", error.code().name);
        let body = serde_json::json!({"error_code": error_code(&error), "message": message});
        let mut response = json(&body);
        *response.status_mut() = status;
        response
    }
}

// ── requests ──

/// All query parameters any route takes. Values are text so that a strange one is ignored like Confluent does, not refused.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Params {
    subject_prefix: Option<String>,
    deleted: Option<String>,
    deleted_only: Option<String>,
    latest_only: Option<String>,
    normalize: Option<String>,
    permanent: Option<String>,
    fetch_max_id: Option<String>,
    verbose: Option<String>,
    default_to_global: Option<String>,
    force: Option<String>,
    offset: Option<String>,
    limit: Option<String>,
    format: Option<String>,
}

/// Another form of schema `id` in place of its text, if the request asks for one that it has.
fn formatted(app: &Shared, p: &Params, id: i32, schema: &mut String) {
    if let Some(other) = p.format.as_deref().and_then(|format| app.parts.registry.formatted(id, format)) {
        *schema = other;
    }
}

fn yes(value: &Option<String>) -> bool {
    value.as_deref().is_some_and(|v| v.eq_ignore_ascii_case("true"))
}

/// `offset` and `limit` of a list (no limit: −1, as Confluent).
fn page<T>(items: Vec<T>, params: &Params) -> Vec<T> {
    let number = |value: &Option<String>| value.as_deref().and_then(|v| v.parse::<i64>().ok());
    let offset = usize::try_from(number(&params.offset).unwrap_or(0)).unwrap_or(0);
    let limit = usize::try_from(number(&params.limit).unwrap_or(-1)).unwrap_or(usize::MAX);
    items.into_iter().skip(offset).take(limit).collect()
}

/// The body of a request as JSON.
struct Json<T>(T);

impl<T: DeserializeOwned> FromRequest<Shared> for Json<T> {
    type Rejection = RegistryFailure;

    async fn from_request(request: Request, app: &Shared) -> Result<Self, RegistryFailure> {
        let bytes: Bytes = read_body(app, request.into_body()).await?;
        let value = serde_json::from_slice(&bytes).map_err(|error| {
            Error::new(codes::HTTP_BODY_INVALID, "the body is not the JSON this request needs")
                .detail(error.to_string())
        })?;
        Ok(Self(value))
    }
}

fn version_of(text: &str) -> Result<VersionSpec, Error> {
    VersionSpec::from_str(text)
}

fn id_of(text: &str) -> Result<i32, Error> {
    text.parse()
        .map_err(|_| Error::new(codes::HTTP_NOT_FOUND, format!("`{}` is not the id of a schema", text.escape_debug())))
}

// ── subjects ──

async fn subjects(State(app): State<Shared>, Query(p): Query<Params>) -> Answer {
    let subjects = app.parts.registry.subjects(p.subject_prefix.as_deref(), yes(&p.deleted), yes(&p.deleted_only));
    Ok(json(&page(subjects, &p)))
}

async fn versions(State(app): State<Shared>, Path(subject): Path<String>, Query(p): Query<Params>) -> Answer {
    let versions = app.parts.registry.versions(&subject, yes(&p.deleted), yes(&p.deleted_only))?;
    Ok(json(&page(versions, &p)))
}

async fn version(
    State(app): State<Shared>,
    Path((subject, version)): Path<(String, String)>,
    Query(p): Query<Params>,
) -> Answer {
    let mut found = app.parts.registry.version(&subject, version_of(&version)?, yes(&p.deleted))?;
    formatted(&app, &p, found.id, &mut found.schema);
    Ok(json(&found))
}

async fn version_schema(
    State(app): State<Shared>,
    Path((subject, version)): Path<(String, String)>,
    Query(p): Query<Params>,
) -> Answer {
    let mut found = app.parts.registry.version(&subject, version_of(&version)?, yes(&p.deleted))?;
    formatted(&app, &p, found.id, &mut found.schema);
    Ok(text(found.schema))
}

async fn latest_with_metadata(
    State(app): State<Shared>,
    Path(subject): Path<String>,
    Query(p): Query<Params>,
) -> Answer {
    Ok(json(&app.parts.registry.latest_with_metadata(&subject, yes(&p.deleted))?))
}

async fn referenced_by(State(app): State<Shared>, Path((subject, version)): Path<(String, String)>) -> Answer {
    Ok(json(&app.parts.registry.referenced_by(&subject, version_of(&version)?)?))
}

async fn register(
    State(app): State<Shared>,
    Path(subject): Path<String>,
    Query(p): Query<Params>,
    Json(schema): Json<SchemaRequest>,
) -> Answer {
    Ok(json(&app.parts.registry.register(&subject, schema, yes(&p.normalize)).await?))
}

async fn lookup(
    State(app): State<Shared>,
    Path(subject): Path<String>,
    Query(p): Query<Params>,
    Json(schema): Json<SchemaRequest>,
) -> Answer {
    let mut found = app.parts.registry.lookup(&subject, &schema, yes(&p.normalize), yes(&p.deleted))?;
    formatted(&app, &p, found.id, &mut found.schema);
    Ok(json(&found))
}

async fn delete_subject(State(app): State<Shared>, Path(subject): Path<String>, Query(p): Query<Params>) -> Answer {
    Ok(json(&app.parts.registry.delete_subject(&subject, yes(&p.permanent)).await?))
}

async fn delete_version(
    State(app): State<Shared>,
    Path((subject, version)): Path<(String, String)>,
    Query(p): Query<Params>,
) -> Answer {
    Ok(json(&app.parts.registry.delete_version(&subject, version_of(&version)?, yes(&p.permanent)).await?))
}

// ── schemas ──

async fn types(State(app): State<Shared>) -> Answer {
    Ok(json(&app.parts.registry.types()))
}

async fn all_schemas(State(app): State<Shared>, Query(p): Query<Params>) -> Answer {
    let schemas = app.parts.registry.schemas(p.subject_prefix.as_deref(), yes(&p.deleted), yes(&p.latest_only));
    Ok(json(&page(schemas, &p)))
}

async fn schema(State(app): State<Shared>, Path(id): Path<String>, Query(p): Query<Params>) -> Answer {
    let id = id_of(&id)?;
    let mut found = app.parts.registry.schema(id, yes(&p.fetch_max_id))?;
    formatted(&app, &p, id, &mut found.schema);
    Ok(json(&found))
}

async fn schema_text(State(app): State<Shared>, Path(id): Path<String>, Query(p): Query<Params>) -> Answer {
    let id = id_of(&id)?;
    let mut found = app.parts.registry.schema(id, false)?;
    formatted(&app, &p, id, &mut found.schema);
    Ok(text(found.schema))
}

async fn schema_subjects(State(app): State<Shared>, Path(id): Path<String>, Query(p): Query<Params>) -> Answer {
    Ok(json(&page(app.parts.registry.schema_subjects(id_of(&id)?, yes(&p.deleted))?, &p)))
}

async fn schema_versions(State(app): State<Shared>, Path(id): Path<String>, Query(p): Query<Params>) -> Answer {
    Ok(json(&page(app.parts.registry.schema_versions(id_of(&id)?, yes(&p.deleted))?, &p)))
}

// ── compatibility ──

/// One version, or all that the subject's level asks for.
#[derive(Deserialize)]
struct Against {
    subject: String,
    version: Option<String>,
}

async fn compatibility(
    State(app): State<Shared>,
    Path(Against { subject, version }): Path<Against>,
    Query(p): Query<Params>,
    Json(schema): Json<SchemaRequest>,
) -> Answer {
    let version = version.as_deref().map(version_of).transpose()?;
    Ok(json(&app.parts.registry.compatibility(&subject, version, &schema, yes(&p.verbose), yes(&p.normalize))?))
}

// ── settings ──

/// Body of `PUT /mode`; the name is checked by the registry.
#[derive(Deserialize)]
struct ModeUpdate {
    mode: String,
}

/// The subject in the path; without one the setting is everyone's.
type Whose = Option<Path<String>>;

fn whose(subject: &Whose) -> Option<&str> {
    subject.as_ref().map(|Path(subject)| subject.as_str())
}

async fn config(State(app): State<Shared>, subject: Whose, Query(p): Query<Params>) -> Answer {
    Ok(json(&app.parts.registry.config(whose(&subject), yes(&p.default_to_global))?))
}

async fn set_config(State(app): State<Shared>, subject: Whose, Json(update): Json<ConfigUpdate>) -> Answer {
    Ok(json(&app.parts.registry.set_config(whose(&subject), update).await?))
}

async fn delete_config(State(app): State<Shared>, subject: Whose) -> Answer {
    Ok(json(&app.parts.registry.delete_config(whose(&subject)).await?))
}

async fn mode(State(app): State<Shared>, subject: Whose, Query(p): Query<Params>) -> Answer {
    Ok(json(&app.parts.registry.mode(whose(&subject), yes(&p.default_to_global))?))
}

async fn set_mode(
    State(app): State<Shared>,
    subject: Whose,
    Query(p): Query<Params>,
    Json(update): Json<ModeUpdate>,
) -> Answer {
    Ok(json(&app.parts.registry.set_mode(whose(&subject), &update.mode, yes(&p.force)).await?))
}

async fn delete_mode(State(app): State<Shared>, Path(subject): Path<String>) -> Answer {
    Ok(json(&app.parts.registry.delete_mode(&subject).await?))
}

async fn contexts(State(app): State<Shared>, Query(p): Query<Params>) -> Answer {
    Ok(json(&page(app.parts.registry.contexts(), &p)))
}

// ── the server ──

/// Which Kafka cluster and which registry on it, as Confluent's `ServerClusterId`.
async fn server_id(State(app): State<Shared>) -> Answer {
    let clusters = serde_json::json!({
        "kafka-cluster": app.parts.log.cluster_id(),
        "schema-registry-cluster": "schema-registry",
    });
    Ok(json(&serde_json::json!({"id": "", "scope": {"path": [], "clusters": clusters}})))
}

/// Which of Confluent's versions the API is that of.
async fn server_version() -> Answer {
    let ours = concat!("lakehead-", env!("CARGO_PKG_VERSION"));
    Ok(json(&serde_json::json!({"version": CONFLUENT_VERSION, "commitId": ours})))
}
