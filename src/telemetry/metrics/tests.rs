//! The catalogue holds exactly what can be recorded, and its document and golden file agree.

use super::*;
use crate::telemetry::Origin;
use std::collections::BTreeMap;
use tokio_util::sync::CancellationToken;

fn metrics(max_kinds: usize) -> Metrics {
    Metrics::new(&config::Metrics { max_kinds })
}

fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

fn kind(name: &str) -> KindName {
    KindName::new(name).unwrap()
}

/// Asks for a handle of every family.
fn touch_everything(metrics: &Metrics) {
    metrics.job(&queue("q"), &kind("k")).finished(AttemptEnd::Completed, 1);
    metrics.command(&kind("k")).exited(CommandExit::Signal);
    metrics.http_handler(&kind("k"), "https://x").ended(RequestEnd::Tls, Duration::ZERO);
    metrics.db_operation("claim").succeeded(Duration::ZERO);
    metrics.db_failed("claim", "XX", Duration::ZERO);
    drop(metrics.http_in_flight("GET", "/metrics"));
    metrics.flush("final").flushed(3, Duration::ZERO, true);
    metrics.spans("exported").increment(1);
    metrics.limiter("kind:k").throttled();
    metrics.schedule(&ScheduleName::new("s").unwrap(), &queue("q")).enqueued();
    metrics.canary(&queue("q")).increment(1);
    metrics.session("heartbeat").connected();
    metrics.supervised_tasks("claimer").set(1.0);
    metrics.worker_restarts("claimer", "panic").increment(1);
    metrics.flush("final").late(LateReason::LeaseLost);
    metrics.http_answered("GET", "/metrics", 200, Duration::ZERO);
    metrics.admin_refusals().refused(Refusal::Role);
    metrics.admin_cuts().cut(Cut::Displaced);
    metrics.observe_runtime(&tokio::runtime::Handle::current());
    // This process has another allocator.
    allocator::show(&metrics.registry, Some(sys::heap::Figures::default()));
}

fn lines<'a>(text: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| line.strip_prefix(start))
}

/// The value of the one series that starts so, as it is shown.
fn shown(text: &str, series: &str) -> String {
    let found: Vec<_> = lines(text, series).collect();
    assert_eq!(found.len(), 1, "{series} in\n{text}");
    found[0].trim().to_owned()
}

fn value(text: &str, series: &str) -> f64 {
    shown(text, series).parse().unwrap()
}

#[test]
fn the_catalogue_is_as_the_golden_file_has_it() {
    let line = |metric: &Definition| {
        let labels = metric.labels.join(", ");
        format!("{} {} {{{labels}}} {}\n", metric.name, metric.shape.as_str(), metric.help)
    };
    insta::assert_snapshot!("catalogue", CATALOGUE.iter().map(line).collect::<String>());
}

#[test]
fn the_document_lists_the_catalogue_and_nothing_else() {
    let document = include_str!("../../../docs/metrics.md");
    let row = |metric: &Definition| {
        let quoted: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if quoted.is_empty() { "–".to_owned() } else { quoted.join(", ") };
        let shape = metric.shape.as_str();
        format!("| `{}` | {shape} | {labels} | {} |", metric.name, metric.help)
    };
    let table = document.split("## Label values").next().unwrap();
    let listed: Vec<_> = table.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(listed, CATALOGUE.iter().map(row).collect::<Vec<_>>());
}

#[test]
fn a_histograms_bounds_rise() {
    for metric in CATALOGUE {
        let Shape::Histogram(bounds) = metric.shape else { continue };
        assert!(!bounds.is_empty() && bounds.is_sorted_by(|a, b| a < b), "{}", metric.name);
    }
}

