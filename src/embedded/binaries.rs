//! Finds the server programs of a Postgres that the system has already.
//!
//! Debian keeps them out of `$PATH`, Homebrew keeps each major version in a place of its own, and
//! a machine often has several: the newest major version wins, the earlier place among equals.
//! Nothing is downloaded or installed here; the error names the command that does.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::EmbeddedError;

/// The oldest major version whose features Legwork relies on.
const OLDEST_MAJOR: u16 = 14;

/// Where packages put the programs. The last part but one may be a pattern, `*` for any text.
const USUAL_PLACES: [&str; 9] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
    "/usr/local/pgsql/bin",
    "/usr/local/bin",
    "/usr/bin",
];

/// Which command installs Postgres, by the package manager that is there.
const INSTALLERS: [(&str, &str); 5] = [
    ("/usr/bin/apt-get", "apt-get install postgresql"),
    ("/usr/bin/dnf", "dnf install postgresql-server"),
    ("/sbin/apk", "apk add postgresql"),
    ("/opt/homebrew/bin/brew", "brew install postgresql@17"),
    ("/usr/local/bin/brew", "brew install postgresql@17"),
];

/// A directory with `postgres`, `initdb` and `pg_ctl` of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    directory: PathBuf,
    major: u16,
}

impl Binaries {
    /// The newest among those in the given places and those their `pg_config` names.
    pub(super) fn find(places: &[PathBuf]) -> Result<Self, EmbeddedError> {
        let told = places.iter().filter_map(|place| told_by_pg_config(place));
        let mut newest: Option<Self> = None;
        for candidate in places.iter().cloned().chain(told).filter_map(Self::at) {
            if newest.as_ref().is_none_or(|best| candidate.major > best.major) {
                newest = Some(candidate);
            }
        }
        match newest {
            Some(best) if best.major >= OLDEST_MAJOR => Ok(best),
            other => Err(missing(other.as_ref())),
        }
    }

    /// The programs of this directory, if they are there and say their version.
    fn at(directory: PathBuf) -> Option<Self> {
        let complete = ["initdb", "pg_ctl"].iter().all(|name| directory.join(name).is_file());
        let said = printed_by(directory.join("postgres"), "--version").filter(|_| complete)?;
        Some(Self { directory, major: major_of(&said)? })
    }

    /// The path of one of the programs.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The directory they are in.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }
}

/// Every directory on this machine that matches one of the usual places.
pub(super) fn usual_places() -> Vec<PathBuf> {
    USUAL_PLACES.iter().flat_map(|pattern| expand(Path::new(pattern))).collect()
}

/// The directories that a pattern with one `*` stands for, in the order of their names.
fn expand(pattern: &Path) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.to_str().and_then(|text| text.split_once('*')) else {
        return vec![pattern.to_owned()];
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let entries = std::fs::read_dir(Path::new("/").join(parent)).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join(after.trim_start_matches('/')))
        .filter(|directory| directory.is_dir())
        .collect();
    found.sort();
    found
}

/// The directory that the `pg_config` of this place names.
fn told_by_pg_config(place: &Path) -> Option<PathBuf> {
    let program = place.join("pg_config");
    let said = program.is_file().then(|| printed_by(program, "--bindir"))??;
    Some(PathBuf::from(said.trim()))
}

/// What a program prints for one argument, if it succeeds.
fn printed_by(program: PathBuf, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The major version in `postgres (PostgreSQL) 15.18 (Debian …)` or `… 18beta1`.
fn major_of(said: &str) -> Option<u16> {
    let version = said.split_once("(PostgreSQL)")?.1.trim_start();
    let digits = version.split(|character: char| !character.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// The error for nothing, or nothing new enough.
fn missing(newest: Option<&Binaries>) -> EmbeddedError {
    let found = newest.map_or_else(
        || "no Postgres server programs were found".to_owned(),
        |old| format!("the newest Postgres is {} in {}", old.major, old.directory.display()),
    );
    let command = INSTALLERS.iter().find(|(manager, _)| Path::new(manager).exists());
    let install = command.map_or_else(
        || "Install the Postgres server with the system's package manager.".to_owned(),
        |(_, command)| format!("This installs it: {command}"),
    );
    EmbeddedError::FindBinaries { found, minimum: OLDEST_MAJOR, install }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::debian("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(15))]
    #[case::plain("postgres (PostgreSQL) 17.2\n", Some(17))]
    #[case::beta("postgres (PostgreSQL) 18beta1\n", Some(18))]
    #[case::another_program("pgbouncer 1.18\n", None)]
    #[case::no_number("postgres (PostgreSQL) devel\n", None)]
    fn the_major_version_is_read(#[case] said: &str, #[case] expected: Option<u16>) {
        assert_eq!(major_of(said), expected);
    }

    /// Writes a program. A shell does it: a descriptor that is open for writing in *this* process
    /// may be inherited by whatever another test forks just now, and the program would be "busy".
    fn write_program(path: &Path, line: &str) {
        let script = r#"printf '#!/bin/sh\n%s\n' "$1" > "$2" && chmod 755 "$2""#;
        let status = Command::new("sh").args(["-c", script, "sh", line]).arg(path).status();
        assert!(status.unwrap().success());
    }

    /// A directory with programs that claim to be of this version.
    fn pretend(root: &Path, name: &str, version: &str) -> PathBuf {
        let directory = root.join(name);
        std::fs::create_dir(&directory).unwrap();
        for program in ["postgres", "initdb", "pg_ctl"] {
            let line = format!("echo 'postgres (PostgreSQL) {version}'");
            write_program(&directory.join(program), &line);
        }
        directory
    }

    #[test]
    fn the_newest_major_wins_and_the_earlier_place_among_equals() {
        let root = tempfile::tempdir().unwrap();
        let old = pretend(root.path(), "old", "14.9");
        let first = pretend(root.path(), "first", "17.1");
        let second = pretend(root.path(), "second", "17.4");
        let found = Binaries::find(&[old, first.clone(), second]).unwrap();
        assert_eq!(found, Binaries { directory: first, major: 17 });
    }

    #[test]
    fn a_version_that_is_too_old_is_named_in_the_error() {
        let root = tempfile::tempdir().unwrap();
        let old = pretend(root.path(), "old", "13.20");
        let error = Binaries::find(&[old]).unwrap_err().to_string();
        assert!(error.starts_with("the newest Postgres is 13 in "), "{error}");
        assert!(error.contains("needs version 14 or newer"), "{error}");
    }

    #[test]
    fn pg_config_leads_to_programs_outside_the_places() {
        let root = tempfile::tempdir().unwrap();
        let elsewhere = pretend(root.path(), "elsewhere", "16.2");
        let place = root.path().join("place");
        std::fs::create_dir(&place).unwrap();
        write_program(&place.join("pg_config"), &format!("echo {}", elsewhere.display()));
        assert_eq!(Binaries::find(&[place]).unwrap().directory(), elsewhere);
    }

    #[test]
    fn a_pattern_stands_for_every_directory_that_fits() {
        let root = tempfile::tempdir().unwrap();
        for name in ["pg-16/bin", "pg-15/bin", "other/bin", "pg-17/lib"] {
            std::fs::create_dir_all(root.path().join(name)).unwrap();
        }
        let expected = vec![root.path().join("pg-15/bin"), root.path().join("pg-16/bin")];
        assert_eq!(expand(&root.path().join("pg-*/bin")), expected);
    }
}
