//! Every statement of the product: those with a plan, how they are sent and what they may read, and
//! those without one, each with its reason. A test holds it to the files.

use super::statement::{
    Session::{Aside, Attempt, Claim, Completer, Indexed, Operator, Plain, Request},
    Statement,
};

const fn at_claim(file: &'static str) -> Statement {
    Statement::new(Claim, file)
}

const fn at_completer(file: &'static str) -> Statement {
    Statement::new(Completer, file)
}

const fn at_upkeep(file: &'static str) -> Statement {
    Statement::new(Indexed, file)
}

const fn plain(file: &'static str) -> Statement {
    Statement::new(Plain, file)
}

const fn operator(file: &'static str) -> Statement {
    Statement::new(Operator, file)
}

const fn request(file: &'static str) -> Statement {
    Statement::new(Request, file)
}

const JOB_PKEY: &[&str] = &["job_pkey"];
const JOB_READY: &[&str] = &["job_ready"];
const JOB_WAITING: &[&str] = &["job_waiting"];
const BY_ID: &[&str] = &["job_pkey", "finished_id"];
const WHOLE_LINE: &[&str] = &["job"];
const ALL_JOBS: &[&str] = &["job", "finished"];

const NO_INDEX_ON_HOLDER: &str = "an index on holder would cost every job more than a scan a death";
const OF_A_TEST: &str = "it is for tests, whose tables are small";
const OF_A_DEMO: &str = "it is for the demo's private database";
const FIRST_IN_LINE: &str = "its LIMIT ends the walk at the first entry";

/// A fence of a thousand leases.
const FENCE: &str =
    "public.in_line(1000), public.all_of(1::bigint, 1000), public.all_of(7::bigint, 1000)";
/// The same, and where a row of them lay.
const FENCE_WITH_PLACES: &str = "public.in_line(1000), public.all_of(1::bigint, 1000), public.all_of(7::bigint, 1000), '{\"(0,1)\"}'";
/// Types of what jobs that end alike are ended by.
const ALIKE: &str = "bigint[], bigint[], bigint[], tid[], text, text, smallint, int, int[]";

