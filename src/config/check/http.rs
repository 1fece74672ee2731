//! `handler = "http"`: where requests may go, what they carry, and what they are signed with.
//!
//! No name is looked up and nothing is connected to: a host that doesn't resolve yet is found by the
//! first attempt. An address that stands in the URL itself is judged here.

use super::{Warnings, admin::callback_base, authorities, secrets, section};
use crate::config::{
    arguments::name_in,
    egress::Egress,
    reader::{At, Reader},
    settings::{Admin, CallbackSettings, CircuitSettings, HttpSettings, NEEDS_PORT, SigningSecret},
};
use ::url::Url;
use rustls::pki_types::CertificateDer;
use std::path::Path;

/// Most headers of a kind, and most hosts that it allows.
const ITEMS_MAX: usize = 64;
/// Longest header, in bytes.
const HEADER_MAX_BYTES: usize = 8 * 1024;
/// Most bytes of a URL.
const URL_MAX_BYTES: usize = 2048;

/// What a kind lacks that is to be called back.
const NEEDS_BASE: &str = "receivers need to know where to call back: set admin.callback_url to the admin port as \
                          they reach it, \"http://legwork-0.internal:9464\"";

/// Headers that say how a message travels, and Legwork's own, which tell a receiver whom to believe.
const RESERVED: [&str; 15] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "traceparent",
    "tracestate",
    "x-request-id",
    "cookie",
];
const RESERVED_BEGINNINGS: [&str; 3] = ["webhook-", "legwork-", "proxy-"];

pub(super) fn settings(
    reader: &mut Reader<'_>,
    at: At<'_>,
    admin: &Admin,
    warnings: &mut Warnings,
) -> Option<HttpSettings> {
    let headers = headers(reader, at);
    let secrets = secrets::all(
        reader,
        at,
        ("secret_file", "requests aren't to be signed"),
        SigningSecret::parse,
    );
    let authorities = trusted(reader, at);
    let egress = egress(reader, at);
    let connect_timeout = reader.duration(at, "connect_timeout", HttpSettings::CONNECT_TIMEOUT);
    let response_timeout = reader.duration(at, "response_timeout", HttpSettings::RESPONSE_TIMEOUT);
    let max_result = reader.size(at, "max_result", HttpSettings::MAX_RESULT);
    let default = CircuitSettings::default();
    let circuit = CircuitSettings {
        failures: reader.count(at, "circuit.failures", default.failures),
        open_for: reader.duration(at, "circuit.open_for", default.open_for),
    };
    let callback = callback(reader, at, admin);
    let url = url(reader, at, &egress)?;
    if url.scheme() == "http" && !egress.lists(&url) {
        let label = at.label("url");
        warnings.push(format!(
            "{label}: payloads may cross public networks in plain text: use https, or list the URL's host \
             in allow_hosts where it is inside"
        ));
    }
    let timeouts = HttpSettings { connect_timeout, response_timeout, ..HttpSettings::new(url) };
    let trust = HttpSettings { secrets, authorities, egress, ..timeouts };
    Some(HttpSettings { headers, max_result, circuit, callback, ..trust })
}

/// Whether receivers may call back, and where; said where the switch is, since that is what needs the rest.
fn callback(reader: &mut Reader<'_>, at: At<'_>, admin: &Admin) -> Option<CallbackSettings> {
    const TIMEOUT: &str = "callback_timeout";
    let timeout = reader.duration_if_given(at, TIMEOUT);
    if !reader.switch(at, "async", false) {
        if timeout.is_some() && reader.sound(at, &["async", TIMEOUT]) {
            reader.refuse(at, TIMEOUT, "it has no effect without async = true");
        }
        return None;
    }
    let port = section("admin");
    if admin.listen.is_none() && reader.sound(port, &["listen"]) {
        reader.refuse(at, "async", NEEDS_PORT);
    } else if admin.callback_url.is_none() && reader.sound(port, &["callback_url"]) {
        reader.refuse(at, "async", NEEDS_BASE);
    }
    Some(CallbackSettings { base: admin.callback_url.clone()?, timeout })
}

/// What is wrong with requests that a program describes.
pub(super) fn wrong(http: &HttpSettings) -> Vec<(&'static str, String)> {
    let url = parsed(http.url.as_str(), &http.egress).err().map(|why| ("url", why));
    let headers = http.headers.iter().filter_map(|(name, value)| header(name, value).err());
    let many = (http.headers.len() > ITEMS_MAX).then(|| too_many(http.headers.len()));
    let base = http.callback.as_ref().map(|callback| callback.base.as_str());
    let base = base.and_then(|base| callback_base(base).err()).map(|why| ("async", why));
    let headers = headers.chain(many).map(|why| ("headers", why));
    url.into_iter().chain(headers).chain(base).collect()
}

