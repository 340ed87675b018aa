//! The tables of a body model, checked when they are put together.

use crate::error::{Error, Result};
use crate::landmarks::{Contour, SurfacePoints};
use crate::lanes::{Block, Directions, LANES, Lane, n_blocks};
use crate::pose::{BodyPose, HandMean, Side};
use crate::skeleton::{N_HAND_JOINTS, N_JOINTS, N_POSE_FEATURES};
use crate::weights::SparseWeights;
use rayon::prelude::*;

/// A body model: template, shape space, pose correctives, skeleton and skinning weights.
///
/// Metres; x to the body's left, y up, z forward. The origin isn't the pelvis.
#[derive(Clone)]
pub struct BodyModel {
    pub(crate) n_vertices: usize,
    pub(crate) template: Vec<Block>,
    pub(crate) faces: Vec<[u32; 3]>,
    pub(crate) shape: Directions,
    pub(crate) expression: Directions,
    pub(crate) pose: Directions,
    /// Which of the 486 pose features each column of `pose` belongs to.
    pub(crate) pose_columns: Vec<u32>,
    pub(crate) weights: SparseWeights,
    pub(crate) parents: [Option<u8>; N_JOINTS],
    pub(crate) joint_template: [[f32; 3]; N_JOINTS],
    /// One displacement of the joints for each shape component.
    pub(crate) joint_shape: Vec<[[f32; 3]; N_JOINTS]>,
    /// The same for each expression component; empty where expressions don't move joints.
    pub(crate) joint_expression: Vec<[[f32; 3]; N_JOINTS]>,
    pub(crate) hands: Option<Box<[Hand; 2]>>,
    pub(crate) extra_vertices: Option<[u32; 21]>,
    pub(crate) landmarks: Option<SurfacePoints>,
    pub(crate) contour: Option<Contour>,
}

impl std::fmt::Debug for BodyModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BodyModel")
            .field("n_vertices", &self.n_vertices)
            .field("n_faces", &self.faces.len())
            .field("n_betas", &self.n_betas())
            .field("n_expressions", &self.n_expressions())
            .field("n_pose_columns", &self.pose_columns.len())
            .field("n_weights", &self.weights.n_entries())
            .finish_non_exhaustive()
    }
}

/// Mean and principal components of a hand's pose.
#[derive(Clone, Debug, PartialEq)]
pub struct Hand {
    /// Mean rotations, axis-angle.
    pub mean: [[f32; 3]; N_HAND_JOINTS],
    /// Components, one for each coefficient.
    pub components: Vec<[[f32; 3]; N_HAND_JOINTS]>,
}

/// How a body's rest joints follow its shape.
#[derive(Clone, Debug, PartialEq)]
pub enum JointSource {
    /// A row-major `[55, V]` matrix that is applied to the shaped vertices.
    Regressor(Vec<f32>),
    /// Joints of the mean shape and their displacement by each of the S shape components.
    Table {
        /// Joints at betas 0.
        template: [[f32; 3]; N_JOINTS],
        /// `[S]` displacements of all joints.
        shape: Vec<[[f32; 3]; N_JOINTS]>,
    },
}

/// Everything a body model is made of, as plain vectors.
///
/// # Shapes
/// V vertices, S shape components, E expression components, P = 486 pose features.
#[derive(Clone, Debug)]
pub struct BodyArrays {
    /// `[V]` rest vertices.
    pub v_template: Vec<[f32; 3]>,
    /// `[F]` triangles, counter-clockwise from outside.
    pub faces: Vec<[u32; 3]>,
    /// Row-major `[V, 3, S]`.
    pub shape_dirs: Vec<f32>,
    /// Row-major `[V, 3, E]`.
    pub expression_dirs: Vec<f32>,
    /// Row-major `[V, 3, 486]`, or empty for a body without pose correctives.
    pub pose_dirs: Vec<f32>,
    /// `[V]` skinning weights.
    pub weights: SparseWeights,
    /// The rest joints.
    pub joints: JointSource,
    /// Parent of each joint.
    pub parents: [Option<u8>; N_JOINTS],
    /// Left and right hand.
    pub hands: Option<[Hand; 2]>,
    /// Vertices of the 21 extra joints.
    pub extra_vertices: Option<[u32; 21]>,
    /// Face landmarks: triangle and barycentric coordinates.
    pub landmarks: Option<SurfacePoints>,
}

