//! Hard caps on everything that a peer or a player can make grow. Decoding enforces them; each is
//! far above what an honest cluster reaches. All are arbitrary, chosen to bound memory.

/// Rows that one origin can number in one event.
pub const ROWS_MAX: u32 = 4 << 20;
/// Bytes of one entry.
pub const ENTRY_BYTES_MAX: usize = 1 << 20;
/// Rows or joins in one delta.
pub const DELTA_ROWS_MAX: usize = 65_536;
/// Bytes of a player's name.
pub const NAME_BYTES_MAX: usize = 48;
/// Bytes of the name of a flag, counter, set or setting.
pub const KEY_BYTES_MAX: usize = 64;
/// Flags, counters, sets and settings of one kind.
pub const KEYS_MAX: usize = 1_024;
/// Instances that an event can run through.
pub const INSTANCES_MAX: u32 = 100_000;
