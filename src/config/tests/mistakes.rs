//! Bad files, variables and flags, each with everything that is said about it.

use super::Files;
use crate::config::{Environment, Mistakes, Source, load};
use rstest::rstest;
use std::{fmt::Write as _, fs, os::unix::fs::PermissionsExt};

/// Name and text.
const FILES: &[(&str, &str)] = &[
    ("not toml at all", "legwork!\n"),
    ("two syntax errors and a wrong value", "[claim]\nbatch = \nnotify = yes\npoll_jitter = 7\n"),
    ("unclosed string", "[daemon]\nname = \"legwork\n"),
    ("key twice", "[claim]\nbatch = 1\nbatch = 2\n"),
    ("section twice", "[claim]\nbatch = 1\n[claim]\nnotify = true\n"),
    ("unknown key", "[daemon]\nheartbeet_interval = \"5s\"\n"),
    ("unknown key that nothing is like", "[daemon]\nzzzz = 1\n"),
    ("key of another section", "[daemon]\nbatch = 5\n"),
    ("unknown section", "[shut_down]\ngrace = \"5s\"\n"),
    ("key outside of sections", "batch = 5\n"),
    ("quoted key that looks like a path", "\"claim.batch\" = 5\n"),
    ("section as a value", "claim = 5\n"),
    ("section in double brackets", "[[claim]]\nbatch = 5\n"),
    ("queue in single brackets", "[queue]\nname = \"a\"\n"),
    ("queue as a list of texts", "queue = [\"a\", \"b\"]\n"),
    ("text where a number belongs", "[claim]\nbatch = \"500\"\n"),
    ("number where text belongs", "[daemon]\nname = 5\n"),
    ("text where a switch belongs", "[claim]\nnotify = \"true\"\n"),
    ("date", "[daemon]\nname = 1979-05-27\n"),
    ("list where a number belongs", "[claim]\nbatch = [1, 2]\n"),
    ("table where a duration belongs", "[claim]\npoll_interval = { ms = 5 }\n"),
    ("duration without a unit", "[daemon]\nheartbeat_interval = 5\n"),
    ("duration with a wrong unit", "[daemon]\nheartbeat_interval = \"5 sec\"\n"),
    ("negative duration", "[daemon]\nheartbeat_interval = \"-5s\"\n"),
    ("duration of zero", "[claim]\npoll_interval = \"0s\"\n"),
    ("duration that overflows", "[shutdown]\ngrace = \"99999999999999999999d\"\n"),
    ("duration out of range", "[shutdown]\ngrace = \"2d\"\ncancel_grace = \"11m\"\n"),
    (
        "stop timeout shorter than a shutdown",
        "[shutdown]\ngrace = \"40s\"\ncancel_grace = \"1500ms\"\nstop_timeout = \"44s\"\n",
    ),
    ("stop timeout shorter than a default", "[shutdown]\nstop_timeout = \"30s\"\n"),
    (
        "no contradiction of a stop timeout out of a mistake",
        "[shutdown]\ngrace = \"x\"\nstop_timeout = \"1s\"\n",
    ),
    ("batch of zero and of 1001", "[claim]\nbatch = 0\n[complete]\nflush_max_rows = 2001\n"),
    ("negative count", "[claim]\nbatch = -1\n"),
    ("number that fits nowhere", "[claim]\nbatch = 99999999999999999999\n"),
    ("not a number", "[claim]\npoll_jitter = nan\n"),
    ("lease shorter than three heartbeats", "[daemon]\nheartbeat_interval = \"11s\"\n"),
    ("lease given too short", "[daemon]\nheartbeat_interval = \"2s\"\nlease_ttl = \"5s\"\n"),
    (
        "no contradiction out of a mistake",
        "[daemon]\nheartbeat_interval = \"x\"\nlease_ttl = \"1s\"\n",
    ),
    ("daemon name with a placeholder", "[daemon]\nname = \"{host}\"\n"),
    ("daemon name with a line end", "[daemon]\nname = \"a\\nb\"\n"),
    (
        "contradiction of base and max beside a wrong factor",
        "[retry.backoff]\nbase = \"2h\"\nmax = \"1h\"\nfactor = nan\n",
    ),
    ("backoff base above max", "[retry.backoff]\nbase = \"2h\"\n"),
    ("backoff that isn't a table", "[retry]\nbackoff = \"2s\"\n"),
    ("unknown backoff key", "[retry]\nbackoff = { bases = \"2s\" }\n"),
    (
        "retention that nobody understands",
        "[retention]\ncompleted = \"forever\"\ncancelled = \"\"\n",
    ),
    (
        "retention of zero and beyond ten years",
        "[retention]\ncompleted = \"0s\"\ncancelled = \"4000d\"\n",
    ),
    ("queue twice", "[[queue]]\nname = \"a\"\n[[queue]]\nname = \"a\"\nconcurrency = 0\n"),
    (
        "kind twice",
        "[[kind]]\nname = \"a\"\nhandler = \"noop\"\n[[kind]]\nname = \"a\"\nhandler = \"noop\"\n",
    ),
    ("queue without a name", "[[queue]]\nnmae = \"a\"\nconcurrency = -1\n"),
    ("kind with a bad name", "[[kind]]\nname = \"a b\"\nhandler = \"noop\"\n"),
    ("kind with a number for a name", "[[kind]]\nname = 5\nhandler = \"noop\"\n"),
    (
        "concurrency",
        "[[queue]]\nname = \"a\"\nconcurrency = \"2*cpu\"\n[[queue]]\nname = \"b\"\nconcurrency = 10001\n[[queue]]\nname = \"c\"\nconcurrency = \"9999*cpus\"\n",
    ),
    ("empty rate limit", "[[queue]]\nname = \"a\"\nrate_limit = \"\"\n"),
    ("rate limit with a burst of zero", "[[queue]]\nname = \"a\"\nrate_limit = \"5/s burst 0\"\n"),
    ("a key of queues that doesn't exist", "[[queue]]\nname = \"a\"\npaused = true\n"),
    ("kind without a handler", "[[kind]]\nname = \"a\"\n"),
    ("kind with an unknown handler", "[[kind]]\nname = \"a\"\nhandler = \"comand\"\n"),
    ("kind with a handler that doesn't exist", "[[kind]]\nname = \"a\"\nhandler = \"grpc\"\n"),
    (
        "keys of another handler",
        "[[kind]]\nname = \"a\"\nhandler = \"noop\"\ncommand = [\"/bin/ls\"]\nkill_grace = \"1s\"\n",
    ),
    (
        "a wrong duration in a kind",
        "[[kind]]\nname = \"resize\"\nhandler = \"noop\"\ntimeout = \"5x\"\n",
    ),
    ("function missing", "[[kind]]\nname = \"a\"\nhandler = \"sql\"\n"),
    (
        "function without a schema, and no role",
        "[[kind]]\nname = \"a\"\nhandler = \"sql\"\nfunction = \"f(x)\"\nrole = \"none\"\n",
    ),
    (
        "keys of two handlers",
        "[[kind]]\nname = \"a\"\nhandler = \"sql\"\nfunction = \"a.f\"\ncwd = \"/\"\n\
         [[kind]]\nname = \"b\"\nhandler = \"noop\"\nrole = \"r\"\n",
    ),
    ("schedule without anything", "[[schedule]]\nname = \"a\"\n"),
    ("schedule without a name", "[[schedule]]\ncron = \"0 3 * * *\"\nkind = \"k\"\n"),
    (
        "schedule that never fires",
        "[[schedule]]\nname = \"a\"\nkind = \"k\"\ncron = \"0 0 30 2 *\"\n",
    ),
    (
        "schedule with a wrong hour in a wrong zone",
        "[[schedule]]\nname = \"a\"\nkind = \"k\"\ncron = \"0 25 * * *\"\ntimezone = \"Europe/Berln\"\n",
    ),
    (
        "schedule in a zone that nothing is like",
        "[[schedule]]\nname = \"a\"\nkind = \"k\"\ncron = \"0 3 * * *\"\ntimezone = \"x\"\n",
    ),
    ("schedule with four fields", "[[schedule]]\nname = \"a\"\nkind = \"k\"\ncron = \"0 3 * *\"\n"),
    (
        "schedule with everything else wrong",
        "[[schedule]]\nname = \"a\"\nkind = \"k k\"\nqueue = 5\ncron = 5\npayload = \"hello\"\npriority = 3\ncatch_up = \"one\"\noverlap = \"replace\"\njitter = \"2h\"\n",
    ),
    (
        "payload that JSON has not",
        "[[schedule]]\nname = \"a\"\nkind = \"k\"\ncron = \"0 3 * * *\"\npayload = { a = nan }\n",
    ),
    (
        "schedule twice, with an unknown key",
        "[[schedule]]\nname = \"a\"\nkind = \"k\"\ncron = \"0 3 * * *\"\ntz = \"UTC\"\n[[schedule]]\nname = \"a\"\nkind = \"k\"\ncron = \"0 3 * * *\"\n",
    ),
    ("schedule in single brackets", "[schedule]\nname = \"a\"\n"),
    ("command missing", "[[kind]]\nname = \"a\"\nhandler = \"command\"\n"),
    ("command empty", "[[kind]]\nname = \"a\"\nhandler = \"command\"\ncommand = []\n"),
    (
        "command as one text",
        "[[kind]]\nname = \"a\"\nhandler = \"command\"\ncommand = \"/bin/ls -l\"\n",
    ),
    (
        "command with a number",
        "[[kind]]\nname = \"a\"\nhandler = \"command\"\ncommand = [\"/bin/ls\", 5]\n",
    ),
    (
        "command that isn't absolute",
        "[[kind]]\nname = \"a\"\nhandler = \"command\"\ncommand = [\"ls\"]\n",
    ),
    (
        "command that doesn't exist",
        "[[kind]]\nname = \"a\"\nhandler = \"command\"\ncommand = [\"/nowhere/program\"]\n",
    ),
    (
        "command that is a directory",
        "[[kind]]\nname = \"a\"\nhandler = \"command\"\ncommand = [\"/\"]\n",
    ),
    (
        "command through a shell",
        "[[kind]]\nname = \"a\"\nhandler = \"command\"\ncommand = [\"/bin/sh\", \"-c\", \"ls\"]\n",
    ),
    (
        "command through env and a shell",
        "[[kind]]\nname = \"a\"\nhandler = \"command\"\ncommand = [\"/usr/bin/env\", \"bash\", \"-lc\", \"ls\"]\n",
    ),
    (
        "cwd that is a file",
        "[[kind]]\nname = \"a\"\nhandler = \"command\"\ncommand = [\"/bin/ls\"]\ncwd = \"/bin/ls\"\n",
    ),
    (
        "output that is too small",
        "[[kind]]\nname = \"a\"\nhandler = \"command\"\ncommand = [\"/bin/ls\"]\nmax_output = \"1B\"\n",
    ),
    (
        "size in decimal units",
        "[[kind]]\nname = \"a\"\nhandler = \"command\"\ncommand = [\"/bin/ls\"]\nmax_output = \"64KB\"\n",
    ),
    (
        "illegal variables",
        "[[kind]]\nname = \"a\"\nhandler = \"command\"\ncommand = [\"/bin/ls\"]\nenv = { \"A-B\" = \"x\", LEGWORK_JOB_ID = \"5\", LD_PRELOAD = \"x\" }\npass_env = [\"NOTIFY_SOCKET\", \"1A\"]\n",
    ),
    (
        "a variable given and passed",
        "[[kind]]\nname = \"a\"\nhandler = \"command\"\ncommand = [\"/bin/ls\"]\nenv = { HOME = \"/\" }\npass_env = [\"HOME\"]\n",
    ),
    (
        "a variable that isn't text",
        "[[kind]]\nname = \"a\"\nhandler = \"command\"\ncommand = [\"/bin/ls\"]\nenv = { N = 5, LD_PRELOAD = \"x\" }\n",
    ),
    (
        "a name with a port, and a URL, for the admin port",
        "[admin]\nallow_hosts = [\"a.example.org:80\", \"http://b\"]\n",
    ),
    ("admin address", "[admin]\nlisten = \"localhost:9464\"\n"),
    ("log format", "[log]\nformat = \"jsno\"\n"),
    ("log filter with a misspelt level", "[log]\nfilter = \"legwork=debug,inof\"\n"),
    ("log filter that can't be read", "[log]\nfilter = \"legwork=loud\"\n"),
    (
        "a canary through a queue that isn't served, too often, and a kind by its name",
        "[canary]\nqueue = \"elsewhere\"\ninterval = \"10ms\"\n[[kind]]\nname = \"legwork.canary\"\nhandler = \"noop\"\n",
    ),
    ("no labels", "[metrics]\nmax_kinds = 0\n"),
    ("url of another database", "[database]\nurl = \"mysql://localhost/x\"\n"),
    ("url with a word for a port", "[database]\nurl = \"postgres://u:a/b@localhost/x\"\n"),
    ("url with a NUL", "[database]\nurl = \"postgres://localhost/x\\u0000\"\n"),
    ("url with a bare percent sign", "[database]\nurl = \"postgres://u:5%@localhost/x\"\n"),
    ("url with an unknown sslmode", "[database]\nurl = \"postgres://h/x?sslmode=on\"\n"),
    (
        "url that goes off this machine in plain text",
        "[database]\nurl = \"postgres://db.example/x?sslmode=prefer\"\n",
    ),
    (
        "url with a parameter that nothing obeys",
        "[database]\nurl = \"postgres://h/x?keepalives_idle=30\"\n",
    ),
    ("url with a misspelt parameter", "[database]\nurl = \"postgres://h/x?sslmod=require\"\n"),
    (
        "url with two words for one parameter",
        "[database]\nurl = \"postgres://h/x?sslmode=require&ssl-mode=disable\"\n",
    ),
    (
        "url with a parameter in disguise",
        "[database]\nurl = \"postgres://h/x?ss%6Cmode=disable\"\n",
    ),
    ("url with a parameter without a value", "[database]\nurl = \"postgres://h/x?sslmode\"\n"),
    ("url with two hosts", "[database]\nurl = \"postgres://a,b/x\"\n"),
    ("url and url_file", "[database]\nurl = \"postgres:///x\"\nurl_file = \"/run/secret\"\n"),
    ("url_file that doesn't exist", "[database]\nurl_file = \"/nowhere/url\"\n"),
    ("url_file that isn't absolute", "[database]\nurl_file = \"url\"\n"),
    (
        "many at once",
        "[claim]\nbatch = 0\nbtach = 1\n[daemon]\nlease_ttl = \"1s\"\n[[kind]]\nname = \"a\"\nhandler = \"nop\"\ntimeout = \"soon\"\n[[queue]]\nname = \"\"\n",
    ),
];

