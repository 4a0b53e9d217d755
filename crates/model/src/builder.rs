//! A program while it is built: registers are given out, constants get theirs, and what is constant is calculated at
//! once.

use crate::dims::Dims;
use crate::labels::Labels;
use crate::node::{Checked, shown};
use crate::onnx::TensorProto;
use crate::registers::{LANES, Number, Registers, Step, Walked};
use crate::trees::Trees;
use crate::value::{Cell, Element, Numbers, Tensor, Value, at_initializer, constant};
use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

/// The most registers of a program; each takes up to 512 bytes per scoring thread.
const REGISTERS_MAX: usize = 1 << 17;

/// The most elementary calculations that a row may take.
const COST_MAX: u64 = 1 << 27;

/// The most cells that all constants of a model, and all lists of cells that its nodes make, may have together.
const CELLS_TOTAL_MAX: usize = 1 << 25;

/// The most ensembles that a graph may have.
const ENSEMBLES_MAX: usize = 1024;

/// A program under construction.
#[derive(Default)]
pub struct Builder {
    values: HashMap<String, Value>,
    steps: Vec<Box<dyn Step>>,
    /// Constants are in their registers from the start, in all lanes.
    registers: Registers,
    constants: HashMap<(bool, bool, u64), u32>,
    texts: Vec<String>,
    text_places: HashMap<String, i64>,
    reads_texts: bool,
    cost: u64,
    cells: usize,
    tables: HashMap<*const Cell, (Arc<[Cell]>, Arc<dyn Any + Send + Sync>)>,
    ensembles: usize,
}

/// What a finished program consists of.
pub struct Built {
    pub steps: Vec<Box<dyn Step>>,
    pub registers: Registers,
    pub texts: Vec<String>,
    pub text_places: HashMap<String, i64>,
    /// Whether a step looks into texts that the model does not know.
    pub reads_texts: bool,
    pub cost: u64,
}

impl Builder {
    /// Ends the construction.
    pub fn finish(self) -> Built {
        let Builder { steps, registers, texts, text_places, reads_texts, cost, .. } = self;
        Built { steps, registers, texts, text_places, reads_texts, cost }
    }

    /// Gives a name its value. An empty name is an output that nobody wants.
    pub fn define(&mut self, name: &str, value: Value) -> Checked<()> {
        if let Value::Tensor(tensor) | Value::Maps(tensor) = &value {
            self.count_cells(tensor.cells.len())?;
        }
        if !name.is_empty() && self.values.insert(name.to_string(), value).is_some() {
            return Err(format!("{} is defined twice, expected one definition for each name", shown(name)));
        }
        Ok(())
    }

    /// Counts a list of cells before it is made.
    pub fn count_cells(&mut self, cells: usize) -> Checked<()> {
        self.cells = self.cells.saturating_add(cells);
        if self.cells > CELLS_TOTAL_MAX {
            return Err(format!("the tensors of the graph have more than {CELLS_TOTAL_MAX} numbers together"));
        }
        Ok(())
    }

    /// Defines a constant of the file.
    pub fn define_constant(&mut self, tensor: &TensorProto) -> Checked<()> {
        let value = self.constant(tensor).map_err(|fault| at_initializer(&tensor.name, &fault))?;
        self.define(&tensor.name, Value::Tensor(value))
    }

    /// Reads a constant of the file.
    pub fn constant(&mut self, tensor: &TensorProto) -> Checked<Tensor> {
        let (element, dims, numbers) = constant(tensor)?;
        let cells = match numbers {
            Numbers::Floats(numbers) => numbers.into_iter().map(Cell::Float).collect(),
            Numbers::Doubles(numbers) => numbers.into_iter().map(Cell::Double).collect(),
            Numbers::Ints(numbers) => numbers.into_iter().map(Cell::Int).collect(),
            Numbers::Texts(texts) => texts.iter().map(|text| Cell::Int(self.text(text))).collect(),
        };
        Ok(Tensor::new(element, dims, cells))
    }

