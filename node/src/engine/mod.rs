//! The engine: one owner per event, as a core without IO under a thin shell.

mod bulk;
mod carried;
mod commands;
mod core;
mod coverage;
mod director;
mod explain;
mod export;
mod forget;
mod inboxes;
mod inputs;
mod intake;
mod io;
mod listing;
mod names;
mod owner;
mod proof;
mod publisher;
mod ranked;
mod receipts;
mod rulings;
mod seals;
mod views;

pub use bulk::{BULK_ANSWERS_MAX, Bulk, BulkAnswer, BulkVerdict};
pub use carried::Carried;
pub use core::EventCore;
pub use inboxes::Inboxes;
pub use intake::Claim;
pub(crate) use intake::level;
pub use io::{Identity, Input, Output, Reply, Rules};
pub use listing::{Listed, ListingCore};
pub use owner::{Owner, Ports, open_envelope};
pub use proof::StateError;
pub use publisher::{Publisher, Views};
pub use views::{stage_of, stage_view};
