//! The functions that everything goes by: what they take, what they refuse, and what they note.

use legwork::job::QueueName;
use legwork::postgres::Upkeep;

use crate::statements::{end, execute, refused, rows, session_as, value};
use crate::support;

const DECIDED: &str = "SELECT queue || ' ' || setting || ' ' || value || ' ' || coalesce(reason, '-') \
    || CASE WHEN until IS NULL THEN '' ELSE ' ends' END FROM legwork.override ORDER BY queue, setting";
const NOTED: &str = "SELECT action || ' ' || target || ' ' || coalesce(reason, '-') || ' ' || (detail - 'until') \
    || CASE WHEN detail ? 'until' THEN ' ends' ELSE '' END FROM legwork.audit ORDER BY id";

#[test]
fn each_setting_is_decided_by_itself_and_taken_away_and_noted_once() {
    support::run(async |db| {
        let mut session = db.connect().await;
        for (call, changed) in [
            ("override_queue('mail', 5, reason => 'slow')", "t"),
            ("override_queue('mail', 5, reason => 'slow')", "f"),
            (
                "override_queue('mail', rate_limit => '30/m burst 2', until => now() + interval '1 h')",
                "t",
            ),
            ("override_queue('news', 10000, '1/s')", "t"),
            ("reset_queue('news', 'rate_limit', 'enough')", "t"),
            ("reset_queue('news', 'rate_limit')", "f"),
            ("reset_queue('other')", "f"),
        ] {
            assert_eq!(
                value(&mut session, &format!("SELECT legwork.{call}")).await,
                changed,
                "{call}"
            );
        }
        assert_eq!(
            rows(&mut session, DECIDED).await,
            [
                "mail concurrency 5 slow",
                "mail rate_limit 30/m burst 2 - ends",
                "news concurrency 10000 -"
            ]
        );
        assert_eq!(value(&mut session, "SELECT legwork.reset_queue('mail')").await, "t");
        assert_eq!(
            rows(&mut session, NOTED).await,
            [
                r#"override queue/mail slow {"concurrency": 5}"#,
                r#"override queue/mail - {"rate_limit": "30/m burst 2"} ends"#,
                r#"override queue/news - {"rate_limit": "1/s", "concurrency": 10000}"#,
                r#"reset queue/news enough {"was": {"rate_limit": "1/s"}}"#,
                r#"reset queue/mail - {"was": {"rate_limit": "30/m burst 2", "concurrency": "5"}}"#,
            ]
        );
        end(session).await;
    });
}

#[test]
fn what_can_t_be_meant_is_refused_and_changes_nothing() {
    support::run(async |db| {
        let mut session = db.connect().await;
        for (call, code, said) in [
            ("override_queue('mail')", "22004", "needs a concurrency, a rate limit, or both"),
            ("override_queue('mail', 0)", "22023", "0 isn't 1 to 10000"),
            ("override_queue('mail', 10001)", "22023", "10001 isn't 1 to 10000"),
            ("override_queue('mail', rate_limit => 'fast')", "22023", "isn't a rate limit"),
            ("override_queue('mail', rate_limit => '0/s')", "22023", "isn't a rate limit"),
            ("override_queue('mail', 5, until => now() - interval '1 s')", "22023", "is past"),
            ("override_queue('no queue', 5)", "23514", ""),
            ("reset_queue('mail', 'shape')", "22023", "neither concurrency nor rate_limit"),
            ("pause('mail', until => now())", "22023", "is past"),
            ("drain('mail', until => now())", "22023", "is past"),
            ("tell_daemon(7, 'drain')", "P0002", "no daemon 7"),
            ("tell_daemon(7, 'sing')", "22023", "quiet, drain or shutdown"),
        ] {
            let refusal = refused(&mut session, &format!("SELECT legwork.{call}")).await;
            assert_eq!(refusal.code, code, "{call}");
            assert!(refusal.message.contains(said), "{call}: {}", refusal.message);
        }
        let left = "SELECT (SELECT count(*) FROM legwork.override) + (SELECT count(*) FROM legwork.queue) \
                    + (SELECT count(*) FROM legwork.audit)";
        assert_eq!(value(&mut session, left).await, "0");
        end(session).await;
    });
}

