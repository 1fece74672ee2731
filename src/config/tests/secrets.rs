//! Secrets: where they may come from, and that nothing shows them.

use super::{Files, load_with};
use crate::config::{DatabaseUrl, Environment, Source, load};
use std::{fs, os::unix::fs::PermissionsExt};

const SECRET: &str = "canary-7f3a";
/// One that isn't text.
const NUMBER: &str = "90417355";

#[test]
fn a_secret_is_read_from_its_file_and_from_the_services_credentials() {
    let files = Files::new();
    let file = files.write("url", "postgres:///from_file\n");
    files.write("database-url", "postgres:///from_credential");
    let directory = files.path().to_str().expect("UTF-8").to_owned();
    let credential = ("CREDENTIALS_DIRECTORY", directory.as_str());
    let fallback = ("DATABASE_URL", "postgres:///fallback");
    let text = format!("[database]\nurl_file = {:?}\n", file.display().to_string());
    let from_file = load_with(text, &[credential, fallback]).expect("right");
    assert_eq!(from_file.settings.database_url().expect("a URL").expose(), "postgres:///from_file");
    let from_credential = load_with("", &[credential, fallback]).expect("right");
    let url = from_credential.settings.database_url().expect("a URL");
    assert_eq!(url.expose(), "postgres:///from_credential");
    assert_eq!(from_credential.show()[0].source, "credential database-url");
}

#[test]
fn a_secret_that_everybody_may_read_or_write_is_refused() {
    for (mode, remedy) in [(0o604, "chmod o-r "), (0o602, "chmod o-w "), (0o606, "chmod o-rw ")] {
        refused_with(mode, remedy);
    }
}

fn refused_with(mode: u32, remedy: &str) {
    let files = Files::new();
    let file = files.write("database-url", format!("postgres://u:{SECRET}@localhost/d"));
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("a mode");
    let path = file.display().to_string();
    let directory = files.path().display().to_string();
    let text = format!("[database]\nurl_file = {path:?}\n");
    let by_file = load_with(text, &[]).expect_err("refused").to_string();
    let by_credential = load_with("", &[("CREDENTIALS_DIRECTORY", &directory)]);
    for refusal in [by_file, by_credential.expect_err("refused").to_string()] {
        assert!(refusal.contains(remedy) && !refusal.contains(SECRET), "{refusal}");
    }
}

#[test]
fn a_password_in_a_file_that_everybody_may_read_is_warned_of() {
    let files = Files::new();
    let url = format!("postgres://u:{SECRET}@localhost/d");
    let file = files.write("legwork.toml", format!("[database]\nurl = {url:?}\n"));
    let source = Source::new(Environment::of([("A", "B")])).with_file(&file);
    assert_eq!(load(&source).expect("right").warnings, Vec::<String>::new());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("a mode");
    let loaded = load(&source).expect("right");
    assert!(loaded.warnings[0].contains("chmod o-r"), "{:?}", loaded.warnings);
    let all = format!("{loaded:?}");
    assert!(!all.contains(SECRET), "{all}");
}

