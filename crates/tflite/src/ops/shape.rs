//! Operators that only move numbers: `PAD`, `CONCATENATION`, `DEPTH_TO_SPACE`.

use super::picture;
use crate::buffers;
use crate::error::{Error, Result};
use crate::flat::check;
use crate::schema::MAX_ELEMENTS;

/// `PAD` with zeros.
#[derive(Debug)]
pub(crate) struct Pad {
    input: Vec<usize>,
    before: Vec<usize>,
    output: Vec<usize>,
}

impl Pad {
    /// `pads` is `[rank, 2]`: numbers before and after along each dimension.
    pub(crate) fn new(input: &[usize], pads: &[i32]) -> Result<Self> {
        let bad =
            || Error::Unsupported { operator: "PAD", why: format!("pads {pads:?} for the shape {input:?}") };
        let pairs = pads.as_chunks::<2>().0;
        if input.is_empty() || pads.len() != 2 * input.len() {
            return Err(bad());
        }
        let (mut before, mut output) = (Vec::new(), Vec::new());
        for (&n, pair) in input.iter().zip(pairs) {
            let [from, to] = pair.map(|p| usize::try_from(p).ok().filter(|p| *p < 1 << 20));
            let (from, to) = (from.ok_or_else(bad)?, to.ok_or_else(bad)?);
            before.push(from);
            output.push(n + from + to);
        }
        let total = output.iter().fold(1, |a: usize, b| a.saturating_mul(*b));
        check("a padded tensor", total, MAX_ELEMENTS)?;
        Ok(Self { input: input.to_vec(), before, output })
    }

    pub(crate) fn shape(&self) -> Vec<usize> {
        self.output.clone()
    }

    pub(crate) fn run(&self, x: &[f32]) -> Vec<f32> {
        let mut out = buffers::take(self.output.iter().product());
        out.fill(0.0);
        let last = self.input.len() - 1;
        let row = self.input[last];
        for (r, line) in x.chunks_exact(row).enumerate() {
            let (mut rest, mut offset, mut stride) = (r, self.before[last], self.output[last]);
            for d in (0..last).rev() {
                offset += (rest % self.input[d] + self.before[d]) * stride;
                rest /= self.input[d];
                stride *= self.output[d];
            }
            out[offset..offset + row].copy_from_slice(line);
        }
        out
    }
}

/// `CONCATENATION` along one axis.
#[derive(Debug)]
pub(crate) struct Concat {
    /// Numbers that lie together in each input.
    runs: Vec<usize>,
    output: Vec<usize>,
}

impl Concat {
    pub(crate) fn new(inputs: &[&[usize]], axis: i32) -> Result<Self> {
        let bad = |why: String| Error::Unsupported { operator: "CONCATENATION", why };
        let first = *inputs.first().ok_or_else(|| bad("no inputs".to_owned()))?;
        let rank = first.len() as i32;
        let axis = if axis < 0 { axis + rank } else { axis };
        if !(0..rank).contains(&axis) {
            return Err(bad(format!("axis {axis} of {rank}")));
        }
        let axis = axis as usize;
        let mut output = first.to_vec();
        output[axis] = 0;
        let mut runs = Vec::new();
        for shape in inputs {
            let fits =
                shape.len() == first.len() && (0..first.len()).all(|d| d == axis || shape[d] == first[d]);
            if !fits {
                return Err(bad(format!("the shapes {first:?} and {shape:?}")));
            }
            output[axis] += shape[axis];
            runs.push(shape[axis..].iter().product());
        }
        check("a joined tensor", output.iter().fold(1, |a: usize, b| a.saturating_mul(*b)), MAX_ELEMENTS)?;
        Ok(Self { runs, output })
    }

    pub(crate) fn shape(&self) -> Vec<usize> {
        self.output.clone()
    }

    pub(crate) fn run(&self, inputs: &[&[f32]]) -> Vec<f32> {
        let mut out = buffers::take(self.output.iter().product());
        out.clear();
        let times = inputs.first().map_or(0, |x| x.len() / self.runs[0].max(1));
        for i in 0..times {
            for (x, run) in inputs.iter().zip(&self.runs) {
                out.extend_from_slice(&x[i * run..][..*run]);
            }
        }
        out
    }
}

/// `DEPTH_TO_SPACE`: channels become blocks of pixels.
#[derive(Debug)]
pub(crate) struct DepthToSpace {
    input: [usize; 2],
    block: usize,
    channels: usize,
}

impl DepthToSpace {
    pub(crate) fn new(input: &[usize], block: i32) -> Result<Self> {
        let (size, channels) = picture("DEPTH_TO_SPACE", input)?;
        let block =
            usize::try_from(block).ok().filter(|b| (1..=64).contains(b) && channels.is_multiple_of(b * b));
        let block = block.ok_or_else(|| Error::Unsupported {
            operator: "DEPTH_TO_SPACE",
            why: format!("the block doesn't divide {channels} channels"),
        })?;
        Ok(Self { input: size, block, channels: channels / (block * block) })
    }

    pub(crate) fn shape(&self) -> Vec<usize> {
        vec![1, self.input[0] * self.block, self.input[1] * self.block, self.channels]
    }

    pub(crate) fn run(&self, x: &[f32]) -> Vec<f32> {
        let ([h, w], b, c) = (self.input, self.block, self.channels);
        let mut out = buffers::take(x.len());
        out.clear();
        for y in 0..h * b {
            for u in 0..w * b {
                let from = ((y / b) * w + u / b) * b * b * c + ((y % b) * b + u % b) * c;
                out.extend_from_slice(&x[from..from + c]);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_land_where_they_belong() {
        let pad = Pad::new(&[2, 2], &[1, 0, 0, 1]).unwrap();
        assert_eq!(pad.run(&[1.0, 2.0, 3.0, 4.0]), [0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 3.0, 4.0, 0.0]);
        let join = Concat::new(&[&[2, 1], &[2, 2]], 1).unwrap();
        assert_eq!(join.run(&[&[1.0, 2.0], &[3.0, 4.0, 5.0, 6.0]]), [1.0, 3.0, 4.0, 2.0, 5.0, 6.0]);
        let blocks = DepthToSpace::new(&[1, 1, 2, 4], 2).unwrap();
        assert_eq!(
            blocks.run(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]),
            [1.0, 2.0, 5.0, 6.0, 3.0, 4.0, 7.0, 8.0]
        );
        assert!(DepthToSpace::new(&[1, 1, 2, 3], 2).is_err() && Pad::new(&[2], &[-1, 0]).is_err());
    }
}
