//! Rows of whatever types a model takes, to try it out with.

use crate::graph::Feature;
use crate::value::Element;
use arrow::array::{ArrayRef, BooleanArray, FixedSizeListArray, Float64Array, Int64Array, StringArray};
use arrow::datatypes::Field;
use std::sync::Arc;

/// A column for a feature: numbers from -30 on, every ninth value missing.
pub fn column(feature: &Feature, texts: &[String], rows: usize) -> ArrayRef {
    let Some(width) = feature.list else { return values(feature.element, texts, rows) };
    let inside = values(feature.element, texts, rows * width);
    let field = Arc::new(Field::new("item", inside.data_type().clone(), true));
    // Every size was checked when the model was loaded.
    Arc::new(FixedSizeListArray::new(field, width as i32, inside, None))
}

fn values(element: Element, texts: &[String], rows: usize) -> ArrayRef {
    let present = |row: &usize| row % 9 != 8;
    let rows = 0..rows;
    match element {
        Element::Float | Element::Double => {
            let number = |row: usize| present(&row).then_some((row % 64) as f64 - 30.0);
            Arc::new(rows.map(number).collect::<Float64Array>())
        }
        Element::Int64 | Element::Int32 => {
            Arc::new(rows.map(|row| present(&row).then_some((row % 10) as i64)).collect::<Int64Array>())
        }
        Element::Bool => Arc::new(rows.map(|row| present(&row).then_some(row % 2 == 0)).collect::<BooleanArray>()),
        Element::Text => {
            let text = |row: usize| texts.get(row % (texts.len() + 1)).map(String::as_str);
            Arc::new(rows.map(text).collect::<StringArray>())
        }
    }
}
