//! Commands that ask a daemon's API in the database's place (`--url`): each is run both ways against the same daemon, and
//! prints the same.

use super::{Ran, arrange, command, finished, goldens::blotted, kept, kept_token, named};
use crate::statements::{end, value};
use crate::support::{self, Daemon, TestDb};
use tempfile::TempDir;

/// Forty jobs in each of two queues that no daemon serves; 1 … 40 are the database's to change, 41 … 80 the API's. The last
/// of each is older than the others, and the sixteenth runs.
const JOBS: &str = "INSERT INTO legwork.daemon (id, expires_at) VALUES (7, now() + interval '1 h'), (8, now() + interval '1 h');
    INSERT INTO legwork.job (kind, queue, tags, payload, created_at, holder, token)
        SELECT 'k', CASE WHEN n <= 40 THEN 'mail' ELSE 'post' END, '{t}', jsonb_build_object('user', jsonb_build_object('id', n % 2)),
            now() - CASE WHEN n % 40 = 0 THEN interval '2 h' ELSE interval '0' END,
            CASE n WHEN 16 THEN 7 WHEN 56 THEN 8 END, CASE WHEN n % 40 = 16 THEN 1 ELSE 0 END
        FROM generate_series(1, 80) n";

/// More newer jobs than the API looks at for a page.
const NEWER: &str =
    "INSERT INTO legwork.job (kind, queue) SELECT 'k', 'mail' FROM generate_series(1, 20100)";

/// A daemon with tokens, and what both ways to it need.
struct Asked {
    daemon: Daemon,
    file: String,
    url: String,
    directory: TempDir,
}

impl Asked {
    async fn start(db: &TestDb) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let token = |role| kept_token(directory.path(), role);
        let configuration = format!(
            "[database]\nurl = {:?}\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = {:?}\noperator_token_file = {:?}\n\
             viewer_token_file = {:?}\n[log]\nformat = \"json\"\n[[kind]]\nname = \"report\"\nhandler = \"noop\"\n\
             [[schedule]]\nname = \"nightly\"\ncron = \"0 0 1 1 *\"\ntimezone = \"UTC\"\nkind = \"report\"\noverlap = \"allow\"\n",
            db.url(),
            token("admin"),
            token("operator"),
            token("viewer"),
        );
        let daemon = Daemon::start(&configuration).await;
        let url = format!("http://{}", daemon.admin().await);
        let file = kept(directory.path(), "legwork.toml", &configuration);
        let asked = Self { daemon, file, url, directory };
        support::eventually("the daemon has the schedule", async || {
            asked.database(&["schedule", "list", "--output", "json"]).await.json()["schedules"][0]["active"] == true
        })
        .await;
        asked
    }

    /// Of the database, by the daemon's configuration.
    async fn database(&self, words: &[impl AsRef<str>]) -> Ran {
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        finished(command("", &[&words[..], &["--config", &self.file]].concat()), None).await
    }

    /// What names the daemon and a token for this role.
    fn named(&self, [url, token_file]: [&str; 2], role: &str) -> Vec<String> {
        named([url, &self.url], token_file, (self.directory.path(), role))
    }

    /// Of the daemon that is named so.
    async fn port(&self, how: &[String], words: &[impl AsRef<str>]) -> Ran {
        let words = words.iter().map(AsRef::as_ref);
        let words: Vec<&str> = words.chain(how.iter().map(String::as_str)).collect();
        finished(command("", &words), None).await
    }

    async fn stop(self) {
        self.daemon.stop().await;
    }
}

/// What was printed, but for moments and ages.
fn told(ran: &Ran) -> (i32, String, String) {
    let json: Option<serde_json::Value> = serde_json::from_str(&ran.stdout).ok();
    let printed = match json {
        Some(mut json) => {
            let daemons = json.get_mut("daemons").and_then(|it| it.as_array_mut());
            for daemon in daemons.into_iter().flatten() {
                daemon["heartbeat_age_seconds"].take();
            }
            if let Some(age) = json.get_mut("oldest_age_seconds") {
                age.take();
            }
            serde_json::to_string_pretty(&json).expect("JSON")
        }
        None => ran.stdout.clone(),
    };
    (ran.code, blotted(&printed), blotted(ran.stderr.trim_end()))
}

