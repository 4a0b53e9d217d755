//! What messages show of what the HTTP library and a catalog say.

/// How much of it is told.
const TOLD_MAX: usize = 300;

/// What an error of the HTTP library says, without the address, which may have been made of what was sent.
pub fn told(error: &reqwest::Error, secrets: &[&str]) -> String {
    let mut text = String::new();
    let mut next: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(cause) = next {
        let separator = if text.is_empty() { "" } else { ": " };
        text = format!("{text}{separator}{cause}");
        next = cause.source();
    }
    if text.is_empty() {
        text = match () {
            () if error.is_timeout() => "the time for it is over".to_owned(),
            () if error.is_connect() => "there is no connection".to_owned(),
            () => "the request failed".to_owned(),
        };
    }
    without(&text, secrets)
}

/// A text with stars where it had secrets.
pub fn hidden(text: &str, secrets: &[&str]) -> String {
    let hide = |text: String, secret: &&str| if secret.is_empty() { text } else { text.replace(*secret, "***") };
    secrets.iter().fold(text.to_owned(), hide)
}

/// A text without secrets, and not longer than people read.
pub fn without(text: &str, secrets: &[&str]) -> String {
    let text = hidden(text, secrets);
    match text.char_indices().nth(TOLD_MAX) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_holds_no_secret_and_is_short() {
        assert_eq!(without("token CANARY is bad, CANARY!", &["CANARY", ""]), "token *** is bad, ***!");
        let long = "é".repeat(TOLD_MAX + 1);
        assert_eq!(without(&long, &[]), format!("{}..", "é".repeat(TOLD_MAX)));
    }
}
