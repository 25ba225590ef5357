//! Source text as tokens, without comments and literals.

/// A word, or one character of punctuation. `::` is one token.
pub(crate) type Token = String;

/// Splits source text into tokens. String literals, comments, lifetimes and numbers are left out.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let text: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&character) = text.get(at) {
        let rest = &text[at..];
        at += if rest.starts_with(&['/', '/']) {
            rest.iter().position(|character| *character == '\n').unwrap_or(rest.len())
        } else if rest.starts_with(&['/', '*']) {
            block_comment(rest)
        } else if let Some(length) = raw_text(rest) {
            length
        } else if character == '"' {
            quoted(rest, '"')
        } else if character == 'b' && rest.get(1) == Some(&'"') {
            1 + quoted(&rest[1..], '"')
        } else if character == '\'' {
            quote(rest)
        } else if character.is_alphabetic() || character == '_' {
            let word: String = rest.iter().take_while(|character| is_word(**character)).collect();
            let length = word.chars().count();
            tokens.push(word);
            length
        } else if character.is_ascii_digit() {
            rest.iter().take_while(|character| is_word(**character)).count()
        } else if rest.starts_with(&[':', ':']) {
            tokens.push("::".to_owned());
            2
        } else {
            if !character.is_whitespace() {
                tokens.push(character.to_string());
            }
            1
        };
    }
    tokens
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The length of a block comment, which may contain others.
fn block_comment(text: &[char]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        match text.get(at..at + 2) {
            Some(['/', '*']) => (depth, at) = (depth + 1, at + 2),
            Some(['*', '/']) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// The length of a raw string literal, if one begins here.
fn raw_text(text: &[char]) -> Option<usize> {
    let prefix = if text.starts_with(&['b', 'r']) { 2 } else { 1 };
    if text.get(prefix - 1) != Some(&'r') {
        return None;
    }
    let hashes = text[prefix..].iter().take_while(|character| **character == '#').count();
    let begin = prefix + hashes;
    if text.get(begin) != Some(&'"') {
        return None;
    }
    let mut end = vec!['"'];
    end.extend(std::iter::repeat_n('#', hashes));
    let length = text[begin + 1..].windows(end.len()).position(|window| window == end)?;
    Some(begin + 1 + length + end.len())
}

/// The length of a literal in quotes.
fn quoted(text: &[char], quote: char) -> usize {
    let mut at = 1;
    while let Some(&character) = text.get(at) {
        match character {
            '\\' => at += 2,
            character if character == quote => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// The length of a character literal or of a lifetime.
fn quote(text: &[char]) -> usize {
    let is_literal = text.get(1) == Some(&'\\') || text.get(2) == Some(&'\'');
    if is_literal {
        quoted(text, '\'')
    } else {
        1 + text[1..].iter().take_while(|character| is_word(**character)).count()
    }
}