const LOOKS: [&[&str]; 47] = [
    &["queue", "list", "--after", "mail"],
    &["queue", "list"],
    &["queue", "show", "mail"],
    &["queue", "show", "post"],
    &["queue", "show", "default"],
    &["queue", "show", "nowhere"],
    &["daemon", "list"],
    &["job", "list"],
    &["job", "list", "--limit", "2", "--after", "5"],
    &["job", "list", "--queue", "post", "--state", "cancelled", "--kind", "k"],
    &["job", "list", "--tag", "t", "--payload", "user.id=1", "--newer-than", "1h"],
    &["job", "list", "--older-than", "1h 30m"],
    // Each alone: beside another it may leave out nothing more.
    &["job", "list", "--queue", "mail"],
    &["job", "list", "--kind", "other"],
    &["job", "list", "--state", "cancelled"],
    &["job", "list", "--tag", "other"],
    &["job", "list", "--payload", "user.id=1"],
    &["job", "list", "--newer-than", "1h"],
    &["job", "show", "3"],
    &["job", "show", "43"],
    &["job", "show", "999"],
    &["job", "why", "3"],
    &["job", "cancel", "--queue", "mail", "--dry-run"],
    &["job", "cancel", "--queue", "other", "--dry-run"],
    &["job", "cancel", "--kind", "other", "--dry-run"],
    &["job", "cancel", "--tag", "other", "--dry-run"],
    &["job", "cancel", "--payload", "user.id=1", "--dry-run"],
    &["job", "cancel", "--newer-than", "1h", "--dry-run"],
    &["job", "cancel", "--older-than", "1h 30m", "--dry-run"],
    &["job", "retry", "--all", "--state", "cancelled", "--dry-run"],
    &["job", "retry", "--state", "available", "--dry-run"],
    &["schedule", "list"],
    &["audit", "list"],
    &["audit", "list", "--action", "pause", "--target", "queue/mail", "--since", "1h"],
    &["audit", "list", "--limit", "1"],
    &["audit", "list", "--actor", "nobody"],
    &["audit", "list", "--action", "resume"],
    &["audit", "list", "--target", "queue/other"],
    &["audit", "list", "--since", "0s"],
    &["audit", "list", "--after", "2"],
    &["operation", "list"],
    &["operation", "list", "--state", "running"],
    &["operation", "list", "--state", "failed"],
    &["operation", "list", "--limit", "1", "--after", "1"],
    &["operation", "show", "1"],
    &["operation", "show", "99"],
    &["operation", "cancel", "1"],
];

#[test]
fn what_is_looked_at_is_the_same_over_either() {
    support::run(async |db| {
        let asked = Asked::start(&db).await;
        let operator = asked.named(["--url", "--token-file"], "operator");
        arrange(&db, JOBS).await;
        let pause = ["queue", "pause", "mail", "--reason", "slow", "--for", "1h"];
        asked.database(&pause).await.done();
        for set in [
            &["mail", "--concurrency", "3", "--reason", "slow"][..],
            &["default", "--rate-limit", "5/s", "--for", "9h"],
        ] {
            asked.database(&[&["queue", "set"], set].concat()).await.done();
        }
        asked.database(&["job", "cancel", "--queue", "post", "--yes"]).await.done();
        for words in LOOKS {
            for words in [words.to_vec(), [words, &["--output", "json"]].concat()] {
                let of_database = told(&asked.database(&words).await);
                let of_port = told(&asked.port(&operator, &words).await);
                assert_eq!(of_port, of_database, "{words:?}");
            }
        }
        arrange(&db, NEWER).await;
        for words in
            [&["job", "list", "--tag", "t", "--limit", "50"][..], &["job", "list", "--tag", "t"]]
        {
            let of_database = asked.database(words).await;
            assert!(of_database.stdout.lines().count() > 50, "{}", of_database.stdout);
            assert_eq!(told(&asked.port(&operator, words).await), told(&of_database));
        }
        asked.stop().await;
    });
}

/// Words, with the queue, the job and the daemon that are changed in place of `Q`, `J…` and `D`.
fn of(words: &[&str], (queue, job, daemon): (&str, u32, &str)) -> Vec<String> {
    let word = |word: &&str| match *word {
        "Q" => queue.to_owned(),
        "D" => daemon.to_owned(),
        word => match word.strip_prefix('J').and_then(|at| at.parse::<u32>().ok()) {
            Some(at) => (at + job).to_string(),
            None => word.to_owned(),
        },
    };
    words.iter().map(word).collect()
}

/// What became of the jobs of a queue, and in how many hours each is due.
const BECAME: &str = "SELECT string_agg(concat_ws(' ', (id - 1) % 40, state, reason,
        greatest(0, ceil(extract(epoch FROM run_at - now()) / 3600))), ', ' ORDER BY id)
    FROM legwork.jobs WHERE queue = 'mail'";

