//! The oracle: a convolution as its definition says, in f64.

use super::{ConvShape, Frame, Input};

/// Convolves by the definition, one output element at a time; `[T', H', W', c_out]`. Slow: for tests.
///
/// # Panics
/// If the weight doesn't fit the shape.
#[must_use]
pub fn conv_reference(
    shape: &ConvShape,
    weight: &[f32],
    bias: Option<&[f32]>,
    input: &Input<'_>,
) -> Vec<f32> {
    assert_eq!(weight.len(), shape.weights(), "the weight isn't [c_out, c_in, kt, kh, kw]");
    let (height, width) = input.size();
    let (h, w) = shape.size(height, width);
    let ([kt, kh, kw], [st, sh, sw]) = (shape.kernel, shape.stride);
    let normalised: Vec<Option<Vec<f64>>> =
        input.frames.iter().map(|f| f.map(|f| normalise(input, f))).collect();
    let factor = if input.upsample { 2 } else { 1 };
    let pixel = |t: usize, y: isize, x: isize| -> Option<&[f64]> {
        let inside = y >= 0 && x >= 0 && y < height as isize && x < width as isize;
        let frame = normalised[t].as_ref().filter(|_| inside)?;
        let at = (y as usize / factor * input.width + x as usize / factor) * shape.c_in;
        Some(&frame[at..at + shape.c_in])
    };
    let mut out = Vec::new();
    for t in 0..shape.frames(input.frames.len()) {
        for i in 0..h * w {
            let mut sums: Vec<f64> = match bias {
                Some(bias) => bias.iter().map(|&b| b.into()).collect(),
                None => vec![0.0; shape.c_out],
            };
            for tap in 0..kt * kh * kw {
                let (dt, dy, dx) = (tap / (kh * kw), tap / kw % kh, tap % kw);
                let y = (i / w * sh + dy) as isize - shape.padding.top as isize;
                let x = (i % w * sw + dx) as isize - shape.padding.left as isize;
                let Some(values) = pixel(t * st + dt, y, x) else { continue };
                for (o, sum) in sums.iter_mut().enumerate() {
                    for (c, v) in values.iter().enumerate() {
                        *sum += v * f64::from(weight[(o * shape.c_in + c) * kt * kh * kw + tap]);
                    }
                }
            }
            out.extend(sums.iter().map(|&s| s as f32));
        }
    }
    out
}

/// RMS norm and SiLU of every pixel, where the input asks for them.
fn normalise(input: &Input<'_>, frame: Frame<'_>) -> Vec<f64> {
    let mut values: Vec<f64> = (0..frame.len()).map(|i| frame.at(i).into()).collect();
    for pixel in values.chunks_exact_mut(input.channels) {
        if let Some(gamma) = input.gamma {
            let norm = pixel.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-12);
            let factor = (input.channels as f64).sqrt() / norm;
            pixel.iter_mut().zip(gamma).for_each(|(v, &g)| *v *= factor * f64::from(g));
        }
        if input.silu {
            pixel.iter_mut().for_each(|v| *v /= 1.0 + (-*v).exp());
        }
    }
    values
}
