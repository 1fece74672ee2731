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
const SHUTDOWN: &str = "src/daemon/shutdown.rs";
const RUN: &str = "src/cli/run.rs";

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

/// The milliseconds of a constant: `const NAME: Duration = Duration::from_millis(300);`.
fn constant(text: &str, name: &str) -> Option<u64> {
    let value = text.split(&format!("const {name}: Duration = Duration::from_")).nth(1)?;
    let (unit, rest) = value.split_once('(')?;
    let number = rest.split(')').next()?.parse::<u64>().ok()?;
    Some(number * if unit == "millis" { 1 } else { 1000 })
}

/// What the phases of the shutdown with a limit of their own, and the last log lines, may take
/// together, in seconds; those with a limit from the configuration are counted apart.
fn fixed_phases(tree: &Tree) -> Option<u64> {
    let (shutdown, run) = (tree.text(SHUTDOWN)?, tree.text(RUN)?);
    let limits = shutdown.split("phase.wait(").skip(1).filter_map(|call| call.split(',').nth(1));
    let named = limits.map(str::trim).filter(|limit| !limit.contains('.'));
    let phases = named.map(|name| constant(shutdown, name)).sum::<Option<u64>>()?;
    Some((phases + constant(run, "LOG_FLUSH")?).div_ceil(1000)).filter(|seconds| *seconds > 1)
}

/// `shutdown.grace` and `cancel_grace` as a configuration says them, in seconds.
fn graces(configuration: &str) -> Option<u64> {
    let of = |key| value(configuration, key)?.split(['"', '#']).next().and_then(seconds);
    Some(of("grace = ")? + of("cancel_grace = ")?)
}

/// Who kills the daemon, the configuration that it runs then, and the key that says when.
const KEEPERS: [(&str, &str, &str); 2] = [
    // The unit's configuration is the operator's, and may be empty.
    (UNIT, DEFAULTS, "TimeoutStopSec="),
    (MANIFEST, MANIFEST, "terminationGracePeriodSeconds: "),
];

fn too_little_time(tree: &Tree) -> Vec<Finding> {
    let Some(fixed) = fixed_phases(tree) else {
        return vec![Finding::new(SHUTDOWN, 1, "its phases' limits can't be added up")];
    };
    let mut findings = Vec::new();
    for (keeper, configuration, key) in KEEPERS {
        let Some(graces) = tree.text(configuration).and_then(graces) else {
            let say = "says neither grace nor cancel_grace in seconds";
            findings.push(Finding::new(configuration, 1, say));
            continue;
        };
        let needed = graces + fixed;
        let given = tree.text(keeper).and_then(|text| value(text, key)).and_then(seconds);
        if given.is_none_or(|given| given <= needed) {
            let given = given.map_or("nothing".to_owned(), |given| format!("{given} s"));
            let say = format!("{key}{given}: a whole shutdown takes up to {needed} s");
            findings.push(Finding::new(keeper, 1, say));
        }
    }
    findings
}

/// What a probe of the manifest waits for its answer at least, in seconds: the kubelet's default of
/// one is too little for a machine that is busy, and it would restart the pod for it.
const PROBE_TIMEOUT: u64 = 5;

