//! Which commit a build says that it is of, wherever it is built.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::cli::{command, finished};

/// The build script, by itself.
fn script() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/build.rs");
    let compiled = Command::new("rustc")
        .args(["--edition", "2024", "-o", "script", source])
        .current_dir(directory.path())
        .output()
        .expect("the compiler runs");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    directory
}

/// What a build in `root` is told of its commit.
fn told(script: &TempDir, root: &Path, variables: &[(&str, &str)]) -> String {
    let mut script = Command::new(script.path().join("script"));
    script.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("CARGO_MANIFEST_DIR", root);
    let ran = script.envs(variables.iter().copied()).output().expect("the script runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let said = String::from_utf8(ran.stdout).expect("UTF-8");
    let line = said.lines().find_map(|line| line.strip_prefix("cargo::rustc-env=LEGWORK_COMMIT="));
    line.expect("the compiler is told").to_owned()
}

fn git(root: &Path, arguments: &[&str]) -> String {
    let who = ["-c", "user.name=a", "-c", "user.email=a@b"];
    let ran = Command::new("git").args(who).arg("-C").arg(root).args(arguments).output();
    let ran = ran.expect("git runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).expect("UTF-8").trim().to_owned()
}

#[test]
fn a_build_names_its_commit_where_there_is_one_and_is_a_build_where_there_is_none() {
    const RELEASE: (&str, &str) = ("PROFILE", "release");
    let script = script();
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path();
    git(root, &["init", "-q"]);
    assert_eq!(told(&script, root, &[RELEASE]), "unknown", "no commit yet");
    git(root, &["commit", "-q", "--allow-empty", "-m", "first"]);
    let commit = git(root, &["rev-parse", "HEAD"]);
    assert_eq!(told(&script, root, &[RELEASE]), commit[..12]);
    assert_eq!(told(&script, root, &[RELEASE, ("PATH", "/nowhere")]), "unknown", "without git");
    assert_eq!(told(&script, root, &[("PROFILE", "debug")]), "unknown");
    let given = ("LEGWORK_COMMIT", "0123456789abcdef0123456789abcdef01234567");
    assert_eq!(told(&script, root, &[RELEASE, given]), "0123456789ab", "the image's build");
    assert_eq!(told(&script, root, &[RELEASE, ("LEGWORK_COMMIT", "x\ny")]), "unknown");

    // A package that was unpacked in somebody's repository isn't of that repository's commit.
    let unpacked = root.join("package");
    std::fs::create_dir(&unpacked).expect("a directory");
    assert_eq!(told(&script, &unpacked, &[RELEASE]), "unknown");
    let written =
        "{\n  \"git\": {\n    \"sha1\": \"fedcba9876543210fedcba9876543210fedcba98\"\n  }\n}";
    std::fs::write(unpacked.join(".cargo_vcs_info.json"), written).expect("it is written");
    assert_eq!(told(&script, &unpacked, &[RELEASE]), "fedcba987654");
}

#[tokio::test]
async fn the_long_version_names_the_commit_and_the_short_one_doesnt() {
    let long = finished(command("", &["--version"]), None).await.done().stdout;
    let expected = format!("{} (commit {})", env!("CARGO_PKG_VERSION"), env!("LEGWORK_COMMIT"));
    assert_eq!(long.trim(), format!("legwork {expected}"));
    let short = finished(command("", &["-V"]), None).await.done().stdout;
    assert_eq!(short.trim(), concat!("legwork ", env!("CARGO_PKG_VERSION")));
}
