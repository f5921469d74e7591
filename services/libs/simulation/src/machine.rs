//! The simulated machine: clock, entropy and waiting, put in the place of the C library's for the thread that asked for it.
//!
//! When no task can go on before a moment, `epoll_wait` is called with the time until then, and simulated time moves there
//! at once. Every other thread, and this one outside of a simulation, gets the real functions.
#![expect(unsafe_code, reason = "replaces functions of the C library; nothing else here is unsafe")]

use std::cell::Cell;

/// When a simulation begins, in nanoseconds since 1970.
const BEGIN: i64 = 1_800_000_000_000_000_000;
/// How much time each look at the clock takes, in nanoseconds.
const TICK: i64 = 50;

thread_local! {
    static IS_ON: Cell<bool> = const { Cell::new(false) };
    static NOW: Cell<i64> = const { Cell::new(BEGIN) };
    static WALL_OFFSET: Cell<i64> = const { Cell::new(0) };
    static ENTROPY: Cell<u64> = const { Cell::new(0) };
}

/// Begins a simulation on this thread.
pub fn begin(seed: u64) {
    ENTROPY.set(seed);
    IS_ON.set(true);
}

/// Ends it: the thread has the real machine again.
pub fn end() {
    IS_ON.set(false);
}

/// Returns the simulated time since the begin in nanoseconds, which no jump of the clock changes.
#[must_use]
pub fn elapsed() -> i64 {
    NOW.get() - BEGIN
}

/// Lets time pass while nothing runs.
pub fn pass(nanoseconds: i64) {
    NOW.set(NOW.get() + nanoseconds);
}

/// Lets the wall clock jump.
pub fn jump(nanoseconds: i64) {
    WALL_OFFSET.set(WALL_OFFSET.get() + nanoseconds);
}

/// Returns the next number of a sequence (splitmix64, <https://prng.di.unimi.it/splitmix64.c>).
pub const fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn is_on() -> bool {
    IS_ON.try_with(Cell::get).unwrap_or(false)
}

// SAFETY: the same signature and contract as the C library's function.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, to: *mut libc::timespec) -> libc::c_int {
    if !is_on() {
        // SAFETY: the caller's arguments, passed on.
        return unsafe { libc::syscall(libc::SYS_clock_gettime, clock, to) as libc::c_int };
    }
    NOW.set(NOW.get() + TICK);
    let is_wall = matches!(clock, libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE);
    let nanoseconds = NOW.get() + if is_wall { WALL_OFFSET.get() } else { 0 };
    let time = libc::timespec {
        tv_sec: nanoseconds / 1_000_000_000,
        tv_nsec: nanoseconds % 1_000_000_000,
    };
    // SAFETY: the caller's pointer is valid for a write, by the contract of the function.
    unsafe { to.write(time) };
    0
}

// SAFETY: the same signature and contract as the C library's function.
#[unsafe(no_mangle)]
unsafe extern "C" fn epoll_wait(
    epoll: libc::c_int,
    events: *mut libc::epoll_event,
    events_max: libc::c_int,
    timeout_ms: libc::c_int,
) -> libc::c_int {
    let is_on = is_on();
    let real_timeout = if is_on { 0 } else { timeout_ms };
    let no_mask = std::ptr::null::<libc::c_void>();
    // SAFETY: the caller's arguments, passed on; without a signal mask `epoll_pwait` is `epoll_wait`.
    let found = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait,
            epoll,
            events,
            events_max,
            real_timeout,
            no_mask,
            8_usize,
        )
    } as libc::c_int;
    if is_on && found == 0 && timeout_ms != 0 {
        assert!(timeout_ms > 0, "deadlock: every task waits, and none for a moment in time");
        NOW.set(NOW.get() + i64::from(timeout_ms) * 1_000_000);
    }
    found
}

// SAFETY: the same signature and contract as the C library's function.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(
    to: *mut libc::c_void,
    length: libc::size_t,
    flags: libc::c_uint,
) -> libc::ssize_t {
    if !is_on() {
        // SAFETY: the caller's arguments, passed on.
        return unsafe { libc::syscall(libc::SYS_getrandom, to, length, flags) as libc::ssize_t };
    }
    let mut state = ENTROPY.get();
    // SAFETY: the caller's pointer is valid for writes of `length` bytes, by the contract of the function.
    let bytes =
        unsafe { std::slice::from_raw_parts_mut(to.cast::<std::mem::MaybeUninit<u8>>(), length) };
    for byte in bytes {
        byte.write(next(&mut state) as u8);
    }
    ENTROPY.set(state);
    length as libc::ssize_t
}