#[tokio::test]
async fn what_is_rendered_is_the_catalogue_with_its_types_and_labels() {
    let metrics = metrics(200);
    touch_everything(&metrics);
    let text = metrics.render();
    let rendered: BTreeMap<_, _> =
        lines(&text, "# TYPE ").filter_map(|line| line.split_once(' ')).collect();
    let defined = CATALOGUE.iter().map(|metric| (metric.name, metric.shape.as_str())).collect();
    assert_eq!(rendered, defined);
    assert_eq!(lines(&text, "# TYPE ").count(), CATALOGUE.len(), "each family appears once");
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, labels) = series(line);
        let of = |metric: &&Definition| name == metric.name || is_part_of(name, metric);
        let metric = CATALOGUE.iter().find(of).unwrap_or_else(|| panic!("{line}"));
        assert_eq!(labels, metric.labels, "{line}");
    }
}

#[tokio::test]
async fn the_open_page_differs_in_names_of_families_exemplars_and_its_end() {
    let metrics = metrics(200);
    touch_everything(&metrics);
    let page = metrics.render_as(Format::OpenMetrics);
    assert!(page.ends_with("\n# EOF\n") && !page.contains("\n\n"), "{page}");
    let families: Vec<_> =
        lines(&page, "# TYPE ").filter_map(|line| line.split_once(' ')).collect();
    let family = |metric: &'static Definition| match metric.shape {
        Shape::Counter => metric.name.strip_suffix("_total").unwrap(),
        Shape::Gauge | Shape::Histogram(_) => metric.name,
    };
    let defined: Vec<_> = CATALOGUE.iter().map(|m| (family(m), m.shape.as_str())).collect();
    assert_eq!(families, defined);
    assert_eq!(
        shown(&page, "legwork_jobs_finished_total{queue=\"q\",kind=\"k\",outcome=\"completed\"}"),
        "1"
    );
}

#[test]
fn a_sampled_attempt_is_the_exemplar_of_its_bucket_and_others_are_none() {
    const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0";
    let of = |flag| Origin::of(Some(&format!("{{\"traceparent\": \"{TRACEPARENT}{flag}\"}}")));
    let metrics = metrics(200);
    let job = metrics.job(&queue("q"), &kind("k"));
    job.ran(Duration::from_millis(3), None);
    job.ran(Duration::from_millis(20), Some(&of(1)));
    job.ran(Duration::from_mins(20), Some(&of(0)));
    let page = metrics.render_as(Format::OpenMetrics);
    let bucket =
        |le| format!("legwork_job_duration_seconds_bucket{{queue=\"q\",kind=\"k\",le=\"{le}\"}} ");
    let told = shown(&page, &bucket("0.025"));
    let (count, exemplar) = told.split_once(" # ").unwrap();
    let (labels, value) = exemplar.split_once(' ').unwrap();
    let trace = "trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\",span_id=\"00f067aa0ba902b7\"";
    assert_eq!((count, labels), ("2", format!("{{{trace}}}").as_str()));
    let (value, at) = value.split_once(' ').unwrap();
    assert_eq!(value, "0.02");
    assert!(at.parse::<f64>().unwrap() > 1.7e9, "{at}");
    assert_eq!(page.matches(" # {").count(), 1, "{page}");
    assert_eq!(shown(&metrics.render(), &bucket("0.025")), "2", "the text format has none");
}

/// What `promtool check metrics` complains of, as far as a name, a type and a help can be wrong.
#[test]
fn no_name_is_one_that_promtool_complains_of() {
    const UNITS: [&str; 8] = ["milli", "micro", "nano", "minutes", "hours", "days", "kilo", "mega"];
    for metric in CATALOGUE {
        let Definition { name, shape, labels, help } = metric;
        let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| name.ends_with(suffix));
        assert!(!help.is_empty(), "{name} has no help");
        assert_eq!(ends(&["_total"]), *shape == Shape::Counter, "{name}: _total is a counter's");
        assert!(!ends(&["_bucket", "_count", "_sum"]), "{name}: the end is a histogram's own");
        let words: Vec<_> = name.split('_').collect();
        for word in ["counter", "gauge", "histogram", "summary", "s", "ms", "sec", "min"] {
            assert!(!words.contains(&word), "{name}: {word} in a name");
        }
        assert!(!UNITS.iter().any(|unit| name.contains(unit)), "{name}: seconds and bytes only");
        for label in *labels {
            assert!(!["le", "quantile", "job", "instance"].contains(label), "{name}: {label}");
        }
    }
}

