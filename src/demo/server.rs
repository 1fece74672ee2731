//! The Postgres that the demo runs on: a private cluster, else a container.
//!
//! It exists because two commands shall be enough on whatever machine: one with Postgres's programs,
//! or one with nothing but a Docker engine. It never takes a server that runs already, which would
//! be somebody's.

use super::DemoError;
use crate::embedded::{Container, EmbeddedError, IMAGE, Options, Postgres};
use std::path::{Path, PathBuf};

/// The database of the superuser, there on every server.
const DATABASE: &str = "postgres";

/// A server that goes away with its owner.
#[derive(Debug)]
pub(super) enum Server {
    /// From the programs of this machine.
    Private(Postgres),
    /// Where this machine has none.
    Container(Container),
}

impl Server {
    /// Starts the first of the two that this machine can have, and says which before it does. `path`
    /// is searched for programs beside the places in `options`. Blocks.
    pub(super) fn start(
        mut options: Options,
        path: &[PathBuf],
        say: impl Fn(&str),
    ) -> Result<Self, DemoError> {
        say("starting a private Postgres, which goes away with this program …");
        options.search.splice(0..0, path.iter().cloned());
        let lacking = match Postgres::start(&options) {
            Ok(postgres) => return Ok(Self::Private(postgres)),
            Err(lacking @ (EmbeddedError::FindBinaries { .. } | EmbeddedError::FindUser)) => {
                lacking
            }
            Err(error) => return Err(DemoError::Postgres(error)),
        };
        let docker = match Container::engine(path) {
            Ok(docker) => docker,
            Err(engine) => {
                return Err(DemoError::Neither { lacking, engine: engine.to_string() });
            }
        };
        say(&format!("{lacking}"));
        say(&format!(
            "taking a container of {IMAGE} instead; Docker fetches the image if it hasn't got it …"
        ));
        Container::start(&docker).map(Self::Container).map_err(DemoError::Postgres)
    }

    /// The address of its database.
    pub(super) fn url(&self) -> String {
        match self {
            Self::Private(postgres) => postgres.url(DATABASE),
            Self::Container(container) => container.url(DATABASE),
        }
    }

    /// The command by which a person looks into it.
    pub(super) fn psql(&self) -> String {
        match self {
            Self::Private(postgres) => format!("{} '{}'", client(postgres.binaries()), self.url()),
            Self::Container(container) => container.psql(DATABASE),
        }
    }
}

/// `psql` beside the server's programs, and by its name alone where they were found without it: some
/// systems link only the server's into a directory of the `PATH`.
fn client(binaries: &Path) -> String {
    let beside = binaries.join("psql");
    if beside.is_file() { beside.display().to_string() } else { "psql".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// A machine without Postgres's programs.
    fn bare(nowhere: &tempfile::TempDir) -> Options {
        Options { search: vec![nowhere.path().to_owned()], ..Options::default() }
    }

    #[test]
    fn without_programs_and_without_an_engine_the_error_names_both_ways_out() {
        let nowhere = tempfile::tempdir().unwrap();
        let path = [nowhere.path().to_owned()];
        let error = Server::start(bare(&nowhere), &path, |_| ()).unwrap_err().to_string();
        assert!(error.starts_with("no Postgres server programs were found"), "{error}");
        let other = "(a Docker engine would do as well: there is no `docker` on the PATH)";
        assert!(error.ends_with(other), "{error}");
    }

    #[test]
    fn psql_is_named_where_it_is_and_by_its_name_alone_where_it_is_not_beside_the_server() {
        let binaries = tempfile::tempdir().unwrap();
        assert_eq!(client(binaries.path()), "psql");
        let beside = binaries.path().join("psql");
        std::fs::write(&beside, "").unwrap();
        assert_eq!(client(binaries.path()), beside.display().to_string());
    }

    #[test]
    fn without_programs_a_container_is_taken_and_said() {
        let home = tempfile::tempdir().unwrap();
        // A shell writes it: what this process has open for writing may not be run.
        let script = r#"printf '#!/bin/sh\necho 127.0.0.1:7' > "$1" && chmod 755 "$1""#;
        let program = home.path().join("docker");
        let written = Command::new("sh").args(["-c", script, "sh"]).arg(program).status();
        assert!(written.unwrap().success());

        let said = std::cell::RefCell::new(Vec::new());
        let say = |line: &str| said.borrow_mut().push(line.to_owned());
        let server = Server::start(bare(&home), &[home.path().to_owned()], say).unwrap();
        assert!(matches!(server, Server::Container(_)));
        assert!(
            server.url().ends_with("@127.0.0.1:7/postgres?sslmode=disable"),
            "{}",
            server.url()
        );
        assert!(said.borrow().iter().any(|line| line.contains("a container of postgres:17")));
    }
}
