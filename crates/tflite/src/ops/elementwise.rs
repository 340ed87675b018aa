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
    pub(crate) fn run(self, x: &[f32]) -> Vec<f32> {
        let f: fn(f32) -> f32 = match self {
            Self::Relu => |v| v.max(0.0),
            Self::Relu6 => |v| v.clamp(0.0, 6.0),
            Self::Logistic => |v| 1.0 / (1.0 + (-v).exp()),
            Self::HardSwish => |v| v * (v + 3.0).clamp(0.0, 6.0) * (1.0 / 6.0),
        };
        x.iter().map(|v| f(*v)).collect()
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

    pub(crate) fn run(&self, a: &[f32], b: &[f32]) -> Vec<f32> {
        let (a, b) = if self.swapped { (b, a) } else { (a, b) };
        let mut out = a.to_vec();
        for chunk in out.chunks_exact_mut(b.len().max(1)) {
            match self.kind {
                BinaryKind::Add => chunk.iter_mut().zip(b).for_each(|(o, b)| *o += b),
                BinaryKind::Mul => chunk.iter_mut().zip(b).for_each(|(o, b)| *o *= b),
            }
        }
        self.fused.apply(&mut out);
        out
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

    pub(crate) fn run(&self, x: &[f32]) -> Vec<f32> {
        let mut out = x.to_vec();
        for pixel in out.chunks_exact_mut(self.slopes.len()) {
            for (v, slope) in pixel.iter_mut().zip(&self.slopes) {
                if *v < 0.0 {
                    *v *= slope;
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_operand_is_repeated() {
        let add = |a: &[usize], b: &[usize]| Binary::new(BinaryKind::Add, Fused::Relu, a, b);
        let op = add(&[1, 1, 2, 2], &[1, 1, 1, 2]).unwrap();
        assert_eq!(op.run(&[1.0, 2.0, 3.0, -9.0], &[10.0, 1.0]), [11.0, 3.0, 13.0, 0.0]);
        let op = add(&[2], &[1, 1, 2, 2]).unwrap();
        assert_eq!(op.run(&[10.0, 1.0], &[1.0, 2.0, 3.0, 4.0]), [11.0, 3.0, 13.0, 5.0]);
        assert!(add(&[1, 1, 2, 2], &[1, 1, 2, 1]).is_err());
    }

    #[test]
    fn functions_at_known_points() {
        assert_eq!(Unary::HardSwish.run(&[-4.0, 0.0, 1.0, 4.0]), [0.0, 0.0, 4.0 / 6.0, 4.0]);
        assert_eq!(Unary::Logistic.run(&[0.0]), [0.5]);
        assert_eq!(Unary::Relu6.run(&[-1.0, 7.0]), [0.0, 6.0]);
        assert_eq!(Prelu::new(&[1, 2], vec![0.5, 2.0]).unwrap().run(&[-2.0, -2.0]), [-1.0, -4.0]);
    }
}
