//! A change that got no answer may have been made, and is never said not to have been; of several that end amid them, those
//! that were made are told.

use rstest::rstest;
use serde_json::json;

use super::{command, finished, urls::answered};
use crate::statements::{end, execute, value};
use crate::support::{self, Proxy};

/// Makes whoever changes the table wait until there is a row, which it has as soon as the test puts one. Within a statement
/// the server has nothing to wait by but looks.
const HELD: &str = "CREATE TABLE public.go (); GRANT SELECT ON public.go TO PUBLIC;
    CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        WHILE NOT EXISTS (SELECT FROM public.go) LOOP PERFORM pg_sleep(0.01); END LOOP; RETURN NULL; END $$;
    INSERT INTO legwork.job (kind) VALUES ('waits');
    CREATE TRIGGER hold AFTER INSERT OR UPDATE OR DELETE ON legwork.job
        FOR EACH ROW EXECUTE FUNCTION public.hold()";

#[rstest]
#[case::cancel(&["job", "cancel", "1"], "SELECT count(*) FROM legwork.jobs WHERE id = 1 AND state = 'cancelled'")]
#[case::enqueue(&["enqueue", "more"], "SELECT count(*) FROM legwork.job WHERE kind = 'more'")]
fn a_change_of_which_the_database_told_nothing_may_have_been_made(
    #[case] words: &[&str],
    #[case] made: &str,
) {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(&mut session, HELD).await;
        let proxy = Proxy::before(&db.url()).await;
        let lost = async {
            support::eventually("the change is under way", async || {
                let under_way =
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                    AND wait_event = 'PgSleep'";
                value(&mut session, under_way).await == "1"
            })
            .await;
            proxy.reset();
            execute(&mut session, "INSERT INTO public.go DEFAULT VALUES").await;
        };
        let (ran, ()) = tokio::join!(finished(command(proxy.url(), words), None), lost);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(ran.stderr.contains("may have been made, though nobody said so"), "{}", ran.stderr);
        assert!(!ran.stderr.contains("no job was changed"), "{}", ran.stderr);
        support::eventually("it was made", async || value(&mut session, made).await == "1").await;
        end(session).await;
    });
}

#[tokio::test]
async fn several_changes_of_which_one_fails_tell_what_was_done_before() {
    let done = json!({ "id": 1, "result": "cancelled" });
    let done = format!("HTTP/1.1 200 OK\r\n\r\n{done}");
    let away = json!({ "type": "urn:legwork:problem:database-unavailable", "detail": "the database doesn't answer" });
    let away = format!("HTTP/1.1 503 Service Unavailable\r\n\r\n{away}");
    let words = ["job", "cancel", "1", "2", "3"];
    let ran = answered(&words, &[&done, &away]).await;
    // Not 75: to repeat it as it is would be another command by now.
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let told = "it ended at job 2: 1 of 3 were done before, 1 weren't asked for";
    assert!(ran.stderr.contains(told), "{}", ran.stderr);
    assert!(ran.stdout.contains("cancelled"), "{}", ran.stdout);
    let ran = answered(&[&words[..], &["--output", "json"]].concat(), &[&done, &away]).await;
    assert_eq!(ran.json(), json!([{ "id": 1, "result": "cancelled" }]));
}

#[tokio::test]
async fn a_server_between_that_tells_of_an_error_says_nothing_of_the_change() {
    for answer in ["HTTP/1.1 502 Bad Gateway\r\n\r\n<html>", "HTTP/1.1 504 Gateway Timeout\r\n\r\n"]
    {
        let ran = answered(&["job", "cancel", "1"], &[answer]).await;
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(ran.stderr.contains("may have been made, though nobody said so"), "{}", ran.stderr);
        assert!(!ran.stderr.contains("no job was changed"), "{}", ran.stderr);
    }
}
