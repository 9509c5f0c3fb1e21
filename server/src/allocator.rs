//! The allocator, and how long it keeps memory that has been freed.

use libmimalloc_sys::{mi_option_set_default, mi_option_t};

/// Statements and revisions are many small allocations of several threads, some freed by another one than made them:
/// this allocator takes a fifth of the time that the C library's does, and gives memory back to the system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How many milliseconds freed memory stays with the process: what the environment has as `MIMALLOC_PURGE_DELAY`. The
/// bindings have no name for it.
const PURGE_DELAY: mi_option_t = 15;
/// The default is a second, in which scans that read files of columns one after the other free hundreds of megabytes. To
/// take memory from the system anew costs some twentieth of the commits that a server makes at most.
const PURGE_DELAY_MS: std::ffi::c_long = 10;

/// Gives freed memory back after [`PURGE_DELAY_MS`], by whoever frees or needs some next, unless the environment says when.
/// To be called before there are other threads.
#[allow(unsafe_code)]
pub fn give_back_soon() {
    // SAFETY: the option is a number within the library's table, which it checks itself; no other thread runs yet.
    unsafe { mi_option_set_default(PURGE_DELAY, PURGE_DELAY_MS) }
}

#[cfg(test)]
mod tests {
    use libmimalloc_sys::mi_option_get;

    use super::*;

    /// The number might be another option's in another version: this one is a second by default, and no other option is.
    #[test]
    #[allow(unsafe_code)]
    fn the_option_is_the_one_that_is_meant() {
        if std::env::var_os("MIMALLOC_PURGE_DELAY").is_some() {
            return;
        }
        // SAFETY: as above; nothing else sets options.
        let get = || unsafe { mi_option_get(PURGE_DELAY) };
        assert_eq!(get(), 1000);
        give_back_soon();
        assert_eq!(get(), PURGE_DELAY_MS);
    }
}
