//! A running daemon's admin port, for commands that ask there.
//!
//! One request, written by hand: an HTTP client would be the largest part of these commands, and what they
//! ask is a server of ours on a port of ours. It follows nothing and speaks no TLS.

mod pieces;
pub(super) mod token;
mod whom;

pub(super) use whom::Whom;

use self::token::Token;
use super::{
    Context,
    exit::{NoPort, NotReady, Unsure, Usage},
};
use crate::config;
use anyhow::{Context as _, anyhow};
use clap::{Arg, Command, builder::TypedValueParser, error::ErrorKind};
use std::{
    ffi::OsStr,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    str::FromStr,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout_at},
};

/// Where the admin port is, and with which token it is asked where the URL says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) authority: String,
    address: String,
    token: Option<Token>,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let form = || {
            "expected http://HOST:PORT, for example http://127.0.0.1:9464, or http://x:TOKEN@HOST:PORT with a token in it"
                .to_owned()
        };
        let rest = url.strip_prefix("http://").ok_or_else(form)?.trim_end_matches('/');
        let forbidden = |c: char| c.is_whitespace() || c.is_control() || "/?#".contains(c);
        if rest.contains(forbidden) {
            return Err(form());
        }
        let (token, authority) = match rest.rsplit_once('@') {
            // As curl and `go tool pprof` have it: the password, whatever the user.
            Some((user, authority)) => {
                let token = user.split_once(':').and_then(|(_, token)| Token::in_url(token));
                (Some(token.ok_or_else(form)?), authority)
            }
            None => (None, rest),
        };
        if authority.is_empty() {
            return Err(form());
        }
        let port = authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        let host = port.map_or(authority, |(host, _)| host);
        // Who forgot the @ has a token there.
        if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
            return Err(form());
        }
        let address = match port {
            Some((_, port)) if port.parse::<u16>().is_err() => return Err(form()),
            Some(_) => authority.to_owned(),
            None => format!("{authority}:80"),
        };
        Ok(Self { authority: authority.to_owned(), address, token })
    }
}

/// Reads an endpoint of the command line. What can't be read isn't shown, as the parser itself would: a token may stand in
/// it, wherever the mistake is.
#[derive(Debug, Clone)]
pub(super) struct EndpointParser;

impl TypedValueParser for EndpointParser {
    type Value = Endpoint;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Endpoint, clap::Error> {
        let read = value.to_str().unwrap_or_default().parse::<Endpoint>();
        read.map_err(|why| {
            let option = argument.map(ToString::to_string).unwrap_or_default();
            let told = format!("invalid value for '{option}': {why}\n");
            clap::Error::raw(ErrorKind::ValueValidation, told).with_cmd(command)
        })
    }
}

impl Endpoint {
    /// Where a daemon of this configuration can be asked.
    pub(super) fn configured(context: &Context) -> anyhow::Result<Self> {
        let listen = config::load(&context.source)?.settings.admin.listen;
        let listen = listen.ok_or_else(|| NoPort("off".into()))?;
        if listen.port() == 0 {
            return Err(NoPort(format!("{listen}, any free port")).into());
        }
        // With its zone, if it has one.
        let mut at: SocketAddr = listen;
        at.set_ip(reachable(listen.ip()));
        Ok(Self { address: at.to_string(), authority: at.to_string(), token: None })
    }

    /// The token that the URL has in it, or the one in a file.
    pub(super) fn token(&self, file: Option<&Path>) -> anyhow::Result<Option<String>> {
        match (&self.token, file) {
            (Some(_), Some(_)) => {
                let how = "there is a token in the URL and one in the file: leave out --token-file, or write --url without it";
                Err(Usage(how.into()).into())
            }
            (Some(token), None) => Ok(Some(token.expose().to_owned())),
            (None, file) => file.map(token::of).transpose(),
        }
    }

    /// What names it in another command, with a place for the token that isn't shown.
    pub(super) fn url(&self) -> String {
        let token = if self.token.is_some() { "x:TOKEN@" } else { "" };
        format!("http://{token}{}", self.authority)
    }

