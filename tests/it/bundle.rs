//! The support bundle of a running daemon: what is in it, what never is, and what is left of it when something is away.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Read as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use flate2::read::GzDecoder;
use regex::Regex;
use serde_json::Value;
use tokio::process::Command;

use crate::plans::for_any_arguments;
use crate::profiling::{ask, configuration, second};
use crate::statements::{end, execute, value};
use crate::support::judge::go_pprof;
use crate::support::{self, Answer, Daemon, Proxy, TestDb};

const ADMIN: &str = "s3cr3t-t0ken-of-an-admin-0123456789abcdef";
const OPERATOR: &str = "s3cr3t-t0ken-of-an-operator-0123456789ab";
const PASSWORD: &str = "s3cr3t-of-the-address";
/// Stands in every payload and nowhere else.
const PAYLOAD: &str = "s3cr3t-of-a-payload";

async fn bundle(at: SocketAddr, query: &str, token: &str) -> Answer {
    let head = format!(
        "GET /debug/bundle?{query} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    support::http::ask(at, &head).await
}

/// What is in a bundle, by the system's own `tar`: each file without the folder that all are in.
struct Unpacked {
    directory: tempfile::TempDir,
    folder: String,
    files: BTreeMap<String, Vec<u8>>,
}

impl Unpacked {
    async fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let directory = tempfile::tempdir().expect("a directory");
        let archive = directory.path().join("bundle.tar.gz");
        std::fs::write(&archive, &answer.body).expect("written");
        let unpacked = directory.path().join("unpacked");
        std::fs::create_dir(&unpacked).expect("made");
        let mut tar = Command::new("tar");
        tar.arg("-xzf").arg(&archive).arg("-C").arg(&unpacked);
        let ran = tar.output().await.expect("tar is everywhere");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let mut folders = std::fs::read_dir(&unpacked).expect("it is there");
        let folder = folders.next().expect("a folder").expect("readable").file_name();
        assert!(folders.next().is_none(), "one folder");
        let folder = folder.into_string().expect("text");
        let mut files = BTreeMap::new();
        read(&unpacked.join(&folder), "", &mut files);
        Self { directory, folder, files }
    }

    fn text(&self, file: &str) -> String {
        let content = self.files.get(file).unwrap_or_else(|| panic!("{file} isn't there"));
        String::from_utf8(content.clone()).expect("text")
    }

    fn json(&self, file: &str) -> Value {
        serde_json::from_str(&self.text(file)).unwrap_or_else(|why| panic!("{file}: {why}"))
    }

    /// What it says is missing, with the reason.
    fn missing(&self) -> BTreeMap<String, String> {
        let manifest = self.json("manifest.json");
        let parts = manifest["parts"].as_array().expect("parts").iter();
        let missing = parts.filter(|part| part["outcome"] != "taken");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        missing.map(|part| (text(&part["file"]), text(&part["why"]))).collect()
    }

    /// The plan of each statement, without what it was thought to cost.
    fn plans(&self) -> BTreeMap<String, String> {
        let costs = Regex::new(r"  \(cost=[^)]*\)").expect("it can be read");
        let text = self.text("database/plans.txt");
        let plans = text.split("\n\n").filter_map(|plan| plan.trim().strip_prefix("-- "));
        let plan = |plan: &str| {
            let (name, plan) = plan.split_once('\n').expect("a name and its plan");
            (name.to_owned(), costs.replace_all(plan, "").into_owned())
        };
        plans.map(plan).collect()
    }

    /// Files in which this stands, packed or not.
    fn found(&self, secret: &str) -> Vec<&String> {
        let has =
            |content: &[u8]| content.windows(secret.len()).any(|bytes| bytes == secret.as_bytes());
        let files = self.files.iter().filter(|(_, content)| {
            has(content) || content.starts_with(&[0x1f, 0x8b]) && has(&gunzipped(content))
        });
        files.map(|(file, _)| file).collect()
    }
}

fn read(directory: &Path, before: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(directory).expect("readable") {
        let path = entry.expect("readable").path();
        let name = format!("{before}{}", path.file_name().expect("a name").display());
        if path.is_dir() {
            read(&path, &format!("{name}/"), files);
        } else {
            files.insert(name, std::fs::read(path).expect("readable"));
        }
    }
}

