//! Rotations and small vectors in double precision.

pub(crate) type V3 = [f64; 3];
pub(crate) type M3 = [[f64; 3]; 3];

pub(crate) const IDENTITY: M3 = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

pub(crate) fn add(a: V3, b: V3) -> V3 {
    std::array::from_fn(|i| a[i] + b[i])
}

pub(crate) fn sub(a: V3, b: V3) -> V3 {
    std::array::from_fn(|i| a[i] - b[i])
}

pub(crate) fn scale(a: V3, s: f64) -> V3 {
    a.map(|v| v * s)
}

pub(crate) fn dot(a: V3, b: V3) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(crate) fn norm(a: V3) -> f64 {
    dot(a, a).sqrt()
}

pub(crate) fn unit(a: V3) -> V3 {
    scale(a, 1.0 / norm(a).max(1e-12))
}

pub(crate) fn cross(a: V3, b: V3) -> V3 {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

pub(crate) fn apply(m: &M3, v: V3) -> V3 {
    m.map(|row| dot(row, v))
}

pub(crate) fn mul(a: &M3, b: &M3) -> M3 {
    std::array::from_fn(|i| std::array::from_fn(|j| (0..3).map(|k| a[i][k] * b[k][j]).sum()))
}

pub(crate) fn transpose(m: &M3) -> M3 {
    std::array::from_fn(|i| std::array::from_fn(|j| m[j][i]))
}

pub(crate) fn column(m: &M3, k: usize) -> V3 {
    [m[0][k], m[1][k], m[2][k]]
}

pub(crate) fn skew(v: V3) -> M3 {
    [[0.0, -v[2], v[1]], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]]
}

/// Rotation of an axis-angle vector.
pub(crate) fn exp(v: V3) -> M3 {
    let angle = norm(v);
    let (a, b) = if angle < 1e-6 {
        (1.0 - angle * angle / 6.0, 0.5 - angle * angle / 24.0)
    } else {
        (angle.sin() / angle, (1.0 - angle.cos()) / (angle * angle))
    };
    let k = skew(v);
    let kk = mul(&k, &k);
    std::array::from_fn(|i| std::array::from_fn(|j| IDENTITY[i][j] + a * k[i][j] + b * kk[i][j]))
}

/// Axis-angle vector of a rotation, at most half a turn long.
pub(crate) fn log(m: &M3) -> V3 {
    // By way of the quaternion: stable for all angles.
    let t = [
        1.0 + m[0][0] + m[1][1] + m[2][2],
        1.0 + m[0][0] - m[1][1] - m[2][2],
        1.0 - m[0][0] + m[1][1] - m[2][2],
        1.0 - m[0][0] - m[1][1] + m[2][2],
    ];
    let most = (0..4).max_by(|a, b| t[*a].total_cmp(&t[*b])).unwrap_or(0);
    let q = match most {
        0 => [t[0], m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]],
        1 => [m[2][1] - m[1][2], t[1], m[0][1] + m[1][0], m[0][2] + m[2][0]],
        2 => [m[0][2] - m[2][0], m[0][1] + m[1][0], t[2], m[1][2] + m[2][1]],
        _ => [m[1][0] - m[0][1], m[0][2] + m[2][0], m[1][2] + m[2][1], t[3]],
    };
    let sign = if q[0] < 0.0 { -1.0 } else { 1.0 };
    let (w, v) = (q[0] * sign, [q[1], q[2], q[3]].map(|x| x * sign));
    let length = norm(v);
    if length < 1e-12 {
        return [0.0; 3];
    }
    scale(v, 2.0 * length.atan2(w) / length)
}

/// How the axis-angle vector `v` changes when its rotation is followed by a small one: the inverse right Jacobian.
pub(crate) fn log_jacobian(v: V3) -> M3 {
    let angle = norm(v);
    let c = if angle < 1e-4 {
        1.0 / 12.0
    } else {
        1.0 / (angle * angle) - (1.0 + angle.cos()) / (2.0 * angle * angle.sin().abs().max(1e-6))
    };
    let k = skew(v);
    let kk = mul(&k, &k);
    std::array::from_fn(|i| std::array::from_fn(|j| IDENTITY[i][j] + 0.5 * k[i][j] + c * kk[i][j]))
}

/// The smallest rotation that takes direction `a` to direction `b`.
pub(crate) fn between(a: V3, b: V3) -> M3 {
    let (a, b) = (unit(a), unit(b));
    let axis = cross(a, b);
    let (sin, cos) = (norm(axis), dot(a, b));
    if sin < 1e-9 {
        if cos > 0.0 {
            return IDENTITY;
        }
        let other = if a[0].abs() < 0.9 { [1.0, 0.0, 0.0] } else { [0.0, 1.0, 0.0] };
        return exp(scale(unit(cross(a, other)), std::f64::consts::PI));
    }
    exp(scale(axis, sin.atan2(cos) / sin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_undo_exponentials() {
        for v in [[0.0; 3], [1e-9, 0.0, 0.0], [0.3, -1.2, 0.7], [3.1, 0.1, -0.2], [0.0, -3.1, 0.0]] {
            let back = log(&exp(v));
            assert!(norm(sub(back, v)) < 1e-6, "{v:?} {back:?}");
        }
    }

    #[test]
    fn the_jacobian_is_that_of_the_logarithm() {
        let (v, step) = ([0.4, -1.1, 0.8], [1e-6, -2e-6, 1.5e-6]);
        let moved = sub(log(&mul(&exp(v), &exp(step))), v);
        assert!(norm(sub(moved, apply(&log_jacobian(v), step))) < 1e-10);
    }

    #[test]
    fn directions_are_met() {
        for b in [[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.3, -0.4, 0.9]] {
            let turned = apply(&between([1.0, 0.0, 0.0], b), [1.0, 0.0, 0.0]);
            assert!(norm(sub(turned, unit(b))) < 1e-9);
        }
    }
}
