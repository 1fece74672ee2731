//! Tests of the whole room: text in, settings or mistakes out.

mod changes;
mod defaults;
mod http;
mod keys;
mod mistakes;
mod precedence;
mod random;
mod schema;
mod secrets;
mod tokens;
mod urls;

use super::{Environment, Loaded, Mistakes, Source, load};
use std::path::PathBuf;

/// A directory with files for one test.
pub(super) struct Files(tempfile::TempDir);

impl Files {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    /// Writes a file that only its owner may read.
    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.0.path().join(name);
        std::fs::write(&path, content).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
        path
    }

    pub(super) fn path(&self) -> &std::path::Path {
        self.0.path()
    }
}

/// Loads a file's text with nothing in the environment.
pub(super) fn load_text(text: impl AsRef<[u8]>) -> Result<Loaded, Mistakes> {
    load_with(text, &[])
}

/// Loads a file's text with these variables.
pub(super) fn load_with(
    text: impl AsRef<[u8]>,
    variables: &[(&str, &str)],
) -> Result<Loaded, Mistakes> {
    let files = Files::new();
    let file = files.write("legwork.toml", text);
    load(&Source::new(Environment::of(variables.iter().copied())).with_file(file))
}
