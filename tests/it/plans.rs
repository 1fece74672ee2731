//! Golden plans: how the planner reads for each statement of the product, on a database as production
//! has it, whatever the statistics say of it.
//!
//! The golden files say what each plan is, one file a state, so that a reviewer sees what moved. What no
//! golden file may wave through is asserted beside them: nothing reads a whole table or index that grows
//! with jobs but what the [`catalogue`] excuses, with its reason, and every statement goes by the index
//! that is named there. Plans differ between versions of Postgres: a file holds for its major alone, and a
//! server of another is held to the assertions.
//!
//! `make plans` does the same with a million unfinished jobs and ten million finished ones.

mod catalogue;
mod production;
mod round_trips;
mod seen;
mod shape;
mod statement;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;

use catalogue::{WITHOUT, statements};
use production::{Production, Size};
use seen::Planner;
use statement::{Session, Statement};

use crate::decisions::sources;
use crate::statements::{end, execute, rows, value};
use crate::support::server::environment;
use crate::support::{self, TestDb};

/// What the planner makes of every statement in one state of the database.
struct Golden {
    state: &'static str,
    text: String,
    /// What is wrong, whatever a golden file says.
    faults: Vec<String>,
    /// Excuses that were needed: file and table.
    excused: BTreeSet<(&'static str, &'static str)>,
}

impl Golden {
    async fn of(db: &TestDb, state: &'static str, small: BTreeSet<String>) -> Self {
        let mut golden =
            Self { state, text: String::new(), faults: Vec::new(), excused: BTreeSet::new() };
        // Where there is no line, a plan that is kept is judged as if there were one.
        let is_drained = small.contains("job");
        let mut small_to_the_kept = small.clone();
        small_to_the_kept.remove("job");
        for role in Session::ALL {
            let small = if role == Session::Operator { &small } else { &small_to_the_kept };
            let mut planners = Vec::new();
            for mode in role.modes() {
                planners.push(Planner::new(db, Some(role), mode, small).await);
            }
            for statement in statements().filter(|one| one.session == role) {
                golden.look_at(statement, &mut planners).await;
                if let Some(most) = statement.inside.filter(|_| !is_drained) {
                    golden.look_inside(statement, most, &mut planners).await;
                }
            }
            for planner in planners {
                planner.end().await;
            }
        }
        golden
    }

    async fn look_at(&mut self, statement: &Statement, planners: &mut [Planner]) {
        let name = statement.name();
        writeln!(self.text, "{name} ({:?})", statement.session).expect("a String grows");
        let mut trees = Vec::new();
        for planner in planners {
            let plan = planner.plan(statement).await;
            let tree = plan.tree();
            let fault = |what: String| format!("{}, {name}: {what}\n{tree}", self.state);
            for read in plan.reads() {
                match statement.reads.iter().find(|excused| read.is_of(excused)) {
                    Some(excused) => drop(self.excused.insert((statement.file, *excused))),
                    None => self.faults.push(fault(format!("reads {read}"))),
                }
            }
            let indexes = plan.indexes();
            let goes_by = |index: &&str| indexes.contains(*index) || planner.is_drained_by(index);
            let passed = statement.by.iter().filter(|index| !goes_by(index));
            self.faults.extend(passed.map(|index| fault(format!("doesn't go by {index}"))));
            trees.push(tree);
        }
        trees.dedup();
        match &trees[..] {
            [tree] => self.text += tree,
            trees => {
                for (tree, whose) in trees.iter().zip(["any arguments", "these arguments"]) {
                    write!(self.text, "  for {whose}:\n{tree}").expect("a String grows");
                }
            }
        }
    }

    async fn look_inside(&mut self, statement: &Statement, most: i64, planners: &mut [Planner]) {
        let mut seen = Vec::new();
        for planner in planners {
            let inside = planner.run_and_see(statement).await;
            let entries: i64 = inside.indexes.values().sum();
            let scanned = ["job", "finished_DAY", "failed_attempt_DAY"];
            if entries > most || scanned.iter().any(|table| inside.tables.contains_key(*table)) {
                let what = format!("{}, {}: reads {inside:?}", self.state, statement.name());
                self.faults.push(what);
            }
            seen.push(inside.names());
        }
        seen.dedup();
        writeln!(self.text, "  inside: {}", seen.join("; or ")).expect("a String grows");
    }
}

