//! Code against its reference: task names, configuration keys, metrics.
//!
//! Each pair is compared in both directions where both sides are lists: what isn't documented can't
//! be found, and what is documented but gone costs somebody an hour.

use crate::{
    layers::{is_test, rows, ticked},
    scan::{Literal, Rust, is_name},
    tree::{Finding, Tree, clean, line_at},
};
use std::collections::{BTreeMap, BTreeSet};

const TASKS: &str = "docs/concurrency.md";
const KEYS: &str = "src/config/default.toml";
const KEYS_PAGE: &str = "docs/configuration.md";
const EVENTS: &str = "src/telemetry/events.rs";
const WAIT_POINTS: &str = "src/supervise/wait_point.rs";
const TASKS_PAGE: &str = "docs/tasks.md";
const METRICS_PAGE: &str = "docs/metrics.md";

/// Calls whose first argument is a task's name.
const NAMING_CALLS: [&str; 6] =
    ["spawn(", "spawn_watched(", "self.round((", "task_name(", "TaskName::new(", "TaskName::from("];

/// `claimer[mail/a]` and `worker[{queue}]#{n}` without what differs from one to the next.
fn stem(name: &str) -> &str {
    name.split(['[', '#', '{', ' ']).next().unwrap_or_default()
}

/// Each task name that the code gives away, and where.
fn named_tasks(tree: &Tree) -> BTreeMap<String, (String, usize)> {
    let mut names = BTreeMap::new();
    for file in tree.under("src/", ".rs").filter(|file| !is_test(&file.path)) {
        let rust = Rust::of(&file.text).without_tests();
        for literal in &rust.literals {
            let before = rust.code[..literal.at].trim_end().trim_end_matches("format!(").trim_end();
            let before = before.trim_end_matches('&');
            let built = literal.text.split_once("[{").is_some_and(|(stem, _)| {
                !stem.is_empty() && stem.chars().all(|c| c.is_ascii_lowercase())
            });
            if built || NAMING_CALLS.iter().any(|call| before.ends_with(call)) {
                let place = (file.path.clone(), line_at(&file.text, literal.at));
                names.insert(stem(&literal.text).to_owned(), place);
            }
        }
    }
    names.remove("");
    names
}

fn tasks(tree: &Tree) -> Vec<Finding> {
    let page = tree.text(TASKS).unwrap_or_default();
    let table = rows(page, "task", "owner");
    let listed: BTreeSet<String> =
        table.iter().flat_map(|row| ticked(row[0])).map(|name| stem(&name).to_owned()).collect();
    let named = named_tasks(tree);
    let mut findings = Vec::new();
    for (name, (path, line)) in named.iter().filter(|(name, _)| !listed.contains(*name)) {
        let say =
            format!("task `{name}` isn't in the table of {TASKS}: owner, channels, end, policy");
        findings.push(Finding::new(path, *line, say));
    }
    // A page may run ahead of the code until the daemon is wired, and not a day longer.
    let wired = named.values().any(|(path, _)| path.starts_with("src/daemon"));
    for name in listed.iter().filter(|name| wired && !named.contains_key(*name)) {
        findings.push(Finding::new(TASKS, 1, format!("no code starts a task named `{name}`")));
    }
    findings
}

/// The keys of the defaults' file, those that are commented out included.
fn keys(file: &str) -> Vec<(usize, String)> {
    let mut section = String::new();
    let mut keys = Vec::new();
    for (number, line) in file.lines().enumerate() {
        let line = line.trim_start_matches("# ");
        if let Some(name) = line.strip_prefix('[') {
            name.trim_matches(['[', ']', ' ']).clone_into(&mut section);
        } else if let Some((key, _)) = line.split_once(" = ") {
            let is_key = key.chars().all(|c| is_name(c) || c == '.') && !key.is_empty();
            if is_key {
                keys.push((number + 1, format!("{section}.{key}")));
            }
        }
    }
    keys
}

fn undocumented_keys(tree: &Tree) -> Vec<Finding> {
    let page = tree.text(KEYS_PAGE).unwrap_or_default();
    let in_file = keys(tree.text(KEYS).unwrap_or_default());
    let missing = |(line, key): &(usize, String)| {
        let say = format!("`{key}` isn't in {KEYS_PAGE}: say what it does, its range and its unit");
        (!page.contains(&format!("`{key}`"))).then(|| Finding::new(KEYS, *line, say))
    };
    let mut findings: Vec<Finding> = in_file.iter().filter_map(missing).collect();
    for row in page.lines().enumerate().filter(|(_, line)| line.starts_with("| `")) {
        let key = ticked(row.1).remove(0);
        let known = in_file.iter().any(|(_, other)| *other == key);
        if key.contains('.') && !known {
            findings.push(Finding::new(KEYS_PAGE, row.0 + 1, format!("there is no key `{key}`")));
        }
    }
    findings
}