/// Probes of the manifest that the admin port doesn't answer, that don't wait for it to, and probes
/// that are missing.
fn probes(tree: &Tree) -> Vec<Finding> {
    let manifest = tree.text(MANIFEST).unwrap_or_default();
    let mut findings = Vec::new();
    for (probe, path) in [
        ("startupProbe:", "/health/startup"),
        ("readinessProbe:", "/health/ready"),
        ("livenessProbe:", "/health/live"),
    ] {
        let block = manifest.split(probe).nth(1).unwrap_or_default();
        let block = block.split("Probe:").next().unwrap_or_default();
        let waits = value(block, "timeoutSeconds: ").and_then(seconds);
        if waits.is_none_or(|waits| waits < PROBE_TIMEOUT) {
            let say = format!("{probe} must have timeoutSeconds: {PROBE_TIMEOUT} or more");
            findings.push(Finding::new(MANIFEST, 1, say));
        }
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
    use super::{
        DEFAULTS, MANIFEST, RUN, SHUTDOWN, Tree, UNIT, fixed_phases, missing_settings, probes,
        too_little_time,
    };

    const DEFAULT: &str = "[shutdown]\ngrace = \"25s\"\ncancel_grace = \"3s\"\n";
    const PHASES: &str = "const FLUSH: Duration = Duration::from_secs(2);
        const SETTLE: Duration = Duration::from_millis(300);
        phase.wait(\"flush\", FLUSH, work).await;
        phase.wait(\"wait\", settings.shutdown.grace, work).await;
        phase.wait(\"settle\", SETTLE, work).await;
        phase.wait(\"settle again\", SETTLE, work).await;";
    const LOGS: &str = "const LOG_FLUSH: Duration = Duration::from_millis(500);";

    #[test]
    fn phases_are_counted_as_often_as_they_are_waited_for() {
        let found = |phases: &str| fixed_phases(&Tree::made_of(&[(SHUTDOWN, phases), (RUN, LOGS)]));
        assert_eq!(found(PHASES), Some(4), "2 + 0.3 + 0.3 + 0.5");
        assert_eq!(found("phase.wait(\"flush\", UNKNOWN, work)"), None);
        assert_eq!(found(""), None);
    }

    #[test]
    fn a_stop_shorter_than_the_shutdown_is_found() {
        let found = |unit: &str, defaults: &str, manifest: &str| {
            let files = [(UNIT, unit), (DEFAULTS, defaults), (MANIFEST, manifest)];
            let files = [&files[..], &[(SHUTDOWN, PHASES), (RUN, LOGS)]].concat();
            too_little_time(&Tree::made_of(&files)).len()
        };
        let pod = |seconds: u32, grace: u32| {
            format!(
                "    grace = \"{grace}s\"   # less than below\n    cancel_grace = \"3s\"\n  \
                 terminationGracePeriodSeconds: {seconds}"
            )
        };
        assert_eq!(found("TimeoutStopSec=45", DEFAULT, &pod(60, 25)), 0);
        assert_eq!(found("TimeoutStopSec=32", DEFAULT, &pod(60, 25)), 1, "not even a second more");
        assert_eq!(found("TimeoutStopSec=33", DEFAULT, &pod(60, 25)), 0);
        assert_eq!(found("TimeoutStopSec=45", &DEFAULT.replace("25", "40"), &pod(60, 25)), 1);
        assert_eq!(found("TimeoutStopSec=45", DEFAULT, &pod(60, 55)), 1, "its own configuration");
        assert_eq!(found("", DEFAULT, &pod(30, 25)), 2);
        assert_eq!(found("TimeoutStopSec=45", "", "terminationGracePeriodSeconds: 60"), 2);
        assert_eq!(too_little_time(&Tree::default()).len(), 1);
    }

    #[test]
    fn a_probe_of_a_path_that_nobody_answers_is_found() {
        let manifest = "startupProbe:\n path: /health/startup\n timeoutSeconds: 5\n\
            readinessProbe:\n path: /health/ready\n timeoutSeconds: 5\n\
            livenessProbe:\n path: /health/live\n timeoutSeconds: 5\n";
        let found = |manifest: &str, routes: &str| {
            probes(&Tree::made_of(&[(MANIFEST, manifest), ("src/admin/health.rs", routes)])).len()
        };
        let routes = "[\"/health/startup\", \"/health/ready\", \"/health/live\"]";
        assert_eq!(found(manifest, routes), 0);
        assert_eq!(found(manifest, "\"/health/live\""), 2);
        assert_eq!(found(&manifest.replace("/health/live", "/healthz"), routes), 2);
        assert_eq!(found(&manifest.replace("timeoutSeconds: 5", "timeoutSeconds: 1"), routes), 3);
        assert_eq!(found(&manifest.replacen("timeoutSeconds: 5", "", 1), routes), 1, "its own");
    }

    #[test]
    fn a_missing_setting_is_found() {
        assert_eq!(missing_settings(&Tree::default()).len(), 11);
    }
}
