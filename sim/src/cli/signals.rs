//! Being asked to end: the first SIGINT or SIGTERM lets what runs come to its end and be told, the second ends the
//! process as any other.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};

/// Whom to tell; the signal that came, 0 for none.
static ENOUGH: OnceLock<Arc<AtomicBool>> = OnceLock::new();
static CAME: AtomicI32 = AtomicI32::new(0);

/// Sets `enough` when the process is asked to end.
pub(super) fn end_by(enough: Arc<AtomicBool>) {
    // Once in a process: there is one command line.
    let _ = ENOUGH.set(enough);
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: an all-zero `sigaction` is a valid one, and the handler only stores to atomics.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_signal as extern "C" fn(libc::c_int) as usize;
            // The second one does what it always does.
            action.sa_flags = libc::SA_RESETHAND | libc::SA_RESTART;
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
    }
}

extern "C" fn on_signal(signal: libc::c_int) {
    CAME.store(signal, Ordering::Relaxed);
    if let Some(enough) = ENOUGH.get() {
        enough.store(true, Ordering::Relaxed);
    }
}

/// The signal that has asked this process to end.
pub(super) fn came() -> Option<i32> {
    Some(CAME.load(Ordering::Relaxed)).filter(|signal| *signal != 0)
}

/// What shells say of a process that a signal has ended.
pub(super) fn exit_code(signal: i32) -> ExitCode {
    ExitCode::from(128 + signal as u8)
}