fn is_part_of(name: &str, metric: &Definition) -> bool {
    let suffix = name.strip_prefix(metric.name);
    matches!(metric.shape, Shape::Histogram(_))
        && matches!(suffix, Some("_bucket" | "_sum" | "_count"))
}

/// The name and the label keys of a series, without a histogram's own `le`.
fn series(line: &str) -> (&str, Vec<&str>) {
    let (series, _value) = line.rsplit_once(' ').unwrap();
    let Some((name, labels)) = series.split_once('{') else { return (series, Vec::new()) };
    let keys = labels.trim_end_matches('}').split(',').filter_map(|label| label.split_once('='));
    (name, keys.map(|(key, _)| key).filter(|key| *key != "le").collect())
}

#[test]
fn kinds_beyond_the_limit_are_counted_as_other() {
    let metrics = metrics(2);
    for name in ["a", "b", "c", "d", "a"] {
        metrics.job(&queue("q"), &kind(name)).finished(AttemptEnd::Discarded, 4);
    }
    let text = metrics.render();
    let of = |kind: &str| {
        let labels = format!("{{queue=\"q\",kind=\"{kind}\",outcome=\"discarded\"}}");
        shown(&text, &format!("legwork_jobs_finished_total{labels}"))
    };
    assert_eq!([of("a"), of("b"), of("other")], ["2", "1", "2"]);
    assert!(!text.contains("kind=\"c\""));
}

#[test]
fn queues_beyond_the_limit_are_counted_as_other() {
    let metrics = metrics(2);
    for number in 0..MAX_QUEUES + 3 {
        metrics.queue(&queue(&format!("q{number}"))).poll.answered(2, Duration::ZERO);
    }
    let text = metrics.render();
    assert_eq!(shown(&text, "legwork_jobs_claimed_total{queue=\"other\"}"), "6");
    assert_eq!(lines(&text, "legwork_jobs_claimed_total{").count(), MAX_QUEUES + 1);
}

#[test]
fn two_daemons_in_one_process_count_apart() {
    let (one, two) = (metrics(200), metrics(200));
    one.daemon.draining.set(1.0);
    assert_eq!(shown(&one.render(), "legwork_draining "), "1");
    assert_eq!(shown(&two.render(), "legwork_draining "), "0");
}

#[test]
fn unknown_methods_and_classes_make_no_series_of_their_own() {
    let metrics = metrics(200);
    metrics.http_answered("BREW", "/metrics", 405, Duration::ZERO);
    metrics.db_failed("claim", "ZZ", Duration::ZERO);
    let text = metrics.render();
    assert!(!text.contains("BREW") && !text.contains("ZZ"));
    let series = "legwork_db_errors_total{operation=\"claim\",sqlstate_class=\"other\"}";
    assert_eq!(shown(&text, series), "1");
}

#[test]
fn every_exit_of_a_program_is_counted_under_a_label_that_exists() {
    let metrics = metrics(200);
    let command = metrics.command(&kind("k"));
    let ways =
        [CommandExit::Signal, CommandExit::Timeout, CommandExit::Stopped, CommandExit::NotStarted];
    let codes = [0, 1, 64, 65, 69, 75, 77, 78, 255].map(CommandExit::Code);
    for exit in ways.into_iter().chain(codes) {
        command.exited(exit);
    }
    let text = metrics.render();
    let counts = lines(&text, "legwork_command_exits_total{").map(|line| {
        line.rsplit_once(' ').and_then(|(_, count)| count.parse::<u32>().ok()).unwrap()
    });
    assert_eq!(counts.sum::<u32>(), 13);
}

