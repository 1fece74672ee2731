//! Seeded bugs stay where they are meant to: in one list, behind one cfg, out of what is shipped.
//!
//! That nothing names them without the cfg the compiler sees to, since their room doesn't exist then.

use crate::{
    scan::Rust,
    tree::{Finding, Tree, clean},
};

const LIST: &str = "src/seeded.rs";
const CFG: &str = "legwork_seeded_bugs";

/// Who may set the cfg: the one script that `make chaos` builds with.
const WRAPPER: &str = "scripts/with-seeded-bugs.sh";

/// What sets a cfg, put together so that this file doesn't carry it.
const SETS: &str = concat!("--cfg", " ");

/// The variants of the enum.
fn bugs(tree: &Tree) -> Vec<String> {
    let code = Rust::of(tree.text(LIST).unwrap_or_default()).code;
    let list = code.split_once("pub enum Bug {").and_then(|(_, rest)| rest.split_once('}'));
    let list = list.map_or("", |(list, _)| list);
    list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn misplaced(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let library = tree.text("src/lib.rs").unwrap_or_default();
    if !library.contains(&format!("#[cfg({CFG})]\npub mod seeded;")) {
        findings.push(Finding::new("src/lib.rs", 1, format!("`seeded` is behind cfg({CFG})")));
    }
    for bug in bugs(tree) {
        let name = format!("Bug::{bug}");
        let bites = |path: &str, text: &str| path != LIST && text.contains(&name);
        let places = tree.under("src/", ".rs").filter(|file| bites(&file.path, &file.text)).count();
        if places != 1 {
            let say = format!("{bug} bites in {places} files: a bug is one mistake in one place");
            findings.push(Finding::new(LIST, 1, say));
        }
    }
    let said = |text: &str| text.lines().position(|line| line.contains(SETS) && line.contains(CFG));
    for file in tree.files.iter().filter(|file| file.path != WRAPPER) {
        // Documents may tell of it.
        let line = said(&file.text).filter(|_| !file.path.ends_with(".md"));
        if let Some(line) = line.filter(|_| !file.path.ends_with(".rs")) {
            let say = format!("only {WRAPPER} builds with seeded bugs");
            findings.push(Finding::new(&file.path, line + 1, say));
        }
    }
    findings
}

#[test]
fn seeded_bugs_are_behind_their_cfg_and_bite_in_one_place_each() {
    let tree = Tree::of_the_repository();
    assert!(bugs(&tree).len() >= 5, "{LIST} lists them in `pub enum Bug`");
    clean(&misplaced(&tree));
}

#[cfg(test)]
mod tests {
    use super::{CFG, LIST, SETS, Tree, misplaced};

    #[test]
    fn each_way_out_of_the_list_is_found() {
        let library = format!("#[cfg({CFG})]\npub mod seeded;");
        let list = "pub enum Bug {\n    /// Wrong.\n    Wrong,\n}";
        let wrong = "if seeded::has(Bug::Wrong) {}";
        let build = format!("RUSTFLAGS='{SETS}{CFG}' cargo build");
        let found = |library: &str, second: &str, makefile: &str| {
            let files = [
                ("src/lib.rs", library),
                (LIST, list),
                ("src/a.rs", wrong),
                ("src/b.rs", second),
                ("Makefile", makefile),
            ];
            misplaced(&Tree::made_of(&files)).len()
        };
        assert_eq!(found(&library, "", ""), 0);
        assert_eq!(found("pub mod seeded;", "", ""), 1);
        assert_eq!(found(&library, wrong, ""), 1);
        assert_eq!(found(&library, "", &build), 1);
    }
}
