//! A client that runs for as long as it is awaited.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::time::Sleep;

use super::connection::{AsyncConnection, Streaming};
use super::driver::{AsyncDriver, blocking};
use crate::client::desk::Running;
use crate::client::duty::{Acts, Duty};
use crate::client::error::Error;
use crate::client::message::Carried;
use crate::client::rest::resting;
use crate::client::told::{StreamAct, StreamNews};
use crate::codec::wire::EventId;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a stream told, and the stream, if it goes on.
type Telling = (StreamNews, Option<Streaming>);

/// What is on its way.
#[derive(Default)]
struct Away {
    answer: Option<(u64, Boxed<Carried>)>,
    stream: Option<(u64, Boxed<Telling>)>,
}

/// What came.
#[derive(Default)]
struct Came {
    answer: Option<(u64, Carried)>,
    stream: Option<(u64, StreamNews)>,
}

impl AsyncDriver {
    /// Keeps the replica in step with its authority until [`stop`](crate::client::Handle::stop) is called: what is
    /// written goes up within a second, what changes elsewhere comes down over a stream as it happens, or at an interval
    /// where there is none. Dropping the future stops it as well, as soon as what is just being written down is.
    ///
    /// # Errors
    /// Only if the runtime is shut down meanwhile. Whatever else goes wrong is told as an event and tried again.
    pub async fn run(&mut self) -> Result<(), Error> {
        let running = Running::at(Arc::clone(&self.desk));
        let desk = &running.0;
        let options = self.connection.options().clone();
        let duty = Duty::new(self.replica.clone(), self.options, options.clone(), Arc::clone(desk));
        let duty = Arc::new(Mutex::new(duty));
        let (mut away, mut came) = (Away::default(), Came::default());
        loop {
            let (its_desk, its_duty) = (Arc::clone(desk), Arc::clone(&duty));
            let turn = move || {
                // Taken here and not before: a turn that was begun comes to its end, so no order is lost.
                let mail = its_desk.take();
                let Came { answer, stream } = came;
                let mail = crate::client::desk::Mail { answer, stream, ..mail };
                Ok(its_duty.lock().unwrap_or_else(PoisonError::into_inner).turn(mail))
            };
            let Acts { hang_up, ask, stream, until, is_over } = blocking(turn).await?;
            if is_over {
                return Ok(());
            }
            if hang_up {
                away.answer = None;
            }
            match stream {
                StreamAct::Keep => {}
                StreamAct::Close => away.stream = None,
                StreamAct::Open { ticket, heard } => {
                    away.stream = Some((ticket, Box::pin(open(self.connection.clone(), heard))));
                }
            }
            if let Some((ticket, ask)) = ask {
                let connection = self.connection.clone();
                away.answer = Some((ticket, Box::pin(async move { connection.carry(&ask).await })));
            }
            let mut rest = Box::pin(tokio::time::sleep(resting(until, options.now())));
            came = poll_fn(|context| match away.poll(context) {
                Some(came) => Poll::Ready(came),
                None if desk.poll(context).is_ready() => Poll::Ready(Came::default()),
                None => {
                    Pin::as_mut(&mut rest as &mut Pin<Box<Sleep>>).poll(context).map(|()| Came::default())
                }
            })
            .await;
        }
    }
}

impl Away {
    /// What came, if anything did.
    fn poll(&mut self, context: &mut Context<'_>) -> Option<Came> {
        let mut came = Came::default();
        if let Some((ticket, answer)) = &mut self.answer
            && let Poll::Ready(carried) = answer.as_mut().poll(context)
        {
            came.answer = Some((*ticket, carried));
            self.answer = None;
        }
        if let Some((ticket, telling)) = &mut self.stream
            && let Poll::Ready((news, streaming)) = telling.as_mut().poll(context)
        {
            let ticket = *ticket;
            came.stream = Some((ticket, news));
            self.stream = streaming.map(|streaming| (ticket, Box::pin(go_on(streaming)) as Boxed<Telling>));
        }
        (came.answer.is_some() || came.stream.is_some()).then_some(came)
    }
}

async fn open(connection: AsyncConnection, heard: EventId) -> Telling {
    match connection.stream(&heard).await {
        Ok(streaming) => (StreamNews::Opened, Some(streaming)),
        Err(error) => (StreamNews::Ended(error), None),
    }
}

async fn go_on(mut streaming: Streaming) -> Telling {
    match streaming.next().await {
        Ok(events) => (StreamNews::Told(events), Some(streaming)),
        Err(error) => (StreamNews::Ended(error), None),
    }
}
