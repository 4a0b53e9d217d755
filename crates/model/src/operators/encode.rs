//! Operators that turn categories into numbers: OneHotEncoder, LabelEncoder, CategoryMapper.

use super::elementwise::MapStep;
use super::operation::{Operation, one};
use crate::builder::Builder;
use crate::dims::{Dim, Dims};
use crate::node::{Checked, Node, same_length};
use crate::onnx::TensorProto;
use crate::registers::{Number, Registers, Step};
use crate::value::{Cell, Element, Tensor, Value};
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

/// OneHotEncoder: for each category, whether it is the row's.
pub fn one_hot(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let node = operation.node(&["cats_int64s", "cats_strings", "zeros"])?;
    let input = operation.tensor(builder, 0)?;
    let categories: Vec<i64> = if input.element == Element::Text {
        node.texts("cats_strings")?.iter().map(|text| builder.text(text)).collect()
    } else {
        node.ints("cats_int64s")?.to_vec()
    };
    if categories.is_empty() {
        return Err(format!("has no categories for {}, expected some", input.describe()));
    }
    let zeros = node.int("zeros")?.unwrap_or(1) != 0;
    let width = categories.len();
    let places = Arc::new(Places::new(&categories));
    let input = match input.element {
        Element::Text => input,
        _ => super::cast::convert(builder, &input, Element::Int64)?,
    };
    let mut dims = input.dims.list().to_vec();
    dims.push(Dim::Fixed(width));
    let dims = Dims::new(dims)?;
    let mut cells = Vec::with_capacity(dims.cells());
    for cell in input.cells.iter() {
        let (register, places) = (builder.register(*cell)?, places.clone());
        let step = |first| OneHotStep { input: register, places, width, zeros, first };
        let constant = !matches!(cell, Cell::Register(_));
        cells.extend(builder.emit(constant, (Element::Float, width), 8 + width, step)?);
    }
    one(Tensor::new(Element::Float, dims, cells))
}

/// Where each category is in the list; the later one of equal categories counts.
#[derive(Debug)]
enum Places {
    /// Of categories that lie close together: the place of each number from the least on, or none.
    Near {
        least: i64,
        places: Vec<u32>,
    },
    Far(HashMap<i64, u32>),
}

impl Places {
    /// How far apart categories may be for a list of all numbers between them.
    const NEAR: i64 = 1 << 16;
    const NONE: u32 = u32::MAX;

    fn new(categories: &[i64]) -> Places {
        let pairs = categories.iter().copied().zip(0u32..);
        let (least, greatest) = categories.iter().fold((i64::MAX, i64::MIN), |(l, g), x| (l.min(*x), g.max(*x)));
        match greatest.checked_sub(least) {
            Some(range @ 0..Places::NEAR) => {
                let mut places = vec![Places::NONE; range as usize + 1];
                pairs.for_each(|(category, at)| places[(category - least) as usize] = at);
                Places::Near { least, places }
            }
            _ => Places::Far(pairs.collect()),
        }
    }

    fn find(&self, category: i64) -> Option<usize> {
        let place = match self {
            Places::Near { least, places } => {
                usize::try_from(category.checked_sub(*least)?).ok().and_then(|at| places.get(at))
            }
            Places::Far(places) => places.get(&category),
        };
        place.filter(|place| **place != Places::NONE).map(|place| *place as usize)
    }
}

#[derive(Debug)]
struct OneHotStep {
    input: u32,
    places: Arc<Places>,
    width: usize,
    /// Whether a category that is unknown gives zeros; else the row fails.
    zeros: bool,
    first: u32,
}

impl Step for OneHotStep {
    fn run(&self, registers: &mut Registers, rows: usize) {
        let Registers { ints, floats, failed, .. } = registers;
        let out = &mut floats[self.first as usize..self.first as usize + self.width];
        for lane in out.iter_mut() {
            lane[..rows].fill(0.0);
        }
        for (row, category) in ints[self.input as usize].iter().enumerate().take(rows) {
            match self.places.find(*category) {
                Some(place) => out[place][row] = 1.0,
                None if self.zeros => {}
                None => failed.insert(row),
            }
        }
    }
}