#[test]
fn a_pause_ends_as_the_last_one_says_and_keeps_its_reason_until_another_is_given() {
    const STANDS: &str = "SELECT paused || ' ' || draining || ' ' || coalesce(reason, '-') || ' ' \
        || coalesce(date_part('epoch', paused_until - paused_at)::bigint::text, '-') FROM legwork.queue";
    const NOTED: [&str; 10] =
        ["pause", "pause", "pause", "drain", "pause", "drain", "drain", "pause", "resume", "drain"];
    support::run(async |db| {
        let mut session = db.connect().await;
        for (call, changed, stands) in [
            ("pause('mail', 'down', now() + interval '1 h')", "t", "true false down 3600"),
            ("pause('mail')", "t", "true false down -"),
            ("pause('mail')", "f", "true false down -"),
            ("pause('mail', 'worse')", "f", "true false worse -"),
            ("drain('mail', 'a move')", "t", "true true a move -"),
            ("pause('mail', until => 'infinity')", "t", ""),
            ("drain('mail')", "t", "true true a move -"),
            ("drain('mail', until => now() + interval '1 h')", "t", "true true a move 3600"),
            ("pause('mail')", "t", "true true a move -"),
            ("resume('mail')", "t", "false false - -"),
            ("drain('mail')", "t", "true true - -"),
        ] {
            assert_eq!(
                value(&mut session, &format!("SELECT legwork.{call}")).await,
                changed,
                "{call}"
            );
            if !stands.is_empty() {
                assert_eq!(value(&mut session, STANDS).await, stands, "{call}");
            }
        }
        let noted = rows(&mut session, "SELECT action FROM legwork.audit ORDER BY id").await;
        assert_eq!(noted, NOTED);
        // One that is over is none, also while no daemon is there to end it.
        let over = "UPDATE legwork.queue SET paused_until = now() - interval '1 s'";
        execute(&mut session, over).await;
        assert_eq!(value(&mut session, "SELECT legwork.pause('mail', 'again')").await, "t");
        assert_eq!(value(&mut session, STANDS).await, "true false again -");
        end(session).await;
    });
}

#[test]
fn a_daemon_hears_of_its_own_queues_pauses_however_many_others_are_paused() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(
            &mut session,
            "SELECT legwork.pause('a' || n) FROM generate_series(1, 1100) n; SELECT legwork.pause('mail')",
        )
        .await;
        let upkeep = Upkeep::new(support::pooled::connector(&db.url()));
        let served = ["other", "mail", "a7"].map(|name| QueueName::new(name).expect("a name"));
        let paused = async || upkeep.decided(None, &served).await.expect("an answer").paused;
        assert_eq!(paused().await, ["a7", "mail"]);
        execute(&mut session, "SELECT legwork.resume('mail')").await;
        assert_eq!(paused().await, ["a7"]);
        drop(upkeep);
        end(session).await;
    });
}

#[test]
fn what_is_past_ends_once_and_the_rest_stays() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(
            &mut session,
            "SELECT legwork.override_queue('a', 5, '1/s', now() + interval '1 h'), legwork.override_queue('b', 5),
                legwork.pause('c', until => now() + interval '1 h'), legwork.pause('d');
             UPDATE legwork.override SET until = now() - interval '1 s' WHERE setting = 'rate_limit';
             UPDATE legwork.queue SET paused_until = now() - interval '1 s' WHERE name = 'c'",
        )
        .await;
        assert_eq!(value(&mut session, "SELECT legwork.end_overrides()").await, "2");
        assert_eq!(value(&mut session, "SELECT legwork.end_overrides()").await, "0");
        assert_eq!(
            rows(&mut session, DECIDED).await,
            ["a concurrency 5 - ends", "b concurrency 5 -"]
        );
        let paused = rows(&mut session, "SELECT name FROM legwork.queue WHERE paused").await;
        assert_eq!(paused, ["d"]);
        end(session).await;
    });
}

#[test]
fn operators_decide_without_a_right_on_a_table_and_readers_look() {
    support::run(async |db| {
        let mut operator = session_as(&db, "legwork_operator").await;
        let mut reader = session_as(&db, "legwork_read").await;
        execute(
            &mut operator,
            "SELECT legwork.override_queue('mail', 5), legwork.drain('mail'), legwork.reset_queue('news')",
        )
        .await;
        for forbidden in ["SELECT * FROM legwork.override", "DELETE FROM legwork.override"] {
            assert_eq!(refused(&mut operator, forbidden).await.code, "42501", "{forbidden}");
        }
        assert_eq!(rows(&mut reader, DECIDED).await, ["mail concurrency 5 -"]);
        for forbidden in
            ["SELECT legwork.override_queue('mail', 6)", "SELECT legwork.end_overrides()"]
        {
            assert_eq!(refused(&mut reader, forbidden).await.code, "42501", "{forbidden}");
        }
        end(operator).await;
        end(reader).await;
    });
}
