//! TfIdfVectorizer: how often each word, or each row of words, occurs in a row.

use super::operation::{Operation, one};
use crate::builder::{Builder, matrix};
use crate::dims::{Dim, Dims};
use crate::node::{Checked, Node, shown};
use crate::registers::{Registers, Step, split};
use crate::value::{Element, Tensor, Value};
use crate::words::Words;
use std::collections::HashMap;

/// The most words that a row of words may have, and the most that may be skipped between two.
const GRAM_WORDS_MAX: usize = 16;

/// TfIdfVectorizer.
pub fn tf_idf(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let node = operation.node(&[
        "max_gram_length",
        "max_skip_count",
        "min_gram_length",
        "mode",
        "ngram_counts",
        "ngram_indexes",
        "pool_int64s",
        "pool_strings",
        "weights",
    ])?;
    let spans = Spans::read(&node)?;
    let weighing = Weighing::read(&node)?;
    let texts = node.texts("pool_strings")?;
    // A list without rows, as the format's own cases have it.
    let mut is_one_row = false;
    let source = match builder.value(operation.input(0)?)?.clone() {
        Value::Words(words) => Source::Text(words),
        _ => {
            let input = operation.tensor(builder, 0)?;
            let fits = if input.element == Element::Text { !texts.is_empty() } else { input.element.is_integer() };
            is_one_row = matches!(input.dims.list(), [Dim::Fixed(_)]);
            if !fits || !(is_one_row || input.dims.rank() == 2) {
                return Err(format!("of {} is not supported, expected words for each row", input.describe()));
            }
            Source::Cells(builder.all_registers(&input)?)
        }
    };
    let mut pool = Pool::default();
    let words: Vec<u32> = match (&source, texts.as_slice()) {
        (Source::Text(words), texts) => {
            // How many there are of it depends on the other rows of the batch.
            if texts.contains(&words.tokenizer.padding.as_str()) {
                return Err(format!("counts {}, which rows are filled up with", shown(&words.tokenizer.padding)));
            }
            texts.iter().map(|text| pool.text(text)).collect()
        }
        (Source::Cells(_), []) => node.ints("pool_int64s")?.iter().map(|number| pool.number(*number)).collect(),
        (Source::Cells(_), texts) => {
            builder.read_texts();
            texts.iter().map(|text| builder.text(text)).map(|place| pool.number(place)).collect()
        }
    };
    let grams = Grams::new(&node, &words)?;
    let width = grams.width;
    let weights = weighing.weights(&node, &grams.indexes, width)?;
    let first = builder.allocate(Element::Float, width)?;
    let cells = if let Source::Cells(cells) = &source { cells.len() } else { 64 };
    let cost = width.saturating_add(cells.saturating_mul(spans.longest * spans.skips_max * 4));
    builder.push(cost, CountStep { source, pool, grams, spans, weighing, weights, first })?;
    let counts = matrix(Element::Float, first, width)?;
    one(if is_one_row { Tensor { dims: Dims::fixed(&[width])?, ..counts } } else { counts })
}

/// Which rows of words are counted.
#[derive(Debug)]
struct Spans {
    shortest: usize,
    longest: usize,
    /// How far apart the words of a row may be: 1 where they follow each other.
    skips_max: usize,
}

impl Spans {
    fn read(node: &Node) -> Checked<Spans> {
        let number = |name: &str, least: i64| {
            let found = node.int(name)?.ok_or_else(|| format!("attribute \"{name}\" is missing"))?;
            let fits = usize::try_from(found).ok().filter(|_| (least..=GRAM_WORDS_MAX as i64).contains(&found));
            fits.ok_or_else(|| format!("attribute \"{name}\" is {found}, expected {least} to {GRAM_WORDS_MAX}"))
        };
        let (shortest, longest) = (number("min_gram_length", 1)?, number("max_gram_length", 1)?);
        if shortest > longest {
            return Err(format!("counts {shortest} to {longest} words in a row, expected at least one length"));
        }
        Ok(Spans { shortest, longest, skips_max: number("max_skip_count", 0)? + 1 })
    }
}

/// What becomes of a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weighing {
    /// The count.
    Tf,
    /// The weight where there is one at all.
    Idf,
    /// The count times the weight.
    TfIdf,
}

impl Weighing {
    fn read(node: &Node) -> Checked<Weighing> {
        match node.text("mode", "")? {
            "TF" => Ok(Weighing::Tf),
            "IDF" => Ok(Weighing::Idf),
            "TFIDF" => Ok(Weighing::TfIdf),
            other => Err(format!("attribute \"mode\" is {}, expected TF, IDF or TFIDF", shown(other))),
        }
    }

    /// The weight of each column.
    fn weights(self, node: &Node, indexes: &[usize], width: usize) -> Checked<Vec<f32>> {
        let weights = node.floats("weights")?;
        if self == Weighing::Tf || weights.is_empty() {
            return Ok(vec![1.0; width]);
        }
        if weights.len() != indexes.len() {
            return Err(format!("has {} weights, expected {} as there are in the pool", weights.len(), indexes.len()));
        }
        let in_order = indexes.iter().enumerate().all(|(at, index)| at == *index);
        if !in_order && weights.iter().any(|weight| *weight != weights[0]) {
            return Err("has weights for columns in another order than the pool's, which runtimes read in two ways: \
                 multiply the counts by them"
                .to_string());
        }
        Ok(if in_order { weights.to_vec() } else { vec![weights[0]; width] })
    }
}

