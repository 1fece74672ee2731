//! `legwork profile`: what it fetches of a running daemon, where it puts that, and what it says where there is none.

use std::{fs, path::Path};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Ran, command, finished, kept, kept_token};
use crate::support::{
    self, Daemon, TestDb,
    receiver::{Receiver, answer},
};

/// A daemon with its port, and a directory to write to.
async fn daemon(db: &TestDb) -> (Daemon, String) {
    let daemon = Daemon::start(&format!(
        "[database]\nurl = \"{}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n",
        db.url()
    ))
    .await;
    let url = format!("http://{}", daemon.admin().await);
    (daemon, url)
}

/// `legwork profile …` in a directory.
async fn profile(directory: &Path, arguments: &[&str]) -> Ran {
    let words: Vec<_> = ["profile"].iter().chain(arguments).copied().collect();
    let mut command = command("", &words);
    command.current_dir(directory);
    finished(command, None).await
}

#[test]
fn a_profile_is_fetched_and_written_where_it_is_wanted() {
    support::run(async |db| {
        let (daemon, url) = daemon(&db).await;
        let directory = tempfile::tempdir().expect("a directory");
        let cpu = ["cpu", "--seconds", "1", "--url", &url];
        let ran = profile(directory.path(), &[&cpu[..], &["--file", "cpu.pb.gz"]].concat()).await;
        let ran = ran.done();
        assert!(ran.stdout.contains("go tool pprof -top cpu.pb.gz"), "{}", ran.stdout);
        let written = fs::read(directory.path().join("cpu.pb.gz")).expect("it is there");
        assert_eq!(written[..2], [0x1f, 0x8b], "it is gzipped");

        // A name of its own, and what a program is told.
        let svg = ["--format", "svg", "--output", "json"];
        let told = profile(directory.path(), &[&cpu[..], &svg].concat()).await.done().json();
        let file = told["file"].as_str().expect("a file");
        assert!(file.starts_with("legwork-cpu-127.0.0.1-") && file.ends_with("Z.svg"), "{file}");
        let written = fs::read_to_string(directory.path().join(file)).expect("it is there");
        assert!(written.ends_with("</svg>\n") || written.ends_with("</svg>"), "{written}");
        assert_eq!(told["bytes"], written.len());

        let folded = ["--format", "folded", "--file", "-"];
        let ran = profile(directory.path(), &[&cpu[..], &folded].concat()).await.done();
        let is_folded = |line: &str| line.rsplit_once(' ').is_some();
        assert!(ran.stdout.lines().all(is_folded), "{}", ran.stdout);
        assert!(!ran.stdout.contains("wrote "), "the profile alone: {}", ran.stdout);

        let tasks = profile(directory.path(), &["tasks", "--url", &url]).await.done().stdout;
        assert!(tasks.contains("admin.accept"), "{tasks}");
        let format = ["tasks", "--format", "json", "--url", &url];
        let tasks = profile(directory.path(), &format).await.done().json();
        assert!(tasks["components"].is_array(), "{tasks}");
        daemon.stop().await;
    });
}

/// A desktop that notes what it is asked to open.
#[cfg(target_os = "linux")]
#[test]
fn what_was_written_is_opened() {
    use std::os::unix::fs::PermissionsExt;

    support::run(async |db| {
        let (daemon, url) = daemon(&db).await;
        let directory = tempfile::tempdir().expect("a directory");
        let desktop = directory.path().join("xdg-open");
        fs::write(&desktop, "#!/bin/sh\n/bin/cat \"$1\" > opened\n").expect("written");
        fs::set_permissions(&desktop, fs::Permissions::from_mode(0o700)).expect("ours");
        let words = ["profile", "cpu", "--seconds", "1", "--open", "--url", &url];
        let mut command = command("", &words);
        command.current_dir(&directory).env("PATH", directory.path());
        finished(command, None).await.done();
        let opened = fs::read_to_string(directory.path().join("opened")).expect("it was opened");
        assert!(opened.contains("</svg>"), "a flamegraph: {opened}");

        // Without a desktop it is there all the same.
        let mut command = super::command("", &words);
        command.current_dir(&directory).env("PATH", "/nowhere");
        let ran = finished(command, None).await.done();
        assert!(ran.stderr.contains("xdg-open couldn't be started"), "{}", ran.stderr);
        daemon.stop().await;
    });
}

