//! What a session remembers. Each statement is a request of its own, and the node keeps nothing between requests: the
//! statements that set something are kept here and sent along before the others.

/// The statements still in force, each under the name of what it sets.
#[derive(Default)]
pub struct Session(Vec<(String, String)>);

impl Session {
    /// What to send for `statement`, and how many lines of it come before the statement.
    pub fn request(&self, statement: &str) -> (String, u64) {
        let mut request = String::new();
        for (_, kept) in &self.0 {
            // The line end closes a comment that the kept statement may end with.
            request.push_str(kept);
            request.push_str("\n;\n");
        }
        let lines = request.matches('\n').count() as u64;
        (request + statement, lines)
    }

    /// To be told of each statement that succeeded.
    pub fn ran(&mut self, statement: &str) {
        let words = words(statement);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["USE", ..] => self.keep("SEARCH_PATH".to_owned(), statement),
            ["SET", "SESSION" | "LOCAL", name, rest @ ..] | ["SET", name, rest @ ..] => {
                self.keep(setting(name, rest), statement);
            }
            ["RESET", "ALL"] => self.0.retain(|(name, _)| name.starts_with("PREPARE ")),
            ["RESET", name, rest @ ..] => self.forget(&setting(name, rest)),
            ["PREPARE", name, ..] => self.keep(format!("PREPARE {name}"), statement),
            ["DEALLOCATE", "ALL"] | ["DEALLOCATE", "PREPARE", "ALL"] => {
                self.0.retain(|(name, _)| !name.starts_with("PREPARE "));
            }
            ["DEALLOCATE", "PREPARE", name] | ["DEALLOCATE", name] => self.forget(&format!("PREPARE {name}")),
            ["DISCARD", "ALL"] => self.0.clear(),
            _ => {}
        }
    }

    fn keep(&mut self, name: String, statement: &str) {
        self.forget(&name);
        self.0.push((name, statement.to_owned()));
    }

    fn forget(&mut self, name: &str) {
        self.0.retain(|(kept, _)| kept != name);
    }
}

fn setting(name: &str, rest: &[&str]) -> String {
    match (name, rest) {
        ("TIME", ["ZONE", ..]) => "TIMEZONE".to_owned(),
        ("SCHEMA", _) => "SEARCH_PATH".to_owned(),
        _ => name.to_owned(),
    }
}

/// The first words of a statement in capitals, without the comments before it.
fn words(statement: &str) -> Vec<String> {
    let mut rest = statement.trim_start();
    loop {
        let comment_end = if rest.starts_with("--") {
            rest.find('\n')
        } else if rest.starts_with("/*") {
            rest.find("*/").map(|at| at + 1)
        } else {
            break;
        };
        rest = comment_end.map_or("", |at| &rest[at + 1..]).trim_start();
    }
    let words = rest.split(|c: char| c.is_whitespace() || "=(;".contains(c)).filter(|word| !word.is_empty());
    words.take(4).map(str::to_uppercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(statements: &[&str]) -> String {
        let mut session = Session::default();
        statements.iter().for_each(|statement| session.ran(statement));
        session.request("SELECT 1").0
    }

    #[test]
    fn what_sets_something_goes_before_what_follows() {
        assert_eq!(after(&["SELECT 2", "INSERT INTO t VALUES (1)"]), "SELECT 1");
        assert_eq!(after(&["use raw", "SET x.y = 1 -- why"]), "use raw\n;\nSET x.y = 1 -- why\n;\nSELECT 1");
        assert_eq!(after(&["PREPARE p AS SELECT $1"]), "PREPARE p AS SELECT $1\n;\nSELECT 1");
    }

    #[test]
    fn the_last_setting_wins_and_can_be_taken_back() {
        let twice = ["/* a */ SET TIME ZONE 'UTC'", "-- b\nset timezone='Europe/Vienna'"];
        assert_eq!(after(&twice), "-- b\nset timezone='Europe/Vienna'\n;\nSELECT 1");
        assert_eq!(after(&["SET search_path TO raw", "USE public", "RESET search_path"]), "SELECT 1");
        assert_eq!(after(&["SET a=1", "PREPARE p AS SELECT 1", "RESET ALL", "DEALLOCATE p"]), "SELECT 1");
        assert_eq!(after(&["SET a=1", "PREPARE p AS SELECT 1", "DISCARD ALL"]), "SELECT 1");
    }

    #[test]
    fn lines_before_the_statement_are_counted() {
        let mut session = Session::default();
        session.ran("SET\n a = 1");
        let (request, lines) = session.request("SELECT 1");
        assert_eq!(request.lines().nth(lines as usize), Some("SELECT 1"));
    }
}
