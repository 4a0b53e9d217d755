//! Plans run, one step after the other: rows of a TEST in, rows of its outputs out.

use crate::catalog::Known;
use crate::{folder, source};
use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use dataflow::{
    Batch, Context, Edge, EventTime, Exchange, Fates, Input, KeyGroups, MakeOperator, NodeKind, Output, Port, Progress,
    RowOrder, StepContext, concat, key_group, key_hashes,
};
use sql::{BoundTest, CheckedPlan, ColumnSource, ExpectedRows, SourceFile, Start, Stream, Target, check, parse};
use std::collections::HashMap;

const ROOM: usize = 1 << 16;

/// The rows of each stream, with their times and orders.
fn stream_rows(stream: &Stream, test: &BoundTest) -> Batch {
    let given = test.givens.iter().filter(|given| given.stream == stream.name).map(|given| &given.rows);
    let raw = arrow::compute::concat_batches(&stream.raw, given).unwrap();
    let rows = raw.num_rows();
    let orders: Vec<RowOrder> = (0..rows as u128).map(RowOrder).collect();
    let raw = Batch::new(raw, vec![0; rows], orders.clone()).unwrap();
    let mut decoded = raw.columns().columns().iter();
    let columns: Vec<ArrayRef> = stream
        .sources
        .iter()
        .map(|source| match source {
            ColumnSource::Path(_) => decoded.next().unwrap().clone(),
            ColumnSource::Computed(scalar) => scalar.evaluate(&raw).unwrap().values,
        })
        .collect();
    let times = columns[stream.time_column].as_primitive::<TimestampMicrosecondType>().values().to_vec();
    let columns = RecordBatch::try_new(stream.schema.clone(), columns).unwrap();
    Batch::new(columns, times, orders).unwrap().sorted().unwrap()
}

/// What each worker put out, by node.
type Emitted = Vec<Vec<(Port, Batch)>>;

/// The rows that come to a worker along an edge.
fn along(edge: &Edge, from: &Emitted, worker: usize) -> Vec<Batch> {
    let at_port = |of: &[(Port, Batch)]| -> Vec<Batch> {
        of.iter().filter(|(port, _)| *port == edge.port).map(|(_, batch)| batch.clone()).collect()
    };
    let all = || from.iter().flat_map(|of| at_port(of));
    match &edge.exchange {
        Exchange::Forward => at_port(&from[worker]),
        Exchange::Single if worker > 0 => vec![],
        Exchange::Single | Exchange::Broadcast => all().collect(),
        Exchange::Hash(keys) => all()
            .map(|batch| {
                let columns: Vec<ArrayRef> = keys.iter().map(|&key| batch.column(key).clone()).collect();
                let hashes = key_hashes(&columns, batch.rows()).unwrap();
                let mine = |hash: &u64| KeyGroups::worker_of(key_group(*hash), from.len()) == worker;
                let rows: Vec<u32> = (0..).zip(&hashes).filter(|(_, hash)| mine(hash)).map(|(row, _)| row).collect();
                batch.with_key_hashes(keys, hashes).unwrap().take(&rows).unwrap()
            })
            .collect(),
    }
}

/// Runs a step over all rows of its inputs; adds what became of them.
fn step(
    make: &MakeOperator,
    groups: KeyGroups,
    inputs: &[Vec<Batch>],
    (name, fates): (&str, &mut Fates),
) -> Vec<(Port, Batch)> {
    let mut operator = make(StepContext { groups }).unwrap();
    let mut cx = Context::new(groups);
    for (input, batches) in inputs.iter().enumerate() {
        for batch in batches.iter().filter(|batch| batch.rows() > 0) {
            cx.set_room(ROOM, usize::MAX);
            assert_eq!(operator.process(Input(input), batch, &mut cx).unwrap(), Progress::Done, "{name}");
        }
    }
    loop {
        cx.set_room(ROOM, usize::MAX);
        if operator.advance(EventTime::MAX, &mut cx).unwrap() == Progress::Done {
            fates.merge(cx.fates());
            return cx.take_emitted();
        }
    }
}

/// What came to each table, and what became of rows in all steps together.
pub struct Ran {
    pub tables: HashMap<String, Batch>,
    pub fates: Fates,
}

