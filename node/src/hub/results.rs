//! Results as files, for hosts who have no shell.

use super::{Hub, stopping};
use crate::engine::{EventCore, Publisher};
use crate::export;
use crate::service::view::Refusal;
use bytes::Bytes;
use crdt_state::{EventId, Mono};

/// What is known of an event that was frozen, beside the event.
pub(super) struct Frozen {
    /// Its PIN.
    pub pin: String,
    /// When that was.
    pub now: Mono,
}

impl Hub {
    /// Reads an event as it is now, beside its owner: what folds all of a show would have answers wait for it. One
    /// after the other, so that readers take no more than one processor; `run` is one whose refusals are read.
    pub(super) async fn read_frozen<T: Send + 'static>(
        &self,
        event: EventId,
        run: Option<u32>,
        read: impl FnOnce(&EventCore, &Frozen) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let owner = self.owner(event).await?;
        let _one = self.making.lock().await;
        let freeze = move |core: &EventCore, publisher: &Publisher, now: Mono| {
            (core.frozen(run), Frozen { pin: publisher.pin().to_owned(), now })
        };
        let (core, frozen) = owner.read(freeze).await.ok_or_else(stopping)?;
        self.blocking.result_of(move || read(&core, &frozen)).await.ok_or_else(stopping)
    }

    /// One file of an event's results. It is made anew each time, beside the node's own work.
    pub(super) async fn result_file(&self, event: EventId, name: &str) -> Result<Bytes, Refusal> {
        let wanted = name.to_owned();
        let make = move |core: &EventCore, frozen: &Frozen| {
            let lines = core.export(&frozen.pin);
            let lines = std::str::from_utf8(&lines).expect("our own lines are text");
            export::file(lines, &wanted)
        };
        match self.read_frozen(event, None, make).await? {
            Ok(Some(bytes)) => Ok(Bytes::from(bytes)),
            Ok(None) => Err(Refusal::new("file_unknown", format!("no export has a file {name:?}"))
                .hint("event.jsonl, event.json, event.xlsx; answers, players or questions .csv or .parquet")),
            Err(error) => Err(Refusal::new("file_impossible", error.to_string())
                .hint("take another format")),
        }
    }
}
