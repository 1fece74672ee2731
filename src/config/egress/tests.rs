//! Every special range with an address of it, the public ones beside them, and what a kind can allow.

use super::*;
use rstest::rstest;

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn judged(allowed: &[&str], host: &str, at: &str) -> Result<(), Denied> {
    Egress::allowing(allowed.iter().copied()).expect("hosts").judge(host, address(at))
}

#[rstest]
#[case::this_network("0.1.2.3")]
#[case::unspecified("0.0.0.0")]
#[case::private_10("10.255.255.255")]
#[case::shared("100.64.0.1")]
#[case::shared_end("100.127.255.255")]
#[case::alibaba_metadata("100.100.100.200")]
#[case::loopback("127.0.0.1")]
#[case::loopback_end("127.255.255.254")]
#[case::azure_metadata("168.63.129.16")]
#[case::link_local_metadata("169.254.169.254")]
#[case::private_172("172.31.255.255")]
#[case::oracle_metadata("192.0.0.192")]
#[case::test_net_1("192.0.2.1")]
#[case::relay("192.88.99.1")]
#[case::private_192("192.168.0.1")]
#[case::benchmark("198.19.255.255")]
#[case::test_net_2("198.51.100.7")]
#[case::test_net_3("203.0.113.7")]
#[case::multicast("239.255.255.255")]
#[case::reserved("240.0.0.1")]
#[case::broadcast("255.255.255.255")]
#[case::v6_unspecified("::")]
#[case::v6_loopback("::1")]
#[case::v6_compatible("::127.0.0.1")]
#[case::v6_mapped("::ffff:127.0.0.1")]
#[case::v6_mapped_public("::ffff:8.8.8.8")]
#[case::v6_translated("64:ff9b::7f00:1")]
#[case::v6_translated_locally("64:ff9b:1::1")]
#[case::v6_discard("100::1")]
#[case::v6_teredo("2001::1")]
#[case::v6_documentation("2001:db8::1")]
#[case::v6_6to4("2002:7f00:1::")]
#[case::v6_documentation_2("3fff::1")]
#[case::v6_segments("5f00::1")]
#[case::v6_aws_metadata("fd00:ec2::254")]
#[case::v6_private("fc00::1")]
#[case::v6_link_local("fe80::1")]
#[case::v6_site_local("fec0::1")]
#[case::v6_multicast("ff02::1")]
fn an_address_that_is_not_public_is_denied(#[case] at: &str) {
    judged(&[], "example.org", at).expect_err(at);
}

#[rstest]
#[case::v4("8.8.8.8")]
#[case::before_private("9.255.255.255")]
#[case::behind_private("11.0.0.0")]
#[case::before_shared("100.63.255.255")]
#[case::behind_shared("100.128.0.0")]
#[case::behind_172("172.32.0.0")]
#[case::beside_azure("168.63.129.17")]
#[case::beside_relay("192.88.100.1")]
#[case::behind_benchmark("198.20.0.0")]
#[case::before_multicast("223.255.255.255")]
#[case::v6("2606:4700:4700::1111")]
#[case::v6_behind_documentation("2001:db9::1")]
fn a_public_address_may_be_reached(#[case] at: &str) {
    judged(&[], "example.org", at).expect(at);
}

#[rstest]
#[case::name(&["app"], "app", "10.0.0.1", true)]
#[case::name_with_dot(&["app"], "app.", "10.0.0.1", true)]
#[case::dotted_in_the_list(&["app."], "app", "127.0.0.1", true)]
#[case::upper_case_in_the_list(&["App.Internal"], "app.internal", "::1", true)]
#[case::other_name(&["app"], "apple", "10.0.0.1", false)]
#[case::below_a_name(&["app"], "x.app", "10.0.0.1", false)]
#[case::name_to_metadata(&["app"], "app", "169.254.169.254", false)]
#[case::name_to_v6_metadata(&["app"], "app", "fd00:ec2::254", false)]
#[case::name_to_mapped(&["app"], "app", "::ffff:10.0.0.1", false)]
#[case::address(&["127.0.0.1"], "localhost", "127.0.0.1", true)]
#[case::other_address(&["127.0.0.1"], "localhost", "127.0.0.2", false)]
#[case::bracketed(&["[::1]"], "[::1]", "::1", true)]
#[case::network(&["10.1.0.0/16"], "anything", "10.1.2.3", true)]
#[case::beside_the_network(&["10.1.0.0/16"], "anything", "10.2.0.1", false)]
#[case::metadata_by_address(&["169.254.169.254"], "metadata", "169.254.169.254", true)]
#[case::everything(&["::/0"], "anything", "fe80::1", true)]
fn a_kind_allows_what_it_lists(
    #[case] allowed: &[&str],
    #[case] host: &str,
    #[case] at: &str,
    #[case] allows: bool,
) {
    assert_eq!(judged(allowed, host, at).is_ok(), allows);
}

#[rstest]
#[case::empty("")]
#[case::url("http://app")]
#[case::with_port("app:80")]
#[case::wide_prefix("10.0.0.0/33")]
#[case::space("a b")]
#[case::any("*")]
#[case::anything_below("*.app")]
#[case::root(".")]
fn what_is_no_host_is_refused(#[case] host: &str) {
    Egress::allowing([host]).expect_err(host);
}

#[test]
fn a_refusal_says_what_to_list() {
    let name = judged(&[], "app", "10.0.0.1").expect_err("private").to_string();
    assert_eq!(name, "10.0.0.1 is private: name \"app\" in allow_hosts if it is meant");
    let literal = judged(&[], "10.0.0.1", "10.0.0.1").expect_err("private").to_string();
    assert_eq!(literal, "10.0.0.1 is private: name \"10.0.0.1\" in allow_hosts if it is meant");
    let special = judged(&["app"], "app", "169.254.1.1").expect_err("link-local").to_string();
    assert!(special.ends_with("name \"169.254.1.1\" itself in allow_hosts if it is meant"));
}