    /// Where somebody says it is, or else where the configuration does.
    pub(super) fn of(given: Option<&Self>, context: &Context) -> anyhow::Result<Self> {
        given.map_or_else(|| Self::configured(context), |given| Ok(given.clone()))
    }

    /// Asks, and takes the whole answer.
    pub(super) async fn ask(&self, question: &Question<'_>) -> anyhow::Result<Answer> {
        let until = Instant::now() + question.within;
        let late = || NotReady::late(&self.authority, question.within.as_secs());
        // Whoever isn't there hasn't been asked for anything.
        let stream = timeout_at(until, self.connect()).await.map_err(|_elapsed| late())??;
        match timeout_at(until, self.exchange(stream, question)).await {
            Ok(answered) => answered,
            Err(_elapsed) => Err(question.lost(late().into())),
        }
    }

    async fn exchange(&self, stream: TcpStream, question: &Question<'_>) -> anyhow::Result<Answer> {
        let stream = self.sent(stream, question, "").await?;
        let unanswered = || {
            if question.changes() {
                NotReady::silent(&self.authority)
            } else {
                NotReady::unanswered(&self.authority)
            }
        };
        let mut bytes = Vec::new();
        let read = stream.take(question.most_bytes + 1).read_to_end(&mut bytes).await;
        let lost = |error| question.lost(error);
        read.context("couldn't read the answer").with_context(unanswered).map_err(lost)?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length > question.most_bytes) {
            return Err(lost(anyhow!("the answer is longer than {} bytes", question.most_bytes)));
        }
        let answer = parse(bytes).with_context(unanswered).map_err(lost)?;
        if answer.is_cut_short {
            return Err(lost(anyhow!("the answer of {} was cut short", self.authority)));
        }
        Ok(answer)
    }

    async fn connect(&self) -> anyhow::Result<TcpStream> {
        let connected = TcpStream::connect(&self.address).await.context("couldn't connect");
        connected.with_context(|| NotReady::unanswered(&self.authority))
    }

    /// Sends the request with this besides in its head.
    async fn sent(
        &self,
        mut stream: TcpStream,
        question: &Question<'_>,
        besides: &str,
    ) -> anyhow::Result<TcpStream> {
        let token = question.token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        // What changes something has to say that it is no form of a page's.
        let body = question.changes().then(|| {
            let length = question.body.len();
            format!("Content-Type: application/json\r\nContent-Length: {length}\r\n")
        });
        // Of HTTP/1.0 no answer is chunked: it ends where the stream does.
        let request = format!(
            "{} {} HTTP/1.0\r\nHost: {}\r\nAccept: */*\r\n{}{}{besides}\r\n{}",
            question.method,
            question.route,
            self.host(),
            token.unwrap_or_default(),
            body.unwrap_or_default(),
            question.body,
        );
        let sent = stream.write_all(request.as_bytes()).await.context("couldn't send the request");
        sent.with_context(|| NotReady::unanswered(&self.authority))?;
        Ok(stream)
    }

    /// What the daemon is asked as: without the zone of an address, which is this machine's alone.
    fn host(&self) -> String {
        let authority = &self.authority;
        match (authority.find('%'), authority.find(']')) {
            (Some(zone), Some(end)) if zone < end => {
                format!("{}{}", &authority[..zone], &authority[end..])
            }
            _ => authority.clone(),
        }
    }
}

/// An address of this machine on which whoever listens on `listen` is reached.
fn reachable(listen: IpAddr) -> IpAddr {
    match listen {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

/// What is asked.
pub(super) struct Question<'a> {
    /// What is done there.
    pub(super) method: &'static str,
    /// Path and query.
    pub(super) route: &'a str,
    /// Who asks, where somebody has to say.
    pub(super) token: Option<&'a str>,
    /// JSON, or nothing; of a GET nothing.
    pub(super) body: &'a str,
    /// How long it may take, from the connect to the last byte.
    pub(super) within: Duration,
    /// Of the longest answer that is read, head included.
    pub(super) most_bytes: u64,
}

impl Question<'_> {
    /// Whether something may be another after it, also where no answer comes.
    fn changes(&self) -> bool {
        self.method != "GET"
    }

    /// How it failed, once it was sent: a change may have been made.
    fn lost(&self, error: anyhow::Error) -> anyhow::Error {
        if self.changes() { Unsure::because(error) } else { error }
    }
}