/// Name, variables and flags over a file with a queue `mail.eu` and kinds `a-b`, `a_b`, `c`.
type Over = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [(&'static str, &'static str)],
);
const OVER: &[Over] = &[
    ("unknown variable", &[("LEGWORK_CLAIM__BTACH", "5")], &[]),
    ("variable with one underscore", &[("LEGWORK_DATABASE_URL", "postgres:///x")], &[]),
    ("unknown section", &[("LEGWORK_CLAIMS__BATCH", "5")], &[]),
    ("wrong values", &[("LEGWORK_CLAIM__BATCH", "many"), ("LEGWORK_CLAIM__NOTIFY", "1")], &[]),
    ("empty variable", &[("LEGWORK_LOG__FILTER", "")], &[]),
    ("variable for no queue", &[("LEGWORK_QUEUE__NEWS__CONCURRENCY", "5")], &[]),
    ("variable for two kinds", &[("LEGWORK_KIND__A_B__TIMEOUT", "5s")], &[]),
    ("unknown key of a queue", &[("LEGWORK_QUEUE__MAIL_EU__CONCURENCY", "5")], &[]),
    ("a new name for a queue", &[("LEGWORK_QUEUE__MAIL_EU__NAME", "x")], &[]),
    ("a list that isn't one", &[("LEGWORK_KIND__C__COMMAND", "/bin/ls")], &[]),
    ("variable against a default", &[("LEGWORK_DAEMON__LEASE_TTL", "1s")], &[]),
    ("stop timeout against a default", &[("LEGWORK_SHUTDOWN__STOP_TIMEOUT", "30s")], &[]),
    ("wrong flag", &[], &[("claim.batch", "0"), ("queues", "a=x"), ("kind.a-b.timeout", "5")]),
    ("a queue twice", &[], &[("queues", "a=1,a=2")]),
    ("queues without numbers", &[], &[("queues", "a,b")]),
];