#[tokio::test(start_paused = true)]
async fn a_canary_is_measured_from_its_insert_to_its_commit() {
    let metrics = metrics(1);
    metrics.job(&queue("q"), &kind("a"));
    metrics.canary(&queue("q")).increment(1);
    let canary = metrics.job(&queue("q"), &KindName::canary());
    let running = canary.begins(|| Duration::from_secs(2));
    tokio::time::advance(Duration::from_secs(3)).await;
    canary.finished(AttemptEnd::Released, 1);
    let text = metrics.render();
    let roundtrip = "legwork_canary_roundtrip_seconds";
    assert_eq!(shown(&text, &format!("{roundtrip}_count{{queue=\"q\"}}")), "0");
    canary.finished(AttemptEnd::Completed, 1);
    drop(running);
    let text = metrics.render();
    assert_eq!(shown(&text, &format!("{roundtrip}_count{{queue=\"q\"}}")), "1");
    assert_eq!(shown(&text, &format!("{roundtrip}_sum{{queue=\"q\"}}")), "5");
    let success = "legwork_canary_last_success_timestamp_seconds{queue=\"q\"}";
    assert!(value(&text, success) > 1.7e9);
    let of_kind = "legwork_jobs_finished_total{queue=\"q\",kind=\"legwork.canary\"";
    assert!(text.contains(of_kind), "it needs no room of the kinds'");
}

#[test]
fn every_end_of_a_request_is_counted_under_a_label_that_exists() {
    let metrics = metrics(200);
    let receiver = metrics.http_handler(&kind("k"), "https://x");
    let ways = [
        RequestEnd::Timeout,
        RequestEnd::Connect,
        RequestEnd::Tls,
        RequestEnd::Broken,
        RequestEnd::Denied,
        RequestEnd::Stopped,
    ];
    let answers = [101, 200, 299, 302, 404, 500, 999].map(RequestEnd::Status);
    for end in ways.into_iter().chain(answers) {
        receiver.ended(end, Duration::ZERO);
    }
    let text = metrics.render();
    let counts = lines(&text, "legwork_http_handler_requests_total{").map(|line| {
        line.rsplit_once(' ').and_then(|(_, count)| count.parse::<u32>().ok()).unwrap()
    });
    assert_eq!(counts.sum::<u32>(), 13);
}

/// Of several in one it would be that of whichever was asked last. A kind may be called so itself.
#[test]
fn a_circuit_is_shown_of_kinds_with_a_name_of_their_own() {
    let metrics = metrics(1);
    for (name, state) in [("k", CircuitState::Open), ("l", CircuitState::Closed)] {
        metrics.http_handler(&kind(name), "https://x").circuit(state);
    }
    let shown: Vec<_> =
        lines(&metrics.render(), "legwork_circuit_state{").map(str::to_owned).collect();
    assert_eq!(shown, ["kind=\"k\",target=\"https://x\"} 2"]);
    let metrics = self::metrics(1);
    metrics.http_handler(&kind("other"), "https://x").circuit(CircuitState::Open);
    assert!(
        metrics.render().contains("legwork_circuit_state{kind=\"other\",target=\"https://x\"} 2")
    );
}

#[tokio::test(start_paused = true)]
async fn an_age_grows_while_nobody_refreshes_it() {
    let metrics = metrics(200);
    metrics.daemon.heartbeat.refreshed();
    tokio::time::advance(Duration::from_secs(42)).await;
    assert_eq!(shown(&metrics.render(), "legwork_heartbeat_age_seconds "), "42");
    metrics.daemon.heartbeat.refreshed();
    assert_eq!(shown(&metrics.render(), "legwork_heartbeat_age_seconds "), "0");
}

