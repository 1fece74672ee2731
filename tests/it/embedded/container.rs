//! The Postgres in a container: what `docker` is asked, and what is left afterwards.
//!
//! A program that stands for `docker` writes down what it is asked, so that this runs everywhere.
//! Where the test run itself has its server from an engine, a real container is started as well.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use legwork::embedded::{Container, EmbeddedError};
use tempfile::TempDir;

use super::{ask, block_on, eventually, start_process};
use crate::support::server;

/// The directory of a stand-in for `docker`.
struct Docker(TempDir);

impl Docker {
    /// One whose server is ready when it is asked for the second time, or has ended by then.
    fn with_a_server_that(becomes: &str) -> Self {
        let ready = i32::from(becomes != "ready");
        Self::that(&format!(
            r#"printf '%s\n' "$*" >> "$home/asked"
            case $1 in
              version) echo 20.10.24 ;;
              run) printf %s "$POSTGRES_PASSWORD" > "$home/password"; touch "$home/runs" ;;
              port) echo 127.0.0.1:54321 ;;
              exec) if [ -e "$home/seen" ]; then exit {ready}; fi; touch "$home/seen"; exit 2 ;;
              container) if [ {ready} = 0 ] || [ ! -e "$home/seen" ]; then echo true; fi ;;
              logs) echo 'FATAL: no space left on device' >&2 ;;
              rm) rm -f "$home/runs" ;;
            esac"#
        ))
    }

    /// One that does this. A shell writes it, since a file that this process has open for writing
    /// could be inherited by what another test starts just now, and couldn't be run.
    fn that(does: &str) -> Self {
        let home = tempfile::tempdir().expect("a directory can be made");
        let program = format!("#!/bin/sh\nhome={}\n{does}\n", home.path().display());
        let write = r#"printf %s "$1" > "$2" && chmod 755 "$2""#;
        let mut shell = Command::new("sh");
        let written = shell.args(["-c", write, "sh", &program]).arg(home.path().join("docker"));
        assert!(written.status().expect("a shell runs").success());
        Self(home)
    }

    fn program(&self) -> PathBuf {
        self.0.path().join("docker")
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap_or_default()
    }

    /// Whether its container is there.
    fn runs(&self) -> bool {
        self.0.path().join("runs").exists()
    }
}

#[test]
fn a_container_is_reachable_from_this_machine_alone_and_goes_with_its_owner() {
    let docker = Docker::with_a_server_that("ready");
    let container = Container::start(&docker.program()).unwrap();
    assert!(docker.runs());
    let password = docker.read("password");
    assert_eq!(password.len(), 32, "{password}");
    let address = format!("postgres://postgres:{password}@127.0.0.1:54321/app?sslmode=disable");
    assert_eq!(container.url("app"), address);
    container.stop().unwrap();
    assert!(!docker.runs());

    let asked = docker.read("asked");
    assert!(asked.contains(" --publish 127.0.0.1::5432 postgres:17 "), "{asked}");
    assert!(!asked.contains(&password), "arguments can be read by everybody: {asked}");
}

#[test]
fn a_container_that_was_dropped_is_removed() {
    let docker = Docker::with_a_server_that("ready");
    drop(Container::start(&docker.program()).unwrap());
    assert!(docker.read("asked").contains("\nrm --force --volumes legwork-pg-"));
    assert!(!docker.runs());
}

#[test]
fn a_container_that_ends_before_it_is_ready_says_what_it_logged() {
    let docker = Docker::with_a_server_that("ends");
    let error = Container::start(&docker.program()).unwrap_err();
    assert!(matches!(error, EmbeddedError::Ended { .. }), "{error}");
    assert!(error.to_string().ends_with("FATAL: no space left on device"), "{error}");
    assert!(!docker.runs());
}

#[test]
fn an_image_that_cannot_be_had_is_an_error_in_the_words_of_docker() {
    let docker = Docker::that("[ $1 = run ] || exit 0; echo 'no such host' >&2; exit 125");
    let error = Container::start(&docker.program()).unwrap_err();
    assert_eq!(error.to_string(), "no such host");
}

#[test]
fn without_a_program_or_without_an_engine_the_error_says_so() {
    let nowhere = tempfile::tempdir().unwrap();
    let error = Container::engine(&[nowhere.path().to_owned()]).unwrap_err().to_string();
    assert_eq!(error, "there is no `docker` on the PATH");

    let down = Docker::that("echo 'Cannot connect to the Docker daemon' >&2; exit 1");
    let error = Container::engine(&[down.0.path().to_owned()]).unwrap_err().to_string();
    assert_eq!(error, "Cannot connect to the Docker daemon");

    let up = Docker::with_a_server_that("ready");
    let search = [nowhere.path().to_owned(), up.0.path().to_owned()];
    assert_eq!(Container::engine(&search).unwrap(), up.program());
}

/// The variable that makes this test binary an owner of a container, see [`an_owner`].
const OWNER_OF: &str = "LEGWORK_TEST_CONTAINER_OF";

/// Not a test of its own: the process that the next test kills. Without the variable it has nothing
/// to do.
#[test]
#[expect(clippy::disallowed_methods, reason = "the test that starts this process tells it so")]
fn an_owner() {
    let Ok(docker) = std::env::var(OWNER_OF) else { return };
    let container = Container::start(Path::new(&docker)).unwrap();
    println!("\nserver={}", std::process::id());
    std::io::stdin().read_line(&mut String::new()).unwrap();
    drop(container);
}

#[test]
fn when_the_owner_is_killed_its_container_is_removed() {
    let docker = Docker::with_a_server_that("ready");
    let program = docker.program();
    let (mut owner, _pid) = start_process("embedded::container::an_owner", OWNER_OF, &program);
    assert!(docker.runs());
    owner.kill().unwrap();
    owner.wait().unwrap();
    block_on(eventually("its container is gone", async || !docker.runs()));
}

/// Has its substance where the test run's own server comes from an engine: `make test-docker`.
#[test]
fn a_container_of_a_real_engine_serves_sessions() {
    let Some(docker) = server::docker_of_this_run() else { return };
    let container = Container::start(&docker).unwrap();
    assert_eq!(block_on(ask(&container.url("postgres"), "SHOW fsync")), "off");
    let psql = container.psql("postgres");
    let asked = Command::new("sh").args(["-c", &format!("{psql} -Atc 'SELECT 6 * 7'")]).output();
    assert_eq!(String::from_utf8_lossy(&asked.unwrap().stdout), "42\n");
    let name = psql.split(' ').nth(3).unwrap().to_owned();
    container.stop().unwrap();
    let inspected = Command::new(&docker).args(["container", "inspect", &name]).output().unwrap();
    assert!(!inspected.status.success(), "the container {name} is still there");
}
