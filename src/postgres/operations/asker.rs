//! Who asks for a change, and why: what is noted of it (`legwork.audit`).

use sqlx::{Postgres, postgres::PgArguments, query::QueryScalar};

/// Longest text of who it is, in bytes.
pub const ACTOR_MAX_BYTES: usize = 256;

/// Whoever asks for a change. What is absent isn't known; without an actor it is the session's login.
#[derive(Debug, Clone, Default)]
pub struct Asker {
    /// Role and token of a request, or account and command of a shell.
    pub actor: Option<String>,
    /// Why, for the next person.
    pub reason: Option<String>,
    /// The request's id, as in the log.
    pub request_id: Option<String>,
    /// Versions, of which what is changed has to have one.
    pub only_if: Option<Vec<String>>,
}

impl Asker {
    /// Somebody, of whom nothing more is known. What is too long for a note is cut.
    pub fn named(actor: &str) -> Self {
        let actor = actor[..actor.floor_char_boundary(ACTOR_MAX_BYTES)].to_owned();
        Self { actor: Some(actor), ..Self::default() }
    }

    /// The statement with who asks as its last three parameters, which most changes have there.
    pub(super) fn asks<'q, T>(
        &self,
        statement: QueryScalar<'q, Postgres, T, PgArguments>,
    ) -> QueryScalar<'q, Postgres, T, PgArguments> {
        let Self { actor, reason, request_id, .. } = self.clone();
        statement.bind(actor).bind(reason).bind(request_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_between_two_letters() {
        let actor = Asker::named(&"ä".repeat(200)).actor.unwrap();
        assert_eq!(actor, "ä".repeat(128));
        let odd = Asker::named(&format!("x{}", "ä".repeat(200))).actor.unwrap();
        assert_eq!(odd.len(), 255);
    }
}