/// Taking jobs, and what becomes of them.
#[rustfmt::skip]
pub(super) const HOT: &[Statement] = &[
    at_claim("claim").by(JOB_READY).with("bigint, text, smallint[], bigint[], text[], bigint, bool",
        "7, 'default', '{-2,-1,0,1,2}', '{0,0,0,0,0}', '{send_email,resize}', 500, true"),
    at_claim("claim").case("a sweep with a mark").by(JOB_READY).with("bigint, text, smallint[], bigint[], text[], bigint, bool",
        "7, 'default', '{0}', '{90000}', '{send_email}', 100, false"),
    at_claim("look").by(JOB_READY).with("int[], text[], smallint[], bigint[], text[]",
        "'{0,0}', '{default,mail}', '{-1,0}', '{0,0}', '{\"send_email,resize\",\"send_email,resize\"}'"),
    at_claim("claimable").by(JOB_READY).with("text, smallint[], bigint[], text[], bigint",
        "'default', '{-2,-1,0,1,2}', '{0,0,0,0,0}', '{send_email,resize}', 500"),
    at_claim("claim_these").by(JOB_PKEY).with("bigint, text, bigint[]", "7, 'default', public.in_line(500)"),
    at_claim("release_unknown").reads(WHOLE_LINE, NO_INDEX_ON_HOLDER).with("bigint, bigint[], bigint[]",
        "7, public.in_line(100), public.all_of(1::bigint, 100)"),
    at_completer("finish").by(JOB_PKEY).with("bigint[], bigint[], bigint[], text[], text[], text[], smallint[], int[], tid[], int[]",
        "public.in_line(1000), public.all_of(1::bigint, 1000), public.all_of(7::bigint, 1000), public.all_of('completed'::text, 1000), public.all_of(null::text, 1000), public.all_of(null::text, 1000), public.all_of(1::smallint, 1000), public.all_of(7, 1000), '{\"(0,1)\"}', public.all_of(3, 1000)"),
    at_completer("finish_without_history").by(JOB_PKEY).with("bigint[], bigint[], bigint[], tid[]", FENCE_WITH_PLACES),
    at_completer("finish_alike").by(JOB_PKEY).with(ALIKE, "public.in_line(1000), public.all_of(1::bigint, 1000), public.all_of(7::bigint, 1000), '{\"(0,1)\"}', 'completed', null, 1::smallint, 7, public.all_of(3, 1000)"),
    Statement::new(Attempt, "finish").case("behind a function").by(JOB_PKEY)
        .with("bigint[], bigint[], bigint[], text[], text[], text[], smallint[], int[], tid[], int[]",
            "public.in_line(1), '{1}', '{7}', '{completed}', '{null}', '{null}', '{1}', '{7}', '{\"(0,1)\"}', '{3}'"),
    Statement::new(Attempt, "finish_without_history").case("behind a function").by(JOB_PKEY)
        .with("bigint[], bigint[], bigint[], tid[]", "public.in_line(1), '{1}', '{7}', '{null}'"),
    Statement::new(Attempt, "finish_alike").case("behind a function").by(JOB_PKEY)
        .with(ALIKE, "public.in_line(1), '{1}', '{7}', '{null}', 'completed', null, 1::smallint, 7, '{3}'"),
    at_completer("put_back").by(JOB_PKEY).with("bigint[], bigint[], bigint[], float8[], smallint[], smallint[]",
        "public.in_line(1000), public.all_of(1::bigint, 1000), public.all_of(7::bigint, 1000), public.all_of(1::float8, 1000), public.all_of(1::smallint, 1000), public.all_of(0::smallint, 1000)"),
    at_completer("release").by(JOB_PKEY).with("bigint[], bigint[], bigint[]", FENCE),
    at_completer("taken").by(&["job_pkey", "finished_id"]).with("bigint[], bigint[], bigint[]", FENCE),
    at_completer("locked_jobs").by(JOB_PKEY).with("bigint[]", "public.in_line(1000)"),
    at_completer("insert_failed_attempts").with("bigint[], bigint[], bigint[], smallint[], text[], text[], int[], int[]",
        "public.in_line(2), '{1,1}', '{7,7}', '{1,1}', '{failed,failed}', '{no,no}', '{5,5}', '{30,30}'"),
    Statement::new(Aside, "look_at_lease").by(JOB_PKEY).with("bigint", "(public.in_line(1))[1]"),
    Statement::new(Aside, "completed_under").by(&["finished_id"]).with("bigint, bigint", "(public.in_history(1))[1], 3"),
    plain("assert_lease").with("bigint, bigint", "(public.in_line(1))[1] + 43, 1").inside(50),
    plain("enqueue_job").with("text, text, text, text, text, smallint, smallint, text, text, text, text[], text",
        "'send_email', '{}', 'default', null, null, 0, null, 'key', null, null, '{a}', null"),
    plain("daemon_register").with("bigint, float8, text, text, text, text[], text[], jsonb, jsonb, bigint",
        "50, 30, 'a', '1', 'here', '{default}', '{send_email}', '{}', '{}', 7"),
    plain("daemon_renew").with("bigint, float8, jsonb, jsonb, text[], text[]", "7, 30, '{}', '{}', '{default}', '{send_email}'"),
    plain("daemon_retire").with("bigint", "7"),
];

