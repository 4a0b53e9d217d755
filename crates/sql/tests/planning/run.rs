//! Plans run, one step after the other on one worker: rows of a TEST in, rows of its outputs out.

use crate::catalog::Known;
use crate::{folder, source};
use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use dataflow::{
    Batch, Context, EventTime, Input, KeyGroups, NodeKind, Output, Port, Progress, RowOrder, StepContext, concat,
};
use sql::{BoundTest, Checked, ColumnSource, ExpectedRows, SourceFile, Start, Stream, Target, check, parse};
use std::collections::HashMap;

const ROOM: usize = 1 << 16;

/// The rows of each stream, with their times and orders.
fn stream_rows(stream: &Stream, test: &BoundTest) -> Batch {
    let given = test.givens.iter().filter(|(name, _)| *name == stream.name).map(|(_, rows)| rows);
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

/// Runs every node over all rows of its inputs, and gives what came to each table.
fn run(checked: &Checked, test: &BoundTest) -> HashMap<String, Batch> {
    let graph = checked.lower(&Start { after: EventTime::MIN, revision: "test".to_owned() }).unwrap();
    let mut emitted: Vec<Vec<(Port, Batch)>> = Vec::new();
    let mut tables = HashMap::new();
    for node in &graph.nodes {
        let taken = |input: usize| {
            let edge = &node.inputs[input];
            let from: Vec<Batch> = emitted[edge.from]
                .iter()
                .filter(|(port, _)| *port == edge.port)
                .map(|(_, batch)| batch.clone())
                .collect();
            from
        };
        let out = match &node.kind {
            NodeKind::Source(name) => {
                let stream = checked.streams.iter().find(|stream| stream.name == *name).unwrap();
                vec![(Port::MAIN, stream_rows(stream, test))]
            }
            NodeKind::Sink(Output::Table(name)) => {
                tables.insert(name.clone(), concat(&node.schema, &taken(0)).unwrap());
                vec![]
            }
            NodeKind::Sink(_) => vec![],
            NodeKind::Step(make) => {
                let mut operator = make(StepContext { groups: KeyGroups::ALL }).unwrap();
                let mut cx = Context::new(KeyGroups::ALL);
                for input in 0..node.inputs.len() {
                    for batch in taken(input) {
                        cx.set_room(ROOM);
                        assert_eq!(
                            operator.process(Input(input), &batch, &mut cx).unwrap(),
                            Progress::Done,
                            "{}",
                            node.name
                        );
                    }
                }
                loop {
                    cx.set_room(ROOM);
                    if operator.advance(EventTime::MAX, &mut cx).unwrap() == Progress::Done {
                        break cx.take_emitted();
                    }
                }
            }
        };
        emitted.push(out);
    }
    tables
}

/// Checks what the first test of a text expects; gives the rows of its outputs.
fn run_test(file: SourceFile) -> HashMap<String, Batch> {
    let statements = parse(&[file]).unwrap_or_else(|wrong| panic!("{}", wrong[0]));
    let test = &statements.tests()[0];
    let target = Target::Collect(test.targets());
    let checked = check(&statements, &Known, &target).unwrap_or_else(|wrong| panic!("{}", wrong[0]));
    let bound = checked.bind_test(test).unwrap_or_else(|wrong| panic!("{}", wrong[0]));
    let tables = run(&checked, &bound);
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

fn texts(rows: &RecordBatch) -> Vec<String> {
    let value = |column: &ArrayRef, row| arrow::util::display::array_value_to_string(column, row).unwrap();
    (0..rows.num_rows())
        .map(|row| rows.columns().iter().map(|column| value(column, row)).collect::<Vec<_>>().join("|"))
        .collect()
}

#[test]
fn the_example_decides_as_its_test_says() {
    let tables = run_test(source(&folder().join("plans/dm_spam.sql")));
    let features = &tables["sender_features"];
    let last = features.column(5).as_primitive::<Int64Type>().value(60);
    assert_eq!((features.rows(), last), (61, 61));
    assert_eq!(tables["dm_spam"].rows(), 1, "ONCE PER leaves one action");
}

#[test]
fn views_answer_as_written() {
    let different = crate::files(&folder().join("answers"), ".sql");
    assert!(!different.is_empty());
    for path in different {
        run_test(source(&path));
    }
}
