//! Configuration as a program that embeds the library uses it.

use legwork::config::{Environment, HandlerSettings, Settings, Source, default_file, load};
use std::{fs, path::PathBuf};

fn written(directory: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = directory.path().join("legwork.toml");
    fs::write(&path, text).expect("written");
    path
}

#[test]
fn the_printed_default_file_is_read_back_as_the_defaults() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = written(&directory, default_file());
    let loaded =
        load(&Source::new(Environment::of([("HOME", "/")])).with_file(&file)).expect("right");
    let expected = Settings::default();
    assert_eq!(loaded.settings.queues, expected.queues);
    assert_eq!(loaded.settings.retry, expected.retry);
    assert_eq!(loaded.file, Some(file));
}

#[test]
fn a_command_gets_what_is_set_of_what_it_is_passed() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = "[[kind]]\nname = \"list\"\nhandler = \"command\"\ncommand = [\"/bin/ls\"]\n\
                env = { LANG = \"C\" }\npass_env = [\"TZ\", \"PATH\"]\n";
    let environment = Environment::of([("PATH", "/bin"), ("SECRET", "kept back")]);
    let loaded = load(&Source::new(environment).with_file(written(&directory, text)));
    let settings = loaded.expect("right").settings;
    let HandlerSettings::Command(command) = &settings.kinds[0].handler else {
        panic!("a command, not {:?}", settings.kinds[0].handler)
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(command.env, [pair("LANG", "C"), pair("PATH", "/bin")]);
}

#[test]
fn all_mistakes_come_as_one_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = written(&directory, "[claim]\nbatch = 0\n[log]\nformat = \"xml\"\n");
    let source = Source::new(Environment::of([("LEGWORK_CLAIM__NOTFY", "true")])).with_file(file);
    let error: Box<dyn std::error::Error> = load(&source).expect_err("refused").into();
    let text = error.to_string();
    assert_eq!(text.matches("error: ").count(), 3, "{text}");
    assert!(text.contains("legwork.toml:4") && text.contains("LEGWORK_CLAIM__NOTFY"), "{text}");
}
