//! Runs a program over a batch, 64 rows at a time.

use crate::builder::Built;
use crate::graph::Feature;
use crate::outputs::Column;
use crate::registers::{LANES, Registers, Step};
use crate::value::{Cell, Element};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type};
use dataflow::{Error, Result};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The most sets of registers that are kept for the next batch: one for each thread that scores at the same time.
const REGISTERS_KEPT_MAX: usize = 64;

/// A program that may run.
pub struct Program {
    steps: Vec<Box<dyn Step>>,
    features: Vec<Feature>,
    /// With the constants in place.
    registers: Registers,
    kept: Mutex<Vec<Registers>>,
    texts: Vec<String>,
    text_places: HashMap<String, i64>,
    cost: u64,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("steps", &self.steps.len()).field("cost", &self.cost).finish_non_exhaustive()
    }
}

impl Program {
    /// Takes what was built.
    pub fn new(built: Built, features: Vec<Feature>) -> Program {
        let Built { steps, registers, texts, text_places, cost } = built;
        Program { steps, features, registers, kept: Mutex::default(), texts, text_places, cost }
    }

    /// How many elementary calculations a row takes, about.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// The type of the column that comes out.
    pub fn data_type(column: &Column) -> DataType {
        match column.element {
            Element::Float | Element::Double => DataType::Float64,
            Element::Int64 | Element::Int32 => DataType::Int64,
            Element::Bool => DataType::Boolean,
            Element::Text => DataType::Utf8,
        }
    }

    /// Scores rows given as columns of the features' types; NULL where a row fails or a number is not finite.
    pub fn run(&self, inputs: &[Input], rows: usize, columns: &[&Column]) -> Vec<ArrayRef> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut registers = kept.unwrap_or_else(|| self.registers.clone());
        let mut results: Vec<Results> = columns.iter().map(|column| Results::new(column, rows)).collect();
        for from in (0..rows).step_by(LANES) {
            let count = LANES.min(rows - from);
            registers.failed = Default::default();
            for (input, feature) in inputs.iter().zip(&self.features) {
                input.load(*feature, &mut registers, from, count);
            }
            for step in &self.steps {
                step.run(&mut registers, count);
            }
            for (result, column) in results.iter_mut().zip(columns) {
                result.take(column, &registers, count);
            }
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < REGISTERS_KEPT_MAX {
            kept.push(registers);
        }
        drop(kept);
        results.into_iter().map(|result| result.finish(&self.texts)).collect()
    }

    /// What a feature takes, as messages and the command line say it.
    pub fn describe(&self, feature: usize) -> String {
        let Feature { element, list, .. } = self.features[feature];
        let name = match element {
            Element::Float | Element::Double => "number",
            Element::Int64 | Element::Int32 => "integer",
            Element::Bool => "boolean",
            Element::Text => "text",
        };
        list.map_or(name.to_string(), |width| format!("list of {width} {name}s"))
    }

    /// How many values the lists of a feature have, where it takes lists.
    pub fn list_length(&self, feature: usize) -> Option<usize> {
        self.features[feature].list
    }

    /// Columns of the features' types, to try the program out with.
    pub fn probe(&self, rows: usize) -> Vec<ArrayRef> {
        self.features.iter().map(|feature| crate::probe::column(feature, &self.texts, rows)).collect()
    }

    /// Whether a column of a type can be the feature at a place.
    pub fn takes(&self, feature: usize, data_type: &DataType) -> bool {
        match (self.features[feature].list, item(data_type)) {
            (None, _) => self.takes_value(feature, data_type),
            (Some(_), Some(item)) => self.takes_item(feature, item),
            (Some(_), None) => false,
        }
    }

    /// Whether lists may hold values of a type; lists of lists lie one after the other.
    fn takes_item(&self, feature: usize, data_type: &DataType) -> bool {
        match item(data_type) {
            Some(item) => self.takes_item(feature, item),
            None => self.takes_value(feature, data_type),
        }
    }

    fn takes_value(&self, feature: usize, data_type: &DataType) -> bool {
        let number = data_type.is_numeric() || matches!(data_type, DataType::Boolean | DataType::Null);
        match self.features[feature].element {
            Element::Float | Element::Double => number,
            Element::Bool => matches!(data_type, DataType::Boolean | DataType::Null),
            Element::Text => is_text(data_type),
            Element::Int64 | Element::Int32 => {
                data_type.is_integer() || matches!(data_type, DataType::Boolean | DataType::Null)
            }
        }
    }