#[test]
fn a_daemon_with_tokens_wants_an_admins() {
    use std::os::unix::fs::PermissionsExt;

    support::run(async |db| {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("token");
        fs::write(&file, "tell_tale-admin-0123456789abcdef0123456789\n").expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("ours");
        let daemon = Daemon::start(&format!(
            "[database]\nurl = \"{}\"\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = {file:?}\n[log]\nformat = \"json\"\n",
            db.url()
        ))
        .await;
        let url = format!("http://{}", daemon.admin().await);
        let ran = profile(directory.path(), &["tasks", "--url", &url]).await;
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(
            ran.stderr.contains("401") && ran.stderr.contains("--token-file"),
            "{}",
            ran.stderr
        );
        let words = ["tasks", "--token-file", "token", "--url", &url];
        let ran = profile(directory.path(), &words).await.done();
        assert!(ran.stdout.contains("admin.accept"), "{}", ran.stdout);
        daemon.stop().await;
    });
}

#[test]
fn who_names_the_configuration_needs_no_token_file() {
    support::run(async |db| {
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path();
        let token = |role| kept_token(at, role);
        let (admin, replaced, operator) = (token("admin"), token("replaced"), token("operator"));
        let port = |listen: &str, tokens: &str| {
            format!(
                "[database]\nurl = {:?}\n[admin]\nlisten = {listen:?}\n{tokens}[log]\nformat = \"json\"\n",
                db.url()
            )
        };
        let of_operator = format!("operator_token_file = {operator:?}\n");
        let whole = format!("token_file = [{admin:?}, {replaced:?}]\n{of_operator}");
        let daemon = Daemon::start(&port("127.0.0.1:0", &whole)).await;
        let listen = daemon.admin().await.to_string();

        let file = kept(at, "whole.toml", &port(&listen, &whole));
        let by_file = ["tasks", "--config", &file];
        let ran = profile(at, &by_file).await.done();
        assert!(ran.stdout.contains("tasks alive"), "{}", ran.stdout);
        let ran = profile(at, &["heap", "--activate", "--config", &file]).await.done();
        let next = format!(": legwork profile heap --config {file}\n");
        assert!(ran.stdout.contains(&next), "{}", ran.stdout);
        // Another's port gets no token of ours.
        let ran = profile(at, &["tasks", "--url", &format!("http://{listen}")]).await;
        assert!(ran.code == 1 && ran.stderr.contains("answered 401"), "{}", ran.stderr);
        // What is named goes before what is configured.
        let ran = profile(at, &[&by_file[..], &["--token-file", &operator]].concat()).await;
        assert!(ran.code == 1 && ran.stderr.contains("answered 403"), "{}", ran.stderr);

        let file = kept(at, "operator.toml", &port(&listen, &of_operator));
        let ran = profile(at, &["tasks", "--config", &file]).await;
        let told = ["none of them is an admin's", "--token-file"];
        assert!(ran.code == 2 && told.iter().all(|it| ran.stderr.contains(it)), "{}", ran.stderr);
        let file = kept(at, "none.toml", &port(&listen, ""));
        let ran = profile(at, &["tasks", "--config", &file]).await;
        assert!(ran.code == 1 && ran.stderr.contains("answered 401"), "{}", ran.stderr);
        daemon.stop().await;
    });
}

/// Heap and trace, from the shell.
#[test]
fn memory_and_what_happened_when_are_fetched_as_well() {
    support::run(async |db| {
        let (daemon, url) = daemon(&db).await;
        let directory = tempfile::tempdir().expect("a directory");
        let heap = ["heap", "--format", "folded", "--file", "-", "--url", &url];
        let ran = profile(directory.path(), &heap).await;
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        let how = format!("\n    legwork profile heap --activate --url {url}\n");
        assert!(ran.stderr.contains(&how), "it says how: {}", ran.stderr);
        let ran = profile(directory.path(), &["heap", "--activate", "--url", &url]).await.done();
        let next = format!("fetch what it holds with: legwork profile heap --url {url}\n");
        assert!(ran.stdout.contains(&next), "{}", ran.stdout);
        let grown =
            ["heap", "--seconds", "1", "--format", "speedscope", "--file", "grown", "--url", &url];
        let told = profile(directory.path(), &grown).await.done().stdout;
        assert!(told.contains("wrote grown"), "{told}");
        profile(directory.path(), &heap).await.done();
        let switch = async |word| {
            let words = ["heap", word, "--output", "json", "--url", &url];
            profile(directory.path(), &words).await.done().json()
        };
        let told = switch("--deactivate").await;
        assert_eq!(told, serde_json::json!({ "profile": "heap", "active": false }));
        assert_eq!(profile(directory.path(), &heap).await.code, 1, "nothing is sampled");
        assert_eq!(switch("--activate").await["active"], true);
        for besides in [&["--deactivate"][..], &["--seconds", "1"], &["--file", "-"]] {
            let words = [&["heap", "--activate"][..], besides].concat();
            assert_eq!(profile(directory.path(), &words).await.code, 2, "{words:?}");
        }

        let trace = ["trace", "--seconds", "1", "--file", "trace.json", "--url", &url];
        let told = profile(directory.path(), &trace).await.done().stdout;
        assert!(told.contains("ui.perfetto.dev"), "{told}");
        let written = fs::read(directory.path().join("trace.json")).expect("it is there");
        let trace: serde_json::Value = serde_json::from_slice(&written).expect("JSON");
        assert!(trace["traceEvents"].as_array().is_some_and(|events| !events.is_empty()));
        daemon.stop().await;
    });
}