fn said(result: Result<crate::config::Loaded, Mistakes>, files: &Files) -> String {
    let mistakes = result.expect_err("a mistake");
    mistakes.to_string().replace(&format!("{}/", files.path().display()), "")
}

#[test]
fn every_bad_file_is_answered_with_all_that_is_wrong() {
    let mut all = String::new();
    for (name, text) in FILES {
        let files = Files::new();
        let file = files.write("legwork.toml", text);
        let environment = Environment::of([("HOME", "/root")]);
        let result = load(&Source::new(environment).with_file(file));
        assert!(result.is_err(), "{name} is accepted");
        writeln!(all, "## {name}\n{text}\n{}\n", said(result, &files)).expect("written");
    }
    insta::assert_snapshot!("bad_files", all);
}

#[test]
fn every_bad_variable_and_flag_is_answered_with_all_that_is_wrong() {
    let mut all = String::new();
    for (name, variables, flags) in OVER {
        let files = Files::new();
        let text = "[[queue]]\nname = \"mail.eu\"\n[[kind]]\nname = \"a-b\"\nhandler = \"noop\"\n\
                    [[kind]]\nname = \"a_b\"\nhandler = \"noop\"\n\
                    [[kind]]\nname = \"c\"\nhandler = \"command\"\ncommand = [\"/bin/ls\"]\n";
        let file = files.write("legwork.toml", text);
        let source = Source::new(Environment::of(variables.iter().copied())).with_file(file);
        let flagged = |source: Source, (key, value): &(&str, &str)| {
            source.with_flag(format!("--{key}"), *key, *value)
        };
        let result = load(&flags.iter().fold(source, flagged));
        assert!(result.is_err(), "{name} is accepted");
        let shown = format!("{variables:?} {flags:?}");
        writeln!(all, "## {name}\n{shown}\n\n{}\n", said(result, &files)).expect("written");
    }
    insta::assert_snapshot!("bad_variables_and_flags", all);
}