/// What came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// Whether less came than the head announced.
    pub(super) is_cut_short: bool,
}

impl Answer {
    /// The body for people.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether it is for a browser, as none of a daemon's is that commands ask for.
    pub(super) fn is_page(&self) -> bool {
        self.body.trim_ascii_start().starts_with(b"<")
    }

    /// What can be shown of an answer that may be anybody's: no page, and a line at most.
    pub(super) fn line(&self) -> String {
        if self.is_page() {
            return "(a page of markup)".into();
        }
        let text = self.text();
        text.trim().lines().next().unwrap_or_default().chars().take(LINE_MAX).collect()
    }
}

/// Characters that are shown of the answer of another server than a daemon.
const LINE_MAX: usize = 100;

fn parse(mut bytes: Vec<u8>) -> anyhow::Result<Answer> {
    let Head { status, bytes: head, length, .. } =
        Head::of(&bytes).context("the answer isn't HTTP")??;
    let body = bytes.split_off(head);
    let is_cut_short = length.is_some_and(|length| body.len() < length);
    Ok(Answer { status, body, is_cut_short })
}

/// What comes before the body.
struct Head {
    status: u16,
    /// How long it is itself.
    bytes: usize,
    /// How long the body is to be, where that is announced.
    length: Option<usize>,
    is_gzipped: bool,
}

