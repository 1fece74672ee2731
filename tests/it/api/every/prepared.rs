//! A daemon, and a database in which each operation's example has something to do.

use sqlx::PgConnection;

use crate::process::Configuration;
use crate::statements::{execute, value};
use crate::support::{
    self, Daemon, TestDb,
    receiver::{Receiver, answer},
};

/// The base of URLs to call back, which the daemon is told.
const BASE: &str = "https://callbacks.example.org";

/// Whatever was there goes.
const NOTHING: &str = "DELETE FROM legwork.job; DELETE FROM legwork.finished; DELETE FROM legwork.failed_attempt;
    DELETE FROM legwork.queue; DELETE FROM legwork.override; DELETE FROM legwork.audit; DELETE FROM legwork.operation;
    DELETE FROM legwork.daemon WHERE name LIKE 'beside-%'; DELETE FROM legwork.schedule WHERE name LIKE 'beside-%';
    UPDATE legwork.schedule SET last_job = NULL";

/// `$n` rows of each kind of thing, those of the document's examples among them.
const ROWS: &str = "SELECT legwork.make_partitions(current_date, current_date);
    INSERT INTO legwork.finished (id, token, run_at, created_at, drop_after, outcome, priority, attempt, queue, kind, payload, tags, reason)
    SELECT i, 1, now(), now(), (now() AT TIME ZONE 'UTC')::date + 7, 'discarded', 0, 1, 'default', 'send_email',
        '{\"to\": \"ann@example.com\"}', '{nightly}', 'discarded_by_operator'
    FROM generate_series(1, $n) i;
    ALTER SEQUENCE legwork.job_id_seq RESTART 4711;
    INSERT INTO legwork.job (kind) SELECT 'send_email' FROM generate_series(1, $n);
    INSERT INTO legwork.job (kind, queue) SELECT 'send_email', 'q' || i FROM generate_series(1, $n) i;
    INSERT INTO legwork.failed_attempt (job_id, token, drop_after, attempt, cause)
    SELECT 4711, i, current_date, 1, 'failed' FROM generate_series(1, $n) i;
    INSERT INTO legwork.daemon (id, name, expires_at)
    SELECT 4611686018427387904 + i, 'beside-' || i, clock_timestamp() + interval '1 day' FROM generate_series(0, $n - 1) i;
    INSERT INTO legwork.schedule (name, rule, done_until) SELECT 'beside-' || i, '', now() FROM generate_series(1, $n) i;
    ALTER SEQUENCE legwork.operation_id_seq RESTART 12;
    INSERT INTO legwork.operation (action, filter, state, below, holder, note)
    SELECT 'cancel', '{\"kind\": \"none\"}', CASE WHEN i = 1 THEN 'running' ELSE 'done' END, 4712, 5, 1 FROM generate_series(1, $n) i;
    INSERT INTO legwork.audit (actor, action, target) SELECT 'ann', 'discard', 'job/4711' FROM generate_series(1, $n)";

pub(super) struct Prepared {
    pub(super) daemon: Daemon,
    /// Beside the daemon.
    pub(super) session: PgConnection,
    /// Takes jobs, to be called back.
    receiver: Receiver,
    /// Jobs that came to it before the last arrangement.
    called: usize,
}

impl Prepared {
    /// By this address of the database.
    pub(super) async fn new(db: &TestDb, url: &str) -> Self {
        let receiver = Receiver::answering(|_| answer("202 Accepted", &[], "")).await;
        let hook = format!(
            "[[kind]]\nname = 'hook'\nhandler = 'http'\nurl = '{}'\nasync = true\nallow_hosts = ['127.0.0.1']\n",
            receiver.url("/")
        );
        let schedule = "[[schedule]]\nname = 'nightly'\ncron = '0 0 1 1 *'\nkind = 'waits'\n";
        // No decision about the default queue is in the way of what is called back.
        let queues = "[[queue]]\nname = 'default'\n[[queue]]\nname = 'hooks'\n";
        let beside = [super::super::SLEEP, &hook, schedule, queues].map(str::to_owned);
        let text = Configuration::of(url, &beside).text();
        let calls = format!("[admin]\ncallback_url = '{BASE}'\n");
        let daemon = Daemon::start(&text.replace("[admin]\n", &calls)).await;
        let ready = async || daemon.get("/health/ready").await.0 == 200;
        support::eventually("the daemon is ready", ready).await;
        Self { daemon, session: db.connect().await, receiver, called: 0 }
    }

    /// Starts from so many rows, as this path needs them.
    pub(super) async fn arrange(&mut self, path: &str, rows: usize) {
        let more = match path {
            path if path.ends_with("/retry") => "SELECT legwork.discard(4711)",
            path if path.starts_with("/api/v1/callbacks/") => {
                "INSERT INTO legwork.job (kind, queue) VALUES ('hook', 'hooks')"
            }
            _ => "",
        };
        // What was called back is written down by then.
        let held = "SELECT count(*) FROM legwork.job WHERE holder IS NOT NULL";
        let at_rest = async || value(&mut self.session, held).await == "0";
        support::eventually("no job is held", at_rest).await;
        self.called = self.receiver.requests().len();
        let rows = ROWS.replace("$n", &rows.to_string());
        // Each by itself: the daemon works meanwhile, and waits for none of them long.
        for statement in format!("{NOTHING};{rows};{more}").split(';') {
            execute(&mut self.session, statement).await;
        }
    }

    /// Where something else than the document's example has to be asked: the URL to call back, which comes with a job,
    /// and a bundle of one second.
    pub(super) async fn path(&self, path: &str) -> Option<String> {
        if path == "/debug/bundle" {
            return Some("/debug/bundle?seconds=1".into());
        }
        if !path.starts_with("/api/v1/callbacks/") {
            return None;
        }
        let came = async || self.receiver.requests().len() > self.called;
        support::eventually("the receiver has the job", came).await;
        let requests = self.receiver.requests();
        let url = requests.last().expect("a request").header("Legwork-Callback-URL");
        Some(url.strip_prefix(BASE).expect("it is below the base").to_owned())
    }
}
