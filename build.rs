//! Tells the program from which commit it is built, as `LEGWORK_COMMIT` for the compiler.
//!
//! The variable of the same name wins, for builds that have no repository beside them, such as the
//! image's. Otherwise git is asked, of a release alone: a build for development would compile the crate
//! anew after each commit, and nobody reads its commit. Where there is neither (a tarball, no git) it is
//! what the package was made from, or `unknown`; the build never fails for that.

#![expect(clippy::disallowed_methods, reason = "a build script is told everything by variables")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// As many digits as tell commits apart for people.
const SHOWN: usize = 12;

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LEGWORK_COMMIT");
    let given = env::var("LEGWORK_COMMIT").ok().filter(|commit| !commit.is_empty());
    let release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let found =
        given.or_else(|| if release { of_git(&root).or_else(|| of_package(&root)) } else { None });
    let commit = found.as_deref().and_then(shortened).unwrap_or("unknown");
    println!("cargo::rustc-env=LEGWORK_COMMIT={commit}");
}

/// A commit's first digits; anything else isn't one.
fn shortened(commit: &str) -> Option<&str> {
    let digits = commit.len() >= 7 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| &commit[..commit.len().min(SHOWN)])
}

/// Of the repository whose root this directory is: one further up is somebody else's.
fn of_git(root: &Path) -> Option<String> {
    if !root.join(".git").exists() {
        return None;
    }
    let git = |arguments: &[&str]| {
        let answer = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
        let text = String::from_utf8(answer.stdout).ok()?.trim().to_owned();
        (answer.status.success() && !text.is_empty()).then_some(text)
    };
    // A line is added to it by each commit and each checkout.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={}", root.join(log).display());
    }
    git(&["rev-parse", "HEAD"])
}

/// What cargo wrote down when it made the package.
fn of_package(root: &Path) -> Option<String> {
    let written = fs::read_to_string(root.join(".cargo_vcs_info.json")).ok()?;
    let (_, sha1) = written.split_once("\"sha1\": \"")?;
    sha1.split('"').next().map(str::to_owned)
}
