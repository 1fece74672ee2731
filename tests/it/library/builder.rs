//! A daemon that a program builds: its handlers get typed payloads, report and are told to stop, and what
//! is wrong with it is said at once.

use std::time::Duration;

use legwork::{
    Backoff, CancellationToken, Context, Daemon, Ended, HandlerError, Job, KindOptions,
    QueueOptions, TypedHandler, config::Settings, enqueue, operations,
};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnection;
use tokio::sync::mpsc;

use crate::statements::{end, value};
use crate::support::{self, TestDb};

#[derive(Serialize, Deserialize)]
struct Order {
    order: i64,
}

/// Hands its context out and waits until it is told to stop.
struct Wait {
    begun: mpsc::Sender<Context>,
}

impl TypedHandler for Wait {
    type Payload = Order;
    type Result = ();

    async fn handle(&self, order: Order, context: &Context) -> Result<(), HandlerError> {
        context.report_progress(format!("order {} waits", order.order));
        self.begun.send(context.clone()).await?;
        context.cancellation().cancelled().await;
        Err(HandlerError::Cancel)
    }
}

async fn twice(number: i64, context: Context) -> Result<i64, HandlerError> {
    context.report_progress("doubling");
    assert!(context.lease_token() > 0 && !context.is_overdue());
    number.checked_mul(2).ok_or_else(|| HandlerError::discard("too large"))
}

/// Runs a daemon beside the rest of a test and ends it by its token.
pub(crate) async fn beside(daemon: Daemon, rest: impl Future<Output = ()>) -> Ended {
    let stop = CancellationToken::new();
    let rest = async {
        rest.await;
        stop.cancel();
    };
    let running = async { tokio::join!(daemon.run_until(stop.clone()), rest).0 };
    // The rest may take as long as it likes: what it waits for has bounds of its own. The sleep is the bound of the end, and waits
    // for nothing: the end itself is what is waited for, beside it.
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(2 * support::PATIENCE).await;
    };
    tokio::select! {
        ended = running => ended.expect("the daemon starts"),
        () = overdue => panic!("it ends once its token is cancelled"),
    }
}

pub(crate) async fn ends(session: &mut PgConnection, id: i64, how: &str) {
    let state =
        format!("SELECT concat_ws(' ', state, reason, result) FROM legwork.jobs WHERE id = {id}");
    support::eventually(how, async || value(session, &state).await == how).await;
}

pub(crate) async fn enqueued(session: &mut PgConnection, job: Job) -> i64 {
    enqueue(session, &job).await.expect("enqueued").id().expect("it is new").0
}

fn builder(db: &TestDb) -> legwork::DaemonBuilder {
    support::pooled::builder(&db.url())
}

#[test]
fn a_built_daemon_runs_types_functions_and_closures_until_its_token_is_cancelled() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let greeting = "hello".to_owned();
        let greet = move |name: String, context: Context| {
            let greeting = greeting.clone();
            async move { Ok::<_, HandlerError>(format!("{greeting} {name} {}", context.attempt())) }
        };
        let daemon = builder(&db)
            .name("library")
            .queue("mail", QueueOptions::concurrency(4))
            .queue("default", QueueOptions::default())
            .handler("twice", twice)
            .handler("greet", greet)
            .build()
            .expect("nothing is wrong");
        let ended = beside(daemon, async {
            let doubled = enqueued(&mut session, Job::new("twice").payload(&21)).await;
            let large = enqueued(&mut session, Job::new("twice").payload(&i64::MAX)).await;
            let wrong = enqueued(&mut session, Job::new("twice").payload("words")).await;
            let greeted =
                enqueued(&mut session, Job::new("greet").payload("Ada").queue("mail")).await;
            ends(&mut session, doubled, "completed 42").await;
            ends(&mut session, large, "discarded permanent_error").await;
            ends(&mut session, wrong, "discarded invalid_payload").await;
            ends(&mut session, greeted, "completed \"hello Ada 1\"").await;
        })
        .await;
        assert!(ended.is_clean(), "{ended:?}");
        end(session).await;
    });
}

