//! A throwaway Postgres in a container, where a machine has a Docker engine and no server programs.
//!
//! Why: on many a laptop the engine is the only server there is, and what the demo shows shouldn't
//! depend on a package. The engine is spoken to by its own program, `docker`, which knows contexts,
//! sockets and credentials; it fetches the image where the engine doesn't have it, so whoever starts
//! one says so first. Like the private cluster it belongs to this process: [`Container::stop`] and
//! `Drop` remove it, and a shell does when the owner was killed.
//!
//! It keeps no data, and no server is halted or restarted in it: for that, and for anything that is
//! measured, there is [`Postgres`](super::Postgres).

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::Instant;

use super::EmbeddedError;
use super::cluster::{SUPERUSER, last_words};
use crate::sys::{ChildSetup, spawner};

/// The image; the newest major version that is tested.
pub const IMAGE: &str = "postgres:17";

/// The server's port inside the container.
const PORT: &str = "5432";

/// The longest wait for sessions once the container runs. It takes 3 s, most of it initdb.
const READY_LIMIT: Duration = Duration::from_mins(1);

/// How often the server is asked. Each look is a process in the container.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Removes the container when its input ends, which it does when the owner ends in whatever way.
/// A line of input says that the engine has answered. Without one a container may be on its way
/// still, so it is looked for again, for ten seconds.
const REMOVER: &str = r#"
tries=10
while read -r _; do tries=1; done
while [ $tries -gt 0 ]; do
  "$1" rm --force --volumes "$2" >/dev/null 2>&1
  tries=$((tries - 1))
  [ $tries -eq 0 ] || sleep 1
done
"#;

/// A server in a container that belongs to this process. Everything here blocks.
#[derive(Debug)]
pub struct Container {
    docker: PathBuf,
    name: String,
    password: String,
    address: String,
    remover: Option<Child>,
}

impl Container {
    /// The `docker` program of the first of these directories that has one, if its engine answers.
    pub fn engine(search: &[PathBuf]) -> Result<PathBuf, EmbeddedError> {
        let programs = search.iter().map(|directory| directory.join("docker"));
        let found = programs.into_iter().find(|program| program.is_file());
        let docker = found.ok_or(EmbeddedError::FindDocker)?;
        docker_says(&docker, &["version", "--format", "{{.Server.Version}}"])?;
        Ok(docker)
    }

    /// Starts a server, waits until it accepts connections. Takes 3 s, and what it takes to fetch
    /// the image where the engine hasn't got it.
    pub fn start(docker: &Path) -> Result<Self, EmbeddedError> {
        let name = format!("legwork-pg-{:012x}", fastrand::u64(..) >> 16);
        let mut container = Self {
            docker: docker.to_owned(),
            password: random_password()?,
            address: String::new(),
            remover: Some(remover(docker, &name)?),
            name,
        };
        container.run_server()?;
        let published = docker_says(docker, &["port", &container.name, PORT])?;
        let address = published.lines().next().unwrap_or_default();
        address.trim().clone_into(&mut container.address);
        container.wait_until_ready()?;
        Ok(container)
    }

    /// The address of a database, over a port that only this machine can reach.
    pub fn url(&self, database: &str) -> String {
        let (password, address) = (&self.password, &self.address);
        format!("postgres://{SUPERUSER}:{password}@{address}/{database}?sslmode=disable")
    }

    /// The command by which a person looks into a database of it.
    pub fn psql(&self, database: &str) -> String {
        format!("docker exec -i {} psql -U {SUPERUSER} -d {database}", self.name)
    }

    /// Removes the container with its data.
    pub fn stop(mut self) -> Result<(), EmbeddedError> {
        self.clear_away()
    }

    /// Starts the container. The password goes by the environment: arguments can be read by all.
    fn run_server(&mut self) -> Result<(), EmbeddedError> {
        let mut command = docker_command(&self.docker);
        command.env("POSTGRES_PASSWORD", &self.password).env("POSTGRES_USER", SUPERUSER);
        command.args(["run", "--detach", "--name", &self.name]);
        command.args(["--env", "POSTGRES_PASSWORD", "--env", "POSTGRES_USER"]);
        command.args(["--publish", &format!("127.0.0.1::{PORT}"), IMAGE]);
        // Data that goes with the container needs no syncing.
        command.args(["-c", "fsync=off", "-c", "full_page_writes=off"]);
        let started = run(command);
        let told = self.remover.as_mut().and_then(|remover| remover.stdin.as_mut());
        if let Some(Err(error)) = told.map(|input| input.write_all(b"\n")) {
            // Not fatal: it has ended, and only the cleaning after a crash of ours is lost.
            tracing::warn!(%error, "the shell that removes the container has ended");
        }
        started.map(|_id| ())
    }

