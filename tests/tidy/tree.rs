//! The repository as a list of texts, and findings about them.
//!
//! Checks take a [`Tree`] so that their own tests can hand them one made of three lines. Reads what
//! lies on the disk, tracked or not: a forgotten file is a finding too.

use std::{fmt, fs, path::Path};

/// Directories that hold nothing written by hand.
const SKIPPED: [&str; 3] = ["target", "node_modules", "snapshots"];

/// What counts as text here; files without a dot are read by name.
const EXTENSIONS: [&str; 9] = ["rs", "md", "sql", "toml", "yaml", "yml", "json", "service", "sh"];

/// Text files without one of those extensions.
const NAMES: [&str; 5] =
    ["Dockerfile", "Makefile", ".dockerignore", "LICENSE-MIT", "LICENSE-APACHE"];

/// A text and where it lies, relative to the root, with forward slashes.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// What a check looks at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
}

impl Tree {
    /// Everything written by hand in this repository.
    pub(crate) fn of_the_repository() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        read_into(root, root, &mut files);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self { files }
    }

    /// A tree for a check's own test.
    pub(crate) fn made_of(files: &[(&str, &str)]) -> Self {
        let file =
            |(path, text): &(&str, &str)| File { path: (*path).into(), text: (*text).into() };
        Self { files: files.iter().map(file).collect() }
    }

    /// The text of one file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }

    /// The files below a directory whose names end so.
    pub(crate) fn under<'a>(
        &'a self,
        directory: &'a str,
        ending: &'a str,
    ) -> impl Iterator<Item = &'a File> {
        self.files
            .iter()
            .filter(move |file| file.path.starts_with(directory) && file.path.ends_with(ending))
    }

    /// Whether a file, or a directory with a file in it, lies there.
    pub(crate) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let inside = format!("{path}/");
        self.files.iter().any(|file| file.path == path || file.path.starts_with(&inside))
    }
}

fn read_into(root: &Path, directory: &Path, files: &mut Vec<File>) {
    let entries = fs::read_dir(directory).expect("the repository's directories can be listed");
    for entry in entries {
        let path = entry.expect("a directory's entry can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            let hidden = name.starts_with('.') && name != ".ci" && name != ".github";
            if !hidden && !SKIPPED.contains(&name.as_str()) {
                read_into(root, &path, files);
            }
        } else if is_text(&name) {
            let text = fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{} isn't readable text: {error}", path.display()));
            let relative = path.strip_prefix(root).expect("a listed file lies below the root");
            files.push(File { path: relative.to_string_lossy().replace('\\', "/"), text });
        }
    }
}

fn is_text(name: &str) -> bool {
    NAMES.contains(&name)
        || name.rsplit_once('.').is_some_and(|(_, ending)| EXTENSIONS.contains(&ending))
}

/// One thing to mend: where it is and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) say: String,
}

impl Finding {
    pub(crate) fn new(path: &str, line: usize, say: impl Into<String>) -> Self {
        Self { path: path.into(), line, say: say.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.say)
    }
}

/// Fails with every finding at once, one a line.
pub(crate) fn clean(findings: &[Finding]) {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{} to mend:\n{}", findings.len(), lines.join("\n"));
}

/// The line, counted from 1, on which a byte of a text lies.
pub(crate) fn line_at(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

#[test]
fn the_tree_holds_this_very_file() {
    assert!(Tree::of_the_repository().has("tests/tidy/tree.rs"));
    assert!(!Tree::of_the_repository().has("tests/tidy/nobody.rs"));
}