#[test]
fn a_running_job_reports_progress_knows_its_lease_and_hears_that_it_is_cancelled() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let (begun, mut begins) = mpsc::channel(1);
        let daemon = builder(&db).handler("wait", Wait { begun }).build().expect("it is right");
        let ended = beside(daemon, async {
            let waiting =
                enqueued(&mut session, Job::new("wait").payload(&Order { order: 7 })).await;
            let context = begins.recv().await.expect("it has begun");
            assert_eq!(context.progress().borrow().as_deref(), Some("order 7 waits"));
            let token = format!("SELECT token FROM legwork.job WHERE id = {waiting}");
            assert_eq!(value(&mut session, &token).await, context.lease_token().to_string());
            assert!(context.deadline() > tokio::time::Instant::now(), "it has its kind's time");
            assert!(!context.cancellation().is_cancelled());
            operations::cancel_jobs(
                &mut session,
                &[legwork::JobId(waiting)],
                &operations::Asker::default(),
            )
            .await
            .expect("asked");
            ends(&mut session, waiting, "cancelled cancel_requested").await;
            assert!(context.cancellation().is_cancelled());
        })
        .await;
        assert!(ended.is_clean(), "{ended:?}");
        end(session).await;
    });
}

#[test]
fn a_kind_has_the_policy_that_the_builder_gives_it() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let fails = async |(): (), _: Context| Err::<(), _>(HandlerError::retry("not today"));
        let backoff = Backoff::new(Duration::from_millis(1), 1.0, Duration::from_millis(1), 0.0);
        let policy = KindOptions::new().max_attempts(2).backoff(backoff.expect("a backoff"));
        let daemon = builder(&db).handler("fails", fails).kind("fails", policy).build();
        let ended = beside(daemon.expect("nothing is wrong"), async {
            let id = enqueued(&mut session, Job::new("fails").payload(&())).await;
            ends(&mut session, id, "discarded attempts_exhausted").await;
            let attempts =
                format!("SELECT count(*) FROM legwork.failed_attempt WHERE job_id = {id}");
            assert_eq!(value(&mut session, &attempts).await, "2");
        })
        .await;
        assert!(ended.is_clean(), "{ended:?}");
        end(session).await;
    });
}

#[test]
fn everything_that_is_wrong_with_a_daemon_is_said_at_once() {
    let settings = Settings {
        kinds: vec![
            legwork::config::KindSettings::new(
                legwork::KindName::new("built_in").expect("a name"),
                legwork::config::HandlerSettings::Noop,
            ),
            legwork::config::KindSettings::new(
                legwork::KindName::new("lonely").expect("a name"),
                legwork::config::HandlerSettings::Rust,
            ),
        ],
        ..Settings::default()
    };
    let wrong = Daemon::builder()
        .settings(settings)
        .name("")
        .shutdown_grace(Duration::from_hours(48))
        .queue("no good", QueueOptions::default())
        .queue("mail", QueueOptions::concurrency(0).rate_limit("fast"))
        .queue("mail", QueueOptions::default())
        .handler("a b", twice)
        .handler("twice", twice)
        .handler("twice", twice)
        .handler("built_in", twice)
        .kind("twice", KindOptions::new().max_attempts(0).timeout(Duration::ZERO))
        .kind("thrice", KindOptions::new())
        .build()
        .err()
        .expect("it is refused");
    let said: Vec<String> = wrong.iter().map(|mistake| mistake.message.clone()).collect();
    let expected = [
        "no database is named: postgres://user@host/database",
        "a daemon's name has 1 to 128 bytes, this one 0",
        "grace: 2d isn't 0s to 1d",
        "queue \"no good\": ' ' can't stand in a name: letters, digits and _ . : - can",
        "queue \"mail\": concurrency: 0 isn't 1 to 10000",
        "queue \"mail\": rate_limit: \"fast\" isn't a rate limit: write `100/s`, `30/m` or `5/h`, with \
         `burst N` if needed",
        "queue \"mail\": it is named twice",
        "kind \"a b\": ' ' can't stand in a name: letters, digits and _ . : - can",
        "kind \"twice\" has two handlers: leave one out",
        "kind \"built_in\" has a handler by its settings: only one can be",
        "kind \"twice\": max_attempts: 0 isn't 1 to 1000",
        "kind \"twice\": timeout: 0s isn't 1ms to 30d",
        "kind \"thrice\": it has no handler",
        "kind \"lonely\" has no handler: give it one",
    ];
    assert_eq!(said, expected);
    let text = wrong.to_string();
    assert!(text.contains("--> Daemon::builder().queue"), "each says where: {text}");
}

/// What is wrong with a daemon of these settings, mistake by mistake, with its place.
fn refused(builder: legwork::DaemonBuilder) -> Vec<String> {
    let built = builder.database_url("postgres:///app?user=app").build();
    let wrong = built.err().map(|wrong| wrong.iter().map(ToString::to_string).collect());
    wrong.unwrap_or_default()
}

