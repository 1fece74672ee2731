//! What stands behind the question mark of a URL: libpq's parameters, each with what becomes of it.
//!
//! A parameter is obeyed by the driver, obeyed by Legwork, or asks for what is done anyway; everything
//! else is refused with what to do instead, since who wrote it relies on it. Spellings that only the
//! driver knows are kept, because the driver obeys them.

use super::{decoded, fits};
use crate::config::keys::closest;
use std::{collections::BTreeMap, net::IpAddr, time::Duration};

/// What was given, by the first spelling of each parameter.
#[derive(Clone, Default)]
pub(super) struct Parameters {
    given: BTreeMap<String, String>,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) must_be_writable: bool,
}

/// One that libpq, the driver or a platform knows.
struct Parameter {
    /// The name, then other spellings of it.
    names: &'static [&'static str],
    rule: Rule,
}

enum Rule {
    /// The driver obeys any value that passes `check`.
    Driver,
    /// One of these words, for the driver.
    Word(&'static [&'static str]),
    /// Obeyed here.
    Ours,
    /// These ask for what is done anyway; for others, what to do instead.
    Only(&'static [&'static str], &'static str),
    /// Nothing can be done about it but this.
    Never(&'static str),
}

pub(in crate::config) const SSL_MODES: &[&str] =
    &["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
const NO_KEEPALIVE: &str = "leave it out: each statement has a deadline of its own \
                            (database.statement_timeout), after which a silent connection is closed";
const NO_GSS: &str = "Kerberos isn't spoken here: leave it out and use a password or sslcert";
const NO_CRL: &str = "revoked certificates aren't looked up: leave it out";
const OTHERS: &str = "another client's: leave it out";

const fn parameter(names: &'static [&'static str], rule: Rule) -> Parameter {
    Parameter { names, rule }
}

const PARAMETERS: &[Parameter] = &[
    parameter(&["sslmode", "ssl-mode"], Rule::Word(SSL_MODES)),
    parameter(&["sslrootcert", "ssl-root-cert", "ssl-ca"], Rule::Driver),
    parameter(&["sslcert", "ssl-cert"], Rule::Driver),
    parameter(&["sslkey", "ssl-key"], Rule::Driver),
    parameter(&["statement-cache-capacity"], Rule::Driver),
    parameter(&["host", "hostaddr"], Rule::Driver),
    parameter(&["port"], Rule::Driver),
    parameter(&["dbname"], Rule::Driver),
    parameter(&["user"], Rule::Driver),
    parameter(&["password"], Rule::Driver),
    parameter(&["options"], Rule::Driver),
    parameter(&["application_name"], Rule::Ours),
    parameter(&["fallback_application_name"], Rule::Ours),
    parameter(&["connect_timeout"], Rule::Ours),
    parameter(&["target_session_attrs"], Rule::Ours),
    parameter(&["ssl"], Rule::Only(&["true"], "write sslmode=… instead")),
    parameter(
        &["channel_binding"],
        Rule::Only(
            &["disable", "prefer"],
            "the driver can't bind; write channel_binding=prefer and sslmode=verify-full, which \
             proves the server by its certificate",
        ),
    ),
    parameter(&["gssencmode"], Rule::Only(&["disable", "prefer"], NO_GSS)),
    parameter(&["krbsrvname"], Rule::Never(NO_GSS)),
    parameter(&["gsslib"], Rule::Never(NO_GSS)),
    parameter(&["gssdelegation"], Rule::Only(&["0"], NO_GSS)),
    parameter(&["keepalives"], Rule::Only(&["0"], NO_KEEPALIVE)),
    parameter(&["keepalives_idle"], Rule::Never(NO_KEEPALIVE)),
    parameter(&["keepalives_interval"], Rule::Never(NO_KEEPALIVE)),
    parameter(&["keepalives_count"], Rule::Never(NO_KEEPALIVE)),
    parameter(&["tcp_user_timeout"], Rule::Only(&["0"], NO_KEEPALIVE)),
    parameter(&["sslnegotiation"], Rule::Only(&["postgres"], "write sslnegotiation=postgres")),
    parameter(&["sslcompression"], Rule::Only(&["0"], "TLS isn't compressed: leave it out")),
    parameter(&["sslsni"], Rule::Only(&["1"], "the server's name is always told: leave it out")),
    parameter(
        &["ssl_min_protocol_version"],
        Rule::Only(
            &["TLSv1", "TLSv1.1", "TLSv1.2"],
            "1.2 is the least that is spoken; demand more on the server (ssl_min_protocol_version)",
        ),
    ),
    parameter(
        &["ssl_max_protocol_version"],
        Rule::Only(&["TLSv1.3"], "1.3 is spoken where the server can: leave it out"),
    ),
    parameter(
        &["sslcertmode"],
        Rule::Only(&["allow"], "leave it out: sslcert is shown if asked for"),
    ),
    parameter(&["sslcrl"], Rule::Never(NO_CRL)),
    parameter(&["sslcrldir"], Rule::Never(NO_CRL)),
    parameter(&["sslpassword"], Rule::Never("name a key in sslkey that needs none")),
    parameter(&["sslkeylogfile"], Rule::Never("leave it out")),
    parameter(&["requirepeer"], Rule::Never("leave it out, and guard the socket's directory")),
    parameter(
        &["require_auth"],
        Rule::Never("leave it out, and say it in the server's pg_hba.conf"),
    ),
    parameter(&["passfile"], Rule::Never("set the variable PGPASSFILE, or use database.url_file")),
    parameter(&["service"], Rule::Never("service files aren't read: write host, port and dbname")),
    parameter(
        &["servicefile"],
        Rule::Never("service files aren't read: write host, port and dbname"),
    ),
    parameter(
        &["client_encoding"],
        Rule::Only(&["UTF8", "utf8", "UTF-8", "utf-8"], "text is UTF-8 here: leave it out"),
    ),
    parameter(&["load_balance_hosts"], Rule::Only(&["disable"], "one host is used: leave it out")),
    parameter(
        &["replication"],
        Rule::Only(&["false", "off", "no", "0"], "Legwork doesn't replicate: leave it out"),
    ),
    parameter(&["min_protocol_version"], Rule::Only(&["3.0"], "leave it out: 3.0 is spoken")),
    parameter(
        &["max_protocol_version"],
        Rule::Only(&["3.0", "latest"], "leave it out: 3.0 is spoken"),
    ),
    parameter(&["pgbouncer"], Rule::Never(OTHERS)),
    parameter(&["schema"], Rule::Never("Legwork's tables stand in schema legwork: leave it out")),
    parameter(&["connection_limit"], Rule::Never(OTHERS)),
    parameter(&["pool_timeout"], Rule::Never(OTHERS)),
    parameter(&["sslaccept"], Rule::Never(OTHERS)),
];