/// What maintenance does by itself, once in a while.
#[rustfmt::skip]
pub(super) const UPKEEP: &[Statement] = &[
    at_upkeep("horizon"),
    at_upkeep("decided").with("bigint, text[]", "7, '{default,mail}'"),
    at_upkeep("end_overrides"),
    at_upkeep("doorbell_extend").with("float8", "10"),
    at_upkeep("doorbell_silence"),
    at_upkeep("canary").with("text, text", "'default', 'legwork.canary'"),
    at_upkeep("promote").by(JOB_WAITING).with("float8", "1000000000"),
    at_upkeep("due").by(JOB_WAITING).with("float8, bigint", "1000000000, 10"),
    at_upkeep("promote_these").by(JOB_PKEY).with("bigint[]", "public.in_line(1000)"),
    at_upkeep("next_due").by(JOB_WAITING).with("float8", "1000000000"),
    at_upkeep("expired").by(&["job_expiry"]).with("bigint", "0"),
    at_upkeep("expire_these").by(JOB_PKEY).with("bigint[]", "public.in_line(1000)"),
    at_upkeep("cancel_requests").by(&["job_cancel"]).with("bigint", "7"),
    at_upkeep("declare_dead").with("float8", "1"),
    at_upkeep("holders_among").reads(WHOLE_LINE, NO_INDEX_ON_HOLDER).with("bigint[]", "'{8,9,10}'"),
    at_upkeep("holds").reads(WHOLE_LINE, NO_INDEX_ON_HOLDER).with("bigint", "8"),
    at_upkeep("unknown_holders").reads(WHOLE_LINE, NO_INDEX_ON_HOLDER),
    at_upkeep("rescue").reads(WHOLE_LINE, NO_INDEX_ON_HOLDER).with("bigint", "8"),
    at_upkeep("rescue_unrecorded").reads(WHOLE_LINE, NO_INDEX_ON_HOLDER).with("bigint", "8"),
    at_upkeep("held_by").by(JOB_PKEY).with("bigint, bigint", "8, 50000"),
    at_upkeep("rescue_these").by(JOB_PKEY).with("bigint, bigint[]", "8, public.in_line(1000)"),
    at_upkeep("rescue_these_unrecorded").by(JOB_PKEY).with("bigint, bigint[]", "8, public.in_line(1000)"),
    at_upkeep("forget_daemons"),
    at_upkeep("prune_audit").with("int", "1000").inside(1_000),
    at_upkeep("forget_requests").by(&["request_answered_at", "request_pkey"]).with("bigint", "1000"),
    at_upkeep("queue_counts").by(JOB_READY).with("text[], text[]", "'{default,mail,reports}', '{send_email,resize}'"),
    at_upkeep("waiting_counts").reads(JOB_WAITING, "its LIMIT ends the walk after 10,000 entries"),
    at_upkeep("unserved_counts").by(JOB_READY).reads(JOB_READY, FIRST_IN_LINE).with("text[]", "'{default,mail}'").inside(40_000),
    at_upkeep("nothing_left").reads(WHOLE_LINE, "it ends at the first row, of a table that drains").with("text, text[]", "'default', '{send_email}'"),
    at_upkeep("publish_queue").with("text, int, int, int", "'default', 7, 7, 30"),
    at_upkeep("make_discard_days"),
    at_upkeep("schema_version"),
    at_upkeep("schedule_adopt").with("text[], text[], bigint", "'{schedule_1,schedule_2}', '{a,b}', 7"),
    at_upkeep("schedule_leave").with("text[], bigint", "'{schedule_1,schedule_2}', 7"),
    at_upkeep("schedule_take").with("text, text, bigint, bigint", "'schedule_1', 'a', 7, 8"),
    at_upkeep("schedule_look").with("text[], float8", "'{schedule_1,schedule_2}', 30"),
    at_upkeep("schedule_fire").by(JOB_PKEY).with("text, text, float8, float8, bool, bool, text, text, text, smallint, float8, text, bigint",
        "'schedule_1', 'a', 1000000000, 1000000060, true, true, 'send_email', '{}', 'default', 0, 0, '{}', 1"),
];