    /// The values of a column as a feature takes them. The message says what is wrong with its type.
    pub fn input<'a>(&self, column: &'a ArrayRef, feature: usize) -> Result<Input<'a>> {
        let Feature { element, list, .. } = self.features[feature];
        if !self.takes(feature, column.data_type()) {
            let expected = match element {
                Element::Float | Element::Double => "a number or a boolean",
                Element::Bool => "a boolean",
                Element::Text => "a text",
                Element::Int64 | Element::Int32 => "an integer or a boolean",
            };
            let lists = if list.is_some() { "a list, each value " } else { "" };
            return Err(Error::invalid(format!("is {}, expected {lists}{expected}", column.data_type())));
        }
        match list {
            None => self.values(column, element),
            Some(width) => {
                let (values, ranges) = flatten(column);
                let fits = |range: Option<(usize, usize)>| range.filter(|(from, to)| to - from == width);
                let starts = ranges.into_iter().map(|range| fits(range).map(|(from, _)| from)).collect();
                Ok(Input::Lists { values: Box::new(self.values(values, element)?), starts, width })
            }
        }
    }

    fn values<'a>(&self, column: &'a ArrayRef, element: Element) -> Result<Input<'a>> {
        match element {
            Element::Float => floats(column),
            Element::Double => doubles(column),
            Element::Text => self.texts(column),
            Element::Bool | Element::Int64 | Element::Int32 => ints(column),
        }
    }

    /// The texts of a column by their place in the model's list. One that is not in it is -1; NULL is as an empty text.
    fn texts<'a>(&self, column: &ArrayRef) -> Result<Input<'a>> {
        let column = cast(column, &DataType::Utf8)?;
        let place = |text: Option<&str>| self.text_places.get(text.unwrap_or("")).copied().unwrap_or(-1);
        Ok(Input::Ints(column.as_string::<i32>().iter().map(place).collect(), None))
    }
}

/// What a column of lists has in its lists.
fn item(data_type: &DataType) -> Option<&DataType> {
    match data_type {
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            Some(field.data_type())
        }
        _ => None,
    }
}

/// Where the values of each row are: none for a missing list.
type Ranges = Vec<Option<(usize, usize)>>;

/// The values in lists, and where those of each row lie.
fn flatten(column: &ArrayRef) -> (&ArrayRef, Ranges) {
    let rows = 0..column.len();
    let (values, ranges): (&ArrayRef, Ranges) = match column.data_type() {
        DataType::LargeList(_) => {
            let list = column.as_list::<i64>();
            let offsets = list.value_offsets();
            (list.values(), rows.map(|row| Some((offsets[row] as usize, offsets[row + 1] as usize))).collect())
        }
        DataType::FixedSizeList(_, _) => {
            let list = column.as_fixed_size_list();
            let offset = |row: usize| list.value_offset(row) as usize;
            (list.values(), rows.map(|row| Some((offset(row), offset(row + 1)))).collect())
        }
        _ => {
            let list = column.as_list::<i32>();
            let offsets = list.value_offsets();
            (list.values(), rows.map(|row| Some((offsets[row] as usize, offsets[row + 1] as usize))).collect())
        }
    };
    let present = ranges.into_iter().enumerate().map(|(row, range)| range.filter(|_| column.is_valid(row)));
    if item(values.data_type()).is_none() {
        return (values, present.collect());
    }
    let (values, inner) = flatten(values);
    let whole = |(from, to): (usize, usize)| {
        let parts = inner.get(from..to)?.iter().copied().collect::<Option<Vec<_>>>()?;
        Some((parts.first()?.0, parts.last()?.1))
    };
    (values, present.map(|range| range.and_then(whole)).collect())
}

/// Whether a column holds texts, or nothing.
fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_text(values),
        other => matches!(other, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null),
    }
}

/// A column as a feature takes it.
pub enum Input<'a> {
    /// A missing value is NaN.
    Floats(std::borrow::Cow<'a, [f32]>),
    Doubles(std::borrow::Cow<'a, [f64]>),
    /// Where a value is missing the row fails: integers have no value for it.
    Ints(Vec<i64>, Option<arrow::buffer::NullBuffer>),
    /// Lists of a length; a row whose list has another, or none, fails.
    Lists {
        values: Box<Input<'a>>,
        /// Where the values of a row begin.
        starts: Vec<Option<usize>>,
        width: usize,
    },
}

impl Input<'_> {
    fn load(&self, feature: Feature, registers: &mut Registers, from: usize, count: usize) {
        let register = feature.register as usize;
        match self {
            Input::Floats(values) => registers.floats[register][..count].copy_from_slice(&values[from..from + count]),
            Input::Doubles(values) => {
                registers.doubles[register][..count].copy_from_slice(&values[from..from + count]);
            }
            Input::Ints(values, nulls) => {
                registers.ints[register][..count].copy_from_slice(&values[from..from + count]);
                if let Some(nulls) = nulls {
                    (0..count).filter(|row| nulls.is_null(from + row)).for_each(|row| registers.failed.insert(row));
                }
            }
            Input::Lists { values, starts, width } => {
                for (row, start) in starts[from..from + count].iter().enumerate() {
                    match start {
                        Some(start) => values.spread(feature, registers, row, *start..start + width),
                        None => registers.failed.insert(row),
                    }
                }
            }
        }
    }

    /// Puts the values of a row's list into one register after the other.
    fn spread(&self, feature: Feature, registers: &mut Registers, row: usize, places: std::ops::Range<usize>) {
        for (register, place) in (feature.register as usize..).zip(places) {
            match self {
                Input::Floats(values) => registers.floats[register][row] = values[place],
                Input::Doubles(values) => registers.doubles[register][row] = values[place],
                Input::Ints(values, nulls) => {
                    registers.ints[register][row] = values[place];
                    if nulls.as_ref().is_some_and(|nulls| nulls.is_null(place)) {
                        registers.failed.insert(row);
                    }
                }
                // Lists were laid one after the other.
                Input::Lists { .. } => {}
            }
        }
    }
}

