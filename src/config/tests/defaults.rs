//! The defaults in code, in `default.toml`, and in nothing at all are the same.

use super::load_text;
use crate::config::{Environment, Settings, Source, default_file, load};

fn expected() -> Settings {
    let mut settings = Settings::default();
    settings.daemon.name = "host".into();
    settings
}

#[test]
fn the_default_file_says_what_the_code_does() {
    let loaded = load_text(default_file()).expect("the default file is right");
    assert_eq!(loaded.settings, expected());
}

#[test]
fn without_a_file_the_defaults_hold() {
    let source = Source::without_file(Environment::of([("HOME", "/")]));
    let loaded = load(&source).expect("nothing is wrong with nothing");
    assert_eq!(loaded.settings, expected());
    assert_eq!((loaded.file, loaded.warnings), (None, Vec::new()));
}

#[test]
fn an_empty_file_is_a_file_that_changes_nothing() {
    assert_eq!(load_text("").expect("right").settings, expected());
}

#[test]
fn running_without_a_database_says_what_to_set() {
    let missing = expected().database_url().expect_err("no URL").to_string();
    assert!(missing.contains("DATABASE_URL") && missing.contains("legwork demo"), "{missing}");
}
