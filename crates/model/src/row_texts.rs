//! Texts as numbers: those of the model by their place in its list, and those that only rows have below zero.

use std::collections::HashMap;
use std::sync::Arc;

/// The texts that a program meets in a block of rows.
#[derive(Clone, Debug, Default)]
pub struct RowTexts {
    known: Arc<[String]>,
    places: Arc<HashMap<String, i64>>,
    /// Texts that the model does not know: the first is -1, the next -2.
    new: Vec<String>,
    new_places: HashMap<String, i64>,
}

impl RowTexts {
    /// Begins with the texts of a model.
    pub fn new(known: Arc<[String]>, places: Arc<HashMap<String, i64>>) -> RowTexts {
        RowTexts { known, places, ..RowTexts::default() }
    }

    /// Forgets the texts that the model does not know: the next block of rows has others.
    pub fn clear(&mut self) {
        self.new.clear();
        self.new_places.clear();
    }

    /// The number of a text.
    pub fn place(&mut self, text: &str) -> i64 {
        if let Some(place) = self.places.get(text).or_else(|| self.new_places.get(text)) {
            return *place;
        }
        let place = -1 - self.new.len() as i64;
        self.new.push(text.to_owned());
        self.new_places.insert(text.to_owned(), place);
        place
    }

    /// The text of a number; a number that is none of a text is as an empty one.
    pub fn text(&self, place: i64) -> &str {
        let (list, at) = if place >= 0 { (&*self.known, place) } else { (&*self.new, -1 - place) };
        usize::try_from(at).ok().and_then(|at| list.get(at)).map_or("", String::as_str)
    }
}
