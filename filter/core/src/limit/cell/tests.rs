use proptest::prelude::*;

use super::*;
use crate::limit::spec::Calendar;

const HOUR: Window = Window::Fixed(Calendar::Hour);
const SLIDING: Window = Window::Sliding { secs: 60 };
const BUCKET: Window = Window::Bucket { per_sec: 10 };

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(7_200 + secs)
}

fn rolled(mut cell: Cell, window: Window, now: Timestamp) -> Cell {
    cell.roll(window, now);
    cell
}

fn fresh(window: Window) -> Cell {
    rolled(Cell::default(), window, at(0))
}

#[test]
fn ok_holds_expire_and_windows_forget() {
    let mut cell = fresh(HOUR);
    let mark = cell.take(HOUR, 100, 0, at(0));
    let used = |cell: Cell, now: Timestamp| rolled(cell, HOUR, now).used(HOUR, now);
    assert_eq!(used(cell, at(900)), 100, "the epoch after");
    assert_eq!(used(cell, at(1_800)), 0, "too old");
    cell.roll(HOUR, at(1_800));
    cell.settle(HOUR, mark, 100, 50);
    assert_eq!(used(cell, at(1_800)), 50, "what is gone is not let go twice");
    assert_eq!(rolled(cell, HOUR, Timestamp::from_secs(3_000)).used(HOUR, at(0)), 50, "the clock goes backwards");
    assert_eq!(used(cell, at(3_600)), 0);
}

#[test]
fn ok_a_sliding_window_weighs_what_it_follows() {
    let mut cell = fresh(SLIDING);
    cell.take(SLIDING, 0, 60, at(0));
    assert_eq!(rolled(cell, SLIDING, at(59)).used(SLIDING, at(59)), 60);
    for (secs, used) in [(60, 60), (75, 45), (90, 30), (119, 1), (120, 0)] {
        assert_eq!(rolled(cell, SLIDING, at(secs)).used(SLIDING, at(secs)), used, "after {secs} s");
    }
}

#[test]
fn ok_a_sliding_window_settles_where_it_was_taken() {
    let mut cell = fresh(SLIDING);
    let mark = cell.take(SLIDING, 60, 0, at(50));
    cell.roll(SLIDING, at(60));
    assert_eq!(cell.used(SLIDING, at(60)), 60, "the hold counts as if it had been used");
    cell.settle(SLIDING, mark, 60, 20);
    assert_eq!((cell.used(SLIDING, at(60)), cell.used(SLIDING, at(90))), (20, 10));
    cell.roll(SLIDING, at(125));
    cell.settle(SLIDING, mark, 10, 12);
    assert_eq!(cell.used(SLIDING, at(125)), 2, "two windows later only what was not held counts");
}

#[test]
fn ok_a_bucket_leaks_and_keeps_its_debt() {
    let mut cell = fresh(BUCKET);
    let mark = cell.take(BUCKET, 50, 0, at(0));
    cell.roll(BUCKET, at(2));
    assert_eq!(cell.used(BUCKET, at(2)), 30);
    cell.settle(BUCKET, mark, 50, 200);
    assert_eq!(cell.used(BUCKET, at(2)), 180);
    assert_eq!(cell.wait_ms(BUCKET, 20, 100, at(2)), 10_000, "180 + 20 - 100 at 10 a second");
    cell.roll(BUCKET, Timestamp(at(2).0 + 50_000_000));
    assert_eq!(cell.used(BUCKET, at(2)), 180, "half a unit has not leaked");
    cell.roll(BUCKET, Timestamp(at(2).0 + 100_000_000));
    assert_eq!(cell.used(BUCKET, at(2)), 179, "and is not lost");
    cell.roll(BUCKET, at(0));
    assert_eq!(cell.used(BUCKET, at(0)), 179, "the clock goes backwards");
}

#[test]
fn ok_a_bucket_refunds_only_what_is_still_in_it() {
    let mut cell = fresh(BUCKET);
    let mark = cell.take(BUCKET, 50, 0, at(0));
    cell.roll(BUCKET, at(1));
    cell.settle(BUCKET, mark, 50, 15);
    assert_eq!(cell.used(BUCKET, at(1)), 5, "40 less 35");
    let mark = cell.take(BUCKET, 50, 0, at(1));
    cell.roll(BUCKET, at(10));
    cell.take(BUCKET, 30, 0, at(10));
    cell.settle(BUCKET, mark, 50, 15);
    assert_eq!(cell.used(BUCKET, at(10)), 30, "it was empty in between");
}

#[test]
fn ok_a_bucket_does_not_refund_out_of_what_others_took_since() {
    let mut cell = fresh(BUCKET);
    let mark = cell.take(BUCKET, 50, 0, at(0));
    cell.roll(BUCKET, at(4));
    cell.take(BUCKET, 30, 0, at(4));
    assert_eq!(cell.used(BUCKET, at(4)), 40);
    cell.settle(BUCKET, mark, 50, 15);
    assert_eq!(
        cell.used(BUCKET, at(4)),
        30,
        "10 of the 50 were still in it; without the other 40 it would have been empty"
    );
}

#[test]
fn ok_a_bucket_refunds_what_was_taken_while_the_clock_was_back() {
    let mut cell = fresh(BUCKET);
    cell.roll(BUCKET, at(10));
    cell.roll(BUCKET, at(5));
    let mark = cell.take(BUCKET, 50, 0, at(5));
    cell.settle(BUCKET, mark, 50, 15);
    assert_eq!(cell.used(BUCKET, at(5)), 15);
}

