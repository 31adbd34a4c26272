//! A whole Starling node as a library: what the `starling` binary runs and the simulator runs too.
//!
//! ```text
//! players ──MQTT── edge ─┐                     ┌─ owner of an event ─ publisher ── views
//!                        ├─ hub ─ (by event) ──┤      core: state, replica, director
//! hosts ────HTTP── api ──┘                     └─ owner of another
//!                          switchboard ── gossip::network ── peers        store ── redb
//! ```
//!
//! | module | holds | must not hold |
//! |---|---|---|
//! | [`service`] | what edges ask of a node, and every payload type | anything that acts |
//! | [`engine`] | one event on one node: intake, commands, director, views, export; pure cores under thin shells | sockets, tokens, wall clocks |
//! | [`hub`] | the way from edges to engines: tokens, PINs, inboxes, the catalogue | state of any event |
//! | [`identity`] | whom an operator's own platform vouches for | sessions |
//! | [`edge`] | MQTT over any byte stream | rules of engagements |
//! | [`broker`] | the edge behind a broker that is there already | rules of engagements |
//! | [`api`] | HTTP, pages, metrics | rules of engagements |
//! | [`store`] | what survives a restart | what entries mean |
//! | [`mod@env`] | the ports that the simulator replaces | |
//! | [`schema`] | the JSON Schemas of all messages | |
//! | [`mod@run`] | how all of it is put together | |
//!
//! Everything from outside comes in through a port: the network, the disk, time, randomness, tasks.
//!
//! # What reads the bytes of others
//!
//! Whoever has the cluster's key is believed to be a peer, and no byte of it is: what a peer sends, what a store gives
//! back and what a file claims is read by these, and each is fed with noise and with valid bytes that are damaged. What
//! cannot be read is refused with a reason and counted; nothing panics, and nothing grows beyond its caps. Bytes of
//! players and hosts are no matter of this table: see [`edge`] and [`api`].
//!
//! | bytes | read by | fed by |
//! |---|---|---|
//! | greetings | `gossip/src/network/handshake.rs` | the same: `a_damaged_or_arbitrary_greeting_never_panics` |
//! | notices: standing, keys | `gossip/src/network/notice.rs` | the same: `a_damaged_or_arbitrary_notice_never_panics` |
//! | gossip, as chitchat packs it | `gossip/src/network/told.rs` | the same: `whatever_is_read_chitchat_reads_too_and_nothing_panics` |
//! | standing of a member | `gossip/src/network/standing.rs` | the same: `any_text_is_read_and_never_a_panic` |
//! | slots of a member | `node/src/engine/slots.rs` | the same: `a_damaged_or_arbitrary_text_never_panics` |
//! | players of a member | `node/src/hub/presence.rs` | the same: `a_damaged_or_arbitrary_word_never_panics` |
//! | calls on the segment | `gossip/src/discovery/multicast.rs` | the same: `a_changed_or_arbitrary_call_is_nobodys` |
//! | frames of a lane | `gossip/src/network/frames.rs` | the same: `damaged_frames_never_panic`, `arbitrary_bytes_never_panic` |
//! | envelopes | `node/src/engine/envelope.rs` | the same: `a_damaged_envelope_never_panics`, `arbitrary_bytes_are_an_envelope_or_not_and_never_a_panic` |
//! | messages: heads, entries, acks, pulls, snapshots, ages | `gossip/src/replication/message.rs` | `gossip/tests/replication/wire.rs`: `arbitrary_bytes_are_refused_or_within_bounds`, `a_damaged_message_is_refused_or_harmless`, `no_sequence_of_messages_breaks_a_replica` |
//! | entries: deltas of every kind | `crdt-state/src/delta.rs` | `crdt-state/tests/decoders.rs`: `there_is_a_delta_of_every_kind_that_is_read`, `a_damaged_entry_of_any_kind_is_refused_whole_or_taken_in`, `noise_in_a_frame_of_any_kind_is_refused_or_taken_in` |
//! | rows of answers in them | `crdt-state/src/delta/rows.rs` | the above |
//! | the state in a snapshot | `crdt-state/src/event.rs` | `crdt-state/tests/decoders.rs`: `a_damaged_state_is_refused_or_a_state`, `a_damaged_piece_is_refused_or_joined`, `noise_is_no_state_and_no_piece_or_one` |
//! | parts of a snapshot | `node/src/engine/cut.rs` | `node/tests/engine/cuts.rs`: `damaged_parts_are_refused_or_read_and_never_a_panic`, `noise_is_no_snapshot_and_no_part_of_one` |
//! | ages | `node/src/engine/carried.rs` | `node/tests/engine/cuts.rs`: `ages_are_refused_or_learnt_and_never_a_panic` |
//! | entries of the catalogue | `crdt-state/src/catalogue.rs` | the same: `a_damaged_entry_or_catalogue_never_panics`, `arbitrary_bytes_are_an_entry_or_not_and_never_a_panic` |
//! | snapshots of the catalogue | `node/src/engine/listing.rs` | `node/tests/engine/cuts.rs`: `a_damaged_catalogue_is_refused_or_read_and_never_a_panic` |
//! | who carries what | `node/src/engine/interest/word.rs` | `node/src/engine/interest/tests.rs`: `a_damaged_or_arbitrary_word_never_panics` |
//! | tokens that other nodes signed | `node/src/token.rs` | the same: `garbage_is_an_error_and_never_a_panic`, `any_changed_character_is_noticed` |
//! | events of the store | `node/src/store/load.rs` | the same: `a_damaged_cut_never_panics`, `arbitrary_bytes_are_a_cut_or_not_and_never_a_panic` |
//! | what the store remembers | `node/src/run/memory.rs` | the same: `damaged_or_arbitrary_memories_never_panic` |
//! | proofs | `node/src/engine/proof.rs` | `node/tests/engine/cuts.rs`: `a_damaged_or_arbitrary_proof_never_panics` |

pub mod allocator;
pub mod api;
pub mod broker;
pub mod cli;
pub mod config;
pub mod edge;
pub mod engine;
pub mod env;
pub mod export;
pub mod hub;
pub mod identity;
pub mod run;
pub mod schema;
pub mod service;
pub mod show;
pub mod store;
pub mod supervise;
pub mod token;
