//! What runs the daemon must leave it the time and the probes that it counts on.
//!
//! A unit that kills after 20 s turns a grace of 25 s into lost work, and nobody notices until a
//! deploy. Whether the unit and the manifest are well formed is for their own tools.

use crate::{
    scan::Rust,
    tree::{Finding, Tree, clean},
};

const DEFAULTS: &str = "src/config/default.toml";
const UNIT: &str = "systemd/legwork.service";
const MANIFEST: &str = "deploy/kubernetes/legwork.yaml";
const IMAGE: &str = "Dockerfile";

/// What the phases of the shutdown besides grace and `cancel_grace` may take together.
const REST_OF_SHUTDOWN_SECONDS: u64 = 9;

/// The value after a key, on whichever line it stands first.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let line =
        text.lines().find_map(|line| line.trim().trim_start_matches("- ").strip_prefix(key))?;
    Some(line.trim_matches(['"', ' ']))
}

/// `25s`, `45` or `2min` in seconds.
fn seconds(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" | "min" => 60,
        _ => return None,
    };
    Some(digits.parse::<u64>().ok()? * unit)
}

fn shutdown_seconds(tree: &Tree) -> Option<u64> {
    let defaults = tree.text(DEFAULTS)?;
    let of = |key| value(defaults, key).and_then(seconds);
    Some(of("grace = ")? + of("cancel_grace = ")? + REST_OF_SHUTDOWN_SECONDS)
}

fn too_little_time(tree: &Tree) -> Vec<Finding> {
    let Some(needed) = shutdown_seconds(tree) else {
        return vec![Finding::new(DEFAULTS, 1, "says neither grace nor cancel_grace in seconds")];
    };
    let mut findings = Vec::new();
    for (path, key) in [(UNIT, "TimeoutStopSec="), (MANIFEST, "terminationGracePeriodSeconds: ")] {
        let given = tree.text(path).and_then(|text| value(text, key)).and_then(seconds);
        if given.is_none_or(|given| given < needed) {
            let say = format!("{key}{given:?}: a whole shutdown takes up to {needed} s");
            findings.push(Finding::new(path, 1, say));
        }
    }
    findings
}

/// Probes of the manifest that the admin port doesn't answer, and probes that are missing.
fn probes(tree: &Tree) -> Vec<Finding> {
    let manifest = tree.text(MANIFEST).unwrap_or_default();
    let mut findings = Vec::new();
    for (probe, path) in [
        ("startupProbe:", "/health/startup"),
        ("readinessProbe:", "/health/ready"),
        ("livenessProbe:", "/health/live"),
    ] {
        let block = manifest.split(probe).nth(1).unwrap_or_default();
        let asked = value(block, "path: ");
        if asked != Some(path) {
            findings.push(Finding::new(
                MANIFEST,
                1,
                format!("{probe} must ask {path}, not {asked:?}"),
            ));
        }
    }
    let routes: Vec<String> = tree
        .under("src/admin", ".rs")
        .flat_map(|file| Rust::of(&file.text).without_tests().literals)
        .map(|literal| literal.text)
        .filter(|text| text.starts_with("/health"))
        .collect();
    for (number, line) in manifest.lines().enumerate() {
        let asked = line.trim().strip_prefix("path: ").filter(|path| path.starts_with("/health"));
        let unanswered = |path: &&str| !routes.is_empty() && !routes.iter().any(|r| r == path);
        if let Some(path) = asked.filter(unanswered) {
            let say = format!("the admin port has no route {path}");
            findings.push(Finding::new(MANIFEST, number + 1, say));
        }
    }
    findings
}

/// Settings without which a restart, a stop or a refusal goes wrong.
fn missing_settings(tree: &Tree) -> Vec<Finding> {
    let needed = [
        (UNIT, "Type=notify"),
        (UNIT, "WatchdogSec="),
        (UNIT, "RestartPreventExitStatus=78"),
        (UNIT, "KillMode=mixed"),
        (UNIT, "LoadCredential=database-url:"),
        (IMAGE, "STOPSIGNAL SIGTERM"),
        (IMAGE, "USER 65532"),
        (IMAGE, "\"healthcheck\""),
        (IMAGE, "--locked"),
        (MANIFEST, "readOnlyRootFilesystem: true"),
        (MANIFEST, "runAsNonRoot: true"),
    ];
    let missing = |(path, setting): &(&str, &str)| {
        let there = tree.text(path).is_some_and(|text| text.contains(setting));
        (!there).then(|| Finding::new(path, 1, format!("`{setting}` is missing")))
    };
    needed.iter().filter_map(missing).collect()
}

#[test]
fn whoever_stops_the_daemon_waits_for_its_whole_shutdown() {
    clean(&too_little_time(&Tree::of_the_repository()));
}

#[test]
fn probes_ask_paths_that_the_admin_port_answers() {
    clean(&probes(&Tree::of_the_repository()));
}

#[test]
fn unit_image_and_manifest_keep_their_promises() {
    clean(&missing_settings(&Tree::of_the_repository()));
}

#[cfg(test)]
mod tests {
    use super::{DEFAULTS, MANIFEST, Tree, UNIT, missing_settings, probes, too_little_time};

    const SHUTDOWN: (&str, &str) =
        (DEFAULTS, "[shutdown]\ngrace = \"25s\"\ncancel_grace = \"3s\"\n");

    #[test]
    fn a_stop_shorter_than_the_shutdown_is_found() {
        let found = |unit: &str, manifest: &str| {
            too_little_time(&Tree::made_of(&[SHUTDOWN, (UNIT, unit), (MANIFEST, manifest)])).len()
        };
        let long = "  terminationGracePeriodSeconds: 60";
        assert_eq!(found("TimeoutStopSec=45", long), 0);
        assert_eq!(found("TimeoutStopSec=36", long), 1);
        assert_eq!(found("", "terminationGracePeriodSeconds: 30"), 2);
        assert_eq!(too_little_time(&Tree::default()).len(), 1);
    }

    #[test]
    fn a_probe_of_a_path_that_nobody_answers_is_found() {
        let manifest = "startupProbe:\n path: /health/startup\nreadinessProbe:\n path: /health/ready\n\
            livenessProbe:\n path: /health/live\n";
        let found = |manifest: &str, routes: &str| {
            probes(&Tree::made_of(&[(MANIFEST, manifest), ("src/admin/health.rs", routes)])).len()
        };
        let routes = "[\"/health/startup\", \"/health/ready\", \"/health/live\"]";
        assert_eq!(found(manifest, routes), 0);
        assert_eq!(found(manifest, "\"/health/live\""), 2);
        assert_eq!(found(&manifest.replace("/health/live", "/healthz"), routes), 2);
    }

    #[test]
    fn a_missing_setting_is_found() {
        assert_eq!(missing_settings(&Tree::default()).len(), 11);
    }
}
