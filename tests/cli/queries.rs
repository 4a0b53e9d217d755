//! Queries: subqueries and names of columns that are answered, and what is said of what is not.

use crate::folder::Folder;

fn project() -> Folder {
    let folder = Folder::empty();
    let sql = "CREATE STREAM orders (id BIGINT, user_id BIGINT, amount DOUBLE, at TIMESTAMP,\n  \
               WATERMARK FOR at AS at - INTERVAL '1' SECOND) HISTORY FILES 'orders.csv';\n\
               CREATE STREAM refunds (id BIGINT, order_id BIGINT, at TIMESTAMP,\n  \
               WATERMARK FOR at AS at - INTERVAL '1' SECOND) HISTORY FILES 'refunds.csv';\n\
               INSERT INTO lake.big SELECT user_id FROM orders WHERE amount > 20;\n";
    folder.write("pipelines/all.sql", sql);
    folder.write(
        "orders.csv",
        "id,user_id,amount,at\n1,7,10,2026-01-01 00:00:01\n2,8,20,2026-01-01 00:00:02\n3,7,30,2026-01-01 00:00:03\n4,,40,2026-01-01 00:00:04\n",
    );
    folder.write("refunds.csv", "id,order_id,at\n1,3,2026-01-01 00:00:05\n2,,2026-01-01 00:00:06\n");
    folder
}

#[test]
fn subqueries_that_name_nothing_around_them_are_answered_once() {
    let folder = project();
    folder.done(&["run"]);
    let rows = [
        ("SELECT id FROM orders WHERE amount > (SELECT avg(amount) FROM orders)", "3 4"),
        ("SELECT id FROM orders WHERE id IN (SELECT order_id FROM refunds)", "3"),
        ("SELECT id FROM orders WHERE id NOT IN (SELECT order_id FROM refunds)", ""),
        ("SELECT id FROM orders WHERE id NOT IN (SELECT order_id FROM refunds WHERE order_id > 0)", "1 2 4"),
        ("SELECT id FROM orders WHERE user_id IN (SELECT user_id FROM lake.big)", "1 3"),
        ("SELECT id FROM orders WHERE EXISTS (SELECT 1 FROM refunds WHERE order_id = 3) AND amount < 25", "1 2"),
        ("SELECT id FROM orders WHERE amount < 25 AND NOT EXISTS (SELECT 1 FROM refunds WHERE order_id = 9)", "1 2"),
        ("SELECT id - (SELECT max(order_id) FROM refunds) AS n FROM orders", "-2 -1 0 1"),
        ("SELECT count(*) AS n FROM orders GROUP BY user_id HAVING count(*) > (SELECT min(id) FROM refunds)", "2"),
        ("SELECT user_id FROM orders GROUP BY user_id HAVING count(*) IN (SELECT id FROM refunds WHERE id > 1)", "7"),
        ("SELECT sum(amount - (SELECT min(amount) FROM orders)) AS n FROM orders", "60.0"),
        ("SELECT id % 2 AS c, count(*) AS n FROM orders GROUP BY ALL HAVING c IS NOT NULL ORDER BY c", "0,2 1,2"),
        (
            "SELECT id FROM lake.big b JOIN orders o USING (user_id) WHERE amount = (SELECT max(amount) FROM orders WHERE user_id = 7)",
            "3",
        ),
        ("WITH big AS (SELECT id FROM orders WHERE amount >= 30) SELECT id FROM orders WHERE id IN (FROM big)", "3 4"),
        ("SELECT id FROM orders WHERE _time > (SELECT min(at) FROM orders) AND NOT _late", "2 3 4"),
        ("SELECT id, (SELECT order_id FROM refunds WHERE id = 99) IS NULL AS n FROM orders WHERE id = 1", "1,true"),
        (
            "SELECT id + (SELECT max(order_id) FROM refunds) AS n, 2 * id IN (SELECT id FROM orders) AS m FROM orders WHERE id < 3",
            "4,true 5,true",
        ),
        // Those that look back from each row stay what they are in a view, also beside the others.
        (
            "SELECT id FROM orders o WHERE EXISTS (SELECT 1 FROM refunds r WHERE r.order_id = o.id AND r.at BETWEEN o.at AND o.at + INTERVAL '1' DAY) AND id IN (SELECT id FROM orders)",
            "3",
        ),
    ];
    for (query, expected) in rows {
        let ran = folder.done(&["query", query, "--csv"]);
        let rows: Vec<&str> = ran.out.lines().skip(1).collect();
        assert_eq!(rows.join(" "), expected, "{query}");
    }
}