#[test]
fn what_can_not_be_read_as_a_file_is_refused_as_such() {
    let files = Files::new();
    files.write("bom.toml", "\u{feff}[claim]\n");
    files.write("latin1.toml", b"[daemon]\nname = \"caf\xe9\"\n");
    files.write("utf16.toml", b"\xff\xfe[\0c\0");
    files.write("huge.toml", "#".repeat(1024 * 1024 + 1));
    fs::create_dir(files.path().join("directory.toml")).expect("made");
    let link = |to: &str, from: &str| {
        std::os::unix::fs::symlink(to, files.path().join(from)).expect("linked");
    };
    link("loop.toml", "loop.toml");
    link("gone", "dangling.toml");
    link("/dev/zero", "device.toml");
    let names = ["bom", "latin1", "utf16", "huge", "directory", "loop", "dangling", "device", "no"];
    let mut all = String::new();
    for name in names {
        let file = files.path().join(format!("{name}.toml"));
        let environment = Environment::of([("LEGWORK_QUEUE__UNSEEN__CONCURRENCY", "5")]);
        let result = load(&Source::new(environment).with_file(file));
        writeln!(all, "## {name}\n{}\n", said(result, &files)).expect("written");
    }
    insta::assert_snapshot!("unreadable_files", all);
}

