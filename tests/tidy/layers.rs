//! Which room may name which, as `ARCHITECTURE.md` says it.
//!
//! The page is the source and this the reader, so that map and walls can't drift apart. Tests inside
//! a room are held to the same table: a room that needs a database to be tested sits too low.

use crate::{
    scan::{Rust, is_name},
    tree::{File, Finding, Tree, clean, line_at},
};
use std::collections::BTreeMap;

const PAGE: &str = "ARCHITECTURE.md";

/// One row of the layer table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Room {
    layer: u8,
    layers: Vec<u8>,
    rooms: Vec<String>,
}

/// The cells of each row of the table whose header begins with these two.
pub(crate) fn rows<'a>(page: &'a str, first: &str, second: &str) -> Vec<Vec<&'a str>> {
    let cells = |line: &'a str| -> Vec<&'a str> {
        line.trim().trim_matches('|').split(" | ").map(str::trim).collect()
    };
    page.lines()
        .skip_while(|line| {
            let head = cells(line);
            head.first() != Some(&first) || head.get(1) != Some(&second)
        })
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(cells)
        .collect()
}

/// The words between backticks.
pub(crate) fn ticked(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn table(page: &str) -> BTreeMap<String, Room> {
    let room = |row: &Vec<&str>| {
        let [name, layer, may] = row[..] else {
            panic!("{PAGE}: {row:?} isn't room, layer, imports")
        };
        let layers = may.split(", ").filter_map(|part| part.parse().ok()).collect();
        let layer = layer.parse().unwrap_or_else(|_| panic!("{PAGE}: {layer} isn't a layer"));
        (ticked(name).remove(0), Room { layer, layers, rooms: ticked(may) })
    };
    rows(page, "room", "layer").iter().map(room).collect()
}

fn room_of(path: &str) -> Option<&str> {
    let name = path.strip_prefix("src/")?.split('/').next()?.trim_end_matches(".rs");
    (name != "lib").then_some(name)
}

/// The rooms that a text names by `crate::`, `legwork::` or enough `super::`, with the place.
fn named(file: &File) -> Vec<(usize, String)> {
    let code = Rust::of(&file.text).code;
    let depth = file.path.matches('/').count();
    let up = "super::".repeat(depth);
    let mut found = Vec::new();
    for root in ["crate::", "legwork::", up.as_str()] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if !before.is_some_and(|last| is_name(last) || last == ':') {
                let names = first_names(&code[at + root.len()..]);
                found.extend(names.into_iter().map(|name| (at, name)));
            }
        }
    }
    found
}

