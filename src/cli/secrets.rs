//! What of the command line may not be printed again: passwords and tokens that stand in a URL.
//!
//! The parser quotes what it can't read, wherever it stands: the URL that belonged to another option, or to none. So every
//! text of a mistake passes here. A secret that is given in no URL isn't known for one.

use crate::config::DatabaseUrl;
use std::ffi::OsString;

/// The words of a command line with a secret in them.
pub(super) struct Secrets(Vec<Secret>);

struct Secret {
    given: String,
    shown: String,
}

impl Secrets {
    /// Those of this command line.
    pub(super) fn of(arguments: &[OsString]) -> Self {
        let words = arguments.iter().map(|word| word.to_string_lossy());
        let secrets = words.filter_map(|word| {
            let value = word.starts_with("--").then(|| word.split_once('=')).flatten();
            let value = value.map_or(&*word, |(_, value)| value);
            shown(value).map(|shown| Secret { given: value.to_owned(), shown })
        });
        Self(secrets.collect())
    }

    /// The text without them.
    pub(super) fn hidden(&self, text: &str) -> String {
        let hide = |text: String, Secret { given, shown }: &Secret| text.replace(given, shown);
        self.0.iter().fold(text.to_owned(), hide)
    }

    pub(super) fn are_none(&self) -> bool {
        self.0.is_empty()
    }
}

/// A word as it may be shown, where a secret stands in it.
fn shown(word: &str) -> Option<String> {
    let redacted = DatabaseUrl::redacted_in(word);
    if redacted != word {
        return Some(redacted);
    }
    let (before, host) = word.rsplit_once('@')?;
    let (scheme, user) =
        before.split_once("://").map_or(("", before), |(scheme, user)| (scheme, user));
    let sign = if scheme.is_empty() { "" } else { "://" };
    match user.split_once(':') {
        Some((name, _)) => Some(format!("{scheme}{sign}{name}:…@{host}")),
        // Who forgot the user before a token.
        None if scheme.starts_with("http") => Some(format!("{scheme}{sign}…@{host}")),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::a_token("http://x:hunter2@h:1", "http://x:…@h:1")]
    #[case::of_an_option("--url=http://x:hunter2@h", "--url=http://x:…@h")]
    #[case::without_a_user("https://hunter2@h", "https://…@h")]
    #[case::without_a_scheme("x:hunter2@h", "x:…@h")]
    #[case::with_an_at("http://x:hunt@er2@h", "http://x:…@h")]
    #[case::a_password("postgres://u:hunter2@h/x", "postgres://u:…@h/x")]
    #[case::a_password_behind("postgres://h/x?password=hunter2", "postgres://h/x")]
    #[case::a_user("postgres://u@h/x", "postgres://u@h/x")]
    #[case::no_url("user.mail=a@b.c", "user.mail=a@b.c")]
    fn what_is_secret_in_a_word_is_not_shown(#[case] word: &str, #[case] shown: &str) {
        let secrets = Secrets::of(&["legwork".into(), word.into()]);
        let hidden = secrets.hidden(&format!("unexpected argument '{word}' found"));
        assert_eq!(hidden, format!("unexpected argument '{shown}' found"));
    }
}
