//! Smooth filling: known values are averaged down a pyramid and flow back up to where nothing is known.

/// Fills `values` (`[height, width]` of three channels and a weight, channels already multiplied by the weight); the result
/// has weight 1 wherever anything was known.
pub(super) fn fill(values: &[[f32; 4]], width: usize, height: usize) -> Vec<[f32; 4]> {
    if width <= 1 && height <= 1 {
        return values.iter().map(|v| normalised(*v)).collect();
    }
    let (w, h) = (width.div_ceil(2), height.div_ceil(2));
    let mut small = vec![[0.0_f32; 4]; w * h];
    for y in 0..height {
        for x in 0..width {
            let v = values[y * width + x];
            let out = &mut small[(y / 2) * w + x / 2];
            out.iter_mut().zip(v).for_each(|(o, v)| *o += v);
        }
    }
    for v in &mut small {
        // A square counts for as much as one full pixel at most.
        if v[3] > 1.0 {
            let w = v[3];
            v.iter_mut().for_each(|c| *c /= w);
        }
    }
    let small = fill(&small, w, h);
    let mut out = Vec::with_capacity(values.len());
    for y in 0..height {
        for x in 0..width {
            let v = values[y * width + x];
            let share = v[3].min(1.0);
            // Bilinear in the smaller picture.
            let (u, t) = ((x as f32 + 0.5) / 2.0 - 0.5, (y as f32 + 0.5) / 2.0 - 0.5);
            let (u, t) = (u.clamp(0.0, (w - 1) as f32), t.clamp(0.0, (h - 1) as f32));
            let (x0, y0) = (u as usize, t as usize);
            let (x1, y1) = ((x0 + 1).min(w - 1), (y0 + 1).min(h - 1));
            let (fx, fy) = (u - x0 as f32, t - y0 as f32);
            let at = |x: usize, y: usize, k: usize| small[y * w + x][k];
            let known = normalised(v);
            out.push(std::array::from_fn(|k| {
                let upper = at(x0, y0, k) + (at(x1, y0, k) - at(x0, y0, k)) * fx;
                let lower = at(x0, y1, k) + (at(x1, y1, k) - at(x0, y1, k)) * fx;
                known[k] * share + (upper + (lower - upper) * fy) * (1.0 - share)
            }));
        }
    }
    out
}

fn normalised(v: [f32; 4]) -> [f32; 4] {
    if v[3] > 1e-6 { [v[0] / v[3], v[1] / v[3], v[2] / v[3], 1.0] } else { [0.0; 4] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_stay_and_others_lie_between() {
        let mut values = vec![[0.0; 4]; 15 * 9];
        for y in 0..9 {
            values[y * 15] = [10.0, 0.0, 0.0, 1.0];
            values[y * 15 + 14] = [30.0, 0.0, 0.0, 1.0];
        }
        let out = fill(&values, 15, 9);
        assert_eq!((out[0][0], out[14][0]), (10.0, 30.0));
        assert!(out.iter().all(|v| (10.0..=30.0).contains(&v[0]) && (v[3] - 1.0).abs() < 1e-4));
        assert!(out[4 * 15 + 3][0] < out[4 * 15 + 11][0]);
    }
}
