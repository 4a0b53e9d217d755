//! Runs a program over a batch, 64 rows at a time.

use crate::builder::Built;
use crate::graph::Feature;
use crate::list_text;
use crate::outputs::Column;
use crate::registers::{LANES, Registers, Step};
use crate::row_texts::RowTexts;
use crate::value::{Cell, Element};
use arrow::array::builder::NullBufferBuilder;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type};
use dataflow::Result;
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
    texts: Arc<[String]>,
    text_places: Arc<HashMap<String, i64>>,
    reads_texts: bool,
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
        let Built { steps, mut registers, texts, text_places, reads_texts, cost } = built;
        let (texts, text_places): (Arc<[String]>, _) = (texts.into(), Arc::new(text_places));
        if reads_texts {
            registers.texts = RowTexts::new(texts.clone(), text_places.clone());
        }
        Program { steps, features, registers, kept: Mutex::default(), texts, text_places, reads_texts, cost }
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
            registers.texts.clear();
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

    /// Columns of the features' types, to try the program out with.
    pub fn probe(&self, rows: usize) -> Vec<ArrayRef> {
        self.features.iter().map(|feature| crate::probe::column(feature, &self.texts, rows)).collect()
    }

    /// The values of a column as a feature takes them, whose type it takes.
    pub fn input<'a>(&self, column: &'a ArrayRef, feature: usize) -> Result<Input<'a>> {
        let Feature { element, list, .. } = self.features[feature];
        match list {
            None => self.values(column, element),
            Some(width) if is_text(column.data_type()) => written_lists(column, element, width),
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
            Element::Int32 => small_ints(column),
            Element::Bool | Element::Int64 => ints(column),
        }
    }

    /// The texts of a column by their place in the model's list. One that is not in it is -1; NULL is as an empty text.
    fn texts<'a>(&self, column: &ArrayRef) -> Result<Input<'a>> {
        let column = cast(column, &DataType::Utf8)?;
        if self.reads_texts {
            return Ok(Input::Texts(column.as_string::<i32>().clone()));
        }
        let place = |text: Option<&str>| self.text_places.get(text.unwrap_or("")).copied().unwrap_or(-1);
        Ok(Input::Ints(column.as_string::<i32>().iter().map(place).collect::<Vec<i64>>().into(), None))
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..))
}

/// Lists that are written as text.
fn written_lists<'a>(column: &ArrayRef, element: Element, width: usize) -> Result<Input<'a>> {
    let column = cast(column, &DataType::Utf8)?;
    let texts = column.as_string::<i32>().iter();
    let (values, starts) = match element {
        Element::Float => {
            let (values, starts) = list_text::read::<f32>(texts, width);
            (Input::Floats(values.into()), starts)
        }
        Element::Double => {
            let (values, starts) = list_text::read::<f64>(texts, width);
            (Input::Doubles(values.into()), starts)
        }
        _ => {
            let (values, starts) = list_text::read::<i64>(texts, width);
            (Input::Ints(values.into(), None), starts)
        }
    };
    Ok(Input::Lists { values: Box::new(values), starts, width })
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
    if !matches!(values.data_type(), DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(_, _)) {
        return (values, present.collect());
    }
    let (values, inner) = flatten(values);
    let whole = |(from, to): (usize, usize)| {
        let parts = inner.get(from..to)?.iter().copied().collect::<Option<Vec<_>>>()?;
        Some((parts.first()?.0, parts.last()?.1))
    };
    (values, present.map(|range| range.and_then(whole)).collect())
}

/// A column as a feature takes it.
pub enum Input<'a> {
    /// A missing value is NaN.
    Floats(std::borrow::Cow<'a, [f32]>),
    Doubles(std::borrow::Cow<'a, [f64]>),
    /// Where a value is missing the row fails: integers have no value for it.
    Ints(ScalarBuffer<i64>, Option<NullBuffer>),
    /// Texts that a step looks into; NULL is as an empty text.
    Texts(StringArray),
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
            Input::Texts(values) => {
                for row in 0..count {
                    let text = if values.is_null(from + row) { "" } else { values.value(from + row) };
                    registers.ints[register][row] = registers.texts.place(text);
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
                Input::Texts(values) => {
                    let text = if values.is_null(place) { "" } else { values.value(place) };
                    registers.ints[register][row] = registers.texts.place(text);
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
    Ok(Input::Ints(column.values().clone(), column.nulls().filter(|nulls| nulls.null_count() > 0).cloned()))
}

/// A number that is not one of 32 bits fails its row.
fn small_ints(column: &ArrayRef) -> Result<Input<'_>> {
    let column = cast(column, &DataType::Int64)?;
    let column = column.as_primitive::<Int64Type>();
    let fits = column.iter().map(|number| number.is_some_and(|number| i32::try_from(number).is_ok()));
    let nulls = NullBuffer::from_iter(fits);
    Ok(Input::Ints(column.values().clone(), Some(nulls).filter(|nulls| nulls.null_count() > 0)))
}

/// A column of results while it grows.
enum Results {
    Numbers(Vec<f64>, NullBufferBuilder),
    Ints(Vec<Option<i64>>),
    Truths(Vec<Option<i64>>),
    Texts(Vec<Option<i64>>),
}

impl Results {
    fn new(column: &Column, rows: usize) -> Results {
        match column.element {
            Element::Float | Element::Double => {
                Results::Numbers(Vec::with_capacity(rows), NullBufferBuilder::new(rows))
            }
            Element::Int64 | Element::Int32 => Results::Ints(Vec::with_capacity(rows)),
            Element::Bool => Results::Truths(Vec::with_capacity(rows)),
            Element::Text => Results::Texts(Vec::with_capacity(rows)),
        }
    }

    fn take(&mut self, column: &Column, registers: &Registers, count: usize) {
        let failed = registers.failed;
        match self {
            Results::Numbers(numbers, nulls) => {
                let from = numbers.len();
                match (column.cell, column.element) {
                    (Cell::Register(register), Element::Float) => {
                        let lane = &registers.floats[register as usize][..count];
                        numbers.extend(lane.iter().map(|number| f64::from(*number)));
                    }
                    (Cell::Register(register), _) => {
                        numbers.extend_from_slice(&registers.doubles[register as usize][..count]);
                    }
                    (Cell::Float(number), _) => numbers.extend(std::iter::repeat_n(f64::from(number), count)),
                    (Cell::Double(number), _) => numbers.extend(std::iter::repeat_n(number, count)),
                    (Cell::Int(number), _) => numbers.extend(std::iter::repeat_n(number as f64, count)),
                }
                let numbers = &mut numbers[from..];
                if failed.is_empty() && numbers.iter().all(|number| number.is_finite()) {
                    nulls.append_n_non_nulls(count);
                    return;
                }
                for (row, number) in numbers.iter_mut().enumerate() {
                    let is_score = number.is_finite() && !failed.contains(row);
                    nulls.append(is_score);
                    *number = if is_score { *number } else { 0.0 };
                }
            }
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
            Results::Numbers(numbers, mut nulls) => Arc::new(Float64Array::new(numbers.into(), nulls.finish())),
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