/// What is noted of whom these words are of.
const NOTED: &str = "SELECT string_agg(concat_ws(' ', action, split_part(target, '/', 1), coalesce(reason, '-')), ',' ORDER BY id)
    FROM legwork.audit WHERE actor LIKE '%, legwork %'";

/// Each is sent to the database and, of another queue, job and daemon, to the port.
const CHANGES: [&[&str]; 34] = [
    &["queue", "pause", "Q", "--reason", "slow", "--for", "1h"],
    &["queue", "pause", "Q", "--reason", "slower"],
    &["queue", "drain", "Q", "--until", "2999-01-01T00:00:00Z"],
    &["queue", "drain", "Q"],
    &["queue", "resume", "Q", "--reason", "well"],
    &["queue", "resume", "Q"],
    &["queue", "set", "Q", "--concurrency", "2", "--rate-limit", "30/m burst 2"],
    &["queue", "set", "Q", "--concurrency", "2", "--for", "2h", "--reason", "slow"],
    &["queue", "set", "Q", "--concurrency", "3", "--until", "2001-01-01T00:00:00Z"],
    &["queue", "unset", "Q", "--setting", "rate_limit"],
    &["queue", "unset", "Q", "--setting", "rate_limit"],
    &["queue", "unset", "Q", "--reason", "well"],
    &["daemon", "quiet", "D", "--reason", "it is odd"],
    &["daemon", "drain", "D"],
    &["daemon", "drain", "D"],
    &["daemon", "shutdown", "D"],
    &["daemon", "quiet", "9"],
    &["job", "cancel", "J11", "J12", "--reason", "spam"],
    &["job", "cancel", "J11", "999"],
    &["job", "cancel", "999"],
    &["job", "cancel", "J15", "--yes"],
    &["job", "retry", "J11"],
    &["job", "retry", "J11"],
    &["job", "discard", "J13"],
    &["job", "discard", "J13"],
    &["job", "discard", "999"],
    &["job", "snooze", "J14", "--for", "2h 30m"],
    &["job", "snooze", "J13", "--for", "10m"],
    &["job", "retry", "J14"],
    &["job", "discard", "J16"],
    &["job", "retry", "J16"],
    &["job", "snooze", "J16", "--for", "10m"],
    &["job", "cancel", "J16"],
    &["job", "discard", "--queue", "Q", "--payload", "user.id=1", "--yes", "--reason", "spam"],
];

#[test]
fn what_is_changed_is_the_same_over_either() {
    support::run(async |db| {
        let asked = Asked::start(&db).await;
        let admin = asked.named(["--url", "--token-file"], "admin");
        arrange(&db, JOBS).await;
        // What holds then, and not only whether anything changed.
        let stands = async |queue: &str| {
            let list = asked.database(&["queue", "list", "--output", "json"]).await.json();
            let queues = list["queues"].as_array().expect("a list");
            let row = queues.iter().find(|row| row["name"] == queue).expect("it is there");
            let row = serde_json::to_string_pretty(row).expect("JSON");
            // Whether nothing of it runs any more is told a second later.
            blotted(&row).replace("post", "mail").replace("draining", "drained")
        };
        let mut session = db.connect().await;
        for words in CHANGES {
            for json in [&[][..], &["--output", "json"]] {
                let words = [words, json].concat();
                let by_database = asked.database(&of(&words, ("mail", 0, "7"))).await;
                let by_port = asked.port(&admin, &of(&words, ("post", 40, "8"))).await;
                assert_eq!(alike(&by_port), alike(&by_database), "{words:?}");
                if words[0] == "queue" {
                    assert_eq!(stands("post").await, stands("mail").await, "{words:?}");
                }
                let of_database = value(&mut session, BECAME).await;
                let of_port = value(&mut session, &BECAME.replace("mail", "post")).await;
                assert_eq!(of_port, of_database, "{words:?}");
            }
        }
        let of_database = value(&mut session, NOTED).await;
        let of_port = NOTED.replace("%, legwork %", "admin, token %");
        assert_eq!(value(&mut session, &of_port).await, of_database, "each with its reason");
        end(session).await;
        asked.stop().await;
    });
}