#[tokio::test(start_paused = true)]
async fn the_lag_of_the_event_loop_is_measured_until_the_end() {
    let metrics = metrics(200);
    let cancel = CancellationToken::new();
    let stop = async {
        tokio::time::sleep(LAG_INTERVAL * 25).await;
        cancel.cancel();
    };
    let mut lag = metrics.lag();
    let measure = async { while cancel.run_until_cancelled(lag.measured()).await.is_some() {} };
    tokio::join!(measure, stop);
    let measured = value(&metrics.render(), "legwork_event_loop_lag_seconds_count ");
    assert!((24.0..=25.0).contains(&measured), "{measured}");
}

#[test]
fn what_is_sampled_is_as_it_is_when_somebody_asks() {
    let metrics = metrics(200);
    let depth = Arc::new(std::sync::atomic::AtomicU32::new(3));
    let (seen, queue) = (Arc::clone(&depth), metrics.queue(&queue("q")));
    metrics.at_scrape(move |_| {
        queue.channel_depth.set(f64::from(seen.load(std::sync::atomic::Ordering::Relaxed)));
    });
    let series = "legwork_channel_depth{queue=\"q\"}";
    assert_eq!(shown(&metrics.render(), series), "3");
    depth.store(0, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(shown(&metrics.render(), series), "0");
}

#[test]
fn what_is_in_flight_is_counted_until_it_is_dropped() {
    let metrics = metrics(200);
    let job = metrics.job(&queue("q"), &kind("k"));
    let series = "legwork_jobs_in_flight{queue=\"q\",kind=\"k\"}";
    let begins = || job.begins(|| Duration::ZERO);
    let (one, two) = (begins(), begins());
    assert_eq!(shown(&metrics.render(), series), "2");
    drop((one, two));
    assert_eq!(shown(&metrics.render(), series), "0");
}

#[test]
fn a_pair_of_many_has_lines_from_its_first_attempt_on_and_those_beyond_the_bound_share_them() {
    let metrics = metrics(10_000);
    let of = |n: usize| metrics.job(&queue("q"), &kind(&format!("k{n}")));
    let handles: Vec<_> = (0..job::Pairs::MOST + 50).map(of).collect();
    let lines_of = |page: &str, kind: &str| {
        page.lines().filter(|line| line.contains(&format!("queue=\"q\",kind=\"{kind}\""))).count()
    };
    let page = metrics.render();
    let each = lines_of(&page, "k0");
    assert!(each > 30 && lines_of(&page, "k99") == each, "a rate begins at 0: {each}");
    assert_eq!((lines_of(&page, "k100"), lines_of(&page, "other")), (0, 0));
    let kept = handles.last().expect("a pair").begins(|| Duration::ZERO);
    let page = metrics.render();
    assert_eq!(lines_of(&page, &format!("k{}", handles.len() - 1)), each, "who runs goes first");
    for handle in &handles {
        handle.finished(AttemptEnd::Completed, 1);
    }
    let page = metrics.render();
    let others = "legwork_jobs_finished_total{queue=\"q\",kind=\"other\",outcome=\"completed\"}";
    assert_eq!((shown(&page, others), lines_of(&page, "other")), ("50".to_owned(), each));
    assert_eq!(page.matches("outcome=\"completed\"} 1\n").count(), job::Pairs::MOST);
    drop((kept, handles));
    // Whose configuration is gone makes room.
    let names: Vec<_> = (0..job::Pairs::MOST + 50).map(|n| kind(&format!("k{n}"))).collect();
    metrics.serve(&[&queue("q")], &names.iter().collect::<Vec<_>>(), Vec::new());
    metrics.serve(&[&queue("q")], &[], Vec::new());
    metrics.render();
    metrics.job(&queue("q"), &kind("new")).finished(AttemptEnd::Completed, 1);
    assert_eq!(lines_of(&metrics.render(), "new"), each);
}

/// A counter's family is its name without `_total`, and what a histogram's lines are called belongs to it as well.
#[test]
fn no_two_families_share_a_name_in_either_format() {
    let mut taken = BTreeMap::new();
    for metric in CATALOGUE {
        let family = metric.name.trim_end_matches("_total");
        let of_lines: &[&str] = match metric.shape {
            Shape::Counter => &["", "_total", "_created"],
            Shape::Gauge => &[""],
            Shape::Histogram(_) => &["", "_bucket", "_sum", "_count", "_created"],
        };
        for suffix in of_lines {
            let before = taken.insert(format!("{family}{suffix}"), metric.name);
            assert_eq!(before, None, "{} has the name of another", metric.name);
        }
    }
}

#[test]
fn a_schedule_or_a_receiver_that_is_gone_leaves_the_page() {
    let (metrics, schedule) = (Metrics::default(), ScheduleName::new("nightly").unwrap());
    let target = "https://a.example";
    let others = vec![("schedule", "nightly".to_owned()), ("target", target.to_owned())];
    metrics.serve(&[&queue("q")], &[&kind("k")], others);
    let held = (metrics.schedule(&schedule, &queue("q")), metrics.http_handler(&kind("k"), target));
    metrics.serve(&[&queue("q")], &[&kind("k")], Vec::new());
    metrics.render();
    let page = metrics.render();
    assert!(page.contains("{schedule=\"nightly\"") && page.contains(target), "held: {page}");
    drop(held);
    metrics.render();
    let page = metrics.render();
    assert!(!page.contains("nightly") && !page.contains(target), "{page}");
}

#[test]
fn the_process_shows_itself() {
    let text = metrics(200).render();
    assert!(value(&text, "process_resident_memory_bytes ") > 1e6);
    assert!(value(&text, "process_open_fds ") >= 3.0);
    assert!(value(&text, "process_start_time_seconds ") > 1.7e9);
    assert!(value(&text, "process_cpu_seconds_total ") > 0.0);
}

#[test]
fn what_the_configuration_has_no_more_leaves_the_page_once_nobody_counts_under_it() {
    let metrics = Metrics::default();
    let [default, mail] = ["default", "mail"].map(|name| QueueName::new(name).unwrap());
    let [old, new] = ["old", "new"].map(|name| KindName::new(name).unwrap());
    metrics.serve(&[&default, &mail], &[&old], Vec::new());
    let held = metrics.job(&mail, &old);
    let (limiter, _) = (metrics.limiter("kind:old"), metrics.job(&default, &old));
    held.finished(AttemptEnd::Completed, 1);
    metrics.serve(&[&default], &[&new], Vec::new());
    metrics.job(&default, &new);
    assert!(
        metrics.render().contains("queue=\"default\",kind=\"old\""),
        "its last counts are told"
    );
    let page = metrics.render();
    assert!(page.contains("{queue=\"mail\",kind=\"old\",outcome=\"completed\"} 1\n"), "{page}");
    assert!(page.contains("limiter=\"kind:old\""), "somebody waits for it");
    assert!(!page.contains("queue=\"default\",kind=\"old\""), "{page}");
    held.finished(AttemptEnd::Completed, 1);
    drop((held, limiter));
    let page = metrics.render();
    assert!(page.contains("{queue=\"mail\",kind=\"old\",outcome=\"completed\"} 2\n"), "{page}");
    let page = metrics.render();
    assert!(!page.contains("mail") && !page.contains("old\""), "{page}");
    assert!(page.contains("queue=\"default\",kind=\"new\""), "{page}");
    // Served again, it begins anew.
    metrics.serve(&[&default, &mail], &[&old], Vec::new());
    metrics.job(&mail, &old);
    let page = metrics.render();
    assert!(page.contains("{queue=\"mail\",kind=\"old\",outcome=\"completed\"} 0\n"), "{page}");
}