/// What people ask for, and programs on their behalf.
#[rustfmt::skip]
pub(super) const LISTS: &[Statement] = &[
    asked("the newest", "null, null, null, null, 9223372036854775807, 50, 20000, null, null, null, null").by(BY_ID),
    asked("from the middle of history", "null, null, null, null, (public.in_history(2))[2], 1000, 20000, null, null, null, null").by(BY_ID),
    asked("of a common queue", "'default', null, null, null, 9223372036854775807, 50, 20000, null, null, null, null").by(BY_ID),
    asked("of a rare queue", "'queue_3', null, null, null, 9223372036854775807, 50, 20000, null, null, null, null").by(BY_ID),
    asked("of a rare kind", "null, 'kind_3', null, null, 9223372036854775807, 50, 20000, null, null, null, null").by(BY_ID),
    asked("with a tag", "null, null, null, 'tenant_14', 9223372036854775807, 50, 20000, null, null, null, null").by(BY_ID),
    asked("of the last hour", "null, null, null, null, 9223372036854775807, 50, 20000, null, 3600, null, null").by(BY_ID),
    asked("of before a moment", "null, null, null, null, 9223372036854775807, 50, 20000, null, null, '2026-01-01T00:00:00Z', null").by(BY_ID),
    asked("what runs", "null, null, 'running', null, 9223372036854775807, 50, 20000, null, null, null, null").by(JOB_PKEY),
    asked("what waits", "null, null, 'retryable', null, 9223372036854775807, 50, 20000, null, null, null, null").by(JOB_PKEY),
    asked("what was discarded", "null, null, 'discarded', null, 9223372036854775807, 50, 20000, null, null, null, null").by(&["finished_reason"]),
    asked("everything at once", "'default', 'send_email', 'completed', 'nightly', 9223372036854775807, 50, 20000, null, null, null, null").by(&["finished_id"]),
    of_a_command("the newest, of a command", "null, null, null, null, 9223372036854775807, 50, 1000000, null, null, null, null"),
    of_a_command("of a rare kind, of a command", "null, 'kind_3', null, null, 9223372036854775807, 50, 1000000, null, null, null, null").by(&[]),
    of_a_command("what was discarded, of a command", "null, null, 'discarded', null, 9223372036854775807, 50, 1000000, null, null, null, null").by(&["finished_reason"]),
    request("list_jobs_with_payload").case("with payloads").with(LIST_WITH, "null, null, null, null, 9223372036854775807, 50, 20000, null, null, null, null, '{}', '{}', true, 4194304").by(BY_ID),
    request("list_jobs_with_payload").case("by payload").with(LIST_WITH, "'default', null, 'completed', null, 9223372036854775807, 50, 20000, null, null, null, null, '{user.id}', '{42}', false, 4194304").by(&["finished_id"]),
    request("request_find").by(&["request_pkey"]).with("text", "'k'"),
    request("request_keep").with("text, bytea, smallint, text, text", "'k', sha256('x'), 201, null, '{}'"),
    request("batch_ids").by(&["job_pkey"]).with("bigint, bigint", "9000000000, 100"),
    request("find_unique").by(&["job_unique"]).with("text, text", "'default', 'k'"),
    request("list_notes").case("the newest").with(NOTES, "null, null, null, null, null, 9223372036854775807, 50, 20000").by(&["audit_pkey"]),
    request("list_notes").case("of a job").with(NOTES, "'cancel', 'job/4711', null, null, 3600, 9223372036854775807, 50, 20000"),
    request("try_bulk").with("text, text, text, bool", "'cancel', '{\"queue\": \"queue_3\"}', null, false").inside(160_000),
    request("begin_bulk").with("text, text, text, bool, bigint, text, text, text", "'cancel', '{\"queue\": \"queue_3\"}', null, false, 7, 'a', null, null").inside(100),
    request("list_operations").case("the newest").with("text, bigint, bigint, bigint", "null, 9223372036854775807, 50, 20000").by(&["operation_pkey"]),
    request("list_operations").case("what runs").with("text, bigint, bigint, bigint", "'running', 9223372036854775807, 50, 20000"),
    request("show_operation").with("bigint", "1"),
    request("cancel_bulk").with("bigint, text, text, text", "(legwork.begin_bulk('cancel', '{}', everything => true) ->> 'id')::bigint, 'a', null, null").inside(100),
    at_upkeep("next_operation").with("bigint", "7"),
    at_upkeep("step_bulk").with("bigint, bigint", "(legwork.begin_bulk('snooze', '{\"queue\": \"queue_3\"}', '1 h') ->> 'id')::bigint, 7").inside(40_000),
    operator("step_bulk").case("of a command").with("bigint, bigint", "(legwork.begin_bulk('snooze', '{\"queue\": \"queue_3\"}', '1 h') ->> 'id')::bigint, 7").inside(40_000),
    at_upkeep("fail_bulk").with("bigint, text", "(legwork.begin_bulk('cancel', '{}', everything => true) ->> 'id')::bigint, 'why'").inside(100),
    at_upkeep("show_operation").case("of a daemon").with("bigint", "1"),
    request("list_daemons").with("bigint", "1000"),
    request("show_queue").by(&["job_ready", "job_waiting"]).reads(JOB_WAITING, "its LIMIT ends the walk after 10,000 entries").with("text", "'default'"),
    operator("list_queues").by(JOB_READY).with("bigint, text", "500, ''").inside(60_000),
    operator("show_job").by(&["job_pkey", "finished_id", "failed_attempt_key"]).with("bigint, bigint", "(public.in_history(1))[1], 100"),
    operator("show_public_job").by(BY_ID).with("bigint", "(public.in_history(1))[1]"),
    operator("explain_job").case("in line").with("bigint", "(public.in_line(3))[3]").inside(21_000),
    operator("explain_job").case("finished").with("bigint", "(public.in_history(3))[3]").inside(100),
    plain("cancel_job").with("bigint", "(public.in_line(3))[3]").inside(100),
    operator("cancel_jobs").case("in line").with(CHANGE, "public.in_line(10), 'a', null, null, null").inside(200),
    operator("cancel_jobs").case("finished").with(CHANGE, "public.in_history(10), 'a', null, null, null").inside(200),
    operator("retry_jobs").case("in line").with(CHANGE, "ARRAY[(public.in_line(3))[2]], 'a', null, null, null").inside(100),
    operator("retry_jobs").case("finished").with(CHANGE, "public.in_history(10), 'a', null, null, null").inside(200),
    operator("snooze_jobs").with("bigint[], text, text, text, text, text[]", "ARRAY[(public.in_line(3))[2]], '5000 microseconds', 'a', null, null, null").inside(100),
    operator("discard_jobs").case("in line").with(CHANGE, "ARRAY[(public.in_line(3))[2]], 'a', null, null, null").inside(100),
    operator("discard_jobs").case("finished").with(CHANGE, "public.in_history(10), 'a', null, null, null").inside(200),
    operator("pause_queue").with("text, text, text, text, text[], text, float8", "'default', 'a', 'why', null, null, null, 60").inside(100),
    operator("resume_queue").with("text, text, text, text, text[]", "'reports', 'a', null, null, null").inside(100),
    operator("drain_queue").with("text, text, float8, text[], text, text, text", "'default', null, 60, null, 'ann', 'why', null").inside(100),
    operator("override_queue").with("text, int, text, text, float8, text[], text, text, text",
        "'default', 5, '30/m burst 2', null, 60, null, 'ann', 'why', null").inside(100),
    operator("reset_queue").with("text, text, text[], text, text, text", "'default', null, null, 'ann', 'why', null").inside(100),
    operator("tell_daemon").with("bigint, text, text, text, text", "7, 'quiet', 'ann', 'why', null").inside(100),
    operator("note").with("text, text, text, text, text, text", "'reload', 'daemon/a', '{}', 'ann', 'why', null").inside(100),
    operator("schedule_look").with("text[], float8", "'{schedule_1}', 30"),
    operator("schedule_known").with("text", "'schedule_1'"),
    operator("schedule_run").by(JOB_PKEY).with("text, bool, text, text, text, smallint, text, bigint, text, text, text",
        "'schedule_1', true, 'send_email', '{}', 'default', 0, '{}', 1, 'a', null, null"),
    plain("enqueued").reads(WHOLE_LINE, OF_A_TEST).with("text, bigint", "'send_email', 50000"),
    plain("enqueued_kinds").reads(WHOLE_LINE, OF_A_TEST),
    plain("observe_counts").reads(ALL_JOBS, OF_A_DEMO).with("text[]", "'{default}'"),
    plain("observe_first").reads(ALL_JOBS, OF_A_DEMO).with("text", "'kind_3'"),
    plain("observe_jobs").reads(ALL_JOBS, OF_A_DEMO).with("bigint[]", "public.in_history(100)"),
    plain("observe_running").reads(WHOLE_LINE, OF_A_DEMO),
    plain("observe_tagged").reads(WHOLE_LINE, OF_A_DEMO).with("text[]", "'{tenant_14}'"),
    plain("bench_is_empty").reads(WHOLE_LINE, "it ends at the first row"),
    plain("bench_insert").with("text", "'{}'"),
];

