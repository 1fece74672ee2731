//! What reaches the output, from call to line.

use super::{
    line::{ORDER, VALUE_MAX_BYTES},
    throttle::{Due, KINDS_MAX, LINES_PER_WINDOW, WINDOW},
    *,
};
use crate::{
    job::{JobId, KindName, QueueName},
    telemetry::events,
};
use serde_json::Value;
use std::sync::Mutex;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `speak` writes, and what was lost.
fn written(style: Style, filter: &str, speak: impl FnOnce()) -> (String, Arc<Losses>) {
    let output = Captured::default();
    let voice = Voice::new(style, "00c0ffee");
    let writer = start(output.clone(), &voice).unwrap();
    let (subscriber, _) = subscriber(filter, voice, writer.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, speak);
    assert!(writer.flush(Duration::from_secs(10)));
    let text = String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
    (text, writer.losses())
}

fn json_line(speak: impl FnOnce()) -> Value {
    let (text, _) = written(Style::Json, "trace", speak);
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn fields_come_in_the_fixed_order_whatever_order_they_were_given_in() {
    let (text, _) = written(Style::Json, "info", || {
        let job = tracing::info_span!("job", job.attempt = 2, job.queue = "q", job.id = 7);
        let _inside = job.enter();
        tracing::warn!(zebra = 1, duration_ms = 1.5, event = "job.failed", "It failed");
    });
    let keys: Vec<_> = text.split("\",\"").collect();
    assert!(text.starts_with("{\"timestamp\":\""), "{keys:?}");
    let order = [
        "timestamp",
        "level",
        "severity_number",
        "message",
        "target",
        "service.name",
        "service.version",
        "service.instance.id",
        "event",
        "job.id",
        "job.queue",
        "job.attempt",
        "duration_ms",
        "zebra",
    ];
    let places: Vec<_> = order.map(|key| text.find(&format!("\"{key}\":")).unwrap()).into();
    assert!(places.is_sorted(), "{text}");
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["severity_number"], 13);
    assert_eq!(line["service.instance.id"], "00c0ffee");
    assert_eq!((&line["job.id"], &line["duration_ms"]), (&7.into(), &1.5.into()));
    let stamp = line["timestamp"].as_str().unwrap();
    assert_eq!((stamp.len(), stamp.ends_with('Z')), ("2026-01-01T00:00:00.000000Z".len(), true));
}

#[test]
fn an_event_wins_over_its_span_and_an_inner_span_over_an_outer_one() {
    let line = json_line(|| {
        let outer = tracing::info_span!("outer", job.id = 1, job.kind = "a", job.queue = "q");
        let _outer = outer.enter();
        let inner =
            tracing::info_span!("inner", job.kind = "b", job.outcome = tracing::field::Empty);
        let _inner = inner.enter();
        inner.record("job.outcome", "completed");
        tracing::info!(job.id = 3, "said");
    });
    let seen = ["job.id", "job.kind", "job.queue", "job.outcome"].map(|key| line[key].to_string());
    assert_eq!(seen, ["3", "\"b\"", "\"q\"", "\"completed\""]);
}

#[tokio::test]
async fn lines_inside_an_attempt_name_the_job_and_its_origin_and_lines_outside_dont() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let metadata = format!(
        r#"{{"traceparent": "00-{TRACE}-00f067aa0ba902b7-01", "request_id": "r-1", "user_id": 42}}"#
    );
    let scope = JobScope {
        id: crate::job::JobId(7),
        kind: "send".parse().ok(),
        queue: "mail".parse().unwrap(),
        attempt: 2,
        max_attempts: Some(3),
        origin: crate::telemetry::Origin::shared(Some(&metadata)),
    };
    let (text, _) = written(Style::Json, "info", || {
        let work = scope.clone().over(async {
            tracing::info!("inside");
            tracing::info!(job.id = 8, "about another");
        });
        futures::FutureExt::now_or_never(work).unwrap();
        scope.say(|| tracing::info!("said"));
        tracing::info!("outside");
    });
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let keys = ["job.id", "job.kind", "job.queue", "job.attempt", "job.max_attempts"];
    for line in [&lines[0], &lines[2]] {
        let job: Vec<_> = keys.iter().map(|key| line[*key].to_string()).collect();
        assert_eq!(job, ["7", "\"send\"", "\"mail\"", "2", "3"]);
        let origin = ["trace_id", "span_id", "trace_flags", "request_id", "user_id"];
        let origin: Vec<_> = origin.iter().map(|key| line[*key].as_str().unwrap()).collect();
        assert_eq!(origin, [TRACE, "00f067aa0ba902b7", "01", "r-1", "42"]);
    }
    assert_eq!((&lines[1]["job.id"], &lines[1]["trace_id"]), (&8.into(), &TRACE.into()));
    assert!(keys.iter().chain(&["trace_id"]).all(|key| lines[3].get(*key).is_none()), "{text}");
}

