//! What is done to the tokens of a statement before it is parsed.

use datafusion::sql::sqlparser::{
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan, Word},
};
use model::Result;

use super::words::continuous_error;

/// Name of the function that carries a snapshot id or tag through the parser: `FOR VERSION AS OF 'v1'`.
pub(crate) const VERSION_FUNCTION: &str = "lakehead_version";

/// `… EMIT CHANGES` and ksqlDB's window clause, before sqlparser stumbles over them.
pub(super) fn refuse_continuous(tokens: &[TokenWithSpan]) -> Result<()> {
    let word = |index: usize, words: &[&str]| {
        matches!(tokens.get(index).map(|t| &t.token), Some(Token::Word(w))
            if w.quote_style.is_none() && words.iter().any(|word| w.value.eq_ignore_ascii_case(word)))
    };
    for index in 0..tokens.len() {
        if word(index, &["EMIT"])
            && word(index + 1, &["CHANGES", "FINAL"])
            && (tokens.len() == index + 2 || word(index + 2, &["LIMIT"]))
        {
            return Err(continuous_error("a query with EMIT"));
        }
        if word(index, &["WINDOW"])
            && word(index + 1, &["TUMBLING", "HOPPING", "SESSION"])
            && tokens.get(index + 2).is_some_and(|t| t.token == Token::LParen)
        {
            return Err(continuous_error("a query with WINDOW TUMBLING, HOPPING or SESSION")
                .hint("group by date_bin(INTERVAL '1 minute', _timestamp) instead"));
        }
    }
    Ok(())
}