    /// Asks over TCP inside the container: the image first runs a server that only makes the data
    /// and listens on a socket alone.
    fn wait_until_ready(&self) -> Result<(), EmbeddedError> {
        let began = Instant::now();
        let ask = ["exec", &self.name, "pg_isready", "--host", "127.0.0.1", "--quiet"];
        while docker_says(&self.docker, &ask).is_err() {
            if !self.is_running() {
                let (status, said) = ("its container".to_owned(), self.last_logged());
                return Err(EmbeddedError::Ended { status, said });
            }
            if began.elapsed() > READY_LIMIT {
                let (seconds, said) = (READY_LIMIT.as_secs(), self.last_logged());
                return Err(EmbeddedError::Late { awaited: "get ready", seconds, said });
            }
            sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn is_running(&self) -> bool {
        let format = "{{.State.Running}}";
        let inspect = ["container", "inspect", "--format", format, &self.name];
        docker_says(&self.docker, &inspect).is_ok_and(|said| said.trim() == "true")
    }

    /// The end of the server's log, which goes with the container.
    fn last_logged(&self) -> String {
        let mut command = docker_command(&self.docker);
        command.args(["logs", "--tail", "20", &self.name]);
        output(command).map(|output| last_words(&output.stderr)).unwrap_or_default()
    }

    /// What `stop` and `Drop` do: the same as the shell would, and now.
    fn clear_away(&mut self) -> Result<(), EmbeddedError> {
        let Some(mut remover) = self.remover.take() else { return Ok(()) };
        drop(remover.stdin.take());
        let program = PathBuf::from("/bin/sh");
        remover.wait().map_err(|source| EmbeddedError::Run { program, source })?;
        Ok(())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Err(error) = self.clear_away() {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, name = self.name, "the container wasn't cleared away");
        }
    }
}

/// `docker`, with the caller's environment: that is where it learns which engine is meant. In a
/// process group of its own, so that a Ctrl-C stops the daemon and not what the daemon needs to
/// end; and it doesn't go on fetching an image for an owner that is dead.
fn docker_command(docker: &Path) -> Command {
    let mut command = Command::new(docker);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    ChildSetup::new().own_process_group().death_signal(Signal::SIGKILL).apply(&mut command);
    command
}

/// What `docker` prints for these arguments, if it succeeds.
fn docker_says(docker: &Path, arguments: &[&str]) -> Result<String, EmbeddedError> {
    let mut command = docker_command(docker);
    command.args(arguments);
    run(command)
}

/// What a command printed, if it succeeded.
fn run(command: Command) -> Result<String, EmbeddedError> {
    let output = output(command)?;
    if !output.status.success() {
        return Err(EmbeddedError::Docker { said: last_words(&output.stderr) });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs the program to its end.
fn output(command: Command) -> Result<Output, EmbeddedError> {
    let program = PathBuf::from(command.get_program());
    spawner::spawn_blocking(command)
        .and_then(Child::wait_with_output)
        .map_err(|source| EmbeddedError::Run { program, source })
}

/// Starts the shell that removes the container, before there is one.
fn remover(docker: &Path, name: &str) -> Result<Child, EmbeddedError> {
    let program = PathBuf::from("/bin/sh");
    let mut command = Command::new(&program);
    command.args(["-c", REMOVER, "legwork-pg-remover"]).arg(docker).arg(name);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    ChildSetup::new().own_process_group().apply(&mut command);
    spawner::spawn_blocking(command).map_err(|source| EmbeddedError::Run { program, source })
}

/// Every user of the machine can knock at the port, and a superuser can run programs.
fn random_password() -> Result<String, EmbeddedError> {
    let mut random = [0; 16];
    let source = Path::new("/dev/urandom");
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut random))
        .map_err(EmbeddedError::files("read", source))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(random)))
}
