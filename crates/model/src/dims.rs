//! Shapes in which one dimension may count the rows of a batch, whose number is open.
//!
//! A tensor of a batch is kept as its cells: the numbers that belong to one row, in the order in which they would lie
//! in memory without the rows. Whatever only moves numbers about (Reshape, Transpose, Concat, Gather) is then a list of
//! cells, made once when the model is loaded.

use crate::node::Checked;

/// The most cells that a tensor may have.
pub const CELLS_MAX: usize = 1 << 24;

/// The most dimensions that a tensor may have.
const RANK_MAX: usize = 8;

/// One dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim {
    Fixed(usize),
    /// `before * rows * after` long: the rows with cells around them in the same dimension.
    Rows {
        before: usize,
        after: usize,
    },
}

impl Dim {
    /// The dimension that is the rows alone.
    pub const ROWS: Dim = Dim::Rows { before: 1, after: 1 };

    /// The cells that the dimension counts for one row.
    pub fn cells(self) -> usize {
        match self {
            Dim::Fixed(size) => size,
            // The product was checked when the shape was made.
            Dim::Rows { before, after } => before.saturating_mul(after),
        }
    }
}

/// A shape. At most one of its dimensions counts rows, and its cells are at most [`CELLS_MAX`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dims(Vec<Dim>);

impl Dims {
    /// Takes dimensions that stay within the limits.
    pub fn new(dims: Vec<Dim>) -> Checked<Dims> {
        if dims.len() > RANK_MAX {
            return Err(format!("a tensor has {} dimensions, expected at most {RANK_MAX}", dims.len()));
        }
        if dims.iter().filter(|dim| matches!(dim, Dim::Rows { .. })).count() > 1 {
            return Err("a tensor would have the rows of a batch in two dimensions, expected one".to_string());
        }
        let mut cells = 1usize;
        for dim in &dims {
            let parts = match *dim {
                Dim::Fixed(size) => [size, 1],
                Dim::Rows { before, after } => [before, after],
            };
            // Where a dimension is 0 the others are bounded all the same: products of some of them are calculated with.
            for part in parts.into_iter().filter(|part| *part > 0) {
                cells = cells.checked_mul(part).filter(|cells| *cells <= CELLS_MAX).ok_or_else(|| {
                    format!("a tensor has more than {CELLS_MAX} numbers, expected at most that many, beside the rows")
                })?;
            }
        }
        Ok(Dims(dims))
    }

    /// A shape without rows.
    pub fn fixed(sizes: &[usize]) -> Checked<Dims> {
        Dims::new(sizes.iter().map(|size| Dim::Fixed(*size)).collect())
    }

    /// Rows with so many numbers each.
    pub fn matrix(width: usize) -> Checked<Dims> {
        Dims::new(vec![Dim::ROWS, Dim::Fixed(width)])
    }

    pub fn list(&self) -> &[Dim] {
        &self.0
    }

    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The cells of one row.
    pub fn cells(&self) -> usize {
        self.0.iter().map(|dim| dim.cells()).product()
    }

    /// Which dimension counts the rows.
    pub fn rows_axis(&self) -> Option<usize> {
        self.0.iter().position(|dim| matches!(dim, Dim::Rows { .. }))
    }

    /// The place of an axis that may count from the end.
    pub fn axis(&self, axis: i64) -> Checked<usize> {
        let rank = self.rank() as i64;
        let place = if axis < 0 { axis.saturating_add(rank) } else { axis };
        usize::try_from(place).ok().filter(|place| *place < self.rank()).ok_or_else(|| {
            format!("attribute \"axis\" is {axis}, expected {} to {} for {rank} dimensions", -rank, rank - 1)
        })
    }

    /// The size of an axis that does not count rows.
    pub fn fixed_axis(&self, axis: usize) -> Checked<usize> {
        match self.0[axis] {
            Dim::Fixed(size) => Ok(size),
            Dim::Rows { .. } => Err(format!(
                "works along dimension {axis}, which counts the rows of a batch: a score would depend on other rows"
            )),
        }
    }

    /// The cells before, in and after an axis: cell `(b, i, a)` is at `(b * size + i) * after + a`.
    pub fn split(&self, axis: usize) -> (usize, usize, usize) {
        let product = |dims: &[Dim]| dims.iter().map(|dim| dim.cells()).product::<usize>();
        (product(&self.0[..axis]), self.0[axis].cells(), product(&self.0[axis + 1..]))
    }

    /// The shape with one dimension replaced by others.
    pub fn with(&self, axis: usize, by: &[Dim]) -> Checked<Dims> {
        let mut dims = self.0[..axis].to_vec();
        dims.extend_from_slice(by);
        dims.extend_from_slice(&self.0[axis + 1..]);
        Dims::new(dims)
    }

    /// The cells before and after the rows.
    fn around_rows(&self) -> Option<(usize, usize)> {
        let axis = self.rows_axis()?;
        let Dim::Rows { before, after } = self.0[axis] else { return None };
        let (outer, _, inner) = self.split(axis);
        Some((outer * before, after * inner))
    }

