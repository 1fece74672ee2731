//! The problems that the port answers by against the table of its page: the same types, of the same statuses.

use crate::{
    layers::{rows, ticked},
    scan::{Literal, Rust, is_name},
    tree::{Finding, Tree, clean, line_at},
};
use axum::http::StatusCode;
use std::collections::BTreeMap;

const PROBLEMS: &str = "src/admin/problem.rs";
const PAGE: &str = "docs/api.md";

/// What stands before a type in the code's table.
const STATUS: &str = "StatusCode::";

/// Each type that the code has: its status and its line.
fn problems(tree: &Tree) -> BTreeMap<String, (String, usize)> {
    let text = tree.text(PROBLEMS).unwrap_or_default();
    let rust = Rust::of(text).without_tests();
    let problem = |literal: &Literal| {
        let before = rust.code[..literal.at].trim_end().strip_suffix(',')?;
        let start = before.rfind(|c| !is_name(c)).map_or(0, |at| at + 1);
        let status = before[..start].ends_with(STATUS).then(|| code(&before[start..]))?;
        Some((literal.text.clone(), (status, line_at(text, literal.at))))
    };
    rust.literals.iter().filter_map(problem).collect()
}

/// The number of a status of which this is the constant.
fn code(constant: &str) -> String {
    let named = |status: &StatusCode| {
        let words = status.canonical_reason().unwrap_or_default();
        words.to_uppercase().replace([' ', '-'], "_") == constant
    };
    let mut all = (100..600).filter_map(|code| StatusCode::from_u16(code).ok());
    all.find(named).map_or(constant.to_owned(), |status| status.as_str().to_owned())
}

/// Each type that the page has, and its status.
fn explained(page: &str) -> Vec<(String, &str)> {
    let table = rows(page, "`type`, behind `urn:legwork:problem:`", "status");
    let types = |row: &Vec<&str>| ticked(row[0]);
    table.iter().flat_map(|row| types(row).into_iter().map(|name| (name, row[1]))).collect()
}

fn out_of_step(tree: &Tree) -> Vec<Finding> {
    let page = tree.text(PAGE).unwrap_or_default();
    let (known, explained) = (problems(tree), explained(page));
    let mut findings = Vec::new();
    for (name, (status, line)) in &known {
        if !explained.iter().any(|row| row.0 == *name && row.1 == status) {
            let say = format!("`{name}` has no row in {PAGE} with the status {status}");
            findings.push(Finding::new(PROBLEMS, *line, say));
        }
    }
    for (name, _) in explained.iter().filter(|(name, _)| !known.contains_key(name)) {
        findings.push(Finding::new(PAGE, 1, format!("there is no problem `{name}`")));
    }
    findings
}

#[test]
fn every_problem_has_a_row_in_the_page_of_the_api_and_every_row_a_problem() {
    clean(&out_of_step(&Tree::of_the_repository()));
}

#[cfg(test)]
mod tests {
    use super::{Tree, out_of_step};

    #[test]
    fn a_problem_missing_on_either_side_and_another_status_are_found() {
        let code = "(StatusCode::NOT_FOUND, \"not-found\", \"nothing\".into()) (\nStatusCode::GONE,\n\"lease-gone\", x)";
        let found = |page: &str| {
            let head = "| `type`, behind `urn:legwork:problem:` | status | when |\n|---|--:|---|\n";
            let files =
                [("src/admin/problem.rs", code), ("docs/api.md", &*format!("{head}{page}"))];
            out_of_step(&Tree::made_of(&files)).len()
        };
        let gone = "| `lease-gone` | 410 | over |\n";
        assert_eq!(found(&format!("| `not-found` | 404 | nothing |\n{gone}")), 0);
        assert_eq!(found(gone), 1);
        assert_eq!(found(&format!("| `not-found` | 400 | nothing |\n{gone}")), 1);
        assert_eq!(found(&format!("| `not-found`, `stranger` | 404 | nothing |\n{gone}")), 1);
    }
}
