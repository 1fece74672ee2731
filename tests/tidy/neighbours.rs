//! Tests run side by side on one server, each with a database of its own: who looks for sessions or
//! locks looks for those of its own database, or another test's are taken for what it waits for.

use crate::{
    scan::Rust,
    tree::{File, Finding, Tree, clean, line_at},
};

/// What lists the sessions of every database.
const SHARED: [&str; 2] = ["pg_locks", "pg_stat_activity"];

/// What names a database, or one session.
const OWN: [&str; 4] = ["current_database()", "datname", "pid = {", "pg_backend_pid()"];

/// Tests with a server of their own.
const ALONE: [&str; 2] = ["tests/it/chaos/", "tests/it/installations"];

fn too_wide(file: &File) -> Vec<Finding> {
    let rust = Rust::of(&file.text);
    let of_the_server = rust.literals.iter().filter(|literal| {
        let says = |words: &[&str]| words.iter().any(|word| literal.text.contains(word));
        says(&["SELECT"]) && says(&SHARED) && !says(&OWN)
    });
    let say = "this sees the sessions of other tests: ask for those of `current_database()`";
    of_the_server
        .map(|literal| Finding::new(&file.path, line_at(&file.text, literal.at), say))
        .collect()
}

fn every_too_wide(tree: &Tree) -> Vec<Finding> {
    let beside_others = |file: &&File| !ALONE.iter().any(|own| file.path.starts_with(own));
    tree.under("tests/it/", ".rs").filter(beside_others).flat_map(too_wide).collect()
}

#[test]
fn a_test_looks_only_for_sessions_of_its_own_database() {
    clean(&every_too_wide(&Tree::of_the_repository()));
}

#[test]
fn a_look_at_every_session_of_the_server_is_found() {
    let look = |path: &str, statement: &str| {
        let text = format!("const WAITS: &str = \"{statement}\";");
        every_too_wide(&Tree::made_of(&[(path, &text)])).len()
    };
    let wide = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    assert_eq!(look("tests/it/x.rs", wide), 1);
    assert_eq!(look("tests/it/chaos/x.rs", wide), 0);
    let joined = "SELECT FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid";
    assert_eq!(look("tests/it/x.rs", joined), 1);
    let own = "SELECT FROM pg_stat_activity WHERE datname = current_database()";
    assert_eq!(look("tests/it/x.rs", own), 0);
}
