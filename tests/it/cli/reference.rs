//! `docs/cli.md` against `--help`, in both directions.

use super::{command, finished};
use std::collections::{BTreeMap, BTreeSet};

const PAGE: &str = include_str!("../../../docs/cli.md");

/// Each command that does something, with its own flags, as `--help` has them.
pub(crate) async fn helped() -> BTreeMap<String, BTreeSet<String>> {
    let mut commands = BTreeMap::new();
    let mut unseen = vec![String::new()];
    while let Some(path) = unseen.pop() {
        let mut arguments: Vec<&str> = path.split_whitespace().collect();
        arguments.push("--help");
        let help = finished(command("", &arguments), None).await.done().stdout;
        let below = section(&help, "Commands:");
        let names = below.iter().filter_map(|line| line.split_whitespace().next());
        let names: Vec<_> = names.filter(|name| *name != "help").collect();
        unseen.extend(names.iter().map(|name| format!("{path} {name}")));
        if names.is_empty() {
            let own = section(&help, "Options:");
            commands.insert(path.trim().to_owned(), flags(&own.join("\n")));
        }
    }
    commands
}

/// The lines of a help text under this head that begin an entry.
fn section<'a>(help: &'a str, head: &str) -> Vec<&'a str> {
    let under = help.lines().skip_while(|line| *line != head).skip(1);
    let lines = under.take_while(|line| line.is_empty() || line.starts_with(' '));
    // A command stands two spaces in, its help's further lines deeper; a flag's help has no dash.
    let names = |line: &&str| line.starts_with("  ") && !line[2..].starts_with(' ');
    let flag = |line: &&str| line.trim_start().starts_with('-');
    lines.filter(|line| if head == "Commands:" { names(line) } else { flag(line) }).collect()
}

/// Every `--flag` in a text, but for the one that all commands have.
fn flags(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '-');
    words
        .filter(|word| word.len() > 2 && word.starts_with("--") && *word != "--help")
        .map(str::to_owned)
        .collect()
}

/// Each command that has a section, with the flags in its table.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let sections = PAGE.split("\n### `legwork ").skip(1).map(|section| {
        let (name, text) = section.split_once('`').expect("a head ends");
        let text = text.split("\n## ").next().unwrap_or_default();
        let options = text.lines().filter_map(|line| line.strip_prefix("| `"));
        let cells = options.filter_map(|line| line.split('|').next());
        (name.to_owned(), flags(&cells.collect::<Vec<_>>().join("\n")))
    });
    sections.collect()
}

#[tokio::test]
async fn every_command_and_flag_is_documented_and_nothing_else_is() {
    let helped = helped().await;
    assert!(helped.len() > 15 && helped["job list"].contains("--after"), "{helped:?}");
    assert_eq!(documented(), helped);
}

#[tokio::test]
async fn the_global_options_are_documented() {
    let help = finished(command("", &["--help"]), None).await.done().stdout;
    let (_, shared) = help
        .split_once("Global options (refused where they have no effect):")
        .expect("they have a head");
    let page = PAGE.split("## Exit codes").next().expect("the page begins with them");
    let heads: String = shared.lines().filter(|line| line.trim_start().starts_with("--")).collect();
    for flag in flags(&heads) {
        assert!(page.contains(&format!("`{flag}")), "{flag}");
    }
}

#[tokio::test]
async fn help_fits_100_columns() {
    for path in helped().await.keys() {
        let mut arguments: Vec<&str> = path.split(' ').collect();
        arguments.push("--help");
        let help = finished(command("", &arguments), None).await.done().stdout;
        let long = help.lines().find(|line| line.chars().count() > 100);
        assert_eq!(long, None, "{path}");
    }
}
