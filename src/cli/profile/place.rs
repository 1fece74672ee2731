//! Where a profile is written, and what is said of that.

use anyhow::Context as _;
use serde::Serialize;
use std::{
    fs,
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

    /// Writes; says where, unless that is standard output.
    pub(super) fn write(&self, bytes: &[u8]) -> anyhow::Result<Option<&Path>> {
        let (file, written) = match self {
            Self::Stdout => {
                io::stdout().write_all(bytes).context("standard output can't be written to")?;
                return Ok(None);
            }
            Self::Given(file) => (*file, fs::write(file, bytes)),
            // One that is there is somebody's.
            Self::New(file) => {
                let made = fs::File::create_new(file);
                (file.as_path(), made.and_then(|mut made| made.write_all(bytes)))
            }
        };
        written.with_context(|| format!("couldn't write {}", file.display()))?;
        Ok(Some(file))
    }
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
