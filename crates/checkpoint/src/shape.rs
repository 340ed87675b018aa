//! When two shapes mean the same tensor.

/// Equal; or equal but for axes of extent 1, which some libraries drop (`[1, 1, C]` as `[C]`); or `found` is the kernel of a
/// convolution over time with neighbouring axes folded into one, as GGUF's limit of four axes asks for.
pub(crate) fn same_shape(found: &[usize], expected: &[usize]) -> bool {
    let (found, real) = (without_ones(found), without_ones(expected));
    found == real || expected.len() == 5 && folds(&found, &real)
}

fn without_ones(shape: &[usize]) -> Vec<usize> {
    shape.iter().copied().filter(|&d| d != 1).collect()
}

/// Is each axis of `folded` the product of neighbouring axes of `shape`, in order? Then the bytes are the same.
fn folds(folded: &[usize], shape: &[usize]) -> bool {
    let mut axes = shape.iter().copied();
    folded.iter().all(|&extent| {
        let mut product = 1_usize;
        while product < extent {
            match axes.next() {
                Some(axis) => product = product.saturating_mul(axis),
                None => return false,
            }
        }
        product == extent
    }) && axes.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::same_shape;

    #[test]
    fn ones_and_folds() {
        let conv = [256, 36, 1, 2, 2];
        for same in [
            &[256, 36, 1, 2, 2][..],
            &[256, 36, 2, 2],
            &[9216, 1, 2, 2],
            &[256, 144],
            &[256, 36, 4],
            &[36864],
        ] {
            assert!(same_shape(same, &conv), "{same:?}");
        }
        for other in [&[36, 256, 1, 2, 2][..], &[256, 16, 1, 2, 2], &[144, 256], &[256, 36, 2], &[0], &[]] {
            assert!(!same_shape(other, &conv), "{other:?}");
        }
        assert!(same_shape(&[4], &[1, 1, 4]) && same_shape(&[1, 4], &[4]));
        // Only kernels are folded: elsewhere another shape is another model.
        assert!(!same_shape(&[12], &[3, 4]));
    }
}