fn floats(column: &ArrayRef) -> Result<Input<'_>> {
    if let Some(column) = column.as_primitive_opt::<Float32Type>() {
        return Ok(Input::Floats(match column.null_count() {
            0 => column.values().as_ref().into(),
            _ => column.iter().map(|value| value.unwrap_or(f32::NAN)).collect::<Vec<f32>>().into(),
        }));
    }
    if let Some(column) = column.as_primitive_opt::<Float64Type>() {
        return Ok(Input::Floats(match column.null_count() {
            0 => column.values().iter().map(|value| *value as f32).collect::<Vec<f32>>().into(),
            _ => column.iter().map(|value| value.map_or(f32::NAN, |value| value as f32)).collect::<Vec<f32>>().into(),
        }));
    }
    let column = cast(column, &DataType::Float32)?;
    let column = column.as_primitive::<Float32Type>();
    Ok(Input::Floats(column.iter().map(|value| value.unwrap_or(f32::NAN)).collect::<Vec<f32>>().into()))
}

fn doubles(column: &ArrayRef) -> Result<Input<'_>> {
    if let Some(column) = column.as_primitive_opt::<Float64Type>().filter(|column| column.null_count() == 0) {
        return Ok(Input::Doubles(column.values().as_ref().into()));
    }
    let column = cast(column, &DataType::Float64)?;
    let column = column.as_primitive::<Float64Type>();
    Ok(Input::Doubles(column.iter().map(|value| value.unwrap_or(f64::NAN)).collect::<Vec<f64>>().into()))
}

fn ints(column: &ArrayRef) -> Result<Input<'_>> {
    let column = cast(column, &DataType::Int64)?;
    let column = column.as_primitive::<Int64Type>();
    let values = column.iter().map(|value| value.unwrap_or(0)).collect();
    Ok(Input::Ints(values, column.nulls().filter(|nulls| nulls.null_count() > 0).cloned()))
}

/// A column of results while it grows.
enum Results {
    Numbers(Vec<Option<f64>>),
    Ints(Vec<Option<i64>>),
    Truths(Vec<Option<i64>>),
    Texts(Vec<Option<i64>>),
}

impl Results {
    fn new(column: &Column, rows: usize) -> Results {
        match column.element {
            Element::Float | Element::Double => Results::Numbers(Vec::with_capacity(rows)),
            Element::Int64 | Element::Int32 => Results::Ints(Vec::with_capacity(rows)),
            Element::Bool => Results::Truths(Vec::with_capacity(rows)),
            Element::Text => Results::Texts(Vec::with_capacity(rows)),
        }
    }

    fn take(&mut self, column: &Column, registers: &Registers, count: usize) {
        let failed = registers.failed;
        match self {
            Results::Numbers(numbers) => numbers.extend((0..count).map(|row| {
                let number = match (column.cell, column.element) {
                    (Cell::Register(register), Element::Float) => f64::from(registers.floats[register as usize][row]),
                    (Cell::Register(register), _) => registers.doubles[register as usize][row],
                    (Cell::Float(number), _) => f64::from(number),
                    (Cell::Double(number), _) => number,
                    (Cell::Int(number), _) => number as f64,
                };
                (number.is_finite() && !failed.contains(row)).then_some(number)
            })),
            Results::Ints(numbers) | Results::Truths(numbers) | Results::Texts(numbers) => {
                numbers.extend((0..count).map(|row| {
                    let number = match column.cell {
                        Cell::Register(register) => registers.ints[register as usize][row],
                        Cell::Int(number) => number,
                        Cell::Float(number) => number as i64,
                        Cell::Double(number) => number as i64,
                    };
                    (!failed.contains(row)).then_some(number)
                }));
            }
        }
    }

    fn finish(self, texts: &[String]) -> ArrayRef {
        match self {
            Results::Numbers(numbers) => Arc::new(Float64Array::from(numbers)),
            Results::Ints(numbers) => Arc::new(Int64Array::from(numbers)),
            Results::Truths(numbers) => {
                Arc::new(numbers.into_iter().map(|number| number.map(|number| number != 0)).collect::<BooleanArray>())
            }
            Results::Texts(numbers) => {
                // A text that the model does not know has no name here.
                let text = |place: i64| usize::try_from(place).ok().and_then(|place| texts.get(place));
                let texts = numbers.into_iter().map(|number| number.and_then(text));
                Arc::new(texts.collect::<StringArray>())
            }
        }
    }
}
