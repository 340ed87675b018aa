//! Ordering the visible Gaussians by depth: a stable radix sort that allocates nothing once its buffers have grown.

/// A depth key and the Gaussian that it belongs to.
pub(super) type Keyed = (u32, u32);

const DIGIT_BITS: u32 = 11;
const DIGITS: usize = 1 << DIGIT_BITS;

/// Sorts `items` by key; equal keys keep their order. `spare` is scratch.
///
/// Positive floats sort as their bits do. Digits that all keys share are skipped: the depths of one body differ in
/// their low 22 bits or so.
pub(super) fn sort_by_key(items: &mut Vec<Keyed>, spare: &mut Vec<Keyed>) {
    let Some(&(first, _)) = items.first() else { return };
    let (min, max) = items.iter().fold((first, first), |(lo, hi), &(k, _)| (lo.min(k), hi.max(k)));
    let bits = u32::BITS - (max - min).leading_zeros();
    spare.clear();
    spare.resize(items.len(), (0, 0));
    for shift in (0..bits).step_by(DIGIT_BITS as usize) {
        let digit = |key: u32| ((key - min) >> shift) as usize & (DIGITS - 1);
        let mut starts = [0_u32; DIGITS];
        for &(key, _) in items.iter() {
            starts[digit(key)] += 1;
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += std::mem::replace(start, sum);
        }
        for &item in items.iter() {
            let slot = &mut starts[digit(item.0)];
            spare[*slot as usize] = item;
            *slot += 1;
        }
        std::mem::swap(items, spare);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_the_standard_library(keys in prop::collection::vec(any::<u32>(), 0..300), mask in any::<u32>()) {
            let mut items: Vec<Keyed> = keys.iter().zip(0..).map(|(&k, i)| (k & mask, i)).collect();
            let mut expected = items.clone();
            expected.sort_by_key(|&(k, _)| k);
            sort_by_key(&mut items, &mut Vec::new());
            prop_assert_eq!(items, expected);
        }
    }
}