#[test]
fn hostile_text_stays_inside_its_line_in_both_styles() {
    let hostile = "a\n{\"level\":\"ERROR\"}\r\u{1b}[31m\u{202e}\u{2028}\u{9b}\u{0}\"\\";
    let line = json_line(|| tracing::info!(job.kind = hostile, "{hostile}"));
    assert_eq!((&line["message"], &line["job.kind"]), (&hostile.into(), &hostile.into()));
    for style in [Style::Json, Style::Pretty { colour: false }] {
        let (text, _) = written(style, "info", || tracing::info!(job.kind = hostile, "{hostile}"));
        let body = text.strip_suffix('\n').unwrap();
        let raw = |c: char| c.is_control() || matches!(c, '\u{202e}' | '\u{2028}');
        assert!(!body.contains(raw), "{body:?}");
    }
}

#[test]
fn a_value_of_a_megabyte_is_cut() {
    let line = json_line(|| tracing::info!(error.message = "ä".repeat(1 << 20), "said"));
    let value = line["error.message"].as_str().unwrap();
    assert!(value.len() <= VALUE_MAX_BYTES + '…'.len_utf8() && value.ends_with('…'));
}

#[test]
fn a_line_takes_only_so_many_long_fields_and_says_how_many_it_left_out() {
    let long = "x".repeat(VALUE_MAX_BYTES);
    let line = json_line(|| tracing::info!(a = long, b = long, c = long, d = long, "said"));
    assert_eq!(line["log.fields_cut"], 2);
    assert!(line.to_string().len() < 64 * 1024);
}

#[test]
fn an_error_comes_with_its_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("the claim failed")]
    struct Outer(#[source] io::Error);
    let error = Outer(io::Error::other("the connection broke"));
    let line = json_line(|| {
        let error: &(dyn std::error::Error + 'static) = &error;
        tracing::error!(error, "said");
    });
    assert_eq!(line["error.message"], "the claim failed: the connection broke");
    assert_eq!(line.get("error"), None, "the field has one name");
}

#[test]
fn a_cause_that_its_error_has_named_already_is_not_named_again() {
    #[derive(Debug, thiserror::Error)]
    #[error("the driver says: {0}")]
    struct Driver(#[source] io::Error);
    let error = Driver(io::Error::other("the connection broke"));
    let line = json_line(|| {
        let error: &(dyn std::error::Error + 'static) = &error;
        tracing::warn!(error, "It failed");
    });
    assert_eq!(line["error.message"], "the driver says: the connection broke");
}

#[tokio::test(start_paused = true)]
async fn a_storm_is_cut_and_the_next_line_of_its_place_counts_what_was_left_out() {
    let (text, losses) = written(Style::Json, "info", || {
        let storm = |lines: usize| {
            for _ in 0..lines {
                tracing::warn!(event = "claim.failed", "The claim failed");
            }
        };
        storm(LINES_PER_WINDOW + 5);
        tracing::warn!("another place isn't held back");
        futures::FutureExt::now_or_never(tokio::time::advance(WINDOW));
        storm(1);
    });
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), LINES_PER_WINDOW + 2);
    assert_eq!(lines.last().unwrap()["log.suppressed"], 5);
    assert_eq!((losses.suppressed(), losses.dropped()), (5, 0));
}

#[test]
fn what_no_later_line_tells_of_is_told_at_the_end() {
    let (text, losses) = written(Style::Json, "info", || {
        for _ in 0..LINES_PER_WINDOW + 5 {
            tracing::warn!(target: "elsewhere", event = "claim.failed", "The claim failed");
        }
        for _ in 0..LINES_PER_WINDOW {
            tracing::error!("as often as may be");
        }
    });
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2 * LINES_PER_WINDOW + 1, "{text}");
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["event"], &last["log.event"]),
        (&"log.throttled".into(), &"claim.failed".into())
    );
    assert_eq!((&last["level"], &last["target"]), (&"WARN".into(), &"elsewhere".into()));
    assert_eq!(last["service.instance.id"], "00c0ffee");
    assert_eq!((&last["log.suppressed"], losses.suppressed()), (&5.into(), 5));
}

