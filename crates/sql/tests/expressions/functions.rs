//! The page of the functions is made of their tables, and functions of lists.

use crate::table::{compiled, scope};
use arrow::array::{ArrayRef, AsArray, FixedSizeListArray, Int64Array, ListArray, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use dataflow::{Batch, RowOrder};
use std::path::Path;
use std::sync::Arc;

#[test]
#[allow(clippy::disallowed_methods)]
fn the_page_of_the_functions_is_that_of_the_tables() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sql-functions.md");
    let page = sql::expression::functions_page();
    if std::env::var_os("RIVERRUN_REWRITE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), page, "RIVERRUN_REWRITE=1 writes it anew");
}

#[test]
fn the_length_of_a_list_is_how_many_values_it_has() {
    let list = |of: &[Option<Vec<Option<i64>>>]| ListArray::from_iter_primitive::<Int64Type, _, _>(of.to_vec());
    let lists = list(&[Some(vec![Some(7), None]), None, Some(vec![])]);
    let fixed = FixedSizeListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some([Some(1); 3]), None, None], 3);
    let columns: [(&str, ArrayRef); 3] = [
        ("l", Arc::new(lists)),
        ("f", Arc::new(fixed)),
        ("t", Arc::new(StringArray::from(vec![Some("häuser"), None, Some("")]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let batch = Batch::new(batch, vec![0; 3], (0..3).map(RowOrder).collect()).unwrap();
    let scope = scope(&batch);
    for (expression, expected) in [
        ("length(l)", [Some(2), None, Some(0)]),
        ("len(l)", [Some(2), None, Some(0)]),
        ("array_length(l)", [Some(2), None, Some(0)]),
        ("char_length(f)", [Some(3), None, None]),
        ("length(t)", [Some(6), None, Some(0)]),
    ] {
        let found = compiled(expression, &scope).unwrap().scalar.evaluate(&batch).unwrap();
        assert!(found.failed.is_empty());
        assert_eq!(found.values.as_primitive::<Int64Type>(), &Int64Array::from(expected.to_vec()), "{expression}");
    }
    for (expression, told) in [
        ("array_length(t)", "array_length takes a list"),
        ("strlen(l)", "strlen needs TEXT as argument 1"),
        ("length(1)", "length needs TEXT as argument 1"),
        ("length(l, l)", "length does not take 2 arguments"),
    ] {
        let problem = compiled(expression, &scope).err().unwrap();
        assert!(problem.message.contains(told), "{expression}: {}", problem.message);
    }
}
