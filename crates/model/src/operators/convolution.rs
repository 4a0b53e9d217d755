//! Conv and pooling over what lies around a place: each place is a sum of its own.

use super::linear::dense;
use super::operation::{Operation, one};
use super::reduce::{extreme_of, mean, mean_of};
use crate::builder::Builder;
use crate::dims::{Dim, Dims};
use crate::node::{Checked, Node, shown};
use crate::value::{Cell, Element, Tensor, Value};
use std::sync::Arc;

/// How a window moves over one dimension or two.
struct Window {
    rows: Dim,
    sizes: Vec<usize>,
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    begins: Vec<usize>,
    outputs: Vec<usize>,
}

impl Window {
    fn read(node: &Node, x: &Tensor, kernel: Option<Vec<usize>>) -> Checked<Window> {
        let [rows @ (Dim::ROWS | Dim::Fixed(1)), Dim::Fixed(_), spatial @ ..] = x.dims.list() else {
            return Err(format!("of {} is not supported, expected [rows, channels, ..]", x.describe()));
        };
        let sizes: Vec<usize> = spatial.iter().map(|dim| dim.cells()).collect();
        let rank = sizes.len();
        let list = |name: &str, absent: Vec<usize>, length: usize| -> Checked<Vec<usize>> {
            let found = match node.ints(name)? {
                [] => absent,
                list => {
                    let number = |number: &i64| usize::try_from(*number).ok().filter(|number| *number <= 1 << 20);
                    let list: Option<Vec<usize>> = list.iter().map(number).collect();
                    list.ok_or_else(|| format!("attribute \"{name}\" has a number out of range"))?
                }
            };
            if found.len() != length {
                return Err(format!("attribute \"{name}\" has {} entries, expected {length}", found.len()));
            }
            Ok(found)
        };
        let kernel = list("kernel_shape", kernel.unwrap_or_default(), rank)?;
        let strides = list("strides", vec![1; rank], rank)?;
        let dilations = list("dilations", vec![1; rank], rank)?;
        let mut pads = list("pads", vec![0; 2 * rank], 2 * rank)?;
        if sizes.contains(&0) {
            return Err(format!("of {} has no numbers to go over", x.describe()));
        }
        if rank == 0 || [&kernel, &strides, &dilations].iter().any(|list| list.contains(&0)) {
            return Err("has an empty window or no step, expected at least 1".to_string());
        }
        let span = |at: usize| (kernel[at] - 1) * dilations[at] + 1;
        let upper = match node.text("auto_pad", "NOTSET")? {
            "NOTSET" | "VALID" => None,
            "SAME_UPPER" => Some(true),
            "SAME_LOWER" => Some(false),
            other => return Err(format!("attribute \"auto_pad\" is {}, expected NOTSET", shown(other))),
        };
        for at in 0..rank {
            let Some(upper) = upper else { break };
            let total = ((sizes[at].div_ceil(strides[at]) - 1) * strides[at] + span(at)).saturating_sub(sizes[at]);
            (pads[at], pads[rank + at]) =
                if upper { (total / 2, total.div_ceil(2)) } else { (total.div_ceil(2), total / 2) };
        }
        let mut outputs = Vec::new();
        for at in 0..rank {
            let whole = sizes[at] + pads[at] + pads[rank + at];
            if whole < span(at) {
                return Err(format!("has a window of {} over {whole} places, expected no more", span(at)));
            }
            outputs.push((whole - span(at)) / strides[at] + 1);
        }
        Ok(Window { rows: *rows, sizes, kernel, strides, dilations, begins: pads[..rank].to_vec(), outputs })
    }

    /// For each place of the result, the places that the window covers; none beyond the edge. The cells that it covers
    /// of all channels are counted before any of them is listed.
    fn places(&self, builder: &mut Builder, channels: usize) -> Checked<Vec<Vec<Option<usize>>>> {
        let covered = Dims::fixed(&[&[channels], &self.outputs[..], &self.kernel[..]].concat())?.cells();
        builder.count_cells(covered)?;
        let taps = every(&self.kernel);
        let places = |output: &Vec<usize>| taps.iter().map(|tap| self.place(output, tap)).collect();
        Ok(every(&self.outputs).iter().map(places).collect())
    }

    fn place(&self, output: &[usize], tap: &[usize]) -> Option<usize> {
        let mut place = 0;
        for at in 0..self.sizes.len() {
            let along = output[at] * self.strides[at] + tap[at] * self.dilations[at];
            let along = along.checked_sub(self.begins[at]).filter(|along| *along < self.sizes[at])?;
            place = place * self.sizes[at] + along;
        }
        Some(place)
    }

    fn dims(&self, channels: usize) -> Checked<Dims> {
        let spatial = self.outputs.iter().map(|size| Dim::Fixed(*size));
        Dims::new([self.rows, Dim::Fixed(channels)].into_iter().chain(spatial).collect())
    }
}

