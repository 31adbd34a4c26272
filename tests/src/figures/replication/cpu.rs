//! Time that threads spent on a core, as the kernel counts it.

use std::fs;
use std::time::Duration;

/// The kernel's ticks in a second, fixed on Linux.
const TICKS: u64 = 100;

/// Of this process since its start, to ten milliseconds.
pub(super) fn process() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * (1_000 / TICKS))
}

/// Of this thread since its start. (What `/proc` tells is only as fresh as the last tick.)
pub(super) fn thread() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock is one that every Linux has, and `time` is there to be written.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Bytes of this process that are in memory and in use: what the allocator merely keeps goes back first.
pub(super) fn resident() -> u64 {
    // SAFETY: it may be called at any time; it takes the allocator's own locks.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
    let status = fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;
    use std::time::Instant;

    #[test]
    fn work_costs_time_and_memory() {
        let (began, before) = (Instant::now(), (process(), thread(), resident()));
        let held: Vec<u64> = (0..4 << 20).collect();
        while thread() - before.1 < Duration::from_millis(40) {
            black_box(held.iter().sum::<u64>());
            assert!(began.elapsed() < Duration::from_secs(60), "no time is counted");
        }
        assert!(process() > before.0);
        assert!(resident() > before.2 + (16 << 20), "32 MiB are held: {}", held.len());
    }
}
