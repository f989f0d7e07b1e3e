//! SET, RESET and SHOW of a session's settings.
//!
//! Three kinds: our own (`search_path`, `statement_timeout`), a few of DataFusion's that harm nobody, and those that
//! PostgreSQL's and ksqlDB's clients set on their own, which are kept and shown but mean nothing here.

use std::{sync::Arc, time::Duration};

use arrow::array::timezone::Tz;
use datafusion::{error::DataFusionError, execution::FunctionRegistry};
use model::{Error, Result, error::codes};

use super::Run;
use crate::{Outcome, engine::UTC};

const TIME_ZONE: &str = "datafusion.execution.time_zone";

/// DataFusion's options a session may change: none that reaches other sessions, files or the network.
const OPTIONS: [&str; 17] = [
    "datafusion.execution.batch_size",
    "datafusion.execution.target_partitions",
    TIME_ZONE,
    "datafusion.execution.collect_statistics",
    "datafusion.execution.coalesce_batches",
    "datafusion.execution.parquet.pushdown_filters",
    "datafusion.execution.parquet.reorder_filters",
    "datafusion.explain.format",
    "datafusion.explain.logical_plan_only",
    "datafusion.explain.physical_plan_only",
    "datafusion.explain.show_statistics",
    "datafusion.explain.show_schema",
    "datafusion.optimizer.prefer_hash_join",
    "datafusion.optimizer.repartition_joins",
    "datafusion.optimizer.repartition_aggregations",
    "datafusion.optimizer.enable_dynamic_filter_pushdown",
    "datafusion.sql_parser.parse_float_as_decimal",
];