/// A line about a job of this kind.
fn fails(id: i64, kind: &str) {
    let scope = JobScope {
        id: JobId(id),
        kind: KindName::new(kind).ok(),
        queue: QueueName::default(),
        attempt: 1,
        max_attempts: None,
        origin: None,
    };
    scope.say(|| tracing::warn!(event = "job.failed", "An attempt failed"));
}

#[test]
fn a_noisy_kind_hides_the_lines_of_no_other() {
    let (text, losses) = written(Style::Json, "info", || {
        for job in 0..40 {
            fails(job, "noisy");
        }
        fails(100, "quiet");
        // Beyond so many, kinds share what one of them may write.
        for job in 0..2 * KINDS_MAX {
            fails(1000, &format!("kind-{job}"));
        }
    });
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |id: i64| lines.iter().filter(|line| line["job.id"] == id).count();
    assert_eq!((of(100), of(1000)), (1, KINDS_MAX - 2 + LINES_PER_WINDOW));
    let told = lines.iter().filter(|line| line["event"] == "log.throttled");
    let told: Vec<_> = told.map(|line| (&line["job.kind"], &line["log.suppressed"])).collect();
    let rest = 2 * KINDS_MAX - of(1000);
    assert!(told.contains(&(&"noisy".into(), &30.into())), "{told:?}");
    assert!(told.contains(&(&Value::Null, &rest.into())), "{told:?}");
    assert_eq!(losses.suppressed(), 30 + u64::try_from(rest).unwrap());
}

#[tokio::test(start_paused = true)]
async fn what_kinds_without_a_window_of_their_own_left_out_is_none_of_theirs() {
    let (output, voice) = (Captured::default(), Voice::new(Style::Json, "i"));
    let writer = Writer::start(output.clone(), |_| Vec::new()).unwrap();
    let (subscriber, _) = subscriber("info", Arc::clone(&voice), writer.clone()).unwrap();
    let _heard = tracing::subscriber::set_default(subscriber);
    let all_others = || (0..KINDS_MAX).for_each(|kind| fails(1, &format!("kind-{kind}")));
    all_others();
    (0..LINES_PER_WINDOW + 5).for_each(|kind| fails(2, &format!("further-{kind}")));
    tokio::time::advance(WINDOW).await;
    all_others();
    fails(3, "late");
    // A storm that goes on is told of window by window.
    let told = voice.tell_left_out(Due::Ended);
    let [told] = told.as_slice() else { panic!("{told:?}") };
    let told: Value = serde_json::from_str(told).unwrap();
    assert_eq!((&told["log.suppressed"], told.get("job.kind")), (&5.into(), None));
    assert!(writer.flush(Duration::from_secs(10)));
    let text = String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
    let late = text.lines().find(|line| line.contains("\"late\"")).expect("it is written");
    assert!(!late.contains("log.suppressed"), "{late}");
}

#[tokio::test(start_paused = true)]
async fn what_was_left_out_is_told_once_when_the_window_is_over() {
    let voice = Voice::new(Style::Json, "i");
    let writer = Writer::start(io::sink(), |_| Vec::new()).unwrap();
    let (subscriber, _) = subscriber("info", Arc::clone(&voice), writer).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        for _ in 0..LINES_PER_WINDOW + 5 {
            tracing::warn!("again");
        }
    });
    tokio::time::advance(WINDOW / 2).await;
    assert_eq!(voice.tell_left_out(Due::Ended), [""; 0]);
    tokio::time::advance(WINDOW / 2).await;
    let told = voice.tell_left_out(Due::Ended);
    assert_eq!(told.len(), 1);
    let line: Value = serde_json::from_str(&told[0]).unwrap();
    assert_eq!((&line["log.suppressed"], line.get("log.event")), (&5.into(), None));
    assert_eq!(voice.tell_left_out(Due::All), [""; 0]);
}