#[test]
fn no_mistake_shows_a_secret() {
    let wrong = [
        format!("[database]\nurl = \"mysql://u:{SECRET}@h/d\"\n"),
        format!("[database]\nurl = [\"postgres://u:{SECRET}@h/d\"]\n"),
        format!("[database]\nurl = \"postgres://u:{SECRET}#@h/d\"\n"),
        format!("[database]\nurl = \"postgres://u:{SECRET}@h/d?sslmode=disable\"\n"),
        format!("[database]\nulr = \"postgres://u:{SECRET}@h/d\"\n"),
        format!("[database]\nurl = \"postgres://u:{SECRET}@h/d\n"),
        format!("[[kind]]\nname = \"k\"\nhandler = \"noop\"\nenv = {{ TOKEN = \"{SECRET}\" }}\n"),
        format!("[[kind]]\nname = \"k\"\nhandler = \"command\"\nenv = \"{SECRET}\"\n"),
        format!("database = \"{SECRET}\"\n"),
        format!("[database]\nurl_file = \"postgres://u:{SECRET}@h/d\"\n"),
        format!("[database]\nurl_file = [\"postgres://u:{SECRET}@h/d\"]\n"),
        of_http(&format!("secret_file = \"whsec_{SECRET}\"")),
        of_http(&format!("secret_file = [[\"whsec_{SECRET}\"]]")),
        of_http(&format!("secret_file = {{ now = \"whsec_{SECRET}\" }}")),
        of_http(&format!("ca_file = \"-----BEGIN PRIVATE KEY-----{SECRET}\"")),
        of_http(&format!("headers = {{ A = \"{SECRET}\", a = \"{SECRET}\" }}")),
        of_http(&format!("headers = {{ \"Authorization: Bearer {SECRET}\" = \"\" }}")),
        of_http(&format!("headers = [\"Authorization: Bearer {SECRET}\"]")),
        of_http(&format!("allow_hosts = \"https://u:{SECRET}@h\"")),
        of_http(&format!("allow_hosts = [\"https://h/{SECRET}\"]")),
        of_http(&format!("allow_hosts = [\"https://*.h/{SECRET}\"]")),
        of_http(&format!("allow_hosts = [\"u:{SECRET}@h\"]")),
        format!("[admin]\nallow_hosts = [\"https://u:{SECRET}@h\"]\n"),
        of_command(&format!("\"/bin/ls --password={SECRET}\"")),
        of_command(&format!("\"/bin/ls -p {SECRET}\"")),
        of_command(&format!("[\"/bin/ls -p {SECRET}\"]")),
        of_command(&format!("[\"ls -p {SECRET}\"]")),
        of_command(&format!("[\"TOKEN={SECRET}\", \"/bin/ls\"]")),
        of_command(&format!("[\"/bin/ls\", [\"-p\", \"{SECRET}\"]]")),
        of_command("[\"/bin/ls\", \"-p\", 7]").replace('7', NUMBER),
        of_command(&format!("[\"/bin/ls\"]\npass_env = [\"T={SECRET}\"]")),
        of_command(&format!("[\"/bin/ls\"]\npass_env = \"T={SECRET}\"")),
        of_command(&format!("[\"/bin/ls\"]\nenv = [\"T={SECRET}\"]")),
        of_command(&format!("[\"/bin/ls\"]\nenv = {{ \"T={SECRET}\" = \"\" }}")),
        of_handler(&format!("\"/bin/ls --password={SECRET}\"")),
        of_handler(&format!("[\"/bin/ls\", \"-p\", \"{SECRET}\"]")),
        of_http("").replace("\"https://h/\"", &format!("[\"https://h/{SECRET}\"]")),
    ];
    let shown = wrong.iter().filter_map(|text| {
        let mistakes = load_with(text, &[]).expect_err(text).to_string();
        let shows = [SECRET, NUMBER].iter().any(|it| mistakes.contains(it));
        shows.then(|| format!("{text}\n{mistakes}"))
    });
    let shown: Vec<_> = shown.collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
    for variable in [
        "LEGWORK_DATABASE__URL",
        "LEGWORK_DATABASE_URL",
        "LEGWORK_DATABASE__URL_FILE",
        "LEGWORK_KIND__H__SECRET_FILE",
        "LEGWORK_KIND__H__URL",
    ] {
        for value in [format!("whsec_{SECRET}"), format!("[[\"whsec_{SECRET}\"]]")] {
            let mistakes = load_with(of_http(""), &[(variable, &value)]).expect_err(variable);
            let mistakes = mistakes.to_string();
            assert!(!mistakes.contains(SECRET), "{variable}={value}\n{mistakes}");
        }
    }
}

#[test]
fn no_mistake_of_a_variable_shows_a_commands_arguments() {
    for (variable, value) in [
        ("LEGWORK_KIND__C__COMMAND", format!("/bin/ls -p {SECRET}")),
        ("LEGWORK_KIND__C__COMMAND", format!("[\"/bin/ls\", \"-p\", \"{SECRET}\"")),
        ("LEGWORK_KIND__C__COMMAND", format!("[\"/bin/ls -p {SECRET}\"]")),
        ("LEGWORK_KIND__C__PASS_ENV", format!("T={SECRET}")),
        ("LEGWORK_KIND__C__HANDLER", format!("/bin/ls --token {SECRET}")),
    ] {
        let file = of_command("[\"/bin/ls\"]");
        let mistakes = load_with(file, &[(variable, &value)]).expect_err(variable).to_string();
        let shows = mistakes.contains(SECRET) || !mistakes.contains(variable);
        assert!(!shows, "{variable}={value}\n{mistakes}");
    }
}

