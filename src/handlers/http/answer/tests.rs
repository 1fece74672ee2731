//! The answer table, row by row.

use super::*;
use hyper::header::HeaderValue;
use rstest::rstest;

fn headers(given: &[(&'static str, &str)]) -> HeaderMap {
    let value = |value: &str| HeaderValue::from_str(value).expect("a value");
    given.iter().fold(HeaderMap::new(), |mut headers, (name, text)| {
        headers.append(*name, value(text));
        headers
    })
}

fn outcome(status: u16, given: &[(&'static str, &str)], body: &str) -> Outcome {
    let headers = headers(given);
    let answer = Answer {
        status: StatusCode::from_u16(status).expect("a status"),
        action: asked(&headers),
        reason: text(&headers, "legwork-reason"),
        retry_after: retry_after(&headers),
        body: body.into(),
        is_cut: false,
        is_later: false,
    };
    answer.outcome()
}

/// What decides, without texts.
fn word(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Complete { result } => {
            result.as_ref().map_or("complete".into(), |json| format!("complete {}", json.as_str()))
        }
        Outcome::Retry { after: None, .. } => "retry".into(),
        Outcome::Retry { after: Some(after), .. } => format!("retry {after:?}"),
        Outcome::Discard { reason, .. } => format!("discard {}", reason.as_str()),
        Outcome::Snooze { delay: None } => "snooze".into(),
        Outcome::Snooze { delay: Some(delay) } => format!("snooze {delay:?}"),
        Outcome::Park { delay } => format!("park {delay:?}"),
        Outcome::Cancel => "cancel".into(),
        Outcome::Written(_) => unreachable!("of functions alone"),
    }
}

#[rstest]
#[case::ok(200, "{\"a\": 1}", "complete {\"a\": 1}")]
#[case::created(201, "", "complete")]
#[case::accepted(202, "", "complete")]
#[case::no_content(204, "", "complete")]
#[case::any_success(299, " 3\n", "complete 3")]
#[case::success_without_json(200, "fine", "complete")]
#[case::result_that_postgres_refuses(200, "\"\\u0000\"", "complete")]
#[case::moved(301, "", "retry")]
#[case::found(302, "", "retry")]
#[case::not_modified(304, "", "retry")]
#[case::temporary(307, "", "retry")]
#[case::bad_request(400, "", "retry")]
#[case::unauthorized(401, "", "retry")]
#[case::not_found(404, "", "retry")]
#[case::timeout(408, "", "retry")]
#[case::conflict(409, "", "retry")]
#[case::gone(410, "", "discard permanent_error")]
#[case::too_early(425, "", "retry")]
#[case::too_many(429, "", "retry")]
#[case::broken(500, "", "retry")]
#[case::bad_gateway(502, "", "retry")]
#[case::unavailable(503, "", "retry")]
#[case::gateway_timeout(504, "", "retry")]
#[case::unheard_of(999, "", "retry")]
fn a_status_decides(#[case] status: u16, #[case] body: &str, #[case] expected: &str) {
    assert_eq!(word(&outcome(status, &[], body)), expected);
}

#[rstest]
#[case::too_many(429, "7", "snooze 7s")]
#[case::unavailable(503, "7", "snooze 7s")]
#[case::spaces(503, " 7 ", "snooze 7s")]
#[case::at_once(503, "0", "snooze 1s")]
#[case::absurd(503, "99999999999999999999999999", "snooze 86400s")]
#[case::a_week(503, "604800", "snooze 86400s")]
#[case::negative(503, "-7", "retry")]
#[case::fraction(503, "1.5", "retry")]
#[case::nonsense(503, "soon", "retry")]
#[case::empty(503, "", "retry")]
#[case::failure_that_is_none_of_both(500, "7", "retry")]
#[case::success(200, "7", "complete")]
fn retry_after_puts_off_what_is_busy(
    #[case] status: u16,
    #[case] value: &str,
    #[case] expected: &str,
) {
    assert_eq!(word(&outcome(status, &[("retry-after", value)], "")), expected);
}

#[rstest]
#[case::later("Wed, 21 Oct 2015 07:28:07 GMT", "snooze 7s")]
#[case::passed("Wed, 21 Oct 2015 07:27:00 GMT", "snooze 1s")]
#[case::far("Fri, 21 Oct 2095 07:28:00 GMT", "snooze 86400s")]
#[case::old_form("Wednesday, 21-Oct-15 07:28:07 GMT", "snooze 7s")]
fn a_date_is_told_by_the_receivers_own_clock(#[case] date: &str, #[case] expected: &str) {
    let given = [("retry-after", date), ("date", "Wed, 21 Oct 2015 07:28:00 GMT")];
    assert_eq!(word(&outcome(503, &given, "")), expected);
}

#[rstest]
#[case::complete(500, "complete", &[], "complete 5")]
#[case::any_case(500, "Complete", &[], "complete 5")]
#[case::retry(200, "retry", &[], "retry")]
#[case::retry_then(200, "retry", &[("retry-after", "9")], "retry 9s")]
#[case::discard(200, "discard", &[], "discard permanent_error")]
#[case::snooze(200, "snooze", &[], "snooze")]
#[case::snooze_until(200, "snooze", &[("retry-after", "9")], "snooze 9s")]
#[case::cancel(410, "cancel", &[], "cancel")]
#[case::unknown(200, "explode", &[], "retry")]
#[case::two(200, "complete", &[("legwork-action", "retry")], "retry")]
fn an_action_wins_over_the_status(
    #[case] status: u16,
    #[case] action: &str,
    #[case] more: &[(&'static str, &str)],
    #[case] expected: &str,
) {
    let given = [&[("legwork-action", action)], more].concat();
    assert_eq!(word(&outcome(status, &given, "5")), expected);
}

#[test]
fn an_error_tells_status_reason_and_body() {
    let given = [("legwork-reason", "no such customer"), ("legwork-action", "discard")];
    let Outcome::Discard { error, .. } = outcome(422, &given, "{\"why\": 1}\n") else {
        panic!("discarded");
    };
    let expected = "HTTP 422 Unprocessable Entity, Legwork-Action: discard: no such customer\n\
                    {\"why\": 1}";
    assert_eq!(error.as_str(), expected);

    let given = [("legwork-action", "explode")];
    let Outcome::Retry { error, .. } = outcome(200, &given, "") else { panic!("retried") };
    assert!(error.as_str().starts_with("HTTP 200 OK, Legwork-Action: \"explode\", which is none"));

    let given = [("legwork-action", "complete"), ("legwork-action", "complete")];
    let Outcome::Retry { error, .. } = outcome(200, &given, "") else { panic!("retried") };
    assert_eq!(error.as_str(), "HTTP 200 OK, Legwork-Action: it is there more than once");
}

#[test]
fn a_body_that_was_cut_is_no_result() {
    let answer = Answer {
        status: StatusCode::OK,
        action: None,
        reason: None,
        retry_after: None,
        body: b"1".to_vec(),
        is_cut: true,
        is_later: false,
    };
    assert_eq!(word(&answer.outcome()), "complete");
}
