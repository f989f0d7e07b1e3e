//! A node's worth of SQL in a temporary directory.

use std::{sync::Arc, time::Duration};

use arrow::util::pretty::pretty_format_batches;
use catalog::Catalog;
use commitlog::{EmbeddedLog, Log};
use expect_test::Expect;
use files::Files;
use lake::{Lake, LakeParts, LakeSettings, registry::RegistryStore};
use sql::{Engine, EngineParts, Outcome, Session, SessionOptions, SqlSettings};
use tables::Tables;
use world::World;

pub struct Node {
    pub engine: Arc<Engine>,
    pub session: Session,
    pub lake: Arc<Lake>,
    pub log: Arc<dyn Log>,
    pub dir: tempfile::TempDir,
}

impl Node {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(settings: impl FnOnce(&mut SqlSettings)) -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let world = World::real();
        let path = dir.path().canonicalize().expect("the directory exists");
        let log: Arc<dyn Log> =
            EmbeddedLog::open(&path.join("log"), Default::default(), world.clone()).await.expect("log");
        let files = Files::open(&format!("file://{}/files", path.display()), world.clone()).expect("files");
        let catalog =
            Catalog::open(&format!("sqlite://{}/catalog.db", path.display()), world.clone()).await.expect("catalog");
        let tables = Tables::new(catalog.clone(), files.clone(), world.clone());
        let registry = RegistryStore::open(log.clone(), world.clone()).await.expect("registry");
        let lake = Lake::open(LakeParts {
            log: log.clone(),
            tables: tables.clone(),
            catalog: catalog.clone(),
            registry: registry.clone(),
            world: world.clone(),
            settings: LakeSettings {
                commit_interval: Duration::from_secs(3600),
                maintenance_interval: Duration::from_millis(100),
                ..Default::default()
            },
        })
        .await
        .expect("lake");
        let mut sql_settings = SqlSettings::in_dir(&path);
        sql_settings.target_partitions = 2;
        settings(&mut sql_settings);
        let parts = EngineParts {
            lake: lake.clone(),
            log: log.clone(),
            tables,
            catalog,
            files,
            registry,
            world,
            settings: sql_settings,
        };
        let engine = Engine::new(parts).expect("engine");
        let session = engine.session(SessionOptions::default());
        Self { engine, session, lake, log, dir }
    }

    /// Runs a script and compares all it gives with `expected`.
    pub async fn check(&self, sql: &str, expected: Expect) {
        expected.assert_eq(&self.shown(sql).await);
    }

    pub async fn shown(&self, sql: &str) -> String {
        match self.session.run(sql).await {
            Err(error) => show_error(&error),
            Ok(outcomes) => {
                let mut shown = String::new();
                for outcome in outcomes {
                    shown.push_str(&show(outcome).await);
                }
                shown
            }
        }
    }

    /// Runs a script that must succeed.
    pub async fn run(&self, sql: &str) {
        for outcome in self.session.run(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}")) {
            outcome.collect().await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        }
    }

    /// The only value a query gives.
    pub async fn value(&self, sql: &str) -> String {
        let batches = self.session.run_one(sql, Vec::new()).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let batches = batches.collect().await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let batch = batches.iter().find(|batch| batch.num_rows() > 0).expect("one row");
        arrow::util::display::array_value_to_string(batch.column(0), 0).expect("a value is shown")
    }

    /// Every one of `laws`, which are expressions, with a FROM behind if they need one, is true.
    pub async fn holds(&self, laws: &[&str]) {
        for law in laws {
            assert_eq!(self.value(&format!("SELECT {law}")).await, "true", "{law}");
        }
    }

    /// The code of the error a statement ends with.
    pub async fn fails(&self, sql: &str) -> &'static str {
        let error = match self.session.run(sql).await {
            Err(error) => error,
            Ok(outcomes) => {
                let mut failed = None;
                for outcome in outcomes {
                    if let Err(error) = outcome.collect().await {
                        failed = Some(error);
                    }
                }
                failed.unwrap_or_else(|| panic!("{sql} should fail"))
            }
        };
        error.code().name
    }
}

pub async fn show(outcome: Outcome) -> String {
    let mut shown = String::new();
    for notice in &outcome.notices {
        shown.push_str(&format!("notice: {notice}\n"));
    }
    let (tag, has_rows) = (outcome.tag.clone(), outcome.stream.is_some());
    let schema = outcome.schema.clone();
    match outcome.collect().await {
        Err(error) => shown.push_str(&show_error(&error)),
        Ok(batches) if has_rows => {
            let batches = if batches.is_empty() { vec![arrow::array::RecordBatch::new_empty(schema)] } else { batches };
            shown.push_str(&format!("{}\n", pretty_format_batches(&batches).expect("rows are shown")));
        }
        Ok(_) => shown.push_str(&format!("{tag}\n")),
    }
    shown
}

pub fn show_error(error: &model::Error) -> String {
    let detail = error.detail_text().map(|d| format!("\n{d}")).unwrap_or_default();
    let hint = error.hint_text().map(|h| format!("\nhint: {h}")).unwrap_or_default();
    format!("{} {}{detail}{hint}\n", error.code().name, error.message())
}
