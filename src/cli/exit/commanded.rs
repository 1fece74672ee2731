//! What the database advises those who type SQL, said to those who type commands.

/// Calls that hints of the database's name, each with the command that does the same.
const CALLS: [(&str, &str); 11] = [
    // Shown, never sent.
    ("SELECT legwork.retry(", "legwork job retry "),
    // Shown, never sent.
    ("SELECT legwork.cancel(", "legwork job cancel "),
    ("legwork.retry(", "legwork job retry "),
    ("legwork.resume(", "legwork queue resume "),
    ("retry(", "legwork job retry "),
    ("resume(", "legwork queue resume "),
    ("pause(", "legwork queue pause "),
    ("reset_queue(", "legwork queue unset "),
    // Shown, never sent.
    ("SELECT id FROM legwork.jobs", "legwork job list"),
    // Shown, never sent.
    ("SELECT id, name FROM legwork.daemon WHERE died_at IS NULL", "legwork daemon list"),
    // Shown, never sent.
    ("SELECT id, name FROM legwork.daemon", "legwork daemon list"),
];

/// What the database says for those who type SQL, with the commands in the place of its calls.
pub(in crate::cli) fn commanded(said: &str) -> String {
    let found = CALLS.iter().filter_map(|(call, command)| Some((said.find(call)?, call, command)));
    let Some((at, call, command)) = found.min_by_key(|(at, ..)| *at) else {
        return said.to_owned();
    };
    let (before, rest) = (&said[..at], &said[at + call.len()..]);
    let (argument, after) = match call.strip_suffix('(').and_then(|_| rest.split_once(')')) {
        Some((argument, after)) => (argument.trim_matches('\''), after),
        None => ("", rest),
    };
    // Of a name for any of them a command's usage has capitals.
    let argument = match argument {
        "id" => "ID",
        "queue" => "NAME",
        argument => argument,
    };
    format!("{before}`{command}{argument}`{}", commanded(after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::a_call(
        "SELECT legwork.retry(7) makes it run again.",
        "`legwork job retry 7` makes it run again."
    )]
    #[case::within(
        "Wait for its end, or SELECT legwork.cancel(7) first.",
        "Wait for its end, or `legwork job cancel 7` first."
    )]
    #[case::of_any(
        "Give an interval above zero; retry(id) makes a waiting job due now.",
        "Give an interval above zero; `legwork job retry ID` makes a waiting job due now."
    )]
    #[case::a_list("SELECT id FROM legwork.jobs lists them.", "`legwork job list` lists them.")]
    #[case::a_queue(
        "queue mail is paused; legwork.resume('mail') lets it run",
        "queue mail is paused; `legwork queue resume mail` lets it run"
    )]
    #[case::of_any_queue(
        "reset_queue(queue) takes overrides away.",
        "`legwork queue unset NAME` takes overrides away."
    )]
    #[case::none("Nothing was changed; try again.", "Nothing was changed; try again.")]
    fn what_is_said_in_sql_is_said_in_commands(#[case] said: &str, #[case] told: &str) {
        assert_eq!(commanded(said), told);
    }
}
