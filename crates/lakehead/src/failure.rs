//! An error as people read it: what could not be done, then why, then what to do next.

use std::fmt;

/// From the server or from here; both look the same.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Where in a file of ours: `load.sql:14:8`.
    pub place: Option<String>,
    /// `LHnnnn`.
    pub code: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

impl From<&model::Error> for Failure {
    fn from(error: &model::Error) -> Self {
        Self {
            place: None,
            code: error.code().name.to_owned(),
            message: error.message().to_owned(),
            detail: error.detail_text().map(str::to_owned),
            hint: error.hint_text().map(str::to_owned),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}: {}", self.code, self.message)?;
        if let Some(detail) = &self.detail {
            write!(f, "\n{detail}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// The text of any error a command ends with.
pub fn told(error: &anyhow::Error) -> String {
    match error.downcast_ref::<model::Error>() {
        Some(error) => Failure::from(error).to_string(),
        None => format!("{error:#}"),
    }
}

/// `line 2, column 8` in a text, and the same text with another place instead.
pub fn move_place(text: &str, moved: impl FnOnce(u64, u64) -> Option<(u64, u64)>) -> Option<(String, u64, u64)> {
    let start = text.find("line ")?;
    let (line, rest) = text[start + "line ".len()..].split_once(", column ")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (line, column) = moved(line.parse().ok()?, rest[..digits].parse().ok()?)?;
    Some((format!("{}line {line}, column {column}{}", &text[..start], &rest[digits..]), line, column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_move() {
        let moved = move_place("line 1, column 8:\n  SELECT x\n", |line, column| Some((line + 4, column)));
        assert_eq!(moved, Some(("line 5, column 8:\n  SELECT x\n".to_owned(), 5, 8)));
        assert_eq!(move_place("at the end of the statement", |line, column| Some((line, column))), None);
        assert_eq!(move_place("a line of text, column wise", |line, column| Some((line, column))), None);
    }
}