#[test]
fn orphans_are_never_held_back() {
    let (text, losses) = written(Style::Json, "info", || {
        for job in 0..LINES_PER_WINDOW * 3 {
            tracing::error!(event = events::SHUTDOWN_ORPHANS, job.id = job, "it didn't stop");
            tracing::error!(event = events::JOB_ORPHANED, job.id = job, "no answer came");
        }
    });
    assert_eq!((text.lines().count(), losses.suppressed()), (LINES_PER_WINDOW * 6, 0));
}

#[test]
fn requests_of_strangers_are_cut_short_and_counted() {
    let (_, most) = events::LIMITED[0];
    let (text, losses) = written(Style::Json, "info", || {
        for _ in 0..most + 5 {
            tracing::info!(event = events::ADMIN_REQUEST, "answered");
        }
    });
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), losses.suppressed()), (most + 1, 5));
    assert_eq!(lines[most]["log.event"], "admin.request");
}

#[test]
fn other_information_is_never_held_back() {
    let (text, _) = written(Style::Json, "info", || {
        for _ in 0..LINES_PER_WINDOW * 3 {
            tracing::info!("said");
        }
    });
    assert_eq!(text.lines().count(), LINES_PER_WINDOW * 3);
}

#[test]
fn the_filter_chooses_and_a_broken_one_is_refused() {
    let (text, _) = written(Style::Json, "warn", || tracing::info!("quiet"));
    assert_eq!(text, "");
    let voice = Voice::new(Style::Json, "i");
    let writer = start(io::sink(), &voice).unwrap();
    let refused = subscriber("legwork=loud", voice, writer).err();
    assert!(matches!(refused, Some(LogsError::ParseFilter(_))));
}

#[test]
fn people_get_one_plain_line() {
    let (text, _) = written(Style::Pretty { colour: false }, "info", || {
        tracing::info!(event = "admin.listening", listen = "127.0.0.1:9464", "The port is open");
    });
    let (_stamp, rest) = text.split_once(' ').unwrap();
    assert_eq!(rest, " INFO The port is open event=admin.listening listen=127.0.0.1:9464\n");
}

#[test]
fn the_fields_of_every_line_are_as_the_golden_file_has_them() {
    let (text, _) = written(Style::Json, "info", || tracing::info!("said"));
    let line: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
    let mut first: Vec<_> = line.keys().cloned().collect();
    first.sort_by_key(|key| text.find(&format!("\"{key}\":")));
    let all = first.iter().map(String::as_str).chain(ORDER.iter().copied());
    insta::assert_snapshot!("fields", all.collect::<Vec<_>>().join("\n"));
}

#[test]
fn the_document_lists_the_ordered_fields_in_their_order() {
    let document = include_str!("../../../docs/logs.md");
    let section = document.split("## Fields").nth(1).unwrap().split("## Events").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let listed: Vec<_> = rows.filter_map(|row| row.split('`').next()).skip(8).collect();
    assert_eq!(listed, ORDER);
}

#[test]
fn readiness_says_in_words_and_once_what_failed_and_what_is_well_again() {
    let health = crate::telemetry::health::Health::new(Duration::from_secs(1));
    let (text, _) = written(Style::Json, "info", || {
        let (pool, partition) = (health.check("pool"), health.check("partition"));
        pool.ok();
        pool.ok();
        pool.failing("down: claim");
        pool.failing("down: claim, completer");
        pool.ok();
        partition.failing("history's next days can't be made");
    });
    let said = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["event"], "health.changed");
        let words = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
        [words("level"), words("message"), words("check"), words("reason")]
    };
    let unmade = "history's next days can't be made";
    let expected = [
        ["INFO", "readiness: pool is well", "pool", ""],
        ["WARN", "readiness: pool failed: down: claim", "pool", "down: claim"],
        ["INFO", "readiness: pool is well again", "pool", ""],
        ["WARN", &format!("readiness: partition failed: {unmade}"), "partition", unmade],
    ];
    assert_eq!(text.lines().map(said).collect::<Vec<_>>(), expected);
}

#[rstest::rstest]
#[case::nothing("trace", 0)]
#[case::the_driver("info,sqlx=trace", 0)]
#[case::notices("warn,sqlx::postgres::notice=info", 1)]
fn what_postgres_says_beside_its_answers_appears_where_it_is_named(
    #[case] filter: &str,
    #[case] lines: usize,
) {
    let speak = || tracing::info!(target: "sqlx::postgres::notice", "a payload, perhaps");
    let (text, _) = written(Style::Json, filter, speak);
    assert_eq!(text.lines().count(), lines, "{text}");
}
