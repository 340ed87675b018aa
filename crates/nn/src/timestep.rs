//! The sinusoidal embedding of a diffusion timestep.

use candle_core::{Device, Result, Tensor, bail};

/// `[cos(t·ω₀) …, sin(t·ω₀) …]` with `ωᵢ = 10000^(-i / (dim/2))`, computed in f64 and stored in f32.
///
/// # Shapes
/// n timesteps → `[n, dim]`.
///
/// # Errors
/// When `dim` is odd.
pub fn timestep_embedding(timesteps: &[f64], dim: usize, device: &Device) -> Result<Tensor> {
    if !dim.is_multiple_of(2) || dim == 0 {
        bail!("the sinusoidal embedding needs an even width, got {dim}");
    }
    let half = dim / 2;
    let mut values = Vec::with_capacity(timesteps.len() * dim);
    for &t in timesteps {
        let angles: Vec<f64> = (0..half).map(|i| t * 10_000_f64.powf(-(i as f64) / half as f64)).collect();
        values.extend(angles.iter().map(|a| a.cos() as f32));
        values.extend(angles.iter().map(|a| a.sin() as f32));
    }
    Tensor::from_vec(values, (timesteps.len(), dim), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_come_first() {
        let e = timestep_embedding(&[0.0, 2.0], 4, &Device::Cpu).unwrap();
        let e = e.to_vec2::<f32>().unwrap();
        assert_eq!(e[0], [1.0, 1.0, 0.0, 0.0]);
        let expected = [2.0_f64.cos(), 0.02_f64.cos(), 2.0_f64.sin(), 0.02_f64.sin()];
        for (a, b) in e[1].iter().zip(expected) {
            assert!((f64::from(*a) - b).abs() < 1e-7);
        }
        assert!(timestep_embedding(&[0.0], 5, &Device::Cpu).is_err());
    }
}