/// What clients set or ask for without it meaning anything here, with what they are told before they set it.
const ACCEPTED: [(&str, &str); 24] = [
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("datestyle", "ISO, MDY"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("extra_float_digits", "1"),
    ("idle_in_transaction_session_timeout", "0"),
    ("integer_datetimes", "on"),
    ("intervalstyle", "postgres"),
    ("is_superuser", "on"),
    ("lock_timeout", "0"),
    ("max_identifier_length", "63"),
    ("row_security", "off"),
    ("server_encoding", "UTF8"),
    ("server_version", "17.0 (Lakehead)"),
    ("server_version_num", "170000"),
    ("session_authorization", "lakehead"),
    ("standard_conforming_strings", "on"),
    ("transaction_isolation", "read committed"),
    ("transaction_read_only", "off"),
    ("auto.offset.reset", "earliest"),
    ("ksql.strict", "false"),
];

impl Run<'_> {
    pub(super) fn set(&self, key: &str, value: &str) -> Result<Outcome> {
        let key = key.to_lowercase();
        let is_default = value.eq_ignore_ascii_case("default");
        if is_default {
            return self.reset(Some(&key)).map(|_| Outcome::done("SET"));
        }
        match key.as_str() {
            "search_path" | "schema" | "lakehead.namespace" => {
                let zone = value
                    .split(',')
                    .map(|part| part.trim().trim_matches('"').to_lowercase())
                    .find(|zone| self.engine().parts.catalog.names().namespace(zone).is_some());
                let Some(zone) = zone else {
                    return Err(Error::new(codes::SQL_TABLE_NOT_FOUND, format!("there is no zone `{value}`"))
                        .hint("SHOW SCHEMAS lists the zones"));
                };
                self.session.change_settings(|settings| settings.namespace = zone);
            }
            "statement_timeout" | "lakehead.statement_timeout" => {
                let timeout = duration(value)?;
                self.session.change_settings(|settings| settings.timeout = timeout);
            }
            // As PostgreSQL's clients write it.
            "timezone" if value.eq_ignore_ascii_case("utc") => self.set_option(TIME_ZONE, UTC)?,
            "timezone" => self.set_option(TIME_ZONE, value)?,
            _ if OPTIONS.contains(&key.as_str()) => self.set_option(&key, value)?,
            _ if ACCEPTED.iter().any(|(known, _)| *known == key) => {
                self.session.change_settings(|settings| {
                    settings.others.insert(key, value.chars().take(1_000).collect());
                });
            }
            _ => return Err(unknown(&key)),
        }
        Ok(Outcome::done("SET"))
    }

    pub(super) fn reset(&self, key: Option<&str>) -> Result<Outcome> {
        let base = self.engine().context().state();
        let from_base = |option: &str| {
            base.config_options().entries().into_iter().find(|entry| entry.key == option).and_then(|e| e.value)
        };
        match key {
            None => {
                let options = self.session.options().clone();
                let timeout = self.engine().settings().timeout;
                self.session.change_settings(|settings| {
                    settings.namespace = options.namespace;
                    settings.timeout = timeout;
                    settings.others.clear();
                });
                for option in OPTIONS {
                    if let Some(value) = from_base(option) {
                        self.set_option(option, &value)?;
                    }
                }
            }
            Some("search_path" | "schema" | "lakehead.namespace") => {
                let namespace = self.session.options().namespace.clone();
                self.session.change_settings(|settings| settings.namespace = namespace);
            }
            Some("statement_timeout" | "lakehead.statement_timeout") => {
                let timeout = self.engine().settings().timeout;
                self.session.change_settings(|settings| settings.timeout = timeout);
            }
            Some(key) => {
                let option = if key == "timezone" { TIME_ZONE } else { key };
                if OPTIONS.contains(&option) {
                    if let Some(value) = from_base(option) {
                        self.set_option(option, &value)?;
                    }
                } else if ACCEPTED.iter().any(|(known, _)| *known == key) {
                    self.session.change_settings(|settings| {
                        settings.others.remove(key);
                    });
                } else {
                    return Err(unknown(key));
                }
            }
        }
        Ok(Outcome::done("RESET"))
    }

    fn set_option(&self, key: &str, value: &str) -> Result<()> {
        const BATCH_ROWS_MAX: usize = 65_536;
        const PARTITIONS_MAX: usize = 256;
        let number = || value.parse::<usize>().ok();
        let in_bounds = match key {
            "datafusion.execution.batch_size" => number().is_some_and(|n| (1..=BATCH_ROWS_MAX).contains(&n)),
            "datafusion.execution.target_partitions" => number().is_some_and(|n| (1..=PARTITIONS_MAX).contains(&n)),
            _ => true,
        };
        let wrong = |why: String| Error::new(codes::SQL_SETTING, format!("{key} cannot be `{value}`")).detail(why);
        if !in_bounds {
            return Err(wrong("it is not a number within its bounds".to_owned()));
        }
        let is_zone = key == TIME_ZONE;
        if is_zone && value.parse::<Tz>().is_err() {
            return Err(wrong("it is not a time zone".to_owned()).hint("write UTC, +02:00 or Europe/Vienna"));
        }
        let state = self.session.context().state_ref();
        let mut state = state.write();
        let failed = |e: DataFusionError| wrong(e.strip_backtrace());
        state.config_mut().options_mut().set(key, value).map_err(failed)?;
        if is_zone {
            let config = state.config_options();
            let renewed = state.scalar_functions().values().filter_map(|udf| udf.inner().with_updated_config(config));
            for udf in renewed.collect::<Vec<_>>() {
                state.register_udf(Arc::new(udf)).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// The value of a setting, as SHOW gives it.
    pub(super) fn setting(&self, key: &str) -> Result<String> {
        let settings = self.session.settings();
        let option = |key: &str| {
            self.state
                .config_options()
                .entries()
                .into_iter()
                .find(|entry| entry.key == key)
                .map(|e| e.value.unwrap_or_default())
        };
        Ok(match key {
            "search_path" | "schema" | "lakehead.namespace" => settings.namespace,
            "statement_timeout" | "lakehead.statement_timeout" => shown(settings.timeout),
            "timezone" => option(TIME_ZONE).filter(|zone| zone != UTC).unwrap_or_else(|| "UTC".to_owned()),
            _ => match settings.others.get(key) {
                Some(value) => value.clone(),
                None => {
                    let accepted =
                        ACCEPTED.iter().find(|(known, _)| *known == key).map(|(_, value)| (*value).to_owned());
                    accepted.or_else(|| option(key)).ok_or_else(|| unknown(key))?
                }
            },
        })
    }

    /// All settings one can change, with their values.
    pub(super) fn all_settings(&self) -> Result<Vec<(String, String)>> {
        let own = ["search_path", "statement_timeout", "timezone"];
        let keys = own.into_iter().chain(OPTIONS).chain(ACCEPTED.iter().map(|(key, _)| *key));
        keys.map(|key| Ok((key.to_owned(), self.setting(key)?))).collect()
    }
}

fn unknown(key: &str) -> Error {
    Error::new(codes::SQL_SETTING, format!("there is no setting `{key}` to change here"))
        .hint("SHOW ALL lists the settings")
}

/// `30s`, `5min`, `250ms`, `2h`; a bare number is milliseconds, 0 is no limit.
fn duration(text: &str) -> Result<Option<Duration>> {
    let text = text.trim();
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let wrong = || {
        Error::new(codes::SQL_SETTING, format!("`{text}` is not a duration"))
            .hint("write 500ms, 30s, 5min or 2h; 0 is no limit")
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let ms = match unit.trim().to_lowercase().as_str() {
        "" | "ms" => 1,
        "s" | "sec" | "second" | "seconds" => 1_000,
        "m" | "min" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        _ => return Err(wrong()),
    };
    // A year is as good as none, and no clock overflows on it.
    const YEAR_MS: u64 = 31_536_000_000;
    Ok(match number.saturating_mul(ms) {
        0 => None,
        ms => Some(Duration::from_millis(ms.min(YEAR_MS))),
    })
}

fn shown(timeout: Option<Duration>) -> String {
    match timeout {
        None => "0".to_owned(),
        Some(timeout) => format!("{}ms", timeout.as_millis()),
    }
}
