//! `[admin]`: where the port is, by which names it goes, and the tokens of those who may ask it.

use super::{Given, Warnings, secrets, section};
use crate::config::{
    arguments::host_in,
    environment::Environment,
    reader::{At, Reader},
    secret,
    settings::{Admin, AdminToken, AdminTokens},
};
use ::config::ValueKind;
use ::url::Url;
use std::{net::SocketAddr, path::PathBuf};

/// Most names that the port goes by.
const HOSTS_MAX: usize = 64;
/// Most bytes of the URL that receivers call.
const URL_MAX_BYTES: usize = 1024;
/// A key and a credential.
type Named = (&'static str, &'static str);
/// The keys that name files with tokens, and the credentials that stand in for them, highest role first.
pub(in crate::config) const TOKENS: [Named; 3] = [
    ("token_file", "admin-token"),
    ("operator_token_file", "admin-operator-token"),
    ("viewer_token_file", "admin-viewer-token"),
];

pub(super) fn settings(
    reader: &mut Reader<'_>,
    given: &Given<'_>,
    default: Option<SocketAddr>,
    warnings: &mut Warnings,
) -> Admin {
    let at = section("admin");
    let listen = reader.address(at, "listen", default);
    let names = reader.words(at, "allow_hosts").unwrap_or_default();
    for why in not_hosts(&names) {
        reader.refuse(at, "allow_hosts", &why);
    }
    let plain = |name: &String| name.trim_end_matches('.').to_ascii_lowercase();
    let allow_hosts = names.iter().map(plain).collect();
    let callback_url = reader.text(at, "callback_url", |text| callback_base(text).map(|_| ()));
    let callback_url = callback_url.and_then(|text| callback_base(&text).ok());
    Admin { listen, allow_hosts, callback_url, tokens: tokens(reader, at, given, warnings) }
}

/// Where receivers call back: the port's own address as they reach it.
pub(super) fn callback_base(text: &str) -> Result<Url, String> {
    let how = "write the port as receivers reach it, \"http://legwork-0.internal:9464\"";
    if text.len() > URL_MAX_BYTES {
        return Err(format!("it is longer than {URL_MAX_BYTES} bytes"));
    }
    let url = Url::parse(text).map_err(|error| format!("{error}: {how}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("{:?} isn't http or https", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a user or password can't stand in it: each URL has a token of its own".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("a path is put behind it: nothing can stand behind ? or #".into());
    }
    if url.port() == Some(0) {
        return Err(format!("nobody can be reached at port 0: {how}"));
    }
    Ok(url)
}

/// What is wrong with a port that a program describes, by key.
pub(super) fn wrong(port: &Admin) -> impl Iterator<Item = (&'static str, String)> {
    let hosts = not_hosts(&port.allow_hosts).map(|why| ("allow_hosts", why));
    let base = port.callback_url.iter().filter_map(|url| callback_base(url.as_str()).err());
    let base = base.map(|why| ("callback_url", why));
    hosts.chain(base).chain(shared(&port.tokens).map(|((key, _), why)| (key, why)))
}

/// What is wrong with names of the port.
fn not_hosts(names: &[String]) -> impl Iterator<Item = String> {
    let count = names.len();
    let many =
        (count > HOSTS_MAX).then(|| format!("{count} names are listed, {HOSTS_MAX} are allowed"));
    let is_name = |name: &str| {
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        (1..=253).contains(&name.len()) && name.chars().all(legal)
    };
    let other = names.iter().find(|name| !is_name(name));
    let other =
        other.map(|name| format!("{:?} isn't a host's name, without a port", host_in(name)));
    many.into_iter().chain(other)
}

fn tokens(
    reader: &mut Reader<'_>,
    at: At<'_>,
    given: &Given<'_>,
    warnings: &mut Warnings,
) -> AdminTokens {
    let [admin, operator, viewer] = TOKENS.map(|named| of_role(reader, at, given, named));
    let tokens = AdminTokens { admin, operator, viewer };
    for (named, why) in shared(&tokens) {
        refuse(reader, at, named, &why);
    }
    if tokens.admin.is_empty() && !tokens.is_empty() && reader.sound(at, &["token_file"]) {
        warnings
            .push("admin.token_file isn't set, so nobody may do what the role admin may".into());
    }
    tokens
}

/// The file of the first token for everything.
pub(in crate::config) fn token_file(
    reader: &Reader<'_>,
    environment: &Environment,
) -> Option<PathBuf> {
    let [(key, credential), ..] = TOKENS;
    match reader.raw(section("admin"), key).map(|value| &value.kind) {
        Some(ValueKind::String(file)) => Some(file.into()),
        Some(ValueKind::Array(files)) => {
            files.last().and_then(|file| file.clone().into_string().ok()).map(Into::into)
        }
        Some(_) => None,
        None => {
            let file = environment.credentials_directory()?.join(credential);
            file.exists().then_some(file)
        }
    }
}

/// Tokens of a role that a higher one has as well, by which the lower one would be all that it isn't to be.
fn shared(tokens: &AdminTokens) -> impl Iterator<Item = (Named, String)> {
    let AdminTokens { admin, operator, viewer } = tokens;
    let [of_admin, of_operator, of_viewer] = TOKENS;
    let pairs = [
        ((of_operator, operator), (of_admin, admin)),
        ((of_viewer, viewer), (of_admin, admin)),
        ((of_viewer, viewer), (of_operator, operator)),
    ];
    pairs
        .into_iter()
        .filter(|((_, lower), (_, higher))| lower.iter().any(|it| higher.contains(it)))
        .map(|((named, _), ((key, _), _))| {
            let other = section("admin").label(key);
            (named, format!("it is a token of {other} as well: each role needs one of its own"))
        })
}

/// The tokens of a role: of its key, else of the service's credential.
fn of_role(
    reader: &mut Reader<'_>,
    at: At<'_>,
    given: &Given<'_>,
    (key, credential): Named,
) -> Vec<AdminToken> {
    if reader.raw(at, key).is_some() {
        return secrets::all(reader, at, (key, "nobody is to have that role"), AdminToken::parse);
    }
    let file = given.environment.credentials_directory().map(|dir| dir.join(credential));
    let Some(path) = file.filter(|path| path.exists()) else { return Vec::new() };
    let token =
        secret::read(&path).and_then(|text| AdminToken::parse(&text).map_err(str::to_owned));
    match token {
        Ok(token) => vec![token],
        Err(why) => {
            refuse(reader, at, (key, credential), &why);
            Vec::new()
        }
    }
}

/// Notes what is wrong where the token is from.
fn refuse(reader: &mut Reader<'_>, at: At<'_>, (key, credential): Named, why: &str) {
    if reader.raw(at, key).is_some() {
        reader.refuse(at, key, why);
    } else {
        let place = format!("credential {credential}");
        reader.mistakes.push(format!("{}: {why}", at.label(key)), Some(&place));
    }
}