fn is_metric(text: &str) -> bool {
    let ours = ["legwork_", "process_", "tokio_"].iter().any(|start| text.starts_with(start));
    ours && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn is_catalogue(path: &str) -> bool {
    path.starts_with("src/telemetry/") && path.contains("catalogue") && path.ends_with(".rs")
}

/// The metrics of the catalogue, and where.
fn metrics(tree: &Tree) -> BTreeMap<String, (String, usize)> {
    let mut found = BTreeMap::new();
    for file in tree.files.iter().filter(|file| is_catalogue(&file.path)) {
        for literal in Rust::of(&file.text).without_tests().literals {
            if is_metric(&literal.text) {
                let line = line_at(&file.text, literal.at);
                found.insert(literal.text, (file.path.clone(), line));
            }
        }
    }
    found
}

fn undocumented_metrics(tree: &Tree) -> Vec<Finding> {
    let page = tree.text(METRICS_PAGE).unwrap_or_default();
    let known = metrics(tree);
    let listed: BTreeMap<String, usize> = page
        .lines()
        .enumerate()
        .filter(|(_, line)| line.starts_with('|'))
        .filter_map(|(number, line)| Some((ticked(line).first()?.clone(), number + 1)))
        .filter(|(name, _)| is_metric(name))
        .collect();
    let mut findings = Vec::new();
    for (name, (path, line)) in known.iter().filter(|(name, _)| !listed.contains_key(*name)) {
        findings.push(Finding::new(path, *line, format!("`{name}` has no row in {METRICS_PAGE}")));
    }
    for (name, line) in listed.iter().filter(|(name, _)| !known.contains_key(*name)) {
        findings.push(Finding::new(METRICS_PAGE, *line, format!("nothing records `{name}`")));
    }
    findings
}

/// The points at which tasks can wait: variant, name and line of each; the first stands for none.
fn wait_points(tree: &Tree) -> Vec<(String, String, usize)> {
    let text = tree.text(WAIT_POINTS).unwrap_or_default();
    let rust = Rust::of(text).without_tests();
    let point = |literal: &Literal| {
        let before = rust.code[..literal.at].trim_end().strip_suffix('=')?.trim_end();
        let start = before.rfind(|c| !is_name(c)).map_or(0, |at| at + 1);
        Some((before[start..].to_owned(), literal.text.clone(), line_at(text, literal.at)))
    };
    rust.literals.iter().filter_map(point).skip(1).collect()
}

/// Wait points that aren't explained, are explained and gone, or at which nobody waits.
fn wait_points_out_of_step(tree: &Tree) -> Vec<Finding> {
    let known = wait_points(tree);
    let page = tree.text(TASKS_PAGE).unwrap_or_default();
    let table = rows(page, "wait point", "who");
    let explained: BTreeSet<String> = table.iter().flat_map(|row| ticked(row[0])).collect();
    let production = || tree.under("src/", ".rs").filter(|f| !is_test(&f.path));
    let codes: Vec<_> = production().map(|file| Rust::of(&file.text).without_tests()).collect();
    let mut findings = Vec::new();
    for (variant, name, line) in &known {
        if !explained.contains(name) {
            let say = format!("`{name}` has no row in {TASKS_PAGE}");
            findings.push(Finding::new(WAIT_POINTS, *line, say));
        }
        let waited = format!("WaitPoint::{variant}");
        if !codes.iter().any(|rust| rust.names(&waited).next().is_some()) {
            findings.push(Finding::new(WAIT_POINTS, *line, format!("nobody waits at `{name}`")));
        }
    }
    for name in explained.iter().filter(|name| !known.iter().any(|(_, known, _)| known == *name)) {
        let say = format!("there is no wait point `{name}`");
        findings.push(Finding::new(TASKS_PAGE, 1, say));
    }
    findings
}

/// The catalogue's events: constant and line of each.
fn events(tree: &Tree) -> Vec<(String, usize)> {
    let text = tree.text(EVENTS).unwrap_or_default();
    let rust = Rust::of(text).without_tests();
    let constant = |literal: &Literal| {
        let before = rust.code[..literal.at].trim_end().strip_suffix('=')?.trim_end();
        let start = before.rfind(|c| !is_name(c)).map_or(0, |at| at + 1);
        Some((before[start..].to_owned(), line_at(text, literal.at)))
    };
    rust.literals.iter().filter_map(constant).collect()
}

/// Events that nothing logs, and events that are logged by another name than the catalogue's.
fn events_out_of_step(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut used = BTreeSet::new();
    let known = events(tree);
    let production = tree.under("src/", ".rs").filter(|f| !is_test(&f.path) && f.path != EVENTS);
    for file in production {
        let rust = Rust::of(&file.text).without_tests();
        for (name, _) in &known {
            if rust.names(&format!("events::{name}")).next().is_some() {
                used.insert(name.clone());
            }
        }
        for literal in &rust.literals {
            let before = rust.code[..literal.at].trim_end();
            if before.strip_suffix('=').is_some_and(|code| code.trim_end().ends_with(" event")) {
                let say = format!("`{}`: use the constant of {EVENTS}", literal.text);
                findings.push(Finding::new(&file.path, line_at(&file.text, literal.at), say));
            }
        }
    }
    for (name, line) in known.iter().filter(|(name, _)| !used.contains(name)) {
        findings.push(Finding::new(EVENTS, *line, format!("nothing logs `{name}`")));
    }
    findings
}

/// The name of a series is its metric's, with what a histogram appends.
fn base(series: &str) -> &str {
    let endings = ["_bucket", "_count", "_sum"];
    endings.iter().find_map(|ending| series.strip_suffix(ending)).unwrap_or(series)
}

const RUNBOOK: &str = "runbook.md";

/// Metrics that alerts, dashboards and the runbook ask for and nothing records.
fn unknown_series(tree: &Tree) -> Vec<Finding> {
    let known = metrics(tree);
    let mut findings = Vec::new();
    // Roles are named so as well.
    let roles = ["owner", "migrator", "daemon", "enqueue", "read", "operator"];
    let is_role = |word: &str, file: &str| {
        file == RUNBOOK && word.strip_prefix("legwork_").is_some_and(|role| roles.contains(&role))
    };
    for file in tree.under("deploy/", "").chain(tree.under(RUNBOOK, "")) {
        let asks = |line: &str| file.path == RUNBOOK || line.contains("expr");
        for (number, line) in file.text.lines().enumerate().filter(|(_, line)| asks(line)) {
            let words = line.split(|c| !is_name(c)).filter(|word| word.starts_with("legwork_"));
            for word in words.filter(|word| !is_role(word, &file.path)) {
                if !known.contains_key(word) && !known.contains_key(base(word)) {
                    let say =
                        format!("nothing records `{word}`: whoever asks for it learns nothing");
                    findings.push(Finding::new(&file.path, number + 1, say));
                }
            }
        }
    }
    findings
}

#[test]
fn every_task_is_in_the_concurrency_page_and_every_name_there_is_started() {
    clean(&tasks(&Tree::of_the_repository()));
}

#[test]
fn every_configuration_key_has_a_row_in_the_reference_and_every_row_a_key() {
    clean(&undocumented_keys(&Tree::of_the_repository()));
}

#[test]
fn every_metric_has_a_row_in_the_reference_and_every_row_a_metric() {
    clean(&undocumented_metrics(&Tree::of_the_repository()));
}

#[test]
fn every_event_of_the_catalogue_is_logged_and_no_other() {
    clean(&events_out_of_step(&Tree::of_the_repository()));
}

#[test]
fn every_wait_point_is_explained_and_somebody_waits_there() {
    clean(&wait_points_out_of_step(&Tree::of_the_repository()));
}

#[test]
fn alerts_dashboards_and_the_runbook_ask_only_for_metrics_that_exist() {
    clean(&unknown_series(&Tree::of_the_repository()));
}

#[cfg(test)]
mod tests {
    use super::{
        Tree, events_out_of_step, tasks, undocumented_keys, undocumented_metrics, unknown_series,
        wait_points_out_of_step,
    };

    const PAGE: &str =
        "| task | owner |\n|---|---|\n| `claimer[queue/group]` | a |\n| `signals` | b |\n";

    #[test]
    fn a_task_missing_on_either_side_is_found() {
        let found = |path: &str, code: &str| {
            tasks(&Tree::made_of(&[("docs/concurrency.md", PAGE), (path, code)])).len()
        };
        let both = "s.spawn(\"signals\", f); s.spawn(TaskName::new(format!(\"claimer[{q}]\")), g);";
        assert_eq!(found("src/daemon.rs", both), 0);
        assert_eq!(found("src/daemon.rs", &format!("{both} spawn(\n    \"stranger\", h)")), 1);
        assert_eq!(found("src/daemon.rs", "s.spawn(\"signals\", f)"), 1);
        assert_eq!(found("src/worker.rs", "s.spawn(\"signals\", f)"), 0);
    }

    #[test]
    fn a_name_that_is_built_before_it_is_given_counts_as_well() {
        let code = "let name = format!(\"stranger[{q}]#{n}\"); s.spawn(name, f);";
        let files = [("docs/concurrency.md", PAGE), ("src/worker.rs", code)];
        assert_eq!(tasks(&Tree::made_of(&files)).len(), 1);
    }

    #[test]
    fn a_key_missing_on_either_side_is_found() {
        let found = |page: &str| {
            let defaults = "[claim]\n# Most jobs = many.\nbatch = 500\n# notify = true\n";
            let files = [("src/config/default.toml", defaults), ("docs/configuration.md", page)];
            undocumented_keys(&Tree::made_of(&files)).len()
        };
        assert_eq!(found("| `claim.batch` | 500 |\n| `claim.notify` | true |"), 0);
        assert_eq!(found("| `claim.batch` | 500 |"), 1);
        assert_eq!(found("| `claim.batch` | 500 |\n| `claim.notify` |\n| `claim.gone` |"), 1);
    }

    #[test]
    fn a_metric_missing_on_either_side_is_found() {
        let catalogue = ("src/telemetry/metrics/catalogue.rs", "x(\"legwork_jobs_claimed_total\")");
        let found = |page: &str| {
            undocumented_metrics(&Tree::made_of(&[catalogue, ("docs/metrics.md", page)])).len()
        };
        assert_eq!(found("| `legwork_jobs_claimed_total` | counter |"), 0);
        assert_eq!(found(""), 1);
        assert_eq!(found("| `legwork_jobs_claimed_total` |\n| `legwork_gone_total` |"), 1);
    }

    #[test]
    fn a_wait_point_that_is_not_explained_or_unused_or_gone_is_found() {
        let points = (
            "src/supervise/wait_point.rs",
            "places! { /// None.\nUnnamed = \"unnamed\", /// A slot.\nSlot = \"slot\", }",
        );
        let found = |page: &str, code: &str| {
            let page = format!("| wait point | who |\n|---|---|\n{page}");
            let files = [points, ("docs/tasks.md", &*page), ("src/worker.rs", code)];
            wait_points_out_of_step(&Tree::made_of(&files)).len()
        };
        let code = "at(WaitPoint::Slot, free).await";
        assert_eq!(found("| `slot` | all |\n", code), 0);
        assert_eq!(found("| `slot` | all |\n", "at(WaitPoint::Slots, free).await"), 1);
        assert_eq!(found("", code), 1);
        assert_eq!(found("| `slot` | all |\n| `gone` | all |\n", code), 1);
    }

    #[test]
    fn an_event_that_nothing_logs_or_that_has_another_name_is_found() {
        let catalogue =
            ("src/telemetry/events.rs", "events! { JOB_LATE = \"job.late\", \"It is late.\"; }");
        let found = |code: &str| {
            events_out_of_step(&Tree::made_of(&[catalogue, ("src/worker.rs", code)])).len()
        };
        assert_eq!(found("warn!(event = events::JOB_LATE, op, \"late\")"), 0);
        assert_eq!(found("warn!(event = events::JOB_LATER, op, \"late\")"), 1);
        let both = "warn!(event = events::JOB_LATE); warn!( event = \"job.lost\", \"lost\")";
        assert_eq!(found(both), 1);
    }

    #[test]
    fn an_alert_on_a_metric_that_nothing_records_is_found() {
        let catalogue = ("src/telemetry/metrics/catalogue.rs", "x(\"legwork_wait_seconds\")");
        let found = |rule: &str| {
            unknown_series(&Tree::made_of(&[catalogue, ("deploy/alerts.yaml", rule)])).len()
        };
        assert_eq!(found("expr: rate(legwork_wait_seconds_bucket[5m]) > 1"), 0);
        assert_eq!(found("expr: legwork_gone_total > 1"), 1);
        let line = "as `legwork_daemon`: `legwork_wait_seconds`, `legwork_gone_total`";
        assert_eq!(unknown_series(&Tree::made_of(&[catalogue, ("runbook.md", line)])).len(), 1);
    }
}
