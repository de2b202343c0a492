//! How much memory the process has allocated: what stops a script that eats it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, Ordering};

/// What all threads have told so far.
static ALLOCATED_BYTES: AtomicI64 = AtomicI64::new(0);
/// A thread tells what it did when that is more: to tell of every allocation would cost as much as making it.
const UNTOLD_BYTES_MAX: i64 = 16 << 10;

/// What a thread has allocated (or freed) and not told yet; told when the thread ends.
struct Untold(Cell<i64>);

thread_local! {
    static UNTOLD: Untold = const { Untold(Cell::new(0)) };
}

impl Untold {
    fn add(&self, bytes: i64) {
        let untold = self.0.get() + bytes;
        if untold.abs() > UNTOLD_BYTES_MAX {
            ALLOCATED_BYTES.fetch_add(untold, Ordering::Relaxed);
            self.0.set(0);
        } else {
            self.0.set(untold);
        }
    }
}

impl Drop for Untold {
    fn drop(&mut self) {
        ALLOCATED_BYTES.fetch_add(self.0.get(), Ordering::Relaxed);
    }
}

/// The system's allocator, counting.
#[derive(Debug)]
pub struct Counting;

/// Bytes allocated right now, to within 16 KiB per thread; 0 where [`Counting`] is not the allocator.
pub fn allocated_bytes() -> u64 {
    ALLOCATED_BYTES.load(Ordering::Relaxed).try_into().unwrap_or(0)
}

/// The most memory that the process had at once, the stack and the program itself with it; `None` where
/// the system does not tell.
pub fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = peak.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib << 10)
}

fn count(bytes: i64) {
    // A thread that is ending has told already.
    if UNTOLD.try_with(|untold| untold.add(bytes)).is_err() {
        ALLOCATED_BYTES.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe by its trait; every call goes to the system's"
)]
// SAFETY: hands every request to `System` unchanged and only counts beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promises are `System`'s conditions.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes as i64 - layout.size() as i64);
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, bytes) }
    }
}