/// Displacement tables that a loader has filled already.
pub(crate) struct Parts {
    pub(crate) v_template: Vec<[f32; 3]>,
    pub(crate) faces: Vec<[u32; 3]>,
    pub(crate) shape: Directions,
    pub(crate) expression: Directions,
    pub(crate) pose: Directions,
    pub(crate) pose_columns: Vec<u32>,
    pub(crate) weights: SparseWeights,
    pub(crate) joints: JointSource,
    pub(crate) parents: [Option<u8>; N_JOINTS],
    pub(crate) hands: Option<[Hand; 2]>,
    pub(crate) extra_vertices: Option<[u32; 21]>,
    pub(crate) landmarks: Option<SurfacePoints>,
    pub(crate) contour: Option<Contour>,
}

impl BodyModel {
    /// Puts a model together from plain arrays.
    ///
    /// # Errors
    /// When shapes disagree, an index is out of range, something isn't finite, or weights don't sum to one.
    pub fn from_arrays(arrays: BodyArrays) -> Result<Self> {
        let n = arrays.v_template.len();
        let table = |name: &str, values: &[f32]| -> Result<Directions> {
            if n == 0 || !values.len().is_multiple_of(n * 3) {
                return Err(Error::Shape {
                    array: name.to_owned(),
                    expected: format!("[{n}, 3, _]"),
                    found: vec![values.len()],
                });
            }
            check_finite(name, values)?;
            let columns = values.len() / (n * 3);
            let mut table = Directions::zeros(n, columns);
            table.fill_rows(n, |row, out| out.copy_from_slice(&values[row * columns..(row + 1) * columns]));
            Ok(table)
        };
        let shape = table("shape_dirs", &arrays.shape_dirs)?;
        let expression = table("expression_dirs", &arrays.expression_dirs)?;
        let pose = table("pose_dirs", &arrays.pose_dirs)?;
        if pose.n_columns != 0 && pose.n_columns != N_POSE_FEATURES {
            return Err(Error::Shape {
                array: "pose_dirs".to_owned(),
                expected: format!("[{n}, 3, {N_POSE_FEATURES}]"),
                found: vec![n, 3, pose.n_columns],
            });
        }
        let (pose, pose_columns) = pose.without_zero_columns();
        Self::from_parts(Parts {
            v_template: arrays.v_template,
            faces: arrays.faces,
            shape,
            expression,
            pose,
            pose_columns,
            weights: arrays.weights,
            joints: arrays.joints,
            parents: arrays.parents,
            hands: arrays.hands,
            extra_vertices: arrays.extra_vertices,
            landmarks: arrays.landmarks,
            contour: None,
        })
    }

