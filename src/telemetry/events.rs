//! Every `event` that a log line can carry, with its fields.
//!
//! Programs that read logs branch on these names, so they are constants here and listed in
//! `docs/logs.md`, which a test checks against this table; another test compares the fields with what
//! the code gives its lines. It doesn't hold the messages: those are for people and may be reworded.

/// One event of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The stable dotted name.
    pub name: &'static str,
    /// What it tells.
    pub meaning: &'static str,
    /// What its lines are given beside the message; not every line has each. What is known of the job
    /// comes on top.
    pub fields: &'static [&'static str],
}

/// Makes a constant of each line and lists them all.
macro_rules! events {
    ($($(#[$doc:meta])* $ident:ident = $name:literal, $meaning:literal, [$($field:literal),*];)*) => {
        $(#[doc = $meaning] pub const $ident: &str = $name;)*
        /// Every event, in the order of the document.
        pub const EVENTS: &[Event] =
            &[$(Event { name: $name, meaning: $meaning, fields: &[$($field),*] }),*];
    };
}

events! {
    DAEMON_STARTED = "daemon.started", "The daemon is up and claims.", ["database", "daemon.name"];
    DAEMON_DRAINED = "daemon.drained", "`run --once` ends: `paused_jobs` wait in paused queues and `unserved_jobs` for somebody who serves them, counted to 10,000 a queue.", ["paused_jobs", "unserved_jobs"];
    DAEMON_STOPPED = "daemon.stopped", "The daemon has stopped. `cut_short` jobs ran when it was told to stop at once, `orphans` are left to their leases, `spans_lost` spans had no collector since it was told to stop. What follows are `log.throttled`, `daemon.failed` where it ends with an error, and what handlers and requests say that weren't done in time.", ["orphans", "cut_short", "clean", "spans_lost"];
    DAEMON_FAILED = "daemon.failed", "`legwork run` ends with an error, before it has started or at its end: `exit_code` tells which sort, `error.message` what, `config.place` where.", ["error.type", "error.message", "exit_code", "config.place", "help"];
    CONFIG_WARNED = "config.warned", "The configuration may be meant otherwise than it stands, at the start or where it was read again: the message says how.", [];
    CONFIG_RELOADED = "config.reloaded", "HUP was sent, and the configuration was read again: `config.changed` are the keys that hold from now on, `config.needs_restart` those that changed and hold with the next start.", ["config.changed", "config.needs_restart"];
    CONFIG_RELOAD_FAILED = "config.reload_failed", "HUP was sent, and the configuration is wrong, or can't be read again: the one before holds. A line for each mistake.", ["error.message", "config.place"];
    LOG_FILTER_CHANGED = "log.filter_changed", "An operator asked for another filter of the log, `until` when it ends by itself; or it has ended.", ["log.filter", "until"];
    HEAP_SWITCHED = "heap.switched", "Somebody (`actor`) switched heap profiling on (`heap.active`) or off over the admin port.", ["actor", "heap.active"];
    DAEMON_LOST = "daemon.lost", "The leases could not be renewed in time and were given up.", ["daemon.id"];
    DAEMON_REGISTERED = "daemon.registered", "The daemon is back after `daemon.lost`: it has a lease, under another id, and claims again.", ["daemon.id"];
    SHUTDOWN_PHASE = "shutdown.phase", "A phase of the shutdown began or ended.", ["phase", "reason", "done", "duration_ms"];
    SHUTDOWN_ORPHANS = "shutdown.orphans", "Handlers didn't stop: `job.ids` names all their jobs, and a line of its own tells of each of the first 1,000.", ["lease.token", "running_seconds", "jobs", "job.ids"];
    SIGNAL_RECEIVED = "signal.received", "The process got a signal.", ["signal"];
    TASK_FAILED = "task.failed", "A supervised task ended, panicked or stalled (`how`) that should not have.", ["task", "how", "step_seconds"];
    TASK_LISTED = "task.listed", "USR1 was sent: one task, since when it runs, and where it waits.", ["task", "running_seconds", "restarts", "state", "waits_at", "waits_seconds", "last_error"];
    TASK_RESTARTED = "task.restarted", "The supervisor started a task again that had ended, panicked or stalled (`how`).", ["task", "how", "step_seconds"];
    PROCESS_PANICKED = "process.panicked", "A thread panicked; handlers' panics included.", ["error.message", "error.stack", "thread.name"];
    JOB_STARTED = "job.started", "An attempt started.", [];
    JOB_FINISHED = "job.finished", "An attempt ended and its verdict is committed.", ["job.outcome", "duration_ms"];
    JOB_FAILED = "job.failed", "An attempt failed.", ["job.outcome", "duration_ms", "error.type", "error.message"];
    JOB_RESULT_LEFT_OUT = "job.result_left_out", "An answer is longer than `max_result` of its kind: the job is completed without a result.", [];
    JOB_DISCARDED = "job.discarded", "A job was discarded: it will not run again.", ["job.outcome", "reason"];
    JOB_LISTED = "job.listed", "USR1 was sent: one running job, since when, its progress, and where it waits.", ["running_seconds", "progress", "running_jobs", "waits_at", "waits_seconds", "pid"];
    JOB_EXPIRED = "job.expired", "Jobs that waited were discarded: their time had passed.", ["jobs"];
    OPERATION_ENDED = "operation.ended", "An operation on many jobs has ended here: all that there was when it began has been looked at and `jobs` were changed, or the database refuses its next batch (`error.message`).", ["operation.id", "jobs", "error.message"];
    JOB_LATE = "job.late", "A fence refused a result: the lease was no longer ours.", ["op", "reason"];
    JOB_ORPHANED = "job.orphaned", "The daemon ends, and no answer says that the verdicts of `job.ids` were written; without ids, that a claim had no answer and may have taken jobs.", ["jobs", "job.ids"];
    JOB_RESCUED = "job.rescued", "Jobs of a dead daemon were returned to the line.", ["daemon.id", "jobs"];
    SCHEDULE_FIRED = "schedule.fired", "The job of a schedule's instant was enqueued.", ["schedule.name", "schedule.instant", "job.id", "job.kind", "job.queue"];
    SCHEDULE_SKIPPED = "schedule.skipped", "Instants of a schedule enqueued nothing: its job is unfinished (`reason` = `overlap`), or no daemon ran (`missed`). `schedule.instant` is the last of them; `instants` are counted to 1,000.", ["schedule.name", "schedule.instant", "reason", "instants"];
    SCHEDULE_STANDS = "schedule.stands", "A schedule does nothing (`reason`): a daemon that started later has another rule for it (`superseded`), the database refuses its job (`refused`), or the database's clock was ahead by more than a minute once and it waits for that moment (`ahead`).", ["schedule.name", "schedule.instant", "reason", "error.message"];
    RESCUE_UNRECORDED = "rescue.unrecorded", "Jobs of a dead daemon were returned to the line, and history didn't take the records of their attempts.", ["error.message", "daemon.id", "jobs"];
    JOB_REFUSED = "job.refused", "The database refuses to change a job; it is left as it is.", ["error.message", "job.id"];
    CLAIM_FAILED = "claim.failed", "A claim statement failed; it is tried again.", ["error.message", "job.queue", "jobs"];
    FLUSH_FAILED = "flush.failed", "Verdicts could not be written; they are tried again.", ["error.message", "rows"];
    FLUSH_ROW_REFUSED = "flush.row_refused", "The database refuses one verdict as it stands: a result is left out, then the job comes back after a minute.", ["op", "error.message"];
    FLUSH_ROW_ASIDE = "flush.row_aside", "A verdict can't be written now, its row is locked, say: it waits alone and is tried again.", ["op", "error.message", "reason"];
    HEARTBEAT_FAILED = "heartbeat.failed", "The leases could not be made or renewed; it is tried again.", ["error.message"];
    LISTENER_CONNECTED = "listener.connected", "Wake-ups arrive by LISTEN.", [];
    LISTENER_LOST = "listener.lost", "Wake-ups no longer arrive by LISTEN; polls remain.", ["error.message"];
    LISTENER_NONE = "listener.none", "There is only a pooler: nothing wakes the daemon, and jobs are found by polling.", [];
    DATABASE_CONNECTED = "database.connected", "A database session is up.", ["session"];
    DATABASE_LOST = "database.lost", "A database session is down, or can't be had; it is tried again.", ["error.message", "session"];
    SCHEMA_CHECKED = "schema.checked", "The schema was compared with what this daemon needs, or another was found.", ["schema.version"];
    MAINTENANCE_FAILED = "maintenance.failed", "A maintenance round failed; the next one comes.", ["task", "error.message"];
    MAINTENANCE_RECOVERED = "maintenance.recovered", "Maintenance rounds succeed again: the first that asked the database something since they failed.", ["task"];
    PARTITION_MADE = "partition.made", "Partitions of the history were made.", ["partitions"];
    PARTITION_DROPPED = "partition.dropped", "A partition of the history was dropped.", ["partition"];
    PARTITION_KEPT = "partition.kept", "A partition of the history that is past can't be dropped; it is tried again in an hour.", ["partition", "error.message"];
    QUEUE_PAUSED = "queue.paused", "A queue was found to be paused.", ["job.queue"];
    QUEUE_DRAINING = "queue.draining", "A queue that is paused was found to be one that somebody drains.", ["job.queue"];
    QUEUE_RESUMED = "queue.resumed", "A queue was found to be resumed.", ["job.queue"];
    QUEUE_OVERRIDDEN = "queue.overridden", "Operators decided otherwise for queues, or what they decided has ended: `config.changed` are the keys of these queues that hold otherwise from now on.", ["config.changed"];
    AUDIT_MISSED = "audit.missed", "An operator had this daemon do something (`action`), and the database didn't take the note of it.", ["action"];
    REQUEST_FAILED = "request.failed", "A request to a receiver wasn't made: the daemon lacks something, or the address may not be reached; mend it. As a warning: the receiver had no room for one more; lower the concurrency where it happens often.", ["error.message"];
    CIRCUIT_OPENED = "circuit.opened", "Requests to a `receiver` of an http kind failed `failures` times in a row: its jobs are parked, uncharged, and each `open_seconds` one is sent to see.", ["receiver", "failures", "open_seconds"];
    CIRCUIT_CLOSED = "circuit.closed", "The receiver answers well again: all jobs of its kind are sent.", ["receiver"];
    COMMAND_FAILED = "command.failed", "A program wasn't run, lacks a permission or is configured wrongly: mend it.", ["exit.code", "error.message"];
    FUNCTION_FAILED = "function.failed", "A function of an sql kind can't be called, lacks a right or something that it names, or couldn't be ended: mend it. Or there was no connection for it, as the message says: its job comes back in a moment.", ["function", "error.message"];
    ADMIN_LISTENING = "admin.listening", "The admin port is open.", ["listen"];
    ADMIN_ACCEPT_FAILED = "admin.accept_failed", "A connection to the admin port was not taken.", ["error.message"];
    ADMIN_REQUEST = "admin.request", "The admin port answered a request, to somebody with this `role` where one was needed.", ["client.address", "duration_ms", "http.request.method", "http.route", "http.response.status_code", "role"];
    ADMIN_WITHOUT_TOKEN = "admin.without_token", "The admin port can be reached from other machines and has no token: for them only health and metrics exist.", [];
    ADMIN_REFUSED = "admin.refused", "The admin port refused a request because of who asked; `reason` is that of `legwork_admin_refused_total`.", ["client.address", "http.request.method", "http.route", "http.response.status_code", "reason"];
    ADMIN_CUT = "admin.cut", "The admin port cut a connection, or waited no longer for its request (debug); `reason` is that of `legwork_admin_connections_cut_total`.", ["client.address", "reason"];
    SPANS_LOST = "spans.lost", "The collector doesn't take spans, or rejects some of a batch; said once until it does. They are counted and gone.", ["collector", "error.message"];
    SPANS_TAKEN = "spans.taken", "The collector takes spans again.", ["collector"];
    LOG_THROTTLED = "log.throttled", "Lines of one place, and about jobs of one kind where `job.kind` names it, repeated too fast: `log.suppressed` of them were left out, of the event `log.event`.", ["log.suppressed", "log.event"];
    HEALTH_CHANGED = "health.changed", "A check of readiness (`check`) failed (WARN, with its `reason`), or is well again (INFO).", ["check", "reason"];
}

/// Events of which each line counts, so that none is left out however fast they come. Whoever logs them
/// bounds their number.
pub const UNTHROTTLED: &[&str] = &[SHUTDOWN_ORPHANS, JOB_ORPHANED];

/// Lines of information that strangers can cause, and how many of them one place writes in ten seconds at most.
pub const LIMITED: &[(&str, usize)] = &[(ADMIN_REQUEST, 100)];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_events_share_a_name() {
        let names: BTreeSet<_> = EVENTS.iter().map(|event| event.name).collect();
        assert_eq!(names.len(), EVENTS.len());
    }

    /// A name or a field that goes is a break for whoever reads lines by it.
    #[test]
    fn the_catalogue_is_as_the_golden_file_has_it() {
        let line = |event: &Event| format!("{} {{{}}}\n", event.name, event.fields.join(", "));
        insta::assert_snapshot!("events", EVENTS.iter().map(line).collect::<String>());
    }

    #[test]
    fn every_event_stands_in_the_document_and_the_document_lists_no_other() {
        let document = include_str!("../../docs/logs.md");
        let fields = |event: &Event| match event.fields {
            [] => "–".to_owned(),
            fields => format!("`{}`", fields.join("`, `")),
        };
        let row =
            |event: &Event| format!("| `{}` | {} | {} |", event.name, event.meaning, fields(event));
        let expected: Vec<_> = EVENTS.iter().map(row).collect();
        let section = document.split("## Events").nth(1).expect("the document has the section");
        let listed = section.lines().filter(|line| line.starts_with("| `"));
        assert_eq!(listed.collect::<Vec<_>>(), expected);
    }
}
