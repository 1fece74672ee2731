//! A transaction says which invariant it protects, or it can't begin.
//!
//! In `src` there is one way, `postgres::transaction::Whole`, which can't be written down without a
//! reason. Who begins elsewhere (an example, a handler's own transaction) says it in a comment that
//! starts with `// Protects: `, right above. A migration begins nothing: the migrator does.

use crate::{
    layers::is_test,
    scan::Rust,
    tree::{File, Finding, Tree, clean, line_at},
};

/// Where the one way is.
const HOME: &str = "src/postgres/transaction.rs";

/// How a transaction begins in Rust.
const BEGINNINGS: [&str; 3] = [".begin()", ".begin_with(", "Transaction::begin("];

/// Lines above a beginning in which the comment may stand.
const ABOVE: usize = 6;

fn says_why(text: &str, line: usize) -> bool {
    let above = text.lines().skip(line.saturating_sub(1 + ABOVE)).take(ABOVE.min(line - 1));
    above.map(str::trim).any(|line| line.starts_with("// Protects: ") && line.len() > 40)
}

/// A statement that begins a transaction or ends it, and not plpgsql's block.
fn is_boundary(line: &str) -> bool {
    let line = line.trim().trim_end_matches(';').to_uppercase();
    let alone = ["COMMIT", "ROLLBACK", "BEGIN WORK", "BEGIN TRANSACTION"].contains(&line.as_str());
    alone || line.starts_with("START TRANSACTION")
}

fn in_rust(file: &File) -> Vec<Finding> {
    let rust = Rust::of(&file.text).without_tests();
    let calls = BEGINNINGS.iter().flat_map(|call| rust.code.match_indices(call)).map(|(at, _)| at);
    // Only that room can send a statement; elsewhere `commit` is a word, as in a metric's label.
    let sends = !file.path.starts_with("src/") || file.path.starts_with("src/postgres/");
    let sent = rust.literals.iter().filter(|literal| {
        let mut lines = literal.text.lines();
        sends && lines.any(|line| is_boundary(line) || line.trim().starts_with("BEGIN;"))
    });
    let places = calls.chain(sent.map(|literal| literal.at));
    let lines = places.map(|at| line_at(&file.text, at));
    let silent = lines.filter(|line| !says_why(&file.text, *line));
    let say = "a transaction without a reason: make it a `Whole` of postgres/transaction.rs, or say \
               `// Protects: …` above, a sentence about what others would see otherwise";
    silent.map(|line| Finding::new(&file.path, line, say)).collect()
}

fn in_sql(file: &File) -> Vec<Finding> {
    let lines = file.text.lines().zip(1..);
    let boundaries =
        lines.filter(|(line, _)| is_boundary(line) || line.trim().eq_ignore_ascii_case("BEGIN;"));
    let say = "a statement's file begins and ends no transaction: make it a `Whole`";
    boundaries.map(|(_, line)| Finding::new(&file.path, line, say)).collect()
}

fn silent(tree: &Tree) -> Vec<Finding> {
    let places = ["src/", "examples/", "benches/"];
    let rust = places.iter().flat_map(|place| tree.under(place, ".rs"));
    let rust = rust.filter(|file| file.path != HOME && !is_test(&file.path)).flat_map(in_rust);
    let sql = ["src/", "migrations/"].iter().flat_map(|place| tree.under(place, ".sql"));
    rust.chain(sql.flat_map(in_sql)).collect()
}

#[test]
fn every_transaction_names_the_invariant_that_it_protects() {
    clean(&silent(&Tree::of_the_repository()));
}

#[test]
fn a_transaction_without_a_reason_is_found_however_it_begins() {
    let reason = "// Protects: an order and its jobs are there together, or neither is.\n";
    for begin in [
        "let t = pool.begin().await?;",
        "let t = pool.begin_with(\"BEGIN READ ONLY\").await?;",
        "session.send(\"BEGIN; DELETE FROM x; COMMIT\");",
        "session.send(\"START TRANSACTION\");",
    ] {
        assert_eq!(silent(&Tree::made_of(&[("src/postgres/x.rs", begin)])).len(), 1, "{begin}");
        assert_eq!(silent(&Tree::made_of(&[("src/postgres/transaction.rs", begin)])), []);
        assert_eq!(silent(&Tree::made_of(&[("tests/it/x.rs", begin)])), []);
        let short = format!("// Protects: it.\n{begin}");
        assert_eq!(silent(&Tree::made_of(&[("examples/x.rs", &short)])).len(), 1, "{begin}");
        let named = format!("fn f() {{\n{reason}{begin}\n}}");
        assert_eq!(silent(&Tree::made_of(&[("examples/x.rs", &named)])), [], "{begin}");
    }
    let migration = "CREATE TABLE x ();\nCOMMIT;\n";
    assert_eq!(silent(&Tree::made_of(&[("migrations/0007_x.up.sql", migration)])).len(), 1);
    let block = "DO $$\nBEGIN\n    PERFORM 1;\nEND\n$$;\n";
    assert_eq!(silent(&Tree::made_of(&[("migrations/0007_x.up.sql", block)])), []);
}