/// The jobs, and who asks.
const CHANGE: &str = "bigint[], text, text, text, text[]";
const NOTES: &str = "text, text, text, text, float8, bigint, bigint, bigint";
const LIST: &str = "text, text, text, text, bigint, bigint, bigint, text, float8, text, float8";
const LIST_WITH: &str = "text, text, text, text, bigint, bigint, bigint, text, float8, text, float8, text[], text[], bool, bigint";

const fn asked(case: &'static str, arguments: &'static str) -> Statement {
    request("list_jobs").case(case).with(LIST, arguments)
}

/// As far as somebody at a terminal looks.
const fn of_a_command(case: &'static str, arguments: &'static str) -> Statement {
    let why = "where a page isn't full, as much was read by the index already, entry by entry";
    operator("list_jobs").case(case).with(LIST, arguments).by(BY_ID).reads(ALL_JOBS, why)
}

/// Files of which there is no plan to look at.
pub(super) const WITHOUT: &[(&[&str], &str)] = &[
    (
        &[
            "session",
            "claim_session",
            "completer_session",
            "indexed_session",
            "aside_session",
            "watched_session",
            "function_session",
            "before_fence",
        ],
        "settings of a session, which the others are sent on",
    ),
    (
        &["limit_session", "limit_statements", "attempt_settings", "producer_session", "today"],
        "settings and constants, no table",
    ),
    (&["request_turn", "last_job_id"], "a lock and a sequence, no table"),
    (&["probe", "process", "is_read_only", "elsewhere_ask", "elsewhere_hold"], "no table"),
    (
        &[
            "own_backend",
            "attempt_backend",
            "backend_waits",
            "end_backend",
            "notice_lost_clients",
            "server_sessions",
            "server_settings",
            "server_tables",
        ],
        "views of the server's memory, and its catalogue",
    ),
    (&["copy_jobs", "copy_failed_attempts", "bench_bare_copy"], "a COPY isn't planned"),
    (&["call_function", "check_function"], "the table is the operator's function's, if it has one"),
    (
        &[
            "make_days",
            "make_partitions",
            "missing_days",
            "droppable_partitions",
            "drop_partition",
            "may_run_jobs",
            "may_look_at_queues",
            "may_check_schema",
        ],
        "the server's catalogue, by a function mostly; no table of jobs",
    ),
    (&["observe_function", "bench_bare_table"], "makes an object"),
    (
        &["seeded_finish", "seeded_release", "seeded_rescue", "seeded_rescue_list"],
        "a bug that is to be caught, in no ordinary build",
    ),
    (
        &["bench_create_database", "bench_drop_database", "bench_checkpoint", "bench_vacuum"],
        "about a database as a whole",
    ),
    (
        &["bench_connections", "bench_dead", "bench_postmaster", "bench_server", "bench_wal"],
        "the server's own figures",
    ),
    (&["bench_pause"], "pause_queue.sql in other words"),
    (&["bench_forget"], "all rows of a small table"),
    (&["bench_pin"], "two settings and a count that is to hold a snapshot of the whole table"),
    (&["bench_bare_insert"], "an INSERT of constants into a table that the benchmark makes"),
];

/// All that have a plan.
pub(super) fn statements() -> impl Iterator<Item = &'static Statement> {
    HOT.iter().chain(UPKEEP).chain(LISTS)
}