/// The plan of a statement for any arguments, as the session makes it that sends it; of one that nothing is told about
/// planning where `is_told` isn't so.
pub(crate) async fn for_any_arguments(db: &TestDb, file: &str, is_told: bool) -> String {
    let statement = statements().find(|one| one.file == file && one.case.is_empty());
    let statement = statement.unwrap_or_else(|| panic!("{file} isn't in the catalogue"));
    let nulls = vec!["NULL"; statement.types.split(',').count()].join(", ");
    let mut session = db.connect().await;
    let general = include_str!("../../src/postgres/sql/session.sql");
    let own = if is_told { statement.session.setup() } else { "" };
    let generic = "SET plan_cache_mode = force_generic_plan";
    execute(&mut session, &format!("{general}{own}{generic}")).await;
    let prepare = format!("PREPARE golden ({}) AS {}", statement.types, statement.text());
    execute(&mut session, &prepare).await;
    let explain = format!("EXPLAIN (COSTS OFF) EXECUTE golden ({nulls})");
    let lines = rows(&mut session, &explain).await;
    end(session).await;
    lines.join("\n")
}

/// An excuse that no state needs would excuse what comes.
fn assert_needed(excused: &BTreeSet<(&'static str, &'static str)>) {
    for statement in statements() {
        for read in statement.reads {
            let is_needed = excused.contains(&(statement.file, *read));
            assert!(is_needed, "{} never reads all of {read}", statement.file);
        }
    }
}

/// Compares with the golden file of the size and the server's major, where there is one or one is to be made.
fn compare(golden: &Golden, size: &str, major: i32) {
    let name = format!("{size}_{}_postgres_{major}", golden.state);
    let file = format!("{}/tests/it/plans/snapshots/{name}.snap", env!("CARGO_MANIFEST_DIR"));
    let is_to_be_made = environment("INSTA_UPDATE").as_deref() == Some("always");
    if !is_to_be_made && !std::path::Path::new(&file).exists() {
        // Past the capture of output: a run that passes is to say it as well.
        let line = format!("there are no golden plans {name}: `make golden` makes them\n");
        std::io::stderr().write_all(line.as_bytes()).ok();
        return;
    }
    insta::with_settings!({ prepend_module_to_snapshot => false, snapshot_path => "plans/snapshots",
        omit_expression => true }, {
        insta::assert_snapshot!(name, golden.text);
    });
}

#[test]
fn every_statement_reads_as_it_should_whatever_the_statistics_say() {
    support::run(async |db| {
        let size = Size::given();
        let mut production = Production::neglected(&db, size).await;
        let mut goldens = Vec::new();
        goldens.push(Golden::of(&db, "never_analysed", production.small().await).await);
        production.analyse().await;
        goldens.push(Golden::of(&db, "analysed", production.small().await).await);
        production.drain().await;
        goldens.push(Golden::of(&db, "drained", production.small().await).await);
        production.refill().await;
        goldens.push(Golden::of(&db, "refilled", production.small().await).await);
        production.end().await;
        let faults: Vec<_> = goldens.iter().flat_map(|golden| &golden.faults).cloned().collect();
        assert!(faults.is_empty(), "{}", faults.join("\n"));

        if size.is_the_usual() {
            let excused = goldens.iter().flat_map(|golden| golden.excused.clone());
            assert_needed(&excused.collect());
        }
        let mut session = db.connect().await;
        let major = "SELECT current_setting('server_version_num')::int / 10000";
        let major = sqlx::query_scalar(major).fetch_one(&mut session).await.unwrap();
        sqlx::Connection::close(session).await.unwrap();
        if let Some(size) = size.name() {
            for golden in &goldens {
                compare(golden, size, major);
            }
        }
    });
}

#[test]
fn every_statement_is_in_the_catalogue_or_says_why_it_has_no_plan() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/postgres/sql");
    let entries = std::fs::read_dir(directory).expect("the statements can be listed");
    let names = entries.map(|entry| entry.expect("an entry can be read").file_name());
    let names = names.map(|name| name.into_string().expect("a name is text"));
    let files: BTreeSet<String> =
        names.map(|name| name.strip_suffix(".sql").expect("a statement").to_owned()).collect();
    let planned: BTreeSet<String> = statements().map(|one| one.file.to_owned()).collect();
    let without: BTreeSet<String> =
        WITHOUT.iter().flat_map(|(files, _)| *files).map(|&file| file.to_owned()).collect();
    let both: Vec<_> = planned.intersection(&without).collect();
    assert!(both.is_empty(), "with a plan and without: {both:?}");
    let known: BTreeSet<String> = planned.union(&without).cloned().collect();
    let missing: Vec<_> = files.difference(&known).collect();
    assert!(missing.is_empty(), "in neither list of tests/it/plans/catalogue.rs: {missing:?}");
    let gone: Vec<_> = known.difference(&files).collect();
    assert!(gone.is_empty(), "there is no such file any more: {gone:?}");
    let names: BTreeSet<String> = statements().map(Statement::name).collect();
    let unexplained: Vec<_> = statements()
        .filter(|one| one.reads.is_empty() != one.why.is_empty())
        .map(Statement::name)
        .collect();
    assert!(unexplained.is_empty(), "{unexplained:?}");
    assert!(names.contains("claim"));
}