fn gunzipped(packed: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut content).expect("gzip");
    content
}

/// A daemon with tokens, and with a password in its address where the server asks for none.
async fn guarded(db: &TestDb, tokens: &Path) -> Daemon {
    let mut keys = String::new();
    for (key, token) in [("token_file", ADMIN), ("operator_token_file", OPERATOR)] {
        let file = tokens.join(key);
        std::fs::write(&file, token).expect("written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("ours");
        writeln!(keys, "{key} = \"{}\"", file.display()).expect("a String grows");
    }
    let url = db.url();
    let secret = url.replace("&user=", &format!("&password={PASSWORD}&user="));
    let text = configuration(db).replace("[admin]\n", &format!("[admin]\n{keys}"));
    let daemon = Daemon::start(&text.replace(&url, &secret)).await;
    daemon.logged("daemon.started").await;
    daemon
}

/// Everything that there is of a daemon that is well.
const ALL: [&str; 16] = [
    "README.txt",
    "config.json",
    "cpu.pb.gz",
    "database/activity.json",
    "database/daemons.json",
    "database/plans.txt",
    "database/queues.json",
    "database/settings.json",
    "database/tables.json",
    "heap.pb.gz",
    "logs.jsonl",
    "manifest.json",
    "metrics.txt",
    "tasks.json",
    "tasks.txt",
    "trace.json.gz",
];

#[test]
fn a_bundle_has_each_part_and_neither_a_secret_nor_a_payload() {
    support::run(async |db| {
        let tokens = tempfile::tempdir().expect("a directory");
        let daemon = guarded(&db, tokens.path()).await;
        let at = daemon.admin().await;
        for (token, status) in [("", 401), (OPERATOR, 403)] {
            assert_eq!(bundle(at, "seconds=1", token).await.status, status, "{token}");
        }
        let activate = format!(
            "POST /debug/pprof/heap/activate HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN}\r\n\r\n"
        );
        assert_eq!(support::http::ask(at, &activate).await.status, 200);

        // Jobs with a payload: one that was run, and one that somebody waits to change, who has it in his statement.
        let (mut holder, mut waiter) = (db.connect().await, db.connect().await);
        let insert = format!(
            "INSERT INTO legwork.job (kind, payload) VALUES ('idle', '{{\"x\": \"{PAYLOAD}\"}}'), ('held', '{{\"x\": \"{PAYLOAD}\"}}')"
        );
        execute(&mut holder, &insert).await;
        support::eventually("the job is done", async || {
            value(&mut holder, "SELECT count(*) FROM legwork.finished").await == "1"
        })
        .await;
        execute(&mut holder, "BEGIN; SELECT FROM legwork.job WHERE kind = 'held' FOR UPDATE").await;
        // It isn't ours for its name.
        execute(&mut waiter, "SET application_name = 'legwork producer'").await;
        let change = format!("UPDATE legwork.job SET tags = '{{{PAYLOAD}}}' WHERE kind = 'held'");
        let asking = async {
            let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
            support::eventually("somebody waits", async || value(&mut holder, waits).await == "1")
                .await;
            bundle(at, "seconds=1", ADMIN).await
        };
        let answer = tokio::select! {
            () = execute(&mut waiter, &change) => panic!("nobody let it"),
            answer = asking => answer,
        };
        drop(waiter);
        end(holder).await;

        assert_eq!(answer.header("content-type"), Some("application/gzip"));
        let unpacked = Unpacked::of(&answer).await;
        let name = format!("attachment; filename=\"{}.tar.gz\"", unpacked.folder);
        assert_eq!(answer.header("content-disposition"), Some(name.as_str()));
        assert!(unpacked.folder.starts_with("legwork-bundle-") && unpacked.folder.ends_with('Z'));
        let files: Vec<_> = unpacked.files.keys().map(String::as_str).collect();
        assert_eq!(files, ALL, "{}", unpacked.text("README.txt"));
        assert_eq!(unpacked.missing(), BTreeMap::new());
        says_what_is_so(&unpacked).await;
        for secret in [ADMIN, OPERATOR, PASSWORD, PAYLOAD] {
            assert_eq!(unpacked.found(secret), [""; 0], "{secret}");
        }
        assert_eq!(
            unpacked.found("traceEvents"),
            ["trace.json.gz"],
            "what is packed is looked into"
        );
        daemon.stop().await;
    });
}

/// Each part against what is known of the daemon.
async fn says_what_is_so(unpacked: &Unpacked) {
    let readme = unpacked.text("README.txt");
    for file in ALL.iter().filter(|file| !["README.txt", "manifest.json"].contains(file)) {
        assert!(readme.contains(&format!("\n{file}\n")), "{file} in {readme}");
    }
    for told in ["go tool pprof", "https://ui.perfetto.dev"] {
        assert!(readme.contains(told), "{readme}");
    }
    let manifest = unpacked.json("manifest.json");
    assert_eq!(manifest["version"], env!("CARGO_PKG_VERSION"));
    assert!(manifest["postgres"].as_str().is_some_and(|version| !version.is_empty()), "{manifest}");
    let sizes = manifest["parts"].as_array().expect("parts").iter();
    for part in sizes {
        let content = &unpacked.files[part["file"].as_str().expect("a name")];
        assert_eq!(part["bytes"], content.len(), "{part}");
    }

    assert_eq!(gunzipped(&unpacked.files["cpu.pb.gz"])[0], 0x0a, "a protobuf's first field");
    let profile = unpacked.directory.path().join("unpacked").join(&unpacked.folder);
    let profile = profile.join("cpu.pb.gz").display().to_string();
    if let Some(top) = go_pprof(&["-top", &profile]).await {
        assert!(top.contains("Type: cpu"), "{top}");
    }
    let trace: Value = serde_json::from_slice(&gunzipped(&unpacked.files["trace.json.gz"]))
        .expect("a trace is JSON");
    assert!(trace["traceEvents"].as_array().is_some_and(|events| !events.is_empty()));
    assert!(unpacked.text("metrics.txt").contains("legwork_jobs_"), "metrics");
    assert!(unpacked.text("tasks.txt").contains("admin"), "tasks");
    assert!(unpacked.json("tasks.json")["components"].is_array());

    let config = unpacked.json("config.json");
    let mut values = config["values"].as_array().expect("values").iter();
    let url = values.find(|value| value["key"] == "database.url").expect("the address");
    assert!(url["value"].as_str().is_some(), "it is shown without its password: {url}");
    let logs = unpacked.text("logs.jsonl");
    let events: BTreeSet<String> = logs
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("whole lines of JSON"))
        .filter_map(|line| Some(line["event"].as_str()?.to_owned()))
        .collect();
    assert!(events.contains("daemon.started"), "{events:?}");
    database_says_what_is_so(unpacked);
}

