//! LHM's own files, where the user has them: the dense points that say which vertex each Gaussian follows, and the
//! vertices whose orientation is constrained.

use crate::error::{Error, Result};
use tensorfile::{Npz, Ply, TensorSource};

/// The vertices with a positive entry in `masks` of LHM's `human_prior_constrain.npz`.
///
/// # Errors
/// When the bytes aren't such a file.
pub fn constrained_vertices(bytes: &[u8]) -> Result<Vec<u32>> {
    let npz = Npz::parse(bytes.to_vec()).map_err(Error::Npz)?;
    if !npz.contains("masks") {
        return Err(Error::MissingArray { array: "masks", hint: "" });
    }
    let (_, masks) = npz.f32("masks").map_err(|source| Error::Array { array: "masks".to_owned(), source })?;
    Ok((0..).zip(masks).filter(|(_, m)| *m > 0.0).map(|(i, _)| i).collect())
}

/// The vertex positions of a PLY file, ASCII or binary: LHM's `dense_sample_points/1_40000.ply`.
///
/// # Errors
/// [`Error::Ply`] for anything but a PLY file whose vertices have x, y and z, [`Error::PointNotFinite`] for a NaN or an
/// infinity among them.
pub fn ply_points(bytes: &[u8]) -> Result<Vec<[f32; 3]>> {
    let table = Ply::parse(bytes)?.table("vertex")?;
    let at = [table.column("x")?, table.column("y")?, table.column("z")?];
    let mut points = Vec::with_capacity(table.len());
    table.rows(|row| points.push(at.map(|i| row[i])))?;
    match points.iter().position(|p: &[f32; 3]| p.iter().any(|x| !x.is_finite())) {
        Some(point) => Err(Error::PointNotFinite { point }),
        None => Ok(points),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tensorfile::ply::PlyError;

    #[test]
    fn only_whole_and_finite_points() {
        let file = |body: &str| {
            format!(
                "ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nproperty float y\nproperty float z\nend_header\n{body}"
            )
        };
        let points = ply_points(file("1 2 3\n4 5 6.5\n").as_bytes()).unwrap();
        assert_eq!(points, [[1.0, 2.0, 3.0], [4.0, 5.0, 6.5]]);
        let missing = ply_points(file("1 2 3\n").as_bytes());
        assert!(matches!(missing, Err(Error::Ply(PlyError::Short { count: 2, .. }))), "{missing:?}");
        let infinite = ply_points(file("1 2 3\n4 inf 6\n").as_bytes());
        assert!(matches!(infinite, Err(Error::PointNotFinite { point: 1 })), "{infinite:?}");
    }
}
