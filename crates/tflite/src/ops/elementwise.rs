//! Operators that treat each number alone.

use super::Fused;
use crate::error::{Error, Result};

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unary {
    Relu,
    Relu6,
    Logistic,
    HardSwish,
}

impl Unary {
    pub(crate) fn run(self, x: &mut [f32]) {
        // A loop for each, so that it is made of vectors.
        match self {
            Self::Relu => x.iter_mut().for_each(|v| *v = v.max(0.0)),
            Self::Relu6 => x.iter_mut().for_each(|v| *v = v.clamp(0.0, 6.0)),
            Self::Logistic => x.iter_mut().for_each(|v| *v = 1.0 / (1.0 + (-*v).exp())),
            Self::HardSwish => x.iter_mut().for_each(|v| *v *= (*v + 3.0).clamp(0.0, 6.0) * (1.0 / 6.0)),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BinaryKind {
    Add,
    Mul,
}

/// A function of two numbers; the second operand is repeated along leading dimensions where it is smaller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binary {
    pub kind: BinaryKind,
    pub fused: Fused,
    /// The operands change places.
    pub swapped: bool,
}

impl Binary {
    pub(crate) fn new(kind: BinaryKind, fused: Fused, a: &[usize], b: &[usize]) -> Result<Self> {
        let repeats = |small: &[usize], large: &[usize]| {
            let ones = small.iter().take_while(|d| **d == 1).count();
            large.ends_with(&small[ones..])
        };
        let (na, nb): (usize, usize) = (a.iter().product(), b.iter().product());
        let swapped = nb > na || (nb == na && b.len() > a.len());
        let fits = if swapped { repeats(a, b) } else { repeats(b, a) };
        if !fits {
            let operator = if kind == BinaryKind::Add { "ADD" } else { "MUL" };
            return Err(Error::Unsupported { operator, why: format!("the shapes {a:?} and {b:?}") });
        }
        Ok(Self { kind, fused, swapped })
    }

    /// Changes the larger operand.
    pub(crate) fn run(&self, a: &mut [f32], b: &[f32]) {
        for chunk in a.chunks_exact_mut(b.len().max(1)) {
            match self.kind {
                BinaryKind::Add => chunk.iter_mut().zip(b).for_each(|(a, b)| *a += b),
                BinaryKind::Mul => chunk.iter_mut().zip(b).for_each(|(a, b)| *a *= b),
            }
        }
        self.fused.apply(a);
    }
}

/// `PRELU`: a slope a channel for negative numbers.
#[derive(Debug)]
pub(crate) struct Prelu {
    slopes: Vec<f32>,
}

impl Prelu {
    pub(crate) fn new(input: &[usize], slopes: Vec<f32>) -> Result<Self> {
        if input.last() != Some(&slopes.len()) {
            let why = format!("{} slopes for the shape {input:?}", slopes.len());
            return Err(Error::Unsupported { operator: "PRELU", why });
        }
        Ok(Self { slopes })
    }

    pub(crate) fn run(&self, x: &mut [f32]) {
        for pixel in x.chunks_exact_mut(self.slopes.len()) {
            for (v, slope) in pixel.iter_mut().zip(&self.slopes) {
                *v = v.max(0.0) + slope * v.min(0.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_operand_is_repeated() {
        let add = |a: &[usize], b: &[usize]| Binary::new(BinaryKind::Add, Fused::Relu, a, b).unwrap();
        for (op, swapped) in [(add(&[1, 1, 2, 2], &[1, 1, 1, 2]), false), (add(&[2], &[1, 1, 2, 2]), true)] {
            let mut x = [1.0, 2.0, 3.0, -9.0];
            op.run(&mut x, &[10.0, 1.0]);
            assert_eq!((x, op.swapped), ([11.0, 3.0, 13.0, 0.0], swapped));
        }
        assert!(Binary::new(BinaryKind::Add, Fused::Relu, &[1, 1, 2, 2], &[1, 1, 2, 1]).is_err());
    }

    #[test]
    fn functions_at_known_points() {
        let of = |op: Unary, mut x: Vec<f32>| {
            op.run(&mut x);
            x
        };
        assert_eq!(of(Unary::HardSwish, vec![-4.0, 0.0, 1.0, 4.0]), [0.0, 0.0, 4.0 / 6.0, 4.0]);
        assert_eq!(of(Unary::Logistic, vec![0.0]), [0.5]);
        assert_eq!(of(Unary::Relu6, vec![-1.0, 7.0]), [0.0, 6.0]);
        let mut x = [-2.0, -2.0, 3.0, 4.0];
        Prelu::new(&[2, 2], vec![0.5, 2.0]).unwrap().run(&mut x);
        assert_eq!(x, [-1.0, -4.0, 3.0, 4.0]);
    }
}
