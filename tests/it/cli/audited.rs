//! What people changed, as the shell lists it.

use super::{arrange, legwork};
use crate::support::{self, TestDb};
use serde_json::Value;

/// Two pauses of long ago, a resume by Ann, and one by Bob.
const NOTES: &str = "SELECT legwork.pause('a'), legwork.pause('b');
    BEGIN; SELECT legwork.asked_by('ann', 'over', 'req-1'), legwork.resume('a'); COMMIT;
    BEGIN; SELECT legwork.asked_by('bob', NULL, NULL), legwork.resume('b'); COMMIT;
    UPDATE legwork.audit SET at = now() - interval '2 h' WHERE id <= 2";

async fn listed(db: &TestDb, filter: &[&str]) -> Value {
    let arguments = [&["audit", "list", "--output", "json"], filter].concat();
    legwork(db, &arguments).await.done().json()
}

fn ids(page: &Value) -> Vec<i64> {
    let notes = page["notes"].as_array().expect("a page has notes");
    notes.iter().map(|note| note["id"].as_i64().expect("a number")).collect()
}

#[test]
fn notes_are_listed_by_what_is_asked_of_them() {
    support::run(async |db| {
        arrange(&db, NOTES).await;
        let moment = "2020-01-31T08:00:00Z";
        for (filter, expected) in [
            (&[][..], vec![4, 3, 2, 1]),
            (&["--action", "pause"], vec![2, 1]),
            (&["--target", "queue/a"], vec![3, 1]),
            (&["--actor", "ann"], vec![3]),
            (&["--since", "1h"], vec![4, 3]),
            (&["--since", moment], vec![4, 3, 2, 1]),
            (&["--limit", "2"], vec![4, 3]),
            (&["--after", "3"], vec![2, 1]),
            (&["--action", "resume", "--target", "queue/b"], vec![4]),
            (&["--actor", "nobody"], vec![]),
        ] {
            assert_eq!(ids(&listed(&db, filter).await), expected, "{filter:?}");
        }
        let page = listed(&db, &["--limit", "3"]).await;
        assert_eq!(page["next"], 2);
        let ann = &page["notes"][1];
        let said = ["actor", "action", "target", "reason", "request_id"].map(|key| &ann[key]);
        assert_eq!(said, ["ann", "resume", "queue/a", "over", "req-1"]);
        assert!(ann["at"].is_string() && ann["login"].is_string() && ann["detail"].is_object());
    });
}

#[test]
fn pages_show_every_note_once_and_the_text_names_the_next() {
    support::run(async |db| {
        arrange(&db, NOTES).await;
        let (mut seen, mut after) = (Vec::new(), "5".to_owned());
        for _ in 0..9 {
            let page = listed(&db, &["--limit", "1", "--after", &after]).await;
            seen.extend(ids(&page));
            match page["next"].as_i64() {
                Some(next) => after = next.to_string(),
                None => break,
            }
        }
        assert_eq!(seen, [4, 3, 2, 1]);
        let text = legwork(&db, &["audit", "list", "--limit", "2"]).await.done();
        assert!(text.stderr.contains("add --after 3"), "{}", text.stderr);
        for (wrong, said) in [
            (&["--since", "soon"][..], "2h30m"),
            (&["--after", "0"], "0 is not in"),
            (&["--limit", "1001"], "1001 is not in"),
        ] {
            let ran = legwork(&db, &[&["audit", "list"], wrong].concat()).await;
            assert_eq!(ran.code, 2, "{wrong:?}: {}{}", ran.stdout, ran.stderr);
            assert!(ran.stderr.contains(said), "{wrong:?}: {}", ran.stderr);
        }
    });
}
