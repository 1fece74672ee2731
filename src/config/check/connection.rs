//! `[database]`: where the URL comes from, whether it has a URL's form, and whether it is safe.
//!
//! It connects to nothing: a name that doesn't resolve is found by the daemon, which waits for it.

use super::{Given, Warnings, section};
use crate::config::{
    keys::closest,
    mistakes::Mistakes,
    reader::Reader,
    secret,
    settings::{Database, DatabaseUrl},
};
use std::net::IpAddr;

/// The credential's name in `$CREDENTIALS_DIRECTORY`.
const CREDENTIAL: &str = "database-url";
/// What may stand behind the question mark; `options[…]` as well. A spelling stands for the one before
/// its `=`, and the driver obeys each of them.
const PARAMETERS: [(&str, &str); 17] = [
    ("sslmode", "sslmode"),
    ("ssl-mode", "sslmode"),
    ("sslrootcert", "sslrootcert"),
    ("ssl-root-cert", "sslrootcert"),
    ("ssl-ca", "sslrootcert"),
    ("sslcert", "sslcert"),
    ("ssl-cert", "sslcert"),
    ("sslkey", "sslkey"),
    ("ssl-key", "sslkey"),
    ("statement-cache-capacity", "statement-cache-capacity"),
    ("host", "host"),
    ("hostaddr", "host"),
    ("port", "port"),
    ("dbname", "dbname"),
    ("user", "user"),
    ("password", "password"),
    ("options", "options"),
];
const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

pub(super) fn database(
    reader: &mut Reader<'_>,
    given: &Given<'_>,
    default: &Database,
    warnings: &mut Warnings,
) -> (Database, Option<String>) {
    let at = section("database");
    let allow_plaintext = reader.switch(at, "allow_plaintext", default.allow_plaintext);
    let url = url(reader, given);
    if let Some((url, place)) = &url {
        if let Err(why) = check(url, allow_plaintext) {
            reader.mistakes.push(format!("database.url: {why}"), Some(place));
        } else if allow_plaintext && !is_local(url) {
            warnings.push("allow_plaintext: Postgres may be talked to without TLS".into());
        }
        let in_file = rank(place) == 1 && reader.place(at, "url") == Some(place);
        if in_file && has_password(url) && given.world_readable {
            warnings.push(format!(
                "{place} holds a password and may be read by everybody: use url_file, or chmod o-r"
            ));
        }
    }
    let (url, place) = url.unzip();
    let database = Database {
        url: url.map(DatabaseUrl::new),
        connect_timeout: reader.duration(at, "connect_timeout", default.connect_timeout),
        statement_timeout: reader.duration(at, "statement_timeout", default.statement_timeout),
        allow_plaintext,
    };
    (database, place)
}

/// The URL and where it came from: `url` or `url_file`, else the credential, else `DATABASE_URL`.
fn url(reader: &mut Reader<'_>, given: &Given<'_>) -> Option<(String, String)> {
    let at = section("database");
    let text = reader.text(at, "url", |_| Ok(()));
    let file = reader.text(at, "url_file", |_| Ok(()));
    let place = |key: &str| reader.place(at, key).unwrap_or_default().to_owned();
    let (url_place, file_place) = (place("url"), place("url_file"));
    let url_wins = rank(&url_place) >= rank(&file_place);
    match (text, file) {
        (Some(_), Some(_)) if rank(&url_place) == rank(&file_place) => {
            let why = format!("url is given as well ({url_place}): only one of them can be meant");
            reader.refuse(at, "url_file", &why);
            None
        }
        (Some(url), file) if url_wins || file.is_none() => Some((url, url_place)),
        (_, Some(file)) => match secret::read(file.as_ref()) {
            Ok(url) => Some((url, format!("{file} ({file_place})"))),
            Err(why) => {
                reader.refuse(at, "url_file", &why);
                None
            }
        },
        _ if !reader.sound(at, &["url", "url_file"]) => None,
        _ => elsewhere(given, &mut reader.mistakes),
    }
}

/// Flags over environment over file.
fn rank(place: &str) -> u8 {
    if place.starts_with("flag ") {
        3
    } else if place.starts_with("environment ") {
        2
    } else {
        u8::from(!place.is_empty())
    }
}

