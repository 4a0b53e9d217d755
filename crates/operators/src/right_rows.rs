//! The right rows of an as-of join, as words.

/// A right row as words side by side, so that one which is looked at takes few lines of a cache: a bit that says whether it
/// is there, one for each column, then the values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowLayout {
    pub(crate) columns: usize,
}

/// Right rows, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct RightRows {
    pub(crate) words: Vec<u64>,
    pub(crate) layout: RowLayout,
}

/// A right row that is there.
#[derive(Clone, Copy)]
pub(crate) struct RightRow<'a> {
    bits: &'a [u64],
    pub(crate) values: &'a [u64],
}

impl RowLayout {
    /// The words of the bits of a row.
    pub(crate) fn bit_words(self) -> usize {
        self.columns / 64 + 1
    }

    /// The words of a row.
    pub(crate) fn width(self) -> usize {
        self.bit_words() + self.columns
    }

    /// A row that is there.
    pub(crate) fn of_words(self, words: &[u64]) -> Option<RightRow<'_>> {
        let (bits, values) = words.split_at(self.bit_words());
        (bits[0] & 1 != 0).then_some(RightRow { bits, values })
    }

    pub(crate) fn set_there(self, words: &mut [u64]) {
        words[0] |= 1;
    }

    /// Sets the value of a column, and whether it is there, where none was.
    pub(crate) fn set(self, words: &mut [u64], column: usize, value: u64, there: u8) {
        let bit = 1 + column;
        words[self.bit_words() + column] = value;
        words[bit / 64] |= u64::from(there != 0) << (bit % 64);
    }
}

impl RightRows {
    pub(crate) fn words_mut(&mut self, row: usize) -> &mut [u64] {
        let width = self.layout.width();
        &mut self.words[row * width..][..width]
    }

    /// The rows that are there, each with its place.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, RightRow<'_>)> {
        let rows = self.words.chunks_exact(self.layout.width()).enumerate();
        rows.filter_map(|(row, words)| Some((row as u32, self.layout.of_words(words)?)))
    }

    /// So many rows from one on are there.
    pub(crate) fn set_there(&mut self, first: usize, rows: usize) {
        let layout = self.layout;
        (first..first + rows).for_each(|row| layout.set_there(self.words_mut(row)));
    }

    /// The values of a column from one row on, and whether they are there; none was before.
    pub(crate) fn set_column(&mut self, first: usize, column: usize, values: &[u64], flags: &[u8]) {
        let layout = self.layout;
        let rows = self.words[first * layout.width()..].chunks_exact_mut(layout.width());
        for ((row, &value), &flag) in rows.zip(values).zip(flags) {
            layout.set(row, column, value, flag);
        }
    }
}

impl RightRow<'_> {
    /// Whether the value of a column is there.
    pub(crate) fn has(&self, column: usize) -> bool {
        let bit = 1 + column;
        self.bits[bit / 64] >> (bit % 64) & 1 != 0
    }
}