/// What says which jobs are meant by filters, with what it says where ids are given.
const OF_FILTERS: [(&[&str], &str); 5] = [
    (&["--dry-run"], "--dry-run counts the jobs that meet filters"),
    (&["--dry-run", "--yes"], "leave out the ids, or --dry-run"),
    (&["--all", "--dry-run", "--yes"], "leave out the ids, or --dry-run"),
    (&["--all"], "leave out --all, or the ids"),
    (&["--queue", "mail", "--dry-run"], "cannot be used with"),
];

#[test]
fn what_is_about_filters_changes_no_job_that_is_named_over_either() {
    support::run(async |db| {
        let asked = Asked::start(&db).await;
        let operator = asked.named(["--url", "--token-file"], "operator");
        // Each of the four would change it.
        arrange(&db, "INSERT INTO legwork.job (kind, run_at) VALUES ('k', now() + interval '1 d')")
            .await;
        let mut session = db.connect().await;
        let stands = "SELECT string_agg(j::text, ',') || (SELECT count(*) FROM legwork.audit) FROM legwork.job j";
        let before = value(&mut session, stands).await;
        for action in [&["cancel"][..], &["retry"], &["discard"], &["snooze", "--for", "1h"]] {
            for (besides, said) in OF_FILTERS {
                let words = [&["job"], action, &["1"], besides].concat();
                for ran in [asked.database(&words).await, asked.port(&operator, &words).await] {
                    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{words:?}");
                    assert!(ran.stderr.contains(said), "{words:?}: {}", ran.stderr);
                }
                assert_eq!(value(&mut session, stands).await, before, "{words:?}");
            }
        }
        end(session).await;
        asked.stop().await;
    });
}

#[test]
fn a_queue_that_nobody_has_to_do_with_is_warned_of_over_either() {
    support::run(async |db| {
        let asked = Asked::start(&db).await;
        let operator = asked.named(["--url", "--token-file"], "operator");
        arrange(&db, JOBS).await;
        let warning = "warning: no daemon serves queue nowhere, and no unfinished job of it was found; is the name right?\n";
        for (words, besides) in [
            ("resume", &[][..]),
            ("unset", &[]),
            ("pause", &[]),
            ("drain", &["--output", "json"]),
            ("set", &["--concurrency", "1"]),
            ("resume", &[]),
        ] {
            // One that a daemon serves, one that has jobs, and a mistake.
            for (queue, said) in [("default", ""), ("mail", ""), ("nowhere", warning)] {
                let words = [&["queue", words, queue], besides].concat();
                for ran in [asked.database(&words).await, asked.port(&operator, &words).await] {
                    let ran = ran.done();
                    assert_eq!(ran.stderr, said, "{words:?}");
                }
            }
        }
        asked.stop().await;
    });
}

#[test]
fn a_token_in_the_url_is_asked_with_as_one_in_a_file() {
    support::run(async |db| {
        let asked = Asked::start(&db).await;
        let url = |role: &str| {
            let token = format!("x:{role}-0123456789abcdef0123456789abcdef@");
            asked.url.replace("http://", &format!("http://{token}"))
        };
        let of = |role| vec!["--url".to_owned(), url(role)];
        asked.port(&of("viewer"), &["queue", "list"]).await.done();
        asked.port(&of("viewer"), &["healthcheck"]).await.done();
        asked.port(&of("admin"), &["profile", "tasks"]).await.done();
        let resume = ["queue", "resume", "mail"];
        asked.port(&of("operator"), &resume).await.done();
        let ran = asked.port(&of("viewer"), &resume).await;
        assert!(ran.code == 1 && ran.stderr.contains("the role operator"), "{}", ran.stderr);
        let ran = asked.port(&of("nobody"), &resume).await;
        assert!(ran.code == 1 && ran.stderr.contains("help: --token-file"), "{}", ran.stderr);
        let file = asked.named(["--url", "--token-file"], "admin").split_off(2);
        for words in [&["queue", "list"][..], &["profile", "tasks"]] {
            let ran = asked.port(&[of("admin"), file.clone()].concat(), words).await;
            assert!(
                ran.code == 2 && ran.stderr.contains("leave out --token-file"),
                "{}",
                ran.stderr
            );
        }
        let activate = ["profile", "heap", "--activate"];
        let told = asked.port(&of("admin"), &activate).await.done().stdout;
        let again = asked.url.replace("http://", "legwork profile heap --url http://x:TOKEN@");
        assert!(told.contains(&again) && !told.contains("0123456789"), "{told}");
        asked.stop().await;
    });
}

