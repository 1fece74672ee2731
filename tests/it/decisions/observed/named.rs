//! What has an effect, each with the test that observes it.

mod flags;

pub(super) use flags::FLAGS;

/// A key of the file, and the test that observes it.
pub(super) const KEYS: &[(&str, &str)] = &[
    (
        "database.url",
        "decisions::observed::keys::the_database_is_the_url_or_the_one_in_url_file_and_plaintext_is_allowed_or_not",
    ),
    (
        "database.url_file",
        "decisions::observed::keys::the_database_is_the_url_or_the_one_in_url_file_and_plaintext_is_allowed_or_not",
    ),
    ("database.pooler", "pooler::mistaken::a_server_is_as_good_as_a_pooler"),
    ("database.direct_url", "pooler::mistaken::a_direct_url_that_leads_to_a_pooler_is_refused"),
    (
        "database.direct_url_file",
        "pooler::commands::direct_url_may_stand_in_a_file_and_is_needed_by_sql_kinds",
    ),
    (
        "database.connect_timeout",
        "decisions::observed::keys::connect_timeout_bounds_the_wait_for_a_server_that_says_nothing",
    ),
    (
        "database.statement_timeout",
        "decisions::observed::keys::statement_timeout_bounds_a_statement_that_waits_for_a_lock",
    ),
    (
        "database.allow_plaintext",
        "decisions::observed::keys::the_database_is_the_url_or_the_one_in_url_file_and_plaintext_is_allowed_or_not",
    ),
    (
        "database.sql_connections",
        "sql::stops::no_more_attempts_than_sql_connections_are_on_the_server_and_the_others_are_put_off",
    ),
    (
        "daemon.name",
        "decisions::observed::keys::a_daemon_has_its_name_its_threads_and_the_lease_of_its_file",
    ),
    (
        "daemon.heartbeat_interval",
        "decisions::observed::keys::a_daemon_has_its_name_its_threads_and_the_lease_of_its_file",
    ),
    (
        "daemon.lease_ttl",
        "decisions::observed::keys::a_daemon_has_its_name_its_threads_and_the_lease_of_its_file",
    ),
    (
        "daemon.runtime_threads",
        "decisions::observed::keys::a_daemon_has_its_name_its_threads_and_the_lease_of_its_file",
    ),
    (
        "shutdown.grace",
        "decisions::observed::keys::grace_and_cancel_grace_are_waited_for_and_no_longer",
    ),
    (
        "shutdown.cancel_grace",
        "decisions::observed::keys::grace_and_cancel_grace_are_waited_for_and_no_longer",
    ),
    (
        "shutdown.stop_timeout",
        "process::start::a_stop_timeout_shorter_than_a_whole_shutdown_is_refused",
    ),
    (
        "claim.poll_interval",
        "decisions::observed::keys::poll_interval_is_how_long_an_idle_daemon_without_notify_waits",
    ),
    (
        "claim.poll_jitter",
        "decisions::observed::limits::poll_jitter_spreads_polls_and_without_it_none_comes_early",
    ),
    (
        "claim.notify",
        "decisions::observed::keys::poll_interval_is_how_long_an_idle_daemon_without_notify_waits",
    ),
    ("claim.batch", "decisions::observed::limits::claim_batch_is_how_many_jobs_a_statement_claims"),
    (
        "complete.flush_interval",
        "decisions::observed::limits::flush_interval_is_how_long_a_verdict_waits_for_others",
    ),
    (
        "complete.flush_max_rows",
        "decisions::observed::limits::flush_max_rows_is_how_many_verdicts_a_statement_writes",
    ),
    (
        "retry.max_attempts",
        "decisions::observed::keys::retries_follow_max_attempts_and_backoff_of_the_kind_or_of_all",
    ),
    (
        "retry.timeout",
        "decisions::observed::keys::timeout_max_snoozes_and_max_rescues_are_the_kinds_or_of_all",
    ),
    (
        "retry.max_rescues",
        "decisions::observed::keys::timeout_max_snoozes_and_max_rescues_are_the_kinds_or_of_all",
    ),
    (
        "retry.max_snoozes",
        "decisions::observed::keys::timeout_max_snoozes_and_max_rescues_are_the_kinds_or_of_all",
    ),
    (
        "retry.backoff.base",
        "decisions::observed::keys::retries_follow_max_attempts_and_backoff_of_the_kind_or_of_all",
    ),
    (
        "retry.backoff.factor",
        "decisions::observed::keys::retries_follow_max_attempts_and_backoff_of_the_kind_or_of_all",
    ),
    (
        "retry.backoff.max",
        "decisions::observed::keys::retries_follow_max_attempts_and_backoff_of_the_kind_or_of_all",
    ),
    (
        "retry.backoff.jitter",
        "decisions::observed::keys::retries_follow_max_attempts_and_backoff_of_the_kind_or_of_all",
    ),
    (
        "retention.completed",
        "decisions::observed::keys::history_is_kept_as_retention_says_for_each_outcome_and_queue",
    ),
    (
        "retention.cancelled",
        "decisions::observed::keys::history_is_kept_as_retention_says_for_each_outcome_and_queue",
    ),
    (
        "retention.discarded",
        "decisions::observed::keys::history_is_kept_as_retention_says_for_each_outcome_and_queue",
    ),
    (
        "admin.listen",
        "decisions::observed::keys::log_lines_have_the_format_and_pass_the_filter_and_the_port_listens_or_not",
    ),
    (
        "admin.allow_hosts",
        "traps::port::the_port_answers_by_addresses_by_localhost_and_by_the_names_of_its_file",
    ),
    (
        "admin.callback_url",
        "receivers::callbacks::a_receiver_completes_later_and_nothing_shows_its_token_or_its_result",
    ),
    (
        "admin.token_file",
        "tokens::a_token_is_replaced_without_a_restart_and_a_bad_one_changes_nothing",
    ),
    ("admin.operator_token_file", "tokens::with_tokens_everybody_needs_one_and_nothing_shows_them"),
    ("admin.viewer_token_file", "tokens::with_tokens_everybody_needs_one_and_nothing_shows_them"),
    (
        "log.format",
        "decisions::observed::keys::log_lines_have_the_format_and_pass_the_filter_and_the_port_listens_or_not",
    ),
    (
        "log.filter",
        "decisions::observed::keys::log_lines_have_the_format_and_pass_the_filter_and_the_port_listens_or_not",
    ),
    ("metrics.max_kinds", "pipeline::faults::kinds_beyond_the_configured_number_share_one_label"),
    ("profiling.heap", "heap::the_file_says_whether_it_may_be_switched_on_and_a_reload_is_enough"),
    ("canary.enabled", "pipeline::canary::without_it_nothing_is_sent_and_nothing_is_shown"),
    (
        "canary.interval",
        "decisions::observed::canary::a_canary_goes_through_the_named_queue_at_each_interval",
    ),
    (
        "canary.queue",
        "decisions::observed::canary::a_canary_goes_through_the_named_queue_at_each_interval",
    ),
    (
        "tracing.otlp_endpoint",
        "traces::one_trace_and_one_request_lead_from_the_insert_to_every_receiver",
    ),
    (
        "tracing.sample_ratio",
        "traces::parent_max_delay_and_sample_ratio_decide_whose_child_a_span_is_and_whether_it_is_there",
    ),
    (
        "tracing.parent_max_delay",
        "traces::parent_max_delay_and_sample_ratio_decide_whose_child_a_span_is_and_whether_it_is_there",
    ),
    (
        "queue.name",
        "decisions::observed::keys::a_queue_has_its_name_its_concurrency_and_its_rate_limit",
    ),
    (
        "queue.concurrency",
        "decisions::observed::keys::a_queue_has_its_name_its_concurrency_and_its_rate_limit",
    ),
    (
        "queue.rate_limit",
        "decisions::observed::keys::a_queue_has_its_name_its_concurrency_and_its_rate_limit",
    ),
    (
        "queue.retention",
        "decisions::observed::keys::history_is_kept_as_retention_says_for_each_outcome_and_queue",
    ),
    ("kind.name", "decisions::observed::keys::a_command_runs_as_its_keys_say"),
    (
        "kind.handler",
        "decisions::observed::keys::timeout_max_snoozes_and_max_rescues_are_the_kinds_or_of_all",
    ),
    (
        "kind.timeout",
        "decisions::observed::keys::timeout_max_snoozes_and_max_rescues_are_the_kinds_or_of_all",
    ),
    (
        "kind.max_attempts",
        "decisions::observed::keys::retries_follow_max_attempts_and_backoff_of_the_kind_or_of_all",
    ),
    (
        "kind.max_rescues",
        "decisions::observed::keys::timeout_max_snoozes_and_max_rescues_are_the_kinds_or_of_all",
    ),
    (
        "kind.max_snoozes",
        "decisions::observed::keys::timeout_max_snoozes_and_max_rescues_are_the_kinds_or_of_all",
    ),
    (
        "kind.backoff.base",
        "decisions::observed::keys::retries_follow_max_attempts_and_backoff_of_the_kind_or_of_all",
    ),
    (
        "kind.backoff.factor",
        "decisions::observed::keys::retries_follow_max_attempts_and_backoff_of_the_kind_or_of_all",
    ),
    (
        "kind.backoff.max",
        "decisions::observed::keys::retries_follow_max_attempts_and_backoff_of_the_kind_or_of_all",
    ),
    (
        "kind.backoff.jitter",
        "decisions::observed::keys::retries_follow_max_attempts_and_backoff_of_the_kind_or_of_all",
    ),
    (
        "kind.rate_limit",
        "pipeline::limits::a_limited_kind_never_starts_more_than_burst_and_rate_allow",
    ),
    ("kind.url", "receivers::keys::a_request_is_sent_as_its_keys_say"),
    ("kind.headers", "receivers::keys::a_request_is_sent_as_its_keys_say"),
    ("kind.secret_file", "receivers::keys::a_request_is_sent_as_its_keys_say"),
    ("kind.ca_file", "receivers::keys::a_request_is_sent_as_its_keys_say"),
    ("kind.allow_hosts", "receivers::keys::a_request_is_sent_as_its_keys_say"),
    ("kind.connect_timeout", "receivers::keys::a_request_is_sent_as_its_keys_say"),
    ("kind.response_timeout", "receivers::keys::a_request_is_sent_as_its_keys_say"),
    ("kind.max_result", "receivers::keys::a_request_is_sent_as_its_keys_say"),
    (
        "kind.circuit.failures",
        "receivers::circuit::a_receiver_that_fails_is_left_alone_and_costs_its_jobs_no_attempts",
    ),
    (
        "kind.circuit.open_for",
        "receivers::circuit::a_receiver_that_fails_is_left_alone_and_costs_its_jobs_no_attempts",
    ),
    (
        "kind.async",
        "receivers::callbacks::a_receiver_completes_later_and_nothing_shows_its_token_or_its_result",
    ),
    (
        "kind.callback_timeout",
        "receivers::callbacks::ending::heartbeats_keep_a_silent_attempt_from_failing",
    ),
    ("kind.command", "decisions::observed::keys::a_command_runs_as_its_keys_say"),
    ("kind.env", "decisions::observed::keys::a_command_runs_as_its_keys_say"),
    ("kind.pass_env", "decisions::observed::keys::a_command_runs_as_its_keys_say"),
    ("kind.cwd", "decisions::observed::keys::a_command_runs_as_its_keys_say"),
    (
        "kind.kill_grace",
        "decisions::observed::keys::a_program_that_ignores_term_lives_for_kill_grace",
    ),
    ("kind.max_output", "decisions::observed::keys::a_command_runs_as_its_keys_say"),
    (
        "kind.unsafe_shell",
        "config::tests::mistakes::a_shell_is_allowed_by_the_key_that_says_it_is_unsafe",
    ),
    (
        "kind.function",
        "sql::outcomes::a_function_that_is_missing_is_told_of_and_its_job_is_done_once_it_is_there",
    ),
    ("kind.role", "sql::roles::a_function_has_its_role_to_its_end_and_the_fence_has_the_daemons"),
    (
        "schedule.name",
        "schedules::rules::a_schedule_that_is_new_or_has_another_rule_goes_on_from_now",
    ),
    (
        "schedule.cron",
        "schedules::rules::a_schedule_that_is_new_or_has_another_rule_goes_on_from_now",
    ),
    (
        "schedule.timezone",
        "schedules::rules::a_schedule_that_is_new_or_has_another_rule_goes_on_from_now",
    ),
    (
        "schedule.kind",
        "schedules::keys::a_schedules_job_has_the_kind_queue_payload_and_priority_of_its_file_and_is_due_within_its_jitter",
    ),
    (
        "schedule.queue",
        "schedules::keys::a_schedules_job_has_the_kind_queue_payload_and_priority_of_its_file_and_is_due_within_its_jitter",
    ),
    (
        "schedule.payload",
        "schedules::keys::a_schedules_job_has_the_kind_queue_payload_and_priority_of_its_file_and_is_due_within_its_jitter",
    ),
    (
        "schedule.priority",
        "schedules::keys::a_schedules_job_has_the_kind_queue_payload_and_priority_of_its_file_and_is_due_within_its_jitter",
    ),
    (
        "schedule.catch_up",
        "schedules::instants::three_instants_that_were_missed_are_made_up_for_as_catch_up_says",
    ),
    (
        "schedule.overlap",
        "schedules::rules::while_its_job_is_unfinished_an_instant_passes_or_enqueues_as_overlap_says",
    ),
    (
        "schedule.jitter",
        "schedules::keys::a_schedules_job_has_the_kind_queue_payload_and_priority_of_its_file_and_is_due_within_its_jitter",
    ),
];

