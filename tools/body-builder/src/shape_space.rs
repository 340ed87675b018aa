//! The shape space: principal components of sampled MakeHuman bodies in the rest pose.
//!
//! 240 bodies around the mean body vary over the macro details and the first twelve measures. Each is re-posed and
//! placed with its pelvis where the mean body has it, so that a shape never moves the pivot of the root. The columns
//! are the ten strongest components, one standard deviation long. Joints follow the same samples and are stored as
//! their own columns, since a sparse regressor from vertices misses them by centimetres on strong shapes.

use nalgebra::DMatrix;

use crate::Point;
use crate::makehuman::{MakeHuman, RestBody};
use crate::measures::Measure;
use crate::proportions::Proportions;
use crate::random::Random;
use crate::skeleton::JOINTS;

/// Number of columns.
pub const COLUMNS: usize = 10;

/// Number of sampled bodies.
const SAMPLES: usize = 240;

/// Seed of the sampling, any number; fixed so that the asset can be rebuilt.
const SEED: u64 = 20_261_122;

/// The shape space.
#[derive(Clone, Debug)]
pub struct ShapeSpace {
    /// Vertex offsets of each column, in metres.
    pub vertices: Vec<Vec<Point>>,
    /// Joint offsets of each column, in metres.
    pub joints: Vec<Vec<Point>>,
    /// Share of the samples' variance that the columns hold.
    pub variance_held: f64,
}

/// Samples bodies around the given proportions and finds their principal components.
#[must_use]
pub fn sample(human: &MakeHuman, mean: &Proportions, rest: &RestBody) -> ShapeSpace {
    let mut random = Random::new(SEED);
    let samples: Vec<RestBody> = (0..SAMPLES).map(|_| human.rest_body(&draw(&mut random, mean))).collect();

    let count = rest.vertices.len();
    let mut data = DMatrix::<f64>::zeros(3 * (count + JOINTS), SAMPLES);
    for (mut column, body) in data.column_iter_mut().zip(&samples) {
        let points = body.vertices.iter().chain(&body.joints).flat_map(|p| [p.x, p.y, p.z]);
        column.iter_mut().zip(points).for_each(|(x, p)| *x = p);
    }
    let average = data.column_mean();
    for mut column in data.column_iter_mut() {
        column -= &average;
    }
    principal(&data, count)
}

/// The strongest components of centred data; joints are carried along without weighing in.
fn principal(data: &DMatrix<f64>, count: usize) -> ShapeSpace {
    let vertices = data.rows(0, 3 * count);
    let eigen = (vertices.transpose() * vertices).symmetric_eigen();
    let total: f64 = eigen.eigenvalues.iter().sum();
    let mut order: Vec<usize> = (0..eigen.eigenvalues.len()).collect();
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));

    let mut space = ShapeSpace { vertices: Vec::new(), joints: Vec::new(), variance_held: 0.0 };
    for &c in order.iter().take(COLUMNS) {
        space.variance_held += eigen.eigenvalues[c] / total;
        let direction = data * eigen.eigenvectors.column(c) / (data.ncols() as f64 - 1.0).sqrt();
        let points: Vec<Point> =
            direction.as_slice().chunks_exact(3).map(|p| Point::new(p[0], p[1], p[2])).collect();
        let (vertices, joints) = points.split_at(count);
        // A column's sign is free: let the head rise with it.
        let sign = if joints[15].y < 0.0 { -1.0 } else { 1.0 };
        space.vertices.push(vertices.iter().map(|p| p * sign).collect());
        space.joints.push(joints.iter().map(|p| p * sign).collect());
    }
    space
}

/// A body around the mean one: sex and age uniform, the rest normal.
fn draw(random: &mut Random, mean: &Proportions) -> Proportions {
    let mut p = mean.clone();
    let mut around = |x: f64, deviation: f64, low: f64| (x + deviation * random.normal()).clamp(low, 1.0);
    p.macros.muscle = around(mean.macros.muscle, 0.2, 0.0);
    p.macros.weight = around(mean.macros.weight, 0.2, 0.0);
    p.macros.height = around(mean.macros.height, 0.08, 0.0);
    p.macros.proportions = around(mean.macros.proportions, 0.2, 0.0);
    for m in &mut p.measures[..Measure::SAMPLED] {
        *m = around(*m, 0.2, -1.0);
    }
    p.macros.gender = random.uniform();
    p.macros.age = 0.5 + 0.5 * random.uniform();
    p
}
