//! A quick look at latents: a linear map to RGB, one pixel for each latent, no decoder.

use crate::{Error, Result};
use candle_core::{DType, Tensor};

/// Red, green and blue of each normalised Wan 2.1 latent channel, fitted by the ComfyUI project
/// (`comfy/latent_formats.py`, `Wan21.latent_rgb_factors`).
pub const WAN_2_1_RGB: [[f32; 3]; 16] = [
    [-0.1299, -0.1692, 0.2932],
    [0.0671, 0.0406, 0.0442],
    [0.3568, 0.2548, 0.1747],
    [0.0372, 0.2344, 0.1420],
    [0.0313, 0.0189, -0.0328],
    [0.0296, -0.0956, -0.0665],
    [-0.3477, -0.4059, -0.2925],
    [0.0166, 0.1902, 0.1975],
    [-0.0412, 0.0267, -0.1364],
    [-0.1293, 0.0740, 0.1636],
    [0.0680, 0.3019, 0.1128],
    [0.0032, 0.0581, 0.0639],
    [-0.1251, 0.0927, 0.1699],
    [0.0060, -0.0633, 0.0005],
    [0.3477, 0.2275, 0.2950],
    [0.1984, 0.0913, 0.1861],
];

/// Added to each colour (same source, `latent_rgb_factors_bias`).
pub const WAN_2_1_RGB_BIAS: [f32; 3] = [-0.1835, -0.0868, -0.3360];

/// What each latent channel adds to a pixel's colour.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Colours {
    /// Red, green and blue of each channel of the normalised latents, `z_dim` rows.
    pub map: Vec<[f32; 3]>,
    /// Added to each colour.
    pub bias: [f32; 3],
}

impl Colours {
    /// Those of the published Wan 2.1 autoencoder; latents of another one would show as other colours.
    #[must_use]
    pub fn wan_2_1() -> Self {
        Self { map: WAN_2_1_RGB.to_vec(), bias: WAN_2_1_RGB_BIAS }
    }

    /// Colours of latents `[B, z, T, H, W]` as `[B, 3, T, H, W]` in -1 to 1.
    ///
    /// # Errors
    /// When the latents have another number of channels.
    ///
    /// ```
    /// use anicrafter_vae::preview::Colours;
    /// use candle_core::{Device, Tensor};
    /// let latents = Tensor::zeros((1, 16, 1, 2, 2), candle_core::DType::F32, &Device::Cpu)?;
    /// let rgb = Colours::wan_2_1().of(&latents)?;
    /// assert_eq!(rgb.dims(), [1, 3, 1, 2, 2]);
    /// assert_eq!(rgb.flatten_all()?.to_vec1::<f32>()?[0], -0.1835);
    /// # Ok::<(), anicrafter_vae::Error>(())
    /// ```
    pub fn of(&self, latents: &Tensor) -> Result<Tensor> {
        let z = self.map.len();
        let &[b, channels, t, h, w] = latents.dims() else { return Err(self.other_shape(latents)) };
        if channels != z {
            return Err(self.other_shape(latents));
        }
        let device = latents.device();
        let map = Tensor::from_vec(self.map.concat(), (z, 3), device)?.t()?.contiguous()?; // [3, z]
        let bias = Tensor::new(&self.bias, device)?.reshape((1, 3, 1))?;
        let flat = latents.to_dtype(DType::F32)?.reshape((b, z, t * h * w))?;
        let rgb = map.unsqueeze(0)?.broadcast_matmul(&flat)?.broadcast_add(&bias)?; // [B, 3, T·H·W]
        Ok(rgb.clamp(-1_f32, 1_f32)?.reshape((b, 3, t, h, w))?)
    }

    fn other_shape(&self, latents: &Tensor) -> Error {
        let expected = format!("[B, {}, T, H, W]", self.map.len());
        Error::Shape { what: "latents", expected, got: latents.dims().to_vec() }
    }
}