fn database_says_what_is_so(unpacked: &Unpacked) {
    assert_eq!(unpacked.plans().len(), 9, "{}", unpacked.text("database/plans.txt"));
    let activity = unpacked.json("database/activity.json");
    let sessions = activity["sessions"].as_array().expect("sessions");
    let ours = sessions.iter().find(|session| session["application"] == "legwork heartbeat");
    assert!(ours.is_some_and(|session| session["query"].is_string()), "{activity}");
    let waiter = sessions.iter().find(|session| session["wait_event_type"] == "Lock");
    let waiter = waiter.unwrap_or_else(|| panic!("nobody waits: {activity}"));
    assert_eq!(waiter["application"], "legwork producer");
    assert_eq!(waiter["query"], Value::Null, "what others run isn't shown");
    let holder = sessions.iter().find(|session| session["pid"] == waiter["blocked_by"][0]);
    assert_eq!(holder.expect("who is waited for")["state"], "idle in transaction");
    let named = |file: &str, list: &str| {
        let list = unpacked.json(file)[list].as_array().expect("a list").clone();
        list.iter().filter_map(|one| one["name"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    assert!(named("database/tables.json", "tables").contains(&"job".to_owned()));
    assert!(named("database/settings.json", "settings").contains(&"shared_buffers".to_owned()));
    assert!(named("database/queues.json", "queues").contains(&"default".to_owned()));
    assert_eq!(named("database/daemons.json", "daemons").len(), 1);
}

/// In a table of which the planner believes that it is empty: what it is told about planning decides there.
#[test]
fn the_plans_in_a_bundle_are_those_of_the_sessions_that_send_the_statements() {
    support::run(async |db| {
        let daemon = Daemon::start(&configuration(&db)).await;
        daemon.logged("daemon.started").await;
        let mut session = db.connect().await;
        execute(&mut session, "VACUUM ANALYZE legwork.job").await;
        end(session).await;
        let plans =
            Unpacked::of(&bundle(daemon.admin().await, "seconds=1", "").await).await.plans();
        let mut expected = BTreeMap::new();
        for file in plans.keys() {
            expected.insert(file.clone(), for_any_arguments(&db, file, true).await);
        }
        assert_eq!(plans, expected);
        for file in ["claim", "look"] {
            let untold = for_any_arguments(&db, file, false).await;
            assert!(plans[file].contains("Index Scan using job_ready"), "{}", plans[file]);
            assert_ne!(plans[file], untold, "it shows what it would also show of any session");
        }
        daemon.stop().await;
    });
}

#[test]
fn without_a_database_or_a_profiler_the_rest_is_there_and_says_what_is_missing() {
    support::run(async |db| {
        let proxy = Proxy::before(&db.url()).await;
        let text = configuration(&db).replace(&db.url(), proxy.url());
        let daemon = Daemon::start(&text).await;
        daemon.logged("daemon.started").await;
        let at = daemon.admin().await;
        proxy.blackhole();
        let busy = async || ask(at, "profile?seconds=1").await.status == 409;
        let asking = async {
            support::eventually("somebody else profiles", busy).await;
            bundle(at, "seconds=1", "").await
        };
        let other = async {
            loop {
                // One of the others' may have come before it.
                let answer = ask(at, "profile?seconds=120").await;
                assert_eq!(answer.status, 409, "it takes two minutes");
            }
        };
        let answer = tokio::select! {
            () = other => unreachable!("it goes on for ever"),
            answer = asking => answer,
        };
        let unpacked = Unpacked::of(&answer).await;
        let missing = unpacked.missing();
        let files: BTreeSet<_> = unpacked.files.keys().chain(missing.keys()).collect();
        assert_eq!(files, ALL.map(str::to_owned).iter().collect(), "{missing:?}");
        let of_database = missing.iter().filter(|(file, _)| file.starts_with("database/"));
        let of_database: Vec<_> = of_database.map(|(_, why)| why.as_str()).collect();
        assert_eq!(of_database, ["the database doesn't answer"; 6]);
        assert!(missing["cpu.pb.gz"].contains("at the moment"), "{missing:?}");
        assert!(missing["heap.pb.gz"].contains("/debug/pprof/heap/activate"), "{missing:?}");
        assert_eq!(missing.len(), 8, "{missing:?}");
        let readme = unpacked.text("README.txt");
        for (file, why) in &missing {
            assert!(readme.contains(&format!("\n{file}\n    {why}\n")), "{file} in {readme}");
        }
        assert_eq!(unpacked.json("manifest.json")["postgres"], Value::Null);
        proxy.heal();
        daemon.stop().await;
    });
}

#[test]
fn one_bundle_at_a_time_and_none_for_who_has_left() {
    support::run(async |db| {
        let daemon = Daemon::start(&configuration(&db)).await;
        let at = daemon.admin().await;
        let long = async || bundle(at, "seconds=60", "").await;
        let refused = second(long, async || bundle(at, "seconds=1", "").await).await;
        assert_eq!(refused.status, 409);
        assert!(refused.text().contains("urn:legwork:problem:profile-under-way"));
        assert!(refused.text().contains("takes a bundle"), "{}", refused.text());
        // The first has left with the end of the choice above.
        support::eventually("the bundle ends with its client", async || {
            bundle(at, "seconds=1", "").await.status == 200
        })
        .await;
        for (query, said) in [
            ("seconds=0", "1 to 60"),
            ("seconds=61", "1 to 60"),
            ("seconds=1000000000", "1 to 60"),
            ("second=1", "did you mean"),
        ] {
            let answer = bundle(at, query, "").await;
            assert_eq!(answer.status, 400, "{query}");
            assert!(answer.text().contains(said), "{query}: {}", answer.text());
        }
        daemon.stop().await;
    });
}
