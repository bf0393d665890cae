//! Packing: which records share a request. Pure.

use std::ops::Range;

/// Ranges of neighbours that fit one request each, by count and by bytes; an item that is marked stays alone.
#[must_use]
pub fn pack(items: &[(usize, bool)], max_items: usize, max_bytes: usize) -> Vec<Range<usize>> {
    let mut packs: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0;
    let mut closed = true;
    for (at, (size, alone)) in items.iter().enumerate() {
        match packs.last_mut() {
            Some(pack) if !closed && !alone && pack.len() < max_items && bytes + size <= max_bytes => {
                pack.end = at + 1;
                bytes += size;
            }
            _ => {
                packs.push(at..at + 1);
                bytes = *size;
                closed = *alone;
            }
        }
    }
    packs
}

/// A range in two halves.
#[must_use]
pub fn halves<T: Clone>(items: &[T]) -> (Vec<T>, Vec<T>) {
    let (left, right) = items.split_at(items.len().div_ceil(2));
    (left.to_vec(), right.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(items: &[usize]) -> Vec<(usize, bool)> {
        items.iter().map(|size| (*size, false)).collect()
    }

    #[test]
    fn packs_are_bounded_by_count_and_by_bytes() {
        assert_eq!(pack(&sizes(&[1, 1, 1, 1, 1]), 2, 100), [0..2, 2..4, 4..5]);
        assert_eq!(pack(&sizes(&[60, 30, 30, 90]), 10, 100), [0..2, 2..3, 3..4]);
        assert_eq!(pack(&sizes(&[200, 1]), 10, 100), [0..1, 1..2]);
        assert_eq!(pack(&sizes(&[60, 40, 1]), 10, 100), [0..2, 2..3]);
        assert!(pack(&[], 10, 100).is_empty());
    }

    #[test]
    fn a_suspicious_item_is_sent_alone() {
        assert_eq!(pack(&[(1, false), (1, true), (1, false), (1, false)], 10, 100), [0..1, 1..2, 2..4]);
    }

    #[test]
    fn the_first_half_has_one_more_when_they_are_odd() {
        assert_eq!(halves(&[1, 2, 3, 4, 5]), (vec![1, 2, 3], vec![4, 5]));
        assert_eq!(halves(&[1, 2]), (vec![1], vec![2]));
    }

    proptest::proptest! {
        #[test]
        fn every_item_is_in_exactly_one_pack(items in proptest::collection::vec((0usize..50, proptest::bool::weighted(0.1)), 0..60)) {
            let packs = pack(&items, 7, 100);
            let seen: Vec<usize> = packs.iter().cloned().flatten().collect();
            proptest::prop_assert_eq!(seen, (0..items.len()).collect::<Vec<_>>());
            for pack in packs {
                proptest::prop_assert!(pack.len() <= 7);
                proptest::prop_assert!(pack.len() == 1 || items[pack.clone()].iter().map(|item| item.0).sum::<usize>() <= 100);
                proptest::prop_assert!(pack.len() == 1 || items[pack].iter().all(|item| !item.1));
            }
        }
    }
}
