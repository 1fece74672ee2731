//! The tests of the sources by their names, each with the text that belongs to it.
//!
//! It exists so that a table can name tests and be held to it. Good for rustfmt's layout alone: an
//! item begins at the margin of its module, after an empty line, and its module is its file, or `mod tests` in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Every test function by its path from the crate, with its text and that of the constants, functions
/// and scripts of its file that it mentions.
pub(super) fn tests() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = BTreeMap::new();
    for directory in ["src", "tests/it"] {
        let top = root.join(directory);
        for file in files(&top) {
            let text = std::fs::read_to_string(&file).expect("a source can be read");
            let module = file.strip_prefix(&top).expect("it is below").with_extension("");
            let module = module.to_string_lossy().replace('/', "::");
            add(&module, &text, &mut tests);
        }
    }
    tests
}

pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("a directory can be listed");
    let paths = entries.map(|entry| entry.expect("an entry can be read").path());
    let (below, here): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
    let rust = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    here.into_iter().filter(rust).chain(below.iter().flat_map(|below| files(below))).collect()
}

fn add(module: &str, text: &str, tests: &mut BTreeMap<String, String>) {
    let items = items(text);
    let is_test = |item: &&&str| {
        ["#[test]", "#[rstest]", "#[tokio::test"].iter().any(|mark| item.contains(mark))
    };
    for item in items.iter().filter(is_test) {
        if let Some((_, inner)) = item.split_once("mod tests {\n") {
            let margin = |line: &str| line.strip_prefix("    ").unwrap_or(line).to_owned();
            let inner: Vec<_> = inner.lines().map(margin).collect();
            add(&format!("{module}::tests"), &inner.join("\n"), tests);
            continue;
        }
        let Some(name) = name_of(item) else { continue };
        let mut whole = (*item).to_owned();
        for other in &items {
            if name_of(other).is_some_and(|name| item.contains(name)) {
                whole.push_str(other);
            }
        }
        tests.insert(format!("{module}::{name}"), whole);
    }
}

/// A file's items, with what stands above them.
fn items(text: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices("\n\n") {
        let rest = &text[at + 2..];
        if rest.starts_with(|c: char| !c.is_whitespace() && c != '}' && c != ')') {
            items.push(&text[start..at]);
            start = at + 2;
        }
    }
    items.push(&text[start..]);
    items
}

/// The name of a function or a constant.
fn name_of(item: &str) -> Option<&str> {
    let line = item.lines().find_map(|line| {
        let line = line.trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
        let line = line.trim_start_matches("async ");
        line.strip_prefix("fn ").or_else(|| line.strip_prefix("const "))
    })?;
    line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next()
}

#[test]
fn a_test_comes_with_what_it_mentions_of_its_file() {
    let text = "//! Head.\n\nconst SCRIPT: &str = \"\n    inner\n\n    blank\";\n\nfn other() {}\n\n\
                #[test]\nfn says() {\n    let a = SCRIPT;\n\n    drop(a);\n}\n";
    let mut tests = BTreeMap::new();
    add("room::inner", text, &mut tests);
    let said = &tests["room::inner::says"];
    assert!(
        said.contains("drop(a)") && said.contains("blank") && !said.contains("other"),
        "{said}"
    );
    assert_eq!(tests.len(), 1);
    let inline = "//! Head.\n\n#[cfg(test)]\nmod tests {\n    use super::*;\n\n    #[test]\n    \
                  fn says() {\n        LIMIT;\n    }\n\n    const LIMIT: u8 = 5;\n}\n";
    add("room", inline, &mut tests);
    assert!(tests["room::tests::says"].contains("u8 = 5"), "{tests:?}");
}