/// CategoryMapper: texts to integers or back.
pub fn category_mapper(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let node = operation.node(&["cats_int64s", "cats_strings", "default_int64", "default_string"])?;
    let input = operation.tensor(builder, 0)?;
    let (ints, texts) = (node.ints("cats_int64s")?, node.texts("cats_strings")?);
    same_length("cats_int64s", ints.len(), texts.len(), "cats_strings")?;
    let texts: Vec<i64> = texts.iter().map(|text| builder.text(text)).collect();
    match input.element {
        Element::Text => {
            let default = node.int("default_int64")?.unwrap_or(-1);
            let pairs = texts.into_iter().zip(ints.iter().copied());
            mapped(builder, &input, Element::Int64, pairs.collect(), default)
        }
        _ => {
            let default = builder.text(node.text("default_string", "_Unused")?);
            let pairs = ints.iter().copied().zip(texts);
            mapped(builder, &input, Element::Text, pairs.collect(), default)
        }
    }
}

/// The lists that LabelEncoder can have, of one kind.
enum List {
    Ints(Vec<i64>),
    Texts(Vec<i64>),
    Floats(Vec<f32>),
    Doubles(Vec<f64>),
}

impl List {
    fn len(&self) -> usize {
        match self {
            List::Ints(list) | List::Texts(list) => list.len(),
            List::Floats(list) => list.len(),
            List::Doubles(list) => list.len(),
        }
    }

    fn of(tensor: &Tensor) -> List {
        let int = |cell: &Cell| if let Cell::Int(number) = cell { *number } else { 0 };
        match tensor.element {
            Element::Float => {
                List::Floats(tensor.cells.iter().map(|cell| if let Cell::Float(x) = cell { *x } else { 0.0 }).collect())
            }
            Element::Double => {
                let double = |cell: &Cell| if let Cell::Double(x) = cell { *x } else { 0.0 };
                List::Doubles(tensor.cells.iter().map(double).collect())
            }
            Element::Text => List::Texts(tensor.cells.iter().map(int).collect()),
            _ => List::Ints(tensor.cells.iter().map(int).collect()),
        }
    }

    /// Reads `keys_*` or `values_*`, of which one is there.
    fn read(builder: &mut Builder, node: &Node, side: &str) -> Checked<List> {
        if let Some(tensor) = node.tensor(&format!("{side}_tensor"))? {
            return Ok(List::of(&one_dimension(builder, tensor)?));
        }
        let ints = node.ints(&format!("{side}_int64s"))?;
        let floats = node.any_floats(&format!("{side}_floats"))?;
        let texts = node.texts(&format!("{side}_strings"))?;
        match (ints, floats, texts.as_slice()) {
            (ints, [], []) => Ok(List::Ints(ints.to_vec())),
            ([], floats, []) => Ok(List::Floats(floats.to_vec())),
            ([], [], texts) => Ok(List::Texts(texts.iter().map(|text| builder.text(text)).collect())),
            _ => Err(format!("has several lists of {side}, expected one")),
        }
    }
}

fn one_dimension(builder: &mut Builder, tensor: &TensorProto) -> Checked<Tensor> {
    let tensor = builder.constant(tensor)?;
    if tensor.dims.rank() > 1 {
        return Err(format!("has {}, expected a list", tensor.describe()));
    }
    Ok(tensor)
}

const LABEL_ENCODER: [&str; 14] = [
    "keys_int64s",
    "keys_strings",
    "keys_floats",
    "keys_tensor",
    "values_int64s",
    "values_strings",
    "values_floats",
    "values_tensor",
    "default_int64",
    "default_string",
    "default_float",
    "default_tensor",
    "classes_strings",
    "name",
];

/// LabelEncoder: a key's value.
pub fn label_encoder(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let node = operation.node(&LABEL_ENCODER)?;
    let input = operation.tensor(builder, 0)?;
    if !node.texts("classes_strings")?.is_empty() {
        return first_version(builder, &node, &input);
    }
    let keys = List::read(builder, &node, "keys")?;
    // Before version 4 a missing value is not equal to a key that is missing.
    let keys = Keys { list: keys, missing_too: operation.ml_opset >= 4 };
    let values = List::read(builder, &node, "values")?;
    if keys.list.len() != values.len() || values.len() == 0 {
        return Err(format!("has {} keys and {} values, expected as many", keys.list.len(), values.len()));
    }
    let default = match node.tensor("default_tensor")? {
        Some(tensor) => Some(List::of(&builder.constant(tensor)?)),
        None => None,
    };
    match values {
        List::Ints(values) => {
            let default = match default {
                Some(List::Ints(list)) if list.len() == 1 => list[0],
                _ => node.int("default_int64")?.unwrap_or(-1),
            };
            by_key(builder, &input, keys, (Element::Int64, values, default))
        }
        List::Texts(values) => {
            let default = match default {
                Some(List::Texts(list)) if list.len() == 1 => list[0],
                _ => builder.text(node.text("default_string", "_Unused")?),
            };
            by_key(builder, &input, keys, (Element::Text, values, default))
        }
        List::Floats(values) => {
            let default = match default {
                Some(List::Floats(list)) if list.len() == 1 => list[0],
                _ => node.float("default_float")?.unwrap_or(-0.0),
            };
            by_key(builder, &input, keys, (Element::Float, values, default))
        }
        List::Doubles(values) => {
            let default = match default {
                Some(List::Doubles(list)) if list.len() == 1 => list[0],
                _ => node.float("default_float")?.map_or(-0.0, f64::from),
            };
            by_key(builder, &input, keys, (Element::Double, values, default))
        }
    }
}