/// What is counted: words of a text, or cells of a tensor.
#[derive(Debug)]
enum Source {
    Text(Words),
    Cells(Vec<u32>),
}

/// The words of the pool, each with a number from 0 on.
#[derive(Debug, Default)]
struct Pool {
    texts: HashMap<String, u32>,
    numbers: HashMap<i64, u32>,
}

impl Pool {
    fn text(&mut self, text: &str) -> u32 {
        let next = self.texts.len() as u32;
        *self.texts.entry(text.to_owned()).or_insert(next)
    }

    fn number(&mut self, number: i64) -> u32 {
        let next = self.numbers.len() as u32;
        *self.numbers.entry(number).or_insert(next)
    }
}

/// The rows of words that are counted, as a tree: from a node, by a word, to the node after it.
#[derive(Debug)]
struct Grams {
    next: HashMap<(u32, u32), u32>,
    /// The column that counts what ends at a node.
    columns: Vec<Option<u32>>,
    /// The column of each entry of the pool.
    indexes: Vec<usize>,
    width: usize,
}

impl Grams {
    fn new(node: &Node, words: &[u32]) -> Checked<Grams> {
        let (starts, columns) = (node.ints("ngram_counts")?, node.ints("ngram_indexes")?);
        let fits = |column: &i64| usize::try_from(*column).ok().filter(|column| *column < 1 << 16);
        let indexes: Option<Vec<usize>> = columns.iter().map(fits).collect();
        let indexes = indexes.ok_or("attribute \"ngram_indexes\" has a number that is no column")?;
        let width = indexes.iter().max().map_or(0, |greatest| greatest + 1);
        let mut grams = Grams { next: HashMap::new(), columns: vec![None], indexes: Vec::new(), width };
        let mut left = indexes.iter();
        for (at, start) in starts.iter().enumerate() {
            let end = starts.get(at + 1).copied().unwrap_or(words.len() as i64);
            let range = usize::try_from(*start).ok().zip(usize::try_from(end).ok());
            let part = range.and_then(|(start, end)| words.get(start..end));
            let part =
                part.ok_or("attribute \"ngram_counts\" does not cut the pool into parts that follow each other")?;
            let (rows, rest) = (part.chunks_exact(at + 1), part.len() % (at + 1));
            if rest != 0 || at >= GRAM_WORDS_MAX {
                return Err(format!("the pool has {} words for rows of {}", part.len(), at + 1));
            }
            for row in rows {
                let column = left.next().ok_or("has fewer ngram_indexes than there are rows of words in the pool")?;
                grams.add(row, *column as u32)?;
            }
        }
        if left.next().is_some() || width == 0 || starts.first() != Some(&0) {
            return Err("has another number of ngram_indexes than there are rows of words in the pool".to_string());
        }
        Ok(Grams { indexes, ..grams })
    }

    fn add(&mut self, words: &[u32], column: u32) -> Checked<()> {
        let mut at = 0;
        for word in words {
            let fresh = self.columns.len() as u32;
            at = *self.next.entry((at, *word)).or_insert(fresh);
            if at == fresh {
                self.columns.push(None);
            }
        }
        match self.columns[at as usize].replace(column) {
            None => Ok(()),
            Some(_) => Err("the pool has the same words twice".to_string()),
        }
    }

    /// Calls with the column of each row of words that is counted.
    fn each(&self, words: &[Option<u32>], spans: &Spans, mut found: impl FnMut(usize)) {
        for apart in 1..=spans.skips_max {
            for start in 0..words.len() {
                let mut at = 0;
                for length in 1..=spans.longest {
                    let word = words.get(start + apart * (length - 1)).copied().flatten();
                    let Some(after) = word.and_then(|word| self.next.get(&(at, word))) else { break };
                    at = *after;
                    // A word alone is the same however far the next one is away.
                    let counts = length >= spans.shortest && (length > 1 || apart == 1);
                    if let (true, Some(column)) = (counts, self.columns[at as usize]) {
                        found(column as usize);
                    }
                }
            }
        }
    }
}

#[derive(Debug)]
struct CountStep {
    source: Source,
    pool: Pool,
    grams: Grams,
    spans: Spans,
    weighing: Weighing,
    weights: Vec<f32>,
    first: u32,
}

impl Step for CountStep {
    fn run(&self, registers: &mut Registers, rows: usize) {
        let mut words = Vec::new();
        for row in 0..rows {
            words.clear();
            match &self.source {
                Source::Text(source) => {
                    let text = registers.texts.text(registers.ints[source.text as usize][row]);
                    source.tokenizer.each(text, |word| words.push(self.pool.texts.get(word).copied()));
                }
                Source::Cells(cells) => {
                    let word = |cell: &u32| self.pool.numbers.get(&registers.ints[*cell as usize][row]).copied();
                    words.extend(cells.iter().map(word));
                }
            }
            let (_, out) = split::<f32>(registers, self.first);
            let out = &mut out[..self.grams.width];
            out.iter_mut().for_each(|lane| lane[row] = 0.0);
            self.grams.each(&words, &self.spans, |column| out[column][row] += 1.0);
            if self.weighing != Weighing::Tf {
                for (lane, weight) in out.iter_mut().zip(&self.weights) {
                    lane[row] = match self.weighing {
                        Weighing::Idf if lane[row] > 0.0 => *weight,
                        Weighing::Idf => 0.0,
                        _ => lane[row] * weight,
                    };
                }
            }
        }
    }
}