#[test]
fn a_bundle_is_fetched_and_what_opens_it_is_told() {
    support::run(async |db| {
        let (daemon, url) = daemon(&db).await;
        let directory = tempfile::tempdir().expect("a directory");
        let bundle = ["bundle", "--seconds", "1", "--url", &url];
        let given = ["--file", "b.tar.gz"];
        let told = profile(directory.path(), &[&bundle[..], &given].concat()).await.done().stdout;
        assert!(told.contains("tar xzf b.tar.gz") && told.contains("README.txt"), "{told}");
        let written = fs::read(directory.path().join("b.tar.gz")).expect("it is there");
        assert_eq!(written[..2], [0x1f, 0x8b], "it is gzipped");

        // A name of its own, and what a program is told.
        let json = ["--output", "json"];
        let told = profile(directory.path(), &[&bundle[..], &json].concat()).await.done().json();
        let file = told["file"].as_str().expect("a file");
        assert!(
            file.starts_with("legwork-bundle-127.0.0.1-") && file.ends_with("Z.tar.gz"),
            "{file}"
        );
        assert_eq!((&told["profile"], &told["format"]), (&"bundle".into(), &"tar.gz".into()));
        let written = fs::read(directory.path().join(file)).expect("it is there");
        assert_eq!(told["bytes"], written.len());

        let ran = profile(directory.path(), &["bundle", "--seconds", "61", "--url", &url]).await;
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        daemon.stop().await;
    });
}

/// What answers each request with this, as a daemon would.
async fn answering(body: &'static str) -> Receiver {
    Receiver::doing(async |mut stream| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        stream.write_all(answer("200 OK", &[], body).as_bytes()).await.ok();
    })
    .await
}

