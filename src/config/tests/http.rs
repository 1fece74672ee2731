//! `handler = "http"`: every mistake with what is said of it, and what a right file comes to.

use super::{Files, load_text};
use crate::config::{HandlerSettings, HttpSettings};
use proptest::prelude::*;
use rstest::rstest;
use std::time::Duration;

/// An authority of nobody's.
pub(super) const AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBkDCCATWgAwIBAgIUTJ0bbwoMeCoOmcGArCoxpgn6MKcwCgYIKoZIzj0EAwIw\n\
HDEaMBgGA1UEAwwRRXhhbXBsZSBhdXRob3JpdHkwIBcNMjYxMTI3MDMxNjU3WhgP\n\
MjEyNjExMDMwMzE2NTdaMBwxGjAYBgNVBAMMEUV4YW1wbGUgYXV0aG9yaXR5MFkw\n\
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAETMAp7VqJWdoVWU0wXbI+b7B4FrvAK2+L\n\
p2x+v6k9UfXDrycjSbDIMU/SJ6v63/tqHkZ3drMsrQwBLTugT9r0QqNTMFEwHQYD\n\
VR0OBBYEFKnreUeZZCZjQzCr8PFOYa4xaOAhMB8GA1UdIwQYMBaAFKnreUeZZCZj\n\
QzCr8PFOYa4xaOAhMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIh\n\
AM7IyR7E6LZ9G3n2BunaDN2JXHd7+EQ1Q8MCtudf1Y45AiEA4a7Yt9gt0dXpp7gX\n\
JuXwdm7PweDJrONYZIhTLDD5sD8=\n\
-----END CERTIFICATE-----\n";

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn loaded(keys: &str) -> Result<(HttpSettings, Vec<String>), String> {
    let text = format!("[[kind]]\nname = \"k\"\nhandler = \"http\"\n{keys}\n");
    let loaded = load_text(&text).map_err(|mistakes| mistakes.to_string())?;
    match &loaded.settings.kinds[0].handler {
        HandlerSettings::Http(http) => Ok((http.as_ref().clone(), loaded.warnings)),
        other => panic!("http, not {other:?}"),
    }
}

/// With a URL that is right.
fn with_url(keys: &str) -> Result<(HttpSettings, Vec<String>), String> {
    loaded(&format!("url = \"https://example.org/jobs\"\n{keys}"))
}

#[rstest]
#[case::nothing("", "url is missing: handler = \"http\" needs to know where to send jobs")]
#[case::number("url = 5", "this isn't an http or https URL: write \"https://host/path\"")]
#[case::relative("url = \"/jobs\"", "relative URL without a base")]
#[case::file("url = \"file:///etc/passwd\"", "\"file\" isn't http or https")]
#[case::ftp("url = \"ftp://example.org/\"", "\"ftp\" isn't http or https")]
#[case::no_host("url = \"https:///\"", "empty host")]
#[case::user("url = \"https://user@example.org/\"", "a user or password can't stand in it")]
#[case::password("url = \"https://:x@example.org/\"", "a user or password can't stand in it")]
#[case::fragment("url = \"https://example.org/#x\"", "what stands behind # is never sent")]
#[case::port("url = \"https://example.org:99999/\"", "invalid port")]
#[case::unnameable("url = \"https://{example}/\"", "no request can name it")]
#[case::port_0("url = \"https://example.org:0/\"", "nobody can be reached at port 0")]
#[case::line_break("url = \"https://example.org/\\n\"", "control characters can't stand in it")]
fn a_url_that_is_none_is_refused(#[case] keys: &str, #[case] expected: &str) {
    let said = loaded(keys).expect_err(keys);
    assert!(said.contains(expected), "{said}");
}

