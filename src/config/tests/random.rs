//! Nothing that can be written into a file or a variable makes reading it panic, and what is
//! accepted says of itself what it is.

use super::{load_text, load_with};
use crate::config::keys::KEYS;
use proptest::prelude::*;
use std::fmt::Write as _;

/// Values that some key takes, and some that none does.
const VALUES: &[&str] = &[
    "0",
    "1",
    "7",
    "-1",
    "0.5",
    "true",
    "\"\"",
    "\"5s\"",
    "\"250ms\"",
    "\"30d\"",
    "\"none\"",
    "\"cpus\"",
    "\"2*cpus\"",
    "\"5/s burst 2\"",
    "\"info\"",
    "\"json\"",
    "\"noop\"",
    "\"off\"",
    "\"[::1]:9464\"",
    "\"64KiB\"",
    "[]",
    "[\"/bin/ls\"]",
    "{}",
    "{ A = \"b\" }",
    "1979-05-27",
    "99999999999999999999",
    "nan",
    "\"postgres:///x\"",
    "\"postgres://[::1:x%\"",
    "\"é\\u0000\"",
];

/// Lines of TOML: sections, keys that exist, and values that may fit.
fn toml() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        2 => (0..KEYS.len(), 0..VALUES.len())
            .prop_map(|(key, value)| format!("{} = {}", KEYS[key].name(), VALUES[value])),
        1 => (0..KEYS.len()).prop_map(|key| format!("[{}]", KEYS[key].section())),
        1 => prop_oneof![Just("[[queue]]".to_owned()), Just("[[kind]]".to_owned())],
        1 => "[a-c.]{1,3}".prop_map(|name| format!("name = \"{name}\"")),
    ];
    proptest::collection::vec(line, 0..20).prop_map(|lines| lines.join("\n"))
}

/// A right file of keys of sections, each value within its bounds.
fn right() -> impl Strategy<Value = String> {
    let values = (
        (1u64..100, 10u64..1000, 1u32..=1000, 1usize..=2000),
        (0.0f64..0.9, any::<bool>(), "[a-z0-9 ._-]{1,20}", 1u32..=10_000),
        (1u64..100, 1.0f64..10.0, 0.0f64..1.0, 1u16..=1000),
    );
    values.prop_map(|((beat, poll, batch, rows), (jitter, notify, name, jobs), backoff)| {
        let (base, factor, spread, attempts) = backoff;
        format!(
            "[daemon]\nname = \"{name}\"\nheartbeat_interval = \"{beat}s\"\nlease_ttl = \"{}s\"\n\
             [claim]\npoll_interval = \"{poll}ms\"\nbatch = {batch}\npoll_jitter = {jitter:?}\n\
             notify = {notify}\n[complete]\nflush_max_rows = {rows}\n[retry]\n\
             max_attempts = {attempts}\nbackoff = {{ base = \"{base}s\", factor = {factor:?}, \
             jitter = {spread:?} }}\n[[queue]]\nname = \"q.1\"\nconcurrency = {jobs}\n\
             rate_limit = \"{jobs}/m\"\n[[kind]]\nname = \"k\"\nhandler = \"sleep\"\n",
            beat * 3 + 1,
        )
    })
}

proptest! {
    #[test]
    fn random_bytes_are_refused_or_change_nothing(bytes in any::<Vec<u8>>()) {
        if let Err(mistakes) = load_text(bytes) {
            prop_assert!(mistakes.to_string().starts_with("error: "));
        }
    }

    #[test]
    fn random_text_is_answered(text in "\\PC{0,200}") {
        drop(load_text(text));
    }

    #[test]
    fn random_toml_is_accepted_or_answered_with_its_lines(text in toml()) {
        if let Err(mistakes) = load_text(&text) {
            prop_assert!(mistakes.iter().next().is_some());
            prop_assert!(mistakes.iter().all(|mistake| mistake.place.is_some()), "{mistakes}");
        }
    }

    #[test]
    fn random_variables_are_answered(name in "LEGWORK_[A-Z_]{0,20}", value in "\\PC{0,20}") {
        drop(load_with("", &[(&name, &value)]));
    }

    #[test]
    fn a_key_of_any_value_in_the_environment_is_answered(key in 0..KEYS.len(), value in 0..VALUES.len()) {
        let name = crate::config::overlay::variable_of(KEYS[key].path);
        drop(load_with("", &[(&name.replace("NAME", "DEFAULT"), VALUES[value])]));
    }

    #[test]
    fn an_accepted_file_is_what_show_says_it_is(text in right()) {
        let loaded = load_text(&text).map_err(|m| TestCaseError::fail(format!("{text}\n{m}")))?;
        let (mut sections, mut queue, mut kind) = (String::new(), String::new(), String::new());
        for shown in loaded.show().iter().filter(|shown| shown.key != "database.url") {
            let (into, key) = match shown.key.strip_prefix("[[queue]] \"q.1\".") {
                Some(key) => (&mut queue, key),
                None => match shown.key.strip_prefix("[[kind]] \"k\".") {
                    Some(key) => (&mut kind, key),
                    None => (&mut sections, shown.key.as_str()),
                },
            };
            writeln!(into, "{key} = {}", shown.value).expect("written");
        }
        let again = format!(
            "{sections}[[queue]]\nname = \"q.1\"\n{queue}[[kind]]\nname = \"k\"\n{kind}"
        );
        let again = load_text(&again).map_err(|m| TestCaseError::fail(format!("{again}\n{m}")))?;
        prop_assert_eq!(loaded.settings, again.settings);
    }
}