#[test]
fn what_a_profile_lacks_is_told_in_each_format_and_wherever_it_goes() {
    const EMPTY: &str = "warning: the profile is empty";
    const LOST: &str = "warning: the trace shows the first 812 ms of 5000";
    const FULL: &str = r#"{"otherData":{"duration_ms":5000,"lost_events":71,"lost_from_ms":812.375},"traceEvents":[]}"#;

    support::run(async |_db| {
        let directory = tempfile::tempdir().expect("a directory");
        let lacks = async |body, words: &[&str], told: &str| {
            let daemon = answering(body).await;
            for file in ["-", "profile"] {
                let url = daemon.url("");
                let words = [words, &["--seconds", "1", "--file", file, "--url", &url]].concat();
                let ran = profile(directory.path(), &words).await.done();
                assert_eq!(ran.stdout == body, file == "-", "{words:?}: {}", ran.stdout);
                let is_told = ran.stderr.contains("warning: ");
                assert_eq!(is_told, !told.is_empty(), "{words:?}: {}", ran.stderr);
                assert!(ran.stderr.contains(told), "{words:?}: {}", ran.stderr);
            }
        };
        let speedscope = ["cpu", "--format", "speedscope"];
        lacks(r#"{"profiles":[]}"#, &speedscope, EMPTY).await;
        lacks(r#"{"profiles":[{"type":"sampled"}]}"#, &speedscope, "").await;
        lacks("", &["cpu", "--format", "folded"], EMPTY).await;
        lacks("main 1\n", &["cpu", "--format", "folded"], "").await;
        lacks(FULL, &["trace"], LOST).await;
    });
}

/// Nobody answers there: where that isn't told, nobody was asked.
/// A login page before the port, say.
#[tokio::test]
async fn what_is_no_profile_is_not_written() {
    let other = answering("<html>Who are you?</html>").await;
    let directory = tempfile::tempdir().expect("a directory");
    let ran = profile(directory.path(), &["cpu", "--seconds", "1", "--url", &other.url("")]).await;
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert!(
        ran.stderr.contains("isn't a daemon's admin port: it sent no profile"),
        "{}",
        ran.stderr
    );
    assert_eq!(fs::read_dir(directory.path()).expect("it is there").count(), 0);
}

#[test]
fn a_file_that_cannot_be_written_is_found_out_before_the_daemon_is_asked() {
    support::run(async |_db| {
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path();
        fs::write(at.join("kept.pb.gz"), "of yesterday").expect("written");
        fs::create_dir(at.join("there")).expect("made");
        std::os::unix::fs::symlink("made-later", at.join("link")).expect("linked");
        for (file, help) in [
            ("nowhere/cpu", "there is no nowhere: make it, or name another place with --file"),
            ("there", "name a file in it with --file"),
            ("kept.pb.gz/cpu", "name another place with --file"),
        ] {
            for what in ["cpu", "heap", "tasks", "trace", "bundle"] {
                let words = [what, "--file", file, "--url", "http://127.0.0.1:1"];
                let ran = profile(at, &words).await;
                assert_eq!(ran.code, 1, "{what} {file}: {}", ran.stderr);
                let told = [&format!("error: couldn't write {file}\n"), "\n  because: ", help];
                assert!(told.iter().all(|told| ran.stderr.contains(told)), "{}", ran.stderr);
            }
        }
        for file in ["kept.pb.gz", "fresh.pb.gz", "link", "there/cpu", "/dev/null", "-"] {
            let ran = profile(at, &["cpu", "--file", file, "--url", "http://127.0.0.1:1"]).await;
            assert_eq!(ran.code, 3, "{file} can be written: {}", ran.stderr);
        }
        assert_eq!(profile(at, &["cpu", "--url", "http://127.0.0.1:1"]).await.code, 3);
        assert_eq!(fs::read(at.join("kept.pb.gz")).expect("it is there"), b"of yesterday");
        let mut left: Vec<_> =
            fs::read_dir(at).expect("readable").flatten().map(|it| it.file_name()).collect();
        left.sort();
        assert_eq!(left, ["kept.pb.gz", "link", "there"], "nothing was made");
        assert_eq!(fs::read_dir(at.join("there")).expect("readable").count(), 0);
    });
}

/// What is written to a pipe that nobody reads any more: `legwork profile tasks | head -1`.
#[test]
fn a_reader_that_goes_away_early_is_no_error() {
    support::run(async |db| {
        let (daemon, url) = daemon(&db).await;
        for words in [
            &["tasks"][..],
            &["tasks", "--format", "pprof"],
            &["tasks", "--output", "json"],
            &["cpu", "--seconds", "1", "--file", "-"],
        ] {
            let words = [&["profile"][..], words, &["--url", &url]].concat();
            let (reader, writer) = std::io::pipe().expect("a pipe");
            drop(reader);
            let mut command = command("", &words);
            command.stdout(writer);
            let ran = finished(command, None).await;
            assert_eq!(ran.code, 0, "{words:?}: {}", ran.stderr);
            assert!(!ran.stderr.contains("error"), "{words:?}: {}", ran.stderr);
        }
        daemon.stop().await;
    });
}

#[test]
fn what_goes_wrong_is_told_with_what_to_do() {
    support::run(async |db| {
        let (daemon, url) = daemon(&db).await;
        let directory = tempfile::tempdir().expect("a directory");
        let nobody = ["cpu", "--seconds", "1", "--url", "http://127.0.0.1:1"];
        let ran = profile(directory.path(), &nobody).await;
        assert_eq!(ran.code, 3, "{}", ran.stderr);
        assert!(ran.stderr.contains("no daemon answers on 127.0.0.1:1"), "{}", ran.stderr);

        let stdout = ["cpu", "--open", "--file", "-", "--url", &url];
        let ran = profile(directory.path(), &stdout).await;
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        let ran = profile(directory.path(), &["cpu", "--seconds", "121", "--url", &url]).await;
        assert_eq!(ran.code, 2, "{}", ran.stderr);

        fs::write(directory.path().join("token"), "two words\n").expect("written");
        let token = ["tasks", "--token-file", "token", "--url", &url];
        let ran = profile(directory.path(), &token).await;
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(ran.stderr.contains("no token in token"), "{}", ran.stderr);

        // Somebody profiles for a minute; a second one may come later.
        let minute = ["profile", "cpu", "--seconds", "60", "--file", "-", "--url", &url];
        let mut first = command("", &minute).spawn().expect("it runs");
        support::eventually("the second is told", async || {
            // One of the others' may have come before it.
            if first.try_wait().is_ok_and(|ended| ended.is_some()) {
                first = command("", &minute).spawn().expect("it runs");
            }
            let ran = profile(
                directory.path(),
                &["cpu", "--seconds", "1", "--format", "folded", "--file", "-", "--url", &url],
            )
            .await;
            ran.code == 75 && ran.stderr.contains("409")
        })
        .await;
        first.kill().await.expect("it can be ended");
        daemon.stop().await;
    });
}
