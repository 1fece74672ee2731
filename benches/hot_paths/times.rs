//! Reads the median times out of divan's table, the one form in which it tells of them. Pure.

use std::collections::BTreeMap;

/// Of each row that has times, its path from below the root and its median in nanoseconds.
///
/// A row is drawn `│  ╰─ name   fastest │ slowest │ median │ …`, three characters of tree a level.
pub(crate) fn medians(table: &str) -> BTreeMap<String, f64> {
    let mut medians = BTreeMap::new();
    let mut path: Vec<&str> = Vec::new();
    for line in table.lines() {
        let Some((tree, row)) = line.split_once("─ ") else { continue };
        let level = tree.chars().count().div_ceil(3);
        let Some(name) = row.split_whitespace().next() else { continue };
        path.truncate(level - 1);
        path.push(name);
        if let Some(median) = row.split('│').nth(2).and_then(nanoseconds) {
            medians.insert(path.join("::"), median);
        }
    }
    medians
}

/// `12.34 µs`
fn nanoseconds(text: &str) -> Option<f64> {
    let (figure, unit) = text.trim().split_once(' ')?;
    let scale = match unit {
        "ns" => 1.0,
        "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        _ => return None,
    };
    Some(figure.parse::<f64>().ok()? * scale)
}