#[rstest]
#[case::loopback("127.0.0.1")]
#[case::short("127.1")]
#[case::decimal("2130706433")]
#[case::octal("0177.0.0.1")]
#[case::hexadecimal("0x7f.1")]
#[case::hexadecimal_whole("0x7f000001")]
#[case::full_width("\u{ff11}27.0.0.1")]
#[case::circled("\u{2460}27.0.0.1")]
#[case::ideographic_dots("127\u{3002}0\u{3002}0\u{3002}1")]
#[case::per_cent("%31%32%37.0.0.1")]
#[case::trailing_dot("127.0.0.1.")]
#[case::nothing("0")]
#[case::this_network("0.1.2.3")]
#[case::shared("100.64.0.1")]
#[case::private_172("172.16.0.1")]
#[case::private_192("192.168.1.1")]
#[case::private("10.0.0.1")]
#[case::metadata("169.254.169.254")]
#[case::v6("[::1]")]
#[case::v6_long("[0:0:0:0:0:0:0:1]")]
#[case::v6_mapped("[::ffff:127.0.0.1]")]
#[case::v6_mapped_hexadecimal("[::ffff:7f00:1]")]
#[case::v6_compatible("[::127.0.0.1]")]
#[case::v6_translated("[64:ff9b::10.0.0.1]")]
#[case::v6_6to4("[2002:7f00:1::]")]
#[case::v6_private("[fd00::1]")]
#[case::v6_link_local("[fe80::1]")]
#[case::v6_private_first("[fc00::1]")]
fn an_address_that_is_not_public_is_refused_however_it_is_written(#[case] host: &str) {
    for (scheme, port) in [("http", ""), ("https", ""), ("https", ":8443")] {
        let said = loaded(&format!("url = \"{scheme}://{host}{port}/jobs\"")).expect_err(host);
        assert!(said.contains("in allow_hosts if it is meant"), "{host}: {said}");
    }
}

#[test]
fn an_address_that_is_listed_is_right() {
    let keys = "url = \"http://127.0.0.1:8080/\"\nallow_hosts = [\"127.0.0.1\"]";
    let (settings, warnings) = loaded(keys).expect("listed");
    assert_eq!(settings.target(), "http://127.0.0.1:8080");
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[rstest]
#[case::name("\"A B\" = \"x\"", "\"A …\" isn't a header's name")]
#[case::injected_name("\"A\\r\\nHost\" = \"x\"", "isn't a header's name")]
#[case::empty_name("\"\" = \"x\"", "\"\" isn't a header's name")]
#[case::injected_value("A = \"x\\r\\nHost: y\"", "the value of A isn't printable ASCII")]
#[case::nul("A = \"\\u0000\"", "the value of A isn't printable ASCII")]
#[case::host("Host = \"x\"", "Host can't be given to a request: it is reserved")]
#[case::length("content-length = \"5\"", "it is reserved")]
#[case::encoding("Transfer-Encoding = \"chunked\"", "it is reserved")]
#[case::ours("Legwork-Attempt = \"1\"", "it is reserved")]
#[case::signature("webhook-signature = \"v1,x\"", "it is reserved")]
#[case::trace("traceparent = \"x\"", "it is reserved")]
#[case::proxy("Proxy-Authorization = \"x\"", "it is reserved")]
#[case::packed("accept-encoding = \"gzip\"", "bodies are never unpacked")]
#[case::twice("X-Key = \"a\", x-key = \"b\"", "X-Key and x-key are one header")]
#[case::number("A = 5", "the value of A isn't text")]
fn a_header_that_could_mislead_is_refused(#[case] header: &str, #[case] expected: &str) {
    let said = with_url(&format!("headers = {{ {header} }}")).expect_err(header);
    assert!(said.contains(expected), "{said}");
}

#[rstest]
#[case::absent("secret_file = \"/nowhere/secret\"", "/nowhere/secret doesn't exist")]
#[case::relative("secret_file = \"secret\"", "it isn't an absolute path")]
#[case::number("secret_file = 5", "this isn't a path or a list of paths")]
#[case::no_file(
    "secret_file = []",
    "no file is listed: leave the key out if requests aren't to be signed"
)]
#[case::list_of_numbers("secret_file = [5]", "isn't a path or a list of paths")]
#[case::authority("ca_file = \"/nowhere/ca.pem\"", "/nowhere/ca.pem doesn't exist")]
#[case::no_base("async = true", "set admin.callback_url")]
#[case::silent("callback_timeout = \"1m\"", "it has no effect without async = true")]
#[case::impatient("callback_timeout = \"0s\"", "out of range: 10ms to 30d")]
#[case::hosts("allow_hosts = [\"http://app\"]", "is neither a host's name nor an address")]
#[case::any_host("allow_hosts = [\"*\"]", "\"*\" would match nothing")]
#[case::hosts_below("allow_hosts = [\"*.app\"]", "list each host by its own, or the network")]
#[case::root("allow_hosts = [\".\"]", "\".\" is neither a host's name nor an address")]
#[case::network("allow_hosts = [\"10.0.0.0/99\"]", "is neither a host's name nor an address")]
#[case::slow("connect_timeout = \"1h\"", "out of range: 10ms to 1m")]
#[case::never("response_timeout = \"0s\"", "out of range: 10ms to 1d")]
#[case::no_rest("circuit.open_for = \"0s\"", "out of range: 10ms to 1h")]
#[case::failures("circuit.failures = -1", "out of range: 0 to 10000")]
#[case::no_table("circuit = 5", "circuit")]
#[case::large("max_result = \"1GiB\"", "out of range: 0B to 1MiB")]
#[case::others("command = [\"/bin/ls\"]", "it belongs to handler = \"command\"")]
fn every_other_mistake_is_said(#[case] keys: &str, #[case] expected: &str) {
    let said = with_url(keys).expect_err(keys);
    assert!(said.contains(expected), "{said}");
}

