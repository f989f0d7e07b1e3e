//! Completion at the prompt: after FROM and its like names of tables, elsewhere columns, tables and keywords.

/// What there is to name.
#[derive(Default)]
pub struct Known {
    /// Tables, topics, streams and views as SQL writes them, those of other zones with their zone.
    pub relations: Vec<String>,
    pub columns: Vec<String>,
}

const KEYWORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "HAVING",
    "LIMIT",
    "JOIN",
    "LEFT JOIN",
    "ON",
    "WITH",
    "AS",
    "INSERT INTO",
    "VALUES",
    "UPDATE",
    "DELETE FROM",
    "CREATE STREAM",
    "CREATE TABLE",
    "CREATE VIEW",
    "DROP",
    "SHOW TABLES",
    "SHOW TOPICS",
    "SHOW CREATE TABLE",
    "DESCRIBE",
    "EXPLAIN",
    "EXPLAIN ANALYZE",
    "OPTIMIZE",
    "VACUUM",
    "COPY",
    "SET",
    "USE",
    "COUNT(*)",
    "DISTINCT",
    "CASE WHEN",
    "FOR VERSION AS OF",
    "FOR TIMESTAMP AS OF",
    "_partition",
    "_offset",
    "_timestamp",
    "_key",
    "_headers",
];

/// Words after which a relation is named.
const BEFORE_RELATION: &[&str] = &[
    "FROM", "JOIN", "INTO", "UPDATE", "TABLE", "STREAM", "VIEW", "DESCRIBE", "DESC", "OPTIMIZE", "VACUUM", "ANALYZE",
    "\\D",
];

/// Where the word before the cursor starts and what it may become.
pub fn complete(line: &str, position: usize, known: &Known) -> (usize, Vec<String>) {
    let before = &line[..position];
    let start = before
        .rfind(|c: char| !is_part_of_name(c))
        .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let word = before[start..].to_lowercase();
    let last = before[..start].split_whitespace().next_back().unwrap_or_default().to_uppercase();
    if BEFORE_RELATION.contains(&last.as_str()) {
        return (start, fitting(&word, &known.relations));
    }
    if word.is_empty() {
        return (start, Vec::new());
    }
    let keywords: Vec<String> = KEYWORDS.iter().map(|&keyword| keyword.to_owned()).collect();
    let mut found = fitting(&word, &known.columns);
    for names in [&known.relations, &keywords] {
        found.extend(fitting(&word, names));
    }
    // `o.pri`: a column of something named `o`.
    if let (true, Some((owner, column))) = (found.is_empty(), word.rsplit_once('.')) {
        return (start + owner.len() + 1, fitting(column, &known.columns));
    }
    found.dedup();
    (start, found)
}

fn is_part_of_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '.' | '"' | '\\')
}

/// Names that start with `word`, in order.
fn fitting(word: &str, names: &[String]) -> Vec<String> {
    let starts = |name: &&String| {
        let name = name.to_lowercase();
        name.starts_with(word) || name.trim_start_matches('"').starts_with(word)
    };
    let mut fitting: Vec<String> = names.iter().filter(starts).cloned().collect();
    fitting.sort();
    fitting.dedup();
    fitting
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_the_end(line: &str) -> (usize, Vec<String>) {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let known = Known {
            relations: names(&["orders", "raw.order_lines", "\"Order-2\""]),
            columns: names(&["order_id", "price"]),
        };
        complete(line, line.len(), &known)
    }

    #[test]
    fn after_from_and_its_like_come_relations() {
        assert_eq!(at_the_end("select * from orde"), (14, vec!["\"Order-2\"".into(), "orders".into()]));
        assert_eq!(at_the_end("select 1 from a join ").1.len(), 3);
        assert_eq!(at_the_end("INSERT INTO raw.o"), (12, vec!["raw.order_lines".into()]));
        assert_eq!(at_the_end("\\d orders").1, ["orders"]);
    }

    #[test]
    fn elsewhere_names_come_before_keywords() {
        assert_eq!(at_the_end("select orde").1, ["order_id", "\"Order-2\"", "orders", "ORDER BY"]);
        assert_eq!(at_the_end("select o.pri"), (9, vec!["price".into()]));
        assert_eq!(at_the_end("select "), (7, vec![]));
        assert_eq!(at_the_end("ü sel").1, ["SELECT"]);
    }
}