#[test]
fn what_is_not_answered_is_refused_with_its_own_reason() {
    let folder = project();
    folder.done(&["run"]);
    let wrong = [
        (
            "SELECT id FROM orders o WHERE id IN (SELECT order_id FROM refunds r WHERE r.at > o.at)",
            "IN with a subquery that names columns of the query around it",
        ),
        (
            "SELECT o.id FROM orders o JOIN refunds r ON r.id = (SELECT min(id) FROM refunds)",
            "a subquery in ON is not supported",
        ),
        ("SELECT id FROM orders WHERE id = ANY (SELECT id FROM refunds)", "write IN or NOT IN"),
        ("SELECT id FROM orders WHERE id", "a condition must be true or false"),
        ("SELECT count(*) FILTER (WHERE 1) AS n FROM orders", "a FILTER is true or false"),
        ("SELECT count(*) AS n FROM orders HAVING count(*)", "a condition must be true or false"),
        ("SELECT sum(id::DECIMAL(9,2)) AS n FROM orders", "cast it: sum(CAST("),
        ("SELECT sum(amount) AS s FROM orders WHERE s > 1", "an aggregate"),
        ("SELECT v AS w, id AS v FROM orders", "no column is named \"v\""),
        ("SELECT count(*) AS n FROM orders GROUP BY -1", "GROUP BY with a literal is the number of a column"),
        ("SELECT count(*) AS n FROM orders GROUP BY 2", "GROUP BY with a literal is the number of a column"),
        ("SELECT id FROM orders WHERE id IN ((SELECT id FROM orders), 1)", "has several rows: add LIMIT 1"),
        ("SELECT o.id FROM orders o, refunds r WHERE 1 // (o.id - 2) > 5 AND o.id = r.order_id", "division by zero"),
        ("SELECT predict(spam) FROM lake.big", "a model scores the rows of streams and views, as they come"),
        ("SELECT user_id, sum(amount) AS total FROM orders GROUP BY user_id ORDER BY totl", "did you mean \"total\"?"),
        (
            "SELECT user_id, sum(amount) AS total FROM orders GROUP BY user_id HAVING totl > 1",
            "did you mean \"total\"?",
        ),
        ("SELECT count(*) AS n FROM orders GROUP BY usr_id", "one of amount, at, id, n, user_id"),
        ("SELECT id FROM orders WHERE id = (SELECT order_id FROM refunds)", "has several rows: add LIMIT 1"),
        ("SELECT id FROM orders WHERE id IN (SELECT id, order_id FROM refunds)", "a subquery gives one column here"),
        ("SELECT id FROM orders WHERE id IN (SELECT ordr_id FROM refunds)", "did you mean \"order_id\"?"),
        ("SELECT id FROM orders WHERE id IN (SELECT at FROM refunds)", "cannot be compared with those of the subquery"),
        (
            "SELECT user_id FROM lake.big b WHERE EXISTS (SELECT 1 FROM orders o WHERE o.user_id = b.user_id)",
            "a subquery that names columns of the query around it",
        ),
        (
            "SELECT count(*) OVER (PARTITION BY user_id ORDER BY at RANGE INTERVAL '1' DAY PRECEDING) AS n FROM orders WHERE id IN (SELECT id FROM refunds)",
            "write the window in a SELECT over a stream or a view, inside FROM",
        ),
    ];
    for (query, expected) in wrong {
        let ran = folder.run(&["query", query]);
        assert!(ran.code == 1 && ran.err.contains(expected), "{query}\n{}", ran.err);
    }
}

#[test]
fn names_for_columns_are_taken_in_from_and_with() {
    let folder = project();
    folder
        .write("pipelines/more.sql", "CREATE VIEW named AS SELECT a, b FROM orders AS o(a, b) WHERE o.amount > 15;\n");
    for query in [
        "SELECT a, b FROM orders AS o(a, b) WHERE amount > 15",
        "WITH w(a, b) AS (SELECT id, user_id FROM orders WHERE amount > 15) FROM w",
        "SELECT * FROM (SELECT id, user_id FROM orders WHERE amount > 15) AS t(a, b)",
        "FROM named",
    ] {
        let ran = folder.done(&["query", query, "--csv"]);
        assert_eq!(ran.out, "a,b\n2,8\n3,7\n4,\n", "{query}");
    }
    let ran = folder.run(&["query", "SELECT id FROM (SELECT id FROM orders) AS t(a)"]);
    assert!(ran.code == 1 && ran.err.contains("no column is named \"id\""), "{}", ran.err);
    let ran = folder.run(&["query", "FROM (SELECT id FROM orders) AS t(a, b)"]);
    assert!(ran.code == 1 && ran.err.contains("\"t\" names more columns than there are"), "{}", ran.err);
}