/// `a::b` names a; `{a::b, c::{d, e}}` names a and c.
fn first_names(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else {
        return vec![rest.chars().take_while(|c| is_name(*c)).collect()];
    };
    let (mut depth, mut names, mut fresh) = (0_usize, Vec::new(), true);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if fresh && is_name(c) => {
                names.extend(first_names(&group[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    names
}

fn crossings(tree: &Tree) -> Vec<Finding> {
    let rooms = table(tree.text(PAGE).unwrap_or_default());
    let mut findings = Vec::new();
    for file in tree.under("src/", ".rs") {
        let Some(own) = room_of(&file.path) else { continue };
        let Some(room) = rooms.get(own) else {
            let say = format!("`{own}` has no row in {PAGE}'s layer table: give it one");
            findings.push(Finding::new(&file.path, 1, say));
            continue;
        };
        for (at, name) in named(file) {
            let Some(other) = rooms.get(&name) else { continue };
            let allowed = room.layers.contains(&other.layer) || room.rooms.contains(&name);
            if name != own && !allowed {
                let say = format!(
                    "`{own}` (layer {}) names `{name}` (layer {}): turn the arrow round with a trait \
                     declared in `{own}`, or change the table in {PAGE}",
                    room.layer, other.layer
                );
                findings.push(Finding::new(&file.path, line_at(&file.text, at), say));
            }
        }
    }
    findings
}

/// Crates with a home: `a`, `b` means only there; "every room but `a`" the opposite.
fn strangers(tree: &Tree) -> Vec<Finding> {
    let page = tree.text(PAGE).unwrap_or_default();
    let mut findings = Vec::new();
    for row in rows(page, "crate", "named only by") {
        let (name, homes) = (ticked(row[0]).remove(0), ticked(row[1]));
        let opposite = row[1].starts_with("every room but");
        for file in tree.under("src/", ".rs") {
            let Some(own) = room_of(&file.path) else { continue };
            if homes.iter().any(|home| home == own) != opposite {
                continue;
            }
            let rust = Rust::of(&file.text);
            let rust = if is_test(&file.path) { continue } else { rust.without_tests() };
            for at in names_of_crate(&rust, &name) {
                let say = format!("only {} may name {name}: {PAGE}", row[1]);
                findings.push(Finding::new(&file.path, line_at(&file.text, at), say));
            }
        }
    }
    findings
}

/// Whether a file below `src/` holds nothing but tests.
pub(crate) fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

fn names_of_crate(rust: &Rust, name: &str) -> Vec<usize> {
    let code = &rust.code;
    let stands = |at: &usize| {
        let begins_path = !code[..*at].ends_with("::");
        let used = code[..*at].ends_with("use ") && code[at + name.len()..].starts_with([';', ' ']);
        begins_path && (code[at + name.len()..].starts_with("::") || used)
    };
    rust.names(name).filter(stands).collect()
}

#[test]
fn every_room_names_only_the_rooms_its_layer_allows() {
    clean(&crossings(&Tree::of_the_repository()));
}

#[test]
fn crates_with_a_home_are_named_nowhere_else() {
    clean(&strangers(&Tree::of_the_repository()));
}

#[test]
fn the_layer_table_has_a_row_for_every_room_of_the_library() {
    let tree = Tree::of_the_repository();
    let rooms = table(tree.text(PAGE).unwrap_or_default());
    let library = tree.text("src/lib.rs").unwrap_or_default();
    let declared =
        library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let declared: Vec<&str> = declared.collect();
    assert!(declared.len() > 15, "src/lib.rs declares its rooms as `pub mod room;`");
    for room in declared {
        assert!(rooms.contains_key(room), "{PAGE}: `{room}` has no row in the layer table");
    }
}

#[cfg(test)]
mod tests {
    use super::{Tree, crossings, first_names, strangers};

    const MAP: &str = "| room | layer | may import |\n|---|--:|---|\n\
        | `job` | 0 | nothing |\n| `worker` | 2 | 0, `executor` |\n\
        | `executor` | 2 | 0 |\n| `postgres` | 3 | 0, 2 |\n\n\
        | crate | named only by |\n|---|---|\n| `sqlx` | `postgres` |\n| `tokio` | every room but `job` |\n";

    fn with(path: &str, text: &str) -> Tree {
        Tree::made_of(&[("ARCHITECTURE.md", MAP), (path, text)])
    }

    #[test]
    fn an_arrow_that_points_up_is_found_in_every_spelling() {
        for text in [
            "use crate::postgres::Pool;",
            "\nuse crate::{\n    job::{JobId, State},\n    postgres::Pool,\n};",
            "fn f(pool: &crate::postgres::Pool) {}",
            "use super::super::postgres::Pool;",
            "use legwork::postgres;",
        ] {
            let found = crossings(&with("src/worker/slot.rs", text));
            assert_eq!(found.len(), 1, "{text}");
        }
    }

    #[test]
    fn what_the_table_allows_is_left_alone() {
        let text = "use crate::{executor::Handler, job::JobId};\n// crate::postgres is far away";
        assert_eq!(crossings(&with("src/worker/slot.rs", text)), []);
    }

    #[test]
    fn a_room_without_a_row_is_found() {
        assert_eq!(crossings(&with("src/cellar.rs", "")).len(), 1);
    }

    #[test]
    fn a_crate_away_from_its_home_is_found() {
        assert_eq!(strangers(&with("src/worker.rs", "use sqlx::PgPool;\nuse sqlx;")).len(), 2);
        assert_eq!(strangers(&with("src/job.rs", "tokio::time::sleep(x)")).len(), 1);
        assert_eq!(strangers(&with("src/postgres/pool.rs", "use sqlx::PgPool;")), []);
        assert_eq!(
            strangers(&with("src/worker.rs", "let a = b::sqlx::c; tokio::time::sleep(x)")),
            []
        );
    }

    #[test]
    fn a_group_names_the_first_name_of_each_of_its_parts() {
        assert_eq!(first_names("{a::b, c::{d, e}, f as g}"), ["a", "c", "f"]);
    }
}
