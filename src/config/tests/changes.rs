//! Which keys a running daemon takes over: every key is one of the two sorts, and the reference says
//! which.

use super::keys::{Change, changes, settings};
use std::collections::BTreeSet;

/// The keys in the table of "Reloading".
fn taken_over() -> BTreeSet<&'static str> {
    let page = include_str!("../../../docs/configuration.md");
    let section = page.split("\n## ").find(|part| part.starts_with("Reloading"));
    let rows = section.expect("a section").lines().filter(|line| line.starts_with("| `"));
    let first = rows.filter_map(|row| row.split('|').nth(1));
    first.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn every_key_is_taken_over_or_named_as_waiting_for_a_restart_as_the_reference_says() {
    let taken_over = taken_over();
    assert!(taken_over.len() > 30, "{taken_over:?}");
    let mut seen = 0;
    for Change { key, before, after, .. } in changes() {
        let (old, new) = (settings(&before, &[]), settings(&after, &[]));
        let taken = old.with_changes_of(&new);
        let (changed, waiting) = (old.differences(&taken), taken.differences(&new));
        if taken_over.contains(key.path) {
            assert_eq!((&taken, waiting.as_slice()), (&new, &[][..]), "{}", key.path);
            assert_eq!(changed.len(), 1, "{}: {changed:?}", key.path);
            seen += 1;
        } else {
            assert_eq!((&taken, changed.as_slice()), (&old, &[][..]), "{}", key.path);
            assert_eq!(waiting.len(), 1, "{}: {waiting:?}", key.path);
        }
    }
    // All but those that no value alone changes.
    assert_eq!(seen, taken_over.len() - 11);
}

const KIND: &str = "[[kind]]\nname = \"k\"\nhandler = \"noop\"\n";

fn waiting(old: &str, new: &str) -> Vec<String> {
    let (old, new) = (settings(old, &[]), settings(new, &[]));
    old.with_changes_of(&new).differences(&new)
}

#[test]
fn what_is_added_or_removed_is_taken_over_and_named() {
    let changed = |old: &str, new: &str| settings(old, &[]).differences(&settings(new, &[]));
    let queue = "[[queue]]\nname = \"default\"\n[[queue]]\nname = \"mail\"\nconcurrency = 2\n";
    let schedule = "[[schedule]]\nname = \"s\"\ncron = \"0 0 1 1 *\"\nkind = \"k\"\n";
    let kind_and_schedule = format!("{KIND}{schedule}");
    for (old, new, named) in [
        ("", queue, "[[queue]] \"mail\""),
        ("", KIND, "[[kind]] \"k\""),
        (KIND, kind_and_schedule.as_str(), "[[schedule]] \"s\""),
    ] {
        for (old, new, how) in [(old, new, "added"), (new, old, "removed")] {
            let named = vec![format!("{named} ({how})")];
            assert_eq!((changed(old, new), waiting(old, new)), (named, vec![]));
        }
    }
    let sql = "[[kind]]\nname = \"k\"\nhandler = \"sql\"\nfunction = \"app.f\"\n";
    for (old, new) in [(KIND, sql), (sql, KIND)] {
        let named = vec!["[[kind]] \"k\".handler (or a key of it)".to_owned()];
        assert_eq!((changed(old, new), waiting(old, new)), (named, vec![]));
    }
}

#[test]
fn the_order_of_the_file_is_no_change() {
    let other = "[[kind]]\nname = \"l\"\nhandler = \"sleep\"\n";
    let (one, two) = (format!("{KIND}{other}"), format!("{other}{KIND}"));
    assert_eq!(waiting(&one, &two), [""; 0]);
}
