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
    // Bilinear in the smaller picture: every pixel lies a quarter off the middle of its square.
    let neighbours = |i: usize, n: usize| {
        let other = if i.is_multiple_of(2) { (i / 2).saturating_sub(1) } else { (i / 2 + 1).min(n - 1) };
        (i / 2, other)
    };
    for (y, line) in values.chunks_exact(width).enumerate() {
        let (row, other_row) = neighbours(y, h);
        let (row, other_row) = (&small[row * w..][..w], &small[other_row * w..][..w]);
        for (x, v) in line.iter().enumerate() {
            let share = v[3].min(1.0);
            let known = normalised(*v);
            if share >= 1.0 {
                out.push(known);
                continue;
            }
            let (u, t) = neighbours(x, w);
            let (a, b, c, d) = (row[u], row[t], other_row[u], other_row[t]);
            let mut value = [0.0; 4];
            for k in 0..4 {
                let between = 0.5625 * a[k] + 0.1875 * (b[k] + c[k]) + 0.0625 * d[k];
                value[k] = known[k] * share + between * (1.0 - share);
            }
            out.push(value);
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
