//! Results as files, for hosts who have no shell.

use super::{Hub, stopping};
use crate::export;
use crate::service::view::Refusal;
use bytes::Bytes;
use crdt_state::EventId;

impl Hub {
    /// One file of an event's results. It is made anew each time, beside the node's own work.
    pub(super) async fn result_file(&self, event: EventId, name: &str) -> Result<Bytes, Refusal> {
        let owner = self.owner(event).await?;
        let _one = self.making.lock().await;
        let lines = owner.read(|core, publisher, _| core.export(publisher.pin())).await;
        let (lines, wanted) = (lines.ok_or_else(stopping)?, name.to_owned());
        let make = move || {
            let lines = std::str::from_utf8(&lines).expect("our own lines are text");
            export::file(lines, &wanted)
        };
        match self.blocking.result_of(make).await.ok_or_else(stopping)? {
            Ok(Some(bytes)) => Ok(Bytes::from(bytes)),
            Ok(None) => Err(Refusal::new("file_unknown", format!("no export has a file {name:?}"))
                .hint("event.jsonl, event.json, event.xlsx; answers, players or questions .csv or .parquet")),
            Err(error) => Err(Refusal::new("file_impossible", error.to_string())
                .hint("take another format")),
        }
    }
}
