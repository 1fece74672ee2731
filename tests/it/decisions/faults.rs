//! What can go wrong with receivers, with programs, with the configuration and at the admin port, each with the
//! test that brings it about.
//!
//! A line is a fault, one thing of it, the test, and words by which the test shows that it is about that:
//! they stand in its text, or in the file's constants and functions that it uses. A line without its test fails,
//! and so does a fault without a line.

use super::sources;

/// Receivers of http kinds.
#[rustfmt::skip]
const RECEIVERS: &[(&str, &str, &str, &str)] = &[
    ("F1", "a head that dribbles", "receivers::hostile::an_answer_that_does_not_begin_is_given_up", "dribbling"),
    ("F1", "a head without end", "receivers::hostile::a_head_without_end_breaks_the_exchange_off", "endless_headers"),
    ("F1", "a body without end", "receivers::hostile::a_body_without_end_is_read_up_to_the_limit", "200 OK"),
    ("F1", "a body that doesn't come", "receivers::hostile::a_body_that_does_not_come_is_given_up", "Content-Length: 9"),
    ("F1", "the attempt's own limit", "receivers::hostile::an_attempt_whose_time_is_up_ends_its_connection", "hanging"),
    ("F1", "bombs of gzip, brotli, zstd", "receivers::answers::a_packed_answer_is_not_unpacked", "zstd"),
    ("F2", "redirects, to where they lead and inside", "receivers::answers::a_redirect_is_a_failure_and_nobody_follows_it", "169.254.169.254"),
    ("F2", "a redirect to a file", "receivers::answers::a_redirect_is_a_failure_and_nobody_follows_it", "file:///"),
    ("F3", "a name that nobody has", "receivers::egress::a_name_that_nobody_has_is_a_failed_attempt", "nobody.invalid"),
    ("F3", "a name that is bound anew", "outbound::resolver::tests::a_name_that_is_bound_anew_is_judged_anew", "rebinding"),
    ("F3", "a name with many addresses", "outbound::resolver::tests::one_address_inside_condemns_the_name", "127.0.0.1"),
    ("F3", "IPv4 in IPv6", "config::egress::tests::an_address_that_is_not_public_is_denied", "v6_mapped_public"),
    ("F3", "the address that was judged is the one that is reached", "receivers::egress::a_name_that_leads_inside_is_discarded_before_anybody_connects", "egress_denied"),
    ("F4", "every special network", "config::egress::tests::an_address_that_is_not_public_is_denied", "v6_link_local"),
    ("F4", "every written form of an address", "config::tests::http::an_address_that_is_not_public_is_refused_however_it_is_written", "octal"),
    ("F4", "any address of a denied network in any form", "config::tests::http::no_address_of_a_denied_network_is_let_through_in_any_form", "0x{address:x}"),
    ("F4", "NAT64 and 6to4", "config::tests::http::no_address_of_a_denied_network_is_let_through_in_any_form", "64:ff9b"),
    ("F4", "users and passwords in the URL", "config::tests::http::a_url_that_is_none_is_refused", "https://user@"),
    ("F4", "a dot at the end", "config::tests::http::an_address_that_is_not_public_is_refused_however_it_is_written", "trailing_dot"),
    ("F4", "names in other scripts", "receivers::egress::a_name_that_leads_inside_is_discarded_before_anybody_connects", "\\u{24db}ocalhost"),
    ("F5", "expired", "receivers::tls::a_receiver_that_nobody_vouches_for_is_told_nothing", "Expired"),
    ("F5", "of another host", "receivers::tls::a_receiver_that_nobody_vouches_for_is_told_nothing", "not valid for name"),
    ("F5", "signed by itself", "receivers::tls::a_receiver_that_nobody_vouches_for_is_told_nothing", "Authority::own"),
    ("F5", "TLS 1.0", "receivers::tls::what_is_no_tls_is_no_session", "protocol_version"),
    ("F5", "a name that the receiver doesn't know", "receivers::tls::what_is_no_tls_is_no_session", "unrecognized_name"),
    ("F5", "a handshake that stalls", "receivers::tls::a_handshake_that_does_not_come_is_given_up", "connect_timeout"),
    ("F6", "every status", "handlers::http::answer::tests::a_status_decides", "too_early"),
    ("F6", "Retry-After in seconds, absurd and negative", "handlers::http::answer::tests::retry_after_puts_off_what_is_busy", "negative"),
    ("F6", "Retry-After as a date", "handlers::http::answer::tests::a_date_is_told_by_the_receivers_own_clock", "passed"),
    ("F6", "on the wire", "receivers::answers::an_answer_decides", "429 Too Many Requests"),
    ("F7", "a reset before and after the request", "receivers::hostile::a_connection_that_is_reset_is_a_failed_attempt", "set_zero_linger"),
    ("F7", "100 Continue", "receivers::answers::an_answer_decides", "100 Continue"),
    ("F7", "provisional answers without end", "receivers::hostile::provisional_answers_without_end_are_a_failed_attempt", "100 Continue"),
    ("F7", "a stream of HTTP/2 that is reset", "receivers::tls::an_http_2_stream_that_is_reset_is_a_failed_attempt_and_its_connection_goes_on", "INTERNAL_ERROR"),
    ("F7", "GOAWAY", "receivers::tls::an_http_2_receiver_that_breaks_off_is_a_failed_attempt", "goaway"),
    ("F7", "what is no answer at all", "receivers::hostile::what_is_no_answer_is_a_failed_attempt", "another_protocol"),
    ("F8", "line breaks, NUL and length from the row", "receivers::requests::what_a_producer_writes_adds_no_header_and_changes_none", "100_000"),
    ("F8", "Host and Authorization from the row", "receivers::requests::what_a_producer_writes_adds_no_header_and_changes_none", "Bearer theirs"),
    ("F8", "from the file", "config::tests::http::a_header_that_could_mislead_is_refused", "injected_value"),
    ("F9", "proxies of the environment", "receivers::egress::proxies_of_the_environment_are_not_asked", "ALL_PROXY"),
    ("F10", "its jobs wait, uncharged, and all complete in the end", "receivers::circuit::a_receiver_that_fails_is_left_alone_and_costs_its_jobs_no_attempts", "attempt = 0"),
    ("F10", "it gets few requests, another receiver all of its own", "receivers::circuit::a_receiver_that_fails_is_left_alone_and_costs_its_jobs_no_attempts", "healthy"),
    ("F10", "what counts as a failure", "receivers::circuit::what_a_receiver_that_works_would_say_is_no_failure", "Legwork-Action"),
    ("F10", "one request sees whether it is well again", "handlers::http::circuit::breaker::tests::one_request_sees_whether_it_is_well_and_opens_it_again_if_not", "the others wait"),
    ("F10", "in any order", "handlers::http::circuit::breaker::tests::in_whatever_order_things_happen_nothing_is_sent_too_early_and_nobody_waits_for_ever", "proptest"),
    ("F11", "the standard's vector", "handlers::http::signature::tests::it_is_what_the_standard_publishes", "whsec_"),
    ("F11", "secrets that are being replaced", "receivers::requests::a_published_library_takes_the_signature_of_each_secret_and_no_other", "OLD"),
    ("F11", "the bytes of the body", "receivers::requests::a_request_carries_the_payload_as_it_is_and_says_who_asks", "PAYLOAD"),
    ("F12", "a kept connection that died", "receivers::requests::a_connection_that_died_between_two_jobs_costs_no_attempt", "shutdown()"),
    ("F12", "nothing is repeated once it was sent", "receivers::requests::a_request_that_was_sent_on_a_kept_connection_is_not_sent_again_unasked", "the exchange broke off"),
];

