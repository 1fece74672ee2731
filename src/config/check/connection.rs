//! `[database]`: where the URL comes from, and whether what it says is right and safe.
//!
//! It connects to nothing: a name that doesn't resolve is found by the daemon, which waits for it.

use super::{Given, Warnings, section};
use crate::config::{
    mistakes::Mistakes,
    reader::{At, DEFAULT, Reader},
    secret,
    settings::{Database, NEEDS_SERVER, Pooler, Settings},
    source,
    url::{Address, DatabaseUrl, SSL_MODES, is_port, options_take_effect},
};
use std::path::PathBuf;

/// The credential's name in `$CREDENTIALS_DIRECTORY`.
const CREDENTIAL: &str = "database-url";
pub(super) fn database(
    reader: &mut Reader<'_>,
    given: &Given<'_>,
    default: &Database,
    warnings: &mut Warnings,
) -> (Database, Option<String>) {
    let at = section("database");
    let allow_plaintext = reader.switch(at, "allow_plaintext", default.allow_plaintext);
    let given_timeout = reader.place(at, "connect_timeout").is_some_and(|place| place != DEFAULT);
    let mut connect_timeout = reader.duration(at, "connect_timeout", default.connect_timeout);
    let pooler = match reader.one_of(at, "pooler") {
        Some("transaction") => Pooler::Transaction,
        Some(_) => Pooler::None,
        None => default.pooler,
    };
    let direct = direct_url(reader, pooler, allow_plaintext, warnings);
    let named = one_of_two(reader, ("url", "url_file"));
    let direct_url = beside(&named, direct, warnings);
    let (url, place) = match named {
        Named::Nothing => elsewhere(given, &mut reader.mistakes),
        Named::Wrong => None,
        Named::Url(url, place) => Some((url, place)),
    }
    .unzip();
    let url = url.map(DatabaseUrl::new);
    if let (Some(url), Some(place)) = (&url, &place) {
        let address = address(reader, ("database.url", url), place, allow_plaintext);
        if pooler == Pooler::Transaction && address.as_ref().is_some_and(|url| url.says("options"))
        {
            let why = "database.url: its parameter options is refused by a pooler: say it by ALTER ROLE … SET";
            reader.mistakes.push(why.to_owned(), Some(place));
        }
        if let Some(address) = &address {
            variables(given, address, &mut reader.mistakes);
        }
        if allow_plaintext && address.as_ref().is_some_and(|address| !address.is_local()) {
            warnings.push("allow_plaintext: Postgres may be talked to without TLS".into());
        }
        // What was said for Legwork alone wins over what a platform says to all its clients.
        let of_url = address.and_then(|address| address.connect_timeout());
        connect_timeout = of_url.filter(|_| !given_timeout).unwrap_or(connect_timeout);
        let in_file = rank(place) == 1 && reader.place(at, "url") == Some(place);
        if in_file && url.has_password() && given.world_readable {
            warnings.push(format!(
                "{place} holds a password and may be read by everybody: use url_file, or chmod o-r"
            ));
        }
    }
    let statement_timeout = reader.duration(at, "statement_timeout", default.statement_timeout);
    let sql_connections = reader.count(at, "sql_connections", default.sql_connections);
    let database = Database {
        url,
        direct_url,
        pooler,
        connect_timeout,
        statement_timeout,
        allow_plaintext,
        sql_connections,
    };
    (database, place)
}

/// The server's own address, where `url` leads to a pooler.
fn direct_url(
    reader: &mut Reader<'_>,
    pooler: Pooler,
    allow_plaintext: bool,
    warnings: &mut Warnings,
) -> Option<(DatabaseUrl, String)> {
    let Named::Url(url, place) = one_of_two(reader, ("direct_url", "direct_url_file")) else {
        return None;
    };
    if pooler == Pooler::None {
        warnings.push("direct_url has no effect unless pooler = \"transaction\"".into());
    }
    let url = DatabaseUrl::new(url);
    address(reader, ("database.direct_url", &url), &place, allow_plaintext);
    Some((url, place))
}

/// The server's address, unless `url` comes from somewhere stronger: whoever names another database, by a flag over a
/// file, means that one alone.
fn beside(
    url: &Named,
    direct: Option<(DatabaseUrl, String)>,
    warnings: &mut Warnings,
) -> Option<DatabaseUrl> {
    let (direct, direct_place) = direct?;
    let Named::Url(_, place) = url else { return Some(direct) };
    if strength(&direct_place) >= strength(place) {
        return Some(direct);
    }
    warnings.push(format!(
        "direct_url ({direct_place}) is left aside, since url comes from {place} and may be of another database: \
         give both in one place"
    ));
    None
}