    /// What a name stands for, if it is defined.
    pub fn find(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// What a name stands for.
    pub fn value(&self, name: &str) -> Checked<&Value> {
        self.values.get(name).ok_or_else(|| {
            format!("input {} is neither an input of the model nor an output of an earlier node", shown(name))
        })
    }

    /// The tensor that a name stands for.
    pub fn tensor(&self, name: &str) -> Checked<Tensor> {
        match self.value(name)? {
            Value::Tensor(tensor) => Ok(tensor.clone()),
            other => Err(format!("input {} is {}, expected a tensor", shown(name), other.describe())),
        }
    }

    /// The number of a text in the model's list of texts.
    pub fn text(&mut self, text: &str) -> i64 {
        if let Some(place) = self.text_places.get(text) {
            return *place;
        }
        let place = self.texts.len() as i64;
        self.texts.push(text.to_string());
        self.text_places.insert(text.to_string(), place);
        place
    }

    /// Says that a step looks into the texts of rows: without, all that the model does not know are alike.
    pub fn read_texts(&mut self) {
        self.reads_texts = true;
    }

    /// The texts of numbers, if all of them are texts of the list.
    pub fn text_list(&self, places: &[i64]) -> Option<Vec<String>> {
        places.iter().map(|place| self.texts.get(usize::try_from(*place).ok()?).cloned()).collect()
    }

    /// Gives out registers, side by side.
    pub fn allocate(&mut self, element: Element, count: usize) -> Checked<u32> {
        let Registers { floats, doubles, ints, .. } = &mut self.registers;
        if floats.len() + doubles.len() + ints.len() + count > REGISTERS_MAX {
            return Err(format!("a row needs more than {REGISTERS_MAX} numbers in memory"));
        }
        let first = match element {
            Element::Float => grow(floats, count),
            Element::Double => grow(doubles, count),
            _ => grow(ints, count),
        };
        Ok(first as u32)
    }

    /// Counts what a step costs a row.
    pub fn spend(&mut self, cost: usize) -> Checked<()> {
        self.cost = self.cost.saturating_add(cost as u64);
        if self.cost > COST_MAX {
            return Err(format!("a row takes more than {COST_MAX} calculations"));
        }
        Ok(())
    }

    /// Makes room for the features and sums of an ensemble.
    pub fn fit<T: Walked>(&mut self, trees: &Trees<T>) -> Checked<()> {
        self.ensembles += 1;
        if self.ensembles > ENSEMBLES_MAX {
            return Err(format!("is one ensemble too many, expected at most {ENSEMBLES_MAX} in a graph"));
        }
        trees.fit(T::block(&mut self.registers));
        Ok(())
    }

    /// The numbers of a constant as steps look them up: one list, however many steps do.
    pub fn table<T: Copy + Send + Sync + 'static>(
        &mut self,
        tensor: &Tensor,
        number: fn(&Cell) -> Option<T>,
    ) -> Checked<Arc<[T]>> {
        let key = tensor.cells.as_ptr();
        let known = self.tables.get(&key).and_then(|(_, table)| table.downcast_ref::<Arc<[T]>>());
        if let Some(table) = known {
            return Ok(table.clone());
        }
        self.count_cells(tensor.cells.len())?;
        let table: Arc<[T]> = tensor.cells.iter().filter_map(number).collect();
        // The cells are kept, so that no others come to lie at their place.
        self.tables.insert(key, (tensor.cells.clone(), Arc::new(table.clone())));
        Ok(table)
    }

    /// The register of a cell. A constant gets one of its own the first time.
    pub fn register(&mut self, cell: Cell) -> Checked<u32> {
        let (key, element) = match cell {
            Cell::Register(register) => return Ok(register),
            Cell::Float(number) => ((true, false, u64::from(number.to_bits())), Element::Float),
            Cell::Double(number) => ((true, true, number.to_bits()), Element::Double),
            Cell::Int(number) => ((false, false, number as u64), Element::Int64),
        };
        if let Some(register) = self.constants.get(&key) {
            return Ok(*register);
        }
        let register = self.allocate(element, 1)?;
        match cell {
            Cell::Float(number) => self.registers.floats[register as usize] = [number; LANES],
            Cell::Double(number) => self.registers.doubles[register as usize] = [number; LANES],
            Cell::Int(number) => self.registers.ints[register as usize] = [number; LANES],
            Cell::Register(_) => {}
        }
        self.constants.insert(key, register);
        Ok(register)
    }

    /// The registers of cells in order.
    pub fn registers(&mut self, cells: impl IntoIterator<Item = Cell>) -> Checked<Vec<u32>> {
        cells.into_iter().map(|cell| self.register(cell)).collect()
    }

    /// The registers of a tensor's cells.
    pub fn all_registers(&mut self, tensor: &Tensor) -> Checked<Vec<u32>> {
        self.registers(tensor.cells.iter().copied())
    }

    /// Appends a step that writes `count` registers from the one it is told, and returns them. Where all that it reads
    /// is constant, it runs at once and what it gives is constant too.
    pub fn emit<S: Step + 'static>(
        &mut self,
        constant: bool,
        (element, count): (Element, usize),
        cost: usize,
        step: impl FnOnce(u32) -> S,
    ) -> Checked<Vec<Cell>> {
        let first = self.allocate(element, count)?;
        let step = step(first);
        self.spend(cost)?;
        if !constant {
            self.steps.push(Box::new(step));
            return Ok((first..first + count as u32).map(Cell::Register).collect());
        }
        step.run(&mut self.registers, 1);
        if !self.registers.failed.is_empty() {
            return Err("cannot be calculated for the constants that it is given".to_string());
        }
        let from = first as usize;
        Ok(match element {
            Element::Float => take(&mut self.registers, from, Cell::Float),
            Element::Double => take(&mut self.registers, from, Cell::Double),
            _ => take(&mut self.registers, from, Cell::Int),
        })
    }

    /// Appends a step that writes registers of several kinds, which were given out before.
    pub fn push(&mut self, cost: usize, step: impl Step + 'static) -> Checked<()> {
        self.spend(cost)?;
        self.steps.push(Box::new(step));
        Ok(())
    }

    /// The label cell of a class number: the class's own number, or its text's place in the list.
    pub fn label_codes(&mut self, labels: &Labels) -> Arc<[i64]> {
        match labels {
            Labels::Ints(labels) => labels.as_slice().into(),
            Labels::Texts(labels) => labels.iter().map(|label| self.text(label)).collect(),
        }
    }
}

fn grow<T: Number>(file: &mut Vec<[T; LANES]>, count: usize) -> usize {
    let first = file.len();
    file.resize(first + count, [T::default(); LANES]);
    first
}

/// Takes back the registers from `from` on, with what is in their first lane.
fn take<T: Number>(registers: &mut Registers, from: usize, cell: impl Fn(T) -> Cell) -> Vec<Cell> {
    T::file_mut(registers).split_off(from).iter().map(|lane| cell(lane[0])).collect()
}

/// A tensor of the rows' registers: `width` of them from `first` on.
pub fn matrix(element: Element, first: u32, width: usize) -> Checked<Tensor> {
    let cells = (first..first + width as u32).map(Cell::Register).collect();
    Ok(Tensor::new(element, Dims::matrix(width)?, cells))
}
