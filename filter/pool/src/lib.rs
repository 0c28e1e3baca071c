//! An allocator for one thread that keeps what was given back, by size, and gives it again: an exchange asks a hundred times for a few dozen
//! bytes and gives them back a moment later, and to a general allocator each time is a search and a merge with neighbours.
//!
//! What is kept is bounded: at most [`MOST_KEPT`] bytes, however much was in use at once. All else goes to the allocator behind it.

use core::{
    alloc::{GlobalAlloc, Layout},
    cell::UnsafeCell,
    fmt, ptr,
};

/// Up to so many bytes, sizes are rounded up to the next sixteen.
const FINE: usize = 512;
/// Up to so many, to the next 128. What is larger is not kept.
const COARSE: usize = 2_048;
const CLASSES: usize = FINE / 16 + (COARSE - FINE) / 128 + 1;
/// Most that is kept of one size.
const MOST: u32 = 16;
/// The largest alignment that is kept; what asks for more is not.
const ALIGN: usize = 8;

/// Most bytes that are kept.
pub const MOST_KEPT: usize = {
    let (mut sum, mut size) = (0, 0);
    while size < COARSE {
        size += if size < FINE { 16 } else { 128 };
        sum += size;
    }
    sum * MOST as usize
};

/// Memory of one size that was given back. Its first bytes say where the next such piece is.
#[derive(Clone, Copy)]
struct Kept {
    first: *mut u8,
    count: u32,
}

/// The allocator, before another one.
pub struct Pool<B> {
    behind: B,
    kept: UnsafeCell<[Kept; CLASSES]>,
}

// SAFETY: whoever makes one promises that one thread uses it.
unsafe impl<B> Sync for Pool<B> {}

impl<B> fmt::Debug for Pool<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pool(..)")
    }
}

impl<B> Pool<B> {
    /// An allocator that keeps nothing yet.
    ///
    /// # Safety
    /// Only one thread may use it, as in WebAssembly without threads.
    #[must_use]
    pub const unsafe fn new(behind: B) -> Self {
        Self { behind, kept: UnsafeCell::new([Kept { first: ptr::null_mut(), count: 0 }; CLASSES]) }
    }
}

/// Which list memory of that layout belongs to, and the layout that all of that list have. `None` if it is not kept.
#[inline]
fn class(layout: Layout) -> Option<(usize, Layout)> {
    let size = layout.size();
    if size > COARSE || layout.align() > ALIGN {
        return None;
    }
    let (class, rounded) = if size <= FINE {
        let class = size.div_ceil(16).max(1);
        (class, class * 16)
    } else {
        let class = (size - FINE).div_ceil(128);
        (FINE / 16 + class, FINE + class * 128)
    };
    Some((class, Layout::from_size_align(rounded, ALIGN).ok()?))
}

// Each is called from a thousand places: inlined they would make the module larger by an eighth.
//
// SAFETY: memory of a class comes from the allocator behind with the layout of the class, which is no smaller and no less aligned than what was
// asked for, and is in one list or in use, never both. The layout that memory is given back with is the one that it was asked for with, so its
// class is the same.
unsafe impl<B: GlobalAlloc> GlobalAlloc for Pool<B> {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some((class, rounded)) = class(layout) else {
            // SAFETY: as the caller promises.
            return unsafe { self.behind.alloc(layout) };
        };
        // SAFETY: one thread, and nothing here calls back.
        let kept = unsafe { &mut *self.kept.get() };
        let Some(kept) = kept.get_mut(class).filter(|kept| kept.count > 0) else {
            // SAFETY: a class is not empty.
            return unsafe { self.behind.alloc(rounded) };
        };
        let first = kept.first;
        // SAFETY: it is in the list, so that its first bytes were written by `dealloc`; a class is aligned for them.
        kept.first = unsafe { first.cast::<*mut u8>().read() };
        kept.count -= 1;
        first
    }

    #[inline(never)]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        let Some((class, rounded)) = class(layout) else {
            // SAFETY: as the caller promises.
            return unsafe { self.behind.dealloc(memory, layout) };
        };
        // SAFETY: one thread, and nothing here calls back.
        let kept = unsafe { &mut *self.kept.get() };
        let Some(kept) = kept.get_mut(class).filter(|kept| kept.count < MOST) else {
            // SAFETY: it came from there with that layout.
            return unsafe { self.behind.dealloc(memory, rounded) };
        };
        // SAFETY: nobody else has it any more, and a class has room and alignment for it.
        unsafe { memory.cast::<*mut u8>().write(kept.first) };
        kept.first = memory;
        kept.count += 1;
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if class(layout).is_none() {
            // SAFETY: as the caller promises.
            return unsafe { self.behind.alloc_zeroed(layout) };
        }
        // SAFETY: as the caller promises.
        let memory = unsafe { self.alloc(layout) };
        if !memory.is_null() {
            // SAFETY: it is that long.
            unsafe { memory.write_bytes(0, layout.size()) };
        }
        memory
    }

    #[inline(never)]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the new size makes a layout.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (class(layout), class(wanted)) {
            (Some((before, _)), Some((after, _))) if before == after => return memory,
            // SAFETY: as the caller promises.
            (None, None) => return unsafe { self.behind.realloc(memory, layout, size) },
            _ => {}
        }
        // SAFETY: as the caller promises.
        let moved = unsafe { self.alloc(wanted) };
        if !moved.is_null() {
            // SAFETY: both are that long, and apart.
            unsafe {
                moved.copy_from_nonoverlapping(memory, layout.size().min(size));
                self.dealloc(memory, layout);
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests;
