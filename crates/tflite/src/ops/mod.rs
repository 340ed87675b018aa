//! The operators, each checked once and then run on plain slices; pictures are NHWC with N = 1.

mod conv;
mod dense;
mod depthwise;
mod elementwise;
mod pool;
mod resize;
mod shape;
mod transpose;

pub(crate) use conv::Conv;
pub(crate) use dense::Dense;
pub(crate) use depthwise::Depthwise;
pub(crate) use elementwise::{Binary, BinaryKind, Prelu, Unary};
pub(crate) use pool::Pool;
pub(crate) use resize::Resize;
pub(crate) use shape::{Concat, DepthToSpace, Pad};
pub(crate) use transpose::TransposeConv;

use crate::error::{Error, Result};

/// An activation that is fused into another operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fused {
    None,
    Relu,
    Relu6,
}

impl Fused {
    pub(crate) fn new(operator: &'static str, code: u8) -> Result<Self> {
        match code {
            0 => Ok(Self::None),
            1 => Ok(Self::Relu),
            3 => Ok(Self::Relu6),
            other => Err(Error::Unsupported { operator, why: format!("activation {other}") }),
        }
    }

    /// The least and the greatest result.
    pub(crate) fn bounds(self) -> [f32; 2] {
        match self {
            Self::None => [f32::NEG_INFINITY, f32::INFINITY],
            Self::Relu => [0.0, f32::INFINITY],
            Self::Relu6 => [0.0, 6.0],
        }
    }

    pub(crate) fn apply(self, values: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Relu => values.iter_mut().for_each(|v| *v = v.max(0.0)),
            Self::Relu6 => values.iter_mut().for_each(|v| *v = v.clamp(0.0, 6.0)),
        }
    }
}

/// Where a window moves over a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub input: [usize; 2],
    pub output: [usize; 2],
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    /// Rows above and columns left of the picture.
    pub pad: [usize; 2],
}

impl Window {
    pub(crate) fn new(
        operator: &'static str,
        input: [usize; 2],
        kernel: [usize; 2],
        stride: [i32; 2],
        same: bool,
    ) -> Result<Self> {
        let bad = |why: String| Error::Unsupported { operator, why };
        let mut window = Self { input, output: [0; 2], kernel, stride: [0; 2], pad: [0; 2] };
        for i in 0..2 {
            let step = usize::try_from(stride[i]).ok().filter(|s| (1..=4096).contains(s));
            let step = step.ok_or_else(|| bad(format!("a stride of {}", stride[i])))?;
            let (n, k) = (input[i], kernel[i]);
            window.stride[i] = step;
            if same {
                window.output[i] = n.div_ceil(step);
                window.pad[i] = ((window.output[i] - 1) * step + k).saturating_sub(n) / 2;
            } else {
                let room = n.checked_sub(k).ok_or_else(|| bad(format!("a window of {k} on {n} pixels")))?;
                window.output[i] = room / step + 1;
            }
        }
        Ok(window)
    }

    /// Along axis `i`: the part of the kernel that lies on the picture for output `o`, and the input its first tap meets.
    pub(crate) fn taps(&self, i: usize, o: usize) -> (std::ops::Range<usize>, usize) {
        let start = o * self.stride[i];
        let from = self.pad[i].saturating_sub(start);
        let to = (self.input[i] + self.pad[i]).saturating_sub(start).min(self.kernel[i]);
        (from..to.max(from), (start + from).saturating_sub(self.pad[i]))
    }
}

/// Height, width and channels of a `[1, H, W, C]` picture.
pub(crate) fn picture(operator: &'static str, shape: &[usize]) -> Result<([usize; 2], usize)> {
    match shape {
        [1, h, w, c] => Ok(([*h, *w], *c)),
        other => Err(Error::Unsupported { operator, why: format!("the shape {other:?} isn't [1, H, W, C]") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_both_paddings() {
        let same = Window::new("t", [5, 4], [3, 3], [2, 2], true).unwrap();
        assert_eq!((same.output, same.pad), ([3, 2], [1, 0]));
        assert_eq!((same.taps(0, 0), same.taps(0, 2), same.taps(1, 1)), ((1..3, 0), (0..2, 3), (0..2, 2)));
        let valid = Window::new("t", [5, 4], [3, 3], [2, 2], false).unwrap();
        assert_eq!((valid.output, valid.pad), ([2, 1], [0, 0]));
        assert!(Window::new("t", [2, 2], [3, 3], [1, 1], false).is_err());
        assert!(Window::new("t", [5, 5], [3, 3], [0, 1], true).is_err());
    }
}
