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
const SETTINGS: &str = "src/config/settings.rs";
/// Tells the daemon how long whoever stops it waits.
const STOP_TIMEOUT: &str = "LEGWORK_SHUTDOWN__STOP_TIMEOUT";

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

/// What a shutdown may take beside the graces, in seconds.
fn rest_of_a_shutdown(tree: &Tree) -> Option<u64> {
    let settings = tree.text(SETTINGS)?;
    Some((constant(settings, "FLUSH")? + constant(settings, "LAST")?).div_ceil(1000))
}

/// What the daemon is told of its keeper's limit: `Environment=NAME=45s`, or a name and a value in
/// the line below.
fn told(keeper: &str) -> Option<u64> {
    let after = keeper.lines().skip_while(|line| !is_setting_of_stop_timeout(line));
    let words: Vec<_> = after.take(2).flat_map(|line| line.split([' ', '='])).collect();
    let value = words.iter().skip_while(|word| **word != STOP_TIMEOUT).skip(1);
    let value = value.copied().find(|word| !word.is_empty() && *word != "value:")?;
    seconds(value.trim_matches('"'))
}

fn is_setting_of_stop_timeout(line: &str) -> bool {
    !line.trim().starts_with('#') && line.contains(STOP_TIMEOUT)
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
    let Some(fixed) = rest_of_a_shutdown(tree) else {
        return vec![Finding::new(SETTINGS, 1, "it has no FLUSH and LAST of a shutdown")];
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
            let say = format!("{key}{given:?}: a whole shutdown takes up to {needed} s");
            findings.push(Finding::new(keeper, 1, say));
        }
        let told = tree.text(keeper).and_then(told);
        if told != given {
            let say =
                format!("{STOP_TIMEOUT} is {told:?} s, and {key}{given:?}: both are the limit");
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
        (UNIT, "Type=notify-reload"),
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
        DEFAULTS, MANIFEST, SETTINGS, STOP_TIMEOUT, Tree, UNIT, missing_settings, probes,
        rest_of_a_shutdown, told, too_little_time,
    };

    const DEFAULT: &str = "[shutdown]\ngrace = \"25s\"\ncancel_grace = \"3s\"\n";
    const REST: &str = "pub const FLUSH: Duration = Duration::from_secs(2);
        pub const LAST: Duration = Duration::from_millis(1000);";

    #[test]
    fn the_rest_of_a_shutdown_is_read_from_the_code() {
        let found = |text: &str| rest_of_a_shutdown(&Tree::made_of(&[(SETTINGS, text)]));
        assert_eq!(found(REST), Some(3));
        assert_eq!(found("pub const FLUSH: Duration = Duration::from_secs(2);"), None);
    }

    #[test]
    fn what_the_daemon_is_told_is_read_from_unit_and_manifest() {
        assert_eq!(told("Environment=LEGWORK_SHUTDOWN__STOP_TIMEOUT=45s\nA=b"), Some(45));
        let manifest = "- name: LEGWORK_SHUTDOWN__STOP_TIMEOUT\n  value: \"60s\"\n- name: B";
        assert_eq!(told(manifest), Some(60));
        assert_eq!(told("# LEGWORK_SHUTDOWN__STOP_TIMEOUT=45s\n"), None);
        assert_eq!(told("Environment=LEGWORK_SHUTDOWN__STOP_TIMEOUT=\n"), None);
    }

    #[test]
    fn a_stop_shorter_than_the_shutdown_is_found() {
        let found = |unit: &str, defaults: &str, manifest: &str| {
            let files =
                [(UNIT, unit), (DEFAULTS, defaults), (MANIFEST, manifest), (SETTINGS, REST)];
            too_little_time(&Tree::made_of(&files)).len()
        };
        let pod = |seconds: u32, grace: u32| {
            format!(
                "    grace = \"{grace}s\"   # less than below\n    cancel_grace = \"3s\"\n  \
                 terminationGracePeriodSeconds: {seconds}\n - name: {STOP_TIMEOUT}\n   value: \
                 {seconds}s\n"
            )
        };
        let unit = |seconds: u32| {
            format!("TimeoutStopSec={seconds}\nEnvironment={STOP_TIMEOUT}={seconds}s")
        };
        assert_eq!(found(&unit(45), DEFAULT, &pod(60, 25)), 0);
        assert_eq!(found(&unit(31), DEFAULT, &pod(60, 25)), 1, "not even a second more");
        assert_eq!(found(&unit(32), DEFAULT, &pod(60, 25)), 0);
        assert_eq!(found(&unit(45), &DEFAULT.replace("25", "42"), &pod(60, 25)), 1);
        assert_eq!(found(&unit(45), DEFAULT, &pod(60, 55)), 1, "its own configuration");
        assert_eq!(found("", DEFAULT, &pod(30, 25)), 2);
        assert_eq!(found(&unit(45), "", "terminationGracePeriodSeconds: 60"), 2);
        assert_eq!(found("TimeoutStopSec=45", DEFAULT, &pod(60, 25)), 1, "it isn't told");
        let stale = unit(45).replace("=45s", "=50s");
        assert_eq!(found(&stale, DEFAULT, &pod(60, 25)), 1, "it is told something else");
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
