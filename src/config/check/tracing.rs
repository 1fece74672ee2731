//! `[tracing]`: whether spans go anywhere, and how many.
//!
//! OpenTelemetry's own variables name the collector where no key does, since platforms set them for
//! every program alike. The collector needn't be there: nothing is connected to.

use super::{Warnings, authorities, section};
use crate::config::{
    environment::Environment,
    overlay::ENDPOINT_VARIABLES,
    reader::{At, Reader},
    settings::{Otlp, Tracing},
};
use ::url::Url;
use rustls::pki_types::CertificateDer;
use std::path::Path;

/// Most bytes of a URL, and of all headers together.
const MAX_BYTES: usize = 8 * 1024;
const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"];
/// The first that is set counts.
const CERTIFICATES: [&str; 2] =
    ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];

pub(super) fn settings(
    reader: &mut Reader<'_>,
    environment: &Environment,
    default: &Tracing,
    warnings: &mut Warnings,
) -> Tracing {
    let at = section("tracing");
    Tracing {
        otlp: otlp(reader, at, environment, warnings),
        sample_ratio: reader.number(at, "sample_ratio", default.sample_ratio),
        parent_max_delay: reader.duration(at, "parent_max_delay", default.parent_max_delay),
    }
}

fn otlp(
    reader: &mut Reader<'_>,
    at: At<'_>,
    environment: &Environment,
    warnings: &mut Warnings,
) -> Option<Otlp> {
    const KEY: &str = "otlp_endpoint";
    let whole = format!("environment {}", ENDPOINT_VARIABLES[0]);
    let is_whole = reader.place(at, KEY) == Some(whole.as_str());
    let text = reader.text(at, KEY, |text| collector_url(text, is_whole).map(|_| ()))?;
    let traces = collector_url(&text, is_whole).ok()?;
    let asked = PROTOCOLS.into_iter().find_map(|name| Some((name, environment.text(name)?)));
    if let Some((name, protocol)) = asked.filter(|(_, protocol)| *protocol != "http/protobuf") {
        warnings.push(format!("{name} is {protocol}, and spans are sent by http/protobuf"));
    }
    let headers = headers(reader, environment);
    Some(Otlp { traces, headers, authorities: trusted(reader, environment) })
}

fn trusted(reader: &mut Reader<'_>, environment: &Environment) -> Vec<CertificateDer<'static>> {
    let named = CERTIFICATES.into_iter().find_map(|name| Some((name, environment.text(name)?)));
    let Some((name, file)) = named else { return Vec::new() };
    authorities::certificates(Path::new(file)).unwrap_or_else(|why| {
        reader.mistakes.push(format!("{name}: {why}"), Some("the environment"));
        Vec::new()
    })
}

/// `/v1/traces` belongs behind an endpoint, unless it is there already or the URL is one for traces.
pub(crate) fn collector_url(text: &str, is_whole: bool) -> Result<Url, String> {
    const PATH: &str = "/v1/traces";
    if text.len() > MAX_BYTES {
        return Err(format!("it is longer than {MAX_BYTES} bytes"));
    }
    let mut url =
        Url::parse(text).map_err(|error| format!("{error}: write \"http://localhost:4318\""))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("{:?} isn't http or https", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let how =
            "a user or password can't stand in it: send a header, by OTEL_EXPORTER_OTLP_HEADERS";
        return Err(how.into());
    }
    if !is_whole && !url.path().ends_with(PATH) {
        let path = format!("{}{PATH}", url.path().trim_end_matches('/'));
        url.set_path(&path);
    }
    super::http::can_be_asked_for(&url)?;
    Ok(url)
}

/// `name=value,name=value`, percent-encoded; of a name that stands in both variables, the one for traces
/// counts. A value is never shown: it may be a key.
fn headers(reader: &mut Reader<'_>, environment: &Environment) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for variable in HEADERS {
        let Some(text) = environment.text(variable) else { continue };
        match read(text) {
            Ok(given) => {
                headers.retain(|(name, _)| given.iter().all(|(other, _)| other != name));
                headers.extend(given);
            }
            Err(why) => {
                reader.mistakes.push(format!("{variable}: {why}"), Some("the environment"));
            }
        }
    }
    headers
}

fn read(text: &str) -> Result<Vec<(String, String)>, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("it is longer than {MAX_BYTES} bytes"));
    }
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let how = "write name=value, several with a comma between, special characters as %2C";
    pairs.map(|pair| header(pair).ok_or_else(|| how.to_owned())).collect()
}

