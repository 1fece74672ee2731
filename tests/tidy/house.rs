//! How files are cut and named: sizes, heads, module names, and no work put off by a mark.

use crate::tree::{File, Finding, Tree, clean};

const SOURCE_LINES_MAX: usize = 500;
const TEST_LINES_MAX: usize = 800;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 10] =
    ["models", "model", "utils", "util", "helpers", "helper", "types", "common", "manager", "misc"];

/// Marks of unfinished work, put together here so that this file doesn't carry them itself.
const MARKS: [&str; 7] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("#[ig", "nore"),
    concat!("#![ig", "nore"),
];

fn rust_files(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.files.iter().filter(|file| file.path.ends_with(".rs"))
}

fn is_test_file(path: &str) -> bool {
    path.starts_with("tests/") || path.ends_with("/tests.rs") || path.contains("/tests/")
}

fn too_long(tree: &Tree) -> Vec<Finding> {
    let long = |file: &File| {
        let max = if is_test_file(&file.path) { TEST_LINES_MAX } else { SOURCE_LINES_MAX };
        let lines = file.text.lines().count();
        let say = format!("{lines} lines, the limit is {max}: split it by what it does");
        (lines > max).then(|| Finding::new(&file.path, max + 1, say))
    };
    rust_files(tree).filter_map(long).collect()
}

fn headless(tree: &Tree) -> Vec<Finding> {
    let say = "open with `//!`: what it does, why it exists, what it deliberately doesn't";
    let headless = rust_files(tree).filter(|file| !file.text.starts_with("//! "));
    headless.map(|file| Finding::new(&file.path, 1, say)).collect()
}

fn module_files(tree: &Tree) -> Vec<Finding> {
    let say = "write foo.rs beside foo/ in place of foo/mod.rs";
    let named_mod = rust_files(tree).filter(|file| file.path.ends_with("/mod.rs"));
    named_mod.map(|file| Finding::new(&file.path, 1, say)).collect()
}

fn empty_names(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in rust_files(tree) {
        let path = file.path.trim_end_matches(".rs");
        if let Some(name) = path.split('/').find(|part| EMPTY_NAMES.contains(part)) {
            let say = format!("`{name}` says nothing about what is inside: name the behaviour");
            findings.push(Finding::new(&file.path, 1, say));
        }
    }
    findings
}

fn marks(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| !file.path.ends_with(".json")) {
        for (number, line) in file.text.lines().enumerate() {
            if let Some(mark) = MARKS.iter().find(|mark| line.contains(*mark)) {
                let say = format!("`{mark}`: do it now, or leave it out and say so in an ADR");
                findings.push(Finding::new(&file.path, number + 1, say));
            }
        }
    }
    findings
}

#[test]
fn no_file_is_longer_than_its_limit() {
    clean(&too_long(&Tree::of_the_repository()));
}

#[test]
fn every_rust_file_opens_by_saying_what_it_is() {
    clean(&headless(&Tree::of_the_repository()));
}

#[test]
fn no_module_is_named_mod() {
    clean(&module_files(&Tree::of_the_repository()));
}

#[test]
fn no_module_has_a_name_that_says_nothing() {
    clean(&empty_names(&Tree::of_the_repository()));
}

#[test]
fn no_work_is_put_off_by_a_mark() {
    clean(&marks(&Tree::of_the_repository()));
}

#[cfg(test)]
mod tests {
    use super::{MARKS, Tree, empty_names, headless, marks, module_files, too_long};

    #[test]
    fn each_check_finds_what_it_is_for() {
        let long = format!("//! x\n{}", "\n".repeat(500));
        let mark = format!("//! x\n// {} later", MARKS[0]);
        let found = |path: &str, text: &str| {
            let tree = Tree::made_of(&[(path, text)]);
            let checks = [too_long, headless, module_files, empty_names, marks];
            checks.map(|check| check(&tree).len())
        };
        assert_eq!(found("src/a.rs", "//! Fine.\n"), [0, 0, 0, 0, 0]);
        assert_eq!(found("src/a.rs", &long), [1, 0, 0, 0, 0]);
        assert_eq!(found("tests/it/a.rs", &long), [0, 0, 0, 0, 0]);
        assert_eq!(found("src/a.rs", "fn main() {}\n"), [0, 1, 0, 0, 0]);
        assert_eq!(found("src/a/mod.rs", "//! Fine.\n"), [0, 0, 1, 0, 0]);
        assert_eq!(found("src/utils/a.rs", "//! Fine.\n"), [0, 0, 0, 1, 0]);
        assert_eq!(found("docs/a.md", &mark), [0, 0, 0, 0, 1]);
    }
}
