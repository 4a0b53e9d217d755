//! The page of the functions is made of their tables.

use std::path::Path;

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
