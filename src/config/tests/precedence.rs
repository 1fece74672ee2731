//! Flags over environment over file over defaults, and what `show` says of it.

use super::{Files, load_with};
use crate::{
    config::{Environment, HandlerSettings, Loaded, Shown, Source, load},
    job::JobVariable,
};
use rstest::rstest;

fn shown<'a>(loaded: &'a Loaded, key: &str) -> (&'a str, &'a str) {
    let is = |shown: &&Shown| shown.key == key;
    let Shown { value, source, .. } = loaded.show().iter().find(is).expect("a shown key");
    (value, source.rsplit('/').next().unwrap_or(source))
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_defaults() {
    let files = Files::new();
    let file = files.write("legwork.toml", "[claim]\nbatch = 2\n");
    let batch = |source: &Source| {
        let loaded = load(source).expect("right");
        let (value, source) = shown(&loaded, "claim.batch");
        (loaded.settings.claim.batch, value.to_owned(), source.to_owned())
    };
    let nothing = || Environment::of([("A", "B")]);
    let said = || Environment::of([("LEGWORK_CLAIM__BATCH", "3")]);
    let is = |batch: u32, source: &str| (batch, batch.to_string(), source.to_owned());
    assert_eq!(batch(&Source::without_file(nothing())), is(500, "default"));
    assert_eq!(batch(&Source::new(nothing()).with_file(&file)), is(2, "legwork.toml:2"));
    let source = Source::new(said()).with_file(&file);
    assert_eq!(batch(&source), is(3, "environment LEGWORK_CLAIM__BATCH"));
    assert_eq!(batch(&source.with_flag("--batch", "claim.batch", "4")), is(4, "flag --batch"));
}

#[test]
fn queues_and_kinds_are_set_by_name_from_environment_and_flags() {
    let files = Files::new();
    let text = "[[queue]]\nname = \"mail.eu\"\n[[kind]]\nname = \"a__b\"\nhandler = \"noop\"\n";
    let file = files.write("legwork.toml", text);
    let environment = Environment::of([
        ("LEGWORK_QUEUE__MAIL_EU__CONCURRENCY", "2*cpus"),
        ("LEGWORK_KIND__A__B__BACKOFF__BASE", "9s"),
    ]);
    let source = Source::new(environment).with_file(file).with_flag(
        "--set",
        "queue.mail.eu.rate_limit",
        "7/s",
    );
    let loaded = load(&source).expect("right");
    let queue = &loaded.settings.queues[0];
    assert_eq!((queue.concurrency, queue.rate_limit.map(|r| r.starts.get())), (8, Some(7)));
    assert_eq!(loaded.settings.kinds[0].policy.backoff.base().as_secs(), 9);
    let concurrency = shown(&loaded, "[[queue]] \"mail.eu\".concurrency");
    assert_eq!(
        concurrency,
        ("\"2*cpus\" (now 8)", "environment LEGWORK_QUEUE__MAIL_EU__CONCURRENCY")
    );
}

#[test]
fn a_table_of_variables_is_one_value_and_wins_whole() {
    let text = "[[kind]]\nname = \"c\"\nhandler = \"command\"\ncommand = [\"/bin/ls\"]\n\
                env = { A = \"a\" }\n";
    let env = |loaded: &Loaded| match &loaded.settings.kinds[0].handler {
        HandlerSettings::Command(command) => command.env.clone(),
        other => panic!("a command, not {other:?}"),
    };
    let of = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let by_file = load_with(text, &[]).expect("right");
    assert_eq!(env(&by_file), of("A", "a"));
    assert_eq!(shown(&by_file, "[[kind]] \"c\".env"), ("{ A = … }", "legwork.toml:5"));
    let variable = ("LEGWORK_KIND__C__ENV", "{ B = \"x\" }");
    let by_variable = load_with(text, &[variable]).expect("right");
    assert_eq!(env(&by_variable), of("B", "x"));
    let place = "environment LEGWORK_KIND__C__ENV";
    assert_eq!(shown(&by_variable, "[[kind]] \"c\".env"), ("{ B = … }", place));
}

#[test]
fn the_queues_flag_serves_just_those() {
    let files = Files::new();
    let file = files.write("legwork.toml", "[[queue]]\nname = \"a\"\nrate_limit = \"1/h\"\n");
    let source = Source::new(Environment::of([("A", "B")])).with_file(file).with_flag(
        "--queues",
        "queues",
        "b=2, a=10",
    );
    let queues = load(&source).expect("right").settings.queues;
    let seen: Vec<_> =
        queues.iter().map(|q| (q.name.as_str(), q.concurrency, q.rate_limit.is_some())).collect();
    assert_eq!(seen, [("b", 2, false), ("a", 10, true)]);
}

#[test]
fn a_file_that_lists_queues_serves_no_default() {
    let queues = load_with("[[queue]]\nname = \"b\"\n", &[]).expect("right").settings.queues;
    assert_eq!(queues.iter().map(|q| q.name.as_str()).collect::<Vec<_>>(), ["b"]);
}

#[rstest]
#[case::file("url = \"postgres:///f\"", &[], "postgres:///f", "legwork.toml:2")]
#[case::variable(
    "url = \"postgres:///f\"",
    &[("LEGWORK_DATABASE__URL", "postgres:///e"), ("DATABASE_URL", "postgres:///d")],
    "postgres:///e",
    "environment LEGWORK_DATABASE__URL"
)]
#[case::fallback("", &[("DATABASE_URL", "postgres:///d")], "postgres:///d", "environment DATABASE_URL")]
#[case::file_over_fallback(
    "url = \"postgres:///f\"",
    &[("DATABASE_URL", "postgres:///d")],
    "postgres:///f",
    "legwork.toml:2"
)]
fn the_url_comes_from_the_nearest_place(
    #[case] key: &str,
    #[case] variables: &[(&str, &str)],
    #[case] url: &str,
    #[case] source: &str,
) {
    let loaded = load_with(format!("[database]\n{key}\n"), variables).expect("right");
    assert_eq!(loaded.settings.database_url().expect("a URL").expose(), url);
    assert_eq!(shown(&loaded, "database.url"), (format!("{url:?}").as_str(), source));
}