#[test]
fn a_program_must_be_executable_and_not_replaceable_by_others() {
    let files = Files::new();
    let program = files.write("program", "#!/bin/true\n");
    let path = program.display().to_string();
    let file = files.write(
        "legwork.toml",
        format!("[[kind]]\nname = \"a\"\nhandler = \"command\"\ncommand = [{path:?}]\n"),
    );
    let with_mode = |mode| {
        fs::set_permissions(&program, fs::Permissions::from_mode(mode)).expect("a mode");
        load(&Source::new(Environment::of([("A", "B")])).with_file(&file))
    };
    let refused = |mode, why: &str| {
        let said = said(with_mode(mode), &files);
        assert!(said.contains(why), "{mode:o}: {said}");
    };
    refused(0o644, "isn't executable");
    refused(0o775, "may be replaced");
    refused(0o757, "may be replaced");
    let loaded = with_mode(0o755).expect("right");
    let root = nix::unistd::geteuid().is_root();
    assert_eq!(loaded.warnings.is_empty(), root, "{:?}", loaded.warnings);
}

/// What is said of a command whose program has this content.
fn told_of_a_program(content: &[u8]) -> Result<Vec<String>, String> {
    let files = Files::new();
    let program = files.write("program", content);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode");
    let path = program.display().to_string();
    let file = files.write(
        "legwork.toml",
        format!("[[kind]]\nname = \"a\"\nhandler = \"command\"\ncommand = [{path:?}]\n"),
    );
    let result = load(&Source::new(Environment::of([("A", "B")])).with_file(&file));
    result.map(|loaded| loaded.warnings).map_err(|mistakes| said(Err(mistakes), &files))
}

#[test]
fn an_empty_program_is_refused() {
    let refused = told_of_a_program(b"").expect_err("nothing to run");
    assert!(refused.contains("program is empty"), "{refused}");
}

