//! Where configuration comes from: which file, which flags, which environment.
//!
//! It finds and reads the file and says plainly what is wrong with it as a file. What stands in it
//! is `file`'s business.

use super::{environment::Environment, mistakes::Mistakes};
use std::{
    fmt::Display,
    fs::{self, File},
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
};

/// The largest file that is read, in bytes; hundreds of kinds fit in a tenth of it.
pub const FILE_MAX_BYTES: u64 = 1024 * 1024;

/// A value given on the command line.
#[derive(Debug, Clone)]
pub struct Flag {
    /// As the user wrote it: `--database-url`.
    pub flag: String,
    /// What it sets: `database.url`, `queue.default.concurrency`.
    pub key: String,
    /// As text; a list or table in TOML's form.
    pub value: String,
}

/// Everything that [`load`](super::load) looks at.
#[derive(Debug, Clone)]
pub struct Source {
    file: Option<PathBuf>,
    search: Vec<PathBuf>,
    flags: Vec<Flag>,
    environment: Environment,
    /// What stands in the file's place.
    text: Option<String>,
    pub(super) no_rust: bool,
}

/// A file that was read.
pub(super) struct Text {
    /// Absent for the built-in defaults.
    pub(super) path: Option<PathBuf>,
    pub(super) content: String,
    pub(super) world_readable: bool,
}

impl Source {
    /// This environment, and the file that `LEGWORK_CONFIG` names, else `./legwork.toml`, else
    /// `/etc/legwork/legwork.toml`, else none.
    pub fn new(environment: Environment) -> Self {
        let search = ["legwork.toml", "/etc/legwork/legwork.toml"].map(PathBuf::from).into();
        let (file, flags, text) = (None, Vec::new(), None);
        Self { file, search, flags, environment, text, no_rust: false }
    }

    /// The environment alone: no file is looked for.
    pub fn without_file(environment: Environment) -> Self {
        Self { search: Vec::new(), ..Self::new(environment) }
    }

    /// This file and no other (`--config`).
    #[must_use]
    pub fn with_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// This text in the place of a file; mistakes name it `body`.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// A value that wins over all others; `queues` takes `a=10,b=2` and serves just those.
    #[must_use]
    pub fn with_flag(
        mut self,
        flag: impl Into<String>,
        key: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        self.flags.push(Flag { flag: flag.into(), key: key.into(), value: value.into() });
        self
    }

    /// For a program that registers no handlers: a kind with `handler = "rust"` is a mistake like any other.
    #[must_use]
    pub fn without_rust_handlers(mut self) -> Self {
        self.no_rust = true;
        self
    }

    /// The environment.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    pub(super) fn flags(&self) -> &[Flag] {
        &self.flags
    }

    /// The file's text, if there is a file.
    pub(super) fn read(&self, mistakes: &mut Mistakes) -> Option<Text> {
        if let Some(content) = self.text.clone() {
            if content.len() as u64 > FILE_MAX_BYTES {
                mistakes.push(larger("body", FILE_MAX_BYTES), None);
                return None;
            }
            // Who may read it is a question of the file that it may become.
            return Some(Text { path: Some("body".into()), content, world_readable: false });
        }
        let named = self.environment.raw("LEGWORK_CONFIG").map(PathBuf::from);
        if let Some(path) = self.file.clone().or(named) {
            return read(&path).map_err(|why| mistakes.push(why, None)).ok();
        }
        // A link that leads nowhere, or a file that may not be read, is there and wrong.
        let there = |path: &&PathBuf| match fs::symlink_metadata(path) {
            Ok(_) => true,
            Err(error) => error.kind() != ErrorKind::NotFound,
        };
        let found = self.search.iter().find(there)?;
        read(found).map_err(|why| mistakes.push(why, None)).ok()
    }
}

fn read(path: &Path) -> Result<Text, String> {
    let name = path.display();
    if path.as_os_str().is_empty() {
        return Err("the configuration file's name is empty: name a file or unset it".into());
    }
    let (bytes, everybody) = bounded(path, FILE_MAX_BYTES)?;
    let content = String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.split(|byte| *byte == b'\n').count();
        format!("{name}:{line} isn't UTF-8: save the file in that encoding")
    })?;
    if content.starts_with('\u{feff}') {
        return Err(format!("{name} starts with a byte order mark: save it as UTF-8 without one"));
    }
    Ok(Text { path: Some(path.to_owned()), content, world_readable: everybody.may_read() })
}

/// What everybody on the machine may do with a file: its mode.
#[derive(Debug, Clone, Copy)]
pub(super) struct Everybody(u32);

impl Everybody {
    pub(super) fn may_read(self) -> bool {
        self.0 & 0o004 != 0
    }

    /// Why a secret can't be kept in it. Who may write there decides which database is talked to.
    pub(super) fn refused_a_secret(self, path: &Path) -> Option<String> {
        let (done, right) = match self.0 & 0o006 {
            0o004 => ("read", "r"),
            0o002 => ("written", "w"),
            0o006 => ("read and written", "rw"),
            _ => return None,
        };
        let name = path.display();
        Some(format!("{name} may be {done} by everybody: chmod o-{right} {name}"))
    }
}

/// Refuses a path that isn't absolute. It isn't shown: what stands in a path's place by mistake may be what
/// belongs into the file.
pub(super) fn absolute(path: &Path) -> Result<(), String> {
    const WHY: &str = "it isn't an absolute path: write the file's path from / on (what stands there isn't \
                       shown: it may be a secret)";
    if path.is_absolute() { Ok(()) } else { Err(WHY.into()) }
}

fn larger(name: impl Display, max_bytes: u64) -> String {
    format!("{name} is larger than {max_bytes} bytes")
}

/// A regular file's bytes, and what everybody may do with it.
pub(super) fn bounded(path: &Path, max_bytes: u64) -> Result<(Vec<u8>, Everybody), String> {
    use std::os::unix::fs::PermissionsExt;
    let name = path.display();
    let refused = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => format!("{name} doesn't exist"),
        ErrorKind::PermissionDenied => format!("{name} may not be read by this user"),
        _ => format!("{name} can't be read: {error}"),
    };
    // Looked at before it is opened: opening a pipe would wait for its other end.
    let metadata = fs::metadata(path).map_err(refused)?;
    if metadata.is_dir() {
        return Err(format!("{name} is a directory, not a file"));
    } else if !metadata.is_file() {
        return Err(format!("{name} isn't a regular file"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(refused)?;
    file.take(max_bytes + 1).read_to_end(&mut bytes).map_err(refused)?;
    if bytes.len() as u64 > max_bytes {
        return Err(larger(name, max_bytes));
    }
    Ok((bytes, Everybody(metadata.permissions().mode())))
}
