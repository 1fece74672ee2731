//! What a daemon is told about itself from the command line: by which filter it logs, and to read its file again.

use super::{Ran, command, finished, kept_token, named};
use crate::support::{self, Daemon, TestDb};
use std::fs;
use tempfile::TempDir;

/// A daemon with tokens, and where its admin's and its viewer's are.
struct Told {
    daemon: Daemon,
    url: String,
    text: String,
    directory: TempDir,
}

impl Told {
    async fn start(db: &TestDb) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let token = |role| kept_token(directory.path(), role);
        let text = format!(
            "[database]\nurl = {:?}\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = {:?}\nviewer_token_file = {:?}\n\
             [log]\nformat = \"json\"\n[[queue]]\nname = \"default\"\nconcurrency = 2\n",
            db.url(),
            token("admin"),
            token("viewer"),
        );
        let daemon = Daemon::start(&text).await;
        daemon.logged("daemon.started").await;
        let url = format!("http://{}", daemon.admin().await);
        Self { daemon, url, text, directory }
    }

    /// What names it and the token of a role.
    fn named(&self, [url, token_file]: [&str; 2], role: &str) -> Vec<String> {
        named([url, &self.url], token_file, (self.directory.path(), role))
    }

    /// Asks whom is named so.
    async fn asked(&self, how: &[String], words: &[&str]) -> Ran {
        let how: Vec<_> = how.iter().map(String::as_str).collect();
        finished(command("", &[words, &how].concat()), None).await
    }

    /// Writes its file anew.
    fn write(&self, text: &str) {
        let text = support::pooled::file(text);
        fs::write(self.daemon.directory().join("legwork.toml"), text).expect("written");
    }
}

#[test]
fn a_daemon_is_told_to_log_otherwise_for_a_while() {
    support::run(async |db| {
        let told = Told::start(&db).await;
        let of = |role| told.named(["--url", "--token-file"], role);
        let (admin, viewer) = (of("admin"), of("viewer"));
        let json = ["--output", "json"];
        let show = ["log-level", "show"];
        let before = told.asked(&admin, &[&show[..], &json].concat()).await.done().json();
        assert_eq!((&before["filter"], &before["until"]), (&before["configured"], &().into()));
        let text = told.asked(&admin, &show).await.done().stdout;
        assert!(text.starts_with("filter  ") && text.lines().count() == 1, "{text}");

        let set = ["log-level", "set", "error", "--for", "1h 30m", "--reason", "loud"];
        let text = told.asked(&admin, &set).await.done().stdout;
        let lines: Vec<_> = text.lines().map(|line| line.split("  ").next()).collect();
        assert_eq!(lines, ["filter", "since", "until", "then"].map(Some), "{text}");
        let holds = told.asked(&admin, &[&show[..], &json].concat()).await.done().json();
        assert_eq!((&holds["filter"], &holds["configured"]), (&"error".into(), &before["filter"]));
        let list = ["audit", "list", "--action", "log_level", "--output", "json"];
        let noted = told.asked(&admin, &list).await.done().json();
        assert_eq!(noted["notes"][0]["reason"], "loud", "{noted}");

        let reset = ["log-level", "reset", "--reason", "found"];
        let text = told.asked(&admin, &reset).await.done().stdout;
        assert!(text.starts_with("filter  ") && text.lines().count() == 1, "{text}");
        let json = [&reset[..], &json].concat();
        assert_eq!(told.asked(&admin, &json).await.done().json(), before, "twice is once");
        let list = ["audit", "list", "--action", "log_level_reset", "--output", "json"];
        let noted = told.asked(&admin, &list).await.done().json();
        let was = (&noted["notes"][0]["reason"], &noted["notes"][0]["detail"]["was"]);
        assert_eq!(was, (&"found".into(), &"error".into()), "{noted}");
        assert_eq!(noted["notes"].as_array().map(Vec::len), Some(1), "{noted}");

        let off = ["log-level", "set", "off", "--output", "json"];
        let ran = told.asked(&admin, &off).await.done();
        assert!(
            ran.stderr.contains("warning: ") && ran.json()["filter"] == "off",
            "{}",
            ran.stderr
        );
        for (words, said) in [
            (&["log-level", "set", "debgu"][..], "did you mean"),
            (&["log-level", "set", "debug", "--for", "25h"], "from 1 s to 24 h"),
        ] {
            let ran = told.asked(&admin, words).await;
            assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{}", ran.stderr);
            assert!(ran.stderr.contains(said), "{}", ran.stderr);
        }
        for words in [&show[..], &set, &reset, &["config", "reload"]] {
            let ran = told.asked(&viewer, words).await;
            let said = ["this needs the role admin", "help: --token-file"];
            assert!(said.iter().all(|it| ran.stderr.contains(it)), "{words:?}: {}", ran.stderr);
            assert_eq!(ran.code, 1, "{words:?}");
        }
        told.daemon.stop().await;
    });
}

#[test]
fn a_daemon_is_told_to_read_its_file_again_and_what_came_of_it_is_said() {
    support::run(async |db| {
        let told = Told::start(&db).await;
        let admin = told.named(["--url", "--token-file"], "admin");
        let reload = ["config", "reload", "--reason", "ticket 812"];
        let ran = told.asked(&admin, &reload).await.done();
        assert_eq!(ran.stdout, "the configuration was read again; what holds is as it was\n");

        let changed = told.text.replace("concurrency = 2", "concurrency = 5");
        told.write(&format!("{changed}[claim]\nbatch = 7\n"));
        let json = [&reload[..], &["--output", "json"]].concat();
        let said = told.asked(&admin, &json).await.done().json();
        let concurrency = "[[queue]] \"default\".concurrency";
        assert_eq!((&said["reloaded"], &said["changed"][0]), (&true.into(), &concurrency.into()));
        let text = told.asked(&admin, &reload).await.done().stdout;
        assert!(text.ends_with("\nholds with the next start:\n  claim.batch\n"), "{text}");
        let list = ["audit", "list", "--action", "reload", "--output", "json"];
        let noted = told.asked(&admin, &list).await.done().json();
        assert_eq!(noted["notes"][0]["reason"], "ticket 812", "{noted}");

        told.write(&format!("{changed}[claim]\nbatch = 0\nbtach = 1\n"));
        for words in [&reload[..], &json] {
            let ran = told.asked(&admin, words).await;
            assert_eq!((ran.code, ran.stdout.as_str()), (78, ""), "{}", ran.stderr);
            let said = ["nothing has changed", "error: claim.batch", "\n  --> ", "legwork.toml:"];
            assert!(said.iter().all(|it| ran.stderr.contains(it)), "{}", ran.stderr);
        }
        told.daemon.stop().await;
    });
}