#[cfg(target_os = "linux")]
#[rstest]
#[case::text(b"exit 0\n", true)]
#[case::shorter_than_any_mark(b"#", true)]
#[case::script(b"#!/bin/true\n", false)]
#[case::binary(b"\x7fELF\x02\x01", false)]
fn a_program_of_no_known_format_is_warned_of(#[case] content: &[u8], #[case] warned: bool) {
    let warnings = told_of_a_program(content).expect("right");
    let is_it = |warning: &String| warning.contains("neither an ELF binary nor begins with #!");
    assert_eq!(warnings.iter().any(is_it), warned, "{warnings:?}");
}

/// The warnings of a command with this `kill_grace`, in a file that begins so.
fn warned(sections: &str, kill_grace: &str) -> Vec<String> {
    let text = format!(
        "{sections}[[kind]]\nname = \"a\"\nhandler = \"command\"\ncommand = [\"/bin/ls\"]\n{kill_grace}"
    );
    super::load_text(&text).expect("right").warnings
}

#[test]
fn a_kill_grace_that_a_lost_lease_or_a_shutdown_cuts_short_is_warned_of() {
    let asked = |seconds: u32| format!("kill_grace = \"{seconds}s\"\n");
    let both = "[[kind]] \"a\".kill_grace: it is 30s, but the program is killed once its lease is lost after \
                daemon.lease_ttl / 6 = 5s, and at shutdown after shutdown.cancel_grace = 3s";
    assert_eq!(warned("", &asked(30)), [both]);
    let at_the_end = "[[kind]] \"a\".kill_grace: it is 5s, but the program is killed at shutdown after \
                      shutdown.cancel_grace = 3s";
    assert_eq!(warned("", &asked(5)), [at_the_end]);
    assert_eq!(warned("", &asked(3)), [""; 0]);
    let room = "[daemon]\nlease_ttl = \"3m\"\n[shutdown]\ncancel_grace = \"30s\"\n";
    assert_eq!(warned(room, &asked(30)), [""; 0]);
    assert_eq!(warned("", ""), [""; 0], "who asked for nothing is told nothing");
}

#[test]
fn a_stop_timeout_that_just_suffices_is_right() {
    let with = |timeout: &str| format!("[shutdown]\nstop_timeout = \"{timeout}\"\n");
    super::load_text(with("31s")).expect("25 s + 3 s + 2 s + 1 s");
    super::load_text(with("30999ms")).expect_err("one millisecond is missing");
}

#[test]
fn a_mistake_in_the_environment_is_not_lost_when_the_file_is_broken() {
    let variables = [("LEGWORK_CLAIM__BATCH", "0"), ("LEGWORK_QUEUE__LATER__CONCURRENCY", "5")];
    let mistakes = super::load_with("[claim\n", &variables).expect_err("refused").to_string();
    assert!(mistakes.contains("isn't TOML") && mistakes.contains("out of range"), "{mistakes}");
    assert!(!mistakes.contains("LATER"), "{mistakes}");
}

#[test]
fn a_shell_is_allowed_by_the_key_that_says_it_is_unsafe() {
    let text = "[[kind]]\nname = \"a\"\nhandler = \"command\"\n\
                command = [\"/bin/sh\", \"-c\", \"true\"]\nunsafe_shell = true\n";
    super::load_text(text).expect("right");
}

#[test]
fn a_file_of_nothing_but_mistakes_is_answered_in_bounded_words_and_time() {
    let many: Vec<_> = (0..40_000).map(|n| format!("k{n} = 1")).collect();
    let text = format!("[claim]\n{}\n{} = 1\n", many.join("\n"), "x".repeat(100_000));
    let mistakes = super::load_text(text).expect_err("refused");
    let said = mistakes.to_string();
    assert_eq!(mistakes.iter().count(), 200);
    assert!(said.ends_with("there are 39801 more mistakes") && said.len() < 20_000, "{said}");
}

#[rstest]
#[case::fewer_connections(10, "sql\"\nfunction = \"app.f", true)]
#[case::as_many(20, "sql\"\nfunction = \"app.f", false)]
#[case::no_functions(10, "noop", false)]
fn a_queue_that_takes_more_jobs_than_functions_have_connections_is_warned_of(
    #[case] connections: u32,
    #[case] handler: &str,
    #[case] warned: bool,
) {
    let text = format!(
        "[database]\nurl = \"postgres:///app\"\nsql_connections = {connections}\n\
         [[kind]]\nname = \"a\"\nhandler = \"{handler}\"\n"
    );
    let warnings = super::load_text(&text).expect("right").warnings;
    let is_it = |warning: &String| warning.contains("functions run at once");
    assert_eq!(warnings.iter().any(is_it), warned, "{warnings:?}");
}