/// Every place of a shape, in order.
fn every(sizes: &[usize]) -> Vec<Vec<usize>> {
    let mut places = vec![Vec::new()];
    for size in sizes {
        places = places.iter().flat_map(|place| (0..*size).map(|at| [place.as_slice(), &[at]].concat())).collect();
    }
    places
}

/// Conv with constant weights.
pub fn conv(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(2, 3)?;
    let node = operation.node(&["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"])?;
    let (x, weights) = (operation.tensor(builder, 0)?, operation.tensor(builder, 1)?);
    let sizes: Vec<usize> = weights.dims.list().iter().map(|dim| dim.cells()).collect();
    let ([outputs, inputs, kernel @ ..], true) = (sizes.as_slice(), weights.is_constant()) else {
        return Err(format!("has weights {}, expected a constant", weights.describe()));
    };
    let window = Window::read(&node, &x, Some(kernel.to_vec()))?;
    let groups = node.int("group")?.and_then(|groups| usize::try_from(groups).ok()).unwrap_or(1);
    let channels = x.dims.list()[1].cells();
    let fits = groups > 0
        && groups <= *outputs
        && inputs.checked_mul(groups) == Some(channels)
        && outputs.is_multiple_of(groups);
    if !fits || window.kernel != kernel || x.element != Element::Float || weights.element != Element::Float {
        return Err(format!("of {} with weights {} in {groups} groups does not fit", x.describe(), weights.describe()));
    }
    let bias = match operation.optional(2) {
        Some(name) => builder.tensor(name)?,
        None => Tensor::new(Element::Float, Dims::fixed(&[*outputs])?, vec![Cell::Float(0.0); *outputs]),
    };
    let number = |cell: &Cell| if let Cell::Float(number) = cell { Some(*number) } else { None };
    let bias: Vec<f32> = bias.cells.iter().filter_map(number).collect();
    let weights: Vec<f32> = weights.cells.iter().filter_map(number).collect();
    if bias.len() != *outputs {
        return Err(format!("has {} constant biases, expected {outputs}", bias.len()));
    }
    let (area, each) = (x.cells.len() / channels.max(1), outputs / groups);
    let places = window.places(builder, channels)?;
    let mut cells = vec![Cell::Float(0.0); outputs * places.len()];
    for group in 0..groups {
        let part = weights.len() / groups;
        let weights: Arc<[f32]> = weights[group * part..(group + 1) * part].into();
        for (at, taps) in places.iter().enumerate() {
            let of_channel = |channel: usize| {
                let x = &x;
                taps.iter().map(move |tap| tap.map_or(Cell::Float(0.0), |tap| x.cells[channel * area + tap]))
            };
            let covered: Vec<Cell> = (group * inputs..(group + 1) * inputs).flat_map(of_channel).collect();
            let sums = dense(builder, &covered, weights.clone(), bias[group * each..(group + 1) * each].to_vec())?;
            for (channel, sum) in sums.into_iter().enumerate() {
                cells[(group * each + channel) * places.len() + at] = sum;
            }
        }
    }
    one(Tensor::new(Element::Float, window.dims(*outputs)?, cells))
}

/// MaxPool and AveragePool.
pub fn pool(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let known =
        ["auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "storage_order", "strides"];
    let node = operation.node(&known)?;
    if node.int("ceil_mode")?.unwrap_or(0) != 0 {
        return Err("attribute \"ceil_mode\" is set, expected 0".to_string());
    }
    let x = operation.tensor(builder, 0)?;
    let window = Window::read(&node, &x, None)?;
    let padded = node.int("count_include_pad")?.unwrap_or(0) != 0;
    let channels = x.dims.list()[1].cells();
    let area = x.cells.len() / channels.max(1);
    let places = window.places(builder, channels)?;
    let mut groups = Vec::with_capacity(channels * places.len());
    for channel in 0..channels {
        for taps in &places {
            let cell = |tap: &Option<usize>| match tap {
                Some(tap) => Some(x.cells[channel * area + tap]),
                None => padded.then_some(Cell::Float(0.0)),
            };
            groups.push(taps.iter().filter_map(cell).collect::<Vec<Cell>>());
        }
    }
    let cells = match operation.proto.op_type.as_str() {
        "MaxPool" => extreme_of(builder, &x, &groups)?,
        _ => mean_of(builder, &x, &groups)?,
    };
    one(Tensor::new(x.element, window.dims(channels)?, cells))
}

/// GlobalAveragePool: the mean of each channel.
pub fn global_average_pool(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    operation.node(&[])?;
    let x = operation.tensor(builder, 0)?;
    let axes: Vec<usize> = (2..x.dims.rank()).collect();
    one(mean(builder, &x, &axes)?)
}
