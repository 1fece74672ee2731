//! Which names the port answers to.
//!
//! A browser on the machine can be made to ask for any name that somebody outside has bound to 127.0.0.1, and
//! lets that somebody's page read the answer. It says in `Host` which name it was; an address there was
//! bound by nobody.

use axum::{
    extract::Request,
    http::{header, uri::Authority},
};
use std::{net::IpAddr, sync::Arc};

/// Addresses, `localhost`, and these names.
#[derive(Debug, Clone, Default)]
pub struct Hosts(Arc<[String]>);

impl Hosts {
    /// These besides; in lower case and without a dot at the end.
    pub fn named(names: &[String]) -> Self {
        Self(names.into())
    }

    /// Whether what a request asks for is this daemon. One that names nothing was sent by no browser.
    pub(super) fn know(&self, request: &Request, peer: Option<IpAddr>) -> bool {
        let is_neighbour = peer.is_some_and(|peer| !peer.to_canonical().is_loopback());
        let in_line = request.uri().authority().map(Authority::as_str);
        let in_headers = request.headers().get_all(header::HOST);
        let knows = |host: &str| self.knows(host, is_neighbour);
        in_headers.iter().count() <= 1
            && in_headers.iter().all(|host| host.to_str().is_ok_and(knows))
            && in_line.is_none_or(knows)
    }

    fn knows(&self, host: &str, is_neighbour: bool) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        if host.contains('@') {
            return false;
        }
        // What stands behind the name is a port, whatever it is taken for.
        let behind = host.strip_prefix(authority.host()).unwrap_or_default();
        let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
        if !(behind.is_empty() || behind.strip_prefix(':').is_some_and(is_port)) {
            return false;
        }
        let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let is_local = name == "localhost" || name.ends_with(".localhost");
        // A service of a cluster or of a composition. Nobody outside owns a name without a dot, and who is on the
        // network can ask for himself.
        let is_of_the_network = is_neighbour && !name.is_empty() && !name.contains('.');
        is_address || is_local || is_of_the_network || self.0.contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use rstest::rstest;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const NEIGHBOUR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 9));

    fn known(uri: &str, hosts: &[&str], peer: IpAddr) -> bool {
        let names = ["metrics.example.org".to_owned()];
        let request =
            hosts.iter().fold(Request::builder().uri(uri), |it, host| it.header("host", *host));
        Hosts::named(&names).know(&request.body(Body::empty()).unwrap(), Some(peer))
    }

    #[rstest]
    #[case::loopback("127.0.0.1:9464", true)]
    #[case::a_name_in_the_ports_place("localhost:evil.com", false)]
    #[case::a_pods_address("10.1.2.3:9464", true)]
    #[case::v6("[::1]:9464", true)]
    #[case::localhost("localhost:9464", true)]
    #[case::upper_case("LocalHost", true)]
    #[case::below_localhost("legwork.localhost", true)]
    #[case::dot_at_the_end("localhost.", true)]
    #[case::listed("metrics.example.org", true)]
    #[case::listed_with_a_port("Metrics.Example.Org:80", true)]
    #[case::rebound("evil.example.com:9464", false)]
    #[case::below_a_listed_one("evil.metrics.example.org", false)]
    #[case::looks_local("localhost.evil.example.com", false)]
    #[case::looks_like_an_address("127.0.0.1.evil.example.com", false)]
    #[case::without_a_dot("intranet", false)]
    #[case::user("localhost@evil.example.com", false)]
    #[case::user_before_a_known_one("evil.example.com@localhost", false)]
    #[case::nothing("", false)]
    #[case::no_host("a b", false)]
    fn from_this_machine(#[case] host: &str, #[case] expected: bool) {
        assert_eq!(known("/metrics", &[host], HERE), expected, "{host}");
    }

    #[rstest]
    #[case::a_service("legwork:9464", true)]
    #[case::its_long_name("legwork.jobs.svc.cluster.local:9464", false)]
    #[case::rebound("evil.example.com", false)]
    #[case::an_address("10.0.0.2", true)]
    #[case::nothing("", false)]
    fn from_the_network(#[case] host: &str, #[case] expected: bool) {
        assert_eq!(known("/metrics", &[host], NEIGHBOUR), expected, "{host}");
    }

    #[test]
    fn the_name_in_the_request_line_counts_too_and_several_count_for_none() {
        assert!(known("/metrics", &[], HERE), "no browser leaves it out");
        assert!(known("http://localhost/metrics", &["localhost"], HERE));
        assert!(!known("http://evil.example.com/metrics", &["localhost"], HERE));
        assert!(!known("/metrics", &["localhost", "localhost"], HERE));
    }
}
