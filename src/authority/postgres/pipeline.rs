//! Several statements in one round trip: all are sent before the first answer is waited for, and all are answered.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use super::error::PostgresError;

/// A statement with what it is said about.
pub(super) struct Call {
    text: Text,
    given: Vec<Box<dyn ToSql + Send + Sync>>,
}

enum Text {
    /// Sent as it stands.
    Plain(&'static str),
    /// Prepared once a connection.
    Prepared(String),
}

impl Call {
    /// A statement that takes nothing and gives nothing.
    pub(super) fn plain(text: &'static str) -> Self {
        Call { text: Text::Plain(text), given: Vec::new() }
    }

    pub(super) fn new(text: impl Into<String>) -> Self {
        Call { text: Text::Prepared(text.into()), given: Vec::new() }
    }

    /// With one more value.
    pub(super) fn with(mut self, value: impl ToSql + Send + Sync + 'static) -> Self {
        self.given.push(Box::new(value));
        self
    }
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Vec<Row>, tokio_postgres::Error>> + Send + 'a>>;

/// Says all of it in this order; the rows of each statement. What a failed statement leaves of a transaction is for
/// PostgreSQL to refuse, and of several failures the first one is told, as it is the cause of the others.
pub(super) async fn said(client: &ClientWrapper, calls: &[Call]) -> Result<Vec<Vec<Row>>, PostgresError> {
    let mut ready = Vec::with_capacity(calls.len());
    for call in calls {
        ready.push(prepared(client, call).await?);
    }
    let answers = ready.iter().map(|ready| answer(client, ready));
    let mut open: Vec<Progress<'_>> = answers.map(Progress::Open).collect();
    // The first poll of each sends it: so they go out in their order, before anything is waited for.
    poll_fn(|context| {
        let mut are_done = true;
        for progress in &mut open {
            if let Progress::Open(answer) = progress {
                match answer.as_mut().poll(context) {
                    Poll::Ready(done) => *progress = Progress::Done(done),
                    Poll::Pending => are_done = false,
                }
            }
        }
        if are_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    let mut rows = Vec::with_capacity(open.len());
    for progress in open {
        match progress {
            Progress::Done(done) => rows.push(done?),
            Progress::Open(_) => {
                return Err(PostgresError::damaged("the order of answers", "one is missing"));
            }
        }
    }
    Ok(rows)
}

/// Sends a statement, once it is prepared, and does not wait for what it gives, which is nothing that anybody needs.
pub(super) async fn sent(client: &ClientWrapper, call: &Call) {
    let Ok(ready) = prepared(client, call).await else { return };
    let mut answer = answer(client, &ready);
    poll_fn(|context| {
        let _ = answer.as_mut().poll(context);
        Poll::Ready(())
    })
    .await;
}

async fn prepared<'a>(client: &ClientWrapper, call: &'a Call) -> Result<Ready<'a>, tokio_postgres::Error> {
    Ok(match &call.text {
        Text::Plain(text) => Ready::Plain(text),
        Text::Prepared(text) => Ready::Prepared(client.prepare_cached(text).await?, &call.given),
    })
}

enum Progress<'a> {
    Open(Answer<'a>),
    Done(Result<Vec<Row>, tokio_postgres::Error>),
}

/// A call that only has to be sent.
enum Ready<'a> {
    Plain(&'static str),
    Prepared(Statement, &'a [Box<dyn ToSql + Send + Sync>]),
}

fn answer<'a>(client: &'a ClientWrapper, ready: &'a Ready<'_>) -> Answer<'a> {
    match ready {
        Ready::Plain(text) => Box::pin(async move { client.batch_execute(text).await.map(|()| Vec::new()) }),
        Ready::Prepared(statement, given) => Box::pin(async move {
            let given: Vec<&(dyn ToSql + Sync)> =
                given.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
            client.query(statement, &given).await
        }),
    }
}