#[test]
fn a_value_of_settings_is_held_to_the_bounds_of_a_file() {
    let right = Settings::default();
    assert_eq!(refused(Daemon::builder().settings(right.clone())), [""; 0]);

    let mut wrong = right.clone();
    wrong.daemon.lease_ttl = 2 * wrong.daemon.heartbeat_interval;
    wrong.claim.batch = 0;
    wrong.queues[0].concurrency = 0;
    let kind = |name, handler| {
        legwork::config::KindSettings::new(legwork::KindName::new(name).expect("a name"), handler)
    };
    let no_program = legwork::config::CommandSettings::default();
    wrong.kinds.push(kind("twin", legwork::config::HandlerSettings::Noop));
    wrong.kinds.push(kind("twin", legwork::config::HandlerSettings::Sleep));
    wrong.kinds.push(kind("empty", legwork::config::HandlerSettings::Command(no_program)));
    let expected = [
        "claim.batch: 0 isn't 1 to 1000",
        "[[queue]] \"default\".concurrency: 0 isn't 1 to 10000",
        "[[kind]] \"twin\" is listed twice",
        "[[kind]] \"empty\".command: it is empty: name a program",
    ];
    let expected = expected.map(|why| format!("error: {why}\n  --> Daemon::builder().settings"));
    assert_eq!(refused(Daemon::builder().settings(wrong.clone())), expected);
    wrong.claim.batch = 1;
    let said = refused(Daemon::builder().settings(wrong)).join("\n");
    let lease =
        "daemon.lease_ttl: a lease lasts at least 3 heartbeats, and lease_ttl = 10s is less";
    assert!(said.contains(lease), "values are compared once each is right: {said}");
}

#[test]
fn a_grace_that_its_stop_timeout_cuts_short_is_refused_wherever_either_was_said() {
    let mut settings = Settings::default();
    settings.shutdown.stop_timeout = Some(Duration::from_secs(31));
    let of = |settings: &Settings| Daemon::builder().settings(settings.clone());
    assert_eq!(refused(of(&settings)), [""; 0], "25 s + 3 s + 2 s + 1 s fit");
    let early = "shutdown.stop_timeout: the daemon would be killed after 31s";
    let in_code = refused(of(&settings).shutdown_grace(Duration::from_mins(1)));
    assert!(in_code.len() == 1 && in_code[0].contains(early), "{in_code:?}");
    assert!(in_code[0].ends_with("Daemon::builder().shutdown_grace"), "{in_code:?}");
    settings.shutdown.grace = Duration::from_mins(1);
    let in_settings = refused(of(&settings));
    assert!(in_settings.len() == 1 && in_settings[0].contains(early), "{in_settings:?}");
    assert!(in_settings[0].ends_with("Daemon::builder().settings"), "{in_settings:?}");
    let mended = of(&settings).shutdown_grace(Duration::from_secs(20));
    assert_eq!(refused(mended), [""; 0], "what is said in code wins");
}

#[test]
fn a_url_that_cannot_be_right_is_refused_without_its_password() {
    let built = Daemon::builder()
        .database_url("postgres://app:geheim@db.example.org/app?sslmode=disable")
        .handler("twice", twice)
        .build();
    let text = built.err().expect("it is refused").to_string();
    assert!(text.contains("in plain text") && !text.contains("geheim"), "{text}");
}

#[test]
fn a_file_names_kinds_whose_handlers_the_program_brings() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let text = "[database]\nurl = \"postgres:///app?user=me\"\n\n[[kind]]\nname = \"twice\"\n\
                handler = \"rust\"\nmax_attempts = 0\n";
    std::fs::write(file.path(), text).expect("it is written");
    // Not the process's variables: cargo's tests have one that looks like a key.
    let nothing = || legwork::config::Environment::of::<&str, &str>([]);
    let built = || Daemon::builder().config_file(file.path()).environment(nothing());
    let said = built().handler("twice", twice).build().err().expect("it is refused").to_string();
    assert!(said.contains("max_attempts") && said.contains(":7"), "{said}");
    assert_eq!(said.matches("error:").count(), 1, "{said}");

    std::fs::write(file.path(), text.replace("= 0", "= 3")).expect("it is written");
    let right = built().handler("twice", twice).build();
    assert!(right.is_ok(), "{}", right.err().expect("refused"));
    let lonely = built().build().err().expect("it is refused").to_string();
    assert!(lonely.contains("kind \"twice\" has no handler"), "{lonely}");
}
