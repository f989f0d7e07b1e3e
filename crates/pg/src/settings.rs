//! What a client may set (`SET`, `SHOW`): PostgreSQL's names, and only values Lakehead lives up to.

use std::{collections::BTreeMap, time::Duration};

use arrow::array::timezone::Tz;
use model::{Error, Result, error::codes};

/// The version clients see: the newest whose catalog queries of psql are answered in full.
pub(crate) const SERVER_VERSION: &str = concat!("15.0 (Lakehead ", env!("CARGO_PKG_VERSION"), ")");

/// The one database there is.
pub(crate) const DATABASE: &str = "lakehead";

/// Name as shown, default, and whether clients are told when it changes (`GUC_REPORT`).
const SETTINGS: &[(&str, &str, bool)] = &[
    ("application_name", "", true),
    ("backslash_quote", "safe_encoding", false),
    ("bytea_output", "hex", false),
    ("client_encoding", "UTF8", true),
    ("client_min_messages", "notice", false),
    ("DateStyle", "ISO, MDY", true),
    ("default_table_access_method", "heap", false),
    ("default_transaction_isolation", "read committed", false),
    ("default_transaction_read_only", "off", true),
    ("enable_seqscan", "on", false),
    ("escape_string_warning", "on", false),
    ("extra_float_digits", "1", false),
    ("idle_in_transaction_session_timeout", "0", false),
    ("in_hot_standby", "off", true),
    ("integer_datetimes", "on", true),
    ("IntervalStyle", "postgres", true),
    ("is_superuser", "off", true),
    ("jit", "off", false),
    ("lc_collate", "C", false),
    ("lc_ctype", "C", false),
    ("lc_messages", "C", false),
    ("lc_monetary", "C", false),
    ("lc_numeric", "C", false),
    ("lc_time", "C", false),
    ("lock_timeout", "0", false),
    ("max_identifier_length", "63", false),
    ("max_index_keys", "32", false),
    ("row_security", "on", false),
    ("search_path", "public", true),
    ("server_encoding", "UTF8", true),
    ("server_version", SERVER_VERSION, true),
    ("server_version_num", "150000", false),
    ("session_authorization", "", true),
    ("standard_conforming_strings", "on", true),
    ("statement_timeout", "0", false),
    ("synchronous_commit", "on", false),
    ("TimeZone", "UTC", true),
    ("transaction_isolation", "read committed", false),
    ("transaction_read_only", "off", false),
    ("wal_level", "replica", false),
    ("xmloption", "content", false),
];

/// Those that say what the server is, and cannot be set.
const FIXED: &[&str] = &[
    "in_hot_standby",
    "integer_datetimes",
    "is_superuser",
    "lc_collate",
    "lc_ctype",
    "max_identifier_length",
    "max_index_keys",
    "server_encoding",
    "server_version",
    "server_version_num",
    "wal_level",
];

/// The settings of one connection.
#[derive(Clone)]
pub(crate) struct ClientSettings {
    /// By name in lower case: name as shown, value.
    values: BTreeMap<String, (String, String)>,
    /// What the client asked for at startup: RESET goes back to it.
    initial: BTreeMap<String, String>,
    pub(crate) time_zone: Tz,
    pub(crate) statement_timeout: Option<Duration>,
    /// What the connection is called by those who cancel it.
    pub(crate) pid: i32,
}

impl Default for ClientSettings {
    fn default() -> Self {
        let entry =
            |(name, value, _): &(&str, &str, bool)| (name.to_ascii_lowercase(), (name.to_string(), value.to_string()));
        Self {
            values: SETTINGS.iter().map(entry).collect(),
            initial: BTreeMap::new(),
            time_zone: utc(),
            statement_timeout: None,
            pid: 0,
        }
    }
}

fn utc() -> Tz {
    "+00:00".parse().expect("an offset is a time zone")
}

