//! Pages of jobs: what the filters mean, where a page ends, and what is refused.

use super::{daemon, found, get, ids};
use crate::statements::{end, execute};
use crate::support;

/// Jobs 1 to 9, of which each filter meets certain ones.
const JOBS: &str = "INSERT INTO legwork.job (kind, queue, payload, tags, run_at) VALUES
    ('waits', 'a', '{\"user\": {\"id\": 42}, \"items\": [\"x\"]}', '{t}', now()),
    ('waits', 'a', '{\"user\": {\"id\": \"42\"}}', null, now()),
    ('waits', 'a', '{\"user\": {\"id\": 43}}', null, now()),
    ('other', 'a', '{\"user\": null, \"ok\": true}', null, now()),
    ('other', 'b', '[7]', '{t,u}', now()),
    ('other', 'b', '{}', null, now() + interval '1 hour'),
    ('other', 'b', '{}', null, now()),
    ('other', 'b', '{}', null, now()),
    ('old', 'b', '{}', null, now());
    UPDATE legwork.job SET created_at = now() - interval '3 days' WHERE kind = 'old';
    SELECT legwork.cancel(7), legwork.discard(8)";

#[test]
fn each_filter_meets_the_jobs_that_it_says() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(&mut session, JOBS).await;
        let daemon = daemon(&db.url(), "").await;
        for (query, expected) in [
            ("", &[9, 8, 7, 6, 5, 4, 3, 2, 1][..]),
            ("?queue=a", &[4, 3, 2, 1]),
            ("?kind=waits", &[3, 2, 1]),
            ("?state=scheduled", &[6]),
            ("?state=cancelled", &[7]),
            ("?state=discarded", &[8]),
            ("?state=available&queue=b", &[9, 5]),
            ("?tag=t", &[5, 1]),
            ("?created_before=2d", &[9]),
            ("?created_after=2d&queue=b", &[8, 7, 6, 5]),
            ("?created_after=2000-01-01T00:00:00Z&kind=old", &[9]),
            ("?created_before=2000-01-01T00:00:00Z", &[]),
            // Compared as text, whatever the type.
            ("?payload.user.id=42", &[2, 1]),
            ("?payload.items.0=x", &[1]),
            ("?payload.ok=true", &[4]),
            ("?payload.0=7", &[5]),
            ("?payload.user.id=42&payload.items.0=x", &[1]),
            ("?payload.user=", &[]),
            ("?after=4", &[3, 2, 1]),
            ("?after=1", &[]),
        ] {
            let page = found(&daemon, &format!("/api/v1/jobs{query}")).await;
            assert_eq!(ids(&page), expected, "{query}");
            assert!(page["next"].is_null(), "{query}: there is no more");
        }
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn a_queue_goes_from_the_list_once_nothing_of_it_holds_any_more() {
    support::run(async |db| {
        let mut session = db.connect().await;
        // Of a daemon that served it, and of an operator who let it run again.
        let rows =
            "INSERT INTO legwork.queue (name, retention_discarded) VALUES ('former', '3 days');
            SELECT legwork.pause('resumed'), legwork.resume('resumed')";
        execute(&mut session, rows).await;
        let daemon = daemon(&db.url(), "").await;
        let listed = async || {
            let page = found(&daemon, "/api/v1/queues").await;
            let queues = page["queues"].as_array().expect("queues");
            let names = queues.iter().filter_map(|queue| queue["name"].as_str());
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(listed().await, "default");
        for (begins, ends) in [
            ("SELECT legwork.pause('former')", "SELECT legwork.resume('former')"),
            (
                "SELECT legwork.override_queue('former', 2)",
                "SELECT legwork.reset_queue('former', 'concurrency')",
            ),
            (
                "SELECT legwork.enqueue('waits', queue => 'former')",
                "SELECT legwork.cancel(id) FROM legwork.jobs WHERE queue = 'former'",
            ),
        ] {
            execute(&mut session, begins).await;
            assert_eq!(listed().await, "default former", "{begins}");
            execute(&mut session, ends).await;
            assert_eq!(listed().await, "default", "{ends}");
        }
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn queues_come_in_pages_by_name_that_lead_from_one_to_the_next() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let queues = "INSERT INTO legwork.queue (name, paused) VALUES ('d', true), ('b', true);
            INSERT INTO legwork.job (queue, kind) VALUES ('a', 'waits'), ('c', 'waits'), ('e', 'waits')";
        execute(&mut session, queues).await;
        let daemon = daemon(&db.url(), "").await;
        for (query, names, next) in [
            ("", "a b c d default e", None),
            ("?limit=2", "a b", Some("b")),
            ("?limit=2&after=b", "c d", Some("d")),
            ("?limit=2&after=d", "default e", None),
            ("?after=cc&limit=1", "d", Some("d")),
            ("?after=e", "", None),
        ] {
            let page = found(&daemon, &format!("/api/v1/queues{query}")).await;
            let queues = page["queues"].as_array().expect("queues");
            let shown: Vec<_> = queues.iter().filter_map(|queue| queue["name"].as_str()).collect();
            assert_eq!((&*shown.join(" "), page["next"].as_str()), (names, next), "{query}");
        }
        for wrong in ["limit=0", "limit=501", "limit=x", "after=a+b", "before=a"] {
            assert_eq!(
                get(&daemon, &format!("/api/v1/queues?{wrong}")).await.status,
                400,
                "{wrong}"
            );
        }
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn pages_lead_from_one_to_the_next_and_show_each_job_once() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(
            &mut session,
            "INSERT INTO legwork.job (kind) SELECT 'waits' FROM generate_series(1, 120)",
        )
        .await;
        let daemon = daemon(&db.url(), "").await;
        let (mut seen, mut after) = (Vec::new(), String::new());
        for expected in [50, 50, 20] {
            let page = found(&daemon, &format!("/api/v1/jobs{after}")).await;
            assert_eq!(ids(&page).len(), expected);
            seen.extend(ids(&page));
            after = format!("?after={}", page["next"]);
            // What comes meanwhile stands before the first page, and moves none.
            execute(&mut session, "INSERT INTO legwork.job (kind) VALUES ('waits')").await;
        }
        assert_eq!(after, "?after=null");
        assert_eq!(seen, (1..=120).rev().collect::<Vec<_>>());
        assert_eq!(ids(&found(&daemon, "/api/v1/jobs?limit=1000").await).len(), 123);
        daemon.stop().await;
        end(session).await;
    });
}

/// A filter that few jobs meet costs so much a page, and no more.
#[test]
fn a_page_ends_after_twenty_thousand_jobs_that_were_looked_at() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(
            &mut session,
            "INSERT INTO legwork.job (kind) SELECT CASE i WHEN 1 THEN 'rare' ELSE 'waits' END
             FROM generate_series(1, 20500) i",
        )
        .await;
        let daemon = daemon(&db.url(), "").await;
        for query in ["kind=rare", "kind=rare&include=payload"] {
            let page = found(&daemon, &format!("/api/v1/jobs?{query}")).await;
            assert_eq!((ids(&page), page["next"].as_i64()), (vec![], Some(501)), "{query}");
            let page = found(&daemon, &format!("/api/v1/jobs?{query}&after=501")).await;
            assert_eq!((ids(&page), page["next"].as_i64()), (vec![1], None), "{query}");
        }
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn payloads_are_shown_where_they_are_asked_for_and_end_a_page_once_they_are_much() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(
            &mut session,
            "INSERT INTO legwork.job (kind, payload)
             SELECT 'waits', jsonb_build_object('n', i, 'fill', repeat('x', 900000)) FROM generate_series(1, 6) i",
        )
        .await;
        let daemon = daemon(&db.url(), "").await;
        let hidden = found(&daemon, "/api/v1/jobs").await;
        assert_eq!(ids(&hidden), [6, 5, 4, 3, 2, 1]);
        assert!(hidden["jobs"][0].get("payload").is_none(), "{}", hidden["jobs"][0]);
        let compared = found(&daemon, "/api/v1/jobs?payload.n=3").await;
        assert_eq!(ids(&compared), [3]);
        assert!(compared["jobs"][0].get("payload").is_none(), "{compared}");

        let page = found(&daemon, "/api/v1/jobs?include=payload").await;
        assert_eq!((ids(&page), page["next"].as_i64()), (vec![6, 5, 4, 3], Some(3)));
        assert_eq!(page["jobs"][0]["payload"]["n"], 6);
        let page = found(&daemon, "/api/v1/jobs?include=payload&after=3").await;
        assert_eq!((ids(&page), page["next"].as_i64()), (vec![2, 1], None));
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn what_cannot_be_meant_is_refused_and_named() {
    support::run(async |db| {
        let daemon = daemon(&db.url(), "").await;
        for (path, problem, parameter, nearest, said) in [
            ("jobs?sate=running", "unknown-parameter", "sate", "state", "did you mean \"state\"?"),
            (
                "jobs?queu=a&limt=1",
                "unknown-parameter",
                "queu",
                "queue",
                "\"limt\" (did you mean \"limit\"?)",
            ),
            ("jobs?zzz=1", "unknown-parameter", "zzz", "", "there are queue, kind, state"),
            ("jobs?id=4711", "unknown-parameter", "id", "", "no such parameter: \"id\"; "),
            ("daemons?limit=1", "unknown-parameter", "limit", "", "this path takes none"),
            ("jobs?state=done", "invalid-parameter", "state", "", "the states are scheduled,"),
            ("jobs?limit=0", "invalid-parameter", "limit", "", "from 1 to 1000"),
            ("jobs?limit=1001", "invalid-parameter", "limit", "", "from 1 to 1000"),
            ("jobs?limit=1&limit=2", "invalid-parameter", "limit", "", "given twice"),
            ("jobs?after=-1", "invalid-parameter", "after", "", "above 0"),
            ("jobs?queue=a%20b", "invalid-parameter", "queue", "", "queue: "),
            ("jobs?created_after=yesterday", "invalid-parameter", "created_after", "", "2h30m"),
            (
                "jobs?created_before=99999999d",
                "invalid-parameter",
                "created_before",
                "",
                "ten years",
            ),
            ("audit?since=99999999d", "invalid-parameter", "since", "", "ten years"),
            ("jobs?payload=1", "invalid-parameter", "payload", "", "payload.user.id=42"),
            ("jobs?include=result", "invalid-parameter", "include", "", "payload"),
            ("jobs?tag=%00", "invalid-parameter", "query", "", "NUL"),
            ("jobs/abc", "invalid-parameter", "id", "", "above 0"),
            ("jobs/0/why", "invalid-parameter", "id", "", "above 0"),
            ("jobs/1?x=1", "unknown-parameter", "x", "", "this path takes none"),
        ] {
            let answer = get(&daemon, &format!("/api/v1/{path}")).await;
            assert_eq!((answer.status, answer.problem()), (400, problem.to_owned()), "{path}");
            let body = answer.json();
            assert_eq!(body["parameter"], parameter, "{path}");
            assert_eq!(body["nearest"].as_str().unwrap_or_default(), nearest, "{path}: {body}");
            assert!(body["detail"].as_str().expect("a sentence").contains(said), "{path}: {body}");
        }
        for (path, problem) in [
            ("jobs/4711", "no-such-job"),
            ("jobs/4711/why", "no-such-job"),
            ("queues/unheard-of", "no-such-queue"),
            ("nothing", "not-found"),
        ] {
            let answer = get(&daemon, &format!("/api/v1/{path}")).await;
            assert_eq!((answer.status, answer.problem()), (404, problem.to_owned()), "{path}");
        }
        daemon.stop().await;
    });
}
