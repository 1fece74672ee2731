//! Test 6: every configuration key, column, header, variable and flag has a test that observes its
//! effect.
//!
//! What there is comes from the things themselves: the printed default file, the grants of the role
//! that enqueues, `--help` of every command, the reference of handlers. Each needs a line here that
//! names its test. Something new without one fails, and so does a line for something that is gone,
//! one that names no test, and one whose test doesn't mention what it is said to observe. What the
//! tests observe is what a user sees: a row, a line, an exit code; not the parsed setting.

mod canary;
mod flags;
mod keys;
mod limits;
mod named;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::cli::reference::helped;
use crate::statements::{end, rows};
use crate::support;

use self::named::{COLUMNS, FLAGS, HEADERS, KEYS};
use super::sources;

#[test]
fn whoever_is_kept_from_the_poolers_is_a_test_and_has_a_reason() {
    let tests = sources::tests();
    for (test, why) in support::pooled::DIRECT {
        assert!(tests.keys().any(|name| name.starts_with(test)), "{test} is no test");
        assert!(why.len() > 20, "{test}: {why}");
    }
}

/// Fails unless the lines are about just what there is, and each names a test that mentions it.
fn assert_observed(there: &BTreeSet<String>, lines: &[(&str, &str)]) {
    assert!(there.len() > 5, "{there:?}");
    let named: BTreeSet<String> = lines.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(named.len(), lines.len(), "each has one line");
    let (unobserved, gone): (Vec<_>, Vec<_>) =
        (there.difference(&named).collect(), named.difference(there).collect());
    assert!(unobserved.is_empty(), "these need a test that observes their effect: {unobserved:?}");
    assert!(gone.is_empty(), "these aren't there any more: {gone:?}");
    let tests = sources::tests();
    let mut hollow = Vec::new();
    for (name, test) in lines {
        let word = name.rsplit([' ', '.']).next().unwrap_or(name);
        match tests.get(*test) {
            None => hollow.push(format!("{name}: there is no test {test}")),
            Some(text) if !text.contains(word) => {
                hollow.push(format!("{name}: {test} doesn't mention it"));
            }
            Some(_) => {}
        }
    }
    assert!(hollow.is_empty(), "{}", hollow.join("\n"));
}

#[test]
fn every_configuration_key_has_a_test_that_observes_it() {
    let mut keys = BTreeSet::new();
    let mut section = String::new();
    for line in legwork::config::default_file().lines() {
        // Keys without a default, and sections that are lists, stand there as comments.
        let line = line.trim_start_matches("# ").trim_start_matches('#');
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_matches(['[', ']']).to_owned();
        } else if let Some((key, _)) = line.split_once(" = ")
            && key.bytes().all(|byte| byte.is_ascii_lowercase() || b"_.".contains(&byte))
        {
            keys.insert(format!("{section}.{key}"));
        }
    }
    assert_observed(&keys, KEYS);
}

#[test]
fn every_column_that_a_producer_may_write_has_a_test_that_observes_it() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let granted = "SELECT attname FROM pg_attribute
            WHERE attrelid = 'legwork.job'::regclass AND attnum > 0 AND NOT attisdropped
                AND has_column_privilege('legwork_enqueue', attrelid, attnum, 'INSERT')";
        let columns = rows(&mut session, granted).await.into_iter().collect();
        assert_observed(&columns, COLUMNS);
        end(session).await;
    });
}

#[tokio::test]
async fn every_flag_has_a_test_that_observes_it() {
    let commands: BTreeMap<_, _> = helped().await;
    let of_one = commands
        .iter()
        .flat_map(|(command, flags)| flags.iter().map(move |flag| format!("{command} {flag}")));
    let mut flags: BTreeSet<_> = of_one.collect();
    let help = crate::cli::finished(crate::cli::command("", &["--help"]), None).await.done().stdout;
    let (_, shared) = help
        .split_once("Global options (refused where they have no effect):")
        .expect("they have a head");
    let heads = shared.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
    let words = heads.filter_map(|head| head.split(' ').next()).map(|word| format!("--{word}"));
    flags.extend(words);
    assert_observed(&flags, FLAGS);
}

#[test]
fn every_variable_of_programs_and_every_header_has_a_test_that_observes_it() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut there = BTreeSet::new();
    for page in ["handlers.md", "logs.md", "cli.md", "configuration.md", "metrics.md"] {
        let text = std::fs::read_to_string(docs.join(page)).expect("the page is there");
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
        let variable = |word: &&str| {
            page == "handlers.md"
                && (word.starts_with("LEGWORK_") && *word != "LEGWORK_" || *word == "TRACEPARENT")
        };
        let header = |word: &&str| {
            ["X-", "Legwork-", "webhook-"]
                .iter()
                .any(|start| word.strip_prefix(start).is_some_and(|rest| rest.len() > 1))
        };
        there.extend(words.filter(|w| variable(w) || header(w)).map(str::to_owned));
    }
    assert_observed(&there, HEADERS);
}
