//! What only one room may do: speak SQL, start tasks, read the environment, be unsafe.
//!
//! Production code is meant. A test may read an environment variable or send a statement.

use crate::{
    layers::is_test,
    scan::Rust,
    tree::{File, Finding, Tree, clean, line_at},
};

/// Someone who may do what others may not, and how it looks in code.
struct Ban {
    room: &'static str,
    names: &'static [&'static str],
    instead: &'static str,
}

const STARTING_TASKS: Ban = Ban {
    room: "supervise",
    names: &[
        "tokio::spawn",
        "task::spawn",
        "spawn_local",
        "JoinSet",
        "TaskTracker",
        "Handle::current().spawn",
    ],
    instead: "start it through the supervisor: a task has a name, an owner and a declared end",
};

const READING_THE_ENVIRONMENT: Ban = Ban {
    room: "config",
    names: &[
        "env::var",
        "env::vars",
        "env::var_os",
        "env::vars_os",
        "from_default_env",
        "try_from_default_env",
        "from_env",
    ],
    instead: "only `config` reads the environment: take the checked value by the constructor",
};

const BEING_UNSAFE: Ban = Ban {
    room: "sys",
    names: &["unsafe"],
    instead: "only `sys` is unsafe: ask it for a safe function",
};

const RAW_METRICS: Ban = Ban {
    room: "telemetry",
    names: &["counter!", "gauge!", "histogram!"],
    instead: "use the catalogue in `telemetry`: a metric is documented and its labels are bounded",
};

fn of_room(path: &str, room: &str) -> bool {
    path == format!("src/{room}.rs") || path.starts_with(&format!("src/{room}/"))
}

/// The production code outside a room.
fn outside<'a>(tree: &'a Tree, room: &'a str) -> impl Iterator<Item = (&'a File, Rust)> {
    tree.under("src/", ".rs")
        .filter(move |file| !of_room(&file.path, room) && !is_test(&file.path))
        .map(|file| (file, Rust::of(&file.text).without_tests()))
}

fn broken(tree: &Tree, ban: &Ban) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, rust) in outside(tree, ban.room) {
        for name in ban.names {
            for at in rust.names(name) {
                let say = format!("`{name}`: {}", ban.instead);
                findings.push(Finding::new(&file.path, line_at(&file.text, at), say));
            }
        }
    }
    findings
}

/// Whether a string is a statement rather than a sentence.
fn is_sql(literal: &str) -> bool {
    let text = literal.split_whitespace().collect::<Vec<_>>().join(" ");
    let begins = |word: &str| text.starts_with(word);
    let shouted = (begins("SELECT ") && (text.contains(" FROM ") || text.contains('(')))
        || (begins("UPDATE ") && text.contains(" SET "))
        || (begins("COPY ") && (text.contains(" FROM ") || text.contains(" TO ")))
        || (begins("WITH ") && text.contains(" AS ("))
        || [
            "INSERT INTO ",
            "DELETE FROM ",
            "CREATE ",
            "ALTER ",
            "DROP ",
            "TRUNCATE ",
            "LISTEN ",
            "NOTIFY ",
            "GRANT ",
            "REVOKE ",
            "SET LOCAL ",
            "BEGIN;",
            "COMMIT;",
        ]
        .iter()
        .any(|word| begins(word));
    let whispered = text.to_lowercase();
    let whispered = ["insert into ", "delete from ", "truncate "].iter().any(|word| {
        whispered.find(word).is_some_and(|at| whispered[at + word.len()..].starts_with("legwork."))
    });
    shouted || whispered || text.contains(" FROM legwork.")
}

/// A statement that people are shown says so in the comment above it.
fn is_shown_only(text: &str, line: usize) -> bool {
    let above = line.saturating_sub(4)..line;
    text.lines()
        .skip(above.start)
        .take(above.len())
        .any(|line| line.contains("// Shown, never sent"))
}

fn stray_sql(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, rust) in outside(tree, "postgres") {
        for literal in rust.literals.iter().filter(|literal| is_sql(&literal.text)) {
            let line = line_at(&file.text, literal.at);
            if !is_shown_only(&file.text, line) {
                let say = "SQL outside `postgres`: make it a file in src/postgres/sql (text for people \
                           gets the comment `// Shown, never sent.` above)";
                findings.push(Finding::new(&file.path, line, say));
            }
        }
    }
    let elsewhere = tree.files.iter().filter(|file| file.path.ends_with(".sql"));
    for file in elsewhere {
        let home = ["src/postgres/", "migrations/", "docs/", "tests/", "benches/", "examples/"];
        if !home.iter().any(|home| file.path.starts_with(home)) {
            findings.push(Finding::new(
                &file.path,
                1,
                "SQL lives in src/postgres/sql or migrations",
            ));
        }
    }
    findings
}