    /// Checks what the tables say about each other.
    pub(crate) fn from_parts(parts: Parts) -> Result<Self> {
        let n = parts.v_template.len();
        if n == 0 || n > 1 << 24 {
            return Err(Error::Shape {
                array: "v_template".to_owned(),
                expected: "[V, 3] with 1 to 2^24 vertices".to_owned(),
                found: vec![n, 3],
            });
        }
        check_finite("v_template", parts.v_template.as_flattened())?;
        check_weights(&parts.weights, n)?;
        check_parents(&parts.parents)?;
        let below = |array: &str, values: &[u32], limit: usize, what: &str| match values
            .iter()
            .position(|&i| i as usize >= limit)
        {
            None => Ok(()),
            Some(index) => Err(Error::Value {
                array: array.to_owned(),
                index,
                problem: format!("{} isn't below the number of {what}, {limit}", values[index]),
            }),
        };
        below("f", parts.faces.as_flattened(), n, "vertices")?;
        if let Some(extra) = &parts.extra_vertices {
            below("extra_vertices", extra, n, "vertices")?;
        }
        if let Some(points) = &parts.landmarks {
            below("lmk_faces_idx", &points.faces, parts.faces.len(), "faces")?;
            check_finite("lmk_bary_coords", points.barycentric.as_flattened())?;
        }
        if let Some(contour) = &parts.contour {
            below("dynamic_lmk_faces_idx", contour.faces.as_flattened(), parts.faces.len(), "faces")?;
            let coordinates = contour.barycentric.as_flattened().as_flattened();
            check_finite("dynamic_lmk_bary_coords", coordinates)?;
        }
        if let Some(hands) = &parts.hands {
            for (hand, name) in hands.iter().zip(["hands_meanl", "hands_meanr"]) {
                check_finite(name, hand.mean.as_flattened())?;
                check_finite(name, hand.components.as_flattened().as_flattened())?;
            }
        }
        let (joint_template, joint_shape, joint_expression) = match parts.joints {
            JointSource::Table { template, shape } => {
                if shape.len() != parts.shape.n_columns {
                    return Err(Error::Shape {
                        array: "J_shapedirs".to_owned(),
                        expected: format!("[55, 3, {}]", parts.shape.n_columns),
                        found: vec![N_JOINTS, 3, shape.len()],
                    });
                }
                check_finite("J_template", template.as_flattened())?;
                check_finite("J_shapedirs", shape.as_flattened().as_flattened())?;
                (template, shape, Vec::new())
            }
            JointSource::Regressor(regressor) => {
                if regressor.len() != N_JOINTS * n {
                    return Err(Error::Shape {
                        array: "J_regressor".to_owned(),
                        expected: format!("[55, {n}]"),
                        found: vec![regressor.len()],
                    });
                }
                check_finite("J_regressor", &regressor)?;
                let tables = [&parts.shape, &parts.expression];
                let (template, mut shape) = regress(&regressor, &parts.v_template, tables);
                let expression = shape.split_off(parts.shape.n_columns);
                (template, shape, expression)
            }
        };
        let mut template = vec![[Lane::ZERO; 3]; n_blocks(n)];
        bytemuck::cast_slice_mut(&mut template)[..n * 3].copy_from_slice(parts.v_template.as_flattened());
        Ok(Self {
            n_vertices: n,
            template,
            faces: parts.faces,
            shape: parts.shape,
            expression: parts.expression,
            pose: parts.pose,
            pose_columns: parts.pose_columns,
            weights: parts.weights,
            parents: parts.parents,
            joint_template,
            joint_shape,
            joint_expression,
            hands: parts.hands.map(Box::new),
            extra_vertices: parts.extra_vertices,
            landmarks: parts.landmarks,
            contour: parts.contour,
        })
    }

    /// V: number of vertices.
    #[must_use]
    pub fn n_vertices(&self) -> usize {
        self.n_vertices
    }

    /// S: number of shape components.
    #[must_use]
    pub fn n_betas(&self) -> usize {
        self.shape.n_columns
    }

    /// E: number of expression components.
    #[must_use]
    pub fn n_expressions(&self) -> usize {
        self.expression.n_columns
    }

    /// Triangles, counter-clockwise from outside.
    #[must_use]
    pub fn faces(&self) -> &[[u32; 3]] {
        &self.faces
    }

    /// Parent of each joint.
    #[must_use]
    pub fn parents(&self) -> &[Option<u8>; N_JOINTS] {
        &self.parents
    }

    /// The rest vertices of the mean shape, `[V]`, in metres.
    #[must_use]
    pub fn v_template(&self) -> &[[f32; 3]] {
        &bytemuck::cast_slice(&self.template)[..self.n_vertices]
    }