impl ClientSettings {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(&name.to_ascii_lowercase()).map(|(_, value)| value.as_str())
    }

    /// All, as `SHOW ALL` lists them.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.values().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Those a client is told at startup.
    pub(crate) fn reported(&self) -> impl Iterator<Item = (&str, &str)> {
        self.all().filter(|(name, _)| is_reported(name))
    }

    /// At startup: unknown settings are the client's own business, and the value becomes what RESET restores.
    pub(crate) fn start_with(&mut self, name: &str, value: &str) -> Result<()> {
        if name == "user" {
            self.put("session_authorization", value.to_owned());
        } else if self.get(name).is_some() && !FIXED.contains(&name.to_ascii_lowercase().as_str()) {
            self.set(name, value)?;
            self.initial.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        Ok(())
    }

    /// Sets `name`; gives the name as shown and the new value if clients are told of it.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<Option<(String, String)>> {
        let key = name.to_ascii_lowercase();
        let Some((shown, _)) = self.values.get(&key) else {
            // `my.setting`: customised options are anybody's.
            if key.contains('.') && self.values.len() < SETTINGS.len() + 64 {
                self.values.insert(key, (name.to_owned(), value.to_owned()));
                return Ok(None);
            }
            return Err(Error::new(
                codes::PG_SETTING_INVALID,
                format!("unrecognized configuration parameter \"{name}\""),
            )
            .hint("SHOW ALL lists the settings there are"));
        };
        let shown = shown.clone();
        if FIXED.contains(&key.as_str()) {
            return Err(invalid(&shown, value, "it says what the server is and cannot be changed"));
        }
        let canonical = self.check(&key, &shown, value)?;
        self.put(&key, canonical.clone());
        Ok(is_reported(&shown).then_some((shown, canonical)))
    }

    /// Back to the value at startup.
    pub(crate) fn reset(&mut self, name: &str) -> Result<Option<(String, String)>> {
        let key = name.to_ascii_lowercase();
        let default = SETTINGS.iter().find(|(n, _, _)| n.eq_ignore_ascii_case(name)).map(|(_, value, _)| *value);
        match (self.initial.get(&key).cloned(), default) {
            (Some(value), _) => self.set(name, &value),
            (None, Some(value)) if !FIXED.contains(&key.as_str()) && key != "session_authorization" => {
                self.set(name, value)
            }
            (None, _) => {
                self.values.retain(|k, _| *k != key || !k.contains('.'));
                Ok(None)
            }
        }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.values.keys().cloned().collect()
    }

    fn put(&mut self, key: &str, value: String) {
        if let Some((_, current)) = self.values.get_mut(key) {
            *current = value;
        }
    }

    /// The value in its canonical spelling, with what depends on it brought up to date.
    fn check(&mut self, key: &str, shown: &str, value: &str) -> Result<String> {
        let one_of = |allowed: &[&str], canonical: &str| {
            if allowed.iter().any(|a| a.eq_ignore_ascii_case(value.trim().trim_matches('\''))) {
                Ok(canonical.to_owned())
            } else {
                Err(invalid(shown, value, &format!("only {canonical} is supported")))
            }
        };
        match key {
            "client_encoding" => one_of(&["utf8", "utf-8", "unicode", "sql_ascii", "auto"], "UTF8"),
            "standard_conforming_strings" => one_of(&["on", "true", "1", "yes"], "on"),
            "intervalstyle" => one_of(&["postgres"], "postgres"),
            "bytea_output" => one_of(&["hex"], "hex"),
            "datestyle" => {
                let mut order = "MDY";
                for word in value.split(',').map(str::trim) {
                    match word.to_ascii_uppercase().as_str() {
                        "ISO" | "DEFAULT" => {}
                        "MDY" | "US" | "NONEURO" => order = "MDY",
                        "DMY" | "EURO" | "EUROPEAN" => order = "DMY",
                        "YMD" => order = "YMD",
                        _ => return Err(invalid(shown, value, "dates are always written in ISO style")),
                    }
                }
                Ok(format!("ISO, {order}"))
            }
            "timezone" => {
                let name = value.trim();
                let zone = match name.to_ascii_uppercase().as_str() {
                    "UTC" | "GMT" | "Z" | "ETC/UTC" | "ZULU" | "DEFAULT" | "LOCAL" => utc(),
                    _ => name.parse().map_err(|_| invalid(shown, value, "no time zone is called so"))?,
                };
                self.time_zone = zone;
                Ok(name.to_owned())
            }
            "statement_timeout" => {
                let timeout =
                    duration(value).ok_or_else(|| invalid(shown, value, "write milliseconds, or 10s, 5min, 1h"))?;
                self.statement_timeout = (!timeout.is_zero()).then_some(timeout);
                Ok(if timeout.is_zero() { "0".to_owned() } else { format!("{}ms", timeout.as_millis()) })
            }
            _ => Ok(value.to_owned()),
        }
    }
}

fn is_reported(name: &str) -> bool {
    SETTINGS.iter().any(|(n, _, reported)| *reported && *n == name)
}

/// Milliseconds, or a number with a unit.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let millis = match text[digits..].trim() {
        "" | "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.checked_mul(millis)?.min(i32::MAX as u64)))
}

fn invalid(name: &str, value: &str, why: &str) -> Error {
    Error::new(
        codes::PG_SETTING_INVALID,
        format!("invalid value for parameter \"{name}\": \"{}\"", value.escape_debug()),
    )
    .detail(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_canonical_and_reported() {
        let mut settings = ClientSettings::default();
        let told = settings.set("datestyle", "iso, dmy").expect("supported");
        assert_eq!(told, Some(("DateStyle".to_owned(), "ISO, DMY".to_owned())));
        assert_eq!(settings.set("extra_float_digits", "3").expect("supported"), None);
        settings.set("statement_timeout", "5s").expect("supported");
        assert_eq!(settings.statement_timeout, Some(Duration::from_secs(5)));
        settings.reset("statement_timeout").expect("supported");
        assert_eq!(settings.statement_timeout, None);
    }

    #[test]
    fn what_is_not_lived_up_to_is_refused() {
        let mut settings = ClientSettings::default();
        for (name, value) in [
            ("client_encoding", "LATIN1"),
            ("DateStyle", "German"),
            ("server_version", "9"),
            ("no_such_thing", "1"),
            ("TimeZone", "Mars/Olympus"),
            ("statement_timeout", "soon"),
        ] {
            assert!(settings.set(name, value).is_err(), "{name} = {value}");
        }
    }
}