fn elsewhere(given: &Given<'_>, mistakes: &mut Mistakes) -> Option<(String, String)> {
    let credential = given.environment.credentials_directory().map(|dir| dir.join(CREDENTIAL));
    if let Some(path) = credential.filter(|path| path.exists()) {
        let place = format!("credential {CREDENTIAL}");
        return match secret::read(&path) {
            Ok(url) => Some((url, place)),
            Err(why) => {
                mistakes.push(why, Some(&place));
                None
            }
        };
    }
    let raw = given.environment.raw("DATABASE_URL")?;
    let place = "environment DATABASE_URL";
    if raw.to_str().is_none() {
        mistakes.push("DATABASE_URL isn't UTF-8", Some(place));
    }
    Some((given.environment.text("DATABASE_URL")?.to_owned(), place.into()))
}

/// What is wrong with a URL, without showing it.
fn check(url: &str, allow_plaintext: bool) -> Result<(), String> {
    const FORM: &str = "write postgres://user@host:5432/database or postgres:///database";
    if url.is_empty() {
        return Err(format!("it is empty: {FORM}"));
    }
    if let Some(c) = url.chars().find(|c| c.is_control() || c.is_whitespace() || *c == '#') {
        return Err(format!("{c:?} can't stand in a URL: write it as %{:02X}", u32::from(c)));
    }
    let rest = ["postgres://", "postgresql://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    let rest = rest.ok_or_else(|| format!("it isn't a Postgres URL: {FORM}"))?;
    if !escapes_are_whole(rest) {
        return Err("a % is followed by two hexadecimal digits; % itself is %25".into());
    }
    let (host, port) = host_and_port(rest);
    if host.contains([',', '@']) {
        return Err("it names more than one host, and one is used".into());
    }
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
        return Err("its port isn't a number from 1 to 65535; in a password, write / as %2F, \
                    : as %3A and @ as %40"
            .into());
    }
    parameters(url)?;
    let mode = parameter(url, "sslmode").or_else(|| parameter(url, "ssl-mode"));
    match mode {
        Some(mode) if !SSL_MODES.contains(&mode) => {
            Err(format!("sslmode={mode:?} is none of {}", SSL_MODES.join(", ")))
        }
        Some(mode @ ("disable" | "allow" | "prefer")) if !is_local(url) && !allow_plaintext => {
            Err(format!(
                "sslmode={mode} lets passwords and payloads cross the network in plain text: use \
                 verify-full, or set allow_plaintext = true under [database]"
            ))
        }
        _ => Ok(()),
    }
}

/// Each parameter is one that has its effect, and stands there once: of two, the check might look at
/// the one and the driver obey the other.
fn parameters(url: &str) -> Result<(), String> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let mut seen = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let known = PARAMETERS.iter().find(|(name, _)| *name == key).map(|(_, meant)| *meant);
        let Some(meant) = known.or_else(|| key.starts_with("options[").then_some("options[…]"))
        else {
            return Err(unknown_parameter(key));
        };
        if value.is_empty() {
            return Err(format!("its parameter {meant} has no value"));
        }
        if seen.contains(&meant) && meant != "options[…]" {
            return Err(format!("its parameter {meant} is given twice"));
        }
        seen.push(meant);
    }
    Ok(())
}

/// A key is shown if it looks like one: what stands there might be the end of a password.
fn unknown_parameter(key: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if key.is_empty() || key.len() > 32 || !key.chars().all(word) {
        return "behind its ? stand parameters of the form name=value; in a password, write ? as \
                %3F and & as %26"
            .into();
    }
    let names = PARAMETERS.iter().map(|(name, _)| *name);
    let near = closest(key, names, 0.6).map(|near| format!("; did you mean {near}?"));
    format!("its parameter {key} has no effect here: leave it out{}", near.unwrap_or_default())
}

fn escapes_are_whole(text: &str) -> bool {
    let digits = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count();
    text.split('%').skip(1).all(|rest| digits(rest) == 2)
}

/// Whether the URL leads to this machine: a socket, `localhost` or a loopback address.
fn is_local(url: &str) -> bool {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let host = parameter(url, "host").or_else(|| parameter(url, "hostaddr"));
    let host = host.unwrap_or_else(|| host_and_port(rest).0);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    let socket = host.is_empty() || host.starts_with('/') || host.starts_with("%2F");
    socket || host.starts_with("%2f") || host.eq_ignore_ascii_case("localhost") || loopback
}

/// Of what follows `://`; an IPv6 host keeps its brackets.
fn host_and_port(rest: &str) -> (&str, Option<&str>) {
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let bracket = host.rfind(']').map_or(0, |end| end + 1);
    match host.get(bracket..).and_then(|tail| tail.rfind(':')) {
        Some(colon) => (&host[..bracket + colon], Some(&host[bracket + colon + 1..])),
        None => (host, None),
    }
}

fn parameter<'a>(url: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = url.split_once('?')?;
    // The last one wins, as it does for the driver.
    let mut pairs = query.split('&').rev().filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn has_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}
