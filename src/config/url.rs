//! The connection URL: everything in it is checked here, and what it asks for has its effect or is
//! refused by name.
//!
//! People paste what their platform hands out, so the words are libpq's. The driver knows some of them
//! and passes over the rest with a warning that nobody reads; hence it is given a URL of our own making
//! that holds what it obeys and nothing else. No mistake shows a part that may be a password's.

mod parameters;

use super::environment::user_of_process;
use parameters::Parameters;
pub(super) use parameters::{SSL_MODES, options_take_effect};
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    path::PathBuf,
    time::Duration,
};

const FORM: &str = "write postgres://user@host:5432/database or postgres:///database";
const IN_PASSWORDS: &str = "in a password, write / as %2F, ? as %3F, : as %3A and @ as %40";
/// Longest name of a role or a database, in bytes; Postgres cuts longer ones or knows none.
const NAME_MAX_BYTES: usize = 63;
/// Longest name that DNS can carry, in bytes.
const HOST_MAX_BYTES: usize = 253;

/// Parameters that say where a URL leads.
const PLACES: [&str; 5] = ["host", "hostaddr", "port", "dbname", "user"];

/// A connection URL, whose password no `Debug`, log line or page shows.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// Wraps a URL; whether it is right is found when it is read.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The URL with its password, as it was given.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What it says, or everything that is wrong with it: one sentence each, without a secret.
    pub fn read(&self) -> Result<Address, Vec<String>> {
        let mut reading = Reading::default();
        reading.url(&self.0);
        reading.user_where_none_is_named();
        if reading.mistakes.is_empty() { Ok(reading.address()) } else { Err(reading.mistakes) }
    }

    /// The `sslmode` by which it would go over a network in plain text, whatever else is wrong with it.
    pub(super) fn plaintext(&self) -> Option<String> {
        let mut reading = Reading::default();
        reading.url(&self.0);
        let address = reading.address();
        let mode = address.ssl_mode()?;
        let plain = !address.is_local() && ["disable", "allow", "prefer"].contains(&mode);
        plain.then(|| mode.to_owned())
    }

    /// The URL with its password blotted out, and of its parameters those that say where it leads.
    pub fn redacted(&self) -> String {
        let Some((scheme, rest)) = self.0.split_once("://") else { return "…".into() };
        let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        // What looks like a host may then be a piece of a password with a / or a ? in it.
        if tail.contains('@') {
            return format!("{scheme}://…");
        }
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        let shown = match authority.rsplit_once('@') {
            Some((user, host)) => {
                let name = user.split(':').next().unwrap_or_default();
                let secret = if user.contains(':') { ":…" } else { "" };
                format!("{name}{secret}@{host}")
            }
            None => authority.into(),
        };
        let places = query.split('&').filter(|pair| {
            PLACES.iter().any(|name| pair.split_once('=').is_some_and(|(key, _)| key == *name))
        });
        let places = places.collect::<Vec<_>>().join("&");
        let sign = if places.is_empty() { "" } else { "?" };
        format!("{scheme}://{shown}{path}{sign}{places}")
    }

    /// A word of a command line, which may be such a URL or end with one, as `redacted` shows it where it has a password.
    pub(crate) fn redacted_in(word: &str) -> String {
        let Some((before, _)) = word.split_once("://") else { return word.into() };
        let flag = before.trim_end_matches(|c: char| c.is_ascii_alphanumeric());
        let url = Self::new(&word[flag.len()..]);
        if url.has_password() { flag.to_owned() + &url.redacted() } else { word.into() }
    }

    /// Whether a password stands in it.
    pub(super) fn has_password(&self) -> bool {
        let rest = self.0.split_once("://").map_or(self.0.as_str(), |(_, rest)| rest);
        let in_query = |query: &str| query.split('&').any(|pair| pair.starts_with("password="));
        rest.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
            || rest.split_once('?').is_some_and(|(_, query)| in_query(query))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

/// What a URL says in which nothing is wrong.
#[derive(Clone)]
pub struct Address {
    driver_url: String,
    parameters: Parameters,
    is_local: bool,
}

impl Address {
    /// The same as a URL of parameters that the driver obeys, the password included.
    pub fn driver_url(&self) -> &str {
        &self.driver_url
    }

    /// What its sessions are to be known by besides their role (`application_name`).
    pub fn application_name(&self) -> Option<&str> {
        self.parameters.application_name()
    }

    /// How long a connection attempt may take (`connect_timeout`).
    pub fn connect_timeout(&self) -> Option<Duration> {
        self.parameters.connect_timeout
    }

    /// Whether a server that is read-only isn't the one that is meant (`target_session_attrs`).
    pub fn must_be_writable(&self) -> bool {
        self.parameters.must_be_writable
    }

    /// The database that it names; without a name it is the user's.
    pub fn database_name(&self) -> Option<&str> {
        self.parameters.get("dbname").or_else(|| self.parameters.get("user"))
    }

    /// Whether it leads to this machine: a socket, `localhost` or a loopback address.
    pub(super) fn is_local(&self) -> bool {
        self.is_local
    }

    /// Whether it gives this parameter, so that the driver looks for no variable in its place.
    pub(super) fn says(&self, parameter: &str) -> bool {
        self.parameters.get(parameter).is_some()
    }

    /// The `sslmode` that it asks for.
    fn ssl_mode(&self) -> Option<&str> {
        self.parameters.get("sslmode")
    }

    /// The files that it names, each with its parameter.
    pub(super) fn files(&self) -> Vec<(&'static str, PathBuf)> {
        let inline = |value: &&str| !value.contains("-----BEGIN");
        let file = |name| Some((name, self.parameters.get(name).filter(inline)?.into()));
        ["sslrootcert", "sslcert", "sslkey"].into_iter().filter_map(file).collect()
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address").finish_non_exhaustive()
    }
}

/// What was read so far.
#[derive(Default)]
struct Reading {
    parameters: Parameters,
    mistakes: Vec<String>,
}

impl Reading {
    fn url(&mut self, url: &str) {
        if url.is_empty() {
            return self.mistakes.push(format!("it is empty: {FORM}"));
        }
        let schemes = ["postgres://", "postgresql://"];
        let Some(rest) = schemes.iter().find_map(|scheme| url.strip_prefix(scheme)) else {
            return self.mistakes.push(format!("it isn't a Postgres URL: {FORM}"));
        };
        if let Some(c) = rest.chars().find(|c| c.is_control() || c.is_whitespace() || *c == '#') {
            let code = u32::from(c);
            self.mistakes.push(format!("{c:?} can't stand in a URL: write it as %{code:02X}"));
        }
        let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        let (userinfo, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (host, port) = host_and_port(place);
        // Read on, and pieces of a password would be taken for a database or for parameters.
        if tail.contains('@') {
            let why =
                "an @ stands behind its host, as it does where a password isn't written whole";
            return self.mistakes.push(format!("{why}: {IN_PASSWORDS}"));
        }
        self.user(userinfo);
        self.host(host);
        self.port(port);
        self.database(path.strip_prefix('/').unwrap_or(path));
        self.parameters.read(query, &mut self.mistakes);
    }

    fn user(&mut self, userinfo: &str) {
        let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        self.put("user", "its user", user);
        self.put("password", "its password", password);
    }

    /// Said to the driver, which knows of no users of the system.
    fn user_where_none_is_named(&mut self) {
        if self.parameters.get("user").is_some() {
            return;
        }
        match user_of_process() {
            Ok(None) => {}
            Ok(Some(user)) => self.parameters.put("user", user),
            Err(why) => self.mistakes.push(why),
        }
    }

    /// An IPv6 address has brackets, which the driver would take for a part of the server's name.
    fn host(&mut self, host: &str) {
        if host.contains(',') {
            return self.mistakes.push("it names more than one host, and one is used".into());
        }
        if let Some(address) = host.strip_prefix('[') {
            let address = address.strip_suffix(']').unwrap_or_default();
            return match address.parse::<Ipv6Addr>() {
                Ok(_) => self.parameters.put("host", address.into()),
                Err(_) => self.mistakes.push("its host in brackets isn't an IPv6 address".into()),
            };
        }
        self.put("host", "its host", host);
    }

    fn port(&mut self, port: Option<&str>) {
        match port {
            // As libpq has it: nothing behind the colon is the usual port.
            None | Some("") => {}
            Some(port) if is_port(port) => self.parameters.put("port", port.into()),
            Some(_) => {
                let why = "its port isn't a number from 1 to 65535";
                self.mistakes.push(format!("{why}; {IN_PASSWORDS}"));
            }
        }
    }

    fn database(&mut self, name: &str) {
        if name.contains('/') {
            let why = "its database name has a / in it: write it as %2F, or leave it out";
            return self.mistakes.push(why.into());
        }
        self.put("dbname", "its database name", name);
    }

    /// Takes a part before the question mark, decoded, if there is anything in it.
    fn put(&mut self, name: &'static str, label: &str, raw: &str) {
        match decoded(raw).and_then(|value| fits(name, &value).map(|()| value)) {
            Ok(value) if value.is_empty() => {}
            Ok(value) => self.parameters.put(name, value),
            Err(why) => self.mistakes.push(format!("{label} {why}")),
        }
    }

    fn address(self) -> Address {
        let host = self.parameters.get("host").unwrap_or_default();
        let loopback = host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        let socket = host.is_empty() || host.starts_with('/');
        let is_local = socket || loopback || host.eq_ignore_ascii_case("localhost");
        Address { driver_url: self.parameters.driver_url(), is_local, parameters: self.parameters }
    }
}

/// Of what stands before the path; an IPv6 host keeps its brackets.
fn host_and_port(place: &str) -> (&str, Option<&str>) {
    let bracket = place.rfind(']').map_or(0, |end| end + 1);
    match place[bracket..].rfind(':') {
        Some(colon) => (&place[..bracket + colon], Some(&place[bracket + colon + 1..])),
        None => (place, None),
    }
}

pub(super) fn is_port(text: &str) -> bool {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits && text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Text with its escapes read, as libpq reads them: a + is a +.
fn decoded(raw: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        let escape = (byte == b'%').then(|| {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            Some(digit(rest.next())? * 16 + digit(rest.next())?)
        });
        bytes.push(match escape {
            None => byte,
            Some(Some(code)) => u8::try_from(code).unwrap_or(b'%'),
            Some(None) => {
                let why = "has a % that isn't followed by two hexadecimal digits; % itself is %25";
                return Err(why.into());
            }
        });
    }
    match String::from_utf8(bytes) {
        Ok(text) if text.contains('\0') => Err("holds the character NUL".into()),
        Ok(text) => Ok(text),
        Err(_) => Err("isn't UTF-8 once its % are read".into()),
    }
}

/// Whether the text can be what the part is.
fn fits(part: &str, value: &str) -> Result<(), String> {
    match part {
        "user" | "dbname" if value.len() > NAME_MAX_BYTES => {
            Err(format!("is longer than the {NAME_MAX_BYTES} bytes of a name in Postgres"))
        }
        "port" if !is_port(value) => Err("isn't a number from 1 to 65535".into()),
        "host" if value.starts_with('/') => Ok(()),
        "host" if value.contains(',') => Err("names more than one host, and one is used".into()),
        "host" if value.parse::<Ipv6Addr>().is_ok() => Ok(()),
        "host" if value.len() > HOST_MAX_BYTES => {
            Err(format!("is longer than the {HOST_MAX_BYTES} bytes of a name in DNS"))
        }
        "host" => match value.chars().find(|c| !(c.is_alphanumeric() || ".-_".contains(*c))) {
            Some(c) => Err(format!(
                "has {c:?} in it: letters, digits and . - _ can stand there, or the directory of a \
                 socket, whose first / is %2F before the ?"
            )),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}