#[test]
fn a_clause_that_would_change_the_rows_is_never_passed_over() {
    let folder = project();
    for (query, expected) in [
        ("SELECT id FROM orders TABLESAMPLE 10 PERCENT", "FROM takes a name, and TABLESAMPLE after it"),
        ("SELECT id FROM orders o TABLESAMPLE SYSTEM (1)", "FROM takes a name, and TABLESAMPLE after it"),
        ("SELECT id FROM (SELECT id FROM orders) o TABLESAMPLE 10 PERCENT", "error: "),
        ("SELECT id FROM orders WITH ORDINALITY", "WITH ORDINALITY after it is not supported"),
        ("SELECT id FROM orders WITH (NOLOCK)", "hints after it is not supported"),
        ("SELECT id FROM orders CLUSTER BY id", "CLUSTER BY"),
        ("SELECT id FROM orders DISTRIBUTE BY id", "DISTRIBUTE BY"),
    ] {
        let ran = folder.run(&["query", query]);
        assert!(ran.code == 1 && ran.err.contains(expected), "{query}\n{}{}", ran.out, ran.err);
        folder.write("pipelines/wrong.sql", &format!("CREATE VIEW wrong AS {query};\n"));
        let ran = folder.run(&["check"]);
        assert!(ran.code == 1 && ran.err.contains(expected), "{query}\n{}{}", ran.out, ran.err);
    }
}

#[test]
fn rows_are_written_to_no_file_that_something_else_is() {
    let folder = project();
    folder.replace("pipelines/all.sql", "'orders.csv'", "'data/*.parquet'");
    let query = |out: &str| folder.run(&["query", "SELECT id FROM refunds", "--out", out]);
    folder.write("x", "");
    std::fs::create_dir(folder.path().join("data")).expect("a folder can be made");
    assert_eq!(query("orders.parquet").code, 0);
    std::fs::rename(folder.path().join("orders.parquet"), folder.path().join("data/a.parquet"))
        .expect("it can be moved");
    folder.write("warehouse/x", "");
    let link =
        |to: &str, name: &str| std::os::unix::fs::symlink(to, folder.path().join(name)).expect("a link can be made");
    link("data/a.parquet", "link.parquet");
    link("nowhere.parquet", "dangling.parquet");
    let fifo = folder.path().join("fifo.parquet");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().is_ok_and(|made| made.success()));
    let before = std::fs::read(folder.path().join("data/a.parquet")).expect("it is there");
    for (out, why) in [
        ("refunds.csv", "expected a name ending in .parquet"),
        ("data/a.parquet", "stream \"orders\" reads it as one of \"data/*.parquet\""),
        ("data/new.parquet", "stream \"orders\" reads it as one of \"data/*.parquet\""),
        ("link.parquet", "stream \"orders\" reads it as one of \"data/*.parquet\""),
        ("dangling.parquet", "a link to what is not there"),
        ("fifo.parquet", "no regular file"),
        ("data", "expected a name ending in .parquet"),
        ("none/a.parquet", "folder \"none\" does not exist"),
        ("warehouse/a.parquet", "the tables of the project lie there"),
    ] {
        let ran = query(out);
        assert!(ran.code == 1 && ran.err.contains(why), "{out}: {}", ran.err);
    }
    assert_eq!(std::fs::read(folder.path().join("data/a.parquet")).expect("it is there"), before);
    link("real.parquet", "to.parquet");
    folder.write("real.parquet", "");
    assert_eq!(query("to.parquet").code, 0);
    let is_link = folder.path().join("to.parquet").is_symlink();
    assert!(is_link && std::fs::metadata(folder.path().join("real.parquet")).is_ok_and(|file| file.len() > 0));
    let ran = folder.run(&["query", "SELECT id FROM refunds", "--csv", "--out", "b.parquet"]);
    assert!(ran.code == 2 && ran.err.contains("cannot be used with"), "{}", ran.err);
}

