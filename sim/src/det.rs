//! What makes a thread simulated: which hooks answer it, and the proof that they do.
//!
//! Invariants: hooks answer only threads that entered; a run never starts while a hook is dead,
//! because a run that only seems reproducible is worse than none.
//!
//! Not caught by any hook: `fastrand` (seeded by thread id and clock), and process-global lazy
//! values. The first must stay out of the node's running code; the second is what the test that
//! runs one seed first and then again in the same process looks for.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::marker::PhantomData;
use std::time::SystemTime;

use thiserror::Error;

use crate::{clock, entropy};

/// One road by which a process meets what is not in the seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// libc's `getrandom` and `getentropy`: std's hash maps, the `rand` family.
    GetRandom,
    /// The raw system call `getrandom`: ring, and so every TLS key and nonce.
    SysGetRandom,
    /// libc's `clock_gettime`: every clock that is not tokio's.
    Clock,
}

impl Hook {
    const fn bit(self) -> u8 {
        match self {
            Self::GetRandom => 1,
            Self::SysGetRandom => 2,
            Self::Clock => 4,
        }
    }
}

const ALL_HOOKS: u8 = Hook::GetRandom.bit() | Hook::SysGetRandom.bit() | Hook::Clock.bit();

thread_local! {
    static HOOKED: Cell<u8> = const { Cell::new(0) };
}

/// Whether `hook` answers this thread from the seed.
pub(crate) fn is_hooked(hook: Hook) -> bool {
    HOOKED.get() & hook.bit() != 0
}

/// A thread's stay in the simulation; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Entered {
    /// Neither Send nor Sync: the stay belongs to the thread.
    _thread: PhantomData<*const ()>,
}

/// Makes this thread a simulated one, with all hooks but `without`.
pub(crate) fn enter(seed: u64, without: Option<Hook>) -> Entered {
    entropy::reseed(seed);
    clock::reset();
    HOOKED.set(ALL_HOOKS & !without.map_or(0, Hook::bit));
    Entered { _thread: PhantomData }
}

impl Drop for Entered {
    fn drop(&mut self) {
        HOOKED.set(0);
        clock::reset();
    }
}

/// A source of chance that the seed does not govern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{source_name} is not answered from the seed, so no run could be repeated")]
pub struct DeadHook {
    /// Who asked, and got an answer of its own.
    pub source_name: &'static str,
}

/// Draws from each source in two fresh threads and compares.
///
/// # Errors
/// Names the first source that differed, or could not be read.
pub fn self_test(seed: u64, without: Option<Hook>) -> Result<(), DeadHook> {
    let first = probe_in_fresh_thread(seed, without)?;
    let second = probe_in_fresh_thread(seed, without)?;
    let differs = |(one, other): &(&Answer, &Answer)| one.1.is_none() || one != other;
    match first.iter().zip(&second).find(differs) {
        Some(((source_name, _), _)) => Err(DeadHook { source_name }),
        None => Ok(()),
    }
}

/// Who was asked, and what came back, if anything did.
type Answer = (&'static str, Option<u128>);

fn probe_in_fresh_thread(seed: u64, without: Option<Hook>) -> Result<Vec<Answer>, DeadHook> {
    let probe = move || {
        let _entered = enter(seed, without);
        probe()
    };
    std::thread::spawn(probe).join().map_err(|_| DeadHook { source_name: "the probing thread" })
}

fn probe() -> Vec<Answer> {
    let mut answers = libc_answers();
    let hash = RandomState::new().hash_one(0_u8);
    answers.push(("std's RandomState", Some(u128::from(hash))));
    answers.push(("the crate getrandom", getrandom::u64().ok().map(u128::from)));
    answers.push(("ring", ring()));
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    answers.push(("SystemTime::now", wall.ok().map(|wall| wall.as_nanos())));
    answers
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn libc_answers() -> Vec<Answer> {
    let names = ["libc's getrandom", "libc's getentropy", "libc's syscall"];
    let answers = crate::hooks::ask_libc().map(|bytes| Some(u128::from_le_bytes(bytes)));
    names.into_iter().zip(answers).collect()
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn libc_answers() -> Vec<Answer> {
    Vec::new()
}

fn ring() -> Option<u128> {
    let mut bytes = [0; 16];
    let provider = rustls::crypto::ring::default_provider();
    provider.secure_random.fill(&mut bytes).ok().map(|()| u128::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hook_is_live() {
        assert_eq!(self_test(1, None), Ok(()));
    }

    #[test]
    fn a_run_without_entropy_hook_is_refused() {
        let refusal = self_test(1, Some(Hook::GetRandom)).unwrap_err();
        assert_eq!(refusal.source_name, "libc's getrandom");
    }

    #[test]
    fn a_run_without_system_call_hook_is_refused() {
        let refusal = self_test(1, Some(Hook::SysGetRandom)).unwrap_err();
        assert_eq!(refusal.source_name, "libc's syscall");
    }

    #[test]
    fn a_run_without_clock_hook_is_refused() {
        let refusal = self_test(1, Some(Hook::Clock)).unwrap_err();
        assert_eq!(refusal.source_name, "SystemTime::now");
    }

    #[test]
    fn threads_outside_a_run_get_the_real_thing() {
        let _entered = enter(1, None);
        let outside = || std::thread::spawn(probe).join().unwrap();
        assert_ne!(outside(), outside());
    }

    #[test]
    fn empty_reads_do_not_consume_the_stream() {
        let draw = |probes: usize| {
            let _entered = enter(9, None);
            (0..probes).for_each(|_| getrandom::fill(&mut []).unwrap());
            getrandom::u64().unwrap()
        };
        assert_eq!(draw(0), draw(3));
    }
}