impl Parameters {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(String::as_str)
    }

    /// Sets one for the driver.
    pub(super) fn put(&mut self, name: &str, value: String) {
        self.given.insert(name.into(), value);
    }

    /// What the application calls itself; libpq's second choice is the name it falls back to.
    pub(super) fn application_name(&self) -> Option<&str> {
        self.get("application_name").or_else(|| self.get("fallback_application_name"))
    }

    /// Reads the query, and notes everything that is wrong in it. Each parameter stands there once: of
    /// two, the check might look at the one and the driver obey the other.
    pub(super) fn read(&mut self, query: &str, mistakes: &mut Vec<String>) {
        let mut seen: Vec<&str> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, raw) = pair.split_once('=').unwrap_or((pair, ""));
            let known = PARAMETERS.iter().find(|known| known.names.contains(&key));
            let option = key.strip_prefix("options[").and_then(|name| name.strip_suffix(']'));
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
            let is_option = option.is_some_and(|name| !name.is_empty() && name.chars().all(word));
            let name = match known {
                Some(known) => known.names[0],
                None if is_option => key,
                None => {
                    mistakes.push(unknown(key));
                    continue;
                }
            };
            let meant = if name == "ssl" { "sslmode" } else { name };
            let twice = seen.contains(&meant);
            seen.push(meant);
            let rule = known.map_or(&Rule::Driver, |known| &known.rule);
            let read = match decoded(raw) {
                _ if twice => Err("is given twice".into()),
                Ok(value) if value.is_empty() => Err("has no value".into()),
                Ok(value) => self.take(name, key, value, rule),
                Err(why) => Err(why),
            };
            if let Err(why) = read {
                let equals = if why.starts_with('=') { "" } else { " " };
                mistakes.push(format!("its parameter {key}{equals}{why}"));
            }
        }
        if self.get("sslcert").is_some() != self.get("sslkey").is_some() {
            mistakes.push("sslcert and sslkey belong together, and one of them is missing".into());
        }
    }

    /// Gives one value its effect, or says what is wrong with it.
    fn take(&mut self, name: &str, key: &str, value: String, rule: &Rule) -> Result<(), String> {
        match rule {
            Rule::Driver => {
                allowed(key, &value)?;
                self.put(name, value);
            }
            Rule::Word(words) if words.contains(&value.as_str()) => self.put(name, value),
            Rule::Word(words) => {
                return Err(format!("={} is none of {}", shown(&value), words.join(", ")));
            }
            Rule::Ours => self.obey(name, value)?,
            Rule::Only(done, _) if done.contains(&value.as_str()) => {
                if name == "ssl" {
                    self.put("sslmode", "require".into());
                }
            }
            Rule::Only(done, instead) => {
                let done = done.join(", ");
                return Err(format!("={} can't be had, {done} can; {instead}", shown(&value)));
            }
            Rule::Never(instead) => return Err(format!("has no effect here; {instead}")),
        }
        Ok(())
    }

    fn obey(&mut self, name: &str, value: String) -> Result<(), String> {
        const SECONDS_MAX: u64 = 600;
        match name {
            "connect_timeout" => {
                let seconds =
                    value.parse().ok().filter(|seconds| (1..=SECONDS_MAX).contains(seconds));
                let refused = || {
                    format!("={} isn't a number of seconds from 1 to {SECONDS_MAX}", shown(&value))
                };
                self.connect_timeout = Some(Duration::from_secs(seconds.ok_or_else(refused)?));
            }
            "target_session_attrs" => match value.as_str() {
                "any" => {}
                "read-write" | "primary" => self.must_be_writable = true,
                other => {
                    let other = shown(other);
                    return Err(format!(
                        "={other} can't be had, since Legwork writes: any, read-write and primary can"
                    ));
                }
            },
            _ if value.chars().any(char::is_control) => {
                return Err("holds a control character".into());
            }
            _ => self.put(name, value),
        }
        Ok(())
    }

    /// A URL that holds what the driver obeys, and nothing else.
    pub(super) fn driver_url(&self) -> String {
        let ours = ["application_name", "fallback_application_name"];
        let authority = self.get("sslrootcert").is_some();
        let pairs = self.given.iter().filter(|(name, _)| !ours.contains(&name.as_str()));
        let pairs = pairs.map(|(name, value)| match (name.as_str(), value.as_str()) {
            // As libpq has it: who names an authority wants the certificate checked.
            ("sslmode", "require") if authority => "sslmode=verify-ca".into(),
            _ => format!("{}={}", encoded(name), encoded(value)),
        });
        format!("postgres:///?{}", pairs.collect::<Vec<_>>().join("&"))
    }
}

