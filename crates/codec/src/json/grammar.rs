//! What is wrong with text that is no JSON, for people.

use serde::de::IgnoredAny;
use serde_json::Error;

/// What the parser says, up to the place, and what it means.
const MEANINGS: [(&str, &str); 15] = [
    ("EOF while parsing an object", "it ends within an object"),
    ("EOF while parsing a list", "it ends within an array"),
    ("EOF while parsing a string", "it ends within a text, whose closing quote is missing"),
    ("EOF while parsing a value", "it ends where a value should stand"),
    ("expected `:`", "a colon is missing after a name"),
    ("expected `,` or `]`", "a comma or ] is missing"),
    ("expected `,` or `}`", "a comma or } is missing"),
    ("expected ident", "a word is neither true, false nor null"),
    ("expected value", "a value is missing, or is a word without quotes"),
    ("expected `\"`", "a quote is missing"),
    ("invalid escape", "a backslash stands before a letter with which it means nothing"),
    ("invalid number", "a number is not written as JSON has them"),
    (
        "control character",
        "a text holds a tab, a line feed or another control character, which is written as \\t or \\n",
    ),
    ("key must be a string", "the name of a field is not in double quotes"),
    ("trailing characters", "something follows the end of the value"),
];

/// Checks that a text is JSON, or says what is wrong and where.
pub fn check_grammar(text: &str) -> Result<(), String> {
    serde_json::from_str::<IgnoredAny>(text).map(|_| ()).map_err(|error| meaning(&error))
}

/// A payload tends to be one line, whose number says nothing.
fn meaning(error: &Error) -> String {
    let told = error.to_string();
    let told = told.split(" at line ").next().unwrap_or_default();
    let known = MEANINGS.iter().find(|(said, _)| told.starts_with(said));
    let line = if error.line() > 1 { format!("line {}, ", error.line()) } else { String::new() };
    format!("{} (at {line}character {})", known.map_or(told, |(_, meaning)| meaning), error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_without_words_of_the_parser() {
        for (text, expected) in [
            ("{\"id\":2,\"card:\"a\"}", "a colon is missing after a name (at character 16)"),
            ("{\"id\":01}", "a number is not written as JSON has them (at character 8)"),
            ("{id:1}", "the name of a field is not in double quotes (at character 2)"),
            ("{\"id\":1", "it ends within an object (at character 7)"),
            ("{\"id\":\"a", "it ends within a text, whose closing quote is missing (at character 8)"),
            ("[1", "it ends within an array (at character 2)"),
            ("{\"id\":", "it ends where a value should stand (at character 6)"),
            ("{\"id\":1}}", "something follows the end of the value (at character 9)"),
            ("{\"id\":nul}", "a word is neither true, false nor null (at character 10)"),
            ("{\"id\":NaN}", "a value is missing, or is a word without quotes (at character 7)"),
            ("{\"id\":}", "a value is missing, or is a word without quotes (at character 7)"),
            ("{\"id\":1 2}", "a comma or } is missing (at character 9)"),
            ("[1 2]", "a comma or ] is missing (at character 4)"),
            ("[1,]", "a value is missing, or is a word without quotes (at character 4)"),
            ("{\"id\":\"\\x\"}", "a backslash stands before a letter with which it means nothing (at character 9)"),
            ("{\n\"id\":\"\t\"}", "a text holds a tab, a line feed or another control character"),
        ] {
            let said = check_grammar(text).unwrap_err();
            assert!(said.starts_with(expected), "{text}: {said}");
        }
        assert_eq!(check_grammar("{\"id\": [1, null]}"), Ok(()));
    }
}