/// The rank of the place that names a URL or a file with it.
fn strength(place: &str) -> u8 {
    let by_file = place.strip_suffix(')').and_then(|place| place.rsplit_once(" ("));
    rank(by_file.map_or(place, |(_, place)| place))
}

/// What two keys say of which one gives a URL and the other a file with it.
enum Named {
    Url(String, String),
    Wrong,
    Nothing,
}

/// The URL and where it came from.
fn one_of_two(reader: &mut Reader<'_>, (url_key, file_key): (&'static str, &'static str)) -> Named {
    let at = section("database");
    let text = reader.text(at, url_key, |_| Ok(()));
    let file = reader.text(at, file_key, |_| Ok(()));
    let place = |key: &str| reader.place(at, key).unwrap_or_default().to_owned();
    let (url_place, file_place) = (place(url_key), place(file_key));
    let url_wins = rank(&url_place) >= rank(&file_place);
    match (text, file) {
        (Some(_), Some(_)) if rank(&url_place) == rank(&file_place) => {
            let why =
                format!("{url_key} is given as well ({url_place}): only one of them can be meant");
            reader.refuse(at, file_key, &why);
            Named::Wrong
        }
        (Some(url), file) if url_wins || file.is_none() => Named::Url(url, url_place),
        (_, Some(file)) => match secret::read(file.as_ref()) {
            Ok(url) => Named::Url(url, format!("{file} ({file_place})")),
            Err(why) => {
                reader.refuse(at, file_key, &why);
                Named::Wrong
            }
        },
        _ if !reader.sound(at, &[url_key, file_key]) => Named::Wrong,
        _ => Named::Nothing,
    }
}

/// Refuses kinds that need the server itself where there is only a pooler.
pub(super) fn functions_need_the_server(reader: &mut Reader<'_>, settings: &Settings) {
    for kind in settings.kinds_without_server() {
        let at = At { section: "kind", item: Some(kind.name.as_str()) };
        reader.refuse(at, "handler", NEEDS_SERVER);
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

/// Notes what is wrong with a URL, and with what it asks for in this place.
fn address(
    reader: &mut Reader<'_>,
    (key, url): (&str, &DatabaseUrl),
    place: &str,
    allow_plaintext: bool,
) -> Option<Address> {
    let read = url.read();
    let mut wrong: Vec<String> = match &read {
        Ok(address) => address.files().iter().filter_map(unusable).collect(),
        Err(mistakes) => mistakes.clone(),
    };
    if let Some(mode) = url.plaintext().filter(|_| !allow_plaintext) {
        wrong.push(format!(
            "sslmode={mode} lets passwords and payloads cross the network in plain text: use \
             verify-full, or set allow_plaintext = true under [database]"
        ));
    }
    let sound = wrong.is_empty();
    for why in wrong {
        reader.mistakes.push(format!("{key}: {why}"), Some(place));
    }
    read.ok().filter(|_| sound)
}

/// What is wrong with the variables that the driver reads in place of what the URL leaves out: it passes over
/// a wrong one without a word.
fn variables(given: &Given<'_>, address: &Address, mistakes: &mut Mistakes) {
    let mut refuse = |name: &str, why: &str| {
        let place = format!("environment {name}");
        mistakes.push(format!("{name} {why}"), Some(&place));
    };
    let text = |name| given.environment.raw(name).map(|value| value.to_string_lossy());
    let read =
        |parameter, name| text(name).filter(|text| !text.is_empty() && !address.says(parameter));
    if read("port", "PGPORT").is_some_and(|port| !is_port(&port)) {
        refuse("PGPORT", "isn't a number from 1 to 65535");
    }
    let known = |mode: &str| SSL_MODES.contains(&mode.to_ascii_lowercase().as_str());
    if read("sslmode", "PGSSLMODE").is_some_and(|mode| !known(&mode)) {
        refuse("PGSSLMODE", &format!("is none of {}", SSL_MODES.join(", ")));
    }
    if let Some(Err(why)) = text("PGOPTIONS").map(|options| options_take_effect(&options)) {
        refuse("PGOPTIONS", &why);
    }
}

/// What is wrong with a file that a parameter names; of them, the key is a secret.
fn unusable((parameter, path): &(&str, PathBuf)) -> Option<String> {
    let name = path.display();
    if !path.is_absolute() {
        let why = "isn't absolute: what it means would depend on the directory";
        return Some(format!("its parameter {parameter}: {name} {why}"));
    }
    match source::bounded(path, source::FILE_MAX_BYTES) {
        Ok((_, everybody)) if *parameter == "sslkey" => {
            everybody.refused_a_secret(path).map(|why| format!("its parameter sslkey: {why}"))
        }
        Ok(_) => None,
        Err(why) => Some(format!("its parameter {parameter}: {why}")),
    }
}
