use std::{alloc::System, cell::RefCell, collections::BTreeMap};

use proptest::prelude::*;

use super::*;

/// The system's allocator, with a list of what is in use and how it was asked for.
#[derive(Default)]
struct Watched(RefCell<BTreeMap<usize, Layout>>);

// SAFETY: the system's allocator is.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let memory = unsafe { System.alloc(layout) };
        self.0.borrow_mut().insert(memory as usize, layout);
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        assert_eq!(self.0.borrow_mut().remove(&(memory as usize)), Some(layout));
        unsafe { System.dealloc(memory, layout) }
    }
}

struct Piece {
    memory: *mut u8,
    layout: Layout,
    filled: u8,
}

impl Piece {
    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: it is that long, and was filled.
        unsafe { core::slice::from_raw_parts_mut(self.memory, self.layout.size()) }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Ask { size: usize, align: usize, zeroed: bool },
    Change { which: usize, size: usize },
    GiveBack { which: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size = || prop_oneof![4 => 1_usize..600, 2 => 500_usize..2_300, 1 => 2_000_usize..20_000];
    let step = prop_oneof![
        3 => (size(), 0_u32..6, any::<bool>()).prop_map(|(size, align, zeroed)| Step::Ask { size, align: 1 << align, zeroed }),
        1 => (any::<usize>(), size()).prop_map(|(which, size)| Step::Change { which, size }),
        3 => any::<usize>().prop_map(|which| Step::GiveBack { which }),
    ];
    prop::collection::vec(step, 0..300)
}

proptest! {
    /// Whatever is asked for, changed and given back: each piece keeps its bytes, is aligned, and is given back as it was asked for; and what is
    /// kept is bounded.
    #[test]
    fn each_piece_is_its_owners(steps in steps()) {
        // SAFETY: one thread.
        let pool = unsafe { Pool::new(Watched::default()) };
        let mut pieces: Vec<Piece> = Vec::new();
        for (filled, step) in (0..=255_u8).cycle().zip(steps) {
            match step {
                Step::Ask { size, align, zeroed } => {
                    let layout = Layout::from_size_align(size, align).unwrap();
                    let memory = unsafe { if zeroed { pool.alloc_zeroed(layout) } else { pool.alloc(layout) } };
                    prop_assert_eq!(memory as usize % align, 0);
                    if zeroed {
                        let mut piece = Piece { memory, layout, filled };
                        prop_assert!(piece.bytes().iter().all(|byte| *byte == 0));
                    }
                    unsafe { memory.write_bytes(filled, size) };
                    pieces.push(Piece { memory, layout, filled });
                }
                Step::Change { which, size } if !pieces.is_empty() => {
                    let at = which % pieces.len();
                    let piece = &mut pieces[at];
                    let before = piece.layout.size().min(size);
                    piece.memory = unsafe { pool.realloc(piece.memory, piece.layout, size) };
                    piece.layout = Layout::from_size_align(size, piece.layout.align()).unwrap();
                    let (was, now) = (piece.filled, filled);
                    prop_assert_eq!(piece.memory as usize % piece.layout.align(), 0);
                    unsafe { prop_assert!((0..before).all(|at| piece.memory.add(at).read() == was)) };
                    piece.filled = now;
                    unsafe { piece.memory.write_bytes(now, size) };
                }
                Step::GiveBack { which } if !pieces.is_empty() => {
                    let mut piece = pieces.swap_remove(which % pieces.len());
                    let filled = piece.filled;
                    prop_assert!(piece.bytes().iter().all(|byte| *byte == filled));
                    unsafe { pool.dealloc(piece.memory, piece.layout) };
                }
                Step::Change { .. } | Step::GiveBack { .. } => {}
            }
        }
        for mut piece in pieces {
            let filled = piece.filled;
            prop_assert!(piece.bytes().iter().all(|byte| *byte == filled));
            unsafe { pool.dealloc(piece.memory, piece.layout) };
        }
        let kept: usize = pool.behind.0.borrow().values().map(Layout::size).sum();
        prop_assert!(kept <= MOST_KEPT, "{} bytes are kept", kept);
        let lists: u32 = unsafe { &*pool.kept.get() }.iter().map(|kept| kept.count).sum();
        prop_assert_eq!(lists as usize, pool.behind.0.borrow().len(), "what is not kept was given back");
        for (memory, layout) in pool.behind.0.borrow().iter() {
            unsafe { System.dealloc(*memory as *mut u8, *layout) };
        }
    }
}

#[test]
fn ok_what_was_given_back_is_given_again() {
    // SAFETY: one thread.
    let pool = unsafe { Pool::new(System) };
    let layout = Layout::from_size_align(100, 8).unwrap();
    unsafe {
        let first = pool.alloc(layout);
        pool.dealloc(first, layout);
        let other = Layout::from_size_align(112, 1).unwrap();
        assert_eq!(pool.alloc(other), first, "of the same class");
        pool.dealloc(first, other);
        for (at, kept) in [(7, 1), (6, 0), (8, 0)] {
            assert_eq!((*pool.kept.get())[at].count, kept, "{at}");
        }
        System.dealloc(first, Layout::from_size_align(112, 8).unwrap());
    }
}

#[test]
fn ok_every_size_has_a_class_that_holds_it() {
    let mut sizes = BTreeMap::new();
    for size in 0..=COARSE {
        let (at, rounded) = class(Layout::from_size_align(size, 1).unwrap()).unwrap();
        assert!(rounded.size() >= size && at < CLASSES);
        assert_eq!(*sizes.entry(at).or_insert(rounded.size()), rounded.size());
    }
    assert_eq!(sizes.values().sum::<usize>() * MOST as usize, MOST_KEPT);
    assert!(class(Layout::from_size_align(COARSE + 1, 1).unwrap()).is_none());
    assert!(class(Layout::from_size_align(8, 16).unwrap()).is_none());
    assert_eq!(MOST_KEPT, 393_216);
}