fn too_many(headers: usize) -> String {
    format!("{headers} headers are given, {ITEMS_MAX} are allowed")
}

fn url(reader: &mut Reader<'_>, at: At<'_>, egress: &Egress) -> Option<Url> {
    if reader.raw(at, "url").is_none() && !reader.broken {
        let message = format!(
            "{} is missing: handler = \"http\" needs to know where to send jobs, \
             \"https://app.example.org/jobs\"",
            at.label("url")
        );
        let place = reader.place(at, "handler");
        reader.mistakes.push(message, place);
    }
    let text = reader.text(at, "url", |text| parsed(text, egress).map(|_| ()))?;
    parsed(&text, egress).ok()
}

fn parsed(text: &str, egress: &Egress) -> Result<Url, String> {
    if text.len() > URL_MAX_BYTES {
        return Err(format!("it is longer than {URL_MAX_BYTES} bytes"));
    }
    let url = Url::parse(text).map_err(|error| format!("{error}: write \"https://host/path\""))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("{:?} isn't http or https", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let why = "a user or password can't stand in it: write headers = { Authorization = \"…\" }";
        return Err(why.into());
    }
    if url.port() == Some(0) {
        return Err("nobody can be reached at port 0: leave it out or write the receiver's".into());
    }
    if url.fragment().is_some() {
        return Err("what stands behind # is never sent: leave it out".into());
    }
    can_be_asked_for(&url)?;
    egress.judge_address(&url).map_err(|denied| denied.to_string())?;
    Ok(url)
}

/// A URL may hold what a request can't name, such as `{` in a host.
pub(super) fn can_be_asked_for(url: &Url) -> Result<(), String> {
    let uri = url.as_str().parse::<hyper::Uri>();
    uri.map(drop).map_err(|error| format!("no request can name it ({error})"))
}

fn egress(reader: &mut Reader<'_>, at: At<'_>) -> Egress {
    let hosts = reader.words(at, "allow_hosts").unwrap_or_default();
    if hosts.len() > ITEMS_MAX {
        let why = format!("{} hosts are listed, {ITEMS_MAX} are allowed", hosts.len());
        reader.refuse(at, "allow_hosts", &why);
    }
    match Egress::allowing(hosts.iter().map(String::as_str)) {
        Ok(egress) => egress,
        Err(why) => {
            reader.refuse(at, "allow_hosts", &why);
            Egress::default()
        }
    }
}

fn headers(reader: &mut Reader<'_>, at: At<'_>) -> Vec<(String, String)> {
    let headers = reader.pairs(at, "headers");
    if headers.len() > ITEMS_MAX {
        reader.refuse(at, "headers", &too_many(headers.len()));
    }
    for (number, (name, value)) in headers.iter().enumerate() {
        if let Err(why) = header(name, value) {
            reader.refuse(at, "headers", &why);
        }
        let same = headers[..number].iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        if let Some((other, _)) = same {
            let why = format!("{other} and {name} are one header: only one of them can be meant");
            reader.refuse(at, "headers", &why);
        }
    }
    headers
}

fn header(name: &str, value: &str) -> Result<(), String> {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(token) {
        return Err(format!("{:?} isn't a header's name", name_in(name)));
    }
    let lower = name.to_ascii_lowercase();
    if lower == "accept-encoding" {
        return Err(format!("{name} can't be given to a request: bodies are never unpacked"));
    }
    let is_ours = RESERVED_BEGINNINGS.iter().any(|beginning| lower.starts_with(beginning));
    if is_ours || RESERVED.contains(&lower.as_str()) {
        return Err(format!("{name} can't be given to a request: it is reserved"));
    }
    if !value.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        return Err(format!("the value of {name} isn't printable ASCII"));
    }
    if name.len() + value.len() > HEADER_MAX_BYTES {
        return Err(format!("{name} is longer than {HEADER_MAX_BYTES} bytes"));
    }
    Ok(())
}

fn trusted(reader: &mut Reader<'_>, at: At<'_>) -> Vec<CertificateDer<'static>> {
    let Some(file) = reader.text(at, "ca_file", |_| Ok(())) else { return Vec::new() };
    match authorities::certificates(Path::new(&file)) {
        Ok(certificates) => certificates,
        Err(why) => {
            reader.refuse(at, "ca_file", &why);
            Vec::new()
        }
    }
}
