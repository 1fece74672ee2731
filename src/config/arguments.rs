//! A command's arguments as they may be shown: what their names say is secret is blotted out.
//!
//! A guess by names, for what people write though `ps` shows it to the whole machine. What has no such name
//! is shown as it stands; a secret belongs into `env`, of which nothing is shown, or into a file.

use super::DatabaseUrl;

const BLOT: &str = "…";

/// What a name has in it that means a secret.
const PARTS: [&str; 7] =
    ["password", "passwd", "passphrase", "secret", "token", "credential", "apikey"];

/// What one of its words is or ends with.
const WORDS: [&str; 5] = ["key", "auth", "authorization", "pass", "pwd"];

/// The program and its arguments.
pub(super) fn shown<'a>(command: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut command = command.into_iter();
    let program = command.next().map(str::to_owned);
    program.into_iter().chain(each(command, argument)).collect()
}

/// Each by itself, and what stands behind `--password`.
fn each<'a>(
    words: impl Iterator<Item = &'a str>,
    shown: impl Fn(&str) -> String,
) -> impl Iterator<Item = String> {
    let mut is_value = false;
    words.map(move |word| {
        let is_secret = std::mem::take(&mut is_value) && !word.starts_with("--");
        is_value = !is_secret && word.starts_with('-') && is_name_of_a_secret(word);
        if is_secret { BLOT.to_owned() } else { shown(word) }
    })
}

/// What should have been a name: as far as it may be one, since a value stands behind the sign that no name has.
pub(super) fn name_in(text: &str) -> String {
    match text.find(['=', ':', ' ']) {
        Some(end) => format!("{}{BLOT}", &text[..=end]),
        None => text.to_owned(),
    }
}

/// What should have been a host's name or an address. A URL may have a secret anywhere but in its scheme.
pub(super) fn host_in(text: &str) -> String {
    match text.find("://") {
        Some(end) => format!("{}://{BLOT}", name_in(&text[..end])),
        None if text.contains('@') => BLOT.to_owned(),
        None => argument(text),
    }
}

/// An argument: a value with its name, a header, or several words, as for a shell.
pub(super) fn argument(text: &str) -> String {
    let end = text.find('=').into_iter().chain(text.find(": ")).min();
    if let Some(end) = end
        && is_name_of_a_secret(&text[..end])
    {
        let sign = if text[end..].starts_with('=') { "=" } else { ": " };
        return format!("{}{sign}{BLOT}", &text[..end]);
    }
    each(text.split(' '), word).collect::<Vec<_>>().join(" ")
}

/// A word: `name=value`, or a URL with a password or parameters.
fn word(text: &str) -> String {
    let text = DatabaseUrl::redacted_in(text);
    let pairs = text.split_inclusive(['?', '&']).map(|piece| {
        let (pair, sign) = match piece.strip_suffix(['?', '&']) {
            Some(pair) => (pair, &piece[pair.len()..]),
            None => (piece, ""),
        };
        match pair.split_once('=') {
            Some((name, _)) if is_name_of_a_secret(name) => format!("{name}={BLOT}{sign}"),
            _ => piece.to_owned(),
        }
    });
    pairs.collect()
}

/// Whether what has this name is a secret, and not where one is kept.
fn is_name_of_a_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    // What stands before the first sign of a URL with parameters is no name.
    if name.contains("://")
        || name.contains(char::is_whitespace)
        || name.ends_with("file")
        || name.ends_with("path")
    {
        return false;
    }
    let mut words = name.split(|c: char| !c.is_alphanumeric());
    PARTS.iter().any(|part| name.contains(part))
        || words.any(|word| WORDS.iter().any(|secret| word.ends_with(secret)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::flag("--password=S3C", "--password=…")]
    #[case::behind_the_flag("--token S3C --verbose", "--token … --verbose")]
    #[case::one_dash("-apiKey S3C x", "-apiKey … x")]
    #[case::flag_without_a_value("--auth --verbose", "--auth --verbose")]
    #[case::plain("DB_PASSWD=S3C", "DB_PASSWD=…")]
    #[case::upper("--API-KEY=S3C", "--API-KEY=…")]
    #[case::of_words("--awsSecretAccessKey=S3C", "--awsSecretAccessKey=…")]
    #[case::credential("--credentials=S3C=S3C", "--credentials=…")]
    #[case::file(
        "--password-file=/run/p --token-file /t",
        "--password-file=/run/p --token-file /t"
    )]
    #[case::no_secret(
        "--keyboard=de --author=ann monkeys=3",
        "--keyboard=de --author=ann monkeys=3"
    )]
    #[case::url("postgres://ann:S3C@db/app", "postgres://ann:…@db/app")]
    #[case::named_url("--to=https://a:S3C@h/x", "--to=https://a:…@h/x")]
    #[case::parameter("https://h/x?a=1&token=S3C&b=2", "https://h/x?a=1&token=…&b=2")]
    #[case::plain_url("https://token.h/x?a=1", "https://token.h/x?a=1")]
    fn a_secret_is_known_by_its_name(#[case] arguments: &str, #[case] expected: &str) {
        let told = shown(["/bin/token"].into_iter().chain(arguments.split(' ')));
        assert_eq!(told.join(" "), format!("/bin/token {expected}"));
        let line = shown(["/bin/sh", "-c", &format!("x {arguments}")]);
        assert_eq!(line, ["/bin/sh", "-c", &format!("x {expected}")], "in one argument");
    }

    #[rstest]
    #[case::header("Authorization: Bearer S3C", "Authorization: …")]
    #[case::header_of_a_key("X-Api-Key: S3C", "X-Api-Key: …")]
    #[case::another_header("Accept: text/plain", "Accept: text/plain")]
    #[case::value_with_spaces("--password=S3C S3C", "--password=…")]
    #[case::several("host=h password=S3C user=ann", "host=h password=… user=ann")]
    fn an_argument_of_several_words_is_looked_into(#[case] given: &str, #[case] expected: &str) {
        assert_eq!(shown(["/bin/x", given]), ["/bin/x", expected]);
    }
}
