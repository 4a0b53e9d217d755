//! Columns that nothing declares.

use super::*;

#[test]
fn fields_whose_names_are_values_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let object = |fields: usize| (0..fields).map(|n| format!("\"u{n}\":{n}")).collect::<Vec<_>>().join(",");
    write(folder.path(), "a.jsonl", &format!("{{{}}}\n", object(5_000)));
    assert_eq!(inferred("a.jsonl", folder.path()).unwrap().len(), 5_000);
    write(folder.path(), "b.jsonl", &format!("{{\"id\":1}}\n{{\"counts\":{{{}}}}}\n", object(20_000)));
    let told = inferred("b.jsonl", folder.path()).unwrap_err().to_string();
    assert!(told.contains("more than 5000 fields") && told.contains("declare the columns"), "{told}");
    let header: Vec<String> = (0..5_001).map(|n| format!("u{n}")).collect();
    write(folder.path(), "c.csv", &format!("{}\n", header.join(",")));
    let told = inferred("c.csv", folder.path()).unwrap_err().to_string();
    assert!(told.contains("\"u5000\", and with it more than 5000 fields"), "{told}");
}