#[test]
fn ok_slots_are_counted_and_given_back() {
    let mut cell = fresh(Window::Open);
    let marks: Vec<Mark> = (0..3).map(|_| cell.take(Window::Open, 1, 0, at(0))).collect();
    assert_eq!(cell.used(Window::Open, at(0)), 3);
    assert!(cell.until > at(900).secs());
    for mark in marks {
        cell.settle(Window::Open, mark, 1, 1);
    }
    assert_eq!((cell.used(Window::Open, at(0)), cell.until), (0, 0), "nothing in it matters");
    cell.take(Window::Open, 1, 0, at(0));
    assert_eq!(rolled(cell, Window::Open, at(1_800)).used(Window::Open, at(0)), 0, "of a worker that died");
}

#[test]
fn ok_parts_of_the_amount_are_told_once_in_a_window() {
    let parts = [800_000, 1_000_000];
    let mut cell = fresh(HOUR);
    let add = |cell: &mut Cell, amount, now| {
        cell.roll(HOUR, now);
        cell.take(HOUR, 0, amount, now);
        cell.newly_passed(HOUR, 10, &parts, now)
    };
    assert_eq!(add(&mut cell, 7, at(0)), None);
    assert_eq!(add(&mut cell, 1, at(1)), Some((800_000, 8)));
    assert_eq!(add(&mut cell, 1, at(2)), None);
    assert_eq!(add(&mut cell, 5, at(3)), Some((1_000_000, 14)));
    assert_eq!(add(&mut cell, 5, at(4)), None);
    assert_eq!(add(&mut cell, 20, at(3_600)), Some((1_000_000, 20)), "both at once are told as the higher");
}

#[test]
fn ok_slots_tell_their_parts_again_when_none_was_taken() {
    let mut cell = fresh(Window::Open);
    let take = |cell: &mut Cell, now| {
        cell.roll(Window::Open, now);
        let mark = cell.take(Window::Open, 1, 0, now);
        (mark, cell.newly_passed(Window::Open, 2, &[1_000_000], now))
    };
    let (first, _) = take(&mut cell, at(0));
    let (second, told) = take(&mut cell, at(0));
    assert_eq!(told, Some((1_000_000, 2)));
    cell.settle(Window::Open, second, 1, 0);
    let (again, told) = take(&mut cell, at(1));
    assert_eq!(told, None, "one was taken all the time");
    cell.settle(Window::Open, first, 1, 0);
    cell.settle(Window::Open, again, 1, 0);
    take(&mut cell, at(2));
    assert_eq!(take(&mut cell, at(2)).1, Some((1_000_000, 2)));
    // Those of a worker that died are gone by then.
    take(&mut cell, at(1_802));
    assert_eq!(take(&mut cell, at(1_802)).1, Some((1_000_000, 2)));
}

fn windows() -> impl Strategy<Value = Window> {
    prop_oneof![
        Just(Window::Fixed(Calendar::Second)),
        Just(Window::Fixed(Calendar::Minute)),
        (1..200_u64).prop_map(|secs| Window::Sliding { secs }),
        (1..500_u64).prop_map(|per_sec| Window::Bucket { per_sec }),
    ]
}

proptest! {
    /// A wait is enough if nobody else takes anything, and a millisecond less is not.
    #[test]
    fn a_wait_is_true(
        window in windows(),
        takes in prop::collection::vec((0..20_000_u64, 0..300_u64), 1..20),
        want in 1..1_000_u64,
    ) {
        let amount = 1_000;
        let mut cell = Cell::default();
        let mut now = at(0);
        for (wait, charge) in takes {
            now = now.plus_millis(wait);
            cell.roll(window, now);
            cell.take(window, 0, charge, now);
        }
        let fits = |at: Timestamp| rolled(cell, window, at).used(window, at) + want <= amount;
        if !fits(now) {
            let wait = cell.wait_ms(window, want, amount, now);
            prop_assert!(fits(now.plus_millis(wait)), "{wait} ms are not enough: {cell:?}");
            prop_assert!(wait == 1 || !fits(now.plus_millis(wait - 1)), "{wait} ms are too many: {cell:?}");
        }
    }

    /// Whatever numbers a record holds and whatever the clock does, nothing overflows, and used never exceeds what was taken.
    #[test]
    fn absurd_numbers_do_no_harm(numbers in prop::array::uniform9(any::<u64>()), now in any::<u64>(), per_sec in any::<u64>()) {
        let [start, end, settled, before, epoch, held, held_before, hold, truth] = numbers;
        for window in [HOUR, SLIDING, Window::Bucket { per_sec }, Window::Open, Window::Sliding { secs: per_sec }] {
            let mut cell = Cell { start, end, settled, before, epoch, held, held_before, ..Cell::default() };
            cell.roll(window, Timestamp(now));
            let mark = cell.take(window, hold, 1, Timestamp(now));
            cell.roll(window, Timestamp(now / 2));
            cell.settle(window, mark, hold, truth);
            cell.undo(window, mark, hold, truth, end);
            cell.newly_passed(window, settled, &[1, u64::MAX], Timestamp(now));
            prop_assert!(cell.wait_ms(window, hold, truth, Timestamp(now)) > 0);
            let _any = (cell.used(window, Timestamp(now)), cell.reset_at(window, Timestamp(now)));
        }
    }
}