/// The same with one name for both queues, and no numbers, which differ by what was changed.
fn alike(ran: &Ran) -> (i32, String, String) {
    let (code, printed, error) = told(ran);
    let plain = |text: String| {
        let text = text.replace("post", "mail");
        let bare = text.chars().filter(|c| !c.is_ascii_digit());
        bare.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    (code, plain(printed), plain(error))
}

#[test]
fn a_schedules_job_is_enqueued_over_either() {
    support::run(async |db| {
        let asked = Asked::start(&db).await;
        let operator = asked.named(["--url", "--token-file"], "operator");
        let run = ["schedule", "run", "nightly", "--reason", "ticket 812"];
        let of_database = asked.database(&run).await.done();
        let of_port = asked.port(&operator, &run).await.done();
        assert_eq!(alike(&of_port), alike(&of_database));
        let mut session = db.connect().await;
        let noted =
            "SELECT string_agg(action || ' ' || target || ' ' || reason, ',') FROM legwork.audit";
        let twice = ["run schedule/nightly ticket 812"; 2].join(",");
        assert_eq!(value(&mut session, noted).await, twice);
        end(session).await;
        let missing = ["schedule", "run", "weekly"];
        for ran in [asked.database(&missing).await, asked.port(&operator, &missing).await] {
            assert_eq!(ran.code, 1, "{}", ran.stderr);
            assert!(ran.stderr.contains("has no [[schedule]] \"weekly\""), "{}", ran.stderr);
        }
        asked.stop().await;
    });
}

#[test]
fn what_the_api_does_not_take_is_told_with_what_to_do() {
    support::run(async |db| {
        let asked = Asked::start(&db).await;
        let of = |role| asked.named(["--url", "--token-file"], role);
        arrange(&db, JOBS).await;
        for action in [&["retry"][..], &["discard"], &["snooze", "--for", "1h"]] {
            let words = [&["job"][..], action, &["1", "2"]].concat();
            let ran = asked.port(&of("operator"), &words).await;
            assert_eq!(ran.code, 2, "{}", ran.stderr);
            assert!(ran.stderr.contains("over the API"), "{}", ran.stderr);
        }
        // Whoever has too small a token, none, or another's.
        for (role, words, said) in [
            ("viewer", &["queue", "resume", "mail"][..], "this needs the role operator"),
            ("operator", &["daemon", "quiet", "7"], "this needs the role admin"),
        ] {
            let ran = asked.port(&of(role), words).await;
            let told = [said, "\n  help: --token-file"];
            assert!(
                ran.code == 1 && told.iter().all(|it| ran.stderr.contains(it)),
                "{}",
                ran.stderr
            );
        }
        let ran = asked.port(&of("admin"), &["daemon", "quiet", "9"]).await;
        assert!(ran.stderr.contains("help: `legwork daemon list` tells the ids"), "{}", ran.stderr);
        let list = ["queue", "list", "--url", &asked.url];
        let ran = finished(command("", &list), None).await;
        assert!(ran.code == 1 && ran.stderr.contains("help: --token-file"), "{}", ran.stderr);
        let shown = asked.port(&of("viewer"), &["job", "show", "1"]).await.done().stdout;
        assert!(shown.contains("payload, metadata") || shown.contains("hidden"), "{shown}");
        // A client takes such a name for a place, and would ask of all queues.
        for words in
            [&["queue", "show", ".."][..], &["queue", "pause", "."], &["schedule", "run", ".."]]
        {
            let ran = asked.port(&of("admin"), words).await;
            assert!(
                ran.code == 2 && ran.stderr.contains("over the database"),
                "{words:?}: {}",
                ran.stderr
            );
        }
        asked.stop().await;
    });
}

#[tokio::test]
async fn who_names_a_port_is_told_what_goes_with_it() {
    let url = ["--url", "http://127.0.0.1:1"];
    for (words, code, said) in [
        (&["queue", "list"][..], 3, "no daemon answers on 127.0.0.1:1"),
        (&["queue", "list", "--config", "/nowhere"], 2, "help: leave out --config"),
        (&["job", "list", "--database-url", "postgres://x"], 2, "help: leave out --database-url"),
        (&["job", "list", "--token-file", "/nowhere"], 1, "couldn't read /nowhere"),
    ] {
        let ran = finished(command("", &[words, &url[..]].concat()), None).await;
        assert_eq!(ran.code, code, "{words:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{words:?}: {}", ran.stderr);
    }
    let alone = ["queue", "list", "--token-file", "/nowhere"];
    let ran = finished(command("postgres://127.0.0.1:1/x", &alone), None).await;
    assert!(ran.code == 2 && ran.stderr.contains("--url"), "{}", ran.stderr);
}
