//! URLs: everything that is wrong is said at once, and what platforms hand out has its effect.

use super::{Files, load_with};
use crate::config::{DatabaseUrl, Loaded, Mistakes};
use proptest::prelude::*;
use rstest::rstest;
use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

fn given(url: &str) -> Result<Loaded, Mistakes> {
    load_with("", &[("DATABASE_URL", url)])
}

#[rstest]
#[case::port("postgres:///x?port=none", &["its parameter port isn't a number from 1 to 65535"])]
#[case::port_zero("postgres://h:0/x", &["its port isn't a number from 1 to 65535"])]
#[case::port_with_a_sign("postgres://h:+5/x", &["its port isn't a number"])]
#[case::escape_in_the_user("postgres://u%4@h/x", &["its user has a % that isn't followed by two"])]
#[case::user_in_latin1("postgres://caf%E9@h/x", &["its user isn't UTF-8"])]
#[case::nul_in_the_database("postgres://h/a%00b", &["its database name holds the character NUL"])]
#[case::slash_in_the_database("postgres://h/a/", &["its database name has a / in it"])]
#[case::host("postgres://a!b/x", &["its host has '!' in it"])]
#[case::escaped_host("postgres://a%20b/x", &["its host has ' ' in it"])]
#[case::ipv6("postgres://[::g]/x", &["its host in brackets isn't an IPv6 address"])]
#[case::unclosed_bracket("postgres://[::1/x", &["its host in brackets isn't an IPv6 address"])]
#[case::hostaddr("postgres:///x?hostaddr=db", &["its parameter hostaddr isn't an IP address"])]
#[case::two_hosts("postgres:///x?host=a,b", &["its parameter host names more than one host"])]
#[case::cache("postgres:///x?statement-cache-capacity=-1", &["isn't a number from 0 to 65535"])]
#[case::option("postgres:///x?options[a=b", &["behind its ? stand parameters"])]
#[case::seconds("postgres:///x?connect_timeout=0", &["=0 isn't a number of seconds from 1 to 600"])]
#[case::unit("postgres:///x?connect_timeout=5s", &["=5s isn't a number of seconds"])]
#[case::standby(
    "postgres:///x?target_session_attrs=standby",
    &["=standby can't be had, since Legwork writes: any, read-write and primary can"]
)]
#[case::binding(
    "postgres:///x?channel_binding=require",
    &["channel_binding=require can't be had, disable, prefer can; the driver can't bind"]
)]
#[case::kerberos("postgres:///x?gssencmode=require", &["Kerberos isn't spoken here"])]
#[case::keepalive("postgres:///x?keepalives_idle=30", &["has no effect here; leave it out: each"])]
#[case::system("postgres:///x?sslrootcert=system", &["sslrootcert=system can't be had"])]
#[case::no_such_file("postgres:///x?sslrootcert=/no/ca.pem", &["/no/ca.pem doesn't exist"])]
#[case::relative_file("postgres:///x?sslrootcert=ca.pem", &["ca.pem isn't absolute"])]
#[case::half_a_certificate("postgres:///x?sslcert=/etc/passwd", &["sslcert and sslkey belong"])]
#[case::of_another_client("postgres:///x?pgbouncer=true", &["has no effect here; another client's"])]
#[case::twice("postgres:///x?ssl=true&sslmode=require", &["its parameter sslmode is given twice"])]
#[case::typo("postgres:///x?aplication_name=a", &["did you mean application_name?"])]
#[case::all_at_once(
    "postgres://u%:p@h!:x/a/b?port=none&sslmode=on&keepalives_idle=1&hots=a",
    &["its user", "its host", "its port", "its database", "port isn't", "=on is none", "keepalives_idle", "host?"]
)]
#[case::own_setting(
    "postgres:///x?options[statement_timeout]=5",
    &["sets statement_timeout, which Legwork sets itself: set database.statement_timeout instead"]
)]
#[case::own_setting_among_others(
    "postgres:///x?options=-c%20work_mem=1MB%20-c%20Search_Path=x",
    &["its parameter options sets search_path, which Legwork sets itself: leave it out"]
)]
#[case::own_setting_long("postgres:///x?options=--lock-timeout=1", &["sets lock_timeout"])]
#[case::in_plain_text(
    "postgres://h/x?sslmode=prefer&foo=1",
    &["its parameter foo has no effect", "sslmode=prefer lets passwords"]
)]
fn what_is_wrong_with_a_url_is_said_part_by_part(#[case] url: &str, #[case] expected: &[&str]) {
    let mistakes = given(url).expect_err("it is refused");
    let said: Vec<_> = mistakes.iter().map(|mistake| mistake.message.as_str()).collect();
    assert_eq!(said.len(), expected.len(), "{said:?}");
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.starts_with("database.url: ") && said.contains(expected), "{said:?}");
    }
    let place = Some("environment DATABASE_URL".to_owned());
    assert!(mistakes.iter().all(|mistake| mistake.place == place));
}

