//! 3D Gaussians in columns.

use crate::{Error, Result, sh};

/// Colours of Gaussians.
#[derive(Clone, Debug, PartialEq)]
pub enum Colors {
    /// `[G, 3]` linear red, green, blue; 0 to 1 for displayable colours.
    Rgb(Vec<[f32; 3]>),
    /// `[G, (degree + 1)², 3]` coefficients of real spherical harmonics, evaluated in the direction from the camera.
    Sh {
        /// 0 to 3.
        degree: u8,
        /// Coefficients; channel fastest.
        coefficients: Vec<f32>,
    },
}

/// A cloud of G Gaussians. All columns have the same length; [`Gaussians::check`] says whether they do.
#[derive(Clone, Debug, PartialEq)]
pub struct Gaussians {
    /// Centres, in metres.
    pub means: Vec<[f32; 3]>,
    /// Standard deviations along the three own axes, in metres.
    pub scales: Vec<[f32; 3]>,
    /// Orientations as quaternions (w, x, y, z), used as they are: not normalised, as in the reference.
    pub rotations: Vec<[f32; 4]>,
    /// Peak opacities, 0 to 1.
    pub opacities: Vec<f32>,
    /// Colours.
    pub colors: Colors,
}

impl Default for Gaussians {
    fn default() -> Self {
        Self {
            means: Vec::new(),
            scales: Vec::new(),
            rotations: Vec::new(),
            opacities: Vec::new(),
            colors: Colors::Rgb(Vec::new()),
        }
    }
}

impl Gaussians {
    /// Number of Gaussians.
    #[must_use]
    pub fn len(&self) -> usize {
        self.means.len()
    }

    /// Are there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.means.is_empty()
    }

    /// Checks that every column has as many rows as there are centres.
    ///
    /// # Errors
    /// When a column is shorter or longer, the harmonics' degree is above 3, or there are more than 2³¹ Gaussians.
    pub fn check(&self) -> Result<()> {
        let expected = self.len();
        if expected > i32::MAX as usize {
            return Err(Error::TooMany { what: "Gaussians", count: expected });
        }
        let length = |field, expected: usize, got: usize| {
            if expected == got { Ok(()) } else { Err(Error::Length { field, expected, got }) }
        };
        length("scales", expected, self.scales.len())?;
        length("rotations", expected, self.rotations.len())?;
        length("opacities", expected, self.opacities.len())?;
        match &self.colors {
            Colors::Rgb(rgb) => length("colours", expected, rgb.len()),
            Colors::Sh { degree, .. } if *degree > sh::MAX_DEGREE => Err(Error::ShDegree { degree: *degree }),
            Colors::Sh { degree, coefficients } => {
                length("coefficients", expected * sh::n_coefficients(*degree) * 3, coefficients.len())
            }
        }
    }

    /// Checks that every number is finite. Rendering doesn't ask for it: it leaves out Gaussians that aren't.
    ///
    /// # Errors
    /// With the first column and element that isn't.
    pub fn check_finite(&self) -> Result<()> {
        let finite = |field, values: &[f32], width: usize| match values.iter().position(|v| !v.is_finite()) {
            Some(at) => Err(Error::NotFinite { field, index: at / width }),
            None => Ok(()),
        };
        finite("mean", self.means.as_flattened(), 3)?;
        finite("scale", self.scales.as_flattened(), 3)?;
        finite("rotation", self.rotations.as_flattened(), 4)?;
        finite("opacity", &self.opacities, 1)?;
        match &self.colors {
            Colors::Rgb(rgb) => finite("colour", rgb.as_flattened(), 3),
            Colors::Sh { degree, coefficients } => {
                finite("coefficient", coefficients, sh::n_coefficients((*degree).min(sh::MAX_DEGREE)) * 3)
            }
        }
    }

    /// The colour of one Gaussian seen from `eye`.
    #[must_use]
    pub fn color_from(&self, index: usize, eye: [f32; 3]) -> [f32; 3] {
        match &self.colors {
            Colors::Rgb(rgb) => rgb[index],
            Colors::Sh { degree, coefficients } => {
                let n = sh::n_coefficients(*degree) * 3;
                let m = self.means[index];
                let direction = [m[0] - eye[0], m[1] - eye[1], m[2] - eye[2]];
                sh::color(*degree, &coefficients[index * n..(index + 1) * n], direction)
            }
        }
    }
}