#[test]
fn an_instant_is_written_as_a_timestamp_is() {
    let folder = project();
    for (from, rows) in [
        ("2026-01-01 00:00:02.5", "3 4"),
        ("2026-01-01T02:00:02.5+02:00", "3 4"),
        ("12026-01-01", ""),
        ("2026-01-01", "1 2 3 4"),
    ] {
        let ran = folder.done(&["query", "SELECT id FROM orders", "--csv", "--from", from]);
        assert_eq!(ran.out.lines().skip(1).collect::<Vec<_>>().join(" "), rows, "{from}");
    }
}

#[test]
fn queries_in_from_need_no_name() {
    let folder = project();
    for (query, expected) in [
        ("SELECT count(*) AS n FROM (SELECT DISTINCT user_id FROM orders)", "n\n3\n"),
        ("SELECT id FROM (SELECT id, amount FROM orders WHERE amount > 15) WHERE amount < 35", "id\n2\n3\n"),
        (
            "SELECT unnamed_subquery.id FROM (SELECT id FROM orders) JOIN refunds r ON r.order_id = unnamed_subquery.id",
            "id\n3\n",
        ),
    ] {
        assert_eq!(folder.done(&["query", query, "--csv"]).out, expected, "{query}");
    }
    let two = "SELECT count(*) AS n FROM (SELECT id FROM orders) JOIN (SELECT id FROM refunds) USING (id)";
    assert_eq!(folder.done(&["query", two, "--csv"]).out, "n\n2\n");
    folder
        .write("pipelines/more.sql", "CREATE VIEW few AS SELECT id FROM (SELECT id FROM orders WHERE amount > 25);\n");
    assert_eq!(folder.done(&["query", "FROM few", "--csv"]).out, "id\n3\n4\n");
}

#[test]
fn beside_a_text_everything_is_a_text_in_a_union() {
    let folder = project();
    for (query, expected) in [
        ("SELECT 'a' AS t FROM orders UNION SELECT user_id FROM orders ORDER BY t", "t\n7\n8\na\n\n"),
        (
            "SELECT at AS t FROM refunds UNION ALL SELECT 'x' FROM refunds ORDER BY t",
            "t\n2026-01-01 00:00:05\n2026-01-01 00:00:06\nx\nx\n",
        ),
        ("SELECT NULL AS t FROM refunds UNION SELECT 'x' FROM refunds ORDER BY t", "t\nx\n\n"),
        ("SELECT amount > 15 AS t FROM orders UNION SELECT 'x' FROM orders ORDER BY t", "t\nfalse\ntrue\nx\n"),
    ] {
        assert_eq!(folder.done(&["query", query, "--csv"]).out, expected, "{query}");
    }
    let ran = folder.run(&["query", "SELECT id, at FROM orders UNION ALL SELECT id, order_id FROM refunds"]);
    let parts =
        [":1:48: error: column \"at\" of a UNION: TIMESTAMP and BIGINT have no type in common", "cast one of them"];
    assert!(ran.code == 1 && parts.iter().all(|part| ran.err.contains(part)), "{}", ran.err);
}

