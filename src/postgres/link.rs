//! A connection that statements are sent on, whether it ends at a server or at a pooler.
//!
//! Behind a pooler in transaction mode two statements of ours may reach two sessions of the server, and
//! each of those serves others before and after. So nothing that a session keeps may be relied on or left
//! behind: no SET, no prepared statement. A statement that is sent through a pooler is therefore a
//! transaction of its own which begins with its settings, by SET LOCAL, and is prepared without a name
//! inside of it (ADR 0018). To a server it goes as it is.
//!
//! It is here and not at the statements, so that none can be forgotten.

use super::transaction;
use futures::{
    FutureExt, StreamExt, TryStreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    Either, Error, Execute, Executor, PgConnection, Postgres,
    postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};
use std::time::Duration;

/// Where statements go.
pub struct Link {
    connection: PgConnection,
    /// What each transaction begins with, where the connection ends at a pooler.
    pooled: Option<Pooled>,
}

/// Settings that hold for one transaction.
struct Pooled {
    settings: String,
    limit: Duration,
}

impl Link {
    /// To a server, with settings that are its session's already.
    pub(super) fn direct(connection: PgConnection) -> Self {
        Self { connection, pooled: None }
    }

    /// To a pooler, with settings as of [`local`].
    pub(super) fn pooled(connection: PgConnection, settings: String) -> Self {
        Self { connection, pooled: Some(Pooled { settings, limit: Duration::ZERO }) }
    }

    /// Has the server end what it works on for longer than this.
    pub(super) async fn limit(&mut self, limit: Duration) -> Result<(), Error> {
        match &mut self.pooled {
            Some(pooled) => {
                pooled.limit = limit;
                Ok(())
            }
            None => super::connect::limit_statements(&mut self.connection, limit).await,
        }
    }

    /// Sends rows in COPY's text format.
    pub(super) async fn copy(
        &mut self,
        statement: &'static str,
        text: String,
    ) -> Result<(), Error> {
        self.within(|connection| copy(connection, statement, text).boxed()).await
    }

    /// Does something on the one session that is behind it meanwhile.
    async fn within<T>(
        &mut self,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, Error>>,
    ) -> Result<T, Error> {
        let Some(pooled) = &self.pooled else { return work(&mut self.connection).await };
        transaction::begin_with(&mut self.connection, &pooled.opening()).await?;
        let done = work(&mut self.connection).await;
        transaction::end(&mut self.connection, done).await
    }
}

impl Pooled {
    fn opening(&self) -> String {
        format!("{}SET LOCAL statement_timeout = {};\n", self.settings, self.limit.as_millis())
    }
}

/// What a session's settings are for one transaction. Their files are lines of SET and comments.
pub(super) fn local(settings: &[&str]) -> String {
    let lines = settings.iter().flat_map(|text| text.lines());
    let set = lines.filter_map(|line| line.strip_prefix("SET "));
    set.fold(String::new(), |all, setting| all + "SET LOCAL " + setting + "\n")
}

async fn copy(
    connection: &mut PgConnection,
    statement: &'static str,
    text: String,
) -> Result<(), Error> {
    let mut copy = connection.copy_in_raw(statement).await?;
    match copy.send(text.into_bytes()).await {
        Ok(_) => copy.finish().await.map(drop),
        Err(error) => {
            // The first error says what was wrong; aborting only ends the COPY.
            copy.abort("not all rows could be sent").await.ok();
            Err(error)
        }
    }
}

/// A statement that is prepared without a name.
struct Unnamed<E>(E);

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Unnamed<E> {
    fn sql(self) -> sqlx::SqlStr {
        self.0.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.0.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, sqlx::error::BoxDynError> {
        self.0.take_arguments()
    }

    fn persistent(&self) -> bool {
        false
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("pooled", &self.pooled.is_some()).finish_non_exhaustive()
    }
}

impl<'c> Executor<'c> for &'c mut Link {
    type Database = Postgres;

    /// Through a pooler the answer is whole, and committed, before its first row is seen.
    fn fetch_many<'e, 'q, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'c: 'e,
        'q: 'e,
        E: Execute<'q, Postgres> + 'q,
    {
        let Some(pooled) = &self.pooled else { return self.connection.fetch_many(query) };
        let begin = pooled.opening();
        let connection = &mut self.connection;
        let answers = async move {
            transaction::begin_with(connection, &begin).await?;
            let answers = connection.fetch_many(Unnamed(query)).try_collect::<Vec<_>>().await;
            let answers = transaction::end(connection, answers).await?;
            Ok::<_, Error>(stream::iter(answers.into_iter().map(Ok)))
        };
        stream::once(answers).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        'q: 'e,
        E: Execute<'q, Postgres> + 'q,
    {
        let Some(pooled) = &self.pooled else { return self.connection.fetch_optional(query) };
        let begin = pooled.opening();
        let connection = &mut self.connection;
        async move {
            transaction::begin_with(connection, &begin).await?;
            let row = connection.fetch_optional(Unnamed(query)).await;
            transaction::end(connection, row).await
        }
        .boxed()
    }

    /// By itself a prepared statement has no use behind a pooler, and nothing here asks for one.
    fn prepare_with<'e>(
        self,
        sql: sqlx::SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'c: 'e,
    {
        self.connection.prepare_with(sql, parameters)
    }
}

#[cfg(test)]
mod tests {
    use super::local;

    #[rstest::rstest]
    #[case(include_str!("sql/session.sql"))]
    #[case(include_str!("sql/claim_session.sql"))]
    #[case(include_str!("sql/completer_session.sql"))]
    #[case(include_str!("sql/indexed_session.sql"))]
    #[case(include_str!("sql/aside_session.sql"))]
    #[case(include_str!("sql/watched_session.sql"))]
    fn every_setting_of_a_session_is_one_of_a_transaction_as_well(#[case] text: &str) {
        let code = text.lines().filter(|line| !line.starts_with("--") && !line.is_empty());
        let (all, local) = (code.collect::<Vec<_>>(), local(&[text]));
        assert_eq!(local.lines().count(), all.len(), "a line is no SET of its own: {text}");
        for (line, setting) in all.iter().zip(local.lines()) {
            assert_eq!(setting.replacen("SET LOCAL ", "SET ", 1), *line);
            assert!(setting.ends_with(';'), "{setting}");
        }
    }
}
