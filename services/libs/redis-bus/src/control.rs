//! Questions beside the way of events: they wait for nothing, and a Redis that is away holds nobody up.

use std::{collections::HashMap, time::Duration};

use ::redis::{RedisError, RedisResult, aio::MultiplexedConnection, cmd};
use contracts::events::catalogue;
use tracing::debug;
use uuid::Uuid;

use super::RedisBus;

/// How long such a question waits for Redis.
const ANSWER_MAX: Duration = Duration::from_millis(300);

/// What is kept between them.
#[derive(Default)]
pub(super) struct ControlConnection {
    connection: Option<MultiplexedConnection>,
    /// What was last known to wait for each reader.
    waiting: HashMap<String, i64>,
}

impl RedisBus {
    /// Returns how many entries a reader has not acknowledged; the last known figure while Redis does not answer.
    pub(super) async fn ask_waiting(&self, reader: &str) -> i64 {
        let mut control = self.control.lock().await;
        let looked = self.ask(&mut control.connection, async |connection| {
            self.scripts.look(connection, &self.names, &[]).await
        });
        if let Some(look) = looked.await {
            control.waiting.insert(reader.to_owned(), look.waiting(reader));
        }
        control.waiting.get(reader).copied().unwrap_or(0)
    }

    /// Asks Redis beside the way of events; nothing if it does not answer soon.
    pub(super) async fn ask<T>(
        &self,
        kept: &mut Option<MultiplexedConnection>,
        question: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    ) -> Option<T> {
        // A connection on which something was left unanswered is not kept.
        let before = kept.take();
        let asked = async {
            let mut connection = match before {
                Some(connection) => connection,
                None => self.connect(ANSWER_MAX).await?,
            };
            let answer = question(&mut connection).await?;
            Ok::<_, RedisError>((connection, answer))
        };
        let (connection, answer) = tokio::time::timeout(ANSWER_MAX, asked).await.ok()?.ok()?;
        *kept = Some(connection);
        Some(answer)
    }

    pub(super) async fn tell_published_below(&self, writer: &str, id: Uuid) {
        let mut control = self.control.lock().await;
        let noted = self.ask(&mut control.connection, async |connection| {
            let mut call = cmd("HSET");
            call.arg(&self.names.published).arg(writer).arg(id.to_string());
            call.exec_async(connection).await
        });
        if noted.await.is_none() {
            debug!("Redis was not told what {writer} has published");
        }
    }

    pub(super) async fn ask_published_below(&self) -> Option<Uuid> {
        let mut control = self.control.lock().await;
        let told: HashMap<String, String> = self
            .ask(&mut control.connection, async |connection| {
                cmd("HGETALL").arg(&self.names.published).query_async(connection).await
            })
            .await?;
        let of_writers =
            catalogue::CATALOGUE.iter().map(|entry| told.get(entry.writer)?.parse().ok());
        of_writers.collect::<Option<Vec<Uuid>>>()?.into_iter().min()
    }
}