    /// The shape that Reshape asks for. `target` holds sizes, -1 for what is left over, or a dimension that counts
    /// rows as Shape gave it: how many cells lie before the rows and how many after is found here.
    pub fn reshape(&self, target: &[Extent], zero_copies: bool) -> Checked<Dims> {
        let mut dims = Vec::with_capacity(target.len());
        let (mut open, mut rows) = (None, None);
        for (at, extent) in target.iter().enumerate() {
            dims.push(match *extent {
                Extent::Rows { before, after } => {
                    rows = Some(at);
                    Dim::Rows { before, after }
                }
                Extent::Known(0) if zero_copies => {
                    let copied = self.0.get(at);
                    let copied =
                        *copied.ok_or_else(|| format!("copies dimension {at} of {self}, which is not there"))?;
                    rows = if matches!(copied, Dim::Rows { .. }) { Some(at) } else { rows };
                    copied
                }
                Extent::Known(-1) if open.is_none() => {
                    open = Some(at);
                    Dim::Fixed(1)
                }
                Extent::Known(size @ 0..) if size as usize <= CELLS_MAX => Dim::Fixed(size as usize),
                Extent::Known(size) => {
                    return Err(format!("a dimension of the new shape is {size}, expected one -1 and sizes"));
                }
            });
        }
        if rows.is_none() && self.rows_axis().is_some() {
            rows = open.take();
        }
        if let Some(open) = open {
            let others = Dims::new(dims.clone())?.cells();
            if others == 0 || !self.cells().is_multiple_of(others) {
                return Err(self.misfit(&dims));
            }
            dims[open] = Dim::Fixed(self.cells() / others);
        }
        if let (Some(at), Some(around)) = (rows, self.around_rows()) {
            dims[at] = self.rows_between(&dims, at, around)?;
        }
        let reshaped = Dims::new(dims)?;
        if reshaped.around_rows() != self.around_rows() || reshaped.cells() != self.cells() {
            return Err(self.misfit(&reshaped.0));
        }
        Ok(reshaped)
    }

    /// The dimension that counts the rows, between others that do not.
    fn rows_between(&self, dims: &[Dim], at: usize, (before, after): (usize, usize)) -> Checked<Dim> {
        let outer = Dims::new(dims[..at].to_vec())?.cells();
        let inner = Dims::new(dims[at + 1..].to_vec())?.cells();
        if outer == 0 || inner == 0 || !before.is_multiple_of(outer) || !after.is_multiple_of(inner) {
            return Err(self.misfit(dims));
        }
        Ok(Dim::Rows { before: before / outer, after: after / inner })
    }

    fn misfit(&self, dims: &[Dim]) -> String {
        format!("a tensor of shape {self} does not become one of shape {} row by row", Dims(dims.to_vec()))
    }
}

impl std::fmt::Display for Dims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown: Vec<String> = self
            .0
            .iter()
            .map(|dim| match dim {
                Dim::Fixed(size) => size.to_string(),
                Dim::Rows { before: 1, after: 1 } => "rows".to_string(),
                Dim::Rows { before, after } => format!("{} * rows", before * after),
            })
            .collect();
        write!(f, "[{}]", shown.join(", "))
    }
}

/// One entry of a shape as a graph calculates with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    Known(i64),
    Rows { before: usize, after: usize },
}

impl From<Dim> for Extent {
    fn from(dim: Dim) -> Extent {
        match dim {
            Dim::Fixed(size) => Extent::Known(size as i64),
            Dim::Rows { before, after } => Extent::Rows { before, after },
        }
    }
}

/// The common shape of several tensors that are combined number by number.
pub fn broadcast(shapes: &[&Dims]) -> Checked<Dims> {
    let rank = shapes.iter().map(|dims| dims.rank()).max().unwrap_or(0);
    let mut common = vec![Dim::Fixed(1); rank];
    for dims in shapes {
        for (out, dim) in common[rank - dims.rank()..].iter_mut().zip(&dims.0) {
            *out = match (*out, *dim) {
                (one, other) if one == other => one,
                (Dim::Fixed(1), other) => other,
                (one, Dim::Fixed(1)) => one,
                _ => {
                    let shown: Vec<String> = shapes.iter().map(ToString::to_string).collect();
                    return Err(format!("combines tensors of shapes {}, which do not fit", shown.join(" and ")));
                }
            };
        }
    }
    Dims::new(common)
}

/// For each cell of a common shape, the cell of a tensor of shape `dims` that is used there.
pub fn spread(dims: &Dims, common: &Dims) -> Vec<usize> {
    let skipped = common.rank() - dims.rank();
    let mut strides = vec![0; common.rank()];
    let mut stride = 1;
    for axis in (0..dims.rank()).rev() {
        let own = dims.0[axis];
        // A dimension of 1 is repeated, unless the rows are there: they have their cells everywhere.
        strides[skipped + axis] = if own.cells() == 1 { 0 } else { stride };
        stride *= own.cells();
    }
    let mut places = Vec::with_capacity(common.cells());
    let mut at = vec![0; common.rank()];
    for _ in 0..common.cells() {
        places.push(at.iter().zip(&strides).map(|(at, stride)| at * stride).sum());
        for axis in (0..common.rank()).rev() {
            at[axis] += 1;
            if at[axis] < common.0[axis].cells() {
                break;
            }
            at[axis] = 0;
        }
    }
    places
}
