//! Tokens of the admin port: where they come from, what is none, and that nothing shows them.

use super::{Files, load_with};
use crate::config::{AdminToken, Loaded, Mistakes};
use rstest::rstest;
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

const ADMIN: &str = "canary-for-the-role-admin-0123456789";
const OPERATOR: &str = "canary-for-the-role-operator-0123456789";
const VIEWER: &str = "canary-for-the-role-viewer-0123456789";

fn with(keys: &str) -> Result<Loaded, Mistakes> {
    load_with(format!("[admin]\n{keys}\n"), &[])
}

fn are(tokens: &[AdminToken], texts: &[&str]) -> bool {
    tokens.len() == texts.len() && tokens.iter().zip(texts).all(|(token, text)| token.is(text))
}

#[test]
fn each_role_has_its_files_and_several_while_a_token_is_replaced() {
    let files = Files::new();
    let [admin, operator, viewer] = [ADMIN, OPERATOR, VIEWER].map(|token| {
        let other = "0123456789abcdef0123456789abcdef";
        (
            files.write(token, format!("{token}\n")),
            files.write(&token[..22], format!("{other}{token}")),
        )
    });
    let keys = format!(
        "token_file = [{:?}, {:?}]\noperator_token_file = {:?}\nviewer_token_file = [{:?}]",
        admin.1, admin.0, operator.0, viewer.0
    );
    let loaded = with(&keys).expect("right");
    let tokens = &loaded.settings.admin.tokens;
    let replacing = format!("0123456789abcdef0123456789abcdef{ADMIN}");
    assert!(are(&tokens.admin, &[&replacing, ADMIN]));
    assert!(are(&tokens.operator, &[OPERATOR]) && are(&tokens.viewer, &[VIEWER]));
    assert!(!tokens.viewer[0].is(OPERATOR) && !tokens.viewer[0].is(&VIEWER[..VIEWER.len() - 1]));
    assert_eq!(loaded.warnings, Vec::<String>::new());
    // A command asks a daemon that may not have read the file yet.
    assert_eq!(loaded.admin_token_file(), Some(std::path::Path::new(&admin.0)));
    let shown = format!("{:?}{loaded:?}", loaded.show());
    assert!(shown.contains("token_file") && shown.contains("AdminToken(…)"), "{shown}");
    // The files are named as their tokens are.
    let bare = shown.replace(&files.path().display().to_string(), "");
    let bare =
        [ADMIN, OPERATOR, VIEWER].iter().fold(bare, |it, name| it.replace(&format!("/{name}"), ""));
    assert!(!bare.contains("-0123456789"), "{bare}");
}

#[test]
fn a_role_without_a_key_has_the_services_credential() {
    let files = Files::new();
    files.write("admin-token", ADMIN);
    files.write("admin-operator-token", OPERATOR);
    files.write("admin-viewer-token", VIEWER);
    let own = files.write("own", "another-token-of-the-role-admin-42");
    let directory = files.path().display().to_string();
    let variables = [("CREDENTIALS_DIRECTORY", directory.as_str())];
    let loaded = load_with("", &variables).expect("right");
    let tokens = &loaded.settings.admin.tokens;
    assert!(are(&tokens.admin, &[ADMIN]) && are(&tokens.operator, &[OPERATOR]));
    assert!(are(&tokens.viewer, &[VIEWER]));
    let shown = loaded.show().iter().filter(|it| it.key.ends_with("token_file"));
    let shown: Vec<_> = shown.map(|it| (&*it.key, &*it.value, &*it.source)).collect();
    let expected = [
        ("admin.token_file", "\"…\"", "credential admin-token"),
        ("admin.operator_token_file", "\"…\"", "credential admin-operator-token"),
        ("admin.viewer_token_file", "\"…\"", "credential admin-viewer-token"),
    ];
    assert_eq!(shown, expected);
    let keyed = load_with(format!("[admin]\ntoken_file = {own:?}\n"), &variables).expect("right");
    assert!(are(&keyed.settings.admin.tokens.admin, &["another-token-of-the-role-admin-42"]));
    files.write("admin-token", "short");
    let said = load_with("", &variables).expect_err("too short").to_string();
    assert!(said.contains("admin.token_file: a token is 32 to 512"), "{said}");
    assert!(said.contains("credential admin-token"), "{said}");
}

#[rstest]
#[case::short("0123456789abcdef0123456789abcde")]
#[case::space("0123456789abcdef 0123456789abcdef")]
#[case::colon_that_ends_the_user_of_basic("0123456789abcdef:0123456789abcdef")]
#[case::two_lines("0123456789abcdef0123456789abcdef\n0123456789abcdef")]
#[case::umlaut("0123456789abcdef0123456789abcdefä")]
#[case::long(&"0123456789abcdef".repeat(33))]
fn what_is_no_token_is_refused_without_being_shown(#[case] text: &str) {
    let files = Files::new();
    let file = files.write("file", text);
    for key in ["token_file", "operator_token_file", "viewer_token_file"] {
        let said = with(&format!("{key} = {file:?}")).expect_err(text).to_string();
        assert!(said.contains(&format!("admin.{key}: ")), "{said}");
        assert!(said.contains("openssl rand -hex 32") && !said.contains("0123456789"), "{said}");
        assert!(said.contains("legwork.toml:2"), "{said}");
    }
}

#[test]
fn every_mistake_with_tokens_is_said_at_once() {
    let files = Files::new();
    let open = files.write("open", ADMIN);
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).expect("a mode");
    let keys = format!(
        "token_file = [{open:?}, \"/nowhere/token\"]\noperator_token_file = \"relative\"\nviewer_token_file = []"
    );
    let said = with(&keys).expect_err("wrong").to_string();
    for expected in [
        "chmod o-r ",
        "/nowhere/token doesn't exist",
        "admin.operator_token_file: it isn't an absolute path",
        "admin.viewer_token_file: no file is listed: leave the key out if nobody is to have that role",
    ] {
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn a_token_of_two_roles_is_refused() {
    let files = Files::new();
    let key = |name: &str, at: &Path| format!("{name} = {at:?}\n");
    let (one, same, other) =
        (files.write("one", ADMIN), files.write("same", ADMIN), files.write("other", VIEWER));
    let keys = key("token_file", &one) + &key("viewer_token_file", &same);
    let said = with(&keys).expect_err("one token").to_string();
    let expected = "admin.viewer_token_file: it is a token of admin.token_file as well";
    assert!(said.contains(expected), "{said}");
    with(&(key("token_file", &one) + &key("viewer_token_file", &other))).expect("two tokens");
}

#[test]
fn where_nobody_may_do_everything_that_is_said() {
    let files = Files::new();
    let file = files.write("viewer", VIEWER);
    let loaded = with(&format!("viewer_token_file = {file:?}")).expect("right");
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    assert!(loaded.warnings[0].contains("admin.token_file isn't set"), "{:?}", loaded.warnings);
}

/// A daemon that runs takes the new token over without a restart.
#[test]
fn a_token_that_is_replaced_is_named_and_taken_over() {
    let files = Files::new();
    for (key, token) in
        [("token_file", ADMIN), ("operator_token_file", OPERATOR), ("viewer_token_file", VIEWER)]
    {
        let file = files.write("file", token);
        let text = format!("{key} = {file:?}");
        let old = with(&text).expect("right").settings;
        files.write("file", "another-token-of-the-same-role-0001");
        let new = with(&text).expect("right").settings;
        let taken = old.with_changes_of(&new);
        assert_eq!(taken, new);
        assert_eq!(old.differences(&taken), [format!("admin.{key}")]);
        assert_ne!(old, new);
    }
}
