//! Hard caps on everything that a peer or a player can make grow. Decoding enforces them; each is
//! far above what an honest cluster reaches. All are arbitrary, chosen to bound memory.

/// Rows that one origin can number in one event.
pub const ROWS_MAX: u32 = 4 << 20;
/// Answers that the columns of one event have room for, eight bytes each: a million players can answer a thousand
/// questions.
pub const CELLS_MAX: usize = 1 << 30;
/// Blocks of 4,096 rows in one event: players are let in up to half of it, 16 million of them.
pub const ROW_BLOCKS_MAX: usize = 1 << 13;
/// Blocks in which the rows of one entry lie: as many as one origin can number, so 32 MiB of cells.
pub const ENTRY_BLOCKS_MAX: usize = ROWS_MAX as usize / 4_096;
/// Typed answers of one event: a million players can type 64 each.
pub const TEXTS_MAX: usize = 1 << 26;
/// Posts of one event, over all its runs.
pub const POSTS_MAX: usize = 1 << 20;
/// Votes of one event, over all its runs; a post that has any counts as eight more.
pub const VOTES_MAX: usize = 1 << 25;
/// Bytes that all that hosts, nodes and operators said of one event takes in a snapshot: seals, fences, rulings, names.
pub const SAID_BYTES_MAX: usize = 64 << 20;
/// Bytes of creations of which not all parts have come, in one event.
pub const DRAFTS_BYTES_MAX: usize = 2 * CREATE_BYTES_MAX;
/// Bytes of one entry, in memory and between nodes: four of them fit into a message.
pub const ENTRY_BYTES_MAX: usize = 256 << 10;
/// Rows or joins in one delta.
pub const DELTA_ROWS_MAX: usize = 65_536;
/// Bytes of a player's name.
pub const NAME_BYTES_MAX: usize = 48;
/// Bytes of the name of a flag, counter, set or setting.
pub const KEY_BYTES_MAX: usize = 64;
/// Flags, counters, sets and settings of one kind.
pub const KEYS_MAX: usize = 1_024;
/// Bytes of what a register holds, or of a set's member.
pub const VALUE_BYTES_MAX: usize = 1_024;
/// Members that one set has ever had.
pub const MEMBERS_MAX: usize = 4_096;
/// Origins that one operation may have seen.
pub const WRITERS_MAX: usize = 4_096;
/// Players of one event that were ever kicked, muted, renamed or given time: each of these apart.
pub const MARKED_MAX: usize = 65_536;
/// Time that one player can be given beyond the others, in milliseconds.
pub const EXTRA_MS_MAX: u32 = 600_000;
/// Points that one award can give or take.
pub const AWARD_POINTS_MAX: i32 = 1_000_000;
/// Texts that hosts accept beside a question's own: every typed answer is compared with each.
pub const ACCEPTED_MAX: usize = 256;
/// Notes of an audit trail.
pub const NOTES_MAX: usize = 65_536;
/// Largest order hint: an honest one counts changes, and nobody may use all of them up.
pub const LAMPORT_MAX: u64 = 1 << 53;
/// Instances that an event can run through.
pub const INSTANCES_MAX: u32 = 100_000;
/// Origins of one event: every start of a node is one. As many as an event may have lanes, so that a seal names all
/// whom its writer knows.
pub const ORIGINS_MAX: usize = 8_192;
/// How often one origin can be forgotten and come back.
pub const FORGETS_MAX: u32 = 1_000;
/// Bytes of one part of a creation: half of what one entry may be.
pub const CREATE_PART_BYTES_MAX: usize = 128 << 10;
/// Parts of a creation, 32 MiB in all: twice what 50,000 ordinary questions take, each with its text, four options and
/// an explanation. A node holds them all until the last has come, and the script as long as it carries the event.
pub const CREATE_PARTS_MAX: u16 = 256;
/// Bytes of a creation.
pub const CREATE_BYTES_MAX: usize = CREATE_PARTS_MAX as usize * CREATE_PART_BYTES_MAX;
/// Nodes of one cluster that an operator ever gave up.
pub const GIVEN_UP_MAX: usize = 4_096;
/// Players and tokens that were ever revoked in one cluster.
pub const REVOKED_MAX: usize = 65_536;
