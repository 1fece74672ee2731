//! `legwork healthcheck`: asks a daemon's health route, for images without a shell or curl.
//!
//! One GET, written by hand: an HTTP client would be the largest part of this command, and what it
//! asks is a server of ours on a port of ours. It follows nothing and speaks no TLS.

use super::{
    Context,
    exit::{NoPort, NotReady},
};
use crate::config;
use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// How long the daemon may take from connect to the last byte. A container's own health check
/// usually allows 30 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest answer that is read, in bytes; a health answer is a few lines.
const ANSWER_MAX_BYTES: u64 = 64 * 1024;

/// `legwork healthcheck`
#[derive(Debug, Args)]
pub(super) struct HealthcheckArguments {
    /// Ask whether it takes work (/health/ready), not only whether it lives (/health/live)
    #[arg(long)]
    ready: bool,
    /// Its admin port [default: where `run` listens by the same configuration]
    #[arg(long, value_name = "URL")]
    url: Option<Endpoint>,
}

impl HealthcheckArguments {
    /// Whether it has to look up where to ask.
    pub(super) fn reads_configuration(&self) -> bool {
        self.url.is_none()
    }
}

/// Where the admin port is: host and port, nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Endpoint {
    authority: String,
    address: String,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let form = || "expected http://HOST:PORT, for example http://127.0.0.1:9464".to_owned();
        let authority = url.strip_prefix("http://").ok_or_else(form)?.trim_end_matches('/');
        let forbidden = |c: char| c.is_whitespace() || c.is_control() || "/?#@".contains(c);
        if authority.is_empty() || authority.contains(forbidden) {
            return Err(form());
        }
        let port = authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        let address = match port {
            Some((_, port)) if port.parse::<u16>().is_err() => return Err(form()),
            Some(_) => authority.to_owned(),
            None => format!("{authority}:80"),
        };
        Ok(Self { authority: authority.to_owned(), address })
    }
}

impl Endpoint {
    /// Where a daemon of this configuration can be asked.
    fn configured(context: &Context) -> anyhow::Result<Self> {
        let listen = config::load(&context.source)?.settings.admin.listen;
        let listen = listen.ok_or_else(|| NoPort("off".into()))?;
        if listen.port() == 0 {
            return Err(NoPort(format!("{listen}, any free port")).into());
        }
        // With its zone, if it has one.
        let mut at: SocketAddr = listen;
        at.set_ip(reachable(listen.ip()));
        Ok(Self { address: at.to_string(), authority: at.to_string() })
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

/// What the daemon said.
#[derive(Serialize)]
struct Answer {
    route: &'static str,
    status: u16,
    body: String,
}

pub(super) async fn run(arguments: &HealthcheckArguments, context: &Context) -> anyhow::Result<()> {
    let route = if arguments.ready { "/health/ready" } else { "/health/live" };
    let endpoint = match &arguments.url {
        Some(url) => url.clone(),
        None => Endpoint::configured(context)?,
    };
    let asked = timeout(ANSWER_TIMEOUT, ask(&endpoint, route)).await;
    let answer = match asked {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(error.context(NotReady::unanswered(&endpoint.authority))),
        Err(_elapsed) => {
            let seconds = ANSWER_TIMEOUT.as_secs();
            return Err(NotReady::late(&endpoint.authority, seconds).into());
        }
    };
    let text = |answer: &Answer| super::output::plain_lines(answer.body.trim_end());
    let shown = context.output.show(&answer, text);
    match answer.status {
        // How the daemon is is what the exit code tells, whoever reads the answer.
        200..=299 => shown,
        status => Err(NotReady::status(route, status).into()),
    }
}

async fn ask(endpoint: &Endpoint, route: &'static str) -> anyhow::Result<Answer> {
    let mut stream = TcpStream::connect(&endpoint.address).await.context("couldn't connect")?;
    // HTTP/1.0 in effect: with `close` the answer ends where the stream does, if it isn't chunked.
    let request = format!(
        "GET {route} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAccept: */*\r\n\r\n",
        endpoint.host()
    );
    stream.write_all(request.as_bytes()).await.context("couldn't send the request")?;
    let mut bytes = Vec::new();
    let read = stream.take(ANSWER_MAX_BYTES).read_to_end(&mut bytes).await;
    read.context("couldn't read the answer")?;
    parse(&bytes, route)
}

fn parse(bytes: &[u8], route: &'static str) -> anyhow::Result<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").context("the answer isn't HTTP")?;
    let mut words = head.split(' ');
    let status = match (words.next(), words.next()) {
        (Some(version), Some(status)) if version.starts_with("HTTP/1.") => status.parse().ok(),
        _ => None,
    };
    let Some(status) = status else { bail!("the answer isn't HTTP") };
    Ok(Answer { route, status, body: body.to_owned() })
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
    fn an_endpoint_is_a_host_and_a_port(#[case] url: &str, #[case] address: Option<&str>) {
        let parsed = url.parse::<Endpoint>();
        assert_eq!(parsed.ok().map(|endpoint| endpoint.address).as_deref(), address);
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
    fn an_answer_is_status_and_body(#[case] bytes: &[u8], #[case] expected: Option<(u16, &str)>) {
        let answer = parse(bytes, "/").ok().map(|answer| (answer.status, answer.body));
        assert_eq!(answer, expected.map(|(status, body)| (status, body.to_owned())));
    }
}