/// `FOR TIMESTAMP AS OF e` becomes `FOR SYSTEM_TIME AS OF e`, `FOR VERSION AS OF v` becomes
/// `FOR SYSTEM_TIME AS OF lakehead_version(v)`: the one form of a versioned table that takes any expression.
pub(super) fn rewrite_versions(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let word = |index: usize, word: &str| {
        matches!(tokens.get(index).map(|t| &t.token), Some(Token::Word(w))
            if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
    };
    let mut rewritten = Vec::with_capacity(tokens.len());
    let mut index = 0;
    while let Some(token) = tokens.get(index) {
        let versioned = (word(index, "FOR") && word(index + 2, "AS") && word(index + 3, "OF"))
            .then(|| (word(index + 1, "VERSION"), word(index + 1, "TIMESTAMP")));
        match (versioned, tokens.get(index + 4)) {
            (Some((true, _)), Some(version)) => {
                let like = |token: Token| TokenWithSpan { token, span: version.span };
                rewritten.push(token.clone());
                rewritten.push(like(keyword("SYSTEM_TIME", Keyword::SYSTEM_TIME)));
                rewritten.extend_from_slice(&tokens[index + 2..index + 4]);
                rewritten.push(like(keyword(VERSION_FUNCTION, Keyword::NoKeyword)));
                rewritten.push(like(Token::LParen));
                // A tag may be written as a word.
                rewritten.push(match &version.token {
                    Token::Word(tag) => like(Token::SingleQuotedString(tag.value.clone())),
                    _ => version.clone(),
                });
                rewritten.push(like(Token::RParen));
                index += 5;
            }
            (Some((_, true)), _) => {
                rewritten.push(token.clone());
                rewritten.push(TokenWithSpan { token: keyword("SYSTEM_TIME", Keyword::SYSTEM_TIME), span: token.span });
                rewritten.extend_from_slice(&tokens[index + 2..index + 4]);
                index += 4;
            }
            _ => {
                rewritten.push(token.clone());
                index += 1;
            }
        }
    }
    rewritten
}

/// `1_000` is a thousand, and `WITH a AS MATERIALIZED (…)` as `AS (…)`: what is computed once is not for the text to say.
pub(super) fn rewrite_spellings(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    for token in &mut tokens {
        if let Token::Number(number, _) = &mut token.token {
            number.retain(|c| c != '_');
        }
    }
    let is = |token: Option<&TokenWithSpan>, keyword: Keyword| match token.map(|token| &token.token) {
        Some(Token::Word(word)) => word.quote_style.is_none() && word.keyword == keyword,
        _ => false,
    };
    let mut kept: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    for (index, token) in tokens.iter().enumerate() {
        if is(Some(token), Keyword::MATERIALIZED)
            && tokens.get(index + 1).is_some_and(|next| next.token == Token::LParen)
        {
            let negated = is(kept.last(), Keyword::NOT);
            let before = kept.len().checked_sub(1 + usize::from(negated));
            if before.is_some_and(|before| is(kept.get(before), Keyword::AS)) {
                kept.truncate(kept.len() - usize::from(negated));
                continue;
            }
        }
        kept.push(token.clone());
    }
    kept
}

/// `TABLE name` becomes `SELECT * FROM name`, wherever a query may begin.
pub(super) fn rewrite_tables(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let word = |index: usize| match tokens.get(index).map(|t| &t.token) {
        Some(Token::Word(word)) => Some(word),
        _ => None,
    };
    let is = |index: Option<usize>, keywords: &[Keyword]| {
        index.and_then(word).is_some_and(|w| w.quote_style.is_none() && keywords.contains(&w.keyword))
    };
    let unreserved =
        |index: usize| word(index).is_some_and(|w| w.quote_style.is_some() || w.keyword == Keyword::NoKeyword);
    let sets = [Keyword::UNION, Keyword::EXCEPT, Keyword::INTERSECT];
    let begins_query = |index: usize| {
        let (before, two_before) = (index.checked_sub(1), index.checked_sub(2));
        match before.map(|before| &tokens[before].token) {
            None => true,
            // Not that of `CREATE TABLE t (table INT)`, a column of that name.
            Some(Token::LParen) => {
                two_before.and_then(word).is_none_or(|w| w.quote_style.is_none() && w.keyword != Keyword::NoKeyword)
            }
            // `WITH … AS (…) TABLE x`
            Some(Token::RParen) => unreserved(index + 1),
            Some(_) if is(before, &sets) => true,
            Some(_) if is(before, &[Keyword::ALL, Keyword::DISTINCT]) => is(two_before, &sets),
            Some(_) if is(before, &[Keyword::EXPLAIN, Keyword::ANALYZE, Keyword::VERBOSE]) => {
                is(Some(0), &[Keyword::EXPLAIN])
            }
            // `AS table` is a name, too.
            Some(_) if is(before, &[Keyword::AS]) => is(Some(0), &[Keyword::CREATE]) && unreserved(index + 1),
            _ => false,
        }
    };
    let found =
        |index: &usize| is(Some(*index), &[Keyword::TABLE]) && word(index + 1).is_some() && begins_query(*index);
    let places: Vec<usize> = (0..tokens.len()).filter(found).collect();
    if places.is_empty() {
        return tokens;
    }
    let mut rewritten = Vec::with_capacity(tokens.len() + 2 * places.len());
    for (index, token) in tokens.into_iter().enumerate() {
        if places.binary_search(&index).is_ok() {
            let span = token.span;
            let like = |token: Token| TokenWithSpan { token, span };
            rewritten.push(like(keyword("SELECT", Keyword::SELECT)));
            rewritten.push(like(Token::Mul));
            rewritten.push(like(keyword("FROM", Keyword::FROM)));
        } else {
            rewritten.push(token);
        }
    }
    rewritten
}

/// Whether what follows DESCRIBE is a query, or a file, and no name.
pub(super) fn begins_query(token: &Token) -> bool {
    match token {
        Token::LParen | Token::SingleQuotedString(_) => true,
        Token::Word(word) => {
            word.quote_style.is_none() && matches!(word.keyword, Keyword::SELECT | Keyword::WITH | Keyword::VALUES)
        }
        _ => false,
    }
}

/// `'file'` as `SELECT * FROM 'file'`, and other `tokens` as they are.
pub(super) fn selected(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let mut query = Vec::with_capacity(tokens.len() + 3);
    if let Some(TokenWithSpan { token: Token::SingleQuotedString(_), span }) = tokens.first() {
        let like = |token: Token| TokenWithSpan { token, span: *span };
        query.push(like(keyword("SELECT", Keyword::SELECT)));
        query.push(like(Token::Mul));
        query.push(like(keyword("FROM", Keyword::FROM)));
    }
    query.extend_from_slice(tokens);
    query
}

fn keyword(value: &str, keyword: Keyword) -> Token {
    Token::Word(Word { value: value.to_owned(), quote_style: None, keyword })
}