impl Head {
    /// The head of what came so far; none where there is more to come of it.
    fn of(bytes: &[u8]) -> Option<anyhow::Result<Self>> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&bytes[..end]);
        let mut words = head.split(' ');
        let status = match (words.next(), words.next()) {
            (Some(version), Some(status)) if version.starts_with("HTTP/1.") => status.parse().ok(),
            _ => None,
        };
        let said = |wanted: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(':'));
            let found = lines.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.trim().to_owned())
        };
        let length = said("content-length").and_then(|length| length.parse().ok());
        let is_gzipped = said("content-encoding").is_some_and(|it| it.eq_ignore_ascii_case("gzip"));
        let head = status.map(|status| Self { status, bytes: end, length, is_gzipped });
        Some(head.context("the answer isn't HTTP"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::usual("http://127.0.0.1:9464", Some("127.0.0.1:9464"))]
    #[case::slash("http://localhost:9464/", Some("localhost:9464"))]
    #[case::v6("http://[::1]:9464", Some("[::1]:9464"))]
    #[case::v6_without_port("http://[::1]", Some("[::1]:80"))]
    #[case::no_port("http://legwork", Some("legwork:80"))]
    #[case::tls("https://127.0.0.1:9464", None)]
    #[case::path("http://127.0.0.1:9464/health", None)]
    #[case::injected("http://a:1\r\nX: y", None)]
    #[case::port("http://a:99999", None)]
    #[case::nothing("http://", None)]
    #[case::token("http://x:abc@127.0.0.1:9464", Some("127.0.0.1:9464"))]
    #[case::two_colons("http://x:abc:9464", None)]
    #[case::user_alone("http://abc@127.0.0.1:9464", None)]
    #[case::token_alone("http://x:abc@", None)]
    #[case::token_in_a_path("http://a/x:abc@b", None)]
    fn an_endpoint_is_a_host_and_a_port(#[case] url: &str, #[case] address: Option<&str>) {
        let parsed = url.parse::<Endpoint>();
        assert_eq!(parsed.ok().map(|endpoint| endpoint.address).as_deref(), address);
    }

    #[rstest]
    #[case::usual("http://x:a-b.c_d~e@h", Some("a-b.c_d~e"))]
    #[case::no_user("http://:abc@h", Some("abc"))]
    #[case::none("http://h", None)]
    #[case::encoded("http://x:a%2Fb%2b%3D@h", Some("a/b+="))]
    #[case::as_it_is("http://x:a+b=@h", Some("a+b="))]
    fn a_token_in_a_url_is_read_as_curl_reads_it(#[case] url: &str, #[case] token: Option<&str>) {
        let endpoint: Endpoint = url.parse().expect("an endpoint");
        assert_eq!(endpoint.token(None).expect("no file").as_deref(), token);
        let shown = format!("{endpoint:?} {}", endpoint.url());
        assert!(token.is_none_or(|token| !shown.contains(token)), "{shown}");
        let twice = endpoint.token(Some(Path::new("/nowhere"))).expect_err("no file, or two");
        assert_eq!(twice.is::<Usage>(), token.is_some(), "{twice}");
    }

    #[rstest]
    #[case::empty("http://x:@h")]
    #[case::a_line("http://x:a%0d%0ab@h")]
    #[case::cut("http://x:a%2@h")]
    #[case::no_number("http://x:a%+f@h")]
    #[case::no_utf8("http://x:%ff@h")]
    fn what_cannot_be_a_token_is_none(#[case] url: &str) {
        url.parse::<Endpoint>().expect_err("no token");
    }

    #[rstest]
    #[case::a_zone("http://[fe80::1%eth0]:9464", "[fe80::1]:9464")]
    #[case::none("http://[::1]:9464", "[::1]:9464")]
    #[case::a_name("http://legwork", "legwork")]
    fn a_daemon_is_asked_by_its_address_without_our_zone(#[case] url: &str, #[case] host: &str) {
        assert_eq!(url.parse::<Endpoint>().expect("an endpoint").host(), host);
    }

    #[rstest]
    #[case::every_address("0.0.0.0", "127.0.0.1")]
    #[case::every_address_of_both_versions("::", "::1")]
    #[case::one("10.1.2.3", "10.1.2.3")]
    fn a_daemon_on_every_address_is_asked_on_this_machines_own(
        #[case] listen: IpAddr,
        #[case] asked: IpAddr,
    ) {
        assert_eq!(reachable(listen), asked);
    }

    #[rstest]
    #[case::well(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nok\n", Some((200, "ok\n")))]
    #[case::ill(b"HTTP/1.1 503 Service Unavailable\r\n\r\n", Some((503, "")))]
    #[case::another_protocol(b"SSH-2.0-OpenSSH\r\n\r\n", None)]
    #[case::cut(b"HTTP/1.1 200", None)]
    #[case::whole(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n", Some((200, "ok\n")))]
    fn an_answer_is_status_and_body(#[case] bytes: &[u8], #[case] expected: Option<(u16, &str)>) {
        let parsed = parse(bytes.to_owned());
        assert!(!parsed.as_ref().is_ok_and(|answer| answer.is_cut_short));
        let answer = parsed.ok().map(|answer| (answer.status, answer.text()));
        assert_eq!(answer, expected.map(|(status, body)| (status, body.to_owned())));
    }

    #[rstest]
    #[case::a_page("\n<!doctype html>\n<html>", "(a page of markup)")]
    #[case::lines("no such page\nat all", "no such page")]
    #[case::nothing("", "")]
    fn of_a_strangers_answer_a_line_is_shown(#[case] body: &str, #[case] line: &str) {
        let answer = Answer { status: 404, body: body.into(), is_cut_short: false };
        assert_eq!(answer.line(), line);
        let long = Answer { body: vec![b'x'; 5000], ..answer };
        assert_eq!(long.line().len(), LINE_MAX);
    }

    #[test]
    fn an_answer_of_which_less_came_than_announced_is_cut_short() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok\n";
        let cut = parse(bytes.to_vec()).expect("an answer");
        assert!(cut.is_cut_short);
    }
}