#[test]
fn an_empty_database_url_in_the_environment_is_none() {
    let loaded = load_with("", &[("DATABASE_URL", "")]).expect("right");
    assert_eq!(loaded.settings.database.url, None);
    assert_eq!(shown(&loaded, "database.url"), ("none", "default"));
}

#[test]
fn the_file_is_named_by_the_environment_unless_a_flag_names_one() {
    let files = Files::new();
    let named = files.write("named.toml", "[claim]\nbatch = 2\n");
    let flagged = files.write("flagged.toml", "[claim]\nbatch = 3\n");
    let source = Source::new(Environment::of([("LEGWORK_CONFIG", named.clone())]));
    let loaded = load(&source).expect("right");
    assert_eq!((loaded.settings.claim.batch, loaded.file), (2, Some(named)));
    let loaded = load(&source.with_file(flagged)).expect("right");
    assert_eq!(loaded.settings.claim.batch, 3);
}

#[rstest]
#[case::a_jobs_own("LEGWORK_JOB_ID", "7")]
#[case::a_jobs_kind("LEGWORK_KIND", "resize")]
#[case::a_service_host("LEGWORK_SERVICE_HOST", "10.0.0.1")]
#[case::a_service_port("LEGWORK_PORT", "tcp://10.0.0.1:9464")]
#[case::a_service_link("LEGWORK_PORT_9464_TCP_ADDR", "10.0.0.1")]
#[case::a_service_link_whole("LEGWORK_PORT_9464_TCP", "tcp://10.0.0.1:9464")]
#[case::another_services_link("LEGWORK_METRICS_SERVICE_PORT_HTTP", "9464")]
#[case::another_services_port("LEGWORK_METRICS_PORT", "udp://10.0.0.1:9464")]
#[case::another_services_number("LEGWORK_METRICS_SERVICE_PORT", "9464")]
fn variables_that_others_set_under_our_name_are_let_through(
    #[case] name: &str,
    #[case] value: &str,
) {
    load_with("", &[(name, value)]).expect("right");
}

#[rstest]
#[case::a_port_of_ours("LEGWORK_ADMIN_PORT", "9999")]
#[case::a_bare_port("LEGWORK_PORT", "9999")]
#[case::no_ports_number("LEGWORK_PORT_ADMIN", "9999")]
#[case::no_protocol("LEGWORK_PORT_9464_ADDR", "10.0.0.1")]
#[case::more_than_a_link("LEGWORK_PORT_9464_TCP_ADDR_X", "10.0.0.1")]
fn a_port_that_is_no_service_link_is_a_mistake(#[case] name: &str, #[case] value: &str) {
    let mistakes = load_with("", &[(name, value)]).expect_err("nobody else sets it").to_string();
    assert!(mistakes.contains(&format!("{name} names no key")), "{mistakes}");
}

#[test]
fn whatever_a_program_is_told_about_its_job_is_let_through() {
    let told = JobVariable::ALL.map(|variable| (variable.name(), "7"));
    load_with("", &told).expect("right");
}

#[rstest]
#[case::both_in_the_file("file", "file", true)]
#[case::both_in_the_environment("environment", "environment", true)]
#[case::the_server_stronger("file", "environment", true)]
#[case::the_url_by_the_environment("environment", "file", false)]
#[case::the_url_by_a_flag("flag", "file", false)]
#[case::the_url_by_a_flag_over_the_environment("flag", "environment", false)]
fn a_servers_address_counts_beside_a_url_that_is_no_stronger(
    #[case] url: &str,
    #[case] direct: &str,
    #[case] counts: bool,
) {
    // Whether the address stands there itself or in a file that is named there.
    for (by_file, suffix) in [(false, ""), (true, "_file")] {
        let files = Files::new();
        let said = |name: &str| {
            let address = format!("postgres:///{name}");
            if by_file { files.write(name, address).display().to_string() } else { address }
        };
        let mut lines = vec!["[database]".to_owned(), "pooler = \"transaction\"".to_owned()];
        let mut variables = Vec::new();
        let mut flags = Vec::new();
        for (key, place) in [("url", url), ("direct_url", direct)] {
            let (key, value) = (format!("{key}{suffix}"), said(key));
            match place {
                "file" => lines.push(format!("{key} = \"{value}\"")),
                "environment" => {
                    let name = format!("LEGWORK_DATABASE__{}", key.to_ascii_uppercase());
                    variables.push((name, value));
                }
                _ => flags.push((format!("database.{key}"), value)),
            }
        }
        let file = files.write("legwork.toml", lines.join("\n"));
        let mut source = Source::new(Environment::of(variables)).with_file(file);
        for (key, value) in &flags {
            source = source.with_flag("--set", key, value);
        }
        let loaded = load(&source).expect("right");
        let direct = loaded.settings.database.direct_url.is_some();
        assert_eq!(direct, counts, "{suffix}");
        let told = loaded.warnings.iter().any(|warning| warning.contains("is left aside"));
        assert_eq!(told, !counts, "{suffix}: {:?}", loaded.warnings);
    }
}