/// Version 1: a text's place in a list, or the text at a place.
fn first_version(builder: &mut Builder, node: &Node, input: &Tensor) -> Checked<Vec<Value>> {
    let classes: Vec<i64> = node.texts("classes_strings")?.iter().map(|text| builder.text(text)).collect();
    let places = (0..classes.len() as i64).collect();
    match input.element {
        Element::Text => {
            let default = node.int("default_int64")?.unwrap_or(-1);
            by_key(
                builder,
                input,
                Keys { list: List::Texts(classes), missing_too: false },
                (Element::Int64, places, default),
            )
        }
        _ => {
            let default = builder.text(node.text("default_string", "_Unused")?);
            by_key(
                builder,
                input,
                Keys { list: List::Ints(places), missing_too: false },
                (Element::Text, classes, default),
            )
        }
    }
}

/// What a value is looked up among.
struct Keys {
    list: List,
    /// Whether a missing value is equal to a key that is missing.
    missing_too: bool,
}

fn by_key<T: Number>(
    builder: &mut Builder,
    input: &Tensor,
    keys: Keys,
    (to, values, default): (Element, Vec<T>, T),
) -> Checked<Vec<Value>> {
    let bits = |x: f64| if x.is_nan() { f64::NAN.to_bits() } else { (x + 0.0).to_bits() } as i64;
    let missing_too = keys.missing_too;
    let counts = |key: f64| missing_too || !key.is_nan();
    match (keys.list, input.element) {
        (List::Texts(list), Element::Text) | (List::Ints(list), Element::Int64 | Element::Int32) => {
            mapped(builder, input, to, first_wins(list.into_iter().zip(values)), default)
        }
        (List::Floats(list), Element::Float) => {
            let pairs = list.into_iter().map(f64::from).zip(values).filter(|(key, _)| counts(*key));
            let map = first_wins(pairs.map(|(key, value)| (bits(key), value)));
            encode(builder, input, to, move |x: f32| *map.get(&bits(f64::from(x))).unwrap_or(&default))
        }
        (List::Doubles(list), Element::Double) => {
            let pairs = list.into_iter().zip(values).filter(|(key, _)| counts(*key));
            let map = first_wins(pairs.map(|(key, value)| (bits(key), value)));
            encode(builder, input, to, move |x: f64| *map.get(&bits(x)).unwrap_or(&default))
        }
        _ => Err(format!("has keys of another type than {}", input.describe())),
    }
}

/// Pairs by key; the first of equal keys counts.
fn first_wins<T>(pairs: impl Iterator<Item = (i64, T)>) -> HashMap<i64, T> {
    let mut map = HashMap::new();
    for (key, value) in pairs {
        map.entry(key).or_insert(value);
    }
    map
}

fn mapped<T: Number>(
    builder: &mut Builder,
    input: &Tensor,
    to: Element,
    map: HashMap<i64, T>,
    default: T,
) -> Checked<Vec<Value>> {
    encode(builder, input, to, move |x: i64| *map.get(&x).unwrap_or(&default))
}

fn encode<F: Number, T: Number>(
    builder: &mut Builder,
    input: &Tensor,
    to: Element,
    map: impl Fn(F) -> T + Send + Sync + 'static,
) -> Checked<Vec<Value>> {
    let constant = input.is_constant();
    let inputs = builder.all_registers(input)?;
    let form = (to, inputs.len());
    let map = move |x: F| Some(map(x));
    let cells = builder.emit(constant, form, 8 * form.1, |first| MapStep { inputs, first, map, kinds: PhantomData })?;
    one(Tensor::new(to, input.dims.clone(), cells))
}