/// Settings of a session that Legwork makes itself, after those that the connection asks for.
const OWN_SETTINGS: [&str; 10] = [
    "application_name",
    "client_encoding",
    "datestyle",
    "default_transaction_isolation",
    "idle_in_transaction_session_timeout",
    "intervalstyle",
    "lock_timeout",
    "search_path",
    "statement_timeout",
    "timezone",
];

/// Refuses a setting that would have no effect.
fn takes_effect(setting: &str) -> Result<(), String> {
    let setting = setting.to_ascii_lowercase().replace('-', "_");
    if !OWN_SETTINGS.contains(&setting.as_str()) {
        return Ok(());
    }
    let instead = match setting.as_str() {
        "statement_timeout" => "set database.statement_timeout instead",
        "application_name" => "set the URL's parameter application_name instead",
        _ => "leave it out",
    };
    Err(format!("sets {setting}, which Legwork sets itself: {instead}"))
}

/// The same of each setting in a server's command-line options: `-c NAME=VALUE` and `--NAME=VALUE`.
pub(in crate::config) fn options_take_effect(options: &str) -> Result<(), String> {
    let mut words = options.split_ascii_whitespace();
    while let Some(word) = words.next() {
        let assignment = match word.strip_prefix("-c").or_else(|| word.strip_prefix("--")) {
            Some("") => words.next().unwrap_or_default(),
            Some(assignment) => assignment,
            None => continue,
        };
        takes_effect(assignment.split('=').next().unwrap_or_default())?;
    }
    Ok(())
}

/// Whether the driver can take it.
fn allowed(key: &str, value: &str) -> Result<(), String> {
    if let Some(setting) = key.strip_prefix("options[") {
        return takes_effect(setting.trim_end_matches(']'));
    }
    match key {
        "options" => options_take_effect(value),
        "hostaddr" if value.parse::<IpAddr>().is_err() => Err("isn't an IP address".into()),
        "statement-cache-capacity" if value.parse::<u16>().is_err() => {
            Err(format!("={} isn't a number from 0 to 65535", shown(value)))
        }
        "sslrootcert" | "ssl-root-cert" | "ssl-ca" if value == "system" => Err(
            "=system can't be had: name the file of your system's authorities, or leave it out for \
             the public ones that Legwork carries"
                .into(),
        ),
        key => fits(key, value),
    }
}

/// A value that looks like a word; anything else might be a piece of a password.
fn shown(value: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if value.len() <= 32 && value.chars().all(word) { value.into() } else { "…".into() }
}

/// A key is shown if it looks like one: what stands there might be the end of a password.
fn unknown(key: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if key.is_empty() || key.len() > 32 || !key.chars().all(word) {
        return "behind its ? stand parameters of the form name=value; in a password, write ? as \
                %3F and & as %26"
            .into();
    }
    let names = PARAMETERS.iter().flat_map(|known| known.names.iter().copied());
    let near = closest(key, names, 0.6).map(|near| format!("; did you mean {near}?"));
    format!("its parameter {key} has no effect here: leave it out{}", near.unwrap_or_default())
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.[]".contains(&byte);
    let one = |byte| {
        if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(one).collect()
}
