//! The `.ply` of 3D Gaussian splatting: one vertex a Gaussian with `x y z`, `f_dc_0..2`, `f_rest_*` (channel by
//! channel), `opacity` (a logit), `scale_0..2` (logarithms) and `rot_0..3` (w, x, y, z, any length).

use super::{compressed_ply, normalized};
use crate::{Colors, Error, Gaussians, Result, sh};
use std::io::Write;
use tensorfile::ply::{Ply, PlyTable};

/// Opacities are kept this far from 0 and 1 when written: their logit is infinite there.
const LOGIT_MARGIN: f32 = 1e-6;

/// Reads the Gaussians of a `.ply`: ASCII or binary of either byte order.
pub(super) fn read(bytes: &[u8]) -> Result<Gaussians> {
    let ply = Ply::parse(bytes)?;
    if ply.has("chunk") {
        return compressed_ply::read(&ply);
    }
    let table = ply.table("vertex")?;
    if table.find("f_dc_0").is_none()
        && (table.find("red").is_some() || table.find("vertex_indices").is_some())
    {
        return Err(Error::NotAnAvatar {
            found: "a PLY file of coloured points".to_owned(),
            advice: "Gaussians have f_dc_0, opacity, scale_0 and rot_0: train some on the points first",
        });
    }
    Columns::find(&table)?.gaussians(&table)
}

/// Which property is what.
struct Columns {
    position: [usize; 3],
    dc: [usize; 3],
    rest: Vec<usize>,
    degree: u8,
    opacity: usize,
    scale: [usize; 3],
    rotation: [usize; 4],
}

impl Columns {
    fn find(table: &PlyTable<'_>) -> Result<Self> {
        let need = |name: &str| table.column(name);
        let three = |prefix: &str| -> Result<[usize; 3]> {
            Ok([need(&format!("{prefix}0"))?, need(&format!("{prefix}1"))?, need(&format!("{prefix}2"))?])
        };
        let rest: Vec<usize> = (0..).map_while(|i| table.find(&format!("f_rest_{i}"))).collect();
        let degree = (0..=sh::MAX_DEGREE).find(|&d| 3 * (sh::n_coefficients(d) - 1) == rest.len());
        Ok(Self {
            position: [need("x")?, need("y")?, need("z")?],
            dc: three("f_dc_")?,
            degree: degree.ok_or(Error::HarmonicCount { found: rest.len() })?,
            rest,
            opacity: need("opacity")?,
            scale: three("scale_")?,
            rotation: {
                let [w, x, y] = three("rot_")?;
                [w, x, y, need("rot_3")?]
            },
        })
    }

    fn gaussians(&self, table: &PlyTable<'_>) -> Result<Gaussians> {
        let mut g = Gaussians::default();
        let mut rgb = Vec::new();
        let mut coefficients = Vec::new();
        table.rows(|row| {
            g.means.push(self.position.map(|i| row[i]));
            g.scales.push(self.scale.map(|i| row[i].exp()));
            g.rotations.push(normalized(self.rotation.map(|i| row[i])));
            g.opacities.push(1.0 / (1.0 + (-row[self.opacity]).exp()));
            let dc = self.dc.map(|i| row[i]);
            if self.degree == 0 {
                rgb.push(dc.map(|c| at_least_zero(sh::color_from_dc(c))));
            } else {
                coefficients.extend(dc);
                let n = self.rest.len() / 3;
                for k in 0..n {
                    coefficients.extend([0, 1, 2].map(|channel| row[self.rest[channel * n + k]]));
                }
            }
        })?;
        g.colors = match self.degree {
            0 => Colors::Rgb(rgb),
            degree => Colors::Sh { degree, coefficients },
        };
        Ok(g)
    }
}

/// Negative colours are drawn black; a NaN stays one, for the check that follows reading.
pub(super) fn at_least_zero(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// Writes binary little-endian, normals zero, the properties in the order of the original trainer.
pub(super) fn write(g: &Gaussians, out: &mut impl Write) -> std::io::Result<()> {
    let degree = match &g.colors {
        Colors::Rgb(_) => 0,
        Colors::Sh { degree, .. } => *degree,
    };
    let k = sh::n_coefficients(degree);
    let mut names: Vec<String> = ["x", "y", "z", "nx", "ny", "nz"].map(String::from).to_vec();
    names.extend((0..3).map(|i| format!("f_dc_{i}")));
    names.extend((0..3 * (k - 1)).map(|i| format!("f_rest_{i}")));
    names.push("opacity".into());
    names.extend((0..3).map(|i| format!("scale_{i}")));
    names.extend((0..4).map(|i| format!("rot_{i}")));
    write!(out, "ply\nformat binary_little_endian 1.0\nelement vertex {}\n", g.len())?;
    for name in &names {
        writeln!(out, "property float {name}")?;
    }
    out.write_all(b"end_header\n")?;
    for i in 0..g.len() {
        let mut row = g.means[i].to_vec();
        row.extend([0.0; 3]);
        match &g.colors {
            Colors::Rgb(rgb) => row.extend(rgb[i].map(sh::dc_from_color)),
            Colors::Sh { coefficients, .. } => {
                let c = &coefficients[3 * k * i..3 * k * (i + 1)];
                row.extend(&c[..3]);
                for channel in 0..3 {
                    row.extend(c[3..].iter().skip(channel).step_by(3));
                }
            }
        }
        let o = g.opacities[i].clamp(LOGIT_MARGIN, 1.0 - LOGIT_MARGIN);
        row.push((o / (1.0 - o)).ln());
        row.extend(g.scales[i].map(|s| s.max(f32::MIN_POSITIVE).ln()));
        row.extend(g.rotations[i]);
        for x in row {
            out.write_all(&x.to_le_bytes())?;
        }
    }
    Ok(())
}
