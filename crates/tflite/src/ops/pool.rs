//! `AVERAGE_POOL_2D`, `MAX_POOL_2D` and `MEAN` over height and width.

use super::{Fused, Window, picture};
use crate::buffers;
use crate::error::Result;
use crate::flat::Table;

#[derive(Debug)]
pub(crate) struct Pool {
    window: Window,
    channels: usize,
    max: bool,
    fused: Fused,
}

impl Pool {
    pub(crate) fn new(options: &Table<'_>, input: &[usize], max: bool) -> Result<Self> {
        let name = if max { "MAX_POOL_2D" } else { "AVERAGE_POOL_2D" };
        let (size, channels) = picture(name, input)?;
        let stride = [options.i32(2, 1)?, options.i32(1, 1)?];
        let kernel = [options.i32(4, 1)?, options.i32(3, 1)?].map(|k| k.clamp(1, 1 << 14) as usize);
        let window = Window::new(name, size, kernel, stride, options.u8(0, 0)? == 0)?;
        Ok(Self { window, channels, max, fused: Fused::new(name, options.u8(5, 0)?)? })
    }

    /// The mean over the whole picture.
    pub(crate) fn whole(input: &[usize]) -> Result<Self> {
        let (size, channels) = picture("MEAN", input)?;
        let window = Window::new("MEAN", size, size, [1, 1], false)?;
        Ok(Self { window, channels, max: false, fused: Fused::None })
    }

    pub(crate) fn shape(&self) -> Vec<usize> {
        vec![1, self.window.output[0], self.window.output[1], self.channels]
    }

    pub(crate) fn run(&self, x: &[f32]) -> Vec<f32> {
        let Window { input: [_, iw], output: [oh, ow], .. } = self.window;
        let c = self.channels;
        let mut out = buffers::take(oh * ow * c);
        out.fill(if self.max { f32::NEG_INFINITY } else { 0.0 });
        for oy in 0..oh {
            let (ky, y0) = self.window.taps(0, oy);
            for ox in 0..ow {
                let (kx, x0) = self.window.taps(1, ox);
                let pixel = &mut out[(oy * ow + ox) * c..][..c];
                for y in y0..y0 + ky.len() {
                    for tap in x[(y * iw + x0) * c..][..kx.len() * c].chunks_exact(c) {
                        if self.max {
                            pixel.iter_mut().zip(tap).for_each(|(o, v)| *o = o.max(*v));
                        } else {
                            pixel.iter_mut().zip(tap).for_each(|(o, v)| *o += v);
                        }
                    }
                }
                if !self.max {
                    let share = 1.0 / (ky.len() * kx.len()).max(1) as f32;
                    pixel.iter_mut().for_each(|v| *v *= share);
                }
            }
        }
        self.fused.apply(&mut out);
        out
    }
}
