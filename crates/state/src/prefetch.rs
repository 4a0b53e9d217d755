//! Asks the processor for memory that is needed soon: tables by key are larger than its caches, and keys come in no
//! order.
#![allow(unsafe_code)]

/// Asks for an entry that is read or changed soon. Does nothing beyond the end of the slice, nor on processors that are
/// not x86-64.
#[inline(always)]
pub fn prefetch<T>(entries: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(entry) = entries.get(index) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the address is that of a live reference, and a prefetch neither reads into a register nor faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(entry).cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (entries, index);
}
