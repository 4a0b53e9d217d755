//! Texts as lists of words, as many as they have.

use regex::Regex;
use std::sync::Arc;

/// The words of each row's text.
#[derive(Clone, Debug)]
pub struct Words {
    /// The register of the text.
    pub text: u32,
    pub tokenizer: Arc<Tokenizer>,
}

/// How a text is cut into words.
#[derive(Debug)]
pub struct Tokenizer {
    pub cuts: Cuts,
    /// Shorter words are left out.
    pub letters_min: usize,
    /// What rows with fewer words are filled up with; it is a word of none.
    pub padding: String,
}

/// Where words begin and end.
#[derive(Debug)]
pub enum Cuts {
    /// What matches is a word.
    Words(Regex),
    /// What lies between matches of each is a word.
    Separators(Vec<Regex>),
    /// Every letter is a word.
    Letters,
}

impl Tokenizer {
    /// Calls with each word of a text, in order.
    pub fn each<'t>(&self, text: &'t str, mut found: impl FnMut(&'t str)) {
        let mut long_enough = |word: &'t str| {
            if !word.is_empty() && word.chars().take(self.letters_min).count() == self.letters_min {
                found(word);
            }
        };
        match &self.cuts {
            Cuts::Words(pattern) => pattern.find_iter(text).for_each(|word| long_enough(word.as_str())),
            Cuts::Separators(separators) => {
                let whole = vec![text];
                let cut = |parts: Vec<&'t str>, separator: &Regex| -> Vec<&'t str> {
                    parts.into_iter().flat_map(|part| separator.split(part)).collect()
                };
                separators.iter().fold(whole, cut).into_iter().for_each(long_enough);
            }
            Cuts::Letters => {
                for (at, letter) in text.char_indices() {
                    long_enough(&text[at..at + letter.len_utf8()]);
                }
            }
        }
    }
}
