//! Where the work of a database runs: on threads, or, in a simulation, as tasks on the thread of the runtime.

use std::io;

use crate::{
    StoreError,
    writer::Writer,
    writer_threads::{RunningSeat, WriterThreads},
};

/// Where the writer of a database and its questions run.
#[derive(Clone, Debug)]
pub enum Execution {
    /// The writers share threads; questions run on the blocking threads of the runtime.
    Threads(WriterThreads),
    /// Everything runs as tasks of the current runtime, for simulations. SQLite only: a connection to PostgreSQL blocks its
    /// thread on a runtime of its own.
    #[cfg(feature = "testing")]
    Tasks(std::sync::Arc<dyn Steps>),
}

impl Default for Execution {
    fn default() -> Self {
        Self::Threads(WriterThreads::default())
    }
}

/// Decides what happens between the steps of a simulation.
#[cfg(feature = "testing")]
pub trait Steps: std::fmt::Debug + Send + Sync {
    /// Returns what the writer or a question of a service waits for before its next step.
    fn pause(&self, service: &'static str) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

    /// Is called before each commit of a service.
    ///
    /// # Errors
    /// The error with which the commit is to fail; the transaction is rolled back.
    fn before_commit(&self, service: &'static str) -> Result<(), StoreError>;

    /// Is called after each commit of a service.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] if the writer is not to know that the commit succeeded.
    fn after_commit(&self, service: &'static str) -> Result<(), StoreError>;
}

/// A writer that was started.
pub(super) enum RunningWriter {
    Threads(RunningSeat),
    #[cfg(feature = "testing")]
    Task(tokio::task::JoinHandle<()>),
}

impl Execution {
    /// Starts a writer. It ends when its queue is closed and empty.
    pub(super) fn start(&self, writer: Writer) -> io::Result<RunningWriter> {
        match self {
            Self::Threads(threads) => threads.start(writer).map(RunningWriter::Threads),
            #[cfg(feature = "testing")]
            Self::Tasks(steps) => {
                let steps = std::sync::Arc::clone(steps);
                Ok(RunningWriter::Task(tokio::spawn(writer.run_as_task(steps))))
            }
        }
    }

    /// Runs work that blocks.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        _service: &'static str,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let done = match self {
            Self::Threads(_) => tokio::task::spawn_blocking(work).await,
            #[cfg(feature = "testing")]
            Self::Tasks(steps) => {
                steps.pause(_service).await;
                tokio::spawn(async move { work() }).await
            }
        };
        match done {
            Ok(answer) => answer,
            Err(error) if error.is_panic() => Err(StoreError::rejected("the question panicked")),
            Err(_) => Err(StoreError::Closed),
        }
    }

    #[cfg_attr(not(feature = "testing"), expect(clippy::unnecessary_wraps, reason = "as with it"))]
    pub(super) fn before_commit(&self, _service: &'static str) -> Result<(), StoreError> {
        match self {
            Self::Threads(_) => Ok(()),
            #[cfg(feature = "testing")]
            Self::Tasks(steps) => steps.before_commit(_service),
        }
    }

    #[cfg_attr(not(feature = "testing"), expect(clippy::unnecessary_wraps, reason = "as with it"))]
    pub(super) fn after_commit(&self, _service: &'static str) -> Result<(), StoreError> {
        match self {
            Self::Threads(_) => Ok(()),
            #[cfg(feature = "testing")]
            Self::Tasks(steps) => steps.after_commit(_service),
        }
    }
}

impl RunningWriter {
    /// Waits until the writer has ended.
    pub(super) async fn ended(self) {
        match self {
            Self::Threads(seat) => seat.ended().await,
            #[cfg(feature = "testing")]
            Self::Task(task) => {
                let _ = task.await;
            }
        }
    }
}