#[test]
fn a_command_line_as_one_text_is_told_how_to_be_written() {
    for command in ["\"/bin/ls -l\"", "[\"/bin/ls -l\"]", "[\"ls -l\"]"] {
        let mistakes = load_with(of_command(command), &[]).expect_err(command).to_string();
        let says = mistakes.contains("of its own, [\"/usr/local/bin/program\", \"argument\"]")
            || mistakes.contains("one text isn't a list of texts: write [\"one\", \"two\"]");
        assert!(says, "{mistakes}");
    }
}

fn of_command(command: &str) -> String {
    format!("[[kind]]\nname = \"c\"\nhandler = \"command\"\ncommand = {command}\n")
}

fn of_handler(handler: &str) -> String {
    format!("[[kind]]\nname = \"c\"\nhandler = {handler}\n")
}

/// A file with the kind `h`, which is right without these keys.
fn of_http(keys: &str) -> String {
    format!("[[kind]]\nname = \"h\"\nhandler = \"http\"\nurl = \"https://h/\"\n{keys}\n")
}

#[test]
fn show_leaves_out_paths_of_urls_where_secrets_may_stand() {
    let of = |url: &str| {
        let text = of_http("").replace("https://h/", url);
        let loaded = load_with(text, &[]).expect("right");
        let shown = loaded.show().iter().find(|it| it.key.ends_with("\"h\".url"));
        shown.expect("shown").value.clone()
    };
    assert_eq!(of("https://h:8443/jobs/canary"), "\"https://h:8443/…\"");
    assert_eq!(of("https://h?token=canary"), "\"https://h/…\"");
    assert_eq!(of("https://h"), "\"https://h/\"");
}

/// Or two values that differ would look alike.
#[test]
fn show_has_what_it_shows_whole() {
    let hosts: Vec<_> = (0..20).map(|host| format!("receiver-{host}.example")).collect();
    let loaded = load_with(of_http(&format!("allow_hosts = {hosts:?}\n")), &[]).expect("right");
    let told = loaded.show().iter().find(|line| line.key.ends_with("\"h\".allow_hosts"));
    assert_eq!(told.expect("it is shown").value, format!("{hosts:?}"));
}

#[test]
fn show_blots_out_passwords_and_the_environment_of_commands() {
    let text = format!(
        "[database]\nurl = \"postgres://u:{SECRET}@localhost/d?password={SECRET}\"\n[[kind]]\n\
         name = \"k\"\nhandler = \"command\"\n\
         command = [\"/bin/ls\", \"--password={SECRET}\", \"--token\", \"{SECRET}\", \"-l\"]\nenv = {{ T = \"{SECRET}\" }}\n"
    );
    let loaded = load_with(text, &[]).expect("right");
    let shown = format!("{:?}", loaded.show());
    assert!(!shown.contains(SECRET) && shown.contains("u:…@localhost"), "{shown}");
    let command = loaded.show().iter().find(|it| it.key.ends_with("\"k\".command"));
    let expected = r#"["/bin/ls", "--password=…", "--token", "…", "-l"]"#;
    assert_eq!(command.expect("shown").value, expected);
    let settings = format!("{:?}", loaded.settings);
    assert!(!settings.contains(SECRET) && settings.contains("u:…@localhost"), "{settings}");
}

#[test]
fn a_word_of_a_command_line_is_shown_without_the_password_in_it() {
    for (word, shown) in [
        ("postgres://ann:canary-7f3a@db/app", "postgres://ann:…@db/app"),
        (
            "--database-url=postgres://ann:canary-7f3a@db/app?sslmode=require",
            "--database-url=postgres://ann:…@db/app",
        ),
        ("--ü=postgres:///app?user=ann&password=canary-7f3a", "--ü=postgres:///app?user=ann"),
        ("postgres://ann:canary/7f3a@db/app", "postgres://…"),
        (
            "--url=http://127.0.0.1:9464/readyz?verbose",
            "--url=http://127.0.0.1:9464/readyz?verbose",
        ),
        ("run", "run"),
        ("", ""),
    ] {
        assert_eq!(DatabaseUrl::redacted_in(word), shown);
    }
}