    /// Skinning weights of all vertices.
    #[must_use]
    pub fn weights(&self) -> &SparseWeights {
        &self.weights
    }

    /// Mean and components of a hand's pose, where the body has them.
    #[must_use]
    pub fn hand(&self, side: Side) -> Option<&Hand> {
        let hands = self.hands.as_ref()?;
        Some(&hands[side as usize])
    }

    /// Displacement of a vertex by one unit of a shape component, in metres.
    ///
    /// # Panics
    /// When there is no such vertex or component.
    #[must_use]
    pub fn shape_direction(&self, vertex: usize, component: usize) -> [f32; 3] {
        assert!(vertex < self.n_vertices, "vertex {vertex} of {}", self.n_vertices);
        std::array::from_fn(|axis| self.shape.get(vertex, axis, component))
    }

    /// Displacement of a vertex by one unit of an expression component, in metres.
    ///
    /// # Panics
    /// When there is no such vertex or component.
    #[must_use]
    pub fn expression_direction(&self, vertex: usize, component: usize) -> [f32; 3] {
        assert!(vertex < self.n_vertices, "vertex {vertex} of {}", self.n_vertices);
        std::array::from_fn(|axis| self.expression.get(vertex, axis, component))
    }

    /// Replaces the expression displacements of some vertices, as LHM does for the face with those of FLAME.
    ///
    /// The joints keep following the expressions that they followed before.
    ///
    /// # Shapes
    /// `directions`: row-major `[vertices.len(), 3, E]`.
    ///
    /// # Errors
    /// When a vertex doesn't exist, the length is wrong, or something isn't finite.
    pub fn replace_expression_directions(&mut self, vertices: &[u32], directions: &[f32]) -> Result<()> {
        let e = self.n_expressions();
        let expected = vertices.len() * 3 * e;
        if directions.len() != expected {
            let (what, found) = ("expression directions", directions.len());
            return Err(Error::Length { what, expected, found });
        }
        check_finite("expression directions", directions)?;
        if let Some(index) = vertices.iter().position(|&v| v as usize >= self.n_vertices) {
            return Err(Error::Value {
                array: "vertices".to_owned(),
                index,
                problem: format!("there is no vertex {}", vertices[index]),
            });
        }
        for (&vertex, rows) in vertices.iter().zip(directions.chunks_exact((3 * e).max(1))) {
            for (axis, row) in rows.chunks_exact(e).enumerate() {
                for (column, value) in row.iter().enumerate() {
                    self.expression.set(vertex as usize, axis, column, *value);
                }
            }
        }
        Ok(())
    }

    /// The 55 rotations of a pose, with the model's mean hands added where asked for.
    ///
    /// # Errors
    /// [`Error::NotInModel`] when the mean hands are asked for and the body has none.
    pub fn full_pose(&self, pose: &BodyPose, hands: HandMean) -> Result<[[f32; 3]; N_JOINTS]> {
        let mut pose = *pose;
        if hands == HandMean::Model {
            let means = self.hands.as_ref().ok_or(Error::NotInModel { what: "mean hand pose" })?;
            for (hand, mean) in [&mut pose.left_hand, &mut pose.right_hand].into_iter().zip(means.iter()) {
                for (v, m) in hand.as_flattened_mut().iter_mut().zip(mean.mean.as_flattened()) {
                    *v += m;
                }
            }
        }
        Ok(pose.full())
    }

    /// Hand rotations from principal-component coefficients; the mean isn't added.
    ///
    /// # Errors
    /// When the body has no components or fewer than coefficients.
    pub fn hand_from_pca(&self, side: Side, coefficients: &[f32]) -> Result<[[f32; 3]; N_HAND_JOINTS]> {
        let hand = self.hand(side).ok_or(Error::NotInModel { what: "hand components" })?;
        if coefficients.len() > hand.components.len() {
            let (what, available) = ("hand coefficients", hand.components.len());
            return Err(Error::TooMany { what, available, found: coefficients.len() });
        }
        let mut pose = [[0.0; 3]; N_HAND_JOINTS];
        for (c, component) in coefficients.iter().zip(&hand.components) {
            for (v, d) in pose.as_flattened_mut().iter_mut().zip(component.as_flattened()) {
                *v += c * d;
            }
        }
        Ok(pose)
    }