#[test]
fn what_duckdb_refuses_is_refused_at_its_place() {
    let folder = project();
    for (query, place, told, hint) in [
        ("SELECT o.id FROM orders o JOIN refunds r", "refunds r", "this one has no ON or USING", "CROSS JOIN"),
        ("SELECT o.id FROM orders o FULL JOIN refunds r", "refunds r", "this one has no ON or USING", "CROSS JOIN"),
        (
            "SELECT o.id FROM orders o, orders p RIGHT JOIN refunds r",
            "refunds r",
            "this one has no ON or USING",
            "CROSS JOIN",
        ),
        ("SELECT o.id FROM orders o JOIN refunds r USING (amount)", "amount", "on the right side of the join", ""),
        ("SELECT o.id FROM orders o JOIN refunds r USING (order_id)", "order_id", "on the left side of the join", ""),
        ("SELECT id FROM orders FOR UPDATE", "FOR", "are not locked", "leave it out"),
        ("SELECT id FROM orders FETCH FIRST 5 ROWS ONLY", "FETCH", "FETCH is not supported", "LIMIT 10"),
        ("FROM orders; FROM refunds", "FROM refunds", "another statement follows it", "leave out"),
        ("WITH RECURSIVE a AS (FROM orders) FROM a", "RECURSIVE", "WITH RECURSIVE is not supported", ""),
        ("SELECT TOP 5 id FROM orders", "TOP", "TOP is not supported", "LIMIT 10"),
        (
            "SELECT id FROM orders INTERSECT SELECT id FROM refunds",
            "INTERSECT",
            "INTERSECT is not supported",
            "IN (SELECT",
        ),
        ("SELECT id FROM orders UNION SELECT id, at FROM refunds", "UNION", "different numbers of columns", ""),
        ("SELECT DISTINCT ON (user_id) id FROM orders", "user_id", "DISTINCT ON is not supported", "GROUP BY"),
        ("SELECT max(id) FROM orders WHERE max(id) > 1", "max(id) > 1", "an aggregate in WHERE", "HAVING"),
        ("SELECT count(x := user_id) FROM orders", "count", "count takes an argument", ""),
        ("SELECT sum(id LIMIT 1) FROM orders", "sum", "sum takes an argument", ""),
        (
            "SELECT sum(DISTINCT id) OVER (PARTITION BY user_id ORDER BY at RANGE INTERVAL '1' HOUR PRECEDING) FROM orders",
            "sum",
            "sum(DISTINCT ..) is not supported over a frame",
            "with GROUP BY",
        ),
        ("SELECT sum(at) FROM orders", "at)", "sum takes numbers", "epoch"),
        ("SELECT * REPLACE (1 AS id) FROM orders", "* ", "* takes EXCLUDE only", "write the columns out"),
        ("SELECT id 'a' FROM orders", "'a'", "names its column only after AS", "AS \"a\""),
        ("SELECT * EXCLUDE (id, ID) FROM orders", "* ", "EXCLUDE names \"ID\" twice", ""),
        ("WITH a AS (FROM orders), a AS (FROM refunds) FROM a", "a AS (FROM refunds)", "WITH names \"a\" twice", ""),
        ("SELECT id at user_id FROM orders", "user_id", "a , is missing before user_id", "between the items"),
        ("SELECT id, upper('a') lower('b') FROM orders", "lower", "a , is missing before lower", "between the items"),
        ("SELECT id FROM orders GROUP BY id user_id", "user_id", "a , is missing before user_id", "between the items"),
        ("SELECT id FROM orders WHERE id IN (1 2)", "2)", "a , is missing before 2", "between the items"),
        ("SELECT 'a' AS t FROM orders WHERE 'a' GLOB 'a*'", "GLOB", "", "write LIKE"),
        ("SELECT averge(id) FROM orders", "averge", "", "did you mean \"avg\"?"),
        (
            "SELECT averge(id) OVER (PARTITION BY user_id ORDER BY at RANGE INTERVAL '1' HOUR PRECEDING) FROM orders",
            "averge",
            "",
            "did you mean \"avg\"?",
        ),
        (
            "SELECT count(*) OVER w FROM orders WINDOW w AS (PARTITION BY user_id ORDER BY at ROWS 5 PRECEDING)",
            "ROWS",
            "ROWS frames are not supported",
            "lag(x, n)",
        ),
    ] {
        let ran = folder.run(&["query", query]);
        let at = query.find(place).unwrap_or_else(|| panic!("{place} is no part of {query}")) + 1;
        let at = format!("<query>:1:{at}: error: ");
        let is_told = ran.err.starts_with(&at) && ran.err.contains(told) && ran.err.contains(hint);
        assert!(ran.code == 1 && is_told, "{query}\n{}", ran.err);
    }
    for (query, expected) in [
        ("SELECT count(*) AS n FROM orders CROSS JOIN refunds", "n\n8\n"),
        ("SELECT count(*) AS n FROM orders, refunds", "n\n8\n"),
        (
            "SELECT make_timestamp(CAST(avg(epoch_us(at)) AS BIGINT)) AS n FROM orders WHERE id > 2",
            "n\n2026-01-01 00:00:03.5\n",
        ),
        ("SELECT 1_000 + max(id) AS n FROM orders LIMIT 1_0", "n\n1004\n"),
        ("SELECT max(id ORDER BY at) AS n, count(DISTINCT user_id ORDER BY id) AS m FROM orders", "n,m\n4,2\n"),
    ] {
        assert_eq!(folder.done(&["query", query, "--csv"]).out, expected, "{query}");
    }
}