/// Programs of command kinds.
#[rustfmt::skip]
const PROGRAMS: &[(&str, &str, &str, &str)] = &[
    ("G1", "it ignores TERM", "command::a_program_that_ignores_term_is_killed_with_its_group", "STUBBORN"),
    ("G2", "it forks away from its group", "command::a_runaway_descendant_that_keeps_the_pipes_open_ends_with_its_program", "setsid"),
    ("G2", "at each end of an attempt", "process::escapes::nothing_that_a_program_started_outlives", "End::DaemonKilled"),
    ("G2", "one that escapes holds nothing up", "command::a_runaway_descendant_that_outlives_the_guard_holds_nothing_up", "it had escaped"),
    ("G3", "it forks while it is killed", "sys::group::tests::a_crowd_that_left_one_by_one_is_ended_too", "-lt 200"),
    // No limit of ours stands in a fork bomb's way: the service manager's does. The daemon outlives it.
    ("G4", "no process is left for the next program", "handlers::shortage::tests::only_what_the_daemon_lacks_is_a_shortage", "Errno::EAGAIN"),
    ("G4", "a program that can't be started now isn't charged", "process::shortage::a_job_whose_program_finds_no_descriptors_waits_and_is_not_charged", "descriptors"),
    ("G4", "a crowd of programs", "process::probes::five_hundred_programs_leave_no_thread_descriptor_or_child", "500"),
    ("G5", "an output bomb, of NULs and without lines", "command::an_output_bomb_is_cut_in_the_middle", "/dev/zero"),
    ("G5", "a pipe that is held open", "command::a_runaway_descendant_that_keeps_the_pipes_open_ends_with_its_program", "keeps_the_pipes_open"),
    ("G6", "standard input that nobody reads", "command::a_payload_that_nobody_reads_holds_nothing_up", "1 << 20"),
    ("G6", "standard input that is read to its end", "command::the_payload_is_on_standard_input_byte_for_byte", "cat > stdin"),
    ("G7", "zombies", "command::two_hundred_runs_leave_no_zombie_and_no_descriptor", "runs_leave_nothing"),
    ("G7", "zombies of what programs leave behind", "process::escapes::what_programs_leave_behind_does_not_become_a_zombie_of_the_daemon", "zombie"),
    ("G8", "missing, not executable", "command::a_program_that_cannot_be_started_is_named_and_tried_again", "/nowhere/at-all"),
    ("G8", "not executable or replaceable, at the start", "config::tests::mistakes::a_program_must_be_executable_and_not_replaceable_by_others", "may be replaced"),
    ("G8", "a text that only a shell would run", "command::a_file_that_only_a_shell_would_run_is_not_run", "Exec format error"),
    ("G9", "commands in the payload", "command::the_payload_is_on_standard_input_byte_for_byte", "rm -rf"),
    ("G9", "commands in arguments", "command::arguments_are_the_files_words_unchanged", "$HOME"),
    ("G9", "variables", "command::the_environment_is_legworks_and_the_files_and_nothing_else", "forged"),
    ("G10", "the daemon is killed", "process::death::a_killed_daemons_job_is_rescued_in_bound_charged_once_and_its_program_died_with_it", "SIGKILL"),
    ("G10", "its guard is killed", "sys::group::tests::a_guard_that_is_killed_takes_its_program_along", "SIGKILL"),
    ("G11", "every exit code", "command::an_exit_code_decides", "of_docker"),
    ("G11", "signals", "command::a_killed_program_is_tried_again", "SIGSEGV"),
    ("G12", "descriptors", "command::a_program_has_four_descriptors_and_private_files", "0 1 2 3"),
    ("G12", "descriptors behind the guard", "sys::group::tests::a_program_has_the_descriptors_it_was_given_and_no_others", "descriptors"),
    // Memory, CPU and files are limited by the service manager; of limits we set the one on core dumps.
    ("G13", "core dumps", "sys::group::tests::a_guard_leaves_no_core_where_its_program_may", "core_dumped"),
    ("G13", "memory that the kernel takes back by KILL", "command::a_killed_program_is_tried_again", "kill -KILL"),
    ("G13", "time", "command::a_program_that_takes_too_long_times_out", "TimedOut"),
];

