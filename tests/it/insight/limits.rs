//! What `why()` tells of slots and rate limits, from what daemons published with their rows.

use sqlx::postgres::PgConnection;

use super::job;
use crate::statements::{end, execute, rows};
use crate::support;

/// Who serves queue `default` and kind `mail`, each `(name, seconds since its renewal, limits, load)`; what
/// stands in line before the job; and the rows that follow the gate `line`.
type Case = (&'static str, &'static [Daemon], &'static [&'static str], &'static [&'static str]);
type Daemon = (&'static str, u32, Option<&'static str>, Option<&'static str>);

const TEN: Option<&str> = Some(r#"{"queues": {"default": {"slots": 10}}, "kinds": {}}"#);
const FIVE: Option<&str> = Some(r#"{"queues": {"default": {"slots": 5}}, "kinds": {}}"#);
const KIND: Option<&str> = Some(
    r#"{"queues": {"default": {"slots": 10}}, "kinds": {"mail": {"rate": "5/s", "burst": 1}}}"#,
);
const BOTH: Option<&str> = Some(
    r#"{"queues": {"default": {"slots": 10, "rate": "9/m", "burst": 2}},
        "kinds": {"mail": {"rate": "5/s", "burst": 1}}}"#,
);
const FULL: Option<&str> = Some(
    r#"{"queues": {"default": {"in_use": 10, "waiting": 0}}, "kinds": {"mail": {"waiting": 0}}}"#,
);
const FREE: Option<&str> = Some(
    r#"{"queues": {"default": {"in_use": 4, "waiting": 0}}, "kinds": {"mail": {"waiting": 0}}}"#,
);
const WAITS: Option<&str> = Some(
    r#"{"queues": {"default": {"in_use": 0, "waiting": 38}}, "kinds": {"mail": {"waiting": 37}}}"#,
);
const FREE_SLOTS: &str = "slots|f|queue default has 6 free of 10 slots (web-1: 4 of 10, 2 s ago)";

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("nobody serves it", &[], &[], &[]),
    ("a daemon that publishes nothing", &[("old", 2, None, None)], &[],
        &["slots|f|whether queue default has free slots isn't known (old doesn't say)"]),
    ("free slots", &[("web-1", 2, TEN, FREE)], &["mail"], &[FREE_SLOTS]),
    ("all taken", &[("web-1", 2, TEN, FULL)], &[],
        &["slots|t|all 10 slots of queue default are taken on every daemon that serves it (web-1: 10 of 10, 2 s ago)"]),
    ("all taken on both", &[("web-1", 2, TEN, FULL), ("web-2", 1, FIVE, FULL)], &[],
        &["slots|t|all 15 slots of queue default are taken on every daemon that serves it (web-1: 10 of 10, 2 s ago; web-2: 10 of 5, 1 s ago)"]),
    ("taken on one of two", &[("web-1", 2, TEN, FULL), ("web-2", 1, FIVE, FREE)], &[],
        &["slots|f|queue default has 1 free of 15 slots (web-1: 10 of 10, 2 s ago; web-2: 4 of 5, 1 s ago)"]),
    ("all taken when it last said so", &[("web-1", 16, TEN, FULL)], &[],
        &["slots|f|whether queue default has free slots isn't known (web-1: 10 of 10, 16 s ago and no word since)"]),
    ("taken on one, the other doesn't say", &[("web-1", 2, TEN, FULL), ("web-2", 1, TEN, None)], &[],
        &["slots|f|whether queue default has free slots isn't known (web-1: 10 of 10, 2 s ago; web-2 doesn't say)"]),
    ("a limited kind that nobody waits for", &[("web-1", 2, KIND, FREE)], &["other"],
        &[FREE_SLOTS, "rate limit|f|kind mail starts at most 5/s (burst 1) on web-1, where 0 wait for it (2 s ago)"]),
    ("jobs wait for the kind's limit", &[("web-1", 2, KIND, WAITS)], &[],
        &["slots|f|queue default has 10 free of 10 slots (web-1: 0 of 10, 2 s ago)",
          "rate limit|t|kind mail starts at most 5/s (burst 1) on web-1, where 37 wait for it (2 s ago)"]),
    ("jobs of the kind are ahead", &[("web-1", 2, KIND, FREE)], &["mail", "other", "mail"],
        &[FREE_SLOTS,
          "rate limit|t|kind mail starts at most 5/s (burst 1) on web-1, where 0 wait for it (2 s ago); ahead of it in line: 2"]),
    ("another daemon has no limit", &[("web-1", 2, KIND, WAITS), ("web-2", 2, TEN, FREE)], &["mail"],
        &["slots|f|queue default has 16 free of 20 slots (web-1: 0 of 10, 2 s ago; web-2: 4 of 10, 2 s ago)",
          "rate limit|f|kind mail starts at most 5/s (burst 1) on web-1, where 37 wait for it (2 s ago); without a limit on web-2; ahead of it in line: 1"]),
    ("waited when it last said so", &[("web-1", 16, KIND, WAITS)], &[],
        &["slots|f|whether queue default has free slots isn't known (web-1: 0 of 10, 16 s ago and no word since)",
          "rate limit|f|kind mail starts at most 5/s (burst 1) on web-1, where 37 waited for it 16 s ago and no word since"]),
    ("limits of both, the kind's first", &[("web-1", 2, BOTH, WAITS)], &["other"],
        &["slots|f|queue default has 10 free of 10 slots (web-1: 0 of 10, 2 s ago)",
          "rate limit|t|kind mail starts at most 5/s (burst 1) on web-1, where 37 wait for it (2 s ago)",
          "rate limit|t|queue default starts at most 9/m (burst 2) on web-1, where 38 wait for it (2 s ago); ahead of it in line: 1"]),
    ("more daemons than a line names",
        &[("w1", 2, TEN, FULL), ("w2", 2, TEN, FULL), ("w3", 2, TEN, FULL), ("w4", 2, TEN, FULL),
          ("w5", 2, TEN, FULL), ("w6", 2, TEN, FULL), ("w7", 2, TEN, FULL)], &[],
        &["slots|t|all 70 slots of queue default are taken on every daemon that serves it (w1: 10 of 10, 2 s ago; \
           w2: 10 of 10, 2 s ago; w3: 10 of 10, 2 s ago; w4: 10 of 10, 2 s ago; w5: 10 of 10, 2 s ago; and 2 more)"]),
];

#[test]
fn why_tells_of_taken_slots_and_rate_limits_what_is_known_of_them() {
    support::run(async |db| {
        let mut session = db.connect().await;
        for (name, daemons, ahead, expected) in CASES {
            const WHY: &str =
                "SELECT gate, blocking, detail FROM legwork.why($id) WITH ORDINALITY AS w
                 (gate, blocking, detail, place)
                 WHERE place > (SELECT o.place FROM legwork.why($id) WITH ORDINALITY AS o
                     (gate, blocking, detail, place) WHERE o.gate = 'line')";
            let told = told(&mut session, daemons, ahead, (WHY, expected)).await;
            assert_eq!(told, *expected, "{name}");
        }
        end(session).await;
    });
}

#[test]
fn daemons_that_claim_nothing_more_block_where_no_other_claims() {
    const QUIET: Option<&str> = Some(r#"{"queues": {"default": {"in_use": 4}}, "quiet": true}"#);
    const CASES: &[(&[Daemon], &[&str])] = &[
        (&[], &[]),
        (&[("web-1", 2, TEN, FREE)], &[]),
        (
            &[("web-1", 2, TEN, QUIET), ("web-2", 1, TEN, QUIET)],
            &[
                "t|told to claim nothing more, or stopping: web-1 (2 s ago), web-2 (1 s ago); a restart claims again",
            ],
        ),
        (
            &[("web-1", 2, TEN, QUIET), ("web-2", 1, TEN, FREE)],
            &["f|told to claim nothing more, or stopping: web-1 (2 s ago); 1 more claim"],
        ),
        (
            &[("web-1", 16, TEN, QUIET)],
            &[
                "f|told to claim nothing more, or stopping: web-1 (16 s ago); a restart claims again",
            ],
        ),
    ];
    support::run(async |db| {
        let mut session = db.connect().await;
        for (daemons, expected) in CASES {
            const WHY: &str = "SELECT blocking, detail FROM legwork.why($id) WHERE gate = 'quiet'";
            let told = told(&mut session, daemons, &[], (WHY, expected)).await;
            assert_eq!(told, *expected, "{daemons:?}");
        }
        end(session).await;
    });
}

#[test]
fn what_a_daemon_that_claims_nothing_more_has_free_is_nobodys() {
    const QUIET: Option<&str> = Some(r#"{"queues": {"default": {"in_use": 4}}, "quiet": true}"#);
    const WHY: &str = "SELECT blocking, detail FROM legwork.why($id) WHERE gate = 'slots'";
    support::run(async |db| {
        let mut session = db.connect().await;
        let daemons = [("web-1", 2, TEN, QUIET), ("web-2", 2, TEN, FULL)];
        let expected = "t|all 10 slots of queue default are taken on every daemon that serves it (web-2: 10 of 10, 2 s ago)";
        assert_eq!(told(&mut session, &daemons, &[], (WHY, &[expected])).await, [expected]);
        end(session).await;
    });
}

#[test]
fn a_held_job_of_a_limited_kind_may_be_one_that_waits_inside_its_daemon() {
    support::run(async |db| {
        let mut session = db.connect().await;
        for (load, expected) in [
            (FREE, vec![]),
            (
                WAITS,
                vec![
                    "rate limit|f|kind mail starts at most 5/s (burst 1) on web-1, where 37 waited \
                     2 s ago; a job that waits there is held, so this may be one of them",
                ],
            ),
        ] {
            execute(&mut session, "BEGIN").await;
            publish(&mut session, 7, &("web-1", 2, KIND, load)).await;
            publish(&mut session, 8, &("web-2", 2, KIND, WAITS)).await;
            let id = job(&mut session, "mail").await;
            let held = format!("UPDATE legwork.job SET holder = 7, token = 1 WHERE id = {id}");
            execute(&mut session, &held).await;
            let why = format!(
                "SELECT gate, blocking, detail FROM legwork.why({id}) WHERE gate <> 'running'"
            );
            assert_eq!(rows(&mut session, &why).await, expected);
            execute(&mut session, "ROLLBACK").await;
        }
        end(session).await;
    });
}

/// How often it is asked for the right second.
const ASKED_MOST: u32 = 20;

/// What a question about the last of some jobs is answered right after these daemons spoke. Ages are told in whole
/// seconds: where one passes in between, on a machine that has much to do, it is asked anew.
async fn told(
    session: &mut PgConnection,
    daemons: &[Daemon],
    ahead: &[&str],
    (question, expected): (&str, &[&str]),
) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..ASKED_MOST {
        execute(session, "BEGIN").await;
        for kind in ahead {
            job(session, kind).await;
        }
        let id = job(session, "mail").await;
        for (id, daemon) in (1..).zip(daemons) {
            publish(session, id, daemon).await;
        }
        told = rows(session, &question.replace("$id", &id.to_string())).await;
        execute(session, "ROLLBACK").await;
        if told == expected {
            break;
        }
    }
    told
}

async fn publish(session: &mut PgConnection, id: i64, (name, seconds, limits, load): &Daemon) {
    let json = |value: Option<&str>| value.map_or("NULL".to_owned(), |json| format!("'{json}'"));
    // A lease of 30 s, so that half of one has passed after 15.
    let insert = format!(
        "INSERT INTO legwork.daemon (id, name, renewed_at, expires_at, queues, kinds, limits, load)
         VALUES ({id}, '{name}', clock_timestamp() - interval '{seconds} s',
             clock_timestamp() + interval '{left} s', '{{default}}', '{{mail,other}}', {}, {})",
        json(*limits),
        json(*load),
        left = 30 - seconds
    );
    execute(session, &insert).await;
}
