//! The admin port's four layers stand apart: the table of routes, what is put round them, handlers, and operations.
//!
//! Which statements operations run, and that nobody else does, is held elsewhere: no room but `postgres` names the driver.

use crate::{
    layers::is_test,
    scan::Rust,
    tree::{Finding, Tree, clean, line_at},
};

const TABLE: &str = "src/admin/routes.rs";

/// Handlers and middleware in the table, and layers that are put round routes elsewhere than there.
fn mixed(tree: &Tree) -> Vec<Finding> {
    let of_the_port = tree.files.iter().filter(|file| file.path.starts_with("src/admin"));
    let mut findings = Vec::new();
    for file in of_the_port.filter(|file| file.path.ends_with(".rs") && !is_test(&file.path)) {
        let (word, say) = if file.path == TABLE {
            ("async fn ", "the table of routes answers nothing: this has a room of its own")
        } else {
            ("from_fn", "layers are put round routes in the table of routes alone")
        };
        let rust = Rust::of(&file.text).without_tests();
        for (at, _) in rust.code.match_indices(word) {
            findings.push(Finding::new(&file.path, line_at(&file.text, at), say));
        }
    }
    findings
}

#[test]
fn routes_middleware_and_handlers_of_the_port_stand_apart() {
    clean(&mixed(&Tree::of_the_repository()));
}

#[cfg(test)]
mod tests {
    use super::{TABLE, Tree, mixed};

    #[test]
    fn what_stands_in_the_wrong_room_is_found() {
        let found = |path: &str, text: &str| mixed(&Tree::made_of(&[(path, text)])).len();
        assert_eq!(found(TABLE, "async fn version() {}"), 1);
        assert_eq!(found(TABLE, "fn table() { layer(middleware::from_fn(observe)) }"), 0);
        assert_eq!(found("src/admin/api/jobs.rs", "async fn list() {}"), 0);
        assert_eq!(found("src/admin/api/jobs.rs", "fn f() { layer(middleware::from_fn(g)) }"), 1);
        assert_eq!(found("src/daemon.rs", "fn f() { layer(middleware::from_fn(g)) }"), 0);
    }
}