fn header(pair: &str) -> Option<(String, String)> {
    let (name, value) = pair.split_once('=')?;
    collector_header(name.trim(), decoded(value.trim())?)
}

/// A header as it is sent; nothing where it can't be.
pub(crate) fn collector_header(name: &str, value: String) -> Option<(String, String)> {
    let name = name.to_ascii_lowercase();
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let named = !name.is_empty() && name.chars().all(token);
    let sent = value.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    (named && sent).then_some((name, value))
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let hex = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::load_with;
    use rstest::rstest;

    #[rstest]
    #[case::base("http://localhost:4318", false, Some("http://localhost:4318/v1/traces"))]
    #[case::base_with_path(
        "https://c.example/otlp/",
        false,
        Some("https://c.example/otlp/v1/traces")
    )]
    #[case::already_there("http://c:4318/v1/traces", false, Some("http://c:4318/v1/traces"))]
    #[case::for_traces("https://c.example/in", true, Some("https://c.example/in"))]
    #[case::no_scheme("localhost:4318", false, None)]
    #[case::password("https://u:p@c.example", false, None)]
    #[case::nonsense("collector", false, None)]
    fn traces_are_posted_below_the_endpoint(
        #[case] text: &str,
        #[case] whole: bool,
        #[case] expected: Option<&str>,
    ) {
        assert_eq!(collector_url(text, whole).ok().as_ref().map(Url::as_str), expected);
    }

    /// The variables, and where spans then go, with which headers.
    type Given<'a> = &'a [(&'a str, &'a str)];

    const BASE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://base:4318");
    const TRACES: (&str, &str) = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces/in");

    #[rstest]
    #[case::nothing("", &[], None)]
    #[case::the_base(" ", &[BASE], Some("http://base:4318/v1/traces"))]
    #[case::that_for_traces_first("", &[BASE, TRACES], Some("http://traces/in"))]
    #[case::the_file_over_both("otlp_endpoint = \"http://file\"", &[BASE, TRACES], Some("http://file/v1/traces"))]
    #[case::our_variable_over_all("otlp_endpoint = \"http://file\"", &[BASE, ("LEGWORK_TRACING__OTLP_ENDPOINT", "http://own")], Some("http://own/v1/traces"))]
    #[case::switched_off("", &[BASE, TRACES, ("OTEL_SDK_DISABLED", "true")], None)]
    fn the_collector_is_the_keys_or_the_one_of_the_standard_variables(
        #[case] line: &str,
        #[case] given: Given<'_>,
        #[case] expected: Option<&str>,
    ) {
        let loaded = load_with(format!("[tracing]\n{line}\n"), given).expect("right");
        let otlp = loaded.settings.tracing.otlp;
        assert_eq!(otlp.as_ref().map(|otlp| otlp.traces.as_str()), expected);
    }

    #[test]
    fn variables_name_headers_and_are_refused_and_warned_of_by_their_names() {
        let given = [
            BASE,
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=1,b=2"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "b=hidden"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ];
        let loaded = load_with("", &given).expect("right");
        let otlp = loaded.settings.tracing.otlp.expect("an endpoint");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(otlp.headers, [pair("a", "1"), pair("b", "hidden")]);
        assert!(
            loaded.warnings.iter().any(|it| it.starts_with("OTEL_EXPORTER_OTLP_PROTOCOL is grpc"))
        );
        assert!(!format!("{otlp:?}").contains("hidden"), "{otlp:?}");

        let missing = ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem");
        for wrong in [(BASE.0, "base:4318"), ("OTEL_EXPORTER_OTLP_HEADERS", "secret"), missing] {
            let mistakes = load_with("", &[BASE, wrong]).expect_err("wrong").to_string();
            assert!(mistakes.contains(wrong.0) && !mistakes.contains("secret"), "{mistakes}");
        }
    }

    #[test]
    fn headers_are_pairs_that_may_be_encoded() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let given = read("Authorization=Basic%20YTpi, x-tenant=a=b").expect("right");
        assert_eq!(given, [pair("authorization", "Basic YTpi"), pair("x-tenant", "a=b")]);
        for wrong in ["secret", "=x", "a=%0d%0aHost: x", "a=%zz", "a b=c"] {
            let why = read(wrong).expect_err("wrong");
            assert!(!why.contains(wrong), "a value is never shown: {why}");
        }
    }
}
