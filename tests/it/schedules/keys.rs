//! The keys of a schedule, from the file to the row.

use super::{file, fires, schedule};
use crate::statements::{end, value};
use crate::support::{self, Daemon};

#[test]
fn a_schedules_job_has_the_kind_queue_payload_and_priority_of_its_file_and_is_due_within_its_jitter()
 {
    support::run(async |db| {
        let mut session = db.connect().await;
        let table = "kind = 'other'\nqueue = 'own'\npriority = -2\njitter = '1h'\n\
            payload = { a = [1, 2.5, true, 'x'], b = { c = 1 } }";
        let text = "payload = '{\"a\": null}'";
        let schedules =
            [schedule("table", "* * * * * *", table), schedule("text", "* * * * * *", text)];
        let daemon = Daemon::start(&file(&db, &schedules.concat())).await;
        fires(&mut session, "table", 1).await;
        fires(&mut session, "text", 1).await;
        daemon.stop().await;
        let row = "SELECT kind, queue, priority, payload, run_at - created_at BETWEEN '0' AND '1 h',
                (metadata ->> 'schedule_instant')::timestamptz BETWEEN created_at - interval '1 min' AND created_at
            FROM legwork.jobs WHERE metadata ->> 'schedule' = 'table' ORDER BY id LIMIT 1";
        assert_eq!(
            value(&mut session, row).await,
            r#"other|own|-2|{"a": [1, 2.5, true, "x"], "b": {"c": 1}}|t|t"#
        );
        let spread = "SELECT bool_and(run_at > created_at) FROM legwork.jobs
            WHERE metadata ->> 'schedule' = 'table'";
        assert_eq!(value(&mut session, spread).await, "t", "an hour's jitter isn't nothing");
        let other = "SELECT kind, queue, priority, payload, run_at = created_at FROM legwork.jobs
            WHERE metadata ->> 'schedule' = 'text' ORDER BY id LIMIT 1";
        assert_eq!(value(&mut session, other).await, r#"quick|default|0|{"a": null}|t"#);
        end(session).await;
    });
}