#[test]
fn a_secret_that_is_none_is_refused_without_being_shown() {
    let files = Files::new();
    let bad = files.write("bad", "hunter2hunter2hunter2hunter2");
    let said = with_url(&format!("secret_file = {bad:?}")).expect_err("no secret");
    assert!(said.contains("whsec_ and 24 to 64 random bytes in base64"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn a_certificate_that_is_none_is_refused() {
    let files = Files::new();
    let none = files.write("none", "no certificate at all\n");
    let said = with_url(&format!("ca_file = {none:?}")).expect_err("no certificate");
    assert!(said.contains("holds no certificate in PEM"), "{said}");
    let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let bad = files.write("bad", pem);
    with_url(&format!("ca_file = {bad:?}")).expect_err("no certificate");
}

#[test]
fn a_right_file_comes_to_settings_that_show_no_secret() {
    let files = Files::new();
    let (new, old) = (files.write("new", SECRET), files.write("old", format!("{SECRET}\n")));
    let ca = files.write("ca", AUTHORITY);
    let keys = format!(
        "secret_file = [{new:?}, {old:?}]\nca_file = {ca:?}\nresponse_timeout = \"2m\"\n\
         headers = {{ Authorization = \"Bearer hunter2\" }}"
    );
    let (settings, warnings) = with_url(&keys).expect("right");
    assert_eq!((settings.secrets.len(), settings.authorities.len()), (2, 1));
    assert_eq!(settings.response_timeout, Duration::from_mins(2));
    assert!(warnings.is_empty(), "{warnings:?}");
    let shown = format!("{settings:?}");
    assert!(shown.contains("Authorization") && !shown.contains("hunter2"), "{shown}");
    assert!(!shown.contains("jobs"), "a path may be a secret: {shown}");
}

#[test]
fn plain_http_to_public_hosts_is_warned_of() {
    for (hosts, is_warned) in [
        ("[]", true),
        ("[\"example.com\"]", true),
        ("[\"10.0.0.0/8\"]", true),
        ("[\"EXAMPLE.org.\"]", false),
    ] {
        let keys = format!("url = \"http://example.org/\"\nallow_hosts = {hosts}");
        let (_, warnings) = loaded(&keys).expect("right");
        let says = "cross public networks in plain text: use https, or list the URL's host";
        assert_eq!(warnings.iter().any(|line| line.contains(says)), is_warned, "{hosts}");
    }
}

/// The denied networks that a URL can name by an IPv4 address, as their first address and its bits.
const DENIED: [([u8; 4], u32); 9] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 168, 0, 0], 16),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

/// Every way in which a URL can write an IPv4 address, and those in which an IPv6 address holds one.
fn written(address: u32) -> [String; 13] {
    let [a, b, c, d] = address.to_be_bytes();
    let (ab, cd) = (address >> 16, address & 0xffff);
    [
        format!("{a}.{b}.{c}.{d}"),
        format!("{a}.{b}.{c}.{d}."),
        format!("{a}.{b}.{cd}"),
        format!("{a}.{}", address & 0xff_ffff),
        format!("{address}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("0{address:o}"),
        format!("0x{a:x}.0x{b:X}.{c}.0{d:o}"),
        format!("0x{address:x}"),
        format!("[::ffff:{a}.{b}.{c}.{d}]"),
        format!("[::{a}.{b}.{c}.{d}]"),
        format!("[64:ff9b::{a}.{b}.{c}.{d}]"),
        format!("[2002:{ab:x}:{cd:x}::1]"),
    ]
}

#[test]
fn no_address_of_a_denied_network_is_let_through_in_any_form() {
    proptest!(|(which in 0..DENIED.len(), low in any::<u32>())| {
        let (first, bits) = DENIED[which];
        let address = u32::from_be_bytes(first) | (low & (u32::MAX >> bits));
        for host in written(address) {
            let said = loaded(&format!("url = \"http://{host}/jobs\"")).expect_err(&host);
            prop_assert!(said.contains("in allow_hosts if it is meant"), "{host}: {said}");
        }
    });
}

#[rstest]
#[case::host("https://legwork.example.org", "https://legwork.example.org/api/v1/callbacks/T")]
#[case::below("http://10.0.0.7:9464/a/", "http://10.0.0.7:9464/a/api/v1/callbacks/T")]
fn receivers_call_back_below_the_base(#[case] base: &str, #[case] url: &str) {
    let keys = format!("async = true\ncallback_timeout = \"1m\"\n[admin]\ncallback_url = {base:?}");
    let callback = with_url(&keys).expect("it is right").0.callback.expect("it is asynchronous");
    assert_eq!((callback.url("T").as_str(), callback.timeout), (url, Some(Duration::from_mins(1))));
    let without = keys.replace("async = true\ncallback_timeout = \"1m\"\n", "");
    assert_eq!(with_url(&without).expect("it is right").0.callback, None);
}

#[rstest]
#[case::relative("/legwork", "relative URL without a base")]
#[case::ftp("ftp://legwork.example.org", "\"ftp\" isn't http or https")]
#[case::user("http://u:p@legwork.example.org", "a user or password can't stand in it")]
#[case::query("http://legwork.example.org/?a=1", "nothing can stand behind ? or #")]
#[case::fragment("http://legwork.example.org/#a", "nothing can stand behind ? or #")]
#[case::port_0("http://legwork.example.org:0", "nobody can be reached at port 0")]
fn a_base_that_nobody_could_call_is_refused_once(#[case] base: &str, #[case] expected: &str) {
    let keys = format!("async = true\n[admin]\ncallback_url = {base:?}");
    let said = with_url(&keys).expect_err(base);
    assert!(said.contains(expected) && !said.contains("async"), "{said}");
}

#[test]
fn without_a_port_nobody_can_call() {
    let base = "callback_url = \"https://legwork.example.org\"";
    let said = with_url(&format!("async = true\n[admin]\nlisten = \"off\"\n{base}"));
    assert!(said.expect_err("it is off").contains("admin.listen is off"));
}