#[rstest]
#[case::port("PGPORT", "54x2", "PGPORT isn't a number from 1 to 65535")]
#[case::port_zero("PGPORT", "0", "PGPORT isn't a number from 1 to 65535")]
#[case::mode("PGSSLMODE", "verify_full", "PGSSLMODE is none of disable, allow")]
#[case::options("PGOPTIONS", "-cstatement_timeout=5", "PGOPTIONS sets statement_timeout, which")]
fn a_variable_of_the_driver_that_it_would_pass_over_is_refused(
    #[case] name: &str,
    #[case] value: &str,
    #[case] expected: &str,
) {
    let variables = |url| [("DATABASE_URL", url), (name, value)];
    let mistakes = load_with("", &variables("postgres:///x")).expect_err("it is refused");
    let said: Vec<_> = mistakes.iter().collect();
    assert!(said.len() == 1 && said[0].message.starts_with(expected), "{said:?}");
    assert_eq!(said[0].place, Some(format!("environment {name}")));
    if name != "PGOPTIONS" {
        let of_url = "postgres:///x?port=5432&sslmode=prefer";
        load_with("", &variables(of_url)).expect("it isn't read");
    }
    load_with("", &[("DATABASE_URL", "postgres:///x"), (name, "")]).expect("it isn't set");
}

#[rstest]
#[case::settings("postgres:///x?options=-c%20work_mem=1MB%20-csynchronous_commit=off%20--jit=off")]
#[case::what_is_done_anyway(
    "postgres://u:p@db.example:5432/x?channel_binding=prefer&gssencmode=prefer&keepalives=0\
     &sslnegotiation=postgres&sslsni=1&sslcompression=0&ssl_min_protocol_version=TLSv1.2\
     &client_encoding=UTF8&target_session_attrs=any&load_balance_hosts=disable"
)]
#[case::ssl("postgres://u:p@db.example/x?ssl=true")]
#[case::socket_of_a_platform("postgresql://u:p@/x?host=/cloudsql/project:region:instance")]
#[case::port_left_empty("postgres://localhost:/x")]
#[case::nothing("postgres://")]
#[case::ipv6("postgres://[::1]:5432/x")]
fn what_platforms_hand_out_is_taken(#[case] url: &str) {
    given(url).expect("it is right");
}

#[test]
fn the_urls_connect_timeout_holds_unless_the_configuration_says_another() {
    let url = ("DATABASE_URL", "postgres:///x?connect_timeout=7");
    let limit = |loaded: &Loaded| loaded.settings.database.connect_timeout;
    let by_url = load_with("", &[url]).expect("right");
    assert_eq!(limit(&by_url), Duration::from_secs(7));
    let shown = by_url.show().iter().find(|shown| shown.key == "database.connect_timeout");
    let shown = shown.expect("it is shown");
    let (value, source) = (shown.value.as_str(), shown.source.as_str());
    assert_eq!((value, source), ("\"7s\"", "environment DATABASE_URL"));
    let file = "[database]\nconnect_timeout = \"5s\"\n";
    assert_eq!(limit(&load_with(file, &[url]).expect("right")), Duration::from_secs(5));
    let variable = ("LEGWORK_DATABASE__CONNECT_TIMEOUT", "9s");
    assert_eq!(limit(&load_with("", &[url, variable]).expect("right")), Duration::from_secs(9));
}

#[test]
fn what_is_shown_of_a_url_says_where_it_leads_and_no_secret() {
    let url = "postgres://u:canary@/x?host=/run/pg&password=canary&port=6000&options=-c%20a=b";
    let shown = DatabaseUrl::new(url).redacted();
    assert_eq!(shown, "postgres://u:…@/x?host=/run/pg&port=6000");
}

#[test]
fn ssl_true_is_sslmode_require() {
    let address = DatabaseUrl::new("postgres://u@h/x?ssl=true").read().expect("right");
    assert_eq!(address.driver_url(), "postgres:///?dbname=x&host=h&sslmode=require&user=u");
}

#[test]
fn a_certificate_s_key_that_everybody_may_read_is_refused() {
    let files = Files::new();
    let (cert, key) = (files.write("cert", "c"), files.write("key", "k"));
    let url = format!("postgres:///x?sslcert={}&sslkey={}", cert.display(), key.display());
    given(&url).expect("right");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("a mode");
    let refused = given(&url).expect_err("refused").to_string();
    assert!(refused.contains("chmod o-r"), "{refused}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o602)).expect("a mode");
    let refused = given(&url).expect_err("refused").to_string();
    assert!(refused.contains("chmod o-w"), "{refused}");
}

proptest! {
    #[test]
    fn no_piece_of_a_password_is_shown_however_badly_it_is_written(
        before in "[a1/?@:#%&=,\\[]{0,6}",
        between in "(sslmode=|port=|host=|[a1/?@:%&=,]){0,3}",
        after in "[a1/?@:#%&=,]{0,6}",
    ) {
        let url = format!("postgres://u:{before}{between}canary{after}@h/x?sslmode=no");
        let url = DatabaseUrl::new(url);
        let said = format!("{:?} {url:?}", url.read());
        prop_assert!(!said.contains("canary"), "{said}");
    }
}
