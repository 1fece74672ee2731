//! The documents: decision records, change log, front door, and links that lead somewhere.

use crate::tree::{File, Finding, Tree, clean};

const INDEX: &str = "docs/adr/README.md";
const RECORD_LINES_MAX: usize = 120;

/// What every decision record has, in this order.
const HEADINGS: [&str; 6] = [
    "Status:",
    "## Context",
    "## Decision",
    "## Consequences",
    "## Alternatives",
    "## What would reopen this",
];

fn is_record(file: &File) -> bool {
    file.path.ends_with(".md")
        && file
            .path
            .strip_prefix("docs/adr/")
            .is_some_and(|name| name.starts_with(|first: char| first.is_ascii_digit()))
}

fn records(tree: &Tree) -> Vec<Finding> {
    let index = tree.text(INDEX).unwrap_or_default();
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| is_record(file)) {
        let name = file.path.trim_start_matches("docs/adr/");
        let mut find = |say: String| findings.push(Finding::new(&file.path, 1, say));
        if !index.contains(&format!("]({name})")) {
            find(format!("link it from the table in {INDEX}"));
        }
        if !file.text.starts_with(&format!("# {}. ", &name[..4])) {
            find(format!("begin with `# {}. ` and the decision in a line", &name[..4]));
        }
        if let Some(heading) = HEADINGS.iter().find(|heading| !file.text.contains(*heading)) {
            find(format!("`{heading}` is missing"));
        }
        if file.text.lines().count() > RECORD_LINES_MAX {
            find(format!("longer than {RECORD_LINES_MAX} lines: keep what decided"));
        }
    }
    findings
}

/// The front door: what a newcomer must find, and in which file.
fn front_door(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, needed) in [
        ("README.md", "make demo"),
        ("README.md", "make test"),
        ("CHANGELOG.md", "## [Unreleased]"),
        ("CONTRIBUTING.md", "make test"),
        ("SECURITY.md", "# Security"),
        ("runbook.md", "legwork job why"),
    ] {
        if !tree.text(path).is_some_and(|text| text.contains(needed)) {
            findings.push(Finding::new(path, 1, format!("must be there and contain `{needed}`")));
        }
    }
    findings
}

/// Targets that documents tell people to make, and the Makefile doesn't have.
fn missing_targets(tree: &Tree) -> Vec<Finding> {
    let makefile = tree.text("Makefile").unwrap_or_default();
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.path.ends_with(".md")) {
        for (number, line) in file.text.lines().enumerate() {
            for rest in line.split("`make ").skip(1) {
                let target = rest.split(['`', ' ']).next().unwrap_or_default();
                let known = makefile.lines().any(|rule| {
                    let names = rule.split(':').next().unwrap_or_default();
                    rule.contains(':') && names.split_whitespace().any(|name| name == target)
                });
                if !known {
                    let say = format!("the Makefile has no target `{target}`");
                    findings.push(Finding::new(&file.path, number + 1, say));
                }
            }
        }
    }
    findings
}

/// Where a link leads, seen from its file; nothing for links to other sites and within the page.
fn target(from: &str, link: &str) -> Option<String> {
    let link = link.split('#').next().unwrap_or_default();
    if link.is_empty() || link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

fn dead_links(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.path.ends_with(".md")) {
        for (number, line) in file.text.lines().enumerate() {
            for rest in line.split("](").skip(1) {
                let link = rest.split(')').next().unwrap_or_default();
                if let Some(path) = target(&file.path, link).filter(|path| !tree.has(path)) {
                    let say = format!("`{link}` leads nowhere: there is no {path}");
                    findings.push(Finding::new(&file.path, number + 1, say));
                }
            }
        }
    }
    findings
}

#[test]
fn every_decision_record_is_whole_and_in_the_index() {
    clean(&records(&Tree::of_the_repository()));
}

#[test]
fn a_newcomer_finds_the_front_door() {
    clean(&front_door(&Tree::of_the_repository()));
}

#[test]
fn documents_name_only_targets_that_can_be_made() {
    clean(&missing_targets(&Tree::of_the_repository()));
}

#[test]
fn links_between_documents_lead_somewhere() {
    clean(&dead_links(&Tree::of_the_repository()));
}

#[cfg(test)]
mod tests {
    use super::{HEADINGS, Tree, dead_links, front_door, missing_targets, records};

    #[test]
    fn a_record_that_is_not_whole_or_not_indexed_is_found() {
        let whole = format!("# 0001. Title\n{}", HEADINGS.join("\n"));
        let found = |index: &str, record: &str| {
            let files = [("docs/adr/README.md", index), ("docs/adr/0001-a.md", record)];
            records(&Tree::made_of(&files)).len()
        };
        assert_eq!(found("[a](0001-a.md)", &whole), 0);
        assert_eq!(found("", &whole), 1);
        assert_eq!(found("[a](0001-a.md)", &whole.replace("## Context", "")), 1);
        assert_eq!(found("[a](0001-a.md)", &whole.replace("# 0001", "# 0002")), 1);
        assert_eq!(found("[a](0001-a.md)", &format!("{whole}{}", "\n".repeat(120))), 1);
    }

    #[test]
    fn a_missing_front_door_is_found() {
        assert_eq!(front_door(&Tree::default()).len(), 6);
    }

    #[test]
    fn a_target_that_cannot_be_made_is_found() {
        let found = |page: &str| {
            let files = [("Makefile", ".PHONY: x\ntest lint: y\n"), ("a.md", page)];
            missing_targets(&Tree::made_of(&files)).len()
        };
        assert_eq!(found("run `make test` or `make lint`"), 0);
        assert_eq!(found("run `make gold`"), 1);
    }

    #[test]
    fn a_dead_link_is_found() {
        let found = |link: &str| {
            let page = format!("see [it]({link})");
            dead_links(&Tree::made_of(&[("docs/a.md", &page), ("README.md", "")])).len()
        };
        for good in ["../README.md", "../README.md#top", "https://example.org", "#here", "../docs/"]
        {
            assert_eq!(found(good), 0, "{good}");
        }
        assert_eq!(found("README.md"), 1);
    }
}