/// A column that a producer may write.
pub(super) const COLUMNS: &[(&str, &str)] = &[
    ("expires_at", "pipeline::requests::an_expired_job_is_discarded_without_running"),
    ("kind", "pipeline::requests::what_nobody_serves_waits_untouched_and_runs_once_it_is_served"),
    (
        "max_attempts",
        "decisions::observed::keys::retries_follow_max_attempts_and_backoff_of_the_kind_or_of_all",
    ),
    ("metadata", "decisions::observed::keys::a_command_runs_as_its_keys_say"),
    (
        "payload",
        "decisions::observed::keys::timeout_max_snoozes_and_max_rescues_are_the_kinds_or_of_all",
    ),
    (
        "priority",
        "pipeline::requests::with_one_slot_jobs_run_in_order_of_priority_and_then_of_their_place_in_line",
    ),
    ("queue", "decisions::observed::keys::a_queue_has_its_name_its_concurrency_and_its_rate_limit"),
    ("run_at", "pipeline::requests::a_scheduled_job_runs_when_it_is_due_and_not_before"),
    ("tags", "cli::paging::pages_show_every_job_once"),
    (
        "timeout",
        "decisions::observed::keys::timeout_max_snoozes_and_max_rescues_are_the_kinds_or_of_all",
    ),
    ("unique_key", "pipeline::requests::a_unique_key_is_taken_until_its_job_has_finished"),
];