    /// Bytes of the model's tables in memory.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        self.shape.n_bytes()
            + self.expression.n_bytes()
            + self.pose.n_bytes()
            + size_of_val(self.template.as_slice())
            + size_of_val(self.faces.as_slice())
            + self.weights.n_entries() * 8
            + size_of_val(self.joint_shape.as_slice())
            + size_of_val(self.joint_expression.as_slice())
    }
}

type JointTable = [[f32; 3]; N_JOINTS];

/// Applies the regressor to the template and to every column of the tables, in double precision.
fn regress(
    regressor: &[f32],
    v_template: &[[f32; 3]],
    tables: [&Directions; 2],
) -> (JointTable, Vec<JointTable>) {
    let n_columns: usize = tables.iter().map(|t| t.n_columns).sum();
    let rows: Vec<Vec<[f64; 3]>> = regressor
        .par_chunks_exact(v_template.len())
        .map(|row| {
            let mut sums = vec![[0.0_f64; 3]; n_columns + 1];
            for (vertex, &w) in row.iter().enumerate().filter(|(_, w)| **w != 0.0) {
                let w = f64::from(w);
                let first = (vertex % LANES) * 3;
                let columns = tables.iter().flat_map(|t| t.of_block(vertex / LANES));
                for axis in 0..3 {
                    sums[0][axis] += w * f64::from(v_template[vertex][axis]);
                }
                for (sum, block) in sums[1..].iter_mut().zip(columns) {
                    for (axis, sum) in sum.iter_mut().enumerate() {
                        let at = first + axis;
                        *sum += w * f64::from(block[at / LANES].0[at % LANES]);
                    }
                }
            }
            sums
        })
        .collect();
    let column = |c: usize| -> JointTable { std::array::from_fn(|j| rows[j][c].map(|x| x as f32)) };
    (column(0), (1..=n_columns).map(column).collect())
}

/// All numbers must be finite.
pub(crate) fn check_finite(array: &str, values: &[f32]) -> Result<()> {
    match values.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(index) => Err(Error::Value {
            array: array.to_owned(),
            index,
            problem: format!("{} isn't a finite number", values[index]),
        }),
    }
}

/// Largest distance from one that the sum of a vertex's weights may have.
const WEIGHT_SUM_TOLERANCE: f32 = 0.01;

fn check_weights(weights: &SparseWeights, n_vertices: usize) -> Result<()> {
    let array = || "weights".to_owned();
    if weights.len() != n_vertices {
        return Err(Error::Shape {
            array: array(),
            expected: format!("[{n_vertices}, 55]"),
            found: vec![weights.len(), N_JOINTS],
        });
    }
    for vertex in 0..n_vertices {
        let sum: f32 = weights.get(vertex).iter().map(|w| w.weight).sum();
        if !((sum - 1.0).abs() <= WEIGHT_SUM_TOLERANCE) {
            let problem = format!("the weights of this vertex sum to {sum}");
            return Err(Error::Value { array: array(), index: vertex, problem });
        }
    }
    Ok(())
}

fn check_parents(parents: &[Option<u8>; N_JOINTS]) -> Result<()> {
    let wrong = |(j, parent): (usize, &Option<u8>)| match parent {
        None => j != 0,
        Some(p) => usize::from(*p) >= j,
    };
    match parents.iter().enumerate().position(wrong) {
        None => Ok(()),
        Some(index) => Err(Error::Value {
            array: "kintree_table".to_owned(),
            index,
            problem: "every joint but the first needs a parent that comes before it".to_owned(),
        }),
    }
}
