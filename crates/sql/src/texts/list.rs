//! Lists as PostgreSQL writes them.

/// Items of a list written as `{1,"two, three",NULL}`; only one dimension.
pub fn list_items(text: &str) -> Option<Vec<Option<String>>> {
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut items = Vec::new();
    let mut characters = inner.chars().peekable();
    if inner.trim().is_empty() {
        return Some(items);
    }
    loop {
        let mut item = String::new();
        let mut quoted = false;
        loop {
            match characters.next() {
                None | Some(',') => break,
                Some('{') if !quoted => return None,
                Some('"') if item.trim().is_empty() && !quoted => {
                    quoted = true;
                    item.clear();
                    loop {
                        match characters.next()? {
                            '"' => break,
                            '\\' => item.push(characters.next()?),
                            c => item.push(c),
                        }
                    }
                }
                Some(c) if quoted && c.is_whitespace() => {}
                Some('\\') => item.push(characters.next()?),
                Some(c) => item.push(c),
            }
            if characters.peek().is_none() {
                // The comma, if any, was the last character: an empty item follows it.
                if characters.next().is_none() {
                    break;
                }
            }
        }
        let plain = item.trim();
        items.push(match (quoted, plain) {
            (false, p) if p.eq_ignore_ascii_case("null") => None,
            (false, p) => Some(p.to_owned()),
            (true, _) => Some(item),
        });
        if characters.peek().is_none() {
            break;
        }
    }
    Some(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_of_lists_are_read() {
        let items = |s| list_items(s).expect("an array");
        assert_eq!(items("{}"), Vec::<Option<String>>::new());
        assert_eq!(items("{1, 2}"), [Some("1".to_owned()), Some("2".to_owned())]);
        assert_eq!(items(r#"{"a,\"b",NULL,"null"}"#), [Some("a,\"b".to_owned()), None, Some("null".to_owned())]);
        assert_eq!(list_items("1,2"), None);
        assert_eq!(list_items(r#"{"open}"#), None);
    }
}
