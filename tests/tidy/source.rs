//! The tokens of a Rust source file, as far as paths need them: no comments, no literals, and nothing that only tests
//! compile.

/// A name, a `::` or one sign, and the line that it stands on.
#[derive(Clone, Debug)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

impl Token {
    /// Whether this is a name or a keyword.
    pub fn is_name(&self) -> bool {
        self.text.starts_with(is_name_start)
    }

    pub fn is(&self, text: &str) -> bool {
        self.text == text
    }
}

fn is_name_start(sign: char) -> bool {
    sign.is_alphabetic() || sign == '_'
}

fn is_name_part(sign: char) -> bool {
    sign.is_alphanumeric() || sign == '_'
}

/// The tokens of a file without the items under `#[cfg(test)]`.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut scanner = Scanner { rest: text, line: 1, tokens: Vec::new() };
    while let Some(sign) = scanner.rest.chars().next() {
        scanner.step(sign);
    }
    without_tests(&scanner.tokens)
}

struct Scanner<'a> {
    rest: &'a str,
    line: usize,
    tokens: Vec<Token>,
}

impl Scanner<'_> {
    fn step(&mut self, sign: char) {
        if self.rest.starts_with("//") {
            self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.skip(block_comment(self.rest));
        } else if let Some(size) = literal(self.rest) {
            self.skip(size);
        } else if is_name_start(sign) {
            self.take(self.rest.find(|next| !is_name_part(next)).unwrap_or(self.rest.len()));
        } else if sign.is_numeric() {
            // A suffix belongs to its number and is no name.
            self.skip(self.rest.find(|next| !is_name_part(next)).unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("::") {
            self.take(2);
        } else if sign.is_whitespace() {
            self.skip(sign.len_utf8());
        } else {
            self.take(sign.len_utf8());
        }
    }

    fn take(&mut self, size: usize) {
        self.tokens.push(Token { text: self.rest[..size].to_owned(), line: self.line });
        self.skip(size);
    }

    fn skip(&mut self, size: usize) {
        self.line += self.rest[..size].matches('\n').count();
        self.rest = &self.rest[size..];
    }
}

/// The size of a block comment with those that are nested in it.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// The size of the string, character or lifetime that begins here, if one does.
fn literal(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r"].into_iter().find(|prefix| {
        text.strip_prefix(prefix).is_some_and(|rest| {
            rest.starts_with('"') || (prefix.ends_with('r') && rest.trim_start_matches('#').starts_with('"'))
        })
    });
    let prefix = prefix.unwrap_or_default();
    let rest = &text[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        let content = &rest[hashes + 1..];
        return Some(prefix.len() + hashes + 1 + content.find(&end).map_or(content.len(), |at| at + end.len()));
    }
    if rest.starts_with('"') {
        return Some(prefix.len() + quoted(rest, '"'));
    }
    let quote = text.strip_prefix("b'").map(|_| 1).or_else(|| text.starts_with('\'').then_some(0))?;
    let content: Vec<char> = text[quote + 1..].chars().take(2).collect();
    let is_lifetime = content.first().is_some_and(|first| is_name_start(*first)) && content.get(1) != Some(&'\'');
    if is_lifetime { Some(quote + 1) } else { Some(quote + quoted(&text[quote..], '\'')) }
}

/// The size of a literal up to its closing quote; a backslash takes what follows it along.
fn quoted(text: &str, quote: char) -> usize {
    let mut signs = text.char_indices().skip(1);
    while let Some((at, sign)) = signs.next() {
        if sign == '\\' {
            signs.next();
        } else if sign == quote {
            return at + 1;
        }
    }
    text.len()
}

fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
        if tokens.len() - at >= attribute.len() && attribute.iter().zip(&tokens[at..]).all(|(text, t)| t.is(text)) {
            at = end_of_item(tokens, at + attribute.len());
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// The place after an item: after its `;`, or after the brace that closes what it opened.
fn end_of_item(tokens: &[Token], start: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 && (token.is(";") || token.is("}")) {
            return at + 1;
        }
    }
    tokens.len()
}