/// Runs every node over all rows of its inputs on some workers.
pub fn run(checked: &CheckedPlan, test: &BoundTest, workers: usize) -> Ran {
    let graph = checked
        .lower(&Start { after: EventTime::MIN, revision: "test".to_owned(), row_text: crate::row_text })
        .unwrap();
    let mut emitted: Vec<Emitted> = Vec::new();
    let (mut tables, mut fates) = (HashMap::new(), Fates::default());
    for node in &graph.nodes {
        let inputs = |worker| -> Vec<Vec<Batch>> {
            node.inputs.iter().map(|edge| along(edge, &emitted[edge.from], worker)).collect()
        };
        let out = (0..workers).map(|worker| match &node.kind {
            NodeKind::Source(name) => {
                let stream = checked.streams.iter().find(|stream| stream.name == *name).unwrap();
                let rows = stream_rows(stream, test);
                let mine: Vec<u32> = (0..rows.rows() as u32).filter(|row| *row as usize % workers == worker).collect();
                vec![(Port::MAIN, rows.take(&mine).unwrap())]
            }
            NodeKind::Sink(_) => inputs(worker).into_iter().flatten().map(|batch| (Port::MAIN, batch)).collect(),
            NodeKind::Step(make) => {
                step(make, KeyGroups::of_worker(worker, workers), &inputs(worker), (&node.name, &mut fates))
            }
        });
        let out: Emitted = out.collect();
        if let NodeKind::Sink(Output::Table(name)) = &node.kind {
            let rows: Vec<Batch> = out.iter().flatten().map(|(_, batch)| batch.clone()).collect();
            tables.insert(name.clone(), concat(&node.schema, &rows).unwrap().sorted().unwrap());
        }
        emitted.push(out);
    }
    Ran { tables, fates }
}

/// Checks what the test of a text expects; gives the rows of its outputs.
fn run_test(file: SourceFile, workers: usize) -> HashMap<String, Batch> {
    let path = file.path.clone();
    let statements = parse(&[file]).unwrap_or_else(|wrong| panic!("{}", wrong[0]));
    let [test] = &statements.tests()[..] else { panic!("{path} has {} tests, expected one", statements.tests().len()) };
    assert!(!test.expects.is_empty(), "{path} expects nothing");
    let target = Target::Collect(test.targets());
    let checked = check(&statements, &Known, &target).unwrap_or_else(|wrong| panic!("{}", wrong[0]));
    let bound = checked.bind_test(test).unwrap_or_else(|wrong| panic!("{}", wrong[0]));
    let tables = run(&checked, &bound, workers).tables;
    for expect in &bound.expects {
        let table = &tables[&expect.target];
        match &expect.rows {
            ExpectedRows::Among { columns, rows } => {
                let (found, wanted) = (texts(&table.columns().project(columns).unwrap()), texts(rows));
                for row in wanted {
                    assert!(found.contains(&row), "line {}: no row {row} among\n{}", expect.line, found.join("\n"));
                }
            }
            ExpectedRows::Exactly { columns, rows } => {
                let (mut found, mut wanted) = (texts(&table.columns().project(columns).unwrap()), texts(rows));
                found.sort();
                wanted.sort();
                assert_eq!(found, wanted, "line {}", expect.line);
            }
            ExpectedRows::None { condition } => {
                let found = match condition {
                    None => table.rows(),
                    Some((condition, _)) => {
                        table.filter(condition.evaluate(table).unwrap().values.as_boolean()).unwrap().rows()
                    }
                };
                assert_eq!(found, 0, "line {}", expect.line);
            }
        }
    }
    tables
}

pub fn texts(rows: &RecordBatch) -> Vec<String> {
    let value = |column: &ArrayRef, row| arrow::util::display::array_value_to_string(column, row).unwrap();
    (0..rows.num_rows())
        .map(|row| rows.columns().iter().map(|column| value(column, row)).collect::<Vec<_>>().join("|"))
        .collect()
}

#[test]
fn the_example_decides_as_its_test_says() {
    for workers in [1, 3] {
        let tables = run_test(source(&folder().join("plans/dm_spam.sql")), workers);
        let features = &tables["sender_features"];
        let last = features.column(5).as_primitive::<Int64Type>().value(60);
        assert_eq!((features.rows(), last), (61, 61));
        assert_eq!(tables["dm_spam"].rows(), 1, "ONCE PER leaves one action");
    }
}

#[test]
fn views_answer_as_written_on_any_number_of_workers() {
    let mut cases = crate::files(&folder().join("answers"), ".sql");
    cases.extend(crate::files(&folder().join("rules"), ".sql"));
    assert!(cases.len() >= 4);
    for path in cases {
        for workers in [1, 2, 5] {
            run_test(source(&path), workers);
        }
    }
}