/// The configuration, and the admin port.
#[rustfmt::skip]
const OPERATION: &[(&str, &str, &str, &str)] = &[
    ("I1", "keys: unknown, contradictory, of wrong type or unit, beyond their range", "config::tests::mistakes::every_bad_file_is_answered_with_all_that_is_wrong", "negative duration"),
    ("I1", "files: BOM, no UTF-8, a loop of links", "config::tests::mistakes::what_can_not_be_read_as_a_file_is_refused_as_such", "loop.toml"),
    ("I1", "a secret that everybody may read", "config::tests::secrets::a_secret_that_everybody_may_read_or_write_is_refused", "0o"),
    ("I1", "values of mistakes that are secret", "config::tests::secrets::no_mistake_shows_a_secret", "SECRET"),
    ("I1", "exit code 78", "process::start::every_mistake_of_the_configuration_is_a_line_of_the_log_where_that_is_json", "78"),
    ("I2", "a lease too short for its heartbeats", "config::tests::mistakes::every_bad_file_is_answered_with_all_that_is_wrong", "lease shorter than three heartbeats"),
    ("I2", "a drain longer than who stops the daemon waits", "config::tests::mistakes::every_bad_file_is_answered_with_all_that_is_wrong", "stop timeout shorter than a shutdown"),
    ("I2", "a burst of zero", "config::tests::mistakes::every_bad_file_is_answered_with_all_that_is_wrong", "burst of zero"),
    // Roles share no pool, each has its session: what can be too small is what functions of sql kinds share.
    ("I2", "fewer connections for functions than a queue takes of them", "config::tests::mistakes::a_queue_that_takes_more_jobs_than_functions_have_connections_is_warned_of", "functions run at once"),
    ("I3", "a port in use", "process::start::a_port_in_use_ends_the_start_with_code_78_and_is_named", "78"),
    ("I3", "an address that can't be had", "admin::tests::an_address_that_cannot_be_had_names_the_key_to_change", "v6_of_no_machine"),
    ("I3", "at a daemon: a descriptor of the service manager, an address of another machine, of IPv6 as well", "process::start::a_port_that_cannot_be_had_ends_the_start_with_code_78_and_names_the_key", "fd:3"),
    ("I3", "a privileged port", "process::start::a_privileged_port_ends_the_start_with_code_78_of_whom_has_no_right_to_it", "ip_unprivileged_port_start"),
    ("I3", "a port that a service manager hands over is taken over by nobody", "sys::group::tests::a_program_has_the_descriptors_it_was_given_and_no_others", "descriptors"),
    ("I4", "silence, and a head that dribbles", "admin::tests::clients_that_dribble_their_head_or_say_nothing_are_cut", "HEAD_TIMEOUT"),
    ("I4", "a head that dribbles, at a daemon", "traps::port::trap_9_a_head_that_comes_byte_by_byte_is_cut_when_its_time_is_over", "dribble"),
    ("I4", "a body without end", "traps::port::trap_9_a_body_is_refused_by_what_it_announces_and_not_read_by_what_it_sends", "chunked"),
    ("I4", "a batch of jobs whose lines dribble", "api::batch::a_client_that_dawdles_is_cut_off_and_what_it_sent_is_taken_back", "408 Request Timeout"),
    ("I4", "a body that dribbles", "api::abused::a_body_that_dribbles_is_cut_and_changes_nothing", "body-too-slow"),
    ("I4", "who reads no answer", "admin::tests::deaf::clients_that_never_read_their_answer_leave_the_port_answering", "a_long_one"),
    ("I4", "64 connections", "traps::port::trap_9_beyond_many_half_sent_heads_a_probe_gets_the_place_of_the_first", "CONNECTIONS"),
    ("I4", "one address with many of them", "admin::places::tests::an_address_with_many_places_gives_its_own_up", "leaving"),
    ("I5", "a thousand connections", "admin::tests::a_flood_of_a_thousand_connections_leaves_the_port_answering", "0..1000"),
    ("I5", "a thousand connections at a daemon, and its memory", "traps::port::trap_9_a_thousand_half_sent_heads_take_little_memory_and_leave_the_port_answering", "resident_mib"),
    ("I5", "a large head, ten thousand headers, a long path", "admin::tests::a_head_beyond_the_limit_is_refused", "10_000"),
    ("I5", "requests sent ahead", "admin::tests::of_requests_that_are_sent_ahead_the_first_is_answered_and_no_other", "repeat(100)"),
    ("I5", "a request in another's body", "admin::tests::a_request_that_is_smuggled_in_anothers_body_is_not_answered", "Transfer-Encoding"),
    ("I5", "HTTP/2, which isn't spoken, and bytes that are no request", "admin::tests::what_is_wrong_is_refused_by_its_status", "PRI * HTTP/2.0"),
    ("I5", "memory", "traps::port::trap_9_a_body_is_refused_by_what_it_announces_and_not_read_by_what_it_sends", "resident_mib"),
    ("I6", "paths that lead elsewhere", "admin::tests::a_path_without_a_route_is_not_found", "%2e%2e"),
    ("I6", "to somebody without a token, nothing at all", "admin::tests::asked::nothing_tells_who_may_ask_nothing_which_paths_there_are", "/../"),
    ("I7", "two profiles at once", "profiling::one_profile_at_a_time_and_none_for_who_has_left", "409"),
    ("I7", "a client that leaves midway ends its profile", "profiling::one_profile_at_a_time_and_none_for_who_has_left", "the profile ends with its client"),
    ("I7", "a client that leaves midway ends its trace", "execution::one_trace_at_a_time_and_none_for_who_has_left", "the trace ends with its client"),
    ("I7", "profiles by the hundred", "api::abused::of_many_profiles_at_once_one_is_taken_and_the_others_are_told", "AT_ONCE"),
    ("I7", "a profile of a thousand million seconds is refused", "profiling::a_question_that_makes_no_sense_is_told_what_would", "profile?seconds=1000000000"),
    ("I7", "a profile, a trace, a bundle, and the daemon ends", "profiling::what_the_end_of_the_daemon_cuts_short_is_told_so", "daemon-ends"),
    ("I7", "two bundles at once", "bundle::one_bundle_at_a_time_and_none_for_who_has_left", "409"),
    ("I7", "a bundle while the database is away and somebody profiles", "bundle::without_a_database_or_a_profiler_the_rest_is_there_and_says_what_is_missing", "blackhole"),
    ("I7", "there is no profile to ask for", "admin::tests::asked::what_go_asks_for_is_refused_in_the_form_that_its_tools_show", "/debug/pprof/nothing"),
    ("I7", "a profile without a token or the role", "admin::tests::asked::what_go_asks_for_is_refused_in_the_form_that_its_tools_show", "/debug/pprof/heap"),
    ("I8", "a name that is bound to this machine", "admin::tests::a_page_of_somebody_else_reads_and_changes_nothing", "421"),
    ("I8", "every form of it", "admin::hosts::tests::from_this_machine", "looks_like_an_address"),
    ("I8", "at a daemon, with names of the file", "traps::port::the_port_answers_by_addresses_by_localhost_and_by_the_names_of_its_file", "evil.example.com"),
    ("I8", "a page of another origin, on the machine itself", "admin::tests::asked::a_page_of_another_origin_changes_nothing_and_starts_nothing", "Sec-Fetch-Site"),
    ("I8", "every way in which a browser says so", "admin::foreign::tests::browsers_say_whose_page_asks", "same-site"),
    ("I8", "others' requests that a proxy on the machine hands on", "tokens::without_a_token_this_machine_asks_everything_and_others_see_health_and_metrics", "X-Forwarded-For"),
    ("I8", "a form of another origin", "admin::tests::a_page_of_somebody_else_reads_and_changes_nothing", "access-control-allow"),
    ("I9", "a change over HTTP that the state forbids, or of no job", "api::changed::what_a_job_s_state_forbids_is_a_conflict_and_no_job_is_not_found", "cancel"),
    ("I9", "an enqueue over HTTP that is sent again while it is committed and after", "api::once::a_client_that_is_cut_off_at_the_commit_finds_its_answer_and_meanwhile_is_told_to_wait", "idempotency-replayed"),
    ("I9", "requests by the hundred at once", "api::abused::of_many_requests_at_once_each_is_answered_and_those_that_were_done_are_told_so", "AT_ONCE"),
    ("I9", "the same change by the hundred at once", "api::abused::of_many_changes_of_one_job_at_once_one_happens", "AT_ONCE"),
    ("I9", "one change of many at once, one note", "api::abused::of_many_changes_of_one_job_at_once_one_happens", "legwork.audit"),
    ("I9", "a queue paused and resumed by the hundred at once", "api::abused::of_many_pauses_and_resumes_at_once_one_changes_something", "legwork.audit"),
    ("I9", "a job snoozed by the hundred at once", "api::abused::of_many_snoozes_of_one_job_at_once_each_that_is_answered_is_counted_and_noted", "snoozes"),
    ("I9", "a method that a path doesn't take", "admin::tests::described::a_method_that_a_path_does_not_take_is_a_problem_and_not_described", "Method::POST"),
    ("I9", "changes by SQL, a thousand times", "operators::a_thousand_cancels_and_retries_conserve_rows", "cancel"),
    ("I9", "changes by SQL, of two at once", "operators::two_operators_who_retry_the_same_job_bring_back_one", "retry"),
    ("I9", "pausing what is paused", "operators::pause_and_resume_say_whether_they_changed_anything", "pause"),
    ("I10", "what a scrape shows while the daemon drains", "process::metrics::every_metric_is_there_and_says_something", "draining"),
    ("I10", "scrapes while jobs drain", "process::metrics::a_daemon_that_drains_answers_every_scrape_as_fast_as_before", "PROMISED"),
    ("I10", "scrapes in an outage: 100 ms, and nothing is asked", "process::metrics::a_scrape_asks_the_database_nothing_and_is_answered_within_100_ms_while_that_says_nothing", "blackhole"),
    ("I10", "a probe without the database", "process::probes::readiness_names_its_reasons_and_liveness_does_not_ask_the_database", "live"),
    ("I11", "guesses, at a daemon", "tokens::a_thousand_guesses_from_one_address_keep_it_waiting_and_nobody_else", "429"),
    ("I11", "each guess costs more, and is counted", "admin::guesses::tests::from_the_sixth_guess_on_each_costs_twice_the_time_of_the_one_before", "WAIT_MAX"),
    ("I11", "from many addresses", "admin::guesses::tests::a_thousand_and_some_addresses_are_remembered_and_the_quietest_is_forgotten", "PEERS_MAX"),
    ("I11", "the old token of a program that nobody told", "admin::guesses::tests::a_token_that_was_wrong_before_is_no_guess", "1000"),
    ("I11", "without a token there is nothing to guess", "admin::tests::asked::without_a_token_the_machine_itself_may_ask_everything_and_others_health_and_metrics", "404"),
    ("I11", "time tells nothing of a token", "config::settings::admin::tests::tokens_are_compared_in_constant_time_and_in_no_other_way", "ct_eq"),
    ("I12", "a broken file", "process::reload::a_broken_file_changes_nothing_and_says_so_until_it_is_repaired", "broken"),
];

#[test]
fn each_fault_names_tests_that_bring_it_about() {
    let tests = sources::tests();
    let mut hollow = Vec::new();
    for (letter, last, lines) in [('F', 12, RECEIVERS), ('G', 13, PROGRAMS), ('I', 12, OPERATION)] {
        for number in 1..=last {
            let fault = format!("{letter}{number}");
            if !lines.iter().any(|(of, ..)| *of == fault) {
                hollow.push(format!("{fault} has no line"));
            }
        }
        for (fault, thing, test, words) in lines {
            match tests.get(*test) {
                _ if !fault.starts_with(letter) => hollow.push(format!("{fault} stands elsewhere")),
                None => hollow.push(format!("{fault}, {thing}: there is no test {test}")),
                Some(text) if !text.contains(words) => {
                    hollow.push(format!("{fault}, {thing}: {test} doesn't mention {words:?}"));
                }
                Some(_) => {}
            }
        }
    }
    assert!(hollow.is_empty(), "{}", hollow.join("\n"));
}
