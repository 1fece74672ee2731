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
    New(Fresh),
}

/// A file that isn't there yet, called by what is in it, by whose daemon's it is and by the time.
pub(super) struct Fresh {
    stem: String,
    ending: &'static str,
}

/// Characters of a daemon's address in a file's name: a host's may be longer than a name can be.
const ADDRESS_MAX: usize = 100;

impl Fresh {
    /// Makes it. One that is there is somebody's, who asked the same daemon within the same second: the next is called `-2`.
    fn make(&self) -> Result<(PathBuf, fs::File), Unwritable> {
        let Self { stem, ending } = self;
        let mut file = PathBuf::from(format!("{stem}.{ending}"));
        let mut number = 1_u64;
        loop {
            match fs::File::create_new(&file) {
                Ok(made) => return Ok((file, made)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    number += 1;
                    file = format!("{stem}-{number}.{ending}").into();
                }
                Err(source) => return Err(Unwritable { file, source }),
            }
        }
    }

    /// Whether it can be made, and leaves none behind.
    fn check(&self) -> Result<(), Unwritable> {
        let (file, made) = self.make()?;
        drop(made);
        fs::remove_file(&file).map_err(|source| Unwritable { file, source })
    }
}

/// A daemon's address as a file's name can have it, on any file system.
fn safe(address: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    address.trim_start_matches('[').replace(']', "").chars().map(safe).take(ADDRESS_MAX).collect()
}

impl<'a> Place<'a> {
    pub(super) fn of(file: Option<&'a Path>) -> Option<Self> {
        file.map(|file| if file == Path::new("-") { Self::Stdout } else { Self::Given(file) })
    }

    /// A new file for this of the daemon at this address.
    pub(super) fn new(what: &str, address: &str, ending: &'static str) -> Self {
        let now = OffsetDateTime::now_utc();
        let form = format_description!("[year][month][day]T[hour][minute][second]Z");
        let now = now.format(form).unwrap_or_default();
        Self::New(Fresh { stem: format!("legwork-{what}-{}-{now}", safe(address)), ending })
    }

    /// Whether it can be written, as far as that can be known before there is anything to write: whoever has waited for a
    /// profile mustn't lose it. What is there stays as it is, and what isn't there still isn't.
    pub(super) fn check(&self) -> Result<(), Unwritable> {
        let (file, looked) = match self {
            Self::Stdout => return Ok(()),
            Self::Given(file) => (*file, is_writable(file)),
            Self::New(fresh) => return fresh.check(),
        };
        looked.map_err(|source| Unwritable { file: file.to_owned(), source })
    }

    /// Writes; says where, unless that is standard output.
    pub(super) fn write(&self, bytes: &[u8]) -> anyhow::Result<Option<PathBuf>> {
        let (file, written) = match self {
            Self::Stdout => {
                output::write(bytes)?;
                return Ok(None);
            }
            Self::Given(file) => ((*file).to_owned(), fs::write(file, bytes)),
            Self::New(fresh) => {
                let (file, mut made) = fresh.make()?;
                (file, made.write_all(bytes))
            }
        };
        match written {
            Ok(()) => Ok(Some(file)),
            Err(source) => Err(Unwritable { file, source }.into()),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::v4("10.1.2.3:9464", "10.1.2.3-9464")]
    #[case::name("legwork-0.internal:9464", "legwork-0.internal-9464")]
    #[case::v6("[fe80::1%eth0]:9464", "fe80--1-eth0-9464")]
    #[case::no_path("../a\\b", "..-a-b")]
    fn an_address_is_part_of_a_files_name(#[case] address: &str, #[case] safely: &str) {
        assert_eq!(safe(address), safely);
        assert_eq!(safe(&"ä".repeat(200)).len(), ADDRESS_MAX);
    }

    #[test]
    fn a_name_that_is_taken_is_left_alone_and_the_next_is_taken() {
        let directory = tempfile::tempdir().expect("a directory");
        let stem = directory.path().join("legwork-cpu").to_str().expect("UTF-8").to_owned();
        let place = Place::New(Fresh { stem, ending: "pb.gz" });
        for (text, name) in
            [("a", "legwork-cpu.pb.gz"), ("b", "legwork-cpu-2.pb.gz"), ("c", "legwork-cpu-3.pb.gz")]
        {
            place.check().expect("it can be made");
            let file = place.write(text.as_bytes()).expect("written").expect("a file");
            assert_eq!(file, directory.path().join(name));
        }
        let kept = fs::read(directory.path().join("legwork-cpu.pb.gz")).expect("it is there");
        assert_eq!(kept, b"a");
        assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 3);
    }
}
