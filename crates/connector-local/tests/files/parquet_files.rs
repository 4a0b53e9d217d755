//! Parquet files: bounds of row groups, values of other types, and files that are no Parquet.

use super::*;

#[test]
fn row_groups_of_parquet_files_have_their_own_bounds_and_are_read_alone() {
    let folder = tempfile::tempdir().unwrap();
    let group = |n: &[i64], at: &[Option<i64>]| {
        RecordBatch::try_from_iter_with_nullable([("n", int(n), true), ("at", times(at), true)]).unwrap()
    };
    let groups =
        [group(&[1, 2, 3], &[Some(5), None, Some(1)]), group(&[4], &[None]), group(&[5, 6], &[Some(9), Some(-2)])];
    let file = File::create(folder.path().join("a.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, groups[0].schema(), None).unwrap();
    for rows in &groups {
        writer.write(rows).unwrap();
        writer.flush().unwrap();
    }
    writer.close().unwrap();
    let files = open("a.parquet", folder.path(), &[("n", DataType::Int64), ("at", MICROS)]).unwrap();
    let at = |min, max, nulls| vec![("at".to_owned(), Bounds { min, max, nulls })];
    assert_eq!(files.files()[0].bounds, at(-2, 9, 2));
    // A group without a value has no bounds of its own.
    let expected = [(3, at(1, 5, 1)), (1, vec![]), (2, at(-2, 9, 0))];
    let expected = expected.map(|(rows, bounds)| RowGroup { rows: Some(rows), bounds });
    assert_eq!(files.files()[0].groups, expected);
    let numbers = |range| -> Vec<i64> {
        let batches = files.open(0, range, &["n".to_owned()], 2).unwrap().map(Result::unwrap);
        batches.flat_map(|rows| rows.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    };
    assert_eq!(numbers(0..1), [1, 2, 3]);
    assert_eq!(numbers(1..2), [4]);
    assert_eq!(numbers(1..3), [4, 5, 6]);
    assert_eq!(numbers(0..3), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn parquet_files_with_timestamps_of_any_unit_and_zone() {
    let folder = tempfile::tempdir().unwrap();
    let milliseconds = TimestampMillisecondArray::from(vec![Some(5), None, Some(-7)]).with_timezone("+02:00");
    write_rows(folder.path(), "a.parquet", vec![("at", Arc::new(milliseconds)), ("n", int(&[1, 2, 3]))]);
    let nanoseconds = TimestampNanosecondArray::from(vec![1_999, 9_000]);
    write_rows(folder.path(), "b.parquet", vec![("n", int(&[4, 5])), ("at", Arc::new(nanoseconds))]);
    write(folder.path(), "ignored.txt", "");
    assert_eq!(inferred("*.parquet", folder.path()).unwrap(), names(&[("at", MICROS), ("n", DataType::Int64)]));
    let files = open("*.parquet", folder.path(), &[("at", MICROS), ("n", DataType::Int64)]).unwrap();
    assert_eq!(files.files().iter().map(|file| file.rows).collect::<Vec<_>>(), [3, 2]);
    assert!(files.files()[0].path.ends_with("a.parquet") && files.files()[0].bytes > 0);
    assert_eq!(files.files()[0].bounds, [("at".to_owned(), Bounds { min: -7000, max: 5000, nulls: 1 })]);
    assert_eq!(files.files()[1].bounds, [("at".to_owned(), Bounds { min: 2, max: 9, nulls: 0 })]);
    let rows = all(&files, 0, &["n", "at"]);
    assert_eq!(rows.columns(), [int(&[1, 2, 3]), times(&[Some(5000), None, Some(-7000)])]);
    assert_eq!(all(&files, 1, &["at"]).columns(), [times(&[Some(2), Some(9)])]);
    assert_eq!(files.name(), "*.parquet");
    assert!(files.open(0, 0..1, &["nothing".to_owned()], 10).is_err());
}

#[test]
fn values_of_parquet_files_that_are_none_of_their_type() {
    let folder = tempfile::tempdir().unwrap();
    write_rows(folder.path(), "a.parquet", vec![("N", int(&[1, i64::MAX])), ("x", int(&[3, 4]))]);
    let files = open("a.parquet", folder.path(), &[("n", DataType::Int32)]).unwrap();
    let rows = all(&files, 0, &["x", "n", "_error", "_raw"]);
    assert_eq!((rows.column(0), texts(&rows, "n")), (&int(&[3, 4]), vec!["1".to_owned(), "-".to_owned()]));
    assert_eq!(texts(&rows, "_error"), ["-", "column \"n\" is 9223372036854775807, expected INTEGER"]);
    write_rows(folder.path(), "c.parquet", vec![("n", times(&[Some(1)]))]);
    let refused = failed(open("c.parquet", folder.path(), &[("n", DataType::Boolean)]));
    assert!(refused.ends_with("column \"n\" is TIMESTAMP, which cannot become the declared BOOLEAN"), "{refused}");
    let refused = failed(open("a.parquet", folder.path(), &[("n", MICROS)]));
    assert!(refused.contains("\"N\" is BIGINT") && refused.contains("`TIMESTAMP AS epoch_ms(x)`"), "{refused}");
    write_rows(folder.path(), "d.parquet", vec![("n", int(&[1])), ("N", int(&[2]))]);
    assert_eq!(
        texts(&all(&open("d.parquet", folder.path(), &[("N", DataType::Int64)]).unwrap(), 0, &["N"]), "N"),
        ["2"]
    );
    write_rows(folder.path(), "d.parquet", vec![("NAME", int(&[1])), ("Name", int(&[2]))]);
    let message = failed(open("d.parquet", folder.path(), &[("name", DataType::Int64)]));
    assert!(message.contains("columns \"NAME\" and \"Name\" of"), "{message}");
}

#[test]
fn parquet_files_that_differ_or_are_damaged() {
    let folder = tempfile::tempdir().unwrap();
    write_rows(folder.path(), "a.parquet", vec![("n", int(&[1])), ("x", int(&[1]))]);
    write_rows(folder.path(), "b.parquet", vec![("m", int(&[7])), ("n", Arc::new(Int32Array::from(vec![2])))]);
    write_rows(
        folder.path(),
        "c.parquet",
        vec![("n", Arc::new(NullArray::new(1))), ("x", Arc::new(Float64Array::from(vec![0.5])))],
    );
    let all_of = [("n", DataType::Int64), ("x", DataType::Float64), ("m", DataType::Int64)];
    assert_eq!(inferred("*.parquet", folder.path()).unwrap(), names(&all_of));
    let files = open("*.parquet", folder.path(), &all_of).unwrap();
    let given = [0, 1, 2].map(|file| {
        let rows = all(&files, file, &["n", "x", "m", "_error"]);
        ["n", "x", "m", "_error"].map(|name| texts(&rows, name).remove(0)).join(" ")
    });
    assert_eq!(given, ["1 1.0 - -", "2 - 7 -", "- 0.5 - -"]);
    write_rows(folder.path(), "b.parquet", vec![("n", Arc::new(StringArray::from(vec!["x"])))]);
    let message = failed(inferred("*.parquet", folder.path()));
    assert!(message.ends_with("column \"n\" is BIGINT in the first, TEXT in the second; declare it"), "{message}");
    write(folder.path(), "b.parquet", "PAR1 nonsense");
    let message = failed(open("*.parquet", folder.path(), &[]));
    assert!(message.contains("b.parquet\" is not a Parquet file, or its footer is damaged"), "{message}");
    let path = folder.path().join("a.parquet");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4..30].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let files = open("a.parquet", folder.path(), &[("n", DataType::Int64)]).unwrap();
    let error = error(files.open(0, 0..1, &["n".to_owned()], 10));
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().ends_with("a.parquet\": row group 0 cannot be read"), "{error}");
}

#[test]
fn a_parquet_file_that_could_not_be_finished_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.parquet");
    let schema = Arc::new(Schema::new(vec![arrow::datatypes::Field::new("n", DataType::Int64, true)]));
    let good = RecordBatch::try_new(schema.clone(), vec![int(&[1])]).unwrap();
    let batches = vec![Ok(good.clone()), Err(dataflow::Error::data("a bad row"))];
    let error = write_parquet(&path, schema.clone(), Box::new(batches.into_iter())).unwrap_err();
    assert_eq!(error.to_string(), "a bad row");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert_eq!(write_parquet(&path, schema, Box::new(vec![Ok(good.clone()), Ok(good)].into_iter())).unwrap(), 2);
    assert_eq!(open("out.parquet", folder.path(), &[]).unwrap().files()[0].rows, 2);
}

#[test]
fn rows_of_any_size_are_read_in_batches_that_are_bounded_in_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let wide = |letter: &str| letter.repeat(100_000);
    let (different, same): (ArrayRef, ArrayRef) = (
        Arc::new((0..1_000).map(|n| Some(format!("{n:04}{}", wide("x")))).collect::<StringArray>()),
        // One text in a dictionary, as wide in every row.
        Arc::new((0..1_000).map(|_| Some(wide("y"))).collect::<StringArray>()),
    );
    let numbers: Vec<i64> = (0..1_000).collect();
    write_rows(folder.path(), "wide.parquet", vec![("n", int(&numbers)), ("a", different), ("b", same)]);
    let files =
        open("wide.parquet", folder.path(), &[("n", DataType::Int64), ("a", DataType::Utf8), ("b", DataType::Utf8)]);
    let files = files.unwrap();
    for (column, least) in [("n", 1), ("a", 8), ("b", 8)] {
        let (mut seen, mut batches) = (0, 0);
        for rows in files.open(0, 0..1, &["n".to_owned(), column.to_owned()], 8_192).unwrap() {
            let rows = rows.unwrap();
            for (at, n) in rows.column(0).as_primitive::<Int64Type>().values().iter().enumerate() {
                assert_eq!(*n, (seen + at) as i64);
            }
            seen += rows.num_rows();
            batches += 1;
        }
        assert_eq!(seen, 1_000);
        assert!(batches >= least, "{column}: {batches} batches of 100 MB");
    }
}
