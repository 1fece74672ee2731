//! Where a profile is written, and what is said of that.

use super::super::{exit::Unwritable, output};
use serde::Serialize;
use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};
use time::{OffsetDateTime, macros::format_description};

/// Where it goes.
pub(super) enum Place<'a> {
    Stdout,
    Given(&'a Path),
    New(PathBuf),
}

impl<'a> Place<'a> {
    pub(super) fn of(file: Option<&'a Path>) -> Option<Self> {
        file.map(|file| if file == Path::new("-") { Self::Stdout } else { Self::Given(file) })
    }

    pub(super) fn new(what: &str, ending: &str) -> Self {
        let now = OffsetDateTime::now_utc();
        let form = format_description!("[year][month][day]T[hour][minute][second]Z");
        let now = now.format(form).unwrap_or_default();
        Self::New(format!("legwork-{what}-{now}.{ending}").into())
    }

    /// Whether it can be written, as far as that can be known before there is anything to write: whoever has waited for a
    /// profile mustn't lose it. What is there stays as it is, and what isn't there still isn't.
    pub(super) fn check(&self) -> Result<(), Unwritable> {
        let (file, looked) = match self {
            Self::Stdout => return Ok(()),
            Self::Given(file) => (*file, is_writable(file)),
            Self::New(file) => (file.as_path(), can_be_made(file)),
        };
        looked.map_err(|source| Unwritable { file: file.to_owned(), source })
    }

    /// Writes; says where, unless that is standard output.
    pub(super) fn write(&self, bytes: &[u8]) -> anyhow::Result<Option<&Path>> {
        let (file, written) = match self {
            Self::Stdout => {
                output::write(bytes)?;
                return Ok(None);
            }
            Self::Given(file) => (*file, fs::write(file, bytes)),
            // One that is there is somebody's.
            Self::New(file) => {
                let made = fs::File::create_new(file);
                (file.as_path(), made.and_then(|mut made| made.write_all(bytes)))
            }
        };
        written.map_err(|source| Unwritable { file: file.to_owned(), source })?;
        Ok(Some(file))
    }
}

fn is_writable(file: &Path) -> io::Result<()> {
    match fs::metadata(file) {
        Ok(there) if there.is_file() || there.is_dir() => {
            OpenOptions::new().write(true).open(file).map(drop)
        }
        // To open a pipe waits for its reader, who takes the end of that for the end of all.
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match can_be_made(file) {
            // A link to a file that is still to be made.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        },
        Err(error) => Err(error),
    }
}

/// Makes it and takes it away again.
fn can_be_made(file: &Path) -> io::Result<()> {
    drop(fs::File::create_new(file)?);
    fs::remove_file(file)
}

/// What was done.
#[derive(Serialize)]
pub(super) struct Done<'a> {
    pub(super) profile: &'static str,
    pub(super) format: &'static str,
    pub(super) file: &'a Path,
    pub(super) bytes: usize,
}

impl Done<'_> {
    pub(super) fn text(&self) -> String {
        let file = self.file.display();
        let how = match (self.profile, self.format) {
            ("trace", _) => "\nopen it in https://ui.perfetto.dev".to_owned(),
            ("bundle", _) => format!(
                "\nsee what is in it with: tar xzf {file}; its README.txt says what each file is"
            ),
            (_, "pprof") => format!("\nlook at it with: go tool pprof -top {file}"),
            (_, "speedscope") => "\nopen it in https://www.speedscope.app".to_owned(),
            _ => String::new(),
        };
        format!("wrote {file} ({} bytes){how}", self.bytes)
    }
}
