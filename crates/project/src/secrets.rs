//! Settings as errors show them.

/// The keys whose values are shown. That of any other key, a misspelt one among them, may be a secret.
const SHOWN: [&str; 37] = [
    "name",
    "commit_every",
    "checkpoint_every",
    "checkpoint_pause",
    "checkpoint_timeout",
    "checkpoints_kept",
    "checkpoints",
    "location",
    "state_memory",
    "history",
    "warehouse",
    "catalog",
    "scope",
    "oauth2_uri",
    "ca",
    "timeout",
    "headers",
    "s3",
    "endpoint",
    "region",
    "path_style",
    "gcs",
    "anonymous",
    "azure",
    "account",
    "tenant_id",
    "client_id",
    "federated_token",
    "authority_host",
    "live",
    "topics",
    "pulsar",
    "namespace",
    "user",
    "audience",
    "certificate",
    "outputs",
];

/// Values that begin so name where something is, and are no secrets.
const PLACES: [&str; 5] = ["env:", "file:", "local:", "pulsar:", "pubsub:"];

/// The text of settings with a sign in place of each letter of a value that may be a secret. Every other letter keeps its
/// place, so that errors point where they did.
pub fn without_secrets(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut is_line_start, mut key_may_come, mut is_shown, mut rest) = (true, true, true, text);
    while let Some(first) = rest.chars().next() {
        let (token, after) = rest.split_at(length_of_token(rest, first));
        rest = after;
        let is_text = matches!(first, '"' | '\'') || is_of_word(first);
        let bare = token.trim_matches(['"', '\'']);
        if is_text && key_may_come && rest.trim_start_matches([' ', '\t']).starts_with('=') {
            is_shown = SHOWN.contains(&bare);
            out.push_str(token);
        } else if is_text && (names_user(bare) || !(is_shown || PLACES.iter().any(|place| bare.starts_with(place)))) {
            // The quotes around it stay.
            let inner = token.strip_prefix(first).filter(|_| matches!(first, '"' | '\'')).unwrap_or(token);
            let closed = inner.len() < token.len() && inner.ends_with(first);
            out.push_str(&token[..token.len() - inner.len()]);
            out.extend(inner.chars().skip(usize::from(closed)).map(|_| '*'));
            out.push_str(&token[token.len() - usize::from(closed)..]);
        } else {
            // A line of its own names the table that the keys after it are of.
            is_shown |= is_line_start && first == '[';
            out.push_str(token);
        }
        if first == '\n' {
            (is_line_start, key_may_come) = (true, true);
        } else if !first.is_whitespace() {
            (is_line_start, key_may_come) = (false, matches!(first, '{' | ','));
        }
    }
    out
}

/// Whether an address has a user in it, and so may have a password.
fn names_user(value: &str) -> bool {
    value.contains("://") && value.contains('@')
}

/// How long the text in quotes, the word, the comment or the sign is that comes first.
fn length_of_token(text: &str, first: char) -> usize {
    match first {
        '"' | '\'' => quoted(text, first),
        '#' => text.find('\n').unwrap_or(text.len()),
        first if is_of_word(first) => text.find(|letter| !is_of_word(letter)).unwrap_or(text.len()),
        first => first.len_utf8(),
    }
}

fn is_of_word(letter: char) -> bool {
    !letter.is_whitespace() && !"\"'#=,[]{}".contains(letter)
}

/// The length of a text in quotes; one that is not closed ends with its line.
fn quoted(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            '\n' => return at,
            _ if is_escaped => is_escaped = false,
            '\\' if quote == '"' => is_escaped = true,
            letter if letter == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_may_be_secrets_are_not_shown() {
        for (text, shown) in [
            (r#"token = "abc", topics = "y""#, r#"token = "***", topics = "y""#),
            (r#"token="abc"#, r#"token="***"#),
            (r#""token" = "env:NAME" # token"#, r#""token" = "env:NAME" # token"#),
            ("token = eyJ.a_b-c", "token = *********"),
            ("catalog = 'https://a:b@c'", "catalog = '*************'"),
            ("catalog = 'https://a', s3 = { secret_key = 'b' }", "catalog = 'https://a', s3 = { secret_key = '*' }"),
            ("catalog = 'https://a', headers = { X-K = 'b' }", "catalog = 'https://a', headers = { X-K = '*' }"),
            ("toke = 'abc', pulsar = 'pulsar://a:1'", "toke = '***', pulsar = 'pulsar://a:1'"),
            (r#"token = "abc\"SECRET", namespace = "t/n""#, r#"token = "***********", namespace = "t/n""#),
            (r#"token = { text = "SECRET" }"#, r#"token = { text = "******" }"#),
            ("token = [\n  'SECRET',\n]", "token = [\n  '******',\n]"),
            ("token = 'a=b, topics = c'", "token = '***************'"),
            ("token = ab==\n[env.prod]\nlive = { topics = 'a' }", "token = **==\n[env.prod]\nlive = { topics = 'a' }"),
            ("[env.dev]\nlive = { pulsar = 'a', tokens = 7 }", "[env.dev]\nlive = { pulsar = 'a', tokens = * }"),
        ] {
            assert_eq!(without_secrets(text), shown);
        }
    }
}
