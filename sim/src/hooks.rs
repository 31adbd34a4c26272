//! The libc functions through which a process meets chance and the calendar, answered from the
//! seed on simulated threads and passed on everywhere else.
//!
//! `getrandom` and `getentropy` reach std's hash maps and the `rand` family, `syscall` reaches
//! ring (which never uses the `getrandom` symbol), `clock_gettime` reaches rustls' ticket ages and
//! everything else that reads a clock. This is the only file of Starling with unsafe code of this
//! kind, and it must never be linked into the server. Targets other than Linux with glibc have no
//! hooks: there the self-test refuses to run.

use std::ffi::CStr;
use std::sync::atomic::{AtomicPtr, Ordering};

use libc::{c_int, c_long, c_uint, c_void, clockid_t, size_t, ssize_t, timespec};

use crate::det::{Hook, is_hooked};
use crate::{clock, entropy};

/// A libc function found behind ours, looked up once.
struct Original {
    name: &'static CStr,
    address: AtomicPtr<c_void>,
}

impl Original {
    const fn new(name: &'static CStr) -> Self {
        Self { name, address: AtomicPtr::new(std::ptr::null_mut()) }
    }

    fn address(&self) -> *mut c_void {
        let known = self.address.load(Ordering::Relaxed);
        if !known.is_null() {
            return known;
        }
        // SAFETY: the name is a valid C string, and dlsym has no other precondition.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        if found.is_null() {
            std::process::abort();
        }
        self.address.store(found, Ordering::Relaxed);
        found
    }
}

/// Fills the caller's buffer from the thread's seeded stream.
///
/// # Safety
/// `buffer` must be valid for writes of `len` bytes.
unsafe fn fill_raw(buffer: *mut c_void, len: usize) {
    if len > 0 {
        // SAFETY: the caller promises `len` writable bytes, and zeroing first initialises them.
        let bytes = unsafe {
            std::ptr::write_bytes(buffer.cast::<u8>(), 0, len);
            std::slice::from_raw_parts_mut(buffer.cast::<u8>(), len)
        };
        entropy::fill(bytes);
    }
}

/// `getrandom(2)` as libc exports it.
///
/// # Safety
/// As libc's: `buffer` must be valid for writes of `len` bytes.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn getrandom(buffer: *mut c_void, len: size_t, flags: c_uint) -> ssize_t {
    type GetRandom = unsafe extern "C" fn(*mut c_void, size_t, c_uint) -> ssize_t;
    static ORIGINAL: Original = Original::new(c"getrandom");
    if is_hooked(Hook::GetRandom) {
        // SAFETY: the caller's promise about `buffer` is ours.
        unsafe { fill_raw(buffer, len) };
        return len as ssize_t;
    }
    // SAFETY: the address is libc's function of this name, which has this type.
    let original = unsafe { std::mem::transmute::<*mut c_void, GetRandom>(ORIGINAL.address()) };
    // SAFETY: the arguments are the caller's own.
    unsafe { original(buffer, len, flags) }
}

/// `getentropy(3)` as libc exports it: at most 256 bytes.
///
/// # Safety
/// As libc's: `buffer` must be valid for writes of `len` bytes.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn getentropy(buffer: *mut c_void, len: size_t) -> c_int {
    if len > 256 {
        // SAFETY: libc's errno of the current thread is always writable.
        unsafe { *libc::__errno_location() = libc::EIO };
        return -1;
    }
    // SAFETY: the caller's promise about `buffer` is ours.
    if unsafe { getrandom(buffer, len, 0) } == len as ssize_t { 0 } else { -1 }
}

/// `syscall(2)` as libc exports it. It is variadic in C; on Linux, for x86_64 and aarch64, a
/// function of seven registers has the same calling convention.
///
/// # Safety
/// As libc's: the arguments must be valid for the system call `number`.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn syscall(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    type Syscall =
        unsafe extern "C" fn(c_long, c_long, c_long, c_long, c_long, c_long, c_long) -> c_long;
    static ORIGINAL: Original = Original::new(c"syscall");
    if number == libc::SYS_getrandom && is_hooked(Hook::SysGetRandom) {
        // SAFETY: for this system call `a` is the buffer and `b` its length.
        unsafe { fill_raw(a as *mut c_void, b as usize) };
        return b;
    }
    // SAFETY: the address is libc's function of this name, callable with seven registers.
    let original = unsafe { std::mem::transmute::<*mut c_void, Syscall>(ORIGINAL.address()) };
    // SAFETY: the arguments are the caller's own.
    unsafe { original(number, a, b, c, d, e, f) }
}

/// `clock_gettime(2)` as libc exports it.
///
/// # Safety
/// As libc's: `time` must be valid for a write.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn clock_gettime(id: clockid_t, time: *mut timespec) -> c_int {
    type ClockGetTime = unsafe extern "C" fn(clockid_t, *mut timespec) -> c_int;
    static ORIGINAL: Original = Original::new(c"clock_gettime");
    if is_hooked(Hook::Clock) {
        // SAFETY: the caller's promise about `time` is ours.
        unsafe { time.write(simulated_time(id)) };
        return 0;
    }
    // SAFETY: the address is libc's function of this name, which has this type.
    let original = unsafe { std::mem::transmute::<*mut c_void, ClockGetTime>(ORIGINAL.address()) };
    // SAFETY: the arguments are the caller's own.
    unsafe { original(id, time) }
}

fn simulated_time(id: clockid_t) -> timespec {
    let now = match id {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => clock::wall(),
        _ => clock::mono(),
    };
    timespec { tv_sec: now.as_secs() as libc::time_t, tv_nsec: now.subsec_nanos() as c_long }
}

/// Sixteen bytes through libc's own names, as foreign code would ask for them.
pub(crate) fn ask_libc() -> [[u8; 16]; 3] {
    let mut answers = [[0_u8; 16]; 3];
    // SAFETY: each buffer holds the sixteen bytes asked for.
    unsafe {
        libc::getrandom(answers[0].as_mut_ptr().cast(), 16, 0);
        libc::getentropy(answers[1].as_mut_ptr().cast(), 16);
        libc::syscall(libc::SYS_getrandom, answers[2].as_mut_ptr(), 16_usize, 0_u32);
    }
    answers
}