/// The sources below `src/postgres` that send statements with a plan, and on which sessions.
const SENDERS: &[(&str, &[Session])] = &[
    ("claim", &[Session::Claim]),
    ("settle", &[Session::Completer]),
    ("upkeep", &[Session::Indexed]),
    ("function/aside", &[Session::Aside]),
    ("operations", &[Session::Operator, Session::Request, Session::Plain]),
    ("producer", &[Session::Plain]),
    ("observe", &[Session::Plain]),
    ("bench", &[Session::Plain]),
    ("lease", &[Session::Plain]),
];

#[test]
fn every_statement_is_planned_on_the_session_that_sends_it() {
    let top = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/postgres"));
    for path in sources::files(top) {
        let source = std::fs::read_to_string(&path).expect("a source can be read");
        let place = path.strip_prefix(top).expect("it is below").to_string_lossy().into_owned();
        let sender = SENDERS.iter().find(|(sender, _)| place.starts_with(sender));
        let files = source.split("sql/").skip(1).filter_map(|rest| rest.split_once(".sql\""));
        for (file, _) in files {
            let mut sent = statements().filter(|one| one.file == file).peekable();
            if sent.peek().is_none() {
                continue;
            }
            let (_, sessions) = sender.unwrap_or_else(|| panic!("{place} sends {file}: on what?"));
            let is_known = sent.any(|one| sessions.contains(&one.session));
            assert!(is_known, "{place} sends {file} on one of {sessions:?}");
        }
    }
}

/// The claim's plan must not hang on settings that a pooler may drop.
#[test]
fn the_claim_walks_its_index_with_default_settings_too() {
    support::run(async |db| {
        let mut production =
            Production::neglected(&db, Size { live: 100_000, finished: 1_000 }).await;
        production.analyse().await;
        for mode in Session::Claim.modes() {
            let mut planner = Planner::new(&db, None, mode, &BTreeSet::new()).await;
            for claim in statements().filter(|one| one.file == "claim") {
                let plan = planner.plan(claim).await;
                assert!(plan.indexes().contains("job_ready"), "{mode}:\n{}", plan.tree());
            }
            planner.end().await;
        }
        production.end().await;
    });
}

/// To plan a flush of one verdict costs as much as all else of it, so the sessions that every job passes keep one
/// plan for all arguments. Left to itself the server makes a new one each time: with arrays at hand they look cheaper.
#[test]
fn what_every_job_passes_is_planned_once() {
    const FINISH: &str = include_str!("../../src/postgres/sql/finish.sql");
    const ALIKE: &str = include_str!("../../src/postgres/sql/finish_alike.sql");
    const WITHOUT_HISTORY: &str = include_str!("../../src/postgres/sql/finish_without_history.sql");
    #[rustfmt::skip]
    const ENDS: &[(&str, &str, &str)] = &[
        (FINISH, "bigint[], bigint[], bigint[], text[], text[], text[], smallint[], int[], tid[], int[]",
            "'{1}', '{1}', '{7}', '{completed}', '{null}', '{null}', '{1}', '{7}', '{null}', '{3}'"),
        (ALIKE, "bigint[], bigint[], bigint[], tid[], text, text, smallint, int, int[]",
            "'{1}', '{1}', '{7}', '{null}', 'completed', null, 1::smallint, 7, '{3}'"),
        (WITHOUT_HISTORY, "bigint[], bigint[], bigint[], tid[]", "'{1}', '{1}', '{7}', '{null}'"),
    ];
    const PLANS: &str = "SELECT format('%s for all, %s for one', generic_plans, custom_plans)
        FROM pg_prepared_statements WHERE name = 'ends'";
    support::run(async |db| {
        for role in [Session::Completer, Session::Attempt] {
            for (statement, types, arguments) in ENDS {
                let mut session = db.connect().await;
                execute(&mut session, &format!("PREPARE ends ({types}) AS {statement}")).await;
                let executes = format!("EXECUTE ends ({arguments});").repeat(7);
                execute(&mut session, &format!("{}{executes}", role.setup())).await;
                let plans = value(&mut session, PLANS).await;
                assert_eq!(plans, "7 for all, 0 for one", "{role:?}: {statement}");
                end(session).await;
            }
        }
    });
}