fn sql_files(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.under("src/postgres/sql/", ".sql") {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        let users = ["src/", "tests/", "benches/"];
        let used = users.iter().flat_map(|place| tree.under(place, ".rs")).any(|rust| {
            let literals = Rust::of(&rust.text).literals;
            literals
                .iter()
                .any(|literal| literal.text == name || literal.text.ends_with(&format!("/{name}")))
        });
        if !used {
            findings.push(Finding::new(
                &file.path,
                1,
                "no .rs file includes it: use it or remove it",
            ));
        }
        if !file.text.starts_with("-- ") {
            let say = "open with a comment: the intent, the index it uses, the planner's reason";
            findings.push(Finding::new(&file.path, 1, say));
        }
    }
    findings
}

#[test]
fn only_postgres_and_migrations_contain_sql() {
    clean(&stray_sql(&Tree::of_the_repository()));
}

#[test]
fn every_statement_is_used_and_explains_itself() {
    clean(&sql_files(&Tree::of_the_repository()));
}

#[test]
fn only_supervise_starts_tasks() {
    clean(&broken(&Tree::of_the_repository(), &STARTING_TASKS));
}

#[test]
fn only_config_reads_the_environment() {
    clean(&broken(&Tree::of_the_repository(), &READING_THE_ENVIRONMENT));
}

#[test]
fn only_sys_is_unsafe() {
    clean(&broken(&Tree::of_the_repository(), &BEING_UNSAFE));
}

#[test]
fn only_the_catalogue_makes_metrics() {
    clean(&broken(&Tree::of_the_repository(), &RAW_METRICS));
}

#[cfg(test)]
mod tests {
    use super::{
        BEING_UNSAFE, RAW_METRICS, READING_THE_ENVIRONMENT, STARTING_TASKS, Tree, broken, is_sql,
        sql_files, stray_sql,
    };

    #[test]
    fn each_ban_is_found_outside_its_room_and_not_in_it() {
        for (ban, text) in [
            (&STARTING_TASKS, "tokio::spawn(async {});"),
            (&STARTING_TASKS, "let set = JoinSet::new();"),
            (&READING_THE_ENVIRONMENT, "std::env::var(\"HOME\")"),
            (&BEING_UNSAFE, "unsafe { fork() }"),
            (&RAW_METRICS, "metrics::counter!(NAME).increment(1);"),
        ] {
            let home = format!("src/{}/x.rs", ban.room);
            assert_eq!(broken(&Tree::made_of(&[("src/worker.rs", text)]), ban).len(), 1, "{text}");
            assert_eq!(broken(&Tree::made_of(&[(&home, text)]), ban), [], "{text}");
        }
    }

    #[test]
    fn a_test_and_a_comment_are_no_breach() {
        let text =
            "// tokio::spawn is banned\n#[cfg(test)]\nmod tests { fn f() { tokio::spawn(x); } }";
        assert_eq!(broken(&Tree::made_of(&[("src/worker.rs", text)]), &STARTING_TASKS), []);
    }

    #[test]
    fn statements_are_told_from_sentences() {
        for sql in [
            "SELECT 1 FROM x",
            "SELECT pg_notify($1, '')",
            "UPDATE legwork.job\n SET holder = $1",
            "insert into legwork.job (kind)",
            "LISTEN legwork",
            "COPY legwork.job (kind) FROM STDIN",
        ] {
            assert!(is_sql(sql), "{sql}");
        }
        for sentence in [
            "Select the queue from the list",
            "update failed: nothing was set",
            "claim from queue",
            "legwork.job can't be read",
        ] {
            assert!(!is_sql(sentence), "{sentence}");
        }
    }

    #[test]
    fn a_statement_outside_postgres_is_found_unless_it_is_shown_to_people() {
        let sent = "fn f() { run(\"DELETE FROM legwork.job\") }";
        let shown = "// Shown, never sent.\nprint(\"INSERT INTO legwork.job (kind) VALUES ('x')\")";
        assert_eq!(stray_sql(&Tree::made_of(&[("src/worker.rs", sent)])).len(), 1);
        assert_eq!(stray_sql(&Tree::made_of(&[("src/postgres/a.rs", sent)])), []);
        assert_eq!(stray_sql(&Tree::made_of(&[("src/cli/demo.rs", shown)])), []);
        assert_eq!(stray_sql(&Tree::made_of(&[("src/cli/x.sql", "")])).len(), 1);
    }

    #[test]
    fn an_unused_statement_and_one_without_a_comment_are_found() {
        let rust =
            ("src/postgres/claim.rs", "const CLAIM: &str = include_str!(\"sql/claim.sql\");");
        let good = ("src/postgres/sql/claim.sql", "-- Claims.\nSELECT 1");
        let bare = ("src/postgres/sql/claim.sql", "SELECT 1");
        assert_eq!(sql_files(&Tree::made_of(&[rust, good])), []);
        assert_eq!(sql_files(&Tree::made_of(&[rust, bare])).len(), 1);
        assert_eq!(sql_files(&Tree::made_of(&[good])).len(), 1);
    }
}