/// A variable that a program gets about its job, or a header of a request.
pub(super) const HEADERS: &[(&str, &str)] = &[
    ("LEGWORK_ATTEMPT", "command::the_environment_is_legworks_and_the_files_and_nothing_else"),
    ("LEGWORK_DEADLINE", "command::the_environment_is_legworks_and_the_files_and_nothing_else"),
    (
        "LEGWORK_FINAL_ATTEMPT",
        "command::the_environment_is_legworks_and_the_files_and_nothing_else",
    ),
    ("LEGWORK_JOB_ID", "command::the_environment_is_legworks_and_the_files_and_nothing_else"),
    ("LEGWORK_KIND", "command::the_environment_is_legworks_and_the_files_and_nothing_else"),
    ("LEGWORK_LEASE_TOKEN", "command::the_environment_is_legworks_and_the_files_and_nothing_else"),
    ("LEGWORK_MAX_ATTEMPTS", "command::the_environment_is_legworks_and_the_files_and_nothing_else"),
    ("LEGWORK_QUEUE", "command::the_environment_is_legworks_and_the_files_and_nothing_else"),
    ("LEGWORK_REQUEST_ID", "command::the_environment_is_legworks_and_the_files_and_nothing_else"),
    ("LEGWORK_RESULT_FD", "command::the_environment_is_legworks_and_the_files_and_nothing_else"),
    ("LEGWORK_USER_ID", "decisions::observed::keys::a_command_runs_as_its_keys_say"),
    ("TRACEPARENT", "command::the_environment_is_legworks_and_the_files_and_nothing_else"),
    ("Legwork-Action", "receivers::answers::an_answer_decides"),
    ("Legwork-Reason", "receivers::answers::a_failure_keeps_what_the_receiver_said"),
    (
        "Legwork-Attempt",
        "receivers::requests::a_request_carries_the_payload_as_it_is_and_says_who_asks",
    ),
    (
        "Legwork-Callback-URL",
        "receivers::callbacks::a_receiver_completes_later_and_nothing_shows_its_token_or_its_result",
    ),
    (
        "Legwork-Deadline",
        "receivers::requests::a_request_carries_the_payload_as_it_is_and_says_who_asks",
    ),
    (
        "Legwork-Final-Attempt",
        "receivers::requests::a_request_carries_the_payload_as_it_is_and_says_who_asks",
    ),
    (
        "Legwork-Job-Id",
        "receivers::requests::a_request_carries_the_payload_as_it_is_and_says_who_asks",
    ),
    (
        "Legwork-Kind",
        "receivers::requests::a_request_carries_the_payload_as_it_is_and_says_who_asks",
    ),
    (
        "Legwork-Lease-Token",
        "receivers::requests::a_request_carries_the_payload_as_it_is_and_says_who_asks",
    ),
    (
        "Legwork-Max-Attempts",
        "receivers::requests::a_request_carries_the_payload_as_it_is_and_says_who_asks",
    ),
    (
        "Legwork-Queue",
        "receivers::requests::a_request_carries_the_payload_as_it_is_and_says_who_asks",
    ),
    ("Legwork-User-Id", "traces::one_trace_and_one_request_lead_from_the_insert_to_every_receiver"),
    ("webhook-id", "receivers::requests::a_request_carries_the_payload_as_it_is_and_says_who_asks"),
    (
        "webhook-signature",
        "receivers::requests::a_published_library_takes_the_signature_of_each_secret_and_no_other",
    ),
    (
        "webhook-timestamp",
        "receivers::requests::a_published_library_takes_the_signature_of_each_secret_and_no_other",
    ),
    (
        "X-Forwarded-For",
        "tokens::without_a_token_this_machine_asks_everything_and_others_see_health_and_metrics",
    ),
    (
        "X-Real-IP",
        "admin::tests::asked::without_a_token_the_machine_itself_may_ask_everything_and_others_health_and_metrics",
    ),
    ("X-Request-ID", "admin::tests::only_a_harmless_request_id_comes_back"),
];
